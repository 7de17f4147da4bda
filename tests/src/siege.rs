//! An elected pair of Harriers, a client that depends on them, and a stranger on
//! the same link who means no good.
//!
//! node-a is Active, node-b Backup, node-c the stranger: it runs nothing and
//! only sends what a test has it send.

use std::{
    collections::BTreeMap,
    env,
    net::IpAddr,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use ha_common::time::Timestamp;

use crate::{
    capture::{Capture, Frame, Injector},
    clock,
    daemon::{Harrier, Instance, InstanceStatus},
    lab::{Host, INTERFACE, Lab},
    probe::{Probe, Responder},
};

/// What takes longer hangs.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// The client may have fewer requests in a row unanswered than this. It sends
/// one each millisecond, and no failover at 100 ms is shorter than 300 ms. Counted
/// in requests, since a client that itself gets no CPU time asks nothing.
pub const UNINTERRUPTED: u32 = 150;

/// How long what wears a machine down is kept up: 3 s, or so many seconds as
/// `HARRIER_STRESS_SECONDS` says (`cargo xtask test --long`).
///
/// # Errors
/// If the variable is not a number.
pub fn stress_span() -> Result<Duration> {
    match env::var("HARRIER_STRESS_SECONDS") {
        Ok(text) => text
            .parse()
            .map(Duration::from_secs)
            .with_context(|| format!("HARRIER_STRESS_SECONDS is {text:?}, no number")),
        Err(_) => Ok(Duration::from_secs(3)),
    }
}

/// The counts of one daemon by name.
pub type Counters = BTreeMap<String, u64>;

/// See the [module](self).
#[derive(Debug)]
pub struct Siege {
    /// The Active.
    pub a: Harrier,
    /// The Backup.
    pub b: Harrier,
    /// The client, which asks the last address of the Active.
    pub probe: Probe,
    /// Sends as the stranger.
    pub stranger: Injector,
    /// Send out of the switch's ports to node-a and node-b: for what a switch
    /// would drop itself (Linux's does, where br_netfilter is loaded).
    pub ports: [Injector; 2],
    /// What node-a sends, as it comes in at the switch.
    pub of_a: Capture,
    /// What node-b sends, as it comes in at the switch.
    pub of_b: Capture,
    /// Answer on node-a and node-b.
    pub responders: [Responder; 2],
    /// The network.
    pub lab: Lab,
}

/// A point in time to compare with, see [`Siege::mark`].
#[derive(Clone, Debug)]
pub struct Mark {
    /// When it was.
    pub at: Timestamp,
    /// Transitions of node-a and node-b.
    pub transitions: [u64; 2],
    /// Counters of node-a.
    pub counters_a: Counters,
    /// Counters of node-b.
    pub counters_b: Counters,
    /// Answers that the client had.
    pub answers: usize,
    /// Frames in [`Siege::of_a`].
    pub of_a: usize,
    /// Frames in [`Siege::of_b`].
    pub of_b: usize,
}

impl Siege {
    /// Starts the pair and waits until node-a is Active, node-b has heard it and
    /// the client is served.
    ///
    /// # Errors
    /// If that does not come about.
    pub fn laid(on_a: &Instance, on_b: &Instance) -> Result<Self> {
        Self::laid_by(
            |lab, host, instance| Harrier::start(lab, host, std::slice::from_ref(instance)),
            on_a,
            on_b,
        )
    }

    /// [`laid`](Self::laid) with daemons that `start` starts.
    ///
    /// # Errors
    /// If that does not come about.
    pub fn laid_by(
        start: impl Fn(&Lab, &Host, &Instance) -> Result<Harrier>,
        on_a: &Instance,
        on_b: &Instance,
    ) -> Result<Self> {
        let lab = Lab::new(3)?;
        let (host_a, host_b) = lab.pair();
        let capture_of = |host: &Host| Capture::start_of(&lab.switch, &host.name, host.mac());
        let (of_a, of_b) = (capture_of(host_a)?, capture_of(host_b)?);
        let responders = [Responder::start(host_a)?, Responder::start(host_b)?];
        let mut a = start(&lab, host_a, on_a)?;
        a.await_state(&on_a.name, "active", PATIENCE)?;
        let mut b = start(&lab, host_b, on_b)?;
        b.await_status("node-a is heard", PATIENCE, |status| {
            let status = &status.instances[0];
            (status.state == "backup" && status.active.is_some()).then_some(())
        })?;
        let asked = on_a.addresses.last().context("an address to ask")?;
        let asked = asked.split('/').next().unwrap_or_default();
        let probe = Probe::start(&lab.client, asked.parse()?)?;
        probe.await_answers(host_a, 0, 50, PATIENCE)?;
        Ok(Self {
            a,
            b,
            probe,
            stranger: Injector::open(&lab.nodes[2].netns, INTERFACE)?,
            ports: [
                Injector::open(&lab.switch, &host_a.name)?,
                Injector::open(&lab.switch, &host_b.name)?,
            ],
            of_a,
            of_b,
            responders,
            lab,
        })
    }

    /// Sends `frames` to node-a and to node-b, whatever they say of where they go.
    ///
    /// # Errors
    /// If a port refuses one.
    pub fn send_to_both(&self, frames: &[impl AsRef<[u8]>]) -> Result<()> {
        self.ports.iter().try_for_each(|port| port.send_all(frames))
    }

    /// node-c.
    #[must_use]
    pub fn stranger_host(&self) -> &Host {
        &self.lab.nodes[2]
    }

    /// How things are now.
    ///
    /// # Errors
    /// If a daemon does not answer.
    pub fn mark(&self) -> Result<Mark> {
        Ok(Mark {
            at: clock::now(),
            transitions: [status(&self.a)?.transitions, status(&self.b)?.transitions],
            counters_a: self.a.counters()?,
            counters_b: self.b.counters()?,
            answers: self.probe.mark(),
            of_a: self.of_a.mark(),
            of_b: self.of_b.mark(),
        })
    }

    /// Nothing has happened since `mark` by any account: no daemon's (both live,
    /// in their states, without a transition), not the wire's (the Backup has
    /// said nothing), not the client's (node-a answers, without an outage).
    ///
    /// # Errors
    /// What has happened.
    pub fn unmoved_since(&mut self, mark: &Mark) -> Result<()> {
        self.a_unmoved_since(mark)?;
        let b = status(&self.b)?;
        ensure!(
            b.state == "backup" && b.transitions == mark.transitions[1],
            "the Backup has moved: {b:?}"
        );
        if let Some(frame) = advert_of(&self.of_b, mark.of_b) {
            bail!("the Backup has advertised: {frame:?}");
        }
        let a = &self.lab.nodes[0];
        // An answer from after the mark at least.
        self.probe.await_answers(a, mark.answers, 10, PATIENCE)?;
        let answers = self.probe.answers();
        let since = &answers[mark.answers.saturating_sub(1)..];
        ensure!(
            since.iter().all(|answer| answer.node == a.number),
            "another than node-a has answered the client"
        );
        let unanswered = since
            .windows(2)
            .map(|pair| pair[1].sequence.saturating_sub(pair[0].sequence + 1))
            .max()
            .unwrap_or_default();
        ensure!(
            unanswered < UNINTERRUPTED,
            "{unanswered} requests of the client in a row had no answer"
        );
        Ok(())
    }

    /// node-a is Active as it was at `mark`.
    ///
    /// # Errors
    /// If it is not, or has not been all the time.
    pub fn a_unmoved_since(&mut self, mark: &Mark) -> Result<()> {
        for (name, harrier) in [("node-a", &mut self.a), ("node-b", &mut self.b)] {
            let ended = harrier.process.ended()?;
            ensure!(ended.is_none(), "{name} has ended: {ended:?}");
        }
        let a = status(&self.a)?;
        ensure!(
            a.state == "active" && a.transitions == mark.transitions[0],
            "the Active has moved: {a:?}"
        );
        Ok(())
    }
}

/// The status of a daemon's only instance.
///
/// # Errors
/// If it does not answer.
pub fn status(harrier: &Harrier) -> Result<InstanceStatus> {
    harrier
        .status()?
        .and_then(|status| status.instances.into_iter().next())
        .context("a daemon that answers")
}

/// The first advertisement that came in at `capture` from the mark `from` on.
#[must_use]
pub fn advert_of(capture: &Capture, from: usize) -> Option<Frame> {
    capture
        .frames()
        .into_iter()
        .skip(from)
        .find(|frame| !frame.outgoing && frame.advert().is_some())
}

/// The longest span between two neighbours.
pub fn longest(times: impl IntoIterator<Item = Timestamp>) -> Duration {
    let mut times = times.into_iter();
    let Some(mut last) = times.next() else {
        return Duration::ZERO;
    };
    times
        .map(|at| at.since(std::mem::replace(&mut last, at)))
        .max()
        .unwrap_or_default()
}

/// How far the counts of `harrier` are from `before`.
///
/// # Errors
/// If it does not answer, or a count has gone down.
pub fn increase(harrier: &Harrier, before: &Counters) -> Result<Counters> {
    harrier
        .counters()?
        .into_iter()
        .map(|(name, count)| {
            let before = before.get(&name).copied().unwrap_or(0);
            let more = count
                .checked_sub(before)
                .with_context(|| format!("{name} went from {before} to {count}"))?;
            Ok((name, more))
        })
        .collect()
}

/// Counts that say something more of a packet that another counts, or count
/// something else than advertisements. Each advertisement is counted in exactly
/// one of the rest.
pub const SECOND_COUNTS: [&str; 6] = [
    "checksum_with_pseudo_header",
    "checksum_message_only",
    "checksum_with_group",
    "address_list_differs",
    "foreign_claims",
    "events_lost",
];

/// The advertisements in `counters`.
#[must_use]
pub fn adverts(counters: &Counters) -> u64 {
    counters
        .iter()
        .filter(|(name, _)| !SECOND_COUNTS.contains(&name.as_str()))
        .map(|(_, count)| count)
        .sum()
}

/// Waits until the counts of `harrier` have gone up from `before` so that
/// `enough` holds, or for 2 s, and returns by how much they have.
///
/// # Errors
/// If the daemon does not answer.
pub fn await_increase(
    harrier: &Harrier,
    before: &Counters,
    enough: impl Fn(&Counters) -> bool,
) -> Result<Counters> {
    let give_up_at = Instant::now() + Duration::from_secs(2);
    loop {
        let more = increase(harrier, before)?;
        if enough(&more) || Instant::now() > give_up_at {
            return Ok(more);
        }
        // The map gives no event.
        thread::sleep(Duration::from_millis(5));
    }
}

/// `address` without its prefix length.
///
/// # Errors
/// If it is none.
pub fn plain(cidr: &str) -> Result<IpAddr> {
    cidr.split('/')
        .next()
        .unwrap_or_default()
        .parse()
        .with_context(|| format!("{cidr} is no address"))
}
