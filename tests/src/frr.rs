//! A real `vrrpd` of FRR on a node, with the `zebra` that it needs.
//!
//! vrrpd knows only virtual MAC addresses and does not make its interfaces: an
//! administrator gives each virtual router a macvlan with the virtual MAC and
//! the virtual addresses, and vrrpd holds its protocol down unless it is the
//! Active router. So the addresses are always there, and `protodown` says
//! whether they are in use.

use std::{
    fs,
    net::Ipv6Addr,
    os::unix::{
        fs::{PermissionsExt as _, chown},
        net::UnixStream,
    },
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use rustix::process::Signal;

use crate::{
    command,
    daemon::Instance,
    lab::{Host, Lab},
    need,
    netns::Netns,
    process::Process,
};

/// Where Debian's package has the daemons.
const DAEMONS: &str = "/usr/lib/frr";

/// The macvlan of the virtual router.
pub const MACVLAN: &str = "vrrp";

const PATIENCE: Duration = Duration::from_secs(20);

/// Span between two looks at a socket that is not there yet.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// A running vrrpd and its zebra.
#[derive(Debug)]
pub struct Frr {
    /// The process of vrrpd.
    pub vrrpd: Process,
    zebra: Process,
    directory: PathBuf,
    ipv6: bool,
    instances: usize,
}

/// Where vrrpd is to run.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// The namespace.
    pub netns: &'a Netns,
    /// Files and sockets go here.
    pub directory: &'a Path,
    /// What messages call the node.
    pub name: &'a str,
    /// The node's number, part of the link-local addresses that it gets.
    pub number: u8,
}

impl Frr {
    /// Starts zebra and vrrpd on `host` with the same virtual router as
    /// `instance`, on a macvlan made anew, and waits until vrrpd takes part.
    ///
    /// # Errors
    /// If FRR is not installed or cannot be started, or if `instance` asks for
    /// what vrrpd does not know: unicast, a password.
    pub fn start(lab: &Lab, host: &Host, instance: &Instance) -> Result<Self> {
        let directory = lab.directory(&format!("{}-frr", host.name))?;
        let place = Place {
            netns: &host.netns,
            directory: &directory,
            name: &host.name,
            number: host.number,
        };
        Self::start_in(place, std::slice::from_ref(instance))
    }

    /// As [`start`](Self::start) with many virtual routers, all of one family, each
    /// on a macvlan of its own.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn start_in(place: Place<'_>, instances: &[Instance]) -> Result<Self> {
        need::tools(&["vtysh"])?;
        ensure!(
            instances.iter().all(|instance| instance.unicast.is_none()
                && instance.password.is_none()
                && instance.excluded.is_empty()),
            "vrrpd knows neither unicast nor passwords nor excluded addresses"
        );
        let directory = place.directory.to_owned();
        give_to_frr(&directory)?;
        // Of a predecessor that was killed.
        for socket in ["zserv", "vrrpd.vty", "zebra.vty"] {
            let _ = fs::remove_file(directory.join(socket));
        }
        let ipv6 = instances
            .iter()
            .flat_map(|instance| &instance.addresses)
            .any(|address| address.contains(':'));
        prepare(place, instances, ipv6)?;

        fs::write(directory.join("zebra.conf"), "log stdout\n")?;
        fs::write(
            directory.join("vrrpd.conf"),
            configuration(instances, place.number, ipv6),
        )?;
        let mut zebra = daemon(place, "zebra")?;
        await_socket(&mut zebra, &directory.join("zserv"))?;
        let mut vrrpd = daemon(place, "vrrpd")?;
        await_socket(&mut vrrpd, &directory.join("vrrpd.vty"))?;
        let frr = Self {
            vrrpd,
            zebra,
            directory,
            ipv6,
            instances: instances.len(),
        };
        // It reads its configuration first and starts the virtual router when
        // zebra has told it of the interfaces.
        let give_up_at = Instant::now() + PATIENCE;
        while !frr.takes_part()? {
            ensure!(
                Instant::now() < give_up_at,
                "vrrpd does not take part:\n{}",
                frr.vrrpd.log()
            );
            thread::sleep(LOOK_EVERY);
        }
        Ok(frr)
    }

    /// Its state in its own words: `Initialize`, `Backup` or `Master`; `None`
    /// while it does not know the virtual router.
    ///
    /// # Errors
    /// If it does not answer.
    pub fn state(&self) -> Result<Option<String>> {
        let family = if self.ipv6 { "v6" } else { "v4" };
        Ok(self.show()?[0][family]["status"]
            .as_str()
            .map(str::to_owned))
    }

    /// Whether every virtual router has started.
    fn takes_part(&self) -> Result<bool> {
        let states = self.states()?;
        Ok(states.len() == self.instances && states.iter().all(|state| state != "Initialize"))
    }

    /// The [`state`](Self::state) of every virtual router that it knows.
    ///
    /// # Errors
    /// If it does not answer.
    pub fn states(&self) -> Result<Vec<String>> {
        let family = if self.ipv6 { "v6" } else { "v4" };
        Ok(self
            .show()?
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|router| router[family]["status"].as_str().map(str::to_owned))
            .collect())
    }

    /// What `show vrrp json` says.
    ///
    /// # Errors
    /// If it does not answer.
    pub fn show(&self) -> Result<serde_json::Value> {
        let text = self.ask(&["show vrrp json"])?;
        serde_json::from_str(&text).with_context(|| format!("vrrpd says {text}"))
    }

    /// The commands of virtual routers that it knows on an interface, with their
    /// arguments.
    ///
    /// # Errors
    /// If it does not answer.
    pub fn commands(&self) -> Result<Vec<String>> {
        let text = self.ask(&["configure terminal", "interface lo", "list"])?;
        Ok(text
            .lines()
            .map(str::trim)
            .filter(|line| line.contains("vrrp"))
            .map(str::to_owned)
            .collect())
    }

    fn ask(&self, commands: &[&str]) -> Result<String> {
        let mut vtysh = Command::new("vtysh");
        vtysh
            .arg("--vty_socket")
            .arg(&self.directory)
            .args(["-d", "vrrpd"]);
        for command in commands {
            vtysh.args(["-c", command]);
        }
        command::checked(&mut vtysh, "")
    }

    /// Ends both daemons in order.
    ///
    /// # Errors
    /// If one does not end.
    pub fn stop(&mut self) -> Result<()> {
        for process in [&mut self.vrrpd, &mut self.zebra] {
            process.signal(Signal::TERM)?;
            process.await_end(PATIENCE)?;
        }
        Ok(())
    }

    /// SIGKILL to both.
    ///
    /// # Errors
    /// If one cannot be waited for.
    pub fn kill(&mut self) -> Result<()> {
        self.vrrpd.kill()?;
        self.zebra.kill()
    }

    /// The processes of vrrpd and zebra.
    #[must_use]
    pub fn pids(&self) -> [u32; 2] {
        [self.vrrpd.id(), self.zebra.id()]
    }

    /// Keeps both logs off standard error.
    pub fn quiet(&mut self) {
        self.vrrpd.quiet();
        self.zebra.quiet();
    }
}

/// The first line of what vrrpd says of itself.
///
/// # Errors
/// If FRR is not installed.
pub fn version() -> Result<String> {
    need::tools(&["vtysh"])?;
    let text = command::checked(
        Command::new(Path::new(DAEMONS).join("vrrpd")).arg("--version"),
        "",
    )?;
    // vrrpd version 8.4.4
    let word = text.split_whitespace().nth(2);
    Ok(word.context("a version")?.to_owned())
}

/// The daemons give up root for the user `frr`, who is to make sockets here.
fn give_to_frr(directory: &Path) -> Result<()> {
    let users = fs::read_to_string("/etc/passwd").context("cannot read /etc/passwd")?;
    let mut ids = users
        .lines()
        .find_map(|line| line.strip_prefix("frr:"))
        .context("there is no user frr, which the package makes")?
        .split(':')
        .skip(1)
        .map(str::parse::<u32>);
    let (Some(Ok(user)), Some(Ok(group))) = (ids.next(), ids.next()) else {
        bail!("the user frr has no numbers in /etc/passwd");
    };
    let name = || format!("cannot give {} to frr", directory.display());
    chown(directory, Some(user), Some(group)).with_context(name)?;
    fs::set_permissions(directory, fs::Permissions::from_mode(0o755)).with_context(name)
}

fn daemon(place: Place<'_>, name: &str) -> Result<Process> {
    let directory = place.directory;
    let file = |suffix: &str| directory.join(format!("{name}.{suffix}"));
    let mut command = place.netns.command(Path::new(DAEMONS).join(name));
    command
        .arg("--config_file")
        .arg(file("conf"))
        .arg("--pid_file")
        .arg(file("pid"))
        .arg("--socket")
        .arg(directory.join("zserv"))
        .arg("--vty_socket")
        .arg(directory)
        .args(["--vty_port", "0", "--log", "stdout"]);
    Process::start(
        format!("{name} on {}", place.name),
        &mut command,
        file("log"),
    )
}

fn await_socket(process: &mut Process, socket: &Path) -> Result<()> {
    let give_up_at = Instant::now() + PATIENCE;
    while UnixStream::connect(socket).is_err() {
        ensure!(
            process.ended()?.is_none() && Instant::now() < give_up_at,
            "nobody listens at {}:\n{}",
            socket.display(),
            process.log()
        );
        thread::sleep(LOOK_EVERY);
    }
    Ok(())
}

/// The macvlan of the virtual router `index`.
fn macvlan(index: usize) -> String {
    if index == 0 {
        MACVLAN.to_owned()
    } else {
        format!("{MACVLAN}{index}")
    }
}

/// Makes the macvlans, down by protocol as those of Backup routers, and sees to
/// it that the node answers for an address only on the interface that has it.
fn prepare(place: Place<'_>, instances: &[Instance], ipv6: bool) -> Result<()> {
    place.netns.sysctl(&[
        ("ipv4/conf/all/arp_ignore", "1"),
        ("ipv4/conf/all/arp_announce", "2"),
        ("ipv4/conf/all/rp_filter", "0"),
        ("ipv4/conf/default/rp_filter", "0"),
        // zebra advertises itself as a router on the macvlan.
        ("ipv6/conf/all/accept_ra", "0"),
        ("ipv6/conf/default/accept_ra", "0"),
    ])?;
    let mut lines = String::new();
    let family = if ipv6 { 2 } else { 1 };
    for (index, instance) in instances.iter().enumerate() {
        let Instance {
            interface, vrid, ..
        } = instance;
        let name = macvlan(index);
        if place.netns.ip_show(&["link", "show", &name]).is_ok() {
            lines += &format!("link delete {name}\n");
        }
        lines += &format!(
            "link add {name} link {interface} address 00:00:5e:00:{family:02x}:{vrid:02x} \
             type macvlan mode bridge\n\
             link set {name} addrgenmode none\n\
             link set {name} protodown on\n\
             link set {name} up\n"
        );
        if ipv6 {
            // The source of its advertisements: an address that no other router has.
            let own = own_link_local(place.number);
            lines += &format!("addr add {own}/64 dev {name} nodad\n");
        }
        for address in &instance.addresses {
            let nodad = if ipv6 { " nodad" } else { "" };
            lines += &format!("addr add {address} dev {name}{nodad}\n");
        }
    }
    place.netns.ip(&lines)
}

fn own_link_local(router: u8) -> Ipv6Addr {
    Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0x5e, router.into())
}

fn configuration(instances: &[Instance], router: u8, ipv6: bool) -> String {
    let mut text = format!("hostname node{router}\nlog stdout\n");
    for instance in instances {
        let Instance {
            interface,
            vrid,
            version,
            priority,
            ..
        } = instance;
        let interval = instance.advert_interval.as_millis();
        let kind = if ipv6 { "ipv6" } else { "ip" };
        text += &format!(
            "interface {interface}\n vrrp {vrid} version {version}\n \
             vrrp {vrid} priority {priority}\n \
             vrrp {vrid} advertisement-interval {interval}\n"
        );
        if !instance.preempt {
            text += &format!(" no vrrp {vrid} preempt\n");
        }
        for address in &instance.addresses {
            let address = address
                .split_once('/')
                .map_or(address.as_str(), |parts| parts.0);
            text += &format!(" vrrp {vrid} {kind} {address}\n");
        }
    }
    text
}
