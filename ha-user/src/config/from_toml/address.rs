//! The lists `addresses` and `excluded_addresses` of an instance, and addresses
//! with a prefix length elsewhere.

use std::ops::Range;

use toml::de::DeValue;

use super::{Reader, Settings, fields::settings};
use crate::config::{
    diagnostic::Diagnostic,
    located::{Field, List, Located},
    model::Scope,
    raw::{RawAddress, RawAddressEntry},
};

const KEYS: &[&str] = &["address", "interface", "label", "scope", "prefix_route"];

const EXPECTED: &str = "a list of addresses, such as [\"10.77.0.100/16\"]";
const EXPECTED_ENTRY: &str =
    "text, such as \"10.77.0.100/16\", or a table, such as { address = \"10.77.0.100/16\" }";

const SCOPES: &[(&str, Scope)] = &[
    ("global", Scope::Global),
    ("site", Scope::Site),
    ("link", Scope::Link),
    ("host", Scope::Host),
];

impl Reader {
    pub(super) fn addresses(
        &mut self,
        settings: &mut Settings<'_>,
        key: &str,
    ) -> Field<List<RawAddressEntry>> {
        self.list(settings, key, EXPECTED, Self::address_entry)
    }

    fn address_entry(&mut self, span: Range<usize>, value: DeValue<'_>) -> Option<RawAddressEntry> {
        let table = match value {
            DeValue::String(text) => {
                let address = self.address(span.clone(), &text)?;
                return Some(RawAddressEntry::plain(Located::new(address, span)));
            }
            DeValue::Table(table) => table,
            other => {
                self.wrong_kind(span, "an address", EXPECTED_ENTRY, &other);
                return None;
            }
        };
        let mut settings = settings(table);
        let address = self.prefix(&mut settings, "address");
        let interface = self.string(&mut settings, "interface");
        let label = self.string(&mut settings, "label");
        let scope = self.word(&mut settings, "scope", SCOPES);
        let prefix_route = self.boolean(&mut settings, "prefix_route");
        self.unknown(settings, KEYS, "in an address");
        let address = self.needed(
            address,
            span,
            "an entry of the addresses",
            "address",
            "\"10.77.0.100/16\"",
        )?;
        Some(RawAddressEntry {
            address,
            interface,
            label,
            scope,
            prefix_route,
        })
    }

    /// A setting that is an address with a prefix length, if need be.
    pub(super) fn prefix(&mut self, settings: &mut Settings<'_>, key: &str) -> Field<RawAddress> {
        self.string(settings, key)
            .and_then(|text| self.address(text.span.clone(), &text.value))
    }

    pub(super) fn address(&mut self, span: Range<usize>, text: &str) -> Option<RawAddress> {
        match RawAddress::parse(text) {
            Ok(address) => Some(address),
            Err(why) => {
                self.diagnostics.push(Diagnostic::error(
                    span,
                    format!("{text:?}: {why}"),
                    "expected an address with the length of its network's prefix, such as \
                     \"10.77.0.100/16\" or \"2001:db8::51/64\"",
                ));
                None
            }
        }
    }
}
