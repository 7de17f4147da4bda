//! The lists of addresses of an instance, and the family that they settle.

use std::net::IpAddr;

use ha_common::types::{AddressFamily, Version};

use super::{
    address::{self, MTU},
    diagnostic::Diagnostic,
    located::{Field, Located},
    model::{AddressConfig, Scope, VirtualAddress},
    names,
    raw::{RawAddressEntry, RawInstance, RawVirtualMac},
};

/// The addresses of an instance.
pub(super) struct Addresses {
    pub(super) advertised: Vec<AddressConfig>,
    pub(super) excluded: Vec<AddressConfig>,
}

impl Addresses {
    pub(super) fn all(&self) -> impl Iterator<Item = VirtualAddress> {
        let entries = self.advertised.iter().chain(&self.excluded);
        entries.map(|entry| entry.address)
    }
}

/// The family that the settings agree on, or that the first of them names.
pub(super) fn family(
    raw: &RawInstance,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<AddressFamily> {
    let first = raw
        .addresses
        .entries()
        .first()
        .map(|entry| (AddressFamily::of(entry.value.ip()), &entry.span));
    match (raw.family.given(), first) {
        (Some(said), first) => {
            if let Some((family, span)) = first
                && family != said.value
            {
                diagnostics.push(
                    Diagnostic::error(
                        span.clone(),
                        format!("an {family} address in an {} instance", said.value),
                        format!("expected {} addresses only", said.value),
                    )
                    .related(said.span.clone(), "the family is said here")
                    .help("leave family out where there are addresses"),
                );
            }
            Some(said.value)
        }
        (None, Some((family, _))) => Some(family),
        (None, None) => {
            let list = raw.addresses.given();
            let known = matches!(raw.family, Field::Bad)
                || matches!(raw.addresses, Field::Bad)
                || list.is_some_and(|list| list.value.incomplete);
            if !known {
                diagnostics.push(
                    Diagnostic::error(
                        list.map_or(&raw.head, |list| &list.span).clone(),
                        "neither addresses nor a family",
                        "expected addresses, such as addresses = [\"10.77.0.100/16\"]",
                    )
                    .help(
                        "where something else moves the addresses, leave the list empty and \
                         say family = \"ipv4\" or family = \"ipv6\"",
                    ),
                );
            }
            None
        }
    }
}

/// The addresses of an instance of `family`; complaints about them. What does not
/// fit an advertisement counts as excluded.
pub(super) fn check(
    raw: &RawInstance,
    version: Option<Version>,
    family: Option<AddressFamily>,
    diagnostics: &mut Vec<Diagnostic>,
) -> Addresses {
    let mut advertised = Vec::new();
    for (place, entry) in raw.addresses.entries().iter().enumerate() {
        let ip = entry.value.ip();
        if let Some(family) = family
            && AddressFamily::of(ip) != family
        {
            // The first one has been held against `family` already.
            if place > 0 {
                diagnostics.push(
                    Diagnostic::error(
                        entry.span.clone(),
                        format!("{ip} in an {family} instance"),
                        format!("expected {family} addresses only"),
                    )
                    .help(
                        "an instance advertises one family; excluded_addresses takes both, and \
                         another instance may have the same vrid",
                    ),
                );
            }
            continue;
        }
        advertised.extend(address_config(raw, entry, diagnostics));
    }
    first_is_link_local(raw, family, diagnostics);
    let excluded = raw.excluded_addresses.entries();
    let excluded: Vec<_> = excluded
        .iter()
        .filter_map(|entry| address_config(raw, entry, diagnostics))
        .collect();
    let mut addresses = Addresses {
        advertised,
        excluded,
    };
    if let Some(family) = family {
        let version = version.unwrap_or(Version::V3);
        exclude_surplus(raw, version, family, &mut addresses, diagnostics);
    }
    addresses
}

fn first_is_link_local(
    raw: &RawInstance,
    family: Option<AddressFamily>,
    diagnostics: &mut Vec<Diagnostic>,
) {
    if let Some(list) = raw.addresses.given()
        && !list.value.incomplete
        && let Some(first) = list.value.entries.first()
        && let IpAddr::V6(v6) = first.value.ip()
        && family == Some(AddressFamily::Ipv6)
        && !v6.is_unicast_link_local()
        && !raw.any_first_address.given().is_some_and(|any| any.value)
    {
        diagnostics.push(
            Diagnostic::error(
                first.span.clone(),
                "the first IPv6 address is not link-local",
                "expected an address of fe80::/10 first (RFC 9568 §5.2.9)",
            )
            .help(
                "put a link-local address in front that only the virtual router has, such as \
                 \"fe80::51/64\"; any_first_address = true does without, as keepalived does",
            ),
        );
    }
}

/// The setting `any_first_address`; a complaint if it has no effect.
pub(super) fn any_first_address(
    raw: &RawInstance,
    family: Option<AddressFamily>,
    diagnostics: &mut Vec<Diagnostic>,
) -> bool {
    let Some(given) = raw.any_first_address.given().filter(|given| given.value) else {
        return false;
    };
    if family == Some(AddressFamily::Ipv4) {
        diagnostics.push(
            Diagnostic::warning(
                given.span.clone(),
                "any_first_address has no effect with IPv4",
                "only the first IPv6 address has to be link-local",
            )
            .help("remove the line"),
        );
        return false;
    }
    true
}

/// Moves what does not fit one advertisement to the excluded addresses.
fn exclude_surplus(
    raw: &RawInstance,
    version: Version,
    family: AddressFamily,
    addresses: &mut Addresses,
    diagnostics: &mut Vec<Diagnostic>,
) {
    let limit = address::limit(version, family);
    let count = addresses.advertised.len();
    if count <= limit {
        return;
    }
    let mut surplus = addresses.advertised.split_off(limit);
    surplus.append(&mut addresses.excluded);
    addresses.excluded = surplus;
    let span = raw.addresses.given().map_or(&raw.head, |list| &list.span);
    diagnostics.push(
        Diagnostic::warning(
            span.clone(),
            format!(
                "an advertisement holds {limit} of the {count} addresses; the last {} are handled \
                 as excluded_addresses",
                count - limit
            ),
            match family {
                AddressFamily::Ipv4 => "its count has 8 bits".to_owned(),
                AddressFamily::Ipv6 => format!("more do not fit a packet of {MTU} octets"),
            },
        )
        .help(format!(
            "all routers of the group have to do the same, or their address lists differ: give \
             each the same list in the same order (keepalived: the last {} under \
             virtual_ipaddress_excluded)",
            count - limit
        )),
    );
}

fn address_config(
    raw: &RawInstance,
    entry: &Located<RawAddressEntry>,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<AddressConfig> {
    let RawAddressEntry {
        address,
        interface,
        label,
        scope,
        prefix_route,
    } = &entry.value;
    let checked = address::check(address.value);
    if let Err(fault) = &checked {
        diagnostics.push(
            Diagnostic::error(address.span.clone(), fault.message.clone(), fault.expected)
                .help(fault.help),
        );
    }
    let interface = interface
        .given()
        .map(|name| names::interface(name, diagnostics));
    let label = label
        .given()
        .and_then(|label| self::label(raw, &entry.value, label, diagnostics));
    let mut config = AddressConfig::from(checked.ok()?);
    if let Some(scope) = scope.given() {
        if config.address.address.is_ipv4() {
            config.scope = scope.value;
        } else {
            diagnostics.push(
                Diagnostic::warning(
                    scope.span.clone(),
                    "scope has no effect on an IPv6 address",
                    "the kernel takes the scope from the address itself",
                )
                .help("remove it: addresses of fe80::/10 are of the link, others global"),
            );
            config.scope = Scope::Global;
        }
    }
    config.prefix_route = prefix_route.given().is_none_or(|route| route.value);
    config.label = label;
    config.interface = match interface {
        None => None,
        Some(name) => Some(name?).filter(|name| home(raw) != Some(name.as_str())),
    };
    Some(config)
}

/// The interface that the instance's addresses live on, unless each says another;
/// `None` if its name is not known beforehand.
fn home(raw: &RawInstance) -> Option<&str> {
    match raw.virtual_mac.given().map(|given| &given.value) {
        Some(RawVirtualMac::Named(name)) => Some(name),
        Some(RawVirtualMac::On) => None,
        Some(RawVirtualMac::Off) | None => raw
            .interface
            .given()
            .map(|interface| interface.value.as_str()),
    }
}

fn label(
    raw: &RawInstance,
    entry: &RawAddressEntry,
    label: &Located<String>,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<String> {
    let span = label.span.clone();
    let label = &label.value;
    if entry.ip().is_ipv6() {
        diagnostics.push(
            Diagnostic::error(
                span,
                "an IPv6 address has no label",
                "expected a label on IPv4 addresses only",
            )
            .help("remove it"),
        );
        return None;
    }
    let interface = match &entry.interface {
        Field::Given(name) => Some(name.value.as_str()),
        Field::Bad => return None,
        Field::Absent => home(raw),
    };
    let Some(interface) = interface else {
        if matches!(
            raw.virtual_mac.given().map(|given| &given.value),
            Some(RawVirtualMac::On)
        ) {
            diagnostics.push(
                Diagnostic::error(
                    span,
                    "a label begins with the name of the interface, which is not known beforehand",
                    "expected a virtual_mac with a name, or no label",
                )
                .help("name the interface: virtual_mac = \"vrrp.51\" allows label = \"vrrp.51:a\""),
            );
        }
        return None;
    };
    if address::is_label(label, interface) {
        return Some(label.clone());
    }
    diagnostics.push(
        Diagnostic::error(
            span,
            format!("{label:?} cannot be the label of an address on {interface:?}"),
            format!(
                "expected the name of the interface, ':' and more, {} octets at most",
                names::MAX_INTERFACE
            ),
        )
        .help(if interface.len() + 2 <= names::MAX_INTERFACE {
            format!("such as \"{}:a\"", interface.escape_default())
        } else {
            "the name of the interface is too long for a label: leave it out".to_owned()
        }),
    );
    None
}
