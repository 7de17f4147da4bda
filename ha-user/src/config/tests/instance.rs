//! Settings of an instance that are one value each.

use super::*;

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
fn a_password_is_not_shown_in_a_report() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("harrier.toml");
    let text = web("version", "version = 2\npassword = \"geheimnis123\"\n");
    std::fs::write(&path, text).unwrap();
    let error = load(&path, &Options::default()).unwrap_err().to_string();
    assert!(error.contains("the password does not fit"), "{error}");
    assert!(!error.contains("geheimnis"), "{error}");
}

#[test]
fn secrets_of_a_webhook_and_of_addresses_are_not_shown_in_a_report() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("harrier.toml");
    // Each on a line of its own that has a mistake.
    for line in [
        "notify = { webhook = { url = \"https://www.example.org/geheim\", retries = -1 } }",
        "notify = { webhook = { url = \"https://a:geheim@b/c\", retries = -1 } }",
        "notify = { webhook = { url = \"http://a\", headers = { A = \"geheim\", \"b c\" = \"d\" } } }",
        "[[check]]\nname = \"a\"\nkind = \"tcp\"\nurl = \"https://www.example.org/?t=geheim\"\n",
    ] {
        std::fs::write(&path, format!("{WEB}{line}\n")).unwrap();
        let error = load(&path, &Options::default()).unwrap_err().to_string();
        assert!(error.contains("***"), "{error}");
        assert!(!error.contains("geheim"), "{error}");
        // Which server it is stays to be seen.
        assert!(!line.contains("www.") || error.contains("www."), "{error}");
    }
}
