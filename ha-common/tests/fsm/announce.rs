//! What an Active router says, and when: the schedule of its announcements, its
//! priority when that changes, and how it goes on after a pause.

use std::time::Duration;

use ha_common::{
    fsm::{Action, AnnounceSchedule, Parameters, StateKind, router::ANNOUNCE_GAP},
    types::Priority,
};

use crate::{Bench, INTERVAL, advert, at, parameters, send};

/// Milliseconds after the takeover (at 1000 ms) of the announcements until 30 s.
fn announced(schedule: AnnounceSchedule) -> Vec<u128> {
    let mut bench = Bench::active(Parameters {
        announce: schedule,
        ..parameters()
    });
    let mut announced = Vec::new();
    while let Some(now) = bench.due().filter(|due| *due < at(31_000)) {
        if bench.timeout(now).contains(&Action::Announce) {
            announced.push(now.since(at(1000)).as_millis());
        }
    }
    announced
}

#[test]
fn active_repeats_its_announcement_on_schedule_then_stops() {
    assert_eq!(
        announced(AnnounceSchedule::default()),
        [100, 200, 5000, 5100, 5200]
    );
    assert_eq!(
        announced(AnnounceSchedule {
            count: 2,
            interval: Duration::from_millis(500),
            delay: Duration::ZERO,
            refresh: Duration::from_secs(10),
        }),
        [500, 10_500, 20_500]
    );
}

#[test]
fn active_tells_a_new_priority_at_once_and_keeps_its_timer() {
    let mut bench = Bench::active(parameters());
    assert_eq!(bench.priority(at(1030), 60), [send(60)]);
    assert_eq!(bench.as_active().advert_at, at(1100));
    assert_eq!(bench.sorting(), (StateKind::Active, 60, true));
    assert_eq!(bench.priority(at(1040), 60), [], "the same again");
    assert_eq!(bench.priority(at(1040), 0), [], "0 is no priority");
    assert_eq!(bench.timeout(at(1100)), [send(60), Action::Announce]);
    bench.hear(at(1150), advert(at(1150), 61, 9));
    assert_eq!(bench.kind(), StateKind::Backup, "it is outranked by it");
}

#[test]
fn active_answers_a_strangers_claim_with_an_announcement_but_not_with_a_stream() {
    let mut bench = Bench::active(parameters());
    let claim =
        |bench: &mut Bench, millis| bench.run(|router, out| router.handle_claim(at(millis), out));
    assert_eq!(claim(&mut bench, 1050), [], "the takeover's was just now");
    let next_at = bench.as_active().announcing.next_at;
    assert_eq!(next_at, Some(at(1000) + ANNOUNCE_GAP));
    bench.timeout(at(1100));
    assert_eq!(claim(&mut bench, 1200), [Action::Announce]);
    for millis in 1201..1300 {
        assert_eq!(claim(&mut bench, millis), []);
    }
    assert_eq!(claim(&mut bench, 1300), [Action::Announce]);

    let mut bench = Bench::backup(parameters());
    assert_eq!(claim(&mut bench, 100), [], "it is the Active router's");
}

#[test]
fn active_that_was_given_up_takes_its_place_anew() {
    let mut bench = Bench::active(parameters());
    bench.timeout(at(1100));
    // Last advertisement at 1100; 3 intervals later the others may have acted.
    let silence = Duration::from_millis(300);
    assert_eq!(
        bench.timeout(at(1400)),
        [send(100), Action::Announce, Action::Resumed { silence }]
    );
    assert_eq!(bench.as_active().advert_at, at(1400) + INTERVAL);
    let next_at = bench.as_active().announcing.next_at;
    assert_eq!(next_at, Some(at(1500)), "the schedule begins anew");
    // Just less is no pause.
    let mut bench = Bench::active(parameters());
    bench.timeout(at(1100));
    let actions = bench.timeout(at(1400) - Duration::from_nanos(1));
    assert!(
        !actions
            .iter()
            .any(|action| matches!(action, Action::Resumed { .. }))
    );
}

#[test]
fn active_that_was_given_up_resumes_at_the_first_event_too() {
    let silence = Duration::from_secs(5);
    for priority in [50, 0] {
        let mut bench = Bench::active(parameters());
        assert_eq!(
            bench.hear(at(6000), advert(at(5990), priority, 9)),
            [send(100), Action::Announce, Action::Resumed { silence }]
        );
        assert_eq!(bench.as_active().advert_at, at(6000) + INTERVAL);
        assert_eq!(bench.timeout(at(6000)), [], "it has spoken");
    }
    let mut bench = Bench::active(parameters());
    assert_eq!(
        bench.priority(at(6000), 120),
        [send(120), Action::Announce, Action::Resumed { silence }]
    );
    // One that was outranked meanwhile has lost its place.
    let mut bench = Bench::active(parameters());
    let actions = bench.hear(at(6000), advert(at(5990), 200, 9));
    assert!(!actions.contains(&Action::Announce), "{actions:?}");
    assert_eq!(bench.kind(), StateKind::Backup);
}

#[test]
fn an_owner_in_a_group_waits_for_it() {
    let owner = Parameters {
        priority: Priority::OWNER,
        ..parameters()
    };
    let mut bench = Bench {
        router: ha_common::fsm::VirtualRouter::in_group(owner),
    };
    bench.startup(at(0));
    assert_eq!(bench.kind(), StateKind::Backup);
    assert_eq!(bench.due(), Some(at(0)), "but is ready at once");
    bench.run(|router, out| router.handle_upkeep(at(10), out));
    assert_eq!(bench.kind(), StateKind::Backup);
    bench.timeout(at(10));
    assert_eq!(bench.kind(), StateKind::Active);
}
