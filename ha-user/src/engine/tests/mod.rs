//! The engine's own part: queues, records, faults, priorities, groups.

mod fault;
mod group;
mod network;
mod priority;
mod reload;

use std::{collections::BTreeSet, net::Ipv4Addr};

use ha_common::{fsm::TrackerId, types::Version};

use super::*;

const INTERVAL: Duration = Duration::from_millis(100);
/// 3 × 100 ms + (256 − 100) × 100 ms / 256.
const ACTIVE_DOWN: Duration = Duration::from_nanos(360_937_500);

fn at(millis: u64) -> Timestamp {
    Timestamp::from_nanos(millis * 1_000_000)
}

fn parameters(priority: u8) -> Parameters {
    Parameters::new(
        Version::V3,
        Priority(priority),
        Ipv4Addr::new(10, 0, 0, 1).into(),
        INTERVAL,
    )
}

fn advert(at: Timestamp, priority: u8) -> Advert {
    Advert {
        at,
        source: Ipv4Addr::new(10, 0, 0, 9).into(),
        priority: Priority(priority),
        interval: INTERVAL,
    }
}

/// Instances without trackers or groups.
fn engine(instances: impl IntoIterator<Item = Parameters>) -> Engine {
    Engine::new(instances, Vec::new(), Vec::new())
}

/// Lets every deadline until `now` pass, with no record to look at.
fn pass(engine: &mut Engine, now: Timestamp) {
    while let Some(id) = engine.poll_due(now) {
        engine.handle_timeout(now, id);
    }
}

fn drain(engine: &mut Engine) -> Vec<(u32, Action)> {
    std::iter::from_fn(|| engine.poll_action())
        .map(|(id, action)| (id.0, action))
        .collect()
}

fn send(priority: u8) -> Action {
    Action::SendAdvert {
        priority: Priority(priority),
    }
}

fn update(state: StateKind, priority: u8, preempt: bool) -> Action {
    Action::UpdateKernel(Sorting {
        state,
        priority: Priority(priority),
        preempt,
    })
}

fn transition(from: StateKind, to: StateKind, reason: Reason) -> Action {
    Action::Transition { from, to, reason }
}

#[test]
fn a_late_record_moves_the_deadline_without_a_decision() {
    let mut engine = engine([parameters(100)]);
    let id = InstanceId(0);
    engine.handle_startup(at(0), id);
    let due = engine.poll_timeout().unwrap();
    drain(&mut engine);

    // The daemon wakes 5 s late; the kernel heard the Active 20 ms ago.
    let now = at(5000);
    assert_eq!(engine.poll_due(now), Some(id));
    engine.handle_advert(now, id, &advert(at(4980), 200));
    engine.handle_timeout(now, id);
    assert_eq!(drain(&mut engine), []);
    assert_eq!(engine.poll_due(now), None);
    let moved = engine.poll_timeout().unwrap();
    assert_eq!(moved, at(4980) + engine.snapshot(id).active_down_interval);
    assert!(moved > due);
    assert_eq!(
        engine.snapshot(id).active,
        Some(Ipv4Addr::new(10, 0, 0, 9).into())
    );
}

#[test]
fn deadlines_of_many_routers_come_in_order_and_once() {
    let mut engine = engine([parameters(1), parameters(254), parameters(100)]);
    for id in engine.ids() {
        engine.handle_startup(at(0), id);
    }
    drain(&mut engine);
    // At 300 to 400 ms each takes over: the greatest priority first.
    let mut order = Vec::new();
    let now = at(400);
    while let Some(id) = engine.poll_due(now) {
        engine.handle_timeout(now, id);
        order.push(id.0);
    }
    assert_eq!(order, [1, 2, 0]);
    assert_eq!(
        engine.poll_timeout(),
        Some(at(500)),
        "the first advertisement after that"
    );
    let taken: Vec<u32> = drain(&mut engine)
        .into_iter()
        .filter(|(_, action)| matches!(action, Action::Transition { .. }))
        .map(|(id, _)| id)
        .collect();
    assert_eq!(taken, order, "actions come in the order of the decisions");
}

#[test]
fn a_look_ahead_finds_those_that_will_be_due() {
    let mut engine = engine([parameters(1), parameters(254), parameters(100)]);
    let mut out = Vec::new();
    engine.due_by(Timestamp::MAX, &mut out);
    assert!(out.is_empty(), "nobody has started");
    for id in engine.ids() {
        engine.handle_startup(at(0), id);
    }
    let ids = |ids: &[InstanceId]| ids.iter().map(|id| id.0).collect::<BTreeSet<_>>();
    engine.due_by(at(300), &mut out);
    assert!(out.is_empty(), "none so early");
    engine.due_by(at(361), &mut out);
    assert_eq!(ids(&out), [1, 2].into());
    // Looked at before its deadline, one of them is not among them any more.
    engine.handle_advert(at(299), InstanceId(1), &advert(at(299), 255));
    engine.due_by(at(400), &mut out);
    assert_eq!(ids(&out), [0, 2].into());
    engine.handle_stop_now(at(300), InstanceId(2));
    engine.due_by(at(400), &mut out);
    assert_eq!(ids(&out), [0].into());
}

#[test]
fn the_current_active_is_ourselves_the_winner_or_nobody() {
    let mut engine = engine([parameters(100)]);
    let id = InstanceId(0);
    engine.handle_startup(at(0), id);
    assert_eq!(engine.snapshot(id).active, None);
    engine.handle_advert(at(10), id, &advert(at(10), 200));
    assert_eq!(
        engine.snapshot(id).active,
        Some(Ipv4Addr::new(10, 0, 0, 9).into())
    );
    engine.handle_advert(at(20), id, &advert(at(20), 50));
    assert_eq!(
        engine.snapshot(id).active,
        Some(Ipv4Addr::new(10, 0, 0, 9).into())
    );
    engine.handle_advert(at(30), id, &advert(at(30), 0));
    assert_eq!(engine.snapshot(id).active, None);
    engine.handle_timeout(at(500), id);
    assert_eq!(
        engine.snapshot(id).active,
        Some(Ipv4Addr::new(10, 0, 0, 1).into())
    );
    engine.handle_advert(at(600), id, &advert(at(600), 200));
    assert_eq!(
        engine.snapshot(id).active,
        Some(Ipv4Addr::new(10, 0, 0, 9).into())
    );
    assert_eq!(engine.snapshot(id).transitions, 3);
}

#[test]
fn a_ring_full_of_losing_advertisements_is_answered_once() {
    let mut engine = engine([parameters(100)]);
    let id = InstanceId(0);
    engine.handle_startup(at(0), id);
    engine.handle_timeout(at(1000), id);
    drain(&mut engine);
    // Stalled from 1000 to 6000 ms; a lower one has advertised all along.
    let now = at(6000);
    for millis in (1010..6000).step_by(10) {
        engine.handle_advert(now, id, &advert(at(millis), 50));
    }
    let answers = |actions: Vec<(u32, Action)>| {
        let sent = |action: &&(u32, Action)| matches!(action.1, Action::SendAdvert { .. });
        actions.iter().filter(sent).count()
    };
    assert_eq!(answers(drain(&mut engine)), 1);
    engine.handle_advert(at(6001), id, &advert(at(6001), 50));
    assert_eq!(
        answers(drain(&mut engine)),
        1,
        "a new one is answered again"
    );
    engine.handle_advert(at(6002), id, &advert(at(5000), 200));
    assert_eq!(
        engine.state(id),
        StateKind::Backup,
        "a greater one counts however old"
    );
}

#[test]
fn a_losing_advertisement_that_is_answered_already_still_has_its_clients_told() {
    let mut engine = engine([parameters(100)]);
    let id = InstanceId(0);
    engine.handle_startup(at(0), id);
    engine.handle_timeout(at(1000), id);
    // Until its rows of announcements are through.
    while let Some(due) = engine.poll_timeout().filter(|due| *due < at(8000)) {
        pass(&mut engine, due);
    }
    drain(&mut engine);
    // It arrives just before the timer's advertisement, and is handled after it.
    let due = engine.poll_timeout().expect("the next advertisement");
    let arrived = due - Duration::from_millis(1);
    engine.handle_timeout(due, id);
    assert_eq!(drain(&mut engine), [(0, send(100))]);
    let last_word = Advert {
        at: arrived,
        ..advert(at(0), 50)
    };
    engine.handle_advert(due + Duration::from_millis(1), id, &last_word);
    assert_eq!(drain(&mut engine), [(0, Action::Announce)]);
    engine.handle_advert(due + Duration::from_millis(2), id, &last_word);
    assert_eq!(drain(&mut engine), [], "once is enough");
}

#[test]
fn a_router_without_a_deadline_is_never_due() {
    let mut engine = engine([parameters(100)]);
    let id = InstanceId(0);
    assert_eq!(engine.poll_timeout(), None);
    engine.handle_startup(at(0), id);
    engine.handle_fault(at(1), id, FaultCause::Interface);
    assert_eq!(engine.poll_due(Timestamp::MAX), None);
    engine.handle_recovery(at(2), id, FaultCause::Interface);
    assert!(engine.poll_timeout().is_some());
    engine.handle_shutdown(at(3), id);
    assert_eq!(engine.poll_timeout(), None);
}

#[test]
fn the_kernel_is_told_before_the_change_is_and_only_of_changes() {
    use StateKind::{Active, Backup, Releasing};

    let delayed = Parameters {
        preempt_delay: Duration::from_secs(1),
        ..parameters(100)
    };
    let mut engine = engine([delayed]);
    let id = InstanceId(0);
    engine.handle_startup(at(0), id);
    assert_eq!(
        drain(&mut engine),
        [
            (0, update(Backup, 100, false)),
            (0, transition(StateKind::Init, Backup, Reason::Startup)),
        ]
    );
    // A lower Active: the bar is lifted at 1010 ms.
    for millis in (10..1010).step_by(100) {
        engine.handle_advert(at(millis), id, &advert(at(millis), 50));
    }
    assert_eq!(drain(&mut engine), []);
    engine.handle_timeout(at(1010), id);
    assert_eq!(drain(&mut engine), [(0, update(Backup, 100, true))]);
    engine.handle_timeout(at(2000), id);
    let allowed = ACTIVE_DOWN;
    let silence = at(2000).since(at(910));
    assert_eq!(
        drain(&mut engine),
        [
            (0, send(100)),
            (0, Action::InstallAddresses),
            (0, update(Active, 100, true)),
            (0, Action::Announce),
            (
                0,
                transition(Backup, Active, Reason::ActiveDown { silence, allowed })
            ),
        ]
    );
    engine.handle_timeout(at(2100), id);
    assert_eq!(
        drain(&mut engine),
        [(0, send(100)), (0, Action::Announce)],
        "nothing has changed"
    );
    engine.handle_shutdown(at(2150), id);
    assert_eq!(
        drain(&mut engine),
        [
            (0, send(0)),
            (0, update(Releasing, 0, true)),
            (0, transition(Active, Releasing, Reason::Shutdown)),
        ]
    );
    assert!(!engine.has_stopped());
    engine.handle_advert(at(2200), id, &advert(at(2200), 50));
    assert!(!engine.has_stopped());
    pass(&mut engine, at(2220));
    assert!(engine.has_stopped());
    assert_eq!(engine.poll_timeout(), None);
}
