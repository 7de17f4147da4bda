//! What a configuration says beyond the defaults, a line for each subject.

use std::{fmt::Write as _, time::Duration};

use ha_common::{fsm::AnnounceSchedule, types::Priority};

use crate::config::{
    AddressConfig, ChecksumForm, Config, InstanceConfig, NotifyConfig, RouteConfig, RuleConfig,
    Scope, Script, Unicast, XdpMode, format_duration,
};
use crate::{control::protocol::cpu_list, http::Url};

use super::checks::tracked;

/// So many addresses are listed; of more, the rest is counted.
const LISTED: usize = 8;

/// The first addresses, and how many more there are.
pub(super) fn list(addresses: &[AddressConfig]) -> String {
    let mut text = String::new();
    for (place, address) in addresses.iter().take(LISTED).enumerate() {
        // Writing to a String cannot fail.
        let _ = write!(text, "{}{address}", if place == 0 { "" } else { " " });
    }
    if let Some(more @ 1..) = addresses.len().checked_sub(LISTED) {
        let _ = write!(text, " and {more} more");
    }
    text
}

/// Settings of the daemon, in one line.
pub(super) fn daemon(config: &Config) -> Option<String> {
    let mut parts = Vec::new();
    if config.xdp_mode != XdpMode::default() {
        parts.push(format!("XDP mode {}", config.xdp_mode));
    }
    if !config.startup_delay.is_zero() {
        let delay = format_duration(config.startup_delay);
        parts.push(format!("no take-over for {delay} after the start"));
    }
    if !config.announce_gap.is_zero() {
        let gap = format_duration(config.announce_gap);
        parts.push(format!("announcements at least {gap} apart"));
    }
    if !config.cpu_affinity.is_empty() {
        parts.push(format!("driver on {}", cpu_list(&config.cpu_affinity)));
    }
    if let Some(user) = &config.script_user {
        let group = user.group.as_ref();
        let group = group.map_or(String::new(), |group| format!(":{group}"));
        parts.push(format!("commands run as {}{group}", user.user));
    }
    if config.script_security {
        parts.push("commands that others can change do not run as root".to_owned());
    }
    for fifo in &config.notify_fifos {
        let reader = fifo.reader.as_ref();
        let reader = reader.map_or(String::new(), |script| format!(" to {}", program(script)));
        parts.push(format!("tells {}{reader}", fifo.path.display()));
    }
    (!parts.is_empty()).then(|| format!("daemon: {}", parts.join(", ")))
}

/// A line for each group, and for each that it tracks or tells.
pub(super) fn groups(config: &Config) -> impl Iterator<Item = String> {
    config.sync_groups.iter().flat_map(|group| {
        let names: Vec<&str> = group
            .members
            .iter()
            .map(|place| config.instances[*place].name.as_str())
            .collect();
        let head = format!("sync group {}: {}", group.name, names.join(", "));
        let tracked = tracked(config, &group.track_interfaces, &group.track_checks, false);
        let more = tracked.into_iter().chain(notify(&group.notify));
        std::iter::once(head).chain(more.map(|line| format!("  {line}")))
    })
}

/// What of `instance`, which is one of `config`, is not as by default.
pub(super) fn instance(config: &Config, instance: &InstanceConfig) -> Vec<String> {
    let mut lines = Vec::new();
    lines.extend(instance.unicast.as_ref().map(unicast));
    if instance.checksum == ChecksumForm::MessageOnly {
        lines.push("checksum of the message only".to_owned());
    }
    if instance.any_first_address {
        lines.push("the first address need not be link-local".to_owned());
    }
    if instance.password.is_some() {
        lines.push("simple text password".to_owned());
    }
    if !instance.preempt_delay.is_zero() {
        let delay = format_duration(instance.preempt_delay);
        lines.push(format!("preempts after {delay}"));
    }
    if !instance.quick_preempt {
        lines.push("no quick preemption".to_owned());
    }
    if let Some(virtual_mac) = &instance.virtual_mac {
        let name = virtual_mac.name.as_ref();
        let on = name.map_or(String::new(), |name| format!(", on {name}"));
        lines.push(format!("virtual MAC address{on}"));
    }
    if !instance.accept {
        lines.push("accepts no packets to its addresses".to_owned());
    }
    if !instance.excluded_addresses.is_empty() {
        let excluded = list(&instance.excluded_addresses);
        lines.push(format!("not advertised: {excluded}"));
    }
    let all = instance
        .addresses
        .iter()
        .chain(&instance.excluded_addresses);
    lines.extend(all.filter_map(installed));
    lines.extend(instance.routes.iter().map(route));
    lines.extend(instance.rules.iter().map(rule));
    if instance.announce != AnnounceSchedule::default() {
        lines.push(announce(&instance.announce));
    }
    // Weights of an owner are warned of: they never count.
    let owner = instance.priority == Priority::OWNER;
    lines.extend(tracked(
        config,
        &instance.track_interfaces,
        &instance.track_checks,
        owner,
    ));
    lines.extend(notify(&instance.notify));
    lines
}

/// Who hears of transitions. Arguments, and what follows the host of an address,
/// may be secrets.
fn notify(config: &NotifyConfig) -> Vec<String> {
    let commands = [
        ("when Active", &config.active),
        ("when Backup", &config.backup),
        ("in fault", &config.fault),
        ("at the end", &config.stop),
        ("on every transition", &config.any),
        ("on advertisements of a lower Active", &config.active_lower),
    ];
    let commands = commands.into_iter().filter_map(|(when, script)| {
        let script = script.as_ref()?;
        Some(format!("runs {} {when}", program(script)))
    });
    let state_file = config.state_file.as_ref();
    let state_file = state_file.map(|path| format!("writes its state to {}", path.display()));
    let webhook = config.webhook.as_ref().map(|webhook| {
        let host = Url::parse(&webhook.url).map_or_else(|_| String::new(), |url| url.host);
        let unverified = if webhook.verify { "" } else { " (unverified)" };
        format!("posts its transitions to {host}{unverified}")
    });
    let changes = config
        .priority_changes
        .then(|| "tells changes of its priority too".to_owned());
    commands
        .chain(state_file)
        .chain(webhook)
        .chain(changes)
        .collect()
}

pub(super) fn program(script: &Script) -> &str {
    script.argv.first().map_or("", String::as_str)
}

fn unicast(unicast: &Unicast) -> String {
    let peers: Vec<String> = unicast.peers.iter().map(ToString::to_string).collect();
    let mut line = format!("unicast to {}", peers.join(", "));
    if let Some(source) = unicast.source {
        let _ = write!(line, ", from {source}");
    }
    if unicast.min_ttl < u8::MAX {
        let _ = write!(line, ", TTL at least {}", unicast.min_ttl);
    }
    line
}

/// How the address is installed, if not as others are.
fn installed(config: &AddressConfig) -> Option<String> {
    let mut parts = Vec::new();
    if let Some(interface) = &config.interface {
        parts.push(format!("on {interface}"));
    }
    if let Some(label) = &config.label {
        parts.push(format!("label {label}"));
    }
    match config.scope {
        Scope::Global => {}
        Scope::Site => parts.push("scope site".to_owned()),
        Scope::Link => parts.push("scope link".to_owned()),
        Scope::Host => parts.push("scope host".to_owned()),
    }
    if !config.prefix_route {
        parts.push("no route to its prefix".to_owned());
    }
    (!parts.is_empty()).then(|| format!("{config}: {}", parts.join(", ")))
}

fn route(route: &RouteConfig) -> String {
    let RouteConfig {
        destination,
        via,
        interface,
        table,
        metric,
        source,
    } = route;
    let mut line = format!("route to {destination}");
    for (word, value) in [
        ("via", via.map(|via| via.to_string())),
        ("on", interface.clone()),
        ("table", table.map(|table| table.to_string())),
        ("metric", metric.map(|metric| metric.to_string())),
        ("source", source.map(|source| source.to_string())),
    ] {
        if let Some(value) = value {
            let _ = write!(line, " {word} {value}");
        }
    }
    line
}

fn rule(rule: &RuleConfig) -> String {
    let mut line = "rule".to_owned();
    if let Some(from) = rule.from {
        let _ = write!(line, " from {from}");
    }
    if let Some(to) = rule.to {
        let _ = write!(line, " to {to}");
    }
    let _ = write!(line, " table {}", rule.table);
    if let Some(priority) = rule.priority {
        let _ = write!(line, " priority {priority}");
    }
    line
}

fn announce(schedule: &AnnounceSchedule) -> String {
    let row = match schedule.count {
        1 => "once".to_owned(),
        count => format!("{count} times {} apart", format_duration(schedule.interval)),
    };
    let mut line = format!("announces {row}");
    let mut then = |word: &str, span: Duration| {
        if !span.is_zero() {
            let _ = write!(line, ", {word} {}", format_duration(span));
        }
    };
    then("the same again after", schedule.delay);
    then("then every", schedule.refresh);
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::parse;

    const LEAST: &str = "[[instance]]\nname = \"web\"\ninterface = \"eth0\"\nvrid = 51\n";

    fn config(top: &str, rest: &str) -> Config {
        parse(&format!("{top}\n{LEAST}{rest}")).unwrap().0
    }

    #[test]
    fn nothing_is_said_of_defaults() {
        let config = config("", "addresses = [\"10.0.0.1/24\"]");
        assert_eq!(daemon(&config), None);
        assert_eq!(instance(&config, &config.instances[0]), [""; 0]);
        assert_eq!(groups(&config).count(), 0);
    }

    #[test]
    fn everything_else_is_said() {
        let config = config(
            "xdp_mode = \"generic\"\nstartup_delay = \"10s\"\nannounce_gap = \"1ms\"\n\
             cpu_affinity = [3, 1]\nscript_user = \"vip:adm\"\nscript_security = true\nnotify_fifos = [\"/run/a\",\n\
             { path = \"/run/b\", reader = \"/bin/read secret\" }]\n\
             [[sync_group]]\nname = \"edge\"\ninstances = [\"dns\", \"web\"]\n\
             notify = { any = \"/bin/any secret\" }\n",
            r#"addresses = [{ address = "10.0.0.1/24", label = "v51:a", scope = "site" }]
            excluded_addresses = [
                { address = "10.0.0.2/24", interface = "eth1", prefix_route = false },
                "2001:db8::1/64",
            ]
            checksum = "message-only"
            unicast = { source = "10.0.0.8", peers = ["10.0.0.9", "10.0.0.10"], min_ttl = 64 }
            preempt_delay = "5s"
            quick_preempt = false
            virtual_mac = "v51"
            accept = false
            routes = [
                { to = "default", via = "10.0.0.9" },
                { to = "10.9.0.0/16", interface = "eth1", table = 100, metric = 50, source = "10.0.0.1" },
            ]
            rules = [{ from = "10.9.0.0/16", to = "10.8.0.0/16", table = 100, priority = 7 }]
            announce = { count = 5, interval = "1s", delay = "10s", refresh = "1m" }
            track_interfaces = ["eth1", { name = "eth2", weight = -20 }, { name = "eth3", weight = 20 }]
            [instance.notify]
            active = "/bin/take-over secret"
            stop = "/bin/stop"
            state_file = "/run/web.state"
            webhook = { url = "https://hooks.example.org/secret?secret", verify = false }
            priority_changes = true

            [[instance]]
            name = "dns"
            interface = "eth0"
            vrid = 52
            version = 2
            password = "secret"
            family = "ipv4"
            announce = { count = 1, delay = "0s" }
            "#,
        );
        assert_eq!(
            daemon(&config).unwrap(),
            "daemon: XDP mode generic, no take-over for 10s after the start, announcements at \
             least 1ms apart, driver on CPUs 1, 3, commands run as vip:adm, commands that others can change do not \
             run as root, tells /run/a, tells /run/b to /bin/read"
        );
        assert_eq!(
            instance(&config, &config.instances[0]),
            [
                "unicast to 10.0.0.9, 10.0.0.10, from 10.0.0.8, TTL at least 64",
                "checksum of the message only",
                "preempts after 5s",
                "no quick preemption",
                "virtual MAC address, on v51",
                "accepts no packets to its addresses",
                "not advertised: 10.0.0.2/24 2001:db8::1/64",
                "10.0.0.1/24: label v51:a, scope site",
                "10.0.0.2/24: on eth1, no route to its prefix",
                "route to 0.0.0.0/0 via 10.0.0.9",
                "route to 10.9.0.0/16 on eth1 table 100 metric 50 source 10.0.0.1",
                "rule from 10.9.0.0/16 to 10.8.0.0/16 table 100 priority 7",
                "announces 5 times 1s apart, the same again after 10s, then every 60s",
                "in fault while eth1 is down",
                "priority -20 while eth2 is down",
                "priority +20 while eth3 is up",
                "runs /bin/take-over when Active",
                "runs /bin/stop at the end",
                "writes its state to /run/web.state",
                "posts its transitions to hooks.example.org (unverified)",
                "tells changes of its priority too",
            ]
        );
        assert_eq!(
            instance(&config, &config.instances[1]),
            ["simple text password", "announces once"]
        );
        assert_eq!(
            groups(&config).collect::<Vec<_>>(),
            [
                "sync group edge: dns, web",
                "  runs /bin/any on every transition"
            ]
        );
    }

    #[test]
    fn weights_of_an_owner_are_not_said_to_count() {
        let tracked = "track_interfaces = [{ name = \"eth2\", weight = -20 }, \"eth1\"]";
        let owner = format!("family = \"ipv4\"\npriority = 255\n{tracked}");
        assert_eq!(
            instance(&config("", &owner), &config("", &owner).instances[0]),
            ["in fault while eth1 is down"]
        );
    }

    #[test]
    fn a_long_list_is_cut() {
        let text: Vec<String> = (1..=10).map(|n| format!("\"10.0.0.{n}\"")).collect();
        let config = config("", &format!("addresses = [{}]", text.join(", ")));
        let addresses = &config.instances[0].addresses;
        let shown = list(addresses);
        assert!(shown.ends_with(" 10.0.0.8/32 and 2 more"), "{shown}");
        assert!(!list(&addresses[..8]).contains("more"));
        assert_eq!(list(&addresses[..1]), "10.0.0.1/32");
    }
}
