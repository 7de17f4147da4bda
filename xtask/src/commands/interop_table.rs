//! `interop-table`: runs the interop suite and writes down what it finds.

use std::process::ExitCode;

use anyhow::{Result, ensure};

use super::{setup, test};
use crate::{
    process,
    workspace::{self, Workspace},
};

pub(crate) fn run(workspace: &Workspace) -> Result<ExitCode> {
    ensure!(
        workspace::is_root()?,
        "the suite needs root, for network namespaces and XDP: run `cargo xtask interop-table` as root"
    );
    let route = setup::ensure(workspace)?;
    test::build(workspace, &route)?;
    let mut cargo = workspace.cargo("test");
    cargo
        .args(["--release", "--quiet", "--package", "ha-tests"])
        .args(["--test", "interop", "--"])
        .args(["--exact", "the_matrix_is_as_the_table_says", "--nocapture"])
        .env("HARRIER_BIN", workspace.release_binary("harrier"))
        .env("HARRIER_INTEROP_TABLE", "write");
    process::run(&mut cargo, "the interop suite")?;
    println!("docs/interop.md says what was found");
    Ok(ExitCode::SUCCESS)
}
