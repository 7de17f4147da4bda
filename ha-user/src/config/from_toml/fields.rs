//! How a setting of each kind is read.

use std::{borrow::Cow, net::IpAddr, ops::Range, time::Duration};

use toml::de::{DeTable, DeValue};

use super::{Reader, Settings};
use crate::config::{
    diagnostic::Diagnostic,
    duration,
    located::{Field, List, Located},
};

/// What [`Reader::ip`] takes.
pub(super) const EXPECTED_IP: &str = "an address without a prefix length, such as \"10.77.0.2\"";

impl Reader {
    pub(super) fn string(&mut self, settings: &mut Settings<'_>, key: &str) -> Field<String> {
        self.field(settings, key, "text in quotes", |value| match value {
            DeValue::String(text) => Some(text.into_owned()),
            _ => None,
        })
    }

    pub(super) fn boolean(&mut self, settings: &mut Settings<'_>, key: &str) -> Field<bool> {
        self.field(settings, key, "true or false", |value| match value {
            DeValue::Boolean(value) => Some(value),
            _ => None,
        })
    }

    pub(super) fn integer(&mut self, settings: &mut Settings<'_>, key: &str) -> Field<i64> {
        self.field(settings, key, "a whole number, without quotes", |value| {
            whole(&value)
        })
    }

    /// A setting that is a list of whole numbers.
    pub(super) fn integers(&mut self, settings: &mut Settings<'_>, key: &str) -> Field<List<i64>> {
        let expected = "whole numbers in brackets, without quotes";
        self.list(settings, key, expected, |reader, span, value| {
            let number = whole(&value);
            if number.is_none() {
                let what = format!("an entry of {key}");
                reader.wrong_kind(span, &what, "a whole number, without quotes", &value);
            }
            number
        })
    }

    pub(super) fn span(&mut self, settings: &mut Settings<'_>, key: &str) -> Field<Duration> {
        self.parsed(settings, key, duration::EXPECTED, duration::parse)
    }

    /// A setting that is one of a few words.
    pub(super) fn word<T: Copy>(
        &mut self,
        settings: &mut Settings<'_>,
        key: &str,
        words: &[(&str, T)],
    ) -> Field<T> {
        let quoted: Vec<String> = words.iter().map(|(word, _)| format!("{word:?}")).collect();
        self.parsed(settings, key, &quoted.join(" or "), |text| {
            words
                .iter()
                .find(|(word, _)| *word == text)
                .map(|(_, value)| *value)
        })
    }

    /// A setting that is text to be read further.
    pub(super) fn parsed<T>(
        &mut self,
        settings: &mut Settings<'_>,
        key: &str,
        expected: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Field<T> {
        let text = self.field(settings, key, expected, |value| match value {
            DeValue::String(text) => Some(text.into_owned()),
            _ => None,
        });
        text.and_then(|text| {
            let value = parse(&text.value);
            if value.is_none() {
                self.diagnostics.push(Diagnostic::error(
                    text.span.clone(),
                    format!("{key} cannot be {:?}", text.value),
                    format!("expected {expected}"),
                ));
            }
            value
        })
    }

    /// A setting that is an address without a prefix length.
    pub(super) fn ip(&mut self, settings: &mut Settings<'_>, key: &str) -> Field<IpAddr> {
        self.parsed(settings, key, EXPECTED_IP, |text| text.parse().ok())
    }

    /// A setting that is a list. `entry` reads one entry: `None` once it has
    /// reported why it cannot.
    pub(super) fn list<'i, T>(
        &mut self,
        settings: &mut Settings<'i>,
        key: &str,
        expected: &str,
        mut entry: impl FnMut(&mut Self, Range<usize>, DeValue<'i>) -> Option<T>,
    ) -> Field<List<T>> {
        let entries = self.field(settings, key, expected, |value| match value {
            DeValue::Array(entries) => Some(entries),
            _ => None,
        });
        let (entries, span) = match entries {
            Field::Absent => return Field::Absent,
            Field::Bad => return Field::Bad,
            Field::Given(Located { value, span }) => (value, span),
        };
        let mut list = List {
            entries: Vec::with_capacity(entries.len()),
            incomplete: false,
        };
        for value in entries {
            let span = value.span();
            match entry(self, span.clone(), value.into_inner()) {
                Some(value) => list.entries.push(Located::new(value, span)),
                None => list.incomplete = true,
            }
        }
        Field::Given(Located::new(list, span))
    }

    /// A setting that is a table, which `read` reads.
    pub(super) fn table<'i, T>(
        &mut self,
        settings: &mut Settings<'i>,
        key: &str,
        expected: &str,
        read: impl FnOnce(&mut Self, Settings<'i>) -> T,
    ) -> Field<T> {
        let table = self.field(settings, key, expected, |value| match value {
            DeValue::Table(table) => Some(table),
            _ => None,
        });
        match table {
            Field::Absent => Field::Absent,
            Field::Bad => Field::Bad,
            Field::Given(Located { value, span }) => {
                Field::Given(Located::new(read(self, self::settings(value)), span))
            }
        }
    }

    /// The settings of an entry of a list, which has to be a table.
    pub(super) fn entry_table<'i>(
        &mut self,
        span: Range<usize>,
        value: DeValue<'i>,
        what: &str,
        expected: &str,
    ) -> Option<Settings<'i>> {
        if let DeValue::Table(table) = value {
            return Some(self::settings(table));
        }
        self.wrong_kind(span, what, expected, &value);
        None
    }

    /// The setting, or a complaint that `what` lacks it.
    pub(super) fn needed<T>(
        &mut self,
        field: Field<T>,
        span: Range<usize>,
        what: &str,
        key: &str,
        example: &str,
    ) -> Option<Located<T>> {
        match field {
            Field::Given(located) => Some(located),
            Field::Bad => None,
            Field::Absent => {
                self.diagnostics.push(Diagnostic::error(
                    span,
                    format!("{what} has no {key}"),
                    format!("expected {key} = {example} in it"),
                ));
                None
            }
        }
    }

    /// Sections with a head of their own, `[[key]]`, and whether something that
    /// ought to be one has been reported as none.
    pub(super) fn sections<'i, T>(
        &mut self,
        settings: &mut Settings<'i>,
        key: &str,
        example: &str,
        mut read: impl FnMut(&mut Self, Range<usize>, Settings<'i>) -> T,
    ) -> (Vec<T>, bool) {
        let mut sections = Vec::new();
        let mut bad = false;
        match settings
            .remove(key)
            .map(|(at, value)| (at, value.into_inner()))
        {
            None => {}
            Some((_, DeValue::Array(entries))) => {
                let what = format!("an entry of {key}");
                for entry in entries {
                    let head = entry.span();
                    match self.entry_table(head.clone(), entry.into_inner(), &what, "a table") {
                        Some(settings) => sections.push(read(self, head, settings)),
                        None => bad = true,
                    }
                }
            }
            Some((at, DeValue::Table(_))) => {
                bad = true;
                self.diagnostics.push(
                    Diagnostic::error(
                        at,
                        format!("{key} comes as a list, as there may be several"),
                        format!("expected [[{key}]], with two brackets"),
                    )
                    .help(example),
                );
            }
            Some((at, other)) => {
                bad = true;
                self.wrong_kind(at, key, &format!("sections headed [[{key}]]"), &other);
            }
        }
        (sections, bad)
    }

    pub(super) fn field<'i, T>(
        &mut self,
        settings: &mut Settings<'i>,
        key: &str,
        expected: &str,
        take: impl FnOnce(DeValue<'i>) -> Option<T>,
    ) -> Field<T> {
        let Some((_, value)) = settings.remove(key) else {
            return Field::Absent;
        };
        let span = value.span();
        let value = value.into_inner();
        let found = kind(&value);
        match take(value) {
            Some(value) => Field::Given(Located::new(value, span)),
            None => {
                self.not_of_kind(span, key, expected, found);
                Field::Bad
            }
        }
    }

    pub(super) fn wrong_kind(
        &mut self,
        span: Range<usize>,
        what: &str,
        expected: &str,
        found: &DeValue<'_>,
    ) {
        self.not_of_kind(span, what, expected, kind(found));
    }

    fn not_of_kind(&mut self, span: Range<usize>, what: &str, expected: &str, found: &str) {
        self.diagnostics.push(Diagnostic::error(
            span,
            format!("{what} cannot be {found}"),
            format!("expected {expected}"),
        ));
    }
}

pub(super) fn settings(table: DeTable<'_>) -> Settings<'_> {
    table
        .into_iter()
        .map(|(key, value)| {
            let span = key.span();
            (Cow::into_owned(key.into_inner()), (span, value))
        })
        .collect()
}

fn whole(value: &DeValue<'_>) -> Option<i64> {
    let DeValue::Integer(number) = value else {
        return None;
    };
    let parsed = i64::from_str_radix(number.as_str(), number.radix());
    // What 64 bits do not hold is out of every range that we have.
    Some(parsed.unwrap_or(if number.as_str().starts_with('-') {
        i64::MIN
    } else {
        i64::MAX
    }))
}

/// What stands there, in words.
fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "text",
        DeValue::Integer(_) => "a number",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date or time",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}
