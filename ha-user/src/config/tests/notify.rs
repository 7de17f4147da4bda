//! Who hears of transitions, and as whom commands run.

use std::path::PathBuf;

use super::*;

fn script(argv: &[&str], user: Option<&str>) -> Option<Script> {
    Some(Script {
        argv: argv.iter().map(ToString::to_string).collect(),
        run_as: user.map(|user| {
            let (user, group) = match user.split_once(':') {
                None => (user, None),
                Some((user, group)) => (user, Some(group.to_owned())),
            };
            RunAs {
                user: user.to_owned(),
                group,
            }
        }),
    })
}

#[test]
fn everything_can_be_said() {
    let text = r#"notify = {
        active = "/usr/local/bin/take-over 'elastic ip'",
        backup = ["/usr/local/bin/log", "backup $1"],
        fault = "alert",
        stop = "alert stop",
        any = "/bin/any",
        active_lower = "/bin/lower",
        priority_changes = true,
        timeout = "90s",
        user = "nobody:nogroup",
        state_file = "/run/web.state",
        webhook = {
            url = "https://hooks.example.org:8443/vip?token=x",
            timeout = "2s",
            retries = 0,
            retry_interval = "500ms",
            headers = { Authorization = "Bearer x" },
            verify = false,
        },
    }"#;
    let user = Some("nobody:nogroup");
    assert_eq!(
        first(&web("", &text.replace('\n', ""))).notify,
        NotifyConfig {
            active: script(&["/usr/local/bin/take-over", "elastic ip"], user),
            backup: script(&["/usr/local/bin/log", "backup $1"], user),
            fault: script(&["alert"], user),
            stop: script(&["alert", "stop"], user),
            any: script(&["/bin/any"], user),
            active_lower: script(&["/bin/lower"], user),
            priority_changes: true,
            timeout: Duration::from_secs(90),
            state_file: Some(PathBuf::from("/run/web.state")),
            webhook: Some(Webhook {
                url: "https://hooks.example.org:8443/vip?token=x".to_owned(),
                timeout: Duration::from_secs(2),
                retries: 0,
                retry_interval: Duration::from_millis(500),
                headers: vec![("Authorization".to_owned(), "Bearer x".to_owned())],
                verify: false,
            }),
        }
    );
}

#[test]
fn what_is_not_said_is_as_documented() {
    let notify = first(&web(
        "",
        "notify = { any = \"/bin/any\", webhook = \"http://127.0.0.1/\" }",
    ))
    .notify;
    assert_eq!(
        notify,
        NotifyConfig {
            any: script(&["/bin/any"], None),
            timeout: Duration::from_secs(60),
            webhook: Some(Webhook {
                url: "http://127.0.0.1/".to_owned(),
                timeout: Duration::from_secs(5),
                retries: 5,
                retry_interval: Duration::from_secs(3),
                headers: Vec::new(),
                verify: true,
            }),
            ..NotifyConfig::default()
        }
    );
    assert_eq!(first(WEB).notify, NotifyConfig::default());
    let config = config(WEB);
    assert_eq!(config.script_user, None);
    assert!(!config.script_security && config.notify_fifos.is_empty());
}

#[test]
fn the_daemon_has_a_user_for_commands_and_fifos() {
    let text = format!(
        "script_user = \"vip:vip\"\nscript_security = true\nnotify_fifos = [\n\
         \"/run/a.fifo\",\n{{ path = \"/run/b.fifo\", reader = \"/bin/read -x\", user = \"b\" }}]\n{WEB}"
    );
    let config = config(&text);
    assert_eq!(said(&text), [""; 0]);
    let user = config.script_user.unwrap();
    assert_eq!(
        (user.user.as_str(), user.group.as_deref()),
        ("vip", Some("vip"))
    );
    assert!(config.script_security);
    assert_eq!(
        config.notify_fifos,
        [
            Fifo {
                path: PathBuf::from("/run/a.fifo"),
                reader: None,
            },
            Fifo {
                path: PathBuf::from("/run/b.fifo"),
                reader: script(&["/bin/read", "-x"], Some("b")),
            },
        ]
    );
}

#[test]
fn a_group_can_be_told_of_too() {
    let second = WEB.replace("\"web\"", "\"dns\"").replace("51", "52");
    let second = second.replace("0.100", "0.101");
    let group = |notify: &str| {
        format!(
            "{WEB}{second}[[sync_group]]\nname = \"edge\"\ninstances = [\"web\", \"dns\"]\n\
             notify = {notify}\n"
        )
    };
    let config = config(&group("{ any = \"/bin/any\" }"));
    assert_eq!(
        config.sync_groups[0].notify.any,
        script(&["/bin/any"], None)
    );
    warned(
        &group("{ any = \"/bin/any\", active_lower = \"/bin/lower\" }"),
        &[
            "at \"/bin/lower\"",
            "never runs",
            "move it to the instances",
        ],
    );
    warned(
        &group("{ any = \"/bin/any\", priority_changes = true }"),
        &["at true", "has no effect", "has no priority"],
    );
}

#[test]
fn what_cannot_be_told_is_refused_at_its_place() {
    for (notify, parts) in [
        ("7", &["at 7", "notify cannot be a number"][..]),
        ("{ active = 7 }", &["at 7", "expected a command"]),
        ("{ active = \"\" }", &["at \"\"", "without a program"]),
        ("{ active = [] }", &["at []", "without a program"]),
        ("{ active = \"a 'b\" }", &["quote ' is not closed"]),
        (
            "{ any = \"a\", user = \"a b\" }",
            &["at \"a b\"", "no user"],
        ),
        (
            "{ any = \"a\", timeout = \"99ms\" }",
            &["at \"99ms\"", "timeout cannot be 99ms", "default, \"60s\""],
        ),
        (
            "{ state_file = \"web.state\" }",
            &[
                "at \"web.state\"",
                "the state file cannot be",
                "/ at its start",
            ],
        ),
        ("{ state_file = \"/run/\" }", &["at \"/run/\""]),
        ("{ state_file = \"/run/.\" }", &["at \"/run/.\""]),
        ("{ state_file = \"/run/..\" }", &["at \"/run/..\""]),
        (
            "{ notify_master = \"a\", any = \"a\" }",
            &["at notify_master", "did you mean active?"],
        ),
        ("{ webhook = {} }", &["at {}", "has no url"]),
        (
            "{ webhook = \"https://a_$b/\" }",
            &["at \"https://a_$b/\"", "not the address of a webhook"],
        ),
        (
            "{ webhook = true }",
            &["at true", "webhook cannot be true or false"],
        ),
        (
            "{ webhook = \"ftp://secret/\" }",
            &[
                "at \"ftp://secret/\"",
                "not the address of a webhook",
                "https://",
            ],
        ),
        (
            "{ webhook = { url = \"http://a\", retries = 101 } }",
            &["at 101", "retries cannot be 101", "0 to 100"],
        ),
        (
            "{ webhook = { url = \"http://a\", timeout = \"6m\" } }",
            &["at \"6m\"", "timeout cannot be 360s"],
        ),
        (
            "{ webhook = { url = \"http://a\", retry_interval = \"1ms\" } }",
            &["at \"1ms\"", "retry_interval cannot be 1ms"],
        ),
        (
            "{ webhook = { url = \"http://a\", headers = { \"a b\" = \"x\" } } }",
            &["at \"a b\"", "no header has the name"],
        ),
        (
            "{ webhook = { url = \"http://a\", headers = { Host = \"x\" } } }",
            &["at Host", "is not yours to say"],
        ),
        (
            "{ webhook = { url = \"http://a\", headers = { X = \"se\\ncret\" } } }",
            &["at X", "the header X has a value that cannot be sent"],
        ),
        (
            "{ webhook = { url = \"http://a\", headers = { X = 1 } } }",
            &["at X", "a header cannot be a number"],
        ),
    ] {
        refused(&web("", &format!("notify = {notify}")), parts);
    }
}

#[test]
fn secrets_are_not_in_messages() {
    for notify in [
        "{ webhook = \"ftp://secret/\" }",
        "{ webhook = \"http://secret@host/\" }",
        "{ webhook = { url = \"http://a\", headers = { X = \"secret\\n\" } } }",
        "{ webhook = { url = \"http://secret\", verify = true } }",
    ] {
        let text = web("", &format!("notify = {notify}"));
        let found = match parse(&text) {
            Ok((config, warnings)) => {
                let shown = format!("{config:?}");
                assert!(!shown.contains("secret"), "{shown}");
                warnings
            }
            Err(found) => found,
        };
        assert_eq!(found.len(), 1);
        let shown = format!("{found:?}");
        assert!(!shown.contains("secret"), "{shown}");
    }
}

#[test]
fn what_has_no_effect_is_warned_of() {
    for (notify, parts) in [
        ("{}", &["at {}", "nobody is told"][..]),
        (
            "{ any = \"a\", priority_changes = true }",
            &["at true", "nobody hears of changes", "FIFOs and a webhook"],
        ),
        (
            "{ state_file = \"/run/a\", timeout = \"5s\" }",
            &["at \"5s\"", "timeout has no effect"],
        ),
        (
            "{ webhook = { url = \"http://a\", verify = true } }",
            &["at true", "verify has no effect"],
        ),
        (
            "{ any = \"a | b\" }",
            &["no shell reads the command", "/bin/sh"],
        ),
    ] {
        warned(&web("", &format!("notify = {notify}")), parts);
    }
}

#[test]
fn no_file_is_written_by_two() {
    let text = format!(
        "notify_fifos = [\"/run/a\"]\n{}",
        web("", "notify = { state_file = \"/run/a\" }")
    );
    refused(
        &text,
        &["at \"/run/a\"", "written by another", "that is here"],
    );
    let text = format!("notify_fifos = [\"/run/a\", {{ path = \"/run/a\" }}]\n{WEB}");
    refused(&text, &["written by another"]);
}

#[test]
fn what_is_wrong_with_fifos_is_told() {
    for (fifos, parts) in [
        ("\"/run/a\"", &["notify_fifos cannot be text"][..]),
        ("[7]", &["at 7", "a FIFO cannot be a number"]),
        ("[{}]", &["at {}", "a FIFO has no path"]),
        ("[\"a\"]", &["at \"a\"", "a FIFO cannot be \"a\""]),
        ("[{ path = \"/a\", reader = \"\" }]", &["without a program"]),
        (
            "[{ path = \"/a\", x = 1 }]",
            &["at x", "no setting", "in a FIFO"],
        ),
    ] {
        refused(&format!("notify_fifos = {fifos}\n{WEB}"), parts);
    }
}

#[test]
fn words_of_keepalived_are_translated() {
    for (line, word) in [
        ("notify_master = \"a\"", "notify"),
        ("notify_fault = \"a\"", "notify"),
    ] {
        refused(&web("", line), &[&format!("did you mean {word}?")]);
    }
    refused(
        &format!("enable_script_security = true\n{WEB}"),
        &["did you mean script_security?"],
    );
    refused(
        &format!("notify_fifo = \"/run/a\"\n{WEB}"),
        &["did you mean notify_fifos?"],
    );
}

#[test]
fn commands_that_cannot_run_here_are_warned_of_where_they_stand() {
    let dir = tempfile::tempdir().unwrap();
    let plain = dir.path().join("plain");
    std::fs::write(&plain, "").unwrap();
    let plain = plain.to_str().unwrap();
    let text = format!(
        "notify_fifos = [{{ path = \"/run/a\", reader = \"/no/such/reader\" }}]\n\
         script_user = \"0:no-such-group\"\n{}",
        web(
            "",
            &format!(
                "notify = {{ active = \"{plain} x\", any = \"no-such-program\", user = \"root\" }}\n\
                 [[sync_group]]\nname = \"edge\"\ninstances = [\"web\", \"dns\"]\n\
                 notify = {{ any = \"sh\", stop = \"sh\", user = \"no-such-user\" }}"
            )
        )
    );
    let (raw, _) = from_toml::read(&text).unwrap();
    let found = script::here(&raw);
    let found: Vec<(&str, &str)> = found
        .iter()
        .map(|found| {
            assert_eq!(found.severity, Severity::Warning);
            (&text[found.span.clone()], found.message.as_str())
        })
        .collect();
    let marked: Vec<&str> = found.iter().map(|(marked, _)| *marked).collect();
    let active = format!("\"{plain} x\"");
    assert_eq!(
        marked,
        [
            "\"/no/such/reader\"",
            "\"0:no-such-group\"",
            &active,
            "\"no-such-program\"",
            "\"no-such-user\""
        ]
    );
    for ((_, message), part) in found.iter().zip([
        "there is no /no/such/reader",
        "there is no group \"no-such-group\"",
        "is no executable file",
        "there is no program no-such-program",
        "there is no user \"no-such-user\"",
    ]) {
        assert!(message.contains(part), "{message}");
    }
    assert!(script::here(&from_toml::read(WEB).unwrap().0).is_empty());
}

#[test]
fn a_command_may_have_a_user_of_its_own() {
    let text = web(
        "",
        "notify = { active = { command = \"/bin/a b\", user = \"x:y\" }, backup = \"/bin/b\", user = \"z\" }",
    );
    assert_eq!(said(&text), [""; 0]);
    let notify = first(&text).notify;
    let user = |script: &Option<Script>| script.clone().unwrap().run_as.unwrap().user;
    assert_eq!(
        (user(&notify.active), user(&notify.backup)),
        ("x".to_owned(), "z".to_owned())
    );
    assert_eq!(notify.active.unwrap().argv, ["/bin/a", "b"]);
    for (command, parts) in [
        (
            "{ user = \"x\" }",
            ["active does not say what to run", "command = "],
        ),
        (
            "{ command = { command = \"/a\" } }",
            ["command cannot be a table", "text"],
        ),
        (
            "{ command = \"/a\", usr = \"x\" }",
            ["no setting \"usr\" in a command", "user"],
        ),
    ] {
        refused(
            &web("", &format!("notify = {{ active = {command} }}")),
            &parts,
        );
    }
}
