//! What is tracked: `track_interface`, `track_script`, `track_file`,
//! `track_process`.

use std::ops::Range;

use super::{
    keywords::{Place, Treatment},
    lex::{Line, Word},
    reader::Reader,
    script::MAX_WEIGHT,
};
use crate::config::{
    located::{Field, List, Located},
    names,
    raw::{RawTrackedCheck, RawTrackedInterface},
};

/// What is said behind the name of something tracked.
#[derive(Default)]
struct Options {
    weight: Field<i64>,
    reverse: Field<bool>,
}

impl Reader {
    fn options(&mut self, words: &[Word], most: i64) -> Options {
        let mut options = Options::default();
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let Some(keyword) = self.keyword(word, Place::Tracked) else {
                continue;
            };
            debug_assert_eq!(keyword.treatment, Treatment::Done);
            match keyword.name {
                "weight" => match words.next() {
                    Some(value) => options.weight = self.weight_in(value, most),
                    None => self.warn(
                        word.span.clone(),
                        "weight without a value",
                        "expected a number behind it",
                        "it counts for nothing, as with keepalived",
                    ),
                },
                name => {
                    options.reverse =
                        Field::Given(Located::new(name == "reverse", word.span.clone()));
                }
            }
        }
        options
    }

    /// Adds the interfaces of a block to `list`. Where `weighted` is false the
    /// weights do not count.
    pub(super) fn track_interfaces(
        &mut self,
        block: &Line,
        weighted: bool,
        list: &mut Field<List<RawTrackedInterface>>,
    ) {
        for line in block.lines() {
            let name = line.keyword();
            let Options {
                mut weight,
                reverse,
            } = self.options(line.arguments(), MAX_WEIGHT);
            if let Some(given) = weight.given().filter(|given| !weighted && given.value != 0) {
                self.warn(
                    given.span.clone(),
                    format!(
                        "the weight of {:?} does not count in a member of a sync group",
                        name.text
                    ),
                    "without it the group is in fault, as in keepalived",
                    "track it in the group, or say sync_group_tracking_weight there",
                );
                weight = Field::Absent;
            }
            if names::interface_fault(&name.text, name.span.clone()).is_some() {
                self.warn(
                    name.span.clone(),
                    format!("no interface can have the name {:?}", name.text),
                    "it is not tracked",
                    "an interface's name has 15 octets at most",
                );
                continue;
            }
            let entry = RawTrackedInterface {
                name: Located::new(name.text.clone(), name.span.clone()),
                weight,
                reverse,
            };
            let again = list
                .entries()
                .iter()
                .any(|one| one.value.name.value == name.text);
            if again {
                self.tracked_twice(name);
            } else {
                push(list, entry, line, block);
            }
        }
    }

    /// Adds the checks of a block to `list`. Where `weighted` is false those with
    /// a weight are left out.
    pub(super) fn track_checks(
        &mut self,
        block: &Line,
        weighted: bool,
        list: &mut Field<List<RawTrackedCheck>>,
    ) {
        for line in block.lines() {
            let word = line.keyword();
            let name = self.tame_name(word);
            let most = match block.keyword().text.as_str() {
                "track_file" => i64::from(i32::MAX),
                "track_process" => 254,
                _ => MAX_WEIGHT,
            };
            let Options { weight, reverse } = self.options(line.arguments(), most);
            let Some(default) = self.defaults.checks.get(&name).copied() else {
                let known = self.defaults.checks.keys().map(String::as_str);
                let meant = names::nearest(&name, known)
                    .map_or("none of that name is defined".to_owned(), |meant| {
                        format!("did you mean {meant:?}?")
                    });
                self.warn(
                    word.span.clone(),
                    format!("{} {name:?} is not there", block.keyword().text),
                    meant,
                    "passed over, as keepalived does: nothing is checked for it",
                );
                continue;
            };
            if list
                .entries()
                .iter()
                .any(|one| one.value.name.value == name)
            {
                self.tracked_twice(word);
                continue;
            }
            let own = weight.given().map_or(default, |weight| weight.value);
            if !weighted && own != 0 {
                let span = weight.given().map_or(&word.span, |weight| &weight.span);
                self.member_weight(span.clone(), &word.text);
                continue;
            }
            let entry = RawTrackedCheck {
                name: Located::new(name, word.span.clone()),
                weight,
                reverse,
            };
            push(list, entry, line, block);
        }
    }

    fn member_weight(&mut self, span: Range<usize>, name: &str) {
        self.warn(
            span,
            format!("{name:?} has a weight and does not count in a member of a sync group"),
            "not tracked here, as in keepalived: the members' priorities have to stay alike",
            "track it in the group, or say sync_group_tracking_weight there, or weight 0",
        );
    }

    fn tracked_twice(&mut self, word: &Word) {
        self.warn(
            word.span.clone(),
            format!("{:?} is tracked twice", word.text),
            "the first counts",
            "remove it",
        );
    }
}

fn push<T>(list: &mut Field<List<T>>, entry: T, line: &Line, block: &Line) {
    if let Field::Given(list) = list {
        list.value.entries.push(Located::new(entry, line.span()));
        return;
    }
    let entries = vec![Located::new(entry, line.span())];
    let new = List {
        entries,
        incomplete: false,
    };
    *list = Field::Given(Located::new(new, block.span()));
}
