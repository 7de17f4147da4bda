//! Lines and the blocks behind them.

use std::ops::Range;

use super::{
    text::Text,
    words::{Token, Word, tokens},
};
use crate::config::diagnostic::Diagnostic;

/// Deeper nesting than any configuration has.
const MAX_DEPTH: usize = 32;

/// A line with at least one word, and the block that belongs to it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(in crate::config::keepalived) struct Line {
    pub(in crate::config::keepalived) words: Vec<Word>,
    /// The line as it stands, from its first word on, without the block.
    pub(in crate::config::keepalived) text: Text,
    pub(in crate::config::keepalived) block: Option<Vec<Line>>,
}

impl Line {
    /// Its first word.
    pub(in crate::config::keepalived) fn keyword(&self) -> &Word {
        &self.words[0]
    }

    /// The words behind the first.
    pub(in crate::config::keepalived) fn arguments(&self) -> &[Word] {
        &self.words[1..]
    }

    /// From its first word to its last.
    pub(in crate::config::keepalived) fn span(&self) -> Range<usize> {
        let (first, last) = (&self.words[0].span, &self.words[self.words.len() - 1].span);
        if last.end >= first.start && first.start <= last.start {
            first.start..last.end
        } else {
            first.clone()
        }
    }

    /// The lines of its block; none if it has no block.
    pub(in crate::config::keepalived) fn lines(&self) -> &[Line] {
        self.block.as_deref().unwrap_or_default()
    }

    /// What stands behind its first word, as it is written.
    pub(in crate::config::keepalived) fn rest(&self) -> Text {
        let text = self.text.as_str();
        let first = match tokens(text).first() {
            Some(Token::Word(_, span)) => span.end,
            _ => 0,
        };
        self.text.part(first..text.len())
    }
}

/// Makes a tree of `lines`.
pub(super) fn build(lines: &[Text], diagnostics: &mut Vec<Diagnostic>) -> Vec<Line> {
    let mut builder = Builder {
        open: Vec::new(),
        lines: Vec::new(),
        diagnostics,
        too_deep: 0,
    };
    for line in lines {
        builder.line(line);
    }
    builder.finish()
}

struct Builder<'a> {
    /// The lines that the blocks being read belong to, each with what stood
    /// before it in its own block.
    open: Vec<(Line, Vec<Line>, Range<usize>)>,
    /// Of the innermost block.
    lines: Vec<Line>,
    diagnostics: &'a mut Vec<Diagnostic>,
    /// Blocks that are being read and ignored.
    too_deep: usize,
}

impl Builder<'_> {
    fn line(&mut self, text: &Text) {
        let mut words = Vec::new();
        // The octets of the line that the words stand at.
        let mut at = 0..0;
        for token in tokens(text.as_str()) {
            match token {
                Token::Word(word, span) => {
                    if words.is_empty() {
                        at.start = span.start;
                    }
                    at.end = span.end;
                    words.push(Word {
                        text: word,
                        span: text.span(span),
                    });
                }
                Token::Open(span) => {
                    self.end_line(&mut words, text, &at);
                    self.open(text.span(span));
                }
                Token::Close(span) => {
                    self.end_line(&mut words, text, &at);
                    self.close(text.span(span));
                }
            }
        }
        self.end_line(&mut words, text, &at);
    }

    fn end_line(&mut self, words: &mut Vec<Word>, text: &Text, at: &Range<usize>) {
        if !words.is_empty() && self.too_deep == 0 {
            self.lines.push(Line {
                words: std::mem::take(words),
                text: text.part(at.clone()),
                block: None,
            });
        }
        words.clear();
    }

    fn open(&mut self, span: Range<usize>) {
        let head = self.lines.pop_if(|line| line.block.is_none());
        let Some(head) = head.filter(|_| self.open.len() < MAX_DEPTH && self.too_deep == 0) else {
            if self.too_deep == 0 {
                self.diagnostics.push(
                    Diagnostic::warning(
                        span,
                        "a block that belongs to nothing",
                        "expected a keyword in front of the brace; ignored up to its end",
                    )
                    .help("a block is headed by a line of its own, such as vrrp_instance VI_1 {"),
                );
            }
            self.too_deep += 1;
            return;
        };
        let before = std::mem::take(&mut self.lines);
        self.open.push((head, before, span));
    }

    fn close(&mut self, span: Range<usize>) {
        if let Some(less) = self.too_deep.checked_sub(1) {
            self.too_deep = less;
            return;
        }
        match self.open.pop() {
            Some((head, before, _)) => self.leave(head, before),
            None => self.diagnostics.push(
                Diagnostic::warning(
                    span,
                    "a closing brace without an opening one",
                    "ignored, as keepalived does",
                )
                .help("remove it, or look for the block that was meant to reach to here"),
            ),
        }
    }

    fn leave(&mut self, mut head: Line, before: Vec<Line>) {
        head.block = Some(std::mem::replace(&mut self.lines, before));
        self.lines.push(head);
    }

    fn finish(mut self) -> Vec<Line> {
        while let Some((head, before, span)) = self.open.pop() {
            self.diagnostics.push(
                Diagnostic::warning(
                    span,
                    "this block is not closed",
                    "expected a closing brace; taken to reach to the end of the file",
                )
                .help("what follows it was read as part of it: close it where it ends"),
            );
            self.leave(head, before);
        }
        self.lines
    }
}
