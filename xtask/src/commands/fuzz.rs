//! `fuzz`: looks for an input that breaks a promise, with libFuzzer.
//!
//! The targets and the committed inputs are in `tests/fuzz`; every test run
//! replays the inputs. New ones go to `target/fuzz`, not into the checkout.

use std::{
    fs,
    path::PathBuf,
    process::{Command, ExitCode},
};

use anyhow::{Context as _, Result, ensure};

use super::{build_ebpf, setup};
use crate::{process, workspace::Workspace};

/// The toolchain whose compiler takes libFuzzer's flags.
const TOOLCHAIN: &str = "nightly";

/// The options of `fuzz`.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Which target: config (the configuration reader), frame (the parser that
    /// the kernel program runs), keepalived (the reader of keepalived.conf) or
    /// machine (the state machine)
    #[arg(value_parser = ["config", "frame", "keepalived", "machine"])]
    target: String,
    /// How long to look
    #[arg(long, value_name = "N", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..))]
    seconds: u64,
}

pub(crate) fn run(workspace: &Workspace, arguments: &Arguments) -> Result<ExitCode> {
    check_tools()?;
    let route = setup::ensure(workspace)?;
    // The targets link the daemon's library, which embeds the object.
    build_ebpf::build(workspace, &route, false)?;

    let target = &arguments.target;
    let seeds = workspace.root.join("tests/fuzz/corpus").join(target);
    let output = workspace.target.join("fuzz");
    let corpus = create(output.join("corpus").join(target))?;
    let artifacts = create(output.join("artifacts").join(target))?;
    let mut cargo = Command::new("cargo");
    cargo
        .current_dir(&workspace.root)
        // The cargo that started us has pinned its own toolchain.
        .env_remove("CARGO")
        .env_remove("RUSTC")
        .env_remove("RUSTUP_TOOLCHAIN")
        .arg(format!("+{TOOLCHAIN}"))
        .args(["fuzz", "run", "--fuzz-dir", "tests/fuzz", "--target-dir"])
        .arg(output.join("build"))
        // There is no unsafe code in what the targets run, and without a
        // sanitizer they run several times as often.
        .args(["--sanitizer", "none", target])
        .args([&corpus, &seeds])
        .arg("--")
        .arg(format!("-max_total_time={}", arguments.seconds))
        .arg(format!("-artifact_prefix={}/", artifacts.display()))
        .arg("-print_final_stats=1");
    let dictionary = workspace.root.join(format!("tests/fuzz/{target}.dict"));
    if dictionary.is_file() {
        cargo.arg(format!("-dict={}", dictionary.display()));
    }
    let status = cargo
        .status()
        .context("cannot run cargo; rustup's is needed for its toolchains")?;
    if status.success() {
        println!(
            "fuzz: nothing found; inputs that reach more are in {}",
            corpus.display()
        );
        return Ok(ExitCode::SUCCESS);
    }
    println!(
        "fuzz: failed ({status}); if an input broke a promise it is in {}: copy it to {} under a \
         name that says what it shows, and `cargo test -p ha-tests --test fuzz_replay` fails \
         until that is mended",
        artifacts.display(),
        seeds.display()
    );
    Ok(ExitCode::FAILURE)
}

fn check_tools() -> Result<()> {
    process::output(Command::new("rustup").args(["run", TOOLCHAIN, "rustc", "--version"]))
        .with_context(|| {
            format!(
                "fuzzing needs a nightly compiler: `rustup toolchain install {TOOLCHAIN} \
                 --profile minimal` installs it"
            )
        })?;
    ensure!(
        process::find("cargo-fuzz").is_some(),
        "fuzzing needs cargo-fuzz: `cargo install cargo-fuzz --locked` installs it"
    );
    Ok(())
}

fn create(directory: PathBuf) -> Result<PathBuf> {
    fs::create_dir_all(&directory)
        .with_context(|| format!("cannot make {}", directory.display()))?;
    Ok(directory)
}
