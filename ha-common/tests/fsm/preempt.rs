//! When a lower Active router is relieved: preempt_delay, quick_preempt,
//! startup_delay, and a priority that changes in Backup.

use std::time::Duration;

use ha_common::{
    fsm::{Action, Parameters, Preemption, Reason, State, StateKind},
    types::Priority,
};

use crate::{ACTIVE_DOWN, Bench, INTERVAL, SKEW, advert, at, host, parameters, send, transition};

fn reason(actions: &[Action]) -> Reason {
    match actions.last() {
        Some(Action::Transition {
            to: StateKind::Active,
            reason,
            ..
        }) => *reason,
        other => panic!("no takeover: {other:?}"),
    }
}

fn preemption(bench: &Bench) -> Preemption {
    match bench.router.state() {
        State::Backup(backup) => backup.preemption,
        state => panic!("not Backup: {state:?}"),
    }
}

// quick_preempt

fn weakened(priority: u8) -> Reason {
    Reason::Weakened {
        by: host(9),
        priority: Priority(priority),
    }
}

#[test]
fn a_weakened_active_is_relieved_after_skew_time() {
    let mut bench = Bench::backup(parameters());
    bench.hear(at(100), advert(at(100), 200, 9));
    assert_eq!(bench.hear(at(150), advert(at(150), 50, 9)), []);
    assert_eq!(bench.due(), Some(at(150) + SKEW));
    // It goes on advertising: that neither hurries nor holds back.
    bench.hear(at(200), advert(at(200), 40, 9));
    assert_eq!(bench.due(), Some(at(150) + SKEW));
    assert_eq!(reason(&bench.timeout(at(150) + SKEW)), weakened(50));
}

#[test]
fn what_is_left_of_active_down_may_be_less_than_skew_time() {
    let mut bench = Bench::backup(parameters());
    bench.hear(at(100), advert(at(100), 200, 9));
    bench.hear(at(450), advert(at(450), 50, 9));
    assert_eq!(bench.due(), Some(at(100) + ACTIVE_DOWN));
    assert!(matches!(
        reason(&bench.timeout(at(100) + ACTIVE_DOWN)),
        Reason::ActiveDown { .. }
    ));
}

#[test]
fn only_the_router_that_held_us_back_can_weaken() {
    // A stranger, and one that we have not been held back by since we came up.
    let mut bench = Bench::backup(parameters());
    bench.hear(at(50), advert(at(50), 50, 9));
    assert_eq!(bench.due(), Some(at(0) + ACTIVE_DOWN));
    bench.hear(at(100), advert(at(100), 200, 9));
    bench.hear(at(150), advert(at(150), 50, 8));
    assert_eq!(bench.due(), Some(at(100) + ACTIVE_DOWN));
    // Held back by another since.
    bench.hear(at(200), advert(at(200), 200, 8));
    bench.hear(at(250), advert(at(250), 50, 9));
    assert_eq!(bench.due(), Some(at(200) + ACTIVE_DOWN));
}

#[test]
fn an_active_that_recovers_in_time_stays() {
    let mut bench = Bench::backup(parameters());
    bench.hear(at(100), advert(at(100), 200, 9));
    bench.hear(at(150), advert(at(150), 50, 9));
    bench.hear(at(180), advert(at(180), 200, 9));
    assert_eq!(bench.due(), Some(at(180) + ACTIVE_DOWN));
    assert!(matches!(
        reason(&bench.timeout(at(180) + ACTIVE_DOWN)),
        Reason::ActiveDown { .. }
    ));
}

#[test]
fn without_quick_preempt_or_preempt_the_rfc_is_kept() {
    for (quick_preempt, preempt, due) in [
        (false, true, at(100) + ACTIVE_DOWN),
        (true, false, at(150) + ACTIVE_DOWN),
    ] {
        let mut bench = Bench::backup(Parameters {
            quick_preempt,
            preempt,
            ..parameters()
        });
        bench.hear(at(100), advert(at(100), 200, 9));
        bench.hear(at(150), advert(at(150), 50, 9));
        assert_eq!(bench.due(), Some(due));
    }
}

#[test]
fn a_router_that_yielded_may_be_back_after_skew_time() {
    let mut bench = Bench::active(parameters());
    bench.hear(at(1010), advert(at(1010), 200, 9));
    bench.timeout(at(1030));
    bench.hear(at(1110), advert(at(1110), 50, 9));
    assert_eq!(bench.due(), Some(at(1110) + SKEW));
}

// preempt_delay

fn delayed() -> Parameters {
    Parameters {
        preempt_delay: Duration::from_secs(1),
        ..parameters()
    }
}

#[test]
fn a_lower_active_is_left_alone_for_the_delay() {
    let mut bench = Bench::backup(delayed());
    assert_eq!(bench.sorting(), (StateKind::Backup, 100, false), "barred");
    for millis in (50..1050).step_by(100) {
        assert_eq!(bench.hear(at(millis), advert(at(millis), 50, 9)), []);
        let down = at(millis) + ACTIVE_DOWN;
        assert_eq!(bench.due(), Some(down.min(at(1050))), "held back");
        assert_eq!(preemption(&bench), Preemption::BarredUntil(at(1050)));
    }
    assert_eq!(bench.timeout(at(1050) - Duration::from_nanos(1)), []);
    assert_eq!(bench.sorting(), (StateKind::Backup, 100, false));
    assert_eq!(bench.timeout(at(1050)), [], "the bar is lifted, no more");
    assert_eq!(bench.sorting(), (StateKind::Backup, 100, true));
    assert_eq!(bench.due(), Some(at(950) + ACTIVE_DOWN));
    // From now on it loses; it held us back, so that is quick.
    bench.hear(at(1051), advert(at(1051), 50, 9));
    assert_eq!(bench.due(), Some(at(1051) + SKEW));
    assert_eq!(reason(&bench.timeout(at(1051) + SKEW)), weakened(50));
}

#[test]
fn the_delay_is_by_arrival_not_by_when_it_is_looked_at() {
    let mut bench = Bench::backup(delayed());
    bench.hear(at(300), advert(at(50), 50, 9));
    assert_eq!(preemption(&bench), Preemption::BarredUntil(at(1050)));
    // A record from after the end, looked at before the deadline is handled.
    bench.hear(at(1060), advert(at(1055), 50, 9));
    assert_eq!(preemption(&bench), Preemption::Free);
    assert_eq!(bench.due(), Some(at(50) + ACTIVE_DOWN), "it has run out");
    // One from before the end still holds back.
    let mut bench = Bench::backup(delayed());
    bench.hear(at(50), advert(at(50), 50, 9));
    bench.hear(at(1060), advert(at(1045), 50, 9));
    bench.timeout(at(1060));
    assert_eq!(bench.due(), Some(at(1045) + ACTIVE_DOWN));
}

#[test]
fn the_delay_does_not_keep_a_dead_active_alive() {
    let mut bench = Bench::backup(delayed());
    bench.hear(at(50), advert(at(50), 50, 9));
    assert_eq!(bench.due(), Some(at(50) + ACTIVE_DOWN));
    assert!(matches!(
        reason(&bench.timeout(at(50) + ACTIVE_DOWN)),
        Reason::ActiveDown { .. }
    ));
    let mut bench = Bench::backup(delayed());
    bench.hear(at(50), advert(at(50), 50, 9));
    bench.hear(at(80), advert(at(80), 0, 9));
    assert_eq!(bench.due(), Some(at(80) + SKEW), "nor one that released");
}

#[test]
fn a_winner_puts_the_bar_back() {
    let mut bench = Bench::backup(delayed());
    bench.hear(at(50), advert(at(50), 50, 9));
    bench.hear(at(500), advert(at(500), 100, 8));
    assert_eq!(preemption(&bench), Preemption::Barred);
    bench.hear(at(600), advert(at(600), 50, 9));
    assert_eq!(preemption(&bench), Preemption::BarredUntil(at(1600)));
    // Also after the bar was lifted, and in each new stay in Backup.
    bench.hear(at(1590), advert(at(1590), 50, 9));
    bench.timeout(at(1600));
    assert_eq!(preemption(&bench), Preemption::Free);
    bench.hear(at(1610), advert(at(1610), 200, 8));
    assert_eq!(preemption(&bench), Preemption::Barred);
    bench.timeout(at(2000));
    assert_eq!(bench.kind(), StateKind::Active);
    bench.hear(at(2010), advert(at(2010), 200, 8));
    assert_eq!(preemption(&bench), Preemption::Barred);
}

#[test]
fn the_bar_is_for_those_who_preempt_and_wait() {
    for parameters in [
        parameters(),
        Parameters {
            preempt: false,
            ..delayed()
        },
        Parameters {
            priority: Priority::OWNER,
            startup_delay: INTERVAL,
            ..delayed()
        },
    ] {
        let bench = Bench::backup(parameters);
        assert_eq!(preemption(&bench), Preemption::Free);
        assert_eq!(bench.router.sorting().preempt, parameters.preempt);
    }
}

#[test]
fn the_delay_begins_when_our_priority_passes_that_of_the_active() {
    let mut bench = Bench::backup(delayed());
    bench.hear(at(100), advert(at(100), 150, 9));
    bench.priority(at(130), 140);
    assert_eq!(preemption(&bench), Preemption::Barred);
    bench.priority(at(150), 151);
    assert_eq!(preemption(&bench), Preemption::BarredUntil(at(1150)));
    bench.hear(at(200), advert(at(200), 150, 9));
    assert_eq!(preemption(&bench), Preemption::BarredUntil(at(1150)));
}

// startup_delay

#[test]
fn a_start_can_be_delayed_and_a_recovery_is_not() {
    let second = Duration::from_secs(1);
    let parameters = Parameters {
        startup_delay: second,
        ..parameters()
    };
    let mut bench = Bench::backup(parameters);
    assert_eq!(bench.due(), Some(at(1000) + ACTIVE_DOWN));
    bench.hear(at(100), advert(at(100), 50, 9));
    assert_eq!(bench.due(), Some(at(1000) + ACTIVE_DOWN), "a lower one");
    bench.hear(at(200), advert(at(200), 100, 9));
    assert_eq!(bench.due(), Some(at(200) + ACTIVE_DOWN), "held back");
    bench.fault(at(300), ha_common::fsm::FaultCause::Interface);
    bench.recovery(at(400));
    assert_eq!(bench.due(), Some(at(400) + ACTIVE_DOWN));
    // A release says that the link works and that nobody is there.
    let mut bench = Bench::backup(parameters);
    bench.hear(at(100), advert(at(100), 0, 9));
    assert_eq!(bench.due(), Some(at(100) + SKEW));
}

#[test]
fn an_owners_start_can_be_delayed() {
    let mut bench = Bench::backup(Parameters {
        priority: Priority::OWNER,
        startup_delay: Duration::from_secs(1),
        ..parameters()
    });
    bench.hear(at(100), advert(at(100), 254, 9));
    assert_eq!(bench.due(), Some(at(1000)), "no Active_Down for an owner");
    assert_eq!(bench.timeout(at(999)), []);
    assert_eq!(
        bench.timeout(at(1000)),
        [
            send(255),
            Action::InstallAddresses,
            Action::Announce,
            transition(StateKind::Backup, StateKind::Active, Reason::Owner),
        ]
    );
}

// A priority that changes in Backup.

#[test]
fn a_new_priority_moves_the_deadline_by_the_difference_of_the_skews() {
    let mut bench = Bench::backup(parameters());
    bench.hear(at(100), advert(at(100), 200, 9));
    assert_eq!(bench.priority(at(150), 200), []);
    // 3 × 100 ms + (256 − 200) × 100 ms / 256.
    assert_eq!(
        bench.due(),
        Some(at(400) + Duration::from_nanos(21_875_000))
    );
    assert_eq!(bench.sorting(), (StateKind::Backup, 200, true));
    bench.priority(at(160), 100);
    assert_eq!(bench.due(), Some(at(100) + ACTIVE_DOWN), "and back");
    // After a release only the skew is left.
    bench.hear(at(200), advert(at(200), 0, 9));
    bench.priority(at(210), 200);
    assert_eq!(
        bench.due(),
        Some(at(200) + Duration::from_nanos(21_875_000))
    );
    // One that has passed is due, and going to and fro does not put it off.
    for priority in [100, 254, 100, 200] {
        bench.priority(at(240), priority);
    }
    assert_eq!(
        bench.due(),
        Some(at(200) + Duration::from_nanos(21_875_000))
    );
}

#[test]
fn passing_the_active_relieves_it_after_skew_time() {
    let mut bench = Bench::backup(parameters());
    bench.hear(at(100), advert(at(100), 200, 9));
    bench.priority(at(150), 201);
    assert!(bench.due() > Some(at(400)), "it has to be heard first");
    bench.hear(at(200), advert(at(200), 200, 9));
    // (256 − 201) × 100 ms / 256.
    let skewed = at(200) + Duration::from_nanos(21_484_375);
    assert_eq!(bench.due(), Some(skewed));
    assert_eq!(reason(&bench.timeout(skewed)), weakened(200));
}
