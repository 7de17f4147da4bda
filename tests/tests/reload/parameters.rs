//! What changes in place.

use std::time::Duration;

use anyhow::{Result, ensure};
use ha_tests::{daemon::Instance, need};

use super::scene::{PATIENCE, Scene, VIP, VIP_CIDR, config, web};

#[test]
fn an_unchanged_file_changes_nothing() -> Result<()> {
    let scene = Scene::new(2)?;
    let (host_a, _) = scene.lab.pair();
    let (mut a, mut b) = scene.pair(&[web(200)], &[web(100)])?;
    scene.ensure_none_lost("unchanged file, three times, both nodes", host_a, || {
        for _ in 0..3 {
            for (daemon, priority) in [(&mut a, 200), (&mut b, 100)] {
                let said = daemon.reload(&config(&[web(priority)]))?;
                ensure!(said == "nothing has changed\n", "{said}");
            }
        }
        a.process.signal(rustix::process::Signal::HUP)?;
        a.process.await_log("nothing has changed", PATIENCE)
    })?;
    for daemon in [&mut a, &mut b] {
        let transitions = Scene::transitions(daemon, "web")?;
        // Init to Backup, and on node-a to Active.
        ensure!(transitions <= 2, "{transitions} transitions");
    }
    a.stop()?;
    b.stop()
}

/// Another address beside, with all that may come with it: the one that the client
/// asks stays.
#[test]
fn addresses_come_and_go_in_place() -> Result<()> {
    let scene = Scene::new(2)?;
    let (host_a, host_b) = scene.lab.pair();
    let (mut a, mut b) = scene.pair(&[web(200)], &[web(100)])?;
    let both = [VIP_CIDR, "10.77.0.101/16"];
    let more = |priority| {
        Instance::new(priority, &both).with(
            "excluded_addresses = [\"fd77::101/64\"]\n\
             routes = [{ to = \"203.0.113.0/24\", via = \"10.77.0.254\" }]\n\
             rules = [{ from = \"10.77.0.101\", table = 100 }]",
        )
    };
    let capture = scene.lab.capture(&scene.lab.client)?;
    scene.ensure_none_lost("addresses added", host_a, || {
        let said = a.reload(&config(&[more(200)]))?;
        ensure!(said.contains("address 10.77.0.101/16 added"), "{said}");
        ensure!(said.contains("route 203.0.113.0/24 added"), "{said}");
        b.reload(&config(&[more(100)]))
    })?;
    // The answer says that it is in effect.
    for address in [VIP, "10.77.0.101", "fd77::101"] {
        ensure!(host_a.has(address)?, "{address} is missing");
        ensure!(!host_b.has(address)?, "{address} is on a Backup");
    }
    let routes = host_a.netns.ip_show(&["route", "show"])?;
    ensure!(
        routes.contains("203.0.113.0/24 via 10.77.0.254"),
        "{routes}"
    );
    let rules = host_a.netns.ip_show(&["rule", "show"])?;
    ensure!(rules.contains("from 10.77.0.101 lookup 100"), "{rules}");
    capture.await_advert("with both", 0, PATIENCE, |it| {
        it.priority == 200 && it.addresses.len() == 2
    })?;

    scene.ensure_none_lost("addresses removed", host_a, || {
        b.reload(&config(&[web(100)]))?;
        let said = a.reload(&config(&[web(200)]))?;
        ensure!(said.contains("address 10.77.0.101/16 removed"), "{said}");
        Ok(())
    })?;
    ensure!(host_a.has(VIP)?);
    for address in ["10.77.0.101", "fd77::101"] {
        ensure!(!host_a.has(address)?, "{address} stayed");
    }
    let routes = host_a.netns.ip_show(&["route", "show"])?;
    ensure!(!routes.contains("203.0.113.0/24"), "{routes}");
    let rules = host_a.netns.ip_show(&["rule", "show"])?;
    ensure!(!rules.contains("lookup 100"), "{rules}");
    ensure!(Scene::transitions(&mut a, "web")? == 2);
    ensure!(Scene::transitions(&mut b, "web")? == 1);
    a.stop()?;
    ensure!(!host_a.has(VIP)?);
    b.await_state("web", "active", PATIENCE)?;
    b.stop()
}

/// How an address is put on the interface changes: that takes a removal, but it is
/// there again in the same moment.
#[test]
fn an_address_may_get_a_label() -> Result<()> {
    let scene = Scene::new(1)?;
    let host = &scene.lab.nodes[0];
    let mut a = ha_tests::daemon::Harrier::start(&scene.lab, host, &[web(200)])?;
    a.await_state("web", "active", PATIENCE)?;
    scene.await_service(host)?;
    let labelled = Instance::new(200, &[])
        .with("family = \"ipv4\"")
        .to_toml()
        .replace(
            "addresses = []",
            "addresses = [{ address = \"10.77.0.100/16\", label = \"eth0:vip\" }]",
        );
    let (lost, said) = scene.lost(host, || a.reload(&labelled))?;
    eprintln!("label changed: {lost} requests lost");
    ensure!(said.contains("address list changed"), "{said}");
    ensure!(lost <= 50, "{lost} requests were lost");
    let shown = host.netns.ip_show(&["address", "show", "dev", "eth0"])?;
    ensure!(shown.contains("eth0:vip"), "{shown}");
    ensure!(Scene::transitions(&mut a, "web")? == 2);
    a.stop()
}

#[test]
fn priorities_change_in_place() -> Result<()> {
    let scene = Scene::new(2)?;
    let (host_a, host_b) = scene.lab.pair();
    let (mut a, mut b) = scene.pair(&[web(200)], &[web(100)])?;
    let capture = scene.lab.capture(host_b)?;
    scene.ensure_none_lost("priority raised", host_a, || {
        let said = a.reload(&config(&[web(210)]))?;
        ensure!(said == "web: priority 200 -> 210\n", "{said}");
        capture.await_advert("of 210", 0, PATIENCE, |it| it.priority == 210)
    })?;
    ensure!(Scene::transitions(&mut a, "web")? == 2);
    // A Backup that is better by its new configuration takes over.
    let (lost, ()) = scene.lost(host_b, || {
        b.reload(&config(&[web(220)]))?;
        b.await_state("web", "active", PATIENCE)?;
        a.await_state("web", "backup", PATIENCE).map(drop)
    })?;
    eprintln!("a Backup with a greater priority takes over: {lost} requests lost");
    ensure!(lost <= 100, "{lost} requests were lost");
    a.stop()?;
    b.stop()
}

#[test]
fn an_interval_changes_without_a_failover() -> Result<()> {
    let scene = Scene::new(2)?;
    let (host_a, host_b) = scene.lab.pair();
    let (mut a, mut b) = scene.pair(&[web(200)], &[web(100)])?;
    let slow = |priority| Instance {
        advert_interval: Duration::from_secs(1),
        ..web(priority)
    };
    let capture = scene.lab.capture(host_b)?;
    scene.ensure_none_lost("interval ten times as long", host_a, || {
        let said = a.reload(&config(&[slow(200)]))?;
        ensure!(said == "web: advert_interval 100ms -> 1s\n", "{said}");
        // More than the Backup would have waited by the old one.
        let from = capture.mark();
        for _ in 0..2 {
            capture.await_advert("at the new interval", from, PATIENCE, |it| {
                it.interval == Duration::from_secs(1)
            })?;
        }
        b.await_status("the new interval", PATIENCE, |status| {
            (status.instances[0].active_down_interval_ms > 3000.0).then_some(())
        })?;
        b.reload(&config(&[slow(100)]))?;
        b.reload(&config(&[web(100)]))?;
        a.reload(&config(&[web(200)]))
    })?;
    ensure!(Scene::transitions(&mut a, "web")? == 2);
    ensure!(Scene::transitions(&mut b, "web")? == 1);
    a.stop()?;
    b.stop()
}

#[test]
fn whether_packets_are_accepted_changes_in_place() -> Result<()> {
    need::tools(&["nft"])?;
    let scene = Scene::new(1)?;
    let host = &scene.lab.nodes[0];
    let mut a = ha_tests::daemon::Harrier::start(&scene.lab, host, &[web(200)])?;
    a.await_state("web", "active", PATIENCE)?;
    scene.await_service(host)?;
    let tables = || {
        let mut command = host.netns.command("nft");
        ha_tests::command::checked(command.args(["list", "tables"]), "")
    };
    a.reload(&config(&[web(200).with("accept = false")]))?;
    ensure!(tables()?.contains("harrier"), "there is no table");
    a.reload(&config(&[web(200)]))?;
    let mark = scene.probe.mark();
    scene.probe.await_answers(host, mark, 50, PATIENCE)?;
    ensure!(!tables()?.contains("harrier"), "the table stayed");
    ensure!(Scene::transitions(&mut a, "web")? == 2);
    a.stop()
}
