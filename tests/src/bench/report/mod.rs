//! The figures for people and for programs.
//!
//! - [`machine`]: what it ran on
//! - [`text`]: tables for a terminal
//! - [`plot`]: one SVG for each scenario
//! - [`document`]: `docs/benchmarks.md`, made of the results that are kept beside it

pub mod document;
pub mod machine;
pub mod plot;
pub mod text;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use self::machine::Machine;
use super::figure::{Outcome, Statistic, Unit};

/// What came of a run.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Results {
    /// What it ran on.
    pub machine: Machine,
    /// How often everybody had a turn.
    pub rounds: usize,
    /// Whether it was a short run.
    pub quick: bool,
    /// One for each scenario.
    pub outcomes: Vec<Outcome>,
}

impl Results {
    /// The figures for programs: all values, what is made of them, and the goals.
    ///
    /// # Errors
    /// Never, as far as is known: a value is a number.
    pub fn to_json(&self) -> Result<Value> {
        let outcomes: Vec<Value> = self.outcomes.iter().map(outcome).collect();
        Ok(json!({
            "machine": serde_json::to_value(&self.machine).context("the machine as JSON")?,
            "rounds": self.rounds,
            "quick": self.quick,
            "scenarios": outcomes,
        }))
    }
}

fn outcome(outcome: &Outcome) -> Value {
    let figures: Vec<Value> = outcome
        .figures
        .iter()
        .map(|figure| {
            let series: Vec<Value> = figure
                .series
                .iter()
                .map(|series| {
                    json!({
                        "contestant": series.contestant,
                        "min": series.get(Statistic::Min),
                        "median": series.get(Statistic::Median),
                        "max": series.get(Statistic::Max),
                        "of_keepalived": figure.ratio(series.contestant),
                        "values": series.values,
                    })
                })
                .collect();
            json!({ "figure": figure.name, "unit": figure.unit, "contestants": series })
        })
        .collect();
    json!({
        "scenario": outcome.name,
        "title": outcome.title,
        "figures": figures,
        "goals": outcome.verdicts(),
        "failures": outcome.failures,
    })
}

/// `value` with three digits that matter, or as a whole number.
#[must_use]
pub fn number(value: f64, unit: Unit) -> String {
    let size = value.abs();
    // Rounded to nothing, it would be -0.
    let value = if size < 0.000_5 { 0.0 } else { value };
    let whole =
        unit == Unit::Number || unit == Unit::Count && (value.fract() == 0.0 || size >= 10.0);
    if whole || size >= 100.0 {
        format!("{value:.0}")
    } else if size >= 10.0 {
        format!("{value:.1}")
    } else if size >= 1.0 {
        format!("{value:.2}")
    } else {
        format!("{value:.3}")
    }
}

/// A ratio to keepalived: `0.25`, `12`.
#[must_use]
pub fn ratio(value: f64) -> String {
    if value.abs() >= 10.0 {
        format!("{value:.0}")
    } else if value.abs() >= 0.095 {
        format!("{value:.2}")
    } else {
        format!("{value:.3}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_what_matters() {
        let ms = |value| number(value, Unit::Milliseconds);
        assert_eq!(ms(0.0341), "0.034");
        assert_eq!(ms(-0.0341), "-0.034");
        assert_eq!(ms(-0.000_01), "0.000");
        assert_eq!(ms(2.345), "2.35");
        assert_eq!(ms(12.345), "12.3");
        assert_eq!(ms(1234.5), "1234");
        assert_eq!(number(0.0, Unit::Count), "0");
        assert_eq!(number(2.5, Unit::Count), "2.50");
        assert_eq!(ratio(0.2512), "0.25");
        assert_eq!(ratio(0.0123), "0.012");
        assert_eq!(ratio(23.4), "23");
    }
}
