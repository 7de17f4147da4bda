//! Another configuration while it runs, and draining.

use proptest::prelude::*;

use super::*;
use crate::engine::{Member, Reload};

const A: InstanceId = InstanceId(0);
const B: InstanceId = InstanceId(1);
const C: InstanceId = InstanceId(2);

fn member(id: InstanceId, priority: u8) -> Member {
    Member {
        id,
        parameters: parameters(priority),
        trackings: Vec::new(),
    }
}

/// Takes all over that have not been held back.
fn start(engine: &mut Engine, now: Timestamp) {
    for id in engine.ids() {
        engine.handle_startup(now, id);
    }
    pass(engine, now + ACTIVE_DOWN);
    drain(engine);
}

fn states(engine: &Engine) -> Vec<StateKind> {
    engine.ids().map(|id| engine.state(id)).collect()
}

#[test]
fn what_is_the_same_stays_to_the_deadline() {
    let mut engine = engine([parameters(100), parameters(90)]);
    start(&mut engine, at(0));
    engine.handle_advert(at(400), B, &advert(at(400), 200));
    drain(&mut engine);
    let before = (
        engine.poll_timeout(),
        engine.snapshot(A),
        engine.snapshot(B),
    );
    let changed = vec![member(A, 100), member(B, 90)];
    let reload = Reload {
        changed,
        ..Reload::default()
    };
    engine.handle_reload(at(410), reload);
    assert_eq!(drain(&mut engine), []);
    let after = (
        engine.poll_timeout(),
        engine.snapshot(A),
        engine.snapshot(B),
    );
    assert_eq!(after, before);
}

#[test]
fn one_that_leaves_serves_until_a_successor_does_and_then_its_slot_is_free() {
    let mut engine = engine([parameters(100), parameters(100)]);
    start(&mut engine, at(0));
    let reload = |leaving, added| Reload {
        leaving,
        added,
        ..Reload::default()
    };
    engine.handle_reload(at(500), reload(vec![A], vec![member(C, 50)]));
    assert_eq!(engine.state(A), StateKind::Releasing);
    assert_eq!(engine.state(B), StateKind::Active);
    assert_eq!(engine.state(C), StateKind::Init);
    assert_eq!(engine.remove_departed(), []);
    engine.handle_advert(at(510), A, &advert(at(510), 90));
    drain(&mut engine);
    pass(&mut engine, at(530));
    assert_eq!(engine.remove_departed(), [], "there is something to do yet");
    let done = drain(&mut engine);
    assert!(done.contains(&(0, Action::RemoveAddresses)), "{done:?}");
    assert_eq!(engine.remove_departed(), [A]);
    assert!(!engine.has(A) && engine.has(B));
    engine.handle_reload(at(600), reload(Vec::new(), vec![member(A, 70)]));
    assert_eq!(engine.state(A), StateKind::Init);
    assert_eq!(engine.ids().count(), 3);
    // One that never started is gone at once.
    engine.handle_reload(at(600), reload(vec![A], Vec::new()));
    assert_eq!(engine.remove_departed(), [A]);
}

#[test]
#[should_panic(expected = "slot 1 is not free")]
fn a_slot_is_given_once() {
    let mut engine = engine([parameters(100), parameters(100)]);
    let reload = Reload {
        added: vec![member(B, 1)],
        ..Reload::default()
    };
    engine.handle_reload(at(0), reload);
}

#[test]
fn trackers_that_are_not_asked_any_more_are_no_fault() {
    let fatal = |tracker| Tracking {
        tracker: TrackerId(tracker),
        weight: 0,
        reverse: false,
    };
    let mut engine = Engine::new([parameters(100)], vec![vec![fatal(0)]], Vec::new());
    engine.handle_tracker(at(0), TrackerId(0), false);
    engine.handle_tracker(at(0), TrackerId(1), false);
    start(&mut engine, at(0));
    assert_eq!(engine.state(A), StateKind::Fault);
    let tracked = |trackings| Reload {
        changed: vec![Member {
            trackings,
            ..member(A, 100)
        }],
        ..Reload::default()
    };
    engine.handle_reload(at(500), tracked(Vec::new()));
    assert_eq!(engine.state(A), StateKind::Backup);
    assert_eq!(engine.snapshot(A).faults, []);
    engine.handle_reload(at(510), tracked(vec![fatal(1)]));
    assert_eq!(engine.state(A), StateKind::Fault);
    let weighted = Tracking {
        weight: -30,
        ..fatal(1)
    };
    engine.handle_reload(at(520), tracked(vec![weighted]));
    assert_eq!(engine.state(A), StateKind::Backup);
    assert_eq!(engine.parameters(A).priority, Priority(70));
}

#[test]
fn a_new_check_without_a_result_stops_nobody_who_takes_part() {
    let fatal = Tracking {
        tracker: TrackerId(0),
        weight: 0,
        reverse: false,
    };
    let mut engine = engine([parameters(100)]);
    start(&mut engine, at(0));
    assert_eq!(engine.state(A), StateKind::Active);
    engine.handle_tracker(at(500), TrackerId(0), Reading::Pending);
    let tracks = |id, priority| Member {
        trackings: vec![fatal],
        ..member(id, priority)
    };
    let reload = Reload {
        changed: vec![tracks(A, 100)],
        added: vec![tracks(B, 90)],
        ..Reload::default()
    };
    engine.handle_reload(at(500), reload);
    engine.handle_startup(at(500), B);
    assert_eq!(states(&engine), [StateKind::Active, StateKind::Init]);
    engine.handle_tracker(at(600), TrackerId(0), true);
    assert_eq!(states(&engine), [StateKind::Active, StateKind::Backup]);
    engine.handle_tracker(at(700), TrackerId(0), false);
    assert_eq!(states(&engine), [StateKind::Releasing, StateKind::Fault]);
}

#[test]
fn a_new_member_does_not_make_a_group_step_down() {
    let group = |members: &[InstanceId]| vec![members.to_vec()];
    let instances = [parameters(100), parameters(100)];
    let mut engine = Engine::new(instances, Vec::new(), group(&[A, B]));
    start(&mut engine, at(0));
    assert_eq!(states(&engine), [StateKind::Active; 2]);
    let reload = Reload {
        added: vec![member(C, 100)],
        groups: group(&[A, B, C]),
        ..Reload::default()
    };
    engine.handle_reload(at(500), reload);
    engine.handle_attached(at(510), C, parameters(1).address);
    let expected = [StateKind::Active, StateKind::Active, StateKind::Backup];
    assert_eq!(states(&engine), expected);
    pass(&mut engine, at(510) + ACTIVE_DOWN);
    assert_eq!(states(&engine), [StateKind::Active; 3]);
    // From now on it is a member like the others.
    engine.handle_advert(at(900), C, &advert(at(900), 200));
    assert_eq!(
        states(&engine),
        [
            StateKind::Releasing,
            StateKind::Releasing,
            StateKind::Backup
        ]
    );
}

/// Somebody else has what the new member stands for: the group is where that is.
#[test]
fn a_new_member_that_is_held_back_does() {
    let mut engine = engine([parameters(100)]);
    start(&mut engine, at(0));
    let reload = Reload {
        added: vec![member(B, 100)],
        groups: vec![vec![A, B]],
        ..Reload::default()
    };
    engine.handle_reload(at(500), reload);
    engine.handle_attached(at(510), B, parameters(1).address);
    assert_eq!(states(&engine), [StateKind::Active, StateKind::Backup]);
    engine.handle_advert(at(520), B, &advert(at(520), 200));
    assert_eq!(states(&engine), [StateKind::Releasing, StateKind::Backup]);
}

#[test]
fn a_fault_of_a_group_ends_with_the_group() {
    let instances = [parameters(100), parameters(100)];
    let mut engine = Engine::new(instances, Vec::new(), vec![vec![A, B]]);
    start(&mut engine, at(0));
    engine.handle_fault(at(500), A, FaultCause::Interface);
    engine.handle_advert(at(510), B, &advert(at(510), 1));
    assert_eq!(states(&engine), [StateKind::Fault; 2]);
    engine.handle_reload(at(600), Reload::default());
    assert_eq!(states(&engine), [StateKind::Fault, StateKind::Backup]);
    // And begins with one.
    let reload = Reload {
        groups: vec![vec![A, B]],
        ..Reload::default()
    };
    engine.handle_reload(at(610), reload);
    assert_eq!(states(&engine), [StateKind::Fault; 2]);
    // Without the faulty one there is none.
    let reload = Reload {
        leaving: vec![A],
        ..Reload::default()
    };
    engine.handle_reload(at(620), reload);
    assert_eq!(engine.state(B), StateKind::Backup);
}

#[test]
fn one_that_is_drained_hands_over_and_has_the_least_priority() {
    for priority in [100, 255] {
        let mut engine = engine([parameters(priority)]);
        start(&mut engine, at(0));
        assert_eq!(engine.handle_drain(at(500), A, true), [A]);
        let done = drain(&mut engine);
        // No advertisement of priority 1 before the release.
        assert_eq!(done[0], (0, send(0)), "{done:?}");
        assert_eq!(engine.state(A), StateKind::Releasing);
        engine.handle_advert(at(510), A, &advert(at(510), 50));
        let snapshot = engine.snapshot(A);
        assert_eq!(snapshot.state, StateKind::Backup);
        assert_eq!(snapshot.priority, Priority(1));
        assert!(snapshot.drained);
        // A reload leaves it as it is.
        let reload = Reload {
            changed: vec![member(A, priority)],
            ..Reload::default()
        };
        engine.handle_reload(at(520), reload);
        assert_eq!(engine.snapshot(A), snapshot);
        engine.handle_drain(at(530), A, false);
        assert_eq!(engine.parameters(A).priority, Priority(priority));
        engine.handle_advert(at(540), A, &advert(at(540), 50));
        drain(&mut engine);
        // Skew_Time, not Active_Down.
        pass(&mut engine, at(540) + INTERVAL);
        assert_eq!(engine.state(A), StateKind::Active);
    }
}

#[test]
fn a_drained_group_hands_over_together_and_takes_over_where_nobody_does() {
    let instances = [parameters(100), parameters(100)];
    let mut engine = Engine::new(instances, Vec::new(), vec![vec![A, B]]);
    start(&mut engine, at(0));
    assert_eq!(engine.handle_drain(at(500), B, true), [A, B]);
    assert_eq!(states(&engine), [StateKind::Releasing; 2]);
    // The end of the release, and Active_Down.
    pass(&mut engine, at(500) + 5 * INTERVAL);
    pass(&mut engine, at(500) + 10 * INTERVAL);
    assert_eq!(states(&engine), [StateKind::Active; 2]);
    assert_eq!(engine.parameters(A).priority, Priority(1));
    // Once more: somebody is there now.
    engine.handle_drain(at(2000), A, true);
    assert_eq!(states(&engine), [StateKind::Releasing; 2]);
}

#[derive(Clone, Copy, Debug)]
enum Event {
    Wait(u64),
    Hear(u8),
    Priority(u8),
    Tracker(bool),
    /// Another comes, if there is none.
    Add(u8),
    /// It goes.
    Leave,
    /// It hears somebody.
    HearBeside(u8),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        6 => (0..200_u64).prop_map(Event::Wait),
        3 => any::<u8>().prop_map(Event::Hear),
        1 => (1..=254_u8).prop_map(Event::Priority),
        1 => any::<bool>().prop_map(Event::Tracker),
        2 => (1..=255_u8).prop_map(Event::Add),
        2 => Just(Event::Leave),
        2 => any::<u8>().prop_map(Event::HearBeside),
    ]
}

/// What `engine` asks of the first instance.
fn asked_of_first(engine: &mut Engine) -> Vec<Action> {
    let all = drain(engine).into_iter();
    all.filter_map(|(id, action)| (id == 0).then_some(action))
        .collect()
}

proptest! {
    /// What comes and goes beside an instance does not concern it, to the deadline;
    /// and whoever leaves is gone at last.
    #[test]
    fn others_come_and_go_unnoticed(events in proptest::collection::vec(event(), 1..80)) {
        let tracked = Tracking { tracker: TrackerId(0), weight: -50, reverse: false };
        let new = || Engine::new([parameters(100)], vec![vec![tracked]], Vec::new());
        let (mut alone, mut beside) = (new(), new());
        let mut now = at(1000);
        let mut base = 100;
        for engine in [&mut alone, &mut beside] {
            engine.handle_startup(now, A);
        }
        for event in events {
            let first = Member {
                trackings: vec![tracked],
                ..member(A, if let Event::Priority(priority) = event { priority } else { base })
            };
            base = first.parameters.priority.0;
            let mut reload = Reload { changed: vec![first], ..Reload::default() };
            match event {
                Event::Wait(millis) => {
                    now = now + Duration::from_millis(millis);
                    pass(&mut alone, now);
                    pass(&mut beside, now);
                }
                Event::Hear(priority) => {
                    alone.handle_advert(now, A, &advert(now, priority));
                    beside.handle_advert(now, A, &advert(now, priority));
                }
                Event::Priority(_) => {
                    alone.handle_reload(now, reload.clone());
                    beside.handle_reload(now, reload);
                }
                Event::Tracker(up) => {
                    alone.handle_tracker(now, TrackerId(0), up);
                    beside.handle_tracker(now, TrackerId(0), up);
                }
                Event::Add(priority) if !beside.has(B) => {
                    reload.added = vec![member(B, priority)];
                    beside.handle_reload(now, reload);
                    beside.handle_attached(now, B, parameters(1).address);
                }
                Event::Leave if beside.has(B) => {
                    reload.leaving = vec![B];
                    beside.handle_reload(now, reload);
                }
                Event::HearBeside(priority) if beside.has(B) => {
                    beside.handle_advert(now, B, &advert(now, priority));
                }
                Event::Add(_) | Event::Leave | Event::HearBeside(_) => {}
            }
            prop_assert_eq!(asked_of_first(&mut alone), asked_of_first(&mut beside));
            prop_assert_eq!(alone.snapshot(A), beside.snapshot(A));
            prop_assert_eq!(alone.sorting(A), beside.sorting(A));
            beside.remove_departed();
        }
        if beside.has(B) {
            let reload = Reload { leaving: vec![B], ..Reload::default() };
            beside.handle_reload(now, reload);
            pass(&mut beside, now + 5 * INTERVAL);
            drain(&mut beside);
            prop_assert_eq!(beside.remove_departed(), [B]);
        }
    }
}
