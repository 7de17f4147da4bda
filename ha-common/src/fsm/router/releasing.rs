//! Leaving Active without a gap: the addresses stay until a successor has them.

use core::time::Duration;

use super::{Advert, Parameters, VirtualRouter, backup::Place, send};
use crate::{
    fsm::{
        action::{Action, Reason},
        state::{Addresses, ReleaseTarget, Releasing, Rival, State, StateKind},
        timers,
    },
    time::Timestamp,
    types::Priority,
};

/// How long the addresses stay after the advertisement of the router that takes
/// them over: it installs and announces them only after it.
pub const LINGER: Duration = Duration::from_millis(20);

impl VirtualRouter {
    /// Leaves Active: sends priority 0 and goes on serving until a successor does,
    /// or until no Backup can be waiting any more.
    pub(super) fn release(
        &mut self,
        now: Timestamp,
        then: ReleaseTarget,
        reason: Reason,
        out: &mut impl Extend<Action>,
    ) {
        let Parameters {
            version,
            advertisement_interval,
            ..
        } = self.parameters;
        // Nobody waits longer than the lowest priority would.
        let longest =
            timers::active_down_interval(version, Priority::RELEASE, advertisement_interval);
        send(Priority::RELEASE, out);
        let releasing = Releasing {
            released_at: now,
            until: now + longest,
            then,
            successor: None,
        };
        self.go(State::Releasing(releasing), reason, out);
    }

    /// Whoever advertises after our release has taken over. Another that releases
    /// has not.
    pub(super) fn hear_as_releasing(
        &mut self,
        now: Timestamp,
        releasing: Releasing,
        advert: &Advert,
        out: &mut impl Extend<Action>,
    ) {
        let is_first = releasing.successor.is_none();
        if advert.priority == Priority::RELEASE || advert.at <= releasing.released_at || !is_first {
            return;
        }
        let reason = Reason::HandedOver {
            to: advert.source,
            priority: advert.priority,
        };
        match releasing.then {
            // Through only when the addresses are gone.
            ReleaseTarget::Init => {
                self.state = State::Releasing(Releasing {
                    until: releasing.until.min(advert.at + LINGER),
                    successor: Some(Rival {
                        address: advert.source,
                        priority: advert.priority,
                    }),
                    ..releasing
                });
                self.handle_upkeep(now, out);
            }
            ReleaseTarget::Fault => {
                self.let_go(now, advert.at, out);
                self.go(State::Fault, reason, out);
            }
            ReleaseTarget::Backup => {
                self.let_go(now, advert.at, out);
                let from = self.state.kind();
                self.hear(advert, self.bar());
                super::transition(from, self.state.kind(), reason, out);
            }
        }
    }

    /// Nobody has taken over for as long as any Backup would wait, and nothing
    /// stands against us any more: the addresses stay. As a Backup that had heard
    /// nobody since the release we would be due by now too.
    pub(super) fn take_back(
        &mut self,
        now: Timestamp,
        releasing: &Releasing,
        out: &mut impl Extend<Action>,
    ) {
        let reason = nobody_since(now, releasing);
        self.take_over(now, StateKind::Releasing, Place::Taken, reason, out);
    }

    /// Nobody has taken over, or the successor has had its time.
    pub(super) fn end_release(
        &mut self,
        now: Timestamp,
        releasing: &Releasing,
        out: &mut impl Extend<Action>,
    ) {
        let reason = releasing
            .successor
            .map_or(nobody_since(now, releasing), |rival| Reason::HandedOver {
                to: rival.address,
                priority: rival.priority,
            });
        self.remove_addresses(out);
        match releasing.then {
            ReleaseTarget::Init => self.go(State::Init, reason, out),
            ReleaseTarget::Fault => self.go(State::Fault, reason, out),
            ReleaseTarget::Backup => self.enter(now, reason, out),
        }
    }

    /// Another router takes the addresses over; its advertisement arrived at
    /// `heard_at`.
    pub(super) fn let_go(
        &mut self,
        now: Timestamp,
        heard_at: Timestamp,
        out: &mut impl Extend<Action>,
    ) {
        let leaving_at = heard_at + LINGER;
        if now >= leaving_at {
            self.remove_addresses(out);
        } else {
            self.addresses = Addresses::LeavingAt(leaving_at);
        }
    }
}

fn nobody_since(now: Timestamp, releasing: &Releasing) -> Reason {
    Reason::NoSuccessor {
        waited: now.since(releasing.released_at),
    }
}
