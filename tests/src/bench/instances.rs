//! `instances`: a dead host with hundreds of virtual routers, logging to a file and to a
//! slow console.

use std::time::Duration;

use anyhow::Result;

use super::{
    Contestant, Goal, Sample, Scenario, Stage, Statistic, Unit, Workload,
    contestant::{Log, Settings},
    pair::Pair,
};

/// Virtual routers, and advertisement interval in milliseconds.
const WORK: [(usize, u64); 3] = [(250, 100), (250, 10), (1000, 100)];

/// Where they log to, and how often node-a is cut off in one turn: a console takes longer
/// to print what a takeover logs than one would wait for.
const LOGS: [(Log, &str, usize); 2] = [(Log::File, "file", 2), (Log::SlowConsole, "console", 1)];

/// See the [module](self). FRR is not among them: with 250 virtual routers both of its nodes
/// hold some of them at all times, so that there is no takeover to measure.
#[derive(Clone, Copy, Debug)]
pub struct Instances;

fn last(instances: usize, interval: u64, log: &str) -> String {
    format!("last of {instances} at {interval} ms, log to a {log}")
}

impl Scenario for Instances {
    fn name(&self) -> &'static str {
        "instances"
    }

    fn title(&self) -> &'static str {
        "Dead host, hundreds of virtual routers: last first advertisement after its own \
         Active_Down"
    }

    fn contestants(&self) -> Vec<Contestant> {
        Contestant::WITHOUT_FRR.to_vec()
    }

    fn goals(&self) -> Vec<Goal> {
        WORK.iter()
            .flat_map(|&(instances, interval)| {
                LOGS.iter().map(move |(_, log, _)| {
                    Goal::at_most(last(instances, interval, log), Statistic::Median, 3.0)
                })
            })
            .collect()
    }

    fn run(&self, stage: &mut Stage, contestant: Contestant) -> Result<Vec<Sample>> {
        let mut samples = Vec::new();
        for (instances, interval) in WORK {
            for (log, name, cuts) in LOGS {
                let workload = Workload {
                    instances,
                    interval: Duration::from_millis(interval),
                    addresses: 1,
                };
                let settings = Settings {
                    log,
                    ..Settings::default()
                };
                let what = format!("{instances} virtual routers at {interval} ms, log to a {name}");
                stage.part(&what, |stage| {
                    let mut pair = Pair::start(contestant, workload, false, &settings)?;
                    pair.await_calm()?;
                    for cut in 0..cuts {
                        if cut > 0 {
                            pair.mend()?;
                        }
                        let seen = pair.cut(|_| true)?;
                        let late = seen
                            .instances
                            .iter()
                            .map(|router| Sample::span("", router.due, router.first).value)
                            .fold(f64::NEG_INFINITY, f64::max);
                        samples.push(Sample::new(
                            last(instances, interval, name),
                            late,
                            Unit::Milliseconds,
                        ));
                        if seen.false_takeovers > 0 {
                            // Of the other scenarios; told here so that nobody overlooks it.
                            stage.say(&format!(
                                "node-b took over {} virtual routers before the cut",
                                seen.false_takeovers
                            ));
                        }
                    }
                    Ok(())
                });
            }
        }
        Ok(samples)
    }
}
