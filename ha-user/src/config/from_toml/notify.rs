//! Who hears of transitions: the table `notify` and the list `notify_fifos`.

use std::ops::Range;

use toml::de::DeValue;

use super::{Reader, Settings, fields::settings};
use crate::config::{
    located::{Field, List, Located},
    raw::{RawFifo, RawNotify, RawWebhook},
};

const NOTIFY_KEYS: &[&str] = &[
    "active",
    "backup",
    "fault",
    "stop",
    "any",
    "active_lower",
    "user",
    "timeout",
    "priority_changes",
    "state_file",
    "webhook",
];

const WEBHOOK_KEYS: &[&str] = &[
    "url",
    "timeout",
    "retries",
    "retry_interval",
    "headers",
    "verify",
];

const FIFO_KEYS: &[&str] = &["path", "reader", "user"];

const EXPECTED_NOTIFY: &str = "a table, such as { active = \"/usr/local/bin/take-over\" }";
const EXPECTED_WEBHOOK: &str = "an address or a table, such as { url = \"https://hooks/vip\" }";
const EXPECTED_HEADERS: &str = "a table, such as { Authorization = \"Bearer …\" }";
const EXPECTED_FIFOS: &str = "a list of paths, such as [\"/run/harrier.fifo\"]";
const EXPECTED_FIFO: &str = "a path or a table, such as { path = \"/run/harrier.fifo\" }";

impl Reader {
    pub(super) fn notify(&mut self, settings: &mut Settings<'_>) -> Field<RawNotify> {
        self.table(settings, "notify", EXPECTED_NOTIFY, Self::notify_table)
    }

    fn notify_table(&mut self, mut settings: Settings<'_>) -> RawNotify {
        let settings = &mut settings;
        let user = self.run_as(settings, "user");
        let notify = RawNotify {
            active: self.command(settings, "active", &user),
            backup: self.command(settings, "backup", &user),
            fault: self.command(settings, "fault", &user),
            stop: self.command(settings, "stop", &user),
            any: self.command(settings, "any", &user),
            active_lower: self.command(settings, "active_lower", &user),
            priority_changes: self.boolean(settings, "priority_changes"),
            timeout: self.span(settings, "timeout"),
            state_file: self.string(settings, "state_file"),
            webhook: self.webhook(settings),
        };
        self.unknown(std::mem::take(settings), NOTIFY_KEYS, "in notify");
        notify
    }

    /// Its address alone, or a table.
    fn webhook(&mut self, settings: &mut Settings<'_>) -> Field<RawWebhook> {
        let value = self.field(settings, "webhook", EXPECTED_WEBHOOK, |value| match value {
            DeValue::String(url) => Some(Err(url.into_owned())),
            DeValue::Table(table) => Some(Ok(table)),
            _ => None,
        });
        match value {
            Field::Absent => Field::Absent,
            Field::Bad => Field::Bad,
            Field::Given(Located { value, span }) => {
                let webhook = match value {
                    Err(url) => RawWebhook {
                        url: Field::Given(Located::new(url, span.clone())),
                        ..RawWebhook::default()
                    },
                    Ok(table) => self.webhook_table(self::settings(table)),
                };
                Field::Given(Located::new(webhook, span))
            }
        }
    }

    fn webhook_table(&mut self, mut settings: Settings<'_>) -> RawWebhook {
        let settings = &mut settings;
        let webhook = RawWebhook {
            url: self.string(settings, "url"),
            timeout: self.span(settings, "timeout"),
            retries: self.integer(settings, "retries"),
            retry_interval: self.span(settings, "retry_interval"),
            headers: self.headers(settings),
            verify: self.boolean(settings, "verify"),
        };
        self.unknown(std::mem::take(settings), WEBHOOK_KEYS, "in a webhook");
        webhook
    }

    fn headers(&mut self, settings: &mut Settings<'_>) -> Vec<(Located<String>, Located<String>)> {
        let headers = self.table(settings, "headers", EXPECTED_HEADERS, |reader, headers| {
            let mut found = Vec::new();
            for (name, (span, value)) in headers {
                let at = value.span();
                match value.into_inner() {
                    DeValue::String(text) => {
                        let value = Located::new(text.into_owned(), at);
                        found.push((Located::new(name, span), value));
                    }
                    other => reader.wrong_kind(span, "a header", "text in quotes", &other),
                }
            }
            found
        });
        match headers {
            Field::Given(headers) => headers.value,
            Field::Absent | Field::Bad => Vec::new(),
        }
    }

    pub(super) fn notify_fifos(&mut self, settings: &mut Settings<'_>) -> Field<List<RawFifo>> {
        self.list(settings, "notify_fifos", EXPECTED_FIFOS, Self::fifo)
    }

    fn fifo(&mut self, span: Range<usize>, value: DeValue<'_>) -> Option<RawFifo> {
        let table = match value {
            DeValue::String(path) => {
                return Some(RawFifo {
                    path: Located::new(path.into_owned(), span),
                    reader: Field::Absent,
                });
            }
            DeValue::Table(table) => table,
            other => {
                self.wrong_kind(span, "a FIFO", EXPECTED_FIFO, &other);
                return None;
            }
        };
        let mut settings = settings(table);
        let user = self.run_as(&mut settings, "user");
        let path = self.string(&mut settings, "path");
        let reader = self.command(&mut settings, "reader", &user);
        self.unknown(settings, FIFO_KEYS, "in a FIFO");
        let path = self.needed(path, span, "a FIFO", "path", "\"/run/harrier.fifo\"")?;
        Some(RawFifo { path, reader })
    }
}
