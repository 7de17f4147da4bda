//! A row per (state, event).

use std::{net::Ipv4Addr, time::Duration};

use ha_common::{
    fsm::{
        Action, Addresses, Advert, FaultCause, Parameters, Reason, StateKind,
        router::{ANNOUNCE_GAP, LINGER},
    },
    types::{Priority, Version},
};

use crate::{ACTIVE_DOWN, Bench, INTERVAL, SKEW, advert, at, host, parameters, send, transition};

const DOWN: Reason = Reason::Fault {
    cause: FaultCause::Interface,
};

// Init

#[test]
fn init_startup_goes_to_backup_with_the_full_timer() {
    let mut bench = Bench::new(parameters());
    assert_eq!(bench.due(), None);
    assert_eq!(
        bench.startup(at(0)),
        [transition(
            StateKind::Init,
            StateKind::Backup,
            Reason::Startup
        )]
    );
    assert_eq!(bench.due(), Some(at(0) + ACTIVE_DOWN));
}

#[test]
fn init_startup_of_the_owner_goes_to_active_at_once() {
    let owner = Parameters {
        priority: Priority::OWNER,
        ..parameters()
    };
    let mut bench = Bench::new(owner);
    assert_eq!(
        bench.startup(at(0)),
        [
            send(255),
            Action::InstallAddresses,
            Action::Announce,
            transition(StateKind::Init, StateKind::Active, Reason::Owner),
        ]
    );
    assert_eq!(
        bench.due(),
        Some(at(0) + INTERVAL),
        "the next advertisement"
    );
}

#[test]
fn init_ignores_all_but_startup() {
    let mut bench = Bench::new(parameters());
    assert_eq!(bench.hear(at(1), advert(at(1), 255, 9)), []);
    assert_eq!(bench.timeout(at(9999)), []);
    assert_eq!(bench.shutdown(at(1)), []);
    assert_eq!(bench.fault(at(1), FaultCause::Interface), []);
    assert_eq!(bench.recovery(at(1)), []);
    assert_eq!(bench.kind(), StateKind::Init);
}

// Backup

#[test]
fn backup_takes_over_when_active_down_fires_and_not_before() {
    let mut bench = Bench::backup(parameters());
    let due = at(0) + ACTIVE_DOWN;
    assert_eq!(bench.timeout(due - Duration::from_nanos(1)), []);
    let late = due + Duration::from_micros(30);
    assert_eq!(
        bench.timeout(late),
        [
            send(100),
            Action::InstallAddresses,
            Action::Announce,
            transition(
                StateKind::Backup,
                StateKind::Active,
                Reason::ActiveDown {
                    silence: ACTIVE_DOWN + Duration::from_micros(30),
                    allowed: ACTIVE_DOWN,
                }
            ),
        ]
    );
    assert_eq!(bench.due(), Some(late + INTERVAL));
}

#[test]
fn backup_counts_from_arrival_not_from_when_it_heard_of_it() {
    let mut bench = Bench::backup(parameters());
    assert_eq!(bench.hear(at(250), advert(at(200), 200, 9)), []);
    assert_eq!(bench.due(), Some(at(200) + ACTIVE_DOWN));
}

#[test]
fn backup_ignores_what_it_has_accounted_for() {
    let mut bench = Bench::backup(parameters());
    bench.hear(at(200), advert(at(200), 200, 9));
    let due = bench.due();
    assert_eq!(bench.hear(at(300), advert(at(200), 200, 9)), []);
    assert_eq!(bench.hear(at(300), advert(at(100), 200, 9)), []);
    assert_eq!(bench.hear(at(300), advert(at(150), 0, 9)), []);
    assert_eq!(bench.due(), due);
}

#[test]
fn backup_learns_the_active_routers_interval() {
    let mut bench = Bench::backup(parameters());
    let slow = Advert {
        interval: Duration::from_secs(1),
        ..advert(at(10), 200, 9)
    };
    bench.hear(at(10), slow);
    assert_eq!(
        bench.due(),
        Some(at(10) + Duration::from_nanos(3_609_375_000))
    );
    assert_eq!(
        bench.router.active_down_interval(),
        Duration::from_nanos(3_609_375_000)
    );
    let spin = Advert {
        interval: Duration::ZERO,
        ..advert(at(20), 200, 9)
    };
    bench.hear(at(20), spin);
    assert_eq!(
        bench.due(),
        Some(at(20) + Duration::from_nanos(36_093_750)),
        "not below 10 ms"
    );
}

#[test]
fn backup_waits_one_skew_after_a_release() {
    let mut bench = Bench::backup(parameters());
    bench.hear(at(100), advert(at(100), 200, 9));
    assert_eq!(bench.hear(at(150), advert(at(150), 0, 9)), []);
    assert_eq!(bench.due(), Some(at(150) + SKEW));
    let now = at(150) + SKEW;
    assert_eq!(
        bench.timeout(now).last(),
        Some(&transition(
            StateKind::Backup,
            StateKind::Active,
            Reason::Released
        ))
    );
}

#[test]
fn backup_uses_the_learned_interval_for_the_skew() {
    let mut bench = Bench::backup(parameters());
    let slow = Advert {
        interval: Duration::from_secs(1),
        ..advert(at(10), 200, 9)
    };
    bench.hear(at(10), slow);
    bench.hear(at(20), advert(at(20), 0, 9));
    assert_eq!(
        bench.due(),
        Some(at(20) + Duration::from_nanos(609_375_000))
    );
}

#[test]
fn backup_is_not_held_back_by_repeated_releases() {
    let mut bench = Bench::backup(parameters());
    bench.hear(at(100), advert(at(100), 0, 9));
    let due = bench.due();
    bench.hear(at(140), advert(at(140), 0, 9));
    assert_eq!(bench.due(), due);
}

#[test]
fn backup_is_held_back_again_after_a_release() {
    let mut bench = Bench::backup(parameters());
    bench.hear(at(100), advert(at(100), 0, 9));
    bench.hear(at(120), advert(at(120), 200, 8));
    assert_eq!(bench.due(), Some(at(120) + ACTIVE_DOWN));
    let actions = bench.timeout(at(120) + ACTIVE_DOWN);
    assert!(
        matches!(
            actions.last(),
            Some(Action::Transition {
                reason: Reason::ActiveDown { .. },
                ..
            })
        ),
        "a release that was overtaken is no reason: {actions:?}"
    );
}

#[test]
fn backup_resets_for_a_priority_not_below_its_own() {
    for priority in [100, 101, 254, 255] {
        let mut bench = Bench::backup(parameters());
        bench.hear(at(50), advert(at(50), priority, 1));
        assert_eq!(
            bench.due(),
            Some(at(50) + ACTIVE_DOWN),
            "priority {priority}"
        );
    }
}

#[test]
fn backup_discards_a_lower_priority_if_it_preempts() {
    let mut bench = Bench::backup(parameters());
    assert_eq!(bench.hear(at(50), advert(at(50), 99, 9)), []);
    assert_eq!(bench.due(), Some(at(0) + ACTIVE_DOWN), "the timer runs on");
}

#[test]
fn backup_without_preempt_resets_for_any_priority() {
    let mut bench = Bench::backup(Parameters {
        preempt: false,
        ..parameters()
    });
    bench.hear(at(50), advert(at(50), 1, 9));
    assert_eq!(bench.due(), Some(at(50) + ACTIVE_DOWN));
}

#[test]
fn backup_shutdown_and_fault_send_nothing() {
    let mut bench = Bench::backup(parameters());
    assert_eq!(
        bench.shutdown(at(10)),
        [transition(
            StateKind::Backup,
            StateKind::Init,
            Reason::Shutdown
        )]
    );
    assert_eq!(bench.due(), None);
    let mut bench = Bench::backup(parameters());
    assert_eq!(
        bench.fault(at(10), FaultCause::Interface),
        [transition(StateKind::Backup, StateKind::Fault, DOWN)]
    );
    assert_eq!(bench.due(), None);
}

#[test]
fn backup_ignores_startup_and_recovery() {
    let mut bench = Bench::backup(parameters());
    assert_eq!(bench.startup(at(10)), []);
    assert_eq!(bench.recovery(at(10)), []);
    assert_eq!(bench.due(), Some(at(0) + ACTIVE_DOWN));
}

// Active

#[test]
fn active_advertises_from_deadline_to_deadline() {
    let mut bench = Bench::active(parameters());
    assert_eq!(bench.timeout(at(1099)), []);
    // 2 ms late: announced too (its first repetition is due at 100 ms).
    assert_eq!(bench.timeout(at(1102)), [send(100), Action::Announce]);
    assert_eq!(bench.due(), Some(at(1200)), "lateness does not add up");
    assert_eq!(bench.timeout(at(1200)), [send(100)]);
}

#[test]
fn active_does_not_make_up_for_a_stall() {
    let mut bench = Bench::active(parameters());
    // Less than the others wait for: it goes on as if nothing had happened.
    assert_eq!(bench.timeout(at(1299)), [send(100), Action::Announce]);
    assert_eq!(bench.as_active().advert_at, at(1399));
    // Longer than that (see `announce.rs` for the rest).
    let actions = bench.timeout(at(6000));
    let sent = actions.iter().filter(|action| **action == send(100));
    assert_eq!(sent.count(), 1);
    assert_eq!(bench.due(), Some(at(6100)));
}

#[test]
fn active_answers_a_release_and_starts_its_timer_anew() {
    let mut bench = Bench::active(parameters());
    assert_eq!(bench.hear(at(1050), advert(at(1050), 0, 9)), [send(100)]);
    assert_eq!(bench.as_active().advert_at, at(1150));
}

#[test]
fn active_yields_to_a_greater_priority() {
    let mut bench = Bench::active(parameters());
    let slow = Advert {
        interval: Duration::from_secs(1),
        ..advert(at(1050), 101, 1)
    };
    assert_eq!(
        bench.hear(at(1060), slow),
        [
            send(100),
            transition(
                StateKind::Active,
                StateKind::Backup,
                Reason::Outranked {
                    by: host(1),
                    priority: Priority(101)
                }
            ),
        ]
    );
    // The winner installs them only now.
    assert_eq!(
        bench.router.addresses(),
        Addresses::LeavingAt(at(1050) + LINGER)
    );
    assert_eq!(bench.due(), Some(at(1070)));
    assert_eq!(bench.timeout(at(1070)), [Action::RemoveAddresses]);
    assert_eq!(
        bench.due(),
        Some(at(1050) + Duration::from_nanos(3_609_375_000)),
        "learned from the winner, counted from its arrival"
    );
}

#[test]
fn active_breaks_a_tie_by_address() {
    let mut bench = Bench::active(parameters());
    assert_eq!(bench.hear(at(1010), advert(at(1010), 100, 4)), [send(100)]);
    assert_eq!(bench.kind(), StateKind::Active);
    assert_eq!(
        bench.hear(at(1020), advert(at(1020), 100, 5)),
        [send(100)],
        "our own address"
    );
    assert_eq!(bench.kind(), StateKind::Active);
    bench.hear(at(1030), advert(at(1030), 100, 6));
    assert_eq!(bench.kind(), StateKind::Backup);
    // Unsigned: 200.0.0.1 is greater than 10.0.0.5.
    let mut bench = Bench::active(parameters());
    let far = Advert {
        source: Ipv4Addr::new(200, 0, 0, 1).into(),
        ..advert(at(1010), 100, 0)
    };
    bench.hear(at(1010), far);
    assert_eq!(bench.kind(), StateKind::Backup);
}

#[test]
fn active_asserts_itself_against_a_losing_advertisement_and_keeps_its_timer() {
    let mut bench = Bench::active(parameters());
    assert_eq!(bench.hear(at(1030), advert(at(1030), 99, 9)), [send(100)]);
    assert_eq!(
        bench.as_active().advert_at,
        at(1100),
        "its timer is not otherwise disturbed"
    );
}

#[test]
fn active_announces_again_when_it_meets_a_second_active() {
    for priority in [99, 0] {
        let mut bench = Bench::active(parameters());
        while bench.due().unwrap() < at(20_000) {
            let now = bench.due().unwrap();
            bench.timeout(now);
        }
        let loser = |millis| advert(at(millis), priority, 9);
        assert_eq!(
            bench.hear(at(20_010), loser(20_010)),
            [send(100), Action::Announce]
        );
        // A stream of them is answered, but not with a stream of announcements.
        for millis in 20_011..20_110 {
            assert_eq!(bench.hear(at(millis), loser(millis)), [send(100)]);
        }
        assert_eq!(
            bench.as_active().announcing.next_at,
            Some(at(20_010) + ANNOUNCE_GAP),
            "the last one counts too"
        );
        assert_eq!(
            bench.hear(at(20_110), loser(20_110)),
            [send(100), Action::Announce]
        );
    }
}

#[test]
fn active_owner_yields_only_to_a_greater_address_of_priority_255() {
    let owner = Parameters {
        priority: Priority::OWNER,
        ..parameters()
    };
    let mut bench = Bench::active_owner(owner);
    bench.hear(at(10), advert(at(10), 254, 200));
    assert_eq!(bench.kind(), StateKind::Active);
    bench.hear(at(20), advert(at(20), 255, 200));
    assert_eq!(bench.kind(), StateKind::Backup);
}

#[test]
fn active_fault_without_a_link_releases_and_leaves_no_address() {
    for cause in [
        FaultCause::Interface,
        FaultCause::Detached,
        FaultCause::Action,
    ] {
        let mut bench = Bench::active(parameters());
        assert_eq!(
            bench.fault(at(1010), cause),
            [
                send(0),
                Action::RemoveAddresses,
                transition(StateKind::Active, StateKind::Fault, Reason::Fault { cause }),
            ]
        );
        assert_eq!(bench.due(), None);
    }
}

// Fault

#[test]
fn fault_ignores_traffic_and_time_and_starts_anew_on_recovery() {
    let mut bench = Bench::backup(parameters());
    bench.fault(at(0), FaultCause::Interface);
    assert_eq!(bench.hear(at(1), advert(at(1), 0, 9)), []);
    assert_eq!(bench.timeout(at(9999)), []);
    assert_eq!(bench.startup(at(1)), []);
    assert_eq!(bench.fault(at(2), FaultCause::Action), []);
    assert_eq!(
        bench.recovery(at(5000)),
        [transition(
            StateKind::Fault,
            StateKind::Backup,
            Reason::Recovery
        )]
    );
    assert_eq!(bench.due(), Some(at(5000) + ACTIVE_DOWN));
}

#[test]
fn fault_shutdown_goes_to_init() {
    let mut bench = Bench::active(parameters());
    bench.fault(at(1010), FaultCause::Interface);
    assert_eq!(
        bench.shutdown(at(1020)),
        [transition(
            StateKind::Fault,
            StateKind::Init,
            Reason::Shutdown
        )]
    );
}

#[test]
fn version_2_skews_in_fractions_of_a_second() {
    let mut bench = Bench::backup(Parameters {
        version: Version::V2,
        advertisement_interval: Duration::from_secs(1),
        ..parameters()
    });
    assert_eq!(
        bench.due(),
        Some(at(0) + Duration::from_nanos(3_609_375_000))
    );
    let slow = Advert {
        interval: Duration::from_secs(3),
        ..advert(at(10), 200, 9)
    };
    bench.hear(at(10), slow);
    assert_eq!(
        bench.due(),
        Some(at(10) + Duration::from_nanos(9_609_375_000))
    );
}
