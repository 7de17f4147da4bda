//! `mutants`: proof that the tests bite. Each change of `tests/mutants.txt` is
//! made in a copy of what the suites need, and has to be noticed.
//!
//! The copy is a workspace of three small crates: ha-common, the engine by itself
//! in place of ha-user, and the simulation by itself in place of ha-tests. A
//! change takes seconds to build; the daemon's other dependencies would take a
//! minute, and cannot notice anything.
//!
//! Cargo builds what is asked for, in one go; the test binaries are run directly.

mod list;

use std::{
    fs,
    io::{self, Read as _},
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};

use self::list::parse;
use crate::workspace::{self, Workspace};

/// What the suites need of the tree.
const COPIED: &[&str] = &[
    "Cargo.lock",
    "ha-common",
    "ha-user/src/engine",
    "tests/tests/sim.rs",
    "tests/tests/sim",
];

/// The engine's crate in the copy.
const ENGINE: &str = r#"[package]
name = "ha-user"
version = "0.1.0"
edition = "2024"

[dependencies]
ha-common = { workspace = true }

[dev-dependencies]
proptest = { workspace = true }
"#;

/// The simulation's crate in the copy.
const SIMULATION: &str = r#"[package]
name = "ha-tests"
version = "0.1.0"
edition = "2024"
autobins = false

[lib]
path = "lib.rs"

[dev-dependencies]
bytemuck = { workspace = true }
ha-common = { workspace = true }
ha-user = { workspace = true }
"#;

/// Compiling takes longer than running, so little is optimised.
const PROFILE: &str = r#"
[profile.dev]
opt-level = 1
debug = false
incremental = true
overflow-checks = false
debug-assertions = false
"#;

/// Seeds of the simulation per change: enough to meet the rare ones. It stops at
/// the first that fails.
const SEEDS: &str = "20000";

/// A test binary that runs for so long does not end. They take seconds.
const LIMIT: Duration = Duration::from_secs(300);

/// Some of the tests: those of one crate of the copy.
struct Suite {
    name: &'static str,
    /// The crate's name and its folder in the copy.
    package: (&'static str, &'static str),
    /// Its integration tests, beside its unit tests.
    tests: &'static [&'static str],
    /// Arguments of the binaries.
    arguments: &'static [&'static str],
}

const SUITES: [Suite; 3] = [
    Suite {
        name: "table",
        package: ("ha-common", "ha-common"),
        tests: &["fsm"],
        arguments: &[],
    },
    Suite {
        name: "engine",
        package: ("ha-user", "ha-user"),
        tests: &[],
        arguments: &[],
    },
    Suite {
        name: "sim",
        package: ("ha-tests", "tests"),
        tests: &["sim"],
        arguments: &["--exact", "seeds_hold_every_invariant"],
    },
];

/// The options of `mutants`.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Make only the changes whose name contains this
    #[arg(long, value_name = "NAME")]
    filter: Option<String>,
    /// Run every suite, not only those that have to notice
    #[arg(long)]
    all: bool,
}

pub(crate) fn run(workspace: &Workspace, arguments: &Arguments) -> Result<ExitCode> {
    let list = workspace.root.join("tests/mutants.txt");
    let text =
        fs::read_to_string(&list).with_context(|| format!("cannot read {}", list.display()))?;
    let mut mutants = parse(&text)?;
    if let Some(filter) = &arguments.filter {
        mutants.retain(|mutant| mutant.name.contains(filter.as_str()));
    }
    ensure!(!mutants.is_empty(), "no change has that in its name");
    // Its build directory is its own: cargo would take a changed crate of the
    // copy for that of the checkout.
    let tree = workspace.target.join("mutants/tree");
    copy(workspace, &tree)?;
    let bench = Bench {
        workspace,
        tree: &tree,
    };
    for (suite, found) in SUITES.iter().zip(bench.run(&SUITES.each_ref())?) {
        ensure!(
            found.is_none(),
            "{} fails without any change: {}",
            suite.name,
            found.unwrap_or_default()
        );
    }

    let widest = mutants.iter().map(|mutant| mutant.name.len()).max();
    let widest = widest.unwrap_or_default();
    let begun = Instant::now();
    let mut missed = 0;
    for mutant in &mutants {
        let is_asked = |suite: &Suite| mutant.by.iter().any(|by| by == suite.name);
        let suites: Vec<&Suite> = SUITES
            .iter()
            .filter(|suite| arguments.all || is_asked(suite))
            .collect();
        let file = tree.join(&mutant.file);
        let original = fs::read_to_string(&file)
            .with_context(|| format!("{}: cannot read {}", mutant.name, file.display()))?;
        fs::write(&file, mutant.apply(&original)?)?;
        let found = bench.run(&suites);
        fs::write(&file, original)?;
        let found = found.with_context(|| mutant.name.clone())?;
        let mut line = format!("{:widest$}", mutant.name);
        for (suite, found) in suites.iter().zip(found) {
            let is_missed = found.is_none() && is_asked(suite);
            missed += usize::from(is_missed);
            line += &match found {
                Some(what) => format!("  {}: {what}", suite.name),
                None if is_missed => format!("  {}: MISSED", suite.name),
                None => format!("  {}: -", suite.name),
            };
        }
        println!("{line}");
    }
    println!(
        "{} changes in {:.0} s, missed {missed} times by a suite that has to notice",
        mutants.len(),
        begun.elapsed().as_secs_f64()
    );
    Ok(if missed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// The copy, in which suites are run.
struct Bench<'a> {
    workspace: &'a Workspace,
    tree: &'a Path,
}

impl Bench<'_> {
    /// Builds `suites` and runs them: what each finds, if it finds anything.
    ///
    /// # Errors
    /// If they do not compile: that proves nothing.
    fn run(&self, suites: &[&Suite]) -> Result<Vec<Option<String>>> {
        let mut cargo = Command::new(workspace::cargo());
        cargo
            .current_dir(self.tree)
            .args(["test", "--no-run", "--lib"])
            .env(
                "CARGO_TARGET_DIR",
                self.workspace.target.join("mutants/build"),
            )
            .stdin(Stdio::null());
        for suite in suites {
            cargo.args(["--package", suite.package.0]);
            for test in suite.tests {
                cargo.args(["--test", test]);
            }
        }
        let built = cargo.output().context("cannot run cargo")?;
        let said = String::from_utf8_lossy(&built.stderr);
        ensure!(built.status.success(), "it does not compile:\n{said}");
        suites
            .iter()
            .map(|suite| self.run_one(suite, &executables(&said)))
            .collect()
    }

    fn run_one(&self, suite: &Suite, built: &[Executable<'_>]) -> Result<Option<String>> {
        let (package, folder) = suite.package;
        let unit_tests = package.replace('-', "_");
        for name in [unit_tests.as_str()].iter().chain(suite.tests) {
            let Executable { path, .. } = built
                .iter()
                .find(|built| built.name == *name)
                .with_context(|| format!("cargo does not tell of {name} of {package}"))?;
            // As cargo test has it: regressions and the like are found from there.
            let mut command = Command::new(path);
            command
                .current_dir(self.tree.join(folder))
                .args(suite.arguments)
                .env("CARGO_MANIFEST_DIR", self.tree.join(folder))
                .env("HARRIER_SIM_SEEDS", SEEDS)
                .env("HARRIER_SIM_BRIEF", "1")
                .env("PROPTEST_MAX_SHRINK_ITERS", "0")
                .env("RUST_BACKTRACE", "0");
            let found = find(&mut command).with_context(|| format!("cannot run {path}"))?;
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }
}

/// Runs a test binary: what it finds, if it fails or does not end.
fn find(command: &mut Command) -> io::Result<Option<String>> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let (done, ended) = mpsc::channel();
    let mut stdout = child.stdout.take();
    // Its output ends when it does.
    let reader = thread::spawn(move || {
        let mut said = Vec::new();
        if let Some(stdout) = &mut stdout {
            // What cannot be read is missing as evidence, and nowhere else.
            let _ = stdout.read_to_end(&mut said);
        }
        let _ = done.send(());
        said
    });
    let is_late = ended.recv_timeout(LIMIT).is_err();
    if is_late {
        child.kill()?;
    }
    let status = child.wait()?;
    let said = reader.join().unwrap_or_default();
    if is_late {
        return Ok(Some(format!("does not end within {LIMIT:?}")));
    }
    if status.success() {
        return Ok(None);
    }
    let said = String::from_utf8_lossy(&said);
    Ok(Some(evidence(&said).unwrap_or(status.to_string())))
}

/// A test binary that cargo has built.
#[derive(Debug, PartialEq, Eq)]
struct Executable<'a> {
    /// Of the crate or the integration test.
    name: &'a str,
    path: &'a str,
}

/// The binaries that `cargo test --no-run` tells of, by lines like
/// `  Executable unittests src/lib.rs (/path/name-0123456789abcdef)`.
fn executables(said: &str) -> Vec<Executable<'_>> {
    said.lines().filter_map(executable).collect()
}

fn executable(line: &str) -> Option<Executable<'_>> {
    let line = line.trim_start().strip_prefix("Executable ")?;
    let (_, path) = line.strip_suffix(')')?.split_once(" (")?;
    let (_, file) = path.rsplit_once('/')?;
    let (name, _) = file.rsplit_once('-')?;
    Some(Executable { name, path })
}

/// What a test binary that fails has found: the invariant, or the tests.
fn evidence(said: &str) -> Option<String> {
    let seed = said.lines().find(|line| line.contains(" breaks \""));
    if let Some((_, seed)) = seed.and_then(|line| line.split_once("seed ")) {
        return Some(format!("seed {seed}"));
    }
    let failed = said.lines().filter_map(|line| {
        let name = line.strip_prefix("test ")?;
        name.strip_suffix(" ... FAILED")
    });
    let failed: Vec<&str> = failed.collect();
    match failed.as_slice() {
        [] => None,
        [one] => Some((*one).to_owned()),
        [first, rest @ ..] => Some(format!("{first} and {} more", rest.len())),
    }
}

fn copy(workspace: &Workspace, tree: &PathBuf) -> Result<()> {
    let describe = || format!("cannot copy the checkout to {}", tree.display());
    if tree.is_dir() {
        fs::remove_dir_all(tree).with_context(describe)?;
    }
    fs::create_dir_all(tree).with_context(describe)?;
    // --parents: each keeps its folder.
    let status = Command::new("cp")
        .args(["-r", "--parents"])
        .args(COPIED)
        .arg(tree)
        .current_dir(&workspace.root)
        .status()
        .with_context(describe)?;
    ensure!(status.success(), "{}", describe());
    let manifest = fs::read_to_string(workspace.root.join("Cargo.toml")).with_context(describe)?;
    for (path, text) in [
        ("Cargo.toml", small_manifest(&manifest)?),
        ("ha-user/Cargo.toml", ENGINE.to_owned()),
        ("ha-user/src/lib.rs", "pub mod engine;\n".to_owned()),
        ("tests/Cargo.toml", SIMULATION.to_owned()),
        ("tests/lib.rs", String::new()),
    ] {
        fs::write(tree.join(path), text).with_context(describe)?;
    }
    Ok(())
}

/// The workspace's manifest with the three crates only, and a profile of its own.
fn small_manifest(manifest: &str) -> Result<String> {
    let package = manifest.find("[workspace.package]");
    let profiles = manifest.find("[profile.");
    let (Some(package), Some(profiles)) = (package, profiles) else {
        bail!("Cargo.toml has no [workspace.package] before its profiles");
    };
    let kept = manifest
        .get(package..profiles)
        .context("Cargo.toml has its profiles first")?;
    Ok(format!(
        "[workspace]\nresolver = \"3\"\nmembers = [\"ha-common\", \"ha-user\", \"tests\"]\n\n{kept}{PROFILE}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cargo_and_the_tests_say_is_read() {
        let said = "   Compiling a\n  Executable unittests src/lib.rs (/t/ha_user-0f)\n  \
                    Executable tests/sim.rs (/t/sim-1a)\n";
        let built = executables(said);
        assert_eq!(built.len(), 2);
        assert_eq!((built[0].name, built[1].name), ("ha_user", "sim"));
        assert_eq!(built[1].path, "/t/sim-1a");
        let said = "test a ... ok\ntest b::c ... FAILED\ntest d ... FAILED\n";
        assert_eq!(evidence(said).as_deref(), Some("b::c and 1 more"));
        let said = "panicked at x:\nseed 7 breaks \"no storm\"\n";
        assert_eq!(
            evidence(said).as_deref(),
            Some("seed 7 breaks \"no storm\"")
        );
        assert_eq!(evidence("killed"), None);
    }
}
