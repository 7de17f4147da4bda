//! What is not as it should be between us and another router: told in the log
//! once and then seldom, kept for `harrier status`.

use std::{collections::VecDeque, time::Duration};

use ha_common::{
    time::Timestamp,
    types::{MacAddress, RouterAddress},
};

/// Conflicts kept per virtual router; the one not seen for longest makes room.
const KEPT: usize = 8;

/// A conflict that has not been seen for so long is over.
const OVER_AFTER: Duration = Duration::from_secs(300);

/// Least span between two log lines about one conflict that goes on.
const TELL_AGAIN_AFTER: Duration = Duration::from_secs(60);

/// Least span between two log lines about conflicts of one kind, whoever is in
/// them: sources can be forged.
const TELL_KIND_AFTER: Duration = Duration::from_secs(1);

/// What the conflict is about.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(usize)]
pub enum ConflictKind {
    /// Another router is Active beside us.
    TwoActives,
    /// Another list of virtual addresses for our VRID.
    AddressList,
    /// Another advertisement interval.
    Interval,
    /// Another version of the protocol.
    Version,
    /// A wrong checksum, or the other form of it.
    Checksum,
    /// Another password (version 2).
    Authentication,
    /// Unicast where we use multicast, or the other way round; a source that is
    /// not listed.
    Transport,
    /// A TTL or hop limit that is too low.
    Ttl,
    /// A message that makes no sense.
    Malformed,
    /// Our own address as source.
    OwnAddress,
    /// A stranger claims one of our addresses while we are Active.
    Claim,
    /// Priority 255 where it does not belong: the host does not own the addresses,
    /// or another router says that it does too.
    Owner,
}

impl ConflictKind {
    const COUNT: usize = Self::Owner as usize + 1;

    /// The word in JSON and status.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::TwoActives => "two-actives",
            Self::AddressList => "address-list",
            Self::Interval => "interval",
            Self::Version => "version",
            Self::Checksum => "checksum",
            Self::Authentication => "authentication",
            Self::Transport => "transport",
            Self::Ttl => "ttl",
            Self::Malformed => "malformed",
            Self::OwnAddress => "own-address",
            Self::Claim => "claim",
            Self::Owner => "owner",
        }
    }
}

/// One conflict with one other router.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Conflict {
    /// What it is about.
    pub kind: ConflictKind,
    /// The other's address; in a claim the claimed one; of an owner by itself the
    /// one that is not where it should be.
    pub address: RouterAddress,
    /// The other's link-layer address; of an owner by itself its own.
    pub mac: MacAddress,
    /// What is wrong and what can be done.
    pub text: String,
    /// When it was first seen.
    pub first_at: Timestamp,
    /// When it was last seen.
    pub last_at: Timestamp,
    /// How often it was seen. The kernel reports what repeats only now and then,
    /// so there may have been more packets.
    pub times: u64,
    told_at: Timestamp,
}

/// The conflicts of one virtual router.
#[derive(Clone, Debug, Default)]
pub struct Conflicts {
    kept: VecDeque<Conflict>,
    told: [Option<Timestamp>; ConflictKind::COUNT],
}

impl Conflicts {
    /// Notes that a conflict was seen at `now`; returns what to tell, if it is
    /// time to. `text` is asked for only if the conflict is new or to be told.
    pub fn note(
        &mut self,
        now: Timestamp,
        kind: ConflictKind,
        address: RouterAddress,
        mac: MacAddress,
        text: impl FnOnce() -> String,
    ) -> Option<&str> {
        let known = self
            .kept
            .iter()
            .position(|kept| kept.kind == kind && kept.address == address && kept.mac == mac);
        let kind_may =
            self.told[kind as usize].is_none_or(|told| now.since(told) >= TELL_KIND_AFTER);
        let (place, due) = if let Some(place) = known {
            let kept = &mut self.kept[place];
            kept.last_at = now;
            kept.times += 1;
            (place, now.since(kept.told_at) >= TELL_AGAIN_AFTER)
        } else {
            if self.kept.len() == KEPT {
                let oldest = (0..KEPT).min_by_key(|&place| self.kept[place].last_at)?;
                self.kept.remove(oldest);
            }
            self.kept.push_back(Conflict {
                kind,
                address,
                mac,
                text: String::new(),
                first_at: now,
                last_at: now,
                times: 1,
                told_at: Timestamp::default(),
            });
            (self.kept.len() - 1, true)
        };
        let tell = due && kind_may;
        let kept = &mut self.kept[place];
        if tell || kept.text.is_empty() {
            kept.text = text();
        }
        if !tell {
            return None;
        }
        kept.told_at = now;
        self.told[kind as usize] = Some(now);
        Some(&kept.text)
    }

    /// Those that have been seen in the last minutes, the newest last.
    #[must_use]
    pub fn present(&self, now: Timestamp) -> Vec<Conflict> {
        let mut present: Vec<Conflict> = self
            .kept
            .iter()
            .filter(|kept| now.since(kept.last_at) < OVER_AFTER)
            .cloned()
            .collect();
        present.sort_by_key(|kept| kept.last_at);
        present
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    const KIND: ConflictKind = ConflictKind::Version;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_nanos(1_000_000_000 * (seconds + 1000))
    }

    fn router(last: u8) -> RouterAddress {
        Ipv4Addr::new(10, 0, 0, last).into()
    }

    fn note(conflicts: &mut Conflicts, now: Timestamp, last: u8) -> Option<String> {
        conflicts
            .note(now, KIND, router(last), MacAddress::default(), || {
                format!("from {last}")
            })
            .map(str::to_owned)
    }

    #[test]
    fn a_conflict_is_told_at_once_and_then_once_a_minute() {
        let mut conflicts = Conflicts::default();
        let told: Vec<u64> = (0..=130)
            .filter(|&second| note(&mut conflicts, at(second), 9).is_some())
            .collect();
        assert_eq!(told, [0, 60, 120]);
        let present = conflicts.present(at(131));
        assert_eq!(present.len(), 1);
        assert_eq!(present[0].times, 131);
        assert_eq!(present[0].first_at, at(0));
        assert_eq!(present[0].last_at, at(130));
    }

    #[test]
    fn forged_sources_neither_fill_the_log_nor_the_memory() {
        let mut conflicts = Conflicts::default();
        let told = (0..=255)
            .filter(|&last| note(&mut conflicts, at(0), last).is_some())
            .count();
        assert_eq!(told, 1);
        assert_eq!(conflicts.present(at(1)).len(), KEPT);
        assert!(note(&mut conflicts, at(1), 255).is_some(), "was never told");
    }

    #[test]
    fn what_has_stopped_is_over() {
        let mut conflicts = Conflicts::default();
        note(&mut conflicts, at(0), 9);
        assert_eq!(conflicts.present(at(299)).len(), 1);
        assert_eq!(conflicts.present(at(300)), []);
    }

    #[test]
    fn kinds_are_told_apart() {
        let mut conflicts = Conflicts::default();
        assert!(note(&mut conflicts, at(0), 9).is_some());
        let other = conflicts.note(
            at(0),
            ConflictKind::Checksum,
            router(9),
            MacAddress::default(),
            || "other".to_owned(),
        );
        assert_eq!(other, Some("other"));
        assert_eq!(conflicts.present(at(0)).len(), 2);
    }
}
