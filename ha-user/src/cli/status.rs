//! `harrier status`.

mod checks;

use std::{fmt::Write as _, io};

use clap::Args;

use super::{Ask, output};
use crate::control::{
    client,
    protocol::{InstanceState, InstanceStatus, Status as Reply},
};

const EXAMPLES: &str = "\
Examples:
  harrier status
  harrier status --json | jq -r '.instances[] | select(.state == \"active\") | .name'
  harrier status --runtime-dir /run/harrier-lab

Fields of the JSON: instances, checks, pid, daemon_version, realtime (whether the driver
has real-time priority), scheduling (of the driver: policy, which is fifo or other,
priority, which may be null, memory_locked, cpus, problems).

Per instance: name, interface, vrid, family (ipv4, ipv6), version, state (init,
backup, active, releasing, fault), base_priority, priority, advert_interval_ms,
active_down_interval_ms, addresses, excluded_addresses, since_ms (time in this
state), transitions (changes of state since the start), conflicts (of the last
five minutes), drained (by `harrier failover`), and, each of them perhaps null, active (address of the current
Active router), last_transition (why it is in this state), xdp_mode (driver,
generic), sync_group, problem (why it cannot take part, or what it waits for).

Per conflict: kind (two-actives, address-list, interval, version, checksum,
authentication, transport, ttl, malformed, own-address, claim, owner), address,
mac, text (what is wrong, and what can be done), times, first_ms_ago, last_ms_ago.

Per check: name, kind (exec, http, tcp, process, file, ping, interface), state
(pending, passing, failing, value), rounds, failures, skipped (rounds left out
because one took too long), and, each of them perhaps null, value (the number),
since_ms, last_round_ms, text (what the last round said).

More fields may come; those named here stay.";

/// Show what every virtual router is doing.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct Status {
    #[command(flatten)]
    ask: Ask,
}

impl Status {
    pub(super) fn execute(self) -> anyhow::Result<()> {
        let status = client::status(&self.ask.socket())?;
        if self.ask.json {
            return output::print_json(&status);
        }
        output::print(&render(&status, output::colour(&io::stdout())))
    }
}

pub(super) fn render(status: &Reply, colour: bool) -> String {
    let mut table = output::table(&[
        "INSTANCE",
        "STATE",
        "FOR",
        "PRIORITY",
        "INTERFACE",
        "VRID",
        "VRRP",
        "ADVERT",
        "ACTIVE_DOWN",
        "ACTIVE ROUTER",
        "ADDRESSES",
    ]);
    for instance in &status.instances {
        table.add_row([
            output::plain(&instance.name),
            instance.state.name().to_owned(),
            output::span(instance.since_ms),
            priority(instance),
            output::plain(&instance.interface),
            instance.vrid.to_string(),
            format!("v{} {}", instance.version, instance.family.name()),
            output::milliseconds(instance.advert_interval_ms as f64),
            output::milliseconds(instance.active_down_interval_ms),
            instance
                .active
                .map_or_else(|| "-".to_owned(), |active| active.to_string()),
            addresses(&instance.addresses),
        ]);
    }
    let mut out = output::lines(&table);
    if colour {
        out = coloured(&out, &status.instances);
    }
    let changes = status.instances.iter().filter_map(|instance| {
        instance
            .last_transition
            .as_ref()
            .map(|reason| (instance, reason))
    });
    for (place, (instance, reason)) in changes.enumerate() {
        if place == 0 {
            out.push('\n');
        }
        // Writing to a String cannot fail.
        let _ = writeln!(
            out,
            "{} became {} {} ago: {}",
            output::plain(&instance.name),
            instance.state.name(),
            output::span(instance.since_ms),
            output::plain(reason)
        );
    }
    out.push_str(&checks::render(&status.checks));
    out.push_str(&troubles(&status.instances));
    if let Some(scheduling) = &status.scheduling {
        let _ = writeln!(out, "\nscheduling: {scheduling}");
        for problem in &scheduling.problems {
            let _ = writeln!(out, "warning: {}", output::plain(problem));
        }
    }
    out
}

/// What keeps instances from taking part, and what other routers do wrong.
fn troubles(instances: &[InstanceStatus]) -> String {
    let mut out = String::new();
    let problems = instances
        .iter()
        .filter_map(|instance| Some((instance, instance.problem.as_ref()?)));
    for (place, (instance, problem)) in problems.enumerate() {
        if place == 0 {
            out.push('\n');
        }
        // Writing to a String cannot fail.
        let _ = writeln!(
            out,
            "{}: {}",
            output::plain(&instance.name),
            output::plain(problem)
        );
    }
    let conflicts = instances.iter().flat_map(|instance| {
        instance
            .conflicts
            .iter()
            .map(move |found| (instance, found))
    });
    for (place, (instance, found)) in conflicts.enumerate() {
        if place == 0 {
            out.push_str("\nConflicts:\n");
        }
        let _ = writeln!(
            out,
            "{}: {} (seen {} time{}, last {} ago)",
            output::plain(&instance.name),
            output::plain(&found.text),
            found.times,
            if found.times == 1 { "" } else { "s" },
            output::span(found.last_ms_ago)
        );
    }
    out
}

fn priority(instance: &InstanceStatus) -> String {
    if instance.drained {
        format!(
            "{} (base {}, drained)",
            instance.priority, instance.base_priority
        )
    } else if instance.priority == instance.base_priority {
        instance.priority.to_string()
    } else {
        format!("{} (base {})", instance.priority, instance.base_priority)
    }
}

/// The first address, and how many more there are.
fn addresses(addresses: &[String]) -> String {
    match addresses {
        [] => "-".to_owned(),
        [only] => output::plain(only),
        [first, rest @ ..] => format!("{} and {} more", output::plain(first), rest.len()),
    }
}

/// Colours the second column; the lines behind the head are the instances'.
fn coloured(table: &str, instances: &[InstanceStatus]) -> String {
    let mut lines = table.lines();
    let mut out: String = lines
        .by_ref()
        .take(1)
        .flat_map(|head| [head, "\n"])
        .collect();
    for (line, instance) in lines.zip(instances) {
        let name_end = output::plain(&instance.name).len();
        let state = instance.state.name();
        let state_at = line[name_end..]
            .find(state)
            .map_or(line.len(), |at| at + name_end);
        let (before, from) = line.split_at(state_at);
        let behind = from.strip_prefix(state).unwrap_or(from);
        let code = match instance.state {
            InstanceState::Active => "1;32",
            InstanceState::Releasing => "32",
            InstanceState::Backup => "36",
            InstanceState::Init => "33",
            InstanceState::Fault => "1;31",
        };
        let _ = writeln!(out, "{before}\u{1b}[{code}m{state}\u{1b}[0m{behind}");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::protocol::{ConflictStatus, Family, Scheduling};

    fn sample() -> Reply {
        let web = InstanceStatus {
            name: "active".to_owned(),
            interface: "eth0".to_owned(),
            vrid: 51,
            family: Family::Ipv4,
            version: 3,
            state: InstanceState::Active,
            base_priority: 150,
            priority: 150,
            advert_interval_ms: 100,
            active_down_interval_ms: 341.406_25,
            addresses: vec!["10.77.0.100/16".to_owned(), "10.77.0.101/16".to_owned()],
            since_ms: 72_500,
            transitions: 2,
            active: Some([10, 77, 0, 1].into()),
            last_transition: Some("no advertisement".to_owned()),
            xdp_mode: Some("driver".to_owned()),
            excluded_addresses: Vec::new(),
            sync_group: None,
            drained: false,
            problem: None,
            conflicts: Vec::new(),
        };
        let db = InstanceStatus {
            name: "db6".to_owned(),
            family: Family::Ipv6,
            state: InstanceState::Fault,
            priority: 90,
            addresses: Vec::new(),
            active: None,
            last_transition: None,
            problem: Some("interface eth7 does not exist".to_owned()),
            drained: true,
            conflicts: vec![ConflictStatus {
                kind: "version".to_owned(),
                address: [10, 77, 0, 9].into(),
                mac: "02:00:00:00:00:09".to_owned(),
                text: "10.77.0.9 speaks version 2".to_owned(),
                times: 3,
                first_ms_ago: 61_000,
                last_ms_ago: 2_000,
            }],
            ..web.clone()
        };
        Reply {
            instances: vec![web, db],
            checks: Vec::new(),
            pid: 1,
            daemon_version: "0.1.0".to_owned(),
            realtime: true,
            scheduling: Some(Scheduling {
                policy: "fifo".to_owned(),
                priority: Some(40),
                memory_locked: true,
                cpus: vec![1],
                problems: Vec::new(),
            }),
        }
    }

    #[test]
    fn columns_stand_under_their_heads() {
        let out = render(&sample(), false);
        let lines: Vec<&str> = out.lines().collect();
        let column = |head: &str| lines[0].find(head).unwrap();
        assert!(lines[1][column("STATE")..].starts_with("active"), "{out}");
        assert!(
            lines[1][column("ADDRESSES")..].starts_with("10.77.0.100/16 and 1 more"),
            "{out}"
        );
        assert!(lines[1][column("FOR")..].starts_with("1 min 12 s"), "{out}");
        assert!(lines[2][column("STATE")..].starts_with("fault"), "{out}");
        assert!(
            lines[2][column("PRIORITY")..].starts_with("90 (base 150, drained)"),
            "{out}"
        );
        assert!(
            lines[2][column("ACTIVE ROUTER")..].starts_with("- "),
            "{out}"
        );
        assert!(
            out.contains("active became active 1 min 12 s ago: no advertisement"),
            "{out}"
        );
    }

    #[test]
    fn the_last_line_tells_how_the_driver_is_scheduled() {
        let mut status = sample();
        let out = render(&status, false);
        assert!(
            out.ends_with("\nscheduling: FIFO 40, memory locked, CPU 1\n"),
            "{out}"
        );
        status.scheduling = Some(Scheduling {
            policy: "other".to_owned(),
            priority: None,
            memory_locked: false,
            cpus: vec![0, 1, 2, 3, 8, 10, 11],
            problems: vec!["a".to_owned(), "b".to_owned()],
        });
        let out = render(&status, false);
        let told = "\nscheduling: no real-time priority, memory not locked, \
                    CPUs 0 to 3, 8, 10, 11\nwarning: a\nwarning: b\n";
        assert!(out.ends_with(told), "{out}");
    }

    #[test]
    fn troubles_are_told_below_the_table() {
        let out = render(&sample(), false);
        assert!(
            out.contains("\ndb6: interface eth7 does not exist\n"),
            "{out}"
        );
        let conflict = "Conflicts:\ndb6: 10.77.0.9 speaks version 2 (seen 3 times, last 2 s ago)\n";
        assert!(out.contains(conflict), "{out}");
    }

    #[test]
    fn colour_changes_nothing_but_the_colour_of_the_state() {
        let plain = render(&sample(), false);
        let coloured = render(&sample(), true);
        assert!(
            coloured.contains("active    \u{1b}[1;32mactive\u{1b}[0m"),
            "{coloured}"
        );
        assert!(
            coloured.contains("\u{1b}[1;31mfault\u{1b}[0m"),
            "{coloured}"
        );
        let stripped = ["\u{1b}[1;32m", "\u{1b}[1;31m", "\u{1b}[0m"]
            .iter()
            .fold(coloured, |text, code| text.replace(code, ""));
        assert_eq!(stripped, plain);
    }

    #[test]
    fn json_has_the_fields_of_the_contract() {
        let json = serde_json::to_value(sample()).unwrap();
        let web = &json["instances"][0];
        for (field, value) in [
            ("name", serde_json::json!("active")),
            ("interface", serde_json::json!("eth0")),
            ("vrid", serde_json::json!(51)),
            ("family", serde_json::json!("ipv4")),
            ("version", serde_json::json!(3)),
            ("state", serde_json::json!("active")),
            ("base_priority", serde_json::json!(150)),
            ("priority", serde_json::json!(150)),
            ("advert_interval_ms", serde_json::json!(100)),
            ("active_down_interval_ms", serde_json::json!(341.406_25)),
            (
                "addresses",
                serde_json::json!(["10.77.0.100/16", "10.77.0.101/16"]),
            ),
            ("since_ms", serde_json::json!(72_500)),
            ("transitions", serde_json::json!(2)),
            ("active", serde_json::json!("10.77.0.1")),
            ("drained", serde_json::json!(false)),
        ] {
            assert_eq!(web[field], value, "{field}");
        }
        assert_eq!(json["instances"][1]["active"], serde_json::Value::Null);
        assert_eq!(json["instances"][1]["family"], "ipv6");
    }
}
