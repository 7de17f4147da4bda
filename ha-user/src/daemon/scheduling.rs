//! How the driver's thread is scheduled, whether memory is locked, and what the host
//! does not permit of that.

use std::{
    io,
    sync::{Mutex, MutexGuard, PoisonError},
};

use rustix::thread::{CpuSet, Pid, gettid, sched_getaffinity, sched_setaffinity};

use crate::{
    control::protocol::{self, cpu_list},
    sys,
};

/// Priority under SCHED_FIFO: above ordinary work, below the kernel's own threads
/// (which default to 50) and watchdogs.
const FIFO_PRIORITY: u8 = 40;

/// See the [module](self).
pub(super) struct Scheduling {
    thread: Pid,
    /// Where the thread may run without a setting of ours.
    inherited: Option<CpuSet>,
    now: Mutex<Now>,
}

/// What holds now.
struct Now {
    fifo: Result<(), String>,
    locked: Result<(), String>,
    cpus: Vec<u16>,
    /// Of `cpu_affinity`.
    problem: Option<String>,
}

impl Scheduling {
    /// Asks for SCHED_FIFO, locked memory and the CPUs `cpus` (any if there are none)
    /// for the calling thread. A host that does not permit that still runs, only less
    /// punctually: the log tells.
    pub(super) fn prepare(cpus: &[u16]) -> Self {
        let locked = sys::lock_memory().map_err(|error| {
            format!(
                "memory is not locked ({error}): a takeover can wait for a disk; it needs \
                 CAP_IPC_LOCK, or LimitMEMLOCK=infinity of the unit"
            )
        });
        let fifo = sys::schedule_fifo(FIFO_PRIORITY.into()).map_err(|error| {
            format!(
                "no real-time scheduling ({error}): load can delay advertisements and takeovers; \
                 it needs CAP_SYS_NICE, or LimitRTPRIO={FIFO_PRIORITY} of the unit"
            )
        });
        let scheduling = Self {
            thread: gettid(),
            inherited: sched_getaffinity(None).ok(),
            now: Mutex::new(Now {
                fifo,
                locked,
                cpus: Vec::new(),
                problem: None,
            }),
        };
        scheduling.set_cpus(cpus);
        {
            let now = scheduling.now();
            let problems = [now.locked.as_ref().err(), now.fifo.as_ref().err()];
            for problem in problems.into_iter().flatten() {
                tracing::warn!("{problem}");
            }
        }
        scheduling
    }

    /// Of a driver that has ended before it told: that of the calling thread.
    pub(super) fn of_nobody() -> Self {
        let ended = || Err("the driver has ended".to_owned());
        Self {
            thread: gettid(),
            inherited: None,
            now: Mutex::new(Now {
                fifo: ended(),
                locked: ended(),
                cpus: Vec::new(),
                problem: None,
            }),
        }
    }

    /// Has the thread run on `cpus` from now on, on those that it was given if there
    /// are none.
    pub(super) fn set_cpus(&self, cpus: &[u16]) {
        let outcome = self.run_on(cpus);
        let allowed = sched_getaffinity(Some(self.thread)).map_or_else(|_| Vec::new(), numbers);
        let missing: Vec<u16> = cpus
            .iter()
            .copied()
            .filter(|cpu| !allowed.contains(cpu))
            .collect();
        let problem = match outcome {
            Err(error) => Some(error.to_string()),
            Ok(()) if missing.is_empty() => None,
            Ok(()) => Some(format!(
                "{} not there, or not for this process",
                cpu_list(&missing)
            )),
        };
        let problem = problem.map(|reason| {
            format!(
                "cpu_affinity asks for {} ({reason}): the driver runs on {}; `lscpu -e` lists \
                 what there is, AllowedCPUs= of the unit may hold some back",
                cpu_list(cpus),
                cpu_list(&allowed)
            )
        });
        if let Some(problem) = &problem {
            tracing::warn!("{problem}");
        }
        let mut now = self.now();
        now.cpus = allowed;
        now.problem = problem;
    }

    fn run_on(&self, cpus: &[u16]) -> io::Result<()> {
        let wanted = if cpus.is_empty() {
            // That is so from the beginning, or could not be told then.
            let Some(inherited) = self.inherited else {
                return Ok(());
            };
            inherited
        } else {
            let mut wanted = CpuSet::new();
            for cpu in cpus {
                wanted.set((*cpu).into());
            }
            wanted
        };
        Ok(sched_setaffinity(Some(self.thread), &wanted)?)
    }

    /// Whether the thread runs in real time.
    pub(super) fn is_realtime(&self) -> bool {
        self.now().fifo.is_ok()
    }

    /// For the control socket.
    pub(super) fn status(&self) -> protocol::Scheduling {
        let now = self.now();
        let realtime = now.fifo.is_ok();
        let problems = [
            now.fifo.as_ref().err(),
            now.locked.as_ref().err(),
            now.problem.as_ref(),
        ];
        protocol::Scheduling {
            policy: if realtime { "fifo" } else { "other" }.to_owned(),
            priority: realtime.then_some(FIFO_PRIORITY),
            memory_locked: now.locked.is_ok(),
            cpus: now.cpus.clone(),
            problems: problems.into_iter().flatten().cloned().collect(),
        }
    }

    fn now(&self) -> MutexGuard<'_, Now> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn numbers(set: CpuSet) -> Vec<u16> {
    let cpus = 0..u16::try_from(CpuSet::MAX_CPU).unwrap_or(u16::MAX);
    cpus.filter(|cpu| set.is_set((*cpu).into())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a thread that asks for `cpus`, and for `later` then, is told.
    fn on_a_thread(cpus: &[u16], later: Option<&[u16]>) -> protocol::Scheduling {
        let prepare = || {
            let scheduling = Scheduling::prepare(cpus);
            if let Some(later) = later {
                scheduling.set_cpus(later);
            }
            scheduling.status()
        };
        std::thread::scope(|scope| scope.spawn(prepare).join().unwrap())
    }

    fn allowed() -> Vec<u16> {
        numbers(sched_getaffinity(None).unwrap())
    }

    #[test]
    fn a_thread_runs_where_it_is_told_to() {
        let all = allowed();
        let last = *all.last().unwrap();
        assert_eq!(on_a_thread(&[last], None).cpus, [last]);
        assert_eq!(on_a_thread(&[last], Some(&all[..1])).cpus, all[..1]);
        assert_eq!(on_a_thread(&[last], Some(&[])).cpus, all);
        assert_eq!(on_a_thread(&[], None).cpus, all);
    }

    #[test]
    fn a_cpu_that_is_not_there_is_told_of() {
        let all = allowed();
        let problems = |status: &protocol::Scheduling| status.problems.join("\n");
        let none = on_a_thread(&[1023], None);
        assert_eq!(none.cpus, all);
        assert!(
            problems(&none).contains("cpu_affinity asks for CPU 1023 (Invalid"),
            "{none:?}"
        );
        let some = on_a_thread(&[all[0], 1023], None);
        assert_eq!(some.cpus, all[..1]);
        assert!(problems(&some).contains("(CPU 1023 not there"), "{some:?}");
        let mended = on_a_thread(&[1023], Some(&all));
        assert!(!problems(&mended).contains("cpu_affinity"), "{mended:?}");
    }
}
