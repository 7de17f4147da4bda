//! `failover`: a dead host with one virtual router and one address.

use std::time::Duration;

use anyhow::{Context as _, Result};

use super::{
    Contestant, Goal, Sample, Scenario, Stage, Statistic, Workload,
    contestant::Settings,
    pair::{Pair, announcements},
};

/// Advertisement intervals in milliseconds, and how often node-a is cut off in one turn.
const INTERVALS: [(u64, usize); 3] = [(1000, 2), (100, 8), (10, 12)];

/// See the [module](self).
#[derive(Clone, Copy, Debug)]
pub struct Failover;

fn lateness(interval: u64) -> String {
    format!("lateness at {interval} ms")
}

fn announcement(interval: u64) -> String {
    format!("first announcement at {interval} ms")
}

impl Scenario for Failover {
    fn name(&self) -> &'static str {
        "failover"
    }

    fn title(&self) -> &'static str {
        "Dead host, one address: first advertisement after Active_Down, first announcement \
         after it"
    }

    fn contestants(&self) -> Vec<Contestant> {
        Contestant::ALL.to_vec()
    }

    fn goals(&self) -> Vec<Goal> {
        INTERVALS
            .iter()
            .flat_map(|&(interval, _)| {
                [
                    Goal::at_most(lateness(interval), Statistic::Median, 0.05),
                    Goal::at_most(lateness(interval), Statistic::Max, 0.3),
                    // Nobody may be early either: that would be a false take-over.
                    Goal::at_least(lateness(interval), Statistic::Min, -0.02),
                    Goal::at_most(announcement(interval), Statistic::Median, 0.05),
                ]
            })
            .collect()
    }

    fn bounds(&self) -> Vec<Goal> {
        INTERVALS
            .iter()
            .map(|&(interval, _)| Goal::at_most(lateness(interval), Statistic::Max, 5.0))
            .collect()
    }

    fn run(&self, stage: &mut Stage, contestant: Contestant) -> Result<Vec<Sample>> {
        let mut samples = Vec::new();
        for (interval, cuts) in INTERVALS {
            let cuts = match (stage.quick, interval) {
                (false, _) => cuts,
                (true, 100) => 4,
                (true, _) => continue,
            };
            let workload = Workload::single(Duration::from_millis(interval));
            stage.part(&format!("{cuts} dead hosts at {interval} ms"), |_| {
                let mut pair = Pair::start(contestant, workload, false, &Settings::for_times())?;
                pair.await_calm()?;
                for cut in 0..cuts {
                    if cut > 0 {
                        pair.mend()?;
                    }
                    let address = workload.addresses_of(0)[0];
                    let seen =
                        pair.cut(|frames| announcements(&frames[0]).contains_key(&address))?;
                    let router = seen.instances[0];
                    samples.push(Sample::span(lateness(interval), router.due, router.first));
                    let announced = seen.announcements(0);
                    let announced = *announced.get(&address).context("not announced")?;
                    samples.push(Sample::span(
                        announcement(interval),
                        router.first,
                        announced,
                    ));
                }
                Ok(())
            });
        }
        Ok(samples)
    }
}
