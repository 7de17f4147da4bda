//! Another configuration while it runs: virtual routers come, go, change and are
//! grouped anew; and the one that is to leave its addresses to another.

use std::collections::BTreeSet;

use ha_common::{
    fsm::{FaultCause, Parameters, State},
    time::Timestamp,
};

use super::{ACTIONS, Engine, InstanceId, Slot, Tracking, group::Group};

/// One virtual router by a new configuration.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Member {
    /// Which it is.
    pub id: InstanceId,
    /// What it goes by, with its priority as configured. Version and address count
    /// for a new one only.
    pub parameters: Parameters,
    /// What it depends on.
    pub trackings: Vec<Tracking>,
}

/// A new configuration, as the difference to the old one.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Reload {
    /// Those that are to go. They serve until a successor does, and keep their ids
    /// until [`Engine::remove_departed`] says that they are gone.
    pub leaving: Vec<InstanceId>,
    /// Those that stay, with other parameters perhaps.
    pub changed: Vec<Member>,
    /// New ones, in Init; nobody has their ids.
    pub added: Vec<Member>,
    /// The sync groups, all of them.
    pub groups: Vec<Vec<InstanceId>>,
}

impl Engine {
    /// Goes over to a new configuration. What is the same in it stays as it is, to
    /// the deadline.
    ///
    /// # Panics
    /// If an id is unknown, or not free for a new one.
    pub fn handle_reload(&mut self, now: Timestamp, reload: Reload) {
        let Reload {
            leaving,
            changed,
            added,
            groups,
        } = reload;
        for Member {
            id,
            parameters,
            trackings,
        } in added
        {
            let mut slot = Slot::new(parameters, trackings);
            slot.since = now;
            self.add(id, slot);
        }
        for id in &leaving {
            self.slots[*id].leaving = true;
        }
        self.set_groups(groups);
        for id in leaving {
            self.handle_shutdown(now, id);
        }
        for member in changed {
            self.change(now, member);
        }
        for id in self.ids() {
            self.follow_trackings(now, id);
            self.reweigh(now, id);
            // Its group may be another one, and be complete or parted now.
            self.share_faults(now, id);
            self.drop_group_fault(now, id);
            self.step(now, id, |_, _| ());
        }
    }

    /// Forgets the virtual routers that were to leave and have, all that they asked
    /// for being done; returns their ids, which are free from now on.
    pub fn remove_departed(&mut self) -> Vec<InstanceId> {
        let waits = |id: &InstanceId| self.actions.iter().any(|(other, _)| other == id);
        let gone: Vec<InstanceId> = self
            .ids()
            .filter(|id| self.slots[*id].leaving && self.slots[*id].has_stopped() && !waits(id))
            .collect();
        for id in &gone {
            self.queue(*id, None);
            self.slots.remove(*id);
            self.room -= ACTIONS;
        }
        gone
    }

    /// Whether `id` is to go as soon as its addresses have.
    #[must_use]
    pub fn is_leaving(&self, id: InstanceId) -> bool {
        self.slots[id].leaving
    }

    /// Another router is to have the addresses of `id` and of its sync group, or may
    /// leave them to us again. While it is so the priority is 1, an owner's too; an
    /// Active hands over, whether the others preempt or not. It serves on if there is
    /// nobody else. Returns those whom it concerns.
    pub fn handle_drain(
        &mut self,
        now: Timestamp,
        id: InstanceId,
        drained: bool,
    ) -> Vec<InstanceId> {
        let members = match self.slots[id].group {
            Some(group) => self.groups[group].members.clone(),
            None => vec![id],
        };
        for id in &members {
            self.slots[*id].drained = drained;
        }
        if drained {
            // All of them before the group looks at any.
            for id in &members {
                self.step_alone(now, *id, |router, out| router.handle_drain(now, out));
            }
        }
        for id in &members {
            self.reweigh(now, *id);
            self.step(now, *id, |_, _| ());
        }
        members
    }

    /// The groups are these from now on. Those that stay the same keep what they
    /// know.
    pub(super) fn set_groups(&mut self, groups: Vec<Vec<InstanceId>>) {
        let mut before = std::mem::take(&mut self.groups);
        for id in self.ids() {
            let slot = &mut self.slots[id];
            slot.group = None;
            slot.looked_at = None;
            slot.router.set_in_group(false);
        }
        for (place, members) in groups.into_iter().enumerate() {
            let serves = |id: &InstanceId| {
                let state = self.slots[*id].router.state();
                matches!(state, State::Active(_) | State::Releasing(_))
            };
            let serving = members.iter().any(serves);
            let drained = members.iter().any(|id| self.slots[*id].drained);
            let known = before.iter().position(|group| group.members == members);
            for id in &members {
                let slot = &mut self.slots[*id];
                slot.group = Some(place);
                slot.drained = drained;
                slot.router.set_in_group(true);
                slot.joining |= known.is_none() && serving && slot.is_undecided();
            }
            self.groups.push(match known {
                Some(known) => before.swap_remove(known),
                None => Group::new(members),
            });
        }
    }

    /// What stays goes by other parameters.
    fn change(&mut self, now: Timestamp, member: Member) {
        let Member {
            id,
            mut parameters,
            trackings,
        } = member;
        let slot = &mut self.slots[id];
        slot.base = parameters.priority;
        slot.trackings = trackings;
        parameters.priority = slot.effective(&self.trackers);
        self.step(now, id, |router, out| {
            router.handle_parameters(now, parameters, out);
        });
    }

    /// The faults of `id` by what it tracks are those that its trackers give.
    fn follow_trackings(&mut self, now: Timestamp, id: InstanceId) {
        let slot = &self.slots[id];
        let missed: BTreeSet<FaultCause> = slot
            .trackings
            .iter()
            .filter(|tracking| self.is_fault(slot, **tracking))
            .map(|tracking| FaultCause::Tracker(tracking.tracker))
            .collect();
        let over: Vec<FaultCause> = slot
            .faults
            .iter()
            .filter(|cause| matches!(cause, FaultCause::Tracker(_)) && !missed.contains(cause))
            .copied()
            .collect();
        for cause in missed {
            self.handle_fault(now, id, cause);
        }
        for cause in over {
            self.handle_recovery(now, id, cause);
        }
        self.start_in_fault(now, id);
    }

    /// One that is in no group any more suffers from none.
    fn drop_group_fault(&mut self, now: Timestamp, id: InstanceId) {
        let slot = &mut self.slots[id];
        if slot.group.is_none() && slot.faults.remove(&FaultCause::Group) {
            self.settle(now, id);
        }
    }
}

impl Slot {
    /// Whether it has neither served nor been held back since it came up.
    pub(super) fn is_undecided(&self) -> bool {
        match self.router.state() {
            State::Init => true,
            State::Backup(backup) => backup.held_by.is_none(),
            State::Active(_) | State::Releasing(_) | State::Fault => false,
        }
    }
}
