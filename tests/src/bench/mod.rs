//! The benchmark: contestants on the same work, in turn, in one run.
//!
//! - [`contestant`]: who is measured, the work, and how each is set to it
//! - [`field`]: the network, with what each node pays for receiving made visible
//! - [`pair`]: a contestant on both nodes, calm, cut off at a random point
//! - [`figure`]: samples, and what is made of them: minimum, median, maximum, goals
//! - [`report`]: the figures as text, JSON, plots and `docs/benchmarks.md`
//! - [`meter`], [`tap`], [`verdict`], [`watch`]: CPU time, and what is on the wire, under load
//! - [`hog`], [`flooder`]: who takes CPU time away, and who floods the link
//! - `ns`: what a packet costs in the kernel program
//! - [`failover`], [`vips`], [`instances`], [`cpu`], [`rate`], [`gap`], [`starved`],
//!   [`flood`], `xdp`, [`start`]: the scenarios
//!
//! A [`Scenario`] says what is measured and what Harrier is to reach; [`run`] has the
//! contestants take turns at it. Figures are of what is on the wire or in the kernel's
//! accounts, never of what a contestant says of itself.

mod console;
pub mod contestant;
pub mod cpu;
pub mod failover;
pub mod field;
pub mod figure;
pub mod flood;
pub mod flooder;
pub mod gap;
pub mod hog;
pub mod instances;
pub mod meter;
#[cfg(feature = "daemon")]
pub mod ns;
pub mod pair;
pub mod rate;
pub mod report;
pub mod start;
pub mod starved;
pub mod tap;
pub mod verdict;
pub mod vips;
pub mod watch;
#[cfg(feature = "daemon")]
pub mod xdp;

use anyhow::Result;

use self::figure::{Failure, Outcome};
pub use self::{
    contestant::{Contestant, Workload},
    figure::{Goal, Limit, Sample, Statistic, Unit},
};

/// Something to measure.
pub trait Scenario {
    /// Its name on the command line.
    fn name(&self) -> &'static str;

    /// What it measures, in one line.
    fn title(&self) -> &'static str;

    /// Who takes part, in the order of the turns.
    fn contestants(&self) -> Vec<Contestant>;

    /// What Harrier is to reach.
    fn goals(&self) -> Vec<Goal>;

    /// What Harrier must not miss even on a machine that is busy with other things: a run
    /// with `--quick` fails on it.
    fn bounds(&self) -> Vec<Goal> {
        Vec::new()
    }

    /// One turn of `contestant`. Everything that it starts ends with it. It may return
    /// many samples of one figure.
    ///
    /// # Errors
    /// If it could not be measured, also because the contestant does not do the work.
    fn run(&self, stage: &mut Stage, contestant: Contestant) -> Result<Vec<Sample>>;
}

/// The scenarios, in the order in which they run.
#[must_use]
pub fn scenarios() -> Vec<Box<dyn Scenario>> {
    vec![
        Box::new(failover::Failover),
        Box::new(vips::Vips),
        Box::new(instances::Instances),
        Box::new(cpu::Cpu),
        Box::new(rate::Rate),
        Box::new(gap::Gap),
        Box::new(starved::Starved),
        Box::new(flood::Flood),
        #[cfg(feature = "daemon")]
        Box::new(xdp::Xdp),
        Box::new(start::Start),
    ]
}

/// What a turn is told of the run that it is part of, and how it tells what it does.
#[derive(Debug)]
pub struct Stage {
    /// Whether this is the short run: a turn should take less than ten seconds.
    pub quick: bool,
    what: String,
    failures: Vec<anyhow::Error>,
}

impl Stage {
    /// Says on standard error what is being done.
    pub fn say(&self, what: &str) {
        eprintln!("{}: {what}", self.what);
    }

    /// Does a `part` of the turn; if it fails, the turn goes on and what it has measured
    /// counts, and the failure is told beside it.
    pub fn part(&mut self, what: &str, part: impl FnOnce(&mut Self) -> Result<()>) {
        self.say(what);
        if let Err(error) = part(self) {
            self.fail(error.context(what.to_owned()));
        }
    }

    fn fail(&mut self, error: anyhow::Error) {
        self.say(&format!("failed: {error:#}"));
        self.failures.push(error);
    }
}

/// How a run goes.
#[derive(Clone, Debug)]
pub struct Course {
    /// How often every contestant has its turn.
    pub rounds: usize,
    /// Whether it is the short run, in which FRR has no turn.
    pub quick: bool,
    /// Who may take part.
    pub contestants: Vec<Contestant>,
}

/// Runs `scenarios`, the contestants of each in turn. A turn that fails is told in the
/// outcome and the run goes on: that somebody does not do the work is a result.
#[must_use]
pub fn run(scenarios: &[Box<dyn Scenario>], course: &Course) -> Vec<Outcome> {
    let &Course { rounds, quick, .. } = course;
    let mut outcomes: Vec<Outcome> = scenarios
        .iter()
        .map(|scenario| Outcome::new(scenario.as_ref()))
        .collect();
    for (scenario, outcome) in scenarios.iter().zip(&mut outcomes) {
        for round in 1..=rounds {
            for contestant in scenario.contestants() {
                // FRR is no yardstick of a regression, and slow to start.
                if quick && contestant == Contestant::Frr
                    || !course.contestants.contains(&contestant)
                {
                    continue;
                }
                let mut stage = Stage {
                    quick,
                    what: format!(
                        "{}, round {round} of {rounds}, {}",
                        scenario.name(),
                        contestant.title()
                    ),
                    failures: Vec::new(),
                };
                stage.say("begins");
                match scenario.run(&mut stage, contestant) {
                    Ok(samples) => outcome.add(contestant, samples),
                    Err(error) => stage.fail(error),
                }
                outcome
                    .failures
                    .extend(stage.failures.iter().map(|error| Failure {
                        contestant,
                        round,
                        error: format!("{error:#}"),
                    }));
            }
        }
    }
    outcomes
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use anyhow::bail;

    use super::*;

    /// Notes the turns; FRR fails, keepalived in part.
    struct Noted(&'static Mutex<Vec<Contestant>>);

    impl Scenario for Noted {
        fn name(&self) -> &'static str {
            "noted"
        }
        fn title(&self) -> &'static str {
            "turns"
        }
        fn contestants(&self) -> Vec<Contestant> {
            Contestant::ALL.to_vec()
        }
        fn goals(&self) -> Vec<Goal> {
            Vec::new()
        }
        fn run(&self, stage: &mut Stage, contestant: Contestant) -> Result<Vec<Sample>> {
            self.0.lock().unwrap().push(contestant);
            if contestant == Contestant::Keepalived {
                stage.part("half", |_| bail!("half the work done"));
            }
            if contestant == Contestant::Frr {
                bail!("no work done");
            }
            Ok(vec![Sample::new("turns", 1.0, Unit::Count)])
        }
    }

    #[test]
    fn contestants_take_turns_and_one_that_fails_stops_nobody() {
        static TURNS: Mutex<Vec<Contestant>> = Mutex::new(Vec::new());
        let scenarios: [Box<dyn Scenario>; 1] = [Box::new(Noted(&TURNS))];
        let (h, k, f) = (Contestant::Harrier, Contestant::Keepalived, Contestant::Frr);
        let course = Course {
            rounds: 2,
            quick: false,
            contestants: vec![h, k, f],
        };
        let outcomes = run(&scenarios, &course);
        assert_eq!(*TURNS.lock().unwrap(), [h, k, f, h, k, f]);
        let figure = &outcomes[0].figures[0];
        assert_eq!(figure.of(h).unwrap().values, [1.0, 1.0]);
        assert_eq!(figure.of(k).unwrap().values, [1.0, 1.0]);
        assert!(figure.of(f).is_none());
        let failures: Vec<_> = outcomes[0]
            .failures
            .iter()
            .map(|failure| (failure.contestant, failure.round, failure.error.as_str()))
            .collect();
        let half = "half: half the work done";
        assert_eq!(
            failures,
            [
                (k, 1, half),
                (f, 1, "no work done"),
                (k, 2, half),
                (f, 2, "no work done")
            ]
        );
    }
}
