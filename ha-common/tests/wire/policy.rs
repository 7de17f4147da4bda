//! The rungs that a virtual router's configuration decides, violated one at a
//! time.

use ha_common::{
    abi::Instance,
    types::{Centiseconds, Priority, RouterAddress},
    wire::Refusal,
};

use crate::frames::{
    Case, IPV4_MESSAGE, IPV6_MESSAGE, Verdict, accepted, all, ip, judge, judged, judged_unsealed,
    seal_ip,
};

#[test]
fn ttl_below_the_least_is_refused() {
    for case in all() {
        let at = if case.message_at() == IPV6_MESSAGE {
            21
        } else {
            22
        };
        for ttl in [0, 1, 254] {
            assert_eq!(
                judged(&case, |f| f[at] = ttl),
                Verdict::Refused(Refusal::BadTtl)
            );
        }
        let mut frame = case.frame();
        frame[at] = 64;
        seal_ip(&mut frame);
        let relaxed = Instance {
            min_ttl: 64,
            ..case.instance()
        };
        accepted(judge(&frame, case.family, &relaxed));
    }
}

#[test]
fn only_the_group_is_a_destination() {
    assert_eq!(
        judged(&Case::v3(), |f| f[33] = 19),
        Verdict::Refused(Refusal::BadDestination)
    );
    for at in [38, 45, 46, 53] {
        assert_eq!(
            judged(&Case::ipv6(), |f| f[at] ^= 1),
            Verdict::Refused(Refusal::BadDestination)
        );
    }
}

#[test]
fn no_addresses_only_where_there_are_none() {
    for case in all() {
        let none = Case {
            addresses: Vec::new(),
            ..case.clone()
        };
        accepted(judge(&none.frame(), none.family, &none.instance()));
        assert_eq!(
            judge(&none.frame(), case.family, &case.instance()),
            Verdict::Refused(Refusal::NoAddresses)
        );
        // We have none, they have some: a different list.
        let verdict = judge(&case.frame(), none.family, &none.instance());
        match verdict {
            Verdict::Accepted(advert) => assert!(advert.address_mismatch),
            other => assert_eq!(
                (case.version.number(), other),
                (2, Verdict::Refused(Refusal::AddressListMismatch))
            ),
        }
    }
}

#[test]
fn the_length_is_exact() {
    for case in all() {
        let at = case.message_at();
        for count in [1, 3, 255] {
            assert_eq!(
                judged(&case, |f| f[at + 3] = count),
                Verdict::Refused(Refusal::BadLength)
            );
        }
        let length_low = if at == IPV6_MESSAGE { 19 } else { 17 };
        assert_eq!(
            judged(&case, |f| {
                f[length_low] += 4;
                f.extend([0; 4]);
            }),
            Verdict::Refused(Refusal::BadLength)
        );
    }
    // Version 2 without its authentication data.
    assert_eq!(
        judged(&Case::v2(), |f| {
            f[17] -= 8;
            f.truncate(f.len() - 8);
        }),
        Verdict::Refused(Refusal::BadLength)
    );
}

#[test]
fn a_zero_interval_is_refused_whatever_the_reserved_bits() {
    for (case, at) in [(Case::v3(), IPV4_MESSAGE), (Case::ipv6(), IPV6_MESSAGE)] {
        for reserved in [0x00, 0xf0] {
            assert_eq!(
                judged(&case, |f| f[at + 4..at + 6].copy_from_slice(&[reserved, 0])),
                Verdict::Refused(Refusal::ZeroInterval)
            );
            let advert = accepted(judged(&case, |f| {
                f[at + 4..at + 6].copy_from_slice(&[reserved | 0x0f, 0xff]);
            }));
            assert_eq!(advert.interval, Centiseconds(4095));
        }
    }
}

#[test]
fn version_2_authentication_is_ours() {
    let bad = Verdict::Refused(Refusal::BadAuthentication);
    let at = IPV4_MESSAGE;
    for kind in [0, 2, 255] {
        assert_eq!(judged(&Case::v2(), |f| f[at + 4] = kind), bad);
    }
    for octet in 1..=8 {
        assert_eq!(
            judged(&Case::v2(), |f| {
                let last = f.len();
                f[last - octet] ^= 1;
            }),
            bad
        );
    }
    // Without authentication the data is ignored (RFC 3768 §5.3.10).
    let open = Case {
        auth: (0, [0; 8]),
        ..Case::v2()
    };
    accepted(judged(&open, |f| {
        let last = f.len();
        f[last - 8..].fill(7);
    }));
    assert_eq!(judged(&open, |f| f[at + 4] = 1), bad);
}

#[test]
fn version_2_intervals_are_seconds_and_ours() {
    for seconds in [0, 2, 4, 255] {
        assert_eq!(
            judged(&Case::v2(), |f| f[IPV4_MESSAGE + 5] = seconds),
            Verdict::Refused(Refusal::IntervalMismatch)
        );
    }
    let slow = Case {
        interval: 25_500,
        ..Case::v2()
    };
    assert_eq!(
        accepted(judged(&slow, |_| {})).interval,
        Centiseconds(25_500)
    );
}

#[test]
fn a_wrong_checksum_is_refused() {
    for case in all() {
        let at = case.message_at() + 6;
        for change in [1, 0x80] {
            for octet in [at, at + 1] {
                assert_eq!(
                    judged_unsealed(&case, |f| f[octet] ^= change),
                    Verdict::Refused(Refusal::BadChecksum)
                );
            }
        }
        // Never skipped: no field value means "no checksum".
        assert_eq!(
            judged_unsealed(&case, |f| f[at..at + 2].fill(0)),
            Verdict::Refused(Refusal::BadChecksum)
        );
    }
}

#[test]
fn the_first_ipv6_address_is_link_local() {
    for octets in [[0xfe, 0xc0], [0xfe, 0x40], [0xfd, 0x80], [0x20, 0x01]] {
        assert_eq!(
            judged(&Case::ipv6(), |f| {
                f[IPV6_MESSAGE + 8..IPV6_MESSAGE + 10].copy_from_slice(&octets);
            }),
            Verdict::Refused(Refusal::NotLinkLocal)
        );
    }
    let advert = accepted(judged(&Case::ipv6(), |f| f[IPV6_MESSAGE + 9] = 0xbf));
    assert!(advert.address_mismatch, "fe80::/10 reaches to febf");
}

#[test]
fn the_first_ipv6_address_may_be_of_any_kind_where_that_is_asked_for() {
    let case = Case {
        addresses: vec![ip("2001:db8::1"), ip("2001:db8::2")],
        ..Case::ipv6()
    };
    let frame = case.frame();
    let lax = Instance {
        any_first_address: 1,
        ..case.instance()
    };
    let advert = accepted(judge(&frame, case.family, &lax));
    assert!(!advert.address_mismatch);
    assert_eq!(
        judge(&frame, case.family, &case.instance()),
        Verdict::Refused(Refusal::NotLinkLocal)
    );
}

#[test]
fn our_own_address_as_source_is_refused() {
    for case in all() {
        let own = RouterAddress(case.instance().own_address);
        let case = Case {
            source: own,
            ..case
        };
        assert_eq!(judged(&case, |_| {}), Verdict::Refused(Refusal::OwnAddress));
    }
}

#[test]
fn another_address_list_drops_version_2_but_for_the_owner() {
    for case in all() {
        let other = Case {
            addresses: match case.message_at() {
                IPV6_MESSAGE => vec![ip("fe80::100"), ip("2001:db8::101")],
                _ => vec![ip("10.77.0.100"), ip("10.77.0.102")],
            },
            ..case.clone()
        };
        for (priority, drops) in [(0, true), (100, true), (255, false)] {
            let other = Case {
                priority,
                ..other.clone()
            };
            let verdict = judge(&other.frame(), case.family, &case.instance());
            if drops && case.version.number() == 2 {
                assert_eq!(verdict, Verdict::Refused(Refusal::AddressListMismatch));
            } else {
                assert!(accepted(verdict).address_mismatch);
            }
        }
    }
}

#[test]
fn the_order_of_the_list_is_nobodys_business() {
    for mut case in [Case::v2(), Case::v3()] {
        let instance = case.instance();
        case.addresses.reverse();
        assert!(!accepted(judge(&case.frame(), case.family, &instance)).address_mismatch);
    }
}

#[test]
fn priority_0_has_no_privilege() {
    for case in all() {
        let release = Case {
            priority: 0,
            ..case
        };
        assert_eq!(
            accepted(judged(&release, |_| {})).priority,
            Priority::RELEASE
        );
        let at = release.message_at() + 6;
        assert_eq!(
            judged_unsealed(&release, |f| f[at] ^= 1),
            Verdict::Refused(Refusal::BadChecksum)
        );
    }
}

#[test]
fn a_digest_that_collides_does_not_hide_another_count() {
    let case = Case::v3();
    let instance = Instance {
        address_count: 3,
        ..case.instance()
    };
    assert!(accepted(judge(&case.frame(), case.family, &instance)).address_mismatch);
}
