//! `ci`: what every change must pass. The tests' closing line comes last.

use std::process::ExitCode;

use anyhow::Result;

use super::{lint, test};
use crate::workspace::Workspace;

pub(crate) fn run(workspace: &Workspace) -> Result<ExitCode> {
    let failures = lint::failures(workspace)?;
    let counts = test::count(workspace, &test::Arguments::default())?;
    if !failures.is_empty() {
        println!("lint: failed: {}", failures.join(", "));
    }
    println!("{counts}");
    Ok(if failures.is_empty() && counts.is_success() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
