//! The lists `routes` and `rules` of an instance.

use super::{Reader, Settings};
use crate::config::{
    located::{Field, List},
    raw::{RawDestination, RawRoute, RawRule},
};

const ROUTE_KEYS: &[&str] = &["to", "via", "interface", "table", "metric", "source"];
const RULE_KEYS: &[&str] = &["from", "to", "table", "priority"];

const EXPECTED_ROUTES: &str = "a list, such as [{ to = \"10.9.0.0/16\", via = \"10.77.0.1\" }]";
const EXPECTED_ROUTE: &str = "a table, such as { to = \"10.9.0.0/16\", via = \"10.77.0.1\" }";
const EXPECTED_RULES: &str = "a list, such as [{ from = \"10.9.0.0/16\", table = 100 }]";
const EXPECTED_RULE: &str = "a table, such as { from = \"10.9.0.0/16\", table = 100 }";

impl Reader {
    pub(super) fn routes(&mut self, settings: &mut Settings<'_>) -> Field<List<RawRoute>> {
        self.list(
            settings,
            "routes",
            EXPECTED_ROUTES,
            |reader, span, value| {
                let mut settings = reader.entry_table(span, value, "a route", EXPECTED_ROUTE)?;
                let route = RawRoute {
                    to: reader.destination(&mut settings),
                    via: reader.ip(&mut settings, "via"),
                    interface: reader.string(&mut settings, "interface"),
                    table: reader.integer(&mut settings, "table"),
                    metric: reader.integer(&mut settings, "metric"),
                    source: reader.ip(&mut settings, "source"),
                };
                reader.unknown(settings, ROUTE_KEYS, "in a route");
                Some(route)
            },
        )
    }

    fn destination(&mut self, settings: &mut Settings<'_>) -> Field<RawDestination> {
        self.string(settings, "to").and_then(|to| {
            if to.value == "default" {
                return Some(RawDestination::Default);
            }
            self.address(to.span.clone(), &to.value)
                .map(RawDestination::Prefix)
        })
    }

    pub(super) fn rules(&mut self, settings: &mut Settings<'_>) -> Field<List<RawRule>> {
        self.list(settings, "rules", EXPECTED_RULES, |reader, span, value| {
            let mut settings = reader.entry_table(span, value, "a rule", EXPECTED_RULE)?;
            let rule = RawRule {
                from: reader.prefix(&mut settings, "from"),
                to: reader.prefix(&mut settings, "to"),
                table: reader.integer(&mut settings, "table"),
                priority: reader.integer(&mut settings, "priority"),
            };
            reader.unknown(settings, RULE_KEYS, "in a rule");
            Some(rule)
        })
    }
}
