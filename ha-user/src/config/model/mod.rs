//! The validated configuration: types that cannot hold what Harrier cannot do,
//! whatever language the file was written in.

mod check;
mod notify;

use std::{fmt, net::IpAddr, time::Duration};

pub use ha_common::wire::vrrp::ChecksumForm;
use ha_common::{
    fsm::{AnnounceSchedule, timers},
    types::{AddressFamily, Priority, Version, Vrid},
};

pub use self::{
    check::{
        CheckConfig, CheckKind, FileCheck, FileReads, HttpCheck, PingCheck, ProcessCheck,
        ProcessMatch, Target, TlsCheck, TrackedCheck,
    },
    notify::{Fifo, NotifyConfig, RunAs, Script, Webhook},
};

/// Everything that one daemon is told.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Config {
    /// How the kernel program is attached.
    pub xdp_mode: XdpMode,
    /// Whether the kernel program takes advertisements that it has recorded away from
    /// the host's stack.
    pub consume: bool,
    /// How long every instance waits at start before it may take over, beyond
    /// its Active_Down_Interval; up to 1000 s.
    pub startup_delay: Duration,
    /// Least span between two announcement frames on one interface; zero for no
    /// limit, 1 s at most.
    pub announce_gap: Duration,
    /// Numbers of the CPUs that the driver's thread may run on (0 to 1023), ascending;
    /// none for all.
    pub cpu_affinity: Vec<u16>,
    /// Health checks, names unique.
    pub checks: Vec<CheckConfig>,
    /// As whom commands run that do not say; if absent as the daemon does.
    pub script_user: Option<RunAs>,
    /// Whether commands that run as root are refused where others than root can
    /// change them.
    pub script_security: bool,
    /// FIFOs that hear of all transitions.
    pub notify_fifos: Vec<Fifo>,
    /// Instances that move together.
    pub sync_groups: Vec<SyncGroup>,
    /// The virtual routers, in the order of the file; none only if a keepalived.conf
    /// has none. Names unique,
    /// (interface, VRID, family) unique, no address twice on one interface.
    pub instances: Vec<InstanceConfig>,
}

/// How the kernel program is attached to the interfaces.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum XdpMode {
    /// In the driver where it can, else generic, with a warning.
    #[default]
    Auto,
    /// In the driver, or not at all.
    Driver,
    /// Behind the driver: slower, works on every interface.
    Generic,
}

impl XdpMode {
    /// The word in the configuration.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Driver => "driver",
            Self::Generic => "generic",
        }
    }
}

impl fmt::Display for XdpMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One virtual router.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct InstanceConfig {
    /// Its name in log and status: printable, no white space, at most 64 octets.
    pub name: String,
    /// The interface it takes part on.
    pub interface: String,
    /// Virtual router identifier.
    pub vrid: Vrid,
    /// The family of all its addresses.
    pub family: AddressFamily,
    /// Version of the protocol; version 2 is IPv4 only.
    pub version: Version,
    /// 1 to 255.
    pub priority: Priority,
    /// Advertisement_Interval: in version 3 a multiple of 10 ms from 10 ms to
    /// 40.95 s, in version 2 whole seconds from 1 to 255.
    pub advert_interval: Duration,
    /// Preempt_Mode: whether a router of lower priority is relieved.
    pub preempt: bool,
    /// How long a lower Active router is left alone before it is relieved; up to
    /// 1000 s.
    pub preempt_delay: Duration,
    /// Whether an Active router whose priority falls below ours is relieved after
    /// Skew_Time instead of what is left of Active_Down_Interval.
    pub quick_preempt: bool,
    /// What the checksum covers; counts in version 3 over IPv4 only.
    pub checksum: ChecksumForm,
    /// Version 2 only: simple text password, sent and expected.
    pub password: Option<Password>,
    /// To whom advertisements go and from whom they are taken, if not by
    /// multicast.
    pub unicast: Option<Unicast>,
    /// Whether the addresses live on an interface of their own with the virtual
    /// router's link-layer address (RFC 9568 §7.3), and its name if it is given.
    pub virtual_mac: Option<VirtualMacInterface>,
    /// Accept_Mode: whether the Active router takes packets to the addresses for
    /// itself, or only answers for them and forwards.
    pub accept: bool,
    /// The virtual addresses, in the order in which they are advertised. May be
    /// empty; the first of an IPv6 instance is link-local, unless
    /// [`any_first_address`](Self::any_first_address).
    pub addresses: Vec<AddressConfig>,
    /// Whether the first IPv6 address of an advertisement may be of any kind, sent
    /// and received, as keepalived allows it.
    pub any_first_address: bool,
    /// Addresses of any family that follow the others and are not advertised.
    pub excluded_addresses: Vec<AddressConfig>,
    /// Routes that follow the addresses.
    pub routes: Vec<RouteConfig>,
    /// Policy rules that follow the addresses.
    pub rules: Vec<RuleConfig>,
    /// When the addresses are announced.
    pub announce: AnnounceSchedule,
    /// Interfaces that count for the priority, or without which the instance
    /// cannot take part.
    pub track_interfaces: Vec<TrackedInterface>,
    /// Health checks that count for the priority, or that have to pass; those of
    /// its sync group are not in it.
    pub track_checks: Vec<TrackedCheck>,
    /// Who hears of its transitions.
    pub notify: NotifyConfig,
}

impl InstanceConfig {
    /// The addresses that follow the instance, advertised or not.
    pub fn all_addresses(&self) -> impl Iterator<Item = &AddressConfig> {
        self.addresses.iter().chain(&self.excluded_addresses)
    }

    /// Active_Down_Interval as long as no other interval is learned.
    #[must_use]
    pub fn active_down_interval(&self) -> Duration {
        timers::active_down_interval(self.version, self.priority, self.advert_interval)
    }
}

/// Instances that are Active together, Backup together and in fault together.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SyncGroup {
    /// Its name in log and status, by the rules of an instance's; unique.
    pub name: String,
    /// Places in [`Config::instances`]: at least one, each in one group only.
    pub members: Vec<usize>,
    /// Interfaces that count for each member.
    pub track_interfaces: Vec<TrackedInterface>,
    /// Health checks that count for each member.
    pub track_checks: Vec<TrackedCheck>,
    /// Who hears of the transitions of the group as a whole.
    pub notify: NotifyConfig,
}

/// The interface with a virtual router's link-layer address.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct VirtualMacInterface {
    /// Its name, if not chosen by Harrier.
    pub name: Option<String>,
}

/// A virtual address and how it is put on an interface.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AddressConfig {
    /// The address with its prefix length.
    pub address: VirtualAddress,
    /// The interface, if not the one that the instance's addresses live on: its
    /// own, or with a virtual MAC address that one's.
    pub interface: Option<String>,
    /// `IFA_LABEL`, IPv4 only: the interface's name, or that followed by `:` and
    /// more; at most 15 octets.
    pub label: Option<String>,
    /// How far the address is valid.
    pub scope: Scope,
    /// Whether the kernel adds the route to the address's prefix.
    pub prefix_route: bool,
}

impl From<VirtualAddress> for AddressConfig {
    fn from(address: VirtualAddress) -> Self {
        Self {
            address,
            interface: None,
            label: None,
            scope: Scope::Global,
            prefix_route: true,
        }
    }
}

impl fmt::Display for AddressConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.address.fmt(f)
    }
}

/// How far an address is valid (`ip-address(8)`, scope).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Scope {
    /// Everywhere.
    #[default]
    Global,
    /// In the site (IPv6, deprecated).
    Site,
    /// On the link.
    Link,
    /// On the host.
    Host,
}

/// A route that follows the virtual addresses.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RouteConfig {
    /// Where it leads to; /0 is the default route. No bits behind the prefix.
    pub destination: VirtualAddress,
    /// The next router, of the destination's family.
    pub via: Option<IpAddr>,
    /// The interface; where there is no `via` the instance's by default.
    pub interface: Option<String>,
    /// Table, 1 to 2^32 - 1; the main one (254) by default.
    pub table: Option<u32>,
    /// Metric; the kernel's default if absent.
    pub metric: Option<u32>,
    /// Preferred source address.
    pub source: Option<IpAddr>,
}

/// A policy rule that follows the virtual addresses.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct RuleConfig {
    /// The source prefix that it is about; at least one of `from` and `to` is
    /// given, both of one family.
    pub from: Option<VirtualAddress>,
    /// The destination prefix that it is about.
    pub to: Option<VirtualAddress>,
    /// The table that is looked up, 1 to 2^32 - 1.
    pub table: u32,
    /// Its preference, chosen by the kernel if absent.
    pub priority: Option<u32>,
}

/// An interface that counts for an instance.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TrackedInterface {
    /// Its name.
    pub name: String,
    /// Added to the priority while it is up (positive), or while it is down
    /// (negative), -253 to 253; 0: without it the instance is in fault.
    pub weight: i16,
    /// It counts as up while it is down, and the other way round.
    pub reverse: bool,
}

/// Advertisements to and from listed peers only.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Unicast {
    /// The address to send from; by default the interface's own.
    pub source: Option<IpAddr>,
    /// The other routers: at least one, of the instance's family, each once.
    pub peers: Vec<IpAddr>,
    /// Least TTL or hop limit accepted, 1 to 255.
    pub min_ttl: u8,
}

/// One virtual address, shown as `10.0.0.1/24`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct VirtualAddress {
    /// The address: a unicast address that a host may have.
    pub address: IpAddr,
    /// Bits of the network, up to 32 or 128.
    pub prefix_len: u8,
}

impl fmt::Display for VirtualAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix_len)
    }
}

/// A simple text password of version 2 (RFC 2338 §5.3.6): 1 to 8 octets, zeros
/// behind it. It goes over the wire in the clear; it is kept out of the log all
/// the same.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Password([u8; Self::MAX]);

impl Password {
    /// The most octets that fit.
    pub const MAX: usize = 8;

    /// `None` if `text` is empty, too long or has a zero in it.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        let text = text.as_bytes();
        if text.is_empty() || text.len() > Self::MAX || text.contains(&0) {
            return None;
        }
        let mut octets = [0; Self::MAX];
        octets[..text.len()].copy_from_slice(text);
        Some(Self(octets))
    }

    /// As it is written, for a configuration file only.
    pub(in crate::config) fn text(self) -> String {
        String::from_utf8_lossy(&self.0)
            .trim_end_matches('\0')
            .to_owned()
    }

    /// As it stands on the wire.
    #[must_use]
    pub const fn octets(self) -> [u8; Self::MAX] {
        self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(…)")
    }
}
