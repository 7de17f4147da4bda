//! Lists of addresses, and the family that they settle.

use super::*;

#[test]
fn an_instance_without_addresses_says_its_family() {
    for line in ["addresses = []\nfamily = \"ipv6\"", "family = \"ipv6\""] {
        let config = config(&web("addresses", line));
        assert_eq!(config.instances[0].family, AddressFamily::Ipv6);
        assert_eq!(config.instances[0].addresses, []);
    }
    let remedy = ["neither addresses nor a family", "family = \"ipv4\""];
    refused(&web("addresses", "addresses = []"), &remedy);
    refused(&web("addresses", ""), &remedy);
    assert!(
        parse(&web("", "family = \"ipv4\"")).is_ok(),
        "said twice, and the same"
    );
    refused(
        &web("", "family = \"ipv6\""),
        &[
            "at \"10.77.0.100/16\"",
            "IPv4 address in an IPv6 instance",
            "family is said here",
        ],
    );
}

#[test]
fn the_first_ipv6_address_is_link_local() {
    refused(
        &web(
            "addresses",
            "addresses = [\"2001:db8::1/64\", \"fe80::1/64\"]",
        ),
        &["at \"2001:db8::1/64\"", "not link-local", "fe80::51/64"],
    );
}

#[test]
fn addresses_are_of_one_family_and_of_hosts() {
    refused(
        &web("addresses", "addresses = [\"10.0.0.1/24\", \"fe80::1/64\"]"),
        &["at \"fe80::1/64\"", "expected IPv4 addresses only"],
    );
    refused(
        &web("addresses", "addresses = [\"224.0.0.18\"]"),
        &["a multicast address"],
    );
    refused(
        &web("addresses", "addresses = [\"10.0.0.0/24\"]"),
        &["the address of its network"],
    );
    refused(
        &web("addresses", "addresses = [\"web.example\"]"),
        &["not an IP address"],
    );
    refused(
        &web("addresses", "addresses = [7]"),
        &["cannot be a number"],
    );
    refused(
        &web("addresses", "addresses = \"10.0.0.1/24\""),
        &["a list of addresses"],
    );
}

#[test]
fn what_does_not_fit_an_advertisement_is_excluded_with_a_warning() {
    let v4 = |count: usize| {
        let list: Vec<String> = (0..count)
            .map(|n| format!("\"10.0.{}.{}\"", n / 200, n % 200 + 1))
            .collect();
        web(
            "addresses",
            &format!(
                "addresses = [{}]\nexcluded_addresses = [\"192.0.2.1/32\"]",
                list.join(", ")
            ),
        )
    };
    let shown =
        |list: &[AddressConfig]| -> Vec<String> { list.iter().map(ToString::to_string).collect() };
    let fits = first(&v4(255));
    assert_eq!(fits.addresses.len(), 255);
    assert_eq!(shown(&fits.excluded_addresses), ["192.0.2.1/32"]);

    let parts = ["holds 255 of the 257", "last 2", "all routers of the group"];
    let over = warned(&v4(257), &parts).instances.remove(0);
    assert_eq!(over.addresses, fits.addresses, "the first ones");
    assert_eq!(
        shown(&over.excluded_addresses),
        ["10.0.1.56/32", "10.0.1.57/32", "192.0.2.1/32"],
        "the rest, in order, in front of those that are excluded in the file"
    );

    let v6 = |count: usize| {
        let list: Vec<String> = (1..=count).map(|n| format!("\"fe80::{n:x}\"")).collect();
        web("addresses", &format!("addresses = [{}]", list.join(", ")))
    };
    assert_eq!(first(&v6(90)).addresses.len(), 90);
    let over = warned(&v6(300), &["holds 90 of the 300", "last 210", "1500"]);
    assert_eq!(over.instances[0].addresses.len(), 90);
    assert_eq!(over.instances[0].excluded_addresses.len(), 210);
}

#[test]
fn excluded_addresses_are_of_any_family_and_follow_no_order() {
    let list = "excluded_addresses = [\"2001:db8::100/64\", \"10.8.0.1/24\", \"10.9.0.1\"]";
    let instance = first(&web("", list));
    assert_eq!(instance.family, AddressFamily::Ipv4);
    let shown: Vec<String> = instance
        .excluded_addresses
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(shown, ["2001:db8::100/64", "10.8.0.1/24", "10.9.0.1/32"]);
    let alone = first(&web("addresses", &format!("{list}\nfamily = \"ipv6\"")));
    assert_eq!(alone.addresses, []);
    assert_eq!(alone.excluded_addresses.len(), 3);
    refused(
        &web("addresses", list),
        &["neither addresses nor a family", "family = \"ipv4\""],
    );
    refused(
        &web("", "excluded_addresses = [\"10.8.0.0/24\"]"),
        &["at \"10.8.0.0/24\"", "the address of its network"],
    );
    refused(
        &web("", "excluded_addresses = [\"10.77.0.100/32\"]"),
        &["at \"10.77.0.100/32\"", "listed twice", "the first is here"],
    );
}

#[test]
fn an_address_may_say_where_and_how_it_is_installed() {
    let instance = first(&web(
        "addresses",
        r#"addresses = [
            "10.77.0.100/16",
            { address = "10.77.0.101/16", interface = "eth1", label = "eth1:vip", scope = "link", prefix_route = false },
            { address = "10.77.0.102/16", interface = "eth0", label = "eth0" },
        ]
        excluded_addresses = [{ address = "2001:db8::1/64", prefix_route = false }]"#,
    ));
    let plain = |text: &str, prefix_len| {
        AddressConfig::from(VirtualAddress {
            address: text.parse().unwrap(),
            prefix_len,
        })
    };
    assert_eq!(
        instance.addresses,
        [
            plain("10.77.0.100", 16),
            AddressConfig {
                interface: Some("eth1".to_owned()),
                label: Some("eth1:vip".to_owned()),
                scope: Scope::Link,
                prefix_route: false,
                ..plain("10.77.0.101", 16)
            },
            AddressConfig {
                label: Some("eth0".to_owned()),
                ..plain("10.77.0.102", 16)
            },
        ],
        "the instance's own interface is as good as none"
    );
    assert_eq!(
        instance.excluded_addresses,
        [AddressConfig {
            prefix_route: false,
            ..plain("2001:db8::1", 64)
        }]
    );
    for (word, scope) in [
        ("global", Scope::Global),
        ("site", Scope::Site),
        ("link", Scope::Link),
        ("host", Scope::Host),
    ] {
        let entry = format!("addresses = [{{ address = \"10.0.0.1\", scope = \"{word}\" }}]");
        assert_eq!(first(&web("addresses", &entry)).addresses[0].scope, scope);
    }
    let entry = "addresses = [{ address = \"fe80::1/64\", scope = \"site\" }]";
    let taken = warned(
        &web("addresses", entry),
        &["at \"site\"", "no effect on an IPv6 address", "remove it"],
    );
    assert_eq!(taken.instances[0].addresses[0].scope, Scope::Global);
}

#[test]
fn what_an_address_cannot_be_is_told_at_its_place() {
    for (entry, parts) in [
        ("", &["at {", "has no address", "address = "][..]),
        ("address = 1", &["at 1", "address cannot be a number"]),
        (
            "address = \"10.0.0.1/x\"",
            &["at \"10.0.0.1/x\"", "not a number"],
        ),
        (
            "address = \"10.0.0.1\", scope = \"nowhere\"",
            &["at \"nowhere\"", "\"global\" or \"site\" or \"link\""],
        ),
        (
            "address = \"10.0.0.1\", interface = \"a/b\"",
            &["at \"a/b\"", "no interface can have the name"],
        ),
        (
            "address = \"10.0.0.1\", label = \"eth1:a\"",
            &["at \"eth1:a\"", "on \"eth0\"", "such as \"eth0:a\""],
        ),
        (
            "address = \"10.0.0.1\", label = \"eth0a\"",
            &["at \"eth0a\"", "such as \"eth0:a\""],
        ),
        (
            "address = \"10.0.0.1\", label = \"eth0:\"",
            &["at \"eth0:\"", "such as"],
        ),
        (
            "address = \"10.0.0.1\", label = \"eth0:a b\"",
            &["at \"eth0:a b\"", "such as"],
        ),
        (
            "address = \"10.0.0.1\", label = \"eth0:sixteen-oct\"",
            &["at \"eth0:sixteen-oct\"", "15 octets at most"],
        ),
        (
            "address = \"10.0.0.1\", interface = \"fourteen-octet\", label = \"fourteen-octet:a\"",
            &["cannot be the label", "too long for a label"],
        ),
        (
            "address = \"10.0.0.1\", dev = \"eth1\"",
            &["at dev", "in an address", "did you mean interface?"],
        ),
    ] {
        for list in ["addresses", "excluded_addresses"] {
            let key = if list == "addresses" { list } else { "" };
            refused(&web(key, &format!("{list} = [{{ {entry} }}]")), parts);
        }
    }
    refused(
        &web(
            "",
            "excluded_addresses = [{ address = \"fe80::1/64\", label = \"eth0:a\" }]",
        ),
        &["at \"eth0:a\"", "an IPv6 address has no label"],
    );
}
