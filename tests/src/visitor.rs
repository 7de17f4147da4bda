//! A client that asks a service by HTTP, a new connection each time, and notes
//! who answered: what a user of the address sees, down to the service.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use ha_common::time::Timestamp;

use crate::{clock, http, lab::Host};

/// Span between two requests.
pub const PERIOD: Duration = Duration::from_millis(40);

/// How long a request may take.
pub const TIMEOUT: Duration = Duration::from_millis(300);

/// Who asks in turn, so that a request that hangs does not hold up the next.
const WORKERS: u32 = 8;

/// Span between two looks at what came.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// One request.
#[derive(Clone, Debug)]
pub struct Visit {
    /// When it was begun.
    pub begun: Timestamp,
    /// When it was over.
    pub ended: Timestamp,
    /// First line of the body of a good answer: who gave it.
    pub by: Option<String>,
}

/// The running client.
#[derive(Debug)]
pub struct Visitor {
    visits: Arc<Mutex<Vec<Visit>>>,
    target: SocketAddr,
    stop: Arc<AtomicBool>,
    workers: Vec<JoinHandle<()>>,
}

/// What a visitor saw from some point on.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Outage {
    /// Every request was answered.
    None,
    /// The longest span without an answer around a request that failed.
    Of(Duration),
}

impl Visitor {
    /// Starts asking `target` from `client`, once per [`PERIOD`].
    ///
    /// # Errors
    /// If a thread cannot be started or cannot enter the namespace.
    pub fn start(client: &Host, target: SocketAddr) -> Result<Self> {
        let visits = Arc::new(Mutex::new(Vec::new()));
        let stop = Arc::new(AtomicBool::new(false));
        let begin = Instant::now();
        let workers = (0..WORKERS)
            .map(|number| {
                let (visits, stop) = (Arc::clone(&visits), Arc::clone(&stop));
                let netns = client.netns.clone();
                thread::Builder::new()
                    .name("visitor".to_owned())
                    .spawn(move || {
                        if let Err(error) = netns.enter_this_thread() {
                            eprintln!("visitor: {error:#}");
                            return;
                        }
                        let mut due = begin + number * PERIOD;
                        while !stop.load(Ordering::SeqCst) {
                            thread::sleep(due.saturating_duration_since(Instant::now()));
                            let visit = visit(target);
                            lock(&visits).push(visit);
                            // On a busy machine some are left out, not made up for.
                            while due <= Instant::now() {
                                due += WORKERS * PERIOD;
                            }
                        }
                    })
                    .context("cannot start a thread")
            })
            .collect::<Result<_>>()?;
        Ok(Self {
            visits,
            target,
            stop,
            workers,
        })
    }

    /// Now: a mark for [`await_served`](Self::await_served) and
    /// [`outage`](Self::outage).
    #[must_use]
    pub fn mark(&self) -> Timestamp {
        clock::now()
    }

    /// Waits until `count` requests begun after `mark` were answered by `host`.
    ///
    /// # Errors
    /// If it takes longer than `timeout`.
    pub fn await_served(
        &self,
        host: &Host,
        mark: Timestamp,
        count: usize,
        timeout: Duration,
    ) -> Result<()> {
        let give_up_at = Instant::now() + timeout;
        loop {
            let served = lock(&self.visits)
                .iter()
                .filter(|visit| visit.begun > mark && visit.by.as_deref() == Some(&*host.name))
                .count();
            if served >= count {
                return Ok(());
            }
            if Instant::now() > give_up_at {
                bail!(
                    "{} served {served} requests to {} within {timeout:?}, not {count}; the latest: {:?}",
                    host.name,
                    self.target,
                    lock(&self.visits).iter().rev().take(3).collect::<Vec<_>>()
                );
            }
            thread::sleep(LOOK_EVERY);
        }
    }

    /// Waits until `count` requests begun from now on were answered by `host`.
    ///
    /// # Errors
    /// If it takes longer than `timeout`.
    pub fn await_steady(&self, host: &Host, count: usize, timeout: Duration) -> Result<()> {
        self.await_served(host, self.mark(), count, timeout)
    }

    /// What the client missed since `mark`. Call it once requests are answered
    /// again.
    #[must_use]
    pub fn outage(&self, mark: Timestamp) -> Outage {
        let mut visits = lock(&self.visits).clone();
        // By their begin: one that hangs ends after others that were answered.
        visits.sort_by_key(|visit| visit.begun);
        let mut last: Option<Timestamp> = None;
        let mut failed = false;
        let mut longest = Duration::ZERO;
        for visit in &visits {
            if visit.by.is_none() {
                // Those that ended before are an earlier event's.
                failed |= visit.ended > mark;
                continue;
            }
            if let (true, Some(last)) = (failed, last) {
                longest = longest.max(visit.ended.since(last));
            }
            failed = false;
            last = Some(visit.ended);
        }
        if longest.is_zero() {
            Outage::None
        } else {
            Outage::Of(longest)
        }
    }
}

impl Drop for Visitor {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        for worker in self.workers.drain(..) {
            let _ = worker.join();
        }
    }
}

fn lock(visits: &Mutex<Vec<Visit>>) -> MutexGuard<'_, Vec<Visit>> {
    visits.lock().unwrap_or_else(PoisonError::into_inner)
}

fn visit(target: SocketAddr) -> Visit {
    let begun = clock::now();
    let by = http::get(target, "/", TIMEOUT)
        .ok()
        .and_then(|body| Some(body.lines().next()?.to_owned()));
    Visit {
        begun,
        ended: clock::now(),
        by,
    }
}
