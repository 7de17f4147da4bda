//! `build-ebpf`: the kernel program, as the object that the daemon embeds.

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context as _, Result, bail};

use crate::{
    process,
    toolchain::{Route, TARGET, plan, probe},
    workspace::Workspace,
};

/// The name of the binary in `ha-ebpf`.
const BINARY: &str = "harrier-xdp";

/// The options of `build-ebpf`.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// As it ships: without log lines from the kernel program
    #[arg(long)]
    release: bool,
}

pub(crate) fn run(workspace: &Workspace, arguments: &Arguments) -> Result<ExitCode> {
    let Ok(route) = plan::route(&probe::findings()?) else {
        let problems = plan::problems(&probe::findings()?).join("\n  ");
        bail!("the kernel program cannot be built here; `cargo xtask setup` helps:\n  {problems}");
    };
    let object = build(workspace, &route, !arguments.release)?;
    println!("{}", object.display());
    Ok(ExitCode::SUCCESS)
}

/// Builds the kernel program, optimised in either case (the verifier takes no
/// other), with or without its log lines, and puts the object in its place.
///
/// # Errors
/// If it does not compile or the object cannot be written.
pub(crate) fn build(workspace: &Workspace, route: &Route, log: bool) -> Result<PathBuf> {
    let mut command = route.cargo(workspace, "build");
    command.args(["--bin", BINARY]);
    if log {
        command.args(["--features", "log"]);
    }
    process::run(
        &mut command,
        &format!("building the kernel program with {route}"),
    )?;
    let built = workspace
        .target
        .join("ebpf")
        .join(TARGET)
        .join("release")
        .join(BINARY);
    let object = workspace.object();
    replace_if_changed(&built, &object)?;
    Ok(object)
}

/// Makes `to` a copy of `from`, and leaves it alone if it is one already: a
/// newer file would have cargo build the daemon again.
fn replace_if_changed(from: &Path, to: &Path) -> Result<()> {
    let content = fs::read(from).with_context(|| format!("cannot read {}", from.display()))?;
    if fs::read(to).is_ok_and(|present| present == content) {
        return Ok(());
    }
    let write = || {
        fs::create_dir_all(to.parent().unwrap_or(to))?;
        // A reader sees the old file or the new one, never a part.
        let partial = to.with_extension(format!("{}.tmp", std::process::id()));
        fs::write(&partial, &content)?;
        fs::rename(&partial, to)
    };
    write().with_context(|| format!("cannot write {}", to.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_equal_object_is_left_alone() {
        let directory = std::env::temp_dir().join(format!("xtask-{}", std::process::id()));
        let (from, to) = (directory.join("from"), directory.join("below/to.o"));
        fs::create_dir_all(&directory).unwrap();
        fs::write(&from, "one").unwrap();
        replace_if_changed(&from, &to).unwrap();
        assert_eq!(fs::read(&to).unwrap(), b"one");

        let read_only = fs::metadata(&to).unwrap().modified().unwrap();
        replace_if_changed(&from, &to).unwrap();
        assert_eq!(fs::metadata(&to).unwrap().modified().unwrap(), read_only);

        fs::write(&from, "two").unwrap();
        replace_if_changed(&from, &to).unwrap();
        assert_eq!(fs::read(&to).unwrap(), b"two");
        assert_eq!(
            fs::read_dir(to.parent().unwrap()).unwrap().count(),
            1,
            "no partial file is left"
        );
        fs::remove_dir_all(&directory).unwrap();
    }
}
