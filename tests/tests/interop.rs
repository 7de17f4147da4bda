//! Harrier and other implementations as the two routers of one virtual router:
//! every form of the protocol that both know, through everything that can
//! happen to two routers. What is found is `docs/interop.md`.
//!
//! `HARRIER_INTEROP` narrows a run to the rows that contain its value.

#[path = "interop/checksum.rs"]
mod checksum;
#[path = "interop/combination.rs"]
mod combination;
#[path = "interop/opponent.rs"]
mod opponent;
#[path = "interop/options.rs"]
mod options;
#[path = "interop/story.rs"]
mod story;
#[path = "interop/table.rs"]
mod table;
#[path = "interop/ttl.rs"]
mod ttl;

use std::{
    collections::VecDeque,
    env,
    fmt::Write as _,
    sync::{Mutex, MutexGuard, PoisonError},
    thread,
};

use anyhow::{Result, ensure};

use self::{combination::Combination, table::Results};

/// Networks at once. They mostly wait for timers; those of version 3 are kept
/// long enough for a machine that is this busy.
const AT_ONCE: usize = 8;

enum Work {
    Story(Combination),
    Checksum(checksum::Case),
    Ttl(ttl::Case),
}

impl Work {
    fn name(&self) -> String {
        match self {
            Self::Story(combination) => combination.to_string(),
            Self::Checksum(case) => case.to_string(),
            Self::Ttl(case) => case.to_string(),
        }
    }

    /// Does it, and adds what was found; says what went wrong.
    fn run(&self, found: &Mutex<Found>) {
        match self {
            Self::Story(combination) => match story::tell(*combination) {
                Ok(told) => {
                    let mut found = lock(found);
                    found.results.add_story(combination, &told);
                    for (event, outcome) in &told {
                        if let Err(error) = outcome {
                            found.complain(self, &format!("{}: {error:#}", event.title()));
                        }
                    }
                }
                Err(error) => lock(found).complain(self, &format!("{error:#}")),
            },
            Self::Checksum(case) => match case.find() {
                Ok(finding) => lock(found).results.add_checksum(case, &finding),
                Err(error) => lock(found).complain(self, &format!("{error:#}")),
            },
            Self::Ttl(case) => match case.find() {
                Ok(finding) => lock(found).results.add_ttl(case, finding),
                Err(error) => lock(found).complain(self, &format!("{error:#}")),
            },
        }
    }
}

#[derive(Default)]
struct Found {
    results: Results,
    /// Why a cell says *no*, and what kept a row from being made.
    complaints: String,
}

impl Found {
    fn complain(&mut self, work: &Work, what: &str) {
        // Writing to a String cannot fail.
        let _ = writeln!(self.complaints, "{}: {what}", work.name());
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[test]
fn the_matrix_is_as_the_table_says() -> Result<()> {
    let only = env::var("HARRIER_INTEROP").unwrap_or_default();
    let queue: VecDeque<Work> = Combination::all()
        .into_iter()
        .map(Work::Story)
        .chain(checksum::Case::all().into_iter().map(Work::Checksum))
        .chain(ttl::Case::all().into_iter().map(Work::Ttl))
        .filter(|work| work.name().contains(&only))
        .collect();
    ensure!(!queue.is_empty(), "no row contains {only:?}");
    let queue = Mutex::new(queue);
    let found = Mutex::new(Found::default());
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let next = lock(&queue).pop_front();
                    let Some(work) = next else { break };
                    work.run(&found);
                }
            });
        }
    });
    let mut found = found.into_inner().unwrap_or_else(PoisonError::into_inner);
    if only.is_empty() {
        found.results.options = options::find()?;
    }
    eprintln!("{}", found.complaints);
    table::settle(found.results, !only.is_empty())
}
