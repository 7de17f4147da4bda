//! What is to be said about a configuration file, and how it is shown.

use std::{fmt::Write as _, ops::Range};

use ariadne::{Cache, Config, IndexType, Label, Report, ReportKind};

use super::sources::Sources;

/// How bad it is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Severity {
    /// The file is refused.
    Error,
    /// The file is taken, but probably says something else than was meant.
    Warning,
    /// Nothing is wrong with it, but it is worth knowing. `harrier check` shows it;
    /// the log does not.
    Note,
}

/// One thing to be said about a configuration.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// The octets that it is about; where there are several files, as
    /// [`Sources`] numbers them.
    pub span: Range<usize>,
    /// What is wrong, in one line.
    pub message: String,
    /// What was expected there; stands next to the marked text.
    pub expected: String,
    /// What to do about it.
    pub help: Option<String>,
    /// Another place that matters, and why.
    pub related: Option<(Range<usize>, String)>,
}

impl Diagnostic {
    pub(super) fn error(
        span: Range<usize>,
        message: impl Into<String>,
        expected: impl Into<String>,
    ) -> Self {
        Self {
            severity: Severity::Error,
            span,
            message: message.into(),
            expected: expected.into(),
            help: None,
            related: None,
        }
    }

    pub(super) fn warning(
        span: Range<usize>,
        message: impl Into<String>,
        expected: impl Into<String>,
    ) -> Self {
        Self {
            severity: Severity::Warning,
            ..Self::error(span, message, expected)
        }
    }

    pub(super) fn note(
        span: Range<usize>,
        message: impl Into<String>,
        expected: impl Into<String>,
    ) -> Self {
        Self {
            severity: Severity::Note,
            ..Self::error(span, message, expected)
        }
    }

    pub(super) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    pub(super) fn related(mut self, span: Range<usize>, why: impl Into<String>) -> Self {
        self.related = Some((span, why.into()));
        self
    }
}

/// Line and column of the octet `offset` in `text`, both from 1; the column
/// counts characters.
#[must_use]
pub fn line_and_column(text: &str, offset: usize) -> (usize, usize) {
    let before = &text[..text.floor_char_boundary(offset)];
    let line_at = before.rfind('\n').map_or(0, |newline| newline + 1);
    (
        before.matches('\n').count() + 1,
        before[line_at..].chars().count() + 1,
    )
}

/// `diagnostics` with the lines of `text` that they are about; `name` is the
/// file's. With `colour` for a terminal.
#[must_use]
pub fn render(name: &str, text: &str, diagnostics: &[Diagnostic], colour: bool) -> String {
    render_sources(&Sources::new(name, text), diagnostics, colour)
}

/// `diagnostics` with the lines of `sources` that they are about. With `colour`
/// for a terminal.
#[must_use]
pub fn render_sources(sources: &Sources, diagnostics: &[Diagnostic], colour: bool) -> String {
    let shown = sources.shown();
    let files = (0..shown.len()).map(|place| shown.file(place));
    // Split into lines once for all of them.
    let mut texts = ariadne::sources(files.map(|file| (file.name.clone(), file.text.as_str())));
    let mut out = String::new();
    for diagnostic in diagnostics {
        match report(&shown, &mut texts, diagnostic, colour) {
            Some(report) => out.push_str(&report),
            // Nothing to quote: an empty file, or an offset behind its end.
            None => plain(&mut out, &shown, diagnostic),
        }
    }
    out
}

fn report(
    sources: &Sources,
    texts: &mut impl Cache<String>,
    diagnostic: &Diagnostic,
    colour: bool,
) -> Option<String> {
    let (file, span) = sources.locate(&diagnostic.span);
    let span = visible(&file.text, &span)?;
    let name = file.name.clone();
    let kind = match diagnostic.severity {
        Severity::Error => ReportKind::Error,
        Severity::Warning => ReportKind::Warning,
        Severity::Note => ReportKind::Advice,
    };
    let config = Config::default()
        .with_color(colour)
        .with_index_type(IndexType::Byte);
    let mut report = Report::build(kind, (name.clone(), span.clone()))
        .with_config(config)
        .with_message(&diagnostic.message)
        .with_label(mark((name, span), &diagnostic.expected, kind, colour));
    if let Some((span, why)) = &diagnostic.related {
        let (file, span) = sources.locate(span);
        if let Some(span) = visible(&file.text, &span) {
            report = report.with_label(mark(
                (file.name.clone(), span),
                why,
                ReportKind::Advice,
                colour,
            ));
        }
    }
    if let Some(help) = &diagnostic.help {
        report = report.with_help(help);
    }
    let mut out = Vec::new();
    report.finish().write(texts, &mut out).ok()?;
    let out = String::from_utf8_lossy(&out);
    // The lines of a report are padded; a terminal does not show that, a diff does.
    Some(
        out.lines()
            .flat_map(|line| [line.trim_end(), "\n"])
            .collect(),
    )
}

fn mark(
    span: (String, Range<usize>),
    words: &str,
    kind: ReportKind<'_>,
    colour: bool,
) -> Label<(String, Range<usize>)> {
    let label = Label::new(span).with_message(words);
    if !colour {
        return label;
    }
    label.with_color(match kind {
        ReportKind::Error => ariadne::Color::Red,
        ReportKind::Warning => ariadne::Color::Yellow,
        _ => ariadne::Color::Blue,
    })
}

fn plain(out: &mut String, sources: &Sources, diagnostic: &Diagnostic) {
    let severity = match diagnostic.severity {
        Severity::Error => "Error",
        Severity::Warning => "Warning",
        Severity::Note => "Advice",
    };
    let (name, line, column) = sources.place(diagnostic.span.start);
    let Diagnostic {
        message, expected, ..
    } = diagnostic;
    // Writing to a String cannot fail.
    let _ = writeln!(
        out,
        "{severity}: {message}\n   at {name}:{line}:{column}: {expected}"
    );
    if let Some(help) = &diagnostic.help {
        let _ = writeln!(out, "   Help: {help}");
    }
}

/// `span` cut to its first line, with at least one character in it; `None` if
/// the text has none there.
fn visible(text: &str, span: &Range<usize>) -> Option<Range<usize>> {
    if text.trim().is_empty() {
        return None;
    }
    let mut start = text.floor_char_boundary(span.start.min(text.len()));
    if start == text.len() {
        // The end of the file: point at the last thing in it.
        start = text.trim_end().char_indices().next_back()?.0;
    }
    let line = text[start..]
        .find('\n')
        .map_or(text.len(), |newline| start + newline);
    let first = text[start..].chars().next().map_or(1, char::len_utf8);
    let end = text
        .ceil_char_boundary(span.end.min(line))
        .max(start + first)
        .min(text.len());
    Some(start..end)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_place_line_expectation_and_remedy() {
        let text = "a = 1\nvrid = 300\n";
        let diagnostic = Diagnostic::error(13..16, "no such VRID", "1 to 255").help("take another");
        let out = render("x.toml", text, &[diagnostic], false);
        for part in [
            "Error: no such VRID",
            "x.toml:2:8",
            "vrid = 300",
            "1 to 255",
            "take another",
        ] {
            assert!(out.contains(part), "{part} is missing in\n{out}");
        }
        assert!(!out.contains('\u{1b}'), "{out}");
    }

    #[test]
    fn colour_only_when_asked_for() {
        let diagnostic = Diagnostic::error(0..1, "wrong", "right");
        assert!(render("x", "a = 1", &[diagnostic], true).contains('\u{1b}'));
    }

    #[test]
    fn an_empty_file_and_the_end_of_a_file_have_a_place_too() {
        let diagnostic = Diagnostic::error(0..0, "nothing here", "something");
        let out = render("x", "", &[diagnostic], false);
        assert!(out.contains("x:1:1"), "{out}");
        let diagnostic = Diagnostic::error(6..6, "unfinished", "more");
        let out = render("x", "a = 1\n", &[diagnostic], false);
        assert!(out.contains("x:1:5"), "{out}");
    }

    #[test]
    fn a_terminal_is_not_obeyed_to() {
        let text = "a = \"\u{1b}[2J\u{9b}2J\"";
        let out = render("x", text, &[Diagnostic::error(4..5, "m", "e")], false);
        assert!(!out.contains(['\u{1b}', '\u{9b}']), "{out}");
    }

    #[test]
    fn columns_count_characters() {
        assert_eq!(line_and_column("ä = 1\nöö = 2", 7), (2, 1));
        assert_eq!(line_and_column("ä = 1\nöö = 2", 11), (2, 3));
        assert_eq!(line_and_column("", 9), (1, 1));
    }

    proptest! {
        #[test]
        fn any_place_in_any_text_can_be_shown(
            text in "[ -~\n\r\tä€\u{1b}\u{2028}\u{0}]{0,60}",
            start in 0_usize..200,
            len in 0_usize..20,
        ) {
            let diagnostic = Diagnostic::error(start..start + len, "message", "expectation")
                .related(len..start, "why");
            let out = render("file", &text, &[diagnostic], false);
            prop_assert!(out.contains("message") && out.contains("file:"), "{}", out);
        }
    }
}
