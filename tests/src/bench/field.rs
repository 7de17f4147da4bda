//! The network that contestants are measured in: a switch and two nodes, each with
//! as many interfaces as the work needs, every interface on a bridge of its own.
//!
//! ```text
//!   node-a (CPU 0)                                node-b (CPU 1)
//!     a0 … ---- bridge br0 … of the switch ----     b0 …
//! ```
//!
//! On veth a frame's whole way, down to the receiver's XDP program, runs in the sender's
//! context and would be charged to the sender. So each interface of a node has GRO on, and
//! with it a NAPI context, which `threaded` gives a kernel thread: that thread is pinned to
//! the node's CPU, where the node's daemon runs too, and what a node pays for receiving can
//! be read from it. Where times are measured there are no such threads: to wake one takes
//! as long as what is measured.

use std::{
    fs,
    path::{Path, PathBuf},
    process,
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use ha_common::{time::Timestamp, types::MacAddress};
use rustix::thread::{CpuSet, Pid, sched_getaffinity, sched_setaffinity};

use crate::{
    capture::Capture,
    clock, command,
    lab::ifindex,
    need,
    netlink::{PortState, set_port_state},
    netns::Netns,
    run::Run,
};

/// The switch's name for the client's ports, and the client's for its interfaces.
const CLIENT: u8 = 254;

const PATIENCE: Duration = Duration::from_secs(10);

/// Makes the names of interfaces unlike those of every other field: the kernel calls a
/// NAPI thread after its interface, in all namespaces alike.
static NUMBER: AtomicU32 = AtomicU32::new(0);

/// A node, or the client.
#[derive(Debug)]
pub struct Node {
    /// `node-a`, `node-b` or `client`.
    pub name: &'static str,
    /// Its namespace.
    pub netns: Netns,
    /// The last octet of its addresses: 1, 2 or 254.
    pub number: u8,
    /// The CPU that its daemon and its NAPI threads are pinned to.
    pub cpu: usize,
    /// Its interfaces, one for each bridge.
    pub interfaces: Vec<String>,
    /// The kernel threads that do its receive path, one for each interface. None for the
    /// client, which pays nothing that is measured.
    pub napi: Vec<u32>,
    ports: Vec<Port>,
}

/// A port of the switch.
#[derive(Debug)]
struct Port {
    name: String,
    index: u32,
}

impl Node {
    /// Runs `work`, in which a program is started, on the node's CPU: what is started
    /// there stays there.
    ///
    /// # Errors
    /// If the kernel refuses, or as `work`.
    pub fn on_cpu<T>(&self, work: impl FnOnce() -> Result<T>) -> Result<T> {
        on_cpu(self.cpu, work)
    }

    /// Its MAC address at interface `index`.
    #[must_use]
    pub fn mac(&self, index: usize) -> MacAddress {
        mac(index, self.number)
    }

    /// Its own address at interface `index`, prefix length 16.
    #[must_use]
    pub fn ipv4(&self, index: usize) -> std::net::Ipv4Addr {
        std::net::Ipv4Addr::new(10, network(index), 0, self.number)
    }
}

/// The second octet of the addresses on bridge `index`.
#[must_use]
pub fn network(index: usize) -> u8 {
    u8::try_from(77 + index).unwrap_or(u8::MAX)
}

fn mac(index: usize, number: u8) -> MacAddress {
    MacAddress([2, 0, 0, 0, u8::try_from(index).unwrap_or(u8::MAX), number])
}

/// What is to be there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Plan {
    /// Interfaces of each node, at least 1.
    pub interfaces: usize,
    /// Whether there is a client.
    pub client: bool,
    /// Whether each node receives on kernel threads of its own, for what it pays, or in
    /// the sender's context, for times: a thread that has to wake would be part of them.
    pub napi_threads: bool,
}

/// The network. Dropping it removes it, with all that runs in it.
#[derive(Debug)]
pub struct Field {
    /// The switch: bridges `br0`, `br1` ….
    pub switch: Netns,
    /// The node that is to be Active, on CPU 0.
    pub a: Node,
    /// The node that is to be Backup, on CPU 1.
    pub b: Node,
    /// A client, at the same bridges, if the plan has one.
    pub client: Option<Node>,
    run: Run,
}

impl Field {
    /// Makes the network of `plan`.
    ///
    /// # Errors
    /// Without root, iproute2 or ethtool, or if the kernel has no threaded NAPI.
    pub fn new(plan: Plan) -> Result<Self> {
        need::tools(&["ethtool"])?;
        let run = Run::new()?;
        let switch = Netns::create(&run, "switch")?;
        switch.sysctl(&[
            ("ipv6/conf/all/disable_ipv6", "1"),
            ("ipv6/conf/default/disable_ipv6", "1"),
        ])?;
        // A switch has no packet filter, and its sender would be charged for it.
        if Path::new("/proc/sys/net/bridge").is_dir() {
            let families = ["arptables", "iptables", "ip6tables"];
            let keys = families.map(|family| format!("bridge/bridge-nf-call-{family}"));
            switch.sysctl(&keys.each_ref().map(|key| (key.as_str(), "0")))?;
        }
        // Multicast snooping is off so that the group's frames are flooded, as on a plain
        // switch; the forward delay is off so that ports forward at once.
        let lines: String = (0..plan.interfaces)
            .map(|index| {
                format!(
                    "link add br{index} type bridge stp_state 0 forward_delay 0 mcast_snooping 0\n\
                     link set br{index} up\n"
                )
            })
            .collect();
        switch.ip(&lines)?;
        let tag = format!(
            "{:x}-{:x}",
            process::id(),
            NUMBER.fetch_add(1, Ordering::Relaxed)
        );
        let make = |name, letter, number, cpu, node| {
            let measured = node && plan.napi_threads;
            attach(
                &run,
                &switch,
                plan.interfaces,
                &Attachment {
                    name,
                    letter,
                    number,
                    cpu,
                    measured,
                    tag: &tag,
                },
            )
        };
        let a = make("node-a", 'a', 1, cpu(0)?, true)?;
        let b = make("node-b", 'b', 2, cpu(1)?, true)?;
        let client = plan
            .client
            .then(|| make("client", 'c', CLIENT, cpu(1)?, false))
            .transpose()?;
        let field = Self {
            switch,
            a,
            b,
            client,
            run,
        };
        field.await_ports()?;
        Ok(field)
    }

    /// The kernel opens a port some time after its carrier came, and refuses to set its
    /// state before.
    fn await_ports(&self) -> Result<()> {
        for node in [&self.a, &self.b].into_iter().chain(&self.client) {
            let give_up_at = Instant::now() + PATIENCE;
            while let Err(error) = self.mend(node) {
                ensure!(Instant::now() < give_up_at, error);
                thread::sleep(Duration::from_millis(1));
            }
        }
        Ok(())
    }

    /// A directory of its own for `name`, below the run's.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn directory(&self, name: &str) -> Result<PathBuf> {
        let directory = self.run.directory().join(name);
        fs::create_dir_all(&directory)
            .with_context(|| format!("cannot make {}", directory.display()))?;
        Ok(directory)
    }

    /// Cuts `node` off at the switch, at all its ports: they drop what comes in and send
    /// nothing out, while the node's own links stay up, as when a switch or a cable further
    /// away fails. Returns the time after which nothing passes.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn cut(&self, node: &Node) -> Result<Timestamp> {
        self.set(node, PortState::Disabled)
    }

    /// Ends a [`cut`](Self::cut).
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn mend(&self, node: &Node) -> Result<Timestamp> {
        self.set(node, PortState::Forwarding)
    }

    fn set(&self, node: &Node, state: PortState) -> Result<Timestamp> {
        self.switch.enter(|| {
            node.ports
                .iter()
                .try_for_each(|port| set_port_state(port.index, state))?;
            Ok(clock::now())
        })?
    }

    /// Captures at the switch's port to interface `index` of `node`: frames to the node are
    /// outgoing there, those from it are not.
    ///
    /// # Errors
    /// If the capture cannot be started.
    pub fn capture(&self, node: &Node, index: usize) -> Result<Capture> {
        let port = node.ports.get(index).context("no such interface")?;
        Capture::start(&self.switch, &port.name)
    }

    /// Captures at all of the switch's ports to `node`, one capture for each interface.
    ///
    /// # Errors
    /// As [`capture`](Self::capture).
    pub fn captures(&self, node: &Node) -> Result<Vec<Capture>> {
        (0..node.ports.len())
            .map(|index| self.capture(node, index))
            .collect()
    }

    /// The name of the switch's port to interface `index` of `node`: where frames are to be
    /// sent from that only this node hears.
    #[must_use]
    pub fn port<'a>(&self, node: &'a Node, index: usize) -> Option<&'a str> {
        node.ports.get(index).map(|port| port.name.as_str())
    }
}

/// One node or client to be attached.
struct Attachment<'a> {
    name: &'static str,
    letter: char,
    number: u8,
    cpu: usize,
    measured: bool,
    tag: &'a str,
}

fn attach(run: &Run, switch: &Netns, interfaces: usize, what: &Attachment<'_>) -> Result<Node> {
    let netns = Netns::create(run, what.name)?;
    // Addresses are usable at once, and the wire is quiet but for what is measured.
    netns.sysctl(&[
        ("ipv6/conf/all/disable_ipv6", "1"),
        ("ipv6/conf/default/disable_ipv6", "1"),
    ])?;
    let names: Vec<String> = (0..interfaces)
        .map(|index| format!("{}{index}-{}", what.letter, what.tag))
        .collect();
    let (mut at_switch, mut at_node) = (String::new(), String::new());
    let mut offloads = String::new();
    for (index, name) in names.iter().enumerate() {
        let MacAddress([.., high, low]) = mac(index, what.number);
        at_switch += &format!(
            "link add p{name} type veth peer name {name} address 02:00:00:00:{high:02x}:{low:02x} \
             netns {}\nlink set p{name} master br{index}\nlink set p{name} up\n",
            netns.name()
        );
        at_node += &format!(
            "link set {name} up\naddr add 10.{}.0.{}/16 dev {name}\n",
            network(index),
            what.number
        );
        offloads += &format!("ethtool -K p{name} tso off\n");
    }
    switch.ip(&at_switch)?;
    netns.ip(&at_node)?;
    let mut napi = Vec::new();
    if what.measured {
        // A shell with a sysfs of the namespace, which `ip netns exec` mounts for it.
        in_namespace(switch, &offloads)?;
        let threads: String = names
            .iter()
            .map(|name| {
                format!("ethtool -K {name} gro on\necho 1 >/sys/class/net/{name}/threaded\n")
            })
            .collect();
        in_namespace(&netns, &threads)?;
        napi = napi_threads(&names)?;
        for &thread in &napi {
            pin(thread, what.cpu)?;
        }
    }
    let ports = names
        .iter()
        .map(|name| {
            let name = format!("p{name}");
            let index = ifindex(switch, &name)?;
            Ok(Port { name, index })
        })
        .collect::<Result<_>>()?;
    Ok(Node {
        name: what.name,
        netns,
        number: what.number,
        cpu: what.cpu,
        interfaces: names,
        napi,
        ports,
    })
}

fn in_namespace(netns: &Netns, script: &str) -> Result<()> {
    let name = netns.name();
    command::run("ip", &["netns", "exec", name, "sh", "-ec", script])
        .map(drop)
        .context("cannot set up NAPI threads, which need Linux 5.12 or newer")
}

/// The NAPI threads of `interfaces`, in their order.
fn napi_threads(interfaces: &[String]) -> Result<Vec<u32>> {
    // napi/INTERFACE-NUMBER
    let threads: Vec<(String, u32)> = fs::read_dir("/proc")
        .context("cannot read /proc")?
        .flatten()
        .filter_map(|entry| {
            let pid = entry.file_name().to_str()?.parse().ok()?;
            let name = fs::read_to_string(entry.path().join("comm")).ok()?;
            Some((name, pid))
        })
        .filter(|(name, _)| name.starts_with("napi/"))
        .collect();
    interfaces
        .iter()
        .map(|interface| {
            threads
                .iter()
                .find(|(name, _)| name.starts_with(&format!("napi/{interface}-")))
                .map(|(_, pid)| *pid)
                .with_context(|| format!("{interface} has no NAPI thread (Linux 5.17 or newer?)"))
        })
        .collect()
}

/// The CPU of the node `index`, of those that this process may use: they take turns where
/// there are fewer CPUs than nodes.
fn cpu(index: usize) -> Result<usize> {
    let allowed = sched_getaffinity(None).context("cannot tell which CPUs there are")?;
    let cpus: Vec<usize> = (0..CpuSet::MAX_CPU)
        .filter(|&cpu| allowed.is_set(cpu))
        .collect();
    cpus.get(index % cpus.len().max(1))
        .copied()
        .context("there is no CPU")
}

fn pin(thread: u32, cpu: usize) -> Result<()> {
    let pid = i32::try_from(thread).ok().and_then(Pid::from_raw);
    let mut set = CpuSet::new();
    set.set(cpu);
    sched_setaffinity(pid, &set).with_context(|| format!("cannot pin thread {thread} to CPU {cpu}"))
}

/// Runs `work` with this thread on `cpu`; threads and processes that it starts stay there.
///
/// # Errors
/// If the kernel refuses, or as `work`.
pub fn on_cpu<T>(cpu: usize, work: impl FnOnce() -> Result<T>) -> Result<T> {
    let before = sched_getaffinity(None).context("cannot tell which CPUs there are")?;
    let mut only = CpuSet::new();
    only.set(cpu);
    sched_setaffinity(None, &only).with_context(|| format!("cannot go to CPU {cpu}"))?;
    let result = work();
    sched_setaffinity(None, &before).context("cannot leave a CPU")?;
    result
}
