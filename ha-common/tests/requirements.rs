//! Requirements of RFC 9568 that no other suite shows; `docs/rfc9568.md` names
//! these tests.

use std::net::Ipv4Addr;

use ha_common::{
    fsm::election::{Contender, Role, Standing, standing},
    types::{MacAddress, Priority, RouterAddress},
    wire::nd,
};

fn backup(own: u8, preempt: bool, heard: u8) -> Standing {
    let host = |last| RouterAddress::from(Ipv4Addr::new(10, 0, 0, last));
    let own = Contender {
        priority: Priority(own),
        address: host(5),
        preempt,
    };
    standing(Role::Backup, &own, Priority(heard), host(9))
}

/// §6.1, Preempt_Mode: the exception.
#[test]
fn the_owner_preempts_though_preempt_is_off() {
    for heard in 1..=254 {
        assert_eq!(backup(255, false, heard), Standing::Loses, "{heard}");
    }
    assert_eq!(backup(255, false, 255), Standing::Wins);
    assert_eq!(backup(255, false, 0), Standing::Release);
}

/// §6.1, Preempt_Mode: the rule.
#[test]
fn without_preempt_any_other_priority_is_held_back() {
    for own in 1..=254 {
        for heard in [1, own, 254, 255] {
            assert_eq!(backup(own, false, heard), Standing::Wins, "{own} {heard}");
        }
    }
    // With it, only by those not below.
    assert_eq!(backup(100, true, 99), Standing::Loses);
    assert_eq!(backup(100, true, 100), Standing::Wins);
}

/// §6.4.2 asks for R, S clear, O; a host that does not forward leaves R out.
#[test]
fn a_host_announces_without_the_router_flag() {
    let flags = |router| {
        let mac = MacAddress([2, 0, 0, 0, 0, 1]);
        let address = "2001:db8::100".parse().expect("an address");
        // Behind Ethernet, IPv6, and type, code and checksum.
        nd::unsolicited_advertisement(mac, address, router)[14 + 40 + 4]
    };
    assert_eq!(flags(true), 0xa0);
    assert_eq!(flags(false), 0x20);
}
