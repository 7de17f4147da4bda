//! What the control socket answers from.

use std::sync::Arc;

use ha_common::{
    abi,
    time::Timestamp,
    types::{Centiseconds, MacAddress, RouterAddress},
};

use crate::{
    config::{AddressConfig, Config, InstanceConfig},
    control::protocol::{ConflictStatus, Counters, InstanceStatus, Peer, Reply, Request, Status},
    driver::{self, Conflict, Report},
    kernel, sys,
};

use super::ports::Ports;

/// What the control socket answers from.
pub(super) struct View {
    pub(super) config: Arc<Config>,
    pub(super) ports: Arc<Ports>,
    pub(super) realtime: bool,
    pub(super) handle: driver::Handle,
    pub(super) peers: kernel::Peers,
    pub(super) counters: kernel::CounterMap,
}

impl View {
    pub(super) async fn answer(&self, request: Request) -> Result<Reply, String> {
        match request {
            Request::Status => {
                let reports = self
                    .handle
                    .report()
                    .await
                    .map_err(|error| error.to_string())?;
                Ok(Reply::Status(self.status(&reports)))
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

    fn status(&self, reports: &[Report]) -> Status {
        let now = sys::now();
        Status {
            instances: self
                .config
                .instances
                .iter()
                .enumerate()
                .zip(reports)
                .map(|((place, config), report)| self.instance(place, config, report, now))
                .collect(),
            pid: std::process::id(),
            daemon_version: env!("CARGO_PKG_VERSION").to_owned(),
            realtime: self.realtime,
        }
    }

    fn instance(
        &self,
        place: usize,
        config: &InstanceConfig,
        report: &Report,
        now: Timestamp,
    ) -> InstanceStatus {
        let snapshot = &report.snapshot;
        let attached = self.ports.attached(place);
        let group = self
            .config
            .sync_groups
            .iter()
            .find(|group| group.members.contains(&place));
        let texts =
            |addresses: &[AddressConfig]| addresses.iter().map(ToString::to_string).collect();
        InstanceStatus {
            name: config.name.clone(),
            interface: config.interface.clone(),
            vrid: config.vrid.value(),
            family: config.family.into(),
            version: config.version.number(),
            state: snapshot.state.into(),
            base_priority: config.priority.0,
            priority: snapshot.priority.0,
            advert_interval_ms: millis(config.advert_interval),
            active_down_interval_ms: snapshot.active_down_interval.as_secs_f64() * 1e3,
            addresses: texts(&config.addresses),
            excluded_addresses: texts(&config.excluded_addresses),
            since_ms: millis(now.since(snapshot.since)),
            transitions: snapshot.transitions,
            active: snapshot.active.map(|address| address.to_ip(config.family)),
            last_transition: snapshot
                .reason
                .map(|reason| reason.describe(config.family).to_string()),
            xdp_mode: attached.map(|(_, mode)| mode.to_owned()),
            sync_group: group.map(|group| group.name.clone()),
            problem: self.ports.problem(place).or_else(|| {
                let faults = &report.faults;
                (!faults.is_empty()).then(|| faults.join("; "))
            }),
            conflicts: report
                .conflicts
                .iter()
                .map(|found| conflict(found, config, now))
                .collect(),
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
        let is_at = |place| {
            let attached = self.ports.attached(place);
            attached.is_some_and(|(index, _)| index == key.ifindex)
        };
        self.config
            .instances
            .iter()
            .enumerate()
            .find(|(place, config)| {
                config.vrid.value() == key.vrid
                    && config.family.code() == key.family
                    && is_at(*place)
            })
            .map(|(_, config)| config)
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

fn conflict(found: &Conflict, config: &InstanceConfig, now: Timestamp) -> ConflictStatus {
    ConflictStatus {
        kind: found.kind.name().to_owned(),
        address: found.address.to_ip(config.family),
        mac: found.mac.to_string(),
        text: found.text.clone(),
        times: found.times,
        first_ms_ago: millis(now.since(found.first_at)),
        last_ms_ago: millis(now.since(found.last_at)),
    }
}

fn millis(span: std::time::Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
