//! All virtual routers of one daemon: their state machines, effective priorities,
//! sync groups, one queue of deadlines, one queue of actions. Pure: time comes in,
//! actions go out.
//!
//! A deadline of a Backup is due on the daemon's clock, but decided on the
//! kernel's: whoever drives the engine hands over the kernel's last record
//! ([`Engine::handle_advert`]) before it lets a deadline pass
//! ([`Engine::handle_timeout`]). A late advertisement then only moves the deadline.

mod deadlines;
mod group;
mod priority;
mod reload;
pub(crate) mod slots;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

use ha_common::{
    fsm::{
        Action, Addresses, Advert, FaultCause, Parameters, Reason, Shortened, Sorting, State,
        StateKind, VirtualRouter,
        election::{self, Role, Standing},
    },
    time::Timestamp,
    types::{Priority, RouterAddress},
};

use deadlines::Deadlines;
use group::Group;
pub use priority::{Contribution, Reading, Readings, Tracking};
pub use reload::{Member, Reload};
use slots::Slots;

/// Names one virtual router: its slot in the engine and in the kernel's `actives`
/// map. It is given anew only when the router that had it is gone.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct InstanceId(pub u32);

/// What one virtual router is doing, for status and log.
#[derive(Clone, PartialEq, Eq, Debug)]
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
    /// Effective priority.
    pub priority: Priority,
    /// Why it cannot take part, in order; empty if it can.
    pub faults: Vec<FaultCause>,
    /// What each of its trackers adds to the priority, in the order given.
    pub contributions: Vec<Contribution>,
    /// Whether another router is to have the addresses; see
    /// [`Engine::handle_drain`].
    pub drained: bool,
}

/// The priority of one that is drained: the least there is, of an owner too.
const DRAINED: Priority = Priority(1);

#[derive(Debug)]
struct Slot {
    router: VirtualRouter,
    /// The priority without what trackers add.
    base: Priority,
    trackings: Vec<Tracking>,
    /// Place of its sync group.
    group: Option<usize>,
    /// It is to take part as soon as nothing stands against it.
    started: bool,
    /// It is being removed, and here until its addresses are gone.
    leaving: bool,
    /// Another router is to have the addresses.
    drained: bool,
    /// It came into a group that serves already, and has neither taken over yet nor
    /// been held back: that it is Backup does not make the others step down.
    joining: bool,
    faults: BTreeSet<FaultCause>,
    /// What the kernel was last told to sort by.
    published: Option<Sorting>,
    /// When its record was looked at for a takeover of its group that is due.
    looked_at: Option<Timestamp>,
    since: Timestamp,
    transitions: u64,
    reason: Option<Reason>,
}

impl Slot {
    fn new(mut parameters: Parameters, trackings: Vec<Tracking>) -> Self {
        let base = parameters.priority;
        parameters.priority = priority::effective(base, &trackings, &BTreeMap::new());
        Self {
            router: VirtualRouter::new(parameters),
            base,
            trackings,
            group: None,
            started: false,
            leaving: false,
            drained: false,
            joining: false,
            faults: BTreeSet::new(),
            published: None,
            looked_at: None,
            since: Timestamp::default(),
            transitions: 0,
            reason: None,
        }
    }

    /// The priority in effect.
    fn effective(&self, readings: &Readings) -> Priority {
        if self.drained {
            return DRAINED;
        }
        priority::effective(self.base, &self.trackings, readings)
    }

    /// Whether it is in Init and no address is left.
    fn has_stopped(&self) -> bool {
        *self.router.state() == State::Init && self.router.addresses() == Addresses::Absent
    }

    /// Whether our last advertisement has answered `advert` already: a losing one
    /// that arrived before it. A daemon that was stalled finds a ring full of them.
    fn has_answered(&self, advert: &Advert) -> bool {
        let State::Active(active) = self.router.state() else {
            return false;
        };
        advert.at < active.advertised_at
            && election::standing(
                Role::Active,
                &self.router.parameters().contender(),
                advert.priority,
                advert.source,
            ) == Standing::Loses
    }

    /// Whether the Active has announced its addresses later than `at`.
    fn has_announced_since(&self, at: Timestamp) -> bool {
        matches!(self.router.state(), State::Active(active) if active.announcing.last_at > at)
    }

    /// Address of the current Active router, as far as it is known.
    fn active(&self) -> Option<RouterAddress> {
        match self.router.state() {
            State::Active(_) | State::Releasing(_) => Some(self.router.parameters().address),
            State::Backup(backup) if backup.shortened == Some(Shortened::Released) => None,
            State::Backup(backup) => backup.held_by.map(|rival| rival.address),
            State::Init | State::Fault => None,
        }
    }
}

/// Actions of a takeover, the most that one event asks for.
const ACTIONS: usize = 5;

/// See the [module](self).
#[derive(Debug)]
pub struct Engine {
    slots: Slots<Slot>,
    groups: Vec<Group>,
    trackers: Readings,
    deadlines: Deadlines,
    actions: VecDeque<(InstanceId, Action)>,
    /// Actions that there is room for.
    room: usize,
    scratch: Vec<Action>,
}

impl Engine {
    /// One virtual router for each of `instances`, in Init, with ids in order.
    /// `trackings` are what each depends on, in the same order (none where the
    /// list is shorter); the members of each of `groups` move together.
    ///
    /// # Panics
    /// If a group names an instance that does not exist.
    #[must_use]
    pub fn new(
        instances: impl IntoIterator<Item = Parameters>,
        trackings: Vec<Vec<Tracking>>,
        groups: Vec<Vec<InstanceId>>,
    ) -> Self {
        let trackings = trackings
            .into_iter()
            .chain(std::iter::repeat_with(Vec::new));
        let mut engine = Self {
            slots: Slots::default(),
            groups: Vec::new(),
            trackers: BTreeMap::new(),
            deadlines: Deadlines::default(),
            actions: VecDeque::new(),
            room: 0,
            scratch: Vec::with_capacity(2 * ACTIONS),
        };
        for (id, (parameters, trackings)) in (0..)
            .map(InstanceId)
            .zip(instances.into_iter().zip(trackings))
        {
            engine.add(id, Slot::new(parameters, trackings));
        }
        engine.set_groups(groups);
        engine
    }

    /// The ids of all virtual routers, those that are being removed included.
    pub fn ids(&self) -> impl Iterator<Item = InstanceId> + use<> {
        self.slots.ids()
    }

    /// Whether `id` is one of them.
    #[must_use]
    pub fn has(&self, id: InstanceId) -> bool {
        self.slots.get(id).is_some()
    }

    /// What `id` goes by, with its effective priority.
    ///
    /// # Panics
    /// If this engine did not hand out `id`; so do all methods that take one.
    #[must_use]
    pub fn parameters(&self, id: InstanceId) -> &Parameters {
        self.slots[id].router.parameters()
    }

    /// State of `id`.
    #[must_use]
    pub fn state(&self, id: InstanceId) -> StateKind {
        self.slots[id].router.state().kind()
    }

    /// Where the addresses of `id` are.
    #[must_use]
    pub fn addresses(&self, id: InstanceId) -> Addresses {
        self.slots[id].router.addresses()
    }

    /// What the kernel program is to sort `id`'s advertisements by. A change is
    /// asked for by [`Action::UpdateKernel`].
    #[must_use]
    pub fn sorting(&self, id: InstanceId) -> Sorting {
        self.slots[id].router.sorting()
    }

    /// Whether every virtual router is in Init and no address is left: after
    /// [`handle_shutdown`](Self::handle_shutdown) that takes until the successors
    /// are there.
    #[must_use]
    pub fn has_stopped(&self) -> bool {
        self.slots.values().all(Slot::has_stopped)
    }

    /// What `id` is doing.
    #[must_use]
    pub fn snapshot(&self, id: InstanceId) -> Snapshot {
        let slot = &self.slots[id];
        Snapshot {
            state: slot.router.state().kind(),
            since: slot.since,
            transitions: slot.transitions,
            reason: slot.reason,
            active: slot.active(),
            active_down_interval: slot.router.active_down_interval(),
            priority: slot.router.parameters().priority,
            faults: slot.faults.iter().copied().collect(),
            contributions: priority::contributions(slot.base, &slot.trackings, &self.trackers),
            drained: slot.drained,
        }
    }

    /// Startup event for `id`. While something stands against it, it stays in Init
    /// and starts later; if that is a tracker that is down it is in fault until then.
    pub fn handle_startup(&mut self, now: Timestamp, id: InstanceId) {
        self.slots[id].started = true;
        self.settle(now, id);
        self.start_in_fault(now, id);
    }

    /// Shutdown event for `id`: where it is Active it serves until a successor does
    /// ([`has_stopped`](Self::has_stopped)).
    pub fn handle_shutdown(&mut self, now: Timestamp, id: InstanceId) {
        self.slots[id].started = false;
        self.step(now, id, |router, out| router.handle_shutdown(now, out));
    }

    /// Shutdown event for `id` that waits for nobody.
    pub fn handle_stop_now(&mut self, now: Timestamp, id: InstanceId) {
        self.slots[id].started = false;
        self.step(now, id, VirtualRouter::handle_stop_now);
    }

    /// `id` cannot take part, or there is one more reason why it cannot. Causes
    /// other than [`FaultCause::Tracker`] and [`FaultCause::Group`] are the
    /// caller's to give and to take.
    pub fn handle_fault(&mut self, now: Timestamp, id: InstanceId, cause: FaultCause) {
        if self.slots[id].faults.insert(cause) {
            self.step(now, id, |router, out| router.handle_fault(now, cause, out));
            self.share_faults(now, id);
        }
    }

    /// `cause` does not stand against `id` any more. It takes part again when no
    /// other does.
    pub fn handle_recovery(&mut self, now: Timestamp, id: InstanceId, cause: FaultCause) {
        if self.slots[id].faults.remove(&cause) {
            self.settle(now, id);
            self.share_faults(now, id);
        }
    }

    /// `id` has an interface (again), with this primary address: it starts, or
    /// recovers if nothing else stands against it. What failed before may succeed
    /// now, so [`FaultCause::Action`] goes too.
    pub fn handle_attached(&mut self, now: Timestamp, id: InstanceId, address: RouterAddress) {
        let slot = &mut self.slots[id];
        slot.router.set_address(address);
        // The kernel has to be told under the new interface's number.
        slot.published = None;
        slot.started = true;
        slot.faults.remove(&FaultCause::Action);
        slot.faults.remove(&FaultCause::Detached);
        if slot.faults.is_empty() {
            self.settle(now, id);
        } else {
            self.step(now, id, |_, _| ());
            self.start_in_fault(now, id);
        }
        self.share_faults(now, id);
    }

    /// The interface of `id` is gone.
    pub fn handle_detached(&mut self, now: Timestamp, id: InstanceId) {
        self.handle_fault(now, id, FaultCause::Detached);
    }

    /// A stranger claims an address of `id`.
    pub fn handle_claim(&mut self, now: Timestamp, id: InstanceId) {
        self.step(now, id, |router, out| router.handle_claim(now, out));
    }

    /// `id` received `advert`; one that is already accounted for changes nothing.
    pub fn handle_advert(&mut self, now: Timestamp, id: InstanceId, advert: &Advert) {
        let slot = &self.slots[id];
        if !slot.has_answered(advert) {
            self.step(now, id, |router, out| {
                router.handle_advert(now, advert, out);
            });
        } else if !slot.has_announced_since(advert.at) {
            // Its sender knows, but clients may be with it.
            self.step(now, id, |router, out| router.handle_claim(now, out));
        }
    }

    /// The deadline of `id` may have passed. Of a sync group's Backups, the last
    /// one that is looked at lets all of them take over.
    pub fn handle_timeout(&mut self, now: Timestamp, id: InstanceId) {
        match self.slots[id].group {
            None => self.step(now, id, |router, out| router.handle_timeout(now, out)),
            Some(group) => self.handle_timeout_of_member(now, id, group),
        }
    }

    /// The next deadline, if there is one.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        self.deadlines.first().map(|(at, _)| at)
    }

    /// A virtual router whose deadline has passed at `now`. It comes again until
    /// its deadline is moved, which [`handle_timeout`](Self::handle_timeout) does.
    #[must_use]
    pub fn poll_due(&self, now: Timestamp) -> Option<InstanceId> {
        self.deadlines
            .first()
            .filter(|(at, _)| *at <= now)
            .map(|(_, id)| id)
    }

    /// The virtual routers whose deadline is at or before `at`, in no order, into
    /// `out`, in place of what it holds. Whoever is awake can look at the kernel's
    /// record of those that are Backup before their deadline is due, and spare itself
    /// waking for each.
    pub fn due_by(&self, at: Timestamp, out: &mut Vec<InstanceId>) {
        self.deadlines.until(at, out);
    }

    /// The next thing to do, oldest first.
    pub fn poll_action(&mut self) -> Option<(InstanceId, Action)> {
        self.actions.pop_front()
    }

    /// Whoever was to start and depends on a tracker that is down is in fault, and
    /// not waiting, as it is for its interface or for a tracker's first reading.
    fn start_in_fault(&mut self, now: Timestamp, id: InstanceId) {
        let slot = &self.slots[id];
        let is_down = |cause: &FaultCause| match cause {
            FaultCause::Tracker(tracker) => self
                .trackers
                .get(tracker)
                .is_some_and(|it| *it != Reading::Pending),
            _ => false,
        };
        let waits = !slot.started || slot.faults.contains(&FaultCause::Detached);
        let Some(cause) = slot.faults.iter().copied().find(|it| !waits && is_down(it)) else {
            return;
        };
        self.step(now, id, |router, out| {
            router.handle_startup_in_fault(cause, out);
        });
    }

    /// Starts or recovers `id`, if nothing stands against it.
    fn settle(&mut self, now: Timestamp, id: InstanceId) {
        let slot = &self.slots[id];
        if slot.started && slot.faults.is_empty() {
            self.step(now, id, |router, out| {
                // One of the two, by its state.
                router.handle_startup(now, out);
                router.handle_recovery(now, out);
            });
        }
    }

    /// One event of `id`, and what it means for its group.
    fn step(
        &mut self,
        now: Timestamp,
        id: InstanceId,
        handle: impl FnOnce(&mut VirtualRouter, &mut Vec<Action>),
    ) {
        self.step_alone(now, id, handle);
        match self.slots[id].group {
            None => self.queue(id, self.slots[id].router.poll_timeout()),
            Some(group) => {
                if self.is_parted(group) {
                    self.step_down(now, group);
                }
                self.queue_group(group);
            }
        }
    }

    /// One event of `id`. Its deadline is left to the caller.
    fn step_alone(
        &mut self,
        now: Timestamp,
        id: InstanceId,
        handle: impl FnOnce(&mut VirtualRouter, &mut Vec<Action>),
    ) {
        let slot = &mut self.slots[id];
        handle(&mut slot.router, &mut self.scratch);
        slot.joining &= slot.is_undecided();
        let sorting = slot.router.sorting();
        // Of one that has never started the kernel need not know.
        let is_news = match slot.published {
            None => *slot.router.state() != State::Init,
            Some(published) => published != sorting,
        };
        let mut update = is_news.then_some(Action::UpdateKernel(sorting));
        if is_news {
            slot.published = Some(sorting);
        }
        for action in self.scratch.drain(..) {
            if matches!(action, Action::Announce | Action::Transition { .. })
                && let Some(update) = update.take()
            {
                self.actions.push_back((id, update));
            }
            if let Action::Transition { reason, .. } = action {
                slot.published = Some(sorting);
                slot.since = now;
                slot.transitions += 1;
                slot.reason = Some(reason);
            }
            self.actions.push_back((id, action));
        }
        if let Some(update) = update {
            self.actions.push_back((id, update));
        }
    }

    /// Puts the deadline of `id` into the queue.
    fn queue(&mut self, id: InstanceId, deadline: Option<Timestamp>) {
        self.deadlines.set(id, deadline);
    }

    /// A new virtual router, in Init. What it will ever need of the queues is allocated
    /// here: from then on nothing is.
    fn add(&mut self, id: InstanceId, slot: Slot) {
        self.slots.insert(id, slot);
        self.deadlines.make_room(id);
        self.room += ACTIONS;
        self.actions
            .reserve(self.room.saturating_sub(self.actions.len()));
    }
}
