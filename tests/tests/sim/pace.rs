//! When an Active advertises, by its own clock.
//!
//! - It advertises from deadline to deadline: nothing but a release moves the next
//!   one. With a phase the deadlines are on its grid, and none is later than without.
//! - Nothing makes up for what a stall has missed. Of what no other router and no
//!   change of its own has caused, no two are sent at once, and three in a row take
//!   more than an interval: each deadline is later than the advertisement before
//!   it, and the next is an interval after that.
//! - No storm: per interval one advertisement, one per takeover, one per release
//!   heard, and at most one per tenth of the interval for losing ones.

use ha_common::time::Timestamp;

use super::{
    check::{Violation, violated},
    scenario::Instance,
};

/// See the [module](self).
#[derive(Default)]
pub(crate) struct Pace {
    /// When the next one is due.
    next_due: u64,
    /// The interval that is counted, and what was sent in it.
    bucket: u64,
    sent: u32,
    /// Takeovers and releases in it.
    allowed: u32,
    /// Something other than its timer may make it advertise.
    excused: bool,
    /// When it was stopped, if it has not advertised since.
    paused_at: Option<Timestamp>,
    /// The last two that nothing but the timer can have caused, the later one last.
    row: [Option<u64>; 2],
}

impl Pace {
    /// Something has happened that may be answered by an advertisement.
    pub(crate) fn excuse(&mut self) {
        self.excused = true;
        self.row = [None; 2];
    }

    /// All that has happened has been answered.
    pub(crate) fn settle(&mut self) {
        self.excused = false;
    }

    /// The process is stopped: the first after that comes when it comes.
    pub(crate) fn pause(&mut self, now: Timestamp) {
        self.paused_at = Some(now);
    }

    /// The timer starts anew at `now`.
    pub(crate) fn restart(&mut self, now: u64, node: usize, instance: &Instance) {
        self.next_due = instance.next_advert(node, now);
        self.allowed += 1;
    }

    /// One more than the timer asks for may be sent.
    pub(crate) fn allow(&mut self) {
        self.allowed += 1;
    }

    /// An advertisement of any priority is sent.
    pub(crate) fn count(
        &mut self,
        now: Timestamp,
        node: usize,
        interval: u64,
    ) -> Result<(), Violation> {
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
                    "node {node} sends {} advertisements in one interval",
                    self.sent
                ),
            );
        }
        Ok(())
    }

    /// An Active, or one that becomes it, sends one that is no release.
    pub(crate) fn keep_row(
        &mut self,
        at: Timestamp,
        node: usize,
        interval: u64,
    ) -> Result<(), Violation> {
        if self.excused {
            return Ok(());
        }
        let now = at.as_nanos();
        let [first, last] = self.row;
        self.row = [last, Some(now)];
        if last == Some(now) || first.is_some_and(|first| now <= first + interval) {
            return violated(
                "no making up",
                format!(
                    "node {node} advertises at {now} of its clock, after {:?}, and nothing but \
                     its timer asks for it",
                    [first, last]
                ),
            );
        }
        Ok(())
    }

    /// An Active sends one: if nothing else can have caused it, the timer has.
    pub(crate) fn keep_grid(
        &mut self,
        at: Timestamp,
        node: usize,
        slack: u64,
        instance: &Instance,
    ) -> Result<(), Violation> {
        let was_paused = self.paused_at.is_some();
        self.paused_at = self.paused_at.filter(|paused_at| at <= *paused_at);
        let Some(phase) = instance.members[node].phase else {
            return Ok(());
        };
        let (now, interval) = (at.as_nanos(), instance.interval(node));
        if !self.excused && !was_paused && (now + interval - phase) % interval > slack {
            return violated(
                "advertisements on the grid",
                format!("node {node} advertises at {now} of its clock, its phase is {phase}"),
            );
        }
        Ok(())
    }

    /// One that has been Active and running since it took over sends one.
    pub(crate) fn keep_time(
        &mut self,
        at: Timestamp,
        node: usize,
        slack: u64,
        instance: &Instance,
    ) -> Result<(), Violation> {
        let now = at.as_nanos();
        if now > self.next_due + slack {
            return violated(
                "advertisements on time",
                format!(
                    "node {node}: one was due at {} and comes at {now} of its clock",
                    self.next_due
                ),
            );
        }
        if now >= self.next_due {
            self.next_due = instance.next_advert(node, self.next_due);
            if self.next_due <= now {
                self.next_due = instance.next_advert(node, now);
            }
        }
        Ok(())
    }
}
