//! The table `announce` of an instance.

use super::{Reader, Settings};
use crate::config::{located::Field, raw::RawAnnounce};

const KEYS: &[&str] = &["count", "interval", "delay", "refresh"];

const EXPECTED: &str = "a table, such as { count = 3, interval = \"100ms\" }";

impl Reader {
    pub(super) fn announce(&mut self, settings: &mut Settings<'_>) -> Field<RawAnnounce> {
        self.table(settings, "announce", EXPECTED, |reader, mut settings| {
            let announce = RawAnnounce {
                count: reader.integer(&mut settings, "count"),
                interval: reader.span(&mut settings, "interval"),
                delay: reader.span(&mut settings, "delay"),
                refresh: reader.span(&mut settings, "refresh"),
            };
            reader.unknown(settings, KEYS, "in announce");
            announce
        })
    }
}
