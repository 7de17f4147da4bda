//! A network to fail over in: a switch, nodes and a client, each a namespace.
//!
//! ```text
//!   node-a (10.77.0.1)   node-b (10.77.0.2)   …   client (10.77.0.254)
//!      eth0                 eth0                    eth0
//!       |                    |                       |
//!     node-a -------------- node-b --- switch ---- client      (ports of bridge br0)
//! ```
//!
//! Addresses are 10.77.0.n/16, fd77::n/64 and fe80::ff:fe00:n, MACs
//! 02:00:00:00:00:nn; n is 1 for node-a, 2 for node-b, 254 for the client.

use std::{
    net::{Ipv4Addr, Ipv6Addr},
    path::PathBuf,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use ha_common::{time::Timestamp, types::MacAddress};

use crate::{
    capture::Capture,
    clock, command,
    netlink::{PortState, set_port_state},
    netns::Netns,
    run::Run,
};

/// The interface of every node and of the client.
pub const INTERFACE: &str = "eth0";

/// The client's number.
const CLIENT: u8 = 254;

/// A node or the client.
#[derive(Clone, Debug)]
pub struct Host {
    /// `node-a`, `node-b`, …, `client`; also its port's name at the switch.
    pub name: String,
    /// Its namespace.
    pub netns: Netns,
    /// Its number: 1 for the first node.
    pub number: u8,
    port: u32,
}

impl Host {
    /// Its own IPv4 address, prefix length 16.
    #[must_use]
    pub fn ipv4(&self) -> Ipv4Addr {
        Ipv4Addr::new(10, 77, 0, self.number)
    }

    /// Its own global IPv6 address, prefix length 64.
    #[must_use]
    pub fn ipv6(&self) -> Ipv6Addr {
        Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, self.number.into())
    }

    /// Its own link-local IPv6 address (from the MAC, RFC 4291 appendix A).
    #[must_use]
    pub fn link_local(&self) -> Ipv6Addr {
        Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0xff, 0xfe00, self.number.into())
    }

    /// Its MAC address.
    #[must_use]
    pub fn mac(&self) -> MacAddress {
        MacAddress([2, 0, 0, 0, 0, self.number])
    }

    /// The addresses on its interface, without prefix lengths.
    ///
    /// # Errors
    /// If `ip` fails.
    pub fn addresses(&self) -> Result<Vec<String>> {
        let text = self
            .netns
            .ip_show(&["-brief", "address", "show", "dev", INTERFACE])?;
        // eth0@if5 UP 10.77.0.1/16 fd77::1/64 …
        Ok(text
            .split_whitespace()
            .skip(2)
            .filter_map(|word| word.split_once('/').map(|(address, _)| address.to_owned()))
            .collect())
    }

    /// Whether its interface has `address`.
    ///
    /// # Errors
    /// If `ip` fails.
    pub fn has(&self, address: &str) -> Result<bool> {
        Ok(self.addresses()?.iter().any(|present| present == address))
    }

    /// Waits until its interface does not have `address` any more: a router that
    /// yields keeps it for some milliseconds.
    ///
    /// # Errors
    /// If `ip` fails, or `timeout` passes.
    pub fn await_without(&self, address: &str, timeout: Duration) -> Result<()> {
        let give_up_at = Instant::now() + timeout;
        while self.has(address)? {
            ensure!(
                Instant::now() < give_up_at,
                "{} still has {address} after {timeout:?}",
                self.name
            );
        }
        Ok(())
    }

    /// Whether an XDP program is attached to its interface.
    ///
    /// # Errors
    /// If `ip` fails.
    pub fn has_xdp(&self) -> Result<bool> {
        Ok(self
            .netns
            .ip_show(&["link", "show", "dev", INTERFACE])?
            .contains("prog/xdp"))
    }
}

/// The network. Dropping it removes it, with all that runs in it.
#[derive(Debug)]
pub struct Lab {
    /// The switch: bridge `br0`, ports named after the hosts.
    pub switch: Netns,
    /// The nodes, `node-a` first.
    pub nodes: Vec<Host>,
    /// The client.
    pub client: Host,
    run: Run,
}

impl Lab {
    /// A network with `nodes` nodes (at most 26).
    ///
    /// # Errors
    /// Without root or iproute2.
    pub fn new(nodes: u8) -> Result<Self> {
        Self::of(Run::new()?, nodes)
    }

    /// A network in the namespaces of `run`.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn of(run: Run, nodes: u8) -> Result<Self> {
        let switch = Netns::create(&run, "switch")?;
        switch.sysctl(&[
            ("ipv6/conf/all/disable_ipv6", "1"),
            ("ipv6/conf/default/disable_ipv6", "1"),
        ])?;
        // Multicast snooping is off so that the group's frames are flooded, as
        // on a plain switch; the forward delay is off so that ports forward at once.
        switch.ip(
            "link add br0 type bridge stp_state 0 forward_delay 0 mcast_snooping 0\nlink set br0 up",
        )?;
        let nodes = (1..=nodes)
            .map(|number| {
                let name = format!("node-{}", char::from(b'a' + number - 1));
                attach(&run, &switch, name, number)
            })
            .collect::<Result<_>>()?;
        let client = attach(&run, &switch, "client".to_owned(), CLIENT)?;
        let lab = Self {
            switch,
            nodes,
            client,
            run,
        };
        lab.nodes
            .iter()
            .chain([&lab.client])
            .try_for_each(|host| lab.await_port(host))?;
        Ok(lab)
    }

    /// The first two nodes.
    ///
    /// # Panics
    /// If there are fewer.
    #[must_use]
    pub fn pair(&self) -> (&Host, &Host) {
        (&self.nodes[0], &self.nodes[1])
    }

    /// The kernel opens a port some time after its carrier came, and refuses to
    /// set its state before.
    fn await_port(&self, host: &Host) -> Result<()> {
        let give_up_at = clock::now() + Duration::from_secs(10);
        while let Err(error) = self.mend(host) {
            if clock::now() > give_up_at {
                return Err(error);
            }
            thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    /// A directory of its own for `name`, below the run's.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn directory(&self, name: &str) -> Result<PathBuf> {
        let directory = self.run.directory().join(name);
        std::fs::create_dir_all(&directory)
            .with_context(|| format!("cannot make {}", directory.display()))?;
        Ok(directory)
    }

    /// The network's own directory.
    #[must_use]
    pub fn root_directory(&self) -> PathBuf {
        self.run.directory()
    }

    /// Cuts `host` off at the switch: its port drops what comes in and sends
    /// nothing out, while the host's own link stays up, as when a switch or a
    /// cable further away fails. For everyone else it is a dead host. Returns
    /// the time after which nothing passes.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn cut(&self, host: &Host) -> Result<Timestamp> {
        self.set(host, PortState::Disabled)
    }

    /// Ends a [`cut`](Self::cut).
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn mend(&self, host: &Host) -> Result<Timestamp> {
        self.set(host, PortState::Forwarding)
    }

    fn set(&self, host: &Host, state: PortState) -> Result<Timestamp> {
        self.switch.enter(|| {
            set_port_state(host.port, state)?;
            Ok(clock::now())
        })?
    }

    /// Captures at the switch's port to `host`: frames to the host are
    /// outgoing there, those from it are not.
    ///
    /// # Errors
    /// If the capture cannot be started.
    pub fn capture(&self, host: &Host) -> Result<Capture> {
        Capture::start(&self.switch, &host.name)
    }

    /// Leaves everything up, for a person to look around.
    pub fn leave(self) {
        std::mem::forget(self.run);
    }
}

fn attach(run: &Run, switch: &Netns, name: String, number: u8) -> Result<Host> {
    let netns = Netns::create(run, &name)?;
    // Addresses are usable at once, and the wire is quiet but for what is tested.
    netns.sysctl(&[
        ("ipv6/conf/all/accept_dad", "0"),
        ("ipv6/conf/default/accept_dad", "0"),
        ("ipv6/conf/default/dad_transmits", "0"),
        ("ipv6/conf/default/router_solicitations", "0"),
        ("ipv6/conf/default/addr_gen_mode", "0"),
    ])?;
    switch.ip(&format!(
        "link add {name} type veth peer name {INTERFACE} address 02:00:00:00:00:{number:02x} netns {}\n\
         link set {name} master br0\n\
         link set {name} up",
        netns.name()
    ))?;
    netns.ip(&format!(
        "link set {INTERFACE} up\n\
         addr add 10.77.0.{number}/16 dev {INTERFACE}\n\
         addr add fd77::{number:x}/64 dev {INTERFACE} nodad",
    ))?;
    let port = ifindex(switch, &name)?;
    Ok(Host {
        name,
        netns,
        number,
        port,
    })
}

/// The index of the interface `name` in `netns`.
///
/// # Errors
/// If there is none.
pub fn ifindex(netns: &Netns, name: &str) -> Result<u32> {
    let text = command::checked(
        std::process::Command::new("ip").args([
            "-n",
            netns.name(),
            "-o",
            "link",
            "show",
            "dev",
            name,
        ]),
        "",
    )?;
    text.split(':')
        .next()
        .and_then(|index| index.trim().parse().ok())
        .with_context(|| format!("no index in {text:?}"))
}
