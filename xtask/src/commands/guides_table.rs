//! `guides-table`: runs the guides and writes down what a client saw.

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
        "the suite needs root, for network namespaces and XDP: run `cargo xtask guides-table` as root"
    );
    let route = setup::ensure(workspace)?;
    test::build(workspace, &route)?;
    let mut cargo = workspace.cargo("test");
    cargo
        .args(["--release", "--quiet", "--package", "ha-tests"])
        .args(["--test", "guides", "--"])
        .args(["--exact", "the_guides_do_what_they_say", "--nocapture"])
        .env("HARRIER_BIN", workspace.release_binary("harrier"))
        .env("HARRIER_GUIDES_TABLE", "write");
    process::run(&mut cargo, "the suite of guides")?;
    println!("docs/guides.md says what a client saw");
    Ok(ExitCode::SUCCESS)
}
