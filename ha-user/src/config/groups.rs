//! Instances that move together: the sections `[[sync_group]]`.

use std::{collections::HashMap, ops::Range};

use super::{
    diagnostic::Diagnostic,
    located::Located,
    model::SyncGroup,
    names,
    notify::{self, Whose},
    raw::{RawConfig, RawSyncGroup},
    track::{self, Tracked},
};

const EXAMPLE: &str = "expected a line such as instances = [\"web\", \"web6\"]";

/// The groups with what they track; complaints about them.
pub(super) fn check(
    raw: &RawConfig,
    diagnostics: &mut Vec<Diagnostic>,
) -> Vec<(SyncGroup, Tracked)> {
    let mut check = Check {
        raw,
        members: HashMap::new(),
        diagnostics,
    };
    let fifos = !raw.notify_fifos.entries().is_empty();
    let mut seen: HashMap<&str, &Range<usize>> = HashMap::new();
    let mut groups = Vec::new();
    for group in &raw.sync_groups {
        let name = check.name(group);
        if let Some(name) = group.name.given()
            && let Some(first) = seen.insert(&name.value, &name.span)
        {
            check.diagnostics.push(
                Diagnostic::error(
                    name.span.clone(),
                    format!("a second sync group with the name {:?}", name.value),
                    "expected a name that no other group has",
                )
                .related(first.clone(), "the first is here"),
            );
        }
        let members = check.members(group);
        let tracked = track::check(
            raw,
            &group.track_interfaces,
            &group.track_checks,
            check.diagnostics,
        );
        groups.extend(name.map(|name| {
            let group = SyncGroup {
                name,
                members,
                track_interfaces: tracked.interfaces.clone(),
                track_checks: tracked.checks.clone(),
                notify: notify::check(&group.notify, Whose::Group, fifos, check.diagnostics),
            };
            (group, tracked)
        }));
    }
    groups
}

struct Check<'a> {
    raw: &'a RawConfig,
    /// Instances that are in a group, and where that is said.
    members: HashMap<usize, &'a Range<usize>>,
    diagnostics: &'a mut Vec<Diagnostic>,
}

impl<'a> Check<'a> {
    fn name(&mut self, group: &RawSyncGroup) -> Option<String> {
        if group.name.is_absent() {
            self.diagnostics.push(Diagnostic::error(
                group.head.clone(),
                "this sync group has no name",
                "expected a line such as name = \"edge\"",
            ));
        }
        names::name(group.name.given()?, self.diagnostics)
    }

    fn members(&mut self, group: &'a RawSyncGroup) -> Vec<usize> {
        let Some(list) = group.instances.given() else {
            if group.instances.is_absent() {
                self.diagnostics.push(Diagnostic::error(
                    group.head.clone(),
                    "this sync group has no instances",
                    EXAMPLE,
                ));
            }
            return Vec::new();
        };
        let entries = &list.value.entries;
        if entries.is_empty() && !list.value.incomplete {
            self.diagnostics.push(
                Diagnostic::error(
                    list.span.clone(),
                    "a sync group of no instances",
                    "expected the names of at least two instances",
                )
                .help("an instance that moves alone needs no group"),
            );
        } else if entries.len() == 1 && !list.value.incomplete {
            self.diagnostics.push(
                Diagnostic::warning(
                    list.span.clone(),
                    "a sync group of one instance",
                    "there is nothing to keep it together with",
                )
                .help("an instance that moves alone needs no group"),
            );
        }
        entries
            .iter()
            .filter_map(|entry| self.member(entry))
            .collect()
    }

    fn member(&mut self, entry: &'a Located<String>) -> Option<usize> {
        let instances = &self.raw.instances;
        let names = || instances.iter().filter_map(|one| one.name.given());
        let place = instances.iter().position(|instance| {
            let name = instance.name.given();
            name.is_some_and(|name| name.value == entry.value)
        });
        let Some(place) = place else {
            // An instance whose name could not be read may be the one.
            if names().count() < instances.len() || self.raw.bad_instances {
                return None;
            }
            let meant = names::nearest(&entry.value, names().map(|name| name.value.as_str()));
            self.diagnostics.push(
                Diagnostic::error(
                    entry.span.clone(),
                    format!("there is no instance {:?}", entry.value),
                    match meant {
                        Some(meant) => format!("did you mean {meant:?}?"),
                        None => "expected the name of an instance of this file".to_owned(),
                    },
                )
                .help("an instance's name is the one in its own section, not its interface"),
            );
            return None;
        };
        if let Some(first) = self.members.insert(place, &entry.span) {
            self.diagnostics.push(
                Diagnostic::error(
                    entry.span.clone(),
                    format!("{:?} is in a sync group already", entry.value),
                    "expected each instance in one group, and once",
                )
                .related(first.clone(), "it is listed here")
                .help("instances that move with it belong into that group"),
            );
        }
        Some(place)
    }
}
