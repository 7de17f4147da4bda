//! Tables for a terminal.

use std::fmt::Write as _;

use super::{Results, number, ratio};
use crate::bench::figure::{Figure, Goal, Limit, Outcome, Statistic, Unit, Verdict};

/// The results as a person reads them in a terminal.
#[must_use]
pub fn results(results: &Results) -> String {
    let mut text = format!(
        "{}\n{} {} each, in turn; × is the median over keepalived's with default settings\n",
        results.machine.describe(),
        results.rounds,
        if results.rounds == 1 {
            "round"
        } else {
            "rounds"
        },
    );
    for outcome in &results.outcomes {
        self::outcome(&mut text, outcome);
    }
    let verdicts: Vec<Verdict> = results
        .outcomes
        .iter()
        .flat_map(Outcome::verdicts)
        .collect();
    if !verdicts.is_empty() {
        let met = verdicts.iter().filter(|verdict| verdict.met).count();
        let _ = writeln!(text, "\n{met} of {} goals met", verdicts.len());
    }
    text
}

fn outcome(text: &mut String, outcome: &Outcome) {
    // Writing to a String cannot fail, here and below.
    let _ = writeln!(text, "\n{}: {}", outcome.name, outcome.title);
    let _ = writeln!(
        text,
        "{:<28}{:>10}{:>10}{:>10}{:>9}{:>9}",
        "", "min", "median", "max", "samples", "×"
    );
    let verdicts = outcome.verdicts();
    for figure in &outcome.figures {
        let _ = writeln!(text, "  {} ({})", figure.name, figure.unit.sign());
        for series in &figure.series {
            let value = |statistic| number(series.get(statistic), figure.unit);
            let _ = writeln!(
                text,
                "    {:<24}{:>10}{:>10}{:>10}{:>9}{:>9}",
                series.contestant.title(),
                value(Statistic::Min),
                value(Statistic::Median),
                value(Statistic::Max),
                series.values.len(),
                figure
                    .ratio(series.contestant)
                    .map(ratio)
                    .unwrap_or_default(),
            );
        }
        for verdict in verdicts_of(&verdicts, figure) {
            let _ = writeln!(
                text,
                "    goal: {}: {}",
                goal(&verdict.goal, figure.unit),
                self::verdict(verdict, figure.unit)
            );
        }
    }
    for failure in &outcome.failures {
        let _ = writeln!(
            text,
            "  {} failed in round {}: {}",
            failure.contestant.title(),
            failure.round,
            failure.error.lines().next().unwrap_or_default()
        );
    }
}

/// The verdicts that are about `figure`.
pub(super) fn verdicts_of<'a>(
    verdicts: &'a [Verdict],
    figure: &'a Figure,
) -> impl Iterator<Item = &'a Verdict> {
    verdicts
        .iter()
        .filter(|verdict| verdict.goal.figure == figure.name)
}

/// A goal in words.
pub(super) fn goal(goal: &Goal, unit: Unit) -> String {
    let statistic = goal.statistic.name();
    match goal.limit {
        Limit::AtMost(limit) => format!("{statistic} at most {}", number(limit, unit)),
        Limit::AtLeast(limit) => format!("{statistic} at least {}", number(limit, unit)),
        Limit::OfKeepalived(part) => {
            format!("{statistic} at most {} of keepalived's", ratio(part))
        }
    }
}

/// What came of a goal, in words.
pub(super) fn verdict(verdict: &Verdict, unit: Unit) -> String {
    let value = number(verdict.value, unit);
    let limit = match verdict.goal.limit {
        Limit::OfKeepalived(_) => format!(" of {}", number(verdict.limit_value, unit)),
        Limit::AtMost(_) | Limit::AtLeast(_) => String::new(),
    };
    if verdict.met {
        format!("met ({value}{limit})")
    } else {
        format!("MISSED ({value}{limit})")
    }
}
