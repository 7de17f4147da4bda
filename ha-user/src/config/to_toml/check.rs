//! A health check as TOML.

use std::ops::RangeInclusive;

use super::{Section, list, run_as, string, words};
use crate::config::{
    check::DEFAULT_INTERVAL,
    duration,
    model::{
        CheckConfig, CheckKind, FileReads, HttpCheck, ProcessCheck, ProcessMatch, Target, TlsCheck,
    },
};

pub(super) fn check(check: &CheckConfig) -> Section {
    let CheckConfig {
        name,
        kind,
        interval,
        timeout,
        rise,
        fall,
        init_fail,
    } = check;
    let mut section = Section::default();
    section.set("name", string(name));
    self::kind(&mut section, kind);
    if *interval != DEFAULT_INTERVAL {
        section.set("interval", string(&duration::format(*interval)));
    }
    if timeout != interval {
        section.set("timeout", string(&duration::format(*timeout)));
    }
    for (key, rounds) in [("rise", rise), ("fall", fall)] {
        if *rounds != 1 {
            section.set(key, rounds.to_string());
        }
    }
    if *init_fail {
        section.set("init_fail", "true");
    }
    section
}

fn kind(section: &mut Section, kind: &CheckKind) {
    let mut kind_is = |word: &str| section.set("kind", string(word));
    match kind {
        CheckKind::Exec(script) => {
            kind_is("exec");
            section.set("command", words(script));
            if let Some(user) = &script.run_as {
                section.set("user", run_as(user));
            }
        }
        CheckKind::Http(http) => {
            kind_is("http");
            self::http(section, http);
        }
        CheckKind::Tcp(target) => {
            kind_is("tcp");
            section.set("target", string(&authority(target)));
        }
        CheckKind::Process(process) => {
            kind_is("process");
            self::process(section, process);
        }
        CheckKind::File(file) => {
            kind_is("file");
            section.set("path", string(&file.path.to_string_lossy()));
            if file.reads == FileReads::Number {
                section.set("number", "true");
            }
        }
        CheckKind::Ping(ping) => {
            kind_is("ping");
            section.set("address", string(&ping.address.to_string()));
            if let Some(interface) = &ping.interface {
                section.set("interface", string(interface));
            }
        }
        CheckKind::Interface(interface) => {
            kind_is("interface");
            section.set("interface", string(interface));
        }
    }
}

fn http(section: &mut Section, http: &HttpCheck) {
    let HttpCheck {
        target,
        path,
        host,
        status,
        body,
        tls,
    } = http;
    let scheme = if tls.is_some() { "https" } else { "http" };
    section.set(
        "url",
        string(&format!("{scheme}://{}{path}", authority(target))),
    );
    if let Some(host) = host {
        section.set("host", string(host));
    }
    if *status != [200..=399] {
        section.set("status", list(status.iter().map(statuses)));
    }
    if let Some(body) = body {
        section.set("body", string(body));
    }
    if let Some(TlsCheck { verify: false }) = tls {
        section.set("verify", "false");
    }
}

fn statuses(range: &RangeInclusive<u16>) -> String {
    if range.start() == range.end() {
        range.start().to_string()
    } else {
        string(&format!("{}-{}", range.start(), range.end()))
    }
}

fn process(section: &mut Section, process: &ProcessCheck) {
    match &process.which {
        ProcessMatch::Name(name) => section.set("process", string(name)),
        ProcessMatch::CommandLine(words) => {
            section.set("command_line", list(words.iter().map(|word| string(word))));
        }
        ProcessMatch::Pidfile(path) => section.set("pidfile", string(&path.to_string_lossy())),
    }
    if process.at_least != 1 {
        section.set("at_least", process.at_least.to_string());
    }
    if let Some(most) = process.at_most {
        section.set("at_most", most.to_string());
    }
}

/// `host:port`, with brackets around an IPv6 address.
fn authority(target: &Target) -> String {
    if target.host.contains(':') {
        format!("[{}]:{}", target.host, target.port)
    } else {
        format!("{}:{}", target.host, target.port)
    }
}
