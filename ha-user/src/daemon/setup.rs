//! What is looked up, cleaned and opened before anything is put on the host.

use std::{
    collections::{BTreeMap, BTreeSet, btree_map::Entry},
    io,
    net::IpAddr,
    sync::Arc,
};

use ha_common::types::{AddressFamily, Priority};

use super::{DaemonError, system};
use crate::{
    config::Config,
    driver::{Executor, Tools},
    kernel,
    net::{
        address::AddressTable,
        advert::AdvertSocket,
        announce::{Announcer, forwards_ipv6},
        interface::{self, Interface},
        leftover::{self, Journal},
    },
    runtime_dir::RuntimeDir,
};

/// Every interface that an instance names, once.
pub(super) async fn interfaces(
    config: &Config,
) -> Result<BTreeMap<String, Interface>, DaemonError> {
    let mut found = BTreeMap::new();
    for instance in &config.instances {
        if found.contains_key(&instance.interface) {
            continue;
        }
        let virtual_addresses = virtual_addresses(config);
        let interface = interface::resolve_settled(&instance.interface, |interface| {
            config
                .instances
                .iter()
                .filter(|other| {
                    other.interface == instance.interface && other.family == AddressFamily::Ipv6
                })
                .all(|other| {
                    interface
                        .source(other.family, other.unicast.as_ref(), &virtual_addresses)
                        .is_ok()
                })
        })
        .await?;
        found.insert(instance.interface.clone(), interface);
    }
    Ok(found)
}

/// Addresses that are no interface's own. An owner's (priority 255) are: it may
/// have no other to advertise from.
fn virtual_addresses(config: &Config) -> Vec<IpAddr> {
    config
        .instances
        .iter()
        .filter(|instance| instance.priority != Priority::OWNER)
        .flat_map(|instance| &instance.addresses)
        .map(|address| address.address.address)
        .collect()
}

pub(super) fn clean_up_after_predecessor(
    config: &Config,
    interfaces: &BTreeMap<String, Interface>,
    runtime_dir: &RuntimeDir,
    addresses: &mut AddressTable,
) -> io::Result<Journal> {
    let path = runtime_dir.journal();
    let before = Journal::predecessor(&path)?;
    let configured: BTreeSet<leftover::Entry> = config
        .instances
        .iter()
        .flat_map(|instance| {
            instance
                .addresses
                .iter()
                .map(|address| leftover::Entry::new(&instance.interface, address.address))
        })
        .collect();
    for interface in interfaces.values() {
        leftover::clean(interface, &before, &configured, addresses)?;
    }
    Journal::write(&path, &configured)
}

pub(super) type Sockets = (IpAddr, Arc<AdvertSocket>, Arc<Announcer>);

/// For each instance its source address and sockets, shared where interface and
/// family are the same, but for unicast.
pub(super) fn open_sockets(
    config: &Config,
    interfaces: &BTreeMap<String, Interface>,
) -> Result<Vec<Sockets>, DaemonError> {
    let virtual_addresses = virtual_addresses(config);
    let mut adverts: BTreeMap<(u32, AddressFamily), (IpAddr, Arc<AdvertSocket>)> = BTreeMap::new();
    let mut announcers: BTreeMap<u32, Arc<Announcer>> = BTreeMap::new();
    let mut sockets = Vec::with_capacity(config.instances.len());
    for instance in &config.instances {
        let interface = &interfaces[&instance.interface];
        let key = (interface.index, instance.family);
        let unicast = instance.unicast.as_ref();
        let open = || -> Result<(IpAddr, Arc<AdvertSocket>), DaemonError> {
            let source = interface.source(instance.family, unicast, &virtual_addresses)?;
            let socket = match unicast {
                Some(unicast) => AdvertSocket::unicast(interface, source, &unicast.peers),
                None => AdvertSocket::multicast(interface, source),
            };
            let socket = socket.map_err(system(format!(
                "opening a raw socket on {} from {source}",
                interface.name
            )))?;
            Ok((source, Arc::new(socket)))
        };
        let (source, socket) = match adverts.entry(key) {
            _ if unicast.is_some() => open()?,
            Entry::Occupied(opened) => opened.get().clone(),
            Entry::Vacant(place) => place.insert(open()?).clone(),
        };
        let announcer = match announcers.entry(interface.index) {
            Entry::Occupied(opened) => Arc::clone(opened.get()),
            Entry::Vacant(place) => {
                let announcer = Announcer::open(interface.index).map_err(system(format!(
                    "opening a packet socket on {}",
                    interface.name
                )))?;
                Arc::clone(place.insert(Arc::new(announcer)))
            }
        };
        sockets.push((source, socket, announcer));
    }
    Ok(sockets)
}

/// What carries out the instances' actions, in the order of the configuration.
/// The kernel already watches for claims of their addresses, and knows their
/// unicast peers.
pub(super) fn executors(
    config: &Config,
    interfaces: &BTreeMap<String, Interface>,
    sockets: Vec<Sockets>,
    instances: kernel::Instances,
    vips: kernel::Vips,
    unicast_peers: &kernel::UnicastPeers,
) -> Result<Vec<Executor>, kernel::MapError> {
    let instances = Arc::new(instances);
    let vips = Arc::new(vips);
    (0..)
        .zip(config.instances.iter().zip(sockets))
        .map(|(index, (instance, (source, socket, announcer)))| {
            let interface = interfaces[&instance.interface].clone();
            let router = forwards_ipv6(&interface.name);
            let tools = Tools {
                socket,
                announcer,
                instances: Arc::clone(&instances),
                vips: Arc::clone(&vips),
            };
            let executor = Executor::new(index, instance.clone(), interface, source, router, tools);
            executor.watch()?;
            executor.list_peers(unicast_peers)?;
            Ok(executor)
        })
        .collect()
}
