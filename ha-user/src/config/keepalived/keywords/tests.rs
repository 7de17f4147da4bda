//! The table, and the one of the documentation.

use std::collections::HashSet;

use super::*;

/// The tables of the documentation, one for each place.
fn tables() -> String {
    use std::fmt::Write as _;

    let mut out = String::new();
    for place in Place::ALL {
        let _ = write!(
            out,
            "### {}\n\n| keyword | | here |\n|---|---|---|\n",
            place.name()
        );
        for keyword in KEYWORDS.iter().filter(|keyword| keyword.place == place) {
            let Keyword {
                name,
                treatment,
                note,
                ..
            } = keyword;
            let _ = writeln!(out, "| `{name}` | {treatment} | {note} |");
        }
        out.push('\n');
    }
    out
}

/// What the documentation says of keywords is what happens.
#[test]
fn the_documentation_has_all_of_them() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/keepalived.md");
    let text = std::fs::read_to_string(path).unwrap();
    let tables = tables();
    for block in tables.split("\n\n") {
        assert!(
            text.contains(block.trim()),
            "not in docs/keepalived.md:\n{tables}"
        );
    }
    let rows = text.lines().filter(|line| line.starts_with("| `")).count();
    assert_eq!(rows, KEYWORDS.len(), "rows without a keyword");
}

#[test]
fn each_is_there_once_and_says_something() {
    let mut seen = HashSet::new();
    for keyword in KEYWORDS {
        assert!(seen.insert((keyword.place, keyword.name)), "{keyword:?}");
        assert!(!keyword.note.is_empty(), "{keyword:?}");
    }
}
