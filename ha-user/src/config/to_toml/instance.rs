//! An instance as TOML.

use std::time::Duration;

use ha_common::{
    fsm::AnnounceSchedule,
    types::{AddressFamily, Version},
};

use super::{Section, Table, list, string, told};
use crate::config::{
    duration,
    model::{
        AddressConfig, ChecksumForm, Config, InstanceConfig, RouteConfig, RuleConfig, Scope,
        TrackedCheck, TrackedInterface, Unicast,
    },
    unicast,
    validate::DEFAULT_ADVERT_INTERVAL,
};

pub(super) fn instance(instance: &InstanceConfig, config: &Config) -> Section {
    let InstanceConfig {
        name,
        interface,
        vrid,
        family,
        version,
        priority,
        advert_interval,
        preempt,
        preempt_delay,
        quick_preempt,
        checksum,
        password,
        unicast,
        virtual_mac,
        accept,
        addresses,
        any_first_address,
        excluded_addresses,
        routes,
        rules,
        announce,
        track_interfaces,
        track_checks,
        notify,
    } = instance;
    let mut section = Section::default();
    section.set("name", string(name));
    section.set("interface", string(interface));
    section.set("vrid", vrid.to_string());
    if *version == Version::V2 {
        section.set("version", "2");
    }
    section.set("priority", priority.0.to_string());
    if *advert_interval != DEFAULT_ADVERT_INTERVAL {
        section.set(
            "advert_interval",
            string(&duration::format(*advert_interval)),
        );
    }
    if !preempt {
        section.set("preempt", "false");
    }
    if !preempt_delay.is_zero() {
        section.set("preempt_delay", string(&duration::format(*preempt_delay)));
    }
    if !quick_preempt {
        section.set("quick_preempt", "false");
    }
    if *checksum == ChecksumForm::MessageOnly {
        section.set("checksum", string("message-only"));
    }
    if let Some(password) = password {
        section.set("password", string(&password.text()));
    }
    if let Some(unicast) = unicast {
        section.set("unicast", self::unicast(unicast));
    }
    if let Some(virtual_mac) = virtual_mac {
        let name = virtual_mac.name.as_ref();
        section.set(
            "virtual_mac",
            name.map_or("true".to_owned(), |name| string(name)),
        );
    }
    if !accept {
        section.set("accept", "false");
    }
    if addresses.is_empty() {
        section.set(
            "family",
            string(match family {
                AddressFamily::Ipv4 => "ipv4",
                AddressFamily::Ipv6 => "ipv6",
            }),
        );
    }
    section.set("addresses", list(addresses.iter().map(address)));
    if *any_first_address {
        section.set("any_first_address", "true");
    }
    for (key, entries) in [
        (
            "excluded_addresses",
            excluded_addresses.iter().map(address).collect::<Vec<_>>(),
        ),
        ("routes", routes.iter().map(route).collect()),
        ("rules", rules.iter().map(rule).collect()),
    ] {
        if !entries.is_empty() {
            section.set(key, list(entries.into_iter()));
        }
    }
    if *announce != AnnounceSchedule::default() {
        section.set("announce", self::announce(announce));
    }
    tracked(&mut section, track_interfaces, track_checks, config);
    told(&mut section, notify);
    section
}

fn unicast(config: &Unicast) -> String {
    let mut table = Table::default();
    if let Some(source) = config.source {
        table.set("source", string(&source.to_string()));
    }
    let peers = config.peers.iter().map(|peer| string(&peer.to_string()));
    let peers: Vec<String> = peers.collect();
    table.set("peers", format!("[{}]", peers.join(", ")));
    if config.min_ttl != unicast::DEFAULT_MIN_TTL {
        table.set("min_ttl", config.min_ttl.to_string());
    }
    table.text()
}

fn address(config: &AddressConfig) -> String {
    let AddressConfig {
        address,
        interface,
        label,
        scope,
        prefix_route,
    } = config;
    let mut table = Table::default();
    table.set("address", string(&address.to_string()));
    for (key, value) in [("interface", interface), ("label", label)] {
        if let Some(value) = value {
            table.set(key, string(value));
        }
    }
    let scope = match scope {
        Scope::Global => None,
        Scope::Site => Some("site"),
        Scope::Link => Some("link"),
        Scope::Host => Some("host"),
    };
    if let Some(scope) = scope {
        table.set("scope", string(scope));
    }
    if !prefix_route {
        table.set("prefix_route", "false");
    }
    if table.0.len() == 1 {
        return string(&address.to_string());
    }
    table.text()
}

fn route(route: &RouteConfig) -> String {
    let RouteConfig {
        destination,
        via,
        interface,
        table: in_table,
        metric,
        source,
    } = route;
    let mut table = Table::default();
    table.set("to", string(&destination.to_string()));
    for (key, value) in [
        ("via", via.map(|via| string(&via.to_string()))),
        ("interface", interface.as_ref().map(|name| string(name))),
        ("table", in_table.map(|number| number.to_string())),
        ("metric", metric.map(|number| number.to_string())),
        ("source", source.map(|source| string(&source.to_string()))),
    ] {
        if let Some(value) = value {
            table.set(key, value);
        }
    }
    table.text()
}

fn rule(rule: &RuleConfig) -> String {
    let RuleConfig {
        from,
        to,
        table: in_table,
        priority,
    } = rule;
    let mut table = Table::default();
    for (key, prefix) in [("from", from), ("to", to)] {
        if let Some(prefix) = prefix {
            table.set(key, string(&prefix.to_string()));
        }
    }
    table.set("table", in_table.to_string());
    if let Some(priority) = priority {
        table.set("priority", priority.to_string());
    }
    table.text()
}

fn announce(schedule: &AnnounceSchedule) -> String {
    let AnnounceSchedule {
        count,
        interval,
        delay,
        refresh,
    } = schedule;
    let span = |span: &Duration| string(&duration::format(*span));
    let mut table = Table::default();
    table.set("count", count.to_string());
    table.set("interval", span(interval));
    table.set("delay", span(delay));
    table.set("refresh", span(refresh));
    table.text()
}

/// The lists `track_interfaces` and `track_checks`.
pub(super) fn tracked(
    section: &mut Section,
    interfaces: &[TrackedInterface],
    checks: &[TrackedCheck],
    config: &Config,
) {
    let entry = |name: &str, weight: i16, reverse: bool| {
        let mut table = Table::default();
        table.set("name", string(name));
        if weight != 0 {
            table.set("weight", weight.to_string());
        }
        if reverse {
            table.set("reverse", "true");
        }
        if table.0.len() == 1 {
            return string(name);
        }
        table.text()
    };
    if !interfaces.is_empty() {
        let entries = interfaces
            .iter()
            .map(|it| entry(&it.name, it.weight, it.reverse));
        section.set("track_interfaces", list(entries));
    }
    if !checks.is_empty() {
        let entries = checks.iter().map(|it| {
            let name = &config.checks[it.check].name;
            entry(name, it.weight, it.reverse)
        });
        section.set("track_checks", list(entries));
    }
}
