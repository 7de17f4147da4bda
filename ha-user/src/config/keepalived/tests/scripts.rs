//! Checks, who tracks them, who is told.

use super::*;

/// Checks and the instance that tracks them.
#[track_caller]
fn tracked(blocks: &str, tracks: &str, checks: &str, toml: &str) {
    same_file(
        &format!("{}{blocks}\n", instance(tracks)),
        &format!("[[instance]]\n{LEAST_TOML}version = 2\nfamily = \"ipv4\"\n{toml}\n{checks}\n"),
    );
}

#[track_caller]
fn tracked_warned(blocks: &str, tracks: &str, parts: &[&str], checks: &str, toml: &str) {
    warned_file(
        &format!("{}{blocks}\n", instance(tracks)),
        parts,
        &format!("[[instance]]\n{LEAST_TOML}version = 2\nfamily = \"ipv4\"\n{toml}\n{checks}\n"),
    );
}

const SCRIPT: &str = "vrrp_script s {\nscript \"/bin/true a\"\nweight -30\n}\n";
const SCRIPT_TOML: &str =
    "[[check]]\nname = \"s\"\nkind = \"exec\"\ncommand = [\"/bin/true\", \"a\"]\n";

#[test]
fn a_script_is_a_check_that_executes() {
    tracked(
        SCRIPT,
        "track_script { s }",
        SCRIPT_TOML,
        "track_checks = [{ name = \"s\", weight = -30 }]",
    );
    tracked(
        SCRIPT,
        "track_script { s weight 40 reverse }",
        SCRIPT_TOML,
        "track_checks = [{ name = \"s\", weight = 40, reverse = true }]",
    );
    tracked(
        "vrrp_script s {\nscript \"/bin/x 'a b' c\"\ninterval 0.5\ntimeout 3\nrise 2\nfall 4\n\
         user nobody nogroup\ninit_fail\nweight 25 reverse\n}",
        "track_script { s noreverse }",
        "[[check]]\nname = \"s\"\nkind = \"exec\"\ncommand = [\"/bin/x\", \"a b\", \"c\"]\n\
         interval = \"500ms\"\ntimeout = \"3s\"\nrise = 2\nfall = 4\nuser = \"nobody:nogroup\"\n\
         init_fail = true",
        "track_checks = [{ name = \"s\", weight = 25 }]",
    );
}

#[test]
fn slips_in_scripts() {
    let check = "[[check]]\nname = \"s\"\nkind = \"exec\"\ncommand = [\"/bin/true\"]\n";
    for (lines, part, settings) in [
        (
            "script /bin/true a b",
            "at a b: arguments outside of the quotes",
            "",
        ),
        (
            "script /bin/true\ninterval 0.01",
            "100ms is taken",
            "interval = \"100ms\"",
        ),
        (
            "script /bin/true\ntimeout 0",
            "1ms is taken",
            "timeout = \"1ms\"",
        ),
        ("script /bin/true\nrise 0", "1 is taken", ""),
        ("script /bin/true\nweight 300", "it cannot be", ""),
        ("script /bin/true\nweight 0 foo", "no option \"foo\"", ""),
        (
            "script /bin/true\nbogus",
            "no keyword \"bogus\" in vrrp_script",
            "",
        ),
    ] {
        let part = part.replace("it cannot be", "the weight cannot be");
        tracked_warned(
            &format!("vrrp_script s {{\n{lines}\n}}"),
            "track_script { s }",
            &[&part],
            &format!("{check}{settings}"),
            "track_checks = [\"s\"]",
        );
    }
    for lines in ["interval 2", "script \"\"", "script /bin/true\nuser a:b"] {
        let text = format!(
            "{}vrrp_script s {{\n{lines}\n}}\n",
            instance("track_script { s }")
        );
        let (config, said) = taken(&text);
        assert!(config.checks.is_empty(), "{config:?}");
        assert!(
            said.iter().any(|one| one.message.contains("is not there")),
            "{said:?}"
        );
    }
    told(
        &format!("{SCRIPT}{SCRIPT}{}", instance("track_script { s\ns }")),
        &[
            "a second check with the name \"s\"",
            "\"s\" is tracked twice",
        ],
    );
    told(
        &format!(
            "{SCRIPT}{}",
            instance("track_script { t }\ntrack_script { s }")
        ),
        &["track_script \"t\" is not there"],
    );
}

#[test]
fn files_and_processes_are_checks() {
    tracked(
        "track_file f {\nfile /run/f\n}\ntrack_file g {\nfile \"/run/g\"\nweight -2 reverse\n}",
        "track_file {\nf weight 5\ng\n}",
        "[[check]]\nname = \"f\"\nkind = \"file\"\npath = \"/run/f\"\nnumber = true\n\
         [[check]]\nname = \"g\"\nkind = \"file\"\npath = \"/run/g\"\nnumber = true",
        "track_checks = [{ name = \"f\", weight = 5 }, { name = \"g\", weight = -2, reverse = true }]",
    );
    tracked(
        "vrrp_track_process p {\nprocess nginx\n}\n\
         vrrp_track_process q {\nprocess /usr/bin/python3 main.py 'a b'\nquorum 2\nquorum_max 4\nweight 30\n}\n\
         vrrp_track_process r {\nprocess gdb\nquorum_max 0\nweight 0\n}",
        "track_process {\np\nq\nr\n}",
        "[[check]]\nname = \"p\"\nkind = \"process\"\nprocess = \"nginx\"\n\
         [[check]]\nname = \"q\"\nkind = \"process\"\ncommand_line = [\"/usr/bin/python3\", \"main.py\", \"a b\"]\nat_least = 2\nat_most = 4\n\
         [[check]]\nname = \"r\"\nkind = \"process\"\nprocess = \"gdb\"",
        "track_checks = [{ name = \"p\", weight = 1 }, { name = \"q\", weight = 30 }, { name = \"r\", reverse = true }]",
    );
    tracked_warned(
        "vrrp_track_process p {\nprocess /usr/sbin/nginx\nquorum 3\nquorum_max 2\nparam_match initial\n}\n\
         track_file f {\ninit_file 1\n}",
        "track_process { p }",
        &[
            "quorum is greater than quorum_max",
            "param_match is not done",
            "init_file is not done",
            "has nothing to check",
        ],
        "[[check]]\nname = \"p\"\nkind = \"process\"\nprocess = \"nginx\"\nat_least = 2\nat_most = 2",
        "track_checks = [{ name = \"p\", weight = 1 }]",
    );
}

#[test]
fn interfaces_are_tracked() {
    same(
        "track_interface {\neth1\neth2 weight -30 reverse\n}",
        "version = 2\nfamily = \"ipv4\"\n\
         track_interfaces = [\"eth1\", { name = \"eth2\", weight = -30, reverse = true }]",
    );
    warned(
        "track_interface {\neth1 weight 300\neth1\na_name_that_is_too_long\neth2 weight\n}",
        &[
            "the weight cannot be \"300\"",
            "tracked twice",
            "can have the name",
            "weight without a value",
        ],
        "version = 2\nfamily = \"ipv4\"\ntrack_interfaces = [\"eth1\", \"eth2\"]",
    );
}

#[test]
fn who_is_told() {
    same(
        "notify \"/bin/n 'a b'\" nobody nogroup\nnotify_master /bin/m\nnotify_backup \"/bin/b x\"\n\
         notify_fault /bin/f root\nnotify_stop /bin/s\nnotify_master_rx_lower_pri /bin/l",
        "version = 2\nfamily = \"ipv4\"\nnotify = { \
         any = { command = [\"/bin/n\", \"a b\"], user = \"nobody:nogroup\" }, active = [\"/bin/m\"], \
         backup = [\"/bin/b\", \"x\"], fault = { command = [\"/bin/f\"], user = \"root\" }, \
         stop = [\"/bin/s\"], active_lower = [\"/bin/l\"] }",
    );
    warned(
        "notify_master \"\"\nnotify_backup /bin/b a:b\nnotify_fault\nnotify_stop /bin/s nobody nogroup x",
        &[
            "this is no command",
            "no user has such a name",
            "notify_fault without a value",
            "more than a user",
        ],
        "version = 2\nfamily = \"ipv4\"\n\
         notify = { stop = { command = [\"/bin/s\"], user = \"nobody:nogroup\" } }",
    );
}

#[test]
fn changes_of_the_priority_are_told_to_fifos() {
    let fifo = "global_defs {\nnotify_fifo /run/f\nvrrp_notify_priority_changes\n}\n";
    let toml = |notify: &str| {
        format!(
            "notify_fifos = [\"/run/f\"]\n[[instance]]\n{LEAST_TOML}version = 2\n\
             family = \"ipv4\"\n{notify}\n"
        )
    };
    same_file(
        &format!("{fifo}{}", instance("")),
        &toml("notify = { priority_changes = true }"),
    );
    same_file(
        &format!(
            "{fifo}{}",
            instance("notify_priority_changes off\nnotify /bin/n")
        ),
        &toml("notify = { any = [\"/bin/n\"] }"),
    );
    told(
        &instance("notify_priority_changes maybe"),
        &["on is taken", "nobody is told", "nobody hears of changes"],
    );
}
