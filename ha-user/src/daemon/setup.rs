//! What is computed, cleaned and made before anything is put on the host.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
};

use ha_common::{fsm::Parameters, types::Priority};

use super::{DaemonError, attach, links::Links, phase, plan, roster::Roster, system};
use crate::{
    config::{Config, InstanceConfig, SharedInstance},
    driver::{Attachment, Executor, Subject},
    engine::{Engine, InstanceId, Tracking},
    kernel,
    net::{
        Netlink,
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

/// Rows that the kernel program's maps get: enough for a configuration that grows,
/// as a map keeps its size.
pub(super) fn sizes(config: &Config) -> kernel::Sizes {
    let room = |needed: usize| (2 * needed).max(LEAST_ROWS);
    let needed = needed(config);
    kernel::Sizes {
        instances: room(needed.instances),
        addresses: room(needed.addresses),
        unicast_peers: room(needed.unicast_peers),
    }
}

/// Rows that the kernel program's maps have at least.
const LEAST_ROWS: usize = 64;

/// Rows that `config` needs.
pub(super) fn needed(config: &Config) -> kernel::Sizes {
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
pub(super) fn inventory(config: &Config, links: &Links, nft_table: &str) -> Inventory {
    let mut inventory = Inventory::default();
    let virtual_addresses = plan::virtual_addresses(config);
    for instance in &config.instances {
        if let Ok(plan) = plan::plan(instance, links, &virtual_addresses) {
            attach::take_stock(instance, &plan, &mut inventory);
        }
    }
    if !refused_addresses(config).is_empty() {
        inventory.nft_tables.insert(nft_table.to_owned());
    }
    inventory
}

/// Addresses that are answered for but take no packets (Accept_Mode off). The owner
/// accepts always (RFC 9568 §6.4.3).
pub(super) fn refused_addresses(config: &Config) -> BTreeSet<IpAddr> {
    let instances = config.instances.iter();
    instances.flat_map(refused_by).collect()
}

/// As [`refused_addresses`], of one instance.
pub(super) fn refused_by(instance: &InstanceConfig) -> impl Iterator<Item = IpAddr> {
    std::iter::once(instance)
        .filter(|instance| !instance.accept && instance.priority != Priority::OWNER)
        .flat_map(InstanceConfig::all_addresses)
        .map(|address| address.address.address)
}

/// What carries out the instances' actions, with the interfaces that are there.
pub(super) fn executors(
    roster: &Roster,
    instances: &Arc<kernel::Instances>,
    trackers: Vec<Subject>,
    attachments: Vec<(InstanceId, Attachment)>,
) -> Vec<(InstanceId, Executor)> {
    let trackers: Arc<[Subject]> = trackers.into();
    let mut attachments: BTreeMap<InstanceId, Attachment> = attachments.into_iter().collect();
    let ids = roster.ids().iter().copied().enumerate();
    ids.map(|(place, id)| {
        let config = SharedInstance::new(&roster.config, place);
        let (instances, trackers) = (Arc::clone(instances), Arc::clone(&trackers));
        let mut executor = Executor::new(id.0, config, instances, trackers);
        if let Some(attachment) = attachments.remove(&id) {
            executor.attach(attachment);
        }
        (id, executor)
    })
    .collect()
}

/// The state machines for `executors`.
pub(super) fn engine(
    roster: &Roster,
    executors: &[(InstanceId, Executor)],
    trackings: Vec<Vec<Tracking>>,
) -> Engine {
    let executors = executors.iter().zip(phase::phases(&roster.config));
    let parameters = executors.map(|((_, executor), phase)| Parameters {
        startup_delay: roster.config.startup_delay,
        phase,
        ..executor.parameters()
    });
    Engine::new(parameters, trackings, roster.groups())
}
