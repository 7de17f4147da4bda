//! The kernel's side of one virtual router, as `ha-ebpf/src/advert.rs` has it:
//! sorted by the state that the daemon has published, with the same comparison,
//! the same record, the same events and the same limit on them.
//!
//! Left out: the peers' rows and `NEW_PEER`, which decide nothing.

use bytemuck::Zeroable as _;
use ha_common::{
    abi,
    fsm::election::{Contender, Role, Standing, standing},
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
}

impl Slot {
    pub(crate) fn new(instance: abi::Instance) -> Self {
        Self {
            instance,
            record: abi::ActiveRouter::zeroed(),
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
        let event = |kind| abi::Event {
            at_ns: now_ns,
            kind,
            index: self.instance.index,
            interval_cs: advert.interval.0,
            priority: advert.priority.0,
            version: advert.version.number(),
            mac: advert.source_mac.0,
            address: advert.source.0,
            ..abi::Event::zeroed()
        };
        match self.instance.state {
            abi::STATE_BACKUP => match self.standing(Role::Backup, advert) {
                Standing::Release => {
                    tell(event(abi::EVENT_RELEASE));
                }
                Standing::Wins => {
                    let news = self.is_news(advert);
                    let sent = news && self.is_due(now_ns) && tell(event(abi::EVENT_CHANGED));
                    if sent {
                        self.record.last_event_ns = now_ns;
                    }
                    self.store(now_ns, advert, sent || !news);
                }
                Standing::Loses => {}
            },
            abi::STATE_ACTIVE => match self.standing(Role::Active, advert) {
                Standing::Release => {
                    tell(event(abi::EVENT_RELEASE));
                }
                Standing::Wins => {
                    let sent = tell(event(abi::EVENT_OUTRANKED));
                    self.store(now_ns, advert, sent);
                }
                Standing::Loses => {
                    if self.is_due(now_ns) && tell(event(abi::EVENT_LOSING)) {
                        self.record.last_event_ns = now_ns;
                    }
                }
            },
            _ => {}
        }
    }

    fn standing(&self, role: Role, advert: &Advert) -> Standing {
        let own = Contender {
            priority: Priority(self.instance.priority),
            address: RouterAddress(self.instance.own_address),
            preempt: self.instance.preempt != 0,
        };
        standing(role, &own, advert.priority, advert.source)
    }

    fn is_due(&self, now_ns: u64) -> bool {
        let last_ns = self.record.last_event_ns;
        last_ns == 0 || now_ns.wrapping_sub(last_ns) >= self.instance.event_gap_ns
    }

    fn is_news(&self, advert: &Advert) -> bool {
        self.record.told == 0
            || self.record.priority != advert.priority.0
            || self.record.interval_cs != advert.interval.0
            || self.record.address != advert.source.0
    }

    fn store(&mut self, now_ns: u64, advert: &Advert, told: bool) {
        self.record.interval_cs = advert.interval.0;
        self.record.priority = advert.priority.0;
        self.record.told = u8::from(told);
        self.record.address = advert.source.0;
        self.record.last_seen_ns = now_ns;
    }
}
