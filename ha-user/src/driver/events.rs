//! What the kernel program tells, and its records.

use ha_common::{
    abi,
    fsm::{Advert, StateKind},
    time::Timestamp,
    types::{Centiseconds, MacAddress, Priority, RouterAddress},
};

use super::{Driver, Happening, Notice, SETTLED_AFTER};
use crate::{engine::InstanceId, sys};

/// Kernel events handled before what follows from them is done, and deadlines get
/// their turn; more wait for the next.
const EVENTS_PER_TURN: usize = 64;

impl Driver {
    pub(super) fn take_events(&mut self) {
        for _ in 0..EVENTS_PER_TURN {
            let Some(event) = self.events.next() else {
                return;
            };
            self.handle_event(sys::now(), &event);
        }
        // There may be more, and the ring only wakes us for what comes after this.
        self.waiter.again();
    }

    pub(super) fn handle_event(&mut self, now: Timestamp, event: &abi::Event) {
        let id = InstanceId(event.index);
        let Some(executor) = self.executors.get_mut(id) else {
            // From before it left.
            return;
        };
        if executor.ifindex() != Some(event.ifindex) || executor.config.vrid.value() != event.vrid {
            // From before the instance got another interface, or this slot.
            return;
        }
        match event.kind {
            abi::EVENT_CLAIM => {
                // One that comes just after we have yielded is the new Active's; one that
                // comes just after we have taken over is the former one's.
                let snapshot = self.engine.snapshot(id);
                if snapshot.state == StateKind::Active {
                    if now.since(snapshot.since) > SETTLED_AFTER {
                        executor.tell_claim(now, event);
                    }
                    self.take_answer(now, id);
                }
                return;
            }
            abi::EVENT_REFUSED => {
                executor.tell_refused(now, event);
                return;
            }
            _ => {}
        }
        let advert = Advert {
            at: Timestamp::from_nanos(event.at_ns),
            source: RouterAddress(event.address),
            priority: Priority(event.priority),
            interval: Centiseconds(event.interval_cs).to_duration(),
        };
        self.peers.admit(event);
        match event.kind {
            abi::EVENT_RELEASE => {
                // It shortens what is left of Active_Down, so what is left has to be
                // known: the engine may still count from an older arrival.
                if let Some(held_back_by) = self.unseen(id) {
                    self.engine.handle_advert(now, id, &held_back_by);
                }
                self.engine.handle_advert(now, id, &advert);
            }
            abi::EVENT_OUTRANKED => {
                executor.check_owner(now, &advert, MacAddress(event.mac));
                self.engine.handle_advert(now, id, &advert);
            }
            abi::EVENT_LOSING => {
                // Just after a takeover it is the former Active's last word.
                let snapshot = self.engine.snapshot(id);
                if snapshot.state == StateKind::Active
                    && advert.at > snapshot.since + executor.config.advert_interval
                {
                    executor.tell_second_active(now, &advert, MacAddress(event.mac));
                    executor.check_advert(now, &advert, event);
                }
                if snapshot.state == StateKind::Active {
                    self.notify(Notice {
                        id,
                        at: now,
                        priority: snapshot.priority,
                        what: Happening::LowerAdvert,
                    });
                }
                self.engine.handle_advert(now, id, &advert);
            }
            abi::EVENT_CHANGED => {
                executor.tell_changed(now, &advert, event);
                self.engine.handle_advert(now, id, &advert);
            }
            abi::EVENT_WEAKENED => {
                // As with a release: it shortens what is left.
                if let Some(held_back_by) = self.unseen(id) {
                    self.engine.handle_advert(now, id, &held_back_by);
                }
                self.engine.handle_advert(now, id, &advert);
            }
            // Decides nothing: it is only to get its row among the peers.
            abi::EVENT_NEW_PEER => executor.check_advert(now, &advert, event),
            kind => tracing::error!(kind, "the kernel sends an event of an unknown kind"),
        }
    }

    /// The kernel's records of all instances reach the engine.
    pub(super) fn hand_over_records(&mut self, now: Timestamp) {
        for id in self.engine.ids() {
            if let Some(advert) = self.unseen(id) {
                self.engine.handle_advert(now, id, &advert);
            }
        }
    }

    /// The kernel's record for `id`, if it is newer than at the last look.
    pub(super) fn unseen(&mut self, id: InstanceId) -> Option<Advert> {
        let record = self.actives.read(id.0);
        let index = id.0 as usize;
        if self.looked_at_ns.len() <= index {
            self.looked_at_ns.resize(index + 1, 0);
        }
        let looked_at_ns = &mut self.looked_at_ns[index];
        // 0: nothing yet, or the slot was cleared for another interface.
        if record.last_seen_ns == *looked_at_ns || record.last_seen_ns == 0 {
            return None;
        }
        *looked_at_ns = record.last_seen_ns;
        Some(Advert {
            at: Timestamp::from_nanos(record.last_seen_ns),
            source: RouterAddress(record.address),
            priority: Priority(record.priority),
            interval: Centiseconds(record.interval_cs).to_duration(),
        })
    }
}
