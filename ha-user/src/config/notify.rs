//! Whether those who hear of transitions can: the tables `notify`, the list
//! `notify_fifos`.

use std::{
    collections::HashMap,
    ops::Range,
    path::{Path, PathBuf},
    time::Duration,
};

use super::{
    diagnostic::Diagnostic,
    located::{Field, Located},
    model::{Fifo, NotifyConfig, Webhook},
    range,
    raw::{RawConfig, RawFifo, RawNotify, RawWebhook},
    script,
};
use crate::http::{Server, Url};

/// How long a command may run.
const TIMEOUTS: std::ops::RangeInclusive<Duration> =
    Duration::from_millis(100)..=Duration::from_secs(24 * 3600);

/// How long one attempt of a webhook may take.
const WEBHOOK_TIMEOUTS: std::ops::RangeInclusive<Duration> =
    Duration::from_millis(100)..=Duration::from_secs(300);

/// Between two attempts.
const RETRY_INTERVALS: std::ops::RangeInclusive<Duration> =
    Duration::from_millis(100)..=Duration::from_secs(3600);

/// Headers that are ours to say.
const OWN_HEADERS: [&str; 5] = [
    "connection",
    "content-length",
    "content-type",
    "host",
    "transfer-encoding",
];

/// Whose transitions they are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Whose {
    Instance,
    Group,
}

/// The settings; complaints. `fifos` says whether there are FIFOs, which hear of
/// everything.
pub(super) fn check(
    raw: &Field<RawNotify>,
    whose: Whose,
    fifos: bool,
    diagnostics: &mut Vec<Diagnostic>,
) -> NotifyConfig {
    let Some(Located { value: raw, span }) = raw.given() else {
        return NotifyConfig::default();
    };
    let mut command = |field| script::check(field, diagnostics);
    let notify = NotifyConfig {
        active: command(&raw.active),
        backup: command(&raw.backup),
        fault: command(&raw.fault),
        stop: command(&raw.stop),
        any: command(&raw.any),
        active_lower: command(&raw.active_lower),
        priority_changes: raw.priority_changes.given().is_some_and(|it| it.value),
        timeout: range::span(
            &raw.timeout,
            "timeout",
            &TIMEOUTS,
            NotifyConfig::TIMEOUT,
            diagnostics,
        ),
        state_file: raw
            .state_file
            .given()
            .and_then(|path| absolute("the state file", path, diagnostics)),
        webhook: raw
            .webhook
            .given()
            .and_then(|raw| webhook(raw, diagnostics)),
    };
    void(raw, span, &notify, whose, fifos, diagnostics);
    notify
}

/// Warnings about what has no effect.
fn void(
    raw: &RawNotify,
    span: &Range<usize>,
    notify: &NotifyConfig,
    whose: Whose,
    fifos: bool,
    diagnostics: &mut Vec<Diagnostic>,
) {
    let commands = [
        &raw.active,
        &raw.backup,
        &raw.fault,
        &raw.stop,
        &raw.any,
        &raw.active_lower,
    ];
    let no_commands = commands.iter().all(|command| command.is_absent());
    // FIFOs hear of changes of the priority.
    let for_fifos = fifos && !raw.priority_changes.is_absent();
    if no_commands && raw.state_file.is_absent() && raw.webhook.is_absent() && !for_fifos {
        diagnostics.push(
            Diagnostic::warning(
                span.clone(),
                "nobody is told",
                "expected a command, a state file or a webhook",
            )
            .help("notify = { any = \"/usr/local/bin/on-change\" }, for example"),
        );
    } else if let Some(timeout) = raw.timeout.given()
        && no_commands
    {
        diagnostics.push(
            Diagnostic::warning(
                timeout.span.clone(),
                "timeout has no effect",
                "it is that of commands, and there are none",
            )
            .help("a webhook has a timeout of its own: webhook = { url = …, timeout = \"5s\" }"),
        );
    }
    if whose == Whose::Group
        && let Some(command) = raw.active_lower.given()
    {
        diagnostics.push(
            Diagnostic::warning(
                command.span.clone(),
                "active_lower of a sync group never runs",
                "only an instance hears advertisements",
            )
            .help("move it to the instances"),
        );
    }
    if whose == Whose::Group
        && notify.priority_changes
        && let Some(setting) = raw.priority_changes.given()
    {
        diagnostics.push(
            Diagnostic::warning(
                setting.span.clone(),
                "priority_changes of a sync group has no effect",
                "a group has no priority",
            )
            .help("move it to the instances"),
        );
    }
}

fn webhook(raw: &Located<RawWebhook>, diagnostics: &mut Vec<Diagnostic>) -> Option<Webhook> {
    let Located { value: raw, span } = raw;
    let timeout = range::span(
        &raw.timeout,
        "timeout",
        &WEBHOOK_TIMEOUTS,
        Webhook::TIMEOUT,
        diagnostics,
    );
    let retries = range::number(
        &raw.retries,
        "retries",
        &(0..=100),
        "they are the attempts after the first",
        diagnostics,
    );
    let retry_interval = range::span(
        &raw.retry_interval,
        "retry_interval",
        &RETRY_INTERVALS,
        Webhook::RETRY_INTERVAL,
        diagnostics,
    );
    for (name, value) in &raw.headers {
        diagnostics.extend(bad_header(name, &value.value));
    }
    if raw.url.is_absent() {
        diagnostics.push(Diagnostic::error(
            span.clone(),
            "this webhook has no url",
            "expected url = \"https://hooks.example.org/vip\" in it",
        ));
    }
    let given = raw.url.given()?;
    // Messages do not repeat the address: they go to the log, too.
    let url = match Url::parse(&given.value) {
        Ok(url) => url,
        Err(error) => {
            diagnostics.push(
                Diagnostic::error(
                    given.span.clone(),
                    "this is not the address of a webhook",
                    error.to_string(),
                )
                .help("such as \"https://hooks.example.org/vip\""),
            );
            return None;
        }
    };
    let verify = raw.verify.given().is_none_or(|verify| verify.value);
    if Server::of(&url, verify).is_err() {
        diagnostics.push(Diagnostic::error(
            given.span.clone(),
            "this is not the address of a webhook",
            "no host has such a name",
        ));
        return None;
    }
    if let Some(verify) = raw.verify.given()
        && !url.tls
    {
        diagnostics.push(Diagnostic::warning(
            verify.span.clone(),
            "verify has no effect",
            "only an https server has a certificate",
        ));
    }
    Some(Webhook {
        url: given.value.clone(),
        timeout,
        retries: retries.unwrap_or(Webhook::RETRIES),
        retry_interval,
        headers: raw
            .headers
            .iter()
            .map(|(name, value)| (name.value.clone(), value.value.clone()))
            .collect(),
        verify,
    })
}

/// What is wrong with a header. The value is not shown.
fn bad_header(name: &Located<String>, value: &str) -> Option<Diagnostic> {
    // RFC 9110, section 5.1 and 5.5.
    let token = |octet: u8| octet.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&octet);
    let (message, expected) = if name.value.is_empty() || !name.value.bytes().all(token) {
        (
            format!("no header has the name {:?}", name.value),
            "expected letters, digits and -",
        )
    } else if OWN_HEADERS.contains(&name.value.to_ascii_lowercase().as_str()) {
        (
            format!("the header {} is not yours to say", name.value),
            "it follows from the address and the message",
        )
    } else if value
        .bytes()
        .any(|octet| octet != b'\t' && !matches!(octet, b' '..=b'~'))
    {
        (
            format!("the header {} has a value that cannot be sent", name.value),
            "expected printable ASCII in one line",
        )
    } else {
        return None;
    };
    Some(Diagnostic::error(name.span.clone(), message, expected))
}

/// The FIFOs; complaints.
pub(super) fn fifos(raw: &RawConfig, diagnostics: &mut Vec<Diagnostic>) -> Vec<Fifo> {
    let entries = raw.notify_fifos.entries().iter();
    entries
        .filter_map(|entry| {
            let RawFifo { path, reader } = &entry.value;
            let reader = script::check(reader, diagnostics);
            Some(Fifo {
                path: absolute("a FIFO", path, diagnostics)?,
                reader,
            })
        })
        .collect()
}

/// Warnings about changes of the priority that nobody hears of, though they are to be
/// told.
pub(super) fn unheard(raw: &RawConfig, diagnostics: &mut Vec<Diagnostic>) {
    if !raw.notify_fifos.is_absent() {
        return;
    }
    for instance in &raw.instances {
        if let Some(Located { value: notify, .. }) = instance.notify.given()
            && notify.webhook.is_absent()
            && let Some(setting) = notify.priority_changes.given()
            && setting.value
        {
            diagnostics.push(
                Diagnostic::warning(
                    setting.span.clone(),
                    "nobody hears of changes of the priority",
                    "only FIFOs and a webhook are told of them",
                )
                .help("commands run on transitions only, as with keepalived"),
            );
        }
    }
}

/// Files that two write to.
pub(super) fn unique(raw: &RawConfig, diagnostics: &mut Vec<Diagnostic>) {
    let instances = raw.instances.iter().map(|instance| &instance.notify);
    let groups = raw.sync_groups.iter().map(|group| &group.notify);
    let state_files = instances
        .chain(groups)
        .filter_map(|notify| notify.given()?.value.state_file.given());
    let fifos = raw.notify_fifos.entries().iter();
    let paths = state_files.chain(fifos.map(|fifo| &fifo.value.path));
    let mut seen: HashMap<&Path, &Range<usize>> = HashMap::new();
    for path in paths {
        if let Some(first) = seen.insert(Path::new(&path.value), &path.span) {
            diagnostics.push(
                Diagnostic::error(
                    path.span.clone(),
                    format!("{} is written by another, too", path.value),
                    "expected a file that nobody else writes",
                )
                .related(first.clone(), "that is here"),
            );
        }
    }
}

/// Whether `path` names a file, whatever the daemon's working directory is.
pub(super) fn is_absolute_file(path: &str) -> bool {
    let name = Path::new(path).file_name().and_then(|name| name.to_str());
    path.starts_with('/') && name.is_some_and(|name| path.ends_with(name)) && !path.contains('\0')
}

/// The path, if it is one whatever the daemon's working directory is.
fn absolute(
    what: &str,
    path: &Located<String>,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<PathBuf> {
    let text = &path.value;
    if is_absolute_file(text) {
        return Some(PathBuf::from(text));
    }
    diagnostics.push(Diagnostic::error(
        path.span.clone(),
        format!("{what} cannot be {text:?}"),
        "expected the path of a file, with a / at its start",
    ));
    None
}
