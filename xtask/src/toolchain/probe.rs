//! Finding out what this machine has, by running it.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::Result;

use super::{Compiler, DEBIAN_LLVM_PREFIX, DEBIAN_RUSTC, Findings, Linker, TARGET, plan};
use crate::{
    debian, environment,
    process::{find, find_all, output},
    tools,
    version::{self, Version},
    workspace,
};

/// Debian's clippy.
pub(crate) const DEBIAN_CARGO_CLIPPY: &str = "/usr/bin/cargo-clippy";
const DEBIAN_CLIPPY_DRIVER: &str = "/usr/bin/clippy-driver";

/// What this machine has.
///
/// # Errors
/// If `/proc` is not mounted. A tool that is missing or broken is a finding.
pub(crate) fn findings() -> Result<Findings> {
    let mut findings = Findings {
        root: workspace::is_root()?,
        debian: debian::is_here(),
        system: system_compiler(),
        // The path of a clippy must be Debian's, not a link to rustup.
        system_clippy: [DEBIAN_CARGO_CLIPPY, DEBIAN_CLIPPY_DRIVER]
            .iter()
            .all(|path| Path::new(path).is_file()),
        llvm_dev: Path::new(DEBIAN_LLVM_PREFIX)
            .join("bin/llvm-config")
            .is_file(),
        linkers: find_all("bpf-linker").into_iter().map(linker).collect(),
        tools: tools::missing(),
        ..Findings::default()
    };
    // Asking rustup takes longer than all else, and is of use only without Debian's.
    if plan::debian_route(&findings).is_err() {
        findings.rustup = find("rustup").is_some();
        findings.nightly = findings.rustup.then(nightly).flatten();
        findings.binstall = find("cargo-binstall").is_some();
    }
    Ok(findings)
}

fn system_compiler() -> Option<Compiler> {
    let rustc = || {
        let mut command = Command::new(DEBIAN_RUSTC);
        environment::for_kernel(&mut command);
        command
    };
    compiler(rustc, &format!("rustlib/{TARGET}/lib"), |name| {
        name.starts_with("libcore-") && name.ends_with(".rlib")
    })
}

fn nightly() -> Option<Compiler> {
    let rustc = || {
        let mut command = Command::new("rustup");
        environment::for_kernel(&mut command);
        command.args(["run", "nightly", "rustc"]);
        command
    };
    compiler(rustc, "rustlib/src/rust/library", |name| name == "core")
}

/// A compiler that runs, with `core` if its `directory` has an entry that `is_core`.
fn compiler(
    rustc: impl Fn() -> Command,
    directory: &str,
    is_core: impl Fn(&str) -> bool,
) -> Option<Compiler> {
    let (version, llvm) = version::of_rustc(&output(rustc().arg("-vV")).ok()?)?;
    let sysroot = output(rustc().args(["--print", "sysroot"])).ok()?;
    let core =
        fs::read_dir(Path::new(sysroot.trim()).join("lib").join(directory)).is_ok_and(|entries| {
            entries
                .flatten()
                .any(|entry| entry.file_name().to_str().is_some_and(&is_core))
        });
    Some(Compiler {
        version,
        llvm,
        core,
    })
}

fn linker(path: PathBuf) -> Linker {
    let mut command = Command::new(&path);
    environment::for_kernel(&mut command);
    let version = output(command.arg("--version"))
        .map_err(|error| format!("{error:#}"))
        .and_then(|said| Version::find(&said).ok_or_else(|| "tells no version".to_owned()));
    let llvm = version
        .is_ok()
        .then(|| shared_llvm(&path).or_else(|| static_llvm(&path)))
        .flatten();
    Linker {
        path,
        version,
        llvm,
    }
}

fn shared_llvm(linker: &Path) -> Option<u32> {
    let mut command = Command::new("ldd");
    environment::for_kernel(&mut command);
    version::of_shared_llvm(&output(command.arg(linker)).ok()?)
}

/// LLVM in the program itself: it signs the bitcode that it writes, so its
/// signature is among the program's strings.
fn static_llvm(linker: &Path) -> Option<u32> {
    let mut command = Command::new("grep");
    command
        .env("LC_ALL", "C")
        .args(["-aoE", "-m1", r"LLVM[0-9]+\.[0-9]+\.[0-9]+"])
        .arg(linker);
    let signature = output(&mut command).ok()?;
    let version: Version = signature
        .lines()
        .next()?
        .strip_prefix("LLVM")?
        .parse()
        .ok()?;
    Some(version.major)
}
