//! Two nodes, each with a group of two instances, on a small network; and random
//! events, with the rules that hold after each.

use std::cmp::Reverse;

use proptest::prelude::*;

use super::*;

/// Between a send and the arrival.
const LATENCY: Duration = Duration::from_micros(200);

struct Node {
    engine: Engine,
    /// Of each instance.
    installed: [bool; 2],
    /// Announced before they are installed.
    promised: [bool; 2],
    /// What the kernel was told of each instance.
    published: [Option<Sorting>; 2],
    links: [bool; 2],
    grouped: bool,
}

impl Node {
    fn new(host: u8, priorities: [u8; 2]) -> Self {
        let address = Ipv4Addr::new(10, 0, 0, host);
        let instances = priorities.map(|priority| Parameters {
            address: address.into(),
            ..parameters(priority)
        });
        let group = vec![vec![InstanceId(0), InstanceId(1)]];
        Self {
            engine: Engine::new(instances, Vec::new(), group),
            installed: [false; 2],
            promised: [false; 2],
            published: [None; 2],
            links: [true; 2],
            grouped: true,
        }
    }

    /// Carries out what is asked for, under the rules; what is sent comes back.
    fn act(&mut self) -> Vec<(usize, Priority)> {
        let mut sent = Vec::new();
        while let Some((InstanceId(index), action)) = self.engine.poll_action() {
            let index = index as usize;
            match action {
                Action::SendAdvert { priority } => sent.push((index, priority)),
                Action::InstallAddresses => {
                    self.installed[index] = true;
                    self.promised[index] = false;
                }
                Action::RemoveAddresses => {
                    assert!(self.installed[index], "removed twice");
                    self.installed[index] = false;
                }
                Action::Announce => self.promised[index] = !self.installed[index],
                Action::UpdateKernel(sorting) => {
                    assert_ne!(self.published[index], Some(sorting), "no news");
                    self.published[index] = Some(sorting);
                }
                Action::Transition { to, .. } => {
                    let told = self.published[index].map(|sorting| sorting.state);
                    assert_eq!(told, Some(to), "told too late");
                    assert!(!self.promised[index], "announced and not there");
                }
                Action::Resumed { .. } => {}
            }
        }
        self.judge();
        sent
    }

    fn judge(&self) {
        let engine = &self.engine;
        let states: Vec<StateKind> = engine.ids().map(|id| engine.state(id)).collect();
        for (index, id) in engine.ids().enumerate() {
            let serves = matches!(states[index], StateKind::Active | StateKind::Releasing);
            let lingers = matches!(engine.addresses(id), Addresses::LeavingAt(_));
            assert_eq!(self.installed[index], serves || lingers, "{states:?}");
            if states[index] != StateKind::Init {
                assert_eq!(self.published[index], Some(engine.sorting(id)));
            }
        }
        // Only the steps of a stop may part a group that serves.
        let together = states.iter().all(|state| *state == StateKind::Active)
            || !states.contains(&StateKind::Active)
            || !self.grouped
            || engine.ids().any(|id| engine.slots[id].joining);
        assert!(
            together || states.contains(&StateKind::Init) || states.contains(&StateKind::Releasing),
            "{states:?}"
        );
    }
}

struct Network {
    now: Timestamp,
    nodes: [Node; 2],
    /// Arrival, receiver, instance, priority; the last is the next.
    flying: Vec<(Timestamp, usize, usize, Priority)>,
    /// Nothing arrives.
    parted: bool,
}

impl Network {
    fn new(priorities: [[u8; 2]; 2]) -> Self {
        let mut network = Self {
            now: at(0),
            nodes: [Node::new(1, priorities[0]), Node::new(2, priorities[1])],
            flying: Vec::new(),
            parted: false,
        };
        for node in 0..2 {
            for id in network.nodes[node].engine.ids() {
                network.nodes[node].engine.handle_startup(at(0), id);
            }
            network.act(node);
        }
        network
    }

    fn act(&mut self, node: usize) {
        let sent = self.nodes[node].act();
        for (index, priority) in sent {
            if self.nodes[node].links[index] && !self.parted {
                let arrival = (self.now + LATENCY, 1 - node, index, priority);
                self.flying.push(arrival);
            }
        }
        self.flying.sort_by_key(|(at, ..)| Reverse(*at));
    }

    fn link(&mut self, node: usize, index: usize, up: bool) {
        self.nodes[node].links[index] = up;
        let id = InstanceId(u32::try_from(index).unwrap());
        let engine = &mut self.nodes[node].engine;
        if up {
            engine.handle_recovery(self.now, id, FaultCause::Interface);
        } else {
            engine.handle_fault(self.now, id, FaultCause::Interface);
        }
        self.act(node);
    }

    fn run_until(&mut self, end: Timestamp) {
        loop {
            let arrival = self.flying.last().map(|(at, ..)| *at);
            let due = self
                .nodes
                .iter()
                .filter_map(|node| node.engine.poll_timeout());
            let Some(next) = due.chain(arrival).min().filter(|at| *at <= end) else {
                self.now = end;
                return;
            };
            assert!(next >= self.now);
            self.now = next;
            if arrival == Some(next) {
                let (at, to, index, priority) = self.flying.pop().unwrap();
                let node = &mut self.nodes[to];
                if node.links[index] {
                    let advert = Advert {
                        at,
                        source: Ipv4Addr::new(10, 0, 0, 2 - u8::try_from(to).unwrap()).into(),
                        priority,
                        interval: INTERVAL,
                    };
                    let id = InstanceId(u32::try_from(index).unwrap());
                    node.engine.handle_advert(next, id, &advert);
                    self.act(to);
                }
                continue;
            }
            for node in 0..2 {
                let mut turns = 0;
                while let Some(id) = self.nodes[node].engine.poll_due(next) {
                    self.nodes[node].engine.handle_timeout(next, id);
                    self.act(node);
                    turns += 1;
                    assert!(turns < 20, "the driver spins");
                }
            }
        }
    }

    fn states(&self, node: usize) -> [StateKind; 2] {
        let engine = &self.nodes[node].engine;
        [engine.state(InstanceId(0)), engine.state(InstanceId(1))]
    }

    fn transitions(&self) -> u64 {
        let engines = self.nodes.iter().map(|node| &node.engine);
        engines
            .flat_map(|engine| engine.ids().map(|id| engine.snapshot(id).transitions))
            .sum()
    }

    /// All members on `node`, and they stay there.
    fn assert_settled_on(&mut self, node: usize) {
        assert_eq!(self.states(node), [StateKind::Active; 2]);
        assert_eq!(self.states(1 - node), [StateKind::Backup; 2]);
        let before = self.transitions();
        self.run_until(self.now + Duration::from_secs(10));
        assert_eq!(self.transitions(), before, "it flaps");
    }
}

#[test]
fn after_a_one_sided_fault_and_its_recovery_all_are_on_one_node() {
    for index in 0..2 {
        let mut network = Network::new([[150, 150], [100, 100]]);
        network.run_until(at(1000));
        network.assert_settled_on(0);
        network.link(0, index, false);
        assert!(network.nodes[0].installed[1 - index], "no gap");
        // One release is heard, the link of the other is down: Active_Down.
        network.run_until(network.now + ACTIVE_DOWN);
        assert!(network.nodes[0].installed[1 - index] || network.nodes[1].installed[1 - index]);
        network.run_until(network.now + Duration::from_millis(50));
        assert_eq!(network.states(0), [StateKind::Fault; 2]);
        assert_eq!(network.states(1), [StateKind::Active; 2]);
        assert_eq!(network.nodes[0].installed, [false; 2]);
        network.run_until(network.now + Duration::from_secs(5));
        network.link(0, index, true);
        network.run_until(network.now + Duration::from_secs(1));
        network.assert_settled_on(0);
    }
}

#[test]
fn a_fault_that_is_over_before_the_hand_over_is() {
    let mut network = Network::new([[150, 150], [100, 100]]);
    network.run_until(at(1000));
    network.link(0, 0, false);
    network.run_until(network.now + Duration::from_millis(5));
    network.link(0, 0, true);
    network.run_until(network.now + Duration::from_secs(2));
    network.assert_settled_on(0);
}

#[test]
fn each_node_better_at_one_member_does_not_flap() {
    // One is there first: the other never has a deadline that passes.
    let mut network = Network::new([[200, 50], [50, 200]]);
    network.run_until(at(20_000));
    let winner = usize::from(network.states(0) != [StateKind::Active; 2]);
    network.assert_settled_on(winner);
    for (node, index) in [(winner, 0), (winner, 1), (1 - winner, 0)] {
        network.link(node, index, false);
        network.run_until(network.now + Duration::from_secs(5));
        network.link(node, index, true);
        network.run_until(network.now + Duration::from_secs(20));
        let winner = usize::from(network.states(0) != [StateKind::Active; 2]);
        network.assert_settled_on(winner);
    }
}

#[test]
fn two_nodes_that_were_both_active_settle_whoever_is_better_at_what() {
    for priorities in [
        [[200, 50], [50, 200]],
        [[50, 200], [200, 50]],
        [[150, 150], [100, 100]],
        [[100, 100], [100, 100]],
        [[150, 100], [100, 100]],
        [[255, 50], [100, 100]],
    ] {
        let mut network = Network::new(priorities);
        // Nobody hears anybody until both are Active.
        network.parted = true;
        network.run_until(at(600));
        network.parted = false;
        for node in 0..2 {
            assert_eq!(network.states(node), [StateKind::Active; 2]);
        }
        network.run_until(network.now + Duration::from_secs(20));
        let winner = usize::from(network.states(0) != [StateKind::Active; 2]);
        network.assert_settled_on(winner);
    }
}

#[derive(Clone, Copy, Debug)]
enum Event {
    Startup,
    Shutdown,
    StopNow,
    Fault(FaultCause),
    Recovery(FaultCause),
    Attached,
    Tracker(bool),
    Claim,
    Drain(bool),
    /// As it is, or without the group, or without a delay.
    Reload(bool, bool),
    Wait(u64),
    Hear {
        age_ms: u64,
        priority: u8,
    },
}

fn event() -> impl Strategy<Value = (u32, Event)> {
    let cause = || {
        prop_oneof![
            Just(FaultCause::Interface),
            Just(FaultCause::Action),
            Just(FaultCause::Detached),
        ]
    };
    let event = prop_oneof![
        2 => Just(Event::Startup),
        1 => Just(Event::Shutdown),
        1 => Just(Event::StopNow),
        1 => cause().prop_map(Event::Fault),
        2 => cause().prop_map(Event::Recovery),
        1 => Just(Event::Attached),
        2 => any::<bool>().prop_map(Event::Tracker),
        1 => Just(Event::Claim),
        1 => any::<bool>().prop_map(Event::Drain),
        2 => any::<(bool, bool)>().prop_map(|(grouped, delayed)| Event::Reload(grouped, delayed)),
        6 => (0..500_u64).prop_map(Event::Wait),
        8 => (0..50_u64, any::<u8>()).prop_map(|(age_ms, priority)| Event::Hear { age_ms, priority }),
    ];
    (0..2_u32, event)
}

proptest! {
    /// Whatever happens to a group: what `act` and `judge` assert, and no deadline
    /// that has passed is left after a turn.
    #[test]
    fn a_group_keeps_the_rules(
        weights in any::<[i16; 2]>(),
        preempt_delay in 0..300_u64,
        events in proptest::collection::vec(event(), 1..100),
    ) {
        let mut node = Node::new(1, [100, 150]);
        let trackings = weights.map(|weight| vec![
            Tracking { tracker: TrackerId(0), weight: weight % 254, reverse: false },
            Tracking { tracker: TrackerId(1), weight: 0, reverse: weight < 0 },
        ]);
        let instances = [100, 150].map(|priority| Parameters {
            preempt_delay: Duration::from_millis(preempt_delay),
            ..parameters(priority)
        });
        let group = vec![vec![InstanceId(0), InstanceId(1)]];
        node.engine = Engine::new(instances, trackings.to_vec(), group.clone());
        let mut now = at(1000);
        for (index, event) in events {
            let id = InstanceId(index);
            let engine = &mut node.engine;
            match event {
                Event::Startup => engine.handle_startup(now, id),
                Event::Shutdown => engine.handle_shutdown(now, id),
                Event::StopNow => engine.handle_stop_now(now, id),
                Event::Fault(cause) => engine.handle_fault(now, id, cause),
                Event::Recovery(cause) => engine.handle_recovery(now, id, cause),
                Event::Attached => {
                    // Under another key; the same is news then.
                    node.published[index as usize] = None;
                    engine.handle_attached(now, id, parameters(1).address);
                }
                Event::Tracker(up) => engine.handle_tracker(now, TrackerId(index), up),
                Event::Claim => engine.handle_claim(now, id),
                Event::Drain(drained) => {
                    engine.handle_drain(now, id, drained);
                }
                Event::Reload(grouped, delayed) => {
                    let reload = |instances: [Parameters; 2]| crate::engine::Reload {
                        changed: (0..)
                            .map(InstanceId)
                            .zip(instances.into_iter().zip(&trackings))
                            .map(|(id, (parameters, trackings))| crate::engine::Member {
                                id,
                                parameters,
                                trackings: trackings.clone(),
                            })
                            .collect(),
                        groups: if grouped { group.clone() } else { Vec::new() },
                        ..crate::engine::Reload::default()
                    };
                    let mut other = instances;
                    if !delayed {
                        other = other.map(|it| Parameters { preempt_delay: Duration::ZERO, ..it });
                    }
                    engine.handle_reload(now, reload(other));
                    node.grouped = grouped;
                    node.act();
                    // Once more is no news.
                    let before = node.engine.poll_timeout();
                    node.engine.handle_reload(now, reload(other));
                    prop_assert_eq!(node.engine.poll_action(), None);
                    prop_assert_eq!(node.engine.poll_timeout(), before);
                }
                Event::Wait(millis) => {
                    now = now + Duration::from_millis(millis);
                    let mut turns = 0;
                    while let Some(id) = node.engine.poll_due(now) {
                        node.engine.handle_timeout(now, id);
                        node.act();
                        turns += 1;
                        prop_assert!(turns < 20, "the driver spins");
                    }
                    prop_assert!(node.engine.poll_timeout().is_none_or(|due| due > now));
                }
                Event::Hear { age_ms, priority } => {
                    let advert = advert(now - Duration::from_millis(age_ms), priority);
                    engine.handle_advert(now, id, &advert);
                }
            }
            node.act();
        }
    }
}
