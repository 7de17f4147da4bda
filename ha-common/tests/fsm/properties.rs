//! Properties over random sequences of events.

use std::time::Duration;

use ha_common::{
    fsm::{Action, Advert, Parameters, State, StateKind, VirtualRouter, election},
    types::Priority,
};
use proptest::prelude::*;

use crate::{INTERVAL, at, host, parameters};

#[derive(Clone, Copy, Debug)]
enum Event {
    Startup,
    Shutdown,
    Fault,
    Recovery,
    Wait(u64),
    Hear {
        age_ms: u64,
        priority: u8,
        source: u8,
        interval_ms: u64,
    },
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        1 => Just(Event::Startup),
        1 => Just(Event::Shutdown),
        1 => Just(Event::Fault),
        1 => Just(Event::Recovery),
        6 => (0..500_u64).prop_map(Event::Wait),
        8 => (0..50_u64, any::<u8>(), 1..10_u8, 1..200_u64).prop_map(
            |(age_ms, priority, source, interval_ms)| Event::Hear {
                age_ms, priority, source, interval_ms: interval_ms * 10
            }
        ),
    ]
}

proptest! {
    /// Whatever happens: addresses are there in Active and nowhere else, every
    /// entry into Active advertises before it installs and announces, every exit
    /// removes, and no deadline lies further off than its state allows.
    #[test]
    fn addresses_are_where_active_is(
        priority in 1..=255_u8,
        preempt in any::<bool>(),
        events in proptest::collection::vec(event(), 1..80),
    ) {
        let parameters = Parameters { priority: Priority(priority), preempt, ..parameters() };
        let mut router = VirtualRouter::new(parameters);
        let mut now = at(1_000);
        let mut installed = false;
        for event in events {
            let before = router.state().kind();
            let mut out = Vec::new();
            match event {
                Event::Startup => router.handle_startup(now, &mut out),
                Event::Shutdown => router.handle_shutdown(&mut out),
                Event::Fault => router.handle_fault(&mut out),
                Event::Recovery => router.handle_recovery(now, &mut out),
                Event::Wait(millis) => {
                    now = now + Duration::from_millis(millis);
                    router.handle_timeout(now, &mut out);
                }
                Event::Hear { age_ms, priority, source, interval_ms } => {
                    let advert = Advert {
                        at: now - Duration::from_millis(age_ms),
                        source: host(source),
                        priority: Priority(priority),
                        interval: Duration::from_millis(interval_ms),
                    };
                    router.handle_advert(now, &advert, &mut out);
                    if before == StateKind::Active {
                        let verdict = election::standing(
                            election::Role::Active,
                            &parameters.contender(),
                            advert.priority,
                            advert.source,
                        );
                        prop_assert_eq!(
                            router.state().kind() == StateKind::Backup,
                            verdict == election::Standing::Wins
                        );
                    }
                }
            }
            let after = router.state().kind();
            for action in &out {
                match action {
                    Action::InstallAddresses => {
                        prop_assert!(!installed);
                        installed = true;
                        prop_assert_eq!(out[0], Action::SendAdvert { priority: parameters.priority });
                    }
                    Action::RemoveAddresses => {
                        prop_assert!(installed);
                        installed = false;
                    }
                    Action::Announce => prop_assert!(installed, "announced what is not there"),
                    Action::Transition { from, to, .. } => {
                        prop_assert_eq!(*from, before);
                        prop_assert_eq!(*to, after);
                    }
                    Action::SendAdvert { .. } => {}
                }
            }
            prop_assert_eq!(installed, after == StateKind::Active);
            prop_assert_eq!(
                out.iter().any(|action| matches!(action, Action::Transition { .. })),
                before != after
            );
            match *router.state() {
                State::Init | State::Fault => prop_assert_eq!(router.poll_timeout(), None),
                State::Backup { heard_at, active_down_at, active_adver_interval } => {
                    prop_assert!(heard_at <= now);
                    prop_assert!(active_adver_interval >= Duration::from_millis(10));
                    prop_assert!(
                        active_down_at <= heard_at + router.active_down_interval(),
                        "held back longer than Active_Down_Interval"
                    );
                }
                State::Active { advert_at, .. } => {
                    prop_assert!(advert_at <= now + INTERVAL);
                }
            }
        }
    }
}
