//! `flood`: a stranger on the link sends advertisements as fast as the machine can.

use std::{
    fs::File,
    io::{Read as _, Seek as _},
    net::IpAddr,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use ha_common::{time::Timestamp, types::MacAddress};

use super::{
    Contestant, Goal, Sample, Scenario, Stage, Statistic, Unit, Workload,
    contestant::Settings,
    field::Node,
    flooder::Flooder,
    hog::become_real_time,
    meter::{Meter, Spent},
    pair::{Pair, random},
    tap::{Passed, Tap, Way},
    verdict::take_overs,
};
use crate::{clock, forge::Forgery};

const INTERVAL: Duration = Duration::from_millis(100);
/// How long the flood goes on after its span, for node-a to die in it. Node-b would
/// take over within 0.36 s.
const DEATH: Duration = Duration::from_secs(6);
/// Above every router's.
const REAL_TIME: u8 = 60;
/// A take-over may be seen this much before it is due, by the clocks' account.
const EARLY: Duration = Duration::from_millis(1);

/// What the stranger sends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    /// Of a virtual router that nobody has.
    ForeignVrid,
    /// With a wrong checksum.
    BadChecksum,
    /// In order, of a lower priority than both nodes' and from an address that is no
    /// node's.
    LowerPriority,
}

impl Kind {
    const ALL: [Self; 3] = [Self::ForeignVrid, Self::BadChecksum, Self::LowerPriority];

    const fn title(self) -> &'static str {
        match self {
            Self::ForeignVrid => "foreign VRID",
            Self::BadChecksum => "bad checksum",
            Self::LowerPriority => "lower priority",
        }
    }

    /// A frame of the stranger `host` about the virtual router of `workload`.
    fn frame(self, host: &Node, workload: &Workload) -> Vec<u8> {
        let (interface, vrid) = workload.place(0);
        let addresses: Vec<IpAddr> = workload
            .addresses_of(0)
            .into_iter()
            .map(IpAddr::V4)
            .collect();
        let forgery = Forgery {
            to_mac: MacAddress([0x01, 0x00, 0x5e, 0, 0, 0x12]),
            from_mac: host.mac(interface),
            source: host.ipv4(interface).into(),
            destination: [224, 0, 0, 18].into(),
            hops: 255,
            fragment: 0,
            version: 3,
            kind: 1,
            vrid: match self {
                Self::ForeignVrid => vrid + 1,
                Self::BadChecksum | Self::LowerPriority => vrid,
            },
            priority: match self {
                Self::ForeignVrid | Self::BadChecksum => 254,
                Self::LowerPriority => 50,
            },
            count: 1,
            interval: [0, 10],
            addresses,
            trailer: Vec::new(),
        };
        let mut frame = forgery.frame();
        if self == Self::BadChecksum {
            // The message's checksum: behind Ethernet, IPv4 and six octets.
            frame[14 + 20 + 6] ^= 0x10;
        }
        frame
    }
}

const FALSE: &str = "false take-overs";
const FALSE_ADVERTS: &str = "advertisements of the Backup";
const LATENESS: &str = "lateness of a take-over";
const MISSED: &str = "take-overs that do not come";
const BACKUP: &str = "Backup";
const BACKUP_DAEMON: &str = "Backup, daemon alone";
const ARRIVED: &str = "packets that reach the Backup";
const COST: &str = "Backup's cost per packet";

fn figure(what: &str, kind: Kind) -> String {
    format!("{what}, {}", kind.title())
}

/// See the [module](self).
#[derive(Clone, Copy, Debug)]
pub struct Flood;

impl Scenario for Flood {
    fn name(&self) -> &'static str {
        "flood"
    }

    fn title(&self) -> &'static str {
        "A stranger floods both nodes with advertisements, one virtual router at 100 ms"
    }

    fn contestants(&self) -> Vec<Contestant> {
        Contestant::WITHOUT_FRR.to_vec()
    }

    fn goals(&self) -> Vec<Goal> {
        let mut goals: Vec<Goal> = Kind::ALL
            .into_iter()
            .map(|kind| Goal::at_most(figure(FALSE, kind), Statistic::Max, 0.0))
            .collect();
        goals.extend(
            Kind::ALL
                .into_iter()
                .map(|kind| Goal::at_most(figure(MISSED, kind), Statistic::Max, 0.0)),
        );
        goals.push(Goal::of_keepalived(figure(COST, Kind::ForeignVrid), 0.2));
        goals.extend(
            Kind::ALL
                .into_iter()
                .map(|kind| Goal::at_most(figure(LATENESS, kind), Statistic::Max, 0.3)),
        );
        goals
    }

    fn run(&self, stage: &mut Stage, contestant: Contestant) -> Result<Vec<Sample>> {
        let span = Duration::from_secs(if stage.quick { 3 } else { 10 });
        let mut samples = Vec::new();
        for kind in Kind::ALL {
            stage.part(kind.title(), |stage| {
                samples.extend(flooded(stage, contestant, kind, span)?);
                Ok(())
            });
        }
        Ok(samples)
    }
}

/// A new pair for each kind: what one has done to a daemon is not to be seen in the
/// next.
fn flooded(
    stage: &Stage,
    contestant: Contestant,
    kind: Kind,
    span: Duration,
) -> Result<Vec<Sample>> {
    let workload = Workload::single(INTERVAL);
    let mut pair = Pair::start(contestant, workload, true, &Settings::default())?;
    pair.await_calm()?;
    // Who measures must get its time, too, when a flooded router of real-time priority
    // leaves none; it is mostly asleep.
    let seen = thread::scope(|scope| {
        let measuring = scope.spawn(|| {
            become_real_time(REAL_TIME).context("cannot have SCHED_FIFO")?;
            watch(&pair, kind, span)
        });
        measuring
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })?;
    stage.say(&format!(
        "{:.0} frames per second were sent, {:.0} reached node-b",
        seen.flood.rate(),
        seen.arrived as f64 / seen.spent.lasted.as_secs_f64()
    ));
    Ok(seen.samples(kind, &workload))
}

/// What was seen of a flood.
struct Seen {
    flood: crate::capture::Flood,
    spent: Spent,
    /// Packets that node-b took in meanwhile.
    arrived: u64,
    /// When node-a died, if it could be told.
    cut: Option<Timestamp>,
    /// Whether the flood went on for long enough after that.
    in_flood: bool,
    of_a: Vec<Passed>,
    of_b: Vec<Passed>,
}

fn watch(pair: &Pair, kind: Kind, span: Duration) -> Result<Seen> {
    let field = &pair.field;
    let stranger = field.client.as_ref().context("a field without a client")?;
    let tap = |node| -> Result<Tap> {
        let port = field.port(node, 0).context("a node without a port")?;
        Tap::start(&field.switch, port, Way::In)
    };
    let (of_a, of_b) = (tap(&field.a)?, tap(&field.b)?);

    // It shares a CPU with node-a: node-b, which is measured, has all of its own.
    let frames = vec![kind.frame(stranger, &pair.workload)];
    let mut counters = Counters::of(&field.b)?;
    let before = counters.packets()?;
    let meter = Meter::start(&pair.b.pids(), &field.b.napi)?;
    let flooder = Flooder::start(
        &stranger.netns,
        &stranger.interfaces[0],
        field.a.cpu,
        frames,
        span + DEATH,
    )?;
    thread::sleep(span);
    let spent = meter.read()?;
    let arrived = counters.packets()? - before;

    // Still flooded, node-a dies.
    let cut = cut_between_advertisements(pair, &of_a)?;
    await_relief(&of_b, cut, &pair.workload);
    // If it took so long that the flood was over, it was no take-over under a flood.
    let in_flood = flooder.goes_on();
    let flood = flooder.stop()?;
    ensure!(flood.sent > 0, "no flood came about");
    Ok(Seen {
        flood,
        spent,
        arrived,
        cut,
        in_flood,
        of_a: of_a.end()?,
        of_b: of_b.end()?,
    })
}

impl Seen {
    fn samples(&self, kind: Kind, workload: &Workload) -> Vec<Sample> {
        let Self { spent, arrived, .. } = *self;
        let sample = |what, value, unit| Sample::new(figure(what, kind), value, unit);
        let per_packet = spent.total().as_secs_f64() * 1e9 / arrived.max(1) as f64;
        let rate = arrived as f64 / spent.lasted.as_secs_f64();
        let mut samples = vec![
            sample(BACKUP, spent.percent(), Unit::Percent),
            sample(BACKUP_DAEMON, spent.daemon_percent(), Unit::Percent),
            sample(ARRIVED, rate, Unit::PerSecond),
            sample(COST, per_packet, Unit::Nanoseconds),
        ];

        // When node-b is to take over, as node-a's last word has it; what it says before
        // is false.
        let last = self
            .cut
            .and_then(|cut| self.of_a.iter().rfind(|advert| advert.at <= cut))
            .map(|advert| advert.at);
        let due = last.map(|last| last + workload.active_down_interval());
        let (early, after): (Vec<Passed>, Vec<Passed>) = self
            .of_b
            .iter()
            .partition(|advert| due.is_none_or(|due| advert.at + EARLY < due));
        let taken = take_overs(&self.of_a, &early, workload.interval);
        samples.push(sample(FALSE, taken as f64, Unit::Count));
        samples.push(sample(FALSE_ADVERTS, early.len() as f64, Unit::Count));

        if due.is_none() || !self.in_flood {
            return samples;
        }
        // None is late where node-b had taken over before its time.
        let too_early = early
            .last()
            .is_some_and(|advert| last.is_none_or(|last| advert.at > last));
        let on_time = after.first().filter(|_| !too_early);
        if let (Some(due), Some(first)) = (due, on_time) {
            samples.push(Sample::span(figure(LATENESS, kind), due, first.at));
        }
        let missed = !too_early && on_time.is_none();
        samples.push(sample(MISSED, f64::from(u8::from(missed)), Unit::Count));
        samples
    }
}

/// The counters of a node's first interface, open: a command, or a thread that enters
/// the namespace, would get its turn late in a flood.
struct Counters {
    file: File,
    name: String,
}

impl Counters {
    fn of(node: &Node) -> Result<Self> {
        let file = node
            .netns
            .enter(|| File::open("/proc/thread-self/net/dev"))?
            .context("cannot open the interfaces' counters")?;
        let name = format!("{}:", node.interfaces[0]);
        Ok(Self { file, name })
    }

    /// Packets that the interface has taken in.
    fn packets(&mut self) -> Result<u64> {
        let mut text = String::new();
        self.file
            .rewind()
            .and_then(|()| self.file.read_to_string(&mut text))
            .context("cannot read the interfaces' counters")?;
        // Received octets, packets …
        text.lines()
            .find_map(|line| line.trim().strip_prefix(&self.name))
            .and_then(|counts| counts.split_whitespace().nth(1)?.parse().ok())
            .with_context(|| format!("no {} in {text}", self.name))
    }
}

/// Cuts node-a off at a random point, and returns when: a time before which all that it
/// sent has passed, and after which nothing did; `None` if that cannot be told, however
/// often it is tried.
fn cut_between_advertisements(pair: &Pair, of_a: &Tap) -> Result<Option<Timestamp>> {
    let give_up_at = Instant::now() + DEATH / 2;
    while Instant::now() < give_up_at {
        thread::sleep(INTERVAL.mul_f64(random()?));
        let before = clock::now();
        let after = pair.field.cut(&pair.field.a)?;
        // The tap takes in what has come 50 times a second.
        thread::sleep(Duration::from_millis(50));
        let between = of_a
            .so_far()
            .iter()
            .any(|advert| advert.at >= before && advert.at <= after);
        if !between {
            return Ok(Some(before));
        }
        pair.field.mend(&pair.field.a)?;
    }
    Ok(None)
}

/// Waits until node-b has advertised when it was to, or will not any more.
fn await_relief(of_b: &Tap, cut: Option<Timestamp>, workload: &Workload) {
    let Some(cut) = cut else {
        return;
    };
    let due = cut + workload.active_down_interval() - workload.interval;
    let give_up_at = Instant::now() + DEATH / 2;
    while !of_b.so_far().iter().any(|advert| advert.at > due) && Instant::now() < give_up_at {
        thread::sleep(Duration::from_millis(20));
    }
}
