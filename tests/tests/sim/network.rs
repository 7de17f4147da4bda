//! The way of an advertisement through a [`World`], and who hears whom.

use ha_common::{
    abi,
    fsm::{Sorting, StateKind},
    types::Priority,
    wire::vrrp::Advert,
};
use ha_user::engine::InstanceId;

use super::{
    check::{Violation, violated},
    clock::Event,
    frame,
    paths::{NODES, Paths, Role},
    watch::Watch,
    world::World,
};

impl World<'_> {
    pub(crate) fn deliver(&mut self, to: usize, index: usize, advert: &Advert) {
        let node = &mut self.nodes[to];
        let instance = &self.monitor.instances[index];
        if node.links_down[instance.link] > 0 {
            return;
        }
        let Some(daemon) = &mut node.daemon else {
            return;
        };
        let now = node.clock.read(self.now);
        let first = daemon.slots[index].instance;
        let published = Sorting {
            state: match first.state {
                abi::STATE_BACKUP => StateKind::Backup,
                abi::STATE_ACTIVE => StateKind::Active,
                _ => StateKind::Fault,
            },
            priority: Priority(first.priority),
            preempt: first.preempt != 0,
        };
        if matches!(published.state, StateKind::Backup | StateKind::Active) {
            let decided = daemon.engine.sorting(InstanceId(first.index));
            let meeting = first.event_gap_ns
                + 100_000_000
                + 2 * instance.slowest
                + self.scenario.latency()
                + self.scenario.slack();
            let watch = &mut node.watches[index];
            watch.hear(now, instance, [published, decided], advert, meeting);
        }
        let wakes = daemon.hear(now, index, advert);
        self.note(|| {
            format!(
                "node {to} instance {index} hears priority {} of {:?}",
                advert.priority, advert.source.0
            )
        });
        if wakes {
            let at = self.now + self.late();
            self.wake(to, at);
        }
    }

    pub(crate) fn send(
        &mut self,
        node: usize,
        index: usize,
        priority: Priority,
        last: bool,
    ) -> Result<(), Violation> {
        if !last {
            self.monitor.sent(self.now, index);
        }
        let receiver = (node + 1) % self.scenario.nodes;
        let passed = frame::pass(
            &self.monitor.instances[index],
            index as u8 + 51,
            node,
            priority,
            &self.expected[receiver][index],
        );
        let advert = match passed {
            Ok(advert) => advert,
            Err(what) => {
                return violated(
                    "the wire",
                    format!("an advertisement of node {node} {what}"),
                );
            }
        };
        let instance = &self.scenario.instances[index];
        if self.nodes[node].links_down[instance.link] > 0 {
            return Ok(());
        }
        let scenario = self.scenario;
        for to in 0..scenario.nodes {
            if to == node
                || self.cuts[instance.link][node][to] > 0
                || instance.unlisted[to] >> node & 1 == 1
            {
                continue;
            }
            let copies = 1 + u32::from(self.rng.chance(scenario.duplicate_permille));
            for _ in 0..copies {
                let lost = (0..self.losses.len()).any(|place| self.rng.chance(self.losses[place]));
                if lost {
                    continue;
                }
                let mut at = self.now + scenario.delay + self.rng.up_to(scenario.jitter);
                if self.rng.chance(scenario.straggle_permille) {
                    at += self.rng.up_to(scenario.straggle);
                }
                self.push(at, Event::Deliver { to, index, advert });
            }
        }
        Ok(())
    }

    /// Tells the monitor of what is now.
    pub(crate) fn changed(&mut self, disturbance: bool) -> Result<(), Violation> {
        let scenario = self.scenario;
        let mut roles = [[Role::Off; NODES]; 2];
        let mut paths = [Paths::default(); 2];
        for (number, node) in self.nodes.iter().enumerate() {
            let Some(daemon) = node.daemon.as_ref().filter(|_| node.paused_by.is_none()) else {
                continue;
            };
            for id in daemon.engine.ids() {
                roles[id.0 as usize][number] = match daemon.engine.state(id) {
                    StateKind::Active => Role::Active,
                    StateKind::Backup => Role::Candidate,
                    // It serves until another does, but takes no part.
                    StateKind::Init | StateKind::Releasing | StateKind::Fault => Role::Off,
                };
            }
        }
        for (instance, paths) in scenario.instances.iter().zip(&mut paths) {
            let link = instance.link;
            for (from, row) in paths.cut.iter_mut().enumerate().take(scenario.nodes) {
                for (to, cut) in row.iter_mut().enumerate().take(scenario.nodes) {
                    *cut = self.cuts[link][from][to] > 0
                        || self.nodes[from].links_down[link] > 0
                        || self.nodes[to].links_down[link] > 0
                        || instance.unlisted[to] >> from & 1 == 1;
                }
            }
            paths.lossy = self.losses.iter().any(|permille| *permille > 0);
        }
        let roles = &roles[..scenario.instances.len()];
        self.monitor.change(self.now, disturbance, roles, &paths)?;
        if self.monitor.disturbed() == self.now {
            let nodes = self.nodes.iter_mut();
            nodes
                .flat_map(|node| &mut node.watches)
                .for_each(Watch::forgive);
        }
        Ok(())
    }
}
