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
}

impl Frr {
    /// Starts zebra and vrrpd on `host` with the same virtual router as
    /// `instance`, on a macvlan made anew, and waits until vrrpd takes part.
    ///
    /// # Errors
    /// If FRR is not installed or cannot be started, or if `instance` asks for
    /// what vrrpd does not know: unicast, a password.
    pub fn start(lab: &Lab, host: &Host, instance: &Instance) -> Result<Self> {
        need::tools(&["vtysh"])?;
        ensure!(
            instance.unicast.is_none() && instance.password.is_none(),
            "vrrpd knows neither unicast nor passwords"
        );
        let directory = lab.directory(&format!("{}-frr", host.name))?;
        give_to_frr(&directory)?;
        // Of a predecessor that was killed.
        for socket in ["zserv", "vrrpd.vty", "zebra.vty"] {
            let _ = fs::remove_file(directory.join(socket));
        }
        let ipv6 = instance
            .addresses
            .iter()
            .any(|address| address.contains(':'));
        prepare(host, instance, ipv6)?;

        fs::write(directory.join("zebra.conf"), "log stdout\n")?;
        fs::write(
            directory.join("vrrpd.conf"),
            configuration(instance, host.number, ipv6),
        )?;
        let mut zebra = daemon(host, &directory, "zebra")?;
        await_socket(&mut zebra, &directory.join("zserv"))?;
        let mut vrrpd = daemon(host, &directory, "vrrpd")?;
        await_socket(&mut vrrpd, &directory.join("vrrpd.vty"))?;
        let frr = Self {
            vrrpd,
            zebra,
            directory,
            ipv6,
        };
        // It reads its configuration first and starts the virtual router when
        // zebra has told it of the interfaces.
        let give_up_at = Instant::now() + PATIENCE;
        while frr.state()?.is_none_or(|state| state == "Initialize") {
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

fn daemon(host: &Host, directory: &Path, name: &str) -> Result<Process> {
    let file = |suffix: &str| directory.join(format!("{name}.{suffix}"));
    let mut command = host.netns.command(Path::new(DAEMONS).join(name));
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
        format!("{name} on {}", host.name),
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

/// Makes the macvlan, down by protocol as that of a Backup router, and sees to
/// it that the node answers for an address only on the interface that has it.
fn prepare(host: &Host, instance: &Instance, ipv6: bool) -> Result<()> {
    if host.netns.ip_show(&["link", "show", MACVLAN]).is_ok() {
        host.netns.ip(&format!("link delete {MACVLAN}\n"))?;
    }
    host.netns.sysctl(&[
        ("ipv4/conf/all/arp_ignore", "1"),
        ("ipv4/conf/all/arp_announce", "2"),
        ("ipv4/conf/all/rp_filter", "0"),
        ("ipv4/conf/default/rp_filter", "0"),
        // zebra advertises itself as a router on the macvlan.
        ("ipv6/conf/all/accept_ra", "0"),
        ("ipv6/conf/default/accept_ra", "0"),
    ])?;
    let Instance {
        interface, vrid, ..
    } = instance;
    let family = if ipv6 { 2 } else { 1 };
    let mut lines = format!(
        "link add {MACVLAN} link {interface} address 00:00:5e:00:{family:02x}:{vrid:02x} \
         type macvlan mode bridge\n\
         link set {MACVLAN} addrgenmode none\n\
         link set {MACVLAN} protodown on\n\
         link set {MACVLAN} up\n"
    );
    if ipv6 {
        // The source of its advertisements: an address that no other router has.
        let own = own_link_local(host.number);
        lines += &format!("addr add {own}/64 dev {MACVLAN} nodad\n");
    }
    for address in &instance.addresses {
        let nodad = if ipv6 { " nodad" } else { "" };
        lines += &format!("addr add {address} dev {MACVLAN}{nodad}\n");
    }
    host.netns.ip(&lines)
}

fn own_link_local(router: u8) -> Ipv6Addr {
    Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0x5e, router.into())
}

fn configuration(instance: &Instance, router: u8, ipv6: bool) -> String {
    let Instance {
        interface,
        vrid,
        version,
        priority,
        ..
    } = instance;
    let interval = instance.advert_interval.as_millis();
    let kind = if ipv6 { "ipv6" } else { "ip" };
    let mut text = format!(
        "hostname node{router}\nlog stdout\n\
         interface {interface}\n vrrp {vrid} version {version}\n vrrp {vrid} priority {priority}\n \
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
    text
}
