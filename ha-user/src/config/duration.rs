//! Spans of time as people write them: `100ms`, `1s`, `40.95s`, `2m`, `24h`.

use std::time::Duration;

/// What [`parse`] takes, for messages.
pub(super) const EXPECTED: &str = "a number with a unit, such as \"100ms\" or \"1s\"";

/// Reads a decimal number, with a fraction if need be, followed by `ms`, `s`,
/// `m` or `h`. Exact: `None` also for what is finer than a nanosecond or beyond a u64
/// of nanoseconds.
pub(super) fn parse(text: &str) -> Option<Duration> {
    let unit_at = text.find(|c: char| c.is_ascii_alphabetic())?;
    let (number, unit) = text.split_at(unit_at);
    let unit_nanos: u64 = match unit {
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        _ => return None,
    };
    let number = number.strip_suffix(' ').unwrap_or(number);
    let (whole, fraction) = match number.split_once('.') {
        None => (number, ""),
        Some((_, "")) => return None,
        Some((whole, fraction)) => (whole, fraction),
    };
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || !digits(whole) || !digits(fraction) {
        return None;
    }
    let mut nanos = whole.parse::<u64>().ok()?.checked_mul(unit_nanos)?;
    let fraction = fraction.trim_end_matches('0');
    if !fraction.is_empty() {
        let scale = 10_u64.checked_pow(u32::try_from(fraction.len()).ok()?)?;
        let scaled = fraction.parse::<u64>().ok()?.checked_mul(unit_nanos)?;
        if !scaled.is_multiple_of(scale) {
            return None;
        }
        nanos = nanos.checked_add(scaled / scale)?;
    }
    Some(Duration::from_nanos(nanos))
}

/// The span in the shortest form that [`parse`] reads back, for messages:
/// `100ms`, `1s`, `40.95s`.
pub(crate) fn format(span: Duration) -> String {
    let nanos = span.as_nanos();
    let (unit, unit_nanos) = if nanos >= 1_000_000_000 || nanos == 0 {
        ("s", 1_000_000_000)
    } else {
        ("ms", 1_000_000)
    };
    let whole = nanos / unit_nanos;
    let digits = if unit == "s" { 9 } else { 6 };
    let fraction = format!("{:0digits$}", nanos % unit_nanos);
    match fraction.trim_end_matches('0') {
        "" => format!("{whole}{unit}"),
        fraction => format!("{whole}.{fraction}{unit}"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_what_people_write() {
        for (text, millis) in [
            ("100ms", 100),
            ("1s", 1000),
            ("40.95s", 40_950),
            ("0.5s", 500),
            ("0.10s", 100),
            ("2m", 120_000),
            ("24h", 86_400_000),
            ("1.5m", 90_000),
            ("100 ms", 100),
            ("0s", 0),
            ("007ms", 7),
        ] {
            assert_eq!(parse(text), Some(Duration::from_millis(millis)), "{text}");
        }
        assert_eq!(parse("0.000000001s"), Some(Duration::from_nanos(1)));
    }

    #[test]
    fn refuses_the_rest() {
        for text in [
            "",
            "1",
            "s",
            "ms",
            ".5s",
            "1.s",
            "1..5s",
            "-1s",
            "+1s",
            "1e3s",
            "1 000ms",
            "1S",
            "1d",
            "100ms ",
            " 100ms",
            "1s500ms",
            "0.0000000001s",
            "1,5s",
            "NaNs",
            "infs",
            "٣s",
            "18446744073709551616ms",
            "18446744073710s",
            "0.00000000000000000000001s",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn shows_the_shortest_form() {
        for (nanos, text) in [
            (0, "0s"),
            (10_000_000, "10ms"),
            (1_000_000_000, "1s"),
            (40_950_000_000, "40.95s"),
            (78_125, "0.078125ms"),
        ] {
            assert_eq!(format(Duration::from_nanos(nanos)), text);
        }
    }

    proptest! {
        #[test]
        fn what_is_shown_reads_back(nanos: u64) {
            let span = Duration::from_nanos(nanos);
            prop_assert_eq!(parse(&format(span)), Some(span));
        }

        #[test]
        fn no_text_makes_it_panic(text in ".*") {
            let _ = parse(&text);
        }
    }
}
