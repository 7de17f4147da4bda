//! One virtual router: its parameters and the handlers of its events. What a
//! handler does in a state is in that state's module.

mod active;
mod backup;
mod reconfigure;
mod releasing;

use core::time::Duration;

pub use self::active::ANNOUNCE_GAP;
pub use self::releasing::LINGER;
use super::{
    action::{Action, Reason},
    announce::AnnounceSchedule,
    election::{self, Contender, Role, Standing},
    fault::FaultCause,
    state::{Addresses, Preemption, ReleaseTarget, Sorting, State, StateKind},
    timers,
};
use crate::{
    time::Timestamp,
    types::{Priority, RouterAddress, Version},
};

/// What is configured for one virtual router (RFC 9568 §6.1), and its effective
/// priority.
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
    /// How long a lower Active router is left alone before it is relieved,
    /// counted from its first advertisement; the owner does not wait.
    pub preempt_delay: Duration,
    /// Whether the router that held us back is relieved after Skew_Time when it
    /// falls below our priority, instead of after Active_Down_Interval.
    pub quick_preempt: bool,
    /// By how much the first Active_Down after the start is longer; an owner
    /// waits this long instead of becoming Active at once.
    pub startup_delay: Duration,
    /// Advertisement_Interval.
    pub advertisement_interval: Duration,
    /// An Active advertises so long after each multiple of the interval on the clock,
    /// so that those of one phase do so together. The first may come sooner than the
    /// interval, none later. `None`: the intervals count from when it became Active.
    pub phase: Option<Duration>,
    /// When the addresses are announced.
    pub announce: AnnounceSchedule,
}

impl Parameters {
    /// Parameters with the defaults: preemption on, quick and without delay; no
    /// delay at the start.
    #[must_use]
    pub fn new(
        version: Version,
        priority: Priority,
        address: RouterAddress,
        advertisement_interval: Duration,
    ) -> Self {
        Self {
            version,
            priority,
            address,
            preempt: true,
            preempt_delay: Duration::ZERO,
            quick_preempt: true,
            startup_delay: Duration::ZERO,
            advertisement_interval,
            phase: None,
            announce: AnnounceSchedule::default(),
        }
    }

    /// Our side of the comparison with an advertisement, no delay considered.
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
    addresses: Addresses,
    /// When it takes over is its group's to say, even for an owner.
    in_group: bool,
    /// It has been Backup or Active: the delay of a start is behind it.
    has_run: bool,
}

impl VirtualRouter {
    /// A virtual router in Init.
    #[must_use]
    pub const fn new(parameters: Parameters) -> Self {
        Self {
            parameters,
            state: State::Init,
            addresses: Addresses::Absent,
            in_group: false,
            has_run: false,
        }
    }

    /// A virtual router in Init that never takes over by itself when it comes up:
    /// an owner is Backup with a deadline that has passed. The group lets it take
    /// over, by choosing between [`handle_timeout`](Self::handle_timeout) and
    /// [`handle_upkeep`](Self::handle_upkeep).
    #[must_use]
    pub const fn in_group(parameters: Parameters) -> Self {
        Self {
            in_group: true,
            ..Self::new(parameters)
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

    /// Where its addresses are.
    #[must_use]
    pub const fn addresses(&self) -> Addresses {
        self.addresses
    }

    /// What the kernel program is to sort advertisements by.
    #[must_use]
    pub fn sorting(&self) -> Sorting {
        let (priority, barred) = match &self.state {
            State::Releasing(_) => (Priority::RELEASE, false),
            State::Backup(backup) => (
                self.parameters.priority,
                backup.preemption != Preemption::Free,
            ),
            State::Init | State::Active(_) | State::Fault => (self.parameters.priority, false),
        };
        Sorting {
            state: self.state.kind(),
            priority,
            preempt: self.parameters.preempt && !barred,
        }
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due, if ever.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        self.upkeep_at()
            .into_iter()
            .chain(self.state.active_down_at())
            .min()
    }

    /// When [`handle_upkeep`](Self::handle_upkeep) is due, if ever.
    #[must_use]
    pub fn upkeep_at(&self) -> Option<Timestamp> {
        let leaving_at = match self.addresses {
            Addresses::LeavingAt(at) => Some(at),
            Addresses::Absent | Addresses::Installed => None,
        };
        self.state.upkeep_at().into_iter().chain(leaving_at).min()
    }

    /// Active_Down_Interval as it applies now: from the learned interval in
    /// Backup, else from our own.
    #[must_use]
    pub fn active_down_interval(&self) -> Duration {
        let interval = match &self.state {
            State::Backup(backup) => backup.active_adver_interval,
            State::Init | State::Active(_) | State::Releasing(_) | State::Fault => {
                self.parameters.advertisement_interval
            }
        };
        self.active_down_after(interval)
    }

    /// The interface has this primary address from now on.
    pub const fn set_address(&mut self, address: RouterAddress) {
        self.parameters.address = address;
    }

    /// Startup event (§6.4.1).
    pub fn handle_startup(&mut self, now: Timestamp, out: &mut impl Extend<Action>) {
        if matches!(self.state, State::Init) {
            self.enter(now, Reason::Startup, out);
        }
    }

    /// Startup event of one that cannot take part from the beginning.
    pub fn handle_startup_in_fault(&mut self, cause: FaultCause, out: &mut impl Extend<Action>) {
        if matches!(self.state, State::Init) {
            self.go(State::Fault, Reason::Fault { cause }, out);
        }
    }

    /// Shutdown event (§6.4.2, §6.4.3). An Active router goes on serving until a
    /// successor does; it is through when it is in Init and its addresses are
    /// absent.
    pub fn handle_shutdown(&mut self, now: Timestamp, out: &mut impl Extend<Action>) {
        match &mut self.state {
            State::Init => {}
            State::Active(_) => self.release(now, ReleaseTarget::Init, Reason::Shutdown, out),
            State::Releasing(releasing) => releasing.then = ReleaseTarget::Init,
            State::Backup(_) | State::Fault => self.go(State::Init, Reason::Shutdown, out),
        }
    }

    /// Shutdown that waits for nobody: no address is left.
    pub fn handle_stop_now(&mut self, out: &mut impl Extend<Action>) {
        if matches!(self.state, State::Active(_)) {
            send(Priority::RELEASE, out);
        }
        self.remove_addresses(out);
        if !matches!(self.state, State::Init) {
            self.go(State::Init, Reason::Shutdown, out);
        }
    }

    /// It cannot take part any more, or there is one more reason why it cannot.
    /// Where clients can still use the addresses, they stay until a successor
    /// has them.
    pub fn handle_fault(
        &mut self,
        now: Timestamp,
        cause: FaultCause,
        out: &mut impl Extend<Action>,
    ) {
        let usable = cause.leaves_addresses_usable();
        let reason = Reason::Fault { cause };
        match &mut self.state {
            State::Active(_) if usable => {
                self.release(now, ReleaseTarget::Fault, reason, out);
                return;
            }
            State::Releasing(releasing) if usable => {
                if releasing.then == ReleaseTarget::Backup {
                    releasing.then = ReleaseTarget::Fault;
                }
                return;
            }
            State::Active(_) => send(Priority::RELEASE, out),
            State::Init | State::Backup(_) | State::Releasing(_) | State::Fault => {}
        }
        if !usable {
            self.remove_addresses(out);
        }
        match self.state {
            State::Init | State::Fault => {}
            State::Releasing(releasing) if releasing.then == ReleaseTarget::Init => {
                self.go(State::Init, Reason::Shutdown, out);
            }
            State::Backup(_) | State::Active(_) | State::Releasing(_) => {
                self.go(State::Fault, reason, out);
            }
        }
    }

    /// It can take part again: it starts anew, with the delay of a start if it was in
    /// fault since then. One that is still releasing becomes Backup when it has, or Active again if
    /// nobody has taken over.
    pub fn handle_recovery(&mut self, now: Timestamp, out: &mut impl Extend<Action>) {
        match &mut self.state {
            State::Fault if self.has_run => self.enter(now, Reason::Recovery, out),
            State::Fault => self.enter(now, Reason::Startup, out),
            State::Releasing(releasing) if releasing.then == ReleaseTarget::Fault => {
                releasing.then = ReleaseTarget::Backup;
            }
            State::Init | State::Backup(_) | State::Active(_) | State::Releasing(_) => {}
        }
    }

    /// Another member of its group was outranked.
    pub fn handle_step_down(&mut self, now: Timestamp, out: &mut impl Extend<Action>) {
        if matches!(self.state, State::Active(_)) {
            self.release(now, ReleaseTarget::Backup, Reason::SteppedDown, out);
        }
    }

    /// The effective priority is now `priority` (1 to 255; 0 is ignored).
    pub fn handle_priority(
        &mut self,
        now: Timestamp,
        priority: Priority,
        out: &mut impl Extend<Action>,
    ) {
        let before = self.parameters.priority;
        if priority == before || priority == Priority::RELEASE {
            return;
        }
        self.parameters.priority = priority;
        match self.state {
            State::Backup(backup) => self.reweigh_backup(now, before, backup),
            State::Active(active) => self.advertise(now, active, out),
            State::Init | State::Releasing(_) | State::Fault => {}
        }
    }

    /// A stranger claims one of the addresses. Announcements that this causes
    /// are at least [`ANNOUNCE_GAP`] apart.
    pub fn handle_claim(&mut self, now: Timestamp, out: &mut impl Extend<Action>) {
        if let State::Active(active) = self.state {
            self.announce_anew(now, active, out);
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
            State::Backup(backup) => self.hear_as_backup(backup, advert),
            State::Active(active) => self.hear_as_active(now, active, advert, out),
            State::Releasing(releasing) => self.hear_as_releasing(now, releasing, advert, out),
        }
    }

    /// A deadline may be due (§6.4.2, §6.4.3). Early calls do nothing.
    pub fn handle_timeout(&mut self, now: Timestamp, out: &mut impl Extend<Action>) {
        match self.state {
            State::Backup(backup) if now >= backup.active_down_at => {
                self.take_over_after(now, &backup, out);
            }
            State::Releasing(releasing) if releasing.returns() && now >= releasing.until => {
                self.take_back(now, &releasing, out);
            }
            _ => self.handle_upkeep(now, out),
        }
    }

    /// As [`handle_timeout`](Self::handle_timeout), but it does not become Active:
    /// a Backup stays Backup, and whoever has released and has no successor
    /// becomes it.
    pub fn handle_upkeep(&mut self, now: Timestamp, out: &mut impl Extend<Action>) {
        if let Addresses::LeavingAt(at) = self.addresses
            && now >= at
        {
            self.remove_addresses(out);
        }
        match self.state {
            State::Init | State::Fault => {}
            State::Backup(backup) => self.lift_bar(now, backup),
            State::Active(active) => self.keep_active(now, active, out),
            State::Releasing(releasing) => {
                if now >= releasing.until {
                    self.end_release(now, &releasing, out);
                }
            }
        }
    }

    /// Changes the state, and says so.
    fn go(&mut self, to: State, reason: Reason, out: &mut impl Extend<Action>) {
        let from = self.state.kind();
        self.state = to;
        transition(from, to.kind(), reason, out);
    }

    fn remove_addresses(&mut self, out: &mut impl Extend<Action>) {
        if self.addresses != Addresses::Absent {
            self.addresses = Addresses::Absent;
            out.extend([Action::RemoveAddresses]);
        }
    }

    fn standing(&self, role: Role, advert: &Advert) -> Standing {
        election::standing(
            role,
            &self.parameters.contender(),
            advert.priority,
            advert.source,
        )
    }

    /// When the advertisement after one at `at` is due.
    fn next_advert(&self, at: Timestamp) -> Timestamp {
        let Parameters {
            advertisement_interval,
            phase,
            ..
        } = self.parameters;
        timers::next_advert(at, advertisement_interval, phase)
    }

    fn skew_after(&self, active_adver_interval: Duration) -> Duration {
        let Parameters {
            version, priority, ..
        } = self.parameters;
        timers::skew_time(version, priority, active_adver_interval)
    }

    fn active_down_after(&self, active_adver_interval: Duration) -> Duration {
        let Parameters {
            version, priority, ..
        } = self.parameters;
        timers::active_down_interval(version, priority, active_adver_interval)
    }
}

fn send(priority: Priority, out: &mut impl Extend<Action>) {
    out.extend([Action::SendAdvert { priority }]);
}

fn transition(from: StateKind, to: StateKind, reason: Reason, out: &mut impl Extend<Action>) {
    out.extend([Action::Transition { from, to, reason }]);
}
