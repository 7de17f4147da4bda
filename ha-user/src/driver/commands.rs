//! What other threads ask of the driver.

use std::sync::Arc;

use ha_common::{fsm::FaultCause, time::Timestamp};

use super::{Attachment, Command, Driver, Executor, LOOK_AHEAD, Report, VIGIL};
use crate::{engine::InstanceId, sys};

impl Driver {
    pub(super) fn take_commands(&mut self) {
        while let Some(command) = self.commands.next() {
            // What is under way is done by the old order, and told of.
            let now = sys::now();
            self.act(now);
            self.tell_all();
            match command {
                Command::Report {
                    from,
                    at_most,
                    reply,
                } => {
                    // Whoever asked may have gone away.
                    let _ = reply.send(self.reports(now, from, at_most));
                }
                Command::Link { index, up } => self.take_link_change(now, index, up),
                Command::Attach(attachments) => self.attach(now, attachments),
                Command::Detach(ids, done) => {
                    self.detach(now, &ids);
                    // Who asked may be gone.
                    let _ = done.send(());
                }
                Command::Tracker(tracker, reading) => self.take_tracker(now, tracker, reading),
                Command::Reload(reload, done) => {
                    // Who stops takes no other configuration; that it hears of by the
                    // channel's end.
                    if !self.stopping {
                        self.reload(now, *reload);
                        let _ = done.send(());
                    }
                }
                Command::Drain { id, drained, reply } => {
                    if !self.stopping && self.engine.has(id) {
                        // As with a tracker.
                        self.hand_over_records(now);
                        let concerned = self.engine.handle_drain(now, id, drained);
                        let _ = reply.send(concerned);
                    }
                }
                Command::AddressesGone(gone) => self.put_back(now, &gone),
                Command::OwnLinkDown(index) => self.put_up(now, index),
                Command::Shutdown => {
                    self.stopping = true;
                    for id in self.engine.ids() {
                        self.engine.handle_shutdown(now, id);
                    }
                }
                Command::StopNow => {
                    self.stopping = true;
                    self.stop_now();
                }
            }
            self.act(now);
        }
    }

    fn reports(&self, now: Timestamp, from: InstanceId, at_most: usize) -> Vec<Report> {
        self.executors
            .iter()
            .skip_while(|(id, _)| *id < from)
            .take(at_most)
            .map(|(id, executor)| {
                let snapshot = self.engine.snapshot(id);
                Report {
                    id,
                    name: executor.name().to_owned(),
                    history: executor.history.latest(),
                    heard: self.heard(now, id),
                    faults: snapshot
                        .faults
                        .iter()
                        .map(|cause| executor.describe(*cause, self.engine.readings()))
                        .collect(),
                    conflicts: executor.conflicts(now),
                    trackers: executor.tracker_reports(&snapshot),
                    snapshot,
                }
            })
            .collect()
    }

    pub(super) fn take_link_change(&mut self, now: Timestamp, index: u32, up: bool) {
        for id in self.engine.ids() {
            let executor = self.executor(id);
            if executor.ifindex() != Some(index) || executor.link_up == up {
                continue;
            }
            executor.link_up = up;
            if up {
                self.engine.handle_recovery(now, id, FaultCause::Interface);
                self.engine.handle_recovery(now, id, FaultCause::Action);
            } else {
                self.engine.handle_fault(now, id, FaultCause::Interface);
            }
        }
    }

    pub(super) fn attach(&mut self, now: Timestamp, attachments: Vec<(InstanceId, Attachment)>) {
        for (id, attachment) in attachments {
            let Some(executor) = self.executors.get_mut(id) else {
                continue;
            };
            executor.attach(attachment);
            if let Some(looked_at_ns) = self.looked_at_ns.get_mut(id.0 as usize) {
                *looked_at_ns = 0;
            }
            if !self.stopping {
                self.take_part(now, id);
            }
        }
        self.survey();
    }

    pub(super) fn detach(&mut self, now: Timestamp, ids: &[InstanceId]) {
        // One that was to leave may have.
        let ids: Vec<InstanceId> = ids
            .iter()
            .copied()
            .filter(|id| self.engine.has(*id))
            .collect();
        for &id in &ids {
            self.engine.handle_detached(now, id);
        }
        // While the instance still knows where: what can be removed is removed.
        self.act(now);
        for id in ids {
            self.executor(id).detach();
            self.peers.forget(id.0);
        }
        self.survey();
    }

    /// What follows from who is there.
    pub(super) fn survey(&mut self) {
        let intervals = self.executors.values().map(|it| it.config.advert_interval);
        let shortest = intervals.min().unwrap_or_default();
        self.look_ahead = LOOK_AHEAD.max(shortest / 2);
        self.vigil = VIGIL.min(shortest / 20);
        self.announcers.clear();
        for announcer in self.executors.values().flat_map(Executor::announcers) {
            if !self.announcers.iter().any(|it| Arc::ptr_eq(it, announcer)) {
                self.announcers.push(Arc::clone(announcer));
            }
        }
    }
}
