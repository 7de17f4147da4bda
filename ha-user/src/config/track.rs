//! Interfaces that count for an instance: the list `track_interfaces`.

use std::{collections::HashMap, ops::Range};

use ha_common::types::Priority;

use super::{
    diagnostic::Diagnostic,
    located::Located,
    model::TrackedInterface,
    names, range,
    raw::{RawInstance, RawTrackedInterface},
};

/// Greatest weight either way, as in keepalived: from the least priority to the
/// greatest.
const MAX_WEIGHT: i64 = 253;

/// The greatest priority that a weight can lead to; 255 is the owner's.
const MAX_PRIORITY: u8 = 254;

/// The list; complaints, also about weights that cannot change anything.
pub(super) fn check(
    raw: &RawInstance,
    priority: Option<Priority>,
    diagnostics: &mut Vec<Diagnostic>,
) -> Vec<TrackedInterface> {
    let mut seen: HashMap<&str, &Range<usize>> = HashMap::new();
    let mut tracked = Vec::new();
    for entry in raw.track_interfaces.entries() {
        let RawTrackedInterface { name, weight } = &entry.value;
        let weight = range::number(
            weight,
            "weight",
            &(-MAX_WEIGHT..=MAX_WEIGHT),
            "0, the default, puts the instance into fault while the interface is down",
            diagnostics,
        )
        .unwrap_or(0);
        let Some(good) = names::interface(name, diagnostics) else {
            continue;
        };
        if let Some(first) = seen.insert(&name.value, &name.span) {
            diagnostics.push(
                Diagnostic::error(
                    name.span.clone(),
                    format!("{} is tracked twice", name.value),
                    "expected each interface once",
                )
                .related(first.clone(), "the first is here"),
            );
            continue;
        }
        tracked.push((entry, TrackedInterface { name: good, weight }));
    }
    for (entry, interface) in &tracked {
        let others = tracked
            .iter()
            .map(|(_, other)| other)
            .filter(|other| other.name != interface.name);
        diagnostics.extend(void(raw, priority, entry, interface.weight, others));
    }
    tracked
        .into_iter()
        .map(|(_, interface)| interface)
        .collect()
}

/// A warning if the entry cannot change anything.
fn void<'a>(
    raw: &RawInstance,
    priority: Option<Priority>,
    entry: &Located<RawTrackedInterface>,
    weight: i16,
    mut others: impl Iterator<Item = &'a TrackedInterface>,
) -> Option<Diagnostic> {
    let span = entry
        .value
        .weight
        .given()
        .map_or(&entry.span, |weight| &weight.span);
    let name = &entry.value.name.value;
    let own = raw
        .interface
        .given()
        .is_some_and(|interface| interface.value == *name);
    let (message, why, help) = if own {
        let (message, help) = match weight {
            0 => (format!("{name} need not be tracked"), "remove the entry"),
            1.. => (
                format!("the weight of {name} is always added"),
                "say a greater priority instead",
            ),
            _ => (
                format!("the weight of {name} never counts"),
                "remove the entry",
            ),
        };
        let why = "the instance runs on it, and is in fault while it is down";
        (message, why, help)
    } else if weight == 0 {
        return None;
    } else {
        match priority? {
            Priority::OWNER => (
                format!("the weight of {name} never counts"),
                "priority 255 is never weighted",
                "take a priority of at most 254, or leave the weight out",
            ),
            Priority(1) if weight < 0 && others.all(|other| other.weight <= 0) => (
                format!("the weight of {name} never counts"),
                "priority 1 is the least there is",
                "take a greater priority",
            ),
            Priority(MAX_PRIORITY) if weight > 0 && others.all(|other| other.weight >= 0) => (
                format!("the weight of {name} never counts"),
                "weights do not raise a priority beyond 254",
                "take a lower priority, or a negative weight",
            ),
            _ => return None,
        }
    };
    Some(Diagnostic::warning(span.clone(), message, why).help(help))
}
