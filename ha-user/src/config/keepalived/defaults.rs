//! What `global_defs` says of all instances, and what is there where nobody says.

use std::{
    collections::{HashMap, HashSet},
    net::IpAddr,
    time::Duration,
};

use crate::config::{
    located::{Field, Located},
    raw::RawAnnounce,
};

/// Settings of `global_defs` that instances take over.
#[derive(Debug, Default)]
pub(super) struct Defaults {
    /// `vrrp_version`.
    pub(super) version: Option<i64>,
    /// `vrrp_garp_*`.
    pub(super) garp: Garp,
    /// `vrrp_notify_priority_changes`.
    pub(super) priority_changes: Option<Located<bool>>,
    /// `default_interface`.
    pub(super) interface: Option<Located<String>>,
    /// Instances of sync groups, by name, and whether the weights of what they
    /// track count.
    pub(super) weighted_members: Vec<(String, bool)>,
    /// The checks that there are, with the weights that they say.
    pub(super) checks: HashMap<String, i64>,
    /// Names of the instances that there are.
    pub(super) instances: HashSet<String>,
    /// Addresses that instances have, by the interface whose link they are on.
    pub(super) addresses: HashSet<(String, IpAddr)>,
    /// What the kernel tells routes and rules apart by, of those that there are.
    pub(super) routes: HashSet<String>,
    /// Between two announcements on one interface.
    pub(super) announce_gap: Duration,
}

/// `garp_*` of an instance or of all.
#[derive(Clone, Debug, Default)]
pub(super) struct Garp {
    pub(super) delay: Option<Located<i64>>,
    pub(super) repeat: Option<Located<i64>>,
    pub(super) refresh: Option<Located<i64>>,
}

/// Longest `delay` of a schedule, in seconds.
const MAX_DELAY: i64 = 1000;

/// Longest `refresh`, in seconds: a day.
const MAX_REFRESH: i64 = 86_400;

/// What a schedule has where nobody says how far announcements are apart.
const INTERVAL: Duration = Duration::from_millis(100);

/// `delay` where nobody says: keepalived's is Harrier's.
const DELAY: i64 = 5;

impl Garp {
    /// What is said here, or there where nothing is said here.
    pub(super) fn or(self, other: &Self) -> Self {
        let one = |own: Option<Located<i64>>, other: &Option<Located<i64>>| own.or(other.clone());
        Self {
            delay: one(self.delay, &other.delay),
            repeat: one(self.repeat, &other.repeat),
            refresh: one(self.refresh, &other.refresh),
        }
    }

    /// The schedule, if anything is said. `gap` is between two announcements.
    pub(super) fn announce(&self, gap: Duration) -> Field<RawAnnounce> {
        let said = [&self.delay, &self.repeat, &self.refresh];
        let Some(first) = said.into_iter().flatten().next() else {
            return Field::Absent;
        };
        let field = |value: &Option<Located<i64>>, max: i64| match value {
            None => Field::Absent,
            Some(value) => {
                let seconds = u64::try_from(value.value.clamp(0, max)).unwrap_or(0);
                Field::Given(Located::new(
                    Duration::from_secs(seconds),
                    value.span.clone(),
                ))
            }
        };
        let count = self
            .repeat
            .as_ref()
            .map(|repeat| repeat.value.clamp(1, 255));
        Field::Given(Located::new(
            RawAnnounce {
                count: match (&self.repeat, count) {
                    (Some(repeat), Some(count)) => {
                        Field::Given(Located::new(count, repeat.span.clone()))
                    }
                    _ => Field::Absent,
                },
                interval: match (&self.repeat, count) {
                    (Some(repeat), Some(count)) => {
                        self.interval(count, gap).map_or(Field::Absent, |interval| {
                            Field::Given(Located::new(interval, repeat.span.clone()))
                        })
                    }
                    _ => Field::Absent,
                },
                delay: field(&self.delay, MAX_DELAY),
                refresh: field(&self.refresh, MAX_REFRESH),
            },
            first.span.clone(),
        ))
    }

    /// How far announcements of a row are apart, so that the row is over before
    /// the second begins; `None` if that is so anyway.
    fn interval(&self, count: i64, gap: Duration) -> Option<Duration> {
        let repeats = u32::try_from(count - 1)
            .ok()
            .filter(|repeats| *repeats > 0)?;
        let delay = self.delay.as_ref().map_or(DELAY, |delay| delay.value);
        let delay = Duration::from_secs(u64::try_from(delay).unwrap_or(0));
        if delay.is_zero() || INTERVAL * repeats < delay {
            return None;
        }
        let room = delay / (repeats + 1);
        Some(room.clamp(Duration::from_millis(1).max(gap.min(INTERVAL)), INTERVAL))
    }
}
