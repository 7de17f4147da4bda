//! Priority 255: the router whose own address is the virtual one; what is told
//! where it is not.

use std::{net::IpAddr, time::Duration};

use anyhow::{Result, ensure};
use ha_tests::{
    daemon::{Conflict, Harrier, Instance},
    lab::{Host, Lab},
};

const PATIENCE: Duration = Duration::from_secs(20);

/// The first node's own address.
const OWN: &str = "10.77.0.1";
const OWN_CIDR: &str = "10.77.0.1/16";

const VIP: &str = "10.77.0.100";
const VIP_CIDR: &str = "10.77.0.100/16";

/// Waits until the status has a conflict `owner` with `address`.
fn await_told(harrier: &mut Harrier, address: &str, mac: &Host) -> Result<Conflict> {
    let found = harrier.await_status("a conflict owner", PATIENCE, |status| {
        let conflicts = &status.instances[0].conflicts;
        conflicts
            .iter()
            .find(|it| it.kind == "owner" && it.address == address)
            .cloned()
    })?;
    ensure!(found.mac == mac.mac().to_string(), "{found:?}");
    Ok(found)
}

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
    ensure!(status.conflicts.is_empty(), "{status:?}");
    at_client.await_advert("the owner's advertisement", mark, PATIENCE, |advert| {
        advert.priority == 255 && advert.source == IpAddr::from(owner.ipv4())
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

#[test]
fn an_owner_that_has_not_got_the_addresses_is_told() -> Result<()> {
    let lab = Lab::new(1)?;
    let host = &lab.nodes[0];
    let instance = Instance::new(255, &[OWN_CIDR, VIP_CIDR, "10.77.0.101/16"]);
    let mut a = Harrier::start(&lab, host, &[instance])?;
    let found = await_told(&mut a, VIP, host)?;
    let words = "this host owns 10.77.0.100 and 1 more, but no interface of it has that address";
    ensure!(found.text.contains(words), "{found:?}");
    a.process.await_log(words, PATIENCE)?;
    // It takes part all the same.
    a.await_state("web", "active", PATIENCE)?;
    ensure!(host.has(VIP)?);
    a.stop()?;

    // Any other priority says nothing of that kind.
    let instance = Instance::new(254, &[VIP_CIDR]);
    let mut a = Harrier::start(&lab, host, &[instance])?;
    let status = a.await_state("web", "active", PATIENCE)?;
    ensure!(status.conflicts.is_empty(), "{status:?}");
    Ok(())
}

#[test]
fn two_owners_are_told_of_each_other() -> Result<()> {
    let lab = Lab::new(2)?;
    let (lesser, greater) = lab.pair();
    for host in [lesser, greater] {
        // Its own, on whatever interface.
        host.netns.ip(&format!("addr add {VIP}/32 dev lo\n"))?;
    }
    let at_client = lab.capture(&lab.client)?;
    let owner = || Instance::new(255, &[VIP_CIDR]);
    let mut b = Harrier::start(&lab, greater, &[owner()])?;
    let status = b.await_state("web", "active", PATIENCE)?;
    ensure!(status.conflicts.is_empty(), "{status:?}");
    // What is heard within the first interval of an Active is a former one's.
    for _ in 0..2 {
        at_client.await_advert("the first owner", at_client.mark(), PATIENCE, |advert| {
            advert.source == IpAddr::from(greater.ipv4())
        })?;
    }
    let mut a = Harrier::start(&lab, lesser, &[owner()])?;
    let words = "advertises priority 255 as we do";
    for (harrier, other) in [(&mut a, greater), (&mut b, lesser)] {
        let found = await_told(harrier, &other.ipv4().to_string(), other)?;
        ensure!(found.text.contains(words), "{found:?}");
        harrier.process.await_log(words, PATIENCE)?;
    }
    a.await_state("web", "backup", PATIENCE)?;
    Ok(())
}

#[test]
fn an_owner_with_a_virtual_mac_leaves_the_address_to_harrier() -> Result<()> {
    let lab = Lab::new(1)?;
    let host = &lab.nodes[0];
    let instance = || Instance::new(255, &[VIP_CIDR]).with("virtual_mac = true");
    let mut a = Harrier::start(&lab, host, &[instance()])?;
    let status = a.await_state("web", "active", PATIENCE)?;
    ensure!(status.conflicts.is_empty(), "{status:?}");
    a.stop()?;

    host.netns.ip(&format!("addr add {VIP}/32 dev eth0\n"))?;
    let mut a = Harrier::start(&lab, host, &[instance()])?;
    let found = await_told(&mut a, VIP, host)?;
    ensure!(
        found
            .text
            .contains("its own MAC address answers for it beside that of the virtual router"),
        "{found:?}"
    );
    Ok(())
}
