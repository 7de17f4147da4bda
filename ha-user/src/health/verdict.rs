//! From rounds to a verdict.

/// Passing or failing, by rounds in a row.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Verdict {
    rise: u32,
    fall: u32,
    passing: Option<bool>,
    /// Rounds in a row that say otherwise.
    against: u32,
}

impl Verdict {
    pub(super) const fn new(rise: u32, fall: u32) -> Self {
        Self {
            rise,
            fall,
            passing: None,
            against: 0,
        }
    }

    /// What is known after one more round. The first decides alone.
    pub(super) fn take(&mut self, passed: bool) -> bool {
        let Some(passing) = self.passing else {
            self.passing = Some(passed);
            return passed;
        };
        if passed == passing {
            self.against = 0;
            return passing;
        }
        self.against += 1;
        let enough = if passed { self.rise } else { self.fall };
        if self.against < enough {
            return passing;
        }
        self.against = 0;
        self.passing = Some(passed);
        passed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The verdicts after each of `rounds`, in which `+` passes.
    fn verdicts(rise: u32, fall: u32, rounds: &str) -> String {
        let mut verdict = Verdict::new(rise, fall);
        let verdicts = rounds.chars().map(|round| verdict.take(round == '+'));
        verdicts.map(|it| if it { '+' } else { '-' }).collect()
    }

    #[test]
    fn each_round_counts_by_default() {
        assert_eq!(verdicts(1, 1, "+-+--+"), "+-+--+");
    }

    #[test]
    fn the_first_round_decides_alone() {
        assert_eq!(verdicts(9, 9, "-"), "-");
        assert_eq!(verdicts(9, 9, "+"), "+");
    }

    #[test]
    fn it_takes_so_many_in_a_row() {
        assert_eq!(
            verdicts(2, 3, "+--+---+-++--"),
            "+++++".to_owned() + "+---" + "-+++"
        );
    }
}
