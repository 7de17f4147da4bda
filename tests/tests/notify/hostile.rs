//! Commands that never end, cannot be run or flood, a FIFO that nobody reads: told
//! once, bounded, and nothing else is disturbed.

use std::{
    fs::{self, OpenOptions},
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use ha_tests::{
    capture::{self, Capture},
    daemon::{Harrier, Instance},
    forge::Forgery,
    lab::{Host, INTERFACE, Lab},
    process::Process,
};
use rustix::fs::OFlags;

use crate::scene::{PATIENCE, await_text, await_that, count, read, script};

const ADDRESS: &str = "10.77.0.100/16";

/// Writes to the FIFO at `path` until it takes no more.
fn fill(path: &Path) -> Result<()> {
    let mut fifo = OpenOptions::new()
        .write(true)
        .custom_flags(OFlags::NONBLOCK.bits().cast_signed())
        .open(path)?;
    while fifo.write_all(&[b'x'; 512]).is_ok() {}
    while fifo.write_all(b"x").is_ok() {}
    Ok(())
}

/// The longest span between two advertisements of `host` among `frames`.
fn longest_gap(capture: &Capture, host: &Host) -> Result<Duration> {
    let frames = capture.frames();
    let times: Vec<u64> = frames
        .iter()
        .filter(|frame| {
            frame
                .advert()
                .is_some_and(|advert| advert.source == host.ipv4())
        })
        .map(|frame| frame.at.as_nanos())
        .collect();
    let gaps = times.windows(2).map(|pair| pair[1].saturating_sub(pair[0]));
    let longest = gaps.max().context("no two advertisements")?;
    Ok(Duration::from_nanos(longest))
}

#[test]
fn nothing_that_is_told_delays_an_advertisement() -> Result<()> {
    let lab = Lab::new(2)?;
    let (node, stranger) = (&lab.nodes[0], &lab.nodes[1]);
    let directory = lab.directory("told")?;
    let dir = directory.display();
    // Ignores SIGTERM, floods, and leaves a child behind that does, too.
    let endless = script(
        &directory.join("endless"),
        &format!("trap '' TERM\nyes flood & echo $! > {dir}/child\nwhile :; do sleep 1; done"),
    )?;
    let lower = script(
        &directory.join("lower"),
        &format!("echo x >> {dir}/lower.log"),
    )?;
    let instance = Instance::new(150, &[ADDRESS]).with(&format!(
        "notify = {{ active = \"{}\", backup = \"{dir}/no-such-thing\", any = \"/bin/false\", \
         active_lower = \"{}\", timeout = \"1s\", state_file = \"/proc/no/such/place\", \
         webhook = {{ url = \"http://10.77.0.99/\", timeout = \"300ms\", retries = 100, \
         retry_interval = \"100ms\" }} }}",
        endless.display(),
        lower.display(),
    ));
    let text = format!("notify_fifos = [\"{dir}/fifo\"]\n{}", instance.to_toml());
    let mut harrier = Harrier::start_with(&lab, node, "harrier", &text)?;
    let fifo = directory.join("fifo");
    await_that("the FIFO", || Ok(fifo.exists()))?;
    fill(&fifo)?;
    harrier.await_state("web", "active", PATIENCE)?;
    let capture = lab.capture(stranger)?;

    // Meanwhile: its timeout, the grace after it, the attempts of the webhook.
    harrier.process.await_log("did not end in time", PATIENCE)?;
    let gap = longest_gap(&capture, node)?;
    println!("longest gap between advertisements at 100 ms: {gap:?}");
    // Nobody else speaks, so there is one per interval.
    ensure!(
        gap > Duration::from_millis(90),
        "{gap:?}: who asked for more?"
    );
    ensure!(
        gap < Duration::from_millis(300),
        "{gap:?} without an advertisement"
    );
    // Many more than there are runs of the command.
    let advert = Forgery::new(stranger, 90, &["10.77.0.100".parse()?]).frame();
    await_that("a command for lower advertisements", || {
        capture::inject(&stranger.netns, INTERFACE, &advert)?;
        Ok(!read(&directory.join("lower.log")).is_empty())
    })?;

    // Its child has gone with it.
    let child = read(&directory.join("child"));
    let proc = format!("/proc/{}", child.trim());
    await_that("the end of the child", || Ok(!Path::new(&proc).exists()))?;
    let log = harrier.process.log();
    for (words, times) in [
        ("there is no ", 1),
        ("/bin/false for BACKUP exited with status 1", 1),
        ("it is full, as nobody reads it", 1),
        ("cannot write BACKUP to /proc/no/such/place", 1),
        ("has not taken BACKUP", 1),
        ("did not end in time and was killed", 1),
    ] {
        assert_eq!(count(&log, words), times, "{words}:\n{log}");
    }
    ensure!(!log.contains("panicked"), "{log}");

    // A reader: what was lost is counted, what comes is there.
    let mut cat = node.netns.command("cat");
    cat.arg(&fifo);
    let mut reader = Process::start("reader", &mut cat, directory.join("lines"))?;
    reader.quiet();
    node.netns.ip(&format!("link set {INTERFACE} down"))?;
    await_text(&directory.join("lines"), "FAULT in the FIFO", |text| {
        text.contains("INSTANCE \"web\" FAULT 150\n")
    })?;
    harrier.process.await_log("takes lines again", PATIENCE)?;
    harrier.stop()?;
    reader.await_end(PATIENCE)?;
    ensure!(
        read(&directory.join("lines")).ends_with("INSTANCE \"web\" STOP 150\n"),
        "no STOP"
    );
    Ok(())
}

#[test]
fn commands_that_others_can_change_do_not_run_as_root_where_that_is_asked() -> Result<()> {
    let lab = Lab::new(1)?;
    let node = &lab.nodes[0];
    let directory = lab.directory("security")?;
    let command = script(
        &directory.join("tell"),
        &format!("id -un >> {}/who", directory.display()),
    )?;
    // Everyone may write it; it runs as nobody only.
    fs::set_permissions(
        &command,
        std::os::unix::fs::PermissionsExt::from_mode(0o777),
    )?;
    fs::write(directory.join("who"), "")?;
    fs::set_permissions(
        directory.join("who"),
        std::os::unix::fs::PermissionsExt::from_mode(0o666),
    )?;
    let command = command.display();
    let web = Instance::new(150, &[ADDRESS]).with(&format!("notify = {{ any = \"{command}\" }}"));
    let mut dns = Instance::new(150, &["10.77.0.101/16"]).with(&format!(
        "notify = {{ any = \"{command}\", user = \"nobody\" }}"
    ));
    dns.name = "dns".to_owned();
    dns.vrid = 52;
    let text = format!("script_security = true\n{}{}", web.to_toml(), dns.to_toml());
    let mut harrier = Harrier::start_with(&lab, node, "harrier", &text)?;
    await_text(&directory.join("who"), "two calls", |text| {
        count(text, "\n") >= 2
    })?;
    harrier.await_state("web", "active", PATIENCE)?;
    harrier.stop()?;
    let who = read(&directory.join("who"));
    ensure!(who.lines().all(|line| line == "nobody"), "{who}");
    let log = harrier.process.log();
    assert_eq!(
        count(&log, "would run as root, but others can change"),
        1,
        "{log}"
    );
    Ok(())
}
