//! The driver's order around a real [`Engine`], as `ha-user/src/driver/mod.rs`
//! has it: events, then commands, then deadlines; the kernel's record is read
//! before a deadline passes and once more when Active has been published.
//!
//! A change of state takes time until it is published. Meanwhile the kernel
//! sorts by the old state and the driver does nothing else, so a turn can stop
//! half-way ([`Daemon::turn`] returns `true`) and is taken up again.

use std::collections::VecDeque;

use ha_common::{
    abi,
    fsm::{Action, Advert, Parameters, StateKind},
    time::Timestamp,
    types::{Centiseconds, Priority, RouterAddress},
};
use ha_user::engine::{Engine, InstanceId};

use super::{frame, kernel::Slot, scenario::Scenario};

/// Events that the ring holds: each takes its 56 octets and a header of 8.
const RING: usize = abi::EVENTS_BYTES as usize / 64 - 1;
/// As the driver's constant of this name.
const EVENTS_PER_TURN: usize = 256;

#[derive(Clone, Copy, Debug)]
pub(crate) enum Command {
    Link { up: bool },
    Shutdown,
}

/// What the outside sees of a turn, in order.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Effect {
    Act(usize, Action, Timestamp),
    /// Priority 0 is handed to an Active, whose timer then starts anew.
    Released(usize),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    Events,
    Commands,
    Deadlines,
    Stopped,
}

pub(crate) struct Daemon {
    pub(crate) engine: Engine,
    pub(crate) slots: Vec<Slot>,
    ring: VecDeque<abi::Event>,
    pub(crate) commands: VecDeque<Command>,
    looked_at_ns: Vec<u64>,
    link_up: bool,
    stopping: bool,
    phase: Phase,
    taken: usize,
    acting_at: Timestamp,
    /// A change of state that is not published yet.
    publishing: Option<(InstanceId, StateKind)>,
}

impl Daemon {
    /// A daemon that starts at `now`; its first [`turn`](Self::turn) acts on it.
    pub(crate) fn start(scenario: &Scenario, node: usize, now: Timestamp, link_up: bool) -> Self {
        let slots: Vec<Slot> = (0..scenario.instances.len())
            .map(|index| Slot::new(frame::published(scenario, node, index)))
            .collect();
        let mut engine = Engine::new(scenario.instances.iter().map(|instance| {
            let member = &instance.members[node];
            Parameters {
                version: instance.version,
                priority: Priority(member.priority),
                address: frame::address(instance.family, node),
                preempt: member.preempt,
                advertisement_interval: Centiseconds(member.interval_cs).to_duration(),
            }
        }));
        for id in engine.ids() {
            engine.handle_startup(now, id);
            if !link_up {
                engine.handle_fault(now, id);
            }
        }
        Self {
            looked_at_ns: vec![0; slots.len()],
            engine,
            slots,
            ring: VecDeque::new(),
            commands: VecDeque::new(),
            link_up,
            stopping: false,
            phase: Phase::Events,
            taken: 0,
            acting_at: now,
            publishing: None,
        }
    }

    /// The kernel program receives `advert`; whether that wakes the daemon.
    pub(crate) fn hear(
        &mut self,
        now: Timestamp,
        index: usize,
        advert: &ha_common::wire::vrrp::Advert,
    ) -> bool {
        let ring = &mut self.ring;
        let before = ring.len();
        self.slots[index].hear(now.as_nanos(), advert, |event| {
            let room = ring.len() < RING;
            if room {
                ring.push_back(event);
            }
            room
        });
        self.ring.len() > before
    }

    pub(crate) fn has_work(&self) -> bool {
        !self.ring.is_empty() || !self.commands.is_empty()
    }

    pub(crate) fn is_publishing(&self) -> bool {
        self.publishing.is_some()
    }

    pub(crate) fn has_stopped(&self) -> bool {
        self.phase == Phase::Stopped
    }

    /// Goes on where the last turn stopped; `true` if a publication has begun.
    pub(crate) fn turn(&mut self, now: Timestamp, out: &mut Vec<Effect>) -> bool {
        if let Some((id, to)) = self.publishing.take() {
            self.slots[id.0 as usize].instance.state = to.code();
            if to == StateKind::Active
                && let Some(advert) = self.unseen(id)
            {
                self.engine.handle_advert(self.acting_at, id, &advert);
            }
        }
        loop {
            while let Some((id, action)) = self.engine.poll_action() {
                out.push(Effect::Act(id.0 as usize, action, self.acting_at));
                if let Action::Transition { to, .. } = action {
                    self.publishing = Some((id, to));
                    return true;
                }
            }
            self.acting_at = now;
            match self.phase {
                Phase::Events => match self.ring.pop_front() {
                    Some(event) => {
                        self.handle_event(now, &event, out);
                        self.taken += 1;
                        if self.taken == EVENTS_PER_TURN {
                            self.phase = Phase::Commands;
                        }
                    }
                    None => self.phase = Phase::Commands,
                },
                Phase::Commands => match self.commands.pop_front() {
                    Some(Command::Link { up }) => self.handle_link(now, up),
                    Some(Command::Shutdown) => self.stopping = true,
                    None => self.phase = Phase::Deadlines,
                },
                Phase::Deadlines => {
                    if let Some(id) = self.engine.poll_due(now) {
                        if let Some(advert) = self.unseen(id) {
                            self.engine.handle_advert(now, id, &advert);
                        }
                        self.engine.handle_timeout(now, id);
                    } else if self.stopping {
                        self.phase = Phase::Stopped;
                        for id in self.engine.ids() {
                            self.engine.handle_shutdown(now, id);
                        }
                    } else {
                        self.phase = Phase::Events;
                        self.taken = 0;
                        return false;
                    }
                }
                Phase::Stopped => return false,
            }
        }
    }

    fn handle_event(&mut self, now: Timestamp, event: &abi::Event, out: &mut Vec<Effect>) {
        let id = InstanceId(event.index);
        let advert = Advert {
            at: Timestamp::from_nanos(event.at_ns),
            source: RouterAddress(event.address),
            priority: Priority(event.priority),
            interval: Centiseconds(event.interval_cs).to_duration(),
        };
        if advert.priority == Priority::RELEASE && self.engine.state(id) == StateKind::Active {
            out.push(Effect::Released(event.index as usize));
        }
        // A release shortens what is left of Active_Down, so what is left has to be
        // known: the engine's deadline may still count from an older arrival.
        if event.kind == abi::EVENT_RELEASE
            && let Some(held_back_by) = self.unseen(id)
        {
            self.engine.handle_advert(now, id, &held_back_by);
        }
        self.engine.handle_advert(now, id, &advert);
    }

    fn handle_link(&mut self, now: Timestamp, up: bool) {
        if self.link_up == up {
            return;
        }
        self.link_up = up;
        for id in self.engine.ids() {
            if up {
                self.engine.handle_recovery(now, id);
            } else {
                self.engine.handle_fault(now, id);
            }
        }
    }

    fn unseen(&mut self, id: InstanceId) -> Option<Advert> {
        let place = id.0 as usize;
        let record = &self.slots[place].record;
        if record.last_seen_ns == self.looked_at_ns[place] {
            return None;
        }
        self.looked_at_ns[place] = record.last_seen_ns;
        Some(Advert {
            at: Timestamp::from_nanos(record.last_seen_ns),
            source: RouterAddress(record.address),
            priority: Priority(record.priority),
            interval: Centiseconds(record.interval_cs).to_duration(),
        })
    }
}
