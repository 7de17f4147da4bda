//! The list of changes, `tests/mutants.txt`, whose first lines say what it looks
//! like.

use anyhow::{Result, bail, ensure};

use super::SUITES;

/// One change.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Mutant {
    pub(super) name: String,
    pub(super) file: String,
    /// The suites that have to notice.
    pub(super) by: Vec<String>,
    old: String,
    new: String,
}

impl Mutant {
    /// `original` with the change.
    ///
    /// # Errors
    /// If the text is not there exactly once: the list has gone stale.
    pub(super) fn apply(&self, original: &str) -> Result<String> {
        let found = original.matches(&self.old).count();
        ensure!(
            found == 1,
            "{}: its text is {found} times in {}, not once: bring tests/mutants.txt up to date",
            self.name,
            self.file
        );
        Ok(original.replacen(&self.old, &self.new, 1))
    }
}

/// Reads the list; its first lines say what it looks like.
pub(super) fn parse(text: &str) -> Result<Vec<Mutant>> {
    let mut mutants: Vec<Mutant> = Vec::new();
    for (number, line) in text.lines().enumerate() {
        if line.starts_with('#') || line.trim().is_empty() {
            continue;
        }
        if let Some(name) = line.strip_prefix("== ") {
            mutants.push(Mutant {
                name: name.to_owned(),
                ..Mutant::default()
            });
            continue;
        }
        let Some((key, rest)) = line.split_once(' ') else {
            bail!("tests/mutants.txt:{}: no key", number + 1);
        };
        let Some(mutant) = mutants.last_mut() else {
            bail!("tests/mutants.txt:{}: no name before it", number + 1);
        };
        let lines = |all: &mut String| {
            if !all.is_empty() {
                all.push('\n');
            }
            all.push_str(rest);
        };
        match key {
            "file" => rest.clone_into(&mut mutant.file),
            "by" => mutant.by = rest.split(' ').map(str::to_owned).collect(),
            "-" => lines(&mut mutant.old),
            "+" => lines(&mut mutant.new),
            _ => bail!("tests/mutants.txt:{}: unknown key {key:?}", number + 1),
        }
    }
    for mutant in &mutants {
        let known = |by: &String| SUITES.iter().any(|suite| suite.name == by);
        ensure!(
            !mutant.file.is_empty()
                && !mutant.old.is_empty()
                && !mutant.by.is_empty()
                && mutant.by.iter().all(known),
            "tests/mutants.txt: {:?} lacks its file, its text or its suites",
            mutant.name
        );
    }
    Ok(mutants)
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use super::*;

    #[test]
    fn a_change_is_read_and_made() {
        let text = "# words\n== wrong\nfile a.rs\nby sim table\n- one\n-   two\n+ three\n";
        let mutants = parse(text).expect("it is well formed");
        assert_eq!(mutants[0].old, "one\n  two");
        assert_eq!(mutants[0].by, ["sim", "table"]);
        let changed = mutants[0].apply("zero one\n  two four").expect("it fits");
        assert_eq!(changed, "zero three four");
    }

    #[test]
    fn a_stale_change_is_told() {
        let mutants = parse("== wrong\nfile a.rs\nby sim\n- one\n+ two\n").expect("well formed");
        assert!(mutants[0].apply("one one").is_err());
        assert!(mutants[0].apply("none").is_ok());
        assert!(mutants[0].apply("zero").is_err());
        assert!(parse("== wrong\nfile a.rs\nby nobody\n- one\n").is_err());
        assert!(parse("file a.rs\n").is_err());
    }

    #[test]
    fn the_list_fits_the_tree() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"))
            .parent()
            .expect("root");
        let list = fs::read_to_string(root.join("tests/mutants.txt")).expect("the list");
        let mutants = parse(&list).expect("well formed");
        assert!(mutants.len() >= 12);
        for mutant in mutants {
            let file = fs::read_to_string(root.join(&mutant.file)).expect("its file");
            mutant.apply(&file).expect("its text is there");
        }
    }
}
