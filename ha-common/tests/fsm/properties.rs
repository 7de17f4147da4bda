//! Properties over random sequences of events.

use std::time::Duration;

use ha_common::{
    fsm::{
        Action, Addresses, Advert, AnnounceSchedule, FaultCause, Parameters, Reason, ReleaseTarget,
        State, StateKind, TrackerId, VirtualRouter, election, router::LINGER,
    },
    time::Timestamp,
    types::Priority,
};
use proptest::prelude::*;

use crate::{INTERVAL, at, host, parameters};

#[derive(Clone, Copy, Debug)]
enum Event {
    Startup,
    Shutdown,
    StopNow,
    Fault(FaultCause),
    Recovery,
    StepDown,
    Claim,
    Weigh(u8),
    Drain,
    /// Preempt_Mode, quick, and the delay in milliseconds from now on.
    Reconfigure(bool, bool, u64),
    /// So many milliseconds pass.
    Wait(u64),
    /// The next deadline comes.
    Due,
    Hear {
        age_ms: u64,
        priority: u8,
        source: u8,
        interval_ms: u64,
    },
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        2 => Just(Event::Startup),
        1 => Just(Event::Shutdown),
        1 => Just(Event::StopNow),
        1 => Just(Event::Fault(FaultCause::Interface)),
        1 => Just(Event::Fault(FaultCause::Tracker(TrackerId(1)))),
        2 => Just(Event::Recovery),
        1 => Just(Event::StepDown),
        1 => Just(Event::Claim),
        1 => (1..=254_u8).prop_map(Event::Weigh),
        1 => Just(Event::Drain),
        1 => (any::<(bool, bool)>(), 0..3_u64).prop_map(|((preempt, quick), delay)| {
            Event::Reconfigure(preempt, quick, delay * 300)
        }),
        4 => (0..500_u64).prop_map(Event::Wait),
        4 => Just(Event::Due),
        8 => (0..50_u64, any::<u8>(), 1..10_u8, 1..200_u64).prop_map(
            |(age_ms, priority, source, interval_ms)| Event::Hear {
                age_ms, priority, source, interval_ms: interval_ms * 10
            }
        ),
    ]
}

fn any_parameters() -> impl Strategy<Value = Parameters> {
    let delay = || prop_oneof![Just(0), 1..2000_u64].prop_map(Duration::from_millis);
    (
        prop_oneof![8 => 1..=254_u8, 1 => Just(255)],
        any::<(bool, bool)>(),
        (delay(), delay(), delay(), delay()),
        (any::<u8>(), proptest::option::of(0..200_u64)),
    )
        .prop_map(
            |(priority, (preempt, quick_preempt), (one, two, three, four), (count, phase))| {
                Parameters {
                    priority: Priority(priority),
                    preempt,
                    quick_preempt,
                    preempt_delay: one,
                    startup_delay: two,
                    phase: phase.map(Duration::from_millis),
                    announce: AnnounceSchedule {
                        count,
                        interval: Duration::ZERO,
                        delay: three,
                        refresh: four,
                    },
                    ..parameters()
                }
            },
        )
}

/// A router, what has become of its addresses, and the rules for each step.
struct Run {
    router: VirtualRouter,
    now: Timestamp,
    installed: bool,
}

impl Run {
    fn event(&mut self, event: Event) -> Result<(), TestCaseError> {
        let before = *self.router.state();
        let own = *self.router.parameters();
        let mut out = Vec::new();
        let (router, now) = (&mut self.router, self.now);
        match event {
            Event::Startup => router.handle_startup(now, &mut out),
            Event::Shutdown => router.handle_shutdown(now, &mut out),
            Event::StopNow => router.handle_stop_now(&mut out),
            Event::Fault(cause) => router.handle_fault(now, cause, &mut out),
            Event::Recovery => router.handle_recovery(now, &mut out),
            Event::StepDown => router.handle_step_down(now, &mut out),
            Event::Drain => router.handle_drain(now, &mut out),
            Event::Reconfigure(preempt, quick_preempt, delay_ms) => {
                let parameters = Parameters {
                    preempt,
                    quick_preempt,
                    preempt_delay: Duration::from_millis(delay_ms),
                    ..own
                };
                router.handle_parameters(now, parameters, &mut out);
                prop_assert!(out.is_empty(), "{out:?}");
            }
            Event::Claim => router.handle_claim(now, &mut out),
            // 255 is never weighted.
            Event::Weigh(_) if own.priority == Priority::OWNER => {}
            Event::Weigh(priority) => router.handle_priority(now, Priority(priority), &mut out),
            Event::Wait(millis) => {
                self.now = now + Duration::from_millis(millis);
                router.handle_timeout(self.now, &mut out);
            }
            Event::Due => {
                if let Some(due) = router.poll_timeout() {
                    self.now = now.max(due);
                    router.handle_timeout(self.now, &mut out);
                }
            }
            Event::Hear {
                age_ms,
                priority,
                source,
                interval_ms,
            } => {
                let advert = Advert {
                    at: now - Duration::from_millis(age_ms),
                    source: host(source),
                    priority: Priority(priority),
                    interval: Duration::from_millis(interval_ms),
                };
                router.handle_advert(now, &advert, &mut out);
                self.judge_hearing(before, &own, &advert)?;
            }
        }
        if matches!(event, Event::Wait(_) | Event::Due)
            && let Some(due) = self.router.poll_timeout()
        {
            // A group's owner that has just come back is due, once.
            let is_due = before.kind() != StateKind::Backup
                && matches!(self.router.state(), State::Backup(_))
                && own.priority == Priority::OWNER;
            prop_assert!(
                due > self.now || is_due,
                "a driver would spin: {:?}",
                self.router
            );
        }
        self.judge_actions(before.kind(), &out)?;
        self.judge_deadlines()
    }

    fn judge_hearing(
        &self,
        before: State,
        own: &Parameters,
        advert: &Advert,
    ) -> Result<(), TestCaseError> {
        let after = self.router.state().kind();
        match before {
            State::Active(_) => {
                let verdict = election::standing(
                    election::Role::Active,
                    &own.contender(),
                    advert.priority,
                    advert.source,
                );
                prop_assert_eq!(
                    after == StateKind::Backup,
                    verdict == election::Standing::Wins
                );
            }
            State::Releasing(releasing) => {
                let heard =
                    advert.priority != Priority::RELEASE && advert.at > releasing.released_at;
                if releasing.then == ReleaseTarget::Init {
                    let soon = self
                        .router
                        .poll_timeout()
                        .is_none_or(|at| at <= advert.at + LINGER);
                    prop_assert!(!heard || soon || releasing.successor.is_some());
                } else {
                    prop_assert_eq!(after != StateKind::Releasing, heard);
                }
            }
            State::Init | State::Backup(_) | State::Fault => prop_assert_eq!(after, before.kind()),
        }
        Ok(())
    }

    fn judge_actions(&mut self, before: StateKind, out: &[Action]) -> Result<(), TestCaseError> {
        let after = self.router.state().kind();
        for (place, action) in out.iter().enumerate() {
            match *action {
                Action::InstallAddresses => {
                    // Those that linger may be there still.
                    self.installed = true;
                    let told = out[place - 1] == Action::Announce;
                    let advert = place - 1 - usize::from(told);
                    prop_assert_eq!(
                        out[advert],
                        Action::SendAdvert {
                            priority: self.router.parameters().priority
                        }
                    );
                    prop_assert!(told || out[place + 1] == Action::Announce);
                    // Nobody can serve them but one that has not fallen silent.
                    let is_silent = matches!(
                        out.last(),
                        Some(Action::Transition {
                            reason: Reason::ActiveDown { .. },
                            ..
                        })
                    );
                    prop_assert!(is_silent || !told);
                }
                Action::RemoveAddresses => {
                    prop_assert!(self.installed, "removed twice");
                    self.installed = false;
                }
                Action::Announce => prop_assert!(
                    self.installed || out[place + 1] == Action::InstallAddresses,
                    "announced what is not there"
                ),
                Action::Transition { from, to, .. } => {
                    prop_assert_eq!((from, to), (before, after));
                    prop_assert_eq!(place, out.len() - 1);
                }
                Action::SendAdvert {
                    priority: Priority::RELEASE,
                } => {
                    prop_assert_eq!(before, StateKind::Active);
                    prop_assert!(!matches!(after, StateKind::Active | StateKind::Backup));
                }
                Action::SendAdvert { priority } => {
                    prop_assert_eq!(priority, self.router.parameters().priority);
                    prop_assert!(before == StateKind::Active || after == StateKind::Active);
                }
                Action::Resumed { silence } => {
                    prop_assert_eq!(after, StateKind::Active);
                    prop_assert!(silence >= 3 * INTERVAL);
                }
                Action::UpdateKernel(_) => prop_assert!(false, "that is the engine's to ask"),
            }
        }
        let changes = out
            .iter()
            .filter(|action| matches!(action, Action::Transition { .. }))
            .count();
        prop_assert_eq!(changes, usize::from(before != after));
        Ok(())
    }

    fn judge_deadlines(&self) -> Result<(), TestCaseError> {
        let Self { router, now, .. } = self;
        let serves = matches!(router.state(), State::Active(_) | State::Releasing(_));
        match router.addresses() {
            Addresses::Absent => prop_assert!(!self.installed && !serves),
            Addresses::Installed => prop_assert!(self.installed && serves),
            Addresses::LeavingAt(at) => {
                prop_assert!(self.installed && !serves);
                prop_assert!(at <= *now + LINGER);
            }
        }
        let idle = matches!(router.state(), State::Init | State::Fault) && !self.installed;
        prop_assert_eq!(router.poll_timeout().is_none(), idle);
        match router.state() {
            State::Init | State::Fault => {}
            State::Backup(backup) => {
                prop_assert!(backup.heard_at <= *now);
                prop_assert!(backup.active_adver_interval >= Duration::from_millis(10));
                let down = router.active_down_interval() + router.parameters().startup_delay;
                prop_assert!(
                    backup.active_down_at <= backup.heard_at + down,
                    "held back longer than Active_Down_Interval"
                );
            }
            State::Active(active) => {
                prop_assert!(active.advert_at <= *now + INTERVAL);
                prop_assert!(active.advertised_at <= *now);
                if let Some(phase) = router.parameters().phase {
                    let past = active.advert_at.since(Timestamp::default() + phase);
                    prop_assert_eq!(past.as_nanos() % INTERVAL.as_nanos(), 0, "off its grid");
                }
            }
            State::Releasing(releasing) => {
                prop_assert!(releasing.until <= releasing.released_at + 4 * INTERVAL);
                prop_assert_eq!(router.sorting().priority, Priority::RELEASE);
            }
        }
        Ok(())
    }
}

proptest! {
    /// Whatever happens: addresses are there in Active and Releasing, for 20 ms
    /// after they were yielded, and nowhere else; every entry into Active
    /// advertises before it installs and announces; no deadline lies further off
    /// than its state allows, and none makes a driver spin.
    #[test]
    fn addresses_are_where_active_is(
        parameters in any_parameters(),
        in_group in any::<bool>(),
        events in proptest::collection::vec(event(), 1..120),
    ) {
        let router = if in_group {
            VirtualRouter::in_group(parameters)
        } else {
            VirtualRouter::new(parameters)
        };
        let mut run = Run { router, now: at(1_000), installed: false };
        for event in events {
            run.event(event)?;
        }
    }
}
