//! The validated configuration: types that cannot hold what Harrier cannot do,
//! whatever language the file was written in.

use std::{fmt, net::IpAddr, time::Duration};

pub use ha_common::wire::vrrp::ChecksumForm;
use ha_common::{
    fsm::timers,
    types::{AddressFamily, Priority, Version, Vrid},
};

/// Everything that one daemon is told.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Config {
    /// How the kernel program is attached.
    pub xdp_mode: XdpMode,
    /// The virtual routers, in the order of the file; never empty, names unique,
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
    /// What the checksum covers; counts in version 3 over IPv4 only.
    pub checksum: ChecksumForm,
    /// Version 2 only: simple text password, sent and expected.
    pub password: Option<Password>,
    /// To whom advertisements go and from whom they are taken, if not by
    /// multicast.
    pub unicast: Option<Unicast>,
    /// The virtual addresses, in the order in which they are advertised. May be
    /// empty; the first of an IPv6 instance is link-local.
    pub addresses: Vec<VirtualAddress>,
}

impl InstanceConfig {
    /// Active_Down_Interval as long as no other interval is learned.
    #[must_use]
    pub fn active_down_interval(&self) -> Duration {
        timers::active_down_interval(self.version, self.priority, self.advert_interval)
    }
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
