//! New parameters while it runs, and draining.

use std::time::Duration;

use ha_common::{
    fsm::{Action, AnnounceSchedule, FaultCause, Parameters, Reason, State, StateKind},
    time::Timestamp,
    types::{Priority, Version},
};

use crate::{ACTIVE_DOWN, Bench, INTERVAL, SKEW, advert, at, host, parameters, send, transition};

fn reconfigure(bench: &mut Bench, now: Timestamp, parameters: Parameters) -> Vec<Action> {
    bench.run(|router, out| router.handle_parameters(now, parameters, out))
}

fn state(bench: &mut Bench) -> State {
    let mut state = State::Init;
    bench.run(|router, _| state = *router.state());
    state
}

#[test]
fn the_same_parameters_change_nothing() {
    for mut bench in [Bench::active(parameters()), Bench::backup(parameters())] {
        let before = state(&mut bench);
        assert_eq!(reconfigure(&mut bench, at(1050), parameters()), []);
        assert_eq!(state(&mut bench), before);
    }
}

/// Backups that wait by the old interval have to hear of the new one before they
/// give us up.
#[test]
fn an_active_tells_its_new_interval_at_once() {
    let mut bench = Bench::active(parameters());
    let slower = Parameters {
        advertisement_interval: 10 * INTERVAL,
        ..parameters()
    };
    assert_eq!(reconfigure(&mut bench, at(1050), slower), [send(100)]);
    let active = bench.as_active();
    assert_eq!(active.advert_at, at(2050));
    assert_eq!(active.advertised_at, at(1050));
    // Much faster again: that the last advertisement is long ago is no pause.
    let faster = Parameters {
        advertisement_interval: INTERVAL / 10,
        ..parameters()
    };
    assert_eq!(reconfigure(&mut bench, at(1950), faster), [send(100)]);
    assert_eq!(bench.as_active().advert_at, at(1960));
}

#[test]
fn a_new_priority_is_advertised_once() {
    let mut bench = Bench::active(parameters());
    let other = Parameters {
        priority: Priority(150),
        advertisement_interval: 10 * INTERVAL,
        ..parameters()
    };
    assert_eq!(reconfigure(&mut bench, at(1050), other), [send(150)]);
    assert_eq!(bench.as_active().advert_at, at(2050));
}

/// A Backup that has heard nobody waits by its own interval, else by the learned.
#[test]
fn a_backup_follows_the_interval_that_counts() {
    let slower = Parameters {
        advertisement_interval: 2 * INTERVAL,
        ..parameters()
    };
    let mut alone = Bench::backup(parameters());
    assert_eq!(alone.due(), Some(at(0) + ACTIVE_DOWN));
    assert_eq!(reconfigure(&mut alone, at(50), slower), []);
    assert_eq!(alone.due(), Some(at(0) + 2 * ACTIVE_DOWN));

    let mut held = Bench::backup(parameters());
    held.hear(at(40), advert(at(40), 200, 9));
    assert_eq!(reconfigure(&mut held, at(50), slower), []);
    assert_eq!(held.due(), Some(at(40) + ACTIVE_DOWN));

    // Version 2 takes no other interval than its own.
    let second = Duration::from_secs(1);
    let v2 = Parameters::new(Version::V2, Priority(128), host(5), second);
    let mut old = Bench::backup(v2);
    let mut heard = advert(at(40), 200, 9);
    heard.interval = second;
    old.hear(at(40), heard);
    let slower = Parameters {
        advertisement_interval: 2 * second,
        ..v2
    };
    assert_eq!(reconfigure(&mut old, at(50), slower), []);
    assert_eq!(old.due(), Some(at(40) + Duration::from_millis(6500)));
}

#[test]
fn a_new_delay_of_preemption_begins_now() {
    let mut bench = Bench::backup(Parameters {
        preempt: false,
        ..parameters()
    });
    bench.hear(at(40), advert(at(40), 50, 9));
    assert_eq!(bench.sorting(), (StateKind::Backup, 100, false));
    let delayed = Parameters {
        preempt_delay: Duration::from_millis(300),
        ..parameters()
    };
    reconfigure(&mut bench, at(50), delayed);
    assert_eq!(bench.sorting(), (StateKind::Backup, 100, false));
    assert_eq!(bench.due(), Some(at(350)));
    bench.hear(at(300), advert(at(300), 50, 9));
    bench.timeout(at(350));
    assert_eq!(bench.sorting(), (StateKind::Backup, 100, true));
    // Without a delay the next lower advertisement is relieved.
    bench.hear(at(360), advert(at(360), 50, 9));
    assert_eq!(bench.due(), Some(at(360) + SKEW));
}

#[test]
fn a_new_schedule_of_announcements_begins_at_once() {
    let mut bench = Bench::active(parameters());
    let announce = AnnounceSchedule {
        count: 1,
        delay: Duration::ZERO,
        refresh: Duration::from_millis(70),
        ..AnnounceSchedule::default()
    };
    let refreshed = Parameters {
        announce,
        ..parameters()
    };
    assert_eq!(
        reconfigure(&mut bench, at(1010), refreshed),
        [Action::Announce]
    );
    assert_eq!(bench.due(), Some(at(1080)));
}

#[test]
fn draining_hands_over_and_is_for_an_active_only() {
    let mut bench = Bench::active(parameters());
    let drain = |bench: &mut Bench, now| bench.run(|router, out| router.handle_drain(now, out));
    assert_eq!(
        drain(&mut bench, at(1050)),
        [
            send(0),
            transition(StateKind::Active, StateKind::Releasing, Reason::Drained)
        ]
    );
    assert_eq!(drain(&mut bench, at(1051)), []);
    // While it releases, a lower priority is not told: 0 was.
    assert_eq!(bench.priority(at(1052), 1), []);
    let heard = bench.hear(at(1060), advert(at(1060), 50, 9));
    assert_eq!(bench.kind(), StateKind::Backup, "{heard:?}");
    assert_eq!(drain(&mut bench, at(1070)), []);
}

/// Taking the addresses away where nobody else wants them would help nobody.
#[test]
fn one_that_is_drained_and_alone_serves_on() {
    let mut bench = Bench::active(parameters());
    bench.run(|router, out| router.handle_drain(at(1050), out));
    bench.priority(at(1050), 1);
    let waited = 4 * INTERVAL;
    assert_eq!(bench.due(), Some(at(1050) + waited));
    assert_eq!(
        bench.timeout(at(1450)),
        [
            send(1),
            Action::Announce,
            transition(
                StateKind::Releasing,
                StateKind::Active,
                Reason::NoSuccessor { waited }
            )
        ]
    );
    // A fault meanwhile, or a stop, is as after any release.
    let mut bench = Bench::active(parameters());
    bench.run(|router, out| router.handle_drain(at(1050), out));
    bench.fault(at(1060), FaultCause::Group);
    bench.timeout(at(1450));
    assert_eq!(bench.kind(), StateKind::Fault);
}
