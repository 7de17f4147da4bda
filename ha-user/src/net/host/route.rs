//! Routes.

use std::{fmt, net::IpAddr};

use netlink_packet_route::route::{
    RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteScope, RouteType,
};

use super::{Device, PROTOCOL, Prefix, family};

/// The table of routes that name none (`RT_TABLE_MAIN`).
pub const MAIN_TABLE: u32 = 254;

/// A unicast route.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Route {
    /// Where it leads to; /0 is the default route.
    pub destination: Prefix,
    /// The next router, of the destination's family; none if the destination is on
    /// the link.
    pub gateway: Option<IpAddr>,
    /// The interface; may be absent where there is a gateway.
    pub device: Option<Device>,
    /// Routing table, 1 to 2^32 - 1.
    pub table: u32,
    /// Metric; the kernel's default if absent.
    pub metric: Option<u32>,
    /// Preferred source address: one that the host has when the route is added.
    pub source: Option<IpAddr>,
}

impl Route {
    pub(super) fn message(&self) -> RouteMessage {
        let mut message = RouteMessage::default();
        message.header = RouteHeader {
            address_family: family(self.destination.address),
            destination_prefix_length: self.destination.len,
            // RT_TABLE_UNSPEC where eight bits do not do: RTA_TABLE is what counts.
            table: u8::try_from(self.table).unwrap_or(RouteHeader::RT_TABLE_UNSPEC),
            protocol: RouteProtocol::Other(PROTOCOL),
            scope: if self.gateway.is_some() || self.destination.address.is_ipv6() {
                RouteScope::Universe
            } else {
                RouteScope::Link
            },
            kind: RouteType::Unicast,
            ..RouteHeader::default()
        };
        let attributes = &mut message.attributes;
        if self.destination.len > 0 {
            attributes.push(RouteAttribute::Destination(self.destination.address.into()));
        }
        attributes.push(RouteAttribute::Table(self.table));
        if let Some(gateway) = self.gateway {
            attributes.push(RouteAttribute::Gateway(gateway.into()));
        }
        if let Some(device) = &self.device {
            attributes.push(RouteAttribute::Oif(device.index));
        }
        if let Some(metric) = self.metric {
            attributes.push(RouteAttribute::Priority(metric));
        }
        if let Some(source) = self.source {
            attributes.push(RouteAttribute::PrefSource(source.into()));
        }
        message
    }

    pub(super) fn remedy(&self, code: i32) -> &'static str {
        match code {
            libc::ENETUNREACH | libc::EHOSTUNREACH if self.gateway.is_some() => {
                "; its gateway is not on a network that the host is on: give the interface, or a \
                 virtual address, a prefix that has the gateway in it"
            }
            libc::EINVAL if self.source.is_some() => {
                "; is its source one of the virtual addresses, or of the host's own?"
            }
            libc::EEXIST => {
                "; there is a route to the same destination with the same metric: give this one \
                 another metric or table"
            }
            libc::ENETDOWN => "; the interface is down",
            libc::ENODEV => "; the interface is gone",
            _ => "",
        }
    }
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.destination.len == 0 {
            f.write_str("route default")?;
        } else {
            write!(f, "route {}", self.destination)?;
        }
        if let Some(gateway) = self.gateway {
            write!(f, " via {gateway}")?;
        }
        if let Some(device) = &self.device {
            write!(f, " dev {device}")?;
        }
        if self.table != MAIN_TABLE {
            write!(f, " table {}", self.table)?;
        }
        if let Some(metric) = self.metric {
            write!(f, " metric {metric}")?;
        }
        if let Some(source) = self.source {
            write!(f, " src {source}")?;
        }
        Ok(())
    }
}
