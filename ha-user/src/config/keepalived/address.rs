//! Addresses and their options, and peers.

use super::{
    keywords::Place,
    lex::{Line, Word},
    reader::Reader,
};
use crate::config::{
    address,
    located::{Field, Located},
    model::Scope,
    names,
    raw::{RawAddress, RawAddressEntry},
};

/// What is known of the instance whose addresses are read.
pub(super) struct Home<'a> {
    /// Its interface.
    pub(super) interface: Option<&'a str>,
    /// The name of the interface with its virtual MAC address; empty if it has one
    /// without a name.
    pub(super) virtual_mac: Option<&'a str>,
}

impl Reader {
    /// The addresses of a block.
    pub(super) fn addresses(
        &mut self,
        block: &Line,
        home: &Home<'_>,
    ) -> Vec<Located<RawAddressEntry>> {
        let mut entries = Vec::new();
        for line in block.lines() {
            let Some(entry) = self.address_entry(line, home) else {
                continue;
            };
            let link = match &entry.interface {
                Field::Given(name) if home.virtual_mac != Some(&name.value) => Some(&*name.value),
                _ => home.interface,
            };
            let ip = entry.ip();
            let key = (link.unwrap_or_default().to_owned(), ip);
            if !self.defaults.addresses.insert(key) {
                self.warn(
                    line.keyword().span.clone(),
                    format!("{ip} is listed twice on one link"),
                    "the first counts",
                    "an address belongs to one instance, and once: remove it here",
                );
                continue;
            }
            entries.push(Located::new(entry, line.span()));
        }
        entries
    }

    /// The address that `word` is, with a prefix that it can have.
    pub(super) fn address(&mut self, word: &Word) -> Option<Located<RawAddress>> {
        let located = |raw| Some(Located::new(raw, word.span.clone()));
        let raw = match RawAddress::parse(&word.text) {
            Ok(raw) => raw,
            Err(why) => {
                let (alone, _) = word.text.split_once('/').unwrap_or_default();
                if let Ok(alone) = RawAddress::parse(alone)
                    && address::check(alone).is_ok()
                {
                    self.warn(
                        word.span.clone(),
                        format!("{:?}: {why}", word.text),
                        "taken for the address of a single host, as by keepalived",
                        "one address per line, without commas",
                    );
                    return located(alone);
                }
                self.warn(
                    word.span.clone(),
                    format!("{:?}: {why}", word.text),
                    "expected an address such as 10.77.0.100/16; passed over, as keepalived does",
                    "one address per line, without commas",
                );
                return None;
            }
        };
        let Err(fault) = address::check(raw) else {
            return located(raw);
        };
        let alone = RawAddress {
            prefix_len: None,
            ..raw
        };
        if address::check(alone).is_ok() {
            self.warn(
                word.span.clone(),
                fault.message,
                "taken for the address of a single host, without a network",
                fault.help,
            );
            return located(alone);
        }
        self.warn(word.span.clone(), fault.message, "passed over", fault.help);
        None
    }

    fn address_entry(&mut self, line: &Line, home: &Home<'_>) -> Option<RawAddressEntry> {
        let mut address = self.address(line.keyword());
        let mut entry = address.clone().map(RawAddressEntry::plain);
        let mut label = None;
        let mut words = line.arguments().iter();
        while let Some(word) = words.next() {
            let Some(keyword) = self.keyword(word, Place::Address) else {
                continue;
            };
            self.told_of(keyword, word.span.clone());
            let takes_value = matches!(
                keyword.name,
                "dev"
                    | "label"
                    | "scope"
                    | "brd"
                    | "broadcast"
                    | "preferred_lft"
                    | "peer"
                    | "track_group"
            );
            let value = if takes_value {
                let Some(value) = words.next() else {
                    self.warn(
                        word.span.clone(),
                        format!("{} without a value", word.text),
                        "expected a value behind it",
                        "it counts for nothing",
                    );
                    break;
                };
                value
            } else {
                word
            };
            let Some(entry) = &mut entry else { continue };
            let text = || Field::Given(Located::new(value.text.clone(), value.span.clone()));
            match keyword.name {
                "dev" => {
                    if let Some(fault) = names::interface_fault(&value.text, value.span.clone()) {
                        self.warn(
                            value.span.clone(),
                            fault.message,
                            "the interface of the instance is taken",
                            "an interface's name has 15 octets at most",
                        );
                    } else {
                        entry.interface = text();
                    }
                }
                "label" => label = Some(value),
                "scope" => entry.scope = self.scope(value),
                "noprefixroute" => {
                    entry.prefix_route = Field::Given(Located::new(false, word.span.clone()));
                }
                "peer" => {
                    if let Some(address) = &mut address {
                        address.value.prefix_len = None;
                        entry.address = address.clone();
                    }
                }
                _ => {}
            }
        }
        let mut entry = entry?;
        if entry.ip().is_ipv6() {
            // The kernel takes it from the address.
            entry.scope = Field::Absent;
        }
        if let Some(label) = label {
            self.label(label, &mut entry, home);
        }
        Some(entry)
    }

    fn scope(&mut self, word: &Word) -> Field<Scope> {
        let scope = match word.text.as_str() {
            "global" | "0" | "universe" => Scope::Global,
            "site" | "200" => Scope::Site,
            "link" | "253" => Scope::Link,
            "host" | "254" => Scope::Host,
            _ => {
                self.warn(
                    word.span.clone(),
                    format!("scope {:?} is not done", word.text),
                    "expected global, site, link or host; global is taken",
                    "an address of scope global is valid everywhere",
                );
                Scope::Global
            }
        };
        Field::Given(Located::new(scope, word.span.clone()))
    }

    /// A label, if the address can have one.
    fn label(&mut self, label: &Word, entry: &mut RawAddressEntry, home: &Home<'_>) {
        let interface = match (&entry.interface, home.virtual_mac) {
            (Field::Given(name), _) => Some(name.value.as_str()),
            (_, Some("")) => None,
            (_, Some(name)) => Some(name),
            (_, None) => home.interface,
        };
        let why = if entry.ip().is_ipv6() {
            "an IPv6 address has none"
        } else if !address::is_label(&label.text, interface.unwrap_or_default()) {
            "it has to be the name of the interface, perhaps with ':' and more behind it, 15 \
             octets in all"
        } else {
            entry.label = Field::Given(Located::new(label.text.clone(), label.span.clone()));
            return;
        };
        self.warn(
            label.span.clone(),
            format!("{:?} cannot be the label of this address", label.text),
            why,
            "the address is put there without a label",
        );
    }
}
