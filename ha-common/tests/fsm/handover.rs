//! Leaving Active without a gap: Releasing, and addresses that linger.

use std::time::Duration;

use ha_common::{
    fsm::{
        Action, Addresses, FaultCause, Parameters, Reason, State, StateKind, TrackerId,
        VirtualRouter, router::LINGER,
    },
    types::{Priority, Version},
};

use crate::{ACTIVE_DOWN, Bench, INTERVAL, advert, at, host, parameters, send, transition};

/// 3 × 100 ms + 256 × 100 ms / 256.
const LONGEST: Duration = Duration::from_millis(400);

const TRACKER: FaultCause = FaultCause::Tracker(TrackerId(7));

fn handed_over(priority: u8) -> Reason {
    Reason::HandedOver {
        to: host(9),
        priority: Priority(priority),
    }
}

fn nobody(waited: Duration) -> Reason {
    Reason::NoSuccessor { waited }
}

#[test]
fn active_shutdown_serves_until_the_successor_does() {
    let mut bench = Bench::active(parameters());
    assert_eq!(
        bench.shutdown(at(1010)),
        [
            send(0),
            transition(StateKind::Active, StateKind::Releasing, Reason::Shutdown),
        ]
    );
    assert_eq!(bench.sorting(), (StateKind::Releasing, 0, true));
    assert_eq!(bench.due(), Some(at(1010) + LONGEST));
    assert_eq!(bench.timeout(at(1200)), [], "it does not advertise");
    // The successor may well be lower than we were.
    assert_eq!(bench.hear(at(1080), advert(at(1075), 50, 9)), []);
    assert_eq!(bench.router.addresses(), Addresses::Installed);
    assert_eq!(bench.due(), Some(at(1075) + LINGER));
    // A second one changes nothing.
    bench.hear(at(1090), advert(at(1090), 200, 8));
    assert_eq!(bench.due(), Some(at(1075) + LINGER));
    assert_eq!(
        bench.timeout(at(1095)),
        [
            Action::RemoveAddresses,
            transition(StateKind::Releasing, StateKind::Init, handed_over(50)),
        ]
    );
    assert_eq!(bench.due(), None);
}

#[test]
fn active_shutdown_without_a_successor_leaves_no_address() {
    let mut bench = Bench::active(parameters());
    bench.shutdown(at(1010));
    let end = at(1010) + LONGEST;
    assert_eq!(bench.timeout(end - Duration::from_nanos(1)), []);
    assert_eq!(
        bench.timeout(end),
        [
            Action::RemoveAddresses,
            transition(StateKind::Releasing, StateKind::Init, nobody(LONGEST)),
        ]
    );
    assert_eq!(bench.due(), None);
}

#[test]
fn releasing_waits_as_long_as_any_backup_of_its_version_may() {
    let mut bench = Bench::backup(Parameters {
        version: Version::V2,
        advertisement_interval: Duration::from_secs(1),
        ..parameters()
    });
    bench.timeout(at(3610));
    bench.shutdown(at(4000));
    assert_eq!(bench.due(), Some(at(8000)));
}

#[test]
fn releasing_is_no_successor_to_itself() {
    let mut bench = Bench::active(parameters());
    bench.shutdown(at(1010));
    // Another that releases; one that was Active beside us until our priority 0.
    assert_eq!(bench.hear(at(1020), advert(at(1020), 0, 9)), []);
    assert_eq!(bench.hear(at(1020), advert(at(1010), 200, 9)), []);
    assert_eq!(bench.due(), Some(at(1010) + LONGEST));
    assert_eq!(bench.startup(at(1020)), []);
    assert_eq!(bench.priority(at(1020), 200), []);
    assert_eq!(bench.sorting(), (StateKind::Releasing, 0, true));
    assert_eq!(bench.shutdown(at(1030)), []);
    assert_eq!(bench.due(), Some(at(1010) + LONGEST));
}

#[test]
fn a_successor_that_is_heard_late_has_the_addresses_already() {
    let mut bench = Bench::active(parameters());
    bench.shutdown(at(1010));
    assert_eq!(
        bench.hear(at(1100), advert(at(1050), 50, 9)),
        [
            Action::RemoveAddresses,
            transition(StateKind::Releasing, StateKind::Init, handed_over(50)),
        ]
    );
    let mut bench = Bench::active(parameters());
    let actions = bench.hear(at(1100), advert(at(1050), 200, 9));
    assert_eq!(actions[..2], [send(100), Action::RemoveAddresses]);
    assert_eq!(bench.router.addresses(), Addresses::Absent);
}

#[test]
fn active_fault_that_leaves_the_addresses_usable_is_gapless() {
    for cause in [TRACKER, FaultCause::Group] {
        let mut bench = Bench::active(parameters());
        assert_eq!(
            bench.fault(at(1010), cause),
            [
                send(0),
                transition(
                    StateKind::Active,
                    StateKind::Releasing,
                    Reason::Fault { cause }
                ),
            ]
        );
        assert_eq!(
            bench.hear(at(1075), advert(at(1075), 50, 9)),
            [transition(
                StateKind::Releasing,
                StateKind::Fault,
                handed_over(50)
            )]
        );
        assert_eq!(bench.due(), Some(at(1075) + LINGER));
        assert_eq!(bench.timeout(at(1095)), [Action::RemoveAddresses]);
        assert_eq!(bench.due(), None);
    }
    let mut bench = Bench::active(parameters());
    bench.fault(at(1010), TRACKER);
    assert_eq!(
        bench.timeout(at(1010) + LONGEST),
        [
            Action::RemoveAddresses,
            transition(StateKind::Releasing, StateKind::Fault, nobody(LONGEST)),
        ]
    );
}

#[test]
fn releasing_ends_at_once_when_the_link_goes() {
    let down = FaultCause::Interface;
    let mut bench = Bench::active(parameters());
    bench.fault(at(1010), TRACKER);
    assert_eq!(bench.fault(at(1020), FaultCause::Group), []);
    assert_eq!(
        bench.fault(at(1020), down),
        [
            Action::RemoveAddresses,
            transition(
                StateKind::Releasing,
                StateKind::Fault,
                Reason::Fault { cause: down }
            ),
        ]
    );
    let mut bench = Bench::active(parameters());
    bench.shutdown(at(1010));
    assert_eq!(
        bench.fault(at(1020), down),
        [
            Action::RemoveAddresses,
            transition(StateKind::Releasing, StateKind::Init, Reason::Shutdown),
        ]
    );
}

#[test]
fn a_recovery_while_releasing_counts_from_when_it_has_released() {
    let mut bench = Bench::active(parameters());
    bench.fault(at(1010), TRACKER);
    assert_eq!(bench.recovery(at(1020)), []);
    assert_eq!(
        bench.hear(at(1075), advert(at(1075), 150, 9)),
        [transition(
            StateKind::Releasing,
            StateKind::Backup,
            handed_over(150)
        )]
    );
    assert_eq!(bench.timeout(at(1095)), [Action::RemoveAddresses]);
    assert_eq!(bench.due(), Some(at(1075) + ACTIVE_DOWN));
    // And once more a fault: it ends there after all.
    let mut bench = Bench::active(parameters());
    bench.fault(at(1010), TRACKER);
    bench.recovery(at(1020));
    bench.fault(at(1030), TRACKER);
    bench.timeout(at(1410));
    assert_eq!(bench.kind(), StateKind::Fault);
    assert_eq!(bench.router.addresses(), Addresses::Absent);
    // A stop beats both.
    let mut bench = Bench::active(parameters());
    bench.fault(at(1010), TRACKER);
    bench.shutdown(at(1020));
    bench.recovery(at(1030));
    bench.timeout(at(1410));
    assert_eq!(bench.kind(), StateKind::Init);
}

#[test]
fn a_recovery_while_releasing_keeps_the_addresses_if_nobody_wants_them() {
    let mut bench = Bench::active(parameters());
    bench.fault(at(1010), TRACKER);
    bench.recovery(at(1020));
    let end = at(1010) + LONGEST;
    assert_eq!(bench.due(), Some(end));
    // Another that releases, and one that spoke before us, want nothing.
    bench.hear(at(1030), advert(at(1030), 0, 9));
    bench.hear(at(1030), advert(at(1009), 200, 9));
    assert_eq!(bench.timeout(end - Duration::from_nanos(1)), []);
    assert_eq!(
        bench.timeout(end),
        [
            send(100),
            Action::Announce,
            transition(StateKind::Releasing, StateKind::Active, nobody(LONGEST)),
        ]
    );
    assert_eq!(bench.router.addresses(), Addresses::Installed);
    let active = bench.as_active();
    assert_eq!(active.advert_at, end + INTERVAL);
    assert_eq!(active.advertised_at, end);
    assert_eq!(bench.sorting(), (StateKind::Active, 100, true));
    // With what has become of its priority meanwhile; an owner too.
    for priority in [1, 255] {
        let mut bench = Bench::active(parameters());
        bench.fault(at(1010), TRACKER);
        bench.priority(at(1015), priority);
        bench.recovery(at(1020));
        assert_eq!(bench.timeout(end)[0], send(priority));
        assert_eq!(bench.kind(), StateKind::Active);
    }
}

#[test]
fn a_member_of_a_group_does_not_take_its_place_back_by_itself() {
    let mut bench = Bench {
        router: VirtualRouter::in_group(parameters()),
    };
    bench.startup(at(0));
    bench.timeout(at(1000));
    bench.fault(at(1010), TRACKER);
    bench.recovery(at(1020));
    let end = at(1010) + LONGEST;
    let upkeep = |bench: &mut Bench, now| bench.run(|router, out| router.handle_upkeep(now, out));
    assert_eq!(upkeep(&mut bench, end - Duration::from_nanos(1)), []);
    assert_eq!(
        upkeep(&mut bench, end),
        [
            Action::RemoveAddresses,
            transition(StateKind::Releasing, StateKind::Backup, nobody(LONGEST)),
        ]
    );
    assert_eq!(bench.due(), Some(end + ACTIVE_DOWN));
}

#[test]
fn a_second_stop_waits_for_nobody() {
    let stop = |bench: &mut Bench| bench.run(VirtualRouter::handle_stop_now);
    let end = |from| transition(from, StateKind::Init, Reason::Shutdown);
    let mut bench = Bench::active(parameters());
    assert_eq!(
        stop(&mut bench),
        [send(0), Action::RemoveAddresses, end(StateKind::Active)]
    );
    let mut bench = Bench::active(parameters());
    bench.shutdown(at(1010));
    assert_eq!(
        stop(&mut bench),
        [Action::RemoveAddresses, end(StateKind::Releasing)]
    );
    let mut bench = Bench::active(parameters());
    bench.hear(at(1010), advert(at(1010), 200, 9));
    assert_eq!(
        stop(&mut bench),
        [Action::RemoveAddresses, end(StateKind::Backup)]
    );
    assert_eq!(stop(&mut bench), []);
}

#[test]
fn a_step_down_waits_for_a_successor() {
    let step_down =
        |bench: &mut Bench| bench.run(|router, out| router.handle_step_down(at(1010), out));
    let mut bench = Bench::active(parameters());
    assert_eq!(
        step_down(&mut bench),
        [
            send(0),
            transition(StateKind::Active, StateKind::Releasing, Reason::SteppedDown),
        ]
    );
    assert_eq!(
        bench.hear(at(1075), advert(at(1075), 50, 9)),
        [transition(
            StateKind::Releasing,
            StateKind::Backup,
            handed_over(50)
        )]
    );
    // Nobody there: better the one that would rather not than none.
    let mut bench = Bench::active(parameters());
    step_down(&mut bench);
    assert_eq!(bench.due(), Some(at(1010) + LONGEST));
    assert_eq!(
        bench.timeout(at(1410)),
        [
            send(100),
            Action::Announce,
            transition(StateKind::Releasing, StateKind::Active, nobody(LONGEST)),
        ]
    );
    let mut bench = Bench::backup(parameters());
    assert_eq!(step_down(&mut bench), []);
}

// Addresses that linger after the router has yielded.

fn lingering() -> Bench {
    let mut bench = Bench::active(parameters());
    bench.hear(at(1010), advert(at(1010), 200, 9));
    assert_eq!(bench.due(), Some(at(1030)));
    bench
}

#[test]
fn what_lingers_leaves_after_20_ms_and_not_before() {
    let mut bench = lingering();
    assert_eq!(LINGER, Duration::from_millis(20));
    assert_eq!(bench.timeout(at(1030) - Duration::from_nanos(1)), []);
    // More advertisements of the winner do not keep it.
    bench.hear(at(1025), advert(at(1025), 200, 9));
    assert_eq!(bench.timeout(at(1030)), [Action::RemoveAddresses]);
    assert_eq!(bench.router.addresses(), Addresses::Absent);
    assert_eq!(bench.due(), Some(at(1025) + ACTIVE_DOWN));
}

#[test]
fn a_takeover_keeps_what_lingers() {
    let mut bench = Bench::active(Parameters {
        advertisement_interval: Duration::from_millis(10),
        ..parameters()
    });
    bench.hear(
        at(1010),
        ha_common::fsm::Advert {
            interval: Duration::from_millis(10),
            ..advert(at(1010), 200, 9)
        },
    );
    bench.hear(at(1011), advert(at(1011), 0, 9));
    // Skew_Time: 156 × 10 ms / 256.
    let due = at(1011) + Duration::from_nanos(6_093_750);
    assert_eq!(bench.due(), Some(due));
    assert_eq!(
        bench.timeout(due),
        [
            send(100),
            Action::InstallAddresses,
            Action::Announce,
            transition(StateKind::Backup, StateKind::Active, Reason::Released),
        ]
    );
    assert_eq!(bench.router.addresses(), Addresses::Installed);
    assert_eq!(bench.timeout(at(1031)), [send(100)], "the removal is off");
}

#[test]
fn what_lingers_goes_at_once_with_the_link() {
    let mut bench = lingering();
    assert_eq!(
        bench.fault(at(1015), FaultCause::Interface)[0],
        Action::RemoveAddresses
    );
    assert_eq!(bench.due(), None);
    // Also if it is in fault already, for a reason that left it where it was.
    let mut bench = lingering();
    bench.fault(at(1015), TRACKER);
    assert_eq!(bench.due(), Some(at(1030)));
    assert_eq!(
        bench.fault(at(1020), FaultCause::Interface),
        [Action::RemoveAddresses]
    );
    assert_eq!(bench.due(), None);
}

#[test]
fn what_lingers_outlasts_a_stop_by_its_time() {
    let mut bench = lingering();
    bench.shutdown(at(1015));
    assert_eq!(*bench.router.state(), State::Init);
    assert_eq!(bench.due(), Some(at(1030)));
    assert_eq!(bench.timeout(at(1030)), [Action::RemoveAddresses]);
    assert_eq!(bench.due(), None);
}
