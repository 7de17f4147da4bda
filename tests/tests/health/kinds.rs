//! Every kind of check passes, fails and recovers.

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicU16, Ordering},
    },
};

use anyhow::{Context as _, Result, ensure};
use ha_tests::{
    daemon::{CheckStatus, Harrier, Instance},
    lab::Lab,
};

use crate::scene::{
    PATIENCE, Programs, Server, VIP_CIDR, await_check, await_checks, check, logged,
};

const SPARE: &str = "link add spare0 type veth peer name spare1\n\
                     link set spare1 up\n\
                     link set spare0 up\n";

fn text<'a>(checks: &'a [CheckStatus], name: &str) -> Result<&'a str> {
    let mut checks = checks.iter();
    let check = checks.find(|check| check.name == name);
    let check = check.with_context(|| format!("no check {name}"))?;
    Ok(check.text.as_deref().unwrap_or_default())
}

#[test]
fn every_kind_passes_fails_and_recovers() -> Result<()> {
    let lab = Lab::new(2)?;
    let (host, other) = lab.pair();
    host.netns.ip(SPARE)?;
    let directory = lab.directory("checked")?;
    let path = |name: &str| directory.join(name).display().to_string();
    let status = Arc::new(AtomicU16::new(200));
    let web = {
        let status = Arc::clone(&status);
        Server::start(host, "127.0.0.1:0", move |_, request| {
            let other_host = !request.contains("host: www.example.org\r\n");
            let status = status.load(Ordering::SeqCst);
            let body = if status == 418 { "tea" } else { "all well" };
            Some((if other_host { 421 } else { status }, body.to_owned()))
        })?
    };
    let mut port = Some(Server::well(host)?);
    let port_address = port.as_ref().context("no port")?.address;
    let name = format!("hacheck{}", std::process::id());
    let mut programs = Programs::new(&directory);
    let first = programs.start(&name)?;
    fs::write(path("pid"), format!("{first}\n"))?;
    fs::write(path("file"), "")?;

    // The timeout is that of a ping to a host that is cut off, and long enough for
    // everything else on a busy machine.
    const OFTEN: &str = "interval = \"50ms\"\ntimeout = \"500ms\"";
    let http = |name: &str, lines: &str| {
        let url = format!("http://{}/health", web.address);
        let host = "host = \"www.example.org\"";
        check(
            name,
            &format!("kind = \"http\"\nurl = \"{url}\"\n{host}\n{lines}\n{OFTEN}"),
        )
    };
    let of = |name: &str, kind: &str, lines: &str| {
        check(name, &format!("kind = \"{kind}\"\n{lines}\n{OFTEN}"))
    };
    let checks = [
        check(
            "exec",
            &format!(
                "kind = \"exec\"\ncommand = [\"/bin/sh\", \"-c\", \
                 \"test -e {} || {{ echo gone >&2; exit 3; }}\"]\ninterval = \"100ms\"\n\
                 timeout = \"5s\"",
                path("file")
            ),
        ),
        http("status", ""),
        http("listed", "status = [200, \"404-410\"]"),
        http("body", "body = \"all well\"\nstatus = [200, 418, 503]"),
        of("tcp", "tcp", &format!("target = \"{port_address}\"")),
        of("far", "ping", &format!("address = \"{}\"", other.ipv4())),
        of(
            "far6",
            "ping",
            &format!("address = \"{}\"\ninterface = \"eth0\"", other.link_local()),
        ),
        of("program", "process", &format!("process = \"{name}\"")),
        of(
            "line",
            "process",
            &format!("command_line = [{:?}, \"1000\"]", path(&name)),
        ),
        of("pid", "process", &format!("pidfile = {:?}", path("pid"))),
        of("file", "file", &format!("path = {:?}", path("file"))),
        check("link", "kind = \"interface\"\ninterface = \"spare0\""),
    ];
    // What they add moves nobody: it is node-a's priority alone.
    let tracked: Vec<String> = checks
        .iter()
        .filter_map(|check| check.split('"').nth(1))
        .map(|name| format!("{{ name = \"{name}\", weight = -1 }}"))
        .collect();
    let lines = format!(
        "track_checks = [{}]\n{}",
        tracked.join(", "),
        checks.concat()
    );
    let instance = Instance::new(100, &[VIP_CIDR]).with(&lines);
    let mut harrier = Harrier::start(&lab, host, &[instance])?;

    let passing = await_checks(&mut harrier, "passing")?;
    ensure!(passing.len() == checks.len());
    ensure!(text(&passing, "status")? == "status 200");
    ensure!(text(&passing, "far")?.starts_with("answered after "));
    ensure!(text(&passing, "program")? == format!("process {first}"));
    let web_status = harrier.await_state("web", "active", PATIENCE)?;
    ensure!(web_status.priority == 100, "{web_status:?}");

    fs::remove_file(path("file"))?;
    status.store(418, Ordering::SeqCst);
    port = None;
    programs.kill(first)?;
    lab.cut(other)?;
    host.netns.ip("link set spare1 down\n")?;
    let failing = await_checks(&mut harrier, "failing")?;
    for (name, said) in [
        ("exec", "gone (exited with status 3)"),
        ("status", "status 418"),
        ("listed", "status 418"),
        ("body", "status 418, without the text in its body"),
        ("file", "it does not exist"),
        ("program", "no such process"),
        ("line", "no such process"),
        ("pid", &format!("process {first} does not run")),
    ] {
        let text = text(&failing, name)?;
        ensure!(text == said, "{name}: {text}");
    }
    let refused = text(&failing, "tcp")?;
    ensure!(refused.starts_with(&format!("connecting to {port_address}: Connection refused")));
    let web_status = harrier.await_state("web", "active", PATIENCE)?;
    ensure!(web_status.priority == 88, "{web_status:?}");

    lab.mend(other)?;
    fs::write(path("file"), "")?;
    status.store(200, Ordering::SeqCst);
    let _port = Server::start(host, &port_address.to_string(), |_, _| None)?;
    let second = programs.start(&name)?;
    fs::write(path("pid"), second.to_string())?;
    host.netns.ip("link set spare1 up\n")?;
    let passing = await_checks(&mut harrier, "passing")?;
    ensure!(text(&passing, "pid")? == format!("process {second}"));
    harrier.await_status("priority 100", PATIENCE, |status| {
        (status.instances[0].priority == 100).then_some(())
    })?;
    drop(port);
    // Each change once, and no more: the checks ran some hundred rounds.
    for name in ["exec", "status", "tcp", "far", "program", "file"] {
        for (words, times) in [("passes", 2), ("fails", 1)] {
            // The name of the check is followed by what it says, and by nothing in the
            // lines about the priority that it moves.
            let line = format!("check {name} {words}");
            let all = logged(&harrier, &line);
            let of_priority = harrier.process.log();
            let of_priority = of_priority
                .lines()
                .filter(|it| it.contains("priority ") && it.contains(&line))
                .count();
            ensure!(
                all - of_priority == times,
                "{line}: {}",
                harrier.process.log()
            );
        }
    }
    harrier.stop()
}

#[test]
fn a_host_that_says_nothing_fails_the_check_in_time() -> Result<()> {
    let lab = Lab::new(2)?;
    let (host, other) = lab.pair();
    let silent = Server::start(host, "127.0.0.1:0", |_, _| None)?;
    lab.cut(other)?;
    let lines = format!(
        "track_checks = [\"hole\", \"silent\", \"name\"]\n{}{}{}",
        check(
            "hole",
            &format!(
                "kind = \"tcp\"\ntarget = \"{}:80\"\ntimeout = \"100ms\"\ninterval = \"200ms\"",
                other.ipv4()
            )
        ),
        check(
            "silent",
            &format!(
                "kind = \"http\"\nurl = \"http://{}/secret?secret\"\ntimeout = \"100ms\"\n\
                 interval = \"200ms\"",
                silent.address
            )
        ),
        check(
            "name",
            "kind = \"tcp\"\ntarget = \"no-such-host.invalid:80\"\ninterval = \"200ms\"",
        ),
    );
    let mut harrier = Harrier::start(&lab, host, &[Instance::new(100, &[VIP_CIDR]).with(&lines)])?;
    let failing = await_checks(&mut harrier, "failing")?;
    let hole = text(&failing, "hole")?;
    ensure!(
        hole == format!("connecting to {}:80: nothing within 100ms", other.ipv4()),
        "{hole}"
    );
    let silent = text(&failing, "silent")?;
    ensure!(
        silent == "waiting for the answer: nothing within 100ms",
        "{silent}"
    );
    let name = text(&failing, "name")?;
    ensure!(
        name.starts_with("looking up no-such-host.invalid: "),
        "{name}"
    );
    // Although it has never taken part.
    let web = harrier.await_state("web", "fault", PATIENCE)?;
    ensure!(web.since_ms < 600_000.0, "{web:?}");
    let why = web.last_transition.context("it has no reason")?;
    ensure!(
        why.starts_with("check ") && why.ends_with(" fails"),
        "{why}"
    );
    let problem = web.problem.context("nothing is said of the problem")?;
    for part in [
        "check hole fails: connecting to",
        "; check silent fails: waiting",
    ] {
        ensure!(problem.contains(part), "{problem}");
    }
    ensure!(logged(&harrier, "secret") == 0, "{}", harrier.process.log());
    harrier.stop()
}

#[test]
fn many_processes_are_counted_and_commands_run_as_others() -> Result<()> {
    let lab = Lab::new(1)?;
    let host = &lab.nodes[0];
    let directory = lab.directory("checked")?;
    let name = format!("hacount{}", std::process::id());
    let mut programs = Programs::new(&directory);
    let ids = [programs.start(&name)?, programs.start(&name)?];
    let lines = format!(
        "track_checks = [\"few\", {{ name = \"user\", weight = -1 }}]\n{}{}",
        check(
            "user",
            "kind = \"exec\"\ncommand = [\"/bin/sh\", \"-c\", \"id -un; id -gn\"]\n\
             user = \"nobody:daemon\"\ntimeout = \"5s\"",
        ),
        check(
            "few",
            &format!(
                "kind = \"process\"\nprocess = \"{name}\"\nat_least = 2\nat_most = 3\n\
                 interval = \"50ms\"\ntimeout = \"5s\""
            )
        )
    );
    let mut harrier = Harrier::start(&lab, host, &[Instance::new(100, &[VIP_CIDR]).with(&lines)])?;
    let says = |state: &'static str, said: &'static str| {
        move |check: &CheckStatus| check.state == state && check.text.as_deref() == Some(said)
    };
    await_check(&mut harrier, "user", says("passing", "daemon"))?;
    await_check(&mut harrier, "few", says("passing", "2 processes"))?;
    let more = [programs.start(&name)?, programs.start(&name)?];
    await_check(
        &mut harrier,
        "few",
        says("failing", "4 processes, too many"),
    )?;
    programs.kill(more[0])?;
    await_check(&mut harrier, "few", says("passing", "3 processes"))?;
    programs.kill(more[1])?;
    programs.kill(ids[0])?;
    await_check(&mut harrier, "few", |check| {
        check.state == "failing"
            && check
                .text
                .as_deref()
                .is_some_and(|it| it.contains("too few"))
    })?;
    harrier.stop()
}
