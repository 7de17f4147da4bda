//! What one router owes by itself, checked as it acts. Times are its own clock's.
//!
//! - It takes over no earlier than Active_Down_Interval after the last
//!   advertisement that holds it back, or Skew_Time after a release: computed
//!   here from all that has arrived, without the code under test.
//! - It yields to nobody but one that outranks it.
//! - Addresses are installed in Active, removed on leaving, and after each turn
//!   are where Active is. (A killed daemon's addresses stay: nobody is there to
//!   remove them; they go when it starts again.)
//! - A takeover advertises before it installs, installs before it announces, and
//!   announces before it is done; while it lasts, the announcements are repeated
//!   on their schedule, and never more than one per tenth of a second.
//! - The Active advertises from deadline to deadline: nothing but a release
//!   moves the next one, and nothing makes up for what a stall missed.
//! - No storm: per interval one advertisement, one per takeover, one per release
//!   heard, and at most one per tenth of the interval for losing ones.

use std::time::Duration;

use ha_common::{
    fsm::{Action, Reason, StateKind},
    time::Timestamp,
    types::Priority,
    wire::vrrp::Advert,
};

use super::{
    check::{Violation, violated},
    frame,
    scenario::Instance,
};

/// When announcements are repeated, after the takeover (docs/ARCHITECTURE.md).
const ANNOUNCED_AFTER: [Duration; 4] = [
    Duration::from_millis(100),
    Duration::from_millis(500),
    Duration::from_secs(2),
    Duration::from_secs(5),
];

/// One virtual router on one node.
pub(crate) struct Watch {
    node: usize,
    /// The last arrival that holds Active_Down back, or the start, and its interval.
    hold: (u64, u64),
    /// Of later arrivals that were sorted by the rules of Active, and so may count
    /// or not, the one that holds back least.
    doubtful: Option<(u64, u64)>,
    /// The first release since then.
    release: Option<u64>,
    /// Whether the addresses are on the interface.
    pub(crate) installed: bool,
    advertised: bool,
    /// By its last transition.
    state: StateKind,
    announced: u32,
    took_over_at: u64,
    /// It has run all the time since it took over.
    unbroken: bool,
    next_due: u64,
    bucket: u64,
    sent: u32,
    allowed: u32,
}

impl Watch {
    pub(crate) fn new(node: usize) -> Self {
        Self {
            node,
            hold: (0, 0),
            doubtful: None,
            release: None,
            installed: false,
            advertised: false,
            state: StateKind::Init,
            announced: 0,
            took_over_at: 0,
            unbroken: false,
            next_due: 0,
            bucket: 0,
            sent: 0,
            allowed: 0,
        }
    }

    /// The daemon starts; what a predecessor left on the interface is removed.
    pub(crate) fn start(&mut self) {
        self.installed = false;
        self.advertised = false;
        self.state = StateKind::Init;
    }

    pub(crate) fn pause(&mut self) {
        self.unbroken = false;
    }

    /// A valid advertisement arrives while the kernel program sorts: by the rules
    /// of `role`, which are Active's until the end of Active is published. In that
    /// moment, one that could only hold back a Backup need not count.
    pub(crate) fn hear(
        &mut self,
        now: Timestamp,
        instance: &Instance,
        role: StateKind,
        advert: &Advert,
    ) {
        let own = &instance.members[self.node];
        let preempts = own.preempt || own.priority == 255;
        let holds = advert.priority.0 >= own.priority || !preempts;
        let ours = (own.priority, frame::address(instance.family, self.node));
        let outranks = (advert.priority.0, advert.source) > ours;
        let interval = u64::from(advert.interval.0) * 10_000_000;
        if advert.priority == Priority::RELEASE {
            self.release.get_or_insert(now.as_nanos());
        } else if role == StateKind::Active && !outranks {
            let down = |(at, interval)| at + instance.active_down(self.node, interval);
            let arrival = (now.as_nanos(), interval);
            if holds
                && self
                    .doubtful
                    .is_none_or(|before| down(arrival) < down(before))
            {
                self.doubtful = Some(arrival);
            }
        } else if holds {
            // Two in one nanosecond have no order: either may count.
            let tied = self.hold.0 == now.as_nanos();
            let interval = if tied {
                interval.min(self.hold.1)
            } else {
                interval
            };
            self.hold = (now.as_nanos(), interval);
            self.doubtful = None;
            self.release = None;
        }
    }

    /// A release is handed to the Active.
    pub(crate) fn released(&mut self, now: Timestamp, instance: &Instance) {
        self.next_due = now.as_nanos() + instance.interval(self.node);
        self.allowed += 1;
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
        let follows = self.advertised && self.state != StateKind::Active;
        if follows && action != Action::InstallAddresses && !self.installed {
            return violated(
                "silence",
                format!("node {node} advertises in {}", self.state),
            );
        }
        match action {
            Action::SendAdvert { priority } => {
                self.advertised = true;
                self.count(now, instance)?;
                if priority != Priority::RELEASE {
                    self.keep_time(at, slack, instance)?;
                } else if self.state != StateKind::Active {
                    return violated("silence", format!("node {node} releases in {}", self.state));
                }
            }
            Action::InstallAddresses => {
                if self.installed || !self.advertised {
                    return violated(
                        "addresses",
                        format!("node {node} installs twice, or before it advertises"),
                    );
                }
                self.installed = true;
                self.announced = 0;
            }
            Action::Announce => {
                self.announced += 1;
                if !self.installed {
                    return violated("addresses", format!("node {node} announces without them"));
                }
            }
            Action::RemoveAddresses => {
                if !self.installed {
                    return violated("addresses", format!("node {node} removes them twice"));
                }
                self.installed = false;
            }
            Action::Transition { from, to, reason } => {
                self.advertised = false;
                self.state = to;
                if from == StateKind::Active {
                    self.check_announcements(now, slack)?;
                    self.allowed += 1;
                }
                if self.installed != (to == StateKind::Active) {
                    return violated(
                        "addresses",
                        format!("node {node}: installed is {} in {to}", self.installed),
                    );
                }
                self.enter(at, instance, to, reason)?;
                // Paused between the decision and this: what is due counts from before.
                self.unbroken &= now.since(at).as_nanos() <= u128::from(slack);
            }
        }
        Ok(())
    }

    fn enter(
        &mut self,
        at: Timestamp,
        instance: &Instance,
        to: StateKind,
        reason: Reason,
    ) -> Result<(), Violation> {
        let node = self.node;
        let now = at.as_nanos();
        let own = instance.members[node];
        match (to, reason) {
            (StateKind::Backup, Reason::Startup | Reason::Recovery) => {
                self.hold = (now, instance.interval(node));
                self.doubtful = None;
                self.release = None;
            }
            (StateKind::Backup, Reason::Outranked { by, priority }) => {
                let theirs = (priority.0, by);
                if theirs <= (own.priority, frame::address(instance.family, node)) {
                    return violated(
                        "yielding",
                        format!("node {node} yields to {theirs:?}, which does not outrank it"),
                    );
                }
            }
            (StateKind::Active, _) => {
                let (heard, interval) = self.hold;
                let down = [Some(self.hold), self.doubtful]
                    .into_iter()
                    .flatten()
                    .map(|(heard, interval)| heard + instance.active_down(node, interval))
                    .fold(u64::MAX, u64::min);
                let skewed = self
                    .release
                    .map_or(u64::MAX, |release| release + instance.skew(node, interval));
                let starts = matches!(reason, Reason::Owner | Reason::Recovery);
                if now < down.min(skewed) && !(starts && own.priority == 255) {
                    return violated(
                        "early takeover",
                        format!(
                            "node {node} takes over at {now} of its clock; it is held back since \
                             {heard} until {down}, by a release until {skewed}; {reason:?}"
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
                self.allowed += 1;
                self.next_due = now + instance.interval(node);
            }
            _ => {}
        }
        Ok(())
    }

    /// How many announcements there must have been by `now`.
    pub(crate) fn check_announcements(&self, now: Timestamp, slack: u64) -> Result<(), Violation> {
        let span = now.as_nanos().saturating_sub(self.took_over_at);
        let due = ANNOUNCED_AFTER
            .iter()
            // Each repetition counts from the one before, and so does lateness.
            .filter(|after| span > after.as_nanos() as u64 + 5 * slack)
            .count();
        let least = if self.unbroken { 1 + due as u32 } else { 1 };
        // Losing advertisements may ask for more, at most one per tenth of a second.
        let most = 6 + u32::try_from(span / 100_000_000).unwrap_or(u32::MAX - 6);
        if (least..=most).contains(&self.announced) {
            return Ok(());
        }
        violated(
            "announcements",
            format!(
                "node {}: {} of them in {span} ns, {least} are due",
                self.node, self.announced
            ),
        )
    }

    /// Runs while it is Active, before an advertisement is counted as on time.
    fn keep_time(
        &mut self,
        at: Timestamp,
        slack: u64,
        instance: &Instance,
    ) -> Result<(), Violation> {
        let now = at.as_nanos();
        // A takeover's first comes before its transition; that one sets the time.
        let taking_over = !self.installed;
        if taking_over || !self.unbroken {
            return Ok(());
        }
        if now > self.next_due + slack {
            return violated(
                "advertisements on time",
                format!(
                    "node {}: one was due at {} and comes at {now} of its clock",
                    self.node, self.next_due
                ),
            );
        }
        if now >= self.next_due {
            let interval = instance.interval(self.node);
            self.next_due += interval;
            if self.next_due <= now {
                self.next_due = now + interval;
            }
        }
        Ok(())
    }

    fn count(&mut self, now: Timestamp, instance: &Instance) -> Result<(), Violation> {
        let interval = instance.interval(self.node);
        let bucket = now.as_nanos() / interval;
        if bucket != self.bucket {
            self.bucket = bucket;
            self.sent = 0;
            self.allowed = 0;
        }
        self.sent += 1;
        // One on the boundary on each side, a takeover that is counted after its
        // advertisement, eleven answers in ten gaps.
        if self.sent > 16 + self.allowed {
            return violated(
                "no storm",
                format!(
                    "node {} sends {} advertisements in one interval",
                    self.node, self.sent
                ),
            );
        }
        Ok(())
    }
}
