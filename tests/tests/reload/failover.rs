//! Failover by hand.

use std::{
    fs,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use ha_tests::daemon::Instance;
use ha_tests::lab::Host;

use super::scene::{PATIENCE, Scene, config, db, web};

/// One second, as most people have it: what takes a fraction of that has waited for
/// no timer of an interval.
fn slow(instance: Instance) -> Instance {
    Instance {
        advert_interval: Duration::from_secs(1),
        ..instance
    }
}

fn lazy(instance: Instance) -> Instance {
    Instance {
        preempt: false,
        ..instance
    }
}

/// How long the client saw nobody while the address went to `host`.
fn outage(scene: &Scene, what: &str, mark: usize, host: &Host) -> Result<()> {
    scene.probe.await_answers(host, mark, 200, PATIENCE)?;
    let (last, first) = scene.probe.outage(host).context("nobody answered before")?;
    let outage = first.at.since(last.at);
    eprintln!("{what}: the client saw nothing for {outage:?}");
    // Far above what a hand-over takes, far below Skew_Time.
    ensure!(outage < Duration::from_millis(200), "{outage:?}");
    Ok(())
}

/// Also to a router that does not preempt, and from an owner.
#[test]
fn an_instance_is_drained_and_comes_back_without_a_gap() -> Result<()> {
    let owner = Instance {
        priority: 255,
        ..web(255)
    };
    for (of_a, of_b) in [
        (slow(web(200)), slow(lazy(web(100)))),
        (owner, lazy(web(100))),
    ] {
        let scene = Scene::new(2)?;
        let (host_a, host_b) = scene.lab.pair();
        let base = of_a.priority;
        let (mut a, mut b) = scene.pair(std::slice::from_ref(&of_a), &[of_b])?;
        let mark = scene.probe.mark();
        let out = a.command(&["failover", "web"])?;
        ensure!(out.status.success(), "{out:?}");
        b.await_state("web", "active", PATIENCE)?;
        outage(
            &scene,
            &format!("failover from priority {base}"),
            mark,
            host_b,
        )?;
        let status = a.await_state("web", "backup", PATIENCE)?;
        ensure!(status.drained && status.priority == 1, "{status:?}");
        let table = a.command(&["status"])?;
        let table = String::from_utf8_lossy(&table.stdout).into_owned();
        ensure!(table.contains("drained"), "{table}");

        // A reload leaves it so.
        a.reload(&config(&[of_a]))?;
        ensure!(a.await_state("web", "backup", PATIENCE)?.drained);

        let mark = scene.probe.mark();
        let out = a.command(&["failover", "web", "--back"])?;
        ensure!(out.status.success(), "{out:?}");
        let status = a.await_state("web", "active", PATIENCE)?;
        ensure!(!status.drained && status.priority == base, "{status:?}");
        outage(&scene, &format!("and back to {base}"), mark, host_a)?;
        a.stop()?;
        b.stop()?;
    }
    Ok(())
}

#[test]
fn a_sync_group_is_drained_as_one_and_serves_where_nobody_else_does() -> Result<()> {
    let scene = Scene::new(2)?;
    let (host_a, host_b) = scene.lab.pair();
    let group = "\n[[sync_group]]\nname = \"edge\"\ninstances = [\"web\", \"db\"]\n";
    let grouped = |priority| {
        let db = db(priority);
        lazy(web(priority)).with(&format!("{}{group}", lazy(db).to_toml()))
    };
    let (mut a, mut b) = scene.pair(&[grouped(200)], &[grouped(100)])?;
    let mark = scene.probe.mark();
    let out = a.command(&["failover", "db", "--json"])?;
    let done: serde_json::Value = serde_json::from_slice(&out.stdout)?;
    ensure!(
        done["instances"] == serde_json::json!(["web", "db"]),
        "{done}"
    );
    for name in ["web", "db"] {
        b.await_state(name, "active", PATIENCE)?;
        let status = a.await_state(name, "backup", PATIENCE)?;
        ensure!(status.drained, "{status:?}");
    }
    outage(&scene, "failover of a sync group", mark, host_b)?;
    // The other one dies: the least priority is better than none.
    b.process.kill()?;
    a.await_state("web", "active", PATIENCE)?;
    let mark = scene.probe.mark();
    scene.probe.await_answers(host_a, mark, 20, PATIENCE)?;
    a.stop()
}

#[test]
fn one_that_is_alone_serves_on() -> Result<()> {
    let scene = Scene::new(1)?;
    let host = &scene.lab.nodes[0];
    let mut a = ha_tests::daemon::Harrier::start(&scene.lab, host, &[web(200)])?;
    a.await_state("web", "active", PATIENCE)?;
    scene.await_service(host)?;
    scene.ensure_none_lost("failover of a router that is alone", host, || {
        let out = a.command(&["failover", "web"])?;
        ensure!(out.status.success(), "{out:?}");
        a.process.await_log("nobody has taken over", PATIENCE)
    })?;
    let status = a.await_state("web", "active", PATIENCE)?;
    ensure!(status.drained && status.priority == 1, "{status:?}");
    a.stop()
}

#[test]
fn another_router_of_the_same_name_stays_drained() -> Result<()> {
    let begun = Instant::now();
    let scene = Scene::new(1)?;
    let host = &scene.lab.nodes[0];
    let mut a = ha_tests::daemon::Harrier::start(&scene.lab, host, &[web(200)])?;
    a.await_state("web", "active", PATIENCE)?;
    let out = a.command(&["failover", "web"])?;
    ensure!(out.status.success(), "{out:?}");
    let other = |interface: &str| {
        config(&[Instance {
            interface: interface.to_owned(),
            ..web(200)
        }])
    };
    a.reload(&other("nowhere"))?;
    let status = a.await_state("web", "init", PATIENCE)?;
    ensure!(status.drained && status.priority == 1, "{status:?}");
    // Not since the host is up.
    let age = begun.elapsed().as_secs_f64() * 1e3;
    ensure!(status.since_ms <= age, "{status:?}");
    a.reload(&config(&[web(200)]))?;
    let status = a.await_state("web", "active", PATIENCE)?;
    ensure!(status.drained && status.priority == 1, "{status:?}");
    a.stop()
}

#[test]
fn an_unknown_instance_is_refused_with_the_names() -> Result<()> {
    let scene = Scene::new(1)?;
    let host = &scene.lab.nodes[0];
    let mut a = ha_tests::daemon::Harrier::start(&scene.lab, host, &[web(200), db(100)])?;
    a.await_state("web", "active", PATIENCE)?;
    for command in ["failover", "explain"] {
        let out = a.command(&[command, "wbe"])?;
        ensure!(out.status.code() == Some(1), "{out:?}");
        let said = String::from_utf8_lossy(&out.stderr).into_owned();
        ensure!(said.contains("there are: web, db"), "{said}");
    }
    ensure!(fs::metadata(a.config_path()).is_ok());
    a.stop()
}
