//! `harrier counters`.

use clap::Args;
use ha_common::abi::Counter;

use super::{Ask, output};
use crate::control::{client, protocol};

const EXAMPLES: &str = "\
Examples:
  harrier counters
  harrier counters --json | jq .bad_checksum

Packets since the daemon started, summed over the CPUs: `accepted` counts valid
advertisements, the others say why a packet was refused or what was odd about
one. A packet counts for the first reason that is found.";

/// Show how many packets were accepted, and why others were refused.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct Counters {
    #[command(flatten)]
    ask: Ask,
}

impl Counters {
    pub(super) fn execute(self) -> anyhow::Result<()> {
        let counters = client::counters(&self.ask.socket())?;
        if self.ask.json {
            return output::print_json(&counters);
        }
        output::print(&render(&counters))
    }
}

/// In the order in which a packet is judged; a newer daemon's own come last.
pub(super) fn render(counters: &protocol::Counters) -> String {
    let place = |name: &str| {
        Counter::ALL
            .iter()
            .position(|counter| counter.name() == name)
            .unwrap_or(usize::MAX)
    };
    let mut rows: Vec<(&String, &u64)> = counters.0.iter().collect();
    rows.sort_by_key(|(name, _)| (place(name), *name));
    let mut table = output::table(&["COUNTER", "PACKETS"]);
    if let Some(packets) = table.column_mut(1) {
        packets.set_cell_alignment(comfy_table::CellAlignment::Right);
    }
    for (name, count) in rows {
        table.add_row([output::plain(name), count.to_string()]);
    }
    output::lines(&table)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_come_in_the_order_of_the_ladder() {
        let counters = [
            ("zzz", 1),
            ("bad_ttl", 2),
            ("aaa", 3),
            ("accepted", 1_000_000),
        ];
        let counters = protocol::Counters(
            counters
                .into_iter()
                .map(|(name, count)| (name.to_owned(), count))
                .collect(),
        );
        assert_eq!(
            render(&counters),
            "COUNTER   PACKETS\naccepted  1000000\nbad_ttl         2\naaa             3\nzzz             1\n"
        );
    }
}
