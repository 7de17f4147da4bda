//! What work costs: CPU time of a node's daemon and of the kernel threads that
//! receive for it.
//!
//! On veth the receive path runs in the sender's context unless the node's
//! interface has NAPI threads of its own. Where it has, daemon and threads
//! together are what a node spends: XDP moves work from the first to the second.
//! Times are the scheduler's (`/proc/PID/task/TID/schedstat`, nanoseconds); a task
//! that is running right now is behind by a clock tick at most.

use std::{
    collections::BTreeMap,
    fs,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};

/// CPU time by task.
type Times = BTreeMap<u32, Duration>;

/// CPU time of every task of the processes `pids`.
fn times(pids: &[u32]) -> Result<Times> {
    let mut times = Times::new();
    for pid in pids {
        let directory = format!("/proc/{pid}/task");
        let tasks = fs::read_dir(&directory)
            .with_context(|| format!("process {pid}, which is to be measured, has ended"))?;
        for task in tasks {
            let name = task?.file_name().to_string_lossy().into_owned();
            // A task may end between the listing and the look.
            let Ok(text) = fs::read_to_string(format!("{directory}/{name}/schedstat")) else {
                continue;
            };
            // Nanoseconds on a CPU, nanoseconds waiting for one, times on one.
            let nanos = text
                .split_whitespace()
                .next()
                .and_then(|word| word.parse().ok())
                .with_context(|| format!("schedstat of task {name} says {text:?}"))?;
            let id = name
                .parse()
                .with_context(|| format!("{name} is no task id"))?;
            times.insert(id, Duration::from_nanos(nanos));
        }
    }
    Ok(times)
}

/// What has been added; a task that is new has all of its time in it, one that
/// has ended nothing.
fn added(before: &Times, after: &Times) -> Duration {
    after
        .iter()
        .map(|(id, time)| time.saturating_sub(before.get(id).copied().unwrap_or_default()))
        .sum()
}

/// CPU time that a node has spent in a span.
#[derive(Clone, Copy, Debug)]
pub struct Spent {
    /// The span.
    pub lasted: Duration,
    /// CPU time of the daemon: all tasks of all its processes.
    pub daemon: Duration,
    /// CPU time of the NAPI threads of its interfaces.
    pub napi: Duration,
}

impl Spent {
    /// The daemon's, in percent of one CPU.
    #[must_use]
    pub fn daemon_percent(&self) -> f64 {
        100.0 * self.daemon.as_secs_f64() / self.lasted.as_secs_f64()
    }

    /// The NAPI threads', in percent of one CPU.
    #[must_use]
    pub fn napi_percent(&self) -> f64 {
        100.0 * self.napi.as_secs_f64() / self.lasted.as_secs_f64()
    }

    /// Both, in percent of one CPU.
    #[must_use]
    pub fn percent(&self) -> f64 {
        self.daemon_percent() + self.napi_percent()
    }

    /// Both together.
    #[must_use]
    pub fn total(&self) -> Duration {
        self.daemon + self.napi
    }
}

/// A measurement that has begun.
#[derive(Debug)]
pub struct Meter {
    daemon: Vec<u32>,
    napi: Vec<u32>,
    daemon_before: Times,
    napi_before: Times,
    begun: Instant,
}

impl Meter {
    /// Begins to measure the processes `daemon` and the kernel threads `napi`.
    ///
    /// # Errors
    /// If one of them has ended, or there are none.
    pub fn start(daemon: &[u32], napi: &[u32]) -> Result<Self> {
        ensure!(!daemon.is_empty(), "there is no process to measure");
        ensure!(
            !napi.is_empty(),
            "the node has no NAPI thread: its receive path would be charged to the sender"
        );
        Ok(Self {
            daemon: daemon.to_vec(),
            napi: napi.to_vec(),
            daemon_before: times(daemon)?,
            napi_before: times(napi)?,
            begun: Instant::now(),
        })
    }

    /// What they have spent since [`start`](Self::start).
    ///
    /// # Errors
    /// If one of them has ended.
    pub fn read(&self) -> Result<Spent> {
        let daemon = added(&self.daemon_before, &times(&self.daemon)?);
        let napi = added(&self.napi_before, &times(&self.napi)?);
        Ok(Spent {
            lasted: self.begun.elapsed(),
            daemon,
            napi,
        })
    }
}

/// CPU time of the whole machine that was not idle: what [`Meter`] does not see
/// (kernel workers, softirqs in others' context) is in here, as is everybody else.
#[derive(Debug)]
pub struct MachineMeter {
    idle_before: Duration,
    begun: Instant,
    cpus: u32,
}

impl MachineMeter {
    /// Begins to measure.
    ///
    /// # Errors
    /// If `/proc/stat` is not as documented.
    pub fn start() -> Result<Self> {
        let (cpus, idle_before) = idle()?;
        Ok(Self {
            idle_before,
            begun: Instant::now(),
            cpus,
        })
    }

    /// Busy time since [`start`](Self::start), in percent of one CPU: at most 100
    /// for each.
    ///
    /// # Errors
    /// If `/proc/stat` is not as documented.
    pub fn percent(&self) -> Result<f64> {
        let (_, idle) = idle()?;
        let lasted = self.begun.elapsed().as_secs_f64();
        let idle = idle.saturating_sub(self.idle_before).as_secs_f64();
        Ok((100.0 * (f64::from(self.cpus) - idle / lasted)).max(0.0))
    }
}

/// Number of CPUs, and the time that all of them together have idled.
fn idle() -> Result<(u32, Duration)> {
    let text = fs::read_to_string("/proc/stat").context("cannot read /proc/stat")?;
    let (mut cpus, mut ticks) = (0, 0);
    for line in text.lines() {
        let mut words = line.split_whitespace();
        let Some(name) = words.next().and_then(|word| word.strip_prefix("cpu")) else {
            continue;
        };
        // The line without a number is the sum.
        if name.is_empty() {
            continue;
        }
        cpus += 1;
        // user nice system idle iowait …
        ticks += words
            .skip(3)
            .take(2)
            .filter_map(|word| word.parse::<u64>().ok())
            .sum::<u64>();
    }
    ensure!(cpus > 0, "/proc/stat has no line of a CPU");
    let idle = Duration::from_millis(ticks * 1000 / rustix::param::clock_ticks_per_second());
    Ok((cpus, idle))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_busy_thread_is_measured() {
        let own = [std::process::id()];
        let before = times(&own).expect("this process lives");
        let begun = Instant::now();
        let mut spent = Duration::ZERO;
        // On a loaded machine it may take longer to get this much.
        while spent < Duration::from_millis(20) {
            assert!(begun.elapsed() < Duration::from_secs(60), "no time passes");
            spent = added(&before, &times(&own).expect("this process lives"));
        }
    }

    #[test]
    fn a_new_task_counts_whole_and_an_ended_one_not() {
        let times = |rows: &[(u32, u64)]| -> Times {
            rows.iter()
                .map(|(id, nanos)| (*id, Duration::from_nanos(*nanos)))
                .collect()
        };
        let before = times(&[(1, 100), (2, 50)]);
        let after = times(&[(1, 130), (3, 7)]);
        assert_eq!(added(&before, &after), Duration::from_nanos(37));
    }

    #[test]
    fn the_machine_is_between_idle_and_busy() {
        let meter = MachineMeter::start().expect("/proc/stat");
        std::thread::sleep(Duration::from_millis(50));
        let percent = meter.percent().expect("/proc/stat");
        assert!(percent <= f64::from(meter.cpus) * 100.0, "{percent}");
    }
}
