//! A Backup makes no system call per received advertisement.

use std::{process::Command, time::Duration};

use anyhow::{Context as _, Result, ensure};
use ha_tests::{
    daemon::{Harrier, Instance},
    lab::Lab,
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

    let directory = lab.directory("strace")?;
    let table_file = directory.join("table");
    let mut strace = Process::start(
        "strace",
        Command::new("strace")
            .args(["--summary-only", "--follow-forks", "--attach"])
            .arg(backup.process.id().to_string())
            .arg("--output")
            .arg(&table_file),
        directory.join("log"),
    )?;
    // Attached once it says so for each thread; from then on it counts.
    strace.await_log("attached", PATIENCE)?;
    at_b.await_adverts(
        "advertisements",
        at_b.mark(),
        usize::try_from(ADVERTS)?,
        2 * PATIENCE,
        |advert| advert.priority == 200,
    )?;
    strace.signal(Signal::INT)?;
    strace.await_end(PATIENCE)?;

    let table = std::fs::read_to_string(&table_file).context("strace wrote no table")?;
    let calls = calls_of(&table, "total").with_context(|| format!("no total in\n{table}"))?;
    // Every wake-up ends one of these.
    let wakes: u64 = [
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
    println!("{table}\n{calls} system calls, {wakes} wake-ups, {ADVERTS} advertisements received");
    let status = backup.await_state("web", "backup", PATIENCE)?;
    ensure!(
        status.transitions == 1,
        "it did not stay Backup: {status:?}"
    );
    ensure!(
        wakes > 0,
        "strace counted no wake-up: it was not attached\n{table}"
    );
    // One wake-up per deadline, and there are at least two advertisements to a
    // deadline: Active_Down is 3.6 intervals from the latest one at most 1 old.
    ensure!(
        2 * wakes < ADVERTS,
        "{wakes} wake-ups for {ADVERTS} advertisements:\n{table}"
    );
    // A wake-up costs the wait itself and setting the next deadline.
    ensure!(
        calls <= 3 * wakes,
        "{calls} system calls for {wakes} wake-ups:\n{table}"
    );
    ensure!(
        calls < ADVERTS,
        "{calls} system calls for {ADVERTS} advertisements:\n{table}"
    );
    Ok(())
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
