//! Who is measured, and how each is set to the same work.

use std::{
    cell::Cell,
    fs,
    net::Ipv4Addr,
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use ha_common::time::Timestamp;
use rustix::process::Signal;
use serde::{Deserialize, Serialize};

use super::{
    console::Console,
    field::{Field, Node, network},
};
use crate::{
    clock, command,
    daemon::{self, Instance, Status},
    frr::{self, Frr, Place},
    keepalived,
    process::Process,
};

/// As many virtual routers as an interface gets; there are 255 identifiers.
pub const INSTANCES_PER_INTERFACE: usize = 250;

/// As many addresses as are advertised; the rest follows without (the length of a frame
/// ends at 365).
pub const ADVERTISED_ADDRESSES: usize = 200;

static STARTED: AtomicU32 = AtomicU32::new(0);

/// Who is measured.
#[derive(
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Debug,
    Serialize,
    Deserialize,
    clap::ValueEnum,
)]
#[serde(rename_all = "kebab-case")]
pub enum Contestant {
    /// Harrier as it comes.
    Harrier,
    /// keepalived as it comes.
    Keepalived,
    /// keepalived with `vrrp_rt_priority 50`, `vrrp_no_swap` and room in `vrrp_rlimit_rttime`.
    KeepalivedRealTime,
    /// FRR's vrrpd, as it comes.
    Frr,
}

impl Contestant {
    /// All of them, in the order in which they take turns.
    pub const ALL: [Self; 4] = [
        Self::Harrier,
        Self::Keepalived,
        Self::KeepalivedRealTime,
        Self::Frr,
    ];

    /// Both forms of keepalived, and Harrier.
    pub const WITHOUT_FRR: [Self; 3] = [Self::Harrier, Self::Keepalived, Self::KeepalivedRealTime];

    /// Its name for people.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::Harrier => "Harrier",
            Self::Keepalived => "keepalived",
            Self::KeepalivedRealTime => "keepalived, real-time",
            Self::Frr => "FRR vrrpd",
        }
    }

    /// Starts it on `node` of `field` with `workload`; it runs on the node's CPU. Returns
    /// without waiting for it to be ready.
    ///
    /// # Errors
    /// If it is not installed or cannot be started.
    pub fn start(
        self,
        field: &Field,
        node: &Node,
        workload: &Workload,
        settings: &Settings<'_>,
    ) -> Result<Running> {
        // Of its own each time: nobody is to find a predecessor's files.
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        let directory = field.directory(&format!("{}-{number}", node.name))?;
        let log = directory.join("log");
        let console = match settings.log {
            Log::File => None,
            Log::SlowConsole => Some(Console::at(&log)?),
        };
        let instances = workload.instances(node);
        let title = format!("{} on {}", self.title(), node.name);
        let started_at = Cell::new(clock::now());
        let start = |mut command: Command| {
            started_at.set(clock::now());
            let mut process = node.on_cpu(|| Process::start(title, &mut command, log))?;
            // A bench prints figures; whoever fails says what it logged.
            process.quiet();
            Ok::<_, anyhow::Error>(process)
        };
        let kind = match self {
            Self::Harrier => {
                let mut text = settings.harrier.to_owned();
                for instance in &instances {
                    text.push_str(&instance.to_toml());
                }
                let (command, runtime_directory) =
                    daemon::run_command_in(&node.netns, &directory, &text)?;
                Kind::Harrier(start(command)?, runtime_directory)
            }
            Self::Keepalived | Self::KeepalivedRealTime => {
                let text = self.keepalived_conf(node, &instances);
                let mut command =
                    keepalived::run_command(&node.netns, &directory, node.name, &text)?;
                // Where nobody listens at /dev/log, the C library writes what is meant for
                // syslog to /dev/console, which may be a serial line: milliseconds for each
                // line of the log that are not keepalived's.
                command.arg("--no-syslog");
                Kind::Keepalived(start(command)?)
            }
            Self::Frr => {
                ensure!(
                    console.is_none(),
                    "vrrpd logs by way of zebra's library: it is measured with a file only"
                );
                let place = Place {
                    netns: &node.netns,
                    directory: &directory,
                    name: node.name,
                    number: node.number,
                };
                let mut frr = node.on_cpu(|| Frr::start_in(place, &instances))?;
                frr.quiet();
                Kind::Frr(Box::new(frr))
            }
        };
        Ok(Running {
            kind,
            started_at: started_at.get(),
            count: instances.len(),
            console,
        })
    }

    fn keepalived_conf(self, node: &Node, instances: &[Instance]) -> String {
        let mut text = format!(
            "global_defs {{\n    router_id {}\n    vrrp_version 3\n",
            node.name
        );
        if self == Self::KeepalivedRealTime {
            // Its own limit of real-time CPU time in one go, 10 ms, has the kernel kill it
            // while it starts with hundreds of virtual routers; whoever runs it so has
            // raised it (in microseconds).
            text += "    vrrp_rt_priority 50\n    vrrp_no_swap\n    vrrp_rlimit_rttime 1000000\n";
        }
        text += "}\n";
        for instance in instances {
            text += &keepalived::block(instance, keepalived::Options::default());
        }
        text
    }

    /// The version that is installed.
    ///
    /// # Errors
    /// If it is not installed.
    pub fn version(self) -> Result<String> {
        match self {
            Self::Harrier => {
                let text = command::checked(Command::new(daemon::binary()?).arg("--version"), "")?;
                let word = text.split_whitespace().nth(1).context("no version")?;
                Ok(word.to_owned())
            }
            Self::Keepalived | Self::KeepalivedRealTime => keepalived::version(),
            Self::Frr => frr::version(),
        }
    }
}

/// Where a contestant logs to.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Log {
    /// A file.
    #[default]
    File,
    /// A pipe with room for 4 KiB, as a serial line has, that is read at 11,500 octets per
    /// second, as one with 115,200 baud sends.
    SlowConsole,
}

/// What is set besides the work.
#[derive(Clone, Copy, Default, Debug)]
pub struct Settings<'a> {
    /// Where it logs to.
    pub log: Log,
    /// Lines before the instances of Harrier's configuration; others do not get them.
    pub harrier: &'a str,
    /// Whether frames are received in the sender's context and not by kernel threads; see
    /// [`field`](super::field).
    pub in_senders_context: bool,
}

impl Settings<'_> {
    /// For what measures times.
    #[must_use]
    pub fn for_times() -> Self {
        Self {
            in_senders_context: true,
            ..Self::default()
        }
    }
}

/// The work: both nodes get the same, with priorities 200 (node-a) and 100 (node-b).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Workload {
    /// Virtual routers, numbered from 0: [`INSTANCES_PER_INTERFACE`] on each interface.
    pub instances: usize,
    /// Advertisement interval.
    pub interval: Duration,
    /// Virtual addresses of each, at most 100 where there is more than one virtual
    /// router, else at most 15,000; those after the first [`ADVERTISED_ADDRESSES`] are not
    /// advertised.
    pub addresses: usize,
}

impl Workload {
    /// One virtual router with one address.
    #[must_use]
    pub const fn single(interval: Duration) -> Self {
        Self {
            instances: 1,
            interval,
            addresses: 1,
        }
    }

    /// How many interfaces it takes.
    #[must_use]
    pub const fn interfaces(&self) -> usize {
        self.instances.div_ceil(INSTANCES_PER_INTERFACE)
    }

    /// Active_Down_Interval at node-b, priority 100.
    #[must_use]
    pub fn active_down_interval(&self) -> Duration {
        // 3 × interval + (256 - 100) / 256 × interval, RFC 9568 section 6.1.
        3 * self.interval + self.interval * 156 / 256
    }

    /// The interface (counted from 0) and the VRID of the virtual router `index`.
    #[must_use]
    pub fn place(&self, index: usize) -> (usize, u8) {
        let vrid = u8::try_from(index % INSTANCES_PER_INTERFACE + 1).unwrap_or(u8::MAX);
        (index / INSTANCES_PER_INTERFACE, vrid)
    }

    /// The virtual addresses of the virtual router `index`.
    #[must_use]
    pub fn addresses_of(&self, index: usize) -> Vec<Ipv4Addr> {
        let (interface, vrid) = self.place(index);
        let octet = |number: usize| u8::try_from(number).unwrap_or(u8::MAX);
        (0..self.addresses)
            .map(|number| {
                let (third, fourth) = if self.instances == 1 {
                    (100 + number / 250, 1 + number % 250)
                } else {
                    (vrid.into(), 100 + number)
                };
                Ipv4Addr::new(10, network(interface), octet(third), octet(fourth))
            })
            .collect()
    }

    fn instances(&self, node: &Node) -> Vec<Instance> {
        let priority = if node.number == 1 { 200 } else { 100 };
        (0..self.instances)
            .map(|index| {
                let (interface, vrid) = self.place(index);
                let mut addresses: Vec<String> = self
                    .addresses_of(index)
                    .iter()
                    .map(|address| format!("{address}/16"))
                    .collect();
                let excluded = addresses.split_off(addresses.len().min(ADVERTISED_ADDRESSES));
                Instance {
                    name: format!("i{index}"),
                    interface: node.interfaces[interface].clone(),
                    vrid,
                    advert_interval: self.interval,
                    addresses,
                    excluded,
                    ..Instance::new(priority, &[])
                }
            })
            .collect()
    }
}

#[derive(Debug)]
enum Kind {
    /// With its runtime directory.
    Harrier(Process, PathBuf),
    Keepalived(Process),
    Frr(Box<Frr>),
}

/// A contestant at work on one node. Dropping it ends it.
#[derive(Debug)]
pub struct Running {
    kind: Kind,
    started_at: Timestamp,
    count: usize,
    // After the daemon: it may be writing.
    console: Option<Console>,
}

impl Running {
    /// The process that speaks VRRP: for keepalived its parent's.
    fn main(&mut self) -> &mut Process {
        match &mut self.kind {
            Kind::Harrier(process, _) | Kind::Keepalived(process) => process,
            Kind::Frr(frr) => &mut frr.vrrpd,
        }
    }

    /// Every process of it, children too: zebra, keepalived's parent and its child.
    #[must_use]
    pub fn pids(&self) -> Vec<u32> {
        let mut pids = match &self.kind {
            Kind::Harrier(process, _) | Kind::Keepalived(process) => vec![process.id()],
            Kind::Frr(frr) => frr.pids().to_vec(),
        };
        let mut next = 0;
        while let Some(&pid) = pids.get(next) {
            pids.extend(children(pid));
            next += 1;
        }
        pids
    }

    /// When its process was started; of FRR, when the making of its interfaces was.
    #[must_use]
    pub const fn started_at(&self) -> Timestamp {
        self.started_at
    }

    /// Its runtime directory, if it is Harrier.
    #[must_use]
    pub fn runtime_directory(&self) -> Option<&Path> {
        match &self.kind {
            Kind::Harrier(_, runtime_directory) => Some(runtime_directory),
            Kind::Keepalived(_) | Kind::Frr(_) => None,
        }
    }

    /// What it has logged: what a slow console has taken of it, if it logs there.
    #[must_use]
    pub fn log(&self) -> String {
        if let Some(console) = &self.console {
            return console.text();
        }
        match &self.kind {
            Kind::Harrier(process, _) | Kind::Keepalived(process) => process.log(),
            Kind::Frr(frr) => frr.vrrpd.log(),
        }
    }

    /// Whether every virtual router takes part, as Backup or as Active.
    ///
    /// # Errors
    /// If it has ended.
    pub fn takes_part(&mut self) -> Result<bool> {
        if let Some(status) = self.main().ended()? {
            bail!("a router ended with {status}:\n{}", self.log());
        }
        let count = self.count;
        Ok(match &self.kind {
            Kind::Harrier(_, runtime_directory) => {
                let status = status(runtime_directory)?;
                let at_work = |state: &str| matches!(state, "backup" | "active");
                status.is_some_and(|status| {
                    status.instances.len() == count
                        && status
                            .instances
                            .iter()
                            .all(|instance| at_work(&instance.state))
                })
            }
            // It says so once for each at the start, also on a slow console.
            Kind::Keepalived(_) => self.log().matches("Entering BACKUP STATE").count() >= count,
            Kind::Frr(frr) => frr.states()?.len() == count,
        })
    }

    /// Ends it in order; it hands over what it has.
    ///
    /// # Errors
    /// If it does not end.
    pub fn stop(&mut self) -> Result<()> {
        match &mut self.kind {
            Kind::Harrier(process, _) | Kind::Keepalived(process) => {
                process.signal(Signal::TERM)?;
                process.await_end(Duration::from_secs(30)).map(drop)
            }
            Kind::Frr(frr) => frr.stop(),
        }
    }

    /// SIGKILL.
    ///
    /// # Errors
    /// If it cannot be waited for.
    pub fn kill(&mut self) -> Result<()> {
        match &mut self.kind {
            Kind::Harrier(process, _) | Kind::Keepalived(process) => process.kill(),
            Kind::Frr(frr) => frr.kill(),
        }
    }

    /// Runs `harrier` with `arguments` for it, if it is one.
    ///
    /// # Errors
    /// If it is none, or the command fails.
    pub fn harrier(&self, arguments: &[&str]) -> Result<String> {
        let Kind::Harrier(_, runtime_directory) = &self.kind else {
            bail!("this is not Harrier");
        };
        let mut command = Command::new(daemon::binary()?);
        command
            .args(arguments)
            .arg("--runtime-dir")
            .arg(runtime_directory);
        command::checked(&mut command, "")
    }
}

fn status(runtime_directory: &Path) -> Result<Option<Status>> {
    let mut command = Command::new(daemon::binary()?);
    command
        .args(["status", "--json", "--runtime-dir"])
        .arg(runtime_directory);
    let out = command::output(&mut command, "")?;
    if !out.status.success() {
        // Nobody answers yet.
        return Ok(None);
    }
    serde_json::from_slice(&out.stdout)
        .map(Some)
        .with_context(|| format!("status says {}", String::from_utf8_lossy(&out.stdout)))
}

fn children(pid: u32) -> Vec<u32> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task"));
    tasks
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|task| fs::read_to_string(task.path().join("children")).ok())
        .flat_map(|line| {
            line.split_whitespace()
                .filter_map(|pid| pid.parse().ok())
                .collect::<Vec<_>>()
        })
        .collect()
}
