//! What the control socket answers from.

use std::collections::BTreeMap;

use ha_common::{
    abi,
    time::Timestamp,
    types::{Centiseconds, MacAddress, RouterAddress},
};

use crate::{
    config::{Config, InstanceConfig},
    control::protocol::{Counters, InstanceStatus, Peer, Reply, Request, Status},
    driver,
    engine::Snapshot,
    kernel,
    net::interface::Interface,
    sys,
};

/// What the control socket answers from.
pub(super) struct View {
    pub(super) config: Config,
    pub(super) interfaces: BTreeMap<String, Interface>,
    pub(super) modes: BTreeMap<u32, &'static str>,
    pub(super) realtime: bool,
    pub(super) handle: driver::Handle,
    pub(super) peers: kernel::Peers,
    pub(super) counters: kernel::CounterMap,
}

impl View {
    pub(super) async fn answer(&self, request: Request) -> Result<Reply, String> {
        match request {
            Request::Status => {
                let snapshots = self
                    .handle
                    .snapshot()
                    .await
                    .map_err(|error| error.to_string())?;
                Ok(Reply::Status(self.status(&snapshots)))
            }
            Request::Peers => self
                .peers()
                .map(Reply::Peers)
                .map_err(|error| error.to_string()),
            Request::Counters => self
                .counters()
                .map(Reply::Counters)
                .map_err(|error| error.to_string()),
        }
    }

    fn status(&self, snapshots: &[Snapshot]) -> Status {
        let now = sys::now();
        Status {
            instances: self
                .config
                .instances
                .iter()
                .zip(snapshots)
                .map(|(config, snapshot)| self.instance(config, snapshot, now))
                .collect(),
            pid: std::process::id(),
            daemon_version: env!("CARGO_PKG_VERSION").to_owned(),
            realtime: self.realtime,
        }
    }

    fn instance(
        &self,
        config: &InstanceConfig,
        snapshot: &Snapshot,
        now: Timestamp,
    ) -> InstanceStatus {
        let mode = self.modes.get(&self.interfaces[&config.interface].index);
        InstanceStatus {
            name: config.name.clone(),
            interface: config.interface.clone(),
            vrid: config.vrid.value(),
            family: config.family.into(),
            version: config.version.number(),
            state: snapshot.state.into(),
            base_priority: config.priority.0,
            priority: config.priority.0,
            advert_interval_ms: millis(config.advert_interval),
            active_down_interval_ms: snapshot.active_down_interval.as_secs_f64() * 1e3,
            addresses: config.addresses.iter().map(ToString::to_string).collect(),
            since_ms: millis(now.since(snapshot.since)),
            transitions: snapshot.transitions,
            active: snapshot.active.map(|address| address.to_ip(config.family)),
            last_transition: snapshot
                .reason
                .map(|reason| reason.describe(config.family).to_string()),
            xdp_mode: mode.map(|mode| (*mode).to_owned()),
        }
    }

    fn peers(&self) -> Result<Vec<Peer>, kernel::MapError> {
        let now = sys::now();
        let mut peers = Vec::new();
        for row in self.peers.iter() {
            let (key, peer) = row?;
            if let Some(config) = self.instance_of(&key) {
                peers.push(Peer {
                    instance: config.name.clone(),
                    address: RouterAddress(key.address).to_ip(config.family),
                    mac: MacAddress(peer.mac).to_string(),
                    priority: peer.priority,
                    version: peer.version,
                    advert_interval_ms: millis(Centiseconds(peer.interval_cs).to_duration()),
                    adverts: peer.adverts,
                    last_advert_age_ms: now
                        .since(Timestamp::from_nanos(peer.last_seen_ns))
                        .as_secs_f64()
                        * 1e3,
                });
            }
        }
        peers.sort_by(|a, b| (&a.instance, a.address).cmp(&(&b.instance, b.address)));
        Ok(peers)
    }

    fn instance_of(&self, key: &abi::PeerKey) -> Option<&InstanceConfig> {
        self.config.instances.iter().find(|config| {
            config.vrid.value() == key.vrid
                && config.family.code() == key.family
                && self.interfaces[&config.interface].index == key.ifindex
        })
    }

    fn counters(&self) -> Result<Counters, kernel::MapError> {
        let sum = self.counters.sum()?;
        Ok(Counters(
            abi::Counter::ALL
                .iter()
                .map(|counter| (counter.name().to_owned(), sum.of(*counter)))
                .collect(),
        ))
    }
}

fn millis(span: std::time::Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
