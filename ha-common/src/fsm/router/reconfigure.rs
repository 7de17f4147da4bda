//! New parameters while it runs: the state stays, its deadlines follow.

use super::{Parameters, VirtualRouter, send};
use crate::{
    fsm::{
        action::{Action, Reason},
        announce::Announcing,
        state::{Active, Backup, Preemption, ReleaseTarget, State},
    },
    time::Timestamp,
    types::Version,
};

impl VirtualRouter {
    /// It goes by `parameters` from now on; state, deadlines and what was learned of
    /// others stay as far as they can. An Active whose interval is another one
    /// advertises at once, so that no Backup waits by the old one; to another phase it
    /// comes with the advertisement after the one that is due. The address is left
    /// as it is ([`set_address`](Self::set_address)), and so is the version: with
    /// another one it is another router.
    pub fn handle_parameters(
        &mut self,
        now: Timestamp,
        parameters: Parameters,
        out: &mut impl Extend<Action>,
    ) {
        let before = self.parameters;
        self.parameters = Parameters {
            version: before.version,
            address: before.address,
            priority: before.priority,
            ..parameters
        };
        match self.state {
            State::Init | State::Fault | State::Releasing(_) => {}
            State::Backup(backup) => self.rearm_backup(now, &before, backup),
            State::Active(active) => {
                self.rearm_active(now, &before, active, out);
                let is_told = parameters.priority != before.priority;
                if parameters.advertisement_interval != before.advertisement_interval && !is_told {
                    send(before.priority, out);
                }
            }
        }
        self.handle_priority(now, parameters.priority, out);
    }

    /// Somebody wants another router to take over: an Active hands over, whoever
    /// the others are. If there are none it serves on.
    pub fn handle_drain(&mut self, now: Timestamp, out: &mut impl Extend<Action>) {
        if matches!(self.state, State::Active(_)) {
            self.release(now, ReleaseTarget::Backup, Reason::Drained, out);
        }
    }

    /// Whether it is one of a group ([`in_group`](Self::in_group)) from now on.
    pub const fn set_in_group(&mut self, in_group: bool) {
        self.in_group = in_group;
    }

    fn rearm_backup(&mut self, now: Timestamp, before: &Parameters, mut backup: Backup) {
        let interval = self.parameters.advertisement_interval;
        // In version 3 the interval is the Active router's, once that is heard; in
        // version 2 it has to be ours.
        let is_own = backup.held_by.is_none() || self.parameters.version == Version::V2;
        if interval != before.advertisement_interval && is_own {
            let after = self.active_down_after(interval);
            backup.active_down_at = if backup.shortened.is_none() {
                let until_now = self.active_down_after(backup.active_adver_interval);
                backup.active_down_at - until_now + after
            } else {
                backup.active_down_at.min(backup.heard_at + after)
            };
            backup.active_adver_interval = interval;
        }
        if (self.parameters.preempt, self.parameters.preempt_delay)
            != (before.preempt, before.preempt_delay)
        {
            backup.preemption = self.bar();
            let lower = backup
                .held_by
                .is_some_and(|rival| rival.priority < self.parameters.priority);
            // The kernel program may not tell of the next advertisement of a router
            // that it knows already: the delay begins here.
            if backup.preemption == Preemption::Barred && lower {
                backup.preemption = Preemption::BarredUntil(now + self.parameters.preempt_delay);
            }
        }
        self.state = State::Backup(backup);
    }

    fn rearm_active(
        &mut self,
        now: Timestamp,
        before: &Parameters,
        mut active: Active,
        out: &mut impl Extend<Action>,
    ) {
        let interval = self.parameters.advertisement_interval;
        if interval != before.advertisement_interval {
            active.advert_at = self.next_advert(now);
            active.advertised_at = now;
        }
        if self.parameters.announce != before.announce {
            out.extend([Action::Announce]);
            active.announcing = Announcing::start(now, &self.parameters.announce);
        }
        self.state = State::Active(active);
    }
}
