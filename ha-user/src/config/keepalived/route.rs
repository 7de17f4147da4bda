//! `virtual_routes` and `virtual_rules`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{
    keywords::{self, Keyword, Place},
    lex::{Line, Word},
    reader::Reader,
};
use crate::config::{
    address,
    located::{Field, List, Located},
    names,
    raw::{RawAddress, RawDestination, RawRoute, RawRule},
};

/// Tables that have names of their own; those of the host's files are not read.
const TABLES: &[(&str, i64)] = &[("default", 253), ("main", 254), ("local", 255)];

/// Kinds of routes that are none to a next router.
const KINDS: &[&str] = &[
    "blackhole",
    "unreachable",
    "prohibit",
    "throw",
    "local",
    "broadcast",
    "nat",
];

/// What is read of the words of a route or a rule.
struct Words<'l> {
    rest: &'l [Word],
}

impl<'l> Words<'l> {
    fn next(&mut self) -> Option<&'l Word> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(first)
    }

    /// Passes over the value of an option that is not known: what is no option
    /// itself.
    fn skip_value(&mut self) {
        if let Some(next) = self.rest.first()
            && keywords::find(Place::Route, &next.text).is_none()
        {
            self.next();
        }
    }
}

impl Reader {
    pub(super) fn routes(&mut self, block: &Line) -> Field<List<RawRoute>> {
        let entries: Vec<_> = block
            .lines()
            .iter()
            .filter_map(|line| Some(Located::new(self.route(line)?, line.span())))
            .collect();
        list(block, entries)
    }

    pub(super) fn rules(&mut self, block: &Line) -> Field<List<RawRule>> {
        let entries: Vec<_> = block
            .lines()
            .iter()
            .filter_map(|line| Some(Located::new(self.rule(line)?, line.span())))
            .collect();
        list(block, entries)
    }

    fn route(&mut self, line: &Line) -> Option<RawRoute> {
        let mut route = RawRoute::default();
        let mut words = Words { rest: &line.words };
        if KINDS.contains(&line.keyword().text.as_str()) {
            self.not_this_route(
                line,
                "a route to a next router or to a link is done, no other kind",
            );
            return None;
        }
        while let Some(word) = words.next() {
            let keyword = keywords::find(Place::Route, &word.text);
            let Some(keyword) = keyword else {
                // A word that is no option is the destination.
                if route.to.is_absent() {
                    route.to = self.destination(word);
                    if route.to.is_absent() {
                        self.not_this_route(
                            line,
                            "expected a network such as 10.9.0.0/16, or default",
                        );
                        return None;
                    }
                    continue;
                }
                self.route_option(word);
                words.skip_value();
                continue;
            };
            self.told_of(keyword, word.span.clone());
            match keyword.name {
                "no_track" | "inet" | "inet6" => {
                    if keyword.name == "inet6"
                        && let Field::Given(to) = &mut route.to
                        && to.value == RawDestination::Default
                    {
                        to.value = RawDestination::Prefix(everywhere(true));
                    }
                    continue;
                }
                // Only the first next router is used, so what follows is not read.
                "nexthop" | "or" if route.via.given().is_some() => break,
                "nexthop" => continue,
                _ => {}
            }
            let Some(value) = words.next() else {
                self.unknown_option(word);
                break;
            };
            match keyword.name {
                "to" => route.to = self.destination(value),
                "via" | "gw" => route.via = self.next_router(value, &mut words),
                "dev" | "oif" => {
                    route.interface =
                        Field::Given(Located::new(value.text.clone(), value.span.clone()));
                }
                "src" => route.source = self.ip(value),
                "table" => route.table = self.table(value),
                "metric" | "priority" | "preference" => {
                    route.metric =
                        self.number_in(value, "the metric", 1..=0xffff_ffff, "the kernel chooses");
                }
                _ => {}
            }
        }
        if route.to.given().is_none() {
            self.not_this_route(line, "expected a network such as 10.9.0.0/16, or default");
            return None;
        }
        if let Some(why) = misfit(&route) {
            self.not_this_route(line, why);
            return None;
        }
        if self.route_is_taken(&route, line) {
            return None;
        }
        Some(route)
    }

    /// Whether another route has this one's destination, table and metric.
    fn route_is_taken(&mut self, route: &RawRoute, line: &Line) -> bool {
        let to = route.to.given().map(|to| match to.value {
            RawDestination::Prefix(prefix) => prefix,
            RawDestination::Default => {
                let via = route.via.given().map(|via| via.value);
                let via = via.or(route.source.given().map(|source| source.value));
                everywhere(via.is_some_and(|via| via.is_ipv6()))
            }
        });
        let number = |field: &Field<i64>| field.given().map(|given| given.value);
        let table = number(&route.table).unwrap_or(254);
        let key = format!("{to:?} {table} {:?}", number(&route.metric));
        if self.defaults.routes.insert(key) {
            return false;
        }
        self.warn(
            line.span(),
            "a second route to the same network, in the same table, with the same metric",
            "the first counts",
            "the kernel takes one of them only: give the other another metric",
        );
        true
    }

    fn not_this_route(&mut self, line: &Line, expected: &str) {
        self.warn(
            line.span(),
            "this route is not done",
            expected,
            "a notify script can add it and take it off",
        );
    }

    fn route_option(&mut self, word: &Word) {
        self.warn(
            word.span.clone(),
            format!("{:?} is not done", word.text),
            "the route is added without it",
            "to, via, dev, src, table and metric are done",
        );
    }

    /// The next router, perhaps with its family in front.
    fn next_router(&mut self, word: &Word, words: &mut Words<'_>) -> Field<IpAddr> {
        if matches!(word.text.as_str(), "inet" | "inet6")
            && let Some(next) = words.next()
        {
            return self.ip(next);
        }
        self.ip(word)
    }

    fn ip(&mut self, word: &Word) -> Field<IpAddr> {
        let text = word.text.split('/').next().unwrap_or_default();
        match text.parse() {
            Ok(ip) => Field::Given(Located::new(ip, word.span.clone())),
            Err(_) => {
                self.warn(
                    word.span.clone(),
                    format!("{:?} is no address", word.text),
                    "expected an address such as 10.77.0.1",
                    "it counts for nothing",
                );
                Field::Absent
            }
        }
    }

    fn destination(&mut self, word: &Word) -> Field<RawDestination> {
        let to = match word.text.as_str() {
            "default" => RawDestination::Default,
            _ => match self.network(word) {
                Some(prefix) => RawDestination::Prefix(prefix),
                None => return Field::Absent,
            },
        };
        Field::Given(Located::new(to, word.span.clone()))
    }

    /// The network that `word` is, without bits behind its prefix.
    fn network(&mut self, word: &Word) -> Option<RawAddress> {
        let raw = RawAddress::parse(&word.text).ok();
        let bits = |raw: &RawAddress| if raw.address.is_ipv4() { 32 } else { 128 };
        let Some(raw) = raw.filter(|raw| raw.prefix_len.is_none_or(|len| len <= bits(raw))) else {
            self.warn(
                word.span.clone(),
                format!("{:?} is no network", word.text),
                "expected a network such as 10.9.0.0/16",
                "passed over",
            );
            return None;
        };
        let Some(prefix_len) = raw.prefix_len else {
            return Some(raw);
        };
        let network = RawAddress {
            address: crate::config::routes::network(
                raw.address,
                u8::try_from(prefix_len).unwrap_or(u8::MAX),
            ),
            prefix_len: raw.prefix_len,
        };
        if network != raw {
            self.warn(
                word.span.clone(),
                format!("{:?} has bits behind its prefix", word.text),
                format!("{}/{prefix_len} is taken", network.address),
                "write the address of the network",
            );
        }
        Some(network)
    }

    fn table(&mut self, word: &Word) -> Field<i64> {
        if let Some((_, number)) = TABLES.iter().find(|(name, _)| *name == word.text) {
            return Field::Given(Located::new(*number, word.span.clone()));
        }
        self.number_in(
            word,
            "the table",
            1..=0xffff_ffff,
            "names of tables other than main, local and default are not looked up: say its number",
        )
    }

    fn rule(&mut self, line: &Line) -> Option<RawRule> {
        let mut rule = RawRule::default();
        let mut words = Words { rest: &line.words };
        let mut bad = false;
        while let Some(word) = words.next() {
            let found: Option<&'static Keyword> = keywords::find(Place::Rule, &word.text);
            let Some(keyword) = found else {
                bad = true;
                self.warn(
                    word.span.clone(),
                    format!("{:?} is not done", word.text),
                    "the rule is left out, as it would be about other packets without it",
                    "from, to, table and priority are done; a notify script can add the rule",
                );
                break;
            };
            self.told_of(keyword, word.span.clone());
            if matches!(keyword.name, "no_track" | "inet" | "inet6") {
                continue;
            }
            let Some(value) = words.next() else {
                self.unknown_option(word);
                break;
            };
            match keyword.name {
                "from" | "to" => {
                    let network = if value.text == "all" {
                        continue;
                    } else {
                        self.network(value)
                    };
                    bad |= network.is_none();
                    let field = network.map(|network| Located::new(network, value.span.clone()));
                    if keyword.name == "from" {
                        rule.from = field.into();
                    } else {
                        rule.to = field.into();
                    }
                }
                "table" | "lookup" => {
                    rule.table = self.table(value);
                    bad |= rule.table.is_absent();
                }
                "priority" | "preference" | "pref" | "order" => {
                    rule.priority = self.number_in(
                        value,
                        "the priority",
                        1..=0xffff_ffff,
                        "the kernel chooses",
                    );
                }
                _ => {}
            }
        }
        if bad {
            return None;
        }
        let about_nothing = rule.from.is_absent() && rule.to.is_absent();
        let families =
            |field: &Field<RawAddress>| field.given().map(|one| one.value.address.is_ipv4());
        let mixed =
            matches!((families(&rule.from), families(&rule.to)), (Some(a), Some(b)) if a != b);
        if about_nothing || rule.table.is_absent() || mixed {
            self.warn(
                line.span(),
                "this rule is not done",
                "expected from or to, of one family, and a table",
                "a notify script can add it and take it off",
            );
            return None;
        }
        let key = format!(
            "{:?} {:?} {:?} {:?}",
            rule.from.given().map(|one| one.value),
            rule.to.given().map(|one| one.value),
            rule.table.given().map(|one| one.value),
            rule.priority.given().map(|one| one.value)
        );
        if !self.defaults.routes.insert(format!("rule {key}")) {
            self.warn(
                line.span(),
                "this rule is listed twice",
                "the first counts",
                "remove it",
            );
            return None;
        }
        Some(rule)
    }
}

/// Why there can be no such route.
fn misfit(route: &RawRoute) -> Option<&'static str> {
    let hosts = [&route.via, &route.source];
    let hosts = || {
        hosts
            .into_iter()
            .filter_map(|field| Some(field.given()?.value))
    };
    let family = match route.to.given()?.value {
        RawDestination::Prefix(prefix) => Some(prefix.address.is_ipv4()),
        RawDestination::Default => hosts().next().map(|host| host.is_ipv4()),
    };
    if hosts().any(|host| address::kind(host).is_some()) {
        return Some("expected next router and source to be addresses that hosts can have");
    }
    if hosts().any(|host| family.is_some_and(|ipv4| host.is_ipv4() != ipv4)) {
        return Some("expected network, next router and source to be of one family");
    }
    let interface = route.interface.given()?;
    names::interface_fault(&interface.value, interface.span.clone())
        .map(|_| "expected the name of an interface behind dev, 15 octets at most")
}

fn everywhere(ipv6: bool) -> RawAddress {
    RawAddress {
        address: if ipv6 {
            Ipv6Addr::UNSPECIFIED.into()
        } else {
            Ipv4Addr::UNSPECIFIED.into()
        },
        prefix_len: Some(0),
    }
}

fn list<T>(block: &Line, entries: Vec<Located<T>>) -> Field<List<T>> {
    let list = List {
        entries,
        incomplete: false,
    };
    Field::Given(Located::new(list, block.span()))
}
