//! A real keepalived on a node.

use std::{
    fs,
    path::Path,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use rustix::process::Signal;

use crate::{
    command,
    daemon::Instance,
    lab::{Host, Lab},
    need,
    netns::Netns,
    process::Process,
};

/// The macvlan that keepalived makes.
pub const VMAC: &str = "vmac";

/// Span between two looks at its log.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// What only keepalived knows of a virtual router.
#[derive(Clone, Copy, Default, Debug)]
pub struct Options {
    /// The virtual MAC address, on a macvlan of its own (`use_vmac`).
    pub virtual_mac: bool,
    /// Unicast over IPv4: the group in the checksum's pseudo-header, as before
    /// 1.3.6 (`old_unicast_checksum`).
    pub old_unicast_checksum: bool,
    /// TTL or hop limit of unicast advertisements (`unicast_ttl`); keepalived's own
    /// is 255 over IPv4 and the kernel's over IPv6.
    pub unicast_ttl: Option<u8>,
}

/// A running keepalived.
#[derive(Debug)]
pub struct Keepalived {
    /// Its process.
    pub process: Process,
    /// Length of the log when it was started: what stands before is a predecessor's.
    log_from: usize,
}

impl Keepalived {
    /// Starts keepalived on `host` with the same virtual router as `instance`.
    ///
    /// # Errors
    /// If keepalived is not installed or cannot be started.
    pub fn start(lab: &Lab, host: &Host, instance: &Instance) -> Result<Self> {
        Self::start_with(lab, host, instance, Options::default())
    }

    /// As [`start`](Self::start), with `options`.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn start_with(
        lab: &Lab,
        host: &Host,
        instance: &Instance,
        options: Options,
    ) -> Result<Self> {
        Self::start_text(lab, host, &configuration(instance, host.number, options))
    }

    /// Starts keepalived on `host` with the configuration `text`, and the host's
    /// name for lines with `@`.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn start_text(lab: &Lab, host: &Host, text: &str) -> Result<Self> {
        let directory = lab.directory(&format!("{}-keepalived", host.name))?;
        let mut command = run_command(&host.netns, &directory, &host.name, text)?;
        command.arg("--log-detail");
        let title = format!("keepalived on {}", host.name);
        let log = directory.join("log");
        let log_from = fs::read(&log).map_or(0, |log| log.len());
        let process = Process::start(title, &mut command, log)?;
        Ok(Self { process, log_from })
    }

    /// What it has logged since its start.
    #[must_use]
    pub fn log(&self) -> String {
        let log = self.process.log();
        log.get(self.log_from..).unwrap_or_default().to_owned()
    }

    /// The state that it said last that it entered: `MASTER`, `BACKUP` or
    /// `FAULT`; `None` before the first.
    #[must_use]
    pub fn state(&self) -> Option<String> {
        let log = self.log();
        let (_, after) = log.rsplit_once(" Entering ")?;
        after.split_whitespace().next().map(str::to_owned)
    }

    /// Waits until the state that it said last is `wanted`.
    ///
    /// # Errors
    /// If `timeout` passes first.
    pub fn await_state(&self, wanted: &str, timeout: Duration) -> Result<()> {
        let give_up_at = Instant::now() + timeout;
        loop {
            let state = self.state();
            if state.as_deref() == Some(wanted) {
                return Ok(());
            }
            ensure!(
                Instant::now() < give_up_at,
                "keepalived is in {state:?}, not in {wanted}"
            );
            thread::sleep(LOOK_EVERY);
        }
    }

    /// Ends it in order: priority 0 on the wire, addresses removed.
    ///
    /// # Errors
    /// If it does not end.
    pub fn stop(&mut self) -> Result<()> {
        self.process.signal(Signal::TERM)?;
        self.process.await_end(Duration::from_secs(10)).map(drop)
    }
}

/// The command that runs keepalived in `netns` with the configuration `text`, logging
/// to standard error; its files are below `directory`, and `id` is the host's name for
/// lines with `@`.
///
/// # Errors
/// If keepalived is not installed or a file cannot be written.
pub fn run_command(netns: &Netns, directory: &Path, id: &str, text: &str) -> Result<Command> {
    need::tools(&["keepalived"])?;
    let file = |name: &str| directory.join(name);
    // Of a predecessor that was killed: on a real host they go with the boot,
    // and keepalived takes whoever has such a number now for itself.
    for pid in ["keepalived.pid", "vrrp.pid"] {
        let _ = fs::remove_file(file(pid));
    }
    let config = file("keepalived.conf");
    fs::write(&config, text).with_context(|| format!("cannot write {}", config.display()))?;
    let mut command = netns.command("keepalived");
    command
        .args(["--dont-fork", "--log-console", "--vrrp"])
        .args(["--config-id", id])
        .arg("--use-file")
        .arg(&config)
        .arg("--pid")
        .arg(file("keepalived.pid"))
        .arg("--vrrp_pid")
        .arg(file("vrrp.pid"));
    Ok(command)
}

/// The version that it says it is.
///
/// # Errors
/// If it is not installed.
pub fn version() -> Result<String> {
    need::tools(&["keepalived"])?;
    // On standard error: Keepalived v2.2.7 (01/16,2022)
    let out = command::output(Command::new("keepalived").arg("--version"), "")?;
    let text = String::from_utf8_lossy(&out.stderr).into_owned();
    let word = text
        .split_whitespace()
        .nth(1)
        .and_then(|word| word.strip_prefix('v'));
    Ok(word.context("a version")?.to_owned())
}

fn configuration(instance: &Instance, router: u8, options: Options) -> String {
    format!(
        "global_defs {{\n    router_id node{router}\n    vrrp_version {}\n}}\n{}",
        instance.version,
        block(instance, options)
    )
}

/// The `vrrp_instance` block of `instance`. The version is global: what its
/// `version` says is not in it.
#[must_use]
pub fn block(instance: &Instance, options: Options) -> String {
    let interval = instance.advert_interval.as_secs_f64();
    let preempt = if instance.preempt {
        ""
    } else {
        "    nopreempt\n"
    };
    let mut own = String::new();
    if options.virtual_mac {
        own += &format!("    use_vmac {VMAC}\n");
        // It cannot send unicast from the macvlan.
        if instance.unicast.is_some() {
            own += "    vmac_xmit_base\n";
        }
    }
    if options.old_unicast_checksum {
        own += "    old_unicast_checksum\n";
    }
    if let Some(ttl) = options.unicast_ttl {
        own += &format!("    unicast_ttl {ttl}\n");
    }
    let authentication = instance.password.map_or_else(String::new, |password| {
        format!(
            "    authentication {{\n        auth_type PASS\n        auth_pass {password}\n    }}\n"
        )
    });
    let unicast = instance
        .unicast
        .as_ref()
        .map_or_else(String::new, |(source, peers)| {
            let peers: String = peers
                .iter()
                .map(|peer| format!("        {peer}\n"))
                .collect();
            format!("    unicast_src_ip {source}\n    unicast_peer {{\n{peers}    }}\n")
        });
    let lines = |addresses: &[String]| -> String {
        addresses
            .iter()
            .map(|address| format!("        {address}\n"))
            .collect()
    };
    let addresses = lines(&instance.addresses);
    let excluded = if instance.excluded.is_empty() {
        String::new()
    } else {
        format!(
            "    virtual_ipaddress_excluded {{\n{}    }}\n",
            lines(&instance.excluded)
        )
    };
    format!(
        "vrrp_instance {name} {{\n    state BACKUP\n    interface {interface}\n    \
         virtual_router_id {vrid}\n    priority {priority}\n    advert_int {interval}\n{preempt}\
         {own}{authentication}{unicast}    \
         virtual_ipaddress {{\n{addresses}    }}\n{excluded}}}\n",
        name = instance.name,
        interface = instance.interface,
        vrid = instance.vrid,
        priority = instance.priority,
    )
}
