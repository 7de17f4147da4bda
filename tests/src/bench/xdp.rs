//! `xdp`: what Harrier's kernel program needs for a frame ([`ns`]), and how
//! large it is.

use anyhow::Result;

use super::{Contestant, Goal, Sample, Scenario, Stage, Statistic, Unit, ns};

/// What the program needs more than one that passes everything, by kind of packet.
fn over(packet: &str) -> String {
    format!("over an empty program: {packet}")
}

/// See the [module](self).
#[derive(Clone, Copy, Debug)]
pub struct Xdp;

impl Scenario for Xdp {
    fn name(&self) -> &'static str {
        "xdp"
    }

    fn title(&self) -> &'static str {
        "The kernel program: time for each frame by BPF_PROG_TEST_RUN"
    }

    fn contestants(&self) -> Vec<Contestant> {
        vec![Contestant::Harrier]
    }

    fn goals(&self) -> Vec<Goal> {
        ns::goals()
            .into_iter()
            .map(|(packet, goal)| Goal::at_most(over(packet), Statistic::Median, goal))
            .collect()
    }

    fn run(&self, _: &mut Stage, _: Contestant) -> Result<Vec<Sample>> {
        let (size, empty, costs) = ns::measure()?;
        let mut samples = vec![Sample::new("an empty program", empty, Unit::Nanoseconds)];
        samples.extend(
            costs
                .iter()
                .map(|cost| Sample::new(over(cost.name), cost.over_empty, Unit::Nanoseconds)),
        );
        let sizes = [
            ("instructions", Some(size.instructions)),
            ("octets of machine code", Some(size.machine_code)),
            ("instructions verified, of 1,000,000", size.verified),
        ];
        samples.extend(
            sizes
                .into_iter()
                .filter_map(|(figure, size)| Some(Sample::new(figure, size?.into(), Unit::Number))),
        );
        Ok(samples)
    }
}
