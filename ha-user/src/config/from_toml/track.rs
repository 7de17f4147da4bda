//! The list `track_interfaces` of an instance.

use std::ops::Range;

use toml::de::DeValue;

use super::{Reader, Settings, fields::settings};
use crate::config::{
    located::{Field, List, Located},
    raw::RawTrackedInterface,
};

const KEYS: &[&str] = &["name", "weight", "reverse"];

const EXPECTED: &str = "a list, such as [\"eth1\", { name = \"eth2\", weight = -20 }]";
const EXPECTED_ENTRY: &str = "a name or a table, such as { name = \"eth2\", weight = -20 }";

impl Reader {
    pub(super) fn track_interfaces(
        &mut self,
        settings: &mut Settings<'_>,
    ) -> Field<List<RawTrackedInterface>> {
        self.list(
            settings,
            "track_interfaces",
            EXPECTED,
            Self::tracked_interface,
        )
    }

    fn tracked_interface(
        &mut self,
        span: Range<usize>,
        value: DeValue<'_>,
    ) -> Option<RawTrackedInterface> {
        let table = match value {
            DeValue::String(name) => {
                return Some(RawTrackedInterface {
                    name: Located::new(name.into_owned(), span),
                    weight: Field::Absent,
                    reverse: Field::Absent,
                });
            }
            DeValue::Table(table) => table,
            other => {
                self.wrong_kind(span, "a tracked interface", EXPECTED_ENTRY, &other);
                return None;
            }
        };
        let mut settings = settings(table);
        let name = self.string(&mut settings, "name");
        let weight = self.integer(&mut settings, "weight");
        let reverse = self.boolean(&mut settings, "reverse");
        self.unknown(settings, KEYS, "in a tracked interface");
        let name = self.needed(name, span, "a tracked interface", "name", "\"eth2\"")?;
        Some(RawTrackedInterface {
            name,
            weight,
            reverse,
        })
    }
}
