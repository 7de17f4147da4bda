//! Backup (RFC 9568 §6.4.2), and how it is entered and left.

use core::time::Duration;

use super::{Advert, VirtualRouter, send, transition};
use crate::{
    fsm::{
        action::{Action, Reason},
        announce::Announcing,
        election::{Role, Standing},
        state::{Active, Addresses, Backup, Preemption, Rival, Shortened, State, StateKind},
        timers,
    },
    time::Timestamp,
    types::Priority,
};

/// Floor under a learned interval: the least that version 3 can carry and be
/// meant, so that no peer can make us spin.
const LEAST_INTERVAL: Duration = Duration::from_millis(10);

/// Whether another router may serve the addresses that we take over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Place {
    /// Another may.
    Taken,
    /// Nobody does.
    Vacant,
}

impl VirtualRouter {
    /// Comes up: Backup with the full timer, or Active if we own the addresses.
    pub(super) fn enter(&mut self, now: Timestamp, reason: Reason, out: &mut impl Extend<Action>) {
        let delay = if reason == Reason::Startup {
            self.parameters.startup_delay
        } else {
            Duration::ZERO
        };
        self.has_run = true;
        let interval = self.parameters.advertisement_interval;
        let is_owner = self.parameters.priority == Priority::OWNER;
        if is_owner && delay == Duration::ZERO && !self.in_group {
            let reason = if reason == Reason::Startup {
                Reason::Owner
            } else {
                reason
            };
            self.take_over(now, self.state.kind(), Place::Taken, reason, out);
            return;
        }
        let after = if is_owner {
            delay
        } else {
            self.active_down_after(interval) + delay
        };
        let backup = Backup {
            heard_at: now,
            active_down_at: now + after,
            active_adver_interval: interval,
            held_by: None,
            shortened: is_owner.then_some(Shortened::Owner),
            preemption: self.bar(),
            is_contested: false,
        };
        self.go(State::Backup(backup), reason, out);
    }

    pub(super) fn hear_as_backup(&mut self, backup: Backup, advert: &Advert) {
        if advert.at <= backup.heard_at {
            return;
        }
        match self.standing(Role::Backup, advert) {
            // The RFC sets the timer to Skew_Time. The earlier of the two does the
            // same for the first release and keeps a stream of them from holding us
            // back for ever. It ends the delay of a start too: somebody was Active,
            // so the link works, and now nobody is.
            Standing::Release => {
                let skewed_at = advert.at + self.skew_after(backup.active_adver_interval);
                self.state = State::Backup(Backup {
                    heard_at: advert.at,
                    active_down_at: backup.active_down_at.min(skewed_at),
                    shortened: Some(Shortened::Released),
                    ..backup
                });
            }
            Standing::Wins => self.hear(advert, self.bar()),
            Standing::Loses => self.hear_lower(backup, advert),
        }
    }

    /// A lower priority, which is to be preempted: at once, or after a delay.
    fn hear_lower(&mut self, backup: Backup, advert: &Advert) {
        match backup.preemption {
            Preemption::Barred => {
                let at = advert.at + self.parameters.preempt_delay;
                self.hear(advert, Preemption::BarredUntil(at));
            }
            Preemption::BarredUntil(at) if advert.at < at => self.hear(advert, backup.preemption),
            Preemption::BarredUntil(_) | Preemption::Free => {
                let mut backup = Backup {
                    preemption: Preemption::Free,
                    is_contested: true,
                    ..backup
                };
                if self.parameters.quick_preempt
                    && backup.held_by.map(|rival| rival.address) == Some(advert.source)
                {
                    let skewed_at = advert.at + self.skew_after(backup.active_adver_interval);
                    // Unlike a release it may be one of a row: only the first tells
                    // when the timer was set.
                    if skewed_at < backup.active_down_at {
                        backup.active_down_at = skewed_at;
                        backup.shortened = Some(Shortened::Weakened(Rival {
                            address: advert.source,
                            priority: advert.priority,
                        }));
                    }
                }
                self.state = State::Backup(backup);
            }
        }
    }

    /// Backup from here on, held back by `advert`.
    pub(super) fn hear(&mut self, advert: &Advert, preemption: Preemption) {
        let active_adver_interval = advert.interval.max(LEAST_INTERVAL);
        self.state = State::Backup(Backup {
            heard_at: advert.at,
            active_down_at: advert.at + self.active_down_after(active_adver_interval),
            active_adver_interval,
            held_by: Some(Rival {
                address: advert.source,
                priority: advert.priority,
            }),
            shortened: None,
            preemption,
            is_contested: false,
        });
    }

    /// What a lower router meets that we have not heard yet.
    pub(super) fn bar(&self) -> Preemption {
        let super::Parameters {
            preempt,
            preempt_delay,
            priority,
            ..
        } = self.parameters;
        if preempt && priority != Priority::OWNER && preempt_delay > Duration::ZERO {
            Preemption::Barred
        } else {
            Preemption::Free
        }
    }

    pub(super) fn lift_bar(&mut self, now: Timestamp, backup: Backup) {
        if let Preemption::BarredUntil(at) = backup.preemption
            && now >= at
        {
            self.state = State::Backup(Backup {
                preemption: Preemption::Free,
                ..backup
            });
        }
    }

    /// Our priority is another one than `before`: Skew_Time follows it.
    pub(super) fn reweigh_backup(&mut self, now: Timestamp, before: Priority, backup: Backup) {
        let interval = backup.active_adver_interval;
        let skewed = timers::skew_time(self.parameters.version, before, interval);
        let active_down_at = backup.active_down_at - skewed + self.skew_after(interval);
        // The kernel program knew the router that holds us back already, so it may
        // not tell of its next advertisement: the delay begins here.
        let is_lower = backup
            .held_by
            .is_some_and(|rival| rival.priority < self.parameters.priority);
        let preemption = match backup.preemption {
            Preemption::Barred if is_lower => {
                Preemption::BarredUntil(now + self.parameters.preempt_delay)
            }
            preemption => preemption,
        };
        self.state = State::Backup(Backup {
            active_down_at,
            preemption,
            ..backup
        });
    }

    /// Active_Down has run out.
    pub(super) fn take_over_after(
        &mut self,
        now: Timestamp,
        backup: &Backup,
        out: &mut impl Extend<Action>,
    ) {
        let reason = match backup.shortened {
            Some(Shortened::Released) => Reason::Released,
            Some(Shortened::Weakened(rival)) => Reason::Weakened {
                by: rival.address,
                priority: rival.priority,
            },
            Some(Shortened::Owner) => Reason::Owner,
            None => Reason::ActiveDown {
                silence: now.since(backup.heard_at),
                allowed: backup.active_down_at.since(backup.heard_at),
            },
        };
        let place = if self.is_vacant(backup) {
            Place::Vacant
        } else {
            Place::Taken
        };
        self.take_over(now, StateKind::Backup, place, reason, out);
    }

    /// Whether nobody serves the addresses when Active_Down runs out, as far as we can
    /// know: the router that held us back has fallen silent, and has neither released
    /// nor said that it is the lesser one now. Of lower routers that we have never been
    /// held back by the kernel program does not tell, so whoever has heard of none may
    /// have come up beside one that serves.
    fn is_vacant(&self, backup: &Backup) -> bool {
        let holds = |rival: Rival| {
            let super::Parameters {
                priority, preempt, ..
            } = self.parameters;
            let preempts = preempt && backup.preemption == Preemption::Free;
            rival.priority >= priority || !(preempts || priority == Priority::OWNER)
        };
        backup.shortened.is_none() && !backup.is_contested && backup.held_by.is_some_and(holds)
    }

    /// Becomes Active. Where another may still serve, clients are told of us only when
    /// the addresses are here. Where nobody does they are told first: a thousand
    /// addresses take the kernel 10 ms, and switches and clients learn meanwhile.
    pub(super) fn take_over(
        &mut self,
        now: Timestamp,
        from: StateKind,
        place: Place,
        reason: Reason,
        out: &mut impl Extend<Action>,
    ) {
        self.state = State::Active(Active {
            advert_at: self.next_advert(now),
            advertised_at: now,
            announcing: Announcing::start(now, &self.parameters.announce),
        });
        send(self.parameters.priority, out);
        // Those that were about to leave stay.
        let are_there = self.addresses == Addresses::Installed;
        self.addresses = Addresses::Installed;
        match (place, are_there) {
            (_, true) => out.extend([Action::Announce]),
            (Place::Vacant, false) => out.extend([Action::Announce, Action::InstallAddresses]),
            (Place::Taken, false) => out.extend([Action::InstallAddresses, Action::Announce]),
        }
        transition(from, StateKind::Active, reason, out);
    }
}
