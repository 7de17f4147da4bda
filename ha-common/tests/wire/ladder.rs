//! The receive ladder up to the type, its rungs violated one at a time; and the
//! order of all rungs.

use ha_common::{
    abi::Counter,
    types::{Centiseconds, Priority},
    wire::{Refusal, vrrp::ChecksumForm},
};

use crate::frames::{
    Case, IPV4_MESSAGE, IPV6_MESSAGE, MAC, Verdict, accepted, all, judge, judged, judged_unsealed,
    seal_ip, textbook_checksum,
};

#[test]
fn valid_advertisements_are_accepted_whole() {
    for case in all() {
        let advert = accepted(judged(&case, |_| {}));
        assert_eq!(advert.source, case.source);
        assert_eq!(advert.source_mac, MAC);
        assert_eq!(advert.priority, Priority(case.priority));
        assert_eq!(advert.interval, Centiseconds(case.interval));
        assert_eq!(advert.version, case.version);
        assert!(!advert.address_mismatch);
    }
}

#[test]
fn refusals_and_refused_counters_are_one_to_one() {
    let refused: Vec<_> = Refusal::ALL
        .iter()
        .map(|refusal| refusal.counter())
        .collect();
    let expected: Vec<_> = Counter::ALL
        .iter()
        .copied()
        .skip_while(|counter| *counter != Counter::Truncated)
        .filter(|counter| *counter != Counter::NotConfigured)
        .collect();
    assert_eq!(refused, expected);
}

#[test]
fn only_version_3_over_ipv4_has_a_form() {
    let with = accepted(judged(&Case::v3(), |_| {}));
    assert!(with.has_pseudo_header && !with.message_only_checksum);
    let case = Case {
        form: ChecksumForm::MessageOnly,
        ..Case::v3()
    };
    let without = accepted(judged(&case, |_| {}));
    assert!(!without.has_pseudo_header && without.message_only_checksum);
    for case in [Case::v2(), Case::ipv6()] {
        let advert = accepted(judged(&case, |_| {}));
        assert!(!advert.has_pseudo_header && !advert.message_only_checksum);
    }
}

#[test]
fn ipv6_needs_the_pseudo_header() {
    let mut frame = Case::ipv6().frame();
    let message = &mut frame[IPV6_MESSAGE..];
    message[6..8].fill(0);
    let checksum = textbook_checksum(&[message]);
    message[6..8].copy_from_slice(&checksum.to_be_bytes());
    let instance = Case::ipv6().instance();
    assert_eq!(
        judge(&frame, Case::ipv6().family, &instance),
        Verdict::Refused(Refusal::BadChecksum)
    );
}

#[test]
fn other_traffic_is_other() {
    for case in all() {
        assert_eq!(judged_unsealed(&case, |f| f[12] = 0x12), Verdict::Other);
    }
    // UDP, over IPv4 and IPv6.
    assert_eq!(judged_unsealed(&Case::v3(), |f| f[23] = 17), Verdict::Other);
    assert_eq!(
        judged_unsealed(&Case::ipv6(), |f| f[20] = 17),
        Verdict::Other
    );
    // Even where the header is broken: it is not ours to refuse.
    assert_eq!(
        judged_unsealed(&Case::v3(), |f| {
            f[23] = 17;
            f[14] = 0x12;
        }),
        Verdict::Other
    );
    // VRRP behind an extension header is not followed.
    assert_eq!(
        judged_unsealed(&Case::ipv6(), |f| f[20] = 44),
        Verdict::Other
    );
    // Tagged.
    assert_eq!(
        judged_unsealed(&Case::v3(), |f| {
            f.splice(12..12, [0x81, 0, 0, 1]);
        }),
        Verdict::Other
    );
}

#[test]
fn impossible_ip_headers_are_refused() {
    let bad = Verdict::Refused(Refusal::BadIpHeader);
    assert_eq!(judged_unsealed(&Case::v3(), |f| f[14] = 0x55), bad);
    assert_eq!(judged_unsealed(&Case::v3(), |f| f[14] = 0x44), bad);
    // A total length below the header length.
    assert_eq!(judged_unsealed(&Case::v3(), |f| f[17] = 19), bad);
    assert_eq!(judged_unsealed(&Case::ipv6(), |f| f[14] = 0x50), bad);
}

#[test]
fn a_wrong_ip_checksum_is_refused() {
    let bad = Verdict::Refused(Refusal::BadIpChecksum);
    for options in 0..=10 {
        for case in [Case::v2(), Case::v3()] {
            let case = Case {
                options: vec![1; options * 4],
                ..case
            };
            let whole = case.frame();
            // All of the header but what it takes to find its end: version and
            // length (14), total length (16, 17) and protocol (23).
            for at in (14..case.message_at()).filter(|at| ![14, 16, 17, 23].contains(at)) {
                for change in [1, 0x80] {
                    let mut frame = whole.clone();
                    frame[at] ^= change;
                    assert_eq!(judge(&frame, case.family, &case.instance()), bad, "{at}");
                }
            }
            // A total length that the frame holds.
            let mut frame = whole.clone();
            frame[17] -= 1;
            assert_eq!(judge(&frame, case.family, &case.instance()), bad);
            // Never skipped: no field value means "no checksum".
            let mut frame = whole;
            frame[24..26].fill(0);
            assert_eq!(judge(&frame, case.family, &case.instance()), bad);
        }
    }
}

#[test]
fn the_whole_header_is_there_before_its_checksum_is_judged() {
    let case = Case {
        options: vec![1; 40],
        ..Case::v3()
    };
    let mut frame = case.frame();
    frame[24] ^= 1;
    let refusal = |len| judge(&frame[..len], case.family, &case.instance());
    let end = case.message_at();
    for len in 24..end {
        assert_eq!(refusal(len), Verdict::Refused(Refusal::Truncated), "{len}");
    }
    assert_eq!(refusal(end), Verdict::Refused(Refusal::BadIpChecksum));
}

#[test]
fn fragments_are_refused() {
    let fragment = Verdict::Refused(Refusal::Fragment);
    for (at, bits) in [(20, 0x20), (20, 0x10), (20, 0x01), (21, 0x01)] {
        assert_eq!(judged(&Case::v3(), |f| f[at] |= bits), fragment);
    }
    // "Don't fragment" and the reserved bit are none.
    accepted(judged(&Case::v3(), |f| f[20] |= 0xc0));
}

#[test]
fn header_options_move_the_message() {
    for words in 1..=10 {
        let case = Case {
            options: vec![1; words * 4],
            ..Case::v3()
        };
        accepted(judged(&case, |_| {}));
    }
}

#[test]
fn padding_is_not_part_of_the_message() {
    for case in all() {
        accepted(judged_unsealed(&case, |f| f.resize(f.len() + 20, 0xa5)));
    }
}

#[test]
fn every_truncation_is_refused_or_other() {
    for case in all() {
        let whole = case.frame();
        for len in 0..whole.len() {
            let verdict = judge(&whole[..len], case.family, &case.instance());
            // Before the protocol is known, nothing says that it is VRRP.
            let known = match case.message_at() {
                IPV6_MESSAGE => 22,
                _ => 24,
            };
            let expected = if len < known {
                Verdict::Other
            } else {
                Verdict::Refused(Refusal::Truncated)
            };
            assert_eq!(verdict, expected, "{len} of {} octets", whole.len());
        }
    }
}

#[test]
fn the_frame_holds_the_last_octet_before_the_length_is_judged() {
    for (case, at) in [(Case::v2(), 17), (Case::v3(), 17), (Case::ipv6(), 19)] {
        for (octets, refusal) in [(5, Refusal::BadLength), (4, Refusal::Truncated)] {
            assert_eq!(
                judged_unsealed(&case, |f| {
                    f[at] += 5;
                    f.resize(f.len() + octets, 0);
                }),
                Verdict::Refused(refusal)
            );
        }
    }
}

#[test]
fn a_length_beyond_any_message_is_refused() {
    for (case, at) in [(Case::v3(), 16), (Case::ipv6(), 18)] {
        assert_eq!(
            judged_unsealed(&case, |f| f[at] = 0xff),
            Verdict::Refused(Refusal::Truncated)
        );
        assert_eq!(
            judged_unsealed(&case, |f| {
                f[at] = 0xff;
                f.resize(9000, 0);
            }),
            Verdict::Refused(Refusal::BadLength)
        );
    }
}

#[test]
fn messages_below_8_octets_are_refused() {
    let short = Verdict::Refused(Refusal::TooShort);
    for len in 0..8 {
        assert_eq!(judged_unsealed(&Case::v3(), |f| f[17] = 20 + len), short);
        assert_eq!(judged_unsealed(&Case::ipv6(), |f| f[19] = len), short);
    }
}

#[test]
fn versions_and_types() {
    for case in all() {
        let at = case.message_at();
        for version in [0, 1, 4, 15] {
            assert_eq!(
                judged(&case, |f| f[at] = version << 4 | 1),
                Verdict::Refused(Refusal::BadVersion)
            );
        }
        for kind in [0, 2, 3, 15] {
            assert_eq!(
                judged(&case, |f| f[at] = f[at] & 0xf0 | kind),
                Verdict::Refused(Refusal::BadType)
            );
        }
    }
    assert_eq!(
        judged(&Case::ipv6(), |f| f[IPV6_MESSAGE] = 0x21),
        Verdict::Refused(Refusal::BadVersion)
    );
    assert_eq!(
        judged(&Case::v3(), |f| f[IPV4_MESSAGE] = 0x21),
        Verdict::Refused(Refusal::VersionMismatch)
    );
    assert_eq!(
        judged(&Case::v2(), |f| f[IPV4_MESSAGE] = 0x31),
        Verdict::Refused(Refusal::VersionMismatch)
    );
}

/// A way to break one rung; the octets are those of version 3 over IPv4.
type Break = fn(&mut Vec<u8>);

#[test]
fn the_lower_rung_counts() {
    let at = IPV4_MESSAGE;
    assert_eq!(at, 34, "the offsets below are literal");
    let rungs: &[(Refusal, Break)] = &[
        (Refusal::BadIpHeader, |f| f[14] = 0x55),
        (Refusal::BadIpChecksum, |f| f[24] ^= 0x55),
        (Refusal::Fragment, |f| f[20] = 0x20),
        (Refusal::TooShort, |f| f[17] = 27),
        (Refusal::BadVersion, |f| f[34] = 0x41 | f[34] & 0x0f),
        (Refusal::BadType, |f| f[34] = f[34] & 0xf0 | 2),
        (Refusal::BadTtl, |f| f[22] = 254),
        (Refusal::VersionMismatch, |f| f[34] = 0x20 | f[34] & 0xcf),
        (Refusal::BadDestination, |f| f[33] = 19),
        (Refusal::NoAddresses, |f| f[37] = 0),
        (Refusal::BadLength, |f| {
            f[17] += 1;
            f.push(0);
        }),
        (Refusal::ZeroInterval, |f| f[38..40].fill(0)),
        (Refusal::BadChecksum, |f| f[40] ^= 0x55),
        (Refusal::OwnAddress, |f| f[29] = 1),
    ];
    let case = Case::v3();
    for (low, (refusal, break_low)) in rungs.iter().enumerate() {
        for (high, (_, break_high)) in rungs.iter().enumerate().skip(low) {
            let mut frame = case.frame();
            if high != low {
                break_high(&mut frame);
            }
            // Later, so that it has the last word where both touch one octet.
            break_low(&mut frame);
            match refusal {
                Refusal::BadIpHeader | Refusal::BadIpChecksum => {}
                Refusal::OwnAddress => case.seal(&mut frame),
                _ => seal_ip(&mut frame),
            }
            assert_eq!(
                judge(&frame, case.family, &case.instance()),
                Verdict::Refused(*refusal)
            );
        }
    }
}

#[test]
fn an_unknown_virtual_router_is_told_apart_before_policy() {
    let verdict = judged(&Case::v3(), |f| {
        f[35] = 52;
        f[22] = 1;
    });
    match verdict {
        Verdict::NotConfigured(header) => {
            assert_eq!((header.vrid, header.ttl, header.to_group), (52, 1, true));
            assert_eq!((header.offset(), header.length()), (34, 16));
        }
        other => panic!("{other:?}"),
    }
}
