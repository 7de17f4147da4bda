//! What goes over the control socket: one line of JSON asks, one line answers.
//!
//! The field names of [`Status`] and [`Peer`] are a contract: `harrier status
//! --json` and `harrier peers --json` print them as they are. Fields may be
//! added, none renamed or removed.

mod scheduling;

use std::{collections::BTreeMap, fmt, net::IpAddr};

use ha_common::{fsm::StateKind, types::AddressFamily};
use serde::{Deserialize, Serialize};

pub use self::scheduling::Scheduling;
pub(crate) use self::scheduling::cpu_list;
use crate::health;

/// Longest request line in octets, newline included.
pub const MAX_REQUEST: usize = 4096;

/// Longest reply line in octets that a client reads, newline included.
pub const MAX_REPLY: usize = 16 * 1024 * 1024;

/// A question to the daemon.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "snake_case", deny_unknown_fields)]
pub enum Request {
    /// What is every virtual router doing? Answered by [`Reply::Status`].
    Status,
    /// Which peers are heard? Answered by [`Reply::Peers`].
    Peers,
    /// How many packets for which reason? Answered by [`Reply::Counters`].
    Counters,
    /// Read the configuration file anew. Answered by [`Reply::Reloaded`].
    Reload,
    /// Have another router take over from an instance and its sync group, or let it
    /// come back. Answered by [`Reply::Failover`].
    Failover {
        /// Name of the instance.
        instance: String,
        /// Whether it may come back.
        back: bool,
    },
    /// Which advertisements has the kernel program seen since `cursor`? Answered by
    /// [`Reply::Dump`] when there is one, or after a second.
    Dump {
        /// Names of instances; none for all.
        instances: Vec<String>,
        /// Of the last answer; absent for those from now on.
        cursor: Option<DumpCursor>,
    },
    /// Why is an instance what it is? Answered by [`Reply::Explanation`].
    Explain {
        /// Name of the instance.
        instance: String,
    },
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
    /// To [`Request::Reload`]: the new configuration is in effect.
    Reloaded(Reloaded),
    /// To [`Request::Failover`].
    Failover(Failover),
    /// To [`Request::Dump`].
    Dump(Dump),
    /// To [`Request::Explain`].
    Explanation(Box<Explanation>),
    /// The request could not be answered, and why.
    Error(String),
}

/// What every virtual router is doing.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Status {
    /// The virtual routers, in the order of the configuration.
    pub instances: Vec<InstanceStatus>,
    /// The health checks, in the order of the configuration.
    #[serde(default)]
    pub checks: Vec<CheckStatus>,
    /// Process id of the daemon.
    pub pid: u32,
    /// Version of the daemon.
    pub daemon_version: String,
    /// Whether the driver's thread runs under a real-time scheduling policy.
    pub realtime: bool,
    /// How it is scheduled; always there from a daemon of this version.
    #[serde(default)]
    pub scheduling: Option<Scheduling>,
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
    /// Whether another router is to have the addresses (`harrier failover`).
    #[serde(default)]
    pub drained: bool,
    /// Why it cannot take part, or what it waits for, in words.
    #[serde(default)]
    pub problem: Option<String>,
    /// What is not as it should be between it and other routers, of the last
    /// five minutes, the newest last.
    #[serde(default)]
    pub conflicts: Vec<ConflictStatus>,
}

/// What one health check says.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct CheckStatus {
    /// Its name in the configuration.
    pub name: String,
    /// `"exec"`, `"http"`, `"tcp"`, `"process"`, `"file"`, `"ping"` or `"interface"`.
    pub kind: String,
    /// `"pending"`, `"passing"`, `"failing"`, or `"value"` of one that is a number.
    pub state: CheckState,
    /// The number.
    pub value: Option<i32>,
    /// Milliseconds in this state; `null` of an interface.
    pub since_ms: Option<u64>,
    /// How long the last round took, in milliseconds.
    pub last_round_ms: Option<f64>,
    /// What the last round had to say: the last line of a command's output, or what
    /// went wrong.
    pub text: Option<String>,
    /// Rounds since the daemon started.
    pub rounds: u64,
    /// How many of them failed.
    pub failures: u64,
    /// Rounds that were left out because the one before took too long.
    pub skipped: u64,
}

/// Whether a health check passes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CheckState {
    /// Its first round is not over.
    Pending,
    /// It passes.
    Passing,
    /// It fails.
    Failing,
    /// It is a number.
    Value,
}

impl CheckState {
    /// The word in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Passing => "passing",
            Self::Failing => "failing",
            Self::Value => "value",
        }
    }
}

impl From<health::State> for CheckState {
    fn from(state: health::State) -> Self {
        match state {
            health::State::Pending => Self::Pending,
            health::State::Passing => Self::Passing,
            health::State::Failing => Self::Failing,
            health::State::Value(_) => Self::Value,
        }
    }
}

/// Something that is not as it should be between us and another router.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct ConflictStatus {
    /// What it is about: `"two-actives"`, `"address-list"`, `"interval"`,
    /// `"version"`, `"checksum"`, `"authentication"`, `"transport"`, `"ttl"`,
    /// `"malformed"`, `"own-address"`, `"claim"` or `"owner"`.
    pub kind: String,
    /// The other router's address; in a claim the claimed one; of an owner by
    /// itself the one that is not where it should be.
    pub address: IpAddr,
    /// The other router's link-layer address; of an owner by itself its own.
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

/// Advertisements that the kernel program has seen.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Dump {
    /// The advertisements, oldest first.
    pub adverts: Vec<DumpedAdvert>,
    /// How many more there were that nobody kept, of all instances.
    pub lost: u64,
    /// For the next request.
    pub cursor: DumpCursor,
}

/// Up to where a client has seen them.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct DumpCursor {
    /// The number of the next one.
    pub next: u64,
    /// How many the kernel had lost by then.
    pub lost: u64,
}

/// An advertisement, as the kernel program saw it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct DumpedAdvert {
    /// Arrival, nanoseconds of `CLOCK_MONOTONIC`.
    pub at_ns: u64,
    /// Name of our virtual router.
    pub instance: String,
    /// Virtual router identifier.
    pub vrid: u8,
    /// Source address.
    pub source: IpAddr,
    /// Source link-layer address.
    pub mac: String,
    /// Whether it was sent to the multicast group.
    pub multicast: bool,
    /// TTL or hop limit.
    pub ttl: u8,
    /// 2 or 3.
    pub version: u8,
    /// Advertised priority.
    pub priority: u8,
    /// Advertised interval in milliseconds.
    pub advert_interval_ms: u64,
    /// Number of addresses that it says it has.
    pub address_count: u8,
    /// The counter that says why it was refused; absent if it is valid.
    pub refused: Option<String>,
    /// Whether it was kept from the host's stack.
    pub consumed: bool,
}

/// Packets by reason, summed over the CPUs.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Counters(pub BTreeMap<String, u64>);

/// What a new configuration has changed; all empty if nothing.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Reloaded {
    /// Instances that go on, changed in place.
    pub changed: Vec<InstanceChange>,
    /// Names of new instances.
    pub added: Vec<String>,
    /// Names of instances that go: they serve until a successor does.
    pub removed: Vec<String>,
    /// Names of instances that are another virtual router now: the old one goes as
    /// a removed one does, the new one starts.
    pub replaced: Vec<String>,
    /// What has changed beside the instances, a line for each.
    pub other: Vec<String>,
}

/// What has changed for one instance.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct InstanceChange {
    /// Its name.
    pub name: String,
    /// What, a line for each, such as `priority 100 -> 150`.
    pub changes: Vec<String>,
}

impl Reloaded {
    /// A line for each change; none if nothing has changed.
    pub fn lines(&self) -> impl Iterator<Item = String> + '_ {
        let changed = self.changed.iter().flat_map(|instance| {
            let lines = instance.changes.iter();
            lines.map(|line| format!("{}: {line}", instance.name))
        });
        let added = self.added.iter().map(|name| format!("{name}: added"));
        let removed = self.removed.iter().map(|name| format!("{name}: removed"));
        let replaced = self.replaced.iter();
        let replaced = replaced.map(|name| format!("{name}: another virtual router, replaced"));
        changed
            .chain(added)
            .chain(removed)
            .chain(replaced)
            .chain(self.other.iter().cloned())
    }
}

/// The changes in one line.
impl fmt::Display for Reloaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut lines = self.lines().peekable();
        if lines.peek().is_none() {
            return f.write_str("nothing has changed");
        }
        for (place, line) in lines.enumerate() {
            let comma = if place == 0 { "" } else { "; " };
            write!(f, "{comma}{line}")?;
        }
        Ok(())
    }
}

/// What has come of a failover by hand.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Failover {
    /// The instances that it concerns: the one asked for, and those of its sync group.
    pub instances: Vec<String>,
    /// Whether they are drained from now on.
    pub drained: bool,
}

/// Why an instance is what it is.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Explanation {
    /// What it is doing.
    pub status: InstanceStatus,
    /// What each tracker does for it.
    pub trackers: Vec<TrackerStatus>,
    /// The last advertisement that held it back or outranked it.
    pub heard: Option<HeardStatus>,
    /// The routers that advertise for it.
    pub peers: Vec<Peer>,
    /// Events of the kernel program, of all instances since the start, that found no
    /// room.
    pub events_lost: u64,
    /// Its last transitions, the newest last; three at most.
    pub history: Vec<PastTransition>,
}

/// What a tracker does for an instance.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct TrackerStatus {
    /// What is tracked, as in `check nginx`.
    pub name: String,
    /// `"up"` or `"down"`, of a check `"passing"`, `"failing"` or a number; `"pending"`
    /// or `"unknown"`.
    pub reading: String,
    /// Its weight; 0: without it the instance is in fault.
    pub weight: i16,
    /// Whether it counts the other way round.
    pub reverse: bool,
    /// What it adds to the priority.
    pub added: i16,
    /// Whether it is why the instance is in fault.
    pub fault: bool,
}

/// An advertisement by the kernel's record.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct HeardStatus {
    /// Its source.
    pub source: IpAddr,
    /// Its priority.
    pub priority: u8,
    /// The interval that it advertises, in milliseconds.
    pub advert_interval_ms: u64,
    /// How long ago it arrived, in milliseconds.
    pub age_ms: f64,
}

/// A transition with what was known at the time.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct PastTransition {
    /// When, in milliseconds since 1970 (UTC).
    pub at_unix_ms: u64,
    /// How long ago, in milliseconds.
    pub ms_ago: u64,
    /// The state that was left.
    pub from: InstanceState,
    /// The state that was entered.
    pub to: InstanceState,
    /// Why, in words.
    pub reason: String,
    /// The priority in effect then.
    pub priority: u8,
    /// The last advertisement that had held it back or outranked it by then.
    pub heard: Option<HeardStatus>,
    /// Whether its interface was up.
    pub link_up: bool,
    /// As [`Explanation::events_lost`], then; `null` if it could not be told.
    pub events_lost: Option<u64>,
}
