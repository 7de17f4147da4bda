//! Threads that take CPU time away: from a node's daemon, with nothing else about
//! it changed. They end with their guard.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use rustix::thread::{CpuSet, sched_setaffinity};

/// Has the calling thread run on `cpu` only.
///
/// # Errors
/// If there is no such CPU.
pub fn pin_this_thread(cpu: usize) -> Result<()> {
    let mut cpus = CpuSet::new();
    cpus.set(cpu);
    sched_setaffinity(None, &cpus).with_context(|| format!("cannot run on CPU {cpu}"))
}

/// Gives the calling thread the real-time class `SCHED_FIFO` with `priority`,
/// 1 to 99. Threads that it starts do not inherit it.
///
/// # Errors
/// If it may not have it.
pub fn become_real_time(priority: u8) -> io::Result<()> {
    let parameter = libc::sched_param {
        sched_priority: priority.into(),
    };
    let policy = libc::SCHED_FIFO | libc::SCHED_RESET_ON_FORK;
    // SAFETY: a live structure; 0 is the calling thread.
    let code = unsafe { libc::sched_setscheduler(0, policy, &raw const parameter) };
    if code < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// What uses up a CPU.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Appetite {
    /// So many threads of the default class that never rest.
    Busy {
        /// How many.
        threads: usize,
    },
    /// One thread of `SCHED_FIFO` that works for a part of each period.
    RealTime {
        /// Its priority, 1 to 99.
        priority: u8,
        /// How long it works in each period.
        busy: Duration,
        /// The period.
        period: Duration,
    },
}

/// Threads that eat, until this is dropped.
#[derive(Debug)]
pub struct Hog {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Hog {
    /// Sets them to work on `cpu`. Returns when all of them do.
    ///
    /// # Errors
    /// If a thread cannot be had, or may not be as it is to be.
    pub fn start(cpu: usize, appetite: Appetite) -> Result<Self> {
        let threads = match appetite {
            Appetite::Busy { threads } => threads,
            Appetite::RealTime { .. } => 1,
        };
        let mut hog = Self {
            stop: Arc::new(AtomicBool::new(false)),
            threads: Vec::new(),
        };
        let (ready, told) = std::sync::mpsc::channel();
        for _ in 0..threads {
            let stop = Arc::clone(&hog.stop);
            let ready = ready.clone();
            let work = move || {
                let prepared = prepare(cpu, appetite);
                let able = prepared.is_ok();
                // Nobody listens any more only if another thread has failed.
                let _ = ready.send(prepared);
                if able {
                    eat(appetite, &stop);
                }
            };
            let thread = thread::Builder::new()
                .name("hog".to_owned())
                .spawn(work)
                .context("cannot start a thread")?;
            hog.threads.push(thread);
        }
        for _ in 0..threads {
            told.recv().context("a hog has died")??;
        }
        Ok(hog)
    }
}

fn prepare(cpu: usize, appetite: Appetite) -> Result<()> {
    pin_this_thread(cpu)?;
    match appetite {
        Appetite::Busy { .. } => Ok(()),
        Appetite::RealTime { priority, .. } => {
            become_real_time(priority).context("cannot have SCHED_FIFO: this needs CAP_SYS_NICE")
        }
    }
}

fn eat(appetite: Appetite, stop: &AtomicBool) {
    let stopped = || stop.load(Ordering::Relaxed);
    match appetite {
        Appetite::Busy { .. } => {
            while !stopped() {
                std::hint::spin_loop();
            }
        }
        Appetite::RealTime { busy, period, .. } => {
            let mut next = Instant::now();
            while !stopped() {
                while next.elapsed() < busy && !stopped() {
                    std::hint::spin_loop();
                }
                next += period;
                // The rest of the period is everybody else's.
                thread::sleep(next.saturating_duration_since(Instant::now()));
            }
        }
    }
}

impl Drop for Hog {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}
