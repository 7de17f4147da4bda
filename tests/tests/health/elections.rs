//! What checks mean for who is Active.

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use ha_tests::{
    clock::millis,
    daemon::{Harrier, Instance},
    lab::Lab,
};

use crate::scene::{PATIENCE, Pair, Programs, Server, VIP, VIP_CIDR, await_check, check, logged};

#[test]
fn a_check_that_fails_moves_the_addresses_by_its_weight() -> Result<()> {
    let lab = Lab::new(2)?;
    let directory = lab.directory("checked")?;
    let drain = directory.join("drain");
    let lines = format!(
        "track_checks = [{{ name = \"drain\", weight = -50, reverse = true }}]\n{}",
        check(
            "drain",
            &format!("kind = \"file\"\npath = {drain:?}\ninterval = \"20ms\"\ntimeout = \"5s\"")
        )
    );
    let mut pair = Pair::new(lab, &lines)?;
    let took = pair.moves_to_b(|| Ok(fs::write(&drain, "")?))?;
    eprintln!(
        "a file, looked at every 20 ms: the client is at the other node after {}",
        millis(took)
    );
    let web = pair.a.await_state("web", "backup", PATIENCE)?;
    ensure!((web.base_priority, web.priority) == (120, 70), "{web:?}");
    ensure!(logged(&pair.a, "priority 120 -> 70: check drain passes") == 1);
    fs::remove_file(&drain)?;
    pair.is_back_at_a()?;
    ensure!(logged(&pair.a, "priority 70 -> 120: check drain fails") == 1);
    pair.stop()
}

#[test]
fn without_weight_a_check_that_fails_is_a_fault() -> Result<()> {
    let lab = Lab::new(2)?;
    let (host_a, _) = lab.pair();
    let well = Arc::new(AtomicBool::new(true));
    let server = {
        let well = Arc::clone(&well);
        Server::start(host_a, "127.0.0.1:0", move |_, _| {
            let status = if well.load(Ordering::SeqCst) {
                200
            } else {
                503
            };
            Some((status, String::new()))
        })?
    };
    let lines = format!(
        "track_checks = [\"site\"]\n{}",
        check(
            "site",
            &format!(
                "kind = \"http\"\nurl = \"http://{}/\"\ninterval = \"50ms\"\ntimeout = \"5s\"",
                server.address
            )
        )
    );
    let mut pair = Pair::new(lab, &lines)?;
    let took = pair.moves_to_b(|| {
        well.store(false, Ordering::SeqCst);
        Ok(())
    })?;
    eprintln!(
        "a site, asked every 50 ms: the client is at the other node after {}",
        millis(took)
    );
    let web = pair.a.await_state("web", "fault", PATIENCE)?;
    ensure!(
        web.problem.as_deref() == Some("check site fails: status 503"),
        "{web:?}"
    );
    pair.lab.nodes[0].await_without(VIP, PATIENCE)?;
    ensure!(
        logged(&pair.a, "active -> releasing: check site fails") == 1,
        "{}",
        pair.a.process.log()
    );
    well.store(true, Ordering::SeqCst);
    pair.is_back_at_a()?;
    pair.stop()
}

/// Answers by a pattern that is repeated: `+` is 200.
fn pattern(host: &ha_tests::lab::Host, pattern: &Arc<AtomicU64>) -> Result<Server> {
    let pattern = Arc::clone(pattern);
    Server::start(host, "127.0.0.1:0", move |nth, _| {
        let packed = pattern.load(Ordering::SeqCst).to_be_bytes();
        let answers: Vec<u8> = packed.into_iter().filter(|octet| *octet != 0).collect();
        let place = usize::try_from(nth).unwrap_or(0) % answers.len();
        let status = if answers[place] == b'+' { 200 } else { 503 };
        Some((status, String::new()))
    })
}

fn packed(pattern: &str) -> u64 {
    let octets = pattern.bytes();
    octets.fold(0, |packed, octet| packed << 8 | u64::from(octet))
}

#[test]
fn it_takes_so_many_rounds_in_a_row() -> Result<()> {
    let lab = Lab::new(1)?;
    let host = &lab.nodes[0];
    let answers = Arc::new(AtomicU64::new(packed("+--")));
    let server = pattern(host, &answers)?;
    let lines = format!(
        "track_checks = [\"site\"]\n{}",
        check(
            "site",
            &format!(
                "kind = \"http\"\nurl = \"http://{}/\"\ninterval = \"20ms\"\ntimeout = \"5s\"\n\
                 rise = 3\nfall = 3",
                server.address
            )
        )
    );
    let mut harrier = Harrier::start(&lab, host, &[Instance::new(100, &[VIP_CIDR]).with(&lines)])?;
    // Two of three fail, but never three in a row.
    let row = await_check(&mut harrier, "site", |check| check.failures > 20)?;
    ensure!(row.state == "passing", "{row:?}");
    answers.store(packed("-"), Ordering::SeqCst);
    let row = await_check(&mut harrier, "site", |check| check.state == "failing")?;
    answers.store(packed("++-"), Ordering::SeqCst);
    let later = await_check(&mut harrier, "site", |check| check.rounds > row.rounds + 40)?;
    ensure!(later.state == "failing", "{later:?}");
    answers.store(packed("+"), Ordering::SeqCst);
    await_check(&mut harrier, "site", |check| check.state == "passing")?;
    ensure!(
        logged(&harrier, "-> fault") == 1,
        "{}",
        harrier.process.log()
    );
    harrier.stop()
}

#[test]
fn before_its_first_round_a_check_is_waited_for_or_failed() -> Result<()> {
    let lab = Lab::new(2)?;
    let (host_a, host_b) = lab.pair();
    let directory = lab.directory("checked")?;
    let go = directory.join("go");
    // It ends when it is told to.
    let wait = format!("while ! test -e {}; do sleep 0.02; done", go.display());
    let slow = |name: &str, lines: &str| {
        check(
            name,
            &format!(
                "kind = \"exec\"\ncommand = [\"/bin/sh\", \"-c\", \"{wait}\"]\n\
                 timeout = \"1m\"\n{lines}"
            ),
        )
    };
    let needs = |lines: &str| format!("track_checks = [\"slow\"]\n{}", slow("slow", lines));
    let weighs = |lines: &str| {
        format!(
            "track_checks = [{{ name = \"slow\", weight = -30 }}]\n{}",
            slow("slow", lines)
        )
    };
    let other = |number: u8, lines: &str| Instance {
        vrid: 50 + number,
        ..Instance::new(100, &[&format!("10.77.0.10{number}/16")]).with(lines)
    };
    // Each daemon has a name of its own on one host and another VRID, so that they do
    // not meet.
    let mut waits = Harrier::start_with(&lab, host_a, "waits", &other(1, &needs("")).to_toml())?;
    let mut weighed = Harrier::start_with(
        &lab,
        host_b,
        "weighed",
        &other(2, &weighs("init_fail = true")).to_toml(),
    )?;
    // It has never taken part, so this is no fault yet.
    let web = waits.await_state("web", "init", PATIENCE)?;
    ensure!(
        web.problem.as_deref() == Some("check slow has no result yet"),
        "{web:?}"
    );
    await_check(&mut waits, "slow", |check| check.state == "pending")?;
    let web = weighed.await_state("web", "active", PATIENCE)?;
    ensure!(web.priority == 70, "{web:?}");
    await_check(&mut weighed, "slow", |check| check.state == "failing")?;
    fs::write(&go, "")?;
    waits.await_state("web", "active", PATIENCE)?;
    weighed.await_status("priority 100", PATIENCE, |status| {
        (status.instances[0].priority == 100).then_some(())
    })?;
    waits.stop()?;
    weighed.stop()
}

#[test]
fn the_end_of_a_process_is_seen_at_once() -> Result<()> {
    let lab = Lab::new(2)?;
    let directory = lab.directory("checked")?;
    let name = format!("hawatch{}", std::process::id());
    let mut programs = Programs::new(&directory);
    let id = programs.start(&name)?;
    // Far longer than all of the test may take to see it.
    let lines = format!(
        "track_checks = [\"service\"]\n{}",
        check(
            "service",
            &format!(
                "kind = \"process\"\nprocess = \"{name}\"\ninterval = \"1h\"\ntimeout = \"5s\""
            )
        )
    );
    let mut pair = Pair::new(lab, &lines)?;
    let took = pair.moves_to_b(|| programs.kill(id))?;
    eprintln!(
        "a process that is killed: the client is at the other node after {}",
        millis(took)
    );
    let web = pair.a.await_state("web", "fault", PATIENCE)?;
    ensure!(
        web.problem.as_deref() == Some("check service fails: no such process"),
        "{web:?}"
    );
    pair.stop()
}

#[test]
fn the_number_in_a_file_times_the_weight_is_added() -> Result<()> {
    let lab = Lab::new(2)?;
    let directory = lab.directory("checked")?;
    let number = directory.join("number");
    let lines = format!(
        "track_checks = [{{ name = \"number\", weight = -2 }}]\n{}",
        check(
            "number",
            &format!(
                "kind = \"file\"\npath = {number:?}\nnumber = true\ninterval = \"20ms\"\ntimeout = \"5s\""
            )
        )
    );
    let mut pair = Pair::new(lab, &lines)?;
    pair.moves_to_b(|| Ok(fs::write(&number, "15\n")?))?;
    let web = pair.a.await_state("web", "backup", PATIENCE)?;
    ensure!(web.priority == 90, "{web:?}");
    await_check(&mut pair.a, "number", |check| check.value == Some(15))?;
    fs::write(&number, "-10")?;
    pair.is_back_at_a()?;
    let priority = |pair: &mut Pair, wanted: u8| {
        pair.a
            .await_status(&format!("priority {wanted}"), PATIENCE, |status| {
                (status.instances[0].priority == wanted).then_some(())
            })
    };
    priority(&mut pair, 140)?;
    // Beyond what a weight may take away.
    fs::write(&number, "127")?;
    let web = pair.a.await_state("web", "fault", PATIENCE)?;
    ensure!(
        web.problem.as_deref() == Some("check number is 127"),
        "{web:?}"
    );
    fs::remove_file(&number)?;
    pair.is_back_at_a()?;
    priority(&mut pair, 120)?;
    pair.stop()
}

/// A router that has lost its network must not stay Active beside the other.
#[test]
fn a_node_without_its_gateway_is_in_fault() -> Result<()> {
    let lab = Lab::new(2)?;
    let lines = format!(
        "track_checks = [\"gateway\"]\n{}",
        check(
            "gateway",
            &format!(
                "kind = \"ping\"\naddress = \"{}\"\ninterval = \"50ms\"\n\
                 timeout = \"500ms\"\nfall = 3",
                lab.client.ipv4()
            )
        )
    );
    let mut pair = Pair::new(lab, &lines)?;
    let host_a = pair.lab.nodes[0].clone();
    // Its link stays up: the switch does not let anything through.
    pair.lab.cut(&host_a)?;
    pair.a.await_state("web", "fault", PATIENCE)?;
    host_a.await_without(VIP, PATIENCE)?;
    pair.b.await_state("web", "active", PATIENCE)?;
    pair.lab.mend(&host_a)?;
    pair.is_back_at_a()?;
    for harrier in [&pair.a, &pair.b] {
        let status = harrier.status()?.context("no status")?;
        let conflicts = &status.instances[0].conflicts;
        ensure!(conflicts.is_empty(), "{conflicts:?}");
    }
    pair.stop()
}

#[test]
fn a_group_tracks_for_all_its_members() -> Result<()> {
    let lab = Lab::new(2)?;
    let (host_a, host_b) = lab.pair();
    let directory = lab.directory("checked")?;
    let file = directory.join("serves");
    fs::write(&file, "")?;
    let config = |priority, tracks: &str| {
        let web = Instance::new(priority, &[VIP_CIDR]);
        let db = Instance {
            name: "db".to_owned(),
            vrid: 52,
            ..Instance::new(priority, &["10.77.0.101/16"])
        };
        format!(
            "{}\n{}\n[[sync_group]]\nname = \"edge\"\ninstances = [\"web\", \"db\"]\n{tracks}",
            web.to_toml(),
            db.to_toml()
        )
    };
    let tracks = format!(
        "track_checks = [{{ name = \"serves\", weight = -50 }}]\n{}",
        check(
            "serves",
            &format!("kind = \"file\"\npath = {file:?}\ninterval = \"20ms\"\ntimeout = \"5s\"")
        )
    );
    let mut a = Harrier::start_with(&lab, host_a, "node-a", &config(120, &tracks))?;
    let mut b = Harrier::start_with(&lab, host_b, "node-b", &config(100, ""))?;
    for name in ["web", "db"] {
        a.await_state(name, "active", PATIENCE)?;
        b.await_state(name, "backup", PATIENCE)?;
    }
    fs::remove_file(&file)?;
    for name in ["web", "db"] {
        let status = a.await_state(name, "backup", PATIENCE)?;
        ensure!(status.priority == 70, "{status:?}");
        b.await_state(name, "active", PATIENCE)?;
    }
    fs::write(&file, "")?;
    for name in ["web", "db"] {
        a.await_state(name, "active", Duration::from_secs(60))?;
    }
    a.stop()?;
    b.stop()
}
