//! What a check looks at, by its kind.

use std::{
    net::IpAddr,
    ops::{Range, RangeInclusive},
    path::PathBuf,
};

use super::called;
use crate::{
    config::{
        diagnostic::Diagnostic,
        located::{Field, List, Located},
        model::{
            CheckKind, FileCheck, FileReads, HttpCheck, PingCheck, ProcessCheck, ProcessMatch,
            Target, TlsCheck,
        },
        names, range,
        raw::{RawCheck, RawCheckKind},
        script,
    },
    http,
};

/// The most processes that can be asked for.
const MAX_PROCESSES: i64 = 1_000_000;

/// The settings of a check that some kinds have and others have not.
const EXEC: &[&str] = &["command"];
const HTTP: &[&str] = &["url", "host", "status", "body", "verify"];
const TCP: &[&str] = &["target"];
const PROCESS: &[&str] = &["process", "command_line", "pidfile", "at_least", "at_most"];
const FILE: &[&str] = &["path", "number"];
const PING: &[&str] = &["address", "interface"];
const INTERFACE: &[&str] = &["interface"];

/// What every kind but an interface has: it is watched, not asked.
const ROUNDS: &[&str] = &["interval", "timeout", "rise", "fall", "init_fail"];

/// The kind with its settings, or complaints.
pub(super) fn check(raw: &RawCheck, diagnostics: &mut Vec<Diagnostic>) -> Option<CheckKind> {
    let kind = raw.kind.given()?.value;
    misplaced(raw, kind, diagnostics);
    let mut check = Check { raw, diagnostics };
    match kind {
        RawCheckKind::Exec => {
            check.required(&raw.command, "command", "\"/usr/local/bin/check\"")?;
            script::check(&raw.command, check.diagnostics).map(CheckKind::Exec)
        }
        RawCheckKind::Http => check.http().map(CheckKind::Http),
        RawCheckKind::Tcp => {
            let target = check.required(&raw.target, "target", "\"10.0.0.9:5432\"")?;
            check.target(target).map(CheckKind::Tcp)
        }
        RawCheckKind::Process => check.process().map(CheckKind::Process),
        RawCheckKind::File => check.file().map(CheckKind::File),
        RawCheckKind::Ping => check.ping().map(CheckKind::Ping),
        RawCheckKind::Interface => {
            let interface = check.required(&raw.interface, "interface", "\"eth1\"")?;
            names::interface(interface, check.diagnostics).map(CheckKind::Interface)
        }
    }
}

const fn word(kind: RawCheckKind) -> (&'static str, &'static [&'static str]) {
    match kind {
        RawCheckKind::Exec => ("exec", EXEC),
        RawCheckKind::Http => ("http", HTTP),
        RawCheckKind::Tcp => ("tcp", TCP),
        RawCheckKind::Process => ("process", PROCESS),
        RawCheckKind::File => ("file", FILE),
        RawCheckKind::Ping => ("ping", PING),
        RawCheckKind::Interface => ("interface", INTERFACE),
    }
}

/// Complains about settings that the kind does not have.
fn misplaced(raw: &RawCheck, kind: RawCheckKind, diagnostics: &mut Vec<Diagnostic>) {
    fn span<T>(field: &Field<T>) -> Option<&Range<usize>> {
        field.given().map(|given| &given.span)
    }
    let (kind_word, own) = word(kind);
    for (key, span) in [
        ("command", span(&raw.command)),
        ("url", span(&raw.url)),
        ("host", span(&raw.host)),
        ("status", span(&raw.status)),
        ("body", span(&raw.body)),
        ("verify", span(&raw.verify)),
        ("target", span(&raw.target)),
        ("process", span(&raw.process)),
        ("command_line", span(&raw.command_line)),
        ("pidfile", span(&raw.pidfile)),
        ("at_least", span(&raw.at_least)),
        ("at_most", span(&raw.at_most)),
        ("path", span(&raw.path)),
        ("number", span(&raw.number)),
        ("address", span(&raw.address)),
        ("interface", span(&raw.interface)),
        ("interval", span(&raw.interval)),
        ("timeout", span(&raw.timeout)),
        ("rise", span(&raw.rise)),
        ("fall", span(&raw.fall)),
        ("init_fail", span(&raw.init_fail)),
    ] {
        let Some(span) = span else { continue };
        if own.contains(&key) || (kind != RawCheckKind::Interface && ROUNDS.contains(&key)) {
            continue;
        }
        let why = match ROUNDS.contains(&key) {
            true => "the kernel tells of an interface when it changes".to_owned(),
            false => format!("its own settings: {}", own.join(", ")),
        };
        diagnostics.push(
            Diagnostic::error(
                span.clone(),
                format!("{key} is no setting of a check of kind {kind_word:?}"),
                why,
            )
            .help("remove it, or say another kind"),
        );
    }
}

struct Check<'a> {
    raw: &'a RawCheck,
    diagnostics: &'a mut Vec<Diagnostic>,
}

impl Check<'_> {
    fn error(&mut self, diagnostic: Diagnostic) {
        self.diagnostics.push(diagnostic);
    }

    /// The setting, or a complaint that it is missing.
    fn required<'f, T>(
        &mut self,
        field: &'f Field<T>,
        key: &str,
        example: &str,
    ) -> Option<&'f Located<T>> {
        if field.is_absent() {
            self.error(Diagnostic::error(
                self.raw.head.clone(),
                format!("{} has no {key}", called(self.raw)),
                format!("expected a line such as {key} = {example}"),
            ));
        }
        field.given()
    }

    fn http(&mut self) -> Option<HttpCheck> {
        let raw = self.raw;
        let written = self.required(&raw.url, "url", "\"http://127.0.0.1:8080/health\"")?;
        let url = match http::Url::parse(&written.value) {
            Ok(url) => url,
            Err(error) => {
                self.error(Diagnostic::error(
                    written.span.clone(),
                    format!("this is no url of a check: {error}"),
                    "expected one such as \"http://127.0.0.1:8080/health\"",
                ));
                return None;
            }
        };
        if let (Some(verify), false) = (raw.verify.given(), url.tls) {
            self.error(
                Diagnostic::error(
                    verify.span.clone(),
                    "there is no certificate to verify without TLS",
                    "verify is a setting of urls that start with https://",
                )
                .help("remove the line, or say https://"),
            );
        }
        let host = raw.host.given();
        let name = host.map(|host| host.value.as_str());
        let verify = raw.verify.given().is_none_or(|verify| verify.value);
        let tls = url.tls.then_some(verify);
        if http::Server::new(&url.host, url.port, tls, name).is_err() {
            let (key, at) = match host {
                Some(host) => ("host", host.span.clone()),
                None => ("url", written.span.clone()),
            };
            self.error(Diagnostic::error(
                at,
                format!("no host can have the name in {key}"),
                "expected a name or an address, with a port if need be",
            ));
            return None;
        }
        let body = raw.body.given().filter(|body| !body.value.is_empty());
        Some(HttpCheck {
            target: Target {
                host: url.host,
                port: url.port,
            },
            path: url.path,
            host: name.map(str::to_owned),
            status: self.statuses(&raw.status),
            body: body.map(|body| body.value.clone()),
            tls: url.tls.then_some(TlsCheck { verify }),
        })
    }

    fn statuses(&mut self, field: &Field<List<(i64, i64)>>) -> Vec<RangeInclusive<u16>> {
        let default = 200..=399;
        let Some(list) = field.given() else {
            return vec![default];
        };
        if list.value.entries.is_empty() && !list.value.incomplete {
            self.error(
                Diagnostic::error(
                    list.span.clone(),
                    "no status would pass",
                    "expected statuses such as [200, \"300-399\"]",
                )
                .help("leave status out for the default, 200 to 399"),
            );
        }
        let mut statuses = Vec::new();
        for entry in &list.value.entries {
            let (first, last) = entry.value;
            let number = |status: i64| u16::try_from(status).ok();
            match (number(first), number(last)) {
                (Some(first @ 100..), Some(last @ ..=999)) if first <= last => {
                    statuses.push(first..=last);
                }
                _ => self.error(Diagnostic::error(
                    entry.span.clone(),
                    match first == last {
                        true => format!("there is no status {first}"),
                        false => format!("there are no statuses {first} to {last}"),
                    },
                    "expected 100 to 999, the lesser one first",
                )),
            }
        }
        if statuses.is_empty() {
            statuses.push(default);
        }
        statuses
    }

    /// `host:port`, `10.0.0.9:5432`, `[2001:db8::1]:443`.
    fn target(&mut self, written: &Located<String>) -> Option<Target> {
        let text = &written.value;
        let target = text.rsplit_once(':').and_then(|(host, port)| {
            let digits = port.bytes().all(|b| b.is_ascii_digit());
            let port = port.parse().ok().filter(|port| digits && *port != 0)?;
            let bare = host.strip_prefix('[').and_then(|it| it.strip_suffix(']'));
            let host = match bare {
                Some(bare) => bare.parse::<std::net::Ipv6Addr>().ok()?.to_string(),
                // Of an address without brackets the end could be a port or not.
                None if host.contains(':') => return None,
                None => host.to_owned(),
            };
            let name = !host.is_empty() && host.chars().all(names::is_visible);
            (name && !host.contains('/')).then_some(Target { host, port })
        });
        if target.is_none() {
            self.error(Diagnostic::error(
                written.span.clone(),
                format!("a target cannot be {text:?}"),
                "expected a host and a port, such as \"10.0.0.9:5432\" or \"[2001:db8::1]:443\"",
            ));
        }
        target
    }

    fn process(&mut self) -> Option<ProcessCheck> {
        let raw = self.raw;
        let ways = [
            ("process", raw.process.is_absent()),
            ("command_line", raw.command_line.is_absent()),
            ("pidfile", raw.pidfile.is_absent()),
        ];
        let given = ways.iter().filter(|(_, absent)| !absent);
        if given.count() != 1 {
            self.error(Diagnostic::error(
                raw.head.clone(),
                format!("{} does not say which process", called(raw)),
                "expected one of process, command_line and pidfile",
            ));
            return None;
        }
        let which = if let Some(name) = raw.process.given() {
            self.process_name(name)?
        } else if let Some(words) = raw.command_line.given() {
            let entries = &words.value.entries;
            if words.value.incomplete {
                return None;
            }
            if entries.first().is_none_or(|word| word.value.is_empty()) {
                self.error(Diagnostic::error(
                    words.span.clone(),
                    "no process has an empty command line",
                    "expected all its words, such as [\"/usr/sbin/nginx\", \"-g\", \"daemon off;\"]",
                ));
                return None;
            }
            let words = entries.iter().map(|word| word.value.clone());
            ProcessMatch::CommandLine(words.collect())
        } else {
            ProcessMatch::Pidfile(self.path(raw.pidfile.given()?)?)
        };
        let counted = !matches!(which, ProcessMatch::Pidfile(_));
        for (key, field) in [("at_least", &raw.at_least), ("at_most", &raw.at_most)] {
            if let (false, Some(number)) = (counted, field.given()) {
                self.error(Diagnostic::error(
                    number.span.clone(),
                    format!("{key} does not go with pidfile"),
                    "a pid file names one process",
                ));
            }
        }
        let mut number = |field, key, help| -> Option<u32> {
            range::number(field, key, &(1..=MAX_PROCESSES), help, self.diagnostics)
        };
        let at_least = number(&raw.at_least, "at_least", "1 is the default").unwrap_or(1);
        let at_most = number(&raw.at_most, "at_most", "there is no limit by default");
        if let (Some(most), Some(at)) = (at_most, raw.at_most.given())
            && most < at_least
        {
            self.error(Diagnostic::error(
                at.span.clone(),
                format!("at least {at_least} and at most {most} is never so"),
                "expected no less than at_least",
            ));
        }
        Some(ProcessCheck {
            which,
            at_least,
            at_most,
        })
    }

    fn process_name(&mut self, name: &Located<String>) -> Option<ProcessMatch> {
        let text = &name.value;
        if !text.is_empty() && !text.contains(['/', '\0']) {
            return Some(ProcessMatch::Name(text.clone()));
        }
        self.error(
            Diagnostic::error(
                name.span.clone(),
                format!("no process has the name {text:?}"),
                "expected the name of a program without its path, such as \"nginx\"",
            )
            .help("command_line compares all words of the command line, the path among them"),
        );
        None
    }

    fn file(&mut self) -> Option<FileCheck> {
        let raw = self.raw;
        let path = self.required(&raw.path, "path", "\"/run/drain\"")?;
        let path = self.path(path)?;
        let number = raw.number.given().is_some_and(|number| number.value);
        if number {
            for (key, field) in [("rise", &raw.rise), ("fall", &raw.fall)] {
                if let Some(given) = field.given() {
                    self.error(
                        Diagnostic::error(
                            given.span.clone(),
                            format!("{key} does not go with a number"),
                            "every number counts at once",
                        )
                        .help("remove the line"),
                    );
                }
            }
        }
        Some(FileCheck {
            path,
            reads: match number {
                true => FileReads::Number,
                false => FileReads::Existence,
            },
        })
    }

    fn path(&mut self, path: &Located<String>) -> Option<PathBuf> {
        if path.value.starts_with('/') && !path.value.contains('\0') {
            return Some(PathBuf::from(&path.value));
        }
        self.error(Diagnostic::error(
            path.span.clone(),
            format!("{:?} is no place of a file", path.value),
            "expected a path that starts with /",
        ));
        None
    }

    fn ping(&mut self) -> Option<PingCheck> {
        let raw = self.raw;
        let interface = match raw.interface.given() {
            Some(interface) => Some(names::interface(interface, self.diagnostics)?),
            None => None,
        };
        let address = self.required(&raw.address, "address", "\"10.0.0.1\"")?;
        let complaint = match address.value {
            it if it.is_unspecified() => "no host has that address",
            it if it.is_multicast() => "many hosts have that address",
            IpAddr::V4(it) if it.is_broadcast() => "many hosts have that address",
            IpAddr::V6(it) if it.is_unicast_link_local() && raw.interface.is_absent() => {
                "a link-local address needs an interface"
            }
            _ => {
                return Some(PingCheck {
                    address: address.value,
                    interface,
                });
            }
        };
        self.error(Diagnostic::error(
            address.span.clone(),
            format!("{} cannot be asked", address.value),
            complaint,
        ));
        None
    }
}
