//! `bench`: Harrier beside keepalived and FRR on this machine, from nothing.

use std::{
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use anyhow::{Context as _, Result};

use super::{build_ebpf, setup};
use crate::{process, workspace::Workspace};

/// The options of the benchmark, which it reads itself.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Options of the benchmark (`--quick`, `--docs`, names of scenarios …)
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

pub(crate) fn run(workspace: &Workspace, arguments: &Arguments) -> Result<ExitCode> {
    let arguments = &arguments.arguments;
    let only_words = arguments
        .iter()
        .any(|argument| matches!(argument.as_str(), "-h" | "--help" | "--list"));
    if only_words {
        // Its own words need neither the daemon nor the kernel program.
        let mut cargo = workspace.cargo("build");
        cargo
            .args(["--release", "--quiet", "--package", "ha-tests"])
            .args(["--no-default-features", "--bin", "harrier-bench"]);
        process::run(&mut cargo, "building the benchmark")?;
    } else {
        let route = setup::ensure(workspace)?;
        build_ebpf::build(workspace, &route, false)?;
        build(workspace)?;
    }
    // It takes our place, and so gets Ctrl-C and gives its status itself.
    let error = command(workspace)
        .args(
            arguments
                .iter()
                .map(|argument| with_place(argument, &workspace.root)),
        )
        .exec();
    Err(error).with_context(|| format!("cannot run {}", binary(workspace).display()))
}

/// Builds it and makes the short run, in which no bound may be missed; prints the figures.
///
/// # Errors
/// If one is missed, or nothing can be measured.
pub(crate) fn quick(workspace: &Workspace) -> Result<()> {
    build(workspace)?;
    process::run(command(workspace).arg("--quick"), "the benchmark")
}

fn build(workspace: &Workspace) -> Result<()> {
    let mut cargo = workspace.cargo("build");
    cargo
        .args([
            "--release",
            "--package",
            "ha-tests",
            "--bin",
            "harrier-bench",
        ])
        .args(["--package", "ha-user", "--bin", "harrier"]);
    process::run(&mut cargo, "building the benchmark")
}

fn binary(workspace: &Workspace) -> PathBuf {
    workspace.release_binary("harrier-bench")
}

fn command(workspace: &Workspace) -> Command {
    let mut command = Command::new(binary(workspace));
    command.env("HARRIER_BIN", workspace.release_binary("harrier"));
    command
}

/// `--docs` with the checkout's documentation, wherever the command is given.
fn with_place(argument: &str, root: &Path) -> String {
    if argument == "--docs" {
        format!("--docs={}", root.join("docs").display())
    } else {
        argument.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn docs_are_the_checkouts() {
        let root = Path::new("/checkout");
        assert_eq!(with_place("--docs", root), "--docs=/checkout/docs");
        for argument in ["--docs=elsewhere", "--plot", "failover"] {
            assert_eq!(with_place(argument, root), argument);
        }
    }
}
