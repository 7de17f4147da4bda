//! A pair under load, watched at the switch: what it takes to see is paid by nobody
//! who is measured.

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};

use super::{
    Contestant, Workload,
    contestant::Settings,
    field::{Field, Node},
    meter::{MachineMeter, Meter, Spent},
    pair::Pair,
    tap::{Passed, Tally, Tap, Way},
    verdict::take_overs,
};

/// A contestant on both nodes, at work for long enough that the start is over. Not
/// calm: who is not calm under the load is to be seen, not waited for.
///
/// # Errors
/// If a node does not begin to work.
pub fn at_work(contestant: Contestant, workload: Workload) -> Result<Pair> {
    let pair = Pair::start(contestant, workload, false, &Settings::default())?;
    // Whoever missed the first advertisements has taken over and yielded again.
    thread::sleep(2 * workload.active_down_interval() + Duration::from_millis(500));
    Ok(pair)
}

/// The names of the switch's ports to `node`.
fn ports<'a>(field: &'a Field, node: &'a Node) -> impl Iterator<Item = Result<&'a str>> {
    (0..node.interfaces.len()).map(move |index| {
        field
            .port(node, index)
            .context("an interface without a port")
    })
}

/// Taps of what `node` advertises, one for each interface.
///
/// # Errors
/// If one cannot be had.
pub fn taps(field: &Field, node: &Node) -> Result<Vec<Tap>> {
    ports(field, node)
        .map(|port| Tap::start(&field.switch, port?, Way::In))
        .collect()
}

/// What was seen by taps.
///
/// # Errors
/// If one has lost something.
pub fn ended(taps: Vec<Tap>) -> Result<Vec<Vec<Passed>>> {
    taps.into_iter().map(Tap::end).collect()
}

/// False take-overs in what node-b advertised on each interface, without a look at
/// node-a: see [`take_overs`].
#[must_use]
pub fn false_take_overs(of_b: &[Vec<Passed>], interval: Duration) -> f64 {
    let count: usize = of_b
        .iter()
        .map(|passed| take_overs(&[], passed, interval))
        .sum();
    count as f64
}

/// Advertisements per second that leave `node` in `span`.
///
/// # Errors
/// If they cannot be counted.
pub fn rate(field: &Field, node: &Node, span: Duration) -> Result<f64> {
    let tallies: Vec<Tally> = ports(field, node)
        .map(|port| Tally::start(&field.switch, port?, Way::In))
        .collect::<Result<_>>()?;
    let count = || -> Result<u64> { tallies.iter().map(Tally::count).sum() };
    let (before, begun) = (count()?, Instant::now());
    thread::sleep(span);
    let (after, lasted) = (count()?, begun.elapsed());
    Ok((after - before) as f64 / lasted.as_secs_f64())
}

/// What both nodes and the machine have spent.
#[derive(Clone, Copy, Debug)]
pub struct Bill {
    /// node-a.
    pub a: Spent,
    /// node-b.
    pub b: Spent,
    /// The whole machine, in percent of one CPU: also what is charged to neither, such
    /// as kernel workers and other programs.
    pub machine_percent: f64,
}

/// Measures both nodes of `pair` for `span`.
///
/// # Errors
/// If a daemon ends meanwhile.
pub fn bill(pair: &Pair, span: Duration) -> Result<Bill> {
    let meter_of = |pids: Vec<u32>, node: &Node| {
        Meter::start(&pids, &node.napi).with_context(|| format!("on {}", node.name))
    };
    let machine = MachineMeter::start()?;
    let a = meter_of(pair.a.pids(), &pair.field.a)?;
    let b = meter_of(pair.b.pids(), &pair.field.b)?;
    thread::sleep(span);
    Ok(Bill {
        a: a.read()?,
        b: b.read()?,
        machine_percent: machine.percent()?,
    })
}
