//! What a valid advertisement changes: the peer's row, the record of who holds
//! back Active_Down, and what the daemon is told.

use aya_ebpf::helpers::bpf_ktime_get_ns;
use ha_common::{
    abi::{self, Counter},
    fsm::election::{Contender, Role, Standing, standing},
    types::{Priority, RouterAddress},
    wire::{
        Window,
        vrrp::{self, Advert, Header},
    },
};

use crate::{
    dump, limit,
    maps::{self, ACTIVES, PEERS, TOLD},
    refusal,
    verdict::{self, Denied},
};

/// A valid advertisement and what it is about.
struct Arrival<'a> {
    now_ns: u64,
    ifindex: u32,
    vrid: u8,
    family: u8,
    instance: &'a abi::Instance,
    advert: &'a Advert,
}

/// Hears an advertisement that arrived on `ifindex`, and says whether it is to be
/// consumed.
///
/// # Errors
/// If it is not valid, or not for one of our virtual routers.
#[inline(always)]
pub(crate) fn hear<W: Window>(window: &W, header: &Header, ifindex: u32) -> Result<bool, Denied> {
    let family = header.family.code();
    let row = maps::instance(ifindex, header.vrid, family).ok_or(Denied::NotConfigured)?;
    let instance = &row.instance;
    let validated = vrrp::validate(window, header, instance, |source| {
        maps::is_unicast_peer(ifindex, header.vrid, family, source)
    });
    let advert = match validated {
        Ok(advert) => advert,
        Err(reason) => {
            refusal::hear(header, instance, ifindex, reason);
            dump::show(header, row, ifindex, reason.counter());
            return Err(Denied::Refused(reason));
        }
    };
    count(&advert);
    dump::show(header, row, ifindex, Counter::Accepted);
    let arrival = Arrival {
        // SAFETY: reads the clock.
        now_ns: unsafe { bpf_ktime_get_ns() },
        ifindex,
        vrid: header.vrid,
        family,
        instance,
        advert: &advert,
    };
    let Some(record) = ACTIVES.get_ptr_mut(instance.index) else {
        return Ok(false);
    };
    let known = arrival.note_in_row(record);
    let told = match instance.state {
        abi::STATE_BACKUP => hear_as_backup(&arrival, record, known),
        abi::STATE_ACTIVE => hear_as_active(&arrival, record, known),
        _ => false,
    };
    if !known && !told {
        arrival.tell_once(abi::EVENT_NEW_PEER);
    }
    let takes_part = matches!(instance.state, abi::STATE_BACKUP | abi::STATE_ACTIVE);
    Ok(row.consume != 0 && takes_part)
}

#[inline(always)]
fn count(advert: &Advert) {
    verdict::count_those([
        (Counter::Accepted, true),
        (Counter::ChecksumWithPseudoHeader, advert.has_pseudo_header),
        (Counter::ChecksumMessageOnly, advert.message_only_checksum),
        (Counter::ChecksumWithGroup, advert.group_in_checksum),
        (Counter::AddressListDiffers, advert.address_mismatch),
    ]);
}

/// Returns whether an event was sent.
#[inline(always)]
fn hear_as_backup(arrival: &Arrival<'_>, record: *mut abi::ActiveRouter, known: bool) -> bool {
    match arrival.standing(Role::Backup) {
        Standing::Release => arrival.tell_release(),
        Standing::Wins => {
            let news = arrival.is_news(record);
            let sent = news && arrival.tell_once(abi::EVENT_CHANGED);
            arrival.store(record, sent || !news, known);
            sent
        }
        // Who held us back has become one that we preempt. Of others nothing follows:
        // they wait for the Active as we do.
        Standing::Loses => arrival.is_from(record) && arrival.tell_once(abi::EVENT_WEAKENED),
    }
}

/// Returns whether an event was sent.
#[inline(always)]
fn hear_as_active(arrival: &Arrival<'_>, record: *mut abi::ActiveRouter, known: bool) -> bool {
    match arrival.standing(Role::Active) {
        Standing::Release => arrival.tell_release(),
        Standing::Wins => {
            let news = arrival.is_news(record);
            let sent = arrival.tell_outranked();
            // One that was held back counts as not told, so that it is told as
            // `CHANGED` once we are Backup.
            arrival.store(record, sent || !news, known);
            sent
        }
        Standing::Loses => arrival.tell_once(abi::EVENT_LOSING),
    }
}

/// Updates the source's row, in which `adverts` more are counted; `false` if it has
/// none.
#[inline(always)]
#[allow(
    clippy::multiple_unsafe_ops_per_block,
    reason = "one reason holds for all of them"
)]
fn update_peer(arrival: &Arrival<'_>, adverts: u64) -> bool {
    let advert = arrival.advert;
    let key = abi::PeerKey {
        ifindex: arrival.ifindex,
        vrid: arrival.vrid,
        family: arrival.family,
        reserved: [0; 2],
        address: advert.source.0,
    };
    let Some(row) = PEERS.get_ptr_mut(key) else {
        return false;
    };
    // SAFETY: the row came from a lookup, so it is valid and aligned while the
    // program runs. Other CPUs and the daemon may look at it: it is only touched
    // by value, field by field, the time last.
    unsafe {
        (*row).adverts = (*row).adverts.wrapping_add(adverts);
        (*row).interval_cs = advert.interval.0;
        (*row).priority = advert.priority.0;
        (*row).version = advert.version.number();
        (*row).address_mismatch = u8::from(advert.address_mismatch);
        (*row).message_only_checksum = u8::from(advert.message_only_checksum);
        (*row).mac = advert.source_mac.0;
        (&raw mut (*row).last_seen_ns).write_volatile(arrival.now_ns);
    }
    true
}

impl Arrival<'_> {
    /// Updates the source's row, unless it would only say again what it said a
    /// moment ago; `false` if it has none.
    #[inline(always)]
    #[allow(
        clippy::multiple_unsafe_ops_per_block,
        reason = "one reason holds for all of them"
    )]
    fn note_in_row(&self, record: *mut abi::ActiveRouter) -> bool {
        if !self.is_from(record) {
            return update_peer(self, 1);
        }
        // SAFETY: the slot of an array map is valid and aligned for as long as the
        // program runs, and is only touched by value.
        let (written_ns, unwritten) = unsafe { ((*record).row_written_ns, (*record).unwritten) };
        let repeats = self.repeats(record);
        if repeats && !limit::is_due(self.now_ns, written_ns, self.instance.event_gap_ns) {
            // SAFETY: as above.
            unsafe { (*record).unwritten = unwritten.wrapping_add(1) };
            return true;
        }
        let known = update_peer(self, u64::from(unwritten).wrapping_add(1));
        if repeats {
            self.row_is_written(record, known);
        } else if unwritten != 0 {
            // SAFETY: as above.
            unsafe { (*record).unwritten = 0 };
        }
        known
    }

    /// Records whether and when the row of the record's source was written.
    #[inline(always)]
    #[allow(
        clippy::multiple_unsafe_ops_per_block,
        reason = "one reason holds for all of them"
    )]
    fn row_is_written(&self, record: *mut abi::ActiveRouter, known: bool) {
        // SAFETY: the slot of an array map is valid and aligned for as long as the
        // program runs, and is only written by value.
        unsafe {
            (*record).row_written_ns = if known { self.now_ns } else { 0 };
            (*record).unwritten = 0;
        }
    }

    #[inline(always)]
    fn standing(&self, role: Role) -> Standing {
        let own = Contender {
            priority: Priority(self.instance.priority),
            address: RouterAddress(self.instance.own_address),
            preempt: self.instance.preempt != 0,
        };
        standing(role, &own, self.advert.priority, self.advert.source)
    }

    /// Sends an event of a kind that one per gap is enough of.
    #[inline(always)]
    #[allow(
        clippy::multiple_unsafe_ops_per_block,
        reason = "one reason holds for all of them"
    )]
    fn tell_once(&self, kind: u32) -> bool {
        let Some(told) = TOLD.get_ptr_mut(self.instance.index) else {
            return false;
        };
        // SAFETY: the slot of an array map is valid for as long as the program runs.
        let last_ns = unsafe {
            match kind {
                abi::EVENT_CHANGED => &raw mut (*told).changed_ns,
                abi::EVENT_WEAKENED => &raw mut (*told).weakened_ns,
                abi::EVENT_LOSING => &raw mut (*told).losing_ns,
                _ => &raw mut (*told).new_peer_ns,
            }
        };
        limit::once(last_ns, self.now_ns, self.instance.event_gap_ns, || {
            verdict::tell(self.event(kind))
        })
    }

    #[inline(always)]
    #[allow(
        clippy::multiple_unsafe_ops_per_block,
        reason = "one reason holds for all of them"
    )]
    fn tell_release(&self) -> bool {
        let Some(told) = TOLD.get_ptr_mut(self.instance.index) else {
            return false;
        };
        // SAFETY: the slot of an array map is valid for as long as the program runs.
        let (first_ns, sent_since) =
            unsafe { (&raw mut (*told).release_ns, &raw mut (*told).releases) };
        self.tell_burst(first_ns, sent_since, abi::EVENT_RELEASE)
    }

    #[inline(always)]
    #[allow(
        clippy::multiple_unsafe_ops_per_block,
        reason = "one reason holds for all of them"
    )]
    fn tell_outranked(&self) -> bool {
        let Some(told) = TOLD.get_ptr_mut(self.instance.index) else {
            return false;
        };
        // SAFETY: the slot of an array map is valid for as long as the program runs.
        let (first_ns, sent_since) =
            unsafe { (&raw mut (*told).outranked_ns, &raw mut (*told).outranks) };
        self.tell_burst(first_ns, sent_since, abi::EVENT_OUTRANKED)
    }

    #[inline(always)]
    fn tell_burst(&self, first_ns: *mut u64, sent_since: *mut u32, kind: u32) -> bool {
        let gap_ns = self.instance.event_gap_ns;
        limit::burst(first_ns, sent_since, self.now_ns, gap_ns, || {
            verdict::tell(self.event(kind))
        })
    }

    /// Whether its source is the one that last held back Active_Down.
    #[inline(always)]
    #[allow(
        clippy::multiple_unsafe_ops_per_block,
        reason = "one reason holds for all of them"
    )]
    fn is_from(&self, record: *mut abi::ActiveRouter) -> bool {
        // SAFETY: the slot of an array map is valid and aligned for as long as
        // the program runs, and is only read by value.
        let (last_seen_ns, address) = unsafe { ((*record).last_seen_ns, (*record).address) };
        last_seen_ns != 0
            && u128::from_ne_bytes(address) == u128::from_ne_bytes(self.advert.source.0)
    }

    /// Whether it says what the record says.
    #[inline(always)]
    #[allow(
        clippy::multiple_unsafe_ops_per_block,
        reason = "one reason holds for all of them"
    )]
    fn repeats(&self, record: *mut abi::ActiveRouter) -> bool {
        // SAFETY: the slot of an array map is valid and aligned for as long as
        // the program runs, and is only read by value.
        let (priority, interval_cs) = unsafe { ((*record).priority, (*record).interval_cs) };
        priority == self.advert.priority.0
            && interval_cs == self.advert.interval.0
            && self.is_from(record)
    }

    /// Whether the daemon does not know yet that this source holds back
    /// Active_Down with this priority and interval.
    #[inline(always)]
    fn is_news(&self, record: *mut abi::ActiveRouter) -> bool {
        // SAFETY: the slot of an array map is valid and aligned for as long as
        // the program runs, and is only read by value.
        let told = unsafe { (*record).told };
        told == 0 || !self.repeats(record)
    }

    /// Records that this advertisement holds back Active_Down. `told`: the daemon
    /// knows; `known`: its source has a row.
    #[inline(always)]
    #[allow(
        clippy::multiple_unsafe_ops_per_block,
        reason = "one reason holds for all of them"
    )]
    fn store(&self, record: *mut abi::ActiveRouter, told: bool, known: bool) {
        if !self.is_from(record) {
            self.row_is_written(record, known);
        }
        // SAFETY: the slot of an array map is valid and aligned for as long as
        // the program runs. Other CPUs and the daemon may look at it: it is only
        // touched by value, field by field, the time last.
        unsafe {
            (*record).adverts = (*record).adverts.wrapping_add(1);
            (*record).ifindex = self.ifindex;
            (*record).interval_cs = self.advert.interval.0;
            (*record).vrid = self.vrid;
            (*record).family = self.family;
            (*record).priority = self.advert.priority.0;
            (*record).told = u8::from(told);
            (*record).mac = self.advert.source_mac.0;
            (*record).address = self.advert.source.0;
            (&raw mut (*record).last_seen_ns).write_volatile(self.now_ns);
        }
    }

    #[inline(always)]
    fn event(&self, kind: u32) -> abi::Event {
        abi::Event {
            at_ns: self.now_ns,
            kind,
            ifindex: self.ifindex,
            index: self.instance.index,
            interval_cs: self.advert.interval.0,
            vrid: self.vrid,
            family: self.family,
            priority: self.advert.priority.0,
            version: self.advert.version.number(),
            mac: self.advert.source_mac.0,
            address: self.advert.source.0,
            claim_kind: 0,
            address_mismatch: u8::from(self.advert.address_mismatch),
            message_only_checksum: u8::from(self.advert.message_only_checksum),
            reason: 0,
            reserved: [0; 4],
        }
    }
}
