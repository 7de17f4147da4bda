//! Many reloads in a row leave nothing behind.

use std::{fs, process::Command, time::Instant};

use anyhow::{Context as _, Result, ensure};
use ha_tests::{command, daemon::Harrier, daemon::Instance, need};

use super::scene::{PATIENCE, Scene, VIP_CIDR, config, db, web};

/// How often the two configurations alternate.
const ROUNDS: usize = 25;

/// What grows where something is forgotten.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Traces {
    descriptors: usize,
    rows: Vec<(&'static str, usize)>,
    journal: String,
}

impl Traces {
    fn of(daemon: &Harrier) -> Result<Self> {
        let pid = daemon.process.id();
        let descriptors = fs::read_dir(format!("/proc/{pid}/fd"))?.count();
        let rows = ["instances", "vips", "unicast_peers", "peers"];
        let rows = rows.map(|map| Ok((map, rows_of(daemon, map)?)));
        Ok(Self {
            descriptors,
            rows: rows.into_iter().collect::<Result<_>>()?,
            journal: journal(daemon)?,
        })
    }
}

fn journal(daemon: &Harrier) -> Result<String> {
    let path = daemon.runtime_directory().join("addresses.json");
    fs::read_to_string(path).context("no journal")
}

fn rows_of(daemon: &Harrier, map: &str) -> Result<usize> {
    let pin = daemon.runtime_directory().join("bpf").join(map);
    let mut bpftool = Command::new("bpftool");
    bpftool.args(["-j", "map", "dump", "pinned"]).arg(pin);
    let rows: Vec<serde_json::Value> = serde_json::from_str(&command::checked(&mut bpftool, "")?)?;
    Ok(rows.len())
}

#[test]
fn many_reloads_leave_nothing_behind() -> Result<()> {
    need::tools(&["bpftool"])?;
    let scene = Scene::new(2)?;
    let (host_a, _) = scene.lab.pair();
    let (mut a, mut b) = scene.pair(&[web(200)], &[web(100)])?;
    let wider = Instance::new(200, &[VIP_CIDR, "10.77.0.101/16", "10.77.0.102/16"]);
    let unicast = Instance {
        unicast: Some((host_a.ipv4().into(), vec!["10.77.0.9".parse()?])),
        ..db(200)
    };
    let own_mac = Instance {
        name: "own".to_owned(),
        vrid: 53,
        ..Instance::new(200, &["10.77.0.201/16"])
    }
    .with("virtual_mac = true\ntrack_interfaces = [{ name = \"lo\", weight = 5 }]");
    let (one, other) = (config(&[web(200)]), config(&[wider, unicast, own_mac]));
    // What is made once and kept is there after the first.
    a.reload(&other)?;
    a.await_state("own", "active", PATIENCE)?;
    a.reload(&one)?;
    settle(&mut a)?;
    let before = Traces::of(&a)?;
    let resident = a.process.usage()?.resident_kib;
    scene.ensure_none_lost("50 reloads in a row", host_a, || {
        for _ in 0..ROUNDS {
            a.reload(&other)?;
            a.reload(&one)?;
        }
        settle(&mut a)
    })?;
    // A control connection is closed a moment after its answer.
    let give_up_at = Instant::now() + PATIENCE;
    loop {
        let after = Traces::of(&a)?;
        if after == before {
            break;
        }
        let late = Instant::now() > give_up_at;
        ensure!(!late, "{after:#?}\nafter\n{before:#?}");
    }
    let grown = a.process.usage()?.resident_kib.saturating_sub(resident);
    eprintln!("{} reloads: {grown} KiB more", 2 * ROUNDS);
    ensure!(
        grown < 4096,
        "{grown} KiB more after {} reloads",
        2 * ROUNDS
    );
    ensure!(Scene::transitions(&mut a, "web")? == 2);
    a.stop()?;
    b.stop()
}

/// Waits until those that were to leave have: the journal is the last to hear of it.
fn settle(a: &mut Harrier) -> Result<()> {
    let give_up_at = Instant::now() + PATIENCE;
    while journal(a)?.matches("10.77.0.").count() > 1 {
        ensure!(Instant::now() < give_up_at, "{}", journal(a)?);
    }
    while rows_of(a, "vips")? > 1 || rows_of(a, "unicast_peers")? > 0 {
        ensure!(
            Instant::now() < give_up_at,
            "rows stay:\n{}",
            a.process.log()
        );
    }
    Ok(())
}
