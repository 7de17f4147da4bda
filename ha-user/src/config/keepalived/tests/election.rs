//! Version, priority, interval, preemption, authentication, unicast.

use super::*;

const V4: &str = "virtual_ipaddress { 10.0.0.100/24 }\n";
const V4_TOML: &str = "addresses = [\"10.0.0.100/24\"]\n";

#[track_caller]
fn v4(lines: &str, toml: &str) {
    same(&format!("{V4}{lines}"), &format!("{V4_TOML}{toml}"));
}

#[track_caller]
fn v4_warned(lines: &str, parts: &[&str], toml: &str) {
    warned(&format!("{V4}{lines}"), parts, &format!("{V4_TOML}{toml}"));
}

#[test]
fn version_2_is_for_ipv4_and_version_3_for_ipv6() {
    v4("", "version = 2");
    v4("version 3", "");
    v4("version 2\nversion 3", "");
    let v6 = "virtual_ipaddress {\nfe80::1/64\n}\n";
    same(v6, "addresses = [\"fe80::1/64\"]");
    same(&format!("{v6}version 3"), "addresses = [\"fe80::1/64\"]");
    warned(
        &format!("{v6}version 2"),
        &["version 2 knows no IPv6"],
        "addresses = [\"fe80::1/64\"]",
    );
    same_file(
        &format!("{}global_defs {{\nvrrp_version 3\n}}\n", instance(V4)),
        &format!("[[instance]]\n{LEAST_TOML}{V4_TOML}"),
    );
    v4_warned("version 4", &["version cannot be \"4\""], "version = 2");
}

#[test]
fn without_addresses_the_peers_say_the_family() {
    same("", "version = 2\nfamily = \"ipv4\"");
    same("native_ipv6", "family = \"ipv6\"\nany_first_address = true");
    same(
        "unicast_peer { 2001:db8::2 }",
        "family = \"ipv6\"\nany_first_address = true\n\
         unicast = { peers = [\"2001:db8::2\"], min_ttl = 1 }",
    );
}

#[test]
fn a_master_without_a_priority_is_the_owner() {
    v4("state BACKUP", "version = 2\npriority = 100");
    v4("state MASTER\npriority 150", "version = 2\npriority = 150");
    v4_warned(
        "state MASTER",
        &["at state MASTER: state MASTER without a priority"],
        "version = 2\npriority = 255",
    );
    v4_warned(
        "priority 300",
        &["at 300: priority cannot be"],
        "version = 2\npriority = 100",
    );
    v4_warned(
        "state ACTIVE",
        &["at ACTIVE: there is no state"],
        "version = 2",
    );
}

#[test]
fn intervals_are_those_that_the_version_can_send() {
    for (said, taken) in [("1", "1s"), ("2.0", "2s"), ("255", "255s")] {
        v4(
            &format!("advert_int {said}"),
            &format!("version = 2\nadvert_interval = \"{taken}\""),
        );
    }
    for (said, taken) in [("0.5", "1s"), ("0.4", "1s"), ("1.5", "2s"), ("1.2", "1s")] {
        v4_warned(
            &format!("advert_int {said}"),
            &["version 2 cannot advertise every"],
            &format!("version = 2\nadvert_interval = \"{taken}\""),
        );
    }
    v4("version 3\nadvert_int 0.01", "advert_interval = \"10ms\"");
    for (said, taken) in [("0.015", "20ms"), ("41", "40.95s")] {
        v4_warned(
            &format!("version 3\nadvert_int {said}"),
            &["version 3 cannot advertise every"],
            &format!("advert_interval = \"{taken}\""),
        );
    }
    for said in ["0", "256", "x", "-1"] {
        v4_warned(
            &format!("advert_int {said}"),
            &["advert_int cannot be"],
            "version = 2\nadvert_interval = \"1s\"",
        );
    }
}

#[test]
fn a_master_preempts_whatever_else_is_said() {
    v4("nopreempt", "version = 2\npreempt = false");
    v4("nopreempt\npreempt", "version = 2");
    v4("preempt_delay 4.5", "version = 2\npreempt_delay = \"4.5s\"");
    v4_warned(
        "state MASTER\npriority 100\nnopreempt\npreempt_delay 5",
        &[
            "nopreempt has no effect with state MASTER",
            "preempt_delay has no effect with state",
        ],
        "version = 2",
    );
    v4_warned(
        "nopreempt\npreempt_delay 5",
        &["preempt_delay has no effect with nopreempt"],
        "version = 2\npreempt = false",
    );
    v4_warned(
        "preempt_delay 2000",
        &["1000s is taken"],
        "version = 2\npreempt_delay = \"1000s\"",
    );
}

#[test]
fn passwords_are_those_of_version_2_and_cut() {
    let pass = |lines: &str| format!("authentication {{\n{lines}\n}}");
    v4(
        &pass("auth_type PASS\nauth_pass 12345678"),
        "version = 2\npassword = \"12345678\"",
    );
    v4_warned(
        &pass("auth_type pass\nauth_pass 123456789"),
        &["a password of 9 octets"],
        "version = 2\npassword = \"12345678\"",
    );
    v4_warned(
        &format!("version 3\n{}", pass("auth_type PASS\nauth_pass a")),
        &["version 3 has no authentication"],
        "",
    );
    for (lines, part) in [
        ("auth_type AH\nauth_pass a", "both sides would be Active"),
        ("auth_pass a", "auth_pass without auth_type"),
        ("auth_type PASS", "auth_type without auth_pass"),
        ("auth_type MD5\nauth_pass a", "no authentication \"MD5\""),
    ] {
        v4_warned(&pass(lines), &[part], "version = 2");
    }
}

#[test]
fn a_password_is_not_shown() {
    let text = instance("authentication {\nauth_type PASS\nauth_pass geheimnis123\n}");
    let mut sources = crate::config::Sources::new("keepalived.conf", text.clone());
    let (_, said) = crate::config::keepalived::read(
        &mut sources,
        crate::config::keepalived::Files::None,
        false,
        "node1",
    );
    let report = crate::config::render_sources(&sources, &said, false);
    assert!(report.contains("auth_pass ************"), "{report}");
    assert!(!report.contains("geheimnis"), "{report}");
}

#[test]
fn unicast_needs_peers() {
    v4(
        "unicast_src_ip 10.0.0.1\nunicast_peer {\n10.0.0.2\n10.0.0.3\n}",
        "version = 2\n\
         unicast = { source = \"10.0.0.1\", peers = [\"10.0.0.2\", \"10.0.0.3\"], min_ttl = 1 }",
    );
    v4(
        "unicast_peer {\n10.0.0.2 min_ttl 254\n10.0.0.3 min_ttl 253\n}\ncheck_unicast_src",
        "version = 2\nunicast = { peers = [\"10.0.0.2\", \"10.0.0.3\"], min_ttl = 253 }",
    );
    v4(
        "unicast_peer {\n10.0.0.2 min_ttl 254\n10.0.0.3\n}",
        "version = 2\nunicast = { peers = [\"10.0.0.2\", \"10.0.0.3\"], min_ttl = 1 }",
    );
    for lines in ["unicast_src_ip 10.0.0.1", "unicast_peer {\n}"] {
        v4_warned(lines, &["unicast without peers"], "version = 2");
    }
    v4_warned(
        "unicast_src_ip 10.0.0.1\nunicast_peer {\n10.0.0.2\n10.0.0.2\n10.0.0.1\nfe80::2\n10.0.0.100\n\
         10.0.0.4/24\n224.0.0.1\n}",
        &[
            "the peer 10.0.0.2 is listed twice",
            "this is the router itself",
            "the instance is of IPv4",
            "is a virtual address",
            "\"10.0.0.4/24\" cannot be a peer",
            "a multicast address",
        ],
        "version = 2\nunicast = { source = \"10.0.0.1\", peers = [\"10.0.0.2\"], min_ttl = 1 }",
    );
}

#[test]
fn a_unicast_instance_may_have_no_interface() {
    let text = "vrrp_instance VI {\nvirtual_router_id 51\nunicast_peer { 10.0.0.2 }\n}\n";
    let expected = |interface: &str| {
        format!(
            "[[instance]]\nname = \"VI\"\ninterface = \"{interface}\"\nvrid = 51\nversion = 2\n\
             family = \"ipv4\"\nunicast = {{ peers = [\"10.0.0.2\"], min_ttl = 1 }}\n"
        )
    };
    warned_file(text, &["without an interface"], &expected("eth0"));
    let text = format!("{text}global_defs {{\ndefault_interface ens3\n}}\n");
    warned_file(&text, &["without an interface"], &expected("ens3"));
}

#[test]
fn what_keepalived_does_not_start_with_is_refused() {
    refused(
        "vrrp_instance VI {\ninterface eth0\n}",
        &[
            "instance \"VI\" has no virtual_router_id",
            "virtual_router_id 51",
        ],
    );
    refused(
        "vrrp_instance VI {\nvirtual_router_id 5\n}",
        &["instance \"VI\" has no interface"],
    );
    refused(
        &format!("{}vrrp_instance V2 {{\n{LEAST}}}\n", instance("")),
        &["a second IPv4 instance with VRID 51 on eth0"],
    );
}
