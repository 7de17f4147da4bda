//! How values are read: numbers, seconds, switches, names.

use std::{ops::RangeInclusive, time::Duration};

use super::{
    lex::{Line, Word},
    reader::Reader,
};
use crate::config::{
    located::{Field, Located},
    names,
};

/// Longest name of an instance or a group, in octets.
const MAX_NAME: usize = 64;

impl Reader {
    /// The number behind the keyword, if it is one of `range`; `else_what` says
    /// what counts if not.
    pub(super) fn number(
        &mut self,
        line: &Line,
        range: RangeInclusive<i64>,
        else_what: &str,
    ) -> Field<i64> {
        let Some(word) = self.argument(line) else {
            return Field::Absent;
        };
        let keyword = line.keyword().text.clone();
        self.number_in(word, &keyword, range, else_what)
    }

    /// The number that `word` is, if it is one of `range`.
    pub(super) fn number_in(
        &mut self,
        word: &Word,
        what: &str,
        range: RangeInclusive<i64>,
        else_what: &str,
    ) -> Field<i64> {
        match integer(&word.text).filter(|value| range.contains(value)) {
            Some(value) => Field::Given(Located::new(value, word.span.clone())),
            None => {
                self.warn(
                    word.span.clone(),
                    format!("{what} cannot be {:?}", word.text),
                    format!(
                        "expected a whole number from {} to {}",
                        range.start(),
                        range.end()
                    ),
                    else_what,
                );
                Field::Absent
            }
        }
    }

    /// The number behind the keyword, or the nearest of `range`.
    pub(super) fn clamped(&mut self, line: &Line, range: RangeInclusive<i64>) -> Field<i64> {
        let Some(word) = self.argument(line) else {
            return Field::Absent;
        };
        let Some(value) = integer(&word.text) else {
            let keyword = line.keyword().text.clone();
            return self.number_in(word, &keyword, range, "the line counts for nothing");
        };
        let nearest = value.clamp(*range.start(), *range.end());
        if nearest != value {
            self.warn(
                word.span.clone(),
                format!("{} cannot be {value} here", line.keyword().text),
                format!(
                    "expected {} to {}; {nearest} is taken",
                    range.start(),
                    range.end()
                ),
                "say a number within these bounds",
            );
        }
        Field::Given(Located::new(nearest, word.span.clone()))
    }

    /// The seconds behind the keyword, or the nearest span of `range`.
    pub(super) fn seconds(
        &mut self,
        line: &Line,
        range: RangeInclusive<Duration>,
    ) -> Field<Duration> {
        let Some(word) = self.argument(line) else {
            return Field::Absent;
        };
        let keyword = line.keyword().text.clone();
        let Some(value) = seconds(&word.text) else {
            self.warn(
                word.span.clone(),
                format!("{keyword} cannot be {:?}", word.text),
                "expected a number of seconds, such as 2 or 0.5",
                "the line counts for nothing, as with keepalived",
            );
            return Field::Absent;
        };
        let nearest = value.clamp(*range.start(), *range.end());
        if nearest != value {
            let shown = crate::config::format_duration;
            self.warn(
                word.span.clone(),
                format!("{keyword} cannot be {} here", shown(value)),
                format!(
                    "expected {} to {}; {} is taken",
                    shown(*range.start()),
                    shown(*range.end()),
                    shown(nearest)
                ),
                "say a span within these bounds",
            );
        }
        Field::Given(Located::new(nearest, word.span.clone()))
    }

    /// The switch: on without a value.
    pub(super) fn switch(&mut self, line: &Line) -> Located<bool> {
        let on = |value| Located::new(value, line.span());
        let Some(word) = line.arguments().first() else {
            return on(true);
        };
        self.surplus(line, 2);
        match word.text.to_ascii_lowercase().as_str() {
            "on" | "true" | "yes" => on(true),
            "off" | "false" | "no" => on(false),
            _ => {
                self.warn(
                    word.span.clone(),
                    format!("{} cannot be {:?}", line.keyword().text, word.text),
                    "expected on or off (true or false, yes or no); on is taken",
                    "say one of these words, or none",
                );
                on(true)
            }
        }
    }
}

/// A whole number in decimal, hexadecimal (`0x`) or octal (`0`).
pub(super) fn integer(text: &str) -> Option<i64> {
    let (minus, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if !digits.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let value = match digits.strip_prefix("0x") {
        Some(hex) => i64::from_str_radix(hex, 16)
            .ok()
            .filter(|_| !hex.starts_with('+')),
        None => digits.parse().ok(),
    }?;
    Some(if minus { -value } else { value })
}

/// A number of seconds, with a fraction if need be; digits beyond a nanosecond
/// are dropped.
pub(super) fn seconds(text: &str) -> Option<Duration> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| text.bytes().all(|octet| octet.is_ascii_digit());
    if (whole.is_empty() && fraction.is_empty()) || !digits(whole) || !digits(fraction) {
        return None;
    }
    let whole: u64 = if whole.is_empty() {
        0
    } else {
        whole.parse().ok()?
    };
    // A day of seconds in a century: more is no span of a configuration.
    if whole > 1 << 32 {
        return None;
    }
    let nanos: String = fraction
        .chars()
        .chain("000000000".chars())
        .take(9)
        .collect();
    Some(Duration::new(whole, nanos.parse().ok()?))
}

/// `name` as Harrier takes names: what cannot be seen is an underscore, and what
/// is too long is cut.
pub(super) fn tame_name(name: &str) -> String {
    let mut tame = String::new();
    for c in name.chars() {
        let c = if names::is_visible(c) { c } else { '_' };
        if tame.len() + c.len_utf8() > MAX_NAME {
            break;
        }
        tame.push(c);
    }
    if tame.is_empty() {
        tame.push('_');
    }
    tame
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers() {
        for (text, expected) in [
            ("0", Some(0)),
            ("-10", Some(-10)),
            ("+10", Some(10)),
            ("010", Some(10)),
            ("0x1f", Some(31)),
            ("", None),
            ("-", None),
            ("1.5", None),
            ("x", None),
            ("0x", None),
            ("0x+1", None),
            ("--1", None),
            ("99999999999999999999", None),
        ] {
            assert_eq!(integer(text), expected, "{text}");
        }
    }

    #[test]
    fn spans() {
        for (text, expected) in [
            ("1", Some(1_000_000_000)),
            ("0.5", Some(500_000_000)),
            (".25", Some(250_000_000)),
            ("2.", Some(2_000_000_000)),
            ("0.0000000019", Some(1)),
            ("", None),
            (".", None),
            ("1s", None),
            ("-1", None),
            ("1e3", None),
            ("99999999999", None),
        ] {
            assert_eq!(seconds(text), expected.map(Duration::from_nanos), "{text}");
        }
    }

    #[test]
    fn names_are_tamed() {
        assert_eq!(tame_name("VI_1"), "VI_1");
        assert_eq!(tame_name("VI 1\t"), "VI_1_");
        assert_eq!(tame_name(""), "_");
        assert_eq!(tame_name(&"ä".repeat(40)).len(), 64);
    }
}
