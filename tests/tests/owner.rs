//! Priority 255: the router whose own address is the virtual one.

use std::time::Duration;

use anyhow::{Result, ensure};
use ha_tests::{
    daemon::{Harrier, Instance},
    lab::Lab,
};

const PATIENCE: Duration = Duration::from_secs(20);

/// The first node's own address.
const OWN: &str = "10.77.0.1";
const OWN_CIDR: &str = "10.77.0.1/16";

#[test]
fn an_owner_serves_its_own_address_and_keeps_it() -> Result<()> {
    let lab = Lab::new(2)?;
    let (owner, other) = lab.pair();
    let at_client = lab.capture(&lab.client)?;

    let mark = at_client.mark();
    let mut a = Harrier::start(&lab, owner, &[Instance::new(255, &[OWN_CIDR])])?;
    let status = a.await_state("web", "active", PATIENCE)?;
    ensure!(
        status.transitions == 1,
        "the owner waited as Backup: {status:?}"
    );
    at_client.await_advert("the owner's advertisement", mark, PATIENCE, |advert| {
        advert.priority == 255 && advert.source == std::net::IpAddr::from(owner.ipv4())
    })?;

    let mut b = Harrier::start(&lab, other, &[Instance::new(100, &[OWN_CIDR])])?;
    b.await_state("web", "backup", PATIENCE)?;
    lab.cut(owner)?;
    b.await_state("web", "active", PATIENCE)?;
    ensure!(other.has(OWN)?, "the Backup has taken the address over");
    lab.mend(owner)?;
    b.await_state("web", "backup", PATIENCE)?;
    other.await_without(OWN, PATIENCE)?;

    a.stop()?;
    ensure!(
        owner.has(OWN)?,
        "an address that Harrier did not add was removed"
    );
    Ok(())
}
