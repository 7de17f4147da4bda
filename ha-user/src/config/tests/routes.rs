//! Routes and rules that follow the addresses.

use super::*;

fn prefix(text: &str) -> VirtualAddress {
    let (address, prefix_len) = text.split_once('/').unwrap();
    VirtualAddress {
        address: address.parse().unwrap(),
        prefix_len: prefix_len.parse().unwrap(),
    }
}

fn route(to: &str) -> RouteConfig {
    RouteConfig {
        destination: prefix(to),
        via: None,
        interface: None,
        table: None,
        metric: None,
        source: None,
    }
}

#[test]
fn routes_say_where_to_and_how() {
    let routes = first(&web(
        "",
        r#"routes = [
            { to = "10.9.0.0/16" },
            { to = "10.9.0.7", via = "10.77.0.1", interface = "eth1", table = 4294967295, metric = 1, source = "10.77.0.100" },
            { to = "default", via = "10.77.0.1" },
            { to = "default", via = "fe80::1" },
            { to = "default", source = "2001:db8::1", interface = "eth0", metric = 7 },
            { to = "default", interface = "ppp0", metric = 7 },
            { to = "2001:db8:1::/48", via = "fe80::1" },
        ]"#,
    ))
    .routes;
    assert_eq!(
        routes,
        [
            route("10.9.0.0/16"),
            RouteConfig {
                via: Some([10, 77, 0, 1].into()),
                interface: Some("eth1".to_owned()),
                table: Some(u32::MAX),
                metric: Some(1),
                source: Some([10, 77, 0, 100].into()),
                ..route("10.9.0.7/32")
            },
            RouteConfig {
                via: Some([10, 77, 0, 1].into()),
                ..route("0.0.0.0/0")
            },
            RouteConfig {
                via: Some("fe80::1".parse().unwrap()),
                ..route("::/0")
            },
            RouteConfig {
                source: Some("2001:db8::1".parse().unwrap()),
                interface: Some("eth0".to_owned()),
                metric: Some(7),
                ..route("::/0")
            },
            RouteConfig {
                interface: Some("ppp0".to_owned()),
                metric: Some(7),
                ..route("0.0.0.0/0")
            },
            RouteConfig {
                via: Some("fe80::1".parse().unwrap()),
                ..route("2001:db8:1::/48")
            },
        ]
    );
}

#[test]
fn what_a_route_cannot_be_is_told_at_its_place() {
    for (entry, parts) in [
        ("", &["at {", "without a destination", "\"default\""][..]),
        ("to = \"elsewhere\"", &["at \"elsewhere\"", "not an IP"]),
        (
            "to = \"10.9.8.7/16\"",
            &[
                "at \"10.9.8.7/16\"",
                "bits behind its prefix of 16",
                "write \"10.9.0.0/16\"",
                "or \"10.9.8.7/32\"",
            ],
        ),
        (
            "to = \"2001:db8::1/64\"",
            &["write \"2001:db8::/64\"", "or \"2001:db8::1/128\""],
        ),
        ("to = \"10.0.0.0/33\"", &["33 bits", "expected /0 to /32"]),
        (
            "to = \"10.9.0.0/16\", via = \"fe80::1\"",
            &["at \"fe80::1\"", "next router fe80::1 in an IPv4 route"],
        ),
        (
            "to = \"10.9.0.0/16\", source = \"fe80::1\"",
            &["at \"fe80::1\"", "source fe80::1 in an IPv4 route"],
        ),
        (
            "to = \"default\", via = \"10.77.0.1\", source = \"fe80::1\"",
            &["at \"fe80::1\"", "IPv4 route"],
        ),
        (
            "to = \"default\", via = \"224.0.0.1\"",
            &["at \"224.0.0.1\"", "multicast"],
        ),
        (
            "to = \"default\", via = \"10.77.0.100\"",
            &["at \"10.77.0.100\"", "a virtual address of this instance"],
        ),
        (
            "to = \"default\", via = \"10.77.0.1/16\"",
            &["at \"10.77.0.1/16\"", "without a prefix length"],
        ),
        (
            "to = \"10.9.0.0/16\", interface = \"\"",
            &["at \"\"", "no interface can have"],
        ),
        (
            "to = \"10.9.0.0/16\", table = 0",
            &["at 0", "table cannot be 0", "1 to 4294967295", "254"],
        ),
        (
            "to = \"10.9.0.0/16\", table = \"main\"",
            &["at \"main\"", "whole number"],
        ),
        (
            "to = \"10.9.0.0/16\", metric = 4294967296",
            &["metric cannot be 4294967296", "leave metric out"],
        ),
        (
            "to = \"10.9.0.0/16\", metric = 0",
            &["metric cannot be 0", "leave metric out"],
        ),
    ] {
        refused(&web("", &format!("routes = [{{ {entry} }}]")), parts);
    }
    refused(
        &web("", "routes = [\"10.9.0.0/16\"]"),
        &["a route cannot be text", "to = "],
    );
    refused(&web("", "routes = {}"), &["routes cannot be a table"]);
    let lonely = warned(
        &web("", "routes = [{ to = \"default\" }]"),
        &["at {", "without a next router", "via = "],
    );
    assert_eq!(lonely.instances[0].routes, [route("0.0.0.0/0")]);
}

#[test]
fn one_route_is_in_one_instance_once() {
    let second = |routes: &str| {
        format!(
            "{}\n[[instance]]\nname = \"b\"\ninterface = \"eth0\"\nvrid = 52\nfamily = \"ipv4\"\n{routes}",
            web("", "routes = [{ to = \"10.9.0.0/16\" }]")
        )
    };
    let parts = ["second route to 10.9.0.0/16", "another metric", "the first"];
    refused(
        &second("routes = [{ to = \"10.9.0.0/16\", table = 254, via = \"10.77.0.1\" }]"),
        &parts,
    );
    for other in [
        "routes = [{ to = \"10.9.0.0/16\", table = 1 }]",
        "routes = [{ to = \"10.9.0.0/16\", metric = 1 }]",
        "routes = [{ to = \"10.9.0.0/17\" }]",
    ] {
        assert_eq!(said(&second(other)), [""; 0]);
    }
}

#[test]
fn rules_say_for_whom_and_which_table() {
    let rules = first(&web(
        "",
        r#"rules = [
            { from = "10.77.0.100", table = 100 },
            { to = "2001:db8::/32", from = "2001:db8:1::/48", table = 4294967295, priority = 1000 },
        ]"#,
    ))
    .rules;
    assert_eq!(
        rules,
        [
            RuleConfig {
                from: Some(prefix("10.77.0.100/32")),
                to: None,
                table: 100,
                priority: None,
            },
            RuleConfig {
                from: Some(prefix("2001:db8:1::/48")),
                to: Some(prefix("2001:db8::/32")),
                table: u32::MAX,
                priority: Some(1000),
            },
        ]
    );
    for (entry, parts) in [
        ("table = 100", &["at {", "neither from nor to"][..]),
        (
            "from = \"10.9.0.0/16\"",
            &["at {", "without a table", "table = 100"],
        ),
        (
            "from = \"10.9.0.1/16\", table = 1",
            &["at \"10.9.0.1/16\"", "write \"10.9.0.0/16\""],
        ),
        (
            "from = \"10.9.0.0/16\", to = \"2001:db8::/32\", table = 1",
            &["at \"2001:db8::/32\"", "one family"],
        ),
        (
            "from = \"10.9.0.0/16\", table = 1, priority = 0",
            &["at 0", "priority cannot be 0", "32766"],
        ),
        (
            "from = \"10.9.0.0/16\", table = -1",
            &["at -1", "table cannot be -1"],
        ),
        (
            "from = \"10.9.0.0/16\", lookup = 1, table = 1",
            &["at lookup", "in a rule", "did you mean table?"],
        ),
    ] {
        refused(&web("", &format!("rules = [{{ {entry} }}]")), parts);
    }
    let twice = "{ from = \"10.9.0.0/16\", table = 1 }";
    refused(
        &web("", &format!("rules = [{twice}, {twice}]")),
        &["listed twice", "the first is here"],
    );
}
