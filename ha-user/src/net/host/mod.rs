//! What follows an Active router on its host: virtual addresses, routes, policy
//! rules, and whether its own interface is up.
//!
//! An [`Item`] is plain data that is put on the host and taken off again; the
//! [`HostTable`] does both and remembers what it has put there.

mod address;
mod error;
mod items;
mod link;
mod route;
mod rule;
mod table;

use std::{
    fmt,
    hash::{Hash, Hasher},
    net::IpAddr,
    sync::Arc,
};

use netlink_packet_route::RouteNetlinkMessage;

pub use self::{
    address::{Address, Scope},
    error::HostError,
    items::Items,
    link::Link,
    route::{MAIN_TABLE, Route},
    rule::Rule,
    table::{HostTable, PutBackError},
};

/// Marks everything that Harrier adds, with VRRP's protocol number: `IFA_PROTO`
/// of addresses (Linux 5.18), `rtm_protocol` of routes, `FRA_PROTOCOL` of rules
/// (Linux 4.17). It tells ours from those that others added.
pub const PROTOCOL: u8 = 112;

/// A network interface. Two are the same if their indexes are: the name is for
/// people, and for the journal.
#[derive(Clone, Debug)]
pub struct Device {
    /// Kernel index.
    pub index: u32,
    /// Name at the time it was looked up.
    pub name: Arc<str>,
}

impl Device {
    /// The interface with this index and name.
    #[must_use]
    pub fn new(index: u32, name: &str) -> Self {
        Self {
            index,
            name: name.into(),
        }
    }
}

impl PartialEq for Device {
    fn eq(&self, other: &Self) -> bool {
        self.index == other.index
    }
}

impl Eq for Device {}

impl Hash for Device {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.index.hash(state);
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// A network, shown as `10.0.0.0/8`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Prefix {
    /// Its address, no bits behind the prefix.
    pub address: IpAddr,
    /// Bits that count, up to 32 or 128.
    pub len: u8,
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.len)
    }
}

/// One thing that is put on the host and taken off again. It belongs to one
/// virtual router: who removes it, removes it for all.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Item {
    /// An address on an interface.
    Address(Address),
    /// A route.
    Route(Route),
    /// A policy rule.
    Rule(Rule),
    /// An interface that is up, and down when the item is removed.
    Link(Link),
}

impl From<Address> for Item {
    fn from(address: Address) -> Self {
        Self::Address(address)
    }
}

impl From<Route> for Item {
    fn from(route: Route) -> Self {
        Self::Route(route)
    }
}

impl From<Rule> for Item {
    fn from(rule: Rule) -> Self {
        Self::Rule(rule)
    }
}

impl From<Link> for Item {
    fn from(link: Link) -> Self {
        Self::Link(link)
    }
}

impl fmt::Display for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Route(route) => route.fmt(f),
            Self::Rule(rule) => rule.fmt(f),
            Self::Link(link) => link.fmt(f),
        }
    }
}

impl Item {
    /// Whether it is `address` on the interface with this index.
    #[must_use]
    pub fn is_address(&self, index: u32, address: IpAddr) -> bool {
        matches!(self, Self::Address(item) if item.device.index == index && item.address == address)
    }

    /// Whether it is the interface with this index, to be up.
    #[must_use]
    pub fn is_link(&self, index: u32) -> bool {
        matches!(self, Self::Link(link) if link.device.index == index)
    }

    /// The request that does `operation`.
    fn request(&self, operation: Operation) -> RouteNetlinkMessage {
        use Operation::{Install, Remove};
        use RouteNetlinkMessage as Message;
        match (self, operation) {
            (Self::Address(address), Install) => Message::NewAddress(address.message()),
            (Self::Address(address), Remove) => Message::DelAddress(address.message()),
            (Self::Route(route), Install) => Message::NewRoute(route.message()),
            (Self::Route(route), Remove) => Message::DelRoute(route.message()),
            (Self::Rule(rule), Install) => Message::NewRule(rule.message()),
            (Self::Rule(rule), Remove) => Message::DelRule(rule.message()),
            (Self::Link(link), operation) => {
                Message::SetLink(link.message(operation == Operation::Install))
            }
        }
    }

    /// Whether a removal that is refused with `code` finds nothing left to remove:
    /// somebody was faster, or the kernel itself, which removes routes when their
    /// interface goes down or their source address goes.
    fn is_gone(&self, code: i32) -> bool {
        match self {
            Self::Address(_) => matches!(code, libc::EADDRNOTAVAIL | libc::ENODEV),
            Self::Route(_) => matches!(
                code,
                libc::ESRCH | libc::ENOENT | libc::ENODEV | libc::ENETDOWN
            ),
            Self::Rule(_) => matches!(code, libc::ENOENT | libc::ESRCH),
            Self::Link(_) => code == libc::ENODEV,
        }
    }
}

/// What a request is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Operation {
    Install,
    Remove,
}

/// The kernel's number of the family of `address`.
fn family(address: IpAddr) -> netlink_packet_route::AddressFamily {
    match address {
        IpAddr::V4(_) => netlink_packet_route::AddressFamily::Inet,
        IpAddr::V6(_) => netlink_packet_route::AddressFamily::Inet6,
    }
}
