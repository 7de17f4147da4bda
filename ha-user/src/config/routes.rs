//! Routes and policy rules that follow the addresses.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    ops::{Range, RangeInclusive},
};

use ha_common::types::AddressFamily;

use super::{
    address,
    diagnostic::Diagnostic,
    located::{Field, Located},
    model::{RouteConfig, RuleConfig, VirtualAddress},
    names, range,
    raw::{RawAddress, RawDestination, RawInstance, RawRoute, RawRule},
};

/// Tables, metrics and preferences have 32 bits; 0 leaves the choice to the
/// kernel, for which there is leaving it out.
const U32: RangeInclusive<i64> = 1..=0xffff_ffff;

/// `RT_TABLE_MAIN`.
const MAIN_TABLE: u32 = 254;

/// What the kernel tells two routes apart by: prefix, table, metric.
type RouteKey = (VirtualAddress, u32, Option<u32>);

/// Collects what the instances say, to find what is said twice.
#[derive(Default)]
pub(super) struct Seen {
    routes: HashMap<RouteKey, Range<usize>>,
    rules: HashMap<RuleConfig, Range<usize>>,
}

impl Seen {
    /// The routes of `raw`, whose valid addresses are `addresses`; complaints
    /// about them.
    pub(super) fn routes(
        &mut self,
        raw: &RawInstance,
        family: Option<AddressFamily>,
        addresses: &[VirtualAddress],
        diagnostics: &mut Vec<Diagnostic>,
    ) -> Vec<RouteConfig> {
        let mut routes = Vec::new();
        for entry in raw.routes.entries() {
            let route = Route {
                raw: &entry.value,
                span: &entry.span,
                addresses,
                diagnostics,
            };
            let Some(route) = route.check(family) else {
                continue;
            };
            let key = (
                route.destination,
                route.table.unwrap_or(MAIN_TABLE),
                route.metric,
            );
            if let Some(first) = self.routes.insert(key, entry.span.clone()) {
                diagnostics.push(
                    Diagnostic::error(
                        entry.span.clone(),
                        format!(
                            "a second route to {} in the same table with the same metric",
                            route.destination
                        ),
                        "expected each route once",
                    )
                    .related(first, "the first is here")
                    .help(
                        "the kernel takes one of them only; give the other another metric, or put \
                         what they share into one instance",
                    ),
                );
            }
            routes.push(route);
        }
        routes
    }

    /// The rules of `raw`; complaints about them.
    pub(super) fn rules(
        &mut self,
        raw: &RawInstance,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> Vec<RuleConfig> {
        let mut rules = Vec::new();
        for entry in raw.rules.entries() {
            let Some(rule) = rule(entry, diagnostics) else {
                continue;
            };
            if let Some(first) = self.rules.insert(rule.clone(), entry.span.clone()) {
                diagnostics.push(
                    Diagnostic::error(
                        entry.span.clone(),
                        "this rule is listed twice",
                        "expected each rule once",
                    )
                    .related(first, "the first is here")
                    .help("put what they share into one instance"),
                );
            }
            rules.push(rule);
        }
        rules
    }
}

struct Route<'a> {
    raw: &'a RawRoute,
    span: &'a Range<usize>,
    addresses: &'a [VirtualAddress],
    diagnostics: &'a mut Vec<Diagnostic>,
}

impl Route<'_> {
    fn check(mut self, family: Option<AddressFamily>) -> Option<RouteConfig> {
        let destination = self.destination(family);
        let of = destination.map(|destination| AddressFamily::of(destination.address));
        let via = self.neighbour("next router", &self.raw.via, of);
        let source = self.neighbour("source", &self.raw.source, of);
        if let Some(via) = self.raw.via.given()
            && let Some(own) = self.addresses.iter().find(|own| own.address == via.value)
        {
            self.diagnostics.push(
                Diagnostic::error(
                    via.span.clone(),
                    format!(
                        "the next router {} is a virtual address of this instance",
                        own.address
                    ),
                    "expected the address of another router",
                )
                .help("while the route is there, that address is this host's own"),
            );
        }
        let interface = self
            .raw
            .interface
            .given()
            .and_then(|name| names::interface(name, self.diagnostics));
        let table = table(&self.raw.table, self.diagnostics);
        let metric = range::number(
            &self.raw.metric,
            "metric",
            &U32,
            "leave metric out for the kernel's own",
            self.diagnostics,
        );
        let destination = destination?;
        if destination.prefix_len == 0 && self.raw.via.is_absent() && self.raw.interface.is_absent()
        {
            self.diagnostics.push(
                Diagnostic::warning(
                    self.span.clone(),
                    "a default route without a next router",
                    "takes every address in the world for a neighbour on the link",
                )
                .help(
                    "say via = \"…\"; if the link is meant to be like that, say interface = \"…\"",
                ),
            );
        }
        Some(RouteConfig {
            destination,
            via,
            interface,
            table,
            metric,
            source,
        })
    }

    fn destination(&mut self, family: Option<AddressFamily>) -> Option<VirtualAddress> {
        if self.raw.to.is_absent() {
            self.diagnostics.push(
                Diagnostic::error(
                    self.span.clone(),
                    "a route without a destination",
                    "expected to = \"10.9.0.0/16\", or to = \"default\"",
                )
                .help("a route says where packets to some network go"),
            );
        }
        let to = self.raw.to.given()?;
        match to.value {
            RawDestination::Prefix(raw) => prefix(raw, &to.span, self.diagnostics),
            RawDestination::Default => {
                let of =
                    |field: &Field<IpAddr>| field.given().map(|ip| AddressFamily::of(ip.value));
                let family = of(&self.raw.via)
                    .or_else(|| of(&self.raw.source))
                    .or(family)?;
                Some(VirtualAddress {
                    address: match family {
                        AddressFamily::Ipv4 => Ipv4Addr::UNSPECIFIED.into(),
                        AddressFamily::Ipv6 => Ipv6Addr::UNSPECIFIED.into(),
                    },
                    prefix_len: 0,
                })
            }
        }
    }

    /// The address of a host, of the family of the destination.
    fn neighbour(
        &mut self,
        what: &str,
        field: &Field<IpAddr>,
        family: Option<AddressFamily>,
    ) -> Option<IpAddr> {
        let given = field.given()?;
        let ip = given.value;
        if let Some(kind) = address::kind(ip) {
            self.diagnostics.push(
                Diagnostic::error(
                    given.span.clone(),
                    format!("the {what} {ip} is {kind}"),
                    "expected a unicast address that a host can have",
                )
                .help("leave it out where the network itself is on the link"),
            );
        } else if let Some(family) = family
            && AddressFamily::of(ip) != family
        {
            self.diagnostics.push(
                Diagnostic::error(
                    given.span.clone(),
                    format!("the {what} {ip} in an {family} route"),
                    format!("expected an {family} address"),
                )
                .help("destination, via and source of a route are of one family"),
            );
        }
        Some(ip)
    }
}

fn rule(entry: &Located<RawRule>, diagnostics: &mut Vec<Diagnostic>) -> Option<RuleConfig> {
    let RawRule {
        from,
        to,
        table: in_table,
        priority,
    } = &entry.value;
    if from.is_absent() && to.is_absent() {
        diagnostics.push(
            Diagnostic::error(
                entry.span.clone(),
                "a rule that says neither from nor to",
                "expected from = \"10.9.0.0/16\", or to",
            )
            .help("without either it would be about every packet of the host"),
        );
    }
    if in_table.is_absent() {
        diagnostics.push(
            Diagnostic::error(
                entry.span.clone(),
                "a rule without a table",
                "expected a table, such as table = 100",
            )
            .help("a rule says in which table the routes of its packets are looked up"),
        );
    }
    let mut read = |field: &Field<RawAddress>| {
        field
            .given()
            .and_then(|given| prefix(given.value, &given.span, diagnostics))
    };
    let (source, destination) = (read(from), read(to));
    if let (Some(source), Some(destination)) = (source, destination)
        && source.address.is_ipv4() != destination.address.is_ipv4()
    {
        diagnostics.push(
            Diagnostic::error(
                to.given().map_or(&entry.span, |to| &to.span).clone(),
                format!("from {source} to {destination} in one rule"),
                "expected both of one family",
            )
            .help("write a rule for each family"),
        );
    }
    let table = table(in_table, diagnostics);
    let priority = range::number(
        priority,
        "priority",
        &U32,
        "the kernel's own rules are 0 (local), 32766 (main) and 32767 (default)",
        diagnostics,
    );
    Some(RuleConfig {
        from: source,
        to: destination,
        table: table?,
        priority,
    })
}

fn table(field: &Field<i64>, diagnostics: &mut Vec<Diagnostic>) -> Option<u32> {
    range::number(field, "table", &U32, "the main table is 254", diagnostics)
}

/// The prefix, or a complaint about its length or about bits behind it.
fn prefix(
    raw: RawAddress,
    span: &Range<usize>,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<VirtualAddress> {
    let address = raw.address;
    let bits = if address.is_ipv4() { 32 } else { 128 };
    let prefix_len = match raw.prefix_len {
        None => bits,
        Some(given) => match u8::try_from(given).ok().filter(|given| *given <= bits) {
            Some(prefix_len) => prefix_len,
            None => {
                diagnostics.push(
                    Diagnostic::error(
                        span.clone(),
                        format!("{address} cannot have a prefix of {given} bits"),
                        format!("expected /0 to /{bits}"),
                    )
                    .help("the number behind the slash counts the bits of the network"),
                );
                return None;
            }
        },
    };
    let network = VirtualAddress {
        address: network(address, prefix_len),
        prefix_len,
    };
    if network.address != address {
        diagnostics.push(
            Diagnostic::error(
                span.clone(),
                format!("{address} has bits behind its prefix of {prefix_len}"),
                "expected the address of a network",
            )
            .help(format!(
                "write \"{network}\" for the network, or \"{address}/{bits}\" for this host alone"
            )),
        );
        return None;
    }
    Some(network)
}

/// `address` with the bits behind the prefix cleared.
pub(super) fn network(address: IpAddr, prefix_len: u8) -> IpAddr {
    let prefix_len = u32::from(prefix_len);
    match address {
        IpAddr::V4(address) => {
            let mask = u32::MAX.checked_shl(32 - prefix_len).unwrap_or(0);
            Ipv4Addr::from(u32::from(address) & mask).into()
        }
        IpAddr::V6(address) => {
            let mask = u128::MAX.checked_shl(128 - prefix_len).unwrap_or(0);
            Ipv6Addr::from(u128::from(address) & mask).into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_have_no_bits_behind_the_prefix() {
        for (address, prefix_len, expected) in [
            ("10.9.8.7", 0, "0.0.0.0"),
            ("10.9.8.7", 8, "10.0.0.0"),
            ("10.9.8.7", 31, "10.9.8.6"),
            ("10.9.8.7", 32, "10.9.8.7"),
            ("2001:db8::7", 0, "::"),
            ("2001:db8::7", 64, "2001:db8::"),
            ("2001:db8::7", 128, "2001:db8::7"),
        ] {
            let network = network(address.parse().unwrap(), prefix_len);
            assert_eq!(network.to_string(), expected, "{address}/{prefix_len}");
        }
    }
}
