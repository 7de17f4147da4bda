//! What an interface is and has when the daemon starts.

use std::{net::IpAddr, time::Duration};

use futures_util::{StreamExt, TryStreamExt};
use ha_common::types::{AddressFamily, MacAddress};
use netlink_packet_route::{
    address::{AddressAttribute, AddressFlags, AddressMessage, AddressProtocol},
    link::{LinkAttribute, LinkFlags, LinkMessage},
};
use rtnetlink::MulticastGroup;

use super::link::AbortOnDrop;

/// How long a usable link-local address is waited for: duplicate address
/// detection takes 1 s by default (RFC 4862 §5.4), its start a random second more.
const LINK_LOCAL_PATIENCE: Duration = Duration::from_secs(5);

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
    /// Netlink did not answer as it should.
    #[error("asking the kernel about interface {name}: {source}")]
    Netlink {
        /// The configured name.
        name: String,
        /// What rtnetlink says.
        source: rtnetlink::Error,
    },
    /// No netlink socket.
    #[error("opening a netlink socket: {0}")]
    Socket(#[from] std::io::Error),
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

/// [`resolve`], waiting a few seconds for an IPv6 link-local address where one
/// of `families` is IPv6 and the interface is up: it is still tentative when a
/// daemon starts with the machine.
///
/// # Errors
/// As [`resolve`]; not having an address is no error here, see [`Interface::primary`].
pub async fn resolve_settled(
    name: &str,
    families: &[AddressFamily],
    not: &[IpAddr],
) -> Result<Interface, InterfaceError> {
    let (connection, handle, mut changes) =
        rtnetlink::new_multicast_connection(&[MulticastGroup::Ipv6Ifaddr])?;
    let _connection = AbortOnDrop(tokio::spawn(connection));
    let deadline = tokio::time::Instant::now() + LINK_LOCAL_PATIENCE;
    loop {
        let interface = resolve(&handle, name).await;
        let settled = match &interface {
            Ok(interface) => {
                !interface.up
                    || !families.contains(&AddressFamily::Ipv6)
                    || interface.primary(AddressFamily::Ipv6, not).is_some()
            }
            Err(_) => true,
        };
        if settled {
            return interface;
        }
        if tokio::time::timeout_at(deadline, changes.next())
            .await
            .is_err()
        {
            return interface;
        }
    }
}

impl Interface {
    /// The address that advertisements are sent from (RFC 9568 §5.1.1.1, §5.1.2.1):
    /// the primary IPv4 or the link-local IPv6 address, but none of `not`.
    #[must_use]
    pub fn primary(&self, family: AddressFamily, not: &[IpAddr]) -> Option<IpAddr> {
        self.addresses
            .iter()
            .filter(|candidate| {
                AddressFamily::of(candidate.address) == family
                    && !candidate.secondary
                    && !candidate.tentative
                    && candidate.protocol != Some(super::address::ADDRESS_PROTOCOL)
                    && !not.contains(&candidate.address)
            })
            .map(|candidate| candidate.address)
            .find(|address| match address {
                IpAddr::V4(_) => true,
                IpAddr::V6(address) => address.is_unicast_link_local(),
            })
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

/// Administratively up, and the kernel sees a carrier.
#[must_use]
pub fn is_up(link: &LinkMessage) -> bool {
    link.header
        .flags
        .contains(LinkFlags::Up | LinkFlags::LowerUp)
}

fn link_address(link: &LinkMessage) -> Option<MacAddress> {
    link.attributes
        .iter()
        .find_map(|attribute| match attribute {
            LinkAttribute::Address(octets) => {
                <[u8; 6]>::try_from(octets.as_slice()).ok().map(MacAddress)
            }
            _ => None,
        })
}

fn interface_address(message: &AddressMessage) -> Option<InterfaceAddress> {
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

/// The number that [`AddressProtocol`] wraps, for messages that we build.
#[must_use]
pub const fn protocol(number: u8) -> AddressProtocol {
    AddressProtocol::Other(number)
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
                protocol: Some(super::super::address::ADDRESS_PROTOCOL),
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
}
