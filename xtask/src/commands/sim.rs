//! `sim`: more seeds of the simulation than the tests run, or one again.

use std::process::ExitCode;

use anyhow::Result;

use super::{build_ebpf, setup};
use crate::{process, workspace::Workspace};

/// The options of `sim`.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// How many seeds to run
    #[arg(long, value_name = "N", default_value_t = 100_000)]
    seeds: u64,
    /// The first of them
    #[arg(long, value_name = "S", default_value_t = 0)]
    seed_start: u64,
}

pub(crate) fn run(workspace: &Workspace, arguments: &Arguments) -> Result<ExitCode> {
    // The engine is part of the daemon's library, which embeds the kernel program.
    if !workspace.object().is_file() {
        let route = setup::ensure(workspace)?;
        build_ebpf::build(workspace, &route, false)?;
    }
    let mut cargo = workspace.cargo("test");
    cargo
        .args(["--release", "--quiet", "--package", "ha-tests"])
        .args(["--test", "sim", "--"])
        .args(["--exact", "seeds_hold_every_invariant", "--nocapture"])
        .env("HARRIER_SIM_SEEDS", arguments.seeds.to_string())
        .env("HARRIER_SIM_START", arguments.seed_start.to_string());
    process::run(&mut cargo, "the simulation")?;
    Ok(ExitCode::SUCCESS)
}
