//! Sync groups on one node.

use super::*;

const A: InstanceId = InstanceId(0);
const B: InstanceId = InstanceId(1);

fn group(priorities: [u8; 2]) -> Engine {
    Engine::new(priorities.map(parameters), Vec::new(), vec![vec![A, B]])
}

fn started(priorities: [u8; 2]) -> Engine {
    let mut engine = group(priorities);
    engine.handle_startup(at(0), A);
    engine.handle_startup(at(0), B);
    engine
}

fn active() -> Engine {
    let mut engine = started([100, 100]);
    pass(&mut engine, at(400));
    assert_eq!(states(&engine), [StateKind::Active; 2]);
    drain(&mut engine);
    engine
}

fn states(engine: &Engine) -> [StateKind; 2] {
    [engine.state(A), engine.state(B)]
}

#[test]
fn members_take_over_when_the_last_of_them_may() {
    let mut engine = started([100, 50]);
    // 3 × 100 ms + (256 − 50) × 100 ms / 256.
    let last = at(0) + Duration::from_nanos(380_468_750);
    assert_eq!(engine.poll_timeout(), Some(last));
    engine.handle_timeout(last - Duration::from_nanos(1), A);
    assert_eq!(states(&engine), [StateKind::Backup; 2]);
    pass(&mut engine, last);
    assert_eq!(states(&engine), [StateKind::Active; 2]);
}

#[test]
fn every_member_is_looked_at_before_any_takes_over() {
    let mut engine = started([100, 100]);
    drain(&mut engine);
    let due = at(0) + ACTIVE_DOWN;
    assert_eq!(engine.poll_due(due), Some(A));
    engine.handle_timeout(due, A);
    assert_eq!(states(&engine), [StateKind::Backup; 2]);
    // It does not come again: the driver would never get to the other one.
    assert_eq!(engine.poll_due(due), Some(B));
    // Its record holds back, and so both.
    engine.handle_advert(due, B, &advert(at(300), 100));
    engine.handle_timeout(due, B);
    assert_eq!(drain(&mut engine), []);
    let next = at(300) + ACTIVE_DOWN;
    assert_eq!(engine.poll_timeout(), Some(next));
    // Both again, the one that had its look before too.
    engine.handle_timeout(next, B);
    assert_eq!(states(&engine), [StateKind::Backup; 2]);
    assert_eq!(engine.poll_due(next), Some(A));
    engine.handle_timeout(next, A);
    assert_eq!(states(&engine), [StateKind::Active; 2]);
}

#[test]
fn a_look_from_before_a_pause_does_not_count() {
    let mut engine = started([100, 100]);
    let due = at(0) + ACTIVE_DOWN;
    engine.handle_timeout(due, A);
    let late = due + INTERVAL;
    engine.handle_timeout(late, B);
    assert_eq!(states(&engine), [StateKind::Backup; 2]);
    assert_eq!(engine.poll_due(late), Some(A), "once more");
    engine.handle_timeout(late, A);
    assert_eq!(states(&engine), [StateKind::Active; 2]);
}

#[test]
fn a_member_that_is_held_back_holds_all_back() {
    let mut engine = started([100, 100]);
    for millis in (50..5000).step_by(100) {
        let now = at(millis);
        pass(&mut engine, now);
        engine.handle_advert(now, B, &advert(now, 150));
        assert_eq!(states(&engine), [StateKind::Backup; 2]);
    }
    pass(&mut engine, at(4950) + ACTIVE_DOWN);
    assert_eq!(states(&engine), [StateKind::Active; 2]);
}

#[test]
fn nobody_takes_over_while_a_member_takes_no_part() {
    let mut engine = group([100, 100]);
    engine.handle_startup(at(0), A);
    assert_eq!(engine.poll_timeout(), None, "the other is in Init");
    engine.handle_timeout(at(5000), A);
    assert_eq!(engine.state(A), StateKind::Backup);
    engine.handle_attached(at(6000), B, parameters(100).address);
    assert_eq!(engine.poll_timeout(), Some(at(6000) + ACTIVE_DOWN));
    pass(&mut engine, at(6000) + ACTIVE_DOWN);
    assert_eq!(states(&engine), [StateKind::Active; 2]);
}

#[test]
fn an_owner_waits_for_the_others() {
    let mut engine = started([255, 100]);
    assert_eq!(states(&engine), [StateKind::Backup; 2]);
    pass(&mut engine, at(0) + ACTIVE_DOWN);
    assert_eq!(states(&engine), [StateKind::Active; 2]);
    assert_eq!(engine.snapshot(A).reason, Some(Reason::Owner));
    let mut engine = started([255, 255]);
    pass(&mut engine, at(0));
    assert_eq!(states(&engine), [StateKind::Active; 2], "at once");
}

#[test]
fn when_one_is_outranked_the_other_steps_down_without_a_gap() {
    let mut engine = active();
    engine.handle_advert(at(450), A, &advert(at(450), 150));
    assert_eq!(states(&engine), [StateKind::Backup, StateKind::Releasing]);
    let actions = drain(&mut engine);
    assert_eq!(
        actions[actions.len() - 3..],
        [
            (1, send(0)),
            (1, update(StateKind::Releasing, 0, true)),
            (
                1,
                transition(StateKind::Active, StateKind::Releasing, Reason::SteppedDown)
            ),
        ]
    );
    engine.handle_advert(at(460), B, &advert(at(460), 50));
    assert_eq!(states(&engine), [StateKind::Backup; 2]);
    assert_eq!(engine.addresses(B), Addresses::LeavingAt(at(480)));
    pass(&mut engine, at(480));
    assert_eq!(engine.addresses(A), Addresses::Absent);
    assert_eq!(engine.addresses(B), Addresses::Absent);
}

#[test]
fn a_fault_of_one_is_the_fault_of_all() {
    let mut engine = active();
    engine.handle_fault(at(450), A, FaultCause::Interface);
    assert_eq!(states(&engine), [StateKind::Fault, StateKind::Releasing]);
    assert_eq!(engine.snapshot(B).faults, [FaultCause::Group]);
    engine.handle_fault(at(460), B, FaultCause::Tracker(TrackerId(1)));
    assert_eq!(
        engine.snapshot(A).faults,
        [FaultCause::Interface, FaultCause::Group]
    );
    engine.handle_recovery(at(470), A, FaultCause::Interface);
    assert_eq!(engine.snapshot(A).faults, [FaultCause::Group]);
    assert_eq!(
        engine.snapshot(B).faults,
        [FaultCause::Tracker(TrackerId(1))]
    );
    // The first is back; the second has yet to leave Active.
    engine.handle_recovery(at(480), B, FaultCause::Tracker(TrackerId(1)));
    assert_eq!(states(&engine), [StateKind::Backup, StateKind::Releasing]);
    pass(&mut engine, at(845));
    assert_eq!(states(&engine), [StateKind::Backup, StateKind::Releasing]);
    drain(&mut engine);
    // Nobody has taken over, and both may: the second keeps its addresses.
    pass(&mut engine, at(850));
    assert_eq!(states(&engine), [StateKind::Active; 2]);
    let actions = drain(&mut engine);
    assert!(!actions.contains(&(1, Action::InstallAddresses)));
    assert!(!actions.contains(&(1, Action::RemoveAddresses)));
}

/// Active, and releasing since 450 ms because of a fault that is over.
fn returning() -> Engine {
    let mut engine = active();
    engine.handle_fault(at(450), A, FaultCause::Tracker(TrackerId(1)));
    engine.handle_recovery(at(460), A, FaultCause::Tracker(TrackerId(1)));
    assert_eq!(states(&engine), [StateKind::Releasing; 2]);
    assert_eq!(engine.poll_timeout(), Some(at(850)));
    drain(&mut engine);
    engine
}

#[test]
fn a_group_that_nobody_relieves_keeps_its_addresses() {
    let mut engine = returning();
    pass(&mut engine, at(849));
    assert_eq!(drain(&mut engine), []);
    assert_eq!(engine.poll_due(at(850)), Some(A));
    engine.handle_timeout(at(850), A);
    assert_eq!(drain(&mut engine), [], "before the other is looked at");
    assert_eq!(engine.poll_due(at(850)), Some(B));
    engine.handle_timeout(at(850), B);
    assert_eq!(states(&engine), [StateKind::Active; 2]);
    let waited = Duration::from_millis(400);
    let takes_back = |id| {
        [
            (id, send(100)),
            (id, update(StateKind::Active, 100, true)),
            (id, Action::Announce),
            (
                id,
                transition(
                    StateKind::Releasing,
                    StateKind::Active,
                    Reason::NoSuccessor { waited },
                ),
            ),
        ]
    };
    assert_eq!(drain(&mut engine), [takes_back(0), takes_back(1)].concat());
    assert_eq!(engine.poll_timeout(), Some(at(950)));
}

#[test]
fn a_group_of_which_one_is_relieved_goes_whole() {
    let mut engine = returning();
    engine.handle_timeout(at(850), A);
    // The last look finds that another has taken the second over.
    engine.handle_advert(at(850), B, &advert(at(849), 50));
    engine.handle_timeout(at(850), B);
    assert_eq!(states(&engine), [StateKind::Releasing, StateKind::Backup]);
    assert_eq!(engine.poll_due(at(850)), Some(A), "once more");
    engine.handle_timeout(at(850), A);
    assert_eq!(states(&engine), [StateKind::Backup; 2]);
    assert_eq!(engine.addresses(A), Addresses::Absent);
    assert_eq!(engine.poll_due(at(850)), None);
}

#[test]
fn what_steps_down_is_backup_though_nobody_relieves_it() {
    let mut engine = active();
    let heard = |engine: &mut Engine, millis| {
        engine.handle_advert(at(millis), A, &advert(at(millis), 150));
    };
    heard(&mut engine, 450);
    for millis in [550, 650, 750, 849] {
        heard(&mut engine, millis);
        pass(&mut engine, at(millis));
        assert_eq!(states(&engine), [StateKind::Backup, StateKind::Releasing]);
    }
    pass(&mut engine, at(850));
    assert_eq!(states(&engine), [StateKind::Backup; 2]);
    assert_eq!(engine.addresses(B), Addresses::Absent);
}

#[test]
fn groups_do_not_touch_each_other() {
    let ids: Vec<InstanceId> = (0..5).map(InstanceId).collect();
    let mut engine = Engine::new(
        [100; 5].map(parameters),
        Vec::new(),
        vec![vec![ids[0], ids[2]], vec![ids[3], ids[1]]],
    );
    for id in &ids {
        engine.handle_startup(at(0), *id);
    }
    pass(&mut engine, at(400));
    engine.handle_fault(at(450), ids[2], FaultCause::Interface);
    engine.handle_advert(at(450), ids[1], &advert(at(450), 200));
    let states: Vec<StateKind> = ids.iter().map(|id| engine.state(*id)).collect();
    use StateKind::{Active, Backup, Fault, Releasing};
    assert_eq!(states, [Releasing, Backup, Fault, Releasing, Active]);
}
