//! Commands, as text or as a list of words, and users.

use std::ops::Range;

use toml::de::DeValue;

use super::{Reader, Settings};
use crate::config::{
    diagnostic::Diagnostic,
    located::{Field, Located},
    raw::{RawRunAs, RawScript},
    words::{self, Unclosed, Words},
};

const EXPECTED: &str = "a command, such as \"/usr/local/bin/check nginx\" or \
    [\"/usr/local/bin/check\", \"nginx\"]";

impl Reader {
    /// A setting that is a command, which `run_as` is about.
    pub(super) fn command(
        &mut self,
        settings: &mut Settings<'_>,
        key: &str,
        run_as: &Field<RawRunAs>,
    ) -> Field<RawScript> {
        enum Written {
            Text(String),
            Words(Vec<String>),
        }
        if let Some((_, value)) = settings.get(key)
            && matches!(value.get_ref(), DeValue::Table(_))
        {
            return self.command_table(settings, key);
        }
        let written = self.field(settings, key, EXPECTED, |value| match value {
            DeValue::String(text) => Some(Written::Text(text.into_owned())),
            DeValue::Array(words) => words
                .into_iter()
                .map(|word| match word.into_inner() {
                    DeValue::String(word) => Some(word.into_owned()),
                    _ => None,
                })
                .collect::<Option<_>>()
                .map(Written::Words),
            _ => None,
        });
        written.and_then(|Located { value, span }| {
            let argv = match value {
                Written::Text(text) => self.split(text, span)?,
                Written::Words(words) => words.clone(),
            };
            Some(RawScript {
                argv,
                run_as: run_as.clone(),
            })
        })
    }

    /// A command with a user of its own.
    fn command_table(&mut self, settings: &mut Settings<'_>, key: &str) -> Field<RawScript> {
        let table = self.table(settings, key, EXPECTED, |reader, mut settings| {
            // Tables do not go deeper than this.
            let deeper = settings
                .get("command")
                .is_some_and(|(_, value)| matches!(value.get_ref(), DeValue::Table(_)));
            let run_as = reader.run_as(&mut settings, "user");
            let command = if deeper {
                reader.string(&mut settings, "command").and_then(|_| None)
            } else {
                reader.command(&mut settings, "command", &run_as)
            };
            reader.unknown(settings, &["command", "user"], "in a command");
            command
        });
        match table {
            Field::Given(Located {
                value: Field::Absent,
                span,
            }) => {
                self.diagnostics.push(Diagnostic::error(
                    span,
                    format!("{key} does not say what to run"),
                    "expected command = \"/usr/local/bin/check\" in it",
                ));
                Field::Bad
            }
            Field::Given(Located { value, .. }) => value,
            Field::Absent => Field::Absent,
            Field::Bad => Field::Bad,
        }
    }

    fn split(&mut self, text: &str, span: &Range<usize>) -> Option<Vec<String>> {
        let Words { words, shell } = match words::split(text) {
            Ok(words) => words,
            Err(Unclosed(quote)) => {
                self.diagnostics.push(
                    Diagnostic::error(
                        span.clone(),
                        match quote {
                            '\\' => "nothing follows the last \\".to_owned(),
                            quote => format!("a quote {quote} is not closed"),
                        },
                        format!("expected {EXPECTED}"),
                    )
                    .help("a list of words needs no quotes within the words"),
                );
                return None;
            }
        };
        if let Some(c) = shell {
            let written = serde_json::Value::from(text);
            self.diagnostics.push(
                Diagnostic::warning(
                    span.clone(),
                    format!("{c:?} means nothing here: no shell reads the command"),
                    "it is handed to the program as it is",
                )
                .help(format!(
                    "for a shell say [\"/bin/sh\", \"-c\", {written}], else quote it: '{}'",
                    c.escape_default()
                )),
            );
        }
        Some(words)
    }

    /// A setting that is a user, `"user"` or `"user:group"`.
    pub(super) fn run_as(&mut self, settings: &mut Settings<'_>, key: &str) -> Field<RawRunAs> {
        self.string(settings, key).and_then(|text| {
            let (user, group) = match text.value.split_once(':') {
                None => (text.value.as_str(), None),
                Some((user, group)) => (user, Some(group.to_owned())),
            };
            Some(RawRunAs {
                user: user.to_owned(),
                group,
            })
        })
    }
}
