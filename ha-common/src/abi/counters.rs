//! Packets by reason: one table for the struct, the reasons and their names.

use bytemuck::{Pod, Zeroable};

macro_rules! counters {
    ($($(#[doc = $doc:literal])+ $field:ident $variant:ident,)+) => {
        /// Why a count goes up. One variant per field of [`Counters`], in its order.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        #[repr(usize)]
        pub enum Counter {
            $($(#[doc = $doc])+ $variant,)+
        }

        impl Counter {
            /// All of them, in the order of [`Counters`].
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// The one in `place` of [`ALL`](Self::ALL), as
            /// [`Refused::reason`](super::Refused::reason) names it.
            #[must_use]
            pub fn at(place: u8) -> Option<Self> {
                Self::ALL.get(usize::from(place)).copied()
            }

            /// The field's name, as `bpftool map dump` shows it.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => stringify!($field),)+
                }
            }
        }

        /// The value of `counters`: packets since start on one CPU, by reason.
        #[repr(C)]
        #[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Pod, Zeroable)]
        pub struct Counters {
            $($(#[doc = $doc])+ pub $field: u64,)+
        }

        impl Counters {
            /// The count for one reason.
            #[must_use]
            pub const fn of(&self, counter: Counter) -> u64 {
                match counter {
                    $(Counter::$variant => self.$field,)+
                }
            }
        }
    };
}

counters! {
    /// Valid advertisements for a configured virtual router.
    accepted Accepted,
    /// Of these, version 3 over IPv4 with the pseudo-header in the checksum.
    checksum_with_pseudo_header ChecksumWithPseudoHeader,
    /// Of these, version 3 over IPv4 with a checksum over the message only.
    checksum_message_only ChecksumMessageOnly,
    /// Of these, version 3 over IPv4 by unicast with the multicast group in the
    /// checksum's pseudo-header (old keepalived).
    checksum_with_group ChecksumWithGroup,
    /// Of these, version 3 with another address list than ours.
    address_list_differs AddressListDiffers,
    /// Of the valid ones, kept from the host's stack ([`InstanceRow::consume`](super::InstanceRow::consume)).
    consumed Consumed,
    /// ARP and neighbour advertisement claims of a watched address by a stranger.
    foreign_claims ForeignClaims,
    /// Events that found the ring full.
    events_lost EventsLost,
    /// Advertisements that `harrier dump` did not show, because its ring was full.
    dumps_lost DumpsLost,
    /// Refused: the frame ends before its headers say.
    truncated Truncated,
    /// Refused: IP version or header length is impossible.
    bad_ip_header BadIpHeader,
    /// Refused: wrong IPv4 header checksum.
    bad_ip_checksum BadIpChecksum,
    /// Refused: a fragment.
    fragment Fragment,
    /// Refused: TTL or hop limit below the least accepted.
    bad_ttl BadTtl,
    /// Refused: less than the 8 octets of a VRRP header.
    too_short TooShort,
    /// Refused: neither version 2 nor 3, or version 2 over IPv6.
    bad_version BadVersion,
    /// Refused: type is not 1.
    bad_type BadType,
    /// Not for a virtual router that is configured on the interface.
    not_configured NotConfigured,
    /// Refused: another version than the virtual router is configured for.
    version_mismatch VersionMismatch,
    /// Refused: by unicast where the virtual router uses multicast, or the other
    /// way round.
    bad_destination BadDestination,
    /// Refused: by unicast from a source that is not a configured peer.
    unlisted_source UnlistedSource,
    /// Refused: no addresses, though the virtual router has some.
    no_addresses NoAddresses,
    /// Refused: the length does not fit the address count.
    bad_length BadLength,
    /// Refused: the advertised interval is zero.
    zero_interval ZeroInterval,
    /// Refused: version 2 authentication type or data differs from ours.
    bad_authentication BadAuthentication,
    /// Refused: version 2 interval differs from ours.
    interval_mismatch IntervalMismatch,
    /// Refused: wrong checksum.
    bad_checksum BadChecksum,
    /// Refused: the first IPv6 address is not link-local.
    not_link_local NotLinkLocal,
    /// Refused: our own address is its source (a loop or a duplicate address).
    own_address OwnAddress,
    /// Refused: version 2 with another address list than ours, not from the owner.
    address_list_mismatch AddressListMismatch,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_and_their_names_are_in_one_order() {
        let mut raw = [0u64; Counter::ALL.len()];
        for (position, counter) in Counter::ALL.iter().enumerate() {
            assert_eq!(*counter as usize, position);
            let place = u8::try_from(position).expect("256 counters at most");
            assert_eq!(Counter::at(place), Some(*counter));
            raw[position] = position as u64;
        }
        let counters: Counters = bytemuck::cast(raw);
        for (position, counter) in Counter::ALL.iter().enumerate() {
            assert_eq!(counters.of(*counter), position as u64, "{}", counter.name());
        }
    }
}
