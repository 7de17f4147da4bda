//! Numbers and spans that have to lie within bounds.

use std::{ops::RangeInclusive, time::Duration};

use super::{diagnostic::Diagnostic, duration, located::Field};

/// The number, if it is given and within `range`; else a complaint that names
/// `key` and what to do.
pub(super) fn number<T: TryFrom<i64>>(
    field: &Field<i64>,
    key: &str,
    range: &RangeInclusive<i64>,
    help: &str,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<T> {
    let given = field.given()?;
    if range.contains(&given.value) {
        return T::try_from(given.value).ok();
    }
    diagnostics.push(
        Diagnostic::error(
            given.span.clone(),
            format!("{key} cannot be {}", given.value),
            format!("expected {} to {}", range.start(), range.end()),
        )
        .help(help),
    );
    None
}

/// The span, if it is given and within `range`; else `default`, with a complaint
/// that names `key` if it is out of range.
pub(super) fn span(
    field: &Field<Duration>,
    key: &str,
    range: &RangeInclusive<Duration>,
    default: Duration,
    diagnostics: &mut Vec<Diagnostic>,
) -> Duration {
    let Some(given) = field.given() else {
        return default;
    };
    if range.contains(&given.value) {
        return given.value;
    }
    let shown = |span: Duration| duration::format(span);
    diagnostics.push(
        Diagnostic::error(
            given.span.clone(),
            format!("{key} cannot be {}", shown(given.value)),
            format!(
                "expected {:?} to {:?}",
                shown(*range.start()),
                shown(*range.end())
            ),
        )
        .help(format!(
            "leave {key} out for the default, {:?}",
            shown(default)
        )),
    );
    default
}
