//! `docs/rfc9568.md` against the code: every file, item and test that it names
//! exists, and every row says something. Needs no privilege.

use std::{
    collections::{BTreeSet, HashMap},
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail, ensure};

const LEVELS: [&str; 8] = [
    "MUST",
    "MUST NOT",
    "SHOULD",
    "SHOULD NOT",
    "RECOMMENDED",
    "NOT RECOMMENDED",
    "REQUIRED",
    "text",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

#[derive(Debug)]
struct Row {
    section: String,
    level: String,
    requirement: String,
    code: Cell,
    test: Cell,
    violation: Cell,
    status: String,
}

/// A cell that names things.
#[derive(Debug)]
enum Cell {
    /// `–`.
    Empty,
    /// `none: …`.
    Reason,
    /// `` `file::name` ``, separated by commas.
    References(Vec<(String, String)>),
}

impl Cell {
    fn parse(text: &str) -> Result<Self> {
        if text == "–" {
            return Ok(Self::Empty);
        }
        if let Some(reason) = text.strip_prefix("none: ") {
            ensure!(!reason.is_empty(), "no reason");
            return Ok(Self::Reason);
        }
        text.split(", ")
            .map(|reference| {
                let (file, name) = reference
                    .strip_prefix('`')
                    .and_then(|rest| rest.strip_suffix('`'))
                    .and_then(|rest| rest.split_once("::"))
                    .with_context(|| format!("{reference:?} is not `file::name`"))?;
                Ok((file.to_owned(), name.to_owned()))
            })
            .collect::<Result<_>>()
            .map(Self::References)
    }

    fn references(&self) -> &[(String, String)] {
        match self {
            Self::References(references) => references,
            Self::Empty | Self::Reason => &[],
        }
    }
}

/// The tables of a ledger, one after the other.
fn tables(text: &str) -> Result<Vec<Vec<Row>>> {
    let mut tables = Vec::new();
    for line in text.lines().filter(|line| line.starts_with('|')) {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [section, level, requirement, code, test, violation, status] = cells[..] else {
            bail!("not seven cells: {line}");
        };
        if section == "§" {
            tables.push(Vec::new());
            continue;
        }
        if section.starts_with("---") {
            continue;
        }
        let row = (|| -> Result<Row> {
            Ok(Row {
                section: section.to_owned(),
                level: level.to_owned(),
                requirement: requirement.to_owned(),
                code: Cell::parse(code)?,
                test: Cell::parse(test)?,
                violation: Cell::parse(violation)?,
                status: status.to_owned(),
            })
        })()
        .with_context(|| line.to_owned())?;
        tables
            .last_mut()
            .context("a row before its head")?
            .push(row);
    }
    Ok(tables)
}

/// The numbers of a section: 10 comes after 9.
fn numbers(section: &str) -> Result<Vec<u32>> {
    section
        .split('.')
        .map(|part| part.parse().with_context(|| format!("§{section}")))
        .collect()
}

/// The features that the ledger's introduction says are to come.
fn features(text: &str) -> BTreeSet<&str> {
    text.lines()
        .filter_map(|line| line.strip_prefix("  - *")?.split_once("*:"))
        .map(|(name, _)| name)
        .collect()
}

/// What is wrong with one row, but for its references.
fn check(row: &Row, features: &BTreeSet<&str>) -> Result<()> {
    numbers(&row.section)?;
    ensure!(LEVELS.contains(&&*row.level), "level {:?}", row.level);
    ensure!(!row.requirement.is_empty(), "no requirement");
    for cell in [&row.code, &row.test] {
        ensure!(!matches!(cell, Cell::Reason), "`none` is for violations");
    }
    let (kind, reason) = row
        .status
        .split_once(": ")
        .map_or((&*row.status, None), |(kind, reason)| (kind, Some(reason)));
    match (kind, reason) {
        ("done", None) => {
            ensure!(!row.code.references().is_empty(), "done, but where?");
            ensure!(!row.test.references().is_empty(), "done, but untested");
            ensure!(
                !matches!(row.violation, Cell::Empty),
                "done, but its violation is untested, and no reason is given"
            );
        }
        ("not yet", Some(feature)) => {
            ensure!(features.contains(feature), "which feature is {feature:?}?");
        }
        ("deviation" | "not applicable", Some(reason)) => {
            ensure!(reason.len() > 5, "no reason");
        }
        _ => bail!("status {:?}", row.status),
    }
    Ok(())
}

/// Whether `name` stands in `text` as a whole word.
fn has_word(text: &str, name: &str) -> bool {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(name).any(|(at, _)| {
        !text[..at].ends_with(is_word) && !text[at + name.len()..].starts_with(is_word)
    })
}

/// Whether `text` has a test called `name`.
fn has_test(text: &str, name: &str) -> bool {
    text.match_indices(&format!("fn {name}(")).any(|(at, _)| {
        let before = &text[..at];
        let attribute = before.rfind("#[test]");
        // Nothing but the rest of the attribute, comments and white space between.
        attribute.is_some_and(|attribute| !before[attribute..].contains("fn "))
    })
}

fn ledger() -> Result<String> {
    fs::read_to_string(root().join("docs/rfc9568.md")).context("docs/rfc9568.md")
}

#[test]
fn every_row_is_complete_and_in_order() -> Result<()> {
    let text = ledger()?;
    let features = features(&text);
    let tables = tables(&text)?;
    ensure!(tables.len() == 2, "versions 3 and 2");
    // As many keywords as RFC 9568 has; fewer means that rows were lost.
    let keywords = tables[0].iter().filter(|row| row.level != "text").count();
    ensure!(keywords >= 65, "only {keywords} requirements");
    let mut errors = Vec::new();
    for table in &tables {
        for row in table {
            if let Err(error) = check(row, &features) {
                errors.push(format!("§{} {}: {error:#}", row.section, row.requirement));
            }
        }
        for pair in table.windows(2) {
            if numbers(&pair[0].section)? > numbers(&pair[1].section)? {
                errors.push(format!("§{} after §{}", pair[1].section, pair[0].section));
            }
        }
    }
    let waiting: BTreeSet<&str> = tables
        .iter()
        .flatten()
        .filter_map(|row| row.status.strip_prefix("not yet: "))
        .collect();
    for feature in features.difference(&waiting) {
        errors.push(format!("nothing waits for {feature:?}"));
    }
    ensure!(errors.is_empty(), "{}", errors.join("\n"));
    Ok(())
}

#[test]
fn everything_it_names_exists() -> Result<()> {
    let mut files: HashMap<String, String> = HashMap::new();
    let mut missing = Vec::new();
    let mut named = 0;
    for row in tables(&ledger()?)?.iter().flatten() {
        let code = row.code.references().iter().map(|item| (item, false));
        let tests = [&row.test, &row.violation]
            .into_iter()
            .flat_map(Cell::references)
            .map(|test| (test, true));
        for ((file, name), is_test) in code.chain(tests) {
            named += 1;
            let text = match files.get(file) {
                Some(text) => text,
                None => {
                    let text = fs::read_to_string(root().join(file)).unwrap_or_default();
                    files.entry(file.clone()).or_insert(text)
                }
            };
            let found = if is_test {
                has_test(text, name)
            } else {
                has_word(text, name)
            };
            if !found {
                missing.push(format!("§{}: {file}::{name}", row.section));
            }
        }
    }
    ensure!(missing.is_empty(), "not found:\n{}", missing.join("\n"));
    ensure!(named > 150, "only {named} names");
    Ok(())
}

/// A deviation of version 3 is in both places.
#[test]
fn the_deviations_are_those_of_the_architecture() -> Result<()> {
    let tables = tables(&ledger()?)?;
    let of_the_ledger: BTreeSet<(usize, String)> = tables
        .iter()
        .enumerate()
        .flat_map(|(version, table)| table.iter().map(move |row| (version, row)))
        .filter(|(_, row)| row.status.starts_with("deviation: "))
        // Says again what another section has.
        .filter(|(_, row)| !row.status.starts_with("deviation: as §"))
        .map(|(version, row)| (version, row.section.clone()))
        .collect();

    let text = fs::read_to_string(root().join("docs/ARCHITECTURE.md"))?;
    let (_, section) = text
        .split_once("## Where we differ from the RFC")
        .context("the section on deviations")?;
    let (section, _) = section.split_once("\n## ").unwrap_or((section, ""));
    let of_the_architecture: BTreeSet<(usize, String)> = section
        .lines()
        .filter_map(|line| {
            let (version, rest) = match line.strip_prefix("| §") {
                Some(rest) => (0, rest),
                None => (1, line.strip_prefix("| RFC 3768 §")?),
            };
            let number = rest.split_whitespace().next()?;
            Some((version, number.trim_end_matches(',').to_owned()))
        })
        .collect();
    ensure!(!of_the_architecture.is_empty(), "no deviation is read");
    assert_eq!(of_the_ledger, of_the_architecture);
    Ok(())
}

/// The checks themselves refuse what they are there to refuse.
#[test]
fn a_stale_or_idle_row_is_refused() -> Result<()> {
    let features = BTreeSet::from(["unicast"]);
    let row = |line: &str| -> Result<()> {
        let text =
            format!("| § | level | requirement | code | test | its violation | status |\n{line}");
        let tables = tables(&text)?;
        check(&tables[0][0], &features)
    };
    row("| 7.1 | MUST | x | `a::b` | `c::d` | `e::f`, `g::h` | done |")?;
    row("| 7.1 | MUST | x | `a::b` | `c::d` | none: we send | done |")?;
    row("| 7.1 | MUST | x | – | – | – | not yet: unicast |")?;
    for wrong in [
        "| 7.1 | MUST | x | – | `c::d` | `e::f` | done |",
        "| 7.1 | MUST | x | `a::b` | – | `e::f` | done |",
        "| 7.1 | MUST | x | `a::b` | `c::d` | – | done |",
        "| 7.1 | MUST | x | `a::b` | none: lazy | `e::f` | done |",
        "| 7.1 | MUST | x | a | `c::d` | `e::f` | done |",
        "| 7.1 | MUST | x | – | – | – | not yet: soon |",
        "| 7.1 | MUST | x | – | – | – | deviation: |",
        "| 7.1 | MUST | x | – | – | – | |",
        "| 7.1 | WILL | x | – | – | – | not yet: unicast |",
        "| x | MUST | x | – | – | – | not yet: unicast |",
        "| 7.1 | MUST | – | – | – | not yet: unicast |",
    ] {
        ensure!(row(wrong).is_err(), "taken: {wrong}");
    }
    let source = "#[test]\n/// Words.\nfn shows() {}\nfn helper(x: u8) {}\n";
    assert!(has_test(source, "shows") && !has_test(source, "helper"));
    assert!(!has_test(source, "show") && !has_test(source, "absent"));
    assert!(has_word(source, "helper") && !has_word(source, "help"));
    Ok(())
}
