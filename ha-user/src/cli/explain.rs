//! `harrier explain`.

use std::fmt::Write as _;

use clap::Args;

use super::{Ask, output};
use crate::control::{
    client,
    protocol::{Explanation, HeardStatus, InstanceState, PastTransition, TrackerStatus},
};

const EXAMPLES: &str = "\
Examples:
  harrier explain web
  harrier explain web --json | jq '.history[-1].reason'

Says why this router is Active or Backup for the instance: what its priority is made
of, what the other routers advertise, and the last three transitions with what was
known at the time.

The JSON: status (as in `harrier status --json`), trackers (name, reading, weight,
reverse, added, fault), heard (source, priority, advert_interval_ms, age_ms; perhaps
null), peers (as in `harrier peers --json`), events_lost, history (at_unix_ms, ms_ago,
from, to, reason, priority, heard, link_up, events_lost). More fields may come; those
named here stay.";

/// Say why this router is Active or Backup for an instance.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct Explain {
    /// Name of the instance.
    instance: String,

    #[command(flatten)]
    ask: Ask,
}

impl Explain {
    pub(super) fn execute(self) -> anyhow::Result<()> {
        let explanation = client::explain(&self.ask.socket(), self.instance)?;
        if self.ask.json {
            return output::print_json(&explanation);
        }
        output::print(&render(&explanation))
    }
}

fn render(explanation: &Explanation) -> String {
    let mut out = String::new();
    let status = &explanation.status;
    // Writing to a String cannot fail.
    let _ = writeln!(
        out,
        "{} is {} for {}",
        output::plain(&status.name),
        status.state.name(),
        output::span(status.since_ms)
    );
    if let Some(reason) = &status.last_transition {
        let _ = writeln!(out, "  because: {}", output::plain(reason));
    }
    if let Some(problem) = &status.problem {
        let _ = writeln!(out, "  problem: {}", output::plain(problem));
    }
    priority(&mut out, explanation);
    peers(&mut out, explanation);
    history(&mut out, &explanation.history);
    out
}

fn priority(out: &mut String, explanation: &Explanation) {
    let status = &explanation.status;
    let _ = writeln!(out, "\nPriority {}", status.priority);
    let _ = writeln!(out, "  {:>5}  configured", status.base_priority);
    for tracker in &explanation.trackers {
        let _ = writeln!(out, "  {:>+5}  {}", tracker.added, tracked(tracker));
    }
    if status.drained {
        let _ = writeln!(
            out,
            "      1  drained by `harrier failover`, whatever the rest is"
        );
    }
}

/// As in `check nginx is failing, weight -30`.
fn tracked(tracker: &TrackerStatus) -> String {
    let mut text = format!(
        "{} is {}",
        output::plain(&tracker.name),
        output::plain(&tracker.reading)
    );
    if tracker.fault {
        text.push_str(", which it must not be (weight 0): the instance is in fault");
    } else if tracker.weight == 0
        && matches!(&*tracker.reading, "up" | "down" | "passing" | "failing")
    {
        text.push_str(", as it has to be (weight 0)");
    } else {
        let _ = write!(text, ", weight {}", tracker.weight);
    }
    if tracker.reverse {
        text.push_str(", reversed");
    }
    text
}

fn peers(out: &mut String, explanation: &Explanation) {
    out.push_str("\nOther routers\n");
    if explanation.peers.is_empty() {
        out.push_str("  none has advertised\n");
    }
    for peer in &explanation.peers {
        let _ = writeln!(
            out,
            "  {} advertised priority {} {} ago, every {}",
            peer.address,
            peer.priority,
            output::milliseconds(peer.last_advert_age_ms),
            output::milliseconds(peer.advert_interval_ms as f64)
        );
    }
    if explanation.status.state == InstanceState::Backup {
        let waits = output::milliseconds(explanation.status.active_down_interval_ms);
        let _ = writeln!(
            out,
            "  A Backup takes over after {waits} without an advertisement."
        );
    }
}

fn history(out: &mut String, history: &[PastTransition]) {
    out.push_str("\nLast transitions\n");
    if history.is_empty() {
        out.push_str("  none yet\n");
    }
    for past in history.iter().rev() {
        let _ = writeln!(
            out,
            "  {} ago ({}): {} -> {}: {}",
            output::span(past.ms_ago),
            utc(past.at_unix_ms),
            past.from.name(),
            past.to.name(),
            output::plain(&past.reason)
        );
        let _ = writeln!(out, "    {}", evidence(past));
    }
}

/// As in `last advertisement from 10.0.0.2 was 361 ms old, interval 100 ms, link up, 0
/// events lost`.
fn evidence(past: &PastTransition) -> String {
    let mut parts = vec![match &past.heard {
        None => "no advertisement that counted was heard".to_owned(),
        Some(HeardStatus {
            source,
            priority,
            advert_interval_ms,
            age_ms,
        }) => format!(
            "last advertisement from {source} was {} old, priority {priority}, interval {}",
            output::milliseconds(*age_ms),
            output::milliseconds(*advert_interval_ms as f64)
        ),
    }];
    parts.push(format!("our priority {}", past.priority));
    parts.push(if past.link_up { "link up" } else { "link down" }.to_owned());
    if let Some(lost) = past.events_lost {
        let events = if lost == 1 { "event" } else { "events" };
        parts.push(format!("{lost} {events} lost"));
    }
    parts.join(", ")
}

/// `2026-03-01 12:34:56.789 UTC`.
fn utc(unix_ms: u64) -> String {
    let (seconds, millis) = (unix_ms / 1000, unix_ms % 1000);
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = date(days);
    format!(
        "{year:04}-{month:02}-{day:02} {:02}:{:02}:{:02}.{millis:03} UTC",
        second / 3600,
        second / 60 % 60,
        second % 60
    )
}

/// Year, month and day, so many days after 1970-01-01.
fn date(mut days: u64) -> (u64, u64, u64) {
    let is_leap = |year: u64| {
        year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
    };
    let mut year = 1970;
    loop {
        let length = if is_leap(year) { 366 } else { 365 };
        if days < length {
            break;
        }
        days -= length;
        year += 1;
    }
    let february = if is_leap(year) { 29 } else { 28 };
    let mut month = 1;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    (year, month, days + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::protocol::{Family, InstanceStatus, Peer};

    fn sample() -> Explanation {
        let heard = HeardStatus {
            source: [10, 0, 0, 2].into(),
            priority: 90,
            advert_interval_ms: 100,
            age_ms: 361.0,
        };
        Explanation {
            status: InstanceStatus {
                name: "web".to_owned(),
                interface: "eth0".to_owned(),
                vrid: 51,
                family: Family::Ipv4,
                version: 3,
                state: InstanceState::Active,
                base_priority: 150,
                priority: 120,
                advert_interval_ms: 100,
                active_down_interval_ms: 341.406_25,
                addresses: Vec::new(),
                since_ms: 72_500,
                transitions: 2,
                active: None,
                last_transition: Some("no advertisement".to_owned()),
                xdp_mode: None,
                excluded_addresses: Vec::new(),
                sync_group: None,
                drained: false,
                problem: None,
                conflicts: Vec::new(),
            },
            trackers: vec![
                TrackerStatus {
                    name: "check nginx".to_owned(),
                    reading: "failing".to_owned(),
                    weight: -30,
                    reverse: false,
                    added: -30,
                    fault: false,
                },
                TrackerStatus {
                    name: "tracked interface eth1".to_owned(),
                    reading: "up".to_owned(),
                    weight: 0,
                    reverse: false,
                    added: 0,
                    fault: false,
                },
            ],
            heard: Some(heard.clone()),
            peers: vec![Peer {
                instance: "web".to_owned(),
                address: [10, 0, 0, 2].into(),
                mac: "02:00:00:00:00:02".to_owned(),
                priority: 90,
                version: 3,
                advert_interval_ms: 100,
                adverts: 7,
                last_advert_age_ms: 72_861.0,
            }],
            events_lost: 0,
            history: vec![PastTransition {
                at_unix_ms: 1_709_210_096_789,
                ms_ago: 72_500,
                from: InstanceState::Backup,
                to: InstanceState::Active,
                reason: "no advertisement".to_owned(),
                priority: 120,
                heard: Some(heard),
                link_up: true,
                events_lost: Some(0),
            }],
        }
    }

    #[test]
    fn the_evidence_is_in_one_line() {
        let out = render(&sample());
        let line = "last advertisement from 10.0.0.2 was 361 ms old, priority 90, interval 100 \
                    ms, our priority 120, link up, 0 events lost";
        assert!(out.contains(line), "{out}");
        assert!(out.contains("2024-02-29 12:34:56.789 UTC"), "{out}");
        assert!(out.contains("backup -> active: no advertisement"), "{out}");
    }

    #[test]
    fn what_the_priority_is_made_of_is_listed() {
        let out = render(&sample());
        for line in [
            "Priority 120\n",
            "    150  configured\n",
            "    -30  check nginx is failing, weight -30\n",
            "     +0  tracked interface eth1 is up, as it has to be (weight 0)\n",
            "10.0.0.2 advertised priority 90 72.861 s ago",
        ] {
            assert!(out.contains(line), "{line}: {out}");
        }
        assert!(!out.contains("drained"), "{out}");
        let mut fresh = sample();
        fresh.history.clear();
        assert!(render(&fresh).ends_with("\nLast transitions\n  none yet\n"));
        let mut drained = sample();
        drained.status.drained = true;
        assert!(render(&drained).contains("1  drained by"));
    }

    #[test]
    fn days_become_dates() {
        assert_eq!(date(0), (1970, 1, 1));
        assert_eq!(date(59), (1970, 3, 1));
        assert_eq!(date(11_016), (2000, 2, 29));
        assert_eq!(date(47_540), (2100, 2, 28));
        assert_eq!(date(47_541), (2100, 3, 1));
    }
}
