//! Commands that misbehave: bounded, told once, and nobody else notices.

use std::{fs, os::unix::fs::PermissionsExt as _, thread, time::Duration};

use anyhow::{Context as _, Result, ensure};
use ha_tests::{
    capture::Capture,
    clock::millis,
    decode::Packet,
    lab::{INTERFACE, Lab},
    siege::{longest, stress_span},
};

use crate::scene::{
    PATIENCE, Pair, Server, await_check, await_no_process, check, count_processes, logged,
};

/// More memory than before, in KiB: threads and buffers of the first rounds.
const MEMORY_KIB: u64 = 8192;

#[test]
fn commands_that_misbehave_disturb_nobody() -> Result<()> {
    let lab = Lab::new(2)?;
    let (host_a, host_b) = lab.pair();
    let (host_a, host_b) = (host_a.clone(), host_b.clone());
    let directory = lab.directory("checked")?;
    let mark = format!("habad{}", std::process::id());
    let script = |name: &str, text: &str, mode: u32| -> Result<String> {
        let path = directory.join(format!("{mark}-{name}"));
        fs::write(&path, text)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(mode))?;
        Ok(path.display().to_string())
    };
    let sleep = directory.join(format!("{mark}-sleep"));
    fs::copy("/bin/sleep", &sleep)?;
    let sleep = sleep.display().to_string();
    let silent = Server::start(&host_a, "127.0.0.1:0", |_, _| None)?;
    let checks = [
        (
            "hangs",
            script(
                "hangs",
                "#!/bin/sh\ntrap '' TERM\nwhile :; do :; done\n",
                0o755,
            )?,
        ),
        (
            "floods",
            script("floods", "#!/bin/sh\nexec yes all is well\n", 0o755)?,
        ),
        (
            "leaves",
            script(
                "leaves",
                &format!("#!/bin/sh\n{sleep} 1000 &\n{sleep} 1000 &\nexit 0\n"),
                0o755,
            )?,
        ),
        ("plain", script("plain", "#!/bin/sh\nexit 0\n", 0o644)?),
        ("no-format", script("no-format", "\u{1}\u{2}\u{3}", 0o755)?),
        (
            "dies",
            script("dies", "#!/bin/sh\necho my last words\nkill -9 $$\n", 0o755)?,
        ),
        ("missing", format!("{}/none", directory.display())),
    ];
    let all: Vec<&str> = checks
        .iter()
        .map(|(name, _)| *name)
        .chain(["silent"])
        .collect();
    let tracked: Vec<String> = all
        .iter()
        .map(|name| format!("{{ name = \"{name}\", weight = -1 }}"))
        .collect();
    let sections: Vec<String> = checks
        .iter()
        .map(|(name, path)| {
            check(
                name,
                &format!(
                    "kind = \"exec\"\ncommand = {path:?}\ninterval = \"100ms\"\ntimeout = \"300ms\""
                ),
            )
        })
        .collect();
    let lines = format!(
        "track_checks = [{}]\n{}{}",
        tracked.join(", "),
        sections.concat(),
        check(
            "silent",
            &format!(
                "kind = \"http\"\nurl = \"http://{}/\"\ninterval = \"10ms\"\ntimeout = \"1s\"",
                silent.address
            )
        )
    );
    let mut pair = Pair::new(lab, &lines)?;
    for (name, state, part) in [
        ("hangs", "failing", "did not end within 300ms"),
        ("floods", "failing", "all is well (did not end in time"),
        ("leaves", "passing", ""),
        ("plain", "failing", "is no executable file"),
        ("no-format", "failing", "cannot be started"),
        ("dies", "failing", "my last words (was killed by signal 9)"),
        ("missing", "failing", "there is no "),
        (
            "silent",
            "failing",
            "waiting for the answer: nothing within 1s",
        ),
    ] {
        await_check(&mut pair.a, name, |check| {
            let text = check.text.as_deref().unwrap_or_default();
            check.state == state && text.contains(part)
        })
        .with_context(|| format!("{name} {state}: {part}"))?;
    }
    let transitions = |pair: &Pair| -> Result<Vec<u64>> {
        let both = [&pair.a, &pair.b].map(ha_tests::siege::status);
        both.into_iter()
            .map(|status| Ok(status?.transitions))
            .collect()
    };
    let before = (transitions(&pair)?, pair.a.process.usage()?);
    let capture = Capture::start(&host_b.netns, INTERFACE)?;
    let span = stress_span()?;
    // What they do in this time is what is measured.
    thread::sleep(span);
    let adverts: Vec<_> = capture
        .frames()
        .into_iter()
        .filter(|frame| matches!(frame.packet, Packet::Advert { .. }))
        .collect();
    let gap = longest(adverts.iter().map(|frame| frame.at));
    let used = pair.a.process.usage()?;
    let cpu = (used.cpu - before.1.cpu).as_secs_f64() / span.as_secs_f64() * 100.0;
    eprintln!(
        "eight checks that misbehave, {span:?}: longest gap between advertisements {} (interval \
         100 ms), the daemon used {cpu:.1} % of a CPU",
        millis(gap)
    );
    ensure!(adverts.len() > 10, "{} advertisements", adverts.len());
    // Longer, and the other one would have taken over.
    ensure!(gap < Duration::from_millis(300), "{gap:?}");
    ensure!(transitions(&pair)? == before.0, "somebody has moved");
    let grown = used.resident_kib.saturating_sub(before.1.resident_kib);
    ensure!(grown < MEMORY_KIB, "{grown} KiB more");
    // One command of each at once, however long it takes to get rid of it.
    ensure!(count_processes(&format!("{mark}-hangs"))? <= 1);
    for name in all {
        let turned = match name {
            "leaves" => "passes",
            _ => "fails",
        };
        let line = format!("check {name} {turned}");
        let log = pair.a.process.log();
        let told = log
            .lines()
            .filter(|it| it.contains(&line) && !it.contains("priority "))
            .count();
        ensure!(told == 1, "{line}: {told} times\n{log}");
    }
    // A round that takes its second: ninety-nine are left out, which is told once.
    ensure!(logged(&pair.a, "a round of check silent took") == 1);
    let slow = await_check(&mut pair.a, "silent", |check| check.skipped > 90)?;
    ensure!(slow.rounds < slow.skipped, "{slow:?}");
    pair.a.await_state("web", "active", PATIENCE)?;
    pair.stop()?;
    // Nothing of theirs is left.
    await_no_process(&mark)
}
