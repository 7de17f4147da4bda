//! `global_defs`, sync groups, announcements, conditions.

use super::*;

const OTHER: &str = "vrrp_instance V2 {\ninterface eth1\nvirtual_router_id 52\n}\n";
const BOTH: &str = "[[instance]]\nname = \"VI\"\ninterface = \"eth0\"\nvrid = 51\nversion = 2\n\
    family = \"ipv4\"\n[[instance]]\nname = \"V2\"\ninterface = \"eth1\"\nvrid = 52\nversion = 2\n\
    family = \"ipv4\"\n";

/// `lines` of `global_defs` say what `toml` does at the top.
#[track_caller]
fn global(lines: &str, toml: &str) {
    same_file(
        &format!("global_defs {{\n{lines}\n}}\n{}{OTHER}", instance("")),
        &format!("{toml}\n{BOTH}"),
    );
}

#[test]
fn settings_of_all() {
    global("router_id a b\nvrrp_no_swap\nvrrp_rt_priority 50", "");
    global("vrrp_startup_delay 5.5", "startup_delay = \"5.5s\"");
    global(
        "vrrp_garp_interval 0.01\nvrrp_gna_interval 0.02",
        "announce_gap = \"20ms\"",
    );
    global("vrrp_cpu_affinity 3 1 1", "cpu_affinity = [1, 3]");
    global("script_user nobody", "script_user = \"nobody\"");
    global(
        "script_user nobody nogroup\nenable_script_security",
        "script_user = \"nobody:nogroup\"\nscript_security = true",
    );
    global(
        "notify_fifo /run/a\nnotify_fifo_script \"/bin/r x\"\nvrrp_notify_fifo /run/b",
        "notify_fifos = [{ path = \"/run/a\", reader = \"/bin/r x\" }, \"/run/b\"]",
    );
    let text = format!(
        "global_defs {{\nrouter_id a\nvrrp_strict\nnotify_fifo a\nvrrp_notify_fifo_script /bin/r\n\
         vrrp_startup_delay 2000\nscript_user a:b\n}}\n{}{OTHER}",
        instance("")
    );
    warned_file(
        &text,
        &[
            "vrrp_strict is not done",
            "a FIFO cannot be \"a\"",
            "vrrp_notify_fifo_script without",
            "1000s is taken",
            "no user has such a name",
        ],
        &format!("startup_delay = \"1000s\"\n{BOTH}"),
    );
}

#[test]
fn groups_have_members_that_there_are() {
    let group = |lines: &str| format!("vrrp_sync_group G {{\n{lines}\n}}\n{}{OTHER}", instance(""));
    let toml = |members: &str, rest: &str| {
        format!("{BOTH}[[sync_group]]\nname = \"G\"\ninstances = [{members}]\n{rest}")
    };
    let both = "group {\nVI\nV2\n}\n";
    same_file(
        &group(&format!(
            "{both}track_interface {{ eth3 weight -30 }}\nnotify_fault /bin/f"
        )),
        &toml(
            "\"VI\", \"V2\"",
            "track_interfaces = [{ name = \"eth3\", weight = -30 }]\nnotify = { fault = [\"/bin/f\"] }",
        ),
    );
    warned_file(
        &group("group { VI\nnosuch\nVI\nV2 }\nsmtp_alert"),
        &[
            "no vrrp_instance \"nosuch\"",
            "\"VI\" is in a sync group already",
            "smtp_alert is not done",
        ],
        &toml("\"VI\", \"V2\"", ""),
    );
    warned_file(
        &group("group { VI }"),
        &["a sync group of one instance"],
        &toml("\"VI\"", ""),
    );
    warned_file(&group(""), &["has no instances"], BOTH);
}

#[test]
fn weights_of_members_count_only_if_that_is_said() {
    let text = |more: &str| {
        format!(
            "vrrp_script s {{\nscript /bin/true\nweight 30\n}}\nvrrp_script z {{\nscript /bin/true\n}}\n\
             vrrp_sync_group G {{\ngroup {{\nVI\nV2\n}}\n{more}\n}}\n{}{OTHER}",
            instance("track_script {\ns\nz\n}\ntrack_interface { eth2 weight 40 }")
        )
    };
    let config = told(
        &text(""),
        &[
            "at s: \"s\" has a weight and does not count",
            "at 40: the weight of \"eth2\" does not count",
            "nobody tracks",
        ],
    );
    let instance = &config.instances[0];
    assert_eq!(instance.track_checks.len(), 1);
    assert_eq!(config.checks[instance.track_checks[0].check].name, "z");
    assert_eq!(instance.track_interfaces[0].weight, 0);
    let config = told(&text("sync_group_tracking_weight"), &[]);
    assert_eq!(config.instances[0].track_checks.len(), 2);
    assert_eq!(config.instances[0].track_interfaces[0].weight, 40);
}

#[test]
fn announcements() {
    let toml = |announce: &str| {
        format!(
            "[[instance]]\n{LEAST_TOML}version = 2\naddresses = [\"10.0.0.1/24\"]\n{announce}\n"
        )
    };
    let text = |global: &str, lines: &str| {
        format!(
            "global_defs {{\n{global}\n}}\n{}",
            instance(&format!("virtual_ipaddress {{ 10.0.0.1/24 }}\n{lines}"))
        )
    };
    for (global, lines, announce) in [
        ("", "", ""),
        ("", "garp_master_repeat 1", "announce = { count = 1 }"),
        ("", "garp_master_delay 10", "announce = { delay = \"10s\" }"),
        (
            "",
            "garp_master_refresh 60\ngarp_master_refresh_repeat 1",
            "announce = { refresh = \"60s\" }",
        ),
        (
            "vrrp_garp_master_delay 7\nvrrp_garp_master_repeat 2",
            "garp_master_delay 8",
            "announce = { count = 2, delay = \"8s\" }",
        ),
        (
            "vrrp_min_garp",
            "",
            "announce = { count = 1, delay = \"0s\" }",
        ),
        // A row is over before the second begins.
        (
            "",
            "garp_master_repeat 100",
            "announce = { count = 100, interval = \"50ms\" }",
        ),
    ] {
        same_file(&text(global, lines), &toml(announce));
    }
}

#[test]
fn a_file_may_be_for_several_machines() {
    same_file(
        &format!(
            "$P=150\nvrrp_instance VI {{\n{LEAST}@node1 priority $P\n@node2 priority 100\n\
             @^node1 nopreempt\n~SEQ(A, 1, 3) notify /bin/n$A \n}}\n"
        )
        .replace("/bin/n$A ", "/bin/n"),
        &format!(
            "[[instance]]\n{LEAST_TOML}version = 2\nfamily = \"ipv4\"\npriority = 150\n\
             notify = {{ any = [\"/bin/n\"] }}\n"
        ),
    );
}

#[test]
fn braces_that_do_not_match_are_told() {
    told(
        &format!("{}}}\n", instance("")),
        &["without an opening one"],
    );
    told(
        &format!("vrrp_instance VI {{\n{LEAST}"),
        &["this block is not closed"],
    );
    told(
        &format!("{{\nfoo\n}}\n{}", instance("")),
        &["belongs to nothing"],
    );
    let names = format!(
        "vrrp_instance {{\n{LEAST}}}\nvrrp_instance VI extra {{\n{LEAST}}}\n{}",
        instance("")
    );
    told(
        &names,
        &[
            "has no name",
            "more words than vrrp_instance takes",
            "a second vrrp_instance",
        ],
    );
}
