//! The sections `[[sync_group]]`.

use std::ops::Range;

use toml::de::DeValue;

use super::{Reader, Settings};
use crate::config::raw::RawSyncGroup;

const KEYS: &[&str] = &[
    "name",
    "instances",
    "track_interfaces",
    "track_checks",
    "notify",
];

const EXPECTED: &str = "a list of names, such as [\"web\", \"web6\"]";

/// What a section looks like.
pub(super) const HELP: &str = "each group has a section of its own:\n\
    [[sync_group]]\n\
    name = \"edge\"\n\
    instances = [\"web\", \"web6\"]";

impl Reader {
    pub(super) fn sync_group(
        &mut self,
        head: Range<usize>,
        mut settings: Settings<'_>,
    ) -> RawSyncGroup {
        let group = RawSyncGroup {
            head,
            name: self.string(&mut settings, "name"),
            instances: self.list(
                &mut settings,
                "instances",
                EXPECTED,
                |reader, span, value| match value {
                    DeValue::String(name) => Some(name.into_owned()),
                    other => {
                        let expected = "the name of an instance, in quotes";
                        reader.wrong_kind(span, "an instance of a group", expected, &other);
                        None
                    }
                },
            ),
            track_interfaces: self.track_interfaces(&mut settings),
            track_checks: self.track_checks(&mut settings),
            notify: self.notify(&mut settings),
        };
        self.unknown(settings, KEYS, "in a sync group");
        group
    }
}
