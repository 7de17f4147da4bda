//! In which order a takeover asks for the addresses and for their announcement.

use std::time::Duration;

use ha_common::{
    fsm::{Action, FaultCause, Parameters, StateKind},
    types::Priority,
};

use crate::{Bench, advert, at, parameters};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum First {
    Install,
    Announce,
}

/// Lets the deadline pass: what the takeover does first, after its advertisement.
#[track_caller]
fn takes_over(bench: &mut Bench) -> First {
    let due = bench.due().expect("a Backup has a deadline");
    let actions = bench.timeout(due);
    assert_eq!(bench.kind(), StateKind::Active, "{actions:?}");
    let [
        Action::SendAdvert { .. },
        one,
        other,
        Action::Transition { .. },
    ] = actions[..]
    else {
        panic!("{actions:?}");
    };
    match (one, other) {
        (Action::InstallAddresses, Action::Announce) => First::Install,
        (Action::Announce, Action::InstallAddresses) => First::Announce,
        _ => panic!("{actions:?}"),
    }
}

/// Backup, held back at 40 ms by a router of priority 200.
fn held(parameters: Parameters) -> Bench {
    let mut bench = Bench::backup(parameters);
    bench.hear(at(40), advert(at(40), 200, 9));
    bench
}

/// Nobody answers for the addresses; that they take a while to install keeps no client
/// from learning of us.
#[test]
fn where_the_active_has_fallen_silent_clients_are_told_first() {
    assert_eq!(takes_over(&mut held(parameters())), First::Announce);
}

/// It may have come up beside a lower one that serves: the kernel program is silent
/// about those.
#[test]
fn where_nobody_was_heard_the_addresses_come_first() {
    assert_eq!(takes_over(&mut Bench::backup(parameters())), First::Install);
    // What was heard before a fault says nothing of the time after it.
    let mut bench = held(parameters());
    bench.fault(at(50), FaultCause::Interface);
    bench.recovery(at(60));
    assert_eq!(takes_over(&mut bench), First::Install);
}

#[test]
fn where_the_active_has_released_it_still_serves() {
    let mut bench = held(parameters());
    bench.hear(at(50), advert(at(50), 0, 9));
    assert_eq!(takes_over(&mut bench), First::Install);
}

#[test]
fn where_the_active_is_the_lesser_one_now_it_still_serves() {
    let mut quick = held(parameters());
    quick.hear(at(50), advert(at(50), 50, 9));
    assert_eq!(takes_over(&mut quick), First::Install);

    let patient = Parameters {
        quick_preempt: false,
        ..parameters()
    };
    let mut bench = held(patient);
    bench.hear(at(50), advert(at(50), 50, 9));
    assert_eq!(takes_over(&mut bench), First::Install);
    // Held back again, and then silence.
    let mut bench = held(patient);
    bench.hear(at(50), advert(at(50), 50, 9));
    bench.hear(at(60), advert(at(60), 200, 9));
    assert_eq!(takes_over(&mut bench), First::Announce);
}

/// Its next advertisement will not hold us back, and we may not be told of it.
#[test]
fn where_we_have_become_the_greater_one_the_active_may_serve() {
    let mut bench = held(parameters());
    bench.priority(at(50), 201);
    assert_eq!(takes_over(&mut bench), First::Install);
    // Whoever does not preempt is held back by it all the same.
    let mut bench = held(Parameters {
        preempt: false,
        ..parameters()
    });
    bench.priority(at(50), 201);
    assert_eq!(takes_over(&mut bench), First::Announce);
}

#[test]
fn a_lower_one_that_was_left_alone_has_fallen_silent_too() {
    let delayed = Parameters {
        preempt_delay: Duration::from_secs(1),
        ..parameters()
    };
    let mut bench = Bench::backup(delayed);
    bench.hear(at(40), advert(at(40), 50, 9));
    assert_eq!(takes_over(&mut bench), First::Announce);

    // Heard until the delay is over, it is relieved.
    let mut bench = Bench::backup(delayed);
    for millis in (40..1040).step_by(100) {
        bench.hear(at(millis), advert(at(millis), 50, 9));
    }
    bench.timeout(at(1040));
    assert_eq!(bench.sorting(), (StateKind::Backup, 100, true));
    assert_eq!(takes_over(&mut bench), First::Install);
}

#[test]
fn an_owner_that_starts_installs_first() {
    let mut bench = Bench::new(Parameters {
        priority: Priority::OWNER,
        ..parameters()
    });
    let actions = bench.startup(at(0));
    assert_eq!(actions[1], Action::InstallAddresses);
    assert_eq!(actions[2], Action::Announce);
}
