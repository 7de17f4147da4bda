//! `cpu`: what many virtual routers cost while nothing happens.

use std::time::Duration;

use anyhow::Result;

use super::{
    Contestant, Goal, Sample, Scenario, Stage, Statistic, Unit, Workload,
    watch::{at_work, bill, ended, false_take_overs, rate, taps},
};

/// Virtual routers and their advertisement interval in milliseconds.
const WORK: [(usize, u64); 3] = [(250, 100), (250, 10), (1000, 100)];

/// See the [module](self).
#[derive(Clone, Copy, Debug)]
pub struct Cpu;

fn figure(what: &str, (instances, interval): (usize, u64)) -> String {
    format!("{what}, {instances} at {interval} ms")
}

const BACKUP: &str = "Backup";
const BACKUP_DAEMON: &str = "Backup, daemon alone";
const ACTIVE: &str = "Active";
const ACTIVE_DAEMON: &str = "Active, daemon alone";
const MACHINE: &str = "whole machine";
const ADVERTS: &str = "advertisements";
const FALSE: &str = "false take-overs";

impl Scenario for Cpu {
    fn name(&self) -> &'static str {
        "cpu"
    }

    fn title(&self) -> &'static str {
        "Nothing happens: CPU time of daemon and receive path (NAPI thread) of each node"
    }

    fn contestants(&self) -> Vec<Contestant> {
        Contestant::ALL.to_vec()
    }

    fn goals(&self) -> Vec<Goal> {
        WORK.into_iter()
            .flat_map(|work| {
                let (instances, interval) = work;
                let due = (instances * 1000) as f64 / interval as f64;
                [
                    Goal::of_keepalived(figure(BACKUP, work), 0.25),
                    Goal::of_keepalived(figure(BACKUP_DAEMON, work), 0.05),
                    Goal::of_keepalived(figure(ACTIVE, work), 0.25),
                    // The same work: a timer may be late by a hundredth.
                    Goal::at_least(figure(ADVERTS, work), Statistic::Min, 0.99 * due),
                    Goal::at_most(figure(FALSE, work), Statistic::Max, 0.0),
                ]
            })
            .collect()
    }

    fn run(&self, stage: &mut Stage, contestant: Contestant) -> Result<Vec<Sample>> {
        let span = Duration::from_secs(if stage.quick { 2 } else { 5 });
        let mut samples = Vec::new();
        for work in WORK {
            // vrrpd needs all of a CPU for the least of them already.
            if (contestant == Contestant::Frr || stage.quick) && work != WORK[0] {
                continue;
            }
            let (instances, interval) = work;
            stage.part(&format!("{instances} at {interval} ms"), |_| {
                samples.extend(idle(contestant, work, span)?);
                Ok(())
            });
        }
        Ok(samples)
    }
}

/// One part of a turn: `contestant` with `work`, measured for `span`.
fn idle(contestant: Contestant, work: (usize, u64), span: Duration) -> Result<Vec<Sample>> {
    let (instances, interval) = work;
    let workload = Workload {
        instances,
        interval: Duration::from_millis(interval),
        addresses: 1,
    };
    let pair = at_work(contestant, workload)?;
    // Nobody pays for these: the Backup sends nothing, or else is not idle.
    let of_b = taps(&pair.field, &pair.field.b)?;
    let bill = bill(&pair, span)?;
    let taken = false_take_overs(&ended(of_b)?, workload.interval);
    // Afterwards: counting is work of the one that sends.
    let rate = rate(&pair.field, &pair.field.a, Duration::from_secs(1))?;
    let sample = |what, value, unit| Sample::new(figure(what, work), value, unit);
    Ok(vec![
        sample(BACKUP, bill.b.percent(), Unit::Percent),
        sample(BACKUP_DAEMON, bill.b.daemon_percent(), Unit::Percent),
        sample(ACTIVE, bill.a.percent(), Unit::Percent),
        sample(ACTIVE_DAEMON, bill.a.daemon_percent(), Unit::Percent),
        sample(MACHINE, bill.machine_percent, Unit::Percent),
        sample(FALSE, taken, Unit::Count),
        sample(ADVERTS, rate, Unit::PerSecond),
    ])
}
