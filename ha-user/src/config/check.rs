//! Health checks: the sections `[[check]]`, and who tracks them.

mod kind;

use std::{collections::HashMap, ops::Range, time::Duration};

use super::{
    diagnostic::Diagnostic,
    located::Field,
    model::CheckConfig,
    names, range,
    raw::{RawCheck, RawCheckKind, RawConfig},
    track::MAX_WEIGHT,
};

/// `interval` where the file does not say.
pub(super) const DEFAULT_INTERVAL: Duration = Duration::from_secs(1);

const MIN_INTERVAL: Duration = Duration::from_millis(10);

/// A process per round costs more than a look at something.
const MIN_EXEC_INTERVAL: Duration = Duration::from_millis(100);

const MIN_TIMEOUT: Duration = Duration::from_millis(1);

const MAX_SPAN: Duration = Duration::from_secs(24 * 3600);

/// The most rounds in a row.
const MAX_ROUNDS: i64 = i32::MAX as i64;

/// The checks; complaints about them. One that is not as it should be is missing,
/// so the places are right only if there are no complaints.
pub(super) fn check(raw: &RawConfig, diagnostics: &mut Vec<Diagnostic>) -> Vec<CheckConfig> {
    let mut seen: HashMap<&str, &Range<usize>> = HashMap::new();
    let mut checks = Vec::new();
    for check in &raw.checks {
        if let Some(name) = check.name.given()
            && let Some(first) = seen.insert(&name.value, &name.span)
        {
            diagnostics.push(
                Diagnostic::error(
                    name.span.clone(),
                    format!("a second check with the name {:?}", name.value),
                    "expected a name that no other check has",
                )
                .related(first.clone(), "the first is here"),
            );
        }
        checks.extend(one(check, diagnostics));
        unused(raw, check, diagnostics);
    }
    checks
}

fn one(raw: &RawCheck, diagnostics: &mut Vec<Diagnostic>) -> Option<CheckConfig> {
    if raw.name.is_absent() {
        diagnostics.push(Diagnostic::error(
            raw.head.clone(),
            "this check has no name",
            "expected a line such as name = \"nginx\"",
        ));
    }
    let name = match raw.name.given() {
        Some(name) => names::name(name, diagnostics),
        None => None,
    };
    if raw.kind.is_absent() {
        diagnostics.push(Diagnostic::error(
            raw.head.clone(),
            format!("{} has no kind", called(raw)),
            "expected a line such as kind = \"http\"",
        ));
    }
    // Those who track it use it.
    let _: Option<i16> = range::number(
        &raw.weight,
        "weight",
        &(-MAX_WEIGHT..=MAX_WEIGHT),
        "0, the default, puts instances into fault while the check fails",
        diagnostics,
    );
    let least = match raw.kind.given().map(|kind| kind.value) {
        Some(RawCheckKind::Exec) => MIN_EXEC_INTERVAL,
        _ => MIN_INTERVAL,
    };
    let interval = range::span(
        &raw.interval,
        "interval",
        &(least..=MAX_SPAN),
        DEFAULT_INTERVAL,
        diagnostics,
    );
    let timeout = range::span(
        &raw.timeout,
        "timeout",
        &(MIN_TIMEOUT..=MAX_SPAN),
        interval,
        diagnostics,
    );
    let mut rounds = |field: &Field<i64>, key: &str, event: &str| {
        let help = format!("1, the default, {event} with the first round");
        range::number(field, key, &(1..=MAX_ROUNDS), &help, diagnostics).unwrap_or(1)
    };
    let rise = rounds(&raw.rise, "rise", "passes");
    let fall = rounds(&raw.fall, "fall", "fails");
    let kind = kind::check(raw, diagnostics);
    Some(CheckConfig {
        name: name?,
        kind: kind?,
        interval,
        timeout,
        rise,
        fall,
        init_fail: raw.init_fail.given().is_some_and(|it| it.value),
    })
}

/// As in "check \"nginx\" has no kind".
fn called(raw: &RawCheck) -> String {
    raw.name.given().map_or("this check".to_owned(), |name| {
        format!("check {:?}", name.value)
    })
}

/// A warning if nobody tracks it.
fn unused(raw: &RawConfig, check: &RawCheck, diagnostics: &mut Vec<Diagnostic>) {
    let Some(name) = check.name.given() else {
        return;
    };
    let instances = raw.instances.iter().map(|it| &it.track_checks);
    let groups = raw.sync_groups.iter().map(|it| &it.track_checks);
    for list in instances.chain(groups) {
        let entries = list.entries();
        let tracked = entries.iter().any(|it| it.value.name.value == name.value);
        // An entry that could not be read may be the one.
        let incomplete = list.given().is_some_and(|list| list.value.incomplete);
        if tracked || incomplete || matches!(list, Field::Bad) {
            return;
        }
    }
    diagnostics.push(
        Diagnostic::warning(
            name.span.clone(),
            format!("nobody tracks check {:?}", name.value),
            "it runs, and changes nothing",
        )
        .help(format!(
            "say track_checks = [{:?}] in an instance or a sync group",
            name.value
        )),
    );
}
