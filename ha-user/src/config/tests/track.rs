//! Interfaces that count for an instance.

use super::*;

fn tracked(name: &str, weight: i16) -> TrackedInterface {
    TrackedInterface {
        name: name.to_owned(),
        weight,
        reverse: false,
    }
}

#[test]
fn a_bare_name_has_no_weight() {
    assert_eq!(
        first(&web(
            "",
            r#"track_interfaces = [
                "eth1",
                { name = "eth2" },
                { name = "eth3", weight = -253 },
                { name = "eth4", weight = 253 },
            ]"#
        ))
        .track_interfaces,
        [
            tracked("eth1", 0),
            tracked("eth2", 0),
            tracked("eth3", -253),
            tracked("eth4", 253),
        ]
    );
}

#[test]
fn what_cannot_be_tracked_is_told_at_its_place() {
    for (entry, parts) in [
        (
            "7",
            ["at 7", "a tracked interface cannot be a number", "name"],
        ),
        ("{}", ["at {}", "has no name", "name = \"eth2\""]),
        (
            "\"a b\"",
            ["at \"a b\"", "no interface can have", "ip link"],
        ),
        (
            "{ name = \"eth1\", weight = 254 }",
            ["at 254", "weight cannot be 254", "-253 to 253"],
        ),
        (
            "{ name = \"eth1\", weight = -254 }",
            ["at -254", "weight cannot be -254", "-253 to 253"],
        ),
        (
            "\"eth1\", { name = \"eth1\", weight = 5 }",
            ["at \"eth1\"", "tracked twice", "the first is here"],
        ),
        (
            "{ name = \"eth1\", wieght = 1 }",
            [
                "at wieght",
                "in a tracked interface",
                "did you mean weight?",
            ],
        ),
    ] {
        refused(&web("", &format!("track_interfaces = [{entry}]")), &parts);
    }
    refused(
        &web("", "track_interfaces = \"eth1\""),
        &["track_interfaces cannot be text", "a list"],
    );
}

#[test]
fn weights_that_change_nothing_are_warned_of() {
    let line = |priority: u8, entries: &str| {
        web(
            "",
            &format!("priority = {priority}\ntrack_interfaces = [{entries}]"),
        )
    };
    for (priority, entries, parts) in [
        (100, "\"eth0\"", ["at \"eth0\"", "eth0 need not be tracked"]),
        (
            100,
            "{ name = \"eth0\", weight = -5 }",
            ["at -5", "the weight of eth0 never counts"],
        ),
        (
            100,
            "{ name = \"eth0\", weight = 5 }",
            ["at 5", "the weight of eth0 is always added"],
        ),
        (
            255,
            "{ name = \"eth1\", weight = -5 }",
            ["at -5", "priority 255 is never weighted"],
        ),
        (
            1,
            "{ name = \"eth1\", weight = -5 }",
            ["at -5", "priority 1 is the least"],
        ),
        (
            254,
            "{ name = \"eth1\", weight = 5 }",
            ["at 5", "beyond 254"],
        ),
    ] {
        let taken = warned(&line(priority, entries), &parts);
        assert_eq!(taken.instances[0].track_interfaces.len(), 1);
    }
    // What pulls the other way makes room.
    let both = "{ name = \"eth1\", weight = 5 }, { name = \"eth2\", weight = -5 }";
    for priority in [1, 254] {
        first(&line(priority, both));
    }
    first(&line(255, "\"eth1\""));
}

#[test]
fn weights_that_do_not_reach_far_are_noted() {
    let notes = |priority: u8, entries: &str| -> Vec<String> {
        let text = web(
            "",
            &format!("priority = {priority}\ntrack_interfaces = [{entries}]"),
        );
        let (_, found) = parse(&text).unwrap();
        let notes = found
            .into_iter()
            .filter(|one| one.severity == Severity::Note);
        notes
            .map(|note| format!("{}; {}", note.message, note.expected))
            .collect()
    };
    // A published guide has 100 on one machine, 80 on the other, and this weight.
    let [note] = &notes(100, "{ name = \"eth1\", weight = -10 }")[..] else {
        panic!("one note is due");
    };
    for part in [
        "by 10",
        "90 to 100",
        "of priority 90 or less never takes over",
    ] {
        assert!(note.contains(part), "{note}");
    }
    let both = "{ name = \"eth1\", weight = 5 }, { name = \"eth2\", weight = -5 }";
    assert!(notes(100, both)[0].contains("95 to 105"));
    for (priority, entries) in [
        (100, "{ name = \"eth1\", weight = -20 }"),
        (
            100,
            "{ name = \"eth1\", weight = 10 }, { name = \"eth2\", weight = -10 }",
        ),
        (100, "\"eth1\""),
        (255, "{ name = \"eth1\", weight = -10 }"),
        (10, "{ name = \"eth1\", weight = -10 }"),
        (100, "{ name = \"eth0\", weight = -10 }"),
    ] {
        assert_eq!(notes(priority, entries), [""; 0], "{priority} {entries}");
    }
}
