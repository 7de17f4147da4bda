//! Each block against the TOML that says the same, and what is said of slips.

mod addresses;
mod blocks;
mod election;
mod scripts;

use super::is_likely;
use crate::config::{Config, Diagnostic, Options, Severity, parse, parse_keepalived, render};

/// What every instance needs.
const LEAST: &str = "interface eth0\nvirtual_router_id 51\n";

/// The same in TOML; an instance of keepalived's is of version 2 by default.
const LEAST_TOML: &str = "name = \"VI\"\ninterface = \"eth0\"\nvrid = 51\n";

fn options() -> Options {
    Options {
        config_id: Some("node1".to_owned()),
        ..Options::default()
    }
}

/// What `text` is taken for, and what is said of it.
#[track_caller]
fn taken(text: &str) -> (Config, Vec<Diagnostic>) {
    match parse_keepalived(text, &options()) {
        Ok(taken) => taken,
        Err(errors) => panic!("{}", render("keepalived.conf", text, &errors, false)),
    }
}

#[track_caller]
fn toml(text: &str) -> Config {
    match parse(text) {
        Ok((config, _)) => config,
        Err(errors) => panic!("{}", render("harrier.toml", text, &errors, false)),
    }
}

/// An instance with `lines`.
fn instance(lines: &str) -> String {
    format!("vrrp_instance VI {{\n{LEAST}{lines}\n}}\n")
}

/// `lines` of an instance say what `toml` does, and nothing is wrong with them.
#[track_caller]
fn same(lines: &str, toml: &str) {
    same_file(
        &instance(lines),
        &format!("[[instance]]\n{LEAST_TOML}{toml}\n"),
    );
}

#[track_caller]
fn same_file(text: &str, file: &str) {
    let (config, said) = taken(text);
    let said: Vec<_> = said
        .iter()
        .filter(|one| one.severity != Severity::Note)
        .collect();
    assert!(said.is_empty(), "{said:#?}\n{text}");
    assert_eq!(config, toml(file), "{text}");
}

/// `lines` of an instance say what `toml` does, with warnings that have `parts`
/// in them, one each.
#[track_caller]
fn warned(lines: &str, parts: &[&str], toml: &str) {
    warned_file(
        &instance(lines),
        parts,
        &format!("[[instance]]\n{LEAST_TOML}{toml}\n"),
    );
}

#[track_caller]
fn warned_file(text: &str, parts: &[&str], file: &str) {
    let config = told(text, parts);
    assert_eq!(config, toml(file), "{text}");
}

/// `text` is taken with warnings that have `parts` in them, one each.
#[track_caller]
fn told(text: &str, parts: &[&str]) -> Config {
    let (config, said) = taken(text);
    let said: Vec<String> = said
        .iter()
        .filter(|one| one.severity != Severity::Note)
        .map(|one| {
            let marked = text.get(one.span.clone()).unwrap_or_default();
            format!("at {marked}: {}; {}", one.message, one.expected)
        })
        .collect();
    assert_eq!(said.len(), parts.len(), "{said:#?}\n{text}");
    for part in parts {
        assert!(
            said.iter().any(|said| said.contains(part)),
            "{part} is not in {said:#?}"
        );
    }
    config
}

/// `text` is refused with one error that has `parts` in it.
#[track_caller]
fn refused(text: &str, parts: &[&str]) {
    let said = parse_keepalived(text, &options()).expect_err("refused");
    let errors: Vec<_> = said
        .iter()
        .filter(|one| one.severity == Severity::Error)
        .map(|one| format!("{}; {}", one.message, one.expected))
        .collect();
    assert_eq!(errors.len(), 1, "{errors:#?}");
    for part in parts {
        assert!(errors[0].contains(part), "{part} is not in {errors:?}");
    }
}

#[test]
fn the_language_is_told_by_what_is_in_the_file() {
    for text in [
        "vrrp_instance VI_1 {",
        "# comment\n  global_defs\n{\n}",
        "vrrp_script x{",
        "virtual_server 10.0.0.1 80 {",
        "include /etc/keepalived/conf.d/*.conf",
        "include conf.d/[a-c].conf",
    ] {
        assert!(is_likely(text), "{text}");
    }
    for text in [
        "",
        "[[instance]]\nname = \"vrrp_instance\"",
        "vrrp_instance = \"a {\"",
        "include = [\"a\"]",
        "# vrrp_instance VI_1 {",
        "track_file = 1",
    ] {
        assert!(!is_likely(text), "{text}");
    }
}

#[test]
fn keywords_that_there_are_none_of_are_errors_only_if_asked_for() {
    let text = instance("prioritiy 5\nvirtual_ipaddress { 10.0.0.1/24 foo }\n");
    told(&text, &["did you mean priority?", "\"foo\" in an address"]);
    let strict = Options {
        strict: true,
        ..options()
    };
    let said = parse_keepalived(&text, &strict).expect_err("refused");
    assert!(
        said.iter().all(|one| one.severity == Severity::Error),
        "{said:?}"
    );
    assert_eq!(said.len(), 2);
}

#[test]
fn what_is_told_of_once_says_how_often() {
    let text =
        instance("virtual_ipaddress {\n10.0.0.1 no_track\n10.0.0.2 no_track\n10.0.0.3 no_track\n}");
    told(&text, &["(and in 2 more places)"]);
    let text = format!(
        "virtual_server 1 {{\n}}\nvirtual_server_group g {{\n}}\n{}",
        instance("")
    );
    told(&text, &["LVS is skipped (and in one more place)"]);
}

#[test]
fn a_file_without_instances_is_taken() {
    for text in ["", "global_defs {\n}\n", "# nothing\n"] {
        assert!(told(text, &["there is nothing to do"]).instances.is_empty());
    }
}
