//! The TOML front end.
//!
//! It walks the parsed document itself instead of deserialising it: a
//! deserialiser stops at the first thing it does not like, and a person who
//! edits a file wants to hear of all of them.

mod address;
mod announce;
mod check;
mod fields;
mod group;
mod notify;
mod route;
mod script;
mod track;
mod unicast;
mod unknown;
mod virtual_mac;

use std::{collections::BTreeMap, ops::Range};

use ha_common::types::AddressFamily;
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use self::fields::settings;
use super::{
    diagnostic::Diagnostic,
    model::{ChecksumForm, XdpMode},
    raw::{RawConfig, RawInstance},
};

const TOP_KEYS: &[&str] = &[
    "instance",
    "xdp_mode",
    "consume",
    "startup_delay",
    "announce_gap",
    "cpu_affinity",
    "check",
    "sync_group",
    "script_user",
    "script_security",
    "notify_fifos",
];

const INSTANCE_KEYS: &[&str] = &[
    "name",
    "interface",
    "vrid",
    "family",
    "version",
    "priority",
    "advert_interval",
    "preempt",
    "preempt_delay",
    "quick_preempt",
    "checksum",
    "password",
    "unicast",
    "virtual_mac",
    "accept",
    "addresses",
    "any_first_address",
    "excluded_addresses",
    "routes",
    "rules",
    "announce",
    "track_interfaces",
    "track_checks",
    "notify",
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
            consume: self.boolean(&mut settings, "consume"),
            startup_delay: self.span(&mut settings, "startup_delay"),
            announce_gap: self.span(&mut settings, "announce_gap"),
            cpu_affinity: self.integers(&mut settings, "cpu_affinity"),
            script_user: self.run_as(&mut settings, "script_user"),
            script_security: self.boolean(&mut settings, "script_security"),
            notify_fifos: self.notify_fifos(&mut settings),
            ..RawConfig::default()
        };
        (config.checks, config.bad_checks) =
            self.sections(&mut settings, "check", check::HELP, Self::check);
        (config.sync_groups, _) =
            self.sections(&mut settings, "sync_group", group::HELP, Self::sync_group);
        (config.instances, config.bad_instances) =
            self.sections(&mut settings, "instance", INSTANCE_HELP, Self::instance);
        self.unknown(settings, TOP_KEYS, "at the top of the file");
        config
    }

    fn instance(&mut self, head: Range<usize>, mut settings: Settings<'_>) -> RawInstance {
        self.misplaced(&mut settings);
        let instance = RawInstance {
            head,
            name: self.string(&mut settings, "name"),
            interface: self.string(&mut settings, "interface"),
            vrid: self.integer(&mut settings, "vrid"),
            family: self.word(
                &mut settings,
                "family",
                &[("ipv4", AddressFamily::Ipv4), ("ipv6", AddressFamily::Ipv6)],
            ),
            version: self.integer(&mut settings, "version"),
            priority: self.integer(&mut settings, "priority"),
            advert_interval: self.span(&mut settings, "advert_interval"),
            preempt: self.boolean(&mut settings, "preempt"),
            preempt_delay: self.span(&mut settings, "preempt_delay"),
            quick_preempt: self.boolean(&mut settings, "quick_preempt"),
            checksum: self.word(
                &mut settings,
                "checksum",
                &[
                    ("pseudo-header", ChecksumForm::PseudoHeader),
                    ("message-only", ChecksumForm::MessageOnly),
                ],
            ),
            password: self.string(&mut settings, "password"),
            unicast: self.unicast(&mut settings),
            virtual_mac: self.virtual_mac(&mut settings),
            accept: self.boolean(&mut settings, "accept"),
            addresses: self.addresses(&mut settings, "addresses"),
            any_first_address: self.boolean(&mut settings, "any_first_address"),
            excluded_addresses: self.addresses(&mut settings, "excluded_addresses"),
            routes: self.routes(&mut settings),
            rules: self.rules(&mut settings),
            announce: self.announce(&mut settings),
            track_interfaces: self.track_interfaces(&mut settings),
            track_checks: self.track_checks(&mut settings),
            notify: self.notify(&mut settings),
        };
        self.unknown(settings, INSTANCE_KEYS, "in an instance");
        instance
    }

    /// Settings that need more words than that they are unknown.
    fn misplaced(&mut self, settings: &mut Settings<'_>) {
        if let Some((key, _)) = settings.remove("min_ttl") {
            self.diagnostics.push(
                Diagnostic::error(
                    key,
                    "min_ttl is a setting of unicast",
                    "expected unicast = { peers = [\"10.77.0.2\"], min_ttl = 254 }",
                )
                .help("by multicast only a TTL of 255 is accepted (RFC 9568 §5.1.1.3)"),
            );
        }
        if let Some((key, value)) = settings.remove("auth_type") {
            let header = matches!(
                value.get_ref(),
                DeValue::String(kind) if kind.eq_ignore_ascii_case("ah")
            );
            let diagnostic = if header {
                Diagnostic::error(
                    key,
                    "there is no Authentication Header (AH)",
                    "expected version = 2 with a password, or none",
                )
                .help(
                    "RFC 3768 took authentication out of VRRP in 2004; set the other routers to \
                     none or to a password, and keep strangers out with a packet filter",
                )
            } else {
                Diagnostic::error(
                    key,
                    "there is no setting \"auth_type\" in an instance",
                    "expected password alone: it says simple text",
                )
                .help("only version 2 has it: version = 2 and password = \"…\", or none of both")
            };
            self.diagnostics.push(diagnostic);
        }
    }
}
