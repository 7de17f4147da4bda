//! What a new configuration changes: which instances stay, which come and go, and
//! what is different, in words. Pure.

use std::{collections::BTreeSet, fmt::Display};

use crate::{
    config::{Config, InstanceConfig, TrackedCheck, format_duration},
    control::protocol::{InstanceChange, Reloaded},
};

/// What becomes of the instances, by their places in the old and the new
/// configuration.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Comparison {
    /// Those that stay what they are, as (old, new).
    pub(super) kept: Vec<(usize, usize)>,
    /// Old ones that go; one that is another virtual router by the new configuration
    /// goes and comes.
    pub(super) leaving: Vec<usize>,
    /// New ones that come.
    pub(super) added: Vec<usize>,
}

/// Why a configuration needs a restart.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NeedsRestart {
    /// How the kernel program is attached.
    #[error("xdp_mode cannot change while the daemon runs: restart it")]
    XdpMode,
    /// The maps of the kernel program are too small.
    #[error(
        "the configuration needs room for {needed} {what} in the kernel's maps, and there is room \
         for {there}: restart the daemon"
    )]
    Maps {
        /// Of what.
        what: &'static str,
        /// How many there would be.
        needed: usize,
        /// How many there can be.
        there: usize,
    },
}

/// What becomes of the instances of `old` when `new` is in effect.
///
/// # Errors
/// [`NeedsRestart::XdpMode`].
pub(super) fn compare(old: &Config, new: &Config) -> Result<Comparison, NeedsRestart> {
    if old.xdp_mode != new.xdp_mode {
        return Err(NeedsRestart::XdpMode);
    }
    let mut comparison = Comparison::default();
    for (place, instance) in new.instances.iter().enumerate() {
        let mut before = old.instances.iter().enumerate();
        match before.find(|(_, before)| is_same(before, instance)) {
            Some((before, _)) => comparison.kept.push((before, place)),
            None => comparison.added.push(place),
        }
    }
    let stays = |place: &usize| comparison.kept.iter().any(|(old, _)| old == place);
    comparison.leaving = (0..old.instances.len())
        .filter(|place| !stays(place))
        .collect();
    Ok(comparison)
}

/// Whether the two are one virtual router, which can go from one to the other
/// without letting go of anything: the same name, and the same to the kernel program
/// and to the other routers.
fn is_same(old: &InstanceConfig, new: &InstanceConfig) -> bool {
    let source = |config: &InstanceConfig| config.unicast.as_ref().map(|unicast| unicast.source);
    old.name == new.name
        && (&old.interface, old.vrid, old.family) == (&new.interface, new.vrid, new.family)
        && old.version == new.version
        && old.virtual_mac == new.virtual_mac
        && source(old) == source(new)
}

/// Whether the two cannot be attached at the same time, because they would be one
/// to the kernel program or have one interface of their own.
pub(super) fn excludes(old: &InstanceConfig, new: &InstanceConfig) -> bool {
    let own = |config: &InstanceConfig| config.virtual_mac.as_ref().and_then(|it| it.name.clone());
    (&old.interface, old.vrid, old.family) == (&new.interface, new.vrid, new.family)
        || (own(old).is_some() && own(old) == own(new))
}

/// Whether an instance that stays needs other sockets, rows or items.
pub(super) fn needs_attachment(old: &InstanceConfig, new: &InstanceConfig) -> bool {
    old.addresses != new.addresses
        || old.excluded_addresses != new.excluded_addresses
        || old.routes != new.routes
        || old.rules != new.rules
        || old.unicast != new.unicast
}

impl Comparison {
    /// What is different, for whoever asked for the reload.
    pub(super) fn describe(&self, old: &Config, new: &Config) -> Reloaded {
        let names = |config: &Config, places: &[usize]| -> BTreeSet<String> {
            let name = |place: &usize| config.instances[*place].name.clone();
            places.iter().map(name).collect()
        };
        let leaving = names(old, &self.leaving);
        let added = names(new, &self.added);
        let changed = self.kept.iter().filter_map(|(before, after)| {
            let (before, after) = (&old.instances[*before], &new.instances[*after]);
            let changes = differences(before, after, old, new);
            (!changes.is_empty()).then(|| InstanceChange {
                name: after.name.clone(),
                changes,
            })
        });
        Reloaded {
            changed: changed.collect(),
            added: added.difference(&leaving).cloned().collect(),
            removed: leaving.difference(&added).cloned().collect(),
            replaced: leaving.intersection(&added).cloned().collect(),
            other: others(old, new),
        }
    }
}

/// What is different for one instance that stays.
fn differences(
    old: &InstanceConfig,
    new: &InstanceConfig,
    all_old: &Config,
    all_new: &Config,
) -> Vec<String> {
    let mut lines = Vec::new();
    let mut value = |name: &str, old: &dyn Display, new: &dyn Display| {
        let (old, new) = (old.to_string(), new.to_string());
        if old != new {
            lines.push(format!("{name} {old} -> {new}"));
        }
    };
    let span = format_duration;
    value("priority", &old.priority, &new.priority);
    value(
        "advert_interval",
        &span(old.advert_interval),
        &span(new.advert_interval),
    );
    value("preempt", &old.preempt, &new.preempt);
    value(
        "preempt_delay",
        &span(old.preempt_delay),
        &span(new.preempt_delay),
    );
    value("quick_preempt", &old.quick_preempt, &new.quick_preempt);
    value("accept", &old.accept, &new.accept);
    list(
        "address",
        &old.addresses,
        &new.addresses,
        &mut lines,
        ToString::to_string,
    );
    list(
        "excluded address",
        &old.excluded_addresses,
        &new.excluded_addresses,
        &mut lines,
        ToString::to_string,
    );
    list("route", &old.routes, &new.routes, &mut lines, |route| {
        route.destination.to_string()
    });
    list("rule", &old.rules, &new.rules, &mut lines, |rule| {
        format!("to table {}", rule.table)
    });
    let peers = |config: &InstanceConfig| -> Vec<_> {
        let unicast = config.unicast.as_ref();
        unicast.map(|it| it.peers.clone()).unwrap_or_default()
    };
    list(
        "peer",
        &peers(old),
        &peers(new),
        &mut lines,
        ToString::to_string,
    );
    let min_ttl = |config: &InstanceConfig| config.unicast.as_ref().map(|it| it.min_ttl);
    // Of these the values say little, or are secrets.
    for (name, is_different) in [
        ("checksum", old.checksum != new.checksum),
        ("password", old.password != new.password),
        ("min_ttl", min_ttl(old) != min_ttl(new)),
        (
            "any_first_address",
            old.any_first_address != new.any_first_address,
        ),
        ("announce", old.announce != new.announce),
        (
            "track_interfaces",
            old.track_interfaces != new.track_interfaces,
        ),
        ("track_checks", {
            tracked_checks(all_old, &old.track_checks) != tracked_checks(all_new, &new.track_checks)
        }),
        ("notify", old.notify != new.notify),
    ] {
        if is_different {
            lines.push(format!("{name} changed"));
        }
    }
    lines
}

/// A line for each element that is in one list only; one that is in both but is not
/// quite the same, or elsewhere, has changed.
fn list<T: PartialEq>(
    name: &str,
    old: &[T],
    new: &[T],
    lines: &mut Vec<String>,
    text: impl Fn(&T) -> String,
) {
    let texts = |list: &[T]| list.iter().map(&text).collect::<BTreeSet<_>>();
    let before = lines.len();
    let (was, is) = (texts(old), texts(new));
    lines.extend(is.difference(&was).map(|it| format!("{name} {it} added")));
    lines.extend(was.difference(&is).map(|it| format!("{name} {it} removed")));
    if lines.len() == before && old != new {
        lines.push(format!("{name} list changed"));
    }
}

/// What is different beside the instances.
fn others(old: &Config, new: &Config) -> Vec<String> {
    let mut lines = Vec::new();
    named("sync group", &groups(old), &groups(new), &mut lines);
    let checks = |config: &Config| -> Vec<_> {
        let checks = config.checks.iter();
        checks.map(|it| (it.name.clone(), it.clone())).collect()
    };
    named("check", &checks(old), &checks(new), &mut lines);
    for (name, is_different) in [
        ("startup_delay", old.startup_delay != new.startup_delay),
        ("announce_gap", old.announce_gap != new.announce_gap),
        ("cpu_affinity", old.cpu_affinity != new.cpu_affinity),
        ("script_user", old.script_user != new.script_user),
        (
            "script_security",
            old.script_security != new.script_security,
        ),
        ("notify_fifos", old.notify_fifos != new.notify_fifos),
    ] {
        if is_different {
            lines.push(format!("{name} changed"));
        }
    }
    lines
}

/// The sync groups by name. Places in lists are no difference, names are.
fn groups(config: &Config) -> Vec<(String, impl PartialEq)> {
    let groups = config.sync_groups.iter();
    groups
        .map(|group| {
            let members = group.members.iter();
            let members: Vec<String> = members
                .map(|place| config.instances[*place].name.clone())
                .collect();
            let interfaces = group.track_interfaces.clone();
            let checks = tracked_checks(config, &group.track_checks);
            let value = (members, interfaces, checks, group.notify.clone());
            (group.name.clone(), value)
        })
        .collect()
}

fn tracked_checks(config: &Config, tracked: &[TrackedCheck]) -> Vec<(String, i16, bool)> {
    let tracked = tracked.iter();
    tracked
        .map(|it| (config.checks[it.check].name.clone(), it.weight, it.reverse))
        .collect()
}

fn named<T: PartialEq>(
    what: &str,
    old: &[(String, T)],
    new: &[(String, T)],
    lines: &mut Vec<String>,
) {
    for (name, value) in new {
        match old.iter().find(|(other, _)| other == name) {
            None => lines.push(format!("{what} {name} added")),
            Some((_, before)) if before != value => lines.push(format!("{what} {name} changed")),
            Some(_) => {}
        }
    }
    for (name, _) in old {
        if new.iter().all(|(other, _)| other != name) {
            lines.push(format!("{what} {name} removed"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::parse;

    const WEB: &str = "[[instance]]\nname = \"web\"\ninterface = \"eth0\"\nvrid = 51\n\
                       priority = 100\naddresses = [\"10.0.0.100/24\"]\n";
    const DB: &str = "[[instance]]\nname = \"db\"\ninterface = \"eth0\"\nvrid = 52\n\
                      priority = 100\naddresses = [\"10.0.0.200/24\"]\n";

    fn config(text: &str) -> Config {
        parse(text).unwrap().0
    }

    fn compared(old: &str, new: &str) -> (Comparison, Vec<String>) {
        let (old, new) = (config(old), config(new));
        let comparison = compare(&old, &new).unwrap();
        let lines = comparison.describe(&old, &new).lines().collect();
        (comparison, lines)
    }

    #[test]
    fn the_same_is_kept_wherever_it_stands() {
        let (comparison, lines) = compared(&format!("{WEB}{DB}"), &format!("{DB}{WEB}"));
        assert_eq!(comparison.kept, [(1, 0), (0, 1)]);
        assert_eq!((comparison.leaving, comparison.added), (vec![], vec![]));
        assert_eq!(lines, [""; 0]);
    }

    #[test]
    fn instances_come_and_go() {
        let (comparison, lines) = compared(WEB, DB);
        assert_eq!(comparison.kept, []);
        assert_eq!((comparison.leaving, comparison.added), (vec![0], vec![0]));
        assert_eq!(lines, ["db: added", "web: removed"]);
    }

    #[test]
    fn what_the_others_know_it_by_makes_another_router() {
        let v2 = "version = 2\nadvert_interval = \"1s\"\n";
        let unicast = "unicast = { source = \"10.0.0.1\", peers = [\"10.0.0.2\"] }\n";
        for new in [
            WEB.replace("eth0", "eth1"),
            WEB.replace("vrid = 51", "vrid = 53"),
            WEB.replace("10.0.0.100/24", "fe80::1/64"),
            format!("{WEB}{v2}"),
            format!("{WEB}{unicast}"),
            format!("{WEB}virtual_mac = true\n"),
        ] {
            let (comparison, lines) = compared(WEB, &new);
            assert_eq!(
                (comparison.leaving, comparison.added),
                (vec![0], vec![0]),
                "{new}"
            );
            assert_eq!(lines, ["web: another virtual router, replaced"], "{new}");
        }
    }

    #[test]
    fn what_changes_in_place_is_named_with_its_values() {
        let new = WEB
            .replace("priority = 100", "priority = 120\npreempt = false")
            .replace("10.0.0.100/24", "10.0.0.101/24\", \"10.0.0.102/24");
        let (comparison, lines) = compared(WEB, &new);
        assert_eq!(comparison.kept, [(0, 0)]);
        assert_eq!(
            lines,
            [
                "web: priority 100 -> 120",
                "web: preempt true -> false",
                "web: address 10.0.0.101/24 added",
                "web: address 10.0.0.102/24 added",
                "web: address 10.0.0.100/24 removed",
            ]
        );
        let (old, new) = (config(WEB), config(&new));
        assert!(needs_attachment(&old.instances[0], &new.instances[0]));
        let labelled = WEB.replace(
            "\"10.0.0.100/24\"",
            "{ address = \"10.0.0.100/24\", label = \"eth0:1\" }",
        );
        assert_eq!(compared(WEB, &labelled).1, ["web: address list changed"]);
        let raised = WEB.replace("priority = 100", "priority = 120");
        assert!(!needs_attachment(
            &old.instances[0],
            &config(&raised).instances[0]
        ));
    }

    #[test]
    fn a_password_changes_without_being_told() {
        let with = |password: &str| {
            format!("{WEB}version = 2\nadvert_interval = \"1s\"\npassword = \"{password}\"\n")
        };
        let (_, lines) = compared(&with("geheim"), &with("anders"));
        assert_eq!(lines, ["web: password changed"]);
    }

    #[test]
    fn groups_are_compared_by_names() {
        let group =
            |members: &str| format!("[[sync_group]]\nname = \"edge\"\ninstances = [{members}]\n");
        let both = format!("{WEB}{DB}");
        let grouped = format!("{both}{}", group("\"web\", \"db\""));
        assert_eq!(compared(&both, &grouped).1, ["sync group edge added"]);
        assert_eq!(compared(&grouped, &both).1, ["sync group edge removed"]);
        let turned = format!("{DB}{WEB}{}", group("\"web\", \"db\""));
        assert_eq!(compared(&grouped, &turned).1, [""; 0]);
    }

    #[test]
    fn how_the_program_is_attached_needs_a_restart() {
        let generic = config(&format!("xdp_mode = \"generic\"\n{WEB}"));
        assert_eq!(compare(&config(WEB), &generic), Err(NeedsRestart::XdpMode));
    }

    #[test]
    fn what_is_one_to_the_kernel_program_excludes_each_other() {
        let instance = |text: &str| config(text).instances[0].clone();
        let web = instance(WEB);
        let v2 = instance(&format!("{WEB}version = 2\nadvert_interval = \"1s\"\n"));
        assert!(excludes(&web, &v2));
        assert!(!excludes(&web, &instance(DB)));
        let own = |text: &str| instance(&format!("{text}virtual_mac = \"own0\"\n"));
        assert!(excludes(&own(WEB), &own(DB)));
        assert!(!excludes(&own(WEB), &instance(DB)));
    }
}
