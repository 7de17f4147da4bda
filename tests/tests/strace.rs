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
const ADVERTS: usize = 1000;

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
        ADVERTS,
        2 * PATIENCE,
        |advert| advert.priority == 200,
    )?;
    strace.signal(Signal::INT)?;
    strace.await_end(PATIENCE)?;

    let table = std::fs::read_to_string(&table_file).context("strace wrote no table")?;
    let calls = total(&table).with_context(|| format!("no total in\n{table}"))?;
    #[expect(clippy::cast_precision_loss, reason = "small numbers")]
    let per_advert = calls as f64 / ADVERTS as f64;
    println!("{table}\n{calls} system calls for {ADVERTS} advertisements: {per_advert:.3} each");
    let status = backup.await_state("web", "backup", PATIENCE)?;
    ensure!(
        status.transitions == 1,
        "it did not stay Backup: {status:?}"
    );
    ensure!(calls > 0, "strace counted nothing: it was not attached");
    ensure!(
        per_advert < 0.5,
        "{per_advert} system calls per advertisement:\n{table}"
    );
    Ok(())
}

/// The calls in the last line of strace's table: `100.00 seconds usecs/call calls [errors] total`.
fn total(table: &str) -> Option<u64> {
    let line = table
        .lines()
        .rfind(|line| line.trim_end().ends_with("total"))?;
    line.split_whitespace().nth(3)?.parse().ok()
}
