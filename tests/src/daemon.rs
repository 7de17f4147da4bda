//! Harrier on a node.

use std::{
    collections::BTreeMap,
    env,
    fmt::Write as _,
    fs,
    net::IpAddr,
    path::{Path, PathBuf},
    process::{Command, ExitStatus, Output},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use rustix::process::Signal;
use serde::Deserialize;

use crate::{
    command,
    lab::{Host, INTERFACE, Lab},
    netns::Netns,
    process::Process,
};

/// Span between two looks at a daemon's status, which offers no event.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// The virtual router to configure, for Harrier and for keepalived.
#[derive(Clone, Debug)]
pub struct Instance {
    /// Its name.
    pub name: String,
    /// Interface of the node.
    pub interface: String,
    /// Virtual router identifier.
    pub vrid: u8,
    /// Priority.
    pub priority: u8,
    /// 2 or 3.
    pub version: u8,
    /// Advertisement interval.
    pub advert_interval: Duration,
    /// Whether to preempt a router of lower priority.
    pub preempt: bool,
    /// Version 2: simple text password.
    pub password: Option<&'static str>,
    /// Own address and those of the peers, if not by multicast.
    pub unicast: Option<(IpAddr, Vec<IpAddr>)>,
    /// Virtual addresses with prefix lengths.
    pub addresses: Vec<String>,
    /// Addresses that follow without being advertised.
    pub excluded: Vec<String>,
    /// `ipv4` or `ipv6`, said only where there are no addresses.
    pub family: Option<&'static str>,
    /// Further lines of Harrier's configuration; keepalived does not get them.
    pub extra: String,
}

impl Instance {
    /// Version 3, VRID 51, 100 ms, preempting, at `eth0`.
    #[must_use]
    pub fn new(priority: u8, addresses: &[&str]) -> Self {
        Self {
            name: "web".to_owned(),
            interface: INTERFACE.to_owned(),
            vrid: 51,
            priority,
            version: 3,
            advert_interval: Duration::from_millis(100),
            preempt: true,
            password: None,
            unicast: None,
            addresses: addresses
                .iter()
                .map(|&address| address.to_owned())
                .collect(),
            excluded: Vec::new(),
            family: None,
            extra: String::new(),
        }
    }

    /// The same with further `lines` in Harrier's configuration.
    #[must_use]
    pub fn with(mut self, lines: &str) -> Self {
        self.extra.push_str(lines);
        self.extra.push('\n');
        self
    }

    /// Its table in Harrier's configuration.
    #[must_use]
    pub fn to_toml(&self) -> String {
        let Self {
            name,
            interface,
            vrid,
            priority,
            version,
            preempt,
            addresses,
            ..
        } = self;
        let interval = self.advert_interval.as_millis();
        let mut text = format!(
            "[[instance]]\nname = \"{name}\"\ninterface = \"{interface}\"\nvrid = {vrid}\n\
             priority = {priority}\nversion = {version}\nadvert_interval = \"{interval}ms\"\n\
             preempt = {preempt}\naddresses = {addresses:?}\n"
        );
        if !self.excluded.is_empty() {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "excluded_addresses = {:?}", self.excluded);
        }
        if let Some(password) = self.password {
            let _ = writeln!(text, "password = {password:?}");
        }
        if let Some((source, peers)) = &self.unicast {
            let peers: Vec<String> = peers.iter().map(ToString::to_string).collect();
            let _ = writeln!(
                text,
                "unicast = {{ source = \"{source}\", peers = {peers:?} }}"
            );
        }
        if let Some(family) = self.family {
            let _ = writeln!(text, "family = \"{family}\"");
        }
        text.push_str(&self.extra);
        text
    }
}

/// What `harrier status --json` says.
#[derive(Clone, Debug, Deserialize)]
pub struct Status {
    /// One per instance, in the order of the configuration.
    pub instances: Vec<InstanceStatus>,
    /// One per health check, in the order of the configuration.
    #[serde(default)]
    pub checks: Vec<CheckStatus>,
}

/// One health check of [`Status`].
#[derive(Clone, Debug, Deserialize)]
pub struct CheckStatus {
    /// Its name.
    pub name: String,
    /// Its kind.
    pub kind: String,
    /// `pending`, `passing`, `failing` or `value`.
    pub state: String,
    /// The number, if it is one.
    pub value: Option<i32>,
    /// What the last round said.
    pub text: Option<String>,
    /// Rounds since the start.
    pub rounds: u64,
    /// How many of them failed.
    pub failures: u64,
    /// Rounds that were left out.
    pub skipped: u64,
}

/// One instance of [`Status`].
#[derive(Clone, Debug, Deserialize)]
pub struct InstanceStatus {
    /// Its name.
    pub name: String,
    /// Interface.
    pub interface: String,
    /// Virtual router identifier.
    pub vrid: u8,
    /// Address family, as the daemon spells it.
    pub family: serde_json::Value,
    /// 2 or 3.
    pub version: u8,
    /// `init`, `backup`, `active`, `releasing` or `fault`.
    pub state: String,
    /// Configured priority.
    pub base_priority: u8,
    /// Effective priority.
    pub priority: u8,
    /// Own advertisement interval, in milliseconds.
    pub advert_interval_ms: f64,
    /// Active_Down_Interval in force, in milliseconds.
    pub active_down_interval_ms: f64,
    /// Virtual addresses.
    pub addresses: Vec<String>,
    /// Milliseconds in the present state.
    pub since_ms: f64,
    /// State changes since the start.
    pub transitions: u64,
    /// Address of the current Active router.
    pub active: Option<String>,
    /// Why it entered the state.
    pub last_transition: Option<String>,
    /// Whether another router is to have the addresses.
    #[serde(default)]
    pub drained: bool,
    /// Why it cannot take part.
    pub problem: Option<String>,
    /// What is wrong between it and other routers.
    pub conflicts: Vec<Conflict>,
}

/// One conflict of [`InstanceStatus`].
#[derive(Clone, Debug, Deserialize)]
pub struct Conflict {
    /// What it is about.
    pub kind: String,
    /// The other router's address.
    pub address: String,
    /// Its link-layer address.
    pub mac: String,
    /// What is wrong and what to do.
    pub text: String,
    /// How often it was noticed.
    pub times: u64,
}

/// One entry of `harrier peers --json`.
#[derive(Clone, Debug, Deserialize)]
pub struct Peer {
    /// The instance that it takes part in.
    pub instance: String,
    /// Its primary address.
    pub address: String,
    /// Source MAC of its advertisements.
    pub mac: String,
    /// Priority of the last one.
    pub priority: u8,
    /// 2 or 3.
    pub version: u8,
    /// Advertised interval, in milliseconds.
    pub advert_interval_ms: f64,
    /// Advertisements since it was admitted.
    pub adverts: u64,
    /// Age of the last one, in milliseconds.
    pub last_advert_age_ms: f64,
}

/// The binary under test: `HARRIER_BIN`, or the one next to the test binary's
/// directory, or in `target/release`.
///
/// # Errors
/// If there is none, with the command that builds it.
pub fn binary() -> Result<PathBuf> {
    if let Some(path) = env::var_os("HARRIER_BIN").map(PathBuf::from) {
        ensure!(
            path.is_file(),
            "HARRIER_BIN is {}, which is no file",
            path.display()
        );
        return Ok(path);
    }
    let own = env::current_exe().context("cannot tell where this program is")?;
    // target/PROFILE/harrier-demo or target/PROFILE/deps/SUITE-HASH.
    let candidates: Vec<PathBuf> = own
        .ancestors()
        .skip(1)
        .take(3)
        .flat_map(|directory| [directory.join("harrier"), directory.join("release/harrier")])
        .collect();
    candidates
        .into_iter()
        .find(|candidate| candidate.is_file())
        .context(
            "there is no `harrier` to test: use `cargo xtask test` or `cargo xtask demo`, which \
         build it, or say where it is in HARRIER_BIN",
        )
}

/// A running daemon.
#[derive(Debug)]
pub struct Harrier {
    /// Its process.
    pub process: Process,
    runtime_directory: PathBuf,
}

impl Harrier {
    /// Starts Harrier on `host` with `instances`; returns without waiting for
    /// it to be ready.
    ///
    /// # Errors
    /// If there is no binary or it cannot be started.
    pub fn start(lab: &Lab, host: &Host, instances: &[Instance]) -> Result<Self> {
        let text: String = instances
            .iter()
            .map(Instance::to_toml)
            .collect::<Vec<_>>()
            .join("\n");
        Self::start_with(lab, host, &host.name, &text)
    }

    /// Starts Harrier on `host` with the configuration `text`; files and runtime
    /// directory go below the run's directory `name`.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn start_with(lab: &Lab, host: &Host, name: &str, text: &str) -> Result<Self> {
        let (mut command, runtime_directory) = run_command(lab, host, name, text)?;
        let log = lab.directory(name)?.join("log");
        let process = Process::start(format!("harrier on {}", host.name), &mut command, log)?;
        Ok(Self {
            process,
            runtime_directory,
        })
    }

    /// Starts Harrier on `host` with `instances` by way of `wrapper`, a command
    /// that runs the command at its end, for example with fewer privileges.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn start_by(
        lab: &Lab,
        host: &Host,
        wrapper: &[&str],
        instances: &[Instance],
    ) -> Result<Self> {
        let text: String = instances.iter().map(Instance::to_toml).collect();
        let (direct, runtime_directory) = run_command(lab, host, &host.name, &text)?;
        let (program, arguments) = wrapper.split_first().context("an empty wrapper")?;
        let mut command = host.netns.command(program);
        command.args(arguments);
        command.arg(direct.get_program()).args(direct.get_args());
        let log = lab.directory(&host.name)?.join("log");
        let process = Process::start(format!("harrier on {}", host.name), &mut command, log)?;
        Ok(Self {
            process,
            runtime_directory,
        })
    }

    /// The daemon that runs as `process` with `runtime_directory`: for those that
    /// are started in another way than here.
    #[must_use]
    pub fn around(process: Process, runtime_directory: PathBuf) -> Self {
        Self {
            process,
            runtime_directory,
        }
    }

    /// Its runtime directory.
    #[must_use]
    pub fn runtime_directory(&self) -> &Path {
        &self.runtime_directory
    }

    fn ask(&self, subcommand: &str) -> Result<Output> {
        let mut command = Command::new(binary()?);
        command
            .args([subcommand, "--json", "--runtime-dir"])
            .arg(&self.runtime_directory);
        command::output(&mut command, "")
    }

    /// Runs `harrier` with `arguments` for this daemon, to its end.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn command(&self, arguments: &[&str]) -> Result<Output> {
        let mut command = Command::new(binary()?);
        command
            .args(arguments)
            .arg("--runtime-dir")
            .arg(&self.runtime_directory);
        command::output(&mut command, "")
    }

    /// The configuration file that it was started with.
    #[must_use]
    pub fn config_path(&self) -> PathBuf {
        self.runtime_directory.with_file_name("harrier.toml")
    }

    /// Has it go over to the configuration `text`; returns what it says has changed.
    ///
    /// # Errors
    /// If it refuses.
    pub fn reload(&self, text: &str) -> Result<String> {
        let path = self.config_path();
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
        let out = self.command(&["reload"])?;
        ensure!(
            out.status.success(),
            "reload: {}",
            String::from_utf8_lossy(&out.stderr)
        );
        Ok(String::from_utf8_lossy(&out.stdout).into_owned())
    }

    /// Its status; `None` while nobody answers at its control socket.
    ///
    /// # Errors
    /// If the answer is not what the contract says.
    pub fn status(&self) -> Result<Option<Status>> {
        let out = self.ask("status")?;
        if !out.status.success() {
            return Ok(None);
        }
        serde_json::from_slice(&out.stdout)
            .map(Some)
            .with_context(|| format!("status says {}", String::from_utf8_lossy(&out.stdout)))
    }

    /// Its peers.
    ///
    /// # Errors
    /// If it does not answer, or not what the contract says.
    pub fn peers(&self) -> Result<Vec<Peer>> {
        let out = self.ask("peers")?;
        ensure!(
            out.status.success(),
            "peers: {}",
            String::from_utf8_lossy(&out.stderr)
        );
        serde_json::from_slice(&out.stdout)
            .with_context(|| format!("peers says {}", String::from_utf8_lossy(&out.stdout)))
    }

    /// Its counters by name (`harrier counters`): packets since the start.
    ///
    /// # Errors
    /// If it does not answer, or not what the contract says.
    pub fn counters(&self) -> Result<BTreeMap<String, u64>> {
        let out = self.ask("counters")?;
        ensure!(
            out.status.success(),
            "counters: {}",
            String::from_utf8_lossy(&out.stderr)
        );
        serde_json::from_slice(&out.stdout)
            .with_context(|| format!("counters says {}", String::from_utf8_lossy(&out.stdout)))
    }

    /// Waits until `instance` is in `state` (`active`, `backup`, …).
    ///
    /// # Errors
    /// If the daemon ends or `timeout` passes first.
    pub fn await_state(
        &mut self,
        instance: &str,
        state: &str,
        timeout: Duration,
    ) -> Result<InstanceStatus> {
        self.await_status(&format!("{instance} {state}"), timeout, |status| {
            status
                .instances
                .iter()
                .find(|status| status.name == instance && status.state == state)
                .cloned()
        })
    }

    /// Waits until `wanted` finds what it looks for in the status.
    ///
    /// # Errors
    /// If the daemon ends or `timeout` passes first.
    pub fn await_status<T>(
        &mut self,
        what: &str,
        timeout: Duration,
        mut wanted: impl FnMut(&Status) -> Option<T>,
    ) -> Result<T> {
        let give_up_at = Instant::now() + timeout;
        loop {
            if let Some(status) = self.process.ended()? {
                bail!(
                    "harrier ended with {status} while awaiting {what}:\n{}",
                    self.process.log()
                );
            }
            let status = self.status()?;
            if let Some(found) = status.as_ref().and_then(&mut wanted) {
                return Ok(found);
            }
            if Instant::now() > give_up_at {
                bail!("{what}: not within {timeout:?}; status is {status:#?}");
            }
            thread::sleep(LOOK_EVERY);
        }
    }

    /// SIGTERM, which is to end it with status 0.
    ///
    /// # Errors
    /// If it does not end within 10 s, or with another status.
    pub fn stop(&mut self) -> Result<()> {
        self.process.signal(Signal::TERM)?;
        let status = self.process.await_end(Duration::from_secs(10))?;
        ensure!(status.success(), "a clean stop ended with {status}");
        Ok(())
    }
}

/// Writes the configuration `text` and returns the command that runs Harrier on
/// `host` with it, and the runtime directory that it will use.
///
/// # Errors
/// If there is no binary or the file cannot be written.
pub fn run_command(lab: &Lab, host: &Host, name: &str, text: &str) -> Result<(Command, PathBuf)> {
    run_command_in(&host.netns, &lab.directory(name)?, text)
}

/// As [`run_command`], in any namespace, with files and runtime directory below
/// `directory`.
///
/// # Errors
/// As [`run_command`].
pub fn run_command_in(netns: &Netns, directory: &Path, text: &str) -> Result<(Command, PathBuf)> {
    let config = directory.join("harrier.toml");
    fs::write(&config, text).with_context(|| format!("cannot write {}", config.display()))?;
    let runtime_directory = directory.join("run");
    let mut command = netns.command(binary()?);
    command.arg("run").arg("--config").arg(&config);
    command.arg("--runtime-dir").arg(&runtime_directory);
    Ok((command, runtime_directory))
}

/// Runs the command of [`run_command`] to its end, which is to be a failure,
/// and returns its status and what it printed.
///
/// # Errors
/// If it still runs after 10 s.
pub fn run_to_failure(mut command: Command, log: PathBuf) -> Result<(ExitStatus, String)> {
    let mut process = Process::start("harrier", &mut command, log)?;
    let status = process.await_end(Duration::from_secs(10))?;
    Ok((status, process.log()))
}
