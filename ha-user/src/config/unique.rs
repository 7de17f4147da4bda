//! What no two instances may have in common.

use std::{collections::HashMap, net::IpAddr, ops::Range};

use ha_common::types::AddressFamily;

use super::{
    diagnostic::Diagnostic,
    raw::{RawConfig, RawInstance},
};

/// Adds what it finds to `diagnostics`.
pub(super) fn check(raw: &RawConfig, diagnostics: &mut Vec<Diagnostic>) {
    names(raw, diagnostics);
    routers(raw, diagnostics);
    addresses(raw, diagnostics);
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

/// One address twice on one interface is an error; on two interfaces it is
/// an oddity, unless it is link-local.
fn addresses(raw: &RawConfig, diagnostics: &mut Vec<Diagnostic>) {
    let mut seen: HashMap<IpAddr, (Option<&str>, &Range<usize>)> = HashMap::new();
    for instance in &raw.instances {
        let interface = instance
            .interface
            .given()
            .map(|interface| interface.value.as_str());
        for address in instance
            .addresses
            .given()
            .into_iter()
            .flat_map(|list| &list.value)
        {
            let ip = address.value.address;
            let Some((elsewhere, first)) = seen.get(&ip) else {
                seen.insert(ip, (interface, &address.span));
                continue;
            };
            let link_local = matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local());
            let diagnostic = if *elsewhere == interface {
                Diagnostic::error(
                    address.span.clone(),
                    format!("{ip} is listed twice"),
                    "expected each address once per interface",
                )
            } else if link_local {
                continue;
            } else {
                Diagnostic::warning(
                    address.span.clone(),
                    format!("{ip} is listed on two interfaces"),
                    "which of them serves it is left to chance",
                )
            };
            diagnostics.push(diagnostic.related((*first).clone(), "the first is here"));
        }
    }
}

/// The family that the instance says, or that of its first address.
fn named_family(raw: &RawInstance) -> Option<AddressFamily> {
    raw.family.given().map(|family| family.value).or_else(|| {
        let addresses = raw.addresses.given()?;
        addresses
            .value
            .first()
            .map(|address| AddressFamily::of(address.value.address))
    })
}
