//! The daemon's raw socket: it joins the group and answers for the protocol, but
//! nothing is ever queued on it.

use std::{net::Ipv4Addr, time::Duration};

use anyhow::{Context as _, Result, ensure};
use ha_tests::{
    capture::inject,
    daemon::{Harrier, Instance},
    decode::Packet,
    lab::{Host, INTERFACE, Lab},
};

const PATIENCE: Duration = Duration::from_secs(20);

/// ICMP destination unreachable: protocol unreachable (RFC 792).
const PROTOCOL_UNREACHABLE: u8 = 2;

fn fast(priority: u8) -> Instance {
    Instance {
        advert_interval: Duration::from_millis(10),
        ..Instance::new(priority, &["10.77.0.100/16"])
    }
}

/// What the kernel says of its raw sockets in the host's namespace: for each, the
/// octets that wait to be read and the packets dropped.
fn raw_sockets(host: &Host) -> Result<Vec<(u64, u64)>> {
    let text = host
        .netns
        .enter(|| std::fs::read_to_string("/proc/thread-self/net/raw"))??;
    text.lines()
        .skip(1)
        .map(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let queues = fields.get(4).context("no queues")?;
            let (_, receive) = queues.split_once(':').context("no receive queue")?;
            let drops = fields.last().context("no drops")?;
            Ok((u64::from_str_radix(receive, 16)?, drops.parse()?))
        })
        .collect()
}

/// Protocol 112 sent to the host itself, as a misconfigured unicast peer would.
fn unicast(client: &Host, host: &Host) -> Vec<u8> {
    let message = [0x31, 99, 100, 1, 0, 100, 0, 0, 10, 77, 0, 100];
    let mut frame = Vec::new();
    frame.extend(host.mac().0);
    frame.extend(client.mac().0);
    frame.extend([0x08, 0x00]);
    let mut header = vec![0x45, 0, 0, 32, 0, 1, 0, 0, 255, 112, 0, 0];
    header.extend(client.ipv4().octets());
    header.extend(host.ipv4().octets());
    let sum: u32 = header
        .chunks(2)
        .map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]])))
        .sum();
    let folded = !u16::try_from((sum & 0xffff) + (sum >> 16)).unwrap();
    header[10..12].copy_from_slice(&folded.to_be_bytes());
    frame.extend(header);
    frame.extend(message);
    frame
}

#[test]
fn advertisements_pile_up_nowhere() -> Result<()> {
    let lab = Lab::new(2)?;
    let (host_a, host_b) = lab.pair();
    let at_b = lab.capture(host_b)?;
    let mut active = Harrier::start(&lab, host_a, &[fast(200)])?;
    active.await_state("web", "active", PATIENCE)?;
    let mut backup = Harrier::start(&lab, host_b, &[fast(100)])?;
    backup.await_state("web", "backup", PATIENCE)?;
    at_b.await_adverts("advertisements", at_b.mark(), 300, PATIENCE, |advert| {
        advert.priority == 200
    })?;
    let sockets = raw_sockets(host_b)?;
    ensure!(
        sockets.len() == 1,
        "one instance needs one raw socket: {sockets:?}"
    );
    ensure!(sockets[0].0 == 0, "octets wait to be read: {sockets:?}");

    // A switch with snooping forwards to those who have joined.
    let groups = host_b
        .netns
        .ip_show(&["maddress", "show", "dev", INTERFACE])?;
    ensure!(
        groups.contains("224.0.0.18"),
        "the group is not joined:\n{groups}"
    );
    Ok(())
}

#[test]
fn nobody_is_told_that_the_protocol_is_unreachable() -> Result<()> {
    let lab = Lab::new(1)?;
    let host = &lab.nodes[0];
    let at_client = lab.capture(&lab.client)?;
    let frame = unicast(&lab.client, host);
    let unreachable = |packet: &Packet| {
        matches!(packet, Packet::Unreachable { source, code: PROTOCOL_UNREACHABLE }
            if *source == std::net::IpAddr::from(host.ipv4()))
    };

    let mut harrier = Harrier::start(&lab, host, &[Instance::new(200, &["10.77.0.100/16"])])?;
    harrier.await_state("web", "active", PATIENCE)?;
    let mark = at_client.mark();
    inject(&lab.client.netns, INTERFACE, &frame)?;
    // Answers come in order: if this one is here, the other would be.
    ping(&lab.client, host.ipv4())?;
    ensure!(
        !at_client.frames()[mark..]
            .iter()
            .any(|frame| unreachable(&frame.packet)),
        "the host said that nobody there speaks VRRP"
    );

    // The same without Harrier, so that the above could have failed.
    harrier.stop()?;
    let mark = at_client.mark();
    inject(&lab.client.netns, INTERFACE, &frame)?;
    at_client.await_frame("protocol unreachable", mark, PATIENCE, |frame| {
        unreachable(&frame.packet)
    })?;
    Ok(())
}

fn ping(from: &Host, to: Ipv4Addr) -> Result<()> {
    let mut command = from.netns.command("ping");
    command.args(["-c", "1", "-W", "5", &to.to_string()]);
    ha_tests::command::checked(&mut command, "")?;
    Ok(())
}
