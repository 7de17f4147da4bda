//! `ci`: what every change must pass. The tests' closing line comes last.

use std::process::ExitCode;

use anyhow::Result;

use super::{bench, lint, test};
use crate::workspace::Workspace;

pub(crate) fn run(workspace: &Workspace) -> Result<ExitCode> {
    let failures = lint::failures(workspace)?;
    let counts = test::count(workspace, &test::Arguments::default())?;
    // Measured when nothing else runs. A build that failed is among the counts already.
    let benchmark = test::stage("bench --quick", || bench::quick(workspace));
    if !failures.is_empty() {
        println!("lint: failed: {}", failures.join(", "));
    }
    if let Err(error) = &benchmark {
        println!("bench: {error:#}");
    }
    println!("{counts}");
    Ok(
        if failures.is_empty() && benchmark.is_ok() && counts.is_success() {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        },
    )
}
