//! Files that cannot take effect.

use std::fs;

use anyhow::{Result, ensure};
use ha_tests::daemon::{Harrier, Instance};

use super::scene::{PATIENCE, Scene, config, web};

const REFUSED: &str = "not reloaded, the old configuration goes on";

/// How often the log says that a file was refused.
fn told(a: &Harrier) -> usize {
    a.process.log().matches(REFUSED).count()
}

/// Reloads, which has to fail with `words`.
fn ensure_refused(a: &mut Harrier, words: &str) -> Result<()> {
    let out = a.command(&["reload"])?;
    ensure!(out.status.code() == Some(1), "{:?}", out.status);
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    ensure!(said.contains(REFUSED) && said.contains(words), "{said}");
    Ok(())
}

#[test]
fn a_file_that_cannot_be_used_changes_nothing() -> Result<()> {
    let scene = Scene::new(1)?;
    let host = &scene.lab.nodes[0];
    let mut a = Harrier::start(&scene.lab, host, &[web(200)])?;
    a.await_state("web", "active", PATIENCE)?;
    scene.await_service(host)?;
    let path = a.config_path();
    let good = config(&[web(200)]);
    scene.ensure_none_lost("broken files", host, || {
        fs::write(&path, good.replace("vrid = 51", "vrid = 300"))?;
        ensure_refused(&mut a, "VRID 300")?;
        fs::write(&path, "not TOML at all")?;
        ensure_refused(&mut a, "harrier.toml")?;
        fs::remove_file(&path)?;
        ensure_refused(&mut a, "cannot read the configuration file")?;
        fs::write(&path, format!("xdp_mode = \"generic\"\n{good}"))?;
        ensure_refused(&mut a, "restart")?;
        // What can never work on this host, beside a change that could.
        let own_peer = Instance {
            name: "other".to_owned(),
            vrid: 52,
            unicast: Some((host.ipv4().into(), vec![host.ipv4().into()])),
            ..Instance::new(100, &["10.99.0.1/16"])
        };
        let wider = Instance::new(200, &["10.77.0.100/16", "10.77.0.101/16"]);
        fs::write(&path, config(&[wider, own_peer]))?;
        ensure_refused(&mut a, "10.77.0.1")?;
        let many: Vec<Instance> = (1..=70)
            .map(|number| Instance {
                name: format!("many-{number}"),
                vrid: number,
                ..Instance::new(100, &[&format!("10.77.1.{number}/16")])
            })
            .collect();
        fs::write(&path, config(&many))?;
        ensure_refused(&mut a, "restart the daemon")
    })?;
    ensure!(!host.has("10.77.0.101")?, "half of it took effect");
    let said = a.reload(&good)?;
    ensure!(said == "nothing has changed\n", "{said}");
    // The log is written beside; this line comes after the others.
    a.process.await_log("nothing has changed", PATIENCE)?;
    ensure!(told(&a) == 6, "{}", a.process.log());
    ensure!(Scene::transitions(&mut a, "web")? == 2);
    a.stop()
}

#[test]
fn a_daemon_that_stops_takes_no_other_configuration() -> Result<()> {
    let scene = Scene::new(1)?;
    let host = &scene.lab.nodes[0];
    let slow = Instance {
        // Four of these are the time that a successor has.
        advert_interval: std::time::Duration::from_secs(10),
        ..Instance::new(255, &["10.77.0.100/16"])
    };
    let mut a = Harrier::start(&scene.lab, host, &[slow])?;
    a.await_state("web", "active", PATIENCE)?;
    a.process.signal(rustix::process::Signal::TERM)?;
    a.await_state("web", "releasing", PATIENCE)?;
    fs::write(a.config_path(), config(&[web(100)]))?;
    ensure_refused(&mut a, "stopping")?;
    let out = a.command(&["failover", "web"])?;
    ensure!(out.status.code() == Some(1), "{out:?}");
    a.stop()?;
    ensure!(!host.has("10.77.0.100")?);
    Ok(())
}
