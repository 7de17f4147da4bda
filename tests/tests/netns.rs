//! Harrier against Harrier, in namespaces: who is elected, who takes over when,
//! and what is left behind.
//!
//! Times are asserted as the protocol's lower bounds, and as upper bounds wide
//! enough for a busy machine: they catch a hang, not a slow machine.

use std::{net::IpAddr, time::Duration};

use anyhow::{Context as _, Result, ensure};
use ha_tests::{
    capture::{Capture, Frame},
    daemon::{Harrier, Instance},
    decode::Packet,
    lab::{Host, Lab},
    probe::{Probe, Responder},
    run::mounts_below,
};

/// What takes longer hangs.
const PATIENCE: Duration = Duration::from_secs(20);

/// Active_Down_Interval of priority 100 at 100 ms, by hand:
/// 3 × 100 ms + (256 − 100) / 256 × 100 ms. Not by the code under test.
const ACTIVE_DOWN: Duration = Duration::from_nanos(360_937_500);
/// The same at 10 ms.
const ACTIVE_DOWN_FAST: Duration = Duration::from_nanos(36_093_750);
/// Skew_Time of priority 100 at 100 ms.
const SKEW: Duration = Duration::from_nanos(60_937_500);

/// Less than the span after which the first announcement is repeated, so that a
/// repetition does not pass for it.
const PROMPT: Duration = Duration::from_millis(95);

const VIP: &str = "10.77.0.100";
const VIP_CIDR: &str = "10.77.0.100/16";
const VIP6: &str = "fd77::100";
const VIPS6: &[&str] = &["fe80::100/64", "fd77::100/64"];

fn high() -> Instance {
    Instance::new(200, &[VIP_CIDR])
}

fn low() -> Instance {
    Instance::new(100, &[VIP_CIDR])
}

/// A lab whose first node is Active and whose second is Backup.
struct Pair {
    a: Harrier,
    b: Harrier,
    at_client: Capture,
    at_b: Capture,
    lab: Lab,
}

impl Pair {
    fn settled(on_a: &[Instance], on_b: &[Instance]) -> Result<Self> {
        let lab = Lab::new(2)?;
        let (host_a, host_b) = lab.pair();
        let at_client = lab.capture(&lab.client)?;
        let at_b = lab.capture(host_b)?;
        let mut a = Harrier::start(&lab, host_a, on_a)?;
        for instance in on_a {
            a.await_state(&instance.name, "active", PATIENCE)?;
        }
        let mut b = Harrier::start(&lab, host_b, on_b)?;
        for instance in on_b {
            b.await_state(&instance.name, "backup", PATIENCE)?;
        }
        // The Backup has heard the Active, so its Active_Down runs from there.
        for instance in on_a {
            at_b.await_adverts("adverts of node-a", at_b.mark(), 3, PATIENCE, |advert| {
                advert.vrid == instance.vrid
            })?;
        }
        Ok(Self {
            a,
            b,
            at_client,
            at_b,
            lab,
        })
    }
}

fn from(host: &Host) -> impl Fn(&Frame) -> bool + use<> {
    let sources = [IpAddr::from(host.ipv4()), IpAddr::from(host.link_local())];
    move |frame| {
        frame
            .advert()
            .is_some_and(|advert| sources.contains(&advert.source))
    }
}

/// The last advertisement that `b` heard of `a` before it first advertised
/// itself after `mark`, and that first one.
fn takeover(at_b: &Capture, mark: usize, a: &Host, b: &Host) -> Result<(Frame, Frame)> {
    let is_from_a = from(a);
    let is_from_b = from(b);
    let first = at_b.await_frame("the takeover", mark, PATIENCE, |frame| {
        !frame.outgoing && is_from_b(frame)
    })?;
    let last = at_b
        .frames()
        .into_iter()
        .rfind(|frame| frame.at < first.at && frame.outgoing && is_from_a(frame))
        .context("the Active was never heard")?;
    Ok((last, first))
}

#[test]
fn the_higher_priority_is_elected_whoever_comes_first() -> Result<()> {
    let lab = Lab::new(2)?;
    let (host_a, host_b) = lab.pair();
    let at_client = lab.capture(&lab.client)?;
    let mut b = Harrier::start(&lab, host_b, &[low()])?;
    b.await_state("web", "active", PATIENCE)?;
    ensure!(host_b.has(VIP)?, "an Active router has the address");

    let mut a = Harrier::start(&lab, host_a, &[high()])?;
    a.await_state("web", "active", PATIENCE)?;
    let status = b.await_state("web", "backup", PATIENCE)?;
    ensure!(status.active.as_deref() == Some("10.77.0.1"), "{status:?}");

    // From here on only node-a advertises.
    let mark = at_client.mark();
    at_client.await_adverts("adverts", mark, 5, PATIENCE, |_| true)?;
    ensure!(
        !at_client.frames()[mark..].iter().any(from(host_b)),
        "a Backup advertised"
    );
    ensure!(host_a.has(VIP)?);
    ensure!(!host_b.has(VIP)?, "a Backup has the address");
    let peers = b.peers()?;
    let [peer] = &peers[..] else {
        anyhow::bail!("one peer: {peers:?}")
    };
    ensure!(
        peer.address == "10.77.0.1" && peer.priority == 200,
        "{peer:?}"
    );
    ensure!(
        peer.mac == host_a.mac().to_string() && peer.adverts >= 5,
        "{peer:?}"
    );
    Ok(())
}

#[test]
fn equal_priority_goes_to_the_greater_address() -> Result<()> {
    let lab = Lab::new(2)?;
    let (host_a, host_b) = lab.pair();
    // Apart from each other both become Active; when they meet, one yields.
    lab.cut(host_b)?;
    let instance = Instance::new(150, &[VIP_CIDR]);
    let mut a = Harrier::start(&lab, host_a, std::slice::from_ref(&instance))?;
    let mut b = Harrier::start(&lab, host_b, &[instance])?;
    a.await_state("web", "active", PATIENCE)?;
    b.await_state("web", "active", PATIENCE)?;

    lab.mend(host_b)?;
    let status = a.await_state("web", "backup", PATIENCE)?;
    ensure!(status.active.as_deref() == Some("10.77.0.2"), "{status:?}");
    host_a.await_without(VIP, PATIENCE)?;
    let status = b.status()?.context("node-b answers")?;
    ensure!(status.instances[0].state == "active" && status.instances[0].transitions == 2);
    Ok(())
}

#[test]
fn a_dead_active_is_replaced_after_active_down() -> Result<()> {
    let mut pair = Pair::settled(&[high()], &[low()])?;
    let (host_a, host_b) = pair.lab.pair();
    let _responders = [Responder::start(host_a)?, Responder::start(host_b)?];
    let probe = Probe::start(&pair.lab.client, VIP.parse()?)?;
    probe.await_answers(host_a, 0, 100, PATIENCE)?;

    let mark = pair.at_b.mark();
    let answered = probe.mark();
    let cut_at = pair.lab.cut(host_a)?;
    let (last, first) = takeover(&pair.at_b, mark, host_a, host_b)?;
    let waited = first.at.since(last.at);
    let due = ACTIVE_DOWN;
    ensure!(
        waited >= due,
        "took over after {waited:?}, before Active_Down {due:?}"
    );
    ensure!(
        waited < due + Duration::from_secs(2),
        "took over only after {waited:?}"
    );

    probe.await_answers(host_b, answered, 50, PATIENCE)?;
    let announcement = pair
        .at_client
        .await_frame("gratuitous ARP", 0, PATIENCE, |frame| {
            frame.at > cut_at && frame.packet.announces(IpAddr::from([10, 77, 0, 100]))
        })?;
    ensure!(matches!(announcement.packet, Packet::Arp { mac, .. } if mac == host_b.mac()));

    // The dead one comes back, still believing that it is Active: it outranks.
    pair.lab.mend(host_a)?;
    let mark = probe.mark();
    pair.b.await_state("web", "backup", PATIENCE)?;
    probe.await_answers(host_a, mark, 50, PATIENCE)?;
    host_b.await_without(VIP, PATIENCE)?;
    Ok(())
}

#[test]
fn a_clean_stop_hands_over_within_the_skew() -> Result<()> {
    let mut pair = Pair::settled(&[high()], &[low()])?;
    let (host_a, host_b) = pair.lab.pair();
    let mark = pair.at_b.mark();
    pair.a.stop()?;
    ensure!(!host_a.has(VIP)?, "the address is left behind");
    ensure!(!host_a.has_xdp()?, "the program is left behind");
    ensure!(
        mounts_below(pair.a.runtime_directory()).is_empty(),
        "a mount is left behind"
    );

    let (last, first) = takeover(&pair.at_b, mark, host_a, host_b)?;
    ensure!(
        last.advert().is_some_and(|advert| advert.priority == 0),
        "{last:?}"
    );
    let waited = first.at.since(last.at);
    let skew = SKEW;
    ensure!(
        waited >= skew,
        "took over after {waited:?}, before Skew_Time {skew:?}"
    );
    // Active_Down_Interval less Skew_Time: what a lost priority 0 would cost.
    ensure!(
        waited < Duration::from_millis(300),
        "took over only after {waited:?}"
    );
    pair.b.await_state("web", "active", PATIENCE)?;
    ensure!(host_b.has(VIP)?);
    Ok(())
}

#[test]
fn preempt_takes_the_address_back() -> Result<()> {
    let mut pair = Pair::settled(&[high()], &[low()])?;
    let (host_a, host_b) = pair.lab.pair();
    pair.a.stop()?;
    pair.b.await_state("web", "active", PATIENCE)?;
    let mut again = Harrier::start(&pair.lab, host_a, &[high()])?;
    again.await_state("web", "active", PATIENCE)?;
    pair.b.await_state("web", "backup", PATIENCE)?;
    ensure!(host_a.has(VIP)?);
    host_b.await_without(VIP, PATIENCE)?;
    Ok(())
}

#[test]
fn without_preempt_the_address_stays() -> Result<()> {
    let mut pair = Pair::settled(&[high()], &[low()])?;
    let (host_a, host_b) = pair.lab.pair();
    pair.a.stop()?;
    pair.b.await_state("web", "active", PATIENCE)?;
    let mark = pair.at_client.mark();
    let patient = Instance {
        preempt: false,
        ..high()
    };
    let mut again = Harrier::start(&pair.lab, host_a, &[patient])?;
    again.await_state("web", "backup", PATIENCE)?;
    // Far longer than node-a's Active_Down_Interval of 3.2 intervals.
    let is_from_b = from(host_b);
    let mut heard = 0;
    let seen = pair.at_client.mark();
    pair.at_client
        .await_frame("ten adverts of node-b", seen, PATIENCE, |frame| {
            heard += u32::from(is_from_b(frame));
            heard == 10
        })?;
    ensure!(
        !pair.at_client.frames()[mark..].iter().any(from(host_a)),
        "node-a advertised"
    );
    again.await_state("web", "backup", PATIENCE)?;
    Ok(())
}

#[test]
fn ipv6_fails_over_too() -> Result<()> {
    let pair = Pair::settled(&[Instance::new(200, VIPS6)], &[Instance::new(100, VIPS6)])?;
    let (host_a, host_b) = pair.lab.pair();
    let _responders = [Responder::start(host_a)?, Responder::start(host_b)?];
    let probe = Probe::start(&pair.lab.client, VIP6.parse()?)?;
    probe.await_answers(host_a, 0, 100, PATIENCE)?;

    let mark = pair.at_b.mark();
    let answered = probe.mark();
    let cut_at = pair.lab.cut(host_a)?;
    let (last, first) = takeover(&pair.at_b, mark, host_a, host_b)?;
    let waited = first.at.since(last.at);
    let due = ACTIVE_DOWN;
    ensure!(
        waited >= due,
        "took over after {waited:?}, before Active_Down {due:?}"
    );
    let advert = first.advert().context("an advert")?;
    ensure!(
        advert.source == IpAddr::from(host_b.link_local()),
        "{advert:?}"
    );
    let expected: Vec<IpAddr> = vec!["fe80::100".parse()?, VIP6.parse()?];
    ensure!(advert.addresses == expected, "link-local first: {advert:?}");

    probe.await_answers(host_b, answered, 50, PATIENCE)?;
    for address in expected {
        let announcement =
            pair.at_client
                .await_frame("neighbour advertisement", 0, PATIENCE, |frame| {
                    frame.at > cut_at && frame.packet.announces(address)
                })?;
        let Packet::NeighbourAdvertisement { flags, mac, .. } = announcement.packet else {
            anyhow::bail!("{announcement:?}")
        };
        ensure!(
            flags & 0x60 == 0x20,
            "override and not solicited, but flags are {flags:#x}"
        );
        ensure!(mac == Some(host_b.mac()), "{mac:?}");
    }
    let shown = host_b
        .netns
        .ip_show(&["-6", "address", "show", "dev", "eth0", "tentative"])?;
    ensure!(
        shown.trim().is_empty(),
        "duplicate address detection runs:\n{shown}"
    );
    Ok(())
}

#[test]
fn every_address_of_an_instance_moves() -> Result<()> {
    let cidrs = ["10.77.0.100/16", "10.77.0.101/16", "10.77.9.9/32"];
    let addresses = ["10.77.0.100", "10.77.0.101", "10.77.9.9"];
    let pair = Pair::settled(&[Instance::new(200, &cidrs)], &[Instance::new(100, &cidrs)])?;
    let (host_a, host_b) = pair.lab.pair();
    for address in addresses {
        ensure!(host_a.has(address)?, "{address}");
        host_b.await_without(address, PATIENCE)?;
    }
    let mark = pair.at_b.mark();
    let cut_at = pair.lab.cut(host_a)?;
    let (_, first) = takeover(&pair.at_b, mark, host_a, host_b)?;
    let listed = &first.advert().context("an advert")?.addresses;
    for address in addresses {
        let ip: IpAddr = address.parse()?;
        ensure!(listed.contains(&ip), "{address} is not in {listed:?}");
        pair.at_client.await_frame(address, 0, PATIENCE, |frame| {
            frame.at > cut_at && frame.packet.announces(ip)
        })?;
        ensure!(host_b.has(address)?, "{address} is announced but not there");
    }
    Ok(())
}

/// The announcement goes out with the takeover, not when a timer next runs: the
/// new Active's second advertisement is an interval away.
#[test]
fn the_first_announcement_goes_out_with_the_takeover() -> Result<()> {
    let slow = |priority| Instance {
        advert_interval: Duration::from_secs(1),
        ..Instance::new(priority, &[VIP_CIDR, "10.77.0.101/16"])
    };
    let mut pair = Pair::settled(&[slow(200)], &[slow(100)])?;
    let (host_a, host_b) = pair.lab.pair();
    let mark = pair.at_client.mark();
    pair.a.stop()?;
    let first = pair
        .at_client
        .await_frame("the takeover", mark, PATIENCE, from(host_b))?;
    for address in [VIP, "10.77.0.101"] {
        let ip: IpAddr = address.parse()?;
        let announced = pair
            .at_client
            .await_frame(address, mark, PATIENCE, |frame| {
                frame.at >= first.at && frame.packet.announces(ip)
            })?;
        let after = announced.at.since(first.at);
        ensure!(
            after < PROMPT,
            "{address} was announced {after:?} after the takeover"
        );
    }
    ensure!(host_a.addresses()?.iter().all(|address| address != VIP));
    Ok(())
}

#[test]
fn a_start_removes_what_a_killed_predecessor_left() -> Result<()> {
    let mut pair = Pair::settled(&[high()], &[low()])?;
    let (host_a, _) = pair.lab.pair();
    pair.a.process.kill()?;
    ensure!(host_a.has(VIP)?, "nobody was there to remove it");
    pair.b.await_state("web", "active", PATIENCE)?;

    let patient = Instance {
        preempt: false,
        ..high()
    };
    let mut again = Harrier::start(&pair.lab, host_a, &[patient])?;
    again.await_state("web", "backup", PATIENCE)?;
    ensure!(!host_a.has(VIP)?, "the left-over address is still there");
    again.stop()?;
    ensure!(!host_a.has_xdp()?);
    Ok(())
}

#[test]
fn an_address_of_someone_else_is_left_alone() -> Result<()> {
    let lab = Lab::new(2)?;
    let (host_a, host_b) = lab.pair();
    host_b.netns.ip("addr add 10.77.0.100/16 dev eth0")?;
    let mut a = Harrier::start(&lab, host_a, &[high()])?;
    a.await_state("web", "active", PATIENCE)?;
    let mut b = Harrier::start(&lab, host_b, &[low()])?;
    b.await_state("web", "backup", PATIENCE)?;
    ensure!(host_b.has(VIP)?, "removed at the start");
    a.stop()?;
    b.await_state("web", "active", PATIENCE)?;
    b.stop()?;
    ensure!(host_b.has(VIP)?, "removed at the stop");
    Ok(())
}

#[test]
fn ten_millisecond_advertisements_fail_over() -> Result<()> {
    let fast = |priority| Instance {
        advert_interval: Duration::from_millis(10),
        ..Instance::new(priority, &[VIP_CIDR])
    };
    let mut pair = Pair::settled(&[fast(200)], &[fast(100)])?;
    let (host_a, host_b) = pair.lab.pair();
    let mark = pair.at_b.mark();
    pair.lab.cut(host_a)?;
    let (last, first) = takeover(&pair.at_b, mark, host_a, host_b)?;
    let waited = first.at.since(last.at);
    let due = ACTIVE_DOWN_FAST;
    ensure!(
        waited >= due,
        "took over after {waited:?}, before Active_Down {due:?}"
    );
    ensure!(
        waited < due + Duration::from_secs(1),
        "took over only after {waited:?}"
    );
    let status = pair.b.await_state("web", "active", PATIENCE)?;
    ensure!(
        (status.advert_interval_ms - 10.0).abs() < 1e-9,
        "{status:?}"
    );
    Ok(())
}

#[test]
fn two_daemons_of_one_machine_do_not_meet() -> Result<()> {
    let lab = Lab::new(2)?;
    let (host_a, host_b) = lab.pair();
    let mine = Instance {
        name: "left".into(),
        vrid: 1,
        ..high()
    };
    let other = Instance {
        name: "right".into(),
        vrid: 2,
        ..Instance::new(200, &["10.77.0.200/16"])
    };
    let mut a = Harrier::start(&lab, host_a, &[mine])?;
    let mut b = Harrier::start(&lab, host_b, &[other])?;
    a.await_state("left", "active", PATIENCE)?;
    b.await_state("right", "active", PATIENCE)?;
    for (daemon, name) in [(&a, "left"), (&b, "right")] {
        let status = daemon.status()?.context("it answers")?;
        ensure!(
            status.instances.len() == 1 && status.instances[0].name == name,
            "{status:?}"
        );
        ensure!(
            daemon.runtime_directory().join("bpf/peers").exists(),
            "{name} has its pins"
        );
    }

    a.stop()?;
    let at_client = lab.capture(&lab.client)?;
    at_client.await_adverts("adverts of the other", 0, 5, PATIENCE, |advert| {
        advert.vrid == 2
    })?;
    b.await_state("right", "active", PATIENCE)?;
    ensure!(b.runtime_directory().join("bpf/peers").exists() && host_b.has_xdp()?);
    Ok(())
}

#[test]
fn both_families_share_a_vrid() -> Result<()> {
    let both = |priority| {
        [
            Instance {
                name: "four".into(),
                ..Instance::new(priority, &[VIP_CIDR])
            },
            Instance {
                name: "six".into(),
                ..Instance::new(priority, VIPS6)
            },
        ]
    };
    let mut pair = Pair::settled(&both(200), &both(100))?;
    let (host_a, host_b) = pair.lab.pair();
    pair.lab.cut(host_a)?;
    pair.b.await_state("four", "active", PATIENCE)?;
    pair.b.await_state("six", "active", PATIENCE)?;
    ensure!(host_b.has(VIP)? && host_b.has(VIP6)?);
    pair.lab.mend(host_a)?;
    pair.b.await_state("four", "backup", PATIENCE)?;
    pair.b.await_state("six", "backup", PATIENCE)?;
    host_b.await_without(VIP, PATIENCE)?;
    host_b.await_without(VIP6, PATIENCE)?;
    Ok(())
}

#[test]
fn an_instance_may_have_no_addresses() -> Result<()> {
    let bare = |priority| Instance {
        family: Some("ipv4"),
        ..Instance::new(priority, &[])
    };
    let mut pair = Pair::settled(&[bare(200)], &[bare(100)])?;
    let (host_a, host_b) = pair.lab.pair();
    let mark = pair.at_b.mark();
    pair.lab.cut(host_a)?;
    let (last, first) = takeover(&pair.at_b, mark, host_a, host_b)?;
    for frame in [&last, &first] {
        ensure!(
            frame
                .advert()
                .is_some_and(|advert| advert.addresses.is_empty()),
            "{frame:?}"
        );
    }
    pair.b.await_state("web", "active", PATIENCE)?;
    Ok(())
}
