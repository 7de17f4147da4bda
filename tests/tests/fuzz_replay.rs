//! The committed inputs of the fuzzers, replayed: none breaks a promise any
//! more, and together they still reach what they were kept for.

use std::{
    collections::{BTreeSet, HashSet},
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, ensure};
use ha_common::{fsm::StateKind, wire::Refusal};
use ha_tests::fuzz::{self, Reached, TARGETS};

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz")
}

/// Every input of a target, in the order of their names.
fn inputs(target: &str) -> Result<Vec<Vec<u8>>> {
    let directory = directory().join("corpus").join(target);
    let mut files = fs::read_dir(&directory)
        .with_context(|| format!("cannot read {}", directory.display()))?
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<Vec<_>>>()?;
    files.sort();
    ensure!(!files.is_empty(), "no inputs in {}", directory.display());
    files
        .iter()
        .map(|file| {
            // libtest shows it when the input panics.
            println!("{}", file.display());
            Ok(fs::read(file)?)
        })
        .collect()
}

#[test]
fn every_target_has_a_fuzzer_and_inputs() -> Result<()> {
    let names = |below: &str| -> Result<BTreeSet<String>> {
        fs::read_dir(directory().join(below))?
            .map(|entry| {
                let path = entry?.path();
                let stem = path.file_stem().context("a name")?;
                Ok(stem.to_string_lossy().into_owned())
            })
            .collect()
    };
    let targets = BTreeSet::from(TARGETS.map(str::to_owned));
    assert_eq!(names("fuzz_targets")?, targets);
    assert_eq!(names("corpus")?, targets);
    Ok(())
}

#[test]
fn frames_reach_every_verdict() -> Result<()> {
    let mut reached = HashSet::new();
    for input in inputs("frame")? {
        println!("{input:02x?}");
        reached.extend(fuzz::frame(&input));
    }
    let expected = [
        Reached::Other,
        Reached::Claim,
        Reached::NotConfigured,
        Reached::Accepted,
    ]
    .into_iter()
    .chain(Refusal::ALL.iter().copied().map(Reached::Refused));
    for verdict in expected {
        ensure!(reached.contains(&verdict), "no input reaches {verdict:?}");
    }
    Ok(())
}

#[test]
fn configurations_are_taken_and_refused() -> Result<()> {
    let mut taken = 0;
    let mut refused = 0;
    for input in inputs("config")? {
        println!("{}", String::from_utf8_lossy(&input));
        if fuzz::config(&input) {
            taken += 1;
        } else {
            refused += 1;
        }
    }
    ensure!(taken > 0 && refused > 0, "{taken} taken, {refused} refused");
    Ok(())
}

#[test]
fn keepalived_files_are_taken_and_refused() -> Result<()> {
    let mut taken = 0;
    let mut refused = 0;
    for input in inputs("keepalived")? {
        println!("{}", String::from_utf8_lossy(&input));
        if fuzz::keepalived(&input) {
            taken += 1;
        } else {
            refused += 1;
        }
    }
    ensure!(taken > 0 && refused > 0, "{taken} taken, {refused} refused");
    Ok(())
}

#[test]
fn event_sequences_go_through_every_transition() -> Result<()> {
    use StateKind::{Active, Backup, Fault, Init, Releasing};

    let mut seen = HashSet::new();
    for input in inputs("machine")? {
        println!("{input:02x?}");
        let entered = fuzz::machine(&input);
        // Each starts in Init.
        let from = std::iter::once(&Init).chain(&entered);
        seen.extend(from.zip(&entered).map(|(from, to)| (*from, *to)));
    }
    for transition in [
        (Init, Backup),
        (Init, Active),
        (Backup, Active),
        (Backup, Init),
        (Backup, Fault),
        (Active, Backup),
        (Active, Releasing),
        (Active, Fault),
        (Active, Init),
        (Releasing, Init),
        (Releasing, Fault),
        (Releasing, Backup),
        (Fault, Init),
        (Fault, Backup),
        (Fault, Active),
    ] {
        ensure!(seen.contains(&transition), "no input goes {transition:?}");
    }
    Ok(())
}
