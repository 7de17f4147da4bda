//! A link that goes down and comes back.

use std::time::Duration;

use anyhow::{Result, ensure};
use ha_tests::{
    daemon::{Harrier, Instance},
    lab::Lab,
};

const PATIENCE: Duration = Duration::from_secs(20);
const VIP: &str = "10.77.0.100";

#[test]
fn an_instance_follows_its_link() -> Result<()> {
    let lab = Lab::new(1)?;
    let host = &lab.nodes[0];
    // Without a link at the start it waits, and has nothing.
    host.netns.ip("link set eth0 down\n")?;
    let mut harrier = Harrier::start(&lab, host, &[Instance::new(100, &["10.77.0.100/16"])])?;
    let status = harrier.await_state("web", "init", PATIENCE)?;
    ensure!(
        status.transitions == 0,
        "it took part without a link: {status:?}"
    );
    host.netns.ip("link set eth0 up\n")?;
    harrier.await_state("web", "active", PATIENCE)?;
    ensure!(host.has(VIP)?);

    host.netns.ip("link set eth0 down\n")?;
    harrier.await_state("web", "fault", PATIENCE)?;
    ensure!(!host.has(VIP)?, "an address stayed without a link");
    host.netns.ip("link set eth0 up\n")?;
    harrier.await_state("web", "active", PATIENCE)?;
    ensure!(host.has(VIP)?);
    harrier.stop()
}
