//! A second opinion: whether a frame is a valid advertisement for an instance,
//! written plainly on slices, in no particular order and with nothing shared
//! with the ladder but the configuration it judges by.

use ha_common::{
    abi::Instance,
    types::{AddressFamily, RouterAddress},
};

use super::frames::{VRID, is_listed, pseudo_header, textbook_checksum};

/// Whether `frame` is to be accepted, given the configured addresses.
pub(crate) fn accepts(
    frame: &[u8],
    family: AddressFamily,
    instance: &Instance,
    ours: &[Vec<u8>],
) -> bool {
    opinion(frame, family, instance, ours).unwrap_or(false)
}

fn word(octets: &[u8], at: usize) -> Option<usize> {
    Some(usize::from(*octets.get(at)?) << 8 | usize::from(*octets.get(at + 1)?))
}

fn opinion(
    frame: &[u8],
    family: AddressFamily,
    instance: &Instance,
    ours: &[Vec<u8>],
) -> Option<bool> {
    let ipv6 = family == AddressFamily::Ipv6;
    let packet = frame.get(14..)?;
    let (message, source, ttl, address_len, to_group, ip_is_right) = if ipv6 {
        let message = packet.get(40..40 + word(packet, 4)?)?;
        let right = word(frame, 12)? == 0x86dd && packet[0] >> 4 == 6 && packet[6] == 112;
        let to_group = packet[24..40] == [0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x12];
        let source = packet[8..24].to_vec();
        (message, source, packet[7], 16, to_group, right)
    } else {
        let header_len = usize::from(packet.first()? % 16) * 4;
        let message = packet.get(header_len..word(packet, 2)?)?;
        let right = word(frame, 12)? == 0x0800
            && packet[0] >> 4 == 4
            && header_len >= 20
            && textbook_checksum(&[&packet[..header_len]]) == 0
            && word(packet, 6)? & 0x3fff == 0
            && packet[9] == 112;
        let to_group = packet.get(16..20)? == [224, 0, 0, 18];
        let source = [packet.get(12..16)?, &[0; 12]].concat();
        (message, source, packet[8], 4, to_group, right)
    };
    if !ip_is_right {
        return Some(false);
    }
    let [
        version_type,
        vrid,
        priority,
        count,
        fifth,
        sixth,
        _,
        _,
        rest @ ..,
    ] = message
    else {
        return None;
    };
    let v2 = instance.version == 2;
    let count = usize::from(*count);
    let (addresses, auth) = rest.split_at_checked(count * address_len)?;
    let mut theirs: Vec<Vec<u8>> = addresses.chunks(address_len).map(<[u8]>::to_vec).collect();
    let mut ours = ours.to_vec();
    theirs.sort();
    ours.sort();

    let listed = is_listed(RouterAddress(source.clone().try_into().ok()?));
    let way_is_right = if instance.unicast == 1 {
        !to_group && listed
    } else {
        to_group
    };
    let header_is_right = *version_type == instance.version << 4 | 1
        && *vrid == VRID
        && ttl >= instance.min_ttl
        && way_is_right
        && (count > 0 || ours.is_empty())
        && source != instance.own_address;
    let version_is_right = if v2 {
        !ipv6
            && auth.len() == 8
            && *fifth == instance.auth_type
            && (*fifth != 1 || auth == instance.auth_data)
            && u16::from(*sixth) * 100 == instance.interval_cs
            && (*priority == 255 || theirs == ours)
    } else {
        auth.is_empty() && (fifth % 16 != 0 || *sixth != 0)
    };
    let link_local = !ipv6 || count == 0 || (addresses[0] == 0xfe && addresses[1] / 64 == 2);
    let alone = textbook_checksum(&[message]) == 0;
    let with_pseudo_header =
        textbook_checksum(&[&pseudo_header(family, frame, message.len()), message]) == 0;
    // By unicast some put the group where the destination belongs.
    let with_group = !ipv6 && !to_group && {
        let mut pseudo = pseudo_header(family, frame, message.len());
        pseudo[4..8].copy_from_slice(&[224, 0, 0, 18]);
        textbook_checksum(&[&pseudo, message]) == 0
    };
    let checksum_is_right = match (v2, ipv6) {
        (true, _) => alone,
        (false, true) => with_pseudo_header,
        (false, false) => alone || with_pseudo_header || with_group,
    };
    Some(header_is_right && version_is_right && link_local && checksum_is_right)
}
