//! Packages on Debian and its kin.

use std::{collections::BTreeMap, fs, process::Command};

use anyhow::{Context as _, Result};

use crate::{
    process::{self, Log},
    version::{self, Version},
};

/// Installs the packages `$@` and starts no daemon with it: keepalived's
/// package would. A `policy-rc.d` of the machine's own stays as it is; ours
/// goes away however the shell ends, and one that a killed run of ours left
/// behind is known by its mark.
const INSTALL: &str = r#"
policy=/usr/sbin/policy-rc.d
mark='made by cargo xtask setup'
if [ -f "$policy" ] && grep -q "$mark" "$policy"; then rm -f "$policy"; fi
if [ ! -e "$policy" ]; then
    trap 'rm -f "$policy"' EXIT
    trap 'exit 129' HUP
    trap 'exit 130' INT
    trap 'exit 143' TERM
    printf '#!/bin/sh\n# %s: start nothing that is being installed\nexit 101\n' "$mark" >"$policy"
    chmod 755 "$policy"
fi
apt-get install --yes --no-install-recommends --no-remove -o DPkg::Lock::Timeout=120 "$@"
"#;

/// Whether this is Debian or a system made from it.
pub(crate) fn is_here() -> bool {
    let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
    is_debian(&release) && process::find("apt-get").is_some()
}

fn is_debian(os_release: &str) -> bool {
    os_release.lines().any(|line| {
        line.strip_prefix("ID=")
            .or_else(|| line.strip_prefix("ID_LIKE="))
            .is_some_and(|value| {
                value
                    .trim_matches('"')
                    .split(' ')
                    .any(|name| matches!(name, "debian" | "ubuntu"))
            })
    })
}

/// Fetches the lists of packages.
///
/// # Errors
/// If `apt-get update` fails.
pub(crate) fn update(log: &mut Log) -> Result<()> {
    let mut command = Command::new("apt-get");
    command.args(["update", "-o", "DPkg::Lock::Timeout=120"]);
    log.run("fetching Debian's package lists", &mut command)
}

/// The version that apt would install of each package it knows.
///
/// # Errors
/// If `apt-cache` fails.
pub(crate) fn candidates(packages: &[&str]) -> Result<BTreeMap<String, Version>> {
    let policy = process::output(
        Command::new("apt-cache")
            .arg("policy")
            .args(packages)
            .env("LC_ALL", "C"),
    )
    .context("cannot ask apt for its candidates")?;
    Ok(version::of_candidates(&policy).into_iter().collect())
}

/// Installs packages without a question and without starting anything.
///
/// # Errors
/// If apt fails, or would have to remove a package.
pub(crate) fn install(packages: &[&str], log: &mut Log) -> Result<()> {
    let mut command = Command::new("sh");
    command
        .args(["-c", INSTALL, "install"])
        .args(packages)
        .env("DEBIAN_FRONTEND", "noninteractive");
    let what = format!("installing Debian packages ({})", packages.join(" "));
    log.run(&what, &mut command)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debian_and_its_kin_are_known() {
        assert!(is_debian(
            "PRETTY_NAME=\"Debian GNU/Linux 12\"\nID=debian\n"
        ));
        assert!(is_debian("ID=ubuntu\nID_LIKE=debian\n"));
        assert!(is_debian("ID=linuxmint\nID_LIKE=\"ubuntu debian\"\n"));
        assert!(!is_debian("ID=fedora\nNAME=\"not debian\"\n"));
        assert!(!is_debian(
            "ID=\"opensuse-tumbleweed\"\nID_LIKE=\"opensuse suse\"\n"
        ));
    }
}
