//! One run: a queue of what happens when, in true time.

use std::{
    cmp::Ordering,
    collections::{BinaryHeap, VecDeque},
};

use ha_common::{
    abi,
    fsm::{Action, StateKind},
    time::Timestamp,
    types::Priority,
    wire::vrrp::Advert,
};

use super::{
    check::{Monitor, NODES, Paths, Role, Violation, violated},
    daemon::{Command, Daemon, Effect},
    frame,
    rng::Rng,
    scenario::{Kind, Scenario},
    watch::Watch,
};

/// Lines of a trace that are kept.
const TRACE: usize = 60;

#[derive(Clone, Copy, Debug)]
enum Event {
    Start(usize),
    Deliver {
        to: usize,
        index: usize,
        advert: Advert,
    },
    Wake {
        node: usize,
        epoch: u32,
    },
    LinkNews {
        node: usize,
        epoch: u32,
        up: bool,
    },
    Begin(usize),
    End(usize),
}

struct Queued {
    at: u64,
    order: u64,
    event: Event,
}

impl Ord for Queued {
    fn cmp(&self, other: &Self) -> Ordering {
        // The heap gives the greatest first.
        (other.at, other.order).cmp(&(self.at, self.order))
    }
}

impl PartialOrd for Queued {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Queued {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Queued {}

/// A node's clock: where it stood at the start, and its error.
#[derive(Clone, Copy)]
struct Clock {
    base: u64,
    ppm: i64,
}

impl Clock {
    fn read(self, now: u64) -> Timestamp {
        let error = i128::from(now) * i128::from(self.ppm) / 1_000_000;
        let reading = i128::from(self.base) + i128::from(now) + error;
        Timestamp::from_nanos(u64::try_from(reading).expect("the base is greater"))
    }

    /// The first true time at which it reads at least `reading`.
    fn when(self, reading: Timestamp) -> u64 {
        let span = u128::from(reading.as_nanos().saturating_sub(self.base));
        let rate = u128::try_from(1_000_000 + self.ppm).expect("a small error");
        let mut at = u64::try_from(span * 1_000_000 / rate).expect("within the run");
        while self.read(at) < reading {
            at += 1;
        }
        at
    }
}

struct Node {
    clock: Clock,
    daemon: Option<Daemon>,
    /// Tells what is meant for this daemon from what was meant for one before.
    epoch: u32,
    wake_at: Option<u64>,
    /// It woke up while it was paused.
    woken: bool,
    /// The fault that stopped, killed or paused it.
    off_by: Option<usize>,
    paused_by: Option<usize>,
    links_down: u32,
    watches: Vec<Watch>,
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
    scenario: &'a Scenario,
    rng: Rng,
    now: u64,
    order: u64,
    queue: BinaryHeap<Queued>,
    nodes: Vec<Node>,
    cuts: [[u32; NODES]; NODES],
    losses: Vec<u64>,
    monitor: Monitor<'a>,
    effects: Vec<Effect>,
    expected: Vec<Vec<abi::Instance>>,
    trace: Option<VecDeque<String>>,
    takeovers: u64,
    digest: u64,
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
                    links_down: 0,
                    watches: (0..instances).map(|_| Watch::new(node)).collect(),
                })
                .collect(),
            cuts: [[0; NODES]; NODES],
            losses: Vec::new(),
            monitor: Monitor::new(scenario),
            effects: Vec::new(),
            expected: (0..scenario.nodes)
                .map(|node| {
                    (0..instances)
                        .map(|index| frame::published(scenario, node, index))
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
            Event::LinkNews { node, epoch, up } => {
                if self.nodes[node].epoch == epoch {
                    self.command(node, Command::Link { up });
                }
                self.changed(true)
            }
            Event::Begin(place) => self.begin(place),
            Event::End(place) => self.end(place),
        }
    }

    fn begin(&mut self, place: usize) -> Result<(), Violation> {
        let kind = self.scenario.faults[place].kind;
        self.note(|| format!("begins: {kind:?}"));
        match kind {
            Kind::Crash { node } if self.nodes[node].daemon.is_some() => {
                self.nodes[node].off_by = Some(place);
                self.drop_daemon(node);
            }
            Kind::Stop { node } if self.nodes[node].daemon.is_some() => {
                if self.nodes[node].off_by.is_none() {
                    self.nodes[node].off_by = Some(place);
                    self.command(node, Command::Shutdown);
                }
            }
            Kind::Pause { node } if self.nodes[node].daemon.is_some() => {
                let node = &mut self.nodes[node];
                if node.paused_by.is_none() {
                    node.paused_by = Some(place);
                    node.watches.iter_mut().for_each(Watch::pause);
                }
            }
            Kind::Crash { .. } | Kind::Stop { .. } | Kind::Pause { .. } => {}
            Kind::LinkDown { node } => {
                self.nodes[node].links_down += 1;
                self.link_news(node);
            }
            Kind::Partition { .. } | Kind::OneWay { .. } => self.cut(kind, true),
            Kind::Loss { permille } => self.losses.push(permille),
        }
        self.changed(true)
    }

    fn end(&mut self, place: usize) -> Result<(), Violation> {
        let kind = self.scenario.faults[place].kind;
        self.note(|| format!("ends: {kind:?}"));
        match kind {
            Kind::Crash { node } | Kind::Stop { node } => {
                if self.nodes[node].off_by == Some(place) {
                    if self.nodes[node].daemon.is_some() {
                        // Paused before it could stop: it starts after that.
                        let again = self.now + self.scenario.instances[0].slowest();
                        self.push(again, Event::End(place));
                        return Ok(());
                    }
                    self.nodes[node].off_by = None;
                    return self.start(node);
                }
            }
            Kind::Pause { node } => {
                let place_of = &mut self.nodes[node];
                if place_of.paused_by == Some(place) {
                    place_of.paused_by = None;
                    if std::mem::take(&mut place_of.woken) {
                        let at = self.now + self.late();
                        self.wake(node, at);
                    }
                }
            }
            Kind::LinkDown { node } => {
                self.nodes[node].links_down -= 1;
                self.link_news(node);
            }
            Kind::Partition { .. } | Kind::OneWay { .. } => self.cut(kind, false),
            Kind::Loss { permille } => {
                let found = self.losses.iter().position(|loss| *loss == permille);
                self.losses.swap_remove(found.expect("it began"));
            }
        }
        self.changed(true)
    }

    fn cut(&mut self, kind: Kind, begins: bool) {
        for from in 0..self.scenario.nodes {
            for to in 0..self.scenario.nodes {
                let cuts = match kind {
                    Kind::Partition { mask } => (mask >> from ^ mask >> to) & 1 == 1,
                    Kind::OneWay {
                        from: one,
                        to: other,
                    } => (one, other) == (from, to),
                    _ => false,
                };
                if cuts && begins {
                    self.cuts[from][to] += 1;
                } else if cuts {
                    self.cuts[from][to] -= 1;
                }
            }
        }
    }

    fn start(&mut self, node: usize) -> Result<(), Violation> {
        self.note(|| format!("node {node} starts"));
        let place = &mut self.nodes[node];
        let now = place.clock.read(self.now);
        place.daemon = Some(Daemon::start(
            self.scenario,
            node,
            now,
            place.links_down == 0,
        ));
        place.watches.iter_mut().for_each(Watch::start);
        self.turn(node)
    }

    fn drop_daemon(&mut self, node: usize) {
        let place = &mut self.nodes[node];
        place.daemon = None;
        place.epoch += 1;
        place.wake_at = None;
        place.woken = false;
        place.paused_by = None;
    }

    fn link_news(&mut self, node: usize) {
        let at = self.now + 1_000 + self.late();
        let Node {
            epoch, links_down, ..
        } = self.nodes[node];
        let up = links_down == 0;
        self.push(at, Event::LinkNews { node, epoch, up });
    }

    fn command(&mut self, node: usize, command: Command) {
        if let Some(daemon) = &mut self.nodes[node].daemon {
            daemon.commands.push_back(command);
            let at = self.now + self.late();
            self.wake(node, at);
        }
    }

    fn deliver(&mut self, to: usize, index: usize, advert: &Advert) {
        let node = &mut self.nodes[to];
        if node.links_down > 0 {
            return;
        }
        let Some(daemon) = &mut node.daemon else {
            return;
        };
        let now = node.clock.read(self.now);
        let state = daemon.slots[index].instance.state;
        let role = match state {
            abi::STATE_BACKUP => Some(StateKind::Backup),
            abi::STATE_ACTIVE => Some(StateKind::Active),
            _ => None,
        };
        if let Some(role) = role {
            node.watches[index].hear(now, &self.scenario.instances[index], role, advert);
        }
        let wakes = daemon.hear(now, index, advert);
        self.note(|| {
            format!(
                "node {to} instance {index} hears priority {} of {:?}",
                advert.priority, advert.source.0
            )
        });
        if wakes {
            let at = self.now + self.late();
            self.wake(to, at);
        }
    }

    /// The daemon goes on, as far as it gets.
    fn turn(&mut self, node: usize) -> Result<(), Violation> {
        let place = &mut self.nodes[node];
        let Some(daemon) = &mut place.daemon else {
            return Ok(());
        };
        let now = place.clock.read(self.now);
        let mut effects = std::mem::take(&mut self.effects);
        let publishing = daemon.turn(now, &mut effects);
        let mut transitions = false;
        for effect in effects.drain(..) {
            transitions |= matches!(effect, Effect::Act(_, Action::Transition { .. }, _));
            self.apply(node, now, effect)?;
        }
        self.effects = effects;
        if publishing {
            let at = self.now + self.rng.up_to(self.scenario.publication);
            self.wake(node, at);
        } else {
            self.rest(node)?;
        }
        if transitions {
            self.changed(false)
        } else {
            Ok(())
        }
    }

    /// The daemon has nothing more to do for now.
    fn rest(&mut self, node: usize) -> Result<(), Violation> {
        let late = self.late();
        let place = &mut self.nodes[node];
        let Some(daemon) = &place.daemon else {
            return Ok(());
        };
        for (watch, id) in place.watches.iter().zip(daemon.engine.ids()) {
            let state = daemon.engine.state(id);
            if watch.installed != (state == StateKind::Active) {
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
                let instance = &self.scenario.instances[index];
                self.nodes[node].watches[index].released(now, instance);
                return Ok(());
            }
        };
        self.note(|| format!("node {node} instance {index}: {action:?}"));
        let place = &mut self.nodes[node];
        let stopped = place.daemon.as_ref().is_some_and(Daemon::has_stopped);
        place.watches[index].act(
            at,
            now,
            self.scenario.slack(),
            &self.scenario.instances[index],
            action,
        )?;
        match action {
            Action::SendAdvert { priority } => {
                let last = stopped && priority == Priority::RELEASE;
                self.send(node, index, priority, last)?;
            }
            Action::RemoveAddresses if stopped => {
                // That it leaves is a disturbance, and comes before the wait.
                self.changed(false)?;
                self.monitor.stopped(self.now, index, node);
            }
            Action::Transition {
                to: StateKind::Active,
                ..
            } => self.takeovers += 1,
            _ => {}
        }
        Ok(())
    }

    fn send(
        &mut self,
        node: usize,
        index: usize,
        priority: Priority,
        last: bool,
    ) -> Result<(), Violation> {
        if !last {
            self.monitor.sent(self.now, index);
        }
        let receiver = (node + 1) % self.scenario.nodes;
        let passed = frame::pass(
            &self.scenario.instances[index],
            index as u8 + 51,
            node,
            priority,
            &self.expected[receiver][index],
        );
        let advert = match passed {
            Ok(advert) => advert,
            Err(what) => {
                return violated(
                    "the wire",
                    format!("an advertisement of node {node} {what}"),
                );
            }
        };
        if self.nodes[node].links_down > 0 {
            return Ok(());
        }
        let scenario = self.scenario;
        for to in 0..scenario.nodes {
            if to == node || self.cuts[node][to] > 0 {
                continue;
            }
            let copies = 1 + u32::from(self.rng.chance(scenario.duplicate_permille));
            for _ in 0..copies {
                let lost = (0..self.losses.len()).any(|place| self.rng.chance(self.losses[place]));
                if lost {
                    continue;
                }
                let mut at = self.now + scenario.delay + self.rng.up_to(scenario.jitter);
                if self.rng.chance(scenario.straggle_permille) {
                    at += self.rng.up_to(scenario.straggle);
                }
                self.push(at, Event::Deliver { to, index, advert });
            }
        }
        Ok(())
    }

    /// Tells the monitor of what is now.
    fn changed(&mut self, disturbance: bool) -> Result<(), Violation> {
        let scenario = self.scenario;
        let mut roles = [[Role::Off; NODES]; 2];
        let mut cut = [[false; NODES]; NODES];
        for (number, node) in self.nodes.iter().enumerate() {
            for (other, cut) in cut[number].iter_mut().enumerate().take(scenario.nodes) {
                *cut = self.cuts[number][other] > 0
                    || node.links_down > 0
                    || self.nodes[other].links_down > 0;
            }
            let Some(daemon) = node.daemon.as_ref().filter(|_| node.paused_by.is_none()) else {
                continue;
            };
            for id in daemon.engine.ids() {
                roles[id.0 as usize][number] = match daemon.engine.state(id) {
                    StateKind::Active => Role::Active,
                    StateKind::Backup => Role::Candidate,
                    StateKind::Init | StateKind::Fault => Role::Off,
                };
            }
        }
        let paths = Paths {
            cut,
            lossy: self.losses.iter().any(|permille| *permille > 0),
        };
        let roles = &roles[..scenario.instances.len()];
        self.monitor.change(self.now, disturbance, roles, paths)
    }

    fn late(&mut self) -> u64 {
        self.rng.up_to(self.scenario.lateness)
    }

    /// Lets `node` wake at `at`, unless it wakes before or is in the middle of a
    /// publication, after which it looks for work by itself.
    fn wake(&mut self, node: usize, at: u64) {
        let place = &mut self.nodes[node];
        let busy = place.daemon.as_ref().is_some_and(Daemon::is_publishing);
        if place.wake_at.is_some_and(|wake_at| wake_at <= at || busy) {
            return;
        }
        place.wake_at = Some(at);
        let epoch = place.epoch;
        self.push(at, Event::Wake { node, epoch });
    }

    fn push(&mut self, at: u64, event: Event) {
        self.order += 1;
        self.queue.push(Queued {
            at,
            order: self.order,
            event,
        });
    }

    fn note(&mut self, line: impl FnOnce() -> String) {
        if let Some(trace) = &mut self.trace {
            if trace.len() == TRACE {
                trace.pop_front();
            }
            trace.push_back(format!("{:>16.6} ms  {}", self.now as f64 / 1e6, line()));
        }
    }
}
