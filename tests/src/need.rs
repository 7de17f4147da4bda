//! What a suite needs of the machine. A lack is a failure with its remedy: a
//! test that is skipped in silence proves nothing.

use std::{env, path::PathBuf};

use anyhow::{Result, bail, ensure};

/// The Debian package that brings each tool of [`tools`].
const PACKAGES: &[(&str, &str)] = &[
    ("ip", "iproute2"),
    ("bridge", "iproute2"),
    ("bpftool", "bpftool"),
    ("keepalived", "keepalived"),
    ("nft", "nftables"),
    ("vtysh", "frr"),
    ("nginx", "nginx"),
    ("haproxy", "haproxy"),
    ("curl", "curl"),
    ("ethtool", "ethtool"),
    ("ping", "iputils-ping"),
    ("pidof", "sysvinit-utils"),
    ("pkill", "procps"),
    ("tshark", "tshark"),
    ("strace", "strace"),
    ("setpriv", "util-linux"),
    ("unshare", "util-linux"),
    ("mount", "mount"),
    ("umount", "mount"),
    ("openssl", "openssl"),
];

/// Root, which network namespaces and XDP need.
///
/// # Errors
/// If the process is not root.
pub fn root() -> Result<()> {
    ensure!(
        rustix::process::geteuid().is_root(),
        "this needs root, for network namespaces and XDP: run it as root or with sudo"
    );
    Ok(())
}

/// Where `name` is, in `PATH` or one of the system directories that an
/// unprivileged `PATH` leaves out.
#[must_use]
pub fn find(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin", "/usr/bin"].map(PathBuf::from))
        .map(|directory| directory.join(name))
        .find(|candidate| candidate.is_file())
}

/// Every tool of `names`.
///
/// # Errors
/// Names the first that is missing, with the package that has it.
pub fn tools(names: &[&str]) -> Result<()> {
    for name in names {
        if find(name).is_none() {
            let package = PACKAGES
                .iter()
                .find(|(tool, _)| tool == name)
                .map_or(*name, |(_, package)| package);
            bail!(
                "`{name}` is not installed: run `cargo xtask setup`, or on Debian and Ubuntu \
                 `apt-get install {package}`"
            );
        }
    }
    Ok(())
}
