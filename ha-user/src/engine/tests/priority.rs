//! Effective priority.

use super::*;

const ID: InstanceId = InstanceId(0);

fn tracking(tracker: u32, weight: i16) -> Tracking {
    Tracking {
        tracker: TrackerId(tracker),
        weight,
        reverse: false,
    }
}

fn tracked(priority: u8, trackings: Vec<Tracking>) -> Engine {
    let mut engine = Engine::new([parameters(priority)], vec![trackings], Vec::new());
    engine.handle_startup(at(0), ID);
    engine
}

#[test]
fn up_adds_what_is_positive_and_down_what_is_negative() {
    let mut engine = tracked(100, vec![tracking(1, 20), tracking(2, -30)]);
    let mut weigh = |tracker, up| {
        engine.handle_tracker(at(10), TrackerId(tracker), up);
        engine.snapshot(ID).priority.0
    };
    assert_eq!(weigh(3, false), 120, "untold counts as up; 3 is not ours");
    assert_eq!(weigh(2, false), 90);
    assert_eq!(weigh(1, false), 70);
    assert_eq!(weigh(2, true), 100);
    assert_eq!(weigh(1, true), 120);
}

#[test]
fn the_sum_has_its_bounds_and_an_owner_no_sum() {
    let down = |priority, weight| {
        let mut engine = tracked(priority, vec![tracking(1, weight), tracking(2, weight)]);
        engine.handle_tracker(at(10), TrackerId(1), false);
        engine.handle_tracker(at(10), TrackerId(2), false);
        engine.snapshot(ID)
    };
    assert_eq!(down(100, -80).priority, Priority(1));
    assert_eq!(down(255, -80).priority, Priority::OWNER);
    assert_eq!(down(255, -80).contributions[0].added, 0);
    assert_eq!(
        tracked(200, vec![tracking(1, 200)]).snapshot(ID).priority,
        Priority(254)
    );
}

#[test]
fn a_reversed_tracker_is_good_while_it_is_down() {
    let reversed = Tracking {
        reverse: true,
        ..tracking(1, -50)
    };
    let mut engine = tracked(100, vec![reversed]);
    assert_eq!(engine.snapshot(ID).priority, Priority(100), "untold");
    engine.handle_tracker(at(10), TrackerId(1), true);
    assert_eq!(engine.snapshot(ID).priority, Priority(50));
    assert_eq!(
        engine.snapshot(ID).contributions,
        [Contribution {
            tracking: reversed,
            reading: Some(Reading::Up),
            added: -50
        }]
    );
    engine.handle_tracker(at(20), TrackerId(1), false);
    assert_eq!(engine.snapshot(ID).priority, Priority(100));
}

#[test]
fn what_is_pending_adds_nothing_and_is_waited_for() {
    let trackings = vec![tracking(1, 50), tracking(2, -50), tracking(3, 0)];
    let mut engine = Engine::new([parameters(100)], vec![trackings], Vec::new());
    for tracker in 1..=3 {
        engine.handle_tracker(at(0), TrackerId(tracker), Reading::Pending);
    }
    engine.handle_startup(at(0), ID);
    assert_eq!(engine.snapshot(ID).priority, Priority(100));
    assert_eq!(engine.state(ID), StateKind::Init);
    engine.handle_tracker(at(10), TrackerId(1), true);
    engine.handle_tracker(at(20), TrackerId(2), true);
    assert_eq!(engine.snapshot(ID).priority, Priority(150));
    engine.handle_tracker(at(30), TrackerId(3), true);
    assert_eq!(engine.state(ID), StateKind::Backup);
}

#[test]
fn a_number_is_multiplied_with_the_weight() {
    let weighed = |weight, reverse, value| {
        let tracking = Tracking {
            reverse,
            ..tracking(1, weight)
        };
        let mut engine = tracked(100, vec![tracking]);
        engine.handle_tracker(at(10), TrackerId(1), Reading::Value(value));
        let snapshot = engine.snapshot(ID);
        (snapshot.priority.0, !snapshot.faults.is_empty())
    };
    assert_eq!(weighed(1, false, 20), (120, false));
    assert_eq!(weighed(-2, false, 20), (60, false));
    assert_eq!(weighed(-2, true, 20), (140, false));
    assert_eq!(weighed(2, false, i32::MAX), (254, false));
    assert_eq!(weighed(1, false, -253), (1, false));
    assert_eq!(weighed(1, false, -254), (1, true));
    assert_eq!(weighed(0, false, 0), (100, false));
    assert_eq!(weighed(0, false, 1), (100, true));
    assert_eq!(weighed(0, true, 1), (100, false));
}

#[test]
fn a_change_reaches_the_others_and_the_kernel() {
    let mut engine = tracked(100, vec![tracking(1, -50)]);
    pass(&mut engine, at(500));
    drain(&mut engine);
    engine.handle_tracker(at(510), TrackerId(1), false);
    assert_eq!(
        drain(&mut engine),
        [(0, send(50)), (0, update(StateKind::Active, 50, true))]
    );
    engine.handle_tracker(at(520), TrackerId(1), false);
    assert_eq!(drain(&mut engine), [], "no news");
}

#[test]
fn without_weight_it_is_a_fault_that_leaves_no_gap() {
    let cause = FaultCause::Tracker(TrackerId(1));
    let mut engine = tracked(100, vec![tracking(1, 0)]);
    pass(&mut engine, at(500));
    engine.handle_tracker(at(510), TrackerId(1), false);
    assert_eq!(engine.state(ID), StateKind::Releasing);
    assert_eq!(engine.snapshot(ID).faults, [cause]);
    assert_eq!(engine.snapshot(ID).reason, Some(Reason::Fault { cause }));
    engine.handle_advert(at(550), ID, &advert(at(550), 50));
    assert_eq!(engine.state(ID), StateKind::Fault);
    engine.handle_tracker(at(600), TrackerId(1), true);
    assert_eq!(engine.state(ID), StateKind::Backup);
    // Also for an owner, whose priority it cannot change.
    let mut engine = tracked(255, vec![tracking(1, 0)]);
    engine.handle_tracker(at(510), TrackerId(1), false);
    assert_eq!(engine.state(ID), StateKind::Releasing);
}

#[test]
fn a_new_priority_counts_from_the_record_that_is_handed_over_before() {
    let mut engine = tracked(200, vec![tracking(1, -150)]);
    engine.handle_tracker(at(0), TrackerId(1), false);
    // Heard at 350 ms by a kernel that sorted by 50, and not told: it held back.
    let record = advert(at(350), 100);
    let now = at(380);
    engine.handle_advert(now, ID, &record);
    engine.handle_tracker(now, TrackerId(1), true);
    drain(&mut engine);
    pass(&mut engine, at(600));
    assert_eq!(drain(&mut engine), [], "not due 250 ms after it");
    // 3 × 100 ms + (256 − 200) × 100 ms / 256 after the record.
    pass(&mut engine, at(672));
    assert_eq!(engine.state(ID), StateKind::Active);
}
