//! The ladder above the table of virtual routers.

use super::{
    AUTHENTICATION_LEN, FIXED_LEN, Header, IPV4_GROUP, digest, octet, pseudo_header_rest,
    same_address,
};
use crate::{
    abi,
    types::{AddressFamily, Centiseconds, MacAddress, Priority, RouterAddress, Version},
    wire::{Refusal, Window, checksum::Sum},
};

/// [`abi::Instance::auth_type`]: simple text password (RFC 2338 §5.3.6).
const SIMPLE_PASSWORD: u8 = 1;

/// A valid advertisement for one of our virtual routers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Advert {
    /// IP source address: the sender's primary address.
    pub source: RouterAddress,
    /// Ethernet source address.
    pub source_mac: MacAddress,
    /// Priority, 0 included.
    pub priority: Priority,
    /// Advertised interval; whole seconds in version 2. Never zero.
    pub interval: Centiseconds,
    /// Version of the protocol.
    pub version: Version,
    /// Whether its address list differs from ours.
    pub address_mismatch: bool,
    /// Version 3 over IPv4 with a checksum over the message only. `false` for
    /// version 2 and IPv6, whose one form is not a choice.
    pub message_only_checksum: bool,
    /// Version 3 over IPv4 with the pseudo-header in the checksum. `false` for
    /// version 2 and IPv6, whose one form is not a choice.
    pub has_pseudo_header: bool,
    /// Version 3 over IPv4 by unicast with the multicast group as destination in
    /// the checksum's pseudo-header.
    pub group_in_checksum: bool,
}

/// The addresses read: their part in the checksum, their digest, and the first.
struct List {
    sum: Sum,
    digest: u64,
    first: [u8; 2],
}

/// What the checksum covers, where that is a choice: [`Advert`]'s fields.
#[derive(Clone, Copy)]
struct Form {
    message_only: bool,
    pseudo_header: bool,
    group: bool,
}

/// Validates an advertisement for the virtual router `instance`, which the
/// caller found by the header's VRID and family and the interface. `is_listed`
/// says whether a source is one of its unicast peers; for multicast nobody asks.
///
/// # Errors
///
/// The first of these that fails, in this order: TTL or hop limit of at least
/// [`abi::Instance::min_ttl`]; our version; sent to the group, or for unicast
/// not to the group; unicast: a listed source; addresses, unless we have none
/// either; the exact length for the address count; version 3: interval not zero;
/// version 2: our authentication type, password and interval; checksum (version
/// 3 over IPv4: with or without the pseudo-header); a first IPv6 address that is
/// link-local, unless [`abi::Instance::any_first_address`]; a source that is not our own address; version 2 and not from the
/// owner: our address list.
///
/// Priority 0 has no privilege: a forged release would be a takeover.
#[inline(always)]
pub fn validate<W: Window>(
    window: &W,
    header: &Header,
    instance: &abi::Instance,
    is_listed: impl FnOnce(RouterAddress) -> bool,
) -> Result<Advert, Refusal> {
    if header.ttl < instance.min_ttl {
        return Err(Refusal::BadTtl);
    }
    if header.version.number() != instance.version {
        return Err(Refusal::VersionMismatch);
    }
    let unicast = instance.unicast != 0;
    if header.to_group == unicast {
        return Err(Refusal::BadDestination);
    }
    if unicast && !is_listed(header.source) {
        return Err(Refusal::UnlistedSource);
    }
    if header.address_count == 0 && instance.address_count != 0 {
        return Err(Refusal::NoAddresses);
    }
    let count = usize::from(header.address_count);
    let addresses_len = match header.family {
        AddressFamily::Ipv4 => count << 2,
        AddressFamily::Ipv6 => count << 4,
    };
    let message_len = FIXED_LEN
        .wrapping_add(addresses_len)
        .wrapping_add(match header.version {
            Version::V2 => AUTHENTICATION_LEN,
            Version::V3 => 0,
        });
    if header.length != message_len {
        return Err(Refusal::BadLength);
    }
    let addresses_at = header.offset.wrapping_add(FIXED_LEN);

    let auth_type = octet(header.fixed, 4);
    let mut sum = Sum::new().add_8(header.fixed.to_le_bytes());
    let interval = header.interval();
    match header.version {
        Version::V3 => {
            if interval.0 == 0 {
                return Err(Refusal::ZeroInterval);
            }
        }
        Version::V2 => {
            let data = window
                .bytes_at::<AUTHENTICATION_LEN>(addresses_at.wrapping_add(addresses_len))
                .ok_or(Refusal::Truncated)?;
            if auth_type != instance.auth_type
                || (auth_type == SIMPLE_PASSWORD
                    && u64::from_ne_bytes(data) != u64::from_ne_bytes(instance.auth_data))
            {
                return Err(Refusal::BadAuthentication);
            }
            if interval.0 != instance.interval_cs {
                return Err(Refusal::IntervalMismatch);
            }
            sum = sum.add_8(data);
        }
    }

    let list = match header.family {
        AddressFamily::Ipv4 => ipv4_list(window, addresses_at, count, sum),
        AddressFamily::Ipv6 => ipv6_list(window, addresses_at, count, sum),
    }
    .ok_or(Refusal::Truncated)?;
    let form = check(header, list.sum)?;

    if matches!(header.family, AddressFamily::Ipv6) && count != 0 && instance.any_first_address == 0
    {
        let [high, low] = list.first;
        if high != 0xfe || low & 0xc0 != 0x80 {
            return Err(Refusal::NotLinkLocal);
        }
    }
    if same_address(header.source.0, instance.own_address) {
        return Err(Refusal::OwnAddress);
    }
    let address_mismatch =
        header.address_count != instance.address_count || list.digest != instance.address_digest;
    if address_mismatch
        && matches!(header.version, Version::V2)
        && header.priority.0 != Priority::OWNER.0
    {
        return Err(Refusal::AddressListMismatch);
    }
    Ok(Advert {
        source: header.source,
        source_mac: header.source_mac,
        priority: header.priority,
        interval,
        version: header.version,
        address_mismatch,
        message_only_checksum: form.message_only,
        has_pseudo_header: form.pseudo_header,
        group_in_checksum: form.group,
    })
}

/// What the checksum of the message that adds up to `message` covers, if it
/// holds.
///
/// RFC 9568 §5.2.8 leaves the pseudo-header out of version 3 over IPv4, yet
/// most routers in the field put it in: both are taken. By unicast, old
/// keepalived puts the group into it where the destination belongs: that is
/// tried last. (By multicast it is what was tried first: no need to ask, which
/// would have the verifier prove all from there on for both.)
#[inline(always)]
fn check(header: &Header, message: Sum) -> Result<Form, Refusal> {
    let mut form = Form {
        message_only: false,
        pseudo_header: false,
        group: false,
    };
    let rest = message
        .add_sum(pseudo_header_rest(header.length, super::PROTOCOL))
        .add_16(header.source.0);
    let whole = rest.add_sum(header.destination);
    let valid = match (header.version, header.family) {
        (Version::V2, _) => message.is_valid(),
        (Version::V3, AddressFamily::Ipv6) => whole.is_valid(),
        (Version::V3, AddressFamily::Ipv4) => {
            form.pseudo_header = whole.is_valid();
            form.message_only = !form.pseudo_header && message.is_valid();
            form.group = !form.pseudo_header
                && !form.message_only
                && rest.add_4(IPV4_GROUP.octets()).is_valid();
            form.pseudo_header || form.message_only || form.group
        }
    };
    if valid {
        Ok(form)
    } else {
        Err(Refusal::BadChecksum)
    }
}

#[inline(always)]
fn ipv4_list<W: Window>(window: &W, start: usize, count: usize, sum: Sum) -> Option<List> {
    let mut list = List {
        sum,
        digest: 0,
        first: [0; 2],
    };
    let mut index = 0;
    while index < count {
        let octets = window.bytes_at(start.wrapping_add(index << 2))?;
        list.sum = list.sum.add_4(octets);
        list.digest = list
            .digest
            .wrapping_add(digest::mixed(RouterAddress(bytemuck::cast([
                u32::from_ne_bytes(octets),
                0,
                0,
                0,
            ]))));
        index = index.wrapping_add(1);
    }
    Some(list)
}

#[inline(always)]
fn ipv6_list<W: Window>(window: &W, start: usize, count: usize, sum: Sum) -> Option<List> {
    let mut list = List {
        sum,
        digest: 0,
        first: [0; 2],
    };
    let mut index = 0;
    while index < count {
        let octets: [u8; 16] = window.bytes_at(start.wrapping_add(index << 4))?;
        if index == 0 {
            let [high, low, ..] = octets;
            list.first = [high, low];
        }
        list.sum = list.sum.add_16(octets);
        list.digest = list
            .digest
            .wrapping_add(digest::mixed(RouterAddress(octets)));
        index = index.wrapping_add(1);
    }
    Some(list)
}
