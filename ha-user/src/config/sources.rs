//! The files that a configuration is made of, laid end to end: a place in any of
//! them is one offset, so a span needs no file beside it.

use std::ops::Range;

/// One file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct SourceFile {
    /// Its name, for messages.
    pub(super) name: String,
    /// What is in it.
    pub(super) text: String,
    /// The offset of its first octet.
    pub(super) base: usize,
}

impl SourceFile {
    /// The offset behind its last octet, which is its own.
    fn end(&self) -> usize {
        self.base + self.text.len()
    }
}

/// All files, in the order in which they were read. The first is the one that
/// was asked for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sources {
    files: Vec<SourceFile>,
    /// What is not to be shown.
    secrets: Vec<Range<usize>>,
}

impl Sources {
    /// A single file.
    #[must_use]
    pub fn new(name: impl Into<String>, text: impl Into<String>) -> Self {
        Self {
            files: vec![SourceFile {
                name: name.into(),
                text: text.into(),
                base: 0,
            }],
            secrets: Vec::new(),
        }
    }

    /// One more file; returns its place.
    pub(super) fn add(&mut self, name: String, text: String) -> usize {
        // One offset between two files, so that the end of one is not the start
        // of the next.
        let base = self.files.last().map_or(0, SourceFile::end) + 1;
        self.files.push(SourceFile { name, text, base });
        self.files.len() - 1
    }

    /// Has `span` shown as asterisks.
    pub(super) fn hide(&mut self, span: Range<usize>) {
        self.secrets.push(span);
    }

    /// As they can be shown on a terminal, octet for octet as long.
    pub(super) fn shown(&self) -> Self {
        let mut shown = self.clone();
        for file in &mut shown.files {
            file.name = printable(&file.name);
            let mut text = std::mem::take(&mut file.text);
            for secret in &self.secrets {
                let local = |offset: usize| offset.checked_sub(file.base);
                let place = local(secret.start).zip(local(secret.end));
                if let Some((start, end)) = place
                    && text.get(start..end).is_some()
                {
                    text.replace_range(start..end, &"*".repeat(end - start));
                }
            }
            file.text = printable(&text);
        }
        shown
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.files.len()
    }

    pub(super) fn file(&self, place: usize) -> &SourceFile {
        &self.files[place]
    }

    /// The file that was asked for.
    pub(super) fn main(&self) -> &SourceFile {
        &self.files[0]
    }

    /// The file that `span` begins in, and the part of it that lies there.
    pub(super) fn locate(&self, span: &Range<usize>) -> (&SourceFile, Range<usize>) {
        let behind = self.files.partition_point(|file| file.base <= span.start);
        let file = &self.files[behind.saturating_sub(1)];
        let local = |offset: usize| offset.saturating_sub(file.base).min(file.text.len());
        (file, local(span.start)..local(span.end))
    }

    /// Name of the file, line and column (both from 1) of an offset.
    #[must_use]
    pub fn place(&self, offset: usize) -> (&str, usize, usize) {
        let (file, local) = self.locate(&(offset..offset));
        let (line, column) = super::line_and_column(&file.text, local.start);
        (&file.name, line, column)
    }
}

/// `text` without control characters that a terminal would obey, octet for
/// octet as long.
fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() && !matches!(c, '\n' | '\r' | '\t') {
            out.extend(std::iter::repeat_n('?', c.len_utf8()));
        } else {
            out.push(c);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offset_tells_the_file() {
        let mut sources = Sources::new("a", "one\ntwo");
        sources.add("b".to_owned(), String::new());
        sources.add("c".to_owned(), "x\n y".to_owned());
        assert_eq!(sources.place(0), ("a", 1, 1));
        assert_eq!(sources.place(4), ("a", 2, 1));
        assert_eq!(sources.place(7), ("a", 2, 4));
        assert_eq!(sources.place(8), ("b", 1, 1));
        assert_eq!(sources.place(9), ("c", 1, 1));
        assert_eq!(sources.place(12), ("c", 2, 2));
        assert_eq!(sources.place(99), ("c", 2, 3));
        let (file, span) = sources.locate(&(4..99));
        assert_eq!((file.name.as_str(), span), ("a", 4..7));
    }

    #[test]
    fn secrets_are_not_shown() {
        let mut sources = Sources::new("a", "auth_pass gehähm");
        sources.add("b".to_owned(), "auth_pass \u{1b}x".to_owned());
        sources.hide(10..17);
        sources.hide(28..29);
        let shown = sources.shown();
        assert_eq!(shown.main().text, "auth_pass *******");
        assert_eq!(shown.file(1).text, "auth_pass *x");
        // What is in no file, or in the middle of a character, hides nothing.
        sources.hide(14..15);
        sources.hide(90..99);
        assert_eq!(sources.shown().main().text, "auth_pass *******");
    }
}
