//! What the control socket answers from.

use std::sync::Arc;

use ha_common::{
    abi,
    fsm::FaultCause,
    time::Timestamp,
    types::{Centiseconds, MacAddress, RouterAddress},
};

use crate::{
    config::{AddressConfig, InstanceConfig},
    control::protocol::{
        CheckStatus, ConflictStatus, Counters, Failover, InstanceStatus, Peer, Reply, Request,
        Status,
    },
    driver::{self, Conflict, Report},
    engine::{InstanceId, Reading},
    health, kernel, sys,
};

use super::{
    live::Live,
    ports::Ports,
    reloader::Reloader,
    roster::{Current, Roster},
    scheduling::Scheduling,
};

/// What the control socket answers from.
pub(super) struct View {
    pub(super) current: Current,
    pub(super) ports: Arc<Ports>,
    pub(super) scheduling: Arc<Scheduling>,
    pub(super) handle: driver::Handle,
    pub(super) checks: Arc<health::Board>,
    pub(super) peers: kernel::Peers,
    pub(super) counters: kernel::CounterMap,
    pub(super) reloader: Reloader,
    pub(super) live: Live,
    /// When the daemon came up.
    pub(super) started_at: Timestamp,
}

impl View {
    pub(super) async fn answer(&self, request: Request) -> Result<Reply, String> {
        match request {
            Request::Status => self.status().await.map(Reply::Status),
            Request::Reload => self.reloader.reload().await.map(Reply::Reloaded),
            Request::Failover { instance, back } => {
                self.failover(&instance, back).await.map(Reply::Failover)
            }
            Request::Dump { instances, cursor } => {
                self.dump(&instances, cursor).await.map(Reply::Dump)
            }
            Request::Explain { instance } => {
                let explanation = self.explain(&instance).await?;
                Ok(Reply::Explanation(Box::new(explanation)))
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

    pub(super) async fn reports(&self) -> Result<Vec<Report>, String> {
        let reports = self.handle.report().await;
        reports.map_err(|error| error.to_string())
    }

    pub(super) async fn status(&self) -> Result<Status, String> {
        let reports = self.reports().await?;
        let now = sys::now();
        let rows = self.checks.rows();
        let roster = self.current.roster();
        let instances = roster.iter().filter_map(|(id, config)| {
            // One that was added or removed between the two looks is left out.
            let report = report_of(&reports, id, config)?;
            Some(self.instance(&roster, id, config, report, now))
        });
        Ok(Status {
            instances: instances.collect(),
            checks: rows.into_iter().map(|row| check(row, &reports)).collect(),
            pid: std::process::id(),
            daemon_version: env!("CARGO_PKG_VERSION").to_owned(),
            realtime: self.scheduling.is_realtime(),
            scheduling: Some(self.scheduling.status()),
        })
    }

    /// The instance with this name.
    ///
    /// # Errors
    /// If there is none; the message names those that there are.
    pub(super) fn find<'a>(
        &self,
        roster: &'a Roster,
        name: &str,
    ) -> Result<(InstanceId, &'a InstanceConfig), String> {
        roster.by_name(name).ok_or_else(|| {
            let names: Vec<&str> = roster.iter().map(|(_, it)| it.name.as_str()).collect();
            format!(
                "there is no instance {name:?}; there are: {}",
                names.join(", ")
            )
        })
    }

    async fn failover(&self, name: &str, back: bool) -> Result<Failover, String> {
        let roster = self.current.roster();
        let (id, _) = self.find(&roster, name)?;
        let concerned = self.handle.drain(id, !back).await;
        let concerned = concerned.map_err(|error| error.to_string())?;
        let names = concerned.iter().filter_map(|id| roster.instance(*id));
        let instances: Vec<String> = names.map(|config| config.name.clone()).collect();
        tracing::info!(
            instances = instances.join(", "),
            "{}",
            if back {
                "may take over again"
            } else {
                "drained: other routers take over"
            }
        );
        Ok(Failover {
            instances,
            drained: !back,
        })
    }

    pub(super) fn instance(
        &self,
        roster: &Roster,
        id: InstanceId,
        config: &InstanceConfig,
        report: &Report,
        now: Timestamp,
    ) -> InstanceStatus {
        let snapshot = &report.snapshot;
        let attached = self.ports.attached(id);
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
            // Who has never taken part is in Init since the start.
            since_ms: millis(now.since(snapshot.since.max(self.started_at))),
            transitions: snapshot.transitions,
            active: snapshot.active.map(|address| address.to_ip(config.family)),
            last_transition: report.history.last().map(|past| past.reason.clone()),
            xdp_mode: attached.map(|(_, mode)| mode.to_owned()),
            sync_group: roster.group_of(id).map(str::to_owned),
            drained: snapshot.drained,
            problem: self.ports.problem(id).or_else(|| {
                let faults = faults(report, &self.checks.rows());
                (!faults.is_empty()).then(|| faults.join("; "))
            }),
            conflicts: report
                .conflicts
                .iter()
                .map(|found| conflict(found, config, now))
                .collect(),
        }
    }

    pub(super) fn peers(&self) -> Result<Vec<Peer>, kernel::MapError> {
        let now = sys::now();
        let roster = self.current.roster();
        let mut peers = Vec::new();
        for row in self.peers.iter() {
            let (key, peer) = row?;
            if let Some(config) = self.instance_of(&roster, &key) {
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

    pub(super) fn instance_of<'a>(
        &self,
        roster: &'a Roster,
        key: &abi::PeerKey,
    ) -> Option<&'a InstanceConfig> {
        let is_at = |id| {
            let attached = self.ports.attached(id);
            attached.is_some_and(|(index, _)| index == key.ifindex)
        };
        roster
            .iter()
            .find(|(id, config)| {
                config.vrid.value() == key.vrid && config.family.code() == key.family && is_at(*id)
            })
            .map(|(_, config)| config)
    }

    pub(super) fn counters(&self) -> Result<Counters, kernel::MapError> {
        let sum = self.counters.sum()?;
        Ok(Counters(
            abi::Counter::ALL
                .iter()
                .map(|counter| (counter.name().to_owned(), sum.of(*counter)))
                .collect(),
        ))
    }
}

/// Why the instance cannot take part, with what the checks last said.
fn faults(report: &Report, checks: &[health::Row]) -> Vec<String> {
    let causes = report.snapshot.faults.iter();
    let faults = causes.zip(&report.faults).map(|(cause, text)| match cause {
        FaultCause::Tracker(id) => {
            let mut checks = checks.iter().filter(|row| row.kind != "interface");
            let check = checks.find(|row| row.id == *id);
            check.map_or_else(|| text.clone(), health::Row::describe)
        }
        _ => text.clone(),
    });
    faults.collect()
}

fn check(row: health::Row, reports: &[Report]) -> CheckStatus {
    let state = match row.kind {
        // The driver is told of interfaces by the keeper.
        "interface" => {
            let known = |report: &Report| {
                let mut contributions = report.snapshot.contributions.iter();
                contributions
                    .find(|it| it.tracking.tracker == row.id)?
                    .reading
            };
            match reports.iter().find_map(known) {
                Some(Reading::Up) => health::State::Passing,
                Some(_) => health::State::Failing,
                None => health::State::Pending,
            }
        }
        _ => row.state,
    };
    let is_interface = row.kind == "interface";
    CheckStatus {
        name: row.name,
        kind: row.kind.to_owned(),
        state: state.into(),
        value: match state {
            health::State::Value(value) => Some(value),
            _ => None,
        },
        since_ms: (!is_interface).then(|| millis(row.since.elapsed())),
        last_round_ms: row.took.map(|took| took.as_secs_f64() * 1e3),
        text: (!row.text.is_empty()).then_some(row.text),
        rounds: row.rounds,
        failures: row.failures,
        skipped: row.skipped,
    }
}

/// The report on the instance with this id, unless another has the id by now.
pub(super) fn report_of<'a>(
    reports: &'a [Report],
    id: InstanceId,
    config: &InstanceConfig,
) -> Option<&'a Report> {
    let mut reports = reports.iter();
    reports.find(|report| report.id == id && report.name == config.name)
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

pub(super) fn millis(span: std::time::Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
