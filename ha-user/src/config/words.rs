//! Commands written as text: words, with the shell's quoting and nothing else of
//! it.

/// The words of a text.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Words {
    /// The words, without their quotes.
    pub(super) words: Vec<String>,
    /// The first character that a shell would act on, and we take as it is.
    pub(super) shell: Option<char>,
}

/// A quote without its end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Unclosed(pub(super) char);

/// Splits `text` at white space. Single quotes keep everything, double quotes
/// everything but `\"` and `\\`, a backslash the character behind it.
pub(super) fn split(text: &str) -> Result<Words, Unclosed> {
    let mut split = Words {
        words: Vec::new(),
        shell: None,
    };
    let mut word: Option<String> = None;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c.is_whitespace() {
            split.words.extend(word.take());
            // A shell would start another command.
            if c == '\n' && !split.words.is_empty() && !chars.as_str().trim().is_empty() {
                split.shell.get_or_insert(c);
            }
            continue;
        }
        let starts = word.is_none();
        let word = word.get_or_insert_default();
        match c {
            '\'' => loop {
                match chars.next().ok_or(Unclosed(c))? {
                    '\'' => break,
                    c => word.push(c),
                }
            },
            '"' => loop {
                match chars.next().ok_or(Unclosed(c))? {
                    '"' => break,
                    '\\' => match chars.next().ok_or(Unclosed(c))? {
                        escaped @ ('"' | '\\' | '$' | '`') => word.push(escaped),
                        other => word.extend(['\\', other]),
                    },
                    c => {
                        if matches!(c, '$' | '`') {
                            split.shell.get_or_insert(c);
                        }
                        word.push(c);
                    }
                }
            },
            '\\' => word.push(chars.next().ok_or(Unclosed(c))?),
            c => {
                let acts = matches!(
                    c,
                    '|' | '&' | ';' | '<' | '>' | '(' | ')' | '$' | '`' | '*' | '?'
                ) || (starts && matches!(c, '~' | '#'));
                if acts {
                    split.shell.get_or_insert(c);
                }
                word.push(c);
            }
        }
    }
    split.words.extend(word);
    Ok(split)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        let split = split(text).unwrap();
        assert_eq!(split.shell, None, "{text}");
        split.words
    }

    #[test]
    fn words_are_split_as_a_shell_does() {
        assert_eq!(words(""), [""; 0]);
        assert_eq!(words("  \t\n "), [""; 0]);
        assert_eq!(words(" /bin/check  a\tb "), ["/bin/check", "a", "b"]);
        assert_eq!(
            words(r#"c 'a b' "a b" a\ b a' 'b"" '' "" "#),
            ["c", "a b", "a b", "a b", "a b", "", ""]
        );
        assert_eq!(
            words(r#"'$x|\' "a\"b\\c\d\$" \| \' é"#),
            [r"$x|\", r#"a"b\c\d$"#, "|", "'", "é"]
        );
        assert_eq!(
            words("a~b c#d a=b {x} [y] !"),
            ["a~b", "c#d", "a=b", "{x}", "[y]", "!"]
        );
        assert_eq!(words("a b\n"), ["a", "b"]);
    }

    #[test]
    fn what_a_shell_would_act_on_is_noticed() {
        for (text, c) in [
            ("a | b", '|'),
            ("a&&b", '&'),
            ("a; b", ';'),
            ("a > /dev/null", '>'),
            ("a $HOME", '$'),
            ("a \"$HOME\" | b", '$'),
            ("a \"`b`\"", '`'),
            ("ls *", '*'),
            ("~/bin/check", '~'),
            ("check #1", '#'),
            ("a\nb", '\n'),
        ] {
            assert_eq!(split(text).unwrap().shell, Some(c), "{text}");
        }
    }

    #[test]
    fn an_open_quote_is_told() {
        for (text, quote) in [
            ("a 'b", '\''),
            ("a \"b", '"'),
            ("a \"b\\\"", '"'),
            ("a\\", '\\'),
        ] {
            assert_eq!(split(text), Err(Unclosed(quote)), "{text}");
        }
    }
}
