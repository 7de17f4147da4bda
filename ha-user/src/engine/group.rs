//! Sync groups: instances that are Active together, Backup together and in fault
//! together.
//!
//! - The Backups of a group take over when the deadlines of all have passed, in
//!   one step, after the record of each has been looked at. While a member is
//!   in Init or in fault, none does.
//! - A member that has released and can take part again is a Backup whose deadline
//!   is the end of its release: if the others may take over then, it keeps its
//!   addresses, else it becomes Backup.
//! - When a member is Backup while others are Active (it was outranked), those
//!   step down.
//! - When a member has a fault of its own, all are in fault.

use std::time::Duration;

use ha_common::{
    fsm::{FaultCause, State, StateKind, VirtualRouter},
    time::Timestamp,
};

use super::{Engine, InstanceId};

#[derive(Debug)]
pub(super) struct Group {
    pub(super) members: Vec<InstanceId>,
    /// When all Backups may take over: the latest of their deadlines. `None`
    /// while a member takes no part, or none is Backup.
    due_at: Option<Timestamp>,
    /// How often it has stepped down.
    step_downs: u64,
    /// What it waits longer than its deadlines say, and for which of them: those
    /// before this time.
    patience: Option<(Duration, Timestamp)>,
}

/// Intervals after a step down in which the group is patient: the members may be
/// releasing for four of them, and then wait for Active_Down.
const PATIENT_FOR: u32 = 9;

impl Group {
    pub(super) fn new(members: Vec<InstanceId>) -> Self {
        Self {
            members,
            due_at: None,
            step_downs: 0,
            patience: None,
        }
    }
}

impl Engine {
    pub(super) fn handle_timeout_of_member(
        &mut self,
        now: Timestamp,
        id: InstanceId,
        group: usize,
    ) {
        let is_due = |engine: &Self| engine.groups[group].due_at.is_some_and(|at| now >= at);
        // The upkeep of one that returns would end its release.
        if !(is_due(self) && self.returns(id)) {
            self.step(now, id, |router, out| router.handle_upkeep(now, out));
        }
        if !is_due(self) || !self.is_candidate(id) {
            return;
        }
        self.slots[id].looked_at = Some(now);
        let mut is_complete = true;
        for place in 0..self.groups[group].members.len() {
            let Some(id) = self.candidate(group, place) else {
                continue;
            };
            // A look that is an interval old (the daemon was stopped between two
            // members) is one from before the next advertisement.
            let slot = &mut self.slots[id];
            let interval = slot.router.parameters().advertisement_interval;
            if slot.looked_at.is_some_and(|at| now.since(at) >= interval) {
                slot.looked_at = None;
            }
            is_complete &= slot.looked_at.is_some();
        }
        if is_complete {
            for place in 0..self.groups[group].members.len() {
                if let Some(id) = self.candidate(group, place) {
                    self.step_alone(now, id, |router, out| router.handle_timeout(now, out));
                }
            }
        }
        self.queue_group(group);
    }

    /// Whether a member is Backup while another is Active.
    pub(super) fn is_parted(&self, group: usize) -> bool {
        let members = &self.groups[group].members;
        let is = |kind| members.iter().any(|id| self.state(*id) == kind);
        let backup =
            |id: &InstanceId| self.state(*id) == StateKind::Backup && !self.slots[*id].joining;
        members.iter().any(backup) && is(StateKind::Active)
    }

    /// A member is Backup: the others go too.
    pub(super) fn step_down(&mut self, now: Timestamp, group: usize) {
        let members = self.groups[group].members.clone();
        let intervals = members
            .iter()
            .map(|id| self.parameters(*id).advertisement_interval);
        let interval = intervals.max().unwrap_or_default();
        self.groups[group].step_downs += 1;
        let patience = interval.mul_f64(self.share(group));
        self.groups[group].patience = Some((patience, now + PATIENT_FOR * interval));
        for id in members {
            self.step_alone(now, id, |router, out| router.handle_step_down(now, out));
        }
    }

    /// Puts the deadlines of all members into the queue, after an event of one.
    pub(super) fn queue_group(&mut self, group: usize) {
        let due_at = self.due_at(group);
        let moved = std::mem::replace(&mut self.groups[group].due_at, due_at) != due_at;
        for place in 0..self.groups[group].members.len() {
            let id = self.groups[group].members[place];
            let (is_candidate, returns) = (self.is_candidate(id), self.returns(id));
            let slot = &mut self.slots[id];
            if moved || !is_candidate {
                slot.looked_at = None;
            }
            // One that was looked at waits for the others' turn, which is now.
            let waits = slot.looked_at.is_some();
            let takeover = due_at.filter(|_| is_candidate && !waits);
            let upkeep = slot.router.upkeep_at().filter(|_| !(returns && waits));
            let deadline = upkeep.into_iter().chain(takeover).min();
            self.queue(id, deadline);
        }
    }

    /// The other members of `id`'s group get or lose [`FaultCause::Group`], as its
    /// own causes came or went.
    pub(super) fn share_faults(&mut self, now: Timestamp, id: InstanceId) {
        let Some(group) = self.slots[id].group else {
            return;
        };
        let members = self.groups[group].members.clone();
        let has_own = |engine: &Self, id: &InstanceId| {
            let mut faults = engine.slots[*id].faults.iter();
            faults.any(|cause| *cause != FaultCause::Group)
        };
        for id in &members {
            let others = members
                .iter()
                .any(|other| other != id && has_own(self, other));
            let faults = &mut self.slots[*id].faults;
            if others && faults.insert(FaultCause::Group) {
                self.step(now, *id, |router, out| {
                    router.handle_fault(now, FaultCause::Group, out);
                });
            } else if !others && faults.remove(&FaultCause::Group) {
                self.settle(now, *id);
            }
        }
    }

    fn due_at(&self, group: usize) -> Option<Timestamp> {
        let mut due_at = None;
        for id in &self.groups[group].members {
            match self.slots[*id].router.state() {
                State::Backup(backup) => due_at = due_at.max(Some(backup.active_down_at)),
                State::Releasing(releasing) if releasing.returns() => {
                    due_at = due_at.max(Some(releasing.until));
                }
                State::Active(_) => {}
                State::Init | State::Releasing(_) | State::Fault => return None,
            }
        }
        let (patience, until) = self.groups[group].patience.unwrap_or_default();
        due_at.map(|at| if at < until { at + patience } else { at })
    }

    /// The member in this place, if it takes over when the group does.
    fn candidate(&self, group: usize, place: usize) -> Option<InstanceId> {
        let id = self.groups[group].members[place];
        self.is_candidate(id).then_some(id)
    }

    /// Whether it takes over when the group does.
    fn is_candidate(&self, id: InstanceId) -> bool {
        self.state(id) == StateKind::Backup || self.returns(id)
    }

    /// Whether it has released and can take part again.
    fn returns(&self, id: InstanceId) -> bool {
        let router: &VirtualRouter = &self.slots[id].router;
        matches!(router.state(), State::Releasing(releasing) if releasing.returns())
    }

    /// By which part of an interval, from 0 to 1, this group waits longer after it
    /// has stepped down.
    ///
    /// Two nodes of which each has the greater priority for one member make each
    /// other step down. Were their waits the same, they would take over together
    /// and do so for ever. The span follows from the node's own addresses and
    /// differs from time to time, so soon one node is well ahead of the other.
    fn share(&self, group: usize) -> f64 {
        let Group {
            members,
            step_downs,
            ..
        } = &self.groups[group];
        let addresses = members
            .iter()
            .flat_map(|id| self.slots[*id].router.parameters().address.0);
        // FNV-1a, and a multiplication that spreads its low bits.
        let hash = addresses
            .chain(step_downs.to_le_bytes())
            .fold(0xcbf2_9ce4_8422_2325_u64, |hash, octet| {
                (hash ^ u64::from(octet)).wrapping_mul(0x0100_0000_01b3)
            });
        let [a, b, c, d, ..] = hash.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes();
        f64::from(u32::from_be_bytes([a, b, c, d])) / f64::from(u32::MAX)
    }
}
