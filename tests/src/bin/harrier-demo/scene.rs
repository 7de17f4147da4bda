//! The network of the demo and what happens in it.

use std::{fs::File, io::Read as _, net::IpAddr, path::PathBuf, thread, time::Duration};

use anyhow::{Context as _, Result};
use ha_common::time::Timestamp;
use ha_tests::{
    capture::Capture,
    daemon::{Harrier, Instance},
    keepalived::Keepalived,
    lab::{Host, Lab},
    probe::{Probe, Responder},
    process::Process,
    run::Run,
};

use crate::{Options, PeerKind, timeline::Timeline};

/// The virtual address.
pub(crate) const ADDRESS: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 77, 0, 100));
/// node-a's priority.
pub(crate) const PRIORITY_A: u8 = 200;
/// node-b's priority.
pub(crate) const PRIORITY_B: u8 = 100;

/// The router on node-a.
enum NodeA {
    Harrier(Harrier),
    Keepalived(Keepalived),
}

impl NodeA {
    fn process(&mut self) -> &mut Process {
        match self {
            Self::Harrier(harrier) => &mut harrier.process,
            Self::Keepalived(keepalived) => &mut keepalived.process,
        }
    }
}

/// What can be waited for that takes longer has gone wrong.
const PATIENCE: Duration = Duration::from_secs(20);

/// Everything that is up during the demo. The fields go in their order: the
/// daemons before the network.
pub(crate) struct Scene {
    node_a: NodeA,
    node_b: Harrier,
    pub(crate) probe: Probe,
    _responders: [Responder; 2],
    pub(crate) at_client: Capture,
    pub(crate) at_node_b: Capture,
    pub(crate) lab: Lab,
    pub(crate) advert_interval: Duration,
    pub(crate) peer: PeerKind,
}

impl Scene {
    /// Makes the network and starts routers and client.
    pub(crate) fn set_up(run: Run, options: &Options) -> Result<Self> {
        let lab = Lab::of(run, 2)?;
        let (a, b) = lab.pair();
        let at_client = lab.capture(&lab.client)?;
        let at_node_b = lab.capture(b)?;
        let responders = [Responder::start(a)?, Responder::start(b)?];
        let instance = |priority| Instance {
            advert_interval: options.advert,
            ..Instance::new(priority, &["10.77.0.100/16"])
        };
        let mut node_a = match options.peer {
            PeerKind::Harrier => NodeA::Harrier(Harrier::start(&lab, a, &[instance(PRIORITY_A)])?),
            PeerKind::Keepalived => {
                NodeA::Keepalived(Keepalived::start(&lab, a, &instance(PRIORITY_A))?)
            }
        };
        let mut node_b = Harrier::start(&lab, b, &[instance(PRIORITY_B)])?;
        node_a.process().quiet();
        node_b.process.quiet();
        let probe = Probe::start(&lab.client, ADDRESS)?;
        Ok(Self {
            node_a,
            node_b,
            probe,
            _responders: responders,
            at_client,
            at_node_b,
            lab,
            advert_interval: options.advert,
            peer: options.peer,
        })
    }

    pub(crate) fn a(&self) -> &Host {
        self.lab.pair().0
    }

    pub(crate) fn b(&self) -> &Host {
        self.lab.pair().1
    }

    /// Where node-b's daemon pins its maps.
    pub(crate) fn pins(&self) -> PathBuf {
        self.node_b.runtime_directory().join("bpf")
    }

    /// Its runtime directory.
    pub(crate) fn runtime_directory(&self) -> &std::path::Path {
        self.node_b.runtime_directory()
    }

    fn patience(&self) -> Duration {
        PATIENCE + 10 * self.advert_interval
    }

    /// Waits until node-a has answered for a while and node-b stands by.
    pub(crate) fn await_calm(&mut self) -> Result<()> {
        let patience = self.patience();
        self.node_b.await_state("web", "backup", patience)?;
        // node-b may have been Active for as long as it was alone.
        let from = self.probe.mark();
        self.probe
            .await_answers(self.a(), from, 500, patience)
            .with_context(|| {
                let log = match &self.node_a {
                    NodeA::Harrier(harrier) => harrier.process.log(),
                    NodeA::Keepalived(keepalived) => keepalived.process.log(),
                };
                format!("the log of node-a:\n{log}")
            })?;
        self.node_b.await_state("web", "backup", patience)?;
        Ok(())
    }

    /// Cuts node-a off at a random point of its interval. Returns when.
    pub(crate) fn cut_node_a(&self) -> Result<Timestamp> {
        let mut random = [0; 4];
        File::open("/dev/urandom")
            .and_then(|mut file| file.read_exact(&mut random))
            .context("cannot read /dev/urandom")?;
        let part = f64::from(u32::from_ne_bytes(random)) / f64::from(u32::MAX);
        let source = IpAddr::from(self.a().ipv4());
        let mark = self.at_node_b.mark();
        self.at_node_b.await_advert(
            "an advertisement of node-a",
            mark,
            self.patience(),
            |advert| advert.source == source,
        )?;
        // Not a wait for anything: the cut is to fall at a random time.
        thread::sleep(self.advert_interval.mul_f64(part));
        self.lab.cut(self.a())
    }

    /// Waits until node-b has answered for a while, from the mark `from` on.
    pub(crate) fn await_takeover(&self, from: usize) -> Result<()> {
        self.probe
            .await_answers(self.b(), from, 150, self.patience())
            .map(drop)
            .with_context(|| format!("the log of node-b:\n{}", self.node_b.process.log()))
    }

    /// Who answered when, one character per slice of time: the client's view
    /// from one interval before the cut to somewhat after the first answer.
    pub(crate) fn strip(&self, timeline: &Timeline) -> String {
        const SLICES: u32 = 72;
        let from = timeline.cut - self.advert_interval;
        let span = timeline.first_answer.since(from).mul_f64(1.15);
        let slice = span / SLICES;
        let answers = self.probe.answers();
        (0..SLICES)
            .map(|index| {
                let start = from + slice * index;
                let end = start + slice;
                let answer = answers
                    .iter()
                    .find(|answer| answer.at >= start && answer.at < end);
                match answer.map(|answer| answer.node) {
                    Some(1) => 'a',
                    Some(_) => 'b',
                    None => '·',
                }
            })
            .collect()
    }

    /// Leaves everything up but client and captures.
    pub(crate) fn leave(self) {
        std::mem::forget(self.node_a);
        std::mem::forget(self.node_b);
        self.lab.leave();
    }
}
