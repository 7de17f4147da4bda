//! The driver's order around a real [`Engine`], as `ha-user/src/driver/mod.rs`
//! has it: events, then commands, then deadlines; the kernel's record is read
//! before a deadline passes and once more after each publication.
//!
//! A change of what the kernel sorts by takes time until it is published. Meanwhile the kernel
//! sorts by the old state and the driver does nothing else, so a turn can stop
//! half-way ([`Daemon::turn`] returns `true`) and is taken up again.

use std::{collections::VecDeque, time::Duration};

use ha_common::{
    abi,
    fsm::{Action, Advert, FaultCause, Parameters, Sorting, StateKind, TrackerId},
    time::Timestamp,
    types::{Centiseconds, Priority, RouterAddress},
};
use ha_user::engine::{Engine, InstanceId, Member, Reload, Tracking};

use super::{frame, kernel::Slot, scenario::Instance};

/// Events that the ring holds: each takes its 56 octets and a header of 8.
const RING: usize = abi::EVENTS_BYTES as usize / 64 - 1;
/// As the driver's constant of this name.
const EVENTS_PER_TURN: usize = 256;
/// Far more than can be due at one time: one that is not moved comes for ever.
const DEADLINES_PER_TURN: usize = 1000;

#[derive(Clone, Copy, Debug)]
pub(crate) enum Command {
    Link {
        link: usize,
        up: bool,
    },
    Tracker {
        up: bool,
    },
    /// Another configuration, in which the first instance has this priority.
    Reload {
        priority: u8,
    },
    Detach {
        link: usize,
    },
    Attach {
        link: usize,
    },
    Shutdown,
}

/// What the outside sees of a turn, in order.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Effect {
    Act(usize, Action, Timestamp),
    /// Priority 0 is handed to an Active, whose timer then starts anew.
    Released(usize),
    /// Another advertisement is handed to an Active, perhaps one from before.
    Heard(usize),
    /// It has a new interface; what was heard on the old one is void.
    Attached(usize),
    /// A deadline of this one is due again and again.
    Spins(usize),
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
    /// The configuration.
    members: Vec<Member>,
    groups: Vec<Vec<InstanceId>>,
    /// Of each instance: its link, what is published of it at first, its address.
    links: Vec<(usize, abi::Instance)>,
    link_up: [bool; 2],
    stopping: bool,
    phase: Phase,
    taken: usize,
    passed: usize,
    acting_at: Timestamp,
    /// What the kernel is to sort by, not published yet.
    publishing: Option<(InstanceId, Sorting)>,
}

impl Daemon {
    /// A daemon that starts at `now`; its first [`turn`](Self::turn) acts on it.
    pub(crate) fn start(
        instances: &[Instance],
        grouped: bool,
        node: usize,
        now: Timestamp,
        link_up: [bool; 2],
    ) -> Self {
        let links: Vec<(usize, abi::Instance)> = (0..)
            .zip(instances)
            .map(|(index, instance)| (instance.link, frame::published(instance, node, index)))
            .collect();
        let parameters: Vec<Parameters> = instances
            .iter()
            .map(|instance| {
                let member = &instance.members[node];
                Parameters {
                    preempt: member.preempt,
                    preempt_delay: Duration::from_nanos(member.preempt_delay),
                    startup_delay: Duration::from_nanos(member.startup_delay),
                    quick_preempt: member.quick_preempt,
                    phase: member.phase.map(Duration::from_nanos),
                    announce: instance.announce,
                    ..Parameters::new(
                        instance.version,
                        Priority(member.priority),
                        frame::address(instance.family, member.host),
                        Centiseconds(member.interval_cs).to_duration(),
                    )
                }
            })
            .collect();
        let tracking = |instance: &Instance| Tracking {
            tracker: TrackerId(0),
            weight: instance.members[node].weight,
            reverse: false,
        };
        let trackings: Vec<Vec<Tracking>> = instances
            .iter()
            .map(|instance| vec![tracking(instance)])
            .collect();
        let ids = (0..).map(InstanceId).take(instances.len());
        let groups: Vec<Vec<InstanceId>> = if grouped {
            vec![ids.clone().collect()]
        } else {
            Vec::new()
        };
        let members = ids
            .zip(parameters.iter().zip(&trackings))
            .map(|(id, (parameters, trackings))| Member {
                id,
                parameters: *parameters,
                trackings: trackings.clone(),
            })
            .collect();
        let mut daemon = Self {
            looked_at_ns: vec![0; links.len()],
            engine: Engine::new(parameters, trackings, groups.clone()),
            members,
            groups,
            slots: links.iter().map(|(_, first)| Slot::new(*first)).collect(),
            links,
            ring: VecDeque::new(),
            commands: VecDeque::new(),
            link_up,
            stopping: false,
            phase: Phase::Events,
            taken: 0,
            passed: 0,
            acting_at: now,
            publishing: None,
        };
        for id in daemon.engine.ids() {
            daemon.take_part(now, id);
        }
        daemon
    }

    fn take_part(&mut self, now: Timestamp, id: InstanceId) {
        let (link, first) = self.links[id.0 as usize];
        if self.link_up[link] {
            self.engine.handle_recovery(now, id, FaultCause::Interface);
        } else {
            self.engine.handle_fault(now, id, FaultCause::Interface);
        }
        let address = RouterAddress(first.own_address);
        self.engine.handle_attached(now, id, address);
    }

    fn on_link(&self, link: usize) -> Vec<InstanceId> {
        let is_on = |id: &InstanceId| self.links[id.0 as usize].0 == link;
        self.engine.ids().filter(is_on).collect()
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

    /// Whether the kernel's record holds something that the engine has not seen.
    pub(crate) fn has_news(&self, id: InstanceId) -> bool {
        let place = id.0 as usize;
        self.slots[place].record.last_seen_ns != self.looked_at_ns[place]
    }

    pub(crate) fn is_publishing(&self) -> bool {
        self.publishing.is_some()
    }

    pub(crate) fn has_stopped(&self) -> bool {
        self.phase == Phase::Stopped
    }

    /// Goes on where the last turn stopped; `true` if a publication has begun.
    pub(crate) fn turn(&mut self, now: Timestamp, out: &mut Vec<Effect>) -> bool {
        if let Some((id, sorting)) = self.publishing.take() {
            let instance = &mut self.slots[id.0 as usize].instance;
            instance.state = sorting.state.code();
            instance.priority = sorting.priority.0;
            instance.preempt = u8::from(sorting.preempt);
            if let Some(advert) = self.unseen(id) {
                self.engine.handle_advert(self.acting_at, id, &advert);
            }
        }
        loop {
            while let Some((id, action)) = self.engine.poll_action() {
                out.push(Effect::Act(id.0 as usize, action, self.acting_at));
                if let Action::UpdateKernel(sorting) = action {
                    self.publishing = Some((id, sorting));
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
                    Some(Command::Link { link, up }) => self.handle_link(now, link, up),
                    Some(Command::Tracker { up }) => {
                        self.hand_over_records(now);
                        self.engine.handle_tracker(now, TrackerId(0), up);
                        // What is configured already is no news, whenever it comes.
                        self.reload(now);
                    }
                    Some(Command::Reload { priority }) => {
                        self.hand_over_records(now);
                        self.members[0].parameters.priority = Priority(priority);
                        self.reload(now);
                    }
                    Some(Command::Detach { link }) => {
                        for id in self.on_link(link) {
                            self.engine.handle_detached(now, id);
                        }
                    }
                    Some(Command::Attach { link }) => self.attach(now, link, out),
                    Some(Command::Shutdown) => {
                        self.stopping = true;
                        for id in self.engine.ids() {
                            self.engine.handle_shutdown(now, id);
                        }
                    }
                    None => self.phase = Phase::Deadlines,
                },
                Phase::Deadlines => {
                    if let Some(id) = self.engine.poll_due(now) {
                        self.passed += 1;
                        if self.passed > DEADLINES_PER_TURN {
                            out.push(Effect::Spins(id.0 as usize));
                            return false;
                        }
                        if let Some(advert) = self.unseen(id) {
                            self.engine.handle_advert(now, id, &advert);
                        }
                        self.engine.handle_timeout(now, id);
                    } else if self.stopping && self.engine.has_stopped() {
                        self.phase = Phase::Stopped;
                    } else {
                        self.phase = Phase::Events;
                        self.taken = 0;
                        self.passed = 0;
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
        if self.engine.state(id) == StateKind::Active {
            out.push(match advert.priority {
                Priority::RELEASE => Effect::Released(event.index as usize),
                _ => Effect::Heard(event.index as usize),
            });
        }
        // Both shorten what is left of Active_Down, so what is left and who holds
        // back has to be known: the engine may still count from an older arrival.
        if matches!(event.kind, abi::EVENT_RELEASE | abi::EVENT_WEAKENED)
            && let Some(held_back_by) = self.unseen(id)
        {
            self.engine.handle_advert(now, id, &held_back_by);
        }
        self.engine.handle_advert(now, id, &advert);
    }

    fn handle_link(&mut self, now: Timestamp, link: usize, up: bool) {
        if self.link_up[link] == up {
            return;
        }
        self.link_up[link] = up;
        for id in self.on_link(link) {
            if up {
                self.engine.handle_recovery(now, id, FaultCause::Interface);
            } else {
                self.engine.handle_fault(now, id, FaultCause::Interface);
            }
        }
    }

    /// A new interface: the kernel's rows are cleared, and what it told of the old
    /// one is void.
    fn attach(&mut self, now: Timestamp, link: usize, out: &mut Vec<Effect>) {
        for id in self.on_link(link) {
            let place = id.0 as usize;
            out.push(Effect::Attached(place));
            self.ring.retain(|event| event.index != id.0);
            self.slots[place] = Slot::new(self.links[place].1);
            self.looked_at_ns[place] = 0;
            if !self.stopping {
                self.take_part(now, id);
            }
        }
    }

    fn hand_over_records(&mut self, now: Timestamp) {
        for id in self.engine.ids() {
            if let Some(sorted_before) = self.unseen(id) {
                self.engine.handle_advert(now, id, &sorted_before);
            }
        }
    }

    fn reload(&mut self, now: Timestamp) {
        let reload = Reload {
            changed: self.members.clone(),
            groups: self.groups.clone(),
            ..Reload::default()
        };
        self.engine.handle_reload(now, reload);
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
