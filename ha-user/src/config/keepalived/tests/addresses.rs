//! Addresses and their options, routes, rules, virtual MAC addresses.

use super::*;

/// An address block says what the TOML list does.
#[track_caller]
fn listed(entries: &str, toml: &str) {
    same(
        &format!("virtual_ipaddress {{\n{entries}\n}}"),
        &format!("version = 2\naddresses = [{toml}]"),
    );
}

#[test]
fn options_of_an_address() {
    for (entry, toml) in [
        ("10.0.0.1", "\"10.0.0.1/32\""),
        ("10.0.0.1/24", "\"10.0.0.1/24\""),
        ("10.0.0.1/24 dev eth0", "\"10.0.0.1/24\""),
        (
            "10.0.0.1/24 dev eth1",
            "{ address = \"10.0.0.1/24\", interface = \"eth1\" }",
        ),
        (
            "10.0.0.1/24 label eth0:a scope link",
            "{ address = \"10.0.0.1/24\", label = \"eth0:a\", scope = \"link\" }",
        ),
        (
            "10.0.0.1/24 noprefixroute brd + home -nodad preferred_lft forever mngtmpaddr autojoin",
            "{ address = \"10.0.0.1/24\", prefix_route = false }",
        ),
        ("10.0.0.1/24 brd 10.0.0.255 dev eth0", "\"10.0.0.1/24\""),
        ("10.0.0.1\n10.0.0.2", "\"10.0.0.1/32\", \"10.0.0.2/32\""),
    ] {
        listed(entry, toml);
    }
}

#[test]
fn slips_in_addresses() {
    for (entries, part, toml) in [
        ("10.0.0.1,", "not an IP address", "family = \"ipv4\""),
        (
            "10.0.0.1/24,",
            "a single host, as by keepalived",
            "addresses = [\"10.0.0.1/32\"]",
        ),
        (
            "10.0.0.1/33",
            "a single host",
            "addresses = [\"10.0.0.1/32\"]",
        ),
        (
            "10.0.0.0/24",
            "the address of its network",
            "addresses = [\"10.0.0.0/32\"]",
        ),
        ("127.0.0.1", "a loopback address", "family = \"ipv4\""),
        (
            "10.0.0.1/24 label vip",
            "cannot be the label",
            "addresses = [\"10.0.0.1/24\"]",
        ),
        (
            "10.0.0.1/24 scope nowhere",
            "global is taken",
            "addresses = [\"10.0.0.1/24\"]",
        ),
        (
            "10.0.0.1/24 dev a_name_that_is_too_long",
            "of the instance is taken",
            "addresses = [\"10.0.0.1/24\"]",
        ),
        (
            "10.0.0.1/24 peer 10.0.0.2",
            "peer is not done",
            "addresses = [\"10.0.0.1/32\"]",
        ),
        (
            "10.0.0.1/24\n10.0.0.1",
            "listed twice",
            "addresses = [\"10.0.0.1/24\"]",
        ),
        (
            "10.0.0.1/24 10.0.0.2/24",
            "no keyword \"10.0.0.2/24\"",
            "addresses = [\"10.0.0.1/24\"]",
        ),
        (
            "10.0.0.1/24 dev",
            "dev without a value",
            "addresses = [\"10.0.0.1/24\"]",
        ),
    ] {
        warned(
            &format!("virtual_ipaddress {{\n{entries}\n}}"),
            &[part],
            &format!("version = 2\n{toml}"),
        );
    }
}

#[test]
fn the_first_address_says_the_family() {
    warned(
        "virtual_ipaddress {\n10.0.0.1/24\n2001:db8::1/64\n10.0.0.2/24\n}\n\
         virtual_ipaddress_excluded {\n2001:db8::2/64\n}",
        &["at 2001:db8::1/64: an address of another family"],
        "version = 2\naddresses = [\"10.0.0.1/24\", \"10.0.0.2/24\"]\n\
         excluded_addresses = [\"2001:db8::1/64\", \"2001:db8::2/64\"]",
    );
}

#[test]
fn a_link_local_address_is_in_front_or_done_without() {
    same(
        "virtual_ipaddress {\nfe80::1/64\n2001:db8::1/64\n}",
        "addresses = [\"fe80::1/64\", \"2001:db8::1/64\"]",
    );
    warned(
        "virtual_ipaddress {\n2001:db8::1/64\nfe80::1/64\n}",
        &["the link-local address is not the first"],
        "addresses = [\"fe80::1/64\", \"2001:db8::1/64\"]",
    );
    warned(
        "virtual_ipaddress {\n2001:db8::1/64\n}",
        &["the first IPv6 address is not link-local"],
        "addresses = [\"2001:db8::1/64\"]\nany_first_address = true",
    );
}

#[test]
fn routes_and_rules() {
    same(
        "virtual_routes {\ndefault via 10.0.0.254\n\
         src 10.0.0.1 to 10.7.0.0/16 via 10.0.0.253 dev eth1 table 100 metric 5\n\
         10.8.0.0/16 dev eth1\n10.9.0.0/16 gw 10.0.0.2 protocol static\n\
         ::/0 via inet6 fe80::1 dev eth0\n}\n\
         virtual_rules {\nfrom 10.0.0.1 table 100\nfrom 10.0.0.0/24 to 10.7.0.0/16 lookup main pref 7\n}",
        "version = 2\nfamily = \"ipv4\"\nroutes = [\n\
         { to = \"default\", via = \"10.0.0.254\" },\n\
         { to = \"10.7.0.0/16\", via = \"10.0.0.253\", interface = \"eth1\", table = 100, metric = 5, source = \"10.0.0.1\" },\n\
         { to = \"10.8.0.0/16\", interface = \"eth1\" },\n\
         { to = \"10.9.0.0/16\", via = \"10.0.0.2\" },\n\
         { to = \"::/0\", via = \"fe80::1\", interface = \"eth0\" },\n]\n\
         rules = [{ from = \"10.0.0.1/32\", table = 100 },\n\
         { from = \"10.0.0.0/24\", to = \"10.7.0.0/16\", table = 254, priority = 7 }]",
    );
    for (route, part, toml) in [
        (
            "10.7.0.1/16 dev eth1",
            "10.7.0.0/16 is taken",
            "routes = [{ to = \"10.7.0.0/16\", interface = \"eth1\" }]",
        ),
        (
            "blackhole 10.7.0.0/16",
            "this route is not done",
            "routes = []",
        ),
        ("10.7.0.0/16 via fe80::1", "of one family", "routes = []"),
        (
            "10.7.0.0/16 via 224.0.0.1",
            "that hosts can have",
            "routes = []",
        ),
        (
            "10.7.0.0/16 via 10.0.0.2 onlink table 7",
            "\"onlink\" is not done",
            "routes = [{ to = \"10.7.0.0/16\", via = \"10.0.0.2\", table = 7 }]",
        ),
        (
            "10.7.0.0/16 via 10.0.0.2 mtu 1400 metric 7",
            "\"mtu\" is not done",
            "routes = [{ to = \"10.7.0.0/16\", via = \"10.0.0.2\", metric = 7 }]",
        ),
        (
            "10.7.0.0/16 via 10.0.0.2 or 10.0.0.3",
            "only the first next router",
            "routes = [{ to = \"10.7.0.0/16\", via = \"10.0.0.2\" }]",
        ),
        (
            "10.7.0.0/16 dev eth1\n10.7.0.0/16 dev eth0",
            "a second route",
            "routes = [{ to = \"10.7.0.0/16\", interface = \"eth1\" }]",
        ),
    ] {
        warned(
            &format!("virtual_routes {{\n{route}\n}}"),
            &[part],
            &format!("version = 2\nfamily = \"ipv4\"\n{toml}"),
        );
    }
    for (rule, part) in [
        ("fwmark 7 table 5", "\"fwmark\" is not done"),
        ("from 10.0.0.1", "expected from or to"),
        ("table 7", "expected from or to"),
        ("from 10.0.0.1 table nosuch", "the table cannot be"),
        ("from 10.0.0.1 to fe80::1 table 7", "of one family"),
    ] {
        warned(
            &format!("virtual_rules {{\n{rule}\n}}"),
            &[part],
            "version = 2\nfamily = \"ipv4\"",
        );
    }
}

#[test]
fn a_route_does_not_lead_through_its_own_addresses() {
    warned(
        "virtual_ipaddress { 10.0.0.1/24 }\nvirtual_routes { default via 10.0.0.1 }",
        &["is a virtual address of this instance"],
        "version = 2\naddresses = [\"10.0.0.1/24\"]",
    );
}

#[test]
fn virtual_mac_addresses() {
    let toml = |virtual_mac: &str| {
        format!("version = 2\naddresses = [\"10.0.0.1/24\"]\nvirtual_mac = {virtual_mac}")
    };
    let lines = |line: &str| format!("virtual_ipaddress {{ 10.0.0.1/24 }}\n{line}");
    same(&lines("use_vmac"), &toml("true"));
    same(
        &lines("use_vmac vrrp.51\nvmac_xmit_base"),
        &toml("\"vrrp.51\""),
    );
    for (line, part, virtual_mac) in [
        (
            "use_vmac vrrp.51 00:00:5e:00:01:33",
            "MAC address of one's own",
            "\"vrrp.51\"",
        ),
        (
            "use_vmac a_name_that_is_too_long",
            "Harrier chooses one",
            "true",
        ),
        ("use_vmac eth0", "another interface has it", "true"),
    ] {
        warned(&lines(line), &[part], &toml(virtual_mac));
    }
    same(
        &lines("no_accept"),
        "version = 2\naddresses = [\"10.0.0.1/24\"]\naccept = false",
    );
}
