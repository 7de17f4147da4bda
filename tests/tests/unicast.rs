//! Advertisements by unicast: Harrier against Harrier, strangers, and what is
//! on the wire.

use std::{
    net::{IpAddr, Ipv4Addr},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use ha_common::{
    types::{Centiseconds, Priority, Version, Vrid},
    wire::vrrp::{Authentication, ChecksumForm, Outgoing, encode},
};
use ha_tests::{
    capture::{Capture, Frame, inject},
    command,
    daemon::{Harrier, Instance, binary, run_command, run_to_failure},
    lab::{Host, INTERFACE, Lab},
};

const PATIENCE: Duration = Duration::from_secs(20);

/// Active_Down_Interval of priority 100 at 100 ms, by hand.
const ACTIVE_DOWN: Duration = Duration::from_nanos(360_937_500);

const VIP: &str = "10.77.0.100";

/// Which of a host's addresses take part.
type Address = fn(&Host) -> IpAddr;

fn ipv4(host: &Host) -> IpAddr {
    host.ipv4().into()
}

fn link_local(host: &Host) -> IpAddr {
    host.link_local().into()
}

fn global(host: &Host) -> IpAddr {
    host.ipv6().into()
}

/// The instance of `host`, whose peers are the other nodes.
fn instance(lab: &Lab, host: &Host, priority: u8, address: Address) -> Instance {
    let peers = lab
        .nodes
        .iter()
        .filter(|other| other.number != host.number)
        .map(address)
        .collect();
    let source = address(host);
    let addresses: &[&str] = if source.is_ipv4() {
        &["10.77.0.100/16"]
    } else {
        &["fe80::100/64", "fd77::100/64"]
    };
    Instance {
        unicast: Some((source, peers)),
        ..Instance::new(priority, addresses)
    }
}

/// IP destination of an advertisement.
fn destination(frame: &Frame) -> IpAddr {
    let octets = frame.bytes();
    if octets[12..14] == [0x08, 0x00] {
        let octets: [u8; 4] = octets[30..34].try_into().expect("four octets");
        octets.into()
    } else {
        let octets: [u8; 16] = octets[38..54].try_into().expect("sixteen octets");
        octets.into()
    }
}

/// Every advertisement that passed is from one node to another one.
fn all_unicast(capture: &Capture, lab: &Lab, address: Address) -> Result<()> {
    let nodes: Vec<IpAddr> = lab.nodes.iter().map(address).collect();
    let frames = capture.frames();
    let mut adverts = frames
        .iter()
        .filter_map(|frame| Some((frame, frame.advert()?)))
        .peekable();
    ensure!(adverts.peek().is_some(), "no advertisement was captured");
    for (frame, advert) in adverts {
        let to = destination(frame);
        ensure!(
            nodes.contains(&advert.source) && nodes.contains(&to) && advert.source != to,
            "an advertisement from {} to {to}",
            advert.source
        );
        let ttl = frame.bytes()[if to.is_ipv4() { 22 } else { 21 }];
        ensure!(ttl == 255, "sent with TTL {ttl}");
    }
    Ok(())
}

/// Cuts the Active, and mends it: the other takes over, and yields.
fn fails_over(address: Address) -> Result<()> {
    let lab = Lab::new(2)?;
    let (a, b) = lab.pair();
    let at_b = lab.capture(b)?;
    let at_client = lab.capture(&lab.client)?;
    let mut on_a = Harrier::start(&lab, a, &[instance(&lab, a, 200, address)])?;
    on_a.await_state("web", "active", PATIENCE)?;
    let mut on_b = Harrier::start(&lab, b, &[instance(&lab, b, 100, address)])?;
    on_b.await_state("web", "backup", PATIENCE)?;
    let (of_a, of_b) = (address(a), address(b));
    at_b.await_adverts("adverts of node-a", at_b.mark(), 3, PATIENCE, |advert| {
        advert.source == of_a
    })?;
    let peers = on_b.peers()?;
    let [peer] = &peers[..] else {
        anyhow::bail!("one peer: {peers:?}")
    };
    ensure!(
        peer.address == of_a.to_string() && peer.priority == 200,
        "{peer:?}"
    );

    let mark = at_b.mark();
    lab.cut(a)?;
    let first = at_b.await_advert("node-b takes over", mark, PATIENCE, |advert| {
        advert.source == of_b
    })?;
    let last = at_b
        .frames()
        .into_iter()
        .rfind(|frame| {
            frame.at < first.at && frame.advert().is_some_and(|advert| advert.source == of_a)
        })
        .context("node-b heard node-a")?;
    let waited = first.at.since(last.at);
    ensure!(waited >= ACTIVE_DOWN, "took over after {waited:?}");
    on_b.await_state("web", "active", PATIENCE)?;
    let asked = if of_a.is_ipv4() { VIP } else { "fd77::100" };
    ensure!(b.has(asked)?);

    lab.mend(a)?;
    let status = on_b.await_state("web", "backup", PATIENCE)?;
    ensure!(status.active == Some(of_a.to_string()), "{status:?}");
    ensure!(a.has(asked)?);
    b.await_without(asked, PATIENCE)?;
    all_unicast(&at_b, &lab, address)?;
    // What is for all, the switch would send to the client too.
    let flooded = at_client.frames().into_iter().any(|frame| {
        frame.advert().is_some()
            && (destination(&frame).is_multicast() || frame.bytes()[0] & 1 != 0)
    });
    ensure!(!flooded, "an advertisement by multicast");
    Ok(())
}

#[test]
fn ipv4_fails_over() -> Result<()> {
    fails_over(ipv4)
}

#[test]
fn ipv6_fails_over_between_link_local_addresses() -> Result<()> {
    fails_over(link_local)
}

#[test]
fn ipv6_fails_over_between_global_addresses() -> Result<()> {
    fails_over(global)
}

#[test]
fn three_nodes_elect_one_and_then_the_next() -> Result<()> {
    let lab = Lab::new(3)?;
    let at_c = lab.capture(&lab.nodes[2])?;
    let mut daemons = Vec::new();
    for (host, priority) in lab.nodes.iter().zip([200, 150, 100]) {
        daemons.push(Harrier::start(
            &lab,
            host,
            &[instance(&lab, host, priority, ipv4)],
        )?);
    }
    let [a, b, c] = &mut daemons[..] else {
        anyhow::bail!("three daemons")
    };
    a.await_state("web", "active", PATIENCE)?;
    for backup in [&mut *b, &mut *c] {
        backup.await_status("node-a is heard", PATIENCE, |status| {
            let status = &status.instances[0];
            (status.state == "backup" && status.active.as_deref() == Some("10.77.0.1"))
                .then_some(())
        })?;
    }
    a.stop()?;
    b.await_state("web", "active", PATIENCE)?;
    c.await_status("node-b is heard", PATIENCE, |status| {
        let status = &status.instances[0];
        (status.state == "backup" && status.active.as_deref() == Some("10.77.0.2")).then_some(())
    })?;
    ensure!(lab.nodes[1].has(VIP)? && !lab.nodes[2].has(VIP)?);
    all_unicast(&at_c, &lab, ipv4)
}

/// An advertisement of priority 254 from `source` to `to`, as a frame of the
/// client.
fn forged(lab: &Lab, source: Ipv4Addr, to: &Host, ttl: u8) -> Result<Vec<u8>> {
    let addresses = [Ipv4Addr::new(10, 77, 0, 100).into()];
    let message = Outgoing {
        version: Version::V3,
        family: ha_common::types::AddressFamily::Ipv4,
        vrid: Vrid::new(51).context("a VRID")?,
        priority: Priority(254),
        interval: Centiseconds(10),
        addresses: &addresses,
        source: source.into(),
        destination: to.ipv4().into(),
        checksum: ChecksumForm::PseudoHeader,
        auth: Authentication::None,
    };
    let mut buffer = [0; 64];
    let length = encode(&message, &mut buffer)?;
    let total = u16::try_from(20 + length)?;
    let mut header = vec![0x45, 0xc0];
    header.extend(total.to_be_bytes());
    header.extend([0, 0, 0, 0, ttl, 112, 0, 0]);
    header.extend(source.octets());
    header.extend(to.ipv4().octets());
    let mut sum: u32 = header
        .chunks(2)
        .map(|pair| u32::from(pair[0]) << 8 | u32::from(pair[1]))
        .sum();
    sum = (sum & 0xffff) + (sum >> 16);
    header[10..12].copy_from_slice(&(!u16::try_from(sum)?).to_be_bytes());
    let mut frame = to.mac().0.to_vec();
    frame.extend(lab.client.mac().0);
    frame.extend([0x08, 0x00]);
    frame.extend(header);
    frame.extend(&buffer[..length]);
    Ok(frame)
}

fn counter(harrier: &Harrier, name: &str) -> Result<u64> {
    let mut ask = std::process::Command::new(binary()?);
    ask.args(["counters", "--json", "--runtime-dir"])
        .arg(harrier.runtime_directory());
    let counters: serde_json::Value = serde_json::from_str(&command::checked(&mut ask, "")?)?;
    counters[name]
        .as_u64()
        .with_context(|| format!("no counter {name} in {counters}"))
}

/// Waits until `harrier` has counted `count` packets as `name`.
fn await_count(harrier: &Harrier, name: &str, count: u64) -> Result<()> {
    let give_up_at = Instant::now() + PATIENCE;
    loop {
        let counted = counter(harrier, name)?;
        if counted == count {
            return Ok(());
        }
        ensure!(
            counted < count && Instant::now() < give_up_at,
            "{name} is {counted}, not {count}"
        );
    }
}

#[test]
fn strangers_and_far_senders_change_nothing() -> Result<()> {
    let lab = Lab::new(2)?;
    let (a, b) = lab.pair();
    let mut on_a = Harrier::start(&lab, a, &[instance(&lab, a, 200, ipv4)])?;
    on_a.await_state("web", "active", PATIENCE)?;
    let stranger = forged(&lab, lab.client.ipv4(), a, 255)?;
    let far = forged(&lab, b.ipv4(), a, 254)?;
    for (frame, reason) in [(&stranger, "unlisted_source"), (&far, "bad_ttl")] {
        for _ in 0..10 {
            inject(&lab.client.netns, INTERFACE, frame)?;
        }
        await_count(&on_a, reason, 10)?;
    }
    let status = on_a.status()?.context("node-a answers")?;
    ensure!(
        status.instances[0].state == "active" && status.instances[0].transitions == 2,
        "{status:?}"
    );
    ensure!(on_a.peers()?.is_empty(), "a stranger has a row");

    // The same from a listed source and from near: it is heard.
    inject(
        &lab.client.netns,
        INTERFACE,
        &forged(&lab, b.ipv4(), a, 255)?,
    )?;
    on_a.await_state("web", "backup", PATIENCE)?;
    Ok(())
}

#[test]
fn min_ttl_lets_routers_stand_between() -> Result<()> {
    let lab = Lab::new(2)?;
    let (a, b) = lab.pair();
    let text = instance(&lab, a, 200, ipv4)
        .to_toml()
        .replace("peers =", "min_ttl = 253, peers =");
    let mut on_a = Harrier::start_with(&lab, a, "node-a", &text)?;
    on_a.await_state("web", "active", PATIENCE)?;
    inject(
        &lab.client.netns,
        INTERFACE,
        &forged(&lab, b.ipv4(), a, 252)?,
    )?;
    inject(
        &lab.client.netns,
        INTERFACE,
        &forged(&lab, b.ipv4(), a, 253)?,
    )?;
    on_a.await_state("web", "backup", PATIENCE)?;
    ensure!(counter(&on_a, "bad_ttl")? == 1 && counter(&on_a, "accepted")? == 1);
    Ok(())
}

#[test]
fn a_router_is_no_peer_of_its_own() -> Result<()> {
    let lab = Lab::new(1)?;
    let host = &lab.nodes[0];
    let own = Instance::new(200, &["10.77.0.100/16"])
        .with("unicast = { peers = [\"10.77.0.1\"] }")
        .to_toml();
    let (command, _) = run_command(&lab, host, "own", &own)?;
    let (status, log) = run_to_failure(command, lab.root_directory().join("log"))?;
    ensure!(!status.success(), "it ended with {status}:\n{log}");
    for word in ["eth0", "10.77.0.1"] {
        ensure!(log.contains(word), "{word} is not said:\n{log}");
    }
    ensure!(!host.has_xdp()?, "a program is left attached");
    Ok(())
}

#[test]
fn a_source_that_is_not_there_is_waited_for() -> Result<()> {
    let lab = Lab::new(1)?;
    let host = &lab.nodes[0];
    let instance = Instance::new(200, &["10.77.0.100/16"])
        .with("unicast = { source = \"10.77.0.9\", peers = [\"10.77.0.2\"] }");
    let mut harrier = Harrier::start(&lab, host, &[instance])?;
    let status = harrier.await_state("web", "init", PATIENCE)?;
    let problem = status.problem.unwrap_or_default();
    ensure!(
        problem.contains("eth0") && problem.contains("10.77.0.9"),
        "{problem}"
    );
    host.netns.ip("addr add 10.77.0.9/16 dev eth0\n")?;
    harrier.await_state("web", "active", PATIENCE)?;
    harrier.stop()
}
