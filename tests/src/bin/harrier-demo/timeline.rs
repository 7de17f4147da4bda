//! What happened when, read from the captures at the switch.

use std::time::Duration;

use anyhow::{Context as _, Result};
use ha_common::{
    fsm::timers::active_down_interval,
    time::Timestamp,
    types::{Priority, Version},
};
use ha_tests::{decode::Packet, probe::parse_answer};
use serde_json::{Value, json};

use crate::scene::{ADDRESS, PRIORITY_B, Scene};

/// The points of a failover. All but `cut` and `active_down_due` are the kernel's
/// times of frames at the switch.
pub(crate) struct Timeline {
    /// Advertisement interval.
    pub(crate) advert_interval: Duration,
    /// The protocol's Active_Down_Interval at node-b.
    pub(crate) active_down_interval: Duration,
    /// Last advertisement that node-b heard from node-a.
    pub(crate) last_advert: Timestamp,
    /// node-a's switch port was closed.
    pub(crate) cut: Timestamp,
    /// Last answer of node-a at the client.
    pub(crate) last_answer: Timestamp,
    /// `last_advert` plus the interval.
    pub(crate) active_down_due: Timestamp,
    /// First advertisement of node-b.
    pub(crate) takeover: Timestamp,
    /// First gratuitous ARP of node-b at the client.
    pub(crate) announcement: Timestamp,
    /// First answer of node-b at the client.
    pub(crate) first_answer: Timestamp,
}

impl Timeline {
    /// Reads it from the captures of `scene`, in which node-a was cut off at `cut`.
    pub(crate) fn read(scene: &Scene, cut: Timestamp) -> Result<Self> {
        let at_node_b = scene.at_node_b.frames();
        let at_client = scene.at_client.frames();
        let a = scene.a();
        let b = scene.b();

        let last_advert = at_node_b
            .iter()
            .rev()
            .find(|frame| {
                frame.outgoing
                    && frame
                        .advert()
                        .is_some_and(|advert| advert.source == a.ipv4())
            })
            .context("node-b heard no advertisement of node-a")?
            .at;
        let takeover = at_node_b
            .iter()
            .find(|frame| {
                frame.at > last_advert
                    && !frame.outgoing
                    && frame
                        .advert()
                        .is_some_and(|advert| advert.source == b.ipv4())
            })
            .context("node-b did not advertise")?
            .at;
        let announcement = at_client
            .iter()
            .find(|frame| {
                frame.at > last_advert
                    && frame.outgoing
                    && frame.packet.announces(ADDRESS)
                    && matches!(frame.packet, Packet::Arp { mac, .. } if mac == b.mac())
            })
            .context("node-b did not announce the address")?
            .at;
        let answers = |node: u8| {
            at_client.iter().filter(move |frame| {
                frame.outgoing
                    && matches!(
                        &frame.packet,
                        Packet::Udp { payload, .. }
                            if parse_answer(payload).is_some_and(|(_, answered)| answered == node)
                    )
            })
        };
        let last_answer = answers(a.number)
            .next_back()
            .context("node-a did not answer")?
            .at;
        let first_answer = answers(b.number)
            .find(|frame| frame.at > last_answer)
            .context("node-b did not answer")?
            .at;

        let advert_interval = scene.advert_interval;
        let active_down_interval =
            active_down_interval(Version::V3, Priority(PRIORITY_B), advert_interval);
        Ok(Self {
            advert_interval,
            active_down_interval,
            last_advert,
            cut,
            last_answer,
            active_down_due: last_advert + active_down_interval,
            takeover,
            announcement,
            first_answer,
        })
    }

    /// The points with what they are, in the order of time.
    pub(crate) fn points(&self) -> Vec<(Timestamp, &'static str)> {
        let mut points = vec![
            (self.last_advert, "last advertisement that node-b hears"),
            (self.last_answer, "last answer of node-a to the client"),
            (self.cut, "node-a is cut off"),
            (self.active_down_due, "Active_Down is due at node-b"),
            (self.takeover, "node-b advertises: it is Active"),
            (
                self.announcement,
                "node-b announces 10.77.0.100 (gratuitous ARP)",
            ),
            (self.first_answer, "first answer of node-b to the client"),
        ];
        points.sort_by_key(|(at, _)| *at);
        points
    }

    /// What the client went without: last answer of node-a to first of node-b.
    pub(crate) fn outage(&self) -> Duration {
        self.first_answer.since(self.last_answer)
    }

    /// Last advertisement heard to first answer: to be held against
    /// Active_Down_Interval, wherever in the interval the cut fell.
    pub(crate) fn failover(&self) -> Duration {
        self.first_answer.since(self.last_advert)
    }

    /// [`failover`](Self::failover) over Active_Down_Interval.
    pub(crate) fn ratio(&self) -> f64 {
        self.failover().as_secs_f64() / self.active_down_interval.as_secs_f64()
    }

    /// The result for programs; times in milliseconds, points since `last_advert`.
    pub(crate) fn to_json(&self, peer: &str) -> Value {
        let ms = |span: Duration| (span.as_secs_f64() * 1e6).round() / 1e3;
        let at = |point: Timestamp| millis_between(self.last_advert, point);
        json!({
            "peer": peer,
            "advert_interval_ms": ms(self.advert_interval),
            "active_down_interval_ms": ms(self.active_down_interval),
            "failover_ms": ms(self.failover()),
            "ratio": (self.ratio() * 1e4).round() / 1e4,
            "outage_ms": ms(self.outage()),
            "since_last_advert_ms": {
                "cut": at(self.cut),
                "last_answer": at(self.last_answer),
                "active_down_due": at(self.active_down_due),
                "first_advert": at(self.takeover),
                "first_announcement": at(self.announcement),
                "first_answer": at(self.first_answer),
            },
        })
    }
}

/// From `origin` to `point` in milliseconds (exact to the microsecond),
/// negative if `point` is earlier.
pub(crate) fn millis_between(origin: Timestamp, point: Timestamp) -> f64 {
    let forward = point.since(origin).as_secs_f64();
    let backward = origin.since(point).as_secs_f64();
    ((forward - backward) * 1e6).round() / 1e3
}
