//! What an interface is and has when the daemon starts.

use std::net::IpAddr;

use futures_util::TryStreamExt;
use ha_common::types::{AddressFamily, MacAddress};
use netlink_packet_route::{
    address::{AddressAttribute, AddressFlags, AddressMessage},
    link::{LinkAttribute, LinkFlags, LinkMessage},
};

use crate::config::Unicast;

/// An interface as found at start.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Interface {
    /// Kernel index.
    pub index: u32,
    /// Name.
    pub name: String,
    /// Link-layer address.
    pub mac: MacAddress,
    /// Administratively up and with a carrier.
    pub up: bool,
    /// Its addresses, in the kernel's order.
    pub addresses: Vec<InterfaceAddress>,
}

/// One address of an interface.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct InterfaceAddress {
    /// The address.
    pub address: IpAddr,
    /// Length of its prefix.
    pub prefix_len: u8,
    /// `IFA_F_SECONDARY` (IPv4): another address of the same prefix came first.
    pub secondary: bool,
    /// Duplicate address detection is under way or has failed (IPv6).
    pub tentative: bool,
    /// `IFA_PROTO`: who put it there (Linux 5.18).
    pub protocol: Option<u8>,
}

/// Why an interface cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum InterfaceError {
    /// The interface does not exist.
    #[error("interface {name} does not exist in this network namespace; see `ip link`")]
    Missing {
        /// The configured name.
        name: String,
    },
    /// The interface has no Ethernet address.
    #[error("interface {name} is not an Ethernet interface; VRRP needs one with a 6-octet address")]
    NotEthernet {
        /// The configured name.
        name: String,
    },
    /// No address to send advertisements from.
    #[error(
        "interface {name} has no usable {family} address of its own to send advertisements from; \
         {remedy}"
    )]
    NoAddress {
        /// The configured name.
        name: String,
        /// The family that is missing.
        family: AddressFamily,
        /// What the operator can do.
        remedy: &'static str,
    },
    /// The source that the configuration names cannot be sent from.
    #[error(
        "interface {name} has no usable address {address} of its own, which unicast names as \
         source; `ip address show dev {name}` lists those it has"
    )]
    NoSource {
        /// The configured name.
        name: String,
        /// The configured source.
        address: IpAddr,
    },
    /// A unicast peer is the router itself.
    #[error(
        "{address} is listed as unicast peer, but is the address that this router sends from on \
         interface {name}; list the other routers only"
    )]
    OwnPeer {
        /// The configured name.
        name: String,
        /// The peer.
        address: IpAddr,
    },
    /// Netlink did not answer as it should.
    #[error("asking the kernel about interface {name}: {source}")]
    Netlink {
        /// The configured name.
        name: String,
        /// What rtnetlink says.
        source: rtnetlink::Error,
    },
}

/// Looks up `name` with its addresses.
///
/// # Errors
/// [`InterfaceError`]; the interface may be down.
pub async fn resolve(handle: &rtnetlink::Handle, name: &str) -> Result<Interface, InterfaceError> {
    let failed = |source| InterfaceError::Netlink {
        name: name.to_owned(),
        source,
    };
    let mut links = handle.link().get().match_name(name).execute();
    let link = match links.try_next().await {
        Ok(Some(link)) => link,
        Ok(None) => {
            return Err(InterfaceError::Missing {
                name: name.to_owned(),
            });
        }
        Err(rtnetlink::Error::NetlinkError(message))
            if message.raw_code().abs() == libc::ENODEV =>
        {
            return Err(InterfaceError::Missing {
                name: name.to_owned(),
            });
        }
        Err(source) => return Err(failed(source)),
    };
    let index = link.header.index;
    let mac = link_address(&link).ok_or_else(|| InterfaceError::NotEthernet {
        name: name.to_owned(),
    })?;
    let addresses: Vec<AddressMessage> = handle
        .address()
        .get()
        .set_link_index_filter(index)
        .execute()
        .try_collect()
        .await
        .map_err(failed)?;
    Ok(Interface {
        index,
        name: name.to_owned(),
        mac,
        up: is_up(&link),
        addresses: addresses
            .iter()
            .filter(|message| message.header.index == index)
            .filter_map(interface_address)
            .collect(),
    })
}

impl Interface {
    /// The address that advertisements are sent from (RFC 9568 §5.1.1.1, §5.1.2.1):
    /// the primary IPv4 or the link-local IPv6 address, but none of `not`.
    #[must_use]
    pub fn primary(&self, family: AddressFamily, not: &[IpAddr]) -> Option<IpAddr> {
        self.own(not)
            .filter(|candidate| {
                AddressFamily::of(candidate.address) == family && !candidate.secondary
            })
            .map(|candidate| candidate.address)
            .find(|address| address.is_ipv4() || is_link_local(*address))
    }

    /// Its addresses that can be sent from and are none of `not`.
    fn own(&self, not: &[IpAddr]) -> impl Iterator<Item = &InterfaceAddress> {
        self.addresses.iter().filter(move |candidate| {
            !candidate.tentative
                && candidate.protocol != Some(super::host::PROTOCOL)
                && !not.contains(&candidate.address)
        })
    }

    /// The address that an instance sends from: by multicast the
    /// [`primary`](Self::primary); by unicast the configured source, else the
    /// primary, but a global IPv6 address if there is a peer that is not link-local.
    ///
    /// # Errors
    /// [`InterfaceError::NoAddress`], [`NoSource`](InterfaceError::NoSource),
    /// [`OwnPeer`](InterfaceError::OwnPeer).
    pub fn source(
        &self,
        family: AddressFamily,
        unicast: Option<&Unicast>,
        not: &[IpAddr],
    ) -> Result<IpAddr, InterfaceError> {
        let Some(unicast) = unicast else {
            return self.require_primary(family, not);
        };
        let source = if let Some(source) = unicast.source {
            self.own(not)
                .map(|candidate| candidate.address)
                .find(|address| *address == source)
                .ok_or_else(|| InterfaceError::NoSource {
                    name: self.name.clone(),
                    address: source,
                })?
        } else if family == AddressFamily::Ipv4 || unicast.peers.iter().copied().all(is_link_local)
        {
            self.require_primary(family, not)?
        } else {
            self.own(not)
                .map(|candidate| candidate.address)
                .find(|address| address.is_ipv6() && !is_link_local(*address))
                .ok_or_else(|| InterfaceError::NoAddress {
                    name: self.name.clone(),
                    family,
                    remedy: "its peers are not link-local, so it needs a global one that is \
                             neither virtual nor tentative (`ip address add`)",
                })?
        };
        if unicast.peers.contains(&source) {
            return Err(InterfaceError::OwnPeer {
                name: self.name.clone(),
                address: source,
            });
        }
        Ok(source)
    }

    /// [`primary`](Self::primary), or the error that says what to do.
    ///
    /// # Errors
    /// [`InterfaceError::NoAddress`].
    pub fn require_primary(
        &self,
        family: AddressFamily,
        not: &[IpAddr],
    ) -> Result<IpAddr, InterfaceError> {
        self.primary(family, not).ok_or_else(|| InterfaceError::NoAddress {
            name: self.name.clone(),
            family,
            remedy: match family {
                AddressFamily::Ipv4 => "add one that is not a virtual address (`ip address add`)",
                AddressFamily::Ipv6 => {
                    "it needs a link-local address that is not tentative: bring the interface up \
                     and see that IPv6 is not disabled on it"
                }
            },
        })
    }
}

fn is_link_local(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(address) if address.is_unicast_link_local())
}

/// Administratively up, and the kernel sees a carrier.
#[must_use]
pub fn is_up(link: &LinkMessage) -> bool {
    link.header
        .flags
        .contains(LinkFlags::Up | LinkFlags::LowerUp)
}

pub(super) fn link_address(link: &LinkMessage) -> Option<MacAddress> {
    link.attributes
        .iter()
        .find_map(|attribute| match attribute {
            LinkAttribute::Address(octets) => {
                <[u8; 6]>::try_from(octets.as_slice()).ok().map(MacAddress)
            }
            _ => None,
        })
}

pub(super) fn interface_address(message: &AddressMessage) -> Option<InterfaceAddress> {
    let mut address = None;
    let mut local = None;
    let mut protocol = None;
    let mut flags = AddressFlags::from_bits_retain(u32::from(message.header.flags.bits()));
    for attribute in &message.attributes {
        match attribute {
            AddressAttribute::Address(value) => address = Some(*value),
            AddressAttribute::Local(value) => local = Some(*value),
            AddressAttribute::Flags(value) => flags = *value,
            AddressAttribute::Protocol(value) => protocol = Some(u8::from(*value)),
            _ => {}
        }
    }
    Some(InterfaceAddress {
        // On a point-to-point link IFA_ADDRESS is the peer's.
        address: local.or(address)?,
        prefix_len: message.header.prefix_len,
        secondary: local.or(address)?.is_ipv4() && flags.contains(AddressFlags::Secondary),
        tentative: flags.intersects(AddressFlags::Tentative | AddressFlags::Dadfailed)
            && !flags.contains(AddressFlags::Optimistic),
        protocol,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interface(addresses: Vec<InterfaceAddress>) -> Interface {
        Interface {
            index: 2,
            name: "eth0".into(),
            mac: MacAddress::default(),
            up: true,
            addresses,
        }
    }

    fn address(text: &str) -> InterfaceAddress {
        InterfaceAddress {
            address: text.parse().unwrap(),
            prefix_len: 24,
            secondary: false,
            tentative: false,
            protocol: None,
        }
    }

    #[test]
    fn the_primary_is_neither_secondary_nor_virtual_nor_tentative() {
        let virtual_address: IpAddr = "10.0.0.100".parse().unwrap();
        let interface = interface(vec![
            address("10.0.0.100"),
            InterfaceAddress {
                protocol: Some(super::super::host::PROTOCOL),
                ..address("10.0.0.101")
            },
            InterfaceAddress {
                secondary: true,
                ..address("10.0.0.102")
            },
            address("10.0.0.2"),
            address("2001:db8::1"),
            InterfaceAddress {
                tentative: true,
                ..address("fe80::1")
            },
        ]);
        assert_eq!(
            interface.primary(AddressFamily::Ipv4, &[virtual_address]),
            Some("10.0.0.2".parse().unwrap())
        );
        assert_eq!(
            interface.primary(AddressFamily::Ipv6, &[]),
            None,
            "a global address is no source, a tentative one not yet"
        );
        let message = interface
            .require_primary(AddressFamily::Ipv6, &[])
            .unwrap_err()
            .to_string();
        assert!(
            message.contains("eth0") && message.contains("link-local"),
            "{message}"
        );
    }

    #[test]
    fn the_source_for_unicast_suits_the_peers() {
        let interface = interface(vec![
            address("10.0.0.2"),
            InterfaceAddress {
                secondary: true,
                ..address("10.0.0.3")
            },
            address("fe80::2"),
            address("2001:db8::100"),
            address("2001:db8::2"),
        ]);
        let virtual_address: IpAddr = "2001:db8::100".parse().unwrap();
        let source = |family, source: Option<&str>, peers: &[&str]| {
            let unicast = Unicast {
                source: source.map(|source| source.parse().unwrap()),
                peers: peers.iter().map(|peer| peer.parse().unwrap()).collect(),
                min_ttl: 255,
            };
            interface
                .source(family, Some(&unicast), &[virtual_address])
                .map(|source| source.to_string())
                .map_err(|error| error.to_string())
        };
        let (v4, v6) = (AddressFamily::Ipv4, AddressFamily::Ipv6);
        for (family, named, peers, expected) in [
            (v4, None, &["10.0.0.9"][..], "10.0.0.2"),
            (v4, Some("10.0.0.3"), &["10.0.0.9"], "10.0.0.3"),
            (v6, None, &["fe80::9"], "fe80::2"),
            (v6, None, &["2001:db8::9"], "2001:db8::2"),
            (v6, None, &["fe80::9", "2001:db8::9"], "2001:db8::2"),
            (v6, Some("fe80::2"), &["2001:db8::9"], "fe80::2"),
        ] {
            assert_eq!(source(family, named, peers).as_deref(), Ok(expected));
        }
        for (family, named, peers, part) in [
            (
                v4,
                Some("10.0.0.9"),
                "10.0.0.8",
                "no usable address 10.0.0.9",
            ),
            (
                v6,
                Some("2001:db8::100"),
                "fe80::9",
                "no usable address 2001:db8::100",
            ),
            (v4, None, "10.0.0.2", "list the other routers only"),
        ] {
            let message = source(family, named, &[peers]).unwrap_err();
            assert!(
                message.contains(part) && message.contains("eth0"),
                "{message}"
            );
        }
    }
}
