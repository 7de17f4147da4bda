//! The state machine: a row per (state, event) with every duration asserted, and
//! properties over random sequences of events.

mod announce;
mod handover;
mod phase;
mod preempt;
mod properties;
mod reconfigure;
mod table;
mod takeover;

use std::{net::Ipv4Addr, time::Duration};

use ha_common::{
    fsm::{
        Action, Active, Advert, FaultCause, Parameters, Reason, State, StateKind, VirtualRouter,
    },
    time::Timestamp,
    types::{Priority, RouterAddress, Version},
};

pub(crate) const INTERVAL: Duration = Duration::from_millis(100);
/// 3 × 100 ms + (256 − 100) × 100 ms / 256.
pub(crate) const ACTIVE_DOWN: Duration = Duration::from_nanos(360_937_500);
/// (256 − 100) × 100 ms / 256.
pub(crate) const SKEW: Duration = Duration::from_nanos(60_937_500);

pub(crate) fn at(millis: u64) -> Timestamp {
    Timestamp::from_nanos(1_000_000_000 + millis * 1_000_000)
}

pub(crate) fn host(last: u8) -> RouterAddress {
    Ipv4Addr::new(10, 0, 0, last).into()
}

pub(crate) fn parameters() -> Parameters {
    Parameters::new(Version::V3, Priority(100), host(5), INTERVAL)
}

pub(crate) fn advert(at: Timestamp, priority: u8, last: u8) -> Advert {
    Advert {
        at,
        source: host(last),
        priority: Priority(priority),
        interval: INTERVAL,
    }
}

pub(crate) fn send(priority: u8) -> Action {
    Action::SendAdvert {
        priority: Priority(priority),
    }
}

pub(crate) fn transition(from: StateKind, to: StateKind, reason: Reason) -> Action {
    Action::Transition { from, to, reason }
}

/// One virtual router and what it asks for.
pub(crate) struct Bench {
    router: VirtualRouter,
}

impl Bench {
    pub(crate) fn new(parameters: Parameters) -> Self {
        Self {
            router: VirtualRouter::new(parameters),
        }
    }

    pub(crate) fn backup(parameters: Parameters) -> Self {
        let mut bench = Self::new(parameters);
        bench.startup(at(0));
        assert_eq!(bench.kind(), StateKind::Backup);
        bench
    }

    /// Active since 1000 ms.
    pub(crate) fn active(parameters: Parameters) -> Self {
        let mut bench = Self::backup(parameters);
        bench.timeout(at(1000));
        assert_eq!(bench.kind(), StateKind::Active);
        bench
    }

    pub(crate) fn kind(&self) -> StateKind {
        self.router.state().kind()
    }

    pub(crate) fn run(
        &mut self,
        handle: impl FnOnce(&mut VirtualRouter, &mut Vec<Action>),
    ) -> Vec<Action> {
        let mut out = Vec::new();
        handle(&mut self.router, &mut out);
        out
    }

    pub(crate) fn startup(&mut self, now: Timestamp) -> Vec<Action> {
        self.run(|router, out| router.handle_startup(now, out))
    }

    pub(crate) fn shutdown(&mut self, now: Timestamp) -> Vec<Action> {
        self.run(|router, out| router.handle_shutdown(now, out))
    }

    pub(crate) fn fault(&mut self, now: Timestamp, cause: FaultCause) -> Vec<Action> {
        self.run(|router, out| router.handle_fault(now, cause, out))
    }

    pub(crate) fn priority(&mut self, now: Timestamp, priority: u8) -> Vec<Action> {
        self.run(|router, out| router.handle_priority(now, Priority(priority), out))
    }

    pub(crate) fn as_active(&self) -> Active {
        match *self.router.state() {
            State::Active(active) => active,
            state => panic!("not active: {state:?}"),
        }
    }

    /// What the kernel is to sort by, in the order of its fields.
    pub(crate) fn sorting(&self) -> (StateKind, u8, bool) {
        let sorting = self.router.sorting();
        (sorting.state, sorting.priority.0, sorting.preempt)
    }

    pub(crate) fn recovery(&mut self, now: Timestamp) -> Vec<Action> {
        self.run(|router, out| router.handle_recovery(now, out))
    }

    pub(crate) fn timeout(&mut self, now: Timestamp) -> Vec<Action> {
        self.run(|router, out| router.handle_timeout(now, out))
    }

    pub(crate) fn hear(&mut self, now: Timestamp, advert: Advert) -> Vec<Action> {
        self.run(|router, out| router.handle_advert(now, &advert, out))
    }

    pub(crate) fn due(&self) -> Option<Timestamp> {
        self.router.poll_timeout()
    }

    /// The owner, Active since the start.
    pub(crate) fn active_owner(parameters: Parameters) -> Self {
        let mut bench = Self::new(parameters);
        bench.startup(at(0));
        bench
    }
}
