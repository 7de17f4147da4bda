//! Advertisements to and from listed peers only.

use ha_common::{
    abi::Instance,
    wire::{
        Refusal,
        vrrp::{Authentication, Outgoing, encode},
    },
};

use crate::frames::{
    Case, IPV6_MESSAGE, Verdict, accepted, all, frame, ip, judge, pseudo_header, seal_ip,
    textbook_checksum,
};

/// The case's frame, sent to our own address instead of the group.
fn sent_to_us(case: &Case) -> Vec<u8> {
    let own = case.instance().own_address;
    let mut frame = case.frame();
    if case.message_at() == IPV6_MESSAGE {
        frame[38..54].copy_from_slice(&own);
    } else {
        frame[30..34].copy_from_slice(&own[..4]);
    }
    case.seal(&mut frame);
    frame
}

/// The case's virtual router with unicast peers, of which the sender is one.
fn unicast(case: &Case) -> Instance {
    Instance {
        unicast: 1,
        ..case.instance()
    }
}

fn judged(case: &Case, frame: &[u8]) -> Verdict {
    judge(frame, case.family, &unicast(case))
}

#[test]
fn listed_peers_are_heard() {
    for case in all() {
        let advert = accepted(judged(&case, &sent_to_us(&case)));
        assert_eq!(advert.source, case.source);
        assert!(!advert.group_in_checksum);
    }
}

#[test]
fn the_destination_is_the_one_that_is_configured() {
    for case in all() {
        assert_eq!(
            judged(&case, &case.frame()),
            Verdict::Refused(Refusal::BadDestination)
        );
        assert_eq!(
            judge(&sent_to_us(&case), case.family, &case.instance()),
            Verdict::Refused(Refusal::BadDestination)
        );
    }
}

#[test]
fn strangers_are_refused_before_their_message_is_read() {
    for case in all() {
        let stranger = Case {
            source: match case.message_at() {
                IPV6_MESSAGE => ip("fe80::3"),
                _ => ip("10.77.0.3"),
            },
            addresses: Vec::new(),
            ..case.clone()
        };
        let mut frame = sent_to_us(&stranger);
        let verdict = Verdict::Refused(Refusal::UnlistedSource);
        assert_eq!(judged(&case, &frame), verdict);
        // Nor does anything else that is wrong with it count.
        let at = case.message_at();
        frame[at + 6] ^= 1;
        assert_eq!(judged(&case, &frame), verdict);
    }
}

#[test]
fn by_multicast_nobody_is_asked_for() {
    for case in all() {
        let stranger = Case {
            source: match case.message_at() {
                IPV6_MESSAGE => ip("fe80::3"),
                _ => ip("10.77.0.3"),
            },
            ..case.clone()
        };
        accepted(judge(&stranger.frame(), case.family, &case.instance()));
    }
}

#[test]
fn the_pseudo_header_has_the_destination() {
    for case in [Case::v3(), Case::ipv6()] {
        let mut octets = sent_to_us(&case);
        let advert = accepted(judged(&case, &octets));
        let ipv4 = case.message_at() != IPV6_MESSAGE;
        assert_eq!(
            (advert.has_pseudo_header, advert.message_only_checksum),
            (ipv4, false)
        );
        // Our encoder computes the same.
        let own = unicast(&case).own_address;
        let message = Outgoing {
            version: case.version,
            family: case.family,
            vrid: ha_common::types::Vrid::new(51).unwrap(),
            priority: ha_common::types::Priority(case.priority),
            interval: ha_common::types::Centiseconds(case.interval),
            addresses: &case.addresses,
            source: case.source,
            destination: ha_common::types::RouterAddress(own),
            checksum: case.form,
            auth: Authentication::None,
        };
        let mut buffer = [0; 128];
        let length = encode(&message, &mut buffer).unwrap();
        assert_eq!(buffer[..length], octets[case.message_at()..]);
        // A destination that changes on the way does not go unseen.
        let at = if ipv4 { 33 } else { 53 };
        octets[at] ^= 4;
        seal_ip(&mut octets);
        assert_eq!(
            judged(&case, &octets),
            Verdict::Refused(Refusal::BadChecksum)
        );
    }
}

#[test]
fn the_group_in_the_pseudo_header_is_taken_over_ipv4_only() {
    for case in [Case::v3(), Case::ipv6()] {
        let at = case.message_at();
        let mut octets = sent_to_us(&case);
        let with_group = frame(case.family, case.source, &[], &octets[at..]);
        octets[at + 6..at + 8].fill(0);
        let pseudo = pseudo_header(case.family, &with_group, octets.len() - at);
        let checksum = textbook_checksum(&[&pseudo, &octets[at..]]);
        octets[at + 6..at + 8].copy_from_slice(&checksum.to_be_bytes());
        let verdict = judged(&case, &octets);
        if at == IPV6_MESSAGE {
            assert_eq!(verdict, Verdict::Refused(Refusal::BadChecksum));
        } else {
            let advert = accepted(verdict);
            assert!(advert.group_in_checksum);
            assert!(!advert.has_pseudo_header && !advert.message_only_checksum);
        }
    }
    // By multicast it is the one pseudo-header that there is.
    assert!(
        !accepted(judge(
            &Case::v3().frame(),
            Case::v3().family,
            &Case::v3().instance()
        ))
        .group_in_checksum
    );
}
