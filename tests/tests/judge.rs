//! tshark judges what Harrier sends: formats and checksums of advertisements
//! and announcements, by an implementation that is not ours.

use std::{process::Command, time::Duration};

use anyhow::{Context as _, Result, ensure};
use ha_tests::{
    capture::{Capture, inject},
    command,
    daemon::{Harrier, Instance},
    keepalived::Keepalived,
    lab::Lab,
    need,
};

const PATIENCE: Duration = Duration::from_secs(20);

/// tshark's word for a checksum that it has verified.
const GOOD: &str = "1";

/// What tshark says of one frame, in the order of [`FIELDS`].
type Verdict = Vec<String>;

const FIELDS: [&str; 9] = [
    "frame.number",
    "_ws.malformed",
    "_ws.expert.message",
    "ip.checksum.status",
    "vrrp.checksum.status",
    "icmpv6.checksum.status",
    "ip.ttl",
    "ipv6.hlim",
    "arp.isgratuitous",
];

/// Lets tshark read a capture, with every checksum validated.
fn judge(lab: &Lab, capture: &Capture, filter: &str) -> Result<Vec<Verdict>> {
    need::tools(&["tshark"])?;
    let file = lab.root_directory().join("judge.pcap");
    capture.write_pcap(&file)?;
    let mut tshark = Command::new("tshark");
    tshark
        .arg("-r")
        .arg(&file)
        .args(["-o", "ip.check_checksum:TRUE", "-Y", filter]);
    tshark.args(["-T", "fields"]);
    for field in FIELDS {
        tshark.args(["-e", field]);
    }
    let text = command::checked(&mut tshark, "")?;
    Ok(text
        .lines()
        .map(|line| line.split('\t').map(str::to_owned).collect())
        .collect())
}

fn field<'a>(verdict: &'a Verdict, name: &str) -> Result<&'a str> {
    let index = FIELDS
        .iter()
        .position(|field| *field == name)
        .context("a known field")?;
    verdict
        .get(index)
        .map(String::as_str)
        .with_context(|| format!("{name} in {verdict:?}"))
}

/// Runs one router through its life (Active, clean stop) and has every frame
/// that it sent judged.
fn life_is_well_formed(instance: &Instance) -> Result<()> {
    let lab = Lab::new(1)?;
    let host = &lab.nodes[0];
    // At the switch's port: what comes in there, the node has sent.
    let capture = lab.capture(host)?;
    let mut harrier = Harrier::start(&lab, host, std::slice::from_ref(instance))?;
    harrier.await_state("web", "active", PATIENCE)?;
    capture.await_adverts("advertisements", 0, 4, PATIENCE, |advert| {
        advert.vrid == instance.vrid && advert.priority == instance.priority
    })?;
    for cidr in &instance.addresses {
        let address = cidr.split('/').next().unwrap_or_default().parse()?;
        capture.await_frame("announcement", 0, PATIENCE, |frame| {
            frame.packet.announces(address)
        })?;
    }
    harrier.stop()?;
    capture.await_advert("priority 0", 0, PATIENCE, |advert| advert.priority == 0)?;

    let adverts = judge(&lab, &capture, "vrrp")?;
    ensure!(
        adverts.len() >= 5,
        "tshark sees {} advertisements",
        adverts.len()
    );
    for verdict in &adverts {
        ensure!(
            field(verdict, "vrrp.checksum.status")? == GOOD,
            "checksum: {verdict:?}"
        );
        let hops = format!(
            "{}{}",
            field(verdict, "ip.ttl")?,
            field(verdict, "ipv6.hlim")?
        );
        ensure!(hops == "255", "TTL or hop limit: {verdict:?}");
        let ip = field(verdict, "ip.checksum.status")?;
        ensure!(
            ip == GOOD || !field(verdict, "ipv6.hlim")?.is_empty(),
            "IPv4 header: {verdict:?}"
        );
    }

    let filter = "arp.isgratuitous == 1 || icmpv6.type == 136";
    let announcements = judge(&lab, &capture, filter)?;
    ensure!(
        announcements.len() >= instance.addresses.len(),
        "{announcements:?}"
    );
    for verdict in &announcements {
        let gratuitous = !field(verdict, "arp.isgratuitous")?.is_empty();
        let checked = field(verdict, "icmpv6.checksum.status")? == GOOD;
        ensure!(gratuitous || checked, "{verdict:?}");
    }
    for verdict in adverts.iter().chain(&announcements) {
        ensure!(
            field(verdict, "_ws.malformed")?.is_empty(),
            "malformed: {verdict:?}"
        );
        let message = field(verdict, "_ws.expert.message")?;
        // tshark notes each gratuitous ARP and unsolicited advertisement, as a chat.
        ensure!(
            message.is_empty() || message.contains("Gratuitous"),
            "tshark complains: {verdict:?}"
        );
    }
    Ok(())
}

#[test]
fn v2_ipv4_is_well_formed() -> Result<()> {
    life_is_well_formed(&Instance {
        version: 2,
        advert_interval: Duration::from_secs(1),
        ..Instance::new(254, &["10.77.0.100/16", "10.77.0.101/16"])
    })
}

#[test]
fn v3_ipv4_is_well_formed() -> Result<()> {
    life_is_well_formed(&Instance::new(254, &["10.77.0.100/16", "10.77.0.101/16"]))
}

#[test]
fn v3_ipv6_is_well_formed() -> Result<()> {
    life_is_well_formed(&Instance::new(254, &["fe80::100/64", "fd77::100/64"]))
}

/// The judge itself: it passes a real keepalived, and it does see a wrong checksum.
#[test]
fn the_judge_tells_good_from_bad() -> Result<()> {
    let lab = Lab::new(1)?;
    let host = &lab.nodes[0];
    let capture = lab.capture(host)?;
    let _keepalived = Keepalived::start(&lab, host, &Instance::new(254, &["10.77.0.100/16"]))?;
    let first = capture.await_advert("an advertisement", 0, PATIENCE, |_| true)?;
    let [verdict] = &judge(&lab, &capture, "vrrp")?[..1] else {
        unreachable!("one asked for")
    };
    ensure!(
        field(verdict, "vrrp.checksum.status")? == GOOD,
        "{verdict:?}"
    );

    // The same advertisement with another priority and the old checksum.
    let mut bytes = first.bytes().to_vec();
    bytes[14 + 20 + 2] ^= 1;
    let at_client = lab.capture(&lab.client)?;
    inject(&lab.switch, "client", &bytes)?;
    at_client.await_advert("the forgery", 0, PATIENCE, |advert| advert.priority == 255)?;
    let verdicts = judge(&lab, &at_client, "vrrp.prio == 255")?;
    let verdict = verdicts.first().context("tshark sees the forgery")?;
    ensure!(
        field(verdict, "vrrp.checksum.status")? != GOOD,
        "{verdict:?}"
    );
    Ok(())
}
