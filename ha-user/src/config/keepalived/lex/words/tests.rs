//! Words, commands and directives.

use super::*;

fn words(line: &str) -> Vec<String> {
    tokens(line)
        .into_iter()
        .map(|token| match token {
            Token::Word(text, _) => text,
            Token::Open(_) => "<".to_owned(),
            Token::Close(_) => ">".to_owned(),
        })
        .collect()
}

#[test]
fn words_and_braces() {
    for (line, expected) in [
        ("", vec![]),
        ("  \t ", vec![]),
        ("priority 100", vec!["priority", "100"]),
        (
            "unicast_peer { 10.0.0.2 }",
            vec!["unicast_peer", "<", "10.0.0.2", ">"],
        ),
        ("a{b}c", vec!["a", "<", "b", ">", "c"]),
        (
            "script \"/bin/x { a } # b\"",
            vec!["script", "/bin/x { a } # b"],
        ),
        ("state \"BACK\"UP", vec!["state", "BACKUP"]),
        ("notify \"\" x", vec!["notify", "", "x"]),
        ("open \"never closed", vec!["open", "never closed"]),
        ("id ${N}7 ${", vec!["id", "${N}7", "${"]),
        ("cost $ 5$", vec!["cost", "$", "5$"]),
    ] {
        assert_eq!(words(line), expected, "{line:?}");
    }
    assert_eq!(
        tokens(" a{")[..],
        [Token::Word("a".to_owned(), 1..2), Token::Open(2..3)]
    );
}

#[test]
fn commands_are_split_as_by_a_shell() {
    for (text, expected) in [
        ("/bin/a b  c", vec!["/bin/a", "b", "c"]),
        ("/bin/a 'b c' d\"e f\"g", vec!["/bin/a", "b c", "de fg"]),
        (
            r"/bin/a\ b \x41\102 \n \cA \q",
            vec!["/bin/a b", "AB", "\n", "\u{1}", "q"],
        ),
        ("'' \"\"", vec!["", ""]),
        ("a 'b", vec!["a", "b"]),
        (r"a\", vec![r"a\"]),
        (r#""a \" b""#, vec!["a \" b"]),
    ] {
        assert_eq!(split_command(text), expected, "{text:?}");
    }
}

#[test]
fn directives() {
    assert_eq!(
        condition("@main x"),
        Some((
            Condition {
                not: false,
                id: "main"
            },
            5
        ))
    );
    assert_eq!(
        condition("@^main"),
        Some((
            Condition {
                not: true,
                id: "main"
            },
            6
        ))
    );
    assert_eq!(condition("main"), None);
    assert_eq!(definition("$A_1=b c"), Some(("A_1", 5)));
    assert_eq!(definition("$1=b"), None);
    assert_eq!(definition("$A =b"), None);
    let named = |text| parameter(text).map(|(found, len)| (found.name, found.arguments, len));
    assert_eq!(named("${A}b"), Some(("A", "", 4)));
    assert_eq!(named("$A b"), Some(("A", "", 2)));
    assert_eq!(named("$A"), Some(("A", "", 2)));
    assert_eq!(named("$A.b"), None);
    assert_eq!(named("${_RANDOM 1 5}"), Some(("_RANDOM", "1 5", 14)));
    assert_eq!(named("${1}"), None);
    assert_eq!(named("${A"), None);
}

#[test]
fn repetitions() {
    let sequence = |first, step, last, hexadecimal| Repeat::Sequence {
        name: "A".to_owned(),
        first,
        step,
        last,
        hexadecimal,
    };
    for (line, expected, len) in [
        ("~SEQ(A, 0, 3) x", sequence(Some(0), None, 3, false), 13),
        ("~SEQ(A,5)", sequence(None, None, 5, false), 9),
        (
            "~SEQx(A, 0x90, -0x10, 12)y",
            sequence(Some(0x90), Some(-16), 12, true),
            25,
        ),
    ] {
        assert_eq!(repeated(line), Some((expected, len)), "{line}");
    }
    assert_eq!(
        repeated("~LST({A, B}, {1,2},{3, 4}) x").map(|(found, _)| found),
        Some(Repeat::List {
            names: vec!["A".to_owned(), "B".to_owned()],
            values: vec![
                vec!["1".to_owned(), "2".to_owned()],
                vec!["3".to_owned(), "4".to_owned()]
            ],
        })
    );
    for line in [
        "~SEQ(A)",
        "~SEQ(1, 2)",
        "~SEQ(A, 1, 2, 3, 4)",
        "~LST({A, B}, 1)",
        "~LST(A)",
        "~X",
    ] {
        assert_eq!(repeated(line), None, "{line}");
    }
}
