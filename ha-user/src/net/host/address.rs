//! Addresses on interfaces.

use std::{fmt, net::IpAddr};

use netlink_packet_route::address::{
    AddressAttribute, AddressFlags, AddressHeader, AddressHeaderFlags, AddressMessage,
    AddressProtocol, AddressScope, CacheInfo,
};

use super::{Device, PROTOCOL, family};

/// An address on an interface.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Address {
    /// The interface.
    pub device: Device,
    /// The address.
    pub address: IpAddr,
    /// Length of its prefix.
    pub prefix_len: u8,
    /// `IFA_LABEL`, IPv4 only; the interface's name if absent.
    pub label: Option<String>,
    /// How far it is valid; IPv4 only, for IPv6 the kernel decides.
    pub scope: Scope,
    /// Whether the kernel adds the route to the address's prefix.
    pub prefix_route: bool,
}

/// How far an address is valid (`ip-address(8)`, scope).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Scope {
    /// Everywhere.
    #[default]
    Global,
    /// In the site.
    Site,
    /// On the link.
    Link,
    /// On the host.
    Host,
}

impl Address {
    /// An address without label, of global scope, with the route to its prefix.
    #[must_use]
    pub const fn new(device: Device, address: IpAddr, prefix_len: u8) -> Self {
        Self {
            device,
            address,
            prefix_len,
            label: None,
            scope: Scope::Global,
            prefix_route: true,
        }
    }

    pub(super) fn message(&self) -> AddressMessage {
        let mut message = AddressMessage::default();
        message.header = AddressHeader {
            family: family(self.address),
            prefix_len: self.prefix_len,
            flags: AddressHeaderFlags::empty(),
            scope: match self.scope {
                Scope::Global => AddressScope::Universe,
                Scope::Site => AddressScope::Site,
                Scope::Link => AddressScope::Link,
                Scope::Host => AddressScope::Host,
            },
            index: self.device.index,
        };
        message.attributes = vec![
            AddressAttribute::Local(self.address),
            AddressAttribute::Address(self.address),
            AddressAttribute::Protocol(AddressProtocol::Other(PROTOCOL)),
        ];
        if let Some(label) = &self.label {
            message
                .attributes
                .push(AddressAttribute::Label(label.clone()));
        }
        let mut flags = AddressFlags::empty();
        if !self.prefix_route {
            flags |= AddressFlags::Noprefixroute;
        }
        if let IpAddr::V6(v6) = self.address {
            // The address moves from node to node: detection of duplicates would find
            // the old Active, and hold the address back for a second.
            flags |= AddressFlags::Nodad;
            // Reachable, but not chosen as a source: it may leave at any time.
            if self.prefix_len == 128 || v6.is_unicast_link_local() {
                let mut lifetime = CacheInfo::default();
                lifetime.ifa_preferred = 0;
                lifetime.ifa_valid = u32::MAX;
                message
                    .attributes
                    .push(AddressAttribute::CacheInfo(lifetime));
            }
        }
        if !flags.is_empty() {
            message.attributes.push(AddressAttribute::Flags(flags));
        }
        message
    }

    pub(super) fn remedy(&self, code: i32) -> &'static str {
        match code {
            libc::EACCES | libc::EADDRNOTAVAIL if self.address.is_ipv6() => {
                "; IPv6 is disabled on the interface: set its sysctl disable_ipv6 to 0"
            }
            libc::EEXIST => "; it is there already and stays its owner's",
            libc::ENODEV => "; the interface is gone",
            _ => "",
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "address {}/{} dev {}",
            self.address, self.prefix_len, self.device
        )
    }
}
