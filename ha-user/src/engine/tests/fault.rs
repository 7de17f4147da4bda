//! Causes of faults, interfaces that come and go.

use super::*;

const ID: InstanceId = InstanceId(0);

#[test]
fn in_fault_while_any_cause_stands() {
    let mut engine = engine([parameters(100)]);
    engine.handle_startup(at(0), ID);
    engine.handle_fault(at(10), ID, FaultCause::Action);
    engine.handle_fault(at(20), ID, FaultCause::Interface);
    assert_eq!(
        engine.snapshot(ID).faults,
        [FaultCause::Interface, FaultCause::Action]
    );
    engine.handle_recovery(at(30), ID, FaultCause::Interface);
    assert_eq!(engine.state(ID), StateKind::Fault);
    engine.handle_recovery(at(40), ID, FaultCause::Action);
    assert_eq!(engine.state(ID), StateKind::Backup);
    assert_eq!(engine.snapshot(ID).faults, []);
    assert_eq!(engine.poll_timeout(), Some(at(40) + ACTIVE_DOWN));
    let before = engine.snapshot(ID);
    engine.handle_recovery(at(50), ID, FaultCause::Action);
    assert_eq!(engine.snapshot(ID), before);
}

#[test]
fn a_second_cause_takes_the_addresses_that_the_first_left() {
    let mut engine = engine([parameters(100)]);
    engine.handle_startup(at(0), ID);
    pass(&mut engine, at(500));
    engine.handle_fault(at(510), ID, FaultCause::Tracker(TrackerId(1)));
    assert_eq!(engine.state(ID), StateKind::Releasing);
    engine.handle_fault(at(520), ID, FaultCause::Interface);
    assert_eq!(engine.state(ID), StateKind::Fault);
    assert_eq!(engine.addresses(ID), Addresses::Absent);
    // A pair of events that leaves one of two causes is no recovery.
    engine.handle_recovery(at(530), ID, FaultCause::Tracker(TrackerId(1)));
    assert_eq!(engine.state(ID), StateKind::Fault);
}

#[test]
fn what_cannot_start_waits_in_init_with_the_delay_of_a_start() {
    let mut engine = engine([Parameters {
        startup_delay: Duration::from_secs(1),
        ..parameters(100)
    }]);
    engine.handle_fault(at(0), ID, FaultCause::Interface);
    engine.handle_startup(at(0), ID);
    assert_eq!(engine.state(ID), StateKind::Init);
    assert_eq!(drain(&mut engine), [], "the kernel need not know yet");
    engine.handle_recovery(at(100), ID, FaultCause::Interface);
    assert_eq!(engine.snapshot(ID).reason, Some(Reason::Startup));
    assert_eq!(engine.poll_timeout(), Some(at(1100) + ACTIVE_DOWN));
}

#[test]
fn a_tracker_that_is_down_at_the_start_is_a_fault_with_the_delay_of_a_start() {
    let tracker = TrackerId(1);
    let tracking = Tracking {
        tracker,
        weight: 0,
        reverse: false,
    };
    let parameters = Parameters {
        startup_delay: Duration::from_secs(1),
        ..parameters(100)
    };
    let mut engine = Engine::new([parameters], vec![vec![tracking]], Vec::new());
    let cause = FaultCause::Tracker(tracker);
    engine.handle_tracker(at(0), tracker, Reading::Pending);
    engine.handle_startup(at(0), ID);
    assert_eq!(engine.state(ID), StateKind::Init, "nothing is known yet");
    engine.handle_tracker(at(10), tracker, false);
    assert_eq!(engine.state(ID), StateKind::Fault);
    assert_eq!(engine.snapshot(ID).reason, Some(Reason::Fault { cause }));
    engine.handle_tracker(at(100), tracker, true);
    assert_eq!(engine.snapshot(ID).reason, Some(Reason::Startup));
    assert_eq!(engine.poll_timeout(), Some(at(1100) + ACTIVE_DOWN));
    // Later it is the fault that it always was.
    engine.handle_tracker(at(200), tracker, false);
    engine.handle_tracker(at(300), tracker, true);
    assert_eq!(engine.snapshot(ID).reason, Some(Reason::Recovery));
    assert_eq!(engine.poll_timeout(), Some(at(300) + ACTIVE_DOWN));
}

#[test]
fn an_interface_that_appears_brings_its_address() {
    let address = Ipv4Addr::new(10, 0, 0, 77).into();
    let mut engine = engine([parameters(100)]);
    assert_eq!(engine.poll_timeout(), None);
    engine.handle_attached(at(10), ID, address);
    assert_eq!(engine.parameters(ID).address, address);
    assert_eq!(engine.snapshot(ID).reason, Some(Reason::Startup));
    pass(&mut engine, at(500));
    assert_eq!(engine.state(ID), StateKind::Active);
    engine.handle_fault(at(505), ID, FaultCause::Action);
    engine.handle_detached(at(510), ID);
    assert_eq!(engine.state(ID), StateKind::Fault);
    drain(&mut engine);
    engine.handle_attached(at(600), ID, address);
    assert_eq!(engine.snapshot(ID).reason, Some(Reason::Recovery));
    assert_eq!(
        drain(&mut engine)[0],
        (0, update(StateKind::Backup, 100, true))
    );
    // The same state under another interface's number is news to the kernel.
    engine.handle_attached(at(610), ID, address);
    assert_eq!(
        drain(&mut engine),
        [(0, update(StateKind::Backup, 100, true))]
    );
}

#[test]
fn what_was_stopped_stays_stopped() {
    let mut engine = engine([parameters(100)]);
    engine.handle_startup(at(0), ID);
    engine.handle_fault(at(10), ID, FaultCause::Interface);
    engine.handle_shutdown(at(20), ID);
    engine.handle_recovery(at(30), ID, FaultCause::Interface);
    assert!(engine.has_stopped());
}
