//! Instances that come, go, or become another virtual router.

use anyhow::{Result, ensure};
use ha_tests::daemon::{Harrier, Instance};

use super::scene::{PATIENCE, Scene, VIP, config, db, web};

const GROUP: &str = "\n[[sync_group]]\nname = \"edge\"\ninstances = [\"web\", \"db\"]\n";

#[test]
fn an_instance_is_added_and_removed_beside_another() -> Result<()> {
    let scene = Scene::new(2)?;
    let (host_a, host_b) = scene.lab.pair();
    let (mut a, mut b) = scene.pair(&[web(200)], &[web(100)])?;
    scene.ensure_none_lost("instance added", host_a, || {
        // First in the file: places are not ids.
        let said = a.reload(&config(&[db(200), web(200)]))?;
        ensure!(said == "db: added\n", "{said}");
        a.await_state("db", "active", PATIENCE)?;
        b.reload(&config(&[db(100), web(100)]))
    })?;
    b.await_status("held back by a", PATIENCE, |status| {
        let found = &status.instances[0];
        (found.name == "db" && found.active.as_deref() == Some("10.77.0.1")).then_some(())
    })?;
    ensure!(host_a.has("10.77.0.200")?);
    scene.ensure_none_lost("instance removed", host_a, || {
        let said = a.reload(&config(&[web(200)]))?;
        ensure!(said == "db: removed\n", "{said}");
        // It hands over before it lets go.
        b.await_state("db", "active", PATIENCE)?;
        host_a.await_without("10.77.0.200", PATIENCE)
    })?;
    ensure!(host_b.has("10.77.0.200")?);
    ensure!(Scene::transitions(&mut a, "web")? == 2);
    ensure!(Scene::transitions(&mut b, "web")? == 1);
    a.stop()?;
    b.stop()
}

/// An address that goes from one instance to another stays where it is.
#[test]
fn an_address_goes_from_one_instance_to_another() -> Result<()> {
    let scene = Scene::new(1)?;
    let host = &scene.lab.nodes[0];
    let spare = Instance {
        addresses: vec!["10.77.0.101/16".to_owned()],
        ..web(200)
    };
    let both = Instance {
        addresses: vec!["10.77.0.200/16".to_owned(), "10.77.0.100/16".to_owned()],
        ..db(200)
    };
    let mut a = Harrier::start(&scene.lab, host, &[web(200), db(200)])?;
    for name in ["web", "db"] {
        a.await_state(name, "active", PATIENCE)?;
    }
    scene.await_service(host)?;
    scene.ensure_none_lost("address moved between instances", host, || {
        a.reload(&config(&[spare, both.clone()]))
    })?;
    // And from one that goes.
    scene.ensure_none_lost("address moved back", host, || {
        a.reload(&config(&[web(200), db(200)]))
    })?;
    scene.ensure_none_lost("address of a removed instance", host, || {
        a.reload(&config(&[both]))?;
        a.process.await_log("nobody has taken over", PATIENCE)
    })?;
    ensure!(host.has(VIP)?);
    ensure!(Scene::transitions(&mut a, "db")? == 2);
    a.stop()?;
    ensure!(!host.has(VIP)?);
    Ok(())
}

/// With another VRID it is another virtual router. The old one serves until the new
/// one does, on a node alone too.
#[test]
fn an_instance_becomes_another_virtual_router() -> Result<()> {
    let scene = Scene::new(1)?;
    let host = &scene.lab.nodes[0];
    let mut a = Harrier::start(&scene.lab, host, &[web(200)])?;
    a.await_state("web", "active", PATIENCE)?;
    scene.await_service(host)?;
    let capture = scene.lab.capture(host)?;
    let other = Instance {
        vrid: 77,
        ..web(200)
    };
    scene.ensure_none_lost("another VRID", host, || {
        let said = a.reload(&config(&[other]))?;
        ensure!(said.contains("another virtual router"), "{said}");
        capture.await_advert("of the new", 0, PATIENCE, |it| it.vrid == 77)?;
        a.process.await_log("nobody has taken over", PATIENCE)
    })?;
    a.await_state("web", "active", PATIENCE)?;
    // The same to the kernel program, another to the routers: one after the other.
    let older = Instance {
        version: 2,
        advert_interval: std::time::Duration::from_secs(1),
        ..web(200)
    };
    let v3 = Instance {
        vrid: 77,
        ..web(200)
    };
    let waits = Instance { vrid: 77, ..older };
    a.reload(&config(&[waits]))?;
    a.await_status("that it waits for the former", PATIENCE, |status| {
        let problem = status.instances[0].problem.as_ref()?;
        problem.contains("still serves").then_some(())
    })?;
    a.reload(&config(&[v3]))?;
    a.await_state("web", "active", PATIENCE)?;
    a.stop()?;
    ensure!(!host.has(VIP)?);
    Ok(())
}

#[test]
fn an_instance_goes_to_another_interface() -> Result<()> {
    let scene = Scene::new(1)?;
    let host = &scene.lab.nodes[0];
    host.netns
        .ip("link add spare0 type veth peer name spare1\n\
                   addr add 10.78.0.1/16 dev spare0\n\
                   link set spare1 up\nlink set spare0 up\n")?;
    let mut a = Harrier::start(&scene.lab, host, &[web(200)])?;
    a.await_state("web", "active", PATIENCE)?;
    let elsewhere = Instance {
        interface: "spare0".to_owned(),
        ..Instance::new(200, &["10.78.0.100/16"])
    };
    a.reload(&config(&[elsewhere]))?;
    let status = a.await_state("web", "active", PATIENCE)?;
    ensure!(status.interface == "spare0", "{status:?}");
    host.await_without(VIP, PATIENCE)?;
    // Nothing of ours is left on the interface, the program included.
    let give_up_at = std::time::Instant::now() + PATIENCE;
    while host.has_xdp()? {
        ensure!(std::time::Instant::now() < give_up_at, "the program stayed");
    }
    let shown = host
        .netns
        .ip_show(&["-o", "address", "show", "dev", "spare0"])?;
    ensure!(shown.contains("10.78.0.100/16"), "{shown}");
    a.stop()
}

/// A member that comes into a group that serves does not make it step down, and one
/// that goes leaves it as it is.
#[test]
fn a_sync_group_gets_and_loses_a_member() -> Result<()> {
    let scene = Scene::new(2)?;
    let (host_a, _) = scene.lab.pair();
    let (mut a, mut b) = scene.pair(&[web(200)], &[web(100)])?;
    let grouped = |priority| format!("{}{GROUP}", config(&[web(priority), db(priority)]));
    scene.ensure_none_lost("member added to a group that serves", host_a, || {
        let said = a.reload(&grouped(200))?;
        ensure!(said.contains("sync group edge added"), "{said}");
        a.await_state("db", "active", PATIENCE)?;
        b.reload(&grouped(100))
    })?;
    b.await_state("db", "backup", PATIENCE)?;
    ensure!(Scene::transitions(&mut a, "web")? == 2);
    scene.ensure_none_lost("group and member removed", host_a, || {
        b.reload(&config(&[web(100)]))?;
        a.reload(&config(&[web(200)]))?;
        host_a.await_without("10.77.0.200", PATIENCE)
    })?;
    ensure!(Scene::transitions(&mut a, "web")? == 2);
    a.stop()?;
    b.stop()
}
