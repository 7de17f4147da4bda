//! Advertisements on a grid of the clock: never later than without one.

use std::time::Duration;

use ha_common::{
    fsm::{Action, Parameters},
    time::Timestamp,
};

use crate::{Bench, INTERVAL, advert, at, parameters, send};

/// 30 ms after each multiple of 100 ms; [`at`] counts from such a multiple.
fn phased() -> Parameters {
    with_phase(Some(30))
}

fn with_phase(millis: Option<u64>) -> Parameters {
    Parameters {
        phase: millis.map(Duration::from_millis),
        ..parameters()
    }
}

fn reconfigure(bench: &mut Bench, now: Timestamp, parameters: Parameters) -> Vec<Action> {
    bench.run(|router, out| router.handle_parameters(now, parameters, out))
}

/// When it advertises from here on, by its deadlines, up to `until`.
fn advertised(bench: &mut Bench, until: Timestamp) -> Vec<Timestamp> {
    let mut times = Vec::new();
    while let Some(due) = bench.due().filter(|due| *due <= until) {
        if bench.timeout(due).contains(&send(100)) {
            times.push(due);
        }
    }
    times
}

#[test]
fn one_that_becomes_active_comes_onto_its_grid_with_its_next_advertisement() {
    let mut bench = Bench::active(phased());
    assert_eq!(
        advertised(&mut bench, at(1299)),
        [at(1030), at(1130), at(1230)]
    );
    // On the grid already, to the nanosecond.
    let mut bench = Bench::backup(phased());
    bench.timeout(at(1030));
    assert_eq!(bench.as_active().advert_at, at(1130));
}

#[test]
fn lateness_does_not_move_the_grid() {
    let mut bench = Bench::active(phased());
    bench.timeout(at(1032));
    assert_eq!(bench.as_active().advert_at, at(1130));
    // Two are missed and not made up for.
    bench.timeout(at(1260));
    assert_eq!(bench.as_active().advert_at, at(1330));
}

#[test]
fn whoever_was_given_up_goes_on_at_the_next_time_of_the_grid() {
    let resumes = |actions: &[Action]| matches!(actions.last(), Some(Action::Resumed { .. }));
    let mut bench = Bench::active(phased());
    let actions = bench.timeout(at(6010));
    assert!(resumes(&actions), "{actions:?}");
    assert_eq!(bench.as_active().advert_at, at(6030));

    // By an advertisement out of turn, the deadline being past.
    let mut bench = Bench::active(phased());
    let actions = bench.priority(at(6010), 120);
    assert!(resumes(&actions), "{actions:?}");
    assert_eq!(bench.as_active().advert_at, at(6030));
}

#[test]
fn a_release_starts_the_timer_anew_and_no_later_than_without_a_grid() {
    let mut bench = Bench::active(phased());
    bench.hear(at(1035), advert(at(1035), 0, 9));
    assert_eq!(bench.as_active().advert_at, at(1130));
    bench.hear(at(1125), advert(at(1125), 0, 9));
    assert_eq!(
        bench.as_active().advert_at,
        at(1130),
        "at(1225) is no time of the grid"
    );
}

#[test]
fn what_is_sent_out_of_turn_leaves_the_timer() {
    let mut bench = Bench::active(phased());
    assert_eq!(bench.priority(at(1010), 120), [send(120)]);
    bench.hear(at(1020), advert(at(1020), 50, 9));
    assert_eq!(bench.as_active().advert_at, at(1030));
}

#[test]
fn another_phase_comes_with_the_advertisement_after_the_next() {
    let mut bench = Bench::active(phased());
    bench.timeout(at(1030));
    assert_eq!(reconfigure(&mut bench, at(1040), with_phase(Some(50))), []);
    assert_eq!(
        advertised(&mut bench, at(1299)),
        [at(1130), at(1150), at(1250)],
        "the deadline stands, and no gap is longer than the interval"
    );
    // To a grid from none, and back.
    let mut bench = Bench::active(parameters());
    assert_eq!(reconfigure(&mut bench, at(1010), phased()), []);
    assert_eq!(
        advertised(&mut bench, at(1299)),
        [at(1100), at(1130), at(1230)]
    );
    assert_eq!(reconfigure(&mut bench, at(1240), parameters()), []);
    assert_eq!(advertised(&mut bench, at(1499)), [at(1330), at(1430)]);
}

#[test]
fn another_interval_has_its_own_grid() {
    let mut bench = Bench::active(phased());
    let slower = Parameters {
        advertisement_interval: 10 * INTERVAL,
        ..phased()
    };
    assert_eq!(reconfigure(&mut bench, at(1050), slower), [send(100)]);
    assert_eq!(bench.as_active().advert_at, at(2030));
}

#[test]
fn two_that_become_active_at_different_times_advertise_together() {
    let (mut one, mut other) = (Bench::backup(phased()), Bench::backup(phased()));
    one.timeout(at(1001));
    other.timeout(at(1097));
    assert_eq!(
        one.as_active().advert_at + INTERVAL,
        other.as_active().advert_at
    );
}
