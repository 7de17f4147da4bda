//! Virtual routers on one virtual clock: the real engine on every node, the
//! driver's order and the kernel program's sorting as models, a network and
//! nodes that fail in every way. All of it follows from a seed.
//!
//! The invariants are in `sim/check.rs` (between routers) and `sim/watch.rs`
//! (each by itself). A seed that breaks one is run again with ever fewer faults
//! while it still does, and printed with the command that replays it.
//!
//! `HARRIER_SIM_SEEDS` and `HARRIER_SIM_START` choose other seeds than those of
//! the fixed budget: `cargo xtask sim --seeds N --seed-start S` sets them. With
//! `HARRIER_SIM_BRIEF=1` a seed that fails is named and not run again
//! (`cargo xtask mutants`).

#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "spans of a run and numbers of nodes are small"
)]

#[path = "sim/check.rs"]
mod check;
#[path = "sim/clock.rs"]
mod clock;
#[path = "sim/daemon.rs"]
mod daemon;
#[path = "sim/faults.rs"]
mod faults;
#[path = "sim/frame.rs"]
mod frame;
#[path = "sim/kernel.rs"]
mod kernel;
#[path = "sim/network.rs"]
mod network;
#[path = "sim/pace.rs"]
mod pace;
#[path = "sim/paths.rs"]
mod paths;
#[path = "sim/rng.rs"]
mod rng;
#[path = "sim/scenario.rs"]
mod scenario;
#[path = "sim/watch.rs"]
mod watch;
#[path = "sim/world.rs"]
mod world;

use std::{
    env,
    fmt::Write as _,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::Instant,
};

use scenario::Scenario;

/// Seeds of the fixed budget: more than a year together.
const SEEDS: u64 = 80_000;
/// Nanoseconds of a simulated year.
const YEAR: u64 = 365 * 86_400 * 1_000_000_000;
const THREADS: usize = 2;

fn number(name: &str, default: u64) -> u64 {
    env::var(name).map_or(default, |text| {
        text.parse()
            .unwrap_or_else(|error| panic!("{name}={text}: {error}"))
    })
}

#[test]
fn seeds_hold_every_invariant() {
    let start = number("HARRIER_SIM_START", 0);
    let seeds = number("HARRIER_SIM_SEEDS", SEEDS);
    let (next, simulated, takeovers) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
    let failed = AtomicBool::new(false);
    let lowest = AtomicU64::new(u64::MAX);
    let begun = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                while !failed.load(Ordering::Relaxed) {
                    let place = next.fetch_add(1, Ordering::Relaxed);
                    if place >= seeds {
                        return;
                    }
                    let seed = start + place;
                    let outcome = world::run(&Scenario::new(seed), false);
                    simulated.fetch_add(outcome.at, Ordering::Relaxed);
                    takeovers.fetch_add(outcome.takeovers, Ordering::Relaxed);
                    if outcome.violation.is_some() {
                        lowest.fetch_min(seed, Ordering::Relaxed);
                        failed.store(true, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    let lowest = lowest.into_inner();
    assert!(lowest == u64::MAX, "{}", report(lowest));
    let (seconds, simulated) = (begun.elapsed().as_secs_f64(), simulated.into_inner());
    println!(
        "sim: {seeds} seeds from {start} in {seconds:.1} s ({:.0} seeds/s), {:.2} simulated years, \
         {} takeovers",
        seeds as f64 / seconds,
        simulated as f64 / YEAR as f64,
        takeovers.into_inner(),
    );
    if seeds == SEEDS {
        assert!(simulated >= YEAR, "the budget is less than a year");
    }
}

/// A failing seed, and the least that still fails in the same way.
fn report(seed: u64) -> String {
    let mut scenario = Scenario::new(seed);
    let invariant = |scenario: &Scenario| {
        let violation = world::run(scenario, false).violation;
        violation.map(|violation| violation.invariant)
    };
    let Some(first) = invariant(&scenario) else {
        return String::new();
    };
    if number("HARRIER_SIM_BRIEF", 0) == 1 {
        return format!("seed {seed} breaks \"{first}\"\n");
    }
    while let Some(less) = scenario
        .simpler()
        .into_iter()
        .find(|less| invariant(less) == Some(first))
    {
        scenario = less;
    }
    let mut text = format!("seed {seed} breaks \"{first}\"\n\nas little as still fails:\n");
    let outcome = world::run(&scenario, true);
    let _ = writeln!(text, "{scenario:#?}\n\nhow it ends:");
    for line in &outcome.trace {
        let _ = writeln!(text, "{line}");
    }
    if let Some(violation) = &outcome.violation {
        let _ = writeln!(text, "{first}: {}", violation.text);
    }
    let _ = writeln!(
        text,
        "\nreplay: cargo xtask sim --seeds 1 --seed-start {seed}"
    );
    text
}

#[test]
fn a_seed_means_the_same_run_every_time() {
    for seed in 0..50 {
        let scenario = Scenario::new(seed);
        let (one, other) = (world::run(&scenario, false), world::run(&scenario, true));
        assert_eq!(one.digest, other.digest, "seed {seed}");
    }
    let (one, other) = (Scenario::new(1), Scenario::new(2));
    assert_ne!(
        world::run(&one, false).digest,
        world::run(&other, false).digest
    );
}
