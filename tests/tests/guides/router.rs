//! Who runs a guide: keepalived, or Harrier with the same file, or Harrier with
//! the TOML beside it.

use std::{
    fmt, thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use ha_tests::{
    daemon::{self, Harrier},
    machine::{ETC, Machine},
    process::Process,
};
use rustix::process::Signal;

/// Span between two looks at what a router says.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// The daemon under test, and what it is given.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Peer {
    /// Debian's keepalived with `keepalived.conf`.
    Keepalived,
    /// Harrier with the same `keepalived.conf`.
    HarrierFile,
    /// Harrier with `harrier.toml`.
    HarrierToml,
}

impl Peer {
    pub(crate) const ALL: &[Self] = &[Self::Keepalived, Self::HarrierFile, Self::HarrierToml];

    /// Where its configuration is on a machine, `stem` being `keepalived` or what
    /// else there is.
    pub(crate) fn config(self, stem: &str) -> String {
        match (self, stem) {
            (Self::HarrierToml, "keepalived") => format!("{ETC}/harrier.toml"),
            (Self::HarrierToml, _) => format!("{ETC}/{stem}.toml"),
            (Self::Keepalived | Self::HarrierFile, _) => format!("{ETC}/{stem}.conf"),
        }
    }

    /// Whether it has commands of its own.
    pub(crate) fn is_harrier(self) -> bool {
        self != Self::Keepalived
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Keepalived => "keepalived",
            Self::HarrierFile => "Harrier, guide's file",
            Self::HarrierToml => "Harrier, TOML",
        })
    }
}

/// A running one.
#[derive(Debug)]
pub(crate) enum Router {
    Keepalived { process: Process, log_from: usize },
    Harrier(Harrier),
}

impl Router {
    /// Starts `peer` on `machine` with the file called `stem` in its
    /// `/etc/keepalived`: `keepalived` or what else there is.
    pub(crate) fn start(peer: Peer, machine: &Machine, stem: &str) -> Result<Self> {
        let directory = machine.shared_directory("router")?;
        if peer == Peer::Keepalived {
            for pid in ["keepalived.pid", "vrrp.pid"] {
                let _ = std::fs::remove_file(directory.join(pid));
            }
            let mut command = machine.command("keepalived");
            command
                .args(["--dont-fork", "--log-console", "--log-detail", "--vrrp"])
                .args(["--use-file", &peer.config(stem)])
                .arg("--pid")
                .arg(directory.join("keepalived.pid"))
                .arg("--vrrp_pid")
                .arg(directory.join("vrrp.pid"));
            // What stands before is a predecessor's.
            let log_from = std::fs::read(machine.log("keepalived")).map_or(0, |log| log.len());
            let process = machine.start("keepalived", &mut command)?;
            return Ok(Self::Keepalived { process, log_from });
        }
        let config = peer.config(stem);
        let mut command = machine.command(daemon::binary()?);
        command.args(["run", "--config", &config, "--runtime-dir"]);
        command.arg(directory.join("run"));
        let process = machine.start("harrier", &mut command)?;
        Ok(Self::Harrier(Harrier::around(
            process,
            directory.join("run"),
        )))
    }

    fn process(&mut self) -> &mut Process {
        match self {
            Self::Keepalived { process, .. } => process,
            Self::Harrier(harrier) => &mut harrier.process,
        }
    }

    /// The state of `instance` in keepalived's words; `None` before it has one.
    pub(crate) fn state(&mut self, instance: &str) -> Result<Option<String>> {
        match self {
            Self::Keepalived { process, log_from } => {
                let log = process.log();
                let log = log.get(*log_from..).unwrap_or_default();
                Ok(log
                    .rsplit_once(&format!("({instance}) Entering "))
                    .and_then(|(_, after)| after.split_whitespace().next())
                    .map(str::to_owned))
            }
            Self::Harrier(harrier) => {
                if let Some(status) = harrier.process.ended()? {
                    bail!("harrier ended with {status}:\n{}", harrier.process.log());
                }
                let Some(status) = harrier.status()? else {
                    return Ok(None);
                };
                let found = status.instances.iter().find(|its| its.name == instance);
                let found = found.with_context(|| format!("no instance {instance}"))?;
                Ok(match found.state.as_str() {
                    "active" | "releasing" => Some("MASTER"),
                    "backup" => Some("BACKUP"),
                    "fault" => Some("FAULT"),
                    _ => None,
                }
                .map(str::to_owned))
            }
        }
    }

    /// Waits until `instance` is in `state`: `MASTER`, `BACKUP` or `FAULT`.
    pub(crate) fn await_state(
        &mut self,
        instance: &str,
        state: &str,
        timeout: Duration,
    ) -> Result<()> {
        let give_up_at = Instant::now() + timeout;
        loop {
            let found = self.state(instance)?;
            if found.as_deref() == Some(state) {
                return Ok(());
            }
            ensure!(
                Instant::now() < give_up_at,
                "{instance} is in {found:?}, not in {state}"
            );
            thread::sleep(LOOK_EVERY);
        }
    }

    /// SIGTERM, as `service keepalived stop` and `pkill keepalived`.
    pub(crate) fn stop(&mut self) -> Result<()> {
        self.process().signal(Signal::TERM)?;
        self.process().await_end(Duration::from_secs(30)).map(drop)
    }

    /// SIGHUP, as `service keepalived reload`.
    pub(crate) fn reload(&mut self) -> Result<()> {
        self.process().signal(Signal::HUP)
    }

    /// SIGKILL to all of it, as when the host dies.
    pub(crate) fn kill(&mut self) -> Result<()> {
        self.process().kill()
    }

    /// Runs `harrier` with `arguments` and this daemon's runtime directory;
    /// what it printed.
    pub(crate) fn command(&self, arguments: &[&str]) -> Result<String> {
        let Self::Harrier(harrier) = self else {
            bail!("keepalived has no commands");
        };
        let mut command = std::process::Command::new(daemon::binary()?);
        command
            .args(arguments)
            .arg("--runtime-dir")
            .arg(harrier.runtime_directory());
        ha_tests::command::checked(&mut command, "")
    }
}
