//! One run: a queue of what happens when, in true time.

use std::collections::{BinaryHeap, VecDeque};

use ha_common::{
    abi,
    fsm::{Action, Addresses, Reason, StateKind},
    time::Timestamp,
    types::Priority,
};
use ha_user::engine::InstanceId;

use super::{
    check::{INSTALLATION, Monitor, Violation, violated},
    clock::{Clock, Event, Queued},
    daemon::{Daemon, Effect},
    frame,
    paths::NODES,
    rng::Rng,
    scenario::{Member, Scenario},
    watch::Watch,
};

/// Lines of a trace that are kept.
const TRACE: usize = 90;

pub(crate) struct Node {
    pub(crate) clock: Clock,
    pub(crate) daemon: Option<Daemon>,
    /// Tells what is meant for this daemon from what was meant for one before.
    pub(crate) epoch: u32,
    pub(crate) wake_at: Option<u64>,
    /// It woke up while it was paused.
    pub(crate) woken: bool,
    /// The fault that stopped, killed or paused it.
    pub(crate) off_by: Option<usize>,
    pub(crate) paused_by: Option<usize>,
    pub(crate) links_down: [u32; 2],
    pub(crate) trackers_down: i32,
    /// Its parameters as configured, per instance.
    pub(crate) bases: Vec<Member>,
    pub(crate) watches: Vec<Watch>,
    /// When its addresses are in use after InstallAddresses, per instance.
    pub(crate) serves_at: Vec<u64>,
    /// Since when another router is to have them.
    pub(crate) handed_over: Vec<Option<u64>>,
}

/// What came of a run.
pub(crate) struct Outcome {
    pub(crate) violation: Option<Violation>,
    pub(crate) at: u64,
    pub(crate) takeovers: u64,
    /// Of all that happened, in order.
    pub(crate) digest: u64,
    pub(crate) trace: VecDeque<String>,
}

pub(crate) struct World<'a> {
    pub(crate) scenario: &'a Scenario,
    pub(crate) rng: Rng,
    pub(crate) now: u64,
    pub(crate) order: u64,
    pub(crate) queue: BinaryHeap<Queued>,
    pub(crate) nodes: Vec<Node>,
    pub(crate) cuts: [[[u32; NODES]; NODES]; 2],
    pub(crate) losses: Vec<u64>,
    pub(crate) monitor: Monitor<'a>,
    pub(crate) effects: Vec<Effect>,
    pub(crate) expected: Vec<Vec<abi::Instance>>,
    pub(crate) trace: Option<VecDeque<String>>,
    pub(crate) takeovers: u64,
    pub(crate) digest: u64,
}

/// Runs `scenario`; with a trace it takes several times as long.
pub(crate) fn run(scenario: &Scenario, traced: bool) -> Outcome {
    let mut world = World::new(scenario, traced);
    let violation = world.run().err();
    Outcome {
        violation,
        at: world.now,
        takeovers: world.takeovers,
        digest: world.digest,
        trace: world.trace.unwrap_or_default(),
    }
}

impl<'a> World<'a> {
    fn new(scenario: &'a Scenario, traced: bool) -> Self {
        let instances = scenario.instances.len();
        let mut world = Self {
            rng: Rng::new(!scenario.seed),
            now: 0,
            order: 0,
            queue: BinaryHeap::with_capacity(64),
            nodes: (0..scenario.nodes)
                .map(|node| Node {
                    clock: Clock {
                        base: scenario.clocks[node].0,
                        ppm: scenario.clocks[node].1,
                    },
                    daemon: None,
                    epoch: 0,
                    wake_at: None,
                    woken: false,
                    off_by: None,
                    paused_by: None,
                    links_down: [0; 2],
                    trackers_down: 0,
                    bases: scenario
                        .instances
                        .iter()
                        .map(|instance| instance.members[node])
                        .collect(),
                    serves_at: vec![0; instances],
                    handed_over: vec![None; instances],
                    watches: (0..instances).map(|_| Watch::new(node)).collect(),
                })
                .collect(),
            cuts: [[[0; NODES]; NODES]; 2],
            losses: Vec::new(),
            monitor: Monitor::new(scenario),
            effects: Vec::new(),
            expected: (0..scenario.nodes)
                .map(|node| {
                    (0..)
                        .zip(&scenario.instances)
                        .map(|(index, instance)| frame::published(instance, node, index))
                        .collect()
                })
                .collect(),
            trace: traced.then(VecDeque::new),
            takeovers: 0,
            digest: 0,
            scenario,
        };
        for (node, at) in scenario.starts.iter().enumerate() {
            world.push(*at, Event::Start(node));
        }
        for (place, fault) in scenario.faults.iter().enumerate() {
            world.push(fault.at, Event::Begin(place));
            world.push(fault.until, Event::End(place));
        }
        world
    }

    fn run(&mut self) -> Result<(), Violation> {
        while let Some(Queued { at, event, .. }) = self.queue.pop() {
            if at > self.scenario.end {
                break;
            }
            self.now = at;
            self.handle(event)?;
        }
        self.now = self.scenario.end;
        self.changed(false)
    }

    fn handle(&mut self, event: Event) -> Result<(), Violation> {
        match event {
            Event::Start(node) => {
                let idle = self.nodes[node].daemon.is_none() && self.nodes[node].off_by.is_none();
                if idle { self.start(node) } else { Ok(()) }
            }
            Event::Deliver { to, index, advert } => {
                self.deliver(to, index, &advert);
                Ok(())
            }
            Event::Wake { node, epoch } => {
                let now = self.now;
                let place = &mut self.nodes[node];
                if place.epoch != epoch || place.wake_at != Some(now) {
                    return Ok(());
                }
                place.wake_at = None;
                if place.paused_by.is_some() {
                    place.woken = true;
                    return Ok(());
                }
                self.turn(node)
            }
            Event::News { node, epoch, news } => {
                if self.nodes[node].epoch == epoch {
                    self.command(node, news);
                }
                self.changed(true)
            }
            Event::Begin(place) => self.begin(place),
            Event::End(place) => self.end(place),
        }
    }

    /// The daemon goes on, as far as it gets.
    pub(crate) fn turn(&mut self, node: usize) -> Result<(), Violation> {
        let place = &mut self.nodes[node];
        let Some(daemon) = &mut place.daemon else {
            return Ok(());
        };
        let now = place.clock.read(self.now);
        let mut effects = std::mem::take(&mut self.effects);
        let publishing = daemon.turn(now, &mut effects);
        let mut transitions = false;
        for effect in effects.drain(..) {
            transitions |= matches!(effect, Effect::Act(_, Action::UpdateKernel(_), _));
            self.apply(node, now, effect)?;
        }
        self.effects = effects;
        self.follow_priorities(node)?;
        if publishing {
            let mut most = self.scenario.publication;
            // Others let go of the addresses soon after our advertisement.
            if self.nodes[node].watches.iter().any(Watch::awaits_addresses) {
                most = most.min(INSTALLATION);
            }
            let at = self.now + self.rng.up_to(most);
            self.wake(node, at);
        } else {
            self.rest(node, now)?;
        }
        if transitions {
            self.changed(false)
        } else {
            Ok(())
        }
    }

    /// The daemon has nothing more to do for now.
    fn rest(&mut self, node: usize, now: Timestamp) -> Result<(), Violation> {
        let late = self.late();
        let place = &mut self.nodes[node];
        let Some(daemon) = &place.daemon else {
            return Ok(());
        };
        for (watch, id) in place.watches.iter_mut().zip(daemon.engine.ids()) {
            if !daemon.has_work() && !daemon.has_news(id) {
                watch.settle();
            }
            let state = daemon.engine.state(id);
            let there = daemon.engine.addresses(id) != Addresses::Absent;
            if watch.installed != there || !watch.may_have_addresses(now) {
                return violated(
                    "addresses",
                    format!("node {node}: installed is {} in {state}", watch.installed),
                );
            }
        }
        if daemon.has_stopped() {
            self.drop_daemon(node);
            return Ok(());
        }
        let more = daemon.has_work().then_some(self.now);
        let due = daemon.engine.poll_timeout();
        let due = due.map(|at| place.clock.when(at).max(self.now) + late);
        if let Some(at) = more.into_iter().chain(due).min() {
            self.wake(node, at);
        }
        Ok(())
    }

    fn apply(&mut self, node: usize, now: Timestamp, effect: Effect) -> Result<(), Violation> {
        self.digest = self
            .digest
            .rotate_left(5)
            .wrapping_add(self.now)
            .wrapping_mul(0x9e37_79b9_7f4a_7c15)
            ^ node as u64;
        let (index, action, at) = match effect {
            Effect::Act(index, action, at) => (index, action, at),
            Effect::Released(index) => {
                let instance = &self.monitor.instances[index];
                self.nodes[node].watches[index].released(now, instance);
                return Ok(());
            }
            Effect::Attached(index) => {
                self.nodes[node].watches[index].attached();
                return Ok(());
            }
            Effect::Heard(index) => {
                self.nodes[node].watches[index].heard();
                return Ok(());
            }
            Effect::Spins(index) => {
                return violated(
                    "progress",
                    format!(
                        "node {node} instance {index}: a deadline that has passed is due again"
                    ),
                );
            }
        };
        self.note(|| format!("node {node} instance {index}: {action:?}"));
        let place = &mut self.nodes[node];
        let state = place.daemon.as_ref().map(|daemon| {
            let id = InstanceId(u32::try_from(index).expect("few"));
            daemon.engine.state(id)
        });
        place.watches[index].act(
            at,
            now,
            self.scenario.slack(),
            &self.monitor.instances[index],
            action,
        )?;
        match action {
            Action::SendAdvert { priority } => {
                let last = state == Some(StateKind::Releasing) && priority == Priority::RELEASE;
                self.send(node, index, priority, last)?;
            }
            // Whether it has told the others or not.
            Action::UpdateKernel(sorting) if sorting.state == StateKind::Releasing => {
                // That it leaves is a disturbance, and comes before the wait.
                self.changed(false)?;
                self.monitor.stopped(self.now, index, node);
                let due = self.monitor.awaits_successor(index, node);
                self.nodes[node].handed_over[index] = due.then_some(self.now);
            }
            Action::Transition {
                to: StateKind::Active,
                ..
            } => {
                self.takeovers += 1;
                let id = InstanceId(u32::try_from(index).expect("few"));
                let engine = self.nodes[node].daemon.as_ref().map(|it| &it.engine);
                let faulty = engine.is_some_and(|engine| {
                    let now = engine.snapshot(id);
                    now.state == StateKind::Active && !now.faults.is_empty()
                });
                if faulty {
                    return violated(
                        "fault",
                        format!("node {node} instance {index}: Active, although in fault"),
                    );
                }
            }
            Action::Transition {
                to: StateKind::Backup,
                reason: Reason::NoSuccessor { .. },
                ..
            } if !self.scenario.grouped => {
                return violated(
                    "no gap",
                    format!("node {node} instance {index}: gives up what nobody wants"),
                );
            }
            Action::Transition {
                reason: Reason::Outranked { .. },
                ..
            } => {
                // What outranked may be old: whoever sent it need not be Active now.
                let id = InstanceId(u32::try_from(index).expect("few"));
                let is_active = |other: &Node| {
                    let daemon = other.daemon.as_ref();
                    daemon.is_some_and(|daemon| daemon.engine.state(id) == StateKind::Active)
                };
                let relieved = self.nodes.iter().any(is_active);
                self.nodes[node].handed_over[index] = relieved.then_some(self.now);
            }
            Action::InstallAddresses => {
                let place = &mut self.nodes[node];
                place.handed_over[index] = None;
                place.serves_at[index] = self.now + self.rng.up_to(INSTALLATION);
            }
            Action::RemoveAddresses => self.check_gap(node, index)?,
            _ => {}
        }
        Ok(())
    }

    /// The effective priorities of `node` are followed; a change is a disturbance.
    fn follow_priorities(&mut self, node: usize) -> Result<(), Violation> {
        let Some(daemon) = &self.nodes[node].daemon else {
            return Ok(());
        };
        let news: Vec<(usize, u8)> = daemon
            .engine
            .ids()
            .map(|id| (id.0 as usize, daemon.engine.parameters(id).priority.0))
            .filter(|(index, priority)| {
                self.monitor.instances[*index].members[node].priority != *priority
            })
            .collect();
        if news.is_empty() {
            return Ok(());
        }
        self.changed(true)?;
        for (index, priority) in news {
            self.monitor.reweigh(self.now, index, node, priority);
        }
        Ok(())
    }

    /// The addresses leave `node`: whoever was to have them has them.
    fn check_gap(&mut self, node: usize, index: usize) -> Result<(), Violation> {
        let settled = self.scenario.latency() + self.scenario.slack();
        let lossy = self.losses.iter().any(|permille| *permille > 0);
        let Some(since) = self.nodes[node].handed_over[index].take() else {
            return Ok(());
        };
        // A link that is lost takes them at once.
        let link = self.scenario.instances[index].link;
        if self.nodes[node].links_down[link] > 0 {
            return Ok(());
        }
        let released = self.monitor.disturbed() == since;
        let calm = released || self.monitor.disturbed() + settled < since;
        let has =
            |other: &Node| other.watches[index].installed && other.serves_at[index] <= self.now;
        let others = (0..self.scenario.nodes).filter(|other| *other != node);
        let served = others.into_iter().any(|other| has(&self.nodes[other]));
        if calm && !lossy && !self.scenario.grouped && !served {
            return violated(
                "no gap",
                format!("instance {index}: the addresses leave node {node}, and nobody has them"),
            );
        }
        Ok(())
    }

    pub(crate) fn late(&mut self) -> u64 {
        self.rng.up_to(self.scenario.lateness)
    }

    /// Lets `node` wake at `at`, unless it wakes before or is in the middle of a
    /// publication, after which it looks for work by itself.
    pub(crate) fn wake(&mut self, node: usize, at: u64) {
        let place = &mut self.nodes[node];
        let busy = place.daemon.as_ref().is_some_and(Daemon::is_publishing);
        if place.wake_at.is_some_and(|wake_at| wake_at <= at || busy) {
            return;
        }
        place.wake_at = Some(at);
        let epoch = place.epoch;
        self.push(at, Event::Wake { node, epoch });
    }

    pub(crate) fn push(&mut self, at: u64, event: Event) {
        self.order += 1;
        self.queue.push(Queued {
            at,
            order: self.order,
            event,
        });
    }

    pub(crate) fn note(&mut self, line: impl FnOnce() -> String) {
        if let Some(trace) = &mut self.trace {
            if trace.len() == TRACE {
                trace.pop_front();
            }
            trace.push_back(format!("{:>16.6} ms  {}", self.now as f64 / 1e6, line()));
        }
    }
}
