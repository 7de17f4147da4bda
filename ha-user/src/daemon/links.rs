//! The host's interfaces with their addresses, kept by what the host tells.

use std::{collections::BTreeMap, net::IpAddr};

use crate::net::{
    host::PROTOCOL,
    interface::{Interface, InterfaceError},
    watch::HostChange,
};

/// All interfaces, by index.
#[derive(Debug, Default)]
pub(super) struct Links(BTreeMap<u32, Link>);

#[derive(Debug)]
struct Link {
    interface: Interface,
    ethernet: bool,
}

impl Links {
    /// Takes `change` in; returns whether an instance may have to be attached
    /// anew because of it. That does not go for a link that is down or up, nor for
    /// what Harrier itself puts on the host.
    pub(super) fn take(&mut self, change: &HostChange) -> bool {
        match change {
            HostChange::Link {
                index,
                name,
                up,
                mac,
            } => {
                let link = self.0.entry(*index).or_insert_with(|| Link {
                    interface: Interface {
                        index: *index,
                        name: String::new(),
                        mac: mac.unwrap_or_default(),
                        up: false,
                        addresses: Vec::new(),
                    },
                    ethernet: mac.is_some(),
                });
                let other = link.interface.name != *name
                    || link.ethernet != mac.is_some()
                    || mac.is_some_and(|mac| link.interface.mac != mac);
                link.interface.name.clone_from(name);
                link.interface.up = *up;
                link.interface.mac = mac.unwrap_or_default();
                link.ethernet = mac.is_some();
                other
            }
            HostChange::LinkGone { index } => self.0.remove(index).is_some(),
            HostChange::AddressAdded { index, address } => {
                let Some(link) = self.0.get_mut(index) else {
                    return false;
                };
                let addresses = &mut link.interface.addresses;
                let known = addresses.iter_mut().find(|known| {
                    known.address == address.address && known.prefix_len == address.prefix_len
                });
                match known {
                    Some(known) if *known == *address => return false,
                    Some(known) => *known = *address,
                    None => addresses.push(*address),
                }
                address.protocol != Some(PROTOCOL)
            }
            HostChange::AddressGone {
                index,
                address,
                prefix_len,
                ..
            } => {
                let Some(link) = self.0.get_mut(index) else {
                    return false;
                };
                let addresses = &mut link.interface.addresses;
                let place = addresses
                    .iter()
                    .position(|known| known.address == *address && known.prefix_len == *prefix_len);
                place.is_some_and(|place| addresses.remove(place).protocol != Some(PROTOCOL))
            }
            HostChange::Listed | HostChange::Relisted => false,
        }
    }

    /// Whether the host has `address` for its own, on whatever interface. Before
    /// Linux 5.18, what Harrier has put there looks like that too.
    pub(super) fn own(&self, address: IpAddr) -> bool {
        let mut interfaces = self.0.values().map(|link| &link.interface);
        interfaces.any(|interface| {
            let mut addresses = interface.addresses.iter();
            addresses.any(|it| it.address == address && it.protocol != Some(PROTOCOL))
        })
    }

    /// Whether the interface with this index has `address`, whoever put it there.
    /// Addresses with Harrier's mark are known from lists only.
    pub(super) fn has(&self, index: u32, address: IpAddr) -> bool {
        let interface = self.by_index(index);
        interface.is_some_and(|it| it.addresses.iter().any(|it| it.address == address))
    }

    /// The interface with this index.
    pub(super) fn by_index(&self, index: u32) -> Option<&Interface> {
        self.0.get(&index).map(|link| &link.interface)
    }

    /// The interface that has this name now.
    pub(super) fn by_name(&self, name: &str) -> Option<&Interface> {
        self.0
            .values()
            .map(|link| &link.interface)
            .find(|interface| interface.name == name)
    }

    /// The Ethernet interface that has this name now.
    ///
    /// # Errors
    /// [`InterfaceError::Missing`], [`InterfaceError::NotEthernet`].
    pub(super) fn ethernet(&self, name: &str) -> Result<&Interface, InterfaceError> {
        let link = self
            .0
            .values()
            .find(|link| link.interface.name == name)
            .ok_or_else(|| InterfaceError::Missing {
                name: name.to_owned(),
            })?;
        if link.ethernet {
            Ok(&link.interface)
        } else {
            Err(InterfaceError::NotEthernet {
                name: name.to_owned(),
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use ha_common::types::MacAddress;

    use super::*;
    use crate::net::interface::InterfaceAddress;

    const MAC: MacAddress = MacAddress([2, 0, 0, 0, 0, 1]);

    fn link(index: u32, name: &str, up: bool) -> HostChange {
        HostChange::Link {
            index,
            name: name.to_owned(),
            up,
            mac: Some(MAC),
        }
    }

    fn address(protocol: Option<u8>) -> InterfaceAddress {
        InterfaceAddress {
            address: "10.0.0.1".parse().unwrap(),
            prefix_len: 24,
            secondary: false,
            tentative: false,
            protocol,
        }
    }

    #[test]
    fn a_link_that_goes_down_is_the_same_interface() {
        let mut links = Links::default();
        assert!(links.take(&link(2, "eth0", true)));
        assert!(!links.take(&link(2, "eth0", false)));
        assert!(!links.by_name("eth0").unwrap().up);
        assert!(links.take(&link(2, "lan0", false)), "renamed");
        assert!(links.by_name("eth0").is_none());
        assert!(links.take(&HostChange::LinkGone { index: 2 }));
        assert!(matches!(
            links.ethernet("lan0"),
            Err(InterfaceError::Missing { .. })
        ));
    }

    #[test]
    fn only_other_peoples_addresses_call_for_a_look() {
        let mut links = Links::default();
        links.take(&link(2, "eth0", true));
        let added = |protocol| HostChange::AddressAdded {
            index: 2,
            address: address(protocol),
        };
        let gone = HostChange::AddressGone {
            index: 2,
            address: "10.0.0.1".parse().unwrap(),
            prefix_len: 24,
            by: None,
        };
        assert!(links.take(&added(None)));
        assert!(!links.take(&added(None)), "nothing new");
        assert!(links.take(&gone));
        assert!(!links.take(&gone));
        assert!(!links.take(&added(Some(PROTOCOL))));
        assert!(!links.own(address(None).address));
        assert!(!links.take(&gone));
        links.take(&added(None));
        assert!(links.own(address(None).address));
        links.take(&gone);
        assert!(!links.own(address(None).address));
        assert_eq!(links.by_index(2).unwrap().addresses, []);
    }
}
