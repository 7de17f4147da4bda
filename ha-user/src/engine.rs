//! All virtual routers of one daemon: their state machines, one queue of
//! deadlines, one queue of actions. Pure: time comes in, actions go out.
//!
//! A deadline of a Backup is due on the daemon's clock, but decided on the
//! kernel's: whoever drives the engine hands over the kernel's last record
//! ([`Engine::handle_advert`]) before it lets a deadline pass
//! ([`Engine::handle_timeout`]). A late advertisement then only moves the deadline.

use std::{
    collections::{BTreeSet, VecDeque},
    time::Duration,
};

use ha_common::{
    fsm::{
        Action, Advert, Parameters, Reason, State, StateKind, VirtualRouter,
        election::{self, Role, Standing},
    },
    time::Timestamp,
    types::RouterAddress,
};

/// Names one virtual router: its place in the configuration, and its slot in
/// the kernel's `actives` map.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct InstanceId(pub u32);

impl InstanceId {
    fn place(self) -> usize {
        self.0 as usize
    }
}

/// What one virtual router is doing, for status and log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Snapshot {
    /// Its state.
    pub state: StateKind,
    /// When it entered the state.
    pub since: Timestamp,
    /// Transitions since start, the one out of Init included.
    pub transitions: u64,
    /// Why it entered the state; `None` before start.
    pub reason: Option<Reason>,
    /// Address of the current Active router, if one is known.
    pub active: Option<RouterAddress>,
    /// Active_Down_Interval as it applies now.
    pub active_down_interval: Duration,
}

#[derive(Debug)]
struct Slot {
    router: VirtualRouter,
    /// The deadline that stands in the queue.
    queued: Option<Timestamp>,
    since: Timestamp,
    transitions: u64,
    reason: Option<Reason>,
    active: Option<RouterAddress>,
    /// When it last advertised.
    advertised_at: Timestamp,
}

impl Slot {
    /// Whether our last advertisement has answered `advert` already: a losing one
    /// that arrived before it. A daemon that was stalled finds a ring full of them.
    fn has_answered(&self, advert: &Advert) -> bool {
        self.router.state().kind() == StateKind::Active
            && advert.at < self.advertised_at
            && election::standing(
                Role::Active,
                &self.router.parameters().contender(),
                advert.priority,
                advert.source,
            ) == Standing::Loses
    }
}

/// See the [module](self).
#[derive(Debug)]
pub struct Engine {
    slots: Vec<Slot>,
    deadlines: BTreeSet<(Timestamp, InstanceId)>,
    actions: VecDeque<(InstanceId, Action)>,
    scratch: Vec<Action>,
}

impl Engine {
    /// One virtual router for each of `parameters`, in Init, with ids in order.
    #[must_use]
    pub fn new(parameters: impl IntoIterator<Item = Parameters>) -> Self {
        let slots: Vec<Slot> = parameters
            .into_iter()
            .map(|parameters| Slot {
                router: VirtualRouter::new(parameters),
                queued: None,
                since: Timestamp::default(),
                transitions: 0,
                reason: None,
                active: None,
                advertised_at: Timestamp::default(),
            })
            .collect();
        Self {
            slots,
            deadlines: BTreeSet::new(),
            actions: VecDeque::new(),
            scratch: Vec::with_capacity(8),
        }
    }

    /// The ids of all virtual routers.
    pub fn ids(&self) -> impl Iterator<Item = InstanceId> + use<> {
        (0..u32::try_from(self.slots.len()).unwrap_or(u32::MAX)).map(InstanceId)
    }

    /// What `id` is configured to.
    ///
    /// # Panics
    /// If this engine did not hand out `id`; so do all methods that take one.
    #[must_use]
    pub fn parameters(&self, id: InstanceId) -> &Parameters {
        self.slots[id.place()].router.parameters()
    }

    /// State of `id`.
    #[must_use]
    pub fn state(&self, id: InstanceId) -> StateKind {
        self.slots[id.place()].router.state().kind()
    }

    /// What `id` is doing.
    #[must_use]
    pub fn snapshot(&self, id: InstanceId) -> Snapshot {
        let slot = &self.slots[id.place()];
        Snapshot {
            state: slot.router.state().kind(),
            since: slot.since,
            transitions: slot.transitions,
            reason: slot.reason,
            active: slot.active,
            active_down_interval: slot.router.active_down_interval(),
        }
    }

    /// Startup event for `id`.
    pub fn handle_startup(&mut self, now: Timestamp, id: InstanceId) {
        self.step(now, id, |router, out| router.handle_startup(now, out));
    }

    /// Shutdown event for `id`.
    pub fn handle_shutdown(&mut self, now: Timestamp, id: InstanceId) {
        self.step(now, id, VirtualRouter::handle_shutdown);
    }

    /// `id` cannot take part any more (its link is down, an action failed).
    pub fn handle_fault(&mut self, now: Timestamp, id: InstanceId) {
        self.step(now, id, VirtualRouter::handle_fault);
    }

    /// `id` can take part again.
    pub fn handle_recovery(&mut self, now: Timestamp, id: InstanceId) {
        self.step(now, id, |router, out| router.handle_recovery(now, out));
    }

    /// `id` received `advert`; one that is already accounted for changes nothing.
    pub fn handle_advert(&mut self, now: Timestamp, id: InstanceId, advert: &Advert) {
        if self.slots[id.place()].has_answered(advert) {
            return;
        }
        let before = *self.slots[id.place()].router.state();
        self.step(now, id, |router, out| {
            router.handle_advert(now, advert, out);
        });
        let slot = &mut self.slots[id.place()];
        if let State::Backup { heard_at, .. } = *slot.router.state()
            && before != *slot.router.state()
            && heard_at == advert.at
        {
            let released = advert.priority == ha_common::types::Priority::RELEASE;
            slot.active = (!released).then_some(advert.source);
        }
    }

    /// The deadline of `id` may have passed.
    pub fn handle_timeout(&mut self, now: Timestamp, id: InstanceId) {
        self.step(now, id, |router, out| router.handle_timeout(now, out));
    }

    /// The next deadline, if there is one.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        self.deadlines.first().map(|(at, _)| *at)
    }

    /// A virtual router whose deadline has passed at `now`. It comes again until
    /// its deadline is moved.
    #[must_use]
    pub fn poll_due(&self, now: Timestamp) -> Option<InstanceId> {
        self.deadlines
            .first()
            .filter(|(at, _)| *at <= now)
            .map(|(_, id)| *id)
    }

    /// The next thing to do, oldest first.
    pub fn poll_action(&mut self) -> Option<(InstanceId, Action)> {
        self.actions.pop_front()
    }

    fn step(
        &mut self,
        now: Timestamp,
        id: InstanceId,
        handle: impl FnOnce(&mut VirtualRouter, &mut Vec<Action>),
    ) {
        let slot = &mut self.slots[id.place()];
        handle(&mut slot.router, &mut self.scratch);
        for action in self.scratch.drain(..) {
            if let Action::SendAdvert { .. } = action {
                slot.advertised_at = now;
            }
            if let Action::Transition { to, reason, .. } = action {
                slot.since = now;
                slot.transitions += 1;
                slot.reason = Some(reason);
                slot.active = (to == StateKind::Active).then_some(slot.router.parameters().address);
            }
            self.actions.push_back((id, action));
        }
        let deadline = slot.router.poll_timeout();
        if deadline != slot.queued {
            if let Some(at) = slot.queued.take() {
                self.deadlines.remove(&(at, id));
            }
            if let Some(at) = deadline {
                self.deadlines.insert((at, id));
            }
            slot.queued = deadline;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use ha_common::types::{Priority, Version};

    use super::*;

    const INTERVAL: Duration = Duration::from_millis(100);

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_nanos(millis * 1_000_000)
    }

    fn parameters(priority: u8) -> Parameters {
        Parameters {
            version: Version::V3,
            priority: Priority(priority),
            address: Ipv4Addr::new(10, 0, 0, 1).into(),
            preempt: true,
            advertisement_interval: INTERVAL,
        }
    }

    fn advert(at: Timestamp, priority: u8) -> Advert {
        Advert {
            at,
            source: Ipv4Addr::new(10, 0, 0, 9).into(),
            priority: Priority(priority),
            interval: INTERVAL,
        }
    }

    fn drain(engine: &mut Engine) -> Vec<(u32, Action)> {
        std::iter::from_fn(|| engine.poll_action())
            .map(|(id, action)| (id.0, action))
            .collect()
    }

    #[test]
    fn a_late_record_moves_the_deadline_without_a_decision() {
        let mut engine = Engine::new([parameters(100)]);
        let id = InstanceId(0);
        engine.handle_startup(at(0), id);
        let due = engine.poll_timeout().unwrap();
        drain(&mut engine);

        // The daemon wakes 5 s late; the kernel heard the Active 20 ms ago.
        let now = at(5000);
        assert_eq!(engine.poll_due(now), Some(id));
        engine.handle_advert(now, id, &advert(at(4980), 200));
        engine.handle_timeout(now, id);
        assert_eq!(drain(&mut engine), []);
        assert_eq!(engine.poll_due(now), None);
        let moved = engine.poll_timeout().unwrap();
        assert_eq!(moved, at(4980) + engine.snapshot(id).active_down_interval);
        assert!(moved > due);
        assert_eq!(
            engine.snapshot(id).active,
            Some(Ipv4Addr::new(10, 0, 0, 9).into())
        );
    }

    #[test]
    fn deadlines_of_many_routers_come_in_order_and_once() {
        let mut engine = Engine::new([parameters(1), parameters(254), parameters(100)]);
        for id in engine.ids() {
            engine.handle_startup(at(0), id);
        }
        drain(&mut engine);
        // At 300 to 400 ms each takes over: the greatest priority first.
        let mut order = Vec::new();
        let now = at(400);
        while let Some(id) = engine.poll_due(now) {
            engine.handle_timeout(now, id);
            order.push(id.0);
        }
        assert_eq!(order, [1, 2, 0]);
        assert_eq!(
            engine.poll_timeout(),
            Some(at(500)),
            "the first advertisement after that"
        );
        let taken: Vec<u32> = drain(&mut engine)
            .into_iter()
            .filter(|(_, action)| matches!(action, Action::Transition { .. }))
            .map(|(id, _)| id)
            .collect();
        assert_eq!(taken, order, "actions come in the order of the decisions");
    }

    #[test]
    fn the_current_active_is_ourselves_the_winner_or_nobody() {
        let mut engine = Engine::new([parameters(100)]);
        let id = InstanceId(0);
        engine.handle_startup(at(0), id);
        assert_eq!(engine.snapshot(id).active, None);
        engine.handle_advert(at(10), id, &advert(at(10), 200));
        assert_eq!(
            engine.snapshot(id).active,
            Some(Ipv4Addr::new(10, 0, 0, 9).into())
        );
        engine.handle_advert(at(20), id, &advert(at(20), 50));
        assert_eq!(
            engine.snapshot(id).active,
            Some(Ipv4Addr::new(10, 0, 0, 9).into())
        );
        engine.handle_advert(at(30), id, &advert(at(30), 0));
        assert_eq!(engine.snapshot(id).active, None);
        engine.handle_timeout(at(500), id);
        assert_eq!(
            engine.snapshot(id).active,
            Some(Ipv4Addr::new(10, 0, 0, 1).into())
        );
        engine.handle_advert(at(600), id, &advert(at(600), 200));
        assert_eq!(
            engine.snapshot(id).active,
            Some(Ipv4Addr::new(10, 0, 0, 9).into())
        );
        assert_eq!(engine.snapshot(id).transitions, 3);
    }

    #[test]
    fn a_ring_full_of_losing_advertisements_is_answered_once() {
        let mut engine = Engine::new([parameters(100)]);
        let id = InstanceId(0);
        engine.handle_startup(at(0), id);
        engine.handle_timeout(at(1000), id);
        drain(&mut engine);
        // Stalled from 1000 to 6000 ms; a lower one has advertised all along.
        let now = at(6000);
        for millis in (1010..6000).step_by(10) {
            engine.handle_advert(now, id, &advert(at(millis), 50));
        }
        let answers = |actions: Vec<(u32, Action)>| {
            let sent = |action: &&(u32, Action)| matches!(action.1, Action::SendAdvert { .. });
            actions.iter().filter(sent).count()
        };
        assert_eq!(answers(drain(&mut engine)), 1);
        engine.handle_advert(at(6001), id, &advert(at(6001), 50));
        assert_eq!(
            answers(drain(&mut engine)),
            1,
            "a new one is answered again"
        );
        engine.handle_advert(at(6002), id, &advert(at(5000), 200));
        assert_eq!(
            engine.state(id),
            StateKind::Backup,
            "a greater one counts however old"
        );
    }

    #[test]
    fn a_router_without_a_deadline_is_never_due() {
        let mut engine = Engine::new([parameters(100)]);
        let id = InstanceId(0);
        assert_eq!(engine.poll_timeout(), None);
        engine.handle_startup(at(0), id);
        engine.handle_fault(at(1), id);
        assert_eq!(engine.poll_due(Timestamp::MAX), None);
        engine.handle_recovery(at(2), id);
        assert!(engine.poll_timeout().is_some());
        engine.handle_shutdown(at(3), id);
        assert_eq!(engine.poll_timeout(), None);
    }
}
