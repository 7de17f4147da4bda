//! When addresses are announced: the table `announce` of an instance.

use std::time::Duration;

use ha_common::fsm::AnnounceSchedule;

use super::{
    diagnostic::Diagnostic,
    duration,
    located::Located,
    range,
    raw::{RawAnnounce, RawInstance},
};

/// Bounds of `interval`.
const MIN_INTERVAL: Duration = Duration::from_millis(1);
const MAX_INTERVAL: Duration = Duration::from_secs(60);

/// Longest `delay`.
const MAX_DELAY: Duration = Duration::from_secs(1000);

/// Bounds of `refresh`, if it is not zero.
const MIN_REFRESH: Duration = Duration::from_millis(100);
const MAX_REFRESH: Duration = Duration::from_hours(24);

/// The schedule of an instance with so many `addresses`, which are sent `gap`
/// apart; complaints about it.
pub(super) fn check(
    raw: &RawInstance,
    addresses: usize,
    gap: Duration,
    diagnostics: &mut Vec<Diagnostic>,
) -> AnnounceSchedule {
    let default = AnnounceSchedule::default();
    let Some(given) = raw.announce.given() else {
        return default;
    };
    let schedule = AnnounceSchedule {
        count: range::number(
            &given.value.count,
            "count",
            &(1..=255),
            "the first announcement comes with the takeover and cannot be left out",
            diagnostics,
        )
        .unwrap_or(default.count),
        interval: range::span(
            &given.value.interval,
            "interval",
            &(MIN_INTERVAL..=MAX_INTERVAL),
            default.interval,
            diagnostics,
        ),
        delay: range::span(
            &given.value.delay,
            "delay",
            &(Duration::ZERO..=MAX_DELAY),
            default.delay,
            diagnostics,
        ),
        refresh: refresh(&given.value, default.refresh, diagnostics),
    };
    if raw.has_no_addresses() {
        diagnostics.push(
            Diagnostic::warning(
                given.span.clone(),
                "announce has no effect without addresses",
                "there is nothing to announce",
            )
            .help("remove the line"),
        );
    } else {
        odd(given, &schedule, addresses, gap, diagnostics);
    }
    schedule
}

fn refresh(raw: &RawAnnounce, default: Duration, diagnostics: &mut Vec<Diagnostic>) -> Duration {
    let Some(given) = raw.refresh.given() else {
        return default;
    };
    if given.value.is_zero() || (MIN_REFRESH..=MAX_REFRESH).contains(&given.value) {
        return given.value;
    }
    diagnostics.push(
        Diagnostic::error(
            given.span.clone(),
            format!("refresh cannot be {}", duration::format(given.value)),
            "expected \"0s\" for none, or \"100ms\" to \"24h\"",
        )
        .help("a minute is much: caches of neighbours live for minutes"),
    );
    default
}

/// Warns of what is possible but hardly meant.
fn odd(
    given: &Located<RawAnnounce>,
    schedule: &AnnounceSchedule,
    addresses: usize,
    gap: Duration,
    diagnostics: &mut Vec<Diagnostic>,
) {
    let repeats = u32::from(schedule.count) - 1;
    if repeats == 0 {
        if let Some(interval) = given.value.interval.given() {
            diagnostics.push(
                Diagnostic::warning(
                    interval.span.clone(),
                    "interval has no effect with count = 1",
                    "there is no second announcement in a row",
                )
                .help("remove it, or say a greater count"),
            );
        }
        return;
    }
    let row = schedule.interval * repeats;
    if !schedule.delay.is_zero() && schedule.delay <= row {
        diagnostics.push(
            Diagnostic::warning(
                given.span.clone(),
                format!(
                    "the second row of announcements is due after {}, before the first is over",
                    duration::format(schedule.delay)
                ),
                format!(
                    "{} announcements {} apart take {}",
                    schedule.count,
                    duration::format(schedule.interval),
                    duration::format(row)
                ),
            )
            .help("say a longer delay, or delay = \"0s\" for one row only"),
        );
    }
    let frames = u32::try_from(addresses).unwrap_or(u32::MAX);
    let round = gap.saturating_mul(frames);
    if round > schedule.interval {
        diagnostics.push(
            Diagnostic::warning(
                given.span.clone(),
                format!(
                    "announcing {addresses} addresses takes {}, longer than the interval",
                    duration::format(round)
                ),
                format!(
                    "they go out {} apart (announce_gap), every {}",
                    duration::format(gap),
                    duration::format(schedule.interval)
                ),
            )
            .help("say a longer interval or a shorter announce_gap"),
        );
    }
}
