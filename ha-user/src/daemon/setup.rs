//! What is computed, cleaned and made before anything is put on the host.

use std::{net::IpAddr, sync::Arc};

use ha_common::{fsm::TrackerId, types::Priority};

use super::{DaemonError, attach, links::Links, plan, system};
use crate::{
    config::Config,
    driver::{Attachment, Executor},
    engine::{Engine, InstanceId, Tracking},
    kernel,
    net::{
        Netlink,
        accept::{AcceptError, AcceptFilter},
        host::HostTable,
        journal::{Inventory, Journal},
        leftover,
    },
    runtime_dir::RuntimeDir,
};

/// Whether this process may send what routers send; before anything is put on
/// the host.
///
/// # Errors
/// With what it takes.
pub(super) fn check_privilege() -> Result<(), DaemonError> {
    use socket2::{Domain, Socket, Type};
    let protocol = i32::from(ha_common::wire::vrrp::PROTOCOL).into();
    Socket::new(Domain::IPV4, Type::RAW, Some(protocol))
        .map(drop)
        .map_err(system("opening a raw socket"))
}

/// Rows that the kernel program's maps need.
pub(super) fn sizes(config: &Config) -> kernel::Sizes {
    let instances = &config.instances;
    kernel::Sizes {
        instances: instances.len(),
        addresses: instances
            .iter()
            .map(|instance| instance.addresses.len() + instance.excluded_addresses.len())
            .sum(),
        unicast_peers: instances
            .iter()
            .filter_map(|instance| instance.unicast.as_ref())
            .map(|unicast| unicast.peers.len())
            .sum(),
    }
}

/// Removes what a killed predecessor left, and writes down what we may leave: the
/// journal and what is in it.
///
/// # Errors
/// If the journal cannot be read or written, or something stays behind.
pub(super) async fn clean_up_after_predecessor(
    config: &Config,
    links: &Links,
    runtime_dir: &RuntimeDir,
    host: &mut HostTable,
) -> Result<(Journal, Inventory), DaemonError> {
    let path = runtime_dir.journal();
    let failed = || system("removing what a killed daemon left behind");
    let before = Journal::predecessor(&path).map_err(failed())?;
    let configured = inventory(config, links, &runtime_dir.nft_table());
    let netlink = Netlink::open().map_err(failed())?;
    leftover::clean(&netlink.handle, &before, &configured, host).await?;
    let journal = Journal::write(&path, &configured).map_err(failed())?;
    Ok((journal, configured))
}

/// What the daemon may put on the host, as far as its interfaces are there.
fn inventory(config: &Config, links: &Links, nft_table: &str) -> Inventory {
    let mut inventory = Inventory::default();
    let virtual_addresses = plan::virtual_addresses(config);
    for instance in &config.instances {
        if let Ok(plan) = plan::plan(instance, links, &virtual_addresses) {
            attach::take_stock(instance, &plan, &mut inventory);
        }
    }
    if refused_addresses(config).next().is_some() {
        inventory.nft_tables.insert(nft_table.to_owned());
    }
    inventory
}

/// Drops packets to the addresses of instances that do not accept any.
///
/// # Errors
/// If there is no `nft`, or it refuses.
pub(super) fn accept_filter(
    config: &Config,
    nft_table: &str,
) -> Result<Option<AcceptFilter>, AcceptError> {
    let mut refused = refused_addresses(config).peekable();
    if refused.peek().is_none() {
        return Ok(None);
    }
    AcceptFilter::install(nft_table, refused).map(Some)
}

/// Addresses that are answered for but take no packets (Accept_Mode off). The owner
/// accepts always (RFC 9568 §6.4.3).
fn refused_addresses(config: &Config) -> impl Iterator<Item = IpAddr> {
    config
        .instances
        .iter()
        .filter(|instance| !instance.accept && instance.priority != Priority::OWNER)
        .flat_map(|instance| {
            instance
                .addresses
                .iter()
                .chain(&instance.excluded_addresses)
        })
        .map(|address| address.address.address)
}

/// What each instance tracks, and the names behind the tracker ids.
pub(super) fn trackings(config: &Config) -> (Vec<Vec<Tracking>>, Vec<String>) {
    let mut names: Vec<String> = Vec::new();
    let trackings = config
        .instances
        .iter()
        .map(|instance| {
            instance
                .track_interfaces
                .iter()
                .map(|tracked| {
                    let place = names
                        .iter()
                        .position(|name| *name == tracked.name)
                        .unwrap_or_else(|| {
                            names.push(tracked.name.clone());
                            names.len() - 1
                        });
                    Tracking {
                        tracker: TrackerId(u32::try_from(place).unwrap_or(u32::MAX)),
                        weight: tracked.weight,
                        reverse: false,
                    }
                })
                .collect()
        })
        .collect();
    (trackings, names)
}

/// What carries out the instances' actions, in the order of the configuration,
/// with the interfaces that are there.
pub(super) fn executors(
    config: &Config,
    instances: kernel::Instances,
    tracked: &[String],
    attachments: Vec<(InstanceId, Attachment)>,
) -> Vec<Executor> {
    let instances = Arc::new(instances);
    let tracked: Arc<[String]> = tracked.into();
    let mut executors: Vec<Executor> = (0..)
        .zip(&config.instances)
        .map(|(index, config)| {
            let (instances, tracked) = (Arc::clone(&instances), Arc::clone(&tracked));
            Executor::new(index, config.clone(), instances, tracked)
        })
        .collect();
    for (id, attachment) in attachments {
        executors[id.0 as usize].attach(attachment);
    }
    executors
}

/// The state machines for `executors`.
pub(super) fn engine(
    config: &Config,
    executors: &[Executor],
    trackings: Vec<Vec<Tracking>>,
) -> Engine {
    let groups = config
        .sync_groups
        .iter()
        .map(|group| {
            group
                .members
                .iter()
                .map(|place| InstanceId(u32::try_from(*place).unwrap_or(u32::MAX)))
                .collect()
        })
        .collect();
    let parameters = executors.iter().map(|executor| {
        let mut parameters = executor.parameters();
        parameters.startup_delay = config.startup_delay;
        parameters
    });
    Engine::new(parameters, trackings, groups)
}
