//! Files made of parts that are right, wrong, or wrong together: whatever comes
//! of them keeps the promises.

use proptest::{
    prelude::*,
    sample::{select, subsequence},
};

use super::config;
use crate::fuzz::tally::tally;

/// Lines of an instance, one or two of each kind.
const LINES: &[&str] = &[
    "version = 2",
    "priority = 255",
    "priority = 254",
    "priority = 1",
    "advert_interval = \"3s\"",
    "preempt = false",
    "preempt_delay = \"5s\"",
    "quick_preempt = false",
    "checksum = \"message-only\"",
    "password = \"secret\"",
    "auth_type = \"AH\"",
    "unicast = { peers = [\"10.0.0.2\"] }",
    "unicast = { source = \"fe80::1\", peers = [\"fe80::2\", \"fe80::3\"] }",
    "virtual_mac = true",
    "virtual_mac = \"v1\"",
    "virtual_mac = \"eth1\"",
    "accept = false",
    "excluded_addresses = [\"fe80::9/64\", \"192.0.2.9\"]",
    "excluded_addresses = [{ address = \"192.0.2.8\", interface = \"eth1\", label = \"eth1:a\" }]",
    "excluded_addresses = [{ address = \"10.9.0.8/24\", interface = \"v1\", prefix_route = false }]",
    "excluded_addresses = [{ address = \"10.9.0.9/24\", label = \"v1:a\", scope = \"link\" }]",
    "excluded_addresses = [{ address = \"2001:db8::9/64\", scope = \"host\" }]",
    "routes = [{ to = \"default\" }]",
    "routes = [{ to = \"default\", via = \"10.0.0.2\", metric = 5 }]",
    "routes = [{ to = \"10.9.8.0/24\", source = \"10.0.0.1\", table = 7 }, { to = \"2001:db8:1::/48\" }]",
    "routes = [{ to = \"10.9.8.1/24\", interface = \"eth1\" }]",
    "routes = [{ to = \"::/0\", via = \"10.0.0.2\" }]",
    "rules = [{ from = \"10.0.0.0/8\", table = 7 }, { to = \"fe80::/10\", table = 8, priority = 1 }]",
    "rules = [{ from = \"10.0.0.0/8\", to = \"fe80::/10\", table = 7 }]",
    "rules = [{ from = \"10.0.0.1/8\", table = 0 }]",
    "announce = { count = 255, interval = \"60s\", delay = \"1000s\", refresh = \"24h\" }",
    "announce = { count = 1, interval = \"1ms\", delay = \"0s\", refresh = \"0s\" }",
    "announce = { count = 0, refresh = \"1ms\" }",
    "track_interfaces = [\"eth1\", { name = \"eth2\", weight = -253 }, { name = \"eth3\", weight = 253 }]",
    "track_interfaces = [\"eth0\", \"v1\"]",
    "track_interfaces = [{ name = \"eth1\", weight = 254 }]",
    "track_checks = [\"c0\", { name = \"c1\", weight = -253, reverse = true }]",
    "track_checks = [{ name = \"c0\", weight = 253 }, \"c0\"]",
    "notify = { any = \"a 'b c'\", user = \"1:2\", timeout = \"100ms\", state_file = \"/a\" }",
    "notify = { webhook = { url = \"https://[::1]/a?b\", retries = 0, headers = { a = \"b\" } } }",
    "notify = { stop = [\"a\", \"\"], priority_changes = true, state_file = \"/..\" }",
];

const ADDRESSES: &[&str] = &[
    "addresses = [\"10.0.0.1/24\"]",
    "addresses = [\"10.0.0.1/24\", { address = \"10.0.0.7/24\", interface = \"eth1\" }]",
    "addresses = [{ address = \"10.0.0.5/24\", label = \"eth0:a\" }]",
    "addresses = [\"fe80::1/64\", \"2001:db8::1/64\"]",
    "addresses = []\nfamily = \"ipv4\"",
    "family = \"ipv6\"",
    "addresses = [\"2001:db8::1/64\"]",
    "addresses = [\"2001:db8::1/64\"]\nany_first_address = true",
];

const TOP: &[&str] = &[
    "startup_delay = \"1000s\"",
    "startup_delay = \"1001s\"",
    "announce_gap = \"1s\"",
    "cpu_affinity = [1, 0, 1023]",
    "cpu_affinity = [1, 1]",
    "xdp_mode = \"driver\"",
    "script_user = \"a:b\"\nscript_security = true",
    "notify_fifos = [\"/a\", { path = \"/b\", reader = \"c\", user = \"1\" }]",
    "[[sync_group]]\nname = \"g\"\ninstances = [\"i0\", \"i1\"]",
    "[[sync_group]]\nname = \"h\"\ninstances = [\"i2\", \"i0\"]",
    "[[sync_group]]\nname = \"h\"\ninstances = [\"i0\"]",
    "[[sync_group]]\nname = \"t\"\ninstances = [\"i0\", \"i1\"]\ntrack_checks = [\"c1\"]",
];

/// What checks may look at; the first two are `c0` and `c1`.
const CHECKS: &[&str] = &[
    "kind = \"tcp\"\ntarget = \"10.0.0.9:5432\"\ninterval = \"10ms\"\nrise = 3",
    "kind = \"http\"\nurl = \"https://[::1]/a?b\"\nhost = \"a:1\"\nstatus = [200, \"300-399\"]",
    "kind = \"exec\"\ncommand = \"a 'b c' | d\"\nuser = \"1:2\"\ntimeout = \"1ms\"",
    "kind = \"process\"\ncommand_line = [\"a\", \"b\"]\nat_most = 1\nat_least = 1",
    "kind = \"process\"\npidfile = \"/a\"\nat_least = 1",
    "kind = \"file\"\npath = \"/a\"\nnumber = true\nweight = -253",
    "kind = \"ping\"\naddress = \"ff02::1\"",
    "kind = \"interface\"\ninterface = \"eth1\"\nreverse = true",
    "kind = \"interface\"\ninterface = \"eth1\"\nfall = 1",
];

/// Keys that stand twice make no TOML: the first of each stays.
fn once(lines: &[&str]) -> String {
    let key = |line: &str| line.split(" = ").next().map(str::to_owned);
    let mut seen = std::collections::HashSet::new();
    lines
        .iter()
        .filter(|line| line.starts_with('[') || seen.insert(key(line)))
        .flat_map(|line| [line, "\n"])
        .collect()
}

fn instance() -> impl Strategy<Value = String> {
    (
        select(&["eth0", "eth0", "eth1"][..]),
        1..4_u8,
        select(ADDRESSES),
        subsequence(LINES, 0..5),
    )
        .prop_map(|(interface, vrid, addresses, lines)| {
            format!(
                "interface = \"{interface}\"\nvrid = {vrid}\n{addresses}\n{}",
                once(&lines)
            )
        })
}

fn file() -> impl Strategy<Value = String> {
    let instances = prop::collection::vec(instance(), 1..4);
    let checks = prop::collection::vec(select(CHECKS), 0..2);
    (subsequence(TOP, 0..3), instances, checks).prop_map(|(top, instances, checks)| {
        let instances = instances
            .iter()
            .enumerate()
            .map(|(place, instance)| format!("[[instance]]\nname = \"i{place}\"\n{instance}\n"));
        let checks = CHECKS[..2]
            .iter()
            .chain(&checks)
            .enumerate()
            .map(|(place, check)| format!("[[check]]\nname = \"c{place}\"\n{check}\n"));
        let instances: String = instances.chain(checks).collect();
        format!("{}\n{instances}", once(&top))
    })
}

#[test]
fn what_is_taken_is_sound() {
    let (taken, refused) = tally(1500, &file(), config);
    assert!(taken > 100, "only {taken} were taken");
    assert!(refused > 100, "only {refused} were refused");
}

#[test]
fn every_part_is_taken_somewhere_or_wrong_by_itself() {
    let alone = |line: &str| {
        let text = |addresses: &str, more: &str| {
            format!(
                "[[instance]]\nname = \"i0\"\ninterface = \"eth0\"\nvrid = 1\n{addresses}\n{}\
                 [[check]]\nname = \"c0\"\n{}\n[[check]]\nname = \"c1\"\n{}",
                once(&[line, more]),
                CHECKS[0],
                CHECKS[1]
            )
        };
        ADDRESSES.iter().any(|addresses| {
            LINES
                .iter()
                .any(|more| config(text(addresses, more).as_bytes()))
        })
    };
    let wrong: Vec<&str> = LINES.iter().copied().filter(|line| !alone(line)).collect();
    assert_eq!(
        wrong,
        [
            "auth_type = \"AH\"",
            "routes = [{ to = \"10.9.8.1/24\", interface = \"eth1\" }]",
            "routes = [{ to = \"::/0\", via = \"10.0.0.2\" }]",
            "rules = [{ from = \"10.0.0.0/8\", to = \"fe80::/10\", table = 7 }]",
            "rules = [{ from = \"10.0.0.1/8\", table = 0 }]",
            "announce = { count = 0, refresh = \"1ms\" }",
            "track_interfaces = [{ name = \"eth1\", weight = 254 }]",
            "track_checks = [{ name = \"c0\", weight = 253 }, \"c0\"]",
            "notify = { stop = [\"a\", \"\"], priority_changes = true, state_file = \"/..\" }",
        ]
    );
}
