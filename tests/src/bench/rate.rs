//! `rate`: a thousand virtual routers at the shortest interval there is.

use std::time::Duration;

use anyhow::Result;

use super::{
    Contestant, Goal, Sample, Scenario, Stage, Statistic, Unit, Workload,
    watch::{at_work, bill, ended, false_take_overs, rate, taps},
};

const WORKLOAD: Workload = Workload {
    instances: 1000,
    interval: Duration::from_millis(10),
    addresses: 1,
};

const ADVERTS: &str = "advertisements that leave";
const FALSE: &str = "false take-overs";
const ACTIVE: &str = "Active";
const BACKUP: &str = "Backup";

/// See the [module](self).
#[derive(Clone, Copy, Debug)]
pub struct Rate;

impl Scenario for Rate {
    fn name(&self) -> &'static str {
        "rate"
    }

    fn title(&self) -> &'static str {
        "1000 virtual routers at 10 ms: 100,000 advertisements per second are due"
    }

    fn contestants(&self) -> Vec<Contestant> {
        Contestant::WITHOUT_FRR.to_vec()
    }

    fn goals(&self) -> Vec<Goal> {
        vec![
            // A timer may be late by a hundredth.
            Goal::at_least(ADVERTS, Statistic::Min, 99_000.0),
            Goal::at_most(FALSE, Statistic::Max, 0.0),
        ]
    }

    fn run(&self, stage: &mut Stage, contestant: Contestant) -> Result<Vec<Sample>> {
        let span = Duration::from_secs(if stage.quick { 3 } else { 5 });
        let pair = at_work(contestant, WORKLOAD)?;
        stage.say("counting");
        let of_b = taps(&pair.field, &pair.field.b)?;
        let rate = rate(&pair.field, &pair.field.a, span)?;
        // In the other half, where nobody pays for the count. False take-overs are
        // those of both.
        let bill = bill(&pair, span)?;
        let of_b = ended(of_b)?;
        Ok(vec![
            Sample::new(ADVERTS, rate, Unit::PerSecond),
            Sample::new(
                FALSE,
                false_take_overs(&of_b, WORKLOAD.interval),
                Unit::Count,
            ),
            Sample::new(ACTIVE, bill.a.percent(), Unit::Percent),
            Sample::new(BACKUP, bill.b.percent(), Unit::Percent),
        ])
    }
}
