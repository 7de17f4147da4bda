//! A contestant on both nodes of a field.

use std::{
    collections::BTreeMap,
    fs::File,
    io::Read as _,
    net::{IpAddr, Ipv4Addr},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use ha_common::time::Timestamp;

use super::{
    contestant::{Contestant, Running, Settings, Workload},
    field::{Field, Plan},
};
use crate::{
    capture::{Capture, Frame},
    decode::Packet,
};

/// What takes longer has gone wrong; a thousand lines on a slow console take ten seconds.
const PATIENCE: Duration = Duration::from_secs(90);

/// Span between two looks at what gives no event.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// See the [module](self). The routers end before the network does.
#[derive(Debug)]
pub struct Pair {
    /// On node-a: Active once it is calm.
    pub a: Running,
    /// On node-b: Backup once it is calm.
    pub b: Running,
    /// The network.
    pub field: Field,
    /// What they do.
    pub workload: Workload,
}

impl Pair {
    /// Starts `contestant` on node-a, waits until it is Active with all virtual routers,
    /// starts it on node-b, and waits until node-b takes part.
    ///
    /// # Errors
    /// If it does not come so far.
    pub fn start(
        contestant: Contestant,
        workload: Workload,
        client: bool,
        settings: &Settings<'_>,
    ) -> Result<Self> {
        let field = Field::new(Plan {
            interfaces: workload.interfaces(),
            client,
            napi_threads: !settings.in_senders_context,
        })?;
        let captures = field.captures(&field.a)?;
        let mut a = contestant.start(&field, &field.a, &workload, settings)?;
        let awaited = await_true(|| {
            a.takes_part()?;
            let heard = captures
                .iter()
                .flat_map(|capture| vrids(capture, field.a.number))
                .count();
            Ok(heard == workload.instances)
        });
        awaited.with_context(|| format!("node-a does not become Active:\n{}", tail(&a.log())))?;
        drop(captures);
        let mut b = contestant.start(&field, &field.b, &workload, settings)?;
        let awaited = await_true(|| b.takes_part());
        awaited.with_context(|| format!("node-b does not take part:\n{}", tail(&b.log())))?;
        Ok(Self {
            a,
            b,
            field,
            workload,
        })
    }

    /// Waits until node-a advertises every virtual router and node-b none, for as long as
    /// node-b would take to take one over.
    ///
    /// # Errors
    /// If it does not come to that.
    pub fn await_calm(&mut self) -> Result<()> {
        let window = self.workload.active_down_interval() + Duration::from_millis(300);
        let give_up_at = Instant::now() + PATIENCE + 2 * window;
        loop {
            let captures = self.field.captures(&self.field.b)?;
            // Not a wait for anything: that nothing happens meanwhile is the point.
            thread::sleep(window);
            let count = |number| -> usize {
                captures
                    .iter()
                    .map(|capture| vrids(capture, number).len())
                    .sum()
            };
            let (of_a, of_b) = (count(self.field.a.number), count(self.field.b.number));
            if of_a == self.workload.instances && of_b == 0 {
                return Ok(());
            }
            ensure!(
                Instant::now() < give_up_at,
                "no calm: in {window:?}, node-a has advertised {of_a} and node-b {of_b} of {} \
                 virtual routers",
                self.workload.instances
            );
        }
    }

    /// Cuts node-a off at a random point of the interval, and returns once node-b has
    /// advertised every virtual router and `also` holds of what was captured since the cut,
    /// one list of frames for each interface at the switch's ports to node-b.
    ///
    /// # Errors
    /// If that takes too long.
    pub fn cut(&self, also: impl FnMut(&[Vec<Frame>]) -> bool) -> Result<Takeover> {
        self.cut_and(|_| Ok(()), also)
    }

    /// As [`cut`](Self::cut), and does `meanwhile` from some time before Active_Down on,
    /// with the captures that are running.
    ///
    /// # Errors
    /// As [`cut`](Self::cut), or as `meanwhile`.
    pub fn cut_and(
        &self,
        meanwhile: impl FnOnce(&[Capture]) -> Result<()>,
        mut also: impl FnMut(&[Vec<Frame>]) -> bool,
    ) -> Result<Takeover> {
        let captures = self.field.captures(&self.field.b)?;
        // The last advertisement of node-a before the cut is to be among the frames, and the
        // cut at a random point: at least one interval later.
        thread::sleep(self.workload.interval.mul_f64(1.2 + random()?));
        let cut_at = self.field.cut(&self.field.a)?;
        let due = self.workload.active_down_interval();
        thread::sleep(due.saturating_sub(self.workload.interval));
        meanwhile(&captures)?;
        let give_up_at = Instant::now() + PATIENCE + due;
        loop {
            let heard: usize = captures
                .iter()
                .map(|capture| vrids(capture, self.field.b.number).len())
                .sum();
            let mut why = format!(
                "it has advertised {heard} of {} virtual routers",
                self.workload.instances
            );
            if heard == self.workload.instances {
                let frames: Vec<Vec<Frame>> = captures.iter().map(Capture::frames).collect();
                if also(&frames) {
                    match Takeover::read(self, cut_at, frames) {
                        Ok(takeover) => return Ok(takeover),
                        Err(error) => why = format!("{error:#}"),
                    }
                } else {
                    "it has not done all that was awaited".clone_into(&mut why);
                }
            }
            if Instant::now() > give_up_at {
                bail!("node-b does not take over: {why}:\n{}", tail(&self.b.log()));
            }
            thread::sleep(LOOK_EVERY);
        }
    }

    /// Ends a [`cut`](Self::cut) and waits for calm.
    ///
    /// # Errors
    /// As [`await_calm`](Self::await_calm).
    pub fn mend(&mut self) -> Result<()> {
        self.field.mend(&self.field.a)?;
        self.await_calm()
    }
}

/// What one virtual router went through in a [`Pair::cut`].
#[derive(Clone, Copy, Debug)]
pub struct Relieved {
    /// The last advertisement that reached node-b.
    pub last: Timestamp,
    /// Active_Down_Interval after it.
    pub due: Timestamp,
    /// The first advertisement of node-b.
    pub first: Timestamp,
}

/// What was seen of a takeover.
#[derive(Debug)]
pub struct Takeover {
    /// When node-a was cut off.
    pub cut_at: Timestamp,
    /// One for each virtual router, in their order.
    pub instances: Vec<Relieved>,
    /// Virtual routers that node-b has advertised although it heard node-a.
    pub false_takeovers: usize,
    /// All that was captured at the switch's ports to node-b, one list for each interface.
    pub frames: Vec<Vec<Frame>>,
}

impl Takeover {
    fn read(pair: &Pair, cut_at: Timestamp, frames: Vec<Vec<Frame>>) -> Result<Self> {
        let (a, b) = (pair.field.a.number, pair.field.b.number);
        // By interface and VRID: the last of node-a, and all of node-b.
        let mut last = BTreeMap::new();
        let mut own = BTreeMap::<_, Vec<Timestamp>>::new();
        for (interface, frames) in frames.iter().enumerate() {
            for frame in frames {
                let Some((number, vrid)) = advertised(frame) else {
                    continue;
                };
                let key = (interface, vrid);
                if number == a && frame.outgoing {
                    last.insert(key, frame.at);
                } else if number == b && !frame.outgoing {
                    own.entry(key).or_default().push(frame.at);
                }
            }
        }
        let interval = pair.workload.active_down_interval();
        let mut false_takeovers = 0;
        let instances = (0..pair.workload.instances)
            .map(|index| {
                let key = pair.workload.place(index);
                let last = *last
                    .get(&key)
                    .with_context(|| format!("node-b did not hear virtual router {index}"))?;
                let own = own.get(&key).map(Vec::as_slice).unwrap_or_default();
                // Far too early to be about the cut.
                let (early, own): (Vec<Timestamp>, Vec<Timestamp>) =
                    own.iter().partition(|at| **at < last + interval / 2);
                false_takeovers += usize::from(!early.is_empty());
                let first = *own
                    .first()
                    .with_context(|| format!("node-b did not take over virtual router {index}"))?;
                Ok(Relieved {
                    last,
                    due: last + interval,
                    first,
                })
            })
            .collect::<Result<_>>()?;
        Ok(Self {
            cut_at,
            instances,
            false_takeovers,
            frames,
        })
    }

    /// When node-b first announced each of `addresses`, on interface `index`; one that it
    /// has not announced is missing.
    #[must_use]
    pub fn announcements(&self, index: usize) -> BTreeMap<Ipv4Addr, Timestamp> {
        self.frames
            .get(index)
            .map(|frames| announcements(frames))
            .unwrap_or_default()
    }
}

/// When each address was first announced in `frames`, those that came from the node.
#[must_use]
pub fn announcements(frames: &[Frame]) -> BTreeMap<Ipv4Addr, Timestamp> {
    let mut first = BTreeMap::new();
    for frame in frames.iter().filter(|frame| !frame.outgoing) {
        if let Packet::Arp { sender, target, .. } = frame.packet
            && sender == target
        {
            first.entry(sender).or_insert(frame.at);
        }
    }
    first
}

/// The number of the node that sent the advertisement in `frame`, and its VRID; `None`
/// if it is none, or gives up the virtual router.
fn advertised(frame: &Frame) -> Option<(u8, u8)> {
    let advert = frame.advert()?;
    let IpAddr::V4(source) = advert.source else {
        return None;
    };
    (advert.priority > 0).then_some((source.octets()[3], advert.vrid))
}

/// The virtual routers that the node `number` has advertised.
fn vrids(capture: &Capture, number: u8) -> std::collections::BTreeSet<u8> {
    capture.read(|frames| {
        frames
            .iter()
            .filter_map(advertised)
            .filter(|(sender, _)| *sender == number)
            .map(|(_, vrid)| vrid)
            .collect()
    })
}

fn await_true(mut question: impl FnMut() -> Result<bool>) -> Result<()> {
    let give_up_at = Instant::now() + PATIENCE;
    while !question()? {
        ensure!(Instant::now() < give_up_at, "not within {PATIENCE:?}");
        thread::sleep(LOOK_EVERY);
    }
    Ok(())
}

/// The end of a log.
pub(super) fn tail(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(20)..].join("\n")
}

/// A random number from 0 to 1.
///
/// # Errors
/// If the kernel has none.
pub fn random() -> Result<f64> {
    let mut octets = [0; 4];
    File::open("/dev/urandom")
        .and_then(|mut file| file.read_exact(&mut octets))
        .context("cannot read /dev/urandom")?;
    Ok(f64::from(u32::from_ne_bytes(octets)) / f64::from(u32::MAX))
}
