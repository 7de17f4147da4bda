//! Comments, conditions, parameters and repetitions, line by line.

use super::*;

fn expanded_for(id: &str, text: &str) -> (Vec<String>, Vec<Diagnostic>) {
    let mut sources = Sources::new("keepalived.conf", text);
    let mut diagnostics = Vec::new();
    let lines = expand(
        &mut sources,
        Files::None,
        id,
        PathBuf::from("/etc/keepalived"),
        &mut diagnostics,
    );
    let lines = lines.iter().map(|line| line.as_str().to_owned()).collect();
    (lines, diagnostics)
}

#[track_caller]
fn check(text: &str, expected: &[&str]) {
    let (lines, diagnostics) = expanded_for("main", text);
    assert_eq!(lines, expected, "{text}");
    assert_eq!(diagnostics, []);
}

#[test]
fn comments_go_and_quotes_keep_them() {
    check("# a\n ! b\n\n  c # d\ne!f\r\n", &["c", "e"]);
    check("script \"/bin/a # b\" # c", &["script \"/bin/a # b\""]);
    check("auth_pass a\\#b\\!c\\d", &["auth_pass a#b!c\\d"]);
    let (lines, diagnostics) = expanded_for("main", "a \"b # c\nd \"e");
    assert_eq!(lines, ["a \"b # c", "d \"e"]);
    assert_eq!(diagnostics.len(), 1, "told once");
}

#[test]
fn conditions_choose_lines() {
    let text = "@main a\n@backup b\n@^main c\n@^backup d\n@main @^x e\n@main\n@";
    check(text, &["a", "d", "e"]);
}

#[test]
fn parameters_are_put_in() {
    check(
        "$BASE=10.2.${SUB}\n$SUB=0\n${BASE}.100/32\n$SUB=10\n${BASE}.100/32",
        &["10.2.0.100/32", "10.2.10.100/32"],
    );
    check(
        "$P=200\npriority $P\npriority $P/x $Q ${Q}",
        &["priority 200", "priority $P/x $Q ${Q}"],
    );
    check("@main $P=1\n@other $P=2\n$P ", &["1"]);
    check("$IF=@main\n$IF x\n$IF=@other\n$IF y", &["x"]);
    check("$E=\na ${E}b", &["a b"]);
    check(
        "a ${_HASH} ${_BANG} ${_PWD}/x ${_INSTANCE}",
        &["a # ! /etc/keepalived/x main"],
    );
}

#[test]
fn random_numbers_are_the_same_each_time() {
    let text = "a ${_RANDOM} ${_RANDOM 5 7} ${_RANDOM 9 2}";
    let (first, _) = expanded_for("main", text);
    assert_eq!(expanded_for("main", text).0, first);
    let words: Vec<u64> = first[0]
        .split(' ')
        .skip(1)
        .map(|n| n.parse().unwrap())
        .collect();
    assert!(words[0] <= MAX_RANDOM && (5..=7).contains(&words[1]) && words[2] == 9);
}

#[test]
fn definitions_of_several_lines_nest() {
    check(
        "$IN= \\\n  x ${N} \\\n  { y }\n$OUT= \\\n $N=1 \\\n $IN \\\n @other z \\\n end\n$OUT\n$N=2\nq $IN",
        &["x 1", "{ y }", "end", "q x 2", "{ y }"],
    );
    check("a \\\nb", &["a", "b"]);
}

#[test]
fn lines_repeat() {
    check("~SEQ(A, 0, 2) x${A}", &["x0", "x1", "x2"]);
    check("~SEQ(A, 2) x${A}", &["x1", "x2"]);
    check("~SEQ(A, 3, 1) $A", &["3", "2", "1"]);
    check(
        "~SEQx(A, 0x90, 0x10, 0xa0) fe80::${A}",
        &["fe80::90", "fe80::a0"],
    );
    check("~SEQ(A, 1, 0, 5) x", &[]);
    check(
        "~LST(A, 1, 2) ~SEQ(B, 5, 6) ${A}.${B}",
        &["1.5", "1.6", "2.5", "2.6"],
    );
    check("~LST({A, B}, {1,2}, {3,4}) ${B}${A}", &["21", "43"]);
    check(
        "$I= \\\n a ${A} \\\n b\n~SEQ(A, 1, 2) $I",
        &["a 1", "b", "a 2", "b"],
    );
}

#[test]
fn what_has_no_end_is_refused() {
    for text in [
        "$A=$A\n$A",
        "$A=x ${A}\n$A",
        "$A= \\\n b \\\n $A\n$A",
        "~SEQ(A, 0, 9223372036854775807) x",
        "~SEQ(A, 0, 100000) ~SEQ(B, 0, 100000)",
    ] {
        let (_, diagnostics) = expanded_for("main", text);
        assert_eq!(diagnostics.len(), 1, "{text}: {diagnostics:?}");
        assert!(
            diagnostics[0].message.contains("too much"),
            "{diagnostics:?}"
        );
    }
}
