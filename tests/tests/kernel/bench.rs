//! A loaded program with some virtual routers, and frames to run through it.

use std::{
    net::{IpAddr, Ipv4Addr},
    path::Path,
    thread,
};

use anyhow::{Context as _, Result, ensure};
use aya::{TestRun as _, TestRunOptions};
use bytemuck::Zeroable as _;
use ha_common::{
    abi::{self, Counter, Event, Instance, InstanceKey, Peer, PeerKey, Vip, VipKey},
    types::RouterAddress,
    wire::vrrp,
};
use ha_tests::need;
use ha_user::{
    config::XdpMode,
    kernel::{Loader, Maps, Program, Sizes},
};
use rustix::{
    mount::{MountFlags, MountPropagationFlags, mount, mount_change},
    thread::UnshareFlags,
};

/// The loopback device, which `BPF_PROG_TEST_RUN` names as the ingress interface.
pub(crate) const IFINDEX: u32 = 1;
/// `XDP_DROP`.
pub(crate) const DROP: u32 = 1;
/// `XDP_PASS`.
pub(crate) const PASS: u32 = 2;

/// Our address and link-layer address on the interface.
pub(crate) const OWN: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 5);
pub(crate) const OWN_IPV6: &str = "fe80::5";
pub(crate) const OWN_MAC: [u8; 6] = [2, 0, 0, 0, 0, 5];

/// VRIDs of [`Bench::new`]'s virtual routers.
pub(crate) const V3: u8 = 51;
pub(crate) const V2: u8 = 52;
pub(crate) const V3_NO_ADDRESSES: u8 = 53;
pub(crate) const V2_PASSWORD: u8 = 54;
pub(crate) const ELSEWHERE: u8 = 55;
pub(crate) const V3_NOT_OURS_FIRST: u8 = 56;
pub(crate) const V3_UNICAST: u8 = 57;
pub(crate) const V2_UNICAST: u8 = 58;

/// The peers of the virtual routers that use unicast.
pub(crate) const UNICAST_PEERS: [&str; 3] = ["10.77.0.9", "fe80::9", "10.77.0.5"];

pub(crate) const PASSWORD: [u8; 8] = *b"secret\0\0";
/// The addresses of IPv4 and IPv6 virtual routers.
pub(crate) const VIPS: [&str; 1] = ["10.77.0.100"];
pub(crate) const VIPS_IPV6: [&str; 2] = ["fe80::100", "2001:db8::100"];

/// Virtual routers that a test may add.
const SPARE: usize = 4;

/// An event gap that no test outlives.
pub(crate) const FOR_EVER: u64 = u64::MAX;

/// Runs `test` with a bpffs, on a thread in namespaces of its own.
pub(crate) fn isolated(test: impl FnOnce(&Path) -> Result<()> + Send) -> Result<()> {
    need::root()?;
    need::tools(&["ip", "bpftool"])?;
    let directory = tempfile::tempdir()?;
    let path = directory.path();
    thread::scope(|scope| {
        let inside = scope.spawn(|| {
            // SAFETY: gives this thread alone other namespaces; it shares no
            // descriptors table that would change.
            unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNET | UnshareFlags::NEWNS) }
                .context("cannot make namespaces")?;
            mount_change(
                "/",
                MountPropagationFlags::PRIVATE | MountPropagationFlags::REC,
            )
            .context("cannot make mounts private")?;
            mount("bpf", path, "bpf", MountFlags::empty(), None)
                .context("cannot mount a bpffs: this needs a kernel with CONFIG_BPF_SYSCALL")?;
            test(path)
        });
        inside
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// What one frame changed.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// Counters that went up, and by how much.
    pub(crate) counts: Vec<(Counter, u64)>,
    /// Events sent.
    pub(crate) events: Vec<Event>,
}

impl Outcome {
    /// The counters, each of which went up by one.
    pub(crate) fn counters(&self) -> Vec<Counter> {
        assert!(
            self.counts.iter().all(|(_, by)| *by == 1),
            "{:?}",
            self.counts
        );
        self.counts.iter().map(|(counter, _)| *counter).collect()
    }

    /// The events' kinds.
    pub(crate) fn kinds(&self) -> Vec<u32> {
        self.events.iter().map(|event| event.kind).collect()
    }
}

pub(crate) struct Bench {
    pub(crate) maps: Maps,
    program: Program,
}

impl Bench {
    /// A program with the virtual routers of this module, in Backup, priority
    /// 100, and their addresses watched.
    pub(crate) fn new(pins: &Path) -> Result<Self> {
        let (program, maps) = loader(pins).load(&[])?;
        let bench = Self { maps, program };
        for (key, value) in instances() {
            bench.maps.instances.publish(&key, &value)?;
        }
        for (vrid, peer) in [V3_UNICAST, V2_UNICAST]
            .iter()
            .flat_map(|vrid| UNICAST_PEERS.map(|peer| (*vrid, peer)))
        {
            let key = peer_key(vrid, peer.parse()?);
            bench.maps.unicast_peers.list(&key)?;
        }
        for (address, vrid) in VIPS.iter().chain(&VIPS_IPV6).map(|address| (*address, V3)) {
            let (key, vip) = watched(address, vrid);
            bench.maps.vips.watch(&key, &vip)?;
        }
        Ok(bench)
    }

    /// Sends `frame` through the program, which has to pass it unchanged.
    pub(crate) fn run(&mut self, frame: &[u8]) -> Result<Outcome> {
        let (verdict, outcome) = self.judge(frame)?;
        ensure!(verdict == PASS, "verdict {verdict}");
        Ok(outcome)
    }

    /// Sends `frame` through the program, which has to leave it unchanged; returns
    /// its verdict too.
    pub(crate) fn judge(&mut self, frame: &[u8]) -> Result<(u32, Outcome)> {
        let before = self.maps.counters.sum()?;
        let mut after_frame = vec![0; frame.len() + 64];
        let result = self
            .program
            .xdp()
            .context("no program")?
            .test_run(TestRunOptions {
                data_in: Some(frame),
                data_out: Some(&mut after_frame),
                ..TestRunOptions::default()
            })?;
        ensure!(
            &after_frame[..result.data_size_out as usize] == frame,
            "the frame was changed"
        );
        let after = self.maps.counters.sum()?;
        let outcome = Outcome {
            counts: Counter::ALL
                .iter()
                .map(|counter| (*counter, after.of(*counter) - before.of(*counter)))
                .filter(|(_, by)| *by != 0)
                .collect(),
            events: self.drain(),
        };
        Ok((result.return_value, outcome))
    }

    /// Sends `frame` through the program `times` times, and reads no events.
    pub(crate) fn repeat(&self, frame: &[u8], times: u32) -> Result<()> {
        let result = self
            .program
            .xdp()
            .context("no program")?
            .test_run(TestRunOptions {
                data_in: Some(frame),
                repeat: times,
                ..TestRunOptions::default()
            })?;
        ensure!(
            result.return_value == PASS,
            "verdict {}",
            result.return_value
        );
        Ok(())
    }

    /// The events not yet read.
    pub(crate) fn drain(&mut self) -> Vec<Event> {
        std::iter::from_fn(|| self.maps.events.next()).collect()
    }

    /// Changes the virtual router (`vrid`, IPv4).
    pub(crate) fn change(&self, vrid: u8, change: impl FnOnce(&mut Instance)) -> Result<()> {
        let (key, mut value) = instances()
            .into_iter()
            .find(|(key, _)| key.vrid == vrid && key.family == 4)
            .context("no such virtual router")?;
        change(&mut value);
        self.maps.instances.publish(&key, &value)?;
        Ok(())
    }

    /// Empties slot `index`: nothing was heard and nothing told.
    pub(crate) fn forget(&self, index: u32) -> Result<()> {
        Ok(self.maps.slots.clear(index)?)
    }

    /// Gives `source` a row in `peers`, as the daemon does.
    pub(crate) fn admit(&self, vrid: u8, source: IpAddr) -> Result<PeerKey> {
        let key = peer_key(vrid, source);
        self.maps.peers.admit(&key, &Peer::zeroed())?;
        Ok(key)
    }

    /// Every row of `peers`, sorted.
    pub(crate) fn peers(&self) -> Result<Vec<(PeerKey, Peer)>> {
        let mut rows = self.maps.peers_view.iter().collect::<Result<Vec<_>, _>>()?;
        rows.sort_by_key(|(key, _)| (key.vrid, key.address));
        Ok(rows)
    }
}

/// A loader with room for this module's virtual routers.
pub(crate) fn loader(pins: &Path) -> Loader {
    Loader {
        object: None,
        sizes: Sizes {
            instances: instances().len() + SPARE,
            addresses: 8,
            unicast_peers: 3 * UNICAST_PEERS.len(),
        },
        pin_dir: pins.to_owned(),
        xdp_mode: XdpMode::Auto,
    }
}

/// Key and value of a watched address.
pub(crate) fn watched(address: &str, vrid: u8) -> (VipKey, Vip) {
    let address: IpAddr = address.parse().expect("an address");
    let family = if address.is_ipv4() { 4 } else { 6 };
    let key = VipKey {
        ifindex: IFINDEX,
        family,
        reserved: [0; 3],
        address: RouterAddress::from(address).0,
    };
    (
        key,
        Vip {
            vrid,
            family,
            reserved: [0; 2],
        },
    )
}

/// The key of a peer.
pub(crate) fn peer_key(vrid: u8, source: IpAddr) -> PeerKey {
    PeerKey {
        ifindex: IFINDEX,
        vrid,
        family: if source.is_ipv4() { 4 } else { 6 },
        reserved: [0; 2],
        address: RouterAddress::from(source).0,
    }
}

/// The virtual routers, each in the slot of its place.
pub(crate) fn instances() -> Vec<(InstanceKey, Instance)> {
    let list = |addresses: &[&str]| -> Vec<RouterAddress> {
        addresses
            .iter()
            .map(|address| address.parse::<IpAddr>().expect("an address").into())
            .collect()
    };
    let own = RouterAddress::from(OWN);
    let own_ipv6 = OWN_IPV6.parse::<IpAddr>().expect("an address").into();
    [
        (V3, 4, 3, list(&VIPS), own, IFINDEX),
        (V3, 6, 3, list(&VIPS_IPV6), own_ipv6, IFINDEX),
        (V2, 4, 2, list(&VIPS), own, IFINDEX),
        (V3_NO_ADDRESSES, 4, 3, vec![], own, IFINDEX),
        (V2_PASSWORD, 4, 2, list(&VIPS), own, IFINDEX),
        (ELSEWHERE, 4, 3, list(&VIPS), own, IFINDEX + 1),
        (
            V3_NOT_OURS_FIRST,
            6,
            3,
            list(&["2001:db8::100"]),
            own_ipv6,
            IFINDEX,
        ),
        (V3_UNICAST, 4, 3, list(&VIPS), own, IFINDEX),
        (V3_UNICAST, 6, 3, list(&VIPS_IPV6), own_ipv6, IFINDEX),
        (V2_UNICAST, 4, 2, list(&VIPS), own, IFINDEX),
    ]
    .into_iter()
    .zip(0..)
    .map(
        |((vrid, family, version, addresses, own_address, ifindex), index)| {
            let key = InstanceKey {
                ifindex,
                vrid,
                family,
                reserved: [0; 2],
            };
            let password = vrid == V2_PASSWORD;
            let unicast = matches!(vrid, V3_UNICAST | V2_UNICAST);
            let value = Instance {
                address_digest: vrrp::digest(addresses.iter().copied()),
                event_gap_ns: 0,
                index,
                interval_cs: 100,
                state: abi::STATE_BACKUP,
                priority: 100,
                version,
                preempt: 1,
                // One router may stand between unicast peers.
                min_ttl: if unicast { 254 } else { 255 },
                unicast: u8::from(unicast),
                address_count: u8::try_from(addresses.len()).expect("a short list"),
                auth_type: u8::from(password),
                own_mac: OWN_MAC,
                own_address: own_address.0,
                auth_data: if password { PASSWORD } else { [0; 8] },
                ..Instance::zeroed()
            };
            (key, value)
        },
    )
    .collect()
}

/// The slot of (`vrid`, `family`).
pub(crate) fn slot(vrid: u8, family: u8) -> u32 {
    instances()
        .iter()
        .find(|(key, _)| key.vrid == vrid && key.family == family)
        .map(|(_, value)| value.index)
        .expect("a virtual router")
}
