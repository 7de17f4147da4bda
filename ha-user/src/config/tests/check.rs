//! Health checks, and who tracks them.

use std::path::PathBuf;

use super::*;

/// `WEB` that tracks the check `c`, and that check with `lines`.
fn with(lines: &str) -> String {
    let web = web("", "track_checks = [\"c\"]\n");
    format!("{web}\n[[check]]\nname = \"c\"\n{lines}\n")
}

/// The check `c` with `lines`, which is taken without a warning.
#[track_caller]
fn check(lines: &str) -> CheckConfig {
    let text = with(lines);
    let check = config(&text).checks.remove(0);
    assert_eq!(said(&text), [""; 0], "{text}");
    check
}

fn target(host: &str, port: u16) -> Target {
    Target {
        host: host.to_owned(),
        port,
    }
}

#[test]
fn what_is_not_said_has_the_documented_value() {
    assert_eq!(
        check("kind = \"tcp\"\ntarget = \"db.example.org:5432\""),
        CheckConfig {
            name: "c".to_owned(),
            kind: CheckKind::Tcp(target("db.example.org", 5432)),
            interval: Duration::from_secs(1),
            timeout: Duration::from_secs(1),
            rise: 1,
            fall: 1,
            init_fail: false,
        }
    );
    let all = check(
        "kind = \"tcp\"\ntarget = \"[2001:DB8::1]:443\"\ninterval = \"10ms\"\ntimeout = \"1h\"\n\
         rise = 2\nfall = 3\ninit_fail = true",
    );
    assert_eq!(all.kind, CheckKind::Tcp(target("2001:db8::1", 443)));
    assert_eq!(all.interval, Duration::from_millis(10));
    assert_eq!(all.timeout, Duration::from_secs(3600));
    assert_eq!((all.rise, all.fall, all.init_fail), (2, 3, true));
    let short = check("kind = \"tcp\"\ntarget = \"10.0.0.1:1\"\ninterval = \"50ms\"");
    assert_eq!(short.timeout, Duration::from_millis(50));
}

#[test]
fn every_kind_has_its_settings() {
    let script = |words: &[&str], run_as: Option<RunAs>| {
        CheckKind::Exec(Script {
            argv: words.iter().map(|word| (*word).to_owned()).collect(),
            run_as,
        })
    };
    let nobody = |group: Option<&str>| {
        Some(RunAs {
            user: "nobody".to_owned(),
            group: group.map(str::to_owned),
        })
    };
    let plain = HttpCheck {
        target: target("127.0.0.1", 80),
        path: "/".to_owned(),
        host: None,
        status: vec![200..=399],
        body: None,
        tls: None,
    };
    let process = |which, at_least, at_most| {
        CheckKind::Process(ProcessCheck {
            which,
            at_least,
            at_most,
        })
    };
    let file = |reads| {
        CheckKind::File(FileCheck {
            path: PathBuf::from("/run/drain"),
            reads,
        })
    };
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    for (lines, kind) in [
        (
            r#"kind = "exec"
            command = "/bin/check 'a b' c""#,
            script(&["/bin/check", "a b", "c"], None),
        ),
        (
            r#"kind = "exec"
            command = ["/bin/check", "a|b"]
            user = "nobody""#,
            script(&["/bin/check", "a|b"], nobody(None)),
        ),
        (
            r#"kind = "exec"
            command = "check"
            user = "nobody:nogroup""#,
            script(&["check"], nobody(Some("nogroup"))),
        ),
        (
            "kind = \"http\"\nurl = \"http://127.0.0.1\"",
            CheckKind::Http(plain.clone()),
        ),
        (
            r#"kind = "http"
            url = "https://[::1]:8443/health?full"
            host = "www.example.org"
            status = [200, "301-302", "404"]
            body = "ok"
            verify = false"#,
            CheckKind::Http(HttpCheck {
                target: target("::1", 8443),
                path: "/health?full".to_owned(),
                host: Some("www.example.org".to_owned()),
                status: vec![200..=200, 301..=302, 404..=404],
                body: Some("ok".to_owned()),
                tls: Some(TlsCheck { verify: false }),
            }),
        ),
        (
            "kind = \"http\"\nurl = \"https://a.example/\"\nbody = \"\"",
            CheckKind::Http(HttpCheck {
                target: target("a.example", 443),
                tls: Some(TlsCheck { verify: true }),
                ..plain
            }),
        ),
        (
            "kind = \"process\"\nprocess = \"nginx\"",
            process(ProcessMatch::Name("nginx".to_owned()), 1, None),
        ),
        (
            "kind = \"process\"\ncommand_line = [\"nginx:\", \"master\"]\nat_least = 2\nat_most = 8",
            process(
                ProcessMatch::CommandLine(words(&["nginx:", "master"])),
                2,
                Some(8),
            ),
        ),
        (
            "kind = \"process\"\npidfile = \"/run/nginx.pid\"",
            process(ProcessMatch::Pidfile("/run/nginx.pid".into()), 1, None),
        ),
        (
            "kind = \"file\"\npath = \"/run/drain\"",
            file(FileReads::Existence),
        ),
        (
            "kind = \"file\"\npath = \"/run/drain\"\nnumber = true",
            file(FileReads::Number),
        ),
        (
            "kind = \"ping\"\naddress = \"fe80::1\"\ninterface = \"eth0\"",
            CheckKind::Ping(PingCheck {
                address: "fe80::1".parse().unwrap(),
                interface: Some("eth0".to_owned()),
            }),
        ),
        (
            "kind = \"interface\"\ninterface = \"eth1\"",
            CheckKind::Interface("eth1".to_owned()),
        ),
    ] {
        assert_eq!(check(lines).kind, kind, "{lines}");
    }
}

#[test]
fn what_a_check_cannot_be_is_told_at_its_place() {
    const TCP: &str = "kind = \"tcp\"\ntarget = \"10.0.0.9:5432\"\n";
    const EXEC: &str = "kind = \"exec\"\n";
    const HTTP: &str = "kind = \"http\"\nurl = \"http://a/\"\n";
    for (start, line, parts) in [
        ("", "", ["at [[check]]", "check \"c\" has no kind", "http"]),
        (
            "",
            "kind = \"nginx\"",
            ["at \"nginx\"", "\"process\"", "\"ping\""],
        ),
        (
            "",
            "kind = \"https\"",
            ["at \"https\"", "\"http\"", "https://"],
        ),
        (
            TCP,
            "url = \"http://a/\"",
            ["at \"http://a/\"", "kind \"tcp\"", "target"],
        ),
        (
            TCP,
            "user = \"nobody\"",
            ["at \"nobody\"", "of commands", "remove"],
        ),
        (
            TCP,
            "interval = \"9ms\"",
            ["at \"9ms\"", "\"10ms\"", "\"1s\""],
        ),
        (
            EXEC,
            "command = \"x\"\ninterval = \"50ms\"",
            ["at \"50ms\"", "\"100ms\"", ""],
        ),
        (TCP, "timeout = \"0s\"", ["at \"0s\"", "\"1ms\"", "default"]),
        (
            TCP,
            "rise = 0",
            ["at 0", "1 to", "passes with the first round"],
        ),
        (
            TCP,
            "fall = -1",
            ["at -1", "1 to", "fails with the first round"],
        ),
        (TCP, "weight = 254", ["at 254", "-253 to 253", ""]),
        (
            TCP,
            "wieght = 2",
            ["at wieght", "in a check", "did you mean weight?"],
        ),
        (
            "kind = \"tcp\"\n",
            "",
            ["at [[check]]", "has no target", "5432"],
        ),
        (
            "kind = \"tcp\"\n",
            "target = \"a\"",
            ["at \"a\"", "a host and a port", ""],
        ),
        (
            "kind = \"tcp\"\n",
            "target = \"a:0\"",
            ["at \"a:0\"", "", ""],
        ),
        (
            "kind = \"tcp\"\n",
            "target = \"::1:80\"",
            ["at \"::1:80\"", "[2001:db8::1]:443", ""],
        ),
        (
            "kind = \"tcp\"\n",
            "target = \"a:+1\"",
            ["at \"a:+1\"", "", ""],
        ),
        (EXEC, "", ["at [[check]]", "has no command", "/usr"]),
        (EXEC, "command = \"\"", ["at \"\"", "without a program", ""]),
        (EXEC, "command = []", ["at []", "without a program", ""]),
        (
            EXEC,
            "command = [1]",
            ["at [1]", "command cannot be a list", "[\"/usr"],
        ),
        (
            EXEC,
            "command = \"a 'b\"",
            ["a quote ' is not closed", "list of words", ""],
        ),
        (
            EXEC,
            "command = \"a\"\nuser = \":x\"",
            ["at \":x\"", "no user", "group"],
        ),
        ("kind = \"http\"\n", "", ["has no url", "", ""]),
        (
            "kind = \"http\"\n",
            "url = \"a/b\"",
            ["at \"a/b\"", "neither with http://", ""],
        ),
        (
            "kind = \"http\"\n",
            "url = \"http://u:p@a/\"",
            ["Authorization", "", ""],
        ),
        (
            HTTP,
            "verify = false",
            ["at false", "without TLS", "https://"],
        ),
        (
            HTTP,
            "host = \"a b\"",
            ["at \"a b\"", "no host can have", "in host"],
        ),
        (
            HTTP,
            "status = []",
            ["at []", "no status would pass", "200"],
        ),
        (
            HTTP,
            "status = [99]",
            ["at 99", "no status 99", "100 to 999"],
        ),
        (
            HTTP,
            "status = [\"300-299\"]",
            ["at \"300-299\"", "300 to 299", ""],
        ),
        (
            HTTP,
            "status = [\"ok\"]",
            ["at \"ok\"", "a status cannot be", "range"],
        ),
        (
            HTTP,
            "status = [true]",
            ["at true", "a status cannot be", "range"],
        ),
        (
            "kind = \"process\"\n",
            "",
            ["at [[check]]", "which process", "pidfile"],
        ),
        (
            "kind = \"process\"\n",
            "process = \"a\"\npidfile = \"/a\"",
            ["which process", "", ""],
        ),
        (
            "kind = \"process\"\n",
            "process = \"/bin/a\"",
            ["no process", "command_line", ""],
        ),
        (
            "kind = \"process\"\n",
            "command_line = []",
            ["at []", "empty command line", ""],
        ),
        (
            "kind = \"process\"\n",
            "pidfile = \"a\"",
            ["at \"a\"", "starts with /", ""],
        ),
        (
            "kind = \"process\"\npidfile = \"/a\"\n",
            "at_least = 2",
            ["at 2", "does not go with pidfile", "one process"],
        ),
        (
            "kind = \"process\"\nprocess = \"a\"\n",
            "at_least = 3\nat_most = 2",
            ["at 2", "never so", "no less"],
        ),
        ("kind = \"file\"\n", "", ["has no path", "", ""]),
        (
            "kind = \"file\"\n",
            "path = \"drain\"",
            ["at \"drain\"", "starts with /", ""],
        ),
        (
            "kind = \"file\"\npath = \"/a\"\nnumber = true\n",
            "rise = 2",
            ["at 2", "rise does not go with a number", "at once"],
        ),
        ("kind = \"ping\"\n", "", ["has no address", "", ""]),
        (
            "kind = \"ping\"\n",
            "address = \"fe80::1\"",
            ["link-local", "an interface", ""],
        ),
        (
            "kind = \"ping\"\n",
            "address = \"224.0.0.1\"",
            ["224.0.0.1", "many hosts", ""],
        ),
        (
            "kind = \"ping\"\n",
            "address = \"a.example\"",
            ["at \"a.example\"", "address", ""],
        ),
        ("kind = \"interface\"\n", "", ["has no interface", "", ""]),
        (
            "kind = \"interface\"\ninterface = \"eth1\"\n",
            "fall = 2",
            ["at 2", "fall is no setting", "when it changes"],
        ),
    ] {
        refused(&with(&format!("{start}{line}")), &parts);
    }
    let twice = with(
        "kind = \"file\"\npath = \"/a\"\n[[check]]\nname = \"c\"\nkind = \"file\"\npath = \"/b\"",
    );
    refused(
        &twice,
        &["a second check with the name \"c\"", "the first is here"],
    );
    let nameless = format!("{WEB}[[check]]\nkind = \"file\"\npath = \"/a\"");
    refused(&nameless, &["at [[check]]", "has no name"]);
    let table = format!("{WEB}[check]\nname = \"c\"");
    refused(&table, &["expected [[check]], with two brackets", "kind ="]);
}

#[test]
fn text_that_wants_a_shell_is_warned_of() {
    let text = with(
        r#"kind = "exec"
        command = "pidof nginx || exit 1""#,
    );
    let taken = warned(
        &text,
        &[
            "'|' means nothing here",
            r#"["/bin/sh", "-c", "pidof nginx || exit 1"]"#,
        ],
    );
    let CheckKind::Exec(script) = &taken.checks[0].kind else {
        panic!("{taken:?}");
    };
    assert_eq!(script.argv, ["pidof", "nginx", "||", "exit", "1"]);
}

#[test]
fn who_tracks_a_check_takes_its_weight_unless_it_says_another() {
    let text = format!(
        r#"{}
        track_checks = ["a", {{ name = "b", weight = 0, reverse = false }}, {{ name = "c" }}]
        [[check]]
        name = "c"
        kind = "file"
        path = "/c"
        [[check]]
        name = "a"
        kind = "file"
        path = "/a"
        weight = -20
        reverse = true
        [[check]]
        name = "b"
        kind = "file"
        path = "/b"
        weight = 30
        reverse = true
        "#,
        web("", "")
    );
    let tracked = |check, weight, reverse| TrackedCheck {
        check,
        weight,
        reverse,
    };
    assert_eq!(
        first(&text).track_checks,
        [
            tracked(1, -20, true),
            tracked(2, 0, false),
            tracked(0, 0, false)
        ]
    );
}

#[test]
fn what_cannot_be_tracked_is_told_at_its_place() {
    let check = "\n[[check]]\nname = \"nginx\"\nkind = \"file\"\npath = \"/a\"\n";
    for (entry, parts) in [
        ("7", ["at 7", "a tracked check cannot be a number", "name"]),
        ("{}", ["at {}", "has no name", "name = \"gateway\""]),
        (
            "\"nginx\", \"nginy\"",
            ["at \"nginy\"", "no check", "did you mean \"nginx\"?"],
        ),
        (
            "\"nginx\", \"x\"",
            ["at \"x\"", "no check \"x\"", "[[check]]"],
        ),
        (
            "\"nginx\", \"nginx\"",
            ["tracked twice", "the first is here", "each check once"],
        ),
        (
            "{ name = \"nginx\", weight = 300 }",
            ["at 300", "-253 to 253", "check fails"],
        ),
        (
            "{ name = \"nginx\", x = 3 }",
            ["at x", "in a tracked check", "weight"],
        ),
    ] {
        let web = web("", &format!("track_checks = [{entry}]\n"));
        refused(&format!("{web}{check}"), &parts);
    }
}

#[test]
fn what_changes_nothing_is_warned_of() {
    let check = "\n[[check]]\nname = \"c\"\nkind = \"file\"\npath = \"/a\"\n";
    warned(
        &format!("{WEB}{check}"),
        &[
            "at \"c\"",
            "nobody tracks check \"c\"",
            "track_checks = [\"c\"]",
        ],
    );
    let line = |priority: u8, weight: i16, more: &str| {
        let line = format!("priority = {priority}\ntrack_checks = [\"c\"]\n{more}");
        format!("{}{check}weight = {weight}\n", web("", &line))
    };
    for (priority, weight, why) in [
        (255, -5, "never weighted"),
        (1, -5, "the least"),
        (254, 5, "beyond 254"),
    ] {
        warned(
            &line(priority, weight, ""),
            &["at \"c\"", "the weight of check c", why],
        );
    }
    // What pulls the other way makes room, of whatever kind; a number may.
    first(&line(
        1,
        -5,
        "track_interfaces = [{ name = \"eth1\", weight = 7 }]",
    ));
    first(&format!("{}number = true\n", line(254, 5, "")));
    first(&line(255, 0, ""));
}

#[test]
fn a_group_tracks_for_its_members() {
    let group = |priority: u8, lines: &str| {
        format!(
            r#"{}
            [[instance]]
            name = "web6"
            interface = "eth1"
            vrid = 51
            family = "ipv6"
            priority = {priority}
            [[sync_group]]
            name = "edge"
            instances = ["web", "web6"]
            {lines}
            [[check]]
            name = "c"
            kind = "file"
            path = "/a"
            "#,
            web("", &format!("priority = {priority}"))
        )
    };
    let lines = "track_checks = [{ name = \"c\", weight = -5 }]\n\
        track_interfaces = [\"eth2\", { name = \"eth3\", weight = 9, reverse = true }]";
    let taken = config(&group(100, lines));
    assert_eq!(said(&group(100, lines)), [""; 0]);
    let group_of = &taken.sync_groups[0];
    assert_eq!(
        group_of.track_checks,
        [TrackedCheck {
            check: 0,
            weight: -5,
            reverse: false
        }]
    );
    assert_eq!(group_of.track_interfaces.len(), 2);
    assert!(group_of.track_interfaces[1].reverse);
    assert_eq!(taken.instances[0].track_checks, []);

    let lines = "track_checks = [{ name = \"c\", weight = 5 }]";
    warned(&group(254, lines), &["at 5", "beyond 254"]);
    // It counts for one of the two.
    let own = group(100, "track_checks = [\"c\"]\ntrack_interfaces = [\"eth0\"]");
    assert_eq!(said(&own), [""; 0]);
    let own = own.replace("interface = \"eth1\"", "interface = \"eth0\"");
    warned(&own, &["at \"eth0\"", "eth0 need not be tracked"]);
    let twice = group(100, "track_checks = [\"c\"]").replacen(
        "priority = 100",
        "priority = 100\ntrack_checks = [\"c\"]",
        1,
    );
    warned(&twice, &["check c counts twice", "sync group edge"]);
}
