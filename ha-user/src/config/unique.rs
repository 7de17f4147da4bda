//! What no two instances may have in common.

use std::{collections::HashMap, net::IpAddr, ops::Range};

use ha_common::types::AddressFamily;

use super::{
    diagnostic::Diagnostic,
    located::{Field, Located},
    raw::{RawAddressEntry, RawConfig, RawInstance},
};

/// Adds what it finds to `diagnostics`.
pub(super) fn check(raw: &RawConfig, diagnostics: &mut Vec<Diagnostic>) {
    names(raw, diagnostics);
    routers(raw, diagnostics);
    addresses(raw, diagnostics);
    virtual_macs(raw, diagnostics);
}

fn names(raw: &RawConfig, diagnostics: &mut Vec<Diagnostic>) {
    let mut seen: HashMap<&str, &Range<usize>> = HashMap::new();
    for name in raw
        .instances
        .iter()
        .filter_map(|instance| instance.name.given())
    {
        match seen.get(name.value.as_str()) {
            None => {
                seen.insert(&name.value, &name.span);
            }
            Some(first) => diagnostics.push(
                Diagnostic::error(
                    name.span.clone(),
                    format!("a second instance with the name {:?}", name.value),
                    "expected a name that no other instance has",
                )
                .related((*first).clone(), "the first is here"),
            ),
        }
    }
}

fn routers(raw: &RawConfig, diagnostics: &mut Vec<Diagnostic>) {
    let mut seen: HashMap<(&str, i64, AddressFamily), &Range<usize>> = HashMap::new();
    for instance in &raw.instances {
        let (Some(interface), Some(vrid), Some(family)) = (
            instance.interface.given(),
            instance.vrid.given(),
            named_family(instance),
        ) else {
            continue;
        };
        match seen.get(&(interface.value.as_str(), vrid.value, family)) {
            None => {
                seen.insert((&interface.value, vrid.value, family), &vrid.span);
            }
            Some(first) => diagnostics.push(
                Diagnostic::error(
                    vrid.span.clone(),
                    format!(
                        "a second {family} instance with VRID {} on {}",
                        vrid.value, interface.value
                    ),
                    "expected a VRID that is free on this interface",
                )
                .related((*first).clone(), "the first is here")
                .help("addresses that move together belong into one instance"),
            ),
        }
    }
}

/// One address twice on one link is an error; on two it is an oddity, unless it
/// is link-local.
fn addresses(raw: &RawConfig, diagnostics: &mut Vec<Diagnostic>) {
    let mut on_link: HashMap<(IpAddr, Option<&str>), &Range<usize>> = HashMap::new();
    let mut anywhere: HashMap<IpAddr, &Range<usize>> = HashMap::new();
    for (instance, entry) in all_addresses(raw) {
        let ip = entry.value.ip();
        let interface = link(instance, &entry.value);
        let twice = on_link.get(&(ip, interface)).copied();
        let Some(first) = twice.or_else(|| anywhere.get(&ip).copied()) else {
            on_link.insert((ip, interface), &entry.span);
            anywhere.insert(ip, &entry.span);
            continue;
        };
        on_link.entry((ip, interface)).or_insert(&entry.span);
        let link_local = matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local());
        let diagnostic = if twice.is_some() {
            Diagnostic::error(
                entry.span.clone(),
                format!("{ip} is listed twice"),
                "expected each address once per interface",
            )
        } else if link_local {
            continue;
        } else {
            Diagnostic::warning(
                entry.span.clone(),
                format!("{ip} is listed on two interfaces"),
                "which of them serves it is left to chance",
            )
        };
        diagnostics.push(diagnostic.related(first.clone(), "the first is here"));
    }
}

fn all_addresses(
    raw: &RawConfig,
) -> impl Iterator<Item = (&RawInstance, &Located<RawAddressEntry>)> {
    raw.instances.iter().flat_map(|instance| {
        let entries = instance.all_addresses();
        entries.map(move |entry| (instance, entry))
    })
}

/// The interface whose link the address is on. The one with a virtual MAC address
/// is on the link of the instance's.
fn link<'a>(instance: &'a RawInstance, entry: &'a RawAddressEntry) -> Option<&'a str> {
    let own = instance
        .virtual_mac
        .given()
        .and_then(|virtual_mac| virtual_mac.value.name());
    let name = |field: &'a Field<String>| field.given().map(|name| name.value.as_str());
    name(&entry.interface)
        .filter(|name| own != Some(name))
        .or_else(|| name(&instance.interface))
}

/// An interface with a virtual MAC address belongs to one instance: it is made by
/// it and up only while that is Active.
fn virtual_macs(raw: &RawConfig, diagnostics: &mut Vec<Diagnostic>) {
    let mut owners: HashMap<&str, (usize, &Range<usize>)> = HashMap::new();
    for (place, instance) in raw.instances.iter().enumerate() {
        let Some(given) = instance.virtual_mac.given() else {
            continue;
        };
        let Some(name) = given.value.name() else {
            continue;
        };
        let taken = raw.instances.iter().filter_map(|one| one.interface.given());
        if let Some(taken) = taken.clone().find(|taken| taken.value == name) {
            diagnostics.push(
                Diagnostic::error(
                    given.span.clone(),
                    format!("virtual_mac has the name of the interface {name:?}"),
                    "expected a name that no other interface has",
                )
                .related(taken.span.clone(), "an instance runs on it")
                .help("it names an interface that Harrier makes; true leaves the name to Harrier"),
            );
        } else if let Some((_, first)) = owners.get(name) {
            diagnostics.push(
                Diagnostic::error(
                    given.span.clone(),
                    format!("a second virtual_mac with the name {name:?}"),
                    "expected a name that no other interface has",
                )
                .related((*first).clone(), "the first is here")
                .help("virtual_mac = true leaves the name to Harrier"),
            );
        } else {
            owners.insert(name, (place, &given.span));
        }
    }
    let mut complain = |name: &Located<String>, what: &str, help: &str, except: Option<usize>| {
        let Some((owner, first)) = owners.get(name.value.as_str()) else {
            return;
        };
        if except == Some(*owner) {
            return;
        }
        diagnostics.push(
            Diagnostic::error(
                name.span.clone(),
                format!("{what} {:?} is the name of a virtual_mac", name.value),
                "expected an interface that is there at all times",
            )
            .related((*first).clone(), "the name is given here")
            .help(help),
        );
    };
    for (place, instance) in raw.instances.iter().enumerate() {
        for entry in instance.all_addresses() {
            if let Some(interface) = entry.value.interface.given() {
                let help = "it is up only while the instance that it belongs to is Active";
                complain(interface, "the interface", help, Some(place));
            }
        }
        for entry in instance.track_interfaces.entries() {
            let help = "it is up only while the instance is Active; track what it is made on";
            complain(&entry.value.name, "the tracked interface", help, None);
        }
    }
    let by_groups = raw.sync_groups.iter();
    let by_groups = by_groups.flat_map(|group| group.track_interfaces.entries());
    let by_groups = by_groups.map(|entry| &entry.value.name);
    let by_checks = raw
        .checks
        .iter()
        .filter_map(|check| check.interface.given());
    for name in by_groups.chain(by_checks) {
        let help = "it is up only while its instance is Active; track what it is made on";
        complain(name, "the tracked interface", help, None);
    }
}

/// The family that the instance says, or that of its first address.
fn named_family(raw: &RawInstance) -> Option<AddressFamily> {
    raw.family.given().map(|family| family.value).or_else(|| {
        let first = raw.addresses.entries().first()?;
        Some(AddressFamily::of(first.value.ip()))
    })
}
