//! Samples of figures, and what is made of them.

use serde::{Deserialize, Serialize};

use super::{Contestant, Scenario};

/// What a figure counts.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Milliseconds.
    Milliseconds,
    /// Nanoseconds.
    Nanoseconds,
    /// Percent of one CPU.
    Percent,
    /// A number of times.
    Count,
    /// How many there are.
    Number,
    /// A number per second.
    PerSecond,
    /// Mebibytes.
    Mebibytes,
}

impl Unit {
    /// Its sign.
    #[must_use]
    pub const fn sign(self) -> &'static str {
        match self {
            Self::Milliseconds => "ms",
            Self::Nanoseconds => "ns",
            Self::Percent => "% of a CPU",
            Self::Count => "times",
            Self::Number => "",
            Self::PerSecond => "per second",
            Self::Mebibytes => "MiB",
        }
    }
}

/// One measured value.
#[derive(Clone, PartialEq, Debug)]
pub struct Sample {
    /// What was measured, with its parameters: `lateness, 100 ms`.
    pub figure: String,
    /// The value.
    pub value: f64,
    /// What it counts.
    pub unit: Unit,
}

impl Sample {
    /// A sample of `figure`.
    #[must_use]
    pub fn new(figure: impl Into<String>, value: f64, unit: Unit) -> Self {
        Self {
            figure: figure.into(),
            value,
            unit,
        }
    }

    /// A sample in milliseconds, from `from` to `to`; negative if `to` is earlier.
    #[must_use]
    pub fn span(
        figure: impl Into<String>,
        from: ha_common::time::Timestamp,
        to: ha_common::time::Timestamp,
    ) -> Self {
        let span = to.since(from).as_secs_f64() - from.since(to).as_secs_f64();
        Self::new(figure, span * 1e3, Unit::Milliseconds)
    }
}

/// Which value of several a goal is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Statistic {
    /// The least.
    Min,
    /// The middle one, or the mean of the middle two.
    Median,
    /// The greatest.
    Max,
}

impl Statistic {
    /// Its name in a table.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Min => "min",
            Self::Median => "median",
            Self::Max => "max",
        }
    }
}

/// How much is allowed.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Limit {
    /// At most this, in the figure's unit.
    AtMost(f64),
    /// At least this, in the figure's unit.
    AtLeast(f64),
    /// At most this part of the same figure of keepalived with its default settings.
    OfKeepalived(f64),
}

/// What Harrier is to reach.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Goal {
    /// Of which figure.
    pub figure: String,
    /// Which value of it.
    pub statistic: Statistic,
    /// How much.
    pub limit: Limit,
}

impl Goal {
    /// At most `limit` in the figure's unit.
    #[must_use]
    pub fn at_most(figure: impl Into<String>, statistic: Statistic, limit: f64) -> Self {
        Self {
            figure: figure.into(),
            statistic,
            limit: Limit::AtMost(limit),
        }
    }

    /// At least `limit` in the figure's unit.
    #[must_use]
    pub fn at_least(figure: impl Into<String>, statistic: Statistic, limit: f64) -> Self {
        Self {
            figure: figure.into(),
            statistic,
            limit: Limit::AtLeast(limit),
        }
    }

    /// A median of at most `part` of keepalived's.
    #[must_use]
    pub fn of_keepalived(figure: impl Into<String>, part: f64) -> Self {
        Self {
            figure: figure.into(),
            statistic: Statistic::Median,
            limit: Limit::OfKeepalived(part),
        }
    }
}

/// A goal and whether it was met.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Verdict {
    /// The goal.
    #[serde(flatten)]
    pub goal: Goal,
    /// Harrier's value.
    pub value: f64,
    /// What it is held against, in the figure's unit.
    pub limit_value: f64,
    /// Whether it was met.
    pub met: bool,
}

/// The values of one figure of one contestant.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Series {
    /// Whose.
    pub contestant: Contestant,
    /// The values, the least first; at least one.
    pub values: Vec<f64>,
}

impl Series {
    /// One of its values.
    ///
    /// # Panics
    /// Never: there is at least one value.
    #[must_use]
    pub fn get(&self, statistic: Statistic) -> f64 {
        let count = self.values.len();
        match statistic {
            Statistic::Min => self.values[0],
            Statistic::Median => {
                f64::midpoint(self.values[(count - 1) / 2], self.values[count / 2])
            }
            Statistic::Max => self.values[count - 1],
        }
    }
}

/// One figure, of all contestants that have it.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Figure {
    /// Its name.
    pub name: String,
    /// What it counts.
    pub unit: Unit,
    /// One for each contestant, in the order of [`Contestant::ALL`].
    pub series: Vec<Series>,
}

impl Figure {
    /// The values of `contestant`.
    #[must_use]
    pub fn of(&self, contestant: Contestant) -> Option<&Series> {
        self.series
            .iter()
            .find(|series| series.contestant == contestant)
    }

    /// The median of `contestant` over that of keepalived with its default settings;
    /// `None` where one of them is missing or keepalived's is not above 0.
    #[must_use]
    pub fn ratio(&self, contestant: Contestant) -> Option<f64> {
        let theirs = self.of(Contestant::Keepalived)?.get(Statistic::Median);
        let ours = self.of(contestant)?.get(Statistic::Median);
        (theirs > 0.0).then(|| ours / theirs)
    }
}

/// A turn that failed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Failure {
    /// Whose.
    pub contestant: Contestant,
    /// In which round, counted from 1.
    pub round: usize,
    /// Why.
    pub error: String,
}

/// What came of a scenario.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Outcome {
    /// The scenario's name.
    pub name: String,
    /// The scenario's title.
    pub title: String,
    /// The figures, in the order in which they were first measured.
    pub figures: Vec<Figure>,
    /// The turns that failed.
    pub failures: Vec<Failure>,
    goals: Vec<Goal>,
    bounds: Vec<Goal>,
}

impl Outcome {
    /// That of `scenario` before it ran.
    #[must_use]
    pub fn new(scenario: &dyn Scenario) -> Self {
        Self {
            name: scenario.name().to_owned(),
            title: scenario.title().to_owned(),
            figures: Vec::new(),
            failures: Vec::new(),
            goals: scenario.goals(),
            bounds: scenario.bounds(),
        }
    }

    /// Adds what a turn of `contestant` measured.
    pub fn add(&mut self, contestant: Contestant, samples: Vec<Sample>) {
        for Sample {
            figure: name,
            value,
            unit,
        } in samples
        {
            let index = self
                .figures
                .iter()
                .position(|figure| figure.name == name)
                .unwrap_or_else(|| {
                    self.figures.push(Figure {
                        name,
                        unit,
                        series: Vec::new(),
                    });
                    self.figures.len() - 1
                });
            let series = &mut self.figures[index].series;
            let place = series.partition_point(|series| series.contestant < contestant);
            if series
                .get(place)
                .is_none_or(|series| series.contestant != contestant)
            {
                series.insert(
                    place,
                    Series {
                        contestant,
                        values: Vec::new(),
                    },
                );
            }
            let values = &mut series[place].values;
            let place = values.partition_point(|present| present.total_cmp(&value).is_lt());
            values.insert(place, value);
        }
    }

    /// The goals of which there are figures, and whether Harrier has met them.
    #[must_use]
    pub fn verdicts(&self) -> Vec<Verdict> {
        self.judge(&self.goals)
    }

    /// As [`verdicts`](Self::verdicts) for the bounds of a quick run.
    #[must_use]
    pub fn bounds(&self) -> Vec<Verdict> {
        self.judge(&self.bounds)
    }

    fn judge(&self, goals: &[Goal]) -> Vec<Verdict> {
        goals
            .iter()
            .filter_map(|goal| {
                let figure = self
                    .figures
                    .iter()
                    .find(|figure| figure.name == goal.figure)?;
                let value = figure.of(Contestant::Harrier)?.get(goal.statistic);
                let (limit_value, met) = match goal.limit {
                    Limit::AtMost(limit) => (limit, value <= limit),
                    Limit::AtLeast(limit) => (limit, value >= limit),
                    Limit::OfKeepalived(part) => {
                        let theirs = figure.of(Contestant::Keepalived)?;
                        let limit = part * theirs.get(goal.statistic);
                        (limit, value <= limit)
                    }
                };
                Some(Verdict {
                    goal: goal.clone(),
                    value,
                    limit_value,
                    met,
                })
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Nothing;

    impl Scenario for Nothing {
        fn name(&self) -> &'static str {
            "nothing"
        }
        fn title(&self) -> &'static str {
            "nothing"
        }
        fn contestants(&self) -> Vec<Contestant> {
            Vec::new()
        }
        fn goals(&self) -> Vec<Goal> {
            vec![
                Goal::at_most("late", Statistic::Median, 2.0),
                Goal::at_most("late", Statistic::Max, 2.0),
                Goal::of_keepalived("late", 0.25),
                Goal::at_least("late", Statistic::Min, 1.0),
                Goal::at_most("not measured", Statistic::Max, 1.0),
            ]
        }
        fn run(&self, _: &mut super::super::Stage, _: Contestant) -> anyhow::Result<Vec<Sample>> {
            Ok(Vec::new())
        }
    }

    fn samples(values: &[f64]) -> Vec<Sample> {
        values
            .iter()
            .map(|&value| Sample::new("late", value, Unit::Milliseconds))
            .collect()
    }

    #[test]
    fn turns_are_put_together_and_judged() {
        let mut outcome = Outcome::new(&Nothing);
        outcome.add(Contestant::Keepalived, samples(&[8.0, 7.0]));
        outcome.add(Contestant::Harrier, samples(&[3.0, 1.0]));
        outcome.add(Contestant::Harrier, samples(&[2.0]));
        let figure = &outcome.figures[0];
        let harrier = figure.of(Contestant::Harrier).unwrap();
        assert_eq!(harrier.values, [1.0, 2.0, 3.0]);
        let keepalived = figure.of(Contestant::Keepalived).unwrap();
        assert_eq!(keepalived.get(Statistic::Median), 7.5);
        assert_eq!(figure.ratio(Contestant::Harrier), Some(2.0 / 7.5));
        let met: Vec<bool> = outcome
            .verdicts()
            .iter()
            .map(|verdict| verdict.met)
            .collect();
        // The goal that nothing was measured for is not among them.
        assert_eq!(met, [true, false, false, true]);
    }
}
