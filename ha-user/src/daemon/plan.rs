//! What an instance needs of the host's interfaces, and whether it is there.

use std::net::IpAddr;

use super::links::Links;
use crate::{
    config::{Config, InstanceConfig},
    net::{
        host::Device,
        interface::{Interface, InterfaceError},
    },
};
use ha_common::types::Priority;

/// What an instance is to be attached to. As long as it stays the same, so does
/// the attachment; whether the link is up does not matter for that.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    /// The instance's interface.
    pub(super) interface: Interface,
    /// The address that it sends from.
    pub(super) source: IpAddr,
    /// The other interfaces that its addresses, routes and rules name.
    pub(super) others: Vec<Interface>,
    /// See [`misplaced`]; as it was when the plan was made.
    pub(super) misplaced: Vec<IpAddr>,
}

impl Plan {
    /// Whether an instance attached by `self` need not be attached anew for
    /// `other`.
    pub(super) fn is_as(&self, other: &Self) -> bool {
        self.is_at(other)
            && self.others.len() == other.others.len()
            && self
                .others
                .iter()
                .zip(&other.others)
                .all(|(one, other)| same(one, other))
    }

    /// Whether the interface and the address to send from are the same.
    pub(super) fn is_at(&self, other: &Self) -> bool {
        same(&self.interface, &other.interface) && self.source == other.source
    }

    /// The device of an interface that the configuration of the instance names.
    pub(super) fn device(&self, name: &str) -> Option<Device> {
        std::iter::once(&self.interface)
            .chain(&self.others)
            .find(|interface| interface.name == name)
            .map(|interface| Device::new(interface.index, &interface.name))
    }
}

fn same(one: &Interface, other: &Interface) -> bool {
    one.index == other.index && one.name == other.name && one.mac == other.mac
}

/// Whether the interfaces of `config` are as it needs them.
///
/// # Errors
/// What is missing or unsuitable; see [`is_fatal`].
pub(super) fn plan(
    config: &InstanceConfig,
    links: &Links,
    virtual_addresses: &[IpAddr],
) -> Result<Plan, InterfaceError> {
    let interface = links.ethernet(&config.interface)?.clone();
    let source = interface.source(config.family, config.unicast.as_ref(), virtual_addresses)?;
    let mut others: Vec<Interface> = Vec::new();
    for name in other_interfaces(config) {
        if name != interface.name && others.iter().all(|other| other.name != name) {
            let other = links.by_name(name).ok_or_else(|| InterfaceError::Missing {
                name: name.to_owned(),
            })?;
            others.push(other.clone());
        }
    }
    Ok(Plan {
        interface,
        source,
        others,
        misplaced: misplaced(config, links),
    })
}

/// The addresses of an owner (priority 255) that are not where they should be:
/// those that the host does not have for its own; with a virtual MAC address, which
/// only Harrier can give them, those that it has.
fn misplaced(config: &InstanceConfig, links: &Links) -> Vec<IpAddr> {
    if config.priority != Priority::OWNER {
        return Vec::new();
    }
    let is_by_harrier = config.virtual_mac.is_some();
    let addresses = config.addresses.iter().map(|it| it.address.address);
    addresses
        .filter(|address| links.own(*address) == is_by_harrier)
        .collect()
}

/// Whether no change of the host would help: the configuration is wrong for it.
pub(super) fn is_fatal(error: &InterfaceError) -> bool {
    matches!(
        error,
        InterfaceError::NotEthernet { .. } | InterfaceError::OwnPeer { .. }
    )
}

fn other_interfaces(config: &InstanceConfig) -> impl Iterator<Item = &str> {
    let addresses = config
        .all_addresses()
        .filter_map(|address| address.interface.as_deref());
    let routes = config
        .routes
        .iter()
        .filter_map(|route| route.interface.as_deref());
    addresses.chain(routes)
}

/// Addresses that are no interface's own. An owner's (priority 255) are: it may
/// have no other to advertise from.
pub(super) fn virtual_addresses(config: &Config) -> Vec<IpAddr> {
    config
        .instances
        .iter()
        .filter(|instance| instance.priority != Priority::OWNER)
        .flat_map(|instance| {
            instance
                .addresses
                .iter()
                .chain(&instance.excluded_addresses)
        })
        .map(|address| address.address.address)
        .collect()
}
