//! `start`: how long a router needs to be ready for many virtual routers, and what it
//! holds in memory then.

use std::{
    fs, thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};

use super::{
    Contestant, Goal, Sample, Scenario, Stage, Statistic, Unit, Workload,
    contestant::Settings,
    field::{Field, Plan},
    pair::tail,
    watch::taps,
};

const WORKLOAD: Workload = Workload {
    instances: 250,
    interval: Duration::from_millis(100),
    addresses: 1,
};
const PATIENCE: Duration = Duration::from_secs(30);

const FIRST: &str = "start to the first advertisement";
const LAST: &str = "start to the last virtual router's first advertisement";
const OWN: &str = "the same without Active_Down";
const RESIDENT: &str = "resident memory of the largest process";
const ANONYMOUS: &str = "memory of its own, all processes";
const KERNEL: &str = "kernel memory of BPF maps";

/// See the [module](self).
#[derive(Clone, Copy, Debug)]
pub struct Start;

impl Scenario for Start {
    fn name(&self) -> &'static str {
        "start"
    }

    fn title(&self) -> &'static str {
        "Start alone with 250 virtual routers at 100 ms, priority 200"
    }

    fn contestants(&self) -> Vec<Contestant> {
        // vrrpd needs 250 interfaces that an administrator has made before.
        Contestant::WITHOUT_FRR.to_vec()
    }

    fn goals(&self) -> Vec<Goal> {
        vec![
            Goal::at_most(OWN, Statistic::Median, 160.0),
            Goal::of_keepalived(OWN, 0.5),
            Goal::at_most(RESIDENT, Statistic::Max, 13.0),
        ]
    }

    fn run(&self, stage: &mut Stage, contestant: Contestant) -> Result<Vec<Sample>> {
        let field = Field::new(Plan {
            interfaces: WORKLOAD.interfaces(),
            client: false,
            napi_threads: true,
        })?;
        let tap = taps(&field, &field.a)?.pop().context("no interface")?;
        stage.say("starting");
        let mut daemon = contestant.start(&field, &field.a, &WORKLOAD, &Settings::default())?;
        let begun = Instant::now();
        let firsts = loop {
            let mut firsts = std::collections::BTreeMap::new();
            for advert in tap.so_far() {
                firsts.entry(advert.vrid).or_insert(advert.at);
            }
            if firsts.len() == WORKLOAD.instances {
                break firsts;
            }
            ensure!(
                daemon.takes_part().is_ok() && begun.elapsed() < PATIENCE,
                "{} virtual routers have advertised:\n{}",
                firsts.len(),
                tail(&daemon.log())
            );
            thread::sleep(Duration::from_millis(50));
        };
        let started = daemon.started_at();
        let first = *firsts.values().min().context("no advertisement")?;
        let last = *firsts.values().max().context("no advertisement")?;
        // 3 × interval + (256 - 200) / 256 × interval, RFC 9568 section 6.1.
        let due = started + 3 * WORKLOAD.interval + WORKLOAD.interval * 56 / 256;
        let mut samples = vec![
            Sample::span(FIRST, started, first),
            Sample::span(LAST, started, last),
            Sample::span(OWN, due, first),
        ];
        let memory = Memory::of(&daemon.pids())?;
        let mebibytes = |kib: u64| kib as f64 / 1024.0;
        for (what, kib) in [
            (RESIDENT, memory.largest_kib),
            (ANONYMOUS, memory.anonymous_kib),
            (KERNEL, memory.maps_kib),
        ] {
            samples.push(Sample::new(what, mebibytes(kib), Unit::Mebibytes));
        }
        Ok(samples)
    }
}

/// Memory of some processes, in KiB.
#[derive(Clone, Copy, Default, Debug)]
struct Memory {
    /// Resident memory of the process that has most, its pages of files included.
    largest_kib: u64,
    /// Anonymous memory of all: what nobody shares but by fork.
    anonymous_kib: u64,
    /// BPF maps that they hold, by the kernel's account.
    maps_kib: u64,
}

impl Memory {
    fn of(pids: &[u32]) -> Result<Self> {
        let mut memory = Self::default();
        let mut maps = std::collections::BTreeMap::new();
        for pid in pids {
            let status = fs::read_to_string(format!("/proc/{pid}/status"))
                .with_context(|| format!("process {pid} has ended"))?;
            let kib = |name| field(&status, name).with_context(|| format!("no {name}"));
            memory.largest_kib = memory.largest_kib.max(kib("VmRSS:")?);
            memory.anonymous_kib += kib("RssAnon:")?;
            let descriptors = fs::read_dir(format!("/proc/{pid}/fdinfo"))
                .with_context(|| format!("process {pid} has ended"))?;
            for descriptor in descriptors {
                // One may be closed meanwhile.
                let Ok(text) = fs::read_to_string(descriptor?.path()) else {
                    continue;
                };
                if let (Some(id), Some(octets)) =
                    (field(&text, "map_id:"), field(&text, "memlock:"))
                {
                    maps.insert(id, octets);
                }
            }
        }
        memory.maps_kib = maps.values().sum::<u64>() / 1024;
        Ok(memory)
    }
}

/// The number behind `name` at the beginning of a line.
fn field(text: &str, name: &str) -> Option<u64> {
    text.lines()
        .find_map(|line| line.strip_prefix(name))?
        .split_whitespace()
        .next()?
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read() {
        let memory = Memory::of(&[std::process::id()]).expect("this process lives");
        assert!(memory.largest_kib > 0 && memory.anonymous_kib > 0);
        assert!(memory.anonymous_kib <= memory.largest_kib);
        assert!(Memory::of(&[u32::MAX]).is_err());
    }

    #[test]
    fn a_field_is_a_line() {
        let text = "map_type:\t9\nmap_id:\t17\nmemlock:\t4096\n";
        assert_eq!(field(text, "map_id:"), Some(17));
        assert_eq!(field(text, "id:"), None);
    }
}
