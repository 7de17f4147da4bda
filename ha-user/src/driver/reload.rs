//! Another configuration while it runs.

use std::{collections::HashSet, sync::Arc, time::Duration};

use ha_common::{
    abi,
    fsm::{Addresses, Parameters, StateKind, TrackerId},
    time::Timestamp,
};

use super::{Attachment, Driver, Executor, ExecutorError, Subject, attachment::Attached};
use crate::{
    config::SharedInstance,
    engine::{self, InstanceId, Member, Reading, Tracking},
    net::{
        announce::{Announcement, Announcer},
        host::{HostTable, Item},
    },
    sys,
};

/// A new configuration, as the difference to the old one. The rows of the kernel's
/// maps but for the instances' own are written by then, as with an [`Attachment`].
pub struct Reload {
    /// What the trackers look at, by id.
    pub trackers: Arc<[Subject]>,
    /// What is known of trackers that are new.
    pub readings: Vec<(TrackerId, Reading)>,
    /// Least span between two announcement frames on one interface.
    pub announce_gap: Duration,
    /// How long an instance that has not started yet waits.
    pub startup_delay: Duration,
    /// Instances that are to go.
    pub leaving: Vec<InstanceId>,
    /// Instances that stay, changed or not.
    pub kept: Vec<Changed>,
    /// New ones; their interfaces follow by [`Command::Attach`](super::Command).
    pub added: Vec<Changed>,
    /// The sync groups.
    pub groups: Vec<Vec<InstanceId>>,
}

/// One instance by a new configuration.
pub struct Changed {
    /// Which it is.
    pub id: InstanceId,
    /// Its configuration.
    pub config: SharedInstance,
    /// With which others it advertises; see [`Parameters::phase`].
    pub phase: Option<Duration>,
    /// What it depends on.
    pub trackings: Vec<Tracking>,
    /// What it works with from now on, on the same interface and from the same
    /// address; `None` if that is as before, or there is no interface.
    pub attachment: Option<Attachment>,
}

/// What has become different for one instance on its interface.
struct Difference {
    id: InstanceId,
    added: Vec<Item>,
    removed: Vec<Item>,
    announced: Vec<(Arc<Announcer>, Vec<Announcement>)>,
}

impl Driver {
    pub(super) fn reload(&mut self, now: Timestamp, reload: Reload) {
        let Reload {
            trackers,
            readings,
            announce_gap,
            startup_delay,
            leaving,
            kept,
            added,
            groups,
        } = reload;
        // A new priority moves what is left of Active_Down, so what is left has to be
        // known, by the priority that it was sorted by.
        self.hand_over_records(now);
        self.act(now);
        for (tracker, reading) in readings {
            self.engine.handle_tracker(now, tracker, reading);
        }
        for executor in self.executors.values_mut() {
            executor.trackers = Arc::clone(&trackers);
        }
        self.leaving |= !leaving.is_empty();
        // Who is to serve elsewhere is meant by its name, whatever router that is.
        let drained: HashSet<String> = leaving
            .iter()
            .filter(|id| self.engine.snapshot(**id).drained)
            .map(|id| self.executors[*id].name().to_owned())
            .collect();
        let mut still_drained = Vec::new();
        let mut changes = engine::Reload {
            leaving,
            groups,
            ..engine::Reload::default()
        };
        for Changed {
            id,
            config,
            phase,
            trackings,
            ..
        } in added
        {
            let executor = Executor::new(
                id.0,
                config,
                Arc::clone(&self.instances),
                Arc::clone(&trackers),
            );
            if drained.contains(executor.name()) {
                still_drained.push(id);
            }
            // How long a start is delayed is about the start of the host.
            let parameters = Parameters {
                phase,
                ..executor.parameters()
            };
            changes.added.push(Member {
                id,
                parameters,
                trackings,
            });
            self.executors.insert(id, executor);
        }
        let mut differences = Vec::new();
        for Changed {
            id,
            config,
            phase,
            trackings,
            attachment,
        } in kept
        {
            let executor = &mut self.executors[id];
            differences.push(executor.reconfigure(id, config, attachment));
            changes.changed.push(Member {
                id,
                parameters: Parameters {
                    startup_delay,
                    phase,
                    ..executor.parameters()
                },
                trackings,
            });
        }
        self.engine.handle_reload(now, changes);
        for id in still_drained {
            self.engine.handle_drain(now, id, true);
        }
        self.act(now);
        for difference in &differences {
            if let Err(error) = self.make_different(now, difference) {
                self.fail(now, difference.id, &error);
            }
        }
        self.act(now);
        self.survey();
        for announcer in &self.announcers {
            announcer.set_gap(announce_gap);
        }
    }

    /// Has host, kernel program and clients follow.
    fn make_different(
        &mut self,
        now: Timestamp,
        difference: &Difference,
    ) -> Result<(), ExecutorError> {
        let id = difference.id;
        let sorting = self.engine.sorting(id);
        let serves = self.engine.addresses(id) != Addresses::Absent;
        let shared = if difference.removed.is_empty() {
            HashSet::new()
        } else {
            self.items_of_others(id)
        };
        let executor = &mut self.executors[id];
        // An instance in Init has no row yet.
        if executor.is_published() {
            executor.publish(sorting)?;
        }
        let added: &[Item] = if serves { &difference.added } else { &[] };
        executor.exchange(&mut self.host, added, &difference.removed, &shared)?;
        if self.engine.state(id) != StateKind::Active {
            return Ok(());
        }
        for (announcer, announcements) in &difference.announced {
            // Its failure is told with the next announcement of all.
            let announcements = announcements.iter().map(|it| ((), it));
            announcer.send(now, announcements, |(), _| ());
        }
        Ok(())
    }

    /// What the other instances that serve have on the host.
    fn items_of_others(&self, id: InstanceId) -> HashSet<Item> {
        self.executors
            .iter()
            .filter(|(other, _)| *other != id && self.engine.addresses(*other) != Addresses::Absent)
            .flat_map(|(_, executor)| executor.items().iter().cloned())
            .collect()
    }

    /// Takes what `id` has put on the host off again. Nobody has the same, but after
    /// a reload: one that leaves may share it with one that has come.
    pub(super) fn remove_items(&mut self, id: InstanceId) -> Result<(), ExecutorError> {
        let shared = if self.engine.is_leaving(id) {
            self.items_of_others(id)
        } else {
            HashSet::new()
        };
        self.executors[id].remove(&mut self.host, &shared)
    }

    /// Forgets the instances that were to leave and have.
    pub(super) fn release_departed(&mut self) {
        if !self.leaving {
            return;
        }
        // What of them is still to be done or told, as long as they are here.
        self.act(sys::now());
        self.tell_all();
        for id in self.engine.remove_departed() {
            if let Some(mut executor) = self.executors.remove(id) {
                executor.detach();
            }
            self.peers.forget(id.0);
            self.notices.forget(id);
            self.retries.retain(|(_, other)| *other != id);
            // Whoever would hear may be gone.
            let _ = self.departed.send(id);
        }
        self.survey();
        let mut ids = self.engine.ids();
        self.leaving = ids.any(|id| self.engine.is_leaving(id));
    }
}

impl Executor {
    /// Whether the kernel program knows it.
    fn is_published(&self) -> bool {
        let attached = self.attached.as_ref();
        attached.is_some_and(|attached| attached.value.state != abi::STATE_INIT)
    }

    /// Goes by `config` from now on, on the same interface.
    fn reconfigure(
        &mut self,
        id: InstanceId,
        config: SharedInstance,
        attachment: Option<Attachment>,
    ) -> Difference {
        self.config = config;
        let mut difference = Difference {
            id,
            added: Vec::new(),
            removed: Vec::new(),
            announced: Vec::new(),
        };
        let Some(Attached {
            attachment: before,
            value,
            ..
        }) = self.attached.take()
        else {
            return difference;
        };
        if let Some(after) = &attachment {
            let missing = |items: &[Item], from: &[Item]| -> Vec<Item> {
                let from: HashSet<&Item> = from.iter().collect();
                items
                    .iter()
                    .filter(|item| !from.contains(item))
                    .cloned()
                    .collect()
            };
            difference.added = missing(&after.items, &before.items);
            difference.removed = missing(&before.items, &after.items);
            let known: Vec<&Announcement> = before
                .announcements
                .iter()
                .flat_map(|(_, list)| list)
                .collect();
            let still: HashSet<_> = after
                .announcements
                .iter()
                .flat_map(|(_, list)| list)
                .map(Announcement::address)
                .collect();
            for (announcer, list) in &before.announcements {
                let gone = list.iter().filter(|it| !still.contains(&it.address()));
                announcer.cancel(&gone.cloned().collect::<Vec<_>>());
            }
            for (announcer, list) in &after.announcements {
                let new = list.iter().filter(|it| !known.contains(it));
                difference
                    .announced
                    .push((Arc::clone(announcer), new.cloned().collect()));
            }
        }
        let mut attached = Attached::new(self.index, &self.config, attachment.unwrap_or(before));
        attached.value.state = value.state;
        attached.value.priority = value.priority;
        attached.value.preempt = value.preempt;
        self.attached = Some(attached);
        difference
    }

    /// Puts on the host what is new and takes off what is not wanted any more, as far
    /// as it is there, but for what is in `shared`.
    fn exchange(
        &mut self,
        table: &mut HostTable,
        added: &[Item],
        removed: &[Item],
        shared: &HashSet<Item>,
    ) -> Result<(), ExecutorError> {
        // Of these there may be one only.
        let is_replaced = |item: &Item| match item {
            Item::Address(old) => added
                .iter()
                .any(|new| new.is_address(old.device.index, old.address)),
            Item::Route(_) | Item::Rule(_) => true,
            Item::Link(_) => false,
        };
        let removed = removed.iter().filter(|item| !shared.contains(item));
        let (first, last): (Vec<Item>, Vec<Item>) = removed.cloned().partition(is_replaced);
        let mut failures = Vec::new();
        table.remove(&first, &mut failures)?;
        table.install(added, &mut failures)?;
        table.remove(&last, &mut failures)?;
        table.collect(&mut failures)?;
        self.judge(failures)
    }
}
