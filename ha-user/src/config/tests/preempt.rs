//! Who relieves whom.

use super::*;

#[test]
fn preemption_is_at_once_and_quick_unless_said_otherwise() {
    let instance = first(WEB);
    assert!(instance.preempt && instance.quick_preempt);
    assert_eq!(instance.preempt_delay, Duration::ZERO);
    let instance = first(&web("", "preempt_delay = \"1000s\"\nquick_preempt = false"));
    assert!(!instance.quick_preempt);
    assert_eq!(instance.preempt_delay, Duration::from_secs(1000));
    refused(
        &web("", "preempt_delay = \"1001s\""),
        &[
            "at \"1001s\"",
            "preempt_delay cannot be 1001s",
            "\"0s\" to \"1000s\"",
        ],
    );
    refused(
        &web("", "preempt_delay = 5"),
        &["at 5", "preempt_delay cannot be a number"],
    );
    refused(&web("", "quick_preempt = 1"), &["true or false"]);
}

#[test]
fn what_has_no_effect_is_warned_of() {
    let text = web("", "priority = 255\npreempt = false");
    let taken = warned(&text, &["at false", "priority 255", "always preempts"]);
    assert_eq!(taken.instances[0].priority, Priority::OWNER);
    for (line, parts) in [
        (
            "preempt = false\npreempt_delay = \"5s\"",
            [
                "at \"5s\"",
                "preempt_delay has no effect",
                "preempt = false",
            ],
        ),
        (
            "priority = 255\npreempt_delay = \"5s\"",
            ["at \"5s\"", "preempt_delay has no effect", "priority 255"],
        ),
        (
            "preempt = false\nquick_preempt = true",
            ["at true", "quick_preempt has no effect", "preempt = false"],
        ),
        (
            "priority = 255\nquick_preempt = false",
            ["at false", "quick_preempt has no effect", "priority 255"],
        ),
    ] {
        let taken = warned(&web("", line), &parts);
        assert_eq!(taken.instances[0].preempt_delay, Duration::ZERO);
    }
    first(&web("", "preempt = false\npreempt_delay = \"0s\""));
}
