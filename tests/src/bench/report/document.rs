//! `docs/benchmarks.md`, made of results that are kept beside it, so that one scenario can
//! be run anew without the others.

use std::{fmt::Write as _, fs, path::Path};

use anyhow::{Context as _, Result};

use super::{Results, number, plot, ratio, text};
use crate::bench::figure::{Outcome, Statistic};

/// The page, and the directory of its plots, results and notes.
const PAGE: &str = "benchmarks.md";
const DIRECTORY: &str = "benchmarks";
/// All values of all figures.
const RESULTS: &str = "results.json";
/// Written by people: what the figures mean, where the time goes.
const NOTES: &str = "notes.md";

/// Puts `new` into the documentation below `docs`: outcomes of scenarios that did not run
/// now stay, if they are of the same machine and the same versions.
///
/// # Errors
/// If a file cannot be read or written.
pub fn update(docs: &Path, new: Results) -> Result<()> {
    let directory = docs.join(DIRECTORY);
    fs::create_dir_all(&directory)
        .with_context(|| format!("cannot make {}", directory.display()))?;
    let path = directory.join(RESULTS);
    let results = match fs::read_to_string(&path) {
        Ok(text) => {
            let old: Results = serde_json::from_str(&text)
                .with_context(|| format!("{} is not what was written", path.display()))?;
            merge(old, new)
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => new,
        Err(error) => {
            return Err(error).with_context(|| format!("cannot read {}", path.display()));
        }
    };
    write(&path, &(serde_json::to_string(&results)? + "\n"))?;
    for outcome in &results.outcomes {
        plot::draw(outcome, &directory.join(format!("{}.svg", outcome.name)))?;
    }
    let notes = fs::read_to_string(directory.join(NOTES)).unwrap_or_default();
    write(&docs.join(PAGE), &page(&results, &notes))
}

fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

fn merge(old: Results, new: Results) -> Results {
    if !old.machine.is_like(&new.machine) {
        return new;
    }
    let order: Vec<&'static str> = crate::bench::scenarios()
        .iter()
        .map(|scenario| scenario.name())
        .collect();
    let kept = old.outcomes.into_iter().filter(|old| {
        order.contains(&old.name.as_str())
            && new.outcomes.iter().all(|outcome| outcome.name != old.name)
    });
    let mut outcomes: Vec<Outcome> = kept.collect();
    outcomes.extend(new.outcomes);
    outcomes.sort_by_key(|outcome| order.iter().position(|name| *name == outcome.name));
    let mut machine = new.machine;
    for version in old.machine.versions {
        if machine.versions.iter().all(|(who, _)| *who != version.0) {
            machine.versions.push(version);
        }
    }
    machine.versions.sort();
    Results {
        machine,
        outcomes,
        ..new
    }
}

fn page(results: &Results, notes: &str) -> String {
    let mut page = format!(
        "# Benchmarks\n\n\
         Harrier beside Debian's keepalived and FRR's vrrpd, on the same work, in turn, each scenario in one run, on one\n\
         machine. This page is written by `cargo xtask bench --docs`; all values are in\n\
         [{RESULTS}]({DIRECTORY}/{RESULTS}).\n\n\
         - Machine: {}.\n\
         - keepalived runs with its default settings, and as \"real-time\" with `vrrp_rt_priority 50`,\n  \
           `vrrp_no_swap`, and a `vrrp_rlimit_rttime` under which it survives its start with hundreds of\n  \
           virtual routers. Harrier and FRR run as they come; all log to files where\n  \
           nothing else is said.\n\
         - Two nodes and a switch are network namespaces. Each node's daemon and its receive path (a NAPI\n  \
           thread for each interface, GRO on) are pinned to one CPU: node-a, the Active router, to the first,\n  \
           node-b to the second. CPU figures are of daemon and NAPI threads together where they say so.\n  \
           In `failover` and `vips`, which measure times, there are no such threads: waking one takes as\n  \
           long as what is measured.\n\
         - A dead host is a switch port that no longer forwards, closed at a random point of the\n  \
           advertisement interval. Times are the kernel's, of frames at the switch's port to node-b.\n\
         - Lateness is the first advertisement of node-b minus the last that reached it minus\n  \
           Active_Down_Interval: what the protocol leaves to the daemon. Below 0 would be too early.\n\
         - n is the number of values; × is the median over that of keepalived with its default settings.\n",
        results.machine.describe(),
    );
    for outcome in &results.outcomes {
        section(&mut page, outcome);
    }
    let notes = notes.trim();
    if !notes.is_empty() {
        let _ = write!(page, "\n{notes}\n");
    }
    page
}

fn section(page: &mut String, outcome: &Outcome) {
    let Outcome { name, title, .. } = outcome;
    // Writing to a String cannot fail, here and below.
    let _ = write!(page, "\n## {name}\n\n{title}.\n\n");
    if outcome.figures.is_empty() {
        let _ = writeln!(page, "Nothing could be measured.");
    } else {
        let _ = write!(
            page,
            "![{title}]({DIRECTORY}/{name}.svg)\n\n\
             | figure | contestant | n | min | median | max | × |\n|---|---|--:|--:|--:|--:|--:|\n"
        );
    }
    for figure in &outcome.figures {
        for (index, series) in figure.series.iter().enumerate() {
            let label = if index == 0 {
                format!("{} ({})", figure.name, figure.unit.sign())
            } else {
                String::new()
            };
            let value = |statistic| number(series.get(statistic), figure.unit);
            let _ = writeln!(
                page,
                "| {label} | {} | {} | {} | {} | {} | {} |",
                series.contestant.title(),
                series.values.len(),
                value(Statistic::Min),
                value(Statistic::Median),
                value(Statistic::Max),
                figure
                    .ratio(series.contestant)
                    .map(ratio)
                    .unwrap_or_default(),
            );
        }
    }
    let verdicts = outcome.verdicts();
    if !verdicts.is_empty() {
        let _ = write!(page, "\n| goal | |\n|---|---|\n");
    }
    for figure in &outcome.figures {
        for verdict in text::verdicts_of(&verdicts, figure) {
            let _ = writeln!(
                page,
                "| {}: {} | {} |",
                figure.name,
                text::goal(&verdict.goal, figure.unit),
                text::verdict(verdict, figure.unit)
            );
        }
    }
    if !outcome.failures.is_empty() {
        page.push('\n');
    }
    for failure in &outcome.failures {
        let _ = writeln!(
            page,
            "- {} in round {}: {}",
            failure.contestant.title(),
            failure.round,
            failure.error.lines().next().unwrap_or_default()
        );
    }
}
