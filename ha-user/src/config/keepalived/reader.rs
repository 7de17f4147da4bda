//! What all blocks need: telling, keywords that there are none of, and what is
//! told once per file.

use std::{collections::HashMap, ops::Range};

use super::{
    defaults::Defaults,
    keywords::{self, Keyword, Place, Treatment},
    lex::{Line, Word},
};
use crate::config::{
    diagnostic::{Diagnostic, Severity},
    located::Located,
    names::nearest,
};

pub(super) struct Reader {
    strict: bool,
    pub(super) diagnostics: Vec<Diagnostic>,
    /// What is not to be shown.
    pub(super) secrets: Vec<Range<usize>>,
    /// What `global_defs` says of all instances.
    pub(super) defaults: Defaults,
    /// What has been told once: where, and how often it would have been told
    /// again.
    told: HashMap<&'static str, (usize, usize)>,
}

impl Reader {
    pub(super) fn new(strict: bool, diagnostics: Vec<Diagnostic>) -> Self {
        Self {
            strict,
            diagnostics,
            secrets: Vec::new(),
            defaults: Defaults::default(),
            told: HashMap::new(),
        }
    }

    /// All that there is to tell.
    pub(super) fn finish(mut self) -> Vec<Diagnostic> {
        for (place, again) in self.told.values() {
            if *again > 0 {
                let more = if *again == 1 {
                    " (and in one more place)".to_owned()
                } else {
                    format!(" (and in {again} more places)")
                };
                self.diagnostics[*place].message.push_str(&more);
            }
        }
        self.diagnostics
    }

    pub(super) fn warn(
        &mut self,
        span: Range<usize>,
        message: impl Into<String>,
        expected: impl Into<String>,
        help: &str,
    ) {
        self.diagnostics
            .push(Diagnostic::warning(span, message, expected).help(help));
    }

    /// A warning that is given once per file, whatever it is about.
    fn warn_once(&mut self, key: &'static str, warning: Diagnostic) {
        if let Some((_, again)) = self.told.get_mut(key) {
            *again += 1;
            return;
        }
        self.told.insert(key, (self.diagnostics.len(), 0));
        self.diagnostics.push(warning);
    }

    /// The keyword that the line begins with, if there is one of this name; says
    /// what is to be said of it.
    pub(super) fn known(&mut self, line: &Line, place: Place) -> Option<&'static str> {
        let word = line.keyword();
        let keyword = self.keyword(word, place)?;
        let value = line.arguments().first().map(|word| word.text.as_str());
        if !asks_for_nothing(keyword.name, value) {
            self.told_of(keyword, word.span.clone());
        }
        Some(keyword.name)
    }

    /// The keyword that `word` is; a complaint if it is none.
    pub(super) fn keyword(&mut self, word: &Word, place: Place) -> Option<&'static Keyword> {
        let keyword = keywords::find(place, &word.text);
        if keyword.is_none() {
            self.unknown(word, place);
        }
        keyword
    }

    /// Says what happens in place of `keyword`, if something does.
    pub(super) fn told_of(&mut self, keyword: &'static Keyword, span: Range<usize>) {
        if keyword.treatment == Treatment::Done {
            return;
        }
        // Settings that are not done for one and the same reason are told of once.
        let Keyword { name, note, .. } = keyword;
        let lvs = keyword.place == Place::Top
            && (name.starts_with("virtual_server")
                || matches!(*name, "real_server" | "local_address_group" | "SSL"));
        let (message, key) = if lvs {
            ("LVS is skipped".to_owned(), "LVS is skipped")
        } else {
            (format!("{name} is not done as in keepalived"), *name)
        };
        let warning = Diagnostic::warning(span, message, note.replace('`', ""))
            .help("docs/keepalived.md lists all keywords and what becomes of them");
        self.warn_once(key, warning);
    }

    fn unknown(&mut self, word: &Word, place: Place) {
        let meant = nearest(&word.text, keywords::names(place));
        let expected = match meant {
            Some(meant) => format!("did you mean {meant}?"),
            None if place.has_lines() => {
                "passed over, with its block if it has one, as keepalived does".to_owned()
            }
            None => "passed over".to_owned(),
        };
        let here = place.name();
        let diagnostic = Diagnostic::warning(
            word.span.clone(),
            format!("there is no keyword {:?} in {here}", word.text),
            expected,
        );
        self.diagnostics.push(if self.strict {
            Diagnostic {
                severity: Severity::Error,
                ..diagnostic
            }
            .help("keywords that there are none of are errors because of --strict")
        } else {
            diagnostic.help("--strict makes an error of it")
        });
    }

    /// The name behind the keyword; a complaint if there is none.
    pub(super) fn block_name(&mut self, line: &Line) -> Option<Located<String>> {
        let Some(word) = line.arguments().first() else {
            let keyword = &line.keyword().text;
            self.warn(
                line.span(),
                format!("this {keyword} has no name"),
                format!("expected a name, such as {keyword} web"),
                "passed over with its block, as keepalived does",
            );
            return None;
        };
        self.surplus(line, 2);
        let name = self.tame_name(word);
        Some(Located::new(name, word.span.clone()))
    }

    /// The name that `word` is, as Harrier takes names.
    pub(super) fn tame_name(&mut self, word: &Word) -> String {
        super::values::tame_name(&word.text)
    }

    /// Complains about what stands behind the first `count` words of the line.
    pub(super) fn surplus(&mut self, line: &Line, count: usize) {
        if let (Some(first), Some(last)) = (line.words.get(count), line.words.last()) {
            let span = first.span.start..last.span.end.max(first.span.end);
            let keyword = &line.keyword().text;
            self.warn(
                span,
                format!("more words than {keyword} takes"),
                "passed over, as keepalived does",
                "each setting has a line of its own; text with white space has to be in quotes",
            );
        }
    }

    /// The word behind the keyword; a complaint if there is none, or more.
    pub(super) fn argument<'l>(&mut self, line: &'l Line) -> Option<&'l Word> {
        let Some(word) = line.arguments().first() else {
            self.warn(
                line.span(),
                format!("{} without a value", line.keyword().text),
                "expected a value behind it",
                "the line counts for nothing, as with keepalived",
            );
            return None;
        };
        self.surplus(line, 2);
        Some(word)
    }
}

/// Whether the value is what happens anyway, though others are not done.
fn asks_for_nothing(keyword: &str, value: Option<&str>) -> bool {
    match (keyword, value) {
        ("garp_master_refresh_repeat" | "vrrp_garp_master_refresh_repeat", Some("1"))
        | ("down_timer_adverts" | "vrrp_down_timer_adverts", Some("3"))
        | ("garp_extra_if" | "vrrp_garp_extra_if", Some("0"))
        | ("unicast_ttl", Some("255"))
        | ("vrrp_mcast_group4" | "mcast_dst_ip", Some("224.0.0.18"))
        | ("vrrp_mcast_group6", Some("ff02::12")) => true,
        (
            "lower_prio_no_advert"
            | "vrrp_lower_prio_no_advert"
            | "strict_mode"
            | "smtp_alert"
            | "smtp_alert_vrrp"
            | "smtp_alert_checker"
            | "checker_log_all_failures"
            | "enable_dbus"
            | "v3_checksum_as_v2",
            Some(value),
        ) => ["off", "false", "no"].contains(&value.to_ascii_lowercase().as_str()),
        _ => false,
    }
}
