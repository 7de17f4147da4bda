//! Instances that move together.

use super::*;

fn with(groups: &str) -> String {
    format!(
        "{WEB}\n[[instance]]\nname = \"web6\"\ninterface = \"eth0\"\nvrid = 51\nfamily = \"ipv6\"\n\
         \n[[instance]]\nname = \"dns\"\ninterface = \"eth0\"\nvrid = 53\nfamily = \"ipv4\"\n\n{groups}"
    )
}

#[test]
fn a_group_names_its_instances() {
    let group = "[[sync_group]]\nname = \"edge\"\ninstances = [\"web6\", \"web\"]\n";
    assert_eq!(said(&with(group)), [""; 0]);
    assert_eq!(
        config(&with(group)).sync_groups,
        [SyncGroup {
            name: "edge".to_owned(),
            members: vec![1, 0],
            track_interfaces: Vec::new(),
            track_checks: Vec::new(),
            notify: NotifyConfig::default(),
        }]
    );
    // The order of the sections is free.
    assert_eq!(
        config(&format!("{group}{}", with(""))).sync_groups,
        config(&with(group)).sync_groups
    );
    assert_eq!(config(&with("")).sync_groups, []);
}

#[test]
fn what_a_group_cannot_be_is_told_at_its_place() {
    let group = |name: &str, instances: &str| {
        format!("[[sync_group]]\nname = {name}\ninstances = {instances}\n")
    };
    for (groups, parts) in [
        (
            group("\"edge\"", "[\"web\", \"web5\"]"),
            &["at \"web5\"", "no instance \"web5\"", "did you mean \"web"][..],
        ),
        (
            group("\"edge\"", "[\"web\", \"database\"]"),
            &["at \"database\"", "the name of an instance of this file"],
        ),
        (
            group("\"edge\"", "[]"),
            &["at []", "no instances", "at least two"],
        ),
        (
            group("\"edge\"", "[\"web\", \"web\"]"),
            &["at \"web\"", "in a sync group already", "it is listed here"],
        ),
        (
            group("\"a\"", "[\"web\", \"web6\"]") + &group("\"b\"", "[\"dns\", \"web6\"]"),
            &[
                "at \"web6\"",
                "in a sync group already",
                "it is listed here",
            ],
        ),
        (
            group("\"a b\"", "[\"web\", \"web6\"]"),
            &["at \"a b\"", "printable"],
        ),
        (
            "[[sync_group]]\ninstances = [\"web\", \"dns\"]\n".to_owned(),
            &["at [[sync_group]]", "has no name"],
        ),
        (
            "[[sync_group]]\nname = \"edge\"\n".to_owned(),
            &["at [[sync_group]]", "has no instances", "\"web6\""],
        ),
        (
            group("\"edge\"", "[1, \"web\"]"),
            &["at 1", "an instance of a group cannot be a number"],
        ),
        (
            group("\"edge\"", "\"web\""),
            &["instances cannot be text", "a list of names"],
        ),
        (
            group("\"edge\"", "[\"web\", \"dns\"]") + "group = []",
            &["at group", "in a sync group", "did you mean instances?"],
        ),
        (
            "[sync_group]\nname = \"edge\"\n".to_owned(),
            &["expected [[sync_group]], with two brackets"],
        ),
    ] {
        refused(&with(&groups), parts);
    }
    let alone = with(&group("\"edge\"", "[\"web\"]"));
    let warnings = said(&alone);
    assert!(
        warnings[0].contains("a sync group of one instance"),
        "{warnings:?}"
    );
    assert_eq!(config(&alone).sync_groups[0].members, [0]);
    let twice = group("\"edge\"", "[\"web\", \"web6\"]").repeat(2);
    let said = said(&with(&twice));
    assert!(
        said.iter().any(|said| said.contains("a second sync group")),
        "{said:?}"
    );
}

#[test]
fn a_name_that_could_not_be_read_is_not_complained_of_twice() {
    let text = with("[[sync_group]]\nname = \"edge\"\ninstances = [\"web\", \"web6\"]\n")
        .replace("name = \"web6\"", "name = 6");
    refused(&text, &["at 6", "name cannot be a number"]);
}
