//! A Backup makes no system call per received advertisement, and threads that have
//! nothing to do with advertisements sleep.

use std::{
    fs,
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use ha_tests::{
    capture::Injector,
    daemon::{Harrier, Instance},
    lab::{INTERFACE, Lab},
    need,
    process::Process,
};
use rustix::process::Signal;

const PATIENCE: Duration = Duration::from_secs(20);

/// Ten seconds at 10 ms.
const ADVERTS: u64 = 1000;

#[test]
fn a_backup_sleeps_through_advertisements() -> Result<()> {
    need::tools(&["strace"])?;
    let lab = Lab::new(2)?;
    let (host_a, host_b) = lab.pair();
    let instance = |priority| Instance {
        advert_interval: Duration::from_millis(10),
        ..Instance::new(priority, &["10.77.0.100/16"])
    };
    let at_b = lab.capture(host_b)?;
    let mut active = Harrier::start(&lab, host_a, &[instance(200)])?;
    active.await_state("web", "active", PATIENCE)?;
    let mut backup = Harrier::start(&lab, host_b, &[instance(100)])?;
    backup.await_state("web", "backup", PATIENCE)?;

    // As it is: the Active's own advertisements.
    let alone = traced(&lab, &backup, "alone", || {
        at_b.await_adverts(
            "advertisements",
            at_b.mark(),
            usize::try_from(ADVERTS)?,
            2 * PATIENCE,
            |advert| advert.priority == 200,
        )
        .map(drop)
    })?;
    println!(
        "{}\n{ADVERTS} advertisements heard in {:.1} s",
        alone.table, alone.seconds
    );
    // One wake-up per deadline, and there are at least two advertisements to a
    // deadline: Active_Down is 3.6 intervals from the latest one at most 1 old.
    ensure!(
        2 * alone.wakes < ADVERTS,
        "{} wake-ups:\n{}",
        alone.wakes,
        alone.table
    );
    // A wake-up costs the wait itself and setting the next deadline.
    ensure!(
        alone.calls <= 3 * alone.wakes,
        "{} calls for {} wake-ups:\n{}",
        alone.calls,
        alone.wakes,
        alone.table
    );

    // Ten times the advertisements: each of the Active's comes nine times more.
    let before = heard(&backup)?;
    let at_a = lab.capture(host_a)?;
    let injector = Injector::open(&lab.client.netns, INTERFACE)?;
    let crowded = traced(&lab, &backup, "crowded", || {
        for _ in 0..ADVERTS / 4 {
            // What node-a sends comes in at its port of the switch; a copy goes out.
            let genuine = at_a.await_frame("an advertisement", at_a.mark(), PATIENCE, |frame| {
                !frame.outgoing && frame.advert().is_some()
            })?;
            for _ in 0..9 {
                injector.send(genuine.bytes())?;
            }
        }
        Ok(())
    })?;
    let copies = 9 * ADVERTS / 4;
    let heard = heard(&backup)? - before;
    println!(
        "{}\n{heard} advertisements heard in {:.1} s",
        crowded.table, crowded.seconds
    );
    ensure!(
        heard > copies,
        "the copies did not count: {heard} advertisements heard"
    );
    // Were there a call for each advertisement, there would be ten times as many.
    let rate = |calls: &Calls| calls.calls as f64 / calls.seconds;
    ensure!(
        rate(&crowded) < 1.5 * rate(&alone),
        "{:.0} calls a second became {:.0} with ten times the advertisements:\n{}",
        rate(&alone),
        rate(&crowded),
        crowded.table
    );
    let status = backup.await_state("web", "backup", PATIENCE)?;
    ensure!(
        status.transitions == 1,
        "it did not stay Backup: {status:?}"
    );
    Ok(())
}

/// A hundred instances advertise: of the daemon's threads only the driver runs. What
/// follows a takeover may wake others, so one quiet span of a second is enough; a
/// timer that ticks would leave none.
#[test]
fn only_the_driver_runs_while_nothing_happens() -> Result<()> {
    let lab = Lab::new(1)?;
    let host = &lab.nodes[0];
    let instances: Vec<Instance> = (1..=100)
        .map(|vrid| Instance {
            name: format!("web{vrid}"),
            vrid,
            ..Instance::new(200, &[&format!("10.77.1.{vrid}/16")])
        })
        .collect();
    let capture = lab.capture(host)?;
    let mut daemon = Harrier::start(&lab, host, &instances)?;
    daemon.await_state("web100", "active", PATIENCE)?;
    let mut turns = Vec::new();
    for _ in 0..20 {
        let before = others(&daemon)?;
        let of_one = |advert: &ha_tests::decode::Advert| advert.vrid == 100;
        capture.await_adverts("a second's", capture.mark(), 10, PATIENCE, of_one)?;
        let after = others(&daemon)?;
        if before == after {
            return daemon.stop();
        }
        turns.push((before, after));
    }
    anyhow::bail!("other threads than the driver run all the time: {turns:?}")
}

/// How often each thread of `daemon` but the driver has been taken off a processor.
fn others(daemon: &Harrier) -> Result<Vec<(String, u64)>> {
    let mut threads = Vec::new();
    for entry in fs::read_dir(format!("/proc/{}/task", daemon.process.id()))? {
        let task = entry?.path();
        let name = fs::read_to_string(task.join("comm"))?.trim().to_owned();
        let status = fs::read_to_string(task.join("status"))?;
        let switches = status.lines().filter(|line| line.contains("ctxt_switches"));
        let counts = switches.filter_map(|line| line.split_whitespace().last());
        let counts = counts.map(|count| count.parse::<u64>().context("no number"));
        if name != "harrier-driver" {
            threads.push((name, counts.sum::<Result<u64>>()?));
        }
    }
    ensure!(!threads.is_empty(), "there are no other threads");
    Ok(threads)
}

/// Advertisements that `daemon` has counted of its only peer.
fn heard(daemon: &Harrier) -> Result<u64> {
    let peers = daemon.peers()?;
    let peer = peers.first().context("no peer")?;
    Ok(peer.adverts)
}

/// What strace counted.
#[derive(Debug)]
struct Calls {
    calls: u64,
    /// Calls that wait: every wake-up ends one of these.
    wakes: u64,
    seconds: f64,
    table: String,
}

/// The system calls of `daemon` in all its threads while `work` runs.
fn traced(
    lab: &Lab,
    daemon: &Harrier,
    name: &str,
    work: impl FnOnce() -> Result<()>,
) -> Result<Calls> {
    let directory = lab.directory(&format!("strace-{name}"))?;
    let table_file = directory.join("table");
    let mut strace = Process::start(
        "strace",
        Command::new("strace")
            .args(["--summary-only", "--follow-forks", "--attach"])
            .arg(daemon.process.id().to_string())
            .arg("--output")
            .arg(&table_file),
        directory.join("log"),
    )?;
    // Attached once it says so for each thread; from then on it counts.
    strace.await_log("attached", PATIENCE)?;
    let start = Instant::now();
    work()?;
    let seconds = start.elapsed().as_secs_f64();
    strace.signal(Signal::INT)?;
    strace.await_end(PATIENCE)?;
    let table = std::fs::read_to_string(&table_file).context("strace wrote no table")?;
    let calls = calls_of(&table, "total").with_context(|| format!("no total in\n{table}"))?;
    let wakes = [
        "epoll_wait",
        "epoll_pwait",
        "epoll_pwait2",
        "poll",
        "ppoll",
        "futex",
    ]
    .into_iter()
    .filter_map(|name| calls_of(&table, name))
    .sum();
    ensure!(
        wakes > 0,
        "strace counted no wake-up: it was not attached\n{table}"
    );
    Ok(Calls {
        calls,
        wakes,
        seconds,
        table,
    })
}

/// The calls in the line of `name` in strace's table:
/// `percent seconds usecs/call calls [errors] name`.
fn calls_of(table: &str, name: &str) -> Option<u64> {
    let mut lines = table
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>());
    lines
        .find(|line| line.last() == Some(&name))?
        .get(3)?
        .parse()
        .ok()
}
