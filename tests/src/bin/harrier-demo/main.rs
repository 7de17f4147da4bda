//! The demo: a virtual address moves from a dead node to a live one, in
//! namespaces of its own, and the times are told by captures.

mod maps;
mod scene;
mod show;
mod timeline;

use std::{process::ExitCode, time::Duration};

use anyhow::{Context as _, Result, ensure};
use clap::{Parser, ValueEnum};
use ha_tests::{need, run, signal};

use crate::{scene::Scene, show::Paint, timeline::Timeline};

/// What runs on node-a, the node that is cut off.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum PeerKind {
    /// Harrier on both nodes.
    Harrier,
    /// A real keepalived on node-a; Harrier on node-b takes over from it.
    Keepalived,
}

impl PeerKind {
    const fn name(self) -> &'static str {
        match self {
            Self::Harrier => "harrier",
            Self::Keepalived => "keepalived",
        }
    }
}

/// Shows a virtual IP address moving from a dead node to a live one.
///
/// Makes network namespaces (a switch, two nodes, a client), runs a router on
/// each node, cuts the active one off at the switch at a random point of its
/// advertisement interval, and prints what happened when.
#[derive(Debug, Parser)]
#[command(name = "harrier-demo", version)]
struct Options {
    /// Advertisement interval: a multiple of 10ms, from 10ms to 40.95s.
    #[arg(long, default_value = "100ms", value_parser = interval)]
    advert: Duration,
    /// What runs on node-a, the active node that is cut off.
    #[arg(long, value_enum, default_value = "harrier")]
    peer: PeerKind,
    /// Leave namespaces and routers up, and say how to look around.
    #[arg(long)]
    keep: bool,
    /// End what --keep left up.
    #[arg(long, conflicts_with_all = ["keep", "json"])]
    clean: bool,
    /// Print the result as JSON and nothing else.
    #[arg(long)]
    json: bool,
}

fn interval(text: &str) -> Result<Duration> {
    let interval = humantime::parse_duration(text)?;
    ensure!(
        interval.as_nanos() % 10_000_000 == 0
            && (Duration::from_millis(10)..=Duration::from_millis(40_950)).contains(&interval),
        "expected a multiple of 10ms from 10ms to 40.95s"
    );
    Ok(interval)
}

fn main() -> ExitCode {
    let options = Options::parse();
    match demo(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("harrier-demo: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn demo(options: &Options) -> Result<()> {
    need::root().context("the demo makes network namespaces")?;
    if options.clean {
        run::clean(run::KEPT);
        println!("No kept demo is up any more.");
        return Ok(());
    }
    need::tools(&["ip", "bridge", "umount", "bpftool"])?;
    if options.peer == PeerKind::Keepalived {
        need::tools(&["keepalived"])?;
    }
    let keep = options.keep;
    signal::on_interrupt(move || {
        eprintln!("\ninterrupted; cleaning up");
        run::clean_own(keep);
    })?;

    let paint = Paint::for_stdout();
    let run = if keep {
        run::Run::kept()?
    } else {
        run::Run::new()?
    };
    let mut scene = Scene::set_up(run, options)?;
    if !options.json {
        show::say(&show::introduction(paint, &scene))?;
    }
    scene.await_calm()?;
    if !options.json {
        show::say("  node-a answers; cutting it off at a random point of the interval …\n")?;
    }
    let cut = scene.cut_node_a()?;
    scene.await_takeover(scene.probe.mark())?;
    let timeline = Timeline::read(&scene, cut)?;
    if options.json {
        show::say(&serde_json::to_string_pretty(
            &timeline.to_json(options.peer.name()),
        )?)?;
    } else {
        show::say(&show::timeline(paint, &timeline, &scene.strip(&timeline)))?;
        for map in ["peers", "actives"] {
            show::say(&show::map(paint, &maps::dump(&scene.pins().join(map))?))?;
        }
    }
    let farewell = if keep {
        let guide = show::guide(paint, &scene);
        scene.leave();
        guide
    } else {
        drop(scene);
        paint.faint("Namespaces, programs, maps and addresses are removed.")
    };
    if !options.json {
        show::say(&farewell)?;
    }
    Ok(())
}
