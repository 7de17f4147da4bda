//! A configuration file: whatever its text, it is taken or refused in words
//! that point into it.

pub(super) mod sound;
#[cfg(test)]
mod tests;

use ha_user::config::{Diagnostic, Severity, line_and_column, parse, render, to_toml};

/// Runs the configuration reader over `input`, and returns whether it is a
/// valid configuration. What is no UTF-8 is refused before the reader.
///
/// # Panics
/// If a diagnostic points outside the text, is missing from the report, or
/// disagrees with the verdict; if a terminal would obey the report; if what was
/// taken is not what the model promises.
pub fn config(input: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(input) else {
        return false;
    };
    match parse(text) {
        Ok((config, warnings)) => {
            assert!(
                warnings.iter().all(|one| one.severity != Severity::Error),
                "taken in spite of an error: {warnings:?}"
            );
            told(text, &warnings);
            assert!(!config.instances.is_empty());
            sound::check(&config);
            let toml = to_toml(&config);
            match parse(&toml) {
                Ok((again, _)) => assert_eq!(again, config, "written as:\n{toml}"),
                Err(errors) => panic!("refused as it is written: {errors:?}\n{toml}"),
            }
            true
        }
        Err(diagnostics) => {
            assert!(
                diagnostics
                    .iter()
                    .any(|one| one.severity == Severity::Error),
                "refused without an error: {diagnostics:?}"
            );
            told(text, &diagnostics);
            false
        }
    }
}

/// Every diagnostic lies inside the text and comes out in the report.
pub(super) fn told(text: &str, diagnostics: &[Diagnostic]) {
    for one in diagnostics {
        let related = one.related.iter().map(|(span, _)| span);
        for span in related.chain([&one.span]) {
            assert!(
                text.get(span.clone()).is_some(),
                "outside the text: {one:?}"
            );
        }
        let (line, column) = line_and_column(text, one.span.start);
        assert!(line >= 1 && column >= 1);
        assert!(
            !one.message.is_empty() && !one.expected.is_empty(),
            "{one:?}"
        );
    }
    let report = render("fuzz.toml", text, diagnostics, false);
    let obeyed = |c: char| c.is_control() && !matches!(c, '\n' | '\r' | '\t');
    assert!(!report.contains(obeyed), "a terminal obeys: {report:?}");
    for one in diagnostics {
        assert!(report.contains(&one.message), "{one:?} is not in\n{report}");
    }
    let coloured = render("fuzz.toml", text, diagnostics, true);
    assert_eq!(coloured.is_empty(), diagnostics.is_empty());
}
