//! Lines as they count: without comments, with the files that are included,
//! without the lines for other machines, with parameters put in.

#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeSet, HashMap},
    fs, io,
    ops::Range,
    path::{Path, PathBuf},
};

use super::{
    super::Files,
    glob,
    text::Text,
    words::{Repeat, Token, Use, condition, definition, parameter, repeated, tokens},
};
use crate::config::{MAX_FILE, diagnostic::Diagnostic, sources::Sources};

/// Files that include each other go no deeper.
const MAX_INCLUDES: usize = 16;

/// Files that one configuration is made of.
const MAX_FILES: usize = 1000;

/// Parameters that stand for parameters go no deeper.
const MAX_DEPTH: usize = 32;

/// Octets that all lines may have together; each counts for at least
/// [`LINE_COST`].
const MAX_EXPANDED: usize = 16 * 1024 * 1024;

/// What an empty line counts for.
const LINE_COST: usize = 32;

/// What the random numbers of `${_RANDOM}` go up to.
const MAX_RANDOM: u64 = 32767;

/// The lines of the first of `sources`, which is in `directory`.
pub(super) fn expand(
    sources: &mut Sources,
    files: Files,
    id: &str,
    directory: PathBuf,
    diagnostics: &mut Vec<Diagnostic>,
) -> Vec<Text> {
    let mut expander = Expander {
        sources,
        files,
        id,
        directory,
        definitions: HashMap::new(),
        lines: Vec::new(),
        budget: MAX_EXPANDED,
        open_files: 0,
        random: 0,
        unclosed: false,
        diagnostics,
    };
    expander.file(0);
    expander.lines
}

struct Expander<'a> {
    sources: &'a mut Sources,
    files: Files,
    id: &'a str,
    /// Of the file that is being read.
    directory: PathBuf,
    definitions: HashMap<String, Text>,
    lines: Vec<Text>,
    /// Octets that lines may still have.
    budget: usize,
    open_files: usize,
    /// Random numbers that have been taken.
    random: u64,
    /// Whether a quote without an end has been told.
    unclosed: bool,
    diagnostics: &'a mut Vec<Diagnostic>,
}

impl Expander<'_> {
    fn file(&mut self, place: usize) {
        let file = self.sources.file(place);
        let base = file.base;
        let text = file.text.clone();
        self.open_files += 1;
        let mut offset = 0;
        // A definition that goes on in the next line.
        let mut pending: Option<Text> = None;
        for line in text.split('\n') {
            let at = base + offset;
            offset += line.len() + 1;
            // To whoever reads in C that is the end.
            let (line, behind) = line.split_once('\0').unwrap_or((line, ""));
            if !behind.is_empty() {
                let nul = at + line.len();
                self.diagnostics.push(
                    Diagnostic::warning(
                        nul..nul + 1,
                        "a NUL octet",
                        "it ends the line, as in keepalived",
                    )
                    .help("remove it; is this file damaged?"),
                );
            }
            let line = self.without_comment(line.strip_suffix('\r').unwrap_or(line), at);
            let (line, goes_on) = split_continuation(&line);
            let line = match pending.take() {
                None => line,
                Some(mut first) => {
                    first.push(&Text::replacing("\n", at..at), 0..1);
                    first.push(&line, 0..line.as_str().len());
                    first
                }
            };
            if goes_on && definition_in(line.as_str()) {
                pending = Some(line);
            } else {
                self.line(line, 0);
            }
        }
        if let Some(line) = pending {
            self.line(line, 0);
        }
        self.open_files -= 1;
    }

    /// The line without what a `#` or `!` outside of quotes begins, and without
    /// white space at either end.
    fn without_comment(&mut self, line: &str, at: usize) -> Text {
        let mut text = Text::default();
        let mut quoted = None;
        let mut from = 0;
        let mut characters = line.char_indices();
        let mut end = line.len();
        while let Some((place, c)) = characters.next() {
            match c {
                '"' => quoted = if quoted.is_some() { None } else { Some(place) },
                '\\' => {
                    // An escaped comment is none; elsewhere the backslash is for
                    // those who read the words.
                    let next = characters.next().map(|(_, next)| next);
                    if quoted.is_none() && matches!(next, Some('#' | '!')) {
                        text.push(
                            &Text::verbatim(&line[from..place], at + from),
                            0..place - from,
                        );
                        from = place + 1;
                    }
                }
                '#' | '!' if quoted.is_none() => {
                    end = place;
                    break;
                }
                _ => {}
            }
        }
        if let Some(quote) = quoted
            && !self.unclosed
        {
            self.unclosed = true;
            self.diagnostics.push(
                Diagnostic::warning(
                    at + quote..at + line.len(),
                    "a quote that is not closed",
                    "expected another \" in this line; taken to reach to its end",
                )
                .help("such lines may mean something else to keepalived: close the quote"),
            );
        }
        let last = &line[from..end];
        text.push(&Text::verbatim(last, at + from), 0..last.len());
        trimmed(&text)
    }

    fn line(&mut self, mut line: Text, depth: usize) {
        if line.as_str().is_empty() || !self.spend(line.as_str().len(), &line) {
            return;
        }
        if depth == 0 && self.include(&line) {
            return;
        }
        // Each round takes something off the line or puts a parameter in.
        for _ in 0..1 << 12 {
            line = trimmed(&line);
            let text = line.as_str();
            if let Some((condition, len)) = condition(text) {
                if (condition.id == self.id) == condition.not {
                    return;
                }
                line = line.part(len..text.len());
                continue;
            }
            if let Some((name, len)) = definition(text) {
                let value = trimmed(&line.part(len..text.len()));
                self.definitions.insert(name.to_owned(), value);
                return;
            }
            if let Some((repeat, len)) = repeated(text) {
                let rest = line.part(len..text.len());
                self.repeat(&repeat, &rest, &line.span(0..len), depth);
                return;
            }
            let Some((range, value)) = self.parameter(&line) else {
                if !text.is_empty() {
                    self.lines.push(line);
                }
                return;
            };
            if !self.spend(value.as_str().len(), &line) {
                return;
            }
            let mut put = line.part(0..range.start);
            put.push(&value, 0..value.as_str().len());
            put.push(&line, range.end..text.len());
            if value.as_str().contains('\n') {
                self.split(&put, depth);
                return;
            }
            line = put;
        }
        self.too_much(&line);
    }

    /// The parts of a parameter of several lines, each a line.
    fn split(&mut self, lines: &Text, depth: usize) {
        if depth == MAX_DEPTH {
            self.too_much(lines);
            return;
        }
        let mut at = 0;
        for line in lines.as_str().split('\n') {
            let part = trimmed(&lines.part(at..at + line.len()));
            at += line.len() + 1;
            self.line(part, depth + 1);
        }
    }

    /// The first parameter in the line that stands for something.
    fn parameter(&mut self, line: &Text) -> Option<(Range<usize>, Text)> {
        let text = line.as_str();
        for (at, _) in text.match_indices('$') {
            let Some((used, len)) = parameter(&text[at..]) else {
                continue;
            };
            let range = at..at + len;
            let origin = line.span(range.clone());
            let value = match used.name {
                "_HASH" => Text::replacing("#", origin),
                "_BANG" => Text::replacing("!", origin),
                "_PWD" => Text::replacing(&self.directory.to_string_lossy(), origin),
                "_INSTANCE" => Text::replacing(self.id, origin),
                "_RANDOM" => {
                    let number = self.random_number(used);
                    Text::replacing(&number.to_string(), origin)
                }
                name => match self.definitions.get(name) {
                    None => continue,
                    Some(value) if value.as_str().contains('\n') => value.clone(),
                    Some(value) => Text::replacing(value.as_str(), origin),
                },
            };
            return Some((range, value));
        }
        None
    }

    /// A number that is the same at every reading of the same text: a restart
    /// must not change what is configured.
    fn random_number(&mut self, used: Use<'_>) -> u64 {
        let mut bounds = used.arguments.split_whitespace().map(str::parse::<u32>);
        let mut bound = || bounds.next().and_then(Result::ok).map(u64::from);
        let least = bound().unwrap_or(0);
        let most = bound().unwrap_or(MAX_RANDOM).max(least);
        self.random += 1;
        // SplitMix64.
        let mut z = self.random.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        least + (z ^ (z >> 31)) % (most - least + 1)
    }

    fn repeat(&mut self, repeat: &Repeat, rest: &Text, span: &Range<usize>, depth: usize) {
        if depth == MAX_DEPTH {
            self.too_much(rest);
            return;
        }
        let round = |expander: &mut Self, names: &[String], values: &[String]| {
            for (name, value) in names.iter().zip(values) {
                let value = Text::replacing(value, span.clone());
                expander.definitions.insert(name.clone(), value);
            }
            let goes_on = expander.spend(0, rest);
            if goes_on {
                expander.line(trimmed(rest), depth + 1);
            }
            goes_on
        };
        match repeat {
            Repeat::List { names, values } => {
                for values in values {
                    if !round(self, names, values) {
                        return;
                    }
                }
            }
            Repeat::Sequence {
                name,
                first,
                step,
                last,
                hexadecimal,
            } => {
                let name = std::slice::from_ref(name);
                let first = first.unwrap_or(if *last < 0 { -1 } else { 1 });
                let step = step.unwrap_or(if *last < first { -1 } else { 1 });
                let mut number = first;
                while step != 0
                    && (if step > 0 {
                        number <= *last
                    } else {
                        number >= *last
                    })
                {
                    let value = if *hexadecimal {
                        format!("{number:x}")
                    } else {
                        number.to_string()
                    };
                    if !round(self, name, &[value]) {
                        return;
                    }
                    let Some(next) = number.checked_add(step) else {
                        return;
                    };
                    number = next;
                }
            }
        }
    }

    /// Whether so many more octets may be read; complains the first time that
    /// they may not.
    fn spend(&mut self, octets: usize, line: &Text) -> bool {
        match self.budget.checked_sub(octets + LINE_COST) {
            Some(left) => {
                self.budget = left;
                true
            }
            None => {
                self.too_much(line);
                false
            }
        }
    }

    fn too_much(&mut self, line: &Text) {
        if self.budget == 0 {
            return;
        }
        self.budget = 0;
        self.diagnostics.push(
            Diagnostic::error(
                line.whole(),
                "the parameters and repetitions of this file make too much of it",
                format!("expected at most {MAX_EXPANDED} octets, and no parameter within itself"),
            )
            .help("a parameter that contains its own name never comes to an end"),
        );
    }

    /// Whether the line is an include; if so, the files have been read.
    fn include(&mut self, line: &Text) -> bool {
        let found = tokens(line.as_str());
        let [Token::Word(keyword, _), rest @ ..] = &found[..] else {
            return false;
        };
        let (must_match, wildcard_must_match) = match keyword.as_str() {
            "include" | "includem" | "includeb" => (true, false),
            "includer" => (false, false),
            "includew" | "includea" => (true, true),
            _ => return false,
        };
        let span = line.whole();
        // Of a pattern with braces the words are not one word.
        let Some(start) = rest.first().map(|first| match first {
            Token::Word(_, span) | Token::Open(span) | Token::Close(span) => span.start,
        }) else {
            self.diagnostics.push(
                Diagnostic::warning(
                    span,
                    "include without a file",
                    "expected the name of a file",
                )
                .help("ignored"),
            );
            return true;
        };
        let pattern = line.as_str()[start..].trim().trim_matches('"').to_owned();
        if self.files == Files::None {
            return true;
        }
        if self.open_files > MAX_INCLUDES || self.sources.len() >= MAX_FILES {
            self.diagnostics.push(
                Diagnostic::error(
                    span,
                    "the files include each other without an end",
                    format!(
                        "expected at most {MAX_INCLUDES} within each other, {MAX_FILES} in all"
                    ),
                )
                .help("look for a file that includes itself, or a pattern that matches it"),
            );
            return true;
        }
        let paths: BTreeSet<PathBuf> = glob::braces(&pattern)
            .iter()
            .flat_map(|pattern| glob::matches(&self.directory, pattern))
            .collect();
        let expected = must_match && (wildcard_must_match || !glob::is_pattern(&pattern));
        if paths.is_empty() && expected {
            self.diagnostics.push(
                Diagnostic::warning(
                    span.clone(),
                    format!("there is no file {pattern:?} to include"),
                    format!("looked for in {:?}", self.shown_directory()),
                )
                .help("the rest of the configuration is taken as it stands, as keepalived does"),
            );
        }
        for path in paths {
            self.include_file(&path, &span);
        }
        true
    }

    fn shown_directory(&self) -> &Path {
        if self.directory.as_os_str().is_empty() {
            Path::new(".")
        } else {
            &self.directory
        }
    }

    fn include_file(&mut self, path: &Path, span: &Range<usize>) {
        match read(path) {
            Ok(text) => {
                let place = self.sources.add(path.display().to_string(), text);
                let directory = path.parent().map_or_else(PathBuf::new, Path::to_owned);
                let before = std::mem::replace(&mut self.directory, directory);
                self.file(place);
                self.directory = before;
            }
            Err(error) => self.diagnostics.push(
                Diagnostic::warning(
                    span.clone(),
                    format!("{:?} cannot be read", path.display().to_string()),
                    error.to_string().escape_debug().to_string(),
                )
                .help("the rest of the configuration is taken as it stands, as keepalived does"),
            ),
        }
    }
}

fn read(path: &Path) -> io::Result<String> {
    let length = fs::metadata(path)?;
    if !length.is_file() {
        return Err(io::Error::other("this is no file"));
    }
    if length.len() > MAX_FILE {
        return Err(io::Error::other("too large for a configuration file"));
    }
    String::from_utf8(fs::read(path)?).map_err(|_| io::Error::other("not UTF-8 text"))
}

/// `text` without white space at either end.
fn trimmed(text: &Text) -> Text {
    let all = text.as_str();
    let start = all.len() - all.trim_start().len();
    let end = start + all.trim().len();
    if start == 0 && end == all.len() {
        return text.clone();
    }
    text.part(start..end)
}

/// The line without a backslash at its end, and whether there was one.
fn split_continuation(line: &Text) -> (Text, bool) {
    match line.as_str().strip_suffix('\\') {
        Some(rest) if definition_in(rest) || !rest.is_empty() => {
            (trimmed(&line.part(0..rest.len())), true)
        }
        Some(_) => (Text::default(), true),
        None => (line.clone(), false),
    }
}

/// Whether the first line of `text` defines a parameter, perhaps for some
/// machines only.
fn definition_in(text: &str) -> bool {
    let mut rest = text.trim_start();
    while let Some((_, len)) = condition(rest) {
        rest = rest[len..].trim_start();
    }
    definition(rest).is_some()
}
