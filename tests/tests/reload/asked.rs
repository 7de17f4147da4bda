//! What the daemon says of itself: `harrier explain`, SIGUSR1 and SIGUSR2.

use std::fs;

use anyhow::{Context as _, Result, ensure};
use rustix::process::Signal;

use super::scene::{PATIENCE, Scene, VIP_CIDR, web};

#[test]
fn an_explanation_has_the_evidence() -> Result<()> {
    let scene = Scene::new(2)?;
    let (host_a, _) = scene.lab.pair();
    host_a.netns.ip(
        "link add spare0 type veth peer name spare1\nlink set spare1 up\nlink set spare0 up\n",
    )?;
    let tracked = web(200).with("track_interfaces = [{ name = \"spare0\", weight = 20 }]");
    let (mut a, mut b) = scene.pair(&[tracked], &[web(100)])?;
    let text = |daemon: &ha_tests::daemon::Harrier| -> Result<String> {
        let out = daemon.command(&["explain", "web"])?;
        ensure!(out.status.success(), "{out:?}");
        Ok(String::from_utf8_lossy(&out.stdout).into_owned())
    };
    let said = text(&a)?;
    for words in [
        "web is active",
        "Priority 220",
        "200  configured",
        "+20  tracked interface spare0 is up, weight 20",
        "init -> backup: started",
        "backup -> active: no advertisement for",
        "link up",
        "0 events lost",
    ] {
        ensure!(said.contains(words), "{words:?}: {said}");
    }
    let said = text(&b)?;
    ensure!(said.contains("10.77.0.1 advertised priority 220"), "{said}");
    a.process.kill()?;
    b.await_state("web", "active", PATIENCE)?;
    let said = text(&b)?;
    ensure!(
        said.contains("last advertisement from 10.77.0.1 was"),
        "{said}"
    );
    eprintln!("{said}");
    let out = b.command(&["explain", "web", "--json"])?;
    let json: serde_json::Value = serde_json::from_slice(&out.stdout)?;
    let last = json["history"].as_array().and_then(|list| list.last());
    let last = last.context("no history")?;
    ensure!(last["to"] == "active" && last["link_up"] == true, "{last}");
    ensure!(last["heard"]["source"] == "10.77.0.1", "{last}");
    // The advertisement was older than Active_Down_Interval, or nearly: both clocks
    // are read a moment apart.
    let age = last["heard"]["age_ms"].as_f64().context("no age")?;
    ensure!(age >= 340.0, "{age}");
    b.stop()
}

#[test]
fn signals_have_the_data_written_down() -> Result<()> {
    let scene = Scene::new(1)?;
    let host = &scene.lab.nodes[0];
    let secret = ha_tests::daemon::Instance {
        version: 2,
        advert_interval: std::time::Duration::from_secs(1),
        password: Some("geheim"),
        ..ha_tests::daemon::Instance::new(200, &[VIP_CIDR])
    };
    let mut a = ha_tests::daemon::Harrier::start(&scene.lab, host, &[secret])?;
    a.await_state("web", "active", PATIENCE)?;
    let dumps = a.runtime_directory().join("dump");
    a.process.signal(Signal::USR1)?;
    a.process.await_log("dump/data", PATIENCE)?;
    let data = fs::read_to_string(dumps.join("data"))?;
    for words in ["Configuration", "web: VRID 51 on eth0", "active", "no peer"] {
        ensure!(data.contains(words), "{words:?}: {data}");
    }
    ensure!(!data.contains("geheim"), "the password is in {data}");
    a.process.signal(Signal::USR2)?;
    a.process.await_log("dump/stats", PATIENCE)?;
    let stats = fs::read_to_string(dumps.join("stats"))?;
    for words in ["web: 2 transitions", "accepted", "bad_checksum"] {
        ensure!(stats.contains(words), "{words:?}: {stats}");
    }
    a.stop()?;
    ensure!(!dumps.exists(), "the dumps stayed");
    Ok(())
}
