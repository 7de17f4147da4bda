//! Five published guides, run: what they configure, with the services, the
//! scripts and the failures that they tell of, by keepalived and by Harrier.
//! The files are those of `examples/`, as they are. What is found is
//! `docs/guides.md`.
//!
//! `HARRIER_GUIDES` narrows a run to the stories that contain its value, for
//! example `handbook` or `keepalived`.

#[path = "guides/active_active.rs"]
mod active_active;
#[path = "guides/elastic_ip.rs"]
mod elastic_ip;
#[path = "guides/floating_ip.rs"]
mod floating_ip;
#[path = "guides/handbook.rs"]
mod handbook;
#[path = "guides/on_premises.rs"]
mod on_premises;
#[path = "guides/router.rs"]
mod router;
#[path = "guides/stage.rs"]
mod stage;
#[path = "guides/story.rs"]
mod story;
#[path = "guides/table.rs"]
mod table;

use std::{
    collections::VecDeque,
    env,
    sync::{Mutex, MutexGuard, PoisonError},
    thread,
    time::Instant,
};

use anyhow::{Result, ensure};

use self::{
    router::Peer,
    story::{Guide, Told},
    table::Results,
};

/// Networks at once. They wait for timers nearly all of the time.
const AT_ONCE: usize = 24;

/// The guides, in the order of the table.
const GUIDES: [&Guide; 9] = [
    &on_premises::GUIDE,
    &on_premises::TWO_INSTANCES,
    &elastic_ip::GUIDE,
    &handbook::GUIDE,
    &handbook::NO_PREEMPTION,
    &handbook::AS_PUBLISHED,
    &active_active::GUIDE,
    &floating_ip::GUIDE,
    &floating_ip::AS_PUBLISHED,
];

#[derive(Default)]
struct Found {
    results: Results,
    /// What was not as a guide says.
    complaints: Vec<String>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[test]
fn the_guides_do_what_they_say() -> Result<()> {
    let only = env::var("HARRIER_GUIDES").unwrap_or_default();
    let queue: VecDeque<(&Guide, Peer)> = GUIDES
        .iter()
        .flat_map(|guide| guide.peers.iter().map(move |peer| (*guide, *peer)))
        .filter(|(guide, peer)| format!("{} {peer}", guide.title).contains(&only))
        .collect();
    ensure!(!queue.is_empty(), "no story contains {only:?}");
    let queue = Mutex::new(queue);
    let found = Mutex::new(Found::default());
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let next = lock(&queue).pop_front();
                    let Some((guide, peer)) = next else { break };
                    let begun = Instant::now();
                    let mut told = Told::default();
                    let outcome = (guide.tell)(peer, &mut told);
                    eprintln!(
                        "{}, {peer}: {:.0} s",
                        guide.title,
                        begun.elapsed().as_secs_f64()
                    );
                    let mut found = lock(&found);
                    if let Err(error) = outcome {
                        found.complaints.push(format!(
                            "{}, {peer}, after {:?}: {error:#}",
                            guide.title,
                            told.last()
                        ));
                    }
                    // Of Harrier's own configuration the guide's times are the limit; with
                    // the guide's own the checks' intervals say how long it takes.
                    if peer == Peer::HarrierToml {
                        for slower in told.slower_than_claimed(guide) {
                            found.complaints.push(format!(
                                "{}, {peer}: longer than claimed: {slower}",
                                guide.title
                            ));
                        }
                    }
                    found.results.add(guide, peer, told);
                }
            });
        }
    });
    let found = found.into_inner().unwrap_or_else(PoisonError::into_inner);
    eprintln!("{}", table::rows_of(&GUIDES, &found.results));
    ensure!(
        found.complaints.is_empty(),
        "not as the guides say:\n{}",
        found.complaints.join("\n")
    );
    table::settle(&GUIDES, &found.results, !only.is_empty())
}
