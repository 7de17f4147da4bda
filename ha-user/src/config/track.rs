//! What counts for an instance: the lists `track_interfaces` and `track_checks` of
//! instances and sync groups.

use std::{collections::HashMap, ops::Range};

use super::{
    diagnostic::Diagnostic,
    located::{Field, List, Located},
    model::{SyncGroup, TrackedCheck, TrackedInterface},
    names, range,
    raw::{RawCheckKind, RawConfig, RawInstance, RawTrackedCheck, RawTrackedInterface},
};

/// Greatest weight either way, as in keepalived: from the least priority to the
/// greatest.
pub(super) const MAX_WEIGHT: i64 = 253;

/// The greatest priority that a weight can lead to; 255 is the owner's.
const MAX_PRIORITY: i64 = 254;

/// How far apart the priorities of most published examples are.
const USUAL_GAP: i64 = 20;

/// What an instance or a group tracks.
#[derive(Debug, Default)]
pub(super) struct Tracked {
    pub(super) interfaces: Vec<TrackedInterface>,
    pub(super) checks: Vec<TrackedCheck>,
    entries: Vec<Entry>,
}

/// What the warnings have to know of an entry.
#[derive(Clone, Debug)]
struct Entry {
    /// As in "the weight of eth1".
    name: String,
    /// Whether it is an interface, not a check.
    interface: bool,
    weight: i16,
    /// A number is multiplied with the weight, so it may pull both ways.
    number: bool,
    /// Of its weight, or of the whole where it has none.
    span: Range<usize>,
}

/// The lists of one instance or group; complaints.
pub(super) fn check(
    raw: &RawConfig,
    interfaces: &Field<List<RawTrackedInterface>>,
    checks: &Field<List<RawTrackedCheck>>,
    diagnostics: &mut Vec<Diagnostic>,
) -> Tracked {
    let mut reader = Reader {
        raw,
        tracked: Tracked::default(),
        diagnostics,
    };
    reader.interfaces(interfaces.entries());
    reader.checks(checks.entries());
    reader.tracked
}

struct Reader<'a> {
    raw: &'a RawConfig,
    tracked: Tracked,
    diagnostics: &'a mut Vec<Diagnostic>,
}

impl Reader<'_> {
    fn interfaces(&mut self, entries: &[Located<RawTrackedInterface>]) {
        let mut seen = HashMap::new();
        for entry in entries {
            let it = &entry.value;
            let weight = self.weight(&it.weight, "interface is down");
            let Some(name) = names::interface(&it.name, self.diagnostics) else {
                continue;
            };
            if self.is_second(&mut seen, &it.name, "interface") {
                continue;
            }
            let weight = weight.unwrap_or(0);
            self.tracked.entries.push(Entry {
                name: name.clone(),
                interface: true,
                weight,
                number: false,
                span: span(&it.weight, entry),
            });
            self.tracked.interfaces.push(TrackedInterface {
                name,
                weight,
                reverse: it.reverse.given().is_some_and(|reverse| reverse.value),
            });
        }
    }

    fn checks(&mut self, entries: &[Located<RawTrackedCheck>]) {
        let mut seen = HashMap::new();
        for entry in entries {
            let it = &entry.value;
            let weight = self.weight(&it.weight, "check fails");
            let Some(check) = self.place(&it.name) else {
                continue;
            };
            if self.is_second(&mut seen, &it.name, "check") {
                continue;
            }
            let raw = &self.raw.checks[check];
            // What the check says for those who say nothing; complained of there.
            let default = raw.weight.given();
            let default = default.filter(|it| (-MAX_WEIGHT..=MAX_WEIGHT).contains(&it.value));
            let default = default.and_then(|it| i16::try_from(it.value).ok());
            let weight = weight.or(default).unwrap_or(0);
            let reverse = it.reverse.given().or(raw.reverse.given());
            let is_file = matches!(raw.kind.given(), Some(it) if it.value == RawCheckKind::File);
            self.tracked.entries.push(Entry {
                name: format!("check {}", it.name.value),
                interface: false,
                weight,
                number: is_file && raw.number.given().is_some_and(|number| number.value),
                span: span(&it.weight, entry),
            });
            self.tracked.checks.push(TrackedCheck {
                check,
                weight,
                reverse: reverse.is_some_and(|reverse| reverse.value),
            });
        }
    }

    fn weight(&mut self, field: &Field<i64>, event: &str) -> Option<i16> {
        let help = format!("0, the default, puts the instance into fault while the {event}");
        let range = -MAX_WEIGHT..=MAX_WEIGHT;
        range::number(field, "weight", &range, &help, self.diagnostics)
    }

    /// Complains if `name` is in `seen`, and puts it there.
    fn is_second<'n>(
        &mut self,
        seen: &mut HashMap<&'n str, &'n Range<usize>>,
        name: &'n Located<String>,
        what: &str,
    ) -> bool {
        let Some(first) = seen.insert(&name.value, &name.span) else {
            return false;
        };
        self.diagnostics.push(
            Diagnostic::error(
                name.span.clone(),
                format!("{} is tracked twice", name.value),
                format!("expected each {what} once"),
            )
            .related(first.clone(), "the first is here"),
        );
        true
    }

    /// The place of the check with that name, or a complaint that there is none.
    fn place(&mut self, name: &Located<String>) -> Option<usize> {
        let checks = &self.raw.checks;
        let known = || checks.iter().filter_map(|check| check.name.given());
        let place = checks.iter().position(|check| {
            let given = check.name.given();
            given.is_some_and(|given| given.value == name.value)
        });
        // A check whose name could not be read may be the one.
        let all_known = known().count() == checks.len() && !self.raw.bad_checks;
        if place.is_none() && all_known {
            let meant = names::nearest(&name.value, known().map(|name| name.value.as_str()));
            self.diagnostics.push(
                Diagnostic::error(
                    name.span.clone(),
                    format!("there is no check {:?}", name.value),
                    match meant {
                        Some(meant) => format!("did you mean {meant:?}?"),
                        None => "expected the name of a check of this file".to_owned(),
                    },
                )
                .help("a check has a section of its own, [[check]], with its name and kind"),
            );
        }
        place
    }
}

fn span<T>(weight: &Field<i64>, entry: &Located<T>) -> Range<usize> {
    weight.given().map_or(&entry.span, |it| &it.span).clone()
}

/// Warnings about entries that cannot change anything. `own` are those of the
/// instances, in their order; each group comes with its own.
pub(super) fn warn(
    raw: &RawConfig,
    own: &[Tracked],
    groups: &[(SyncGroup, Tracked)],
    diagnostics: &mut Vec<Diagnostic>,
) {
    let groups_of = |place: usize| {
        let groups = groups.iter();
        groups.filter(move |(group, _)| group.members.contains(&place))
    };
    // All that counts for the instance at `place`.
    let all = |place: usize| -> Vec<&Entry> {
        let by_groups = groups_of(place).flat_map(|(_, tracked)| &tracked.entries);
        own[place].entries.iter().chain(by_groups).collect()
    };
    let mut note: Option<(Diagnostic, usize)> = None;
    for (place, instance) in raw.instances.iter().enumerate() {
        let all = all(place);
        // What is so with one is often so with all: it is said once.
        match (reach(instance, &all), &mut note) {
            (Some(_), Some((_, others))) => *others += 1,
            (Some(new), none) => *none = Some((new, 0)),
            (None, _) => {}
        }
        for entry in &own[place].entries {
            diagnostics.extend(void(instance, entry, &all));
            let by_group = groups_of(place).find(|(_, tracked)| {
                let mut entries = tracked.entries.iter();
                entries.any(|it| (&it.name, it.interface) == (&entry.name, entry.interface))
            });
            if let Some((group, _)) = by_group {
                diagnostics.push(
                    Diagnostic::warning(
                        entry.span.clone(),
                        format!("{} counts twice for this instance", entry.name),
                        format!("its sync group {} tracks it too", group.name),
                    )
                    .help("remove one of the two entries"),
                );
            }
        }
    }
    if let Some((mut note, others)) = note {
        if others > 0 {
            note.message
                .push_str(&format!(" (and in {others} more instances)"));
        }
        diagnostics.push(note);
    }
    for (group, tracked) in groups {
        for entry in &tracked.entries {
            let mut members = group.members.iter();
            let void = |place: &usize| void(&raw.instances[*place], entry, &all(*place));
            // Where it counts for one of them it is not in vain.
            let first = members.next().and_then(void);
            diagnostics.extend(first.filter(|_| members.all(|place| void(place).is_some())));
        }
    }
}

/// How far the weights of what counts for the instance reach, if that is less
/// than priorities are usually apart: whether it is enough only the other routers'
/// configurations say.
fn reach(instance: &RawInstance, all: &[&Entry]) -> Option<Diagnostic> {
    let priority = match &instance.priority {
        Field::Absent => 100,
        Field::Bad => return None,
        Field::Given(priority) => priority.value,
    };
    let own = instance.interface.given();
    let is_own = |entry: &Entry| entry.interface && own.is_some_and(|own| own.value == entry.name);
    let weighted = || {
        let all = all.iter();
        all.filter(|entry| entry.weight != 0 && !is_own(entry))
    };
    let first = weighted().next()?;
    if priority == 255 || weighted().any(|entry| entry.number) {
        return None;
    }
    let sum = |signum: i16| -> i64 {
        let these = weighted().filter(|entry| entry.weight.signum() == signum);
        these.map(|entry| i64::from(entry.weight)).sum()
    };
    let bound = |sum: i64| (priority + sum).clamp(1, MAX_PRIORITY);
    let (least, most) = (bound(sum(-1)), bound(sum(1)));
    if most == least || most - least >= USUAL_GAP || least == 1 {
        return None;
    }
    Some(
        Diagnostic::note(
            first.span.clone(),
            format!(
                "all weights together change the priority by {}",
                most - least
            ),
            format!(
                "it is {least} to {most}: a router of priority {least} or less never takes over for it"
            ),
        )
        .help(format!(
            "see that the other routers' priorities are nearer than that; many examples have them \
             {USUAL_GAP} apart"
        )),
    )
}

/// A warning if the entry, which is one of `all`, cannot change anything for the
/// instance.
fn void(instance: &RawInstance, entry: &Entry, all: &[&Entry]) -> Option<Diagnostic> {
    let Entry { name, weight, .. } = entry;
    let priority = match &instance.priority {
        Field::Absent => 100,
        Field::Bad => return None,
        Field::Given(priority) => priority.value,
    };
    let interface = instance.interface.given();
    let own = entry.interface && interface.is_some_and(|interface| interface.value == *name);
    // Whether something makes room for a weight that pulls up, or down.
    let pulls = |up: bool| {
        let signum = if up { 1 } else { -1 };
        all.iter()
            .any(|it| it.weight.signum() == signum || (it.number && it.weight != 0))
    };
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
    } else if *weight == 0 {
        return None;
    } else {
        let (why, help) = match priority {
            255 => (
                "priority 255 is never weighted",
                "take a priority of at most 254, or leave the weight out",
            ),
            1 if *weight < 0 && !pulls(true) => (
                "priority 1 is the least there is",
                "take a greater priority",
            ),
            MAX_PRIORITY if *weight > 0 && !pulls(false) => (
                "weights do not raise a priority beyond 254",
                "take a lower priority, or a negative weight",
            ),
            _ => return None,
        };
        (format!("the weight of {name} never counts"), why, help)
    };
    Some(Diagnostic::warning(entry.span.clone(), message, why).help(help))
}
