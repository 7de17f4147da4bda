//! Whole files: what is taken, what is refused and in which words.

mod addresses;
mod announce;
mod check;
mod groups;
mod instance;
mod notify;
mod preempt;
mod routes;
mod track;
mod unicast;
mod unique;
mod unknown;
mod virtual_mac;

use std::time::Duration;

use ha_common::{
    fsm::AnnounceSchedule,
    types::{AddressFamily, Priority, Version, Vrid},
};
use proptest::prelude::*;

use super::*;

const WEB: &str = r#"
[[instance]]
name = "web"
interface = "eth0"
vrid = 51
addresses = ["10.77.0.100/16"]
"#;

fn config(text: &str) -> Config {
    match parse(text) {
        Ok((config, _)) => config,
        Err(diagnostics) => panic!("{}", render("test", text, &diagnostics, false)),
    }
}

/// What is wrong with `text`: severity, marked text, message, expectation, help.
fn said(text: &str) -> Vec<String> {
    let diagnostics = match parse(text) {
        Ok((_, warnings)) => warnings,
        Err(diagnostics) => diagnostics,
    };
    diagnostics
        .iter()
        .filter(|found| found.severity != Severity::Note)
        .map(|found| {
            let Diagnostic {
                severity,
                span,
                message,
                expected,
                help,
                related,
            } = found;
            let marked = text
                .get(span.clone())
                .unwrap()
                .lines()
                .next()
                .unwrap_or_default();
            let related = related
                .as_ref()
                .map(|(span, why)| (&text[span.clone()], why));
            format!(
                "{severity:?} at {marked}: {message}; {expected}; {}; {related:?}",
                help.as_deref().unwrap_or_default()
            )
        })
        .collect()
}

/// `WEB` with the line that sets `key` replaced, or with a line more.
fn web(key: &str, line: &str) -> String {
    let mut text: String = WEB
        .lines()
        .filter(|old| !old.starts_with(&format!("{key} =")))
        .flat_map(|old| [old, "\n"])
        .collect();
    text.push_str(line);
    text
}

/// Asserts that `text` gets one complaint, with all of `parts` in it.
#[track_caller]
fn refused(text: &str, parts: &[&str]) {
    assert!(parse(text).is_err(), "taken:\n{text}");
    let said = said(text);
    assert_eq!(said.len(), 1, "{said:#?}\n{text}");
    for part in parts {
        assert!(said[0].contains(part), "{part} is not in {}", said[0]);
    }
}

/// Asserts that `text` is taken with one warning, with all of `parts` in it; gives
/// what was taken.
#[track_caller]
fn warned(text: &str, parts: &[&str]) -> Config {
    let config = config(text);
    let said = said(text);
    assert_eq!(said.len(), 1, "{said:#?}\n{text}");
    assert!(said[0].starts_with("Warning at "), "{}", said[0]);
    for part in parts {
        assert!(said[0].contains(part), "{part} is not in {}", said[0]);
    }
    config
}

/// The first instance of `text`, which is taken without a warning.
#[track_caller]
fn first(text: &str) -> InstanceConfig {
    let instance = config(text).instances.remove(0);
    assert_eq!(said(text), [""; 0], "{text}");
    instance
}

#[test]
fn the_file_of_the_documentation_is_taken() {
    let text = r#"
        xdp_mode = "generic"
        consume = true

        [[instance]]
        name = "web"
        interface = "eth0"
        vrid = 51
        priority = 150
        version = 3                 # default 3; 2 allowed
        advert_interval = "100ms"   # v3: multiples of 10ms, 10ms..40.95s; v2: whole seconds
        preempt = true
        addresses = ["10.77.0.100/16"]

        [[instance]]
        name = "web6"
        interface = "eth0"
        vrid = 51
        preempt = false
        addresses = ["fe80::51/64", "2001:db8::100/64", "2001:db8::101"]
    "#;
    let web = InstanceConfig {
        name: "web".to_owned(),
        interface: "eth0".to_owned(),
        vrid: Vrid::new(51).unwrap(),
        family: AddressFamily::Ipv4,
        version: Version::V3,
        priority: Priority(150),
        advert_interval: Duration::from_millis(100),
        preempt: true,
        preempt_delay: Duration::ZERO,
        quick_preempt: true,
        checksum: ChecksumForm::PseudoHeader,
        password: None,
        unicast: None,
        virtual_mac: None,
        accept: true,
        addresses: vec![
            VirtualAddress {
                address: [10, 77, 0, 100].into(),
                prefix_len: 16,
            }
            .into(),
        ],
        any_first_address: false,
        excluded_addresses: Vec::new(),
        routes: Vec::new(),
        rules: Vec::new(),
        announce: AnnounceSchedule::default(),
        track_interfaces: Vec::new(),
        track_checks: Vec::new(),
        notify: NotifyConfig::default(),
    };
    let v6 = |text: &str, prefix_len| -> AddressConfig {
        VirtualAddress {
            address: text.parse().unwrap(),
            prefix_len,
        }
        .into()
    };
    let web6 = InstanceConfig {
        name: "web6".to_owned(),
        family: AddressFamily::Ipv6,
        priority: Priority(100),
        advert_interval: Duration::from_secs(1),
        preempt: false,
        addresses: vec![
            v6("fe80::51", 64),
            v6("2001:db8::100", 64),
            v6("2001:db8::101", 128),
        ],
        ..web.clone()
    };
    assert_eq!(
        parse(text),
        Ok((
            Config {
                xdp_mode: XdpMode::Generic,
                consume: true,
                instances: vec![web, web6],
                ..Config::default()
            },
            Vec::new()
        ))
    );
}

#[test]
fn every_example_of_the_documentation_is_taken() {
    let page = include_str!("../../../docs/configuration.md");
    let examples: Vec<&str> = page
        .split("```toml\n")
        .skip(1)
        .map(|rest| rest.split("```").next().unwrap())
        .collect();
    assert!(examples.len() >= 7, "{examples:#?}");
    for example in examples {
        let whole = if example.contains("[[instance]]") {
            example.to_owned()
        } else if example.contains("\naddresses =") || example.starts_with("addresses =") {
            web("addresses", example)
        } else {
            web("", example)
        };
        config(&whole);
        assert_eq!(said(&whole), [""; 0], "{whole}");
    }
}

#[test]
fn what_is_not_said_has_the_documented_value() {
    let config = config(WEB);
    assert_eq!(config.xdp_mode, XdpMode::Auto);
    assert!(!config.consume);
    let instance = &config.instances[0];
    assert_eq!(instance.priority, Priority::DEFAULT);
    assert_eq!(instance.version, Version::V3);
    assert_eq!(instance.advert_interval, Duration::from_secs(1));
    assert!(instance.preempt);
    assert_eq!(
        instance.active_down_interval(),
        Duration::from_nanos(3_609_375_000)
    );
}

#[test]
fn a_file_without_an_instance_is_refused() {
    for text in [
        "",
        "\n\n",
        "# nothing\n",
        "xdp_mode = \"auto\"\n",
        "instance = []",
    ] {
        refused(text, &["no instance", "[[instance]]"]);
    }
}

#[test]
fn everything_that_is_wrong_is_said_at_once_in_the_order_of_the_file() {
    let text = r#"xdp_mode = 1
[[instance]]
name = "a b"
vrid = 0
adresses = ["10.0.0.1/24"]
priority = "high"

[[instance]]
name = "b"
interface = "eth0"
vrid = 300
advert_interval = "3 fortnights"
addresses = ["10.0.0.300/24", "127.0.0.1/8"]
"#;
    let said = said(text);
    let expected = [
        "at 1: xdp_mode",
        "at [[instance]]: instance \"a b\" has no interface",
        "at [[instance]]: neither addresses nor a family",
        "at \"a b\"",
        "at 0: there is no VRID 0",
        "at adresses: there is no setting \"adresses\" in an instance; did you mean addresses?",
        "at \"high\": priority cannot be text",
        "at 300: there is no VRID 300",
        "at \"3 fortnights\"",
        "at \"10.0.0.300/24\": \"10.0.0.300/24\": not an IP address",
        "at \"127.0.0.1/8\": 127.0.0.1 is a loopback address",
    ];
    assert_eq!(said.len(), expected.len(), "{said:#?}");
    for (said, expected) in said.iter().zip(expected) {
        assert!(said.contains(expected), "{expected} is not in {said}");
    }
}

#[test]
fn what_is_no_toml_is_refused_with_its_place() {
    for (text, marked) in [
        ("[[instance]\nname = \"web\"", "at "),
        ("[[instance]]\nname = web\n", "at web"),
        ("[[instance]]\nname = \"web\nvrid = 1", "at "),
        ("[[instance]]\nvrid = 1\nvrid = 2\n", "at vrid"),
        ("{\"instance\": []}", "at "),
    ] {
        assert!(parse(text).is_err(), "{text}");
        let said = said(text);
        assert!(said.iter().any(|said| said.contains(marked)), "{said:?}");
        assert!(
            said.iter().all(|said| said.contains("quoted")),
            "only about the syntax: {said:?}"
        );
    }
}

#[test]
fn files_are_read_or_the_reason_is_given() {
    let load = |path: &std::path::Path| load(path, &Options::default());
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("harrier.toml");
    let error = load(&file).unwrap_err();
    assert!(
        error.to_string().contains(&*file.to_string_lossy()),
        "{error}"
    );
    assert!(matches!(load(dir.path()), Err(LoadError::Read { .. })));

    std::fs::write(&file, b"# fine\nname = \"\xff\"\n").unwrap();
    let error = load(&file).unwrap_err().to_string();
    assert!(error.contains("harrier.toml:2: not UTF-8"), "{error}");

    let octets = usize::try_from(MAX_FILE).unwrap() + 1;
    std::fs::write(&file, "#".repeat(octets)).unwrap();
    assert!(matches!(load(&file), Err(LoadError::TooLarge { .. })));

    std::fs::write(&file, web("vrid", "vrid = 0")).unwrap();
    let error = load(&file).unwrap_err().to_string();
    assert!(error.contains("harrier.toml: 1 error\n"), "{error}");
    assert!(error.contains("harrier.toml:6:8"), "{error}");

    std::fs::write(&file, WEB).unwrap();
    assert_eq!(load(&file).unwrap(), (config(WEB), Format::Toml));
    let theirs = "vrrp_instance web {\n    interface eth0\n    virtual_router_id 51\n}\n";
    std::fs::write(&file, theirs).unwrap();
    assert_eq!(load(&file).unwrap().1, Format::Keepalived);
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in ".*") {
        if let Err(diagnostics) = parse(&text) {
            prop_assert!(!diagnostics.is_empty());
        }
    }

    /// Files that are nearly right, which get further than arbitrary text.
    #[test]
    fn no_settings_make_it_panic(
        lines in prop::collection::vec(
            (
                prop::sample::select(vec![
                    "name", "interface", "vrid", "family", "version", "priority",
                    "advert_interval", "preempt", "checksum", "addresses", "xdp_mode", "instance", "x",
                    "unicast", "excluded_addresses", "routes", "rules", "announce",
                    "track_interfaces", "virtual_mac", "accept", "preempt_delay", "quick_preempt",
                    "startup_delay", "announce_gap", "sync_group", "instances", "auth_type",
                    "track_checks", "kind", "command", "url", "status", "target", "process", "path",
                    "rise", "weight", "timeout",
                ]),
                prop::sample::select(vec![
                    "\"web\"", "51", "-1", "0", "true", "[]", "{}", "\"ipv4\"", "\"ipv6\"", "2", "3",
                    "\"100ms\"", "1.5", "[\"10.0.0.1/24\"]", "[\"fe80::1/64\", \"10.0.0.1\"]",
                    "[1, \"\"]", "{ peers = [1, \"10.0.0.1\"] }", "1979-05-27", "\"message-only\"",
                    "[{ address = \"10.0.0.1/24\", label = \"web:a\" }]", "[\"web\", \"web\"]",
                    "[{ to = \"default\", via = \"10.0.0.1\" }]", "{ count = 0 }",
                    "[{ from = \"10.0.0.0/8\", table = 51 }]", "[{ name = \"web\", weight = 51 }]", "[[]]", "[{}]",
                    "\"exec\"", "\"http\"", "\"tcp\"", "\"process\"", "\"file\"", "\"http://a/\"",
                    "\"/a 'b\"", "\"a:1\"", "\"é\u{301}\"",
                ]),
                prop::sample::select(vec![
                    "", "", "", "[[instance]]\n", "[instance]\n", "[[sync_group]]\n", "[[check]]\n",
                    "[[instance.routes]]\n", "[instance.announce]\n",
                ]),
            ),
            0..24,
        ),
    ) {
        let text: String =
            lines.iter().map(|(key, value, head)| format!("{head}{key} = {value}\n")).collect();
        match parse(&text) {
            Ok((config, _)) => prop_assert!(!config.instances.is_empty()),
            Err(diagnostics) => {
                prop_assert!(diagnostics.iter().any(|found| found.severity == Severity::Error));
                let report = render("test", &text, &diagnostics, false);
                for found in diagnostics {
                    prop_assert!(report.contains(&found.message), "{}", report);
                }
            }
        }
    }
}
