//! When addresses are announced, and what is said for the whole daemon.

use super::*;

#[test]
fn a_schedule_says_what_differs_from_the_default() {
    let default = AnnounceSchedule::default();
    assert_eq!(first(WEB).announce, default);
    assert_eq!(first(&web("", "announce = {}")).announce, default);
    assert_eq!(
        first(&web("", "announce = { refresh = \"24h\" }")).announce,
        AnnounceSchedule {
            refresh: Duration::from_secs(86_400),
            ..default
        }
    );
    let all =
        "announce = { count = 255, interval = \"1ms\", delay = \"1000s\", refresh = \"100ms\" }";
    assert_eq!(
        first(&web("", all)).announce,
        AnnounceSchedule {
            count: 255,
            interval: Duration::from_millis(1),
            delay: Duration::from_secs(1000),
            refresh: Duration::from_millis(100),
        }
    );
}

#[test]
fn what_a_schedule_cannot_be_is_told_at_its_place() {
    for (entry, parts) in [
        ("count = 0", ["at 0", "count cannot be 0", "1 to 255"]),
        ("count = 256", ["at 256", "count cannot be 256", "1 to 255"]),
        (
            "interval = \"0.5ms\"",
            [
                "at \"0.5ms\"",
                "interval cannot be 0.5ms",
                "\"1ms\" to \"60s\"",
            ],
        ),
        (
            "interval = \"61s\"",
            ["at \"61s\"", "interval cannot be 61s", "default, \"100ms\""],
        ),
        (
            "delay = \"1001s\"",
            ["at \"1001s\"", "\"0s\" to \"1000s\"", "default, \"5s\""],
        ),
        (
            "refresh = \"99ms\"",
            [
                "at \"99ms\"",
                "refresh cannot be 99ms",
                "\"100ms\" to \"24h\"",
            ],
        ),
        (
            "refresh = \"24.1h\"",
            ["at \"24.1h\"", "refresh cannot be", "\"24h\""],
        ),
        (
            "repeat = 3",
            ["at repeat", "in announce", "did you mean count?"],
        ),
    ] {
        refused(&web("", &format!("announce = {{ {entry} }}")), &parts);
    }
    refused(&web("", "announce = 3"), &["announce cannot be a number"]);
}

#[test]
fn a_schedule_that_is_hardly_meant_is_warned_of() {
    for (entry, parts) in [
        (
            "count = 1, interval = \"1s\"",
            ["at \"1s\"", "no effect with count = 1", "greater count"],
        ),
        (
            "count = 6, interval = \"1s\"",
            ["at {", "due after 5s, before the first is over", "take 5s"],
        ),
    ] {
        warned(&web("", &format!("announce = {{ {entry} }}")), &parts);
    }
    first(&web(
        "",
        "announce = { count = 6, interval = \"1s\", delay = \"0s\" }",
    ));
    warned(
        &web(
            "addresses",
            "addresses = []\nfamily = \"ipv4\"\nannounce = { count = 1 }",
        ),
        &["at {", "no effect without addresses"],
    );
    let slow = |line: &str| {
        let list = "addresses = [\"10.0.0.1\", \"10.0.0.2\", \"10.0.0.3\"]";
        format!(
            "announce_gap = \"40ms\"\n{}",
            web("addresses", &format!("{list}\n{line}"))
        )
    };
    warned(
        &slow("announce = { count = 2 }"),
        &["3 addresses takes 120ms", "every 100ms", "announce_gap"],
    );
    first(&slow("announce = { count = 2, interval = \"120ms\" }"));
}

#[test]
fn delays_of_the_daemon_have_their_bounds() {
    let top = |line: &str| format!("{line}\n{WEB}");
    let default = config(WEB);
    assert_eq!(default.startup_delay, Duration::ZERO);
    assert_eq!(default.announce_gap, Duration::ZERO);
    let config = config(&top("startup_delay = \"1000s\"\nannounce_gap = \"1s\""));
    assert_eq!(config.startup_delay, Duration::from_secs(1000));
    assert_eq!(config.announce_gap, Duration::from_secs(1));
    refused(
        &top("startup_delay = \"1000.001s\""),
        &["at \"1000.001s\"", "\"0s\" to \"1000s\""],
    );
    refused(
        &top("announce_gap = \"1001ms\""),
        &["announce_gap cannot be 1.001s", "\"0s\" to \"1s\""],
    );
    refused(
        &top("announce_gap = 1"),
        &["announce_gap cannot be a number"],
    );
}

#[test]
fn the_driver_runs_on_cpus_that_can_be() {
    let top = |line: &str| format!("{line}\n{WEB}");
    assert!(config(WEB).cpu_affinity.is_empty());
    assert!(config(&top("cpu_affinity = []")).cpu_affinity.is_empty());
    let config = config(&top("cpu_affinity = [1023, 0, 2]"));
    assert_eq!(config.cpu_affinity, [0, 2, 1023]);
    for (line, complaints) in [
        (
            "cpu_affinity = [1024]",
            ["at 1024", "CPU 1024", "0 to 1023"],
        ),
        ("cpu_affinity = [-1]", ["at -1", "CPU -1", "0 to 1023"]),
        ("cpu_affinity = [1, 2, 1]", ["at 1", "CPU 1", "twice"]),
        (
            "cpu_affinity = [\"1\"]",
            ["an entry of cpu_affinity", "text", "without quotes"],
        ),
        (
            "cpu_affinity = 1",
            ["cpu_affinity cannot be a number", "in brackets", ""],
        ),
    ] {
        refused(&top(line), &complaints);
    }
}
