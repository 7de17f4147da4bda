//! `docs/guides.md`: written by a run. Later runs are held to its shape, not to
//! its times.

use std::{collections::BTreeSet, env, fmt::Write as _, fs};

use anyhow::{Context as _, Result, ensure};
use ha_tests::keepalived;

use super::{
    router::Peer,
    story::{Guide, Told},
};

/// Says that the document is to be written rather than compared.
const WRITE: &str = "HARRIER_GUIDES_TABLE";

const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/guides.md");

/// Of a story that was not told, or ended before.
const NOT_REACHED: &str = "not reached";

/// What was seen, by guide, peer and event.
#[derive(Default)]
pub(crate) struct Results(Vec<(&'static str, Peer, &'static str, String)>);

impl Results {
    pub(crate) fn add(&mut self, guide: &Guide, peer: Peer, told: Told) {
        for (event, cell) in told.cells {
            self.0.push((guide.title, peer, event, cell));
        }
    }

    fn cell(&self, guide: &Guide, peer: Peer, event: &str) -> &str {
        if !guide.peers.contains(&peer) {
            return "–";
        }
        self.0
            .iter()
            .find(|(its, by, what, _)| (*its, *by, *what) == (guide.title, peer, event))
            .map_or(NOT_REACHED, |(.., cell)| cell)
    }
}

/// One row per event that somebody has seen: guide, event, how it is noticed, the claim, what was seen.
pub(crate) fn rows_of(guides: &[&Guide], results: &Results) -> String {
    let mut rows = String::new();
    for guide in guides {
        for event in guide.events {
            let [keepalived, file, toml] = [Peer::Keepalived, Peer::HarrierFile, Peer::HarrierToml]
                .map(|peer| results.cell(guide, peer, event.title));
            if [keepalived, file, toml]
                .iter()
                .all(|cell| matches!(*cell, "–" | NOT_REACHED))
            {
                continue;
            }
            // Writing to a String cannot fail.
            let _ = writeln!(
                rows,
                "| {} | {} | {} | {} | {keepalived} | {file} | {toml} |",
                guide.title, event.title, event.noticed_by, event.claim
            );
        }
    }
    rows
}

/// A row without its times: outages differ from run to run, also between none and
/// a short one.
fn shape(row: &str) -> String {
    row.split(" | ")
        .map(|cell| {
            let cell = cell.trim_end_matches(" |");
            let is_time = cell
                .strip_suffix(" s")
                .is_some_and(|number| number.parse::<f64>().is_ok());
            if is_time || cell == "none" {
                "time"
            } else {
                cell
            }
        })
        .collect::<Vec<_>>()
        .join(" | ")
}

/// Writes the document from `results`, or holds them to it.
pub(crate) fn settle(guides: &[&Guide], results: &Results, partial: bool) -> Result<()> {
    let rows = rows_of(guides, results);
    if env::var_os(WRITE).is_some_and(|value| value == "write") {
        ensure!(!partial, "a part of the guides makes no table");
        let text = format!(
            "{HEAD}\nMade with keepalived {}.\n\n{COLUMNS}{rows}\n{NOTES}",
            keepalived::version()?
        );
        return fs::write(DOCUMENT, text).with_context(|| format!("cannot write {DOCUMENT}"));
    }
    let document =
        fs::read_to_string(DOCUMENT).with_context(|| format!("cannot read {DOCUMENT}"))?;
    let shapes = |text: &str| -> BTreeSet<String> {
        text.lines()
            .filter(|line| line.starts_with("| "))
            .map(shape)
            .collect()
    };
    let said = shapes(&document);
    let found = shapes(&format!("{COLUMNS}{rows}"));
    let gone: Vec<&String> = said.difference(&found).collect();
    let wrong: Vec<&String> = found
        .iter()
        .filter(|row| !(said.contains(*row) || partial && row.contains(NOT_REACHED)))
        .collect();
    ensure!(
        wrong.is_empty() && (partial || gone.is_empty()),
        "docs/guides.md does not say what was found (if the change is meant, \
         `cargo xtask guides-table` writes it)\nfound: {wrong:#?}\nsaid: {gone:#?}"
    );
    Ok(())
}

const COLUMNS: &str = "\
| guide | event | noticed by, with keepalived and the guide's file | the guide's claim | keepalived | Harrier, the guide's file | Harrier, TOML |
|---|---|---|---|---|---|---|
";

const HEAD: &str = "\
# Published guides, run

Five guides that people set up virtual addresses by, as [examples](../examples) in our words. A run of the
suite `guides` plays each with keepalived, with Harrier and the same `keepalived.conf`, and with Harrier and
the TOML beside it, and makes this page (`cargo xtask guides-table`). `cargo xtask test` plays them all again
and fails if something else happens; the times are those of the run that made the page.
";

const NOTES: &str = "\
A cell is the time for which a client got no answer. It asks over HTTP every 40 ms, on a new connection each
time, and gives a request up after 300 ms. *none*: every request was answered; less than 0.1 s: one request was
not, which was under way when the address moved.

- The guides advertise once a second and check every 2 to 10 s. Where a check notices, most of the
  time is the wait for its next round, by chance between nothing and the interval (times two where two
  failures count).
- A host is cut off right after an advertisement, so that its peer's Active_Down_Interval counts in full.
- When the primary's priority falls, keepalived's secondary, as the RFC has it, waits until its
  Active_Down_Interval has passed. Harrier's waits Skew_Time (`quick_preempt`), with the same file.
- The TOML advertises ten times a second, watches processes (their end is known at once) and asks every
  200 ms. That is what its numbers come from; a daemon change alone is the column before.
- In some runs clients of keepalived miss 3 to 5 s after the primary has returned, until it announces its
  addresses anew (`garp_master_refresh 5`).
- Elastic and floating addresses are moved by a stand-in for the cloud, which obeys at once. A real cloud
  takes seconds of its own, which are in the guides' claims and in none of the cells.
- For `pidof nginx` keepalived 2.2.7 runs `/sbin/killall5 nginx` on Debian, to which `pidof` is a link and
  which is another command by that name: the floating IP guide's check always fails there. The example has
  `pgrep -x nginx`. Harrier runs what the file names.
- The handbook's weight of −10 cannot outweigh the 20 points between its nodes, with no daemon; `harrier
  check` says so. The example has −30.
- After a partition in the AWS guide the primary has been MASTER all along, so no script runs and the address
  stays where the secondary took it (the guide's own caveat). The TOML has a script for that, `active_lower`.
";
