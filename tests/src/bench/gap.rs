//! `gap`: how long the Active is silent while nothing happens.

use std::{thread, time::Duration};

use anyhow::{Context as _, Result, ensure};

use super::{
    Contestant, Goal, Sample, Scenario, Stage, Statistic, Unit, Workload,
    verdict::longest_gaps,
    watch::{at_work, ended, taps},
};

const WORKLOAD: Workload = Workload {
    instances: 250,
    interval: Duration::from_millis(10),
    addresses: 1,
};

const LONGEST: &str = "longest gap";
const MEDIAN: &str = "longest gap of the median virtual router";

/// See the [module](self).
#[derive(Clone, Copy, Debug)]
pub struct Gap;

impl Scenario for Gap {
    fn name(&self) -> &'static str {
        "gap"
    }

    fn title(&self) -> &'static str {
        "250 virtual routers at 10 ms: the longest time between two advertisements of one"
    }

    fn contestants(&self) -> Vec<Contestant> {
        Contestant::WITHOUT_FRR.to_vec()
    }

    fn goals(&self) -> Vec<Goal> {
        vec![Goal::at_most(LONGEST, Statistic::Max, 11.0)]
    }

    fn run(&self, stage: &mut Stage, contestant: Contestant) -> Result<Vec<Sample>> {
        let pair = at_work(contestant, WORKLOAD)?;
        stage.say("watching");
        let of_a = taps(&pair.field, &pair.field.a)?;
        thread::sleep(Duration::from_secs(if stage.quick { 3 } else { 10 }));
        let mut gaps: Vec<Duration> = ended(of_a)?
            .iter()
            .flat_map(|passed| longest_gaps(passed).into_values())
            .collect();
        ensure!(
            gaps.len() == WORKLOAD.instances,
            "{} virtual routers have advertised",
            gaps.len()
        );
        gaps.sort();
        let millis = |gap: &Duration| gap.as_secs_f64() * 1e3;
        let longest = gaps.last().context("no gap")?;
        Ok(vec![
            Sample::new(LONGEST, millis(longest), Unit::Milliseconds),
            Sample::new(MEDIAN, millis(&gaps[gaps.len() / 2]), Unit::Milliseconds),
        ])
    }
}
