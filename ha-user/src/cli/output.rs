//! How results and failures are shown.

use std::{
    env,
    error::Error,
    fmt::Write as _,
    io::{self, IsTerminal, Write as _},
};

use anyhow::Context as _;
use comfy_table::{ContentArrangement, Table};
use serde::Serialize;

use crate::config::LoadError;

/// Whether to colour what goes to `stream`: on a terminal, unless `NO_COLOR` is
/// set (no-color.org).
pub(super) fn colour(stream: &impl IsTerminal) -> bool {
    stream.is_terminal() && env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Writes `text` to standard output. A reader that has seen enough and closed
/// the pipe is no failure.
pub(super) fn print(text: &str) -> anyhow::Result<()> {
    let mut stdout = io::stdout().lock();
    match stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush())
    {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(error).context("cannot write to standard output")
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Writes `value` to standard output as JSON: indented on a terminal, else on
/// one line.
pub(super) fn print_json(value: &impl Serialize) -> anyhow::Result<()> {
    let mut text = if io::stdout().is_terminal() {
        serde_json::to_string_pretty(value)?
    } else {
        serde_json::to_string(value)?
    };
    text.push('\n');
    print(&text)
}

/// Says on standard error, once, why the command failed.
pub(super) fn failure(error: &anyhow::Error) {
    let text = match error.downcast_ref::<LoadError>() {
        Some(LoadError::Invalid(invalid)) => {
            format!(
                "{}\n{}",
                invalid.summary(),
                invalid.report(colour(&io::stderr())).trim_end()
            )
        }
        _ => chain(error.as_ref()),
    };
    // Where standard error is closed, the exit status still tells.
    let _ = writeln!(io::stderr(), "harrier: {text}");
}

/// The error and its causes in one line; a cause that its effect has already
/// put into its own words is left out.
fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let words = error.to_string();
        if !text.contains(&words) {
            // Writing to a String cannot fail.
            let _ = write!(text, ": {words}");
        }
        cause = error.source();
    }
    text
}

/// A table without borders.
pub(super) fn table(head: &[&str]) -> Table {
    let mut table = Table::new();
    table
        .load_style(comfy_table::presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Disabled)
        .set_header(head);
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table
}

/// The lines of `table`, without white space at their ends.
pub(super) fn lines(table: &Table) -> String {
    table
        .lines()
        .flat_map(|line| [line.trim_end().to_owned(), "\n".to_owned()])
        .collect()
}

/// `text` without control characters: it may come from a daemon that we need
/// not trust.
pub(super) fn plain(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { '?' } else { c })
        .collect()
}

/// `1 s`, `100 ms`, `360.938 ms`: milliseconds to the microsecond.
pub(super) fn milliseconds(milliseconds: f64) -> String {
    let (number, unit) = if milliseconds >= 1000.0 {
        (format!("{:.6}", milliseconds / 1e3), "s")
    } else {
        (format!("{milliseconds:.3}"), "ms")
    };
    format!(
        "{} {unit}",
        number.trim_end_matches('0').trim_end_matches('.')
    )
}

/// A span for reading, in its two greatest units: `850 ms`, `12 s`, `3 min 20 s`.
pub(super) fn span(milliseconds: u64) -> String {
    let seconds = milliseconds / 1000;
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    let two = |great: u64, great_unit: &str, small: u64, small_unit: &str| {
        if small == 0 {
            format!("{great} {great_unit}")
        } else {
            format!("{great} {great_unit} {small} {small_unit}")
        }
    };
    if days > 0 {
        two(days, "d", hours % 24, "h")
    } else if hours > 0 {
        two(hours, "h", minutes % 60, "min")
    } else if minutes > 0 {
        two(minutes, "min", seconds % 60, "s")
    } else if seconds > 0 {
        format!("{seconds} s")
    } else {
        format!("{milliseconds} ms")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_shown_in_two_units() {
        for (milliseconds, shown) in [
            (0, "0 ms"),
            (999, "999 ms"),
            (1000, "1 s"),
            (59_999, "59 s"),
            (60_000, "1 min"),
            (200_000, "3 min 20 s"),
            (7_500_000, "2 h 5 min"),
            (90_000_000, "1 d 1 h"),
        ] {
            assert_eq!(span(milliseconds), shown);
        }
    }

    #[test]
    fn milliseconds_keep_their_microseconds() {
        for (number, shown) in [
            (100.0, "100 ms"),
            (360.9375, "360.938 ms"),
            (10.0, "10 ms"),
            (0.078_125, "0.078 ms"),
            (0.0, "0 ms"),
            (1000.0, "1 s"),
            (3609.375, "3.609375 s"),
            (40_950.0, "40.95 s"),
            (255_000.0, "255 s"),
            (200_000.0, "200 s"),
        ] {
            assert_eq!(milliseconds(number), shown);
        }
    }

    #[test]
    fn a_cause_is_said_once() {
        let cause = io::Error::from_raw_os_error(13);
        let words = cause.to_string();
        let error = anyhow::Error::new(cause).context("cannot do it");
        assert_eq!(chain(error.as_ref()), format!("cannot do it: {words}"));
        let error = anyhow::anyhow!("inner").context("outer with inner");
        assert_eq!(chain(error.as_ref()), "outer with inner");
    }
}
