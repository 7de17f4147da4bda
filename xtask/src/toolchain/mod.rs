//! What builds the kernel program, in two ways:
//!
//! - [`Route::Debian`]: Debian's `rustc-web`, which comes with a built `core`
//!   for the kernel's target, and a `bpf-linker` built with Debian's LLVM
//! - [`Route::Nightly`]: rustup's nightly with `rust-src`, which builds `core`
//!   itself, and any `bpf-linker` whose LLVM is not older than rustc's
//!
//! [`probe`] finds out what is there; [`plan`] decides, without touching
//! anything, what to use or what to install.

use std::{collections::BTreeMap, fmt, path::PathBuf, process::Command};

use crate::{
    environment,
    tools::Tool,
    version::Version,
    workspace::{self, Workspace},
};

pub(crate) mod plan;
pub(crate) mod probe;

/// The kernel program's target: BPF, little endian.
pub(crate) const TARGET: &str = "bpfel-unknown-none";

/// The oldest rustc that compiles Harrier: `rust-version` in the workspace's manifest.
pub(crate) const OLDEST_RUSTC: Version = Version::new(1, 88, 0);

/// The oldest `bpf-linker` that Harrier is known to link with, and the one that is installed.
pub(crate) const LINKER: Version = Version::new(0, 13, 0);

/// The major version of the LLVM that Debian's `rustc-web` uses.
pub(crate) const DEBIAN_LLVM: u32 = 22;

/// Where Debian installs that LLVM.
pub(crate) const DEBIAN_LLVM_PREFIX: &str = "/usr/lib/llvm-22";

/// Debian's rustc. Rustup's is found first in `PATH`, hence in full.
pub(crate) const DEBIAN_RUSTC: &str = "/usr/bin/rustc";

/// A compiler that could build the kernel program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Compiler {
    pub(crate) version: Version,
    /// The version of its LLVM.
    pub(crate) llvm: Version,
    /// Whether it has what makes `core` for the kernel's target: the built
    /// library (Debian) or its sources (nightly).
    pub(crate) core: bool,
}

/// A `bpf-linker`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Linker {
    pub(crate) path: PathBuf,
    /// What running it told, or why it does not run.
    pub(crate) version: Result<Version, String>,
    /// The major version of its LLVM, where that can be found out.
    pub(crate) llvm: Option<u32>,
}

/// What this machine has.
#[derive(Clone, Debug, Default)]
pub(crate) struct Findings {
    /// Whether we are root.
    pub(crate) root: bool,
    /// Whether the system is Debian or its kin.
    pub(crate) debian: bool,
    /// [`DEBIAN_RUSTC`], whoever put it there.
    pub(crate) system: Option<Compiler>,
    /// Whether Debian's clippy is there, for linting the kernel program.
    pub(crate) system_clippy: bool,
    /// Whether Debian's LLVM is there for linking against.
    pub(crate) llvm_dev: bool,
    /// Whether rustup is there.
    pub(crate) rustup: bool,
    /// Rustup's nightly toolchain.
    pub(crate) nightly: Option<Compiler>,
    /// Whether `cargo binstall` is there.
    pub(crate) binstall: bool,
    /// Each `bpf-linker`, in the order of `PATH`.
    pub(crate) linkers: Vec<Linker>,
    /// Test tools that are not installed.
    pub(crate) tools: Vec<Tool>,
    /// What apt would install; `None` as long as it was not asked.
    pub(crate) candidates: Option<BTreeMap<String, Version>>,
}

/// A way to build the kernel program, ready to use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    /// Debian's rustc with its built `core`.
    Debian {
        /// Debian's rustc.
        rustc: Version,
        /// The linker.
        linker: PathBuf,
    },
    /// Rustup's nightly, building `core`.
    Nightly {
        /// Nightly's rustc.
        rustc: Version,
        /// The linker.
        linker: PathBuf,
    },
}

impl Route {
    /// Cargo with `subcommand` for the kernel program, in the checkout's root.
    pub(crate) fn cargo(&self, workspace: &Workspace, subcommand: &str) -> Command {
        let (mut command, linker) = match self {
            Self::Debian { linker, .. } => {
                let mut command = if subcommand == "clippy" {
                    // Started as cargo would start it, with the driver of the same directory.
                    let mut command = Command::new(probe::DEBIAN_CARGO_CLIPPY);
                    command.arg("clippy");
                    command
                } else {
                    let mut command = Command::new(workspace::cargo());
                    command.arg(subcommand);
                    command
                };
                environment::for_kernel(&mut command);
                command
                    .env("CARGO", workspace::cargo())
                    .env("RUSTC", DEBIAN_RUSTC)
                    // aya-ebpf uses BPF's inline assembly, which is not stable yet.
                    .env("RUSTC_BOOTSTRAP", "1");
                (command, linker)
            }
            Self::Nightly { linker, .. } => {
                let mut command = Command::new("rustup");
                environment::for_kernel(&mut command);
                command.args(["run", "nightly", "cargo", subcommand, "-Zbuild-std=core"]);
                (command, linker)
            }
        };
        // Debug information is where the BTF comes from; the separator is cargo's.
        let flags = ["-Cdebuginfo=2", "-Clink-arg=--btf", "-Clinker="].join("\u{1f}");
        let mut flags = std::ffi::OsString::from(flags);
        flags.push(linker);
        command
            .current_dir(&workspace.root)
            .args(["--package", "ha-ebpf", "--release", "--target", TARGET])
            // A directory of its own: builds for this machine hold the lock of theirs.
            .arg("--target-dir")
            .arg(workspace.target.join("ebpf"))
            .env("CARGO_ENCODED_RUSTFLAGS", flags);
        command
    }
}

impl fmt::Display for Route {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Debian { rustc, linker } => {
                write!(formatter, "Debian's rustc {rustc}, {}", linker.display())
            }
            Self::Nightly { rustc, linker } => {
                write!(formatter, "rustup's nightly {rustc}, {}", linker.display())
            }
        }
    }
}
