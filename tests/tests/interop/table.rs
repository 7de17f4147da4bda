//! `docs/interop.md`: written by a run, and held to what later runs find.

use std::{collections::BTreeSet, env, fs, path::Path};

use anyhow::{Context as _, Result, ensure};
use ha_tests::{frr, keepalived};
use serde::Serialize;

use super::{checksum, combination::Combination, story::Event, ttl};

/// Says that the document is to be written rather than compared.
const WRITE: &str = "HARRIER_INTEROP_TABLE";

const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/interop.md");
const RESULTS: &str = concat!(env!("CARGO_TARGET_TMPDIR"), "/interop.json");

/// What a run found, as rows of the tables: the row's name, then its cells.
#[derive(Clone, Default, Serialize)]
pub(crate) struct Results {
    pub(crate) stories: Vec<(String, Vec<String>)>,
    pub(crate) checksums: Vec<(String, Vec<String>)>,
    pub(crate) ttls: Vec<(String, Vec<String>)>,
    pub(crate) options: Vec<(String, Vec<String>)>,
}

impl Results {
    pub(crate) fn add_story(&mut self, combination: &Combination, told: &[(Event, Result<()>)]) {
        let cells = Event::ALL
            .iter()
            .map(|event| {
                let outcome = told.iter().find(|(happened, _)| happened == event);
                match outcome {
                    Some((_, Ok(()))) => "yes",
                    Some((_, Err(_))) => "no",
                    None => "not reached",
                }
                .to_owned()
            })
            .collect();
        self.stories.push((combination.to_string(), cells));
    }

    pub(crate) fn add_checksum(&mut self, case: &checksum::Case, finding: &checksum::Finding) {
        let cells = vec![
            word(finding.they_take),
            finding.they_send.to_owned(),
            word(finding.we_take),
        ];
        self.checksums.push((case.to_string(), cells));
    }

    pub(crate) fn add_ttl(&mut self, case: &ttl::Case, finding: ttl::Finding) {
        let cells = vec![finding.they_send.to_string(), word(finding.we_take)];
        self.ttls.push((case.to_string(), cells));
    }

    /// In the order of the lists that they come from, whichever ended first.
    fn sort(&mut self) {
        fn sort<T: ToString>(rows: &mut [(String, Vec<String>)], order: &[T]) {
            let order: Vec<String> = order.iter().map(ToString::to_string).collect();
            rows.sort_by_key(|row| order.iter().position(|name| *name == row.0));
        }
        sort(&mut self.stories, &Combination::all());
        sort(&mut self.checksums, &checksum::Case::all());
        sort(&mut self.ttls, &ttl::Case::all());
    }
}

fn word(taken: bool) -> String {
    if taken { "yes" } else { "refused" }.to_owned()
}

/// Records `results`, and writes the document from them or holds it to them.
/// Of a `partial` run the rows are compared that there are.
pub(crate) fn settle(mut results: Results, partial: bool) -> Result<()> {
    results.sort();
    let json = serde_json::to_string_pretty(&results)?;
    fs::write(RESULTS, json).with_context(|| format!("cannot write {RESULTS}"))?;
    let found = render(&results)?;
    if env::var_os(WRITE).is_some_and(|value| value == "write") {
        ensure!(!partial, "a part of the matrix makes no table");
        return fs::write(DOCUMENT, found).with_context(|| format!("cannot write {DOCUMENT}"));
    }
    let document = fs::read_to_string(DOCUMENT)
        .with_context(|| format!("cannot read {}", Path::new(DOCUMENT).display()))?;
    let (said, found) = (rows(&document), rows(&found));
    let wrong: Vec<_> = found.difference(&said).collect();
    let gone: Vec<_> = said.difference(&found).collect();
    ensure!(
        wrong.is_empty() && (partial || gone.is_empty()),
        "docs/interop.md does not say what was found (if the change is meant, \
         `cargo xtask interop-table` writes it)\nfound: {wrong:#?}\nsaid: {gone:#?}"
    );
    // Versions are no verdicts: others may well behave the same.
    for version in [
        format!("keepalived {}", keepalived::version()?),
        format!("FRR {}", frr::version()?),
    ] {
        if !document.contains(&version) {
            eprintln!("the table was not made with {version}, which behaves the same");
        }
    }
    Ok(())
}

fn rows(document: &str) -> BTreeSet<&str> {
    document
        .lines()
        .filter(|line| line.starts_with("| "))
        .collect()
}

fn render(results: &Results) -> Result<String> {
    let events = Event::ALL.map(Event::title).join(" | ");
    let table = |rows: &[(String, Vec<String>)]| -> String {
        rows.iter()
            .map(|(name, cells)| format!("| {name} | {} |\n", cells.join(" | ")))
            .collect()
    };
    Ok(format!(
        "{HEAD}\nMade with keepalived {keepalived} and FRR {frr}.\n\n{MEANING}\n\
         | peer | VRRP | transport | MAC, theirs | MAC, ours | {events} |\n\
         |---|---|---|---|---|{dashes}\n{stories}\n{CHECKSUM}\n\
         | peer | transport | we send | they take it | they send | we take it |\n\
         |---|---|---|---|---|---|\n{checksums}\n{TTL}\n\
         | VRRP | theirs | ours | they send | we take it |\n\
         |---|---|---|---|---|\n{ttls}\n{LACKS}\n\
         | peer | option or word in a command | known |\n\
         |---|---|---|\n{options}",
        keepalived = keepalived::version()?,
        frr = frr::version()?,
        dashes = "---|".repeat(Event::ALL.len()),
        stories = table(&results.stories),
        checksums = table(&results.checksums),
        ttls = table(&results.ttls),
        options = table(&results.options),
    ))
}

const HEAD: &str = "\
# Harrier beside other routers

A run of the suite `interop` makes this page (`cargo xtask interop-table`), and `cargo xtask test` fails
if it finds anything else than what stands here.
";

const MEANING: &str = "\
Each row is one network in which two routers of one virtual router live: Harrier and the peer. The
columns are what happens to them, in the order in which the suite lets it happen: *they are Active when
we start*, *they die*, *they preempt us*, *they stop*, *we are Active when they start*, *we stop*,
*we preempt them*, *we die*. *yes* means that all of this was so afterwards:

- Both say of themselves what they should be (`harrier status`, keepalived's log, `show vrrp`).
- Only the Active router advertises, and its advertisements say what was configured: version, VRID,
  interval, addresses, source MAC address, group or peer.
- A client's requests to the virtual address are answered by the Active router, and its neighbour cache
  has that router's MAC address for it; the Backup router does not use the addresses.
- Whoever was killed (SIGKILL, its switch port closed) was succeeded after a full Active_Down_Interval;
  whoever stopped in order sent priority 0 and was succeeded before one.

Version 2 runs with advertisements every second, version 3 every 200 ms.
";

const CHECKSUM: &str = "\
## The checksum of version 3 over IPv4

RFC 9568 leaves the pseudo-header out, the deployed base has it in. Harrier sends what `checksum` says and
takes each form. A peer that takes ours yields to a Harrier of higher priority; one that refuses it
goes on as a second Active router.
";

const TTL: &str = "\
## The hop limit of keepalived's unicast

Over IPv6 keepalived leaves the hop limit of unicast to the kernel, which takes 64. Harrier takes 255 only,
unless told otherwise on either side (the rows of unicast over IPv6 above have `unicast_ttl 255`).
";

const LACKS: &str = "\
## What a peer does not have

- keepalived 2.2.7 has no `v3_checksum_as_v2`, with which later versions send and expect message-only
  checksums. Without it Harrier's default, the pseudo-header, is the only form that works.
- keepalived with `old_unicast_checksum` expects the group in the pseudo-header even of unicast, which
  Harrier takes but never sends: do not set it on a keepalived beside Harrier.
- keepalived sends unicast with a virtual MAC address only from the interface itself (`vmac_xmit_base`): its
  advertisements then have the physical MAC address, the virtual addresses the virtual one.
- FRR's vrrpd has no unicast, no passwords, no choice of checksum and no way to use the interface's own MAC
  address. Its macvlan and the addresses on it are made by the administrator; the node needs
  `arp_ignore = 1`, or it answers for the addresses while it is Backup. Over IPv6 the macvlan needs a
  link-local address that no other router has: it is the source of the advertisements.
- keepalived that loses after a partition says nothing if the winner's advertisement reaches it first: over
  IPv4 it removes the addresses without a frame that the winner could see, and clients ask for them at its
  MAC address until their neighbour entries age.
";
