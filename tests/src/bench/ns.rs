//! What a packet costs in the kernel program, in nanoseconds, beside a program that
//! passes everything unseen.
//!
//! The kernel runs a frame a million times through a program and says how long one
//! run took on average (`BPF_PROG_TEST_RUN`), in whole nanoseconds. All that it touches is in the
//! processor's caches then; what differs from a real receive path is only that.
//! Programs and frames take turns, and of each the least of all turns counts: what
//! else the machine does can only add to it.

use std::{
    fs, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    os::fd::AsFd as _,
    path::{Path, PathBuf},
    process, thread,
};

use anyhow::{Context as _, Result, ensure};
use bytemuck::Zeroable as _;
use ha_common::{
    abi::{self, Instance, InstanceKey, Peer, PeerKey},
    types::{AddressFamily, MacAddress, RouterAddress},
    wire::vrrp,
};
use ha_user::{
    config::XdpMode,
    kernel::{Loader, Maps, Program, Sizes},
};
use rustix::{
    mount::{MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_change, unmount},
    thread::UnshareFlags,
};

use crate::{
    forge::{self, Forgery},
    need,
    xdp::{self, XDP_PASS},
};

/// Runs of one frame in one turn.
const REPEAT: u32 = 1_000_000;
/// Turns.
const TURNS: usize = 7;

/// What an advertisement of the least size that Ethernet carries may cost over an
/// empty program, in nanoseconds: it takes as long on a link of 10 Gbit/s. A longer
/// one may cost what it takes.
pub const ADVERTISEMENT_GOAL: f64 = 67.0;
/// Octets of such a frame, without its checksum.
const LEAST_FRAME: usize = 60;
/// What traffic that is not for us may cost over an empty program, in nanoseconds.
pub const FOREIGN_GOAL: f64 = 10.0;

/// A tenth of an interval of 100 ms: advertisements that repeat themselves within it
/// change one record only. All but the first of those measured do.
const EVENT_GAP_NS: u64 = 10_000_000;
/// The advertisement that changes all that one can change.
const LONE: &str = "advertisement, the only one in its gap";

/// The loopback device, which the kernel says such frames come from.
const IFINDEX: u32 = 1;
const OWN: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 5);
const OWN_IPV6: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 5);
const PEER: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 9);
const PEER_IPV6: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 9);
const PEER_MAC: MacAddress = MacAddress([2, 0, 0, 0, 0, 9]);

/// The packet whose checksum is spoilt after it was made.
const WRONG_CHECKSUM: &str = "refused: checksum";

/// What one kind of packet costs.
#[derive(Clone, PartialEq, Debug)]
pub struct PacketCost {
    /// What the packet is.
    pub name: &'static str,
    /// Time of one run, in nanoseconds, less that of an empty program.
    pub over_empty: f64,
}

/// How large the kernel program is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ProgramSize {
    /// Instructions of the kernel's machine, of eight octets.
    pub instructions: u32,
    /// Octets of the processor's code.
    pub machine_code: u32,
    /// Instructions that the verifier has followed, of the million that it may;
    /// `None` before Linux 5.16, which does not say.
    pub verified: Option<u32>,
}

/// A virtual router of the measurement, its peer's advertisement, and the goal.
struct Case {
    name: &'static str,
    vrid: u8,
    version: u8,
    event_gap_ns: u64,
    own: IpAddr,
    addresses: Vec<IpAddr>,
    state: u8,
    frame: Vec<u8>,
    goal: Option<f64>,
}

/// The kinds of packet that have a goal, and what they may cost over an empty program, in
/// nanoseconds.
#[must_use]
pub fn goals() -> Vec<(&'static str, f64)> {
    let cases = cases().into_iter();
    cases
        .filter_map(|case| Some((case.name, case.goal?)))
        .collect()
}

/// Measures every kind of packet; with the program's size as this kernel has it, and
/// what an empty one needs, in nanoseconds.
///
/// # Errors
/// Without root, or if the program cannot be loaded.
pub fn measure() -> Result<(ProgramSize, f64, Vec<PacketCost>)> {
    isolated(|pins| {
        let (program, _maps, cases) = prepare(pins)?;
        let empty = xdp::load_passing()?;
        let program = program.xdp().context("no program")?;
        let ours = program.fd()?.as_fd();
        let mut least = vec![u32::MAX; cases.len() + 1];
        for _ in 0..TURNS {
            let programs = [(empty.as_fd(), cases[0].frame.as_slice())]
                .into_iter()
                .chain(cases.iter().map(|case| (ours, case.frame.as_slice())));
            for (least, (program, frame)) in least.iter_mut().zip(programs) {
                let run = xdp::test_run(program, frame, REPEAT)?;
                ensure!(run.verdict == XDP_PASS, "verdict {}", run.verdict);
                *least = run.nanoseconds.min(*least);
            }
        }
        let info = program.info()?;
        let size = ProgramSize {
            instructions: info.size_translated().unwrap_or(0) / 8,
            machine_code: info.size_jitted(),
            verified: info.verified_instruction_count(),
        };
        let empty = f64::from(least[0]);
        let costs = cases.iter().zip(&least[1..]);
        let costs = costs.map(|(case, ns)| PacketCost {
            name: case.name,
            over_empty: f64::from(*ns) - empty,
        });
        Ok((size, empty, costs.collect()))
    })
}

fn loader(pins: &Path, instances: usize) -> Loader {
    Loader {
        object: None,
        sizes: Sizes {
            instances,
            addresses: 1,
            unicast_peers: 1,
        },
        pin_dir: pins.to_owned(),
        xdp_mode: XdpMode::Auto,
    }
}

/// The program with a virtual router and a known peer for each case.
fn prepare(pins: &Path) -> Result<(Program, Maps, Vec<Case>)> {
    let cases = cases();
    let (program, maps) = loader(pins, cases.len()).load(&[])?;
    for (case, index) in cases.iter().zip(0..) {
        let (own, peer, family) = match case.own {
            IpAddr::V4(own) => (own.into(), RouterAddress::from(PEER), 4),
            IpAddr::V6(own) => (own.into(), RouterAddress::from(PEER_IPV6), 6),
        };
        let own: RouterAddress = own;
        if case.addresses.is_empty() {
            continue;
        }
        let key = InstanceKey {
            ifindex: IFINDEX,
            vrid: case.vrid,
            family,
            reserved: [0; 2],
        };
        let instance = Instance {
            address_digest: vrrp::digest(case.addresses.iter().map(|it| (*it).into())),
            event_gap_ns: case.event_gap_ns,
            index,
            interval_cs: 100,
            state: case.state,
            priority: 100,
            version: case.version,
            preempt: 1,
            min_ttl: 255,
            address_count: u8::try_from(case.addresses.len())?,
            own_address: own.0,
            ..Instance::zeroed()
        };
        maps.instances.publish(&key, &instance)?;
        let peer = PeerKey {
            ifindex: IFINDEX,
            vrid: case.vrid,
            family,
            reserved: [0; 2],
            address: peer.0,
        };
        maps.peers.admit(&peer, &Peer::zeroed())?;
    }
    Ok((program, maps, cases))
}

/// Every kind of packet that is measured.
fn cases() -> Vec<Case> {
    let ipv4 = |count: u8| -> Vec<IpAddr> {
        (0..count)
            .map(|last| Ipv4Addr::new(10, 77, 0, 100 + last).into())
            .collect()
    };
    let ipv6 = |count: u16| -> Vec<IpAddr> {
        (0..count)
            .map(|last| Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0x100 + last).into())
            .collect()
    };
    let goal = Some(ADVERTISEMENT_GOAL);
    let backup = abi::STATE_BACKUP;
    let mut cases = vec![
        case("advertisement, 1 address", ipv4(1), backup, goal, |_| {}),
        case(LONE, ipv4(1), backup, goal, |_| {}),
        case("advertisement, 8 addresses", ipv4(8), backup, goal, |_| {}),
        case(
            "advertisement, 64 addresses",
            ipv4(64),
            backup,
            goal,
            |_| {},
        ),
        case(
            "advertisement, IPv6, 1 address",
            ipv6(1),
            backup,
            goal,
            |_| {},
        ),
        case(
            "advertisement, IPv6, 8 addresses",
            ipv6(8),
            backup,
            goal,
            |_| {},
        ),
        case("advertisement, version 2", ipv4(1), backup, goal, |it| {
            it.version = 2;
            it.interval = [0, 1];
            it.trailer = vec![0; 8];
        }),
        case(
            "another order of 8 addresses",
            ipv4(8),
            backup,
            goal,
            |it| {
                it.addresses.reverse();
            },
        ),
        case(
            "advertisement of another, Active",
            ipv4(1),
            abi::STATE_ACTIVE,
            goal,
            |it| {
                it.priority = 50;
            },
        ),
        case("refused: TTL", ipv4(1), backup, goal, |it| it.hops = 254),
        case(WRONG_CHECKSUM, ipv4(1), backup, goal, |_| {}),
    ];
    for (case, vrid) in cases.iter_mut().zip(1..) {
        case.vrid = vrid;
        let message = if case.own.is_ipv4() { 34 } else { 54 };
        case.frame[message + 1] = vrid;
        forge::seal(&mut case.frame);
        if case.name == LONE {
            case.event_gap_ns = 0;
        }
        if case.name == WRONG_CHECKSUM {
            case.frame[message + 6] ^= 0x10;
        }
    }
    let foreign = |name, frame| Case {
        name,
        vrid: 0,
        version: 3,
        event_gap_ns: EVENT_GAP_NS,
        own: OWN.into(),
        addresses: Vec::new(),
        state: abi::STATE_INIT,
        frame,
        goal: Some(FOREIGN_GOAL),
    };
    let stranger = case("", ipv4(1), backup, None, |it| it.vrid = 200).frame;
    let mut tcp = stranger.clone();
    tcp[23] = 6;
    let mut udp = case("", ipv6(1), backup, None, |_| {}).frame;
    udp[20] = 17;
    let mut arp = vec![0xff; 6];
    arp.extend(PEER_MAC.0);
    arp.extend([0x08, 0x06, 0, 1, 0x08, 0x00, 6, 4, 0, 1]);
    arp.extend(PEER_MAC.0);
    arp.extend(PEER.octets());
    arp.extend([0; 6]);
    arp.extend(OWN.octets());
    arp.resize(60, 0);
    let mut tagged = arp.clone();
    tagged[12..14].copy_from_slice(&[0x81, 0x00]);
    cases.extend([
        foreign("VRID of others", stranger),
        foreign("TCP over IPv4", tcp),
        foreign("UDP over IPv6", udp),
        foreign("tagged (802.1Q)", tagged),
        Case {
            goal: None,
            ..foreign("ARP, address of others", arp)
        },
    ]);
    cases
}

/// A virtual router with `addresses`, and its peer's advertisement with something
/// changed.
fn case(
    name: &'static str,
    addresses: Vec<IpAddr>,
    state: u8,
    goal: Option<f64>,
    change: impl FnOnce(&mut Forgery),
) -> Case {
    let ipv4 = addresses.first().is_some_and(IpAddr::is_ipv4);
    let family = if ipv4 {
        AddressFamily::Ipv4
    } else {
        AddressFamily::Ipv6
    };
    let (own, source): (IpAddr, IpAddr) = if ipv4 {
        (OWN.into(), PEER.into())
    } else {
        (OWN_IPV6.into(), PEER_IPV6.into())
    };
    let mut forgery = Forgery {
        to_mac: vrrp::group_mac(family),
        from_mac: PEER_MAC,
        source,
        destination: vrrp::group(family).to_ip(family),
        hops: 255,
        fragment: 0,
        version: 3,
        kind: 1,
        vrid: 1,
        priority: 200,
        count: u8::try_from(addresses.len()).unwrap_or(u8::MAX),
        interval: [0, 100],
        addresses: addresses.clone(),
        trailer: Vec::new(),
    };
    change(&mut forgery);
    let mut frame = forgery.frame();
    // The least that Ethernet carries.
    frame.resize(frame.len().max(LEAST_FRAME), 0);
    Case {
        name,
        vrid: 0,
        version: forgery.version,
        event_gap_ns: EVENT_GAP_NS,
        own,
        addresses,
        state,
        goal: goal.map(|goal| {
            let longer = u32::try_from(frame.len() - LEAST_FRAME).unwrap_or(u32::MAX);
            goal + f64::from(longer) * 0.8
        }),
        frame,
    }
}

/// Runs `inside` with a bpffs, on a thread in namespaces of its own.
fn isolated<T: Send>(inside: impl FnOnce(&Path) -> Result<T> + Send) -> Result<T> {
    need::root()?;
    thread::scope(|scope| {
        let thread = scope.spawn(|| {
            // SAFETY: gives this thread alone other namespaces; it shares no
            // descriptors table that would change.
            unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNET | UnshareFlags::NEWNS) }
                .context("cannot make namespaces")?;
            let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
            mount_change("/", private).context("cannot make mounts private")?;
            let pins = Pins::mount()?;
            inside(&pins.0)
        });
        thread
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// A bpffs until this is dropped. Its name has no dot, which the kernel takes for
/// the name of a pin only.
struct Pins(PathBuf);

impl Pins {
    fn mount() -> Result<Self> {
        let name = format!("harrier-ns-{}-{:?}", process::id(), thread::current().id());
        let name = name.replace(['(', ')'], "");
        let pins = Self(std::env::temp_dir().join(name));
        match fs::create_dir(&pins.0) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
            _ => Ok(()),
        }
        .with_context(|| format!("cannot make {}", pins.0.display()))?;
        mount("bpf", &pins.0, "bpf", MountFlags::empty(), None).context("cannot mount a bpffs")?;
        Ok(pins)
    }
}

impl Drop for Pins {
    fn drop(&mut self) {
        let _ = unmount(&self.0, UnmountFlags::DETACH);
        let _ = fs::remove_dir(&self.0);
    }
}
