//! What goes over the control socket: one line of JSON asks, one line answers.
//!
//! The field names of [`Status`] and [`Peer`] are a contract: `harrier status
//! --json` and `harrier peers --json` print them as they are. Fields may be
//! added, none renamed or removed.

use std::{collections::BTreeMap, net::IpAddr};

use ha_common::{fsm::StateKind, types::AddressFamily};
use serde::{Deserialize, Serialize};

/// Longest request line in octets, newline included.
pub const MAX_REQUEST: usize = 4096;

/// Longest reply line in octets that a client reads, newline included.
pub const MAX_REPLY: usize = 16 * 1024 * 1024;

/// A question to the daemon.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "snake_case", deny_unknown_fields)]
pub enum Request {
    /// What is every virtual router doing? Answered by [`Reply::Status`].
    Status,
    /// Which peers are heard? Answered by [`Reply::Peers`].
    Peers,
    /// How many packets for which reason? Answered by [`Reply::Counters`].
    Counters,
}

/// The daemon's answer.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// To [`Request::Status`].
    Status(Status),
    /// To [`Request::Peers`].
    Peers(Vec<Peer>),
    /// To [`Request::Counters`].
    Counters(Counters),
    /// The request could not be answered, and why.
    Error(String),
}

/// What every virtual router is doing.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Status {
    /// The virtual routers, in the order of the configuration.
    pub instances: Vec<InstanceStatus>,
    /// Process id of the daemon.
    pub pid: u32,
    /// Version of the daemon.
    pub daemon_version: String,
    /// Whether the driver's thread runs under a real-time scheduling policy.
    pub realtime: bool,
}

/// What one virtual router is doing.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct InstanceStatus {
    /// Its name in the configuration.
    pub name: String,
    /// Its interface.
    pub interface: String,
    /// Virtual router identifier.
    pub vrid: u8,
    /// `"ipv4"` or `"ipv6"`.
    pub family: Family,
    /// 2 or 3.
    pub version: u8,
    /// `"init"`, `"backup"`, `"active"`, `"releasing"` or `"fault"`.
    pub state: InstanceState,
    /// Priority in the configuration.
    pub base_priority: u8,
    /// Priority in effect.
    pub priority: u8,
    /// Our Advertisement_Interval in milliseconds.
    pub advert_interval_ms: u64,
    /// Active_Down_Interval as it applies now, in milliseconds.
    pub active_down_interval_ms: f64,
    /// The virtual addresses that are advertised, with their prefix lengths.
    pub addresses: Vec<String>,
    /// Addresses that follow them without being advertised.
    #[serde(default)]
    pub excluded_addresses: Vec<String>,
    /// Milliseconds in this state.
    pub since_ms: u64,
    /// Changes of state since the daemon started.
    pub transitions: u64,
    /// Address of the current Active router, if one is known.
    pub active: Option<IpAddr>,
    /// Why this state was entered, in words.
    pub last_transition: Option<String>,
    /// How the kernel program is attached to the interface: `"driver"` or
    /// `"generic"`; `null` if it is not.
    pub xdp_mode: Option<String>,
    /// Name of the sync group that it is in.
    #[serde(default)]
    pub sync_group: Option<String>,
    /// Why it cannot take part, or what it waits for, in words.
    #[serde(default)]
    pub problem: Option<String>,
    /// What is not as it should be between it and other routers, of the last
    /// five minutes, the newest last.
    #[serde(default)]
    pub conflicts: Vec<ConflictStatus>,
}

/// Something that is not as it should be between us and another router.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct ConflictStatus {
    /// What it is about: `"two-actives"`, `"address-list"`, `"interval"`,
    /// `"version"`, `"checksum"`, `"authentication"`, `"transport"`, `"ttl"`,
    /// `"malformed"`, `"own-address"` or `"claim"`.
    pub kind: String,
    /// The other router's address; in a claim the claimed one.
    pub address: IpAddr,
    /// The other router's link-layer address.
    pub mac: String,
    /// What is wrong, and what can be done.
    pub text: String,
    /// How often it was noticed; repetitions within a second or less may count
    /// as one.
    pub times: u64,
    /// Milliseconds since it was first noticed.
    pub first_ms_ago: u64,
    /// Milliseconds since it was last noticed.
    pub last_ms_ago: u64,
}

/// Address family, `"ipv4"` or `"ipv6"`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    /// IPv4.
    Ipv4,
    /// IPv6.
    Ipv6,
}

impl Family {
    /// The word in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ipv4 => "ipv4",
            Self::Ipv6 => "ipv6",
        }
    }
}

impl From<AddressFamily> for Family {
    fn from(family: AddressFamily) -> Self {
        match family {
            AddressFamily::Ipv4 => Self::Ipv4,
            AddressFamily::Ipv6 => Self::Ipv6,
        }
    }
}

/// State of a virtual router.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum InstanceState {
    /// Not taking part.
    Init,
    /// Watching the Active router.
    Backup,
    /// Serving the addresses.
    Active,
    /// Has sent priority 0 and serves the addresses until a successor speaks.
    Releasing,
    /// Cannot take part.
    Fault,
}

impl InstanceState {
    /// The word in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Init => "init",
            Self::Backup => "backup",
            Self::Active => "active",
            Self::Releasing => "releasing",
            Self::Fault => "fault",
        }
    }
}

impl From<StateKind> for InstanceState {
    fn from(kind: StateKind) -> Self {
        match kind {
            StateKind::Init => Self::Init,
            StateKind::Backup => Self::Backup,
            StateKind::Active => Self::Active,
            StateKind::Releasing => Self::Releasing,
            StateKind::Fault => Self::Fault,
        }
    }
}

/// A router that advertises for one of our virtual routers.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Peer {
    /// Name of our virtual router.
    pub instance: String,
    /// Source address.
    pub address: IpAddr,
    /// Source link-layer address.
    pub mac: String,
    /// Advertised priority.
    pub priority: u8,
    /// Advertised version, 2 or 3.
    pub version: u8,
    /// Advertised interval in milliseconds.
    pub advert_interval_ms: u64,
    /// Valid advertisements since it was first heard.
    pub adverts: u64,
    /// Milliseconds since the last of them arrived.
    pub last_advert_age_ms: f64,
}

/// Packets by reason, summed over the CPUs.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Counters(pub BTreeMap<String, u64>);
