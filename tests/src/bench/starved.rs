//! `starved`: the Active's CPU belongs to others.

use std::{thread, time::Duration};

use anyhow::Result;

use super::{
    Contestant, Goal, Sample, Scenario, Stage, Statistic, Unit, Workload,
    contestant::Settings,
    hog::{Appetite, Hog},
    pair::Pair,
    verdict::{longest_gaps, take_overs},
    watch::{ended, taps},
};

const INTERVAL: Duration = Duration::from_millis(10);

/// Who takes the CPU, and what that is called.
const HOGS: [(&str, Appetite); 2] = [
    ("8 busy threads", Appetite::Busy { threads: 8 }),
    (
        "real-time thread, 80 of 100 ms",
        Appetite::RealTime {
            priority: 10,
            busy: Duration::from_millis(80),
            period: Duration::from_millis(100),
        },
    ),
];

fn taken(hog: &str) -> String {
    format!("false take-overs, {hog}")
}

fn gap(hog: &str) -> String {
    format!("longest gap, {hog}")
}

/// See the [module](self).
#[derive(Clone, Copy, Debug)]
pub struct Starved;

impl Scenario for Starved {
    fn name(&self) -> &'static str {
        "starved"
    }

    fn title(&self) -> &'static str {
        "Others use the Active's CPU, one virtual router at 10 ms: false take-overs of the \
         Backup, longest time between two advertisements"
    }

    fn contestants(&self) -> Vec<Contestant> {
        Contestant::ALL.to_vec()
    }

    fn goals(&self) -> Vec<Goal> {
        HOGS.iter()
            .flat_map(|(hog, _)| {
                [
                    Goal::at_most(taken(hog), Statistic::Max, 0.0),
                    Goal::at_most(gap(hog), Statistic::Max, 12.0),
                ]
            })
            .collect()
    }

    fn bounds(&self) -> Vec<Goal> {
        HOGS.iter()
            .map(|(hog, _)| Goal::at_most(taken(hog), Statistic::Max, 0.0))
            .collect()
    }

    fn run(&self, stage: &mut Stage, contestant: Contestant) -> Result<Vec<Sample>> {
        let span = Duration::from_secs(if stage.quick { 4 } else { 30 });
        let workload = Workload::single(INTERVAL);
        let mut pair = Pair::start(contestant, workload, false, &Settings::default())?;
        let mut samples = Vec::new();
        for (name, appetite) in HOGS {
            pair.await_calm()?;
            stage.say(name);
            let of_a = taps(&pair.field, &pair.field.a)?;
            let of_b = taps(&pair.field, &pair.field.b)?;
            let hog = Hog::start(pair.field.a.cpu, appetite)?;
            thread::sleep(span);
            drop(hog);
            // A silence that the hog began ends when it is gone: it counts.
            thread::sleep(10 * INTERVAL);
            let (of_a, of_b) = (ended(of_a)?.concat(), ended(of_b)?.concat());
            let longest = longest_gaps(&of_a).into_values().max().unwrap_or(span);
            samples.push(Sample::new(
                taken(name),
                take_overs(&of_a, &of_b, INTERVAL) as f64,
                Unit::Count,
            ));
            samples.push(Sample::new(
                gap(name),
                longest.as_secs_f64() * 1e3,
                Unit::Milliseconds,
            ));
        }
        Ok(samples)
    }
}
