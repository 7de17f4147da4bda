//! `mutants`: proof that the tests bite. Each change of `tests/mutants.txt` is
//! made in a copy of what the suites need, and has to be noticed.
//!
//! The copy is a workspace of three small crates: ha-common, the engine by itself
//! in place of ha-user, and the simulation by itself in place of ha-tests. A
//! change takes seconds to build; the daemon's other dependencies would take a
//! minute, and cannot notice anything.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
};

use anyhow::{Context as _, Result, bail, ensure};

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

/// Seeds of the simulation per change: enough to meet the rare ones.
const SEEDS: &str = "20000";

/// The suites: their name, and the arguments of `cargo test`.
const SUITES: [(&str, &[&str]); 3] = [
    (
        "table",
        &["--package", "ha-common", "--lib", "--test", "fsm"],
    ),
    ("engine", &["--package", "ha-user", "--lib"]),
    (
        "sim",
        &["--package", "ha-tests", "--test", "sim", "seeds_hold"],
    ),
];

/// The options of `mutants`.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Make only the changes whose name contains this
    #[arg(long, value_name = "NAME")]
    filter: Option<String>,
}

/// One change.
#[derive(Debug, Default, PartialEq, Eq)]
struct Mutant {
    name: String,
    file: String,
    /// The suites that have to notice.
    by: Vec<String>,
    old: String,
    new: String,
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
    for (suite, options) in SUITES {
        ensure!(
            !is_killed(workspace, &tree, options)?,
            "{suite} fails without any change"
        );
    }

    let widest = mutants.iter().map(|mutant| mutant.name.len()).max();
    let widest = widest.unwrap_or_default();
    let line = |name: &str, words: &[&str], remark: &str| {
        let words: String = words.iter().map(|word| format!("  {word:8}")).collect();
        println!("{name:widest$}{words}{remark}");
    };
    line("change", &SUITES.map(|(suite, _)| suite), "");
    let mut missed = 0;
    for mutant in &mutants {
        let file = tree.join(&mutant.file);
        let original = fs::read_to_string(&file)
            .with_context(|| format!("{}: cannot read {}", mutant.name, file.display()))?;
        fs::write(&file, mutant.apply(&original)?)?;
        let killed: Result<Vec<bool>> = SUITES
            .iter()
            .map(|(_, options)| is_killed(workspace, &tree, options))
            .collect();
        fs::write(&file, original)?;
        let killed = killed.with_context(|| mutant.name.clone())?;
        let words = killed
            .iter()
            .map(|killed| if *killed { "killed" } else { "-" });
        let words: Vec<&str> = words.collect();
        let as_said = SUITES
            .iter()
            .zip(&killed)
            .all(|((suite, _), killed)| *killed || !mutant.by.iter().any(|by| by == suite));
        let remark = if as_said { "" } else { "  <- MISSED" };
        missed += usize::from(!as_said);
        line(&mutant.name, &words, remark);
    }
    println!("{} changes, {missed} missed", mutants.len());
    Ok(if missed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

impl Mutant {
    /// `original` with the change.
    ///
    /// # Errors
    /// If the text is not there exactly once: the list has gone stale.
    fn apply(&self, original: &str) -> Result<String> {
        let found = original.matches(&self.old).count();
        ensure!(
            found == 1,
            "{}: its text is {found} times in {}, not once: bring tests/mutants.txt up to date",
            self.name,
            self.file
        );
        Ok(original.replacen(&self.old, &self.new, 1))
    }
}

/// Reads the list; its first lines say what it looks like.
fn parse(text: &str) -> Result<Vec<Mutant>> {
    let mut mutants: Vec<Mutant> = Vec::new();
    for (number, line) in text.lines().enumerate() {
        if line.starts_with('#') || line.trim().is_empty() {
            continue;
        }
        if let Some(name) = line.strip_prefix("== ") {
            mutants.push(Mutant {
                name: name.to_owned(),
                ..Mutant::default()
            });
            continue;
        }
        let Some((key, rest)) = line.split_once(' ') else {
            bail!("tests/mutants.txt:{}: no key", number + 1);
        };
        let Some(mutant) = mutants.last_mut() else {
            bail!("tests/mutants.txt:{}: no name before it", number + 1);
        };
        let lines = |all: &mut String| {
            if !all.is_empty() {
                all.push('\n');
            }
            all.push_str(rest);
        };
        match key {
            "file" => rest.clone_into(&mut mutant.file),
            "by" => mutant.by = rest.split(' ').map(str::to_owned).collect(),
            "-" => lines(&mut mutant.old),
            "+" => lines(&mut mutant.new),
            _ => bail!("tests/mutants.txt:{}: unknown key {key:?}", number + 1),
        }
    }
    for mutant in &mutants {
        let known = |by: &String| SUITES.iter().any(|(suite, _)| suite == by);
        ensure!(
            !mutant.file.is_empty()
                && !mutant.old.is_empty()
                && !mutant.by.is_empty()
                && mutant.by.iter().all(known),
            "tests/mutants.txt: {:?} lacks its file, its text or its suites",
            mutant.name
        );
    }
    Ok(mutants)
}

/// Whether a suite fails. A change that does not compile proves nothing.
fn is_killed(workspace: &Workspace, tree: &Path, options: &[&str]) -> Result<bool> {
    let cargo = |last: &[&str]| {
        let mut cargo = Command::new(workspace::cargo());
        cargo
            .current_dir(tree)
            .args(["test", "--quiet"])
            .args(options)
            .args(last)
            .env("CARGO_TARGET_DIR", workspace.target.join("mutants/build"))
            .env("HARRIER_SIM_SEEDS", SEEDS)
            .stdin(Stdio::null());
        cargo
    };
    let built = cargo(&["--no-run"]).output().context("cannot run cargo")?;
    ensure!(
        built.status.success(),
        "it does not compile:\n{}",
        String::from_utf8_lossy(&built.stderr)
    );
    let ran = cargo(&[]).output().context("cannot run cargo")?;
    Ok(!ran.status.success())
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
    fn a_change_is_read_and_made() {
        let text = "# words\n== wrong\nfile a.rs\nby sim table\n- one\n-   two\n+ three\n";
        let mutants = parse(text).expect("it is well formed");
        assert_eq!(mutants[0].old, "one\n  two");
        assert_eq!(mutants[0].by, ["sim", "table"]);
        let changed = mutants[0].apply("zero one\n  two four").expect("it fits");
        assert_eq!(changed, "zero three four");
    }

    #[test]
    fn a_stale_change_is_told() {
        let mutants = parse("== wrong\nfile a.rs\nby sim\n- one\n+ two\n").expect("well formed");
        assert!(mutants[0].apply("one one").is_err());
        assert!(mutants[0].apply("none").is_ok());
        assert!(mutants[0].apply("zero").is_err());
        assert!(parse("== wrong\nfile a.rs\nby nobody\n- one\n").is_err());
        assert!(parse("file a.rs\n").is_err());
    }

    #[test]
    fn the_list_fits_the_tree() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"))
            .parent()
            .expect("root");
        let list = fs::read_to_string(root.join("tests/mutants.txt")).expect("the list");
        let mutants = parse(&list).expect("well formed");
        assert!(mutants.len() >= 12);
        for mutant in mutants {
            let file = fs::read_to_string(root.join(&mutant.file)).expect("its file");
            mutant.apply(&file).expect("its text is there");
        }
    }
}
