//! What one router owes by itself, checked as it acts. Times are its own clock's.
//!
//! - It takes over no earlier than Active_Down_Interval after the last
//!   advertisement that holds it back, or Skew_Time after a release: or of a first
//!   advertisement below ours from who held it back (`quick_preempt`): computed
//!   here from all that has arrived, without the code under test.
//! - It yields to nobody but one that outranks it.
//! - Addresses are installed in Active, stay while it releases, and go at most
//!   20 ms after it has yielded; after each turn they are nowhere else. (A killed daemon's addresses stay: nobody is there to
//!   remove them; they go when it starts again.)
//! - A takeover advertises before it installs, and announces before it is done; while
//!   it lasts, the announcements are repeated on their schedule, and never more than
//!   one per tenth of a second.
//! - It installs before it announces, as another may serve until clients learn of it;
//!   but where the router that held it back has fallen silent nobody serves, and
//!   clients are told first.
//! - An Active that hears a lesser one announces the addresses anew, within an
//!   event gap, ANNOUNCE_GAP and an interval, given that nothing else changes.
//! - The Active advertises when it has to, and not more ([`Pace`]).

use std::{collections::VecDeque, time::Duration};

use ha_common::{
    fsm::{Action, AnnounceSchedule, Reason, Sorting, StateKind},
    time::Timestamp,
    types::{Priority, RouterAddress},
    wire::vrrp::Advert,
};

use super::{
    check::{Violation, violated},
    frame,
    pace::Pace,
    scenario::Instance,
};

/// Arrivals that are remembered.
const PAST: usize = 32;

/// How long addresses stay when another router has taken over.
const LINGER: Duration = Duration::from_millis(20);

fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

/// What keeps a Backup from taking over.
#[derive(Clone, Copy, Default)]
struct Held {
    /// The last arrival that holds Active_Down back, or the start, and its interval.
    hold: (u64, u64),
    /// Of later arrivals that were sorted by the rules of Active, and so may count
    /// or not, the one that holds back least.
    doubtful: Option<(u64, u64)>,
    /// The first release since then.
    release: Option<u64>,
    /// The first losing advertisement of a holder since the last that holds.
    weakened: Option<u64>,
    /// The priority of the last arrival that holds, if anything has held it back since
    /// it came up.
    holder: Option<Priority>,
    /// Since then another advertisement has arrived that may not hold it back.
    contested: bool,
}

/// What a takeover does first with addresses that are not there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Order {
    Install,
    Announce,
    /// It depends on what the kernel has told.
    Either,
}

/// One virtual router on one node.
pub(crate) struct Watch {
    node: usize,
    held: Held,
    /// What it was before each of the last arrivals: a decision that is carried out
    /// only now was made without what has arrived since.
    past: VecDeque<(u64, Held)>,
    /// Routers that have held it back since it became Backup, or may have.
    holders: Vec<RouterAddress>,
    /// One may have that arrived while it was told to the kernel that it is Backup.
    may_be_held: bool,
    /// Until when it was held back, when it decided to take over: what arrives
    /// while that is published comes too late to count. And what it does first.
    decided: Option<(u64, Order)>,
    /// Whether the addresses are on the interface.
    pub(crate) installed: bool,
    /// When they have to be gone, if they are about to go.
    leaving_at: Option<Timestamp>,
    advertised: bool,
    /// By which it decided last.
    priority: Priority,
    /// By its last transition.
    state: StateKind,
    announced: u32,
    /// What this takeover has done first.
    first: Option<Order>,
    /// When it may take its place back after a release: when it would be due as a
    /// Backup that has heard nobody since.
    returns_at: u64,
    took_over_at: u64,
    /// Others have made it begin the announcements anew.
    asked: bool,
    /// By when it has to have announced, as another Active was heard.
    owed: Option<u64>,
    /// When the kernel last told of a lesser one.
    met: Option<u64>,
    /// It has run all the time since it took over.
    unbroken: bool,
    pace: Pace,
}

impl Watch {
    pub(crate) fn new(node: usize) -> Self {
        Self {
            node,
            held: Held::default(),
            past: VecDeque::new(),
            holders: Vec::new(),
            may_be_held: false,
            met: None,
            decided: None,
            installed: false,
            leaving_at: None,
            advertised: false,
            priority: Priority::RELEASE,
            state: StateKind::Init,
            announced: 0,
            first: None,
            returns_at: 0,
            took_over_at: 0,
            asked: false,
            owed: None,
            unbroken: false,
            pace: Pace::default(),
        }
    }

    /// The daemon starts; what a predecessor left on the interface is removed.
    pub(crate) fn start(&mut self) {
        self.installed = false;
        self.leaving_at = None;
        self.advertised = false;
        self.state = StateKind::Init;
    }

    /// Whether addresses may be on the interface, after all that was due at `now`.
    pub(crate) fn may_have_addresses(&self, now: Timestamp) -> bool {
        !self.installed
            || matches!(self.state, StateKind::Active | StateKind::Releasing)
            || self.leaving_at.is_some_and(|at| now < at)
    }

    /// Whether it has advertised for a takeover and not installed the addresses yet.
    pub(crate) fn awaits_addresses(&self) -> bool {
        self.advertised && !self.installed
    }

    pub(crate) fn pause(&mut self, now: Timestamp) {
        self.unbroken = false;
        self.pace.pause(now);
    }

    /// Something has happened that may make it advertise out of turn.
    pub(crate) fn excuse(&mut self) {
        self.pace.excuse();
    }

    /// It has answered all that has happened so far.
    pub(crate) fn settle(&mut self) {
        self.pace.settle();
    }

    /// The world has changed: nothing is owed to what was before.
    pub(crate) fn forgive(&mut self) {
        self.owed = None;
    }

    /// A valid advertisement arrives. The kernel program sorts it by what is
    /// published and the engine by what it has decided; where they differ, it need
    /// not count. `meeting` is how long another Active may go unanswered.
    pub(crate) fn hear(
        &mut self,
        now: Timestamp,
        instance: &Instance,
        [published, decided]: [Sorting; 2],
        advert: &Advert,
        meeting: u64,
    ) {
        let own = &instance.members[self.node];
        let outranks = |by: Sorting| {
            (advert.priority, advert.source)
                > (by.priority, frame::address(instance.family, own.host))
        };
        let holds = |by: Sorting| match by.state {
            StateKind::Active | StateKind::Releasing => outranks(by),
            _ => advert.priority >= by.priority || !(by.preempt || by.priority == Priority::OWNER),
        };
        let now = now.as_nanos();
        self.pace.excuse();
        if self.past.len() == PAST {
            self.past.pop_front();
        }
        self.past.push_back((now, self.held));
        let interval = u64::from(advert.interval.0) * 10_000_000;
        let is_active = decided.state == StateKind::Active;
        if advert.priority == Priority::RELEASE {
            self.held.release.get_or_insert(now);
            self.asked |= is_active;
            return;
        }
        self.asked |= is_active;
        if published.state == StateKind::Active && !outranks(published) {
            // The kernel tells once per gap, whatever has been decided meanwhile.
            let gap = instance.interval(self.node) / 10;
            if self.met.is_none_or(|met| now >= met + gap.max(1_000_000)) {
                self.met = Some(now);
                if self.unbroken && is_active && !outranks(decided) {
                    self.owed.get_or_insert(now + meeting);
                }
            }
        }
        // While it is barred the engine may lift the bar before that is published.
        let is_barred = own.preempt_delay > 0 && advert.priority.0 < own.priority;
        // While it releases any advertisement is a successor's, only the first counts.
        let is_releasing = decided.state == StateKind::Releasing;
        let certain = holds(published) && holds(decided) && !is_barred && !is_releasing;
        // A lesser one that an Active has not got round to counts if it yields to
        // another first and does not preempt.
        let possible =
            holds(published) || holds(decided) || advert.priority.0 >= own.priority || !own.preempt;
        if certain {
            // Two in one nanosecond have no order: either may count.
            let tied = self.held.hold.0 == now;
            let interval = if tied {
                interval.min(self.held.hold.1)
            } else {
                interval
            };
            self.held.hold = (now, interval);
            self.held.doubtful = None;
            self.held.release = None;
            self.held.weakened = None;
            self.held.holder = Some(advert.priority);
            self.held.contested = false;
            self.holders.push(advert.source);
        } else if possible {
            let down = |(at, interval)| at + instance.active_down(self.node, interval);
            let is_less = |before| down((now, interval)) < down(before);
            if self.held.doubtful.is_none_or(is_less) {
                self.held.doubtful = Some((now, interval));
            }
            self.holders.push(advert.source);
        }
        self.held.contested |= !certain;
        if !certain && own.quick_preempt && self.holders.contains(&advert.source) {
            self.held.weakened.get_or_insert(now);
        }
    }

    /// Another advertisement is handed to the Active: it may begin the
    /// announcements anew.
    pub(crate) fn heard(&mut self) {
        self.asked = true;
    }

    /// What holds it back may have been forgotten.
    pub(crate) fn attached(&mut self) {
        self.held.contested = true;
    }

    /// A release is handed to the Active.
    pub(crate) fn released(&mut self, now: Timestamp, instance: &Instance) {
        self.asked = true;
        self.pace.restart(now.as_nanos(), self.node, instance);
    }

    pub(crate) fn act(
        &mut self,
        at: Timestamp,
        now: Timestamp,
        slack: u64,
        instance: &Instance,
        action: Action,
    ) -> Result<(), Violation> {
        let node = self.node;
        // An advertisement that is not an Active's is the first step of a takeover.
        if let Some(until) = self.owed
            && at.as_nanos() > until
            && self.unbroken
            && self.state == StateKind::Active
        {
            return violated(
                "healing",
                format!("node {node} has met a second Active and not announced by {until}"),
            );
        }
        let follows = self.advertised && self.state != StateKind::Active;
        let goes_on = match action {
            Action::InstallAddresses | Action::Announce => true,
            Action::UpdateKernel(sorting) => sorting.state == StateKind::Active,
            _ => false,
        };
        if follows && !goes_on && !self.installed {
            return violated(
                "silence",
                format!("node {node} advertises in {}", self.state),
            );
        }
        match action {
            Action::SendAdvert { priority } => {
                self.advertised = true;
                if self.state != StateKind::Active {
                    self.announced = 0;
                    self.asked = false;
                    self.first = None;
                }
                self.pace.count(now, node, instance.interval(node))?;
                if priority != Priority::RELEASE {
                    self.pace.keep_row(at, node, instance.interval(node))?;
                    // A takeover's first comes before its transition; that one sets
                    // the time.
                    if self.state == StateKind::Active {
                        self.pace.keep_grid(at, node, slack, instance)?;
                        if self.unbroken {
                            self.pace.keep_time(at, node, slack, instance)?;
                        }
                    }
                } else if self.state != StateKind::Active {
                    return violated("silence", format!("node {node} releases in {}", self.state));
                }
            }
            Action::InstallAddresses => {
                let is_there = self.installed && self.leaving_at.is_none();
                if is_there || !self.advertised {
                    return violated(
                        "addresses",
                        format!("node {node} installs twice, or before it advertises"),
                    );
                }
                self.first = Some(match self.announced {
                    0 => Order::Install,
                    _ => Order::Announce,
                });
                self.installed = true;
                self.leaving_at = None;
            }
            Action::Announce => {
                self.announced += 1;
                self.owed = None;
                if !self.installed && !follows {
                    return violated("addresses", format!("node {node} announces without them"));
                }
            }
            Action::RemoveAddresses => {
                if !self.installed {
                    return violated("addresses", format!("node {node} removes them twice"));
                }
                self.installed = false;
                self.leaving_at = None;
            }
            Action::Resumed { silence } => {
                if self.unbroken || silence < Duration::from_nanos(3 * instance.interval(node)) {
                    return violated("pauses", format!("node {node} resumes after {silence:?}"));
                }
            }
            Action::UpdateKernel(sorting) => {
                self.priority = sorting.priority;
                if sorting.state == StateKind::Active && self.decided.is_none() {
                    let until = self.held_back_until(at, instance);
                    self.decided = Some((until, self.order(at, instance)));
                }
            }
            Action::Transition { from, to, reason } => {
                self.advertised = false;
                self.state = to;
                let decided = self.decided.take();
                if from == StateKind::Active {
                    self.check_announcements(now, slack, &instance.announce)?;
                    // Those of a takeover in place count anew, without an installation.
                    self.announced = 0;
                    self.asked = false;
                    self.owed = None;
                    self.pace.allow();
                }
                let serves = matches!(to, StateKind::Active | StateKind::Releasing);
                if self.installed
                    && matches!(reason, Reason::Outranked { .. } | Reason::HandedOver { .. })
                {
                    self.leaving_at = Some(now.max(at) + LINGER);
                }
                if self.installed != (serves || self.leaving_at.is_some()) {
                    return violated(
                        "addresses",
                        format!("node {node}: installed is {} in {to}", self.installed),
                    );
                }
                self.enter(at, instance, to, reason, decided)?;
                // Paused between the decision and this: what is due counts from before.
                self.unbroken &= now.since(at).as_nanos() <= u128::from(slack);
            }
        }
        Ok(())
    }

    /// What keeps it from taking over, as known at `at`.
    fn held_at(&self, at: Timestamp) -> Held {
        let mut past = self.past.iter();
        let then = past.find(|(arrival, _)| *arrival >= at.as_nanos());
        then.map_or(self.held, |(_, before)| *before)
    }

    /// What a takeover that is decided at `at` does first, if Active_Down has run out.
    fn order(&self, at: Timestamp, instance: &Instance) -> Order {
        if self.holders.is_empty() && !self.may_be_held {
            return Order::Install;
        }
        let held = self.held_at(at);
        let preempts = instance.members[self.node].preempt || self.priority == Priority::OWNER;
        let holds = |priority| priority >= self.priority || !preempts;
        if held.holder.is_some_and(holds) && !held.contested {
            Order::Announce
        } else {
            Order::Either
        }
    }

    /// The earliest that Active_Down or Skew_Time can have passed, as known at `at`.
    fn held_back_until(&self, at: Timestamp, instance: &Instance) -> u64 {
        let node = self.node;
        let held = self.held_at(at);
        let mut until = u64::MAX;
        for (heard, interval) in [Some(held.hold), held.doubtful].into_iter().flatten() {
            until = until.min(heard + instance.active_down(node, interval));
            // A release, or less than what held us back, and after a release too.
            for shortened in [held.release, held.weakened].into_iter().flatten() {
                until = until.min(shortened + instance.skew(node, interval));
            }
        }
        until
    }

    fn enter(
        &mut self,
        at: Timestamp,
        instance: &Instance,
        to: StateKind,
        reason: Reason,
        decided: Option<(u64, Order)>,
    ) -> Result<(), Violation> {
        let node = self.node;
        let now = at.as_nanos();
        let own = instance.members[node];
        match (to, reason) {
            (
                StateKind::Backup,
                Reason::Startup | Reason::Recovery | Reason::NoSuccessor { .. },
            ) => {
                self.held.hold = match (own.priority, reason) {
                    // Takes over as soon as it may.
                    (255, _) => (0, 0),
                    (_, Reason::Startup) => (now + own.startup_delay, instance.interval(node)),
                    _ => (now, instance.interval(node)),
                };
                self.holders.clear();
                let last = self.past.back();
                self.may_be_held = last.is_some_and(|(arrival, _)| *arrival >= now);
                self.held.weakened = None;
                self.held.doubtful = None;
                self.held.release = None;
                self.held.holder = None;
                self.held.contested = false;
            }
            (StateKind::Backup, Reason::Outranked { by, priority }) => {
                let theirs = (priority, by);
                if theirs <= (self.priority, frame::address(instance.family, own.host)) {
                    return violated(
                        "yielding",
                        format!("node {node} yields to {theirs:?}, which does not outrank it"),
                    );
                }
            }
            (StateKind::Releasing, _) => {
                self.returns_at = now + instance.active_down(node, instance.interval(node));
            }
            (StateKind::Active, _) => {
                let until = match reason {
                    Reason::NoSuccessor { .. } => self.returns_at,
                    _ => decided.map_or_else(|| self.held_back_until(at, instance), |it| it.0),
                };
                let order = match (reason, decided) {
                    (Reason::ActiveDown { .. }, Some((_, order))) => order,
                    (Reason::ActiveDown { .. }, None) => self.order(at, instance),
                    _ => Order::Install,
                };
                let first = self.first.unwrap_or(order);
                if order != Order::Either && order != first {
                    return violated(
                        "order",
                        format!("node {node} begins with {first:?}, not {order:?}; {reason:?}"),
                    );
                }
                let starts = matches!(reason, Reason::Owner | Reason::Recovery);
                if now < until && !(starts && own.priority == 255) {
                    return violated(
                        "early takeover",
                        format!(
                            "node {node} takes over at {now} of its clock; it is held back until \
                             {until}; {reason:?}"
                        ),
                    );
                }
                if self.announced == 0 {
                    return violated(
                        "announcements",
                        format!("node {node} takes over without one"),
                    );
                }
                self.took_over_at = now;
                self.unbroken = true;
                self.pace.restart(now, node, instance);
            }
            _ => {}
        }
        Ok(())
    }

    /// How many announcements there must have been by `now`.
    pub(crate) fn check_announcements(
        &self,
        now: Timestamp,
        slack: u64,
        schedule: &AnnounceSchedule,
    ) -> Result<(), Violation> {
        let span = now.as_nanos().saturating_sub(self.took_over_at);
        let (count, interval) = (u64::from(schedule.count), nanos(schedule.interval));
        let (delay, refresh) = (nanos(schedule.delay), nanos(schedule.refresh));
        // Each repetition counts from the one before, and so does lateness.
        let is_due = |(number, at): &(u64, u64)| span > at + (number + 1) * slack;
        let row = (0..count).map(|number| (number, number * interval));
        let second = delay.max(count * interval);
        let again = (0..if delay > 0 { count } else { 0 })
            .map(|number| (count + number, second + number * interval));
        let rows: Vec<(u64, u64)> = row.chain(again).collect();
        let mut due = rows.iter().filter(|it| is_due(it)).count() as u64;
        let (number, last) = rows.last().copied().unwrap_or_default();
        let mut most = 2 * count;
        if refresh > 0 {
            let left = span.saturating_sub(last + (number + 1) * slack);
            due += left / (refresh + slack);
            most += span / refresh;
        }
        let least = if self.unbroken && !self.asked {
            due.max(1)
        } else {
            1
        };
        if self.asked || !self.unbroken {
            // One per tenth of a second, and each begins a row.
            most += (1 + span / 100_000_000) * (1 + count) + span / interval;
        }
        let announced = u64::from(self.announced);
        if (least..=most).contains(&announced) {
            return Ok(());
        }
        violated(
            "announcements",
            format!(
                "node {}: {announced} of them in {span} ns, {least} to {most} are due",
                self.node
            ),
        )
    }
}
