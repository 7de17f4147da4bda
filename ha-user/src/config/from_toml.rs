//! The TOML front end.
//!
//! It walks the parsed document itself instead of deserialising it: a
//! deserialiser stops at the first thing it does not like, and a person who
//! edits a file wants to hear of all of them.

mod unicast;

use std::{borrow::Cow, collections::BTreeMap, ops::Range};

use ha_common::types::AddressFamily;
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{
    diagnostic::Diagnostic,
    duration,
    located::{Field, Located},
    model::{ChecksumForm, XdpMode},
    raw::{RawAddress, RawConfig, RawInstance},
};

const TOP_KEYS: &[&str] = &["instance", "xdp_mode"];

const INSTANCE_KEYS: &[&str] = &[
    "name",
    "interface",
    "vrid",
    "family",
    "version",
    "priority",
    "advert_interval",
    "preempt",
    "checksum",
    "password",
    "unicast",
    "addresses",
];

/// Keys that people know from keepalived and RFC 9568, and ours.
const OTHER_NAMES: &[(&str, &str)] = &[
    ("address", "addresses"),
    ("advert_int", "advert_interval"),
    ("auth_pass", "password"),
    ("advertisement_interval", "advert_interval"),
    ("dev", "interface"),
    ("instances", "instance"),
    ("interval", "advert_interval"),
    ("nopreempt", "preempt"),
    ("peer", "peers"),
    ("src_ip", "source"),
    ("unicast_peer", "unicast"),
    ("unicast_src_ip", "unicast"),
    ("virtual_ipaddress", "addresses"),
    ("virtual_router_id", "vrid"),
    ("vips", "addresses"),
    ("vrrp_instance", "instance"),
    ("vrrp_version", "version"),
];

const INSTANCE_HELP: &str = "each virtual router has a section of its own:\n\
    [[instance]]\n\
    name = \"web\"\n\
    interface = \"eth0\"\n\
    vrid = 51\n\
    addresses = [\"10.77.0.100/16\"]";

/// What `text` says. A file that is no TOML only gets the complaints about that:
/// what the rest of it means is open.
pub(super) fn read(text: &str) -> Result<(RawConfig, Vec<Diagnostic>), Vec<Diagnostic>> {
    let (document, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        return Err(syntax_errors(text, &errors));
    }
    let mut reader = Reader {
        diagnostics: Vec::new(),
    };
    let config = reader.document(document);
    Ok((config, reader.diagnostics))
}

fn syntax_errors(text: &str, errors: &[toml::de::Error]) -> Vec<Diagnostic> {
    let mut diagnostics: Vec<Diagnostic> = Vec::new();
    for error in errors {
        let span = error.span().unwrap_or(text.len()..text.len());
        let mut lines = error
            .message()
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty());
        let message = lines.next().unwrap_or("not TOML");
        let rest = lines.collect::<Vec<_>>().join(", ");
        let expected = if rest.is_empty() { "here" } else { &rest };
        let diagnostic = Diagnostic::error(span, message, expected)
            .help("text values are quoted (name = \"web\"), a section starts with [[instance]]");
        // One slip may be noticed twice at the same place.
        if diagnostics
            .last()
            .is_none_or(|last| last.span != diagnostic.span)
        {
            diagnostics.push(diagnostic);
        }
    }
    diagnostics
}

/// The settings of one table that have not been read yet.
type Settings<'i> = BTreeMap<String, (Range<usize>, Spanned<DeValue<'i>>)>;

struct Reader {
    diagnostics: Vec<Diagnostic>,
}

impl Reader {
    fn document(&mut self, document: Spanned<DeTable<'_>>) -> RawConfig {
        let mut settings = settings(document.into_inner());
        let mut config = RawConfig {
            xdp_mode: self.word(
                &mut settings,
                "xdp_mode",
                &[
                    ("auto", XdpMode::Auto),
                    ("driver", XdpMode::Driver),
                    ("generic", XdpMode::Generic),
                ],
            ),
            ..RawConfig::default()
        };
        if let Some((key, value)) = settings.remove("instance") {
            match value.into_inner() {
                DeValue::Array(entries) => {
                    for entry in entries {
                        let head = entry.span();
                        match entry.into_inner() {
                            DeValue::Table(table) => {
                                config.instances.push(self.instance(head, table));
                            }
                            other => {
                                config.bad_instances = true;
                                self.wrong_kind(head, "an instance", "a table", &other);
                            }
                        }
                    }
                }
                DeValue::Table(_) => {
                    config.bad_instances = true;
                    self.diagnostics.push(
                        Diagnostic::error(
                            key,
                            "instances come as a list, as there may be several",
                            "expected [[instance]], with two brackets",
                        )
                        .help(INSTANCE_HELP),
                    );
                }
                other => {
                    config.bad_instances = true;
                    self.wrong_kind(key, "instance", "sections headed [[instance]]", &other);
                }
            }
        }
        self.unknown(settings, TOP_KEYS, "at the top of the file");
        config
    }

    fn instance(&mut self, head: Range<usize>, table: DeTable<'_>) -> RawInstance {
        let mut settings = settings(table);
        let mut instance = RawInstance::at(head);
        instance.name = self.string(&mut settings, "name");
        instance.interface = self.string(&mut settings, "interface");
        instance.vrid = self.integer(&mut settings, "vrid");
        instance.family = self.word(
            &mut settings,
            "family",
            &[("ipv4", AddressFamily::Ipv4), ("ipv6", AddressFamily::Ipv6)],
        );
        instance.version = self.integer(&mut settings, "version");
        instance.priority = self.integer(&mut settings, "priority");
        instance.advert_interval = self.span(&mut settings, "advert_interval");
        instance.preempt = self.boolean(&mut settings, "preempt");
        instance.checksum = self.word(
            &mut settings,
            "checksum",
            &[
                ("pseudo-header", ChecksumForm::PseudoHeader),
                ("message-only", ChecksumForm::MessageOnly),
            ],
        );
        instance.password = self.string(&mut settings, "password");
        self.unicast(&mut settings, &mut instance);
        self.addresses(&mut settings, &mut instance);
        self.unknown(settings, INSTANCE_KEYS, "in an instance");
        instance
    }

    fn addresses(&mut self, settings: &mut Settings<'_>, instance: &mut RawInstance) {
        const EXPECTED: &str = "a list of addresses, such as [\"10.77.0.100/16\"]";
        let Some((_, value)) = settings.remove("addresses") else {
            return;
        };
        let span = value.span();
        let entries = match value.into_inner() {
            DeValue::Array(entries) => entries,
            other => {
                instance.addresses = Field::Bad;
                self.wrong_kind(span, "addresses", EXPECTED, &other);
                return;
            }
        };
        let mut addresses = Vec::new();
        for entry in entries {
            let span = entry.span();
            match entry.into_inner() {
                DeValue::String(text) => match RawAddress::parse(&text) {
                    Ok(address) => addresses.push(Located::new(address, span)),
                    Err(why) => {
                        instance.bad_addresses = true;
                        self.diagnostics.push(Diagnostic::error(
                            span,
                            format!("{text:?}: {why}"),
                            "expected an address with the length of its network's prefix, such \
                             as \"10.77.0.100/16\" or \"2001:db8::51/64\"",
                        ));
                    }
                },
                other => {
                    instance.bad_addresses = true;
                    self.wrong_kind(
                        span,
                        "an address",
                        "text, such as \"10.77.0.100/16\"",
                        &other,
                    );
                }
            }
        }
        instance.addresses = Field::Given(Located::new(addresses, span));
    }

    fn string(&mut self, settings: &mut Settings<'_>, key: &str) -> Field<String> {
        self.field(settings, key, "text in quotes", |value| match value {
            DeValue::String(text) => Some(text.into_owned()),
            _ => None,
        })
    }

    fn boolean(&mut self, settings: &mut Settings<'_>, key: &str) -> Field<bool> {
        self.field(settings, key, "true or false", |value| match value {
            DeValue::Boolean(value) => Some(value),
            _ => None,
        })
    }

    fn integer(&mut self, settings: &mut Settings<'_>, key: &str) -> Field<i64> {
        self.field(
            settings,
            key,
            "a whole number, without quotes",
            |value| match value {
                // What 64 bits do not hold is out of every range that we have.
                DeValue::Integer(number) => Some(
                    i64::from_str_radix(number.as_str(), number.radix()).unwrap_or(
                        if number.as_str().starts_with('-') {
                            i64::MIN
                        } else {
                            i64::MAX
                        },
                    ),
                ),
                _ => None,
            },
        )
    }

    fn span(&mut self, settings: &mut Settings<'_>, key: &str) -> Field<std::time::Duration> {
        self.parsed(settings, key, duration::EXPECTED, duration::parse)
    }

    /// A setting that is one of a few words.
    fn word<T: Copy>(
        &mut self,
        settings: &mut Settings<'_>,
        key: &str,
        words: &[(&str, T)],
    ) -> Field<T> {
        let quoted: Vec<String> = words.iter().map(|(word, _)| format!("{word:?}")).collect();
        self.parsed(settings, key, &quoted.join(" or "), |text| {
            words
                .iter()
                .find(|(word, _)| *word == text)
                .map(|(_, value)| *value)
        })
    }

    /// A setting that is text to be read further.
    fn parsed<T>(
        &mut self,
        settings: &mut Settings<'_>,
        key: &str,
        expected: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Field<T> {
        let text = self.field(settings, key, expected, |value| match value {
            DeValue::String(text) => Some(text.into_owned()),
            _ => None,
        });
        let Field::Given(Located { value: text, span }) = text else {
            return if text.is_absent() {
                Field::Absent
            } else {
                Field::Bad
            };
        };
        if let Some(value) = parse(&text) {
            return Field::Given(Located::new(value, span));
        }
        self.diagnostics.push(Diagnostic::error(
            span,
            format!("{key} cannot be {text:?}"),
            format!("expected {expected}"),
        ));
        Field::Bad
    }

    fn field<T>(
        &mut self,
        settings: &mut Settings<'_>,
        key: &str,
        expected: &str,
        take: impl FnOnce(DeValue<'_>) -> Option<T>,
    ) -> Field<T> {
        let Some((_, value)) = settings.remove(key) else {
            return Field::Absent;
        };
        let span = value.span();
        let value = value.into_inner();
        let found = kind(&value);
        match take(value) {
            Some(value) => Field::Given(Located::new(value, span)),
            None => {
                self.not_of_kind(span, key, expected, found);
                Field::Bad
            }
        }
    }

    fn wrong_kind(&mut self, span: Range<usize>, what: &str, expected: &str, found: &DeValue<'_>) {
        self.not_of_kind(span, what, expected, kind(found));
    }

    fn not_of_kind(&mut self, span: Range<usize>, what: &str, expected: &str, found: &str) {
        self.diagnostics.push(Diagnostic::error(
            span,
            format!("{what} cannot be {found}"),
            format!("expected {expected}"),
        ));
    }

    fn unknown(&mut self, settings: Settings<'_>, known: &[&str], place: &str) {
        for (key, (span, _)) in settings {
            let other_name = OTHER_NAMES
                .iter()
                .find(|(theirs, ours)| *theirs == key && known.contains(ours))
                .map(|(_, ours)| *ours);
            let nearest = known
                .iter()
                .map(|known| (distance(&key, known), *known))
                .min()
                .filter(|(distance, known)| *distance <= known.len() / 3)
                .map(|(_, known)| known);
            let expected = match other_name.or(nearest) {
                Some(suggestion) => format!("did you mean {suggestion}?"),
                None => "unknown".to_owned(),
            };
            let mut diagnostic = Diagnostic::error(
                span,
                format!("there is no setting {key:?} {place}"),
                expected,
            )
            .help(format!("settings {place}: {}", known.join(", ")));
            if INSTANCE_KEYS.contains(&key.as_str()) {
                diagnostic = diagnostic.help(INSTANCE_HELP);
            }
            self.diagnostics.push(diagnostic);
        }
    }
}

fn settings(table: DeTable<'_>) -> Settings<'_> {
    table
        .into_iter()
        .map(|(key, value)| {
            let span = key.span();
            (Cow::into_owned(key.into_inner()), (span, value))
        })
        .collect()
}

/// What stands there, in words.
fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "text",
        DeValue::Integer(_) => "a number",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date or time",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

/// Insertions, deletions and replacements between two words (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, to) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distance_counts_edits() {
        assert_eq!(distance("vrid", "vrid"), 0);
        assert_eq!(distance("", "vrid"), 4);
        assert_eq!(distance("vird", "vrid"), 2);
        assert_eq!(distance("priorty", "priority"), 1);
    }
}
