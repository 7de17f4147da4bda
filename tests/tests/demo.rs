//! The demo as a person runs it: its numbers hold, and it cleans up after
//! itself, also when it is interrupted.

use std::{
    io::{BufRead as _, BufReader, Read as _},
    process::{Child, Command, Stdio},
};

use anyhow::{Context as _, Result, ensure};
use ha_tests::{command, daemon::binary};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

fn demo(arguments: &[&str]) -> Result<Child> {
    Command::new(env!("CARGO_BIN_EXE_harrier-demo"))
        .args(arguments)
        .env("HARRIER_BIN", binary()?)
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start the demo")
}

/// Whether anything by the name of the demo's process is left.
fn nothing_left(pid: u32) -> Result<()> {
    let ours = format!("hr-{pid}-");
    let namespaces = command::run("ip", &["netns", "list"])?;
    ensure!(
        !namespaces.contains(&ours),
        "namespaces are left:\n{namespaces}"
    );
    let mounts = std::fs::read_to_string("/proc/self/mounts").context("cannot read mounts")?;
    ensure!(!mounts.contains(&ours), "mounts are left:\n{mounts}");
    for entry in std::fs::read_dir(std::env::temp_dir())
        .context("cannot list")?
        .flatten()
    {
        let name = entry.file_name();
        ensure!(
            !name.to_string_lossy().starts_with(&ours),
            "{} is left",
            name.display()
        );
    }
    Ok(())
}

fn result(arguments: &[&str]) -> Result<Value> {
    let mut child = demo(arguments)?;
    let mut text = String::new();
    child
        .stdout
        .take()
        .context("a pipe")?
        .read_to_string(&mut text)
        .context("cannot read")?;
    let status = child.wait().context("cannot wait")?;
    ensure!(status.success(), "the demo ended with {status}");
    nothing_left(child.id())?;
    serde_json::from_str(&text).with_context(|| format!("no JSON: {text}"))
}

fn number(value: &Value, name: &str) -> Result<f64> {
    value
        .get(name)
        .and_then(Value::as_f64)
        .with_context(|| format!("{name} in {value}"))
}

fn holds(value: &Value, active_down_ms: f64) -> Result<()> {
    ensure!(
        (number(value, "active_down_interval_ms")? - active_down_ms).abs() < 0.01,
        "{value}"
    );
    let failover = number(value, "failover_ms")?;
    ensure!(failover >= active_down_ms, "before Active_Down: {value}");
    ensure!(
        failover < active_down_ms + 2000.0,
        "only on a hang: {value}"
    );
    let points = value.get("since_last_advert_ms").context("the points")?;
    let order = ["active_down_due", "first_advert", "first_answer"];
    let times = order.map(|name| number(points, name));
    let [Ok(due), Ok(advert), Ok(answer)] = times else {
        anyhow::bail!("{value}")
    };
    ensure!(due <= advert && advert <= answer, "{value}");
    Ok(())
}

#[test]
fn the_numbers_hold_with_two_harriers() -> Result<()> {
    holds(&result(&["--json"])?, 360.937)
}

#[test]
fn the_numbers_hold_with_keepalived_at_ten_milliseconds() -> Result<()> {
    holds(
        &result(&["--json", "--peer", "keepalived", "--advert", "10ms"])?,
        36.094,
    )
}

#[test]
fn an_interrupted_demo_cleans_up() -> Result<()> {
    for signal in [Signal::INT, Signal::TERM] {
        let mut child = demo(&["--advert", "1s"])?;
        let mut lines = BufReader::new(child.stdout.take().context("a pipe")?).lines();
        // It speaks once network and daemons are up; with adverts each second
        // it is then far from its end.
        lines
            .next()
            .context("the demo said nothing")?
            .context("cannot read")?;
        kill_process(Pid::from_child(&child), signal).context("cannot signal the demo")?;
        let status = child.wait().context("cannot wait")?;
        ensure!(status.code() == Some(128 + signal.as_raw()), "{status}");
        nothing_left(child.id())?;
    }
    Ok(())
}

#[test]
fn an_impossible_interval_is_refused() -> Result<()> {
    for interval in ["5ms", "15ms", "41s", "fast"] {
        let out = command::output(
            Command::new(env!("CARGO_BIN_EXE_harrier-demo")).args(["--advert", interval]),
            "",
        )?;
        let said = String::from_utf8_lossy(&out.stderr);
        ensure!(!out.status.success() && said.contains(interval), "{said}");
    }
    Ok(())
}
