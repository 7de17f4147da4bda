//! Health checks: one task each on the tokio side, which tells the driver when its
//! verdict changes, and nothing else.
//!
//! A check is asked in rounds (`probe`); `rise` and `fall` make a verdict of them
//! (`verdict`); what status shows of it is on a [`Board`]. Checks of interfaces
//! have no task: the keeper watches those, as tracked interfaces.

mod board;
mod probe;
mod round;
#[cfg(test)]
mod tests;
mod verdict;

use std::{collections::HashMap, sync::Arc, time::Duration};

use ha_common::fsm::TrackerId;
use tokio::{sync::Semaphore, task::JoinHandle, time::Instant};

pub use self::board::{Board, Row, State};
use self::{
    board::Shared,
    probe::Probe,
    round::{Rounds, Schedule},
};
use crate::{
    config::{CheckConfig, CheckKind, Config},
    driver::{self, Command},
    engine::Reading,
    script,
};

/// So many commands of checks run at once; further ones wait for their turn.
const COMMANDS_AT_ONCE: usize = 64;

/// Between the first rounds of two checks, at most.
const FIRST_ROUNDS_APART: Duration = Duration::from_millis(5);

/// Rounds that would be less than this apart come a few together: waking up costs
/// more than most rounds.
const DENSE: Duration = Duration::from_millis(5);

/// So many of them.
const TOGETHER: u32 = 4;

/// All health checks of a daemon. Dropping it ends them, and kills what they run.
#[derive(Debug)]
pub struct Checks {
    running: Vec<Running>,
    board: Arc<Board>,
    driver: driver::Handle,
    commands: Arc<Semaphore>,
    defaults: script::Defaults,
}

#[derive(Debug)]
struct Running {
    config: CheckConfig,
    shared: Arc<Shared>,
    /// None for an interface.
    task: Option<JoinHandle<()>>,
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

/// What is known of `check` before its first round.
#[must_use]
pub fn first_reading(check: &CheckConfig) -> Reading {
    if check.init_fail {
        Reading::Down
    } else {
        Reading::Pending
    }
}

impl Checks {
    /// Starts the checks of `config`, which the driver knows by `ids`, in the same
    /// order. It has to know their [first readings](first_reading) already.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    #[must_use]
    pub fn start(config: &Config, ids: &[TrackerId], driver: driver::Handle) -> Self {
        let mut checks = Self {
            running: Vec::new(),
            board: Arc::default(),
            driver,
            commands: Arc::new(Semaphore::new(COMMANDS_AT_ONCE)),
            defaults: config.into(),
        };
        checks.take_up(config, ids);
        checks
    }

    /// What status shows.
    #[must_use]
    pub fn board(&self) -> Arc<Board> {
        Arc::clone(&self.board)
    }

    /// Goes over to the checks of `config`. One whose settings are the same goes on
    /// as if nothing had happened; of one with other settings the verdict stays until
    /// its first new round. The driver is told of the first readings of new ones: call
    /// it before the driver hears of instances that track them.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn reload(&mut self, config: &Config, ids: &[TrackerId]) {
        let asked = |check: &CheckConfig| !matches!(check.kind, CheckKind::Interface(_));
        let known = |name: &str| {
            let mut running = self.running.iter();
            running.any(|it| it.config.name == name && asked(&it.config))
        };
        for (check, id) in config.checks.iter().zip(ids) {
            if asked(check) && !known(&check.name) {
                // If the driver has ended there is nobody to tell.
                let _ = self
                    .driver
                    .send(Command::Tracker(*id, first_reading(check)));
            }
        }
        self.take_up(config, ids);
    }

    fn take_up(&mut self, config: &Config, ids: &[TrackerId]) {
        let defaults: script::Defaults = config.into();
        let same_defaults = defaults == self.defaults;
        self.defaults = defaults;
        let mut before: HashMap<String, Running> = self
            .running
            .drain(..)
            .map(|running| (running.config.name.clone(), running))
            .collect();
        let schedules = schedules(&config.checks);
        for ((check, id), schedule) in config.checks.iter().zip(ids).zip(schedules) {
            let before = before.remove(&check.name);
            let stays = before.as_ref().is_some_and(|it| {
                it.config == *check && (same_defaults || !matches!(check.kind, CheckKind::Exec(_)))
            });
            let running = match before {
                Some(before) if stays => before,
                before => self.begin(check, *id, schedule, before.as_ref()),
            };
            self.running.push(running);
        }
        self.board
            .replace(self.running.iter().map(|it| Arc::clone(&it.shared)));
    }

    /// Starts `check`, with what is known of it from `before`.
    fn begin(
        &self,
        check: &CheckConfig,
        id: TrackerId,
        schedule: Schedule,
        before: Option<&Running>,
    ) -> Running {
        let was_watched = |it: &&Running| !matches!(it.config.kind, CheckKind::Interface(_));
        let shared = match before.filter(was_watched) {
            Some(before) => before.shared.carried_over(check),
            None => Shared::new(check, id),
        };
        let shared = Arc::new(shared);
        let probe = Probe::new(check, &self.defaults, &self.commands);
        let task = probe.map(|probe| {
            let rounds = Rounds::new(check, probe, Arc::clone(&shared), self.driver.clone());
            tokio::spawn(rounds.run(schedule))
        });
        Running {
            config: check.clone(),
            shared,
            task,
        }
    }
}

/// When the rounds of `checks` are due, so that those of one interval are spread
/// over it, a few together if there are many. First rounds come at once, one shortly after the other.
fn schedules(checks: &[CheckConfig]) -> Vec<Schedule> {
    let now = Instant::now();
    let mut sizes: HashMap<Duration, u32> = HashMap::new();
    for check in checks {
        *sizes.entry(check.interval).or_default() += 1;
    }
    let mut ranks: HashMap<Duration, u32> = HashMap::new();
    checks
        .iter()
        .map(|check| {
            let interval = check.interval;
            let (size, rank) = (sizes[&interval], ranks.entry(interval).or_default());
            let apart = (interval / size).min(FIRST_ROUNDS_APART);
            let first = now + apart * *rank;
            let together = if interval / size < DENSE { TOGETHER } else { 1 };
            // At least half an interval after the first one.
            let slot = *rank / together * together;
            let second = now + interval * 3 / 2 + interval * slot / size;
            *rank += 1;
            Schedule {
                first,
                second,
                interval,
            }
        })
        .collect()
}
