//! Who relieves whom: `preempt`, `preempt_delay` and `quick_preempt`.

use std::time::Duration;

use ha_common::types::Priority;

use super::{diagnostic::Diagnostic, range, raw::RawInstance};

/// Longest `preempt_delay`.
const MAX_DELAY: Duration = Duration::from_secs(1000);

/// The three settings.
pub(super) struct Preemption {
    pub(super) preempt: bool,
    pub(super) delay: Duration,
    pub(super) quick: bool,
}

/// The settings; complaints, also about such as have no effect.
pub(super) fn check(
    raw: &RawInstance,
    priority: Option<Priority>,
    diagnostics: &mut Vec<Diagnostic>,
) -> Preemption {
    let preempt = raw.preempt.given().is_none_or(|preempt| preempt.value);
    let mut delay = range::span(
        &raw.preempt_delay,
        "preempt_delay",
        &(Duration::ZERO..=MAX_DELAY),
        Duration::ZERO,
        diagnostics,
    );
    let owner = priority == Some(Priority::OWNER);
    if owner
        && let Some(given) = raw.preempt.given()
        && !given.value
    {
        diagnostics.push(
            Diagnostic::warning(
                given.span.clone(),
                "preempt = false has no effect with priority 255",
                "the address owner always preempts",
            )
            .help("take a priority of at most 254 for a router that does not preempt"),
        );
    }
    let void = if owner {
        Some((
            "priority 255",
            "the address owner preempts at once",
            "take a priority of at most 254 for a router that waits",
        ))
    } else if !preempt {
        Some((
            "preempt = false",
            "a router that does not preempt relieves nobody",
            "remove the line, or preempt = false",
        ))
    } else {
        None
    };
    if let Some((cause, why, help)) = void {
        if let Some(given) = raw.preempt_delay.given()
            && !delay.is_zero()
        {
            let message = format!("preempt_delay has no effect with {cause}");
            diagnostics.push(Diagnostic::warning(given.span.clone(), message, why).help(help));
            delay = Duration::ZERO;
        }
        if let Some(given) = raw.quick_preempt.given() {
            let message = format!("quick_preempt has no effect with {cause}");
            diagnostics.push(
                Diagnostic::warning(given.span.clone(), message, why).help("remove the line"),
            );
        }
    }
    Preemption {
        preempt,
        delay,
        quick: raw.quick_preempt.given().is_none_or(|quick| quick.value),
    }
}
