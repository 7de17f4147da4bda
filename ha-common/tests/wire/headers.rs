//! The headers that Harrier writes itself, where the kernel would put the
//! interface's own link-layer address into the frame.

use std::net::IpAddr;

use ha_common::{
    types::{AddressFamily, MacAddress, Vrid},
    wire::{
        eth, ipv4, ipv6,
        vrrp::{IPV4_GROUP, IPV6_GROUP, group_mac, virtual_mac},
    },
};

use crate::frames::{MAC, VRID, accepted, all, judge};

const IDENTIFICATION: u16 = 0x1234;

/// A frame with our headers around `message`.
fn framed(source: IpAddr, message: &[u8]) -> Vec<u8> {
    let length = u16::try_from(message.len()).unwrap();
    let destination = group_mac(AddressFamily::of(source));
    let mut frame = Vec::new();
    match source {
        IpAddr::V4(source) => {
            frame.extend(eth::header(destination, MAC, eth::IPV4));
            frame.extend(ipv4::advert_header(
                source,
                IPV4_GROUP,
                length,
                IDENTIFICATION,
            ));
        }
        IpAddr::V6(source) => {
            frame.extend(eth::header(destination, MAC, eth::IPV6));
            frame.extend(ipv6::advert_header(source, IPV6_GROUP, length));
        }
    }
    frame.extend(message);
    frame
}

#[test]
fn headers_are_those_of_the_figures_and_are_accepted() {
    for case in all() {
        let mut expected = case.frame();
        if case.family == AddressFamily::Ipv4 {
            expected[18..20].copy_from_slice(&IDENTIFICATION.to_be_bytes());
            expected[20] = 0x40; // don't fragment
            case.seal(&mut expected);
        }
        let message = &expected[case.message_at()..];
        let frame = framed(case.source.to_ip(case.family), message);
        assert_eq!(frame, expected, "{case:?}");
        let advert = accepted(judge(&frame, case.family, &case.instance()));
        assert_eq!(advert.source, case.source);
    }
}

#[test]
fn the_longest_message_has_its_length_in_the_header() {
    let source = "192.0.2.1".parse().unwrap();
    let header = ipv4::advert_header(source, IPV4_GROUP, 1480, 0);
    assert_eq!(header[2..4], 1500_u16.to_be_bytes());
    let header = ipv6::advert_header("fe80::1".parse().unwrap(), IPV6_GROUP, 1460);
    assert_eq!(header[4..6], 1460_u16.to_be_bytes());
}

/// RFC 9568 §7.3.
#[test]
fn a_virtual_router_has_one_link_layer_address_per_family() {
    let vrid = Vrid::new(VRID).unwrap();
    assert_eq!(
        virtual_mac(AddressFamily::Ipv4, vrid),
        MacAddress([0, 0, 0x5e, 0, 1, VRID])
    );
    assert_eq!(
        virtual_mac(AddressFamily::Ipv6, vrid),
        MacAddress([0, 0, 0x5e, 0, 2, VRID])
    );
}
