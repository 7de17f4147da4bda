//! What is checked: `vrrp_script`, `track_file`, `vrrp_track_process`.

use std::{collections::hash_map::Entry, time::Duration};

use super::{
    keywords::Place,
    lex::{Line, Word},
    reader::Reader,
};
use crate::config::{
    located::{Field, List, Located},
    raw::{RawCheck, RawCheckKind, RawConfig, RawScript},
};

/// Bounds of the interval of a command.
const INTERVAL: std::ops::RangeInclusive<Duration> =
    Duration::from_millis(100)..=Duration::from_hours(24);

/// Bounds of a timeout.
const TIMEOUT: std::ops::RangeInclusive<Duration> =
    Duration::from_millis(1)..=Duration::from_hours(24);

/// Most rounds in a row.
const MAX_ROUNDS: i64 = 1_000_000;

/// Greatest weight either way.
pub(super) const MAX_WEIGHT: i64 = 253;

impl Reader {
    /// Adds `check`, if there is none of its name.
    pub(super) fn add_check(&mut self, config: &mut RawConfig, check: RawCheck) {
        let Some(name) = check.name.given() else {
            return;
        };
        let weight = check.weight.given().map_or(0, |weight| weight.value);
        if let Entry::Vacant(entry) = self.defaults.checks.entry(name.value.clone()) {
            entry.insert(weight);
            config.checks.push(check);
            return;
        }
        self.warn(
            name.span.clone(),
            format!("a second check with the name {:?}", name.value),
            "the first counts; scripts, files and processes share their names here",
            "give it another name, and say that where it is tracked",
        );
    }

    fn check(&mut self, block: &Line, kind: RawCheckKind) -> Option<RawCheck> {
        let name = self.block_name(block)?;
        Some(RawCheck {
            head: block.span(),
            kind: Field::Given(Located::new(kind, block.keyword().span.clone())),
            name: Field::Given(name),
            ..RawCheck::default()
        })
    }

    pub(super) fn script(&mut self, block: &Line) -> Option<RawCheck> {
        let mut check = self.check(block, RawCheckKind::Exec)?;
        let mut run_as = Field::Absent;
        for line in block.lines() {
            match self.known(line, Place::Script) {
                Some("script") => check.command = self.command(line),
                Some("interval") => check.interval = self.seconds(line, INTERVAL),
                Some("timeout") => check.timeout = self.seconds(line, TIMEOUT),
                Some("weight") => self.weight(line, &mut check, MAX_WEIGHT),
                Some("rise") => check.rise = self.clamped(line, 1..=MAX_ROUNDS),
                Some("fall") => check.fall = self.clamped(line, 1..=MAX_ROUNDS),
                Some("user") => run_as = self.run_as(line.arguments(), line),
                Some("init_fail") => {
                    check.init_fail = Field::Given(Located::new(true, line.span()));
                }
                _ => {}
            }
        }
        let Field::Given(command) = &mut check.command else {
            self.nothing_to_check(block, "script \"/usr/local/bin/check\"");
            return None;
        };
        if matches!(run_as, Field::Bad) {
            return None;
        }
        command.value.run_as = run_as;
        Some(check)
    }

    fn nothing_to_check(&mut self, block: &Line, example: &str) {
        let name = &block.arguments()[0].text;
        self.warn(
            block.span(),
            format!("{} {name:?} has nothing to check", block.keyword().text),
            format!("expected a line such as {example}; it is passed over"),
            "who tracks it is told so too",
        );
    }

    /// The command of a check. What stands behind its first word, which is all of
    /// it if it is quoted, is not run by keepalived either.
    fn command(&mut self, line: &Line) -> Field<RawScript> {
        let words = super::lex::command(&line.rest());
        let Some((first, rest)) = words.split_first() else {
            self.argument(line);
            return Field::Absent;
        };
        if let (Some(next), Some(last)) = (rest.first(), rest.last()) {
            self.warn(
                next.span.start..last.span.end.max(next.span.end),
                "arguments outside of the quotes",
                "not given to the command, as by keepalived",
                "put the command and its arguments into one pair of quotes: script \"/bin/x arg\"",
            );
        }
        let Some(argv) = self.argv(first) else {
            return Field::Absent;
        };
        Field::Given(Located::new(
            RawScript {
                argv,
                run_as: Field::Absent,
            },
            first.span.clone(),
        ))
    }

    /// The weight of a check for all who track it, and `reverse`.
    fn weight(&mut self, line: &Line, check: &mut RawCheck, most: i64) {
        let Some(word) = line.arguments().first() else {
            self.argument(line);
            return;
        };
        self.surplus(line, 3);
        check.weight = self.weight_in(word, most);
        match line.arguments().get(1) {
            None => {}
            Some(word) if word.text == "reverse" => {
                check.reverse = Field::Given(Located::new(true, word.span.clone()));
            }
            Some(word) => self.unknown_option(word),
        }
    }

    /// The weight that `word` is; beyond the greatest, keepalived passes it over.
    pub(super) fn weight_in(&mut self, word: &Word, most: i64) -> Field<i64> {
        match self.number_in(word, "the weight", -most..=most, "it counts for nothing") {
            Field::Given(weight) => Field::Given(Located::new(
                weight.value.clamp(-MAX_WEIGHT, MAX_WEIGHT),
                weight.span,
            )),
            other => other,
        }
    }

    pub(super) fn unknown_option(&mut self, word: &Word) {
        self.warn(
            word.span.clone(),
            format!("there is no option {:?} here", word.text),
            "passed over, as keepalived does",
            "remove it",
        );
    }

    pub(super) fn track_file(&mut self, block: &Line) -> Option<RawCheck> {
        let mut check = self.check(block, RawCheckKind::File)?;
        let head = block.keyword().span.clone();
        check.number = Field::Given(Located::new(true, head.clone()));
        check.weight = Field::Given(Located::new(1, head));
        for line in block.lines() {
            match self.known(line, Place::TrackFile) {
                Some("file") => {
                    check.path = match self.argument(line) {
                        Some(word) => {
                            // keepalived runs in the root directory.
                            let root = if word.text.starts_with('/') { "" } else { "/" };
                            let path = format!("{root}{}", word.text);
                            Field::Given(Located::new(path, word.span.clone()))
                        }
                        None => Field::Absent,
                    };
                }
                Some("weight") => self.weight(line, &mut check, i64::from(i32::MAX)),
                _ => {}
            }
        }
        if check.path.is_absent() {
            self.nothing_to_check(block, "file \"/run/offset\"");
            return None;
        }
        Some(check)
    }

    pub(super) fn track_process(&mut self, block: &Line) -> Option<RawCheck> {
        let mut check = self.check(block, RawCheckKind::Process)?;
        let head = block.keyword().span.clone();
        check.weight = Field::Given(Located::new(1, head));
        let mut process = None;
        let mut full_command = false;
        for line in block.lines() {
            match self.known(line, Place::TrackProcess) {
                Some("process") => process = Some(line),
                Some("weight") => self.weight(line, &mut check, 254),
                Some("quorum") => check.at_least = self.clamped(line, 1..=65_535),
                Some("quorum_max") => check.at_most = self.clamped(line, 0..=65_535),
                Some("full_command") => full_command = true,
                _ => {}
            }
        }
        let words: Vec<Word> =
            process.map_or_else(Vec::new, |line| super::lex::command(&line.rest()));
        let Some(first) = words.first() else {
            self.nothing_to_check(block, "process nginx");
            return None;
        };
        if words.len() > 1 || full_command {
            let entries = words
                .iter()
                .map(|word| Located::new(word.text.clone(), word.span.clone()))
                .collect();
            let list = List {
                entries,
                incomplete: false,
            };
            check.command_line = Field::Given(Located::new(list, first.span.clone()));
        } else {
            let name = first.text.rsplit('/').next().unwrap_or_default();
            if name.is_empty() || name.contains('\0') {
                self.nothing_to_check(block, "process nginx");
                return None;
            }
            check.process = Field::Given(Located::new(name.to_owned(), first.span.clone()));
        }
        none_at_most(&mut check);
        let number = |field: &Field<i64>| field.given().map(|given| given.value);
        if let Some(most) = number(&check.at_most)
            && number(&check.at_least).is_some_and(|least| least > most)
        {
            self.warn(
                block.span(),
                "quorum is greater than quorum_max",
                format!("{most} processes are asked for"),
                "expected no less than quorum in quorum_max",
            );
            check.at_least = Field::Given(Located::new(most, block.span()));
        }
        Some(check)
    }
}

/// `quorum_max 0` asks for no such process: the reverse of one at least.
fn none_at_most(check: &mut RawCheck) {
    let Some(most) = check.at_most.given().filter(|most| most.value == 0) else {
        return;
    };
    let reversed = check.reverse.given().is_some_and(|reverse| reverse.value);
    check.reverse = Field::Given(Located::new(!reversed, most.span.clone()));
    check.at_least = Field::Absent;
    check.at_most = Field::Absent;
}
