//! The sections `[[check]]`, and the lists `track_checks`.

use std::ops::Range;

use toml::de::DeValue;

use super::{Reader, Settings, fields::settings};
use crate::config::{
    diagnostic::Diagnostic,
    located::{Field, List, Located},
    raw::{RawCheck, RawCheckKind, RawTrackedCheck},
};

const KEYS: &[&str] = &[
    "name",
    "kind",
    "interval",
    "timeout",
    "rise",
    "fall",
    "weight",
    "reverse",
    "init_fail",
    "command",
    "user",
    "url",
    "host",
    "status",
    "body",
    "verify",
    "target",
    "process",
    "command_line",
    "pidfile",
    "at_least",
    "at_most",
    "path",
    "number",
    "address",
    "interface",
];

const KINDS: &[(&str, RawCheckKind)] = &[
    ("exec", RawCheckKind::Exec),
    ("http", RawCheckKind::Http),
    ("tcp", RawCheckKind::Tcp),
    ("process", RawCheckKind::Process),
    ("file", RawCheckKind::File),
    ("ping", RawCheckKind::Ping),
    ("interface", RawCheckKind::Interface),
];

const TRACKED_KEYS: &[&str] = &["name", "weight", "reverse"];

const EXPECTED_STATUS: &str = "a list of statuses and ranges, such as [200, \"300-399\"]";
const EXPECTED_WORDS: &str =
    "a list of words, such as [\"/usr/sbin/nginx\", \"-g\", \"daemon off;\"]";
const EXPECTED_TRACKED: &str = "a list, such as [\"nginx\", { name = \"gateway\", weight = -20 }]";
const EXPECTED_ENTRY: &str = "a name or a table, such as { name = \"gateway\", weight = -20 }";

/// What a section looks like.
pub(super) const HELP: &str = "each check has a section of its own:\n\
    [[check]]\n\
    name = \"nginx\"\n\
    kind = \"process\"\n\
    process = \"nginx\"";

impl Reader {
    pub(super) fn check(&mut self, head: Range<usize>, mut settings: Settings<'_>) -> RawCheck {
        let settings = &mut settings;
        let user = self.run_as(settings, "user");
        if let Field::Given(user) = &user
            && !settings.contains_key("command")
        {
            self.diagnostics.push(
                Diagnostic::error(
                    user.span.clone(),
                    "user is a setting of commands",
                    "there is no command in this check",
                )
                .help("remove the line: other checks run nothing"),
            );
        }
        let check = RawCheck {
            head,
            name: self.string(settings, "name"),
            kind: self.kind(settings),
            interval: self.span(settings, "interval"),
            timeout: self.span(settings, "timeout"),
            rise: self.integer(settings, "rise"),
            fall: self.integer(settings, "fall"),
            weight: self.integer(settings, "weight"),
            reverse: self.boolean(settings, "reverse"),
            init_fail: self.boolean(settings, "init_fail"),
            command: self.command(settings, "command", &user),
            url: self.string(settings, "url"),
            host: self.string(settings, "host"),
            status: self.list(settings, "status", EXPECTED_STATUS, Self::status),
            body: self.string(settings, "body"),
            verify: self.boolean(settings, "verify"),
            target: self.string(settings, "target"),
            process: self.string(settings, "process"),
            command_line: self.list(settings, "command_line", EXPECTED_WORDS, Self::word_of_list),
            pidfile: self.string(settings, "pidfile"),
            at_least: self.integer(settings, "at_least"),
            at_most: self.integer(settings, "at_most"),
            path: self.string(settings, "path"),
            number: self.boolean(settings, "number"),
            address: self.ip(settings, "address"),
            interface: self.string(settings, "interface"),
        };
        self.unknown(std::mem::take(settings), KEYS, "in a check");
        check
    }

    fn kind(&mut self, settings: &mut Settings<'_>) -> Field<RawCheckKind> {
        if let Some((_, value)) = settings.get("kind")
            && matches!(value.get_ref(), DeValue::String(kind) if kind == "https")
        {
            self.diagnostics.push(Diagnostic::error(
                value.span(),
                "kind cannot be \"https\"",
                "expected \"http\", with a url that starts with https://",
            ));
            settings.remove("kind");
            return Field::Bad;
        }
        self.word(settings, "kind", KINDS)
    }

    /// `200`, or `"300-399"`.
    fn status(&mut self, span: Range<usize>, value: DeValue<'_>) -> Option<(i64, i64)> {
        let range = match &value {
            DeValue::Integer(number) => {
                let status = i64::from_str_radix(number.as_str(), number.radix()).ok();
                status.map(|status| (status, status))
            }
            DeValue::String(text) => {
                let (first, last) = text.split_once('-').unwrap_or((text, text));
                let status = |text: &str| text.trim().parse().ok();
                status(first).zip(status(last))
            }
            _ => None,
        };
        if range.is_none() {
            let expected = "a number such as 200, or a range such as \"300-399\"";
            match &value {
                DeValue::String(text) => self.diagnostics.push(Diagnostic::error(
                    span,
                    format!("a status cannot be {text:?}"),
                    format!("expected {expected}"),
                )),
                other => self.wrong_kind(span, "a status", expected, other),
            }
        }
        range
    }

    fn word_of_list(&mut self, span: Range<usize>, value: DeValue<'_>) -> Option<String> {
        match value {
            DeValue::String(word) => Some(word.into_owned()),
            other => {
                self.wrong_kind(span, "a word", "text in quotes", &other);
                None
            }
        }
    }

    pub(super) fn track_checks(
        &mut self,
        settings: &mut Settings<'_>,
    ) -> Field<List<RawTrackedCheck>> {
        self.list(
            settings,
            "track_checks",
            EXPECTED_TRACKED,
            Self::tracked_check,
        )
    }

    fn tracked_check(&mut self, span: Range<usize>, value: DeValue<'_>) -> Option<RawTrackedCheck> {
        let table = match value {
            DeValue::String(name) => {
                return Some(RawTrackedCheck {
                    name: Located::new(name.into_owned(), span),
                    weight: Field::Absent,
                    reverse: Field::Absent,
                });
            }
            DeValue::Table(table) => table,
            other => {
                self.wrong_kind(span, "a tracked check", EXPECTED_ENTRY, &other);
                return None;
            }
        };
        let mut settings = settings(table);
        let name = self.string(&mut settings, "name");
        let weight = self.integer(&mut settings, "weight");
        let reverse = self.boolean(&mut settings, "reverse");
        self.unknown(settings, TRACKED_KEYS, "in a tracked check");
        let name = self.needed(name, span, "a tracked check", "name", "\"gateway\"")?;
        Some(RawTrackedCheck {
            name,
            weight,
            reverse,
        })
    }
}
