//! `lint`: formatting, lints, documentation and dependencies, warnings denied.

use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result};

use super::{build_ebpf, setup};
use crate::{process, toolchain::Route, workspace::Workspace};

pub(crate) fn run(workspace: &Workspace) -> Result<ExitCode> {
    Ok(if failures(workspace)?.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Runs every check, also after one that fails, and names those that did.
///
/// # Errors
/// If nothing can be checked: no rustfmt, no clippy, no set-up.
pub(crate) fn failures(workspace: &Workspace) -> Result<Vec<&'static str>> {
    for tool in ["fmt", "clippy"] {
        process::output(workspace.cargo(tool).arg("--version")).with_context(|| {
            format!(
                "`cargo {tool}` does not run: `rustup component add rustfmt clippy` installs it"
            )
        })?;
    }
    let route = setup::ensure(workspace)?;

    let mut failed = Vec::new();
    let mut check = |name: &'static str, result: Result<()>| {
        if let Err(error) = result {
            eprintln!("lint: {error:#}");
            failed.push(name);
        }
    };
    check("rustfmt", format(workspace));
    // The daemon's build embeds the object, so the object comes first.
    check(
        "build-ebpf",
        build_ebpf::build(workspace, &route, false).map(drop),
    );
    check(
        "clippy of the kernel program",
        clippy_kernel(workspace, &route, &[]),
    );
    check(
        "clippy of the kernel program with its log",
        clippy_kernel(workspace, &route, &["--features", "log"]),
    );
    check("clippy", clippy_host(workspace));
    check("rustdoc", documentation(workspace));
    check("cargo-deny", dependencies(workspace));

    if failed.is_empty() {
        println!("lint: clean");
    } else {
        println!("lint: failed: {}", failed.join(", "));
    }
    Ok(failed)
}

fn format(workspace: &Workspace) -> Result<()> {
    println!("== rustfmt");
    process::run(workspace.cargo("fmt").args(["--all", "--check"]), "rustfmt")
}

fn clippy_kernel(workspace: &Workspace, route: &Route, features: &[&str]) -> Result<()> {
    println!("== clippy of the kernel program {}", features.join(" "));
    let mut command = route.cargo(workspace, "clippy");
    command.args(features).args(["--", "-D", "warnings"]);
    process::run(&mut command, "clippy of the kernel program")
}

fn clippy_host(workspace: &Workspace) -> Result<()> {
    println!("== clippy");
    process::run(
        workspace
            .cargo("clippy")
            .args(["--workspace", "--exclude", "ha-ebpf", "--all-targets"])
            .args(["--", "-D", "warnings"]),
        "clippy",
    )
}

fn documentation(workspace: &Workspace) -> Result<()> {
    println!("== rustdoc");
    process::run(
        workspace
            .cargo("doc")
            .args(["--workspace", "--exclude", "ha-ebpf", "--no-deps"])
            .arg("--document-private-items")
            .env("RUSTDOCFLAGS", "-D warnings"),
        "rustdoc",
    )
}

/// Where dependencies come from. Optional: cargo-deny takes minutes to build.
fn dependencies(workspace: &Workspace) -> Result<()> {
    println!("== cargo-deny");
    if process::find("cargo-deny").is_none() {
        println!("cargo-deny is not installed, so dependencies are not checked");
        return Ok(());
    }
    let mut command = Command::new("cargo-deny");
    command
        .current_dir(&workspace.root)
        .args(["check", "bans", "sources"]);
    process::run(&mut command, "cargo-deny")
}
