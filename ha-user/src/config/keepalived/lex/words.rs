//! What a line consists of: words, braces, directives; each parser works on text
//! and says what it has consumed.

#[cfg(test)]
mod tests;

use std::ops::Range;

use winnow::{
    Parser as _,
    ascii::{digit1, hex_digit1, multispace0},
    combinator::{alt, delimited, opt, preceded, repeat, separated, terminated},
    error::EmptyError,
    token::{any, one_of, take_till, take_while},
};

use super::text::Text;

/// A word and where it stands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(in crate::config::keepalived) struct Word {
    /// Without quotes.
    pub(in crate::config::keepalived) text: String,
    /// With them.
    pub(in crate::config::keepalived) span: Range<usize>,
}

/// A part of a line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Token {
    /// At these octets of the line.
    Word(String, Range<usize>),
    /// `{`
    Open(Range<usize>),
    /// `}`
    Close(Range<usize>),
}

type Result<T> = winnow::Result<T, EmptyError>;

/// The words and braces of a line. In quotes (`"`) there are none, and none in a
/// parameter that is not defined (`${X}`).
pub(super) fn tokens(line: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut rest = line;
    loop {
        rest = rest.trim_start();
        let at = line.len() - rest.len();
        let before = rest;
        match token(&mut rest) {
            Ok(found) => {
                let span = at..at + (before.len() - rest.len());
                tokens.push(match found {
                    Found::Word(text) => Token::Word(text, span),
                    Found::Open => Token::Open(span),
                    Found::Close => Token::Close(span),
                });
            }
            Err(EmptyError) => return tokens,
        }
    }
}

#[derive(Clone)]
enum Found {
    Word(String),
    Open,
    Close,
}

fn token(input: &mut &str) -> Result<Found> {
    alt((
        '{'.value(Found::Open),
        '}'.value(Found::Close),
        word.map(Found::Word),
    ))
    .parse_next(input)
}

fn word(input: &mut &str) -> Result<String> {
    repeat(
        1..,
        alt((
            quoted,
            (
                "${",
                take_till(0.., |c: char| c == '}' || c.is_whitespace()),
                opt('}'),
            )
                .take(),
            // A `$` that begins no parameter, and all else.
            (
                one_of(|c: char| !matches!(c, '{' | '}' | '"') && !c.is_whitespace()),
                take_till(0.., |c: char| {
                    matches!(c, '{' | '}' | '"' | '$') || c.is_whitespace()
                }),
            )
                .take(),
        )),
    )
    .fold(String::new, |mut word, part: &str| {
        word.push_str(part);
        word
    })
    .parse_next(input)
}

/// Text in quotes, without them; the end of the line ends it too.
fn quoted<'i>(input: &mut &'i str) -> Result<&'i str> {
    delimited('"', take_till(0.., '"'), opt('"')).parse_next(input)
}

/// The words of a command line: both kinds of quotes, joined to what stands
/// next to them, and escapes.
pub(in crate::config::keepalived) fn command(line: &Text) -> Vec<Word> {
    let text = line.as_str();
    let mut words = Vec::new();
    let mut rest = text;
    loop {
        rest = rest.trim_start();
        let at = text.len() - rest.len();
        let Ok(word) = shell_word(&mut rest) else {
            return words;
        };
        words.push(Word {
            text: word,
            span: line.span(at..text.len() - rest.len()),
        });
    }
}

/// The words of a command that is one word of a line.
pub(in crate::config::keepalived) fn split_command(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut rest = text;
    loop {
        rest = rest.trim_start();
        let Ok(word) = shell_word(&mut rest) else {
            return words;
        };
        words.push(word);
    }
}

fn shell_word(input: &mut &str) -> Result<String> {
    repeat(
        1..,
        alt((
            delimited('"', inside('"'), opt('"')),
            delimited('\'', inside('\''), opt('\'')),
            escape.map(String::from),
            take_while(1.., |c: char| {
                !matches!(c, '"' | '\'' | '\\') && !c.is_whitespace()
            })
            .map(str::to_owned),
            // A backslash at the end of the line.
            '\\'.value("\\".to_owned()),
        )),
    )
    .fold(String::new, |mut word, part: String| {
        word.push_str(&part);
        word
    })
    .parse_next(input)
}

fn inside<'i>(quote: char) -> impl FnMut(&mut &'i str) -> Result<String> {
    move |input| {
        repeat(
            0..,
            alt((
                escape.map(String::from),
                take_while(1.., move |c: char| c != quote && c != '\\').map(str::to_owned),
                '\\'.value("\\".to_owned()),
            )),
        )
        .fold(String::new, |mut text, part: String| {
            text.push_str(&part);
            text
        })
        .parse_next(input)
    }
}

/// `\n`, `\x41`, `\101`, `\cA`; any other character after a backslash is itself.
fn escape(input: &mut &str) -> Result<char> {
    preceded(
        '\\',
        alt((
            preceded('x', hex_digit1.verify_map(|digits: &str| code(digits, 16))),
            take_while(1..=3, '0'..='7').verify_map(|digits: &str| code(digits, 8)),
            preceded('c', any)
                .map(|c: char| u8::try_from(c).map_or(c, |octet| char::from(octet & 0x1f))),
            any.map(|c| match c {
                'a' => '\u{7}',
                'b' => '\u{8}',
                'E' => '\u{1b}',
                'f' => '\u{c}',
                'n' => '\n',
                'r' => '\r',
                't' => '\t',
                'v' => '\u{b}',
                other => other,
            }),
        )),
    )
    .parse_next(input)
}

fn code(digits: &str, radix: u32) -> Option<char> {
    char::from_u32(u32::from_str_radix(digits, radix).ok()?)
}

/// What stands in front of a line: which machines it is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Condition<'i> {
    /// Whether it is for all but the one named.
    pub(super) not: bool,
    /// Whom it names.
    pub(super) id: &'i str,
}

/// `@id` or `@^id`, and how long it is.
pub(super) fn condition(line: &str) -> Option<(Condition<'_>, usize)> {
    let mut rest = line;
    let mut parse = preceded(
        '@',
        (
            opt('^').map(|not| not.is_some()),
            take_till(0.., char::is_whitespace),
        ),
    )
    .map(|(not, id)| Condition { not, id });
    let found: Result<_> = parse.parse_next(&mut rest);
    Some((found.ok()?, line.len() - rest.len()))
}

/// `$NAME=`: the name, and how long it is.
pub(super) fn definition(line: &str) -> Option<(&str, usize)> {
    let mut rest = line;
    let found: Result<_> = delimited('$', name, '=').parse_next(&mut rest);
    Some((found.ok()?, line.len() - rest.len()))
}

fn name<'i>(input: &mut &'i str) -> Result<&'i str> {
    (
        one_of(|c: char| c.is_ascii_alphabetic() || c == '_'),
        take_while(0.., |c: char| c.is_ascii_alphanumeric() || c == '_'),
    )
        .take()
        .parse_next(input)
}

/// A use of a parameter.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Use<'i> {
    pub(super) name: &'i str,
    /// What else is between the braces.
    pub(super) arguments: &'i str,
}

/// `$NAME` in front of white space, or `${NAME}`; and how long it is.
pub(super) fn parameter(text: &str) -> Option<(Use<'_>, usize)> {
    let braced = (
        delimited("${", name, multispace0),
        terminated(take_till(0.., '}'), '}'),
    );
    let mut rest = text;
    let found: Result<_> = alt((
        braced.map(|(name, arguments)| Use { name, arguments }),
        preceded('$', name).map(|name| Use {
            name,
            arguments: "",
        }),
    ))
    .parse_next(&mut rest);
    let found = found.ok()?;
    let ends = text[..text.len() - rest.len()].ends_with('}')
        || rest.chars().next().is_none_or(char::is_whitespace);
    ends.then_some((found, text.len() - rest.len()))
}

/// What a line is repeated for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Repeat {
    /// `~SEQ(name, first, step, last)`, `~SEQx` with hexadecimal numbers.
    Sequence {
        name: String,
        first: Option<i64>,
        step: Option<i64>,
        last: i64,
        hexadecimal: bool,
    },
    /// `~LST(name, value, …)`, `~LST({name, name}, {value, value}, …)`.
    List {
        names: Vec<String>,
        values: Vec<Vec<String>>,
    },
}

/// What is in front of a line that is repeated, and how long it is.
pub(super) fn repeated(line: &str) -> Option<(Repeat, usize)> {
    let mut rest = line;
    let found: Result<_> = alt((sequence, list)).parse_next(&mut rest);
    Some((found.ok()?, line.len() - rest.len()))
}

fn sequence(input: &mut &str) -> Result<Repeat> {
    let hexadecimal = preceded("~SEQ", opt('x')).parse_next(input)?.is_some();
    let (name, numbers): (&str, Vec<i64>) = delimited(
        ('(', multispace0),
        (
            name,
            repeat(1..=3, preceded((multispace0, ',', multispace0), integer)),
        ),
        (multispace0, ')'),
    )
    .parse_next(input)?;
    let (first, step, last) = match numbers[..] {
        [first, step, last] => (Some(first), Some(step), last),
        [first, last] => (Some(first), None, last),
        [last] => (None, None, last),
        _ => return Err(EmptyError),
    };
    Ok(Repeat::Sequence {
        name: name.to_owned(),
        first,
        step,
        last,
        hexadecimal,
    })
}

fn integer(input: &mut &str) -> Result<i64> {
    (
        opt('-').map(|minus| minus.is_some()),
        alt((
            preceded("0x", hex_digit1).verify_map(|digits| i64::from_str_radix(digits, 16).ok()),
            digit1.verify_map(|digits: &str| digits.parse::<i64>().ok()),
        )),
    )
        .map(|(minus, value)| if minus { -value } else { value })
        .parse_next(input)
}

fn list(input: &mut &str) -> Result<Repeat> {
    let (names, values): (Vec<String>, Vec<Vec<String>>) = delimited(
        ("~LST(", multispace0),
        (
            alternatives,
            preceded(
                (multispace0, ',', multispace0),
                separated(1.., alternatives, (multispace0, ',', multispace0)),
            ),
        ),
        (multispace0, ')'),
    )
    .parse_next(input)?;
    let fits = values.iter().all(|value| value.len() == names.len());
    fits.then_some(Repeat::List { names, values })
        .ok_or(EmptyError)
}

/// `a`, or `{a, b}`.
fn alternatives(input: &mut &str) -> Result<Vec<String>> {
    alt((
        delimited(
            ('{', multispace0),
            separated(1.., item, (multispace0, ',', multispace0)),
            (multispace0, '}'),
        ),
        item.map(|item| vec![item]),
    ))
    .parse_next(input)
}

fn item(input: &mut &str) -> Result<String> {
    alt((
        delimited('"', take_till(0.., '"'), '"'),
        take_while(1.., |c: char| {
            !matches!(c, ',' | ')' | '{' | '}' | '"') && !c.is_whitespace()
        }),
    ))
    .map(str::to_owned)
    .parse_next(input)
}
