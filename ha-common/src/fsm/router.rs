//! One virtual router: the handlers of its events.

use core::time::Duration;

use super::{
    action::{Action, Reason},
    election::{self, Contender, Role, Standing},
    state::{State, StateKind},
    timers,
};
use crate::{
    time::Timestamp,
    types::{Priority, RouterAddress, Version},
};

/// Spans between the announcements that follow the first one of a takeover.
///
/// The first may be lost, or reach a switch whose port has only begun to
/// forward; the repetitions catch both without a burst.
pub const ANNOUNCE_AGAIN_AFTER: [Duration; 4] = [
    Duration::from_millis(100),
    Duration::from_millis(400),
    Duration::from_millis(1500),
    Duration::from_secs(3),
];

/// Least span between two announcements that other routers can cause: a stream of
/// losing advertisements must not become a stream of announcements.
pub const ANNOUNCE_GAP: Duration = ANNOUNCE_AGAIN_AFTER[0];

/// Floor under a learned interval: the least that version 3 can carry and be
/// meant, so that no peer can make us spin.
const LEAST_INTERVAL: Duration = Duration::from_millis(10);

/// What is configured for one virtual router (RFC 9568 §6.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Parameters {
    /// Version 2 and 3 differ in Skew_Time.
    pub version: Version,
    /// Effective priority, 1 to 255.
    pub priority: Priority,
    /// Primary address of the interface, for the tie-break.
    pub address: RouterAddress,
    /// Preempt_Mode.
    pub preempt: bool,
    /// Advertisement_Interval.
    pub advertisement_interval: Duration,
}

impl Parameters {
    /// Our side of the comparison with an advertisement.
    #[must_use]
    pub const fn contender(&self) -> Contender {
        Contender {
            priority: self.priority,
            address: self.address,
            preempt: self.preempt,
        }
    }
}

/// A valid advertisement of another router.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Advert {
    /// When it arrived, by the kernel's clock.
    pub at: Timestamp,
    /// Primary address of its sender.
    pub source: RouterAddress,
    /// Its priority.
    pub priority: Priority,
    /// Its Max Advertise Interval.
    pub interval: Duration,
}

/// One virtual router.
#[derive(Clone, Debug)]
pub struct VirtualRouter {
    parameters: Parameters,
    state: State,
    /// The last advertisement seen was priority 0.
    released: bool,
}

impl VirtualRouter {
    /// A virtual router in Init.
    #[must_use]
    pub const fn new(parameters: Parameters) -> Self {
        Self {
            parameters,
            state: State::Init,
            released: false,
        }
    }

    /// Its parameters.
    #[must_use]
    pub const fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// Its state.
    #[must_use]
    pub const fn state(&self) -> &State {
        &self.state
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due, if ever.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        self.state.deadline()
    }

    /// Active_Down_Interval as it applies now: from the learned interval in
    /// Backup, else from our own.
    #[must_use]
    pub fn active_down_interval(&self) -> Duration {
        let interval = match self.state {
            State::Backup {
                active_adver_interval,
                ..
            } => active_adver_interval,
            State::Init | State::Active { .. } | State::Fault => {
                self.parameters.advertisement_interval
            }
        };
        self.active_down_after(interval)
    }

    /// Startup event (§6.4.1).
    pub fn handle_startup(&mut self, now: Timestamp, out: &mut impl Extend<Action>) {
        if matches!(self.state, State::Init) {
            self.enter(now, Reason::Startup, out);
        }
    }

    /// Shutdown event (§6.4.2, §6.4.3).
    pub fn handle_shutdown(&mut self, out: &mut impl Extend<Action>) {
        if !matches!(self.state, State::Init) {
            self.leave(State::Init, Reason::Shutdown, out);
        }
    }

    /// The interface cannot be used any more.
    pub fn handle_fault(&mut self, out: &mut impl Extend<Action>) {
        if !matches!(self.state, State::Init | State::Fault) {
            self.leave(State::Fault, Reason::Fault, out);
        }
    }

    /// The interface can be used again: the virtual router starts anew.
    pub fn handle_recovery(&mut self, now: Timestamp, out: &mut impl Extend<Action>) {
        if matches!(self.state, State::Fault) {
            self.enter(now, Reason::Recovery, out);
        }
    }

    /// An advertisement was received (§6.4.2, §6.4.3).
    ///
    /// In Backup, one that arrived no later than what the deadline already
    /// counts from changes nothing, so a driver may hand over the kernel's last
    /// record as often as it likes.
    pub fn handle_advert(
        &mut self,
        now: Timestamp,
        advert: &Advert,
        out: &mut impl Extend<Action>,
    ) {
        match self.state {
            State::Init | State::Fault => {}
            State::Backup {
                heard_at,
                active_down_at,
                active_adver_interval,
            } => {
                if advert.at <= heard_at {
                    return;
                }
                match self.standing(Role::Backup, advert) {
                    Standing::Release => {
                        // The RFC sets the timer to Skew_Time. The earlier of the two
                        // does the same for the first release and keeps a stream of
                        // them from holding us back for ever.
                        let skew = timers::skew_time(
                            self.parameters.version,
                            self.parameters.priority,
                            active_adver_interval,
                        );
                        self.released = true;
                        self.state = State::Backup {
                            heard_at: advert.at,
                            active_down_at: active_down_at.min(advert.at + skew),
                            active_adver_interval,
                        };
                    }
                    Standing::Wins => self.hear(advert),
                    Standing::Loses => {}
                }
            }
            State::Active {
                advert_at,
                announced_at,
                announce,
            } => match self.standing(Role::Active, advert) {
                Standing::Release => {
                    let advert_at = now + self.parameters.advertisement_interval;
                    self.assert_active(now, advert_at, announced_at, announce, out);
                }
                Standing::Wins => {
                    // The last word: it tells a winner that was Active all along (a
                    // partition has healed) that there were two, so that it announces
                    // the addresses and no client stays with us. It reaches the others
                    // as if it had been sent a moment earlier.
                    self.send_advert(out);
                    self.hear(advert);
                    out.extend([
                        Action::RemoveAddresses,
                        Action::Transition {
                            from: StateKind::Active,
                            to: StateKind::Backup,
                            reason: Reason::Outranked {
                                by: advert.source,
                                priority: advert.priority,
                            },
                        },
                    ]);
                }
                // Asserts our place to the sender and shows bridges the way; the
                // advertisement timer runs on (new in RFC 9568).
                Standing::Loses => {
                    self.assert_active(now, advert_at, announced_at, announce, out);
                }
            },
        }
    }

    /// A deadline may be due (§6.4.2, §6.4.3). Early calls do nothing.
    pub fn handle_timeout(&mut self, now: Timestamp, out: &mut impl Extend<Action>) {
        match self.state {
            State::Init | State::Fault => {}
            State::Backup {
                heard_at,
                active_down_at,
                ..
            } => {
                if now >= active_down_at {
                    let reason = if self.released {
                        Reason::Released
                    } else {
                        Reason::ActiveDown {
                            silence: now.since(heard_at),
                            allowed: active_down_at.since(heard_at),
                        }
                    };
                    self.take_over(now, StateKind::Backup, reason, out);
                }
            }
            State::Active {
                mut advert_at,
                mut announced_at,
                mut announce,
            } => {
                let interval = self.parameters.advertisement_interval;
                if now >= advert_at {
                    self.send_advert(out);
                    // From deadline to deadline, so that lateness does not add up;
                    // what a stall has missed is not caught up with.
                    advert_at = advert_at + interval;
                    if advert_at <= now {
                        advert_at = now + interval;
                    }
                }
                if let Some((at, round)) = announce
                    && now >= at
                {
                    out.extend([Action::Announce]);
                    announced_at = now;
                    announce = announcement(now, round + 1);
                }
                self.state = State::Active {
                    advert_at,
                    announced_at,
                    announce,
                };
            }
        }
    }

    fn enter(&mut self, now: Timestamp, reason: Reason, out: &mut impl Extend<Action>) {
        let from = self.state.kind();
        if self.parameters.priority == Priority::OWNER {
            let reason = if reason == Reason::Startup {
                Reason::Owner
            } else {
                reason
            };
            self.take_over(now, from, reason, out);
            return;
        }
        let interval = self.parameters.advertisement_interval;
        self.released = false;
        self.state = State::Backup {
            heard_at: now,
            active_down_at: now + self.active_down_after(interval),
            active_adver_interval: interval,
        };
        out.extend([Action::Transition {
            from,
            to: StateKind::Backup,
            reason,
        }]);
    }

    fn leave(&mut self, to: State, reason: Reason, out: &mut impl Extend<Action>) {
        let from = self.state.kind();
        self.state = to;
        if from == StateKind::Active {
            out.extend([
                Action::SendAdvert {
                    priority: Priority::RELEASE,
                },
                Action::RemoveAddresses,
            ]);
        }
        out.extend([Action::Transition {
            from,
            to: to.kind(),
            reason,
        }]);
    }

    fn take_over(
        &mut self,
        now: Timestamp,
        from: StateKind,
        reason: Reason,
        out: &mut impl Extend<Action>,
    ) {
        self.released = false;
        self.state = State::Active {
            advert_at: now + self.parameters.advertisement_interval,
            announced_at: now,
            announce: announcement(now, 0),
        };
        self.send_advert(out);
        out.extend([
            Action::InstallAddresses,
            Action::Announce,
            Action::Transition {
                from,
                to: StateKind::Active,
                reason,
            },
        ]);
    }

    /// Tells a second Active that it is not, and the clients that we are: it may
    /// have announced the addresses for its own.
    fn assert_active(
        &mut self,
        now: Timestamp,
        advert_at: Timestamp,
        announced_at: Timestamp,
        announce: Option<(Timestamp, u8)>,
        out: &mut impl Extend<Action>,
    ) {
        self.send_advert(out);
        let may_at = announced_at + ANNOUNCE_GAP;
        self.state = if now >= may_at {
            out.extend([Action::Announce]);
            State::Active {
                advert_at,
                announced_at: now,
                announce: announcement(now, 0),
            }
        } else {
            let at = announce.map_or(may_at, |(at, _)| at.min(may_at));
            State::Active {
                advert_at,
                announced_at,
                announce: Some((at, 0)),
            }
        };
    }

    /// Backup from here on, held back by `advert`.
    fn hear(&mut self, advert: &Advert) {
        let active_adver_interval = advert.interval.max(LEAST_INTERVAL);
        self.released = false;
        self.state = State::Backup {
            heard_at: advert.at,
            active_down_at: advert.at + self.active_down_after(active_adver_interval),
            active_adver_interval,
        };
    }

    fn send_advert(&self, out: &mut impl Extend<Action>) {
        out.extend([Action::SendAdvert {
            priority: self.parameters.priority,
        }]);
    }

    fn standing(&self, role: Role, advert: &Advert) -> Standing {
        election::standing(
            role,
            &self.parameters.contender(),
            advert.priority,
            advert.source,
        )
    }

    fn active_down_after(&self, active_adver_interval: Duration) -> Duration {
        timers::active_down_interval(
            self.parameters.version,
            self.parameters.priority,
            active_adver_interval,
        )
    }
}

/// The repetition `round` after an announcement at `now`, while there is one.
fn announcement(now: Timestamp, round: u8) -> Option<(Timestamp, u8)> {
    ANNOUNCE_AGAIN_AFTER
        .get(usize::from(round))
        .map(|after| (now + *after, round))
}
