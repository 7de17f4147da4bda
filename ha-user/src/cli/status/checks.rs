//! The table of the health checks.

use crate::{
    cli::output,
    control::protocol::{CheckState, CheckStatus},
};

/// The table, with a line before it; empty if there are no checks.
pub(super) fn render(checks: &[CheckStatus]) -> String {
    if checks.is_empty() {
        return String::new();
    }
    let mut table = output::table(&[
        "CHECK", "KIND", "STATE", "FOR", "ROUNDS", "FAILED", "LAST", "SAYS",
    ]);
    let or_none = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    for check in checks {
        // Interfaces are watched, not asked in rounds.
        let asked = check.kind != "interface";
        let count = |count: u64| or_none(asked.then(|| count.to_string()));
        table.add_row([
            output::plain(&check.name),
            output::plain(&check.kind),
            match (check.state, check.value) {
                (CheckState::Value, Some(value)) => value.to_string(),
                (state, _) => state.name().to_owned(),
            },
            or_none(check.since_ms.map(output::span)),
            count(check.rounds),
            count(check.failures),
            or_none(check.last_round_ms.map(output::milliseconds)),
            or_none(check.text.as_deref().map(output::plain)),
        ]);
    }
    format!("\n{}", output::lines(&table))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checks_have_a_table_of_their_own() {
        assert_eq!(render(&[]), "");
        let check = |name: &str, state, value, text: Option<&str>| CheckStatus {
            name: name.to_owned(),
            kind: "http".to_owned(),
            state,
            value,
            since_ms: Some(72_500),
            last_round_ms: Some(1.25),
            text: text.map(str::to_owned),
            rounds: 12,
            failures: 3,
            skipped: 0,
        };
        let out = render(&[
            check("web", CheckState::Failing, None, Some("status 503\u{1b}")),
            check("drain", CheckState::Value, Some(-20), None),
            CheckStatus {
                kind: "interface".to_owned(),
                since_ms: None,
                last_round_ms: None,
                ..check("uplink", CheckState::Passing, None, None)
            },
        ]);
        let lines: Vec<Vec<&str>> = out
            .lines()
            .skip(1)
            .map(|line| {
                line.split("  ")
                    .map(str::trim)
                    .filter(|it| !it.is_empty())
                    .collect()
            })
            .collect();
        assert_eq!(
            lines,
            [
                vec![
                    "CHECK", "KIND", "STATE", "FOR", "ROUNDS", "FAILED", "LAST", "SAYS"
                ],
                vec![
                    "web",
                    "http",
                    "failing",
                    "1 min 12 s",
                    "12",
                    "3",
                    "1.25 ms",
                    "status 503?"
                ],
                vec![
                    "drain",
                    "http",
                    "-20",
                    "1 min 12 s",
                    "12",
                    "3",
                    "1.25 ms",
                    "-"
                ],
                vec!["uplink", "interface", "passing", "-", "-", "-", "-", "-"],
            ],
            "{out}"
        );
    }
}
