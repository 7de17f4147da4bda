//! A configuration as TOML that says the same: what is as by default is left
//! out.

mod check;
mod instance;

use std::fmt::Write as _;

use super::{
    duration,
    model::{Config, Fifo, NotifyConfig, RunAs, Script, SyncGroup, Webhook, XdpMode},
};

/// The configuration as a file.
#[must_use]
pub fn to_toml(config: &Config) -> String {
    let Config {
        xdp_mode,
        consume,
        startup_delay,
        announce_gap,
        cpu_affinity,
        checks,
        script_user,
        script_security,
        notify_fifos,
        sync_groups,
        instances,
    } = config;
    let mut top = Section::default();
    if *xdp_mode != XdpMode::default() {
        top.set("xdp_mode", string(xdp_mode.name()));
    }
    if *consume {
        top.set("consume", "true");
    }
    for (key, span) in [
        ("startup_delay", startup_delay),
        ("announce_gap", announce_gap),
    ] {
        if !span.is_zero() {
            top.set(key, string(&duration::format(*span)));
        }
    }
    if !cpu_affinity.is_empty() {
        top.set(
            "cpu_affinity",
            list(cpu_affinity.iter().map(u16::to_string)),
        );
    }
    if let Some(user) = script_user {
        top.set("script_user", run_as(user));
    }
    if *script_security {
        top.set("script_security", "true");
    }
    if !notify_fifos.is_empty() {
        top.set("notify_fifos", list(notify_fifos.iter().map(fifo)));
    }
    let mut out = top.0;
    for one in checks {
        section(&mut out, "check", check::check(one));
    }
    for one in instances {
        section(&mut out, "instance", instance::instance(one, config));
    }
    for one in sync_groups {
        section(&mut out, "sync_group", sync_group(one, config));
    }
    out
}

/// Lines `key = value`.
#[derive(Default)]
struct Section(String);

impl Section {
    fn set(&mut self, key: &str, value: impl AsRef<str>) {
        // Writing to a String cannot fail.
        let _ = writeln!(self.0, "{key} = {}", value.as_ref());
    }
}

fn section(out: &mut String, head: &str, section: Section) {
    if !out.is_empty() {
        out.push('\n');
    }
    let _ = write!(out, "[[{head}]]\n{}", section.0);
}

fn sync_group(group: &SyncGroup, config: &Config) -> Section {
    let SyncGroup {
        name,
        members,
        track_interfaces,
        track_checks,
        notify,
    } = group;
    let mut section = Section::default();
    section.set("name", string(name));
    let members = members
        .iter()
        .map(|place| string(&config.instances[*place].name));
    section.set("instances", list(members));
    instance::tracked(&mut section, track_interfaces, track_checks, config);
    told(&mut section, notify);
    section
}

/// The table `notify`, if it says anything.
fn told(section: &mut Section, notify: &NotifyConfig) {
    if *notify == NotifyConfig::default() {
        return;
    }
    let NotifyConfig {
        active,
        backup,
        fault,
        stop,
        any,
        active_lower,
        priority_changes,
        timeout,
        state_file,
        webhook,
    } = notify;
    let mut table = Table::default();
    let commands = [
        ("active", active),
        ("backup", backup),
        ("fault", fault),
        ("stop", stop),
        ("any", any),
        ("active_lower", active_lower),
    ];
    let mut users = commands
        .iter()
        .filter_map(|(_, script)| Some(&script.as_ref()?.run_as));
    // A user that all of them have is said once.
    let first = users.next().cloned().flatten();
    let one_user = first.filter(|first| users.all(|user| user.as_ref() == Some(first)));
    for (key, script) in commands {
        if let Some(script) = script {
            let value = if one_user.is_some() {
                words(script)
            } else {
                command(script)
            };
            table.set(key, value);
        }
    }
    if let Some(user) = &one_user {
        table.set("user", run_as(user));
    }
    if *priority_changes {
        table.set("priority_changes", "true");
    }
    if *timeout != NotifyConfig::TIMEOUT {
        table.set("timeout", string(&duration::format(*timeout)));
    }
    if let Some(path) = state_file {
        table.set("state_file", string(&path.to_string_lossy()));
    }
    if let Some(webhook) = webhook {
        table.set("webhook", self::webhook(webhook));
    }
    section.set("notify", table.text());
}

fn webhook(webhook: &Webhook) -> String {
    let mut table = Table::default();
    table.set("url", string(&webhook.url));
    if webhook.timeout != Webhook::TIMEOUT {
        table.set("timeout", string(&duration::format(webhook.timeout)));
    }
    if webhook.retries != Webhook::RETRIES {
        table.set("retries", webhook.retries.to_string());
    }
    if webhook.retry_interval != Webhook::RETRY_INTERVAL {
        table.set(
            "retry_interval",
            string(&duration::format(webhook.retry_interval)),
        );
    }
    if !webhook.headers.is_empty() {
        let mut headers = Table::default();
        for (name, value) in &webhook.headers {
            headers.set(&string(name), string(value));
        }
        table.set("headers", headers.text());
    }
    if !webhook.verify {
        table.set("verify", "false");
    }
    table.text()
}

fn fifo(fifo: &Fifo) -> String {
    let path = string(&fifo.path.to_string_lossy());
    match &fifo.reader {
        None => path,
        Some(reader) => {
            let mut table = Table::default();
            table.set("path", path);
            table.set("reader", words(reader));
            if let Some(user) = &reader.run_as {
                table.set("user", run_as(user));
            }
            table.text()
        }
    }
}

/// A command, with its user if it has one of its own.
fn command(script: &Script) -> String {
    let words = words(script);
    match &script.run_as {
        None => words,
        Some(user) => {
            let mut table = Table::default();
            table.set("command", words);
            table.set("user", run_as(user));
            table.text()
        }
    }
}

fn words(script: &Script) -> String {
    list(script.argv.iter().map(|word| string(word)))
}

fn run_as(run_as: &RunAs) -> String {
    match &run_as.group {
        None => string(&run_as.user),
        Some(group) => string(&format!("{}:{group}", run_as.user)),
    }
}

/// A table in one line.
#[derive(Default)]
struct Table(Vec<String>);

impl Table {
    fn set(&mut self, key: &str, value: impl AsRef<str>) {
        self.0.push(format!("{key} = {}", value.as_ref()));
    }

    fn text(&self) -> String {
        format!("{{ {} }}", self.0.join(", "))
    }
}

/// A list; of more than one line if it is long.
fn list(entries: impl Iterator<Item = String>) -> String {
    let entries: Vec<String> = entries.collect();
    let line = format!("[{}]", entries.join(", "));
    if line.len() <= 80 || entries.len() < 2 {
        return line;
    }
    let lines: String = entries
        .iter()
        .map(|entry| format!("    {entry},\n"))
        .collect();
    format!("[\n{lines}]")
}

/// Text in quotes, in one line.
fn string(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c.is_control() => {
                let _ = write!(quoted, "\\u{:04X}", u32::from(c));
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}
