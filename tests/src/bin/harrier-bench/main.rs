//! The benchmark: Harrier, keepalived and FRR on the same work, in turn, in namespaces of
//! their own.

use std::{fs, path::PathBuf, process::ExitCode};

use anyhow::{Context as _, Result, ensure};
use clap::Parser;
use ha_tests::{
    bench::{
        self, Contestant, Course, Scenario,
        report::{Results, document, machine::Machine, plot, text},
    },
    need, run, signal,
};

/// What a quick run measures, as far as nothing is named.
const QUICK: [&str; 3] = ["failover", "starved", "xdp"];

/// Measures Harrier beside keepalived and FRR.
///
/// Everybody gets the same work in turn, in network namespaces; figures are of what is on
/// the wire or in the kernel's accounts. Prints the least, the middle and the greatest
/// value of each figure, and whether Harrier's goals are met. Leave the machine alone
/// meanwhile: what else runs is measured too.
#[derive(Debug, Parser)]
#[command(name = "harrier-bench", version)]
struct Options {
    /// Which scenarios to run (all, if none is named).
    scenarios: Vec<String>,
    /// List the scenarios and run none.
    #[arg(long)]
    list: bool,
    /// Who takes part (everybody, if nobody is named); may be repeated.
    #[arg(long, value_name = "WHO", value_enum)]
    contestant: Vec<Contestant>,
    /// How often every contestant has its turn (3; with --quick 1).
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..))]
    rounds: Option<u8>,
    /// A minute's worth for CI: fails only on what no busy machine excuses.
    #[arg(long)]
    quick: bool,
    /// Print all values as JSON instead of tables.
    #[arg(long)]
    json: bool,
    /// Draw one SVG for each scenario into DIR.
    #[arg(long, value_name = "DIR")]
    plot: Option<PathBuf>,
    /// Write the page benchmarks.md, its plots and its results below DIR; scenarios that did
    /// not run now stay as they were.
    #[arg(
        long,
        value_name = "DIR",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "docs",
        conflicts_with = "quick"
    )]
    docs: Option<PathBuf>,
}

fn main() -> ExitCode {
    let options = Options::parse();
    match measure(&options) {
        Ok(status) => status,
        Err(error) => {
            eprintln!("harrier-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn measure(options: &Options) -> Result<ExitCode> {
    let scenarios = chosen(options)?;
    if options.list {
        for scenario in &scenarios {
            println!("{:<12}{}", scenario.name(), scenario.title());
        }
        return Ok(ExitCode::SUCCESS);
    }
    need::root().context("the benchmark makes network namespaces")?;
    signal::on_interrupt(|| {
        eprintln!("\ninterrupted; cleaning up");
        run::clean_own(false);
    })?;
    let contestants = contestants(&scenarios, options);
    let machine = Machine::read(&contestants)?;
    let rounds = options.rounds.unwrap_or(if options.quick { 1 } else { 3 });
    let course = Course {
        rounds: rounds.into(),
        quick: options.quick,
        contestants,
    };
    let outcomes = bench::run(&scenarios, &course);
    let results = Results {
        machine,
        rounds: course.rounds,
        quick: course.quick,
        outcomes,
    };
    if options.json {
        println!("{}", serde_json::to_string_pretty(&results.to_json()?)?);
    } else {
        print!("{}", text::results(&results));
    }
    if let Some(directory) = &options.plot {
        fs::create_dir_all(directory)
            .with_context(|| format!("cannot make {}", directory.display()))?;
        for outcome in &results.outcomes {
            plot::draw(outcome, &directory.join(format!("{}.svg", outcome.name)))?;
        }
    }
    let complaints = complaints(&results, options.quick);
    for complaint in &complaints {
        eprintln!("harrier-bench: {complaint}");
    }
    if let Some(docs) = &options.docs {
        document::update(docs, results)?;
    }
    Ok(if complaints.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// The scenarios that were asked for, in the order in which they run.
fn chosen(options: &Options) -> Result<Vec<Box<dyn Scenario>>> {
    let all = bench::scenarios();
    for name in &options.scenarios {
        ensure!(
            all.iter().any(|scenario| scenario.name() == name),
            "there is no scenario {name:?}; --list lists them"
        );
    }
    Ok(all
        .into_iter()
        .filter(|scenario| {
            if options.scenarios.is_empty() {
                !options.quick || options.list || QUICK.contains(&scenario.name())
            } else {
                options.scenarios.iter().any(|name| name == scenario.name())
            }
        })
        .collect())
}

/// Everybody who was asked for and takes part in one of `scenarios`.
fn contestants(scenarios: &[Box<dyn Scenario>], options: &Options) -> Vec<Contestant> {
    Contestant::ALL
        .into_iter()
        .filter(|contestant| {
            options.contestant.is_empty() || options.contestant.contains(contestant)
        })
        .filter(|contestant| !options.quick || *contestant != Contestant::Frr)
        .filter(|contestant| {
            scenarios
                .iter()
                .any(|scenario| scenario.contestants().contains(contestant))
        })
        .collect()
}

/// Why the run is a failure: Harrier could not be measured, or misses a bound of a quick
/// run. That a goal is missed, or that somebody else fails, is a result.
fn complaints(results: &Results, quick: bool) -> Vec<String> {
    let mut complaints = Vec::new();
    for outcome in &results.outcomes {
        for failure in &outcome.failures {
            if failure.contestant == Contestant::Harrier {
                complaints.push(format!(
                    "{}: Harrier failed in round {}: {}",
                    outcome.name, failure.round, failure.error
                ));
            }
        }
        if !quick {
            continue;
        }
        for bound in outcome.bounds().iter().filter(|bound| !bound.met) {
            complaints.push(format!(
                "{}: {}: the {} is {}, beyond the bound of {}",
                outcome.name,
                bound.goal.figure,
                bound.goal.statistic.name(),
                bound.value,
                bound.limit_value
            ));
        }
    }
    complaints
}
