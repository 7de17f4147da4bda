//! Properties over all versions, families, forms and counts, and over noise.

use std::{
    net::{Ipv4Addr, Ipv6Addr},
    ops::Range,
};

use ha_common::{
    abi::Instance,
    types::{AddressFamily, Centiseconds, Priority, RouterAddress, Version, Vrid},
    wire::{
        Refusal, arp, nd,
        vrrp::{
            Authentication, ChecksumForm, EncodeError, MAX_MESSAGE_LEN, Outgoing, digest, encode,
            encode_any, group,
        },
    },
};
use proptest::{collection::vec, prelude::*, sample::select};

use crate::{
    announcements::claim,
    frames::{Case, VRID, Verdict, frame, ip, judge, seal_ip},
    oracle,
};

fn ipv4() -> impl Strategy<Value = RouterAddress> {
    any::<u32>().prop_map(|address| Ipv4Addr::from(address).into())
}

fn ipv6() -> impl Strategy<Value = RouterAddress> {
    any::<u128>().prop_map(|address| Ipv6Addr::from(address).into())
}

fn link_local() -> impl Strategy<Value = RouterAddress> {
    any::<u64>().prop_map(|low| Ipv6Addr::from(0xfe80 << 112 | u128::from(low)).into())
}

/// Number of 32-bit words of IPv4 options.
const OPTION_WORDS: Range<usize> = 0..11;

fn v3_ipv4(counts: Range<usize>) -> impl Strategy<Value = Case> {
    let form = select(vec![ChecksumForm::PseudoHeader, ChecksumForm::MessageOnly]);
    (form, vec(ipv4(), counts), ipv4(), 1u16..4096, OPTION_WORDS).prop_map(
        |(form, addresses, source, interval, words)| Case {
            form,
            addresses,
            source,
            interval,
            options: vec![1; words * 4],
            ..Case::v3()
        },
    )
}

fn v3_ipv6(counts: Range<usize>) -> impl Strategy<Value = Case> {
    (link_local(), vec(ipv6(), counts), link_local(), 1u16..4096).prop_map(
        |(first, mut addresses, source, interval)| {
            if let Some(place) = addresses.first_mut() {
                *place = first;
            }
            Case {
                addresses,
                source,
                interval,
                ..Case::ipv6()
            }
        },
    )
}

fn v2(counts: Range<usize>) -> impl Strategy<Value = Case> {
    let auth = prop_oneof![
        Just((0, [0; 8])),
        any::<[u8; 8]>().prop_map(|data| (1, data))
    ];
    (vec(ipv4(), counts), ipv4(), 1u16..256, auth, OPTION_WORDS).prop_map(
        |(addresses, source, seconds, auth, words)| Case {
            addresses,
            source,
            interval: seconds * 100,
            auth,
            options: vec![1; words * 4],
            ..Case::v2()
        },
    )
}

/// Any priority, and a source that is not the receiver's own address.
fn completed(cases: impl Strategy<Value = Case>) -> impl Strategy<Value = Case> {
    (cases, any::<u8>())
        .prop_map(|(case, priority)| Case { priority, ..case })
        .prop_filter("our own address is another test", |case| {
            case.source.0 != case.instance().own_address
        })
}

/// Cases of every kind, with a number of addresses from `counts`.
fn cases(counts: Range<usize>) -> impl Strategy<Value = Case> {
    completed(prop_oneof![
        v3_ipv4(counts.clone()),
        v3_ipv6(counts.clone()),
        v2(counts)
    ])
}

/// Cases whose checksum covers the IP addresses.
fn with_pseudo_header(counts: Range<usize>) -> impl Strategy<Value = Case> {
    let v3_ipv4 = v3_ipv4(counts.clone()).prop_map(|case| Case {
        form: ChecksumForm::PseudoHeader,
        ..case
    });
    completed(prop_oneof![v3_ipv4, v3_ipv6(counts)])
}

fn outgoing(case: &Case) -> Outgoing<'_> {
    Outgoing {
        version: case.version,
        family: case.family,
        vrid: Vrid::new(VRID).unwrap(),
        priority: Priority(case.priority),
        interval: Centiseconds(case.interval),
        addresses: &case.addresses,
        source: case.source,
        destination: group(case.family),
        checksum: case.form,
        auth: match case.auth {
            (0, _) => Authentication::None,
            (_, password) => Authentication::Simple(password),
        },
    }
}

/// The configured addresses as the oracle takes them.
fn octets(case: &Case) -> Vec<Vec<u8>> {
    let len = case.family.address_len();
    case.addresses
        .iter()
        .map(|address| address.0[..len].to_vec())
        .collect()
}

fn is_refused(frame: &[u8], case: &Case) -> bool {
    matches!(
        judge(frame, case.family, &case.instance()),
        Verdict::Refused(_) | Verdict::NotConfigured(_)
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn what_we_encode_we_accept(case in cases(0..256)) {
        let mut buffer = [0xa5; MAX_MESSAGE_LEN];
        let len = encode(&outgoing(&case), &mut buffer).unwrap();
        let frame = frame(case.family, case.source, &case.options, &buffer[..len]);
        prop_assert_eq!(&frame, &case.frame(), "the test's own builder");
        match judge(&frame, case.family, &case.instance()) {
            Verdict::Accepted(advert) => {
                prop_assert_eq!(advert.source, case.source);
                prop_assert_eq!(advert.priority, Priority(case.priority));
                prop_assert_eq!(advert.interval, Centiseconds(case.interval));
                prop_assert_eq!(advert.version, case.version);
                prop_assert!(!advert.address_mismatch);
                let has_form = case.version == Version::V3 && case.family == AddressFamily::Ipv4;
                let with = case.form == ChecksumForm::PseudoHeader;
                prop_assert_eq!(advert.has_pseudo_header, has_form && with);
                prop_assert_eq!(advert.message_only_checksum, has_form && !with);
            }
            other => prop_assert!(false, "{:?}", other),
        }
    }

    #[test]
    fn a_flipped_bit_is_refused(case in cases(0..8), position in any::<prop::sample::Index>()) {
        let mut frame = case.frame();
        let at = case.message_at();
        let bit = position.index((frame.len() - at) * 8);
        frame[at + bit / 8] ^= 1 << (bit % 8);
        // One bit cannot keep a sum, but it can turn the one form of checksum
        // that version 3 over IPv4 has into the other.
        let turned = match judge(&frame, case.family, &case.instance()) {
            Verdict::Accepted(advert) => match case.form {
                ChecksumForm::PseudoHeader => advert.message_only_checksum,
                ChecksumForm::MessageOnly => advert.has_pseudo_header,
            },
            _ => false,
        };
        prop_assert!(turned || is_refused(&frame, &case), "bit {bit}");
    }

    #[test]
    fn a_flipped_source_bit_is_refused_where_the_checksum_covers_it(
        case in with_pseudo_header(0..8),
        bit in 0usize..32,
    ) {
        let mut frame = case.frame();
        let at = if case.family == AddressFamily::Ipv4 { 26 } else { 22 };
        frame[at + bit / 8] ^= 1 << (bit % 8);
        // Past the IPv4 header's own checksum.
        seal_ip(&mut frame);
        let verdict = judge(&frame, case.family, &case.instance());
        let turned = matches!(verdict, Verdict::Accepted(advert) if advert.message_only_checksum);
        prop_assert!(turned || verdict == Verdict::Refused(Refusal::BadChecksum), "{:?}", verdict);
    }

    #[test]
    fn a_flipped_bit_of_an_ipv4_header_is_not_accepted(
        case in completed(prop_oneof![v3_ipv4(0..8), v2(0..8)]),
        position in any::<prop::sample::Index>(),
    ) {
        let mut frame = case.frame();
        let bit = position.index((case.message_at() - 14) * 8);
        let at = 14 + bit / 8;
        frame[at] ^= 1 << (bit % 8);
        match (at, judge(&frame, case.family, &case.instance())) {
            // Another protocol.
            (23, verdict) => prop_assert_eq!(verdict, Verdict::Other),
            // The lengths have rungs of their own below.
            (14 | 16 | 17, verdict) => {
                prop_assert!(matches!(verdict, Verdict::Refused(_)), "{:?}", verdict);
            }
            (_, verdict) => prop_assert_eq!(verdict, Verdict::Refused(Refusal::BadIpChecksum)),
        }
    }

    #[test]
    fn every_truncation_is_refused_or_other(case in cases(0..8)) {
        let frame = case.frame();
        for len in 0..frame.len() {
            let verdict = judge(&frame[..len], case.family, &case.instance());
            prop_assert!(
                matches!(verdict, Verdict::Other | Verdict::Refused(Refusal::Truncated)),
                "{len}: {:?}", verdict
            );
        }
    }

    #[test]
    fn the_oracle_agrees_on_mangled_frames(
        case in cases(0..4),
        changes in vec((any::<prop::sample::Index>(), any::<u8>()), 0..3),
        cut in prop::option::of(any::<prop::sample::Index>()),
        tail in vec(any::<u8>(), 0..20),
        sealed in any::<bool>(),
        min_ttl in select(vec![0, 64, 255]),
    ) {
        let mut frame = case.frame();
        let addresses_at = case.message_at() + 8;
        for (position, value) in &changes {
            let at = position.index(frame.len());
            frame[at] = *value;
        }
        if sealed && frame.len() >= addresses_at {
            case.seal(&mut frame);
        }
        if let Some(cut) = cut {
            frame.truncate(cut.index(frame.len()));
        }
        frame.extend(tail);
        let instance = Instance { min_ttl, ..case.instance() };
        let accepted = matches!(judge(&frame, case.family, &instance), Verdict::Accepted(_));
        prop_assert_eq!(accepted, oracle::accepts(&frame, case.family, &instance, &octets(&case)));
    }

    #[test]
    fn noise_is_never_accepted_nor_a_panic(
        mut frame in vec(any::<u8>(), 0..200),
        kind in select(vec![[0x08, 0x00], [0x86, 0xdd], [0x08, 0x06], [0x81, 0x00]]),
        protocol in select(vec![112u8, 58, 17]),
        case in cases(0..3),
    ) {
        if let Some(place) = frame.get_mut(12..14) {
            place.copy_from_slice(&kind);
        }
        let at = if kind == [0x08, 0x00] { 23 } else { 20 };
        if let Some(place) = frame.get_mut(at) {
            *place = protocol;
        }
        let verdict = judge(&frame, case.family, &case.instance());
        let accepted = matches!(verdict, Verdict::Accepted(_));
        prop_assert_eq!(accepted, oracle::accepts(&frame, case.family, &case.instance(), &octets(&case)));
    }

    #[test]
    fn the_digest_knows_no_order_but_every_address(
        (list, shuffled) in vec(ipv6(), 1..20).prop_flat_map(|list| {
            (Just(list.clone()), Just(list).prop_shuffle())
        }),
        position in any::<prop::sample::Index>(),
        bit in 0usize..128,
    ) {
        let whole = digest(list.iter().copied());
        prop_assert_eq!(whole, digest(shuffled.into_iter()));
        let mut changed = list.clone();
        let address = position.get(&list).0;
        changed[position.index(list.len())].0[bit / 8] ^= 1 << (bit % 8);
        prop_assert_ne!(whole, digest(changed.into_iter()));
        let twice = list.iter().copied().chain([RouterAddress(address)]);
        prop_assert_ne!(whole, digest(twice));
    }

    #[test]
    fn our_announcements_are_claims(
        address4 in 1u32..,
        // Not multicast: nobody can hold such an address.
        address6 in 0u128..(0xff << 120),
        mac in any::<[u8; 6]>(),
        router in any::<bool>(),
    ) {
        let mac = ha_common::types::MacAddress(mac);
        let seen = claim(&arp::gratuitous(mac, address4.into())).unwrap();
        prop_assert_eq!(seen.address, Ipv4Addr::from(address4).into());
        prop_assert_eq!(seen.mac, mac);
        let seen = claim(&nd::unsolicited_advertisement(mac, address6.into(), router)).unwrap();
        prop_assert_eq!(seen.address, Ipv6Addr::from(address6).into());
        prop_assert_eq!(seen.mac, mac);
    }
}

#[test]
fn neighbouring_lists_differ_in_their_digest() {
    // All pairs of addresses of a /24: the sums must not cancel out.
    let hosts: Vec<RouterAddress> = (0..=255)
        .map(|host| Ipv4Addr::new(10, 77, 0, host).into())
        .collect();
    let mut digests: Vec<u64> = (0..256)
        .flat_map(|one| (0..=one).map(move |other| (one, other)))
        .map(|(one, other)| digest([hosts[one], hosts[other]].into_iter()))
        .collect();
    let lists = digests.len();
    digests.sort_unstable();
    digests.dedup();
    assert_eq!(digests.len(), lists);
}

#[test]
fn what_does_not_fit_is_not_encoded() {
    let mut buffer = [0; MAX_MESSAGE_LEN];
    let mut refuse = |case: &Case, expected: EncodeError| {
        assert_eq!(encode(&outgoing(case), &mut buffer), Err(expected));
        assert!(!expected.to_string().is_empty());
    };
    let v2_over_ipv6 = Case {
        version: Version::V2,
        ..Case::ipv6()
    };
    refuse(&v2_over_ipv6, EncodeError::Version2OverIpv6);
    let many = Case {
        addresses: vec![ip("10.77.0.100"); 256],
        ..Case::v3()
    };
    refuse(&many, EncodeError::TooManyAddresses { count: 256 });
    let global = Case {
        addresses: vec![ip("2001:db8::1")],
        ..Case::ipv6()
    };
    refuse(&global, EncodeError::NotLinkLocal);
    let written = encode_any(&outgoing(&global), &mut [0; MAX_MESSAGE_LEN]);
    assert_eq!(written, Ok(24));
    for (case, intervals) in [
        (Case::v2(), vec![0, 1, 99, 150, 25_600]),
        (Case::v3(), vec![0, 4096]),
    ] {
        for interval in intervals {
            let case = Case {
                interval,
                ..case.clone()
            };
            refuse(
                &case,
                EncodeError::Interval {
                    interval: Centiseconds(interval),
                    version: case.version,
                },
            );
        }
    }
    let mut short = [0; 15];
    assert_eq!(
        encode(&outgoing(&Case::v3()), &mut short),
        Err(EncodeError::BufferTooShort {
            needed: 16,
            available: 15
        })
    );
}
