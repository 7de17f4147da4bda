//! Whole files: what is taken, what is refused and in which words.

mod unicast;

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

/// What is said about `text`: severity, marked text, message, expectation, help.
fn said(text: &str) -> Vec<String> {
    let diagnostics = match parse(text) {
        Ok((_, warnings)) => warnings,
        Err(diagnostics) => diagnostics,
    };
    diagnostics
        .iter()
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

#[test]
fn the_file_of_the_documentation_is_taken() {
    let text = r#"
        xdp_mode = "generic"

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
        excluded_addresses: Vec::new(),
        routes: Vec::new(),
        rules: Vec::new(),
        announce: AnnounceSchedule::default(),
        track_interfaces: Vec::new(),
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
                instances: vec![web, web6],
                ..Config::default()
            },
            Vec::new()
        ))
    );
}

#[test]
fn what_is_not_said_has_the_documented_value() {
    let config = config(WEB);
    assert_eq!(config.xdp_mode, XdpMode::Auto);
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
fn an_instance_without_addresses_says_its_family() {
    for line in ["addresses = []\nfamily = \"ipv6\"", "family = \"ipv6\""] {
        let config = config(&web("addresses", line));
        assert_eq!(config.instances[0].family, AddressFamily::Ipv6);
        assert_eq!(config.instances[0].addresses, []);
    }
    let remedy = ["neither addresses nor a family", "family = \"ipv4\""];
    refused(&web("addresses", "addresses = []"), &remedy);
    refused(&web("addresses", ""), &remedy);
    assert!(
        parse(&web("", "family = \"ipv4\"")).is_ok(),
        "said twice, and the same"
    );
    refused(
        &web("", "family = \"ipv6\""),
        &[
            "at \"10.77.0.100/16\"",
            "IPv4 address in an IPv6 instance",
            "family is said here",
        ],
    );
}

#[test]
fn intervals_are_those_that_the_version_can_send() {
    let both = |interval: &str, version: u8| {
        web(
            "",
            &format!("advert_interval = \"{interval}\"\nversion = {version}"),
        )
    };
    for (interval, millis) in [
        ("10ms", 10),
        ("0.5s", 500),
        ("40.95s", 40_950),
        ("1s", 1000),
    ] {
        let config = config(&both(interval, 3));
        assert_eq!(
            config.instances[0].advert_interval,
            Duration::from_millis(millis)
        );
    }
    for interval in ["0s", "5ms", "105ms", "40.96s", "11m", "0.001ms"] {
        refused(
            &both(interval, 3),
            &[&format!("at \"{interval}\""), "multiple of 10 ms", "40.95s"],
        );
    }
    for (interval, seconds) in [("1s", 1), ("255s", 255), ("1m", 60), ("2000ms", 2)] {
        let config = config(&both(interval, 2));
        assert_eq!(
            config.instances[0].advert_interval,
            Duration::from_secs(seconds)
        );
    }
    for interval in ["0s", "100ms", "1.5s", "256s"] {
        refused(&both(interval, 2), &["whole seconds", "version = 3"]);
    }
    refused(
        &both("fast", 3),
        &["at \"fast\"", "a number with a unit", "100ms"],
    );
    refused(
        &web("", "advert_interval = 1"),
        &["cannot be a number", "100ms"],
    );
}

#[test]
fn numbers_have_their_ranges() {
    for vrid in ["0", "256", "-1", "99999999999999999999"] {
        refused(&web("vrid", &format!("vrid = {vrid}")), &["1 to 255"]);
    }
    assert_eq!(
        config(&web("vrid", "vrid = 0xff")).instances[0]
            .vrid
            .value(),
        255
    );
    refused(
        &web("vrid", "vrid = \"51\""),
        &["cannot be text", "without quotes"],
    );
    refused(&web("vrid", "vrid = 51.0"), &["a whole number"]);
    refused(&web("", "priority = 0"), &["stops taking part", "1 to 255"]);
    refused(&web("", "priority = 256"), &["no priority 256"]);
    for version in ["1", "4", "259"] {
        refused(
            &web("", &format!("version = {version}")),
            &["expected 3 (the default) or 2"],
        );
    }
    refused(&web("", "preempt = \"no\""), &["true or false"]);
    refused(
        &format!("xdp_mode = \"fast\"\n{WEB}"),
        &["\"auto\" or \"driver\" or \"generic\""],
    );
}

#[test]
fn names_can_be_shown_and_told_apart() {
    for name in [
        "",
        "a b",
        "a\\tb",
        "a\\u001bb",
        "a\\u202eb",
        &"x".repeat(65),
    ] {
        refused(
            &web("name", &format!("name = \"{name}\"")),
            &["printable text"],
        );
    }
    assert!(parse(&web("name", &format!("name = \"{}\"", "x".repeat(64)))).is_ok());
    for interface in ["", "a/b", "a b", "..", "eth0:1", "sixteen-octets-x"] {
        refused(
            &web("interface", &format!("interface = \"{interface}\"")),
            &["no interface can have the name", "ip link"],
        );
    }
    assert!(parse(&web("interface", "interface = \"fifteen-octets-\"")).is_ok());
}

#[test]
fn version_2_is_ipv4_and_has_one_checksum() {
    let text = web("addresses", "addresses = [\"fe80::1/64\"]\nversion = 2");
    refused(&text, &["at 2", "knows no IPv6"]);
    refused(
        &web("", "version = 2\nchecksum = \"message-only\""),
        &["leaves the pseudo-header out"],
    );
    let text = web(
        "addresses",
        "addresses = [\"fe80::1/64\"]\nchecksum = \"message-only\"",
    );
    refused(&text, &["IPv6 always includes"]);
    let message_only = config(&web("", "checksum = \"message-only\""));
    assert_eq!(
        message_only.instances[0].checksum,
        ChecksumForm::MessageOnly
    );
    refused(
        &web("", "checksum = \"none\""),
        &["\"pseudo-header\" or \"message-only\""],
    );
}

#[test]
fn a_password_is_for_version_2_and_fits() {
    let given = config(&web("", "version = 2\npassword = \"secret\""));
    let password = given.instances[0].password.unwrap();
    assert_eq!(password.octets(), *b"secret\0\0");
    assert!(
        !format!("{given:?}").contains("secret"),
        "it is kept out of the log"
    );
    assert!(parse(&web("", "version = 2\npassword = \"12345678\"")).is_ok());
    for wrong in ["", "123456789", "a\\u0000b"] {
        refused(
            &web("", &format!("version = 2\npassword = \"{wrong}\"")),
            &["does not fit", "1 to 8 octets"],
        );
    }
    refused(
        &web("", "password = \"secret\""),
        &["no authentication", "version = 2"],
    );
}

#[test]
fn the_first_ipv6_address_is_link_local() {
    refused(
        &web(
            "addresses",
            "addresses = [\"2001:db8::1/64\", \"fe80::1/64\"]",
        ),
        &["at \"2001:db8::1/64\"", "not link-local", "fe80::51/64"],
    );
}

#[test]
fn addresses_are_of_one_family_and_of_hosts() {
    refused(
        &web("addresses", "addresses = [\"10.0.0.1/24\", \"fe80::1/64\"]"),
        &["at \"fe80::1/64\"", "expected IPv4 addresses only"],
    );
    refused(
        &web("addresses", "addresses = [\"224.0.0.18\"]"),
        &["a multicast address"],
    );
    refused(
        &web("addresses", "addresses = [\"10.0.0.0/24\"]"),
        &["the address of its network"],
    );
    refused(
        &web("addresses", "addresses = [\"web.example\"]"),
        &["not an IP address"],
    );
    refused(
        &web("addresses", "addresses = [7]"),
        &["cannot be a number"],
    );
    refused(
        &web("addresses", "addresses = \"10.0.0.1/24\""),
        &["a list of addresses"],
    );
}

#[test]
fn an_advertisement_holds_so_many_addresses_and_no_more() {
    let v4 = |count: usize| {
        let list: Vec<String> = (0..count)
            .map(|n| format!("\"10.0.{}.{}\"", n / 200, n % 200 + 1))
            .collect();
        web("addresses", &format!("addresses = [{}]", list.join(", ")))
    };
    assert_eq!(config(&v4(255)).instances[0].addresses.len(), 255);
    refused(
        &v4(256),
        &["256 addresses", "at most 255", "several instances"],
    );
    let v6 = |count: usize| {
        let list: Vec<String> = (1..=count).map(|n| format!("\"fe80::{n:x}\"")).collect();
        web("addresses", &format!("addresses = [{}]", list.join(", ")))
    };
    assert_eq!(config(&v6(90)).instances[0].addresses.len(), 90);
    refused(&v6(91), &["91 addresses", "at most 90", "1500"]);
}

#[test]
fn two_instances_do_not_get_into_each_others_way() {
    let two = |second: &str| format!("{WEB}\n[[instance]]\n{second}");
    refused(
        &two("name = \"web\"\ninterface = \"eth1\"\nvrid = 51\nfamily = \"ipv4\""),
        &[
            "a second instance with the name \"web\"",
            "the first is here",
        ],
    );
    refused(
        &two("name = \"b\"\ninterface = \"eth0\"\nvrid = 51\nfamily = \"ipv4\""),
        &["at 51", "a second IPv4 instance with VRID 51 on eth0"],
    );
    refused(
        &two("name = \"b\"\ninterface = \"eth0\"\nvrid = 52\naddresses = [\"10.77.0.100\"]"),
        &["at \"10.77.0.100\"", "10.77.0.100 is listed twice"],
    );
    refused(
        &web(
            "addresses",
            "addresses = [\"10.0.0.1/24\", \"10.0.0.1/32\"]",
        ),
        &["10.0.0.1 is listed twice"],
    );
    for second in [
        "name = \"b\"\ninterface = \"eth0\"\nvrid = 51\nfamily = \"ipv6\"",
        "name = \"b\"\ninterface = \"eth1\"\nvrid = 51\nfamily = \"ipv4\"",
        "name = \"b\"\ninterface = \"eth0\"\nvrid = 52\nfamily = \"ipv4\"",
    ] {
        assert_eq!(config(&two(second)).instances.len(), 2);
        assert_eq!(said(&two(second)), [""; 0]);
    }
}

#[test]
fn oddities_are_warned_of_and_taken() {
    let text = web("", "priority = 255\npreempt = false");
    assert_eq!(config(&text).instances[0].priority, Priority::OWNER);
    assert!(
        said(&text)[0].starts_with("Warning at false"),
        "{:?}",
        said(&text)
    );
    let text = format!(
        "{WEB}\n[[instance]]\nname = \"b\"\ninterface = \"eth1\"\nvrid = 51\naddresses = [\"10.77.0.100/16\"]"
    );
    assert_eq!(config(&text).instances.len(), 2);
    assert!(
        said(&text)[0].contains("listed on two interfaces"),
        "{:?}",
        said(&text)
    );
}

#[test]
fn unknown_settings_are_refused_with_what_was_probably_meant() {
    refused(
        &web("", "priorty = 100"),
        &["at priorty", "did you mean priority?"],
    );
    refused(
        &web("", "advert_int = 1"),
        &["did you mean advert_interval?"],
    );
    refused(
        &web("", "colour = 1"),
        &[
            "no setting \"colour\" in an instance",
            "settings in an instance: name",
        ],
    );
    refused(
        &format!("log = 1\n{WEB}"),
        &["at the top of the file", "instance, xdp_mode"],
    );
    let said = said("name = \"web\"\n");
    assert!(
        said.iter().any(|said| said.contains("[[instance]]")),
        "{said:?}"
    );
    let text = "[instance]\nname = \"web\"\n";
    refused(text, &["expected [[instance]], with two brackets"]);
    refused("instance = 7", &["cannot be a number", "[[instance]]"]);
    refused("instance = [7]", &["an instance cannot be a number"]);
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
    assert_eq!(load(&file).unwrap(), config(WEB));
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
                    "unicast",
                ]),
                prop::sample::select(vec![
                    "\"web\"", "51", "-1", "0", "true", "[]", "{}", "\"ipv4\"", "\"ipv6\"", "2", "3",
                    "\"100ms\"", "1.5", "[\"10.0.0.1/24\"]", "[\"fe80::1/64\", \"10.0.0.1\"]",
                    "[1, \"\"]", "{ peers = [1, \"10.0.0.1\"] }", "1979-05-27", "\"message-only\"", "[[]]", "[{}]", "\"é\u{301}\"",
                ]),
                prop::sample::select(vec!["", "", "", "[[instance]]\n", "[instance]\n"]),
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
