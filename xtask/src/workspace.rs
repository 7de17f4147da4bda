//! Where things are in the checkout.

use std::{
    env,
    ffi::OsString,
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, ensure};

/// The checkout and its build directory.
pub(crate) struct Workspace {
    /// The directory of the workspace's `Cargo.toml`.
    pub(crate) root: PathBuf,
    /// Where cargo builds: `CARGO_TARGET_DIR`, or `target` in the checkout.
    pub(crate) target: PathBuf,
}

impl Workspace {
    /// The workspace that `cargo xtask` was started from.
    ///
    /// # Errors
    /// If the directory is gone.
    pub(crate) fn find() -> Result<Self> {
        // `cargo run` sets the variable; a binary started directly knows where it was built.
        let manifest = env::var_os("CARGO_MANIFEST_DIR")
            .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
        let root = manifest
            .parent()
            .context("xtask's manifest has no directory above it")?
            .to_path_buf();
        ensure!(
            root.join("ha-ebpf/Cargo.toml").is_file(),
            "{} is not Harrier's checkout: run `cargo xtask` inside it",
            root.display()
        );
        let target = ["CARGO_TARGET_DIR", "CARGO_BUILD_TARGET_DIR"]
            .into_iter()
            .find_map(env::var_os)
            .map_or_else(|| Ok(root.join("target")), std::path::absolute)
            .context("cannot make the target directory's path absolute")?;
        Ok(Self { root, target })
    }

    /// The kernel object that the daemon embeds. The place is fixed, whatever
    /// `CARGO_TARGET_DIR` says: `ha-user`'s build script must find it.
    pub(crate) fn object(&self) -> PathBuf {
        self.root.join("target/bpf/harrier.bpf.o")
    }

    /// Where the output of quiet children goes.
    pub(crate) fn setup_log(&self) -> PathBuf {
        self.root.join("target/xtask/setup.log")
    }

    /// A binary of the release build.
    pub(crate) fn release_binary(&self, name: &str) -> PathBuf {
        self.target.join("release").join(name)
    }

    /// Cargo with a subcommand that builds for this machine, in the checkout's root.
    pub(crate) fn cargo(&self, subcommand: &str) -> Command {
        let mut command = Command::new(cargo());
        command
            .current_dir(&self.root)
            .arg(subcommand)
            .env("CARGO_TARGET_DIR", &self.target);
        command
    }
}

/// The cargo that started us, else the one in `PATH`.
pub(crate) fn cargo() -> OsString {
    env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

/// Where `cargo install` puts programs.
pub(crate) fn cargo_bin() -> Option<PathBuf> {
    env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| env::var_os("HOME").map(|home| Path::new(&home).join(".cargo")))
        .map(|home| home.join("bin"))
}

/// Whether we run as root.
///
/// # Errors
/// If `/proc` is not mounted.
pub(crate) fn is_root() -> Result<bool> {
    // The owner of a process's directory in /proc is its effective user.
    let owner = fs::metadata("/proc/self").context("cannot read /proc/self")?;
    Ok(owner.uid() == 0)
}
