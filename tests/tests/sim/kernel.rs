//! The kernel's side of one virtual router, as `ha-ebpf/src/advert.rs` has it:
//! sorted by the state that the daemon has published, with the same comparison,
//! the same record, the same events and the same limits on them. The kernel's
//! tests compare it with the program.
//!
//! Left out: the peers' rows, `NEW_PEER`, and what is refused, which decide nothing.

use bytemuck::Zeroable as _;
use ha_common::{
    abi,
    fsm::election::{self, Contender, Role, Standing},
    types::{Priority, RouterAddress},
    wire::vrrp::Advert,
};

/// See the [module](self).
#[derive(Clone, Debug)]
pub(crate) struct Slot {
    /// What the daemon has published.
    pub(crate) instance: abi::Instance,
    /// `actives[instance]`.
    pub(crate) record: abi::ActiveRouter,
    /// `told[instance]`.
    pub(crate) told: abi::Told,
}

impl Slot {
    pub(crate) fn new(instance: abi::Instance) -> Self {
        Self {
            instance,
            record: abi::ActiveRouter::zeroed(),
            told: abi::Told::zeroed(),
        }
    }

    /// Hears a valid advertisement at `now_ns`. `tell` puts an event into the
    /// ring and says whether there was room.
    pub(crate) fn hear(
        &mut self,
        now_ns: u64,
        advert: &Advert,
        mut tell: impl FnMut(abi::Event) -> bool,
    ) {
        let index = self.instance.index;
        let mut tell = |kind| {
            tell(abi::Event {
                at_ns: now_ns,
                kind,
                index,
                interval_cs: advert.interval.0,
                priority: advert.priority.0,
                version: advert.version.number(),
                mac: advert.source_mac.0,
                address: advert.source.0,
                ..abi::Event::zeroed()
            })
        };
        let gap_ns = self.instance.event_gap_ns;
        let role = match self.instance.state {
            abi::STATE_BACKUP => Role::Backup,
            abi::STATE_ACTIVE => Role::Active,
            _ => return,
        };
        let told = &mut self.told;
        match (role, standing(role, &self.instance, advert)) {
            (_, Standing::Release) => {
                let limit = (&mut told.release_ns, &mut told.releases);
                burst(limit, now_ns, gap_ns, || tell(abi::EVENT_RELEASE));
            }
            (role, Standing::Wins) => {
                let news = is_news(&self.record, advert);
                let sent = match role {
                    Role::Backup => {
                        news && once(&mut told.changed_ns, now_ns, gap_ns, || {
                            tell(abi::EVENT_CHANGED)
                        })
                    }
                    Role::Active => {
                        let limit = (&mut told.outranked_ns, &mut told.outranks);
                        burst(limit, now_ns, gap_ns, || tell(abi::EVENT_OUTRANKED))
                    }
                };
                store(&mut self.record, now_ns, advert, sent || !news);
            }
            (Role::Backup, Standing::Loses) => {
                let is_from =
                    self.record.last_seen_ns != 0 && self.record.address == advert.source.0;
                if is_from {
                    once(&mut told.weakened_ns, now_ns, gap_ns, || {
                        tell(abi::EVENT_WEAKENED)
                    });
                }
            }
            (Role::Active, Standing::Loses) => {
                once(&mut told.losing_ns, now_ns, gap_ns, || {
                    tell(abi::EVENT_LOSING)
                });
            }
        }
    }
}

fn standing(role: Role, instance: &abi::Instance, advert: &Advert) -> Standing {
    let own = Contender {
        priority: Priority(instance.priority),
        address: RouterAddress(instance.own_address),
        preempt: instance.preempt != 0,
    };
    election::standing(role, &own, advert.priority, advert.source)
}

fn is_news(record: &abi::ActiveRouter, advert: &Advert) -> bool {
    record.told == 0
        || record.priority != advert.priority.0
        || record.interval_cs != advert.interval.0
        || record.address != advert.source.0
}

fn store(record: &mut abi::ActiveRouter, now_ns: u64, advert: &Advert, told: bool) {
    record.adverts += 1;
    record.interval_cs = advert.interval.0;
    record.priority = advert.priority.0;
    record.told = u8::from(told);
    record.mac = advert.source_mac.0;
    record.address = advert.source.0;
    record.last_seen_ns = now_ns;
}

fn is_due(last_ns: u64, now_ns: u64, gap_ns: u64) -> bool {
    last_ns == 0 || now_ns.wrapping_sub(last_ns) >= gap_ns
}

/// One event per gap.
fn once(last_ns: &mut u64, now_ns: u64, gap_ns: u64, tell: impl FnOnce() -> bool) -> bool {
    let sent = is_due(*last_ns, now_ns, gap_ns) && tell();
    if sent {
        *last_ns = now_ns;
    }
    sent
}

/// Up to [`abi::EVENT_BURST`] events per gap.
fn burst(
    (first_ns, sent_since): (&mut u64, &mut u32),
    now_ns: u64,
    gap_ns: u64,
    tell: impl FnOnce() -> bool,
) -> bool {
    let anew = is_due(*first_ns, now_ns, gap_ns);
    let before = if anew { 0 } else { *sent_since };
    let sent = before < abi::EVENT_BURST && tell();
    if sent {
        if anew {
            *first_ns = now_ns;
        }
        *sent_since = before + 1;
    }
    sent
}
