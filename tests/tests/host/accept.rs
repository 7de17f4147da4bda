//! Packets to the addresses of a router that does not accept them.

use std::{
    net::{IpAddr, SocketAddr, UdpSocket},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use ha_tests::{command, decode::Packet, lab::Lab, need};
use ha_user::net::accept::AcceptFilter;

const PATIENCE: Duration = Duration::from_secs(20);
const TABLE: &str = "harrier-test";

/// What the table of the node says; empty if there is none.
fn listed(lab: &Lab) -> Result<String> {
    command::checked(
        lab.nodes[0].netns.command("nft").args(["list", "ruleset"]),
        "",
    )
}

/// Sends to `vip` until the client knows where it is, then to `vip` and to `own`;
/// returns what arrives up to the latter.
fn arrivals(lab: &Lab, vip: IpAddr, own: IpAddr) -> Result<Vec<Vec<u8>>> {
    let host = &lab.nodes[0];
    let any: SocketAddr = if vip.is_ipv4() {
        "0.0.0.0:0".parse()?
    } else {
        "[::]:0".parse()?
    };
    let server = host.netns.enter(|| UdpSocket::bind(any))??;
    server.set_read_timeout(Some(PATIENCE))?;
    let port = server.local_addr()?.port();
    let client = lab.client.netns.enter(|| UdpSocket::bind(any))??;
    lab.client.netns.ip("neighbour flush all")?;
    let capture = lab.capture(&lab.client)?;
    for address in [vip, own] {
        let mark = capture.mark();
        client.send_to(b"hello", (address, port))?;
        capture.await_frame("an answer to the question", mark, PATIENCE, |frame| match (
            &frame.packet,
            address,
        ) {
            (
                Packet::Arp {
                    operation, sender, ..
                },
                IpAddr::V4(address),
            ) => *operation == 2 && *sender == address,
            (Packet::NeighbourAdvertisement { target, .. }, IpAddr::V6(address)) => {
                *target == address
            }
            _ => false,
        })?;
    }
    client.send_to(b"virtual", (vip, port))?;
    client.send_to(b"own", (own, port))?;
    let mut arrived = Vec::new();
    loop {
        let mut buffer = [0; 64];
        let length = server.recv(&mut buffer).context("nothing arrives")?;
        let payload = buffer[..length].to_vec();
        if payload != b"hello" {
            arrived.push(payload.clone());
        }
        if payload == b"own" {
            return Ok(arrived);
        }
    }
}

#[test]
fn packets_to_the_addresses_are_dropped_and_the_addresses_found() -> Result<()> {
    need::tools(&["nft"])?;
    let lab = Lab::new(1)?;
    let host = &lab.nodes[0];
    let vips: [IpAddr; 2] = ["10.77.0.100".parse()?, "fd77::100".parse()?];
    host.netns
        .ip("address add 10.77.0.100/16 dev eth0\naddress add fd77::100/64 dev eth0 nodad")?;
    let owns = [IpAddr::from(host.ipv4()), IpAddr::from(host.ipv6())];
    for (vip, own) in vips.into_iter().zip(owns) {
        let arrived = arrivals(&lab, vip, own)?;
        ensure!(arrived == [&b"virtual"[..], b"own"], "without: {arrived:?}");
    }

    let filter = host.netns.enter(|| AcceptFilter::install(TABLE, vips))??;
    for (vip, own) in vips.into_iter().zip(owns) {
        let arrived = arrivals(&lab, vip, own)?;
        ensure!(arrived == [b"own"], "with: {arrived:?}");
    }
    // The host itself still may.
    host.netns.enter(|| -> Result<()> {
        let server = UdpSocket::bind((vips[0], 0))?;
        server.set_read_timeout(Some(PATIENCE))?;
        UdpSocket::bind("0.0.0.0:0")?.send_to(b"self", server.local_addr()?)?;
        server.recv(&mut [0; 8]).context("from the host itself")?;
        Ok(())
    })??;
    host.netns.enter(|| filter.remove())??;
    ensure!(listed(&lab)?.is_empty(), "{}", listed(&lab)?);
    let arrived = arrivals(&lab, vips[0], owns[0])?;
    ensure!(arrived == [&b"virtual"[..], b"own"], "after: {arrived:?}");
    Ok(())
}

#[test]
fn a_table_takes_the_place_of_an_older_one() -> Result<()> {
    need::tools(&["nft"])?;
    let lab = Lab::new(1)?;
    lab.nodes[0].netns.enter(|| -> Result<()> {
        let older = AcceptFilter::install(TABLE, ["10.77.0.100".parse()?])?;
        std::mem::forget(older);
        let many = (1..=255).map(|last| IpAddr::from([10, 77, 1, last]));
        let filter = AcceptFilter::install(TABLE, many)?;
        let now = listed(&lab)?;
        ensure!(
            now.contains("10.77.1.255") && !now.contains("10.77.0.100"),
            "{now}"
        );
        // A refused script changes nothing.
        let refused = AcceptFilter::install("no table", []).unwrap_err();
        ensure!(refused.to_string().contains("no table"), "{refused}");
        ensure!(listed(&lab)? == now);
        drop(filter);
        ensure!(listed(&lab)?.is_empty());
        // Nothing there is nothing to remove.
        ha_user::net::accept::remove(TABLE)?;
        Ok(())
    })?
}
