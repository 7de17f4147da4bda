//! What an instance has to say: transitions, and what is wrong with others.

use std::time::{Duration, Instant};

use ha_common::{
    abi::{self, Counter},
    fsm::{Advert, Reason, StateKind},
    time::Timestamp,
    types::{Centiseconds, MacAddress, Priority, RouterAddress, Version},
};

use super::{
    attachment::Attachment,
    conflict::{Conflict, ConflictKind, Conflicts},
    executor::Executor,
};
use crate::{config::ChecksumForm, engine::Readings};

/// Least span between two log lines that traffic can cause, per instance and kind.
const LOG_GAP: Duration = Duration::from_secs(1);

/// What an instance remembers of what it has said.
#[derive(Default)]
pub(super) struct Told {
    pub(super) send_failure: bool,
    changed: Option<Instant>,
    put_back: Option<Instant>,
    conflicts: Conflicts,
    rivals: Vec<Rival>,
    was_active: Option<Instant>,
    /// When an action failed last, and how long the instance paused then.
    failed: Option<(Timestamp, Duration)>,
}

/// How long an instance stays in fault after an action of it failed, at first;
/// twice as long each time it fails again soon.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// The longest pause, and how long it has to go well for the first one again.
const RETRY_AFTER_AT_MOST: Duration = Duration::from_secs(300);

/// Rivals remembered at once.
const RIVALS: usize = 8;

impl Told {
    /// How long to pause after an action that failed at `now`. An instance that
    /// fails at each takeover moves the addresses each time.
    pub(super) fn retry_after(&mut self, now: Timestamp) -> Duration {
        let after = match self.failed {
            Some((at, pause)) if now.since(at) < pause + RETRY_AFTER_AT_MOST => {
                (2 * pause).min(RETRY_AFTER_AT_MOST)
            }
            _ => RETRY_AFTER,
        };
        self.failed = Some((now, after));
        after
    }
}

/// Another Active, since when and until when it was heard.
struct Rival {
    address: RouterAddress,
    first_at: Timestamp,
    last_at: Timestamp,
}

impl Executor {
    /// Returns the reason in words.
    pub(super) fn tell_transition(
        &self,
        from: StateKind,
        to: StateKind,
        reason: Reason,
        readings: &Readings,
    ) -> String {
        let reason = match reason {
            Reason::Fault { cause } => self.describe(cause, readings),
            other => other.describe(self.config.family).to_string(),
        };
        tracing::info!(
            instance = self.name(),
            interface = self.config.interface,
            vrid = self.config.vrid.value(),
            "{from} -> {to}: {reason}"
        );
        reason
    }

    pub(super) fn tell_no_link(&self) {
        tracing::warn!(
            instance = self.name(),
            interface = self.config.interface,
            "the interface is down or has no carrier: the instance waits for it"
        );
    }

    /// An Active was stopped for so long that the others must have given it up.
    pub(super) fn tell_resumed(&self, silence: Duration) {
        tracing::warn!(
            instance = self.name(),
            "no advertisement could be sent for {:.3} ms, longer than the others wait; still \
             Active, the addresses are announced anew: the machine or this process was stopped \
             or starved",
            silence.as_secs_f64() * 1e3
        );
    }

    /// Somebody removed what this instance had installed; it is there again.
    pub(super) fn tell_put_back(&mut self, what: &str, by: Option<&str>) {
        if due(&mut self.told.put_back) {
            tracing::warn!(
                instance = self.name(),
                "{what} was removed by {}, although this node is Active: put back; have that \
                 program leave the address alone",
                by.unwrap_or("another program (a network manager?)")
            );
        }
    }

    /// The advertisement that holds us back has another source, priority or
    /// interval than the one before.
    pub(super) fn tell_changed(&mut self, now: Timestamp, advert: &Advert, event: &abi::Event) {
        let address = advert.source.to_ip(self.config.family);
        if due(&mut self.told.changed) {
            tracing::info!(
                instance = self.name(),
                "the Active router is {address}, priority {}",
                advert.priority
            );
        }
        self.check_advert(now, advert, event);
    }

    /// Looks for what is odd about a valid advertisement.
    pub(super) fn check_advert(&mut self, now: Timestamp, advert: &Advert, event: &abi::Event) {
        if advert.priority == Priority::RELEASE {
            return;
        }
        let mac = MacAddress(event.mac);
        let address = advert.source.to_ip(self.config.family);
        self.check_owner(now, advert, mac);
        if advert.interval != self.config.advert_interval {
            let (theirs, ours) = (advert.interval, self.config.advert_interval);
            self.conflict(now, ConflictKind::Interval, advert.source, mac, || {
                format!(
                    "{address} ({mac}) advertises every {theirs:?} where we are configured for \
                     {ours:?}; a Backup uses the interval of the Active router; give all routers \
                     of the group one advert_interval"
                )
            });
        }
        if event.address_mismatch != 0 {
            let vrid = self.config.vrid;
            self.conflict(now, ConflictKind::AddressList, advert.source, mac, || {
                format!(
                    "{address} ({mac}) advertises other addresses for VRID {vrid} than we do; \
                     give both the same addresses, or, if it is none of this group, one of them \
                     another vrid"
                )
            });
        }
        let message_only = event.message_only_checksum != 0;
        if self.config.version == Version::V3
            && address.is_ipv4()
            && message_only != (self.config.checksum == ChecksumForm::MessageOnly)
        {
            let (theirs, word) = if message_only {
                ("without the pseudo-header", "message-only")
            } else {
                ("with the pseudo-header", "pseudo-header")
            };
            self.conflict(now, ConflictKind::Checksum, advert.source, mac, || {
                format!(
                    "{address} ({mac}) computes the checksum {theirs}, we the other way; we take \
                     both, but it may refuse ours: set checksum = \"{word}\""
                )
            });
        }
    }

    /// Looks whether the sender of `advert` says that it owns the addresses, as we do.
    pub(super) fn check_owner(&mut self, now: Timestamp, advert: &Advert, mac: MacAddress) {
        if [advert.priority, self.config.priority] != [Priority::OWNER; 2] {
            return;
        }
        let address = advert.source.to_ip(self.config.family);
        self.conflict(now, ConflictKind::Owner, advert.source, mac, || {
            format!(
                "{address} ({mac}) advertises priority 255 as we do, but only one router can own \
                 the addresses; the one with the greater address stays Active: give the other \
                 a priority of 1 to 254"
            )
        });
    }

    /// Tells of an owner that has not got its addresses as an owner has them.
    pub(super) fn tell_misplaced(&mut self, now: Timestamp, attachment: &Attachment) {
        let Some(first) = attachment.misplaced.first().copied() else {
            return;
        };
        let more = match attachment.misplaced.len() {
            1 => String::new(),
            count => format!(" and {} more", count - 1),
        };
        let by_harrier = self.config.virtual_mac.is_some();
        let mac = attachment.interface.mac;
        self.conflict(now, ConflictKind::Owner, first.into(), mac, || {
            if by_harrier {
                format!(
                    "this host has {first}{more} itself, so its own MAC address answers for it \
                     beside that of the virtual router: leave the addresses of an owner (priority \
                     255) with virtual_mac to Harrier"
                )
            } else {
                format!(
                    "priority 255 says that this host owns {first}{more}, but no interface of it \
                     has that address: take a priority of 1 to 254, or configure the address on \
                     the host"
                )
            }
        });
    }

    /// We are Active and so is the sender of `advert`. Once is what a partition
    /// that heals looks like, and is over when it hears us; if it goes on for longer
    /// than an interval, it does not.
    pub(super) fn tell_second_active(&mut self, now: Timestamp, advert: &Advert, mac: MacAddress) {
        let address = advert.source.to_ip(self.config.family);
        let interval = advert.interval.max(self.config.advert_interval);
        self.told
            .rivals
            .retain(|rival| now.since(rival.last_at) < 3 * interval);
        let known = self
            .told
            .rivals
            .iter_mut()
            .find(|rival| rival.address == advert.source);
        let Some(rival) = known else {
            if self.told.rivals.len() < RIVALS {
                self.told.rivals.push(Rival {
                    address: advert.source,
                    first_at: now,
                    last_at: now,
                });
            }
            if due(&mut self.told.was_active) {
                tracing::info!(
                    instance = self.config.name,
                    interface = self.config.interface,
                    "{address} ({mac}) was Active too, with priority {}: the addresses are \
                     announced again",
                    advert.priority
                );
            }
            return;
        };
        rival.last_at = now;
        if now.since(rival.first_at) < interval {
            return;
        }
        let priority = advert.priority;
        self.conflict(now, ConflictKind::TwoActives, advert.source, mac, || {
            format!(
                "{address} ({mac}) is Active too, with priority {priority}: our advertisements do \
                 not reach it or are refused there; look for a packet filter (IP protocol 112), \
                 a switch that drops multicast, or another setting on one side"
            )
        });
    }

    /// A stranger claims one of our addresses while we are Active.
    pub(super) fn tell_claim(&mut self, now: Timestamp, event: &abi::Event) {
        let claimed = RouterAddress(event.address);
        let mac = MacAddress(event.mac);
        let address = claimed.to_ip(super::family(event.family));
        self.conflict(now, ConflictKind::Claim, claimed, mac, || {
            format!(
                "{mac} claims {address}, which is ours while we are Active: another host has that \
                 address configured, or a second Active does not hear us; remove the address \
                 there"
            )
        });
    }

    /// The kernel program refused an advertisement for this virtual router.
    pub(super) fn tell_refused(&mut self, now: Timestamp, event: &abi::Event) {
        let Some(reason) = Counter::at(event.reason) else {
            return;
        };
        let source = RouterAddress(event.address);
        let address = source.to_ip(self.config.family);
        let mac = MacAddress(event.mac);
        let who = format!("{address} ({mac})");
        let ours = self.config.advert_interval;
        let (kind, text) = match reason {
            Counter::VersionMismatch => (
                ConflictKind::Version,
                format!(
                    "{who} speaks version {}, we speak version {}: its advertisements are \
                     refused; give all routers of the group one version",
                    event.version,
                    self.config.version.number()
                ),
            ),
            Counter::IntervalMismatch => (
                ConflictKind::Interval,
                format!(
                    "{who} advertises every {:?} where we are configured for {ours:?}, which \
                     version 2 refuses; give all routers of the group one advert_interval",
                    Centiseconds(event.interval_cs).to_duration()
                ),
            ),
            Counter::BadAuthentication => (
                ConflictKind::Authentication,
                format!(
                    "{who} has another password or authentication type: its advertisements are \
                     refused; set password alike"
                ),
            ),
            Counter::BadChecksum => (
                ConflictKind::Checksum,
                format!(
                    "{who} sends advertisements with a wrong checksum, which are refused: they \
                     are damaged on the way, or forged, or computed over something else"
                ),
            ),
            Counter::AddressListMismatch | Counter::NoAddresses => (
                ConflictKind::AddressList,
                format!(
                    "{who} advertises other addresses for VRID {} than we do: its advertisements \
                     are refused; give both the same addresses, or, if it is none of this group, \
                     one of them another vrid",
                    self.config.vrid
                ),
            ),
            Counter::UnlistedSource => (
                ConflictKind::Transport,
                format!(
                    "{who} advertises to us by unicast and is not among the peers: refused; list \
                     it in unicast.peers if it belongs to the group"
                ),
            ),
            Counter::BadDestination => (
                ConflictKind::Transport,
                format!(
                    "{who} advertises by {}: refused; all routers of a group use unicast or none",
                    if self.config.unicast.is_some() {
                        "multicast where we use unicast"
                    } else {
                        "unicast where we use multicast"
                    }
                ),
            ),
            Counter::BadTtl => (
                ConflictKind::Ttl,
                format!(
                    "advertisements from {who} have passed a router on the way or are forged (TTL \
                     or hop limit too low): refused; unicast.min_ttl allows for routers"
                ),
            ),
            Counter::OwnAddress => (
                ConflictKind::OwnAddress,
                format!(
                    "advertisements with our own address {address} as source arrive from {mac}: \
                     a loop in the network, or another host with our address"
                ),
            ),
            other => (
                ConflictKind::Malformed,
                format!(
                    "{who} sends advertisements that are refused ({}); see `harrier counters`",
                    other.name()
                ),
            ),
        };
        self.conflict(now, kind, source, mac, || text);
    }

    fn conflict(
        &mut self,
        now: Timestamp,
        kind: ConflictKind,
        address: RouterAddress,
        mac: MacAddress,
        text: impl FnOnce() -> String,
    ) {
        if let Some(text) = self.told.conflicts.note(now, kind, address, mac, text) {
            tracing::warn!(
                instance = self.config.name,
                interface = self.config.interface,
                conflict = kind.name(),
                "{text}"
            );
        }
    }

    /// What is wrong between this instance and others.
    pub(super) fn conflicts(&self, now: Timestamp) -> Vec<Conflict> {
        self.told.conflicts.present(now)
    }
}

/// Whether something may be told again, if it was last told at `told`.
fn due(told: &mut Option<Instant>) -> bool {
    let now = Instant::now();
    let due = told.is_none_or(|at| now.duration_since(at) >= LOG_GAP);
    if due {
        *told = Some(now);
    }
    due
}
