//! `demo`: a failover on this machine, from nothing.

use std::{
    os::unix::process::CommandExt as _,
    process::{Command, ExitCode},
};

use anyhow::{Context as _, Result};

use super::{build_ebpf, setup};
use crate::{process, workspace::Workspace};

/// The options of the demo, which it reads itself.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Options of the demo (`--advert 10ms`, `--peer keepalived`, `--keep` …)
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

pub(crate) fn run(workspace: &Workspace, arguments: &Arguments) -> Result<ExitCode> {
    let arguments = &arguments.arguments;
    let asks_for_help = arguments
        .iter()
        .any(|argument| matches!(argument.as_str(), "-h" | "--help"));
    let mut cargo = workspace.cargo("build");
    cargo.args(["--release", "--package", "ha-tests"]);
    if asks_for_help {
        // The demo's own words need neither the daemon nor the kernel program.
        cargo.args(["--quiet", "--no-default-features", "--bin", "harrier-demo"]);
    } else {
        let route = setup::ensure(workspace)?;
        build_ebpf::build(workspace, &route, false)?;
        cargo.args(["--package", "ha-user", "--bins"]);
    }
    process::run(&mut cargo, "building the demo")?;

    // The demo takes our place, and so gets Ctrl-C and gives its status itself.
    let demo = workspace.release_binary("harrier-demo");
    let error = Command::new(&demo)
        .args(arguments)
        .env("HARRIER_BIN", workspace.release_binary("harrier"))
        .exec();
    Err(error).with_context(|| format!("cannot run {}", demo.display()))
}
