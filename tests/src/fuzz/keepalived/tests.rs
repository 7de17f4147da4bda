//! Files made of lines that are right, wrong, or wrong together.

use proptest::{
    prelude::*,
    sample::{select, subsequence},
    test_runner::{Config, TestRunner},
};

use super::keepalived;
use crate::fuzz::tally::tally;

/// Lines of an instance.
const LINES: &[&str] = &[
    "state MASTER",
    "state BACKUP",
    "state ACTIVE",
    "priority 255",
    "priority 254",
    "priority 1",
    "priority 0",
    "priority x",
    "advert_int 0.4",
    "advert_int 1.5",
    "advert_int 0.015",
    "advert_int 41",
    "advert_int 256",
    "version 2",
    "version 3",
    "version 4",
    "preempt",
    "nopreempt",
    "preempt_delay 5",
    "preempt_delay 2000.5",
    "accept",
    "no_accept",
    "use_vmac",
    "use_vmac vrrp.7",
    "use_vmac vrrp.7 00:00:5e:00:01:07",
    "use_vmac eth1",
    "use_vmac a_name_that_is_too_long",
    "vmac_xmit_base",
    "unicast_src_ip 10.0.0.1",
    "unicast_src_ip 10.0.0.100",
    "unicast_src_ip fe80::1",
    "unicast_src_ip 224.0.0.1",
    "unicast_peer {\n10.0.0.2\n10.0.0.2 min_ttl 0\n10.0.0.1\nfe80::2 min_ttl 254\n10.0.0.100\nx\n}",
    "unicast_peer { }",
    "unicast_peer { fe80::2 min_ttl 254 max_ttl 255 }",
    "authentication {\nauth_type PASS\nauth_pass verysecret\n}",
    "authentication {\nauth_type AH\nauth_pass abc\n}",
    "authentication { auth_pass abc }",
    "authentication {\nauth_type PASS\nauth_pass ääää8\n}",
    "authentication {\nauth_type PASS\nauth_pass \"\"\n}",
    "mcast_src_ip 10.0.0.1",
    "native_ipv6",
    "v3_checksum_as_v2",
    "garp_master_delay 0",
    "garp_master_delay 5000",
    "garp_master_repeat 0",
    "garp_master_repeat 255",
    "garp_master_refresh 60",
    "garp_master_refresh 99999",
    "virtual_ipaddress_excluded {\n10.0.0.100\n192.0.2.9/24 dev eth1 label eth1:a scope link\n2001:db8::9\n}",
    "virtual_ipaddress_excluded {\n10.9.0.8/24 dev vrrp.7 label vrrp.7:a noprefixroute\n10.9.0.9/24 label eth0:\n}",
    "virtual_ipaddress_excluded {\n10.9.0.7/24 dev a_name_that_is_too_long\n10.9.0.6 scope 17 peer 10.9.0.1 brd + foo bar\n}",
    "virtual_routes {\ndefault via 10.0.0.2\ndefault\n0.0.0.0/0 gw 10.0.0.2\n10.9.8.1/24 dev eth1\n::/0 via 10.0.0.2\n}",
    "virtual_routes {\nsrc 10.0.0.1 to 10.7.0.0/16 via 10.0.0.100 or 10.0.0.3 dev eth1 table main metric 5\nblackhole 10.6.0.0/16\n}",
    "virtual_routes {\n10.5.0.0/16 nexthop via 10.0.0.1 nexthop via 10.0.0.2\n10.4.0.0/16 via inet 10.0.0.1 mtu 1400\n10.3.0.0/16 via 224.0.0.1\n}",
    "virtual_rules {\nfrom 10.0.0.0/8 to fe80::/10 table 7\nfrom 10.0.0.1/8 lookup 7 preference 9\nfwmark 7 table 8\nto 10.2.0.0/16 table nosuch\n}",
    "track_interface {\neth0\neth1 weight 5\neth1 weight 300\neth2 weight -20 reverse\na_name_that_is_too_long\n}",
    "track_script {\nc0\nc0 weight 5\nc1 weight 0 noreverse\nnosuch\nc1 weight x\n}",
    "track_process {\np0\n}",
    "track_file {\nf0 weight -2000\n}",
    "notify /bin/a b",
    "notify \"/bin/a 'b c' d\\\"e\" nobody nogroup",
    "notify_master \"\"",
    "notify_backup \"/bin/b\" a:b",
    "notify_fault /bin/\\000",
    "notify_stop \"/bin/s x\" root",
    "notify_master_rx_lower_pri /bin/l",
    "notify_priority_changes yes",
    "notify_priority_changes maybe",
    "smtp_alert",
    "bogus 1 2 3",
    "bogus { a\nb { c }\n}",
    "}",
    "{",
    "@node1 priority 77",
    "@^node1 priority 78",
    "priority $P",
    "priority ${Q}",
    "~SEQ(N, 10, 12) priority $N",
    "$LINES",
    "virtual_router_id 300",
    "interface eth1",
    "interface",
    "dont_track_primary",
];

const ADDRESSES: &[&str] = &[
    "virtual_ipaddress { 10.0.0.100/24 }",
    "virtual_ipaddress {\n10.0.0.100/24\n10.0.0.100\n10.0.0.0/24\n127.0.0.1\n10.0.0.101/33,\n10.0.0.102/24 dev eth1\n}",
    "virtual_ipaddress {\n2001:db8::1/64\n}",
    "virtual_ipaddress {\n2001:db8::1/64\nfe80::1/64 label x\n10.0.0.7\n}",
    "virtual_ipaddress {\n~SEQ(A, 1, 300) 10.3.${A}.1\n~SEQ(A, 1, 9) 10.4.0.${A} label eth0:$A \n}",
    "virtual_ipaddress {\n}",
    "",
];

const TOP: &[&str] = &[
    "global_defs {\nvrrp_version 3\n}",
    "global_defs {\nvrrp_garp_interval 2\nvrrp_garp_master_repeat 9\nvrrp_startup_delay 5000\n}",
    "global_defs {\nscript_user nobody\nenable_script_security\nnotify_fifo /run/f\nnotify_fifo_script \"/bin/r x\"\nvrrp_notify_fifo /run/f\n}",
    "global_defs {\nscript_user a:b\nnotify_fifo f\nvrrp_notify_fifo_script /bin/r\nvrrp_notify_priority_changes\n}",
    "global_defs {\nvrrp_min_garp\nvrrp_strict\nrouter_id x y\ndefault_interface eth7\n}",
    "garp_group {\ngarp_interval 0.5\ninterface eth0\n}",
    "vrrp_sync_group G {\ngroup {\ni0\ni1\nnosuch\ni0\n}\ntrack_script {\nc0 weight 7\n}\nnotify /bin/g\n}",
    "vrrp_sync_group G {\ngroup { i2 }\nsync_group_tracking_weight\n}",
    "vrrp_sync_group H {\ngroup {\ni0\ni2\n}\nsync_group_tracking_weight\nglobal_tracking\n}",
    "vrrp_sync_group",
    "vrrp_script c0 {\nscript \"/bin/other\"\n}",
    "vrrp_script c2 {\ninterval 2\n}",
    "track_file f1 {\nfile relative\n}",
    "vrrp_track_process p1 {\nprocess /usr/bin/x a 'b c'\nquorum 5\nquorum_max 2\n}",
    "vrrp_track_process p2 {\nprocess /usr/bin/x\nquorum_max 0\nweight -254 reverse\n}",
    "virtual_server 10.0.0.1 80 {\ndelay_loop 6\nreal_server 10.0.0.2 80 {\nweight 1\n}\n}",
    "static_ipaddress {\n10.1.0.1 dev eth0\n}",
    "bfd_instance b {\n}",
    "include /etc/hostname",
    "$Q=300",
    "vrrp_instance i0 {\ninterface eth9\nvirtual_router_id 1\n}",
    "vrrp_instance 'a b' {\ninterface eth9\nvirtual_router_id 1\n}",
    "\"",
    "unknown_block {\npriority 5\n}",
];

/// What the lines refer to.
const BASE: &str = "$P=120\n$LINES= \\\n advert_int 2 \\\n nopreempt\n\
    vrrp_script c0 {\nscript \"/bin/true a\"\ninterval 0.05\ntimeout 0\nweight -300\nrise 0\n}\n\
    vrrp_script c1 {\nscript /bin/true\nweight -10 reverse\nuser nobody\ninit_fail\nfall 3\n}\n\
    vrrp_track_process p0 {\nprocess nginx\nquorum 2\ndelay 1\n}\n\
    track_file f0 {\nfile /run/f\nweight 5 reverse\ninit_file 1 overwrite\n}\n";

fn instance() -> impl Strategy<Value = String> {
    (
        select(&["eth0", "eth0", "eth1"][..]),
        1..4_u8,
        select(ADDRESSES),
        subsequence(LINES, 0..6),
    )
        .prop_map(|(interface, vrid, addresses, lines)| {
            format!(
                "interface {interface}\nvirtual_router_id {vrid}\n{addresses}\n{}\n",
                lines.join("\n")
            )
        })
}

fn file() -> impl Strategy<Value = String> {
    let instances = prop::collection::vec(instance(), 0..4);
    (subsequence(TOP, 0..4), instances, any::<bool>()).prop_map(|(top, instances, first)| {
        let instances: String = instances
            .iter()
            .enumerate()
            .map(|(place, instance)| format!("vrrp_instance i{place} {{\n{instance}}}\n"))
            .collect();
        let top = top.join("\n");
        // Blocks may stand in any order.
        if first {
            format!("{BASE}{top}\n{instances}")
        } else {
            format!("{instances}{BASE}{top}\n")
        }
    })
}

#[test]
fn what_keepalived_would_run_is_taken() {
    let (taken, refused) = tally(400, &file(), keepalived);
    assert!(taken > 80, "only {taken} were taken");
    assert!(refused > 8, "only {refused} were refused");
}

#[test]
fn every_line_is_taken_somewhere() {
    let alone = |line: &str| {
        ADDRESSES.iter().any(|addresses| {
            keepalived(
                format!(
                    "{BASE}vrrp_instance i0 {{\ninterface eth0\nvirtual_router_id 1\n{addresses}\n\
                     {line}\n}}\n"
                )
                .as_bytes(),
            )
        })
    };
    let wrong: Vec<&str> = LINES.iter().copied().filter(|line| !alone(line)).collect();
    assert_eq!(wrong, [""; 0]);
}

#[test]
fn no_text_makes_it_panic() {
    let text = "[ -~\n\t{}\"'\\\\$@~!#ä\u{0}]{0,200}";
    let result = TestRunner::new(Config {
        cases: 1000,
        failure_persistence: None,
        ..Config::default()
    })
    .run(&text, |text| {
        keepalived(text.as_bytes());
        keepalived(format!("vrrp_instance a {{\n{text}").as_bytes());
        Ok(())
    });
    if let Err(error) = result {
        panic!("{error}");
    }
}
