//! Addresses that are not advertised, of the other family, and very many.

use std::{collections::BTreeSet, net::IpAddr};

use anyhow::{Context as _, Result, ensure};
use ha_tests::{
    daemon::{Harrier, Instance},
    lab::Lab,
};

use crate::scene::{
    PATIENCE, addresses, announcements, ensure_no_conflicts, ensure_unchanged, everything, has,
    json,
};

const VIP_CIDR: &str = "10.77.0.100/16";

#[test]
fn addresses_of_both_families_move_by_one_election() -> Result<()> {
    let lab = Lab::new(2)?;
    let (host_a, host_b) = lab.pair();
    let all = ["10.77.0.100", "10.77.0.120", "fd77::100", "fe80::100"];
    let excluded = "excluded_addresses = [\"fd77::100/64\", \"10.77.0.120/32\", \"fe80::100/64\"]";
    let instance = |priority| Instance::new(priority, &[VIP_CIDR]).with(excluded);
    let before = [everything(host_a)?, everything(host_b)?];
    let capture = lab.capture(&lab.client)?;
    let mut a = Harrier::start(&lab, host_a, &[instance(200)])?;
    a.await_state("web", "active", PATIENCE)?;
    let mut b = Harrier::start(&lab, host_b, &[instance(100)])?;
    b.await_status("node-a is heard", PATIENCE, |status| {
        status.instances[0].active.is_some().then_some(())
    })?;
    for address in all {
        ensure!(has(host_a, address)?, "node-a does not have {address}");
        ensure!(!has(host_b, address)?, "node-b has {address}");
    }
    let mark = capture.mark();
    a.stop()?;
    b.await_state("web", "active", PATIENCE)?;
    for address in all {
        ensure!(has(host_b, address)?, "node-b does not have {address}");
        ensure!(!has(host_a, address)?, "node-a still has {address}");
        // Both have announced it, by their own MAC addresses.
        for (host, from) in [(host_a, 0), (host_b, mark)] {
            let wanted: IpAddr = address.parse()?;
            capture.await_frame(address, from, PATIENCE, |frame| {
                frame.packet.announces(wanted)
                    && frame.bytes().get(6..12) == Some(&host.mac().0[..])
            })?;
        }
    }
    for frame in capture.frames() {
        if let Some(advert) = frame.advert() {
            ensure!(
                advert.addresses == [IpAddr::from([10, 77, 0, 100])],
                "{advert:?}"
            );
        }
    }
    ensure_no_conflicts(&b)?;
    b.stop()?;
    for (host, before) in [host_a, host_b].into_iter().zip(&before) {
        ensure_unchanged(before, &everything(host)?)?;
    }
    Ok(())
}

/// More than an advertisement has room for (RFC 9568 §5.2.5 counts them in one octet).
#[test]
fn three_hundred_addresses_move_together() -> Result<()> {
    let lab = Lab::new(2)?;
    let (host_a, host_b) = lab.pair();
    let many: Vec<IpAddr> = (0..300u32)
        .map(|index| IpAddr::from(0x0a4d_0100_u32.saturating_add(index).to_be_bytes()))
        .collect();
    let instance = |priority| Instance {
        addresses: many.iter().map(|address| format!("{address}/16")).collect(),
        ..Instance::new(priority, &[])
    };
    let count_on = |host| -> Result<usize> {
        let present: BTreeSet<IpAddr> = addresses(host)?.into_iter().map(|(_, it)| it).collect();
        Ok(many.iter().filter(|it| present.contains(it)).count())
    };
    let before = [everything(host_a)?, everything(host_b)?];
    let capture = lab.capture(&lab.client)?;
    let mut a = Harrier::start(&lab, host_a, &[instance(200)])?;
    a.await_state("web", "active", PATIENCE)?;
    let mut b = Harrier::start(&lab, host_b, &[instance(100)])?;
    b.await_status("node-a is heard", PATIENCE, |status| {
        status.instances[0].active.is_some().then_some(())
    })?;
    ensure!(count_on(host_a)? == 300, "{} on node-a", count_on(host_a)?);
    ensure!(count_on(host_b)? == 0, "{} on node-b", count_on(host_b)?);
    ensure_no_conflicts(&a)?;
    ensure_no_conflicts(&b)?;
    let mark = capture.mark();
    a.stop()?;
    ensure!(count_on(host_a)? == 0, "{} stayed", count_on(host_a)?);
    b.await_state("web", "active", PATIENCE)?;
    ensure!(count_on(host_b)? == 300, "{} on node-b", count_on(host_b)?);
    let last = *many.last().context("there are 300")?;
    for (host, from) in [(host_a, 0), (host_b, mark)] {
        capture.await_frame("the last announcement", from, PATIENCE, |frame| {
            frame.packet.announces(last) && frame.bytes().get(6..12) == Some(&host.mac().0[..])
        })?;
        for address in &many {
            let announced = announcements(&capture, from, *address)
                .iter()
                .any(|frame| frame.bytes().get(6..12) == Some(&host.mac().0[..]));
            ensure!(announced, "{} did not announce {address}", host.name);
        }
    }
    for frame in capture.frames() {
        if let Some(advert) = frame.advert() {
            ensure!(advert.addresses == many[..255], "{advert:?}");
        }
    }
    b.stop()?;
    for (host, before) in [host_a, host_b].into_iter().zip(&before) {
        ensure_unchanged(before, &everything(host)?)?;
    }
    Ok(())
}

#[test]
fn an_address_is_put_on_the_interface_as_its_entry_says() -> Result<()> {
    let lab = Lab::new(1)?;
    let host = &lab.nodes[0];
    host.netns
        .ip("link add spare0 type veth peer name spare1\n\
         link set spare1 up\n\
         link set spare0 up")?;
    let before = everything(host)?;
    let instance = Instance::new(200, &[VIP_CIDR]).with(
        "excluded_addresses = [\n\
         { address = \"10.90.0.1/16\", label = \"eth0:vip\", scope = \"link\" },\n\
         { address = \"10.91.0.1/16\", prefix_route = false },\n\
         { address = \"10.92.0.1/32\", interface = \"lo\", scope = \"host\" },\n\
         { address = \"fd93::1/64\", interface = \"spare0\", prefix_route = false },\n\
         ]",
    );
    let mut a = Harrier::start(&lab, host, &[instance])?;
    a.await_state("web", "active", PATIENCE)?;
    let links = json(host, &["address", "show"])?;
    let find = |address: &str| -> Result<(String, serde_json::Value)> {
        links
            .iter()
            .find_map(|link| {
                let found = link["addr_info"]
                    .as_array()?
                    .iter()
                    .find(|it| it["local"] == address)?;
                Some((link["ifname"].as_str()?.to_owned(), found.clone()))
            })
            .with_context(|| format!("{address} is nowhere"))
    };
    // Scopes by number (rtnetlink(7)): 0 universe, 253 link, 254 host.
    let scope = |value: &serde_json::Value| match value["scope"].as_str() {
        Some("global" | "0") => 0,
        Some("link" | "253") => 253,
        Some("host" | "254") => 254,
        _ => -1,
    };
    let (link, it) = find("10.77.0.100")?;
    ensure!(
        link == "eth0" && scope(&it) == 0 && it["label"] == "eth0",
        "{it}"
    );
    let (link, it) = find("10.90.0.1")?;
    ensure!(
        link == "eth0" && scope(&it) == 253 && it["label"] == "eth0:vip",
        "{it}"
    );
    let (link, it) = find("10.91.0.1")?;
    ensure!(link == "eth0" && it["noprefixroute"] == true, "{it}");
    let (link, it) = find("10.92.0.1")?;
    ensure!(link == "lo" && scope(&it) == 254, "{it}");
    let (link, it) = find("fd93::1")?;
    ensure!(link == "spare0" && it["noprefixroute"] == true, "{it}");

    let routes = |args: &[&str]| -> Result<String> {
        let mut all = args.to_vec();
        all.extend(["route", "show"]);
        host.netns.ip_show(&all)
    };
    let v4 = routes(&["-4"])?;
    ensure!(v4.contains("10.90.0.0/16"), "no route of the prefix: {v4}");
    ensure!(!v4.contains("10.91.0.0/16"), "a route of the prefix: {v4}");
    let v6 = routes(&["-6"])?;
    ensure!(!v6.contains("fd93::/64"), "a route of the prefix: {v6}");
    a.stop()?;
    ensure_unchanged(&before, &everything(host)?)
}
