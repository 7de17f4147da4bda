//! What is wrong between two routers is told, with the peer and the remedy, and
//! stands in the status.

use std::{net::IpAddr, time::Duration};

use anyhow::{Result, ensure};
use ha_tests::{
    capture::inject,
    daemon::{Conflict, Harrier, Instance},
    forge::Forgery,
    lab::{INTERFACE, Lab},
};

const PATIENCE: Duration = Duration::from_secs(20);
const VIP: &str = "10.77.0.100";
const VIP_CIDR: &str = "10.77.0.100/16";

/// Waits until the status of `harrier` has a conflict of `kind`.
fn await_conflict(harrier: &mut Harrier, kind: &str) -> Result<Conflict> {
    harrier.await_status(&format!("a conflict {kind}"), PATIENCE, |status| {
        let conflicts = &status.instances[0].conflicts;
        conflicts.iter().find(|found| found.kind == kind).cloned()
    })
}

/// `ours` has a conflict of `kind` with the peer that runs `theirs`, named with
/// its address and MAC address; the text and the log say `words`.
fn told(kind: &str, ours: &Instance, theirs: &Instance, words: &str) -> Result<()> {
    let lab = Lab::new(2)?;
    let (host_a, host_b) = lab.pair();
    let mut b = Harrier::start(&lab, host_b, std::slice::from_ref(theirs))?;
    b.await_state("web", "active", PATIENCE)?;
    let mut a = Harrier::start(&lab, host_a, std::slice::from_ref(ours))?;
    let found = await_conflict(&mut a, kind)?;
    ensure!(found.address == host_b.ipv4().to_string(), "{found:?}");
    ensure!(found.mac == host_b.mac().to_string(), "{found:?}");
    ensure!(found.times >= 1, "{found:?}");
    ensure!(found.text.contains(words), "{words:?} is not in {found:?}");
    a.process.await_log(words, PATIENCE)?;
    Ok(())
}

fn instance(priority: u8) -> Instance {
    Instance {
        advert_interval: Duration::from_secs(1),
        ..Instance::new(priority, &[VIP_CIDR])
    }
}

fn by_unicast(priority: u8, own: &str, peer: &str) -> Instance {
    let parse = |text: &str| text.parse::<IpAddr>().expect("an address");
    Instance {
        unicast: Some((parse(own), vec![parse(peer)])),
        ..instance(priority)
    }
}

#[test]
fn another_version() -> Result<()> {
    let theirs = Instance {
        version: 2,
        ..instance(200)
    };
    told(
        "version",
        &instance(100),
        &theirs,
        "speaks version 2, we speak version 3",
    )
}

#[test]
fn another_interval_that_is_adopted() -> Result<()> {
    let theirs = Instance {
        advert_interval: Duration::from_millis(200),
        ..instance(200)
    };
    told(
        "interval",
        &instance(100),
        &theirs,
        "advertises every 200ms",
    )
}

#[test]
fn another_interval_that_version_2_refuses() -> Result<()> {
    let ours = Instance {
        version: 2,
        ..instance(100)
    };
    let theirs = Instance {
        version: 2,
        advert_interval: Duration::from_secs(2),
        ..instance(200)
    };
    told("interval", &ours, &theirs, "which version 2 refuses")
}

#[test]
fn another_password() -> Result<()> {
    let with = |priority, password| Instance {
        version: 2,
        password: Some(password),
        ..instance(priority)
    };
    told(
        "authentication",
        &with(100, "one"),
        &with(200, "other"),
        "set password alike",
    )
}

#[test]
fn another_list_of_addresses() -> Result<()> {
    let theirs = Instance {
        addresses: vec!["10.77.0.101/16".to_owned()],
        ..instance(200)
    };
    told(
        "address-list",
        &instance(100),
        &theirs,
        "advertises other addresses for VRID 51",
    )
}

#[test]
fn the_other_form_of_the_checksum() -> Result<()> {
    let theirs = instance(200).with("checksum = \"message-only\"");
    told(
        "checksum",
        &instance(100),
        &theirs,
        "set checksum = \"message-only\"",
    )
}

#[test]
fn unicast_where_we_use_multicast() -> Result<()> {
    let theirs = by_unicast(200, "10.77.0.2", "10.77.0.1");
    told(
        "transport",
        &instance(100),
        &theirs,
        "by unicast where we use multicast",
    )
}

#[test]
fn a_source_that_is_not_listed() -> Result<()> {
    let ours = by_unicast(100, "10.77.0.1", "10.77.0.9");
    let theirs = by_unicast(200, "10.77.0.2", "10.77.0.1");
    told("transport", &ours, &theirs, "is not among the peers")
}

/// A router that does not hear us is Active too, and says so.
#[test]
fn a_second_active() -> Result<()> {
    let lab = Lab::new(2)?;
    let (host_a, host_b) = lab.pair();
    let mut a = Harrier::start(&lab, host_a, &[instance(200)])?;
    a.await_state("web", "active", PATIENCE)?;
    let deaf = Forgery {
        // Its interval is ours: one second.
        interval: [0, 100],
        ..Forgery::new(host_b, 100, &[VIP.parse()?])
    }
    .frame();
    let found = a.await_status("a conflict two-actives", PATIENCE, |status| {
        // In the first second it could be the last word of a former Active.
        inject(&host_b.netns, INTERFACE, &deaf).ok()?;
        let conflicts = &status.instances[0].conflicts;
        conflicts
            .iter()
            .find(|found| found.kind == "two-actives")
            .cloned()
    })?;
    ensure!(found.address == host_b.ipv4().to_string(), "{found:?}");
    ensure!(found.mac == host_b.mac().to_string(), "{found:?}");
    ensure!(
        found.text.contains("is Active too, with priority 100"),
        "{found:?}"
    );
    a.process.await_log("is Active too", PATIENCE)?;
    Ok(())
}

#[test]
fn a_stranger_that_claims_our_address() -> Result<()> {
    let lab = Lab::new(2)?;
    let (host_a, stranger) = lab.pair();
    let mut a = Harrier::start(&lab, host_a, &[instance(200)])?;
    a.await_state("web", "active", PATIENCE)?;
    let claim = ha_common::wire::arp::gratuitous(stranger.mac(), VIP.parse()?);
    let found = a.await_status("a conflict claim", PATIENCE, |status| {
        // In the first second it could be the former Active's.
        inject(&stranger.netns, INTERFACE, &claim).ok()?;
        let conflicts = &status.instances[0].conflicts;
        conflicts
            .iter()
            .find(|found| found.kind == "claim")
            .cloned()
    })?;
    ensure!(found.address == VIP, "{found:?}");
    ensure!(found.mac == stranger.mac().to_string(), "{found:?}");
    a.process.await_log("claims 10.77.0.100", PATIENCE)?;
    Ok(())
}

/// Of instances that advertise together one is asked for at a time. Whoever answers
/// for one may have been Active for all of them, so all are announced again.
#[test]
fn an_answer_counts_for_all_that_advertise_together() -> Result<()> {
    /// More than a takeover alone comes with.
    const ANNOUNCEMENTS: usize = 10;

    let lab = Lab::new(2)?;
    let (host_a, stranger) = lab.pair();
    let instances = [1, 2, 3].map(|number: u8| Instance {
        name: format!("i{number}"),
        vrid: number,
        ..Instance::new(200, &[&format!("10.77.0.{}/16", 100 + number)])
    });
    let mut a = Harrier::start(&lab, host_a, &instances)?;
    for instance in &instances {
        a.await_state(&instance.name, "active", PATIENCE)?;
    }
    let capture = lab.capture(stranger)?;
    stranger
        .netns
        .ip(&format!("address add 10.77.0.103/16 dev {INTERFACE}"))?;
    let mut from = capture.mark();
    let mut seen = [0; 3];
    while seen.iter().any(|seen| *seen < ANNOUNCEMENTS) {
        capture.await_frame("an announcement", from, PATIENCE, |frame| {
            frame.outgoing
                && [101, 102, 103].iter().any(|last| {
                    let address = IpAddr::from([10, 77, 0, *last]);
                    frame.packet.announces(address)
                })
        })?;
        let frames = capture.frames();
        for frame in &frames[from..] {
            for (seen, last) in seen.iter_mut().zip([101, 102, 103]) {
                let address = IpAddr::from([10, 77, 0, last]);
                *seen += usize::from(frame.outgoing && frame.packet.announces(address));
            }
        }
        from = frames.len();
    }
    Ok(())
}
