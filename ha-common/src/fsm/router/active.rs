//! Active (RFC 9568 §6.4.3).

use core::time::Duration;

use super::{Advert, VirtualRouter, send, transition};
use crate::{
    fsm::{
        action::{Action, Reason},
        announce::Announcing,
        election::{Role, Standing},
        state::{Active, State, StateKind},
    },
    time::Timestamp,
};

/// Least span between two announcements that others can cause: a stream of losing
/// advertisements or of claims must not become a stream of announcements.
pub const ANNOUNCE_GAP: Duration = Duration::from_millis(100);

/// Intervals without an advertisement of ours after which the others must have
/// given us up.
const GIVEN_UP_AFTER: u32 = 3;

impl VirtualRouter {
    pub(super) fn hear_as_active(
        &mut self,
        now: Timestamp,
        mut active: Active,
        advert: &Advert,
        out: &mut impl Extend<Action>,
    ) {
        match self.standing(Role::Active, advert) {
            Standing::Release => {
                active.advert_at = self.next_advert(now);
                self.assert_active(now, active, out);
            }
            Standing::Wins => {
                // The last word: it tells a winner that was Active all along (a
                // partition has healed) that there were two, so that it announces
                // the addresses and no client stays with us. It reaches the others
                // as if it had been sent a moment earlier.
                send(self.parameters.priority, out);
                self.hear(advert, self.bar());
                self.let_go(now, advert.at, out);
                transition(
                    StateKind::Active,
                    StateKind::Backup,
                    Reason::Outranked {
                        by: advert.source,
                        priority: advert.priority,
                    },
                    out,
                );
            }
            // Asserts our place to the sender and shows bridges the way; the
            // advertisement timer runs on (new in RFC 9568).
            Standing::Loses => self.assert_active(now, active, out),
        }
    }

    pub(super) fn keep_active(
        &mut self,
        now: Timestamp,
        mut active: Active,
        out: &mut impl Extend<Action>,
    ) {
        if now >= active.advert_at {
            // From deadline to deadline, so that lateness does not add up; what a
            // stall has missed is not caught up with. A deadline from before a reload
            // may be of another phase: the next one is of ours.
            active.advert_at = self.next_advert(active.advert_at);
            if active.advert_at <= now {
                active.advert_at = self.next_advert(now);
            }
            active = self.speak(now, active, out);
        }
        if active.announcing.next_at.is_some_and(|at| now >= at) {
            out.extend([Action::Announce]);
            active.announcing.announced(now, &self.parameters.announce);
        }
        self.state = State::Active(active);
    }

    /// Advertises out of turn; the timer runs on.
    pub(super) fn advertise(
        &mut self,
        now: Timestamp,
        active: Active,
        out: &mut impl Extend<Action>,
    ) {
        self.state = State::Active(self.speak(now, active, out));
    }

    /// Tells a second Active that it is not, and the clients that we are: it may
    /// have announced the addresses for its own.
    fn assert_active(&mut self, now: Timestamp, active: Active, out: &mut impl Extend<Action>) {
        let active = self.speak(now, active, out);
        self.announce_anew(now, active, out);
    }

    /// Announces the addresses and begins the schedule anew, now or as soon as
    /// the last announcement is [`ANNOUNCE_GAP`] ago.
    pub(super) fn announce_anew(
        &mut self,
        now: Timestamp,
        mut active: Active,
        out: &mut impl Extend<Action>,
    ) {
        let may_at = active.announcing.last_at + ANNOUNCE_GAP;
        if now >= may_at {
            out.extend([Action::Announce]);
            active.announcing = Announcing::start(now, &self.parameters.announce);
        } else {
            active.announcing.restart_by(may_at);
        }
        self.state = State::Active(active);
    }

    /// Sends an advertisement. If it comes so late that the others must have given
    /// us up, the clients may have been told of another Active: what was missed
    /// is not gone on with, the place is taken anew.
    fn speak(&self, now: Timestamp, mut active: Active, out: &mut impl Extend<Action>) -> Active {
        let interval = self.parameters.advertisement_interval;
        let silence = now.since(active.advertised_at);
        active.advertised_at = now;
        send(self.parameters.priority, out);
        if silence >= GIVEN_UP_AFTER * interval {
            active.advert_at = active.advert_at.max(self.next_advert(now));
            active.announcing = Announcing::start(now, &self.parameters.announce);
            out.extend([Action::Announce, Action::Resumed { silence }]);
        }
        active
    }
}
