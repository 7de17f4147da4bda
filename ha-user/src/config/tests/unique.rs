//! What two instances may not have in common.

use super::*;

#[test]
fn two_instances_do_not_get_into_each_others_way() {
    let two = |second: &str| format!("{WEB}\n[[instance]]\n{second}");
    refused(
        &two("name = \"web\"\ninterface = \"eth1\"\nvrid = 51\nfamily = \"ipv4\""),
        &[
            "a second instance with the name \"web\"",
            "the first is here",
        ],
    );
    refused(
        &two("name = \"b\"\ninterface = \"eth0\"\nvrid = 51\nfamily = \"ipv4\""),
        &["at 51", "a second IPv4 instance with VRID 51 on eth0"],
    );
    refused(
        &two("name = \"b\"\ninterface = \"eth0\"\nvrid = 52\naddresses = [\"10.77.0.100\"]"),
        &["at \"10.77.0.100\"", "10.77.0.100 is listed twice"],
    );
    refused(
        &web(
            "addresses",
            "addresses = [\"10.0.0.1/24\", \"10.0.0.1/32\"]",
        ),
        &["10.0.0.1 is listed twice"],
    );
    for second in [
        "name = \"b\"\ninterface = \"eth0\"\nvrid = 51\nfamily = \"ipv6\"",
        "name = \"b\"\ninterface = \"eth1\"\nvrid = 51\nfamily = \"ipv4\"",
        "name = \"b\"\ninterface = \"eth0\"\nvrid = 52\nfamily = \"ipv4\"",
    ] {
        assert_eq!(config(&two(second)).instances.len(), 2);
        assert_eq!(said(&two(second)), [""; 0]);
    }
}

#[test]
fn an_address_is_on_one_interface_only() {
    let two = |own: &str, second: &str| {
        format!(
            "{}\n[[instance]]\nname = \"b\"\nvrid = 52\n{second}",
            web("", own)
        )
    };
    let twice = ["listed twice", "once per interface", "the first is here"];
    let elsewhere = ["listed on two interfaces", "the first is here"];
    // On eth0 by the instance, by the entry, as excluded, or with a MAC address of
    // its own: one link.
    for (own, second) in [
        ("", "interface = \"eth0\"\naddresses = [\"10.77.0.100\"]"),
        (
            "",
            "interface = \"eth1\"\naddresses = [{ address = \"10.77.0.100\", interface = \"eth0\" }]",
        ),
        (
            "",
            "interface = \"eth0\"\nfamily = \"ipv6\"\nexcluded_addresses = [\"10.77.0.100\"]",
        ),
        (
            "virtual_mac = \"vrrp.51\"",
            "interface = \"eth0\"\nvirtual_mac = \"vrrp.52\"\n\
             addresses = [{ address = \"10.77.0.100\", interface = \"vrrp.52\" }]",
        ),
    ] {
        refused(&two(own, second), &twice);
    }
    // Also if it is first listed on another.
    let third = "interface = \"eth1\"\naddresses = [\"10.77.0.100\"]\n\
                 [[instance]]\nname = \"c\"\nvrid = 53\n\
                 interface = \"eth1\"\naddresses = [\"10.77.0.100\"]";
    let complaints = said(&two("", third));
    assert!(
        complaints.iter().any(|it| it.contains("listed twice")),
        "{complaints:?}"
    );
    for second in [
        "interface = \"eth1\"\naddresses = [\"10.77.0.100/16\"]",
        "interface = \"eth0\"\naddresses = [{ address = \"10.77.0.100\", interface = \"eth1\" }]",
    ] {
        assert_eq!(warned(&two("", second), &elsewhere).instances.len(), 2);
    }
    let local = "interface = \"eth1\"\nfamily = \"ipv4\"\nexcluded_addresses = [\"fe80::1/64\"]";
    let text = two("excluded_addresses = [\"fe80::1/64\"]", local);
    assert_eq!(said(&text), [""; 0], "link-local: one on each link");
}
