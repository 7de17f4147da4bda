//! When the addresses are announced, on the wire.
//!
//! Order and number are exact. A span is at least what is configured, less what a
//! busy machine may have been late with its beginning, and at most far more.

use std::{net::IpAddr, time::Duration};

use anyhow::{Context as _, Result, ensure};
use ha_tests::{
    capture::{Capture, Frame, inject},
    daemon::{Harrier, Instance},
    lab::{INTERFACE, Lab},
};

use crate::scene::{PATIENCE, announcements, source_mac};

const VIP: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 77, 0, 100));
const VIP_CIDR: &str = "10.77.0.100/16";

/// How much later than it was sent a frame may have been captured.
const LATE: Duration = Duration::from_millis(20);
/// How much later than planned a frame may be sent: before the first ones the
/// addresses are installed, for which other tests at the same time hold the kernel up.
const BUSY: Duration = Duration::from_millis(400);

/// Waits until `address` is announced `count` times from `from` on.
fn await_announcements(
    capture: &Capture,
    from: usize,
    address: IpAddr,
    count: usize,
) -> Result<Vec<Frame>> {
    let mut seen = 0;
    capture.await_frame("announcements", from, PATIENCE, |frame| {
        seen += usize::from(frame.packet.announces(address));
        seen == count
    })?;
    Ok(announcements(capture, from, address))
}

/// Refuses other spans from `takeover` on than the given ones, in milliseconds.
fn ensure_at(what: &str, takeover: &Frame, frames: &[Frame], milliseconds: &[u64]) -> Result<()> {
    let found: Vec<Duration> = frames
        .iter()
        .map(|frame| frame.at.since(takeover.at))
        .collect();
    let expected: Vec<Duration> = milliseconds
        .iter()
        .map(|&span| Duration::from_millis(span))
        .collect();
    let fits = found.len() >= expected.len()
        && found
            .iter()
            .zip(&expected)
            .all(|(found, expected)| *found + LATE > *expected && *found < *expected + BUSY);
    ensure!(fits, "{what}: {found:?} instead of {expected:?}");
    Ok(())
}

#[test]
fn announcements_come_by_their_schedule() -> Result<()> {
    let lab = Lab::new(1)?;
    let (host, capture) = (&lab.nodes[0], lab.capture(&lab.client)?);
    let schedule =
        "announce = { count = 3, interval = \"150ms\", delay = \"1s\", refresh = \"500ms\" }";
    let web = Instance::new(200, &[VIP_CIDR, "10.77.0.101/16"]).with(schedule);
    let web6 = Instance {
        name: "web6".to_owned(),
        ..Instance::new(200, &["fe80::100/64", "fd77::100/64"])
    }
    .with(schedule);
    let mut a = Harrier::start(&lab, host, &[web, web6])?;
    for (is_ipv4, addresses) in [
        (true, ["10.77.0.100", "10.77.0.101"]),
        (false, ["fe80::100", "fd77::100"]),
    ] {
        let takeover = capture.await_advert("the first one", 0, PATIENCE, |advert| {
            advert.source.is_ipv4() == is_ipv4
        })?;
        for address in addresses {
            let frames = await_announcements(&capture, 0, address.parse()?, 9)?;
            ensure!(frames[0].at >= takeover.at, "announced before the takeover");
            // The second row begins a second after the takeover, not after the first row.
            let rows = [0, 150, 300, 1000, 1150, 1300, 1800, 2300, 2800];
            ensure_at(address, &takeover, &frames, &rows)?;
        }
    }
    a.stop()
}

#[test]
fn without_a_refresh_they_end() -> Result<()> {
    let lab = Lab::new(1)?;
    let (host, capture) = (&lab.nodes[0], lab.capture(&lab.client)?);
    for (schedule, expected, times) in [
        (
            "count = 2, interval = \"200ms\", delay = \"1s\"",
            4,
            &[0, 200, 1000, 1200][..],
        ),
        ("count = 1, delay = \"500ms\"", 2, &[0, 500]),
        (
            "count = 4, interval = \"50ms\", delay = \"0s\"",
            4,
            &[0, 50, 100, 150],
        ),
        ("count = 1, delay = \"0s\"", 1, &[0]),
    ] {
        let from = capture.mark();
        let instance =
            Instance::new(200, &[VIP_CIDR]).with(&format!("announce = {{ {schedule} }}"));
        let mut a = Harrier::start(&lab, host, &[instance])?;
        let takeover = capture.await_advert("the first one", from, PATIENCE, |_| true)?;
        await_announcements(&capture, from, VIP, expected)?;
        // 1.5 s more, by the daemon's own clock.
        capture.await_adverts("more of them", capture.mark(), 15, PATIENCE, |_| true)?;
        let frames = announcements(&capture, from, VIP);
        ensure!(frames.len() == expected, "{schedule}: {}", frames.len());
        ensure_at(schedule, &takeover, &frames, times)?;
        a.stop()?;
    }
    Ok(())
}

#[test]
fn frames_keep_their_distance_from_each_other() -> Result<()> {
    let lab = Lab::new(1)?;
    let (host, capture) = (&lab.nodes[0], lab.capture(&lab.client)?);
    // So many that it takes a while to install them, between the decision to take
    // over and the first announcement: its distance counts from when it is sent.
    let routes: Vec<String> = (0..5000)
        .map(|it| format!("{{ to = \"10.99.{}.{}/32\" }}", it / 250, it % 250))
        .collect();
    let addresses: Vec<String> = (100..110).map(|it| format!("10.77.0.{it}/16")).collect();
    let web = Instance {
        addresses,
        ..Instance::new(200, &[])
    }
    .with("announce = { count = 1, delay = \"0s\" }")
    .with(&format!("routes = [{}]", routes.join(", ")));
    let web6 = Instance {
        name: "web6".to_owned(),
        ..Instance::new(200, &["fe80::100/64", "fd77::100/64"])
    }
    .with("announce = { count = 1, delay = \"0s\" }");
    let text = format!(
        "announce_gap = \"30ms\"\n{}\n{}",
        web.to_toml(),
        web6.to_toml()
    );
    let mut a = Harrier::start_with(&lab, host, "node-a", &text)?;
    let mut all: Vec<IpAddr> = (100..110).map(|it| IpAddr::from([10, 77, 0, it])).collect();
    all.extend(["fe80::100".parse::<IpAddr>()?, "fd77::100".parse()?]);
    let mut frames = Vec::new();
    for address in &all {
        let found = await_announcements(&capture, 0, *address, 1)?;
        frames.extend(found);
    }
    ensure!(frames.len() == all.len(), "{} frames", frames.len());
    frames.sort_by_key(|frame| frame.at);
    let spans: Vec<Duration> = frames
        .windows(2)
        .map(|pair| pair[1].at.since(pair[0].at))
        .collect();
    ensure!(
        spans
            .iter()
            .all(|span| *span + LATE / 2 > Duration::from_millis(30)),
        "{spans:?}"
    );
    a.stop()
}

#[test]
fn a_claim_by_a_stranger_is_answered_by_an_announcement() -> Result<()> {
    for lines in ["", "virtual_mac = true\n"] {
        let lab = Lab::new(2)?;
        let (host, stranger) = lab.pair();
        let capture = lab.capture(&lab.client)?;
        let once = format!("{lines}announce = {{ count = 1, delay = \"0s\" }}");
        let mut a = Harrier::start(&lab, host, &[Instance::new(200, &[VIP_CIDR]).with(&once)])?;
        a.await_state("web", "active", PATIENCE)?;
        await_announcements(&capture, 0, VIP, 1)?;
        // Past the gap that announcements keep which others can cause.
        capture.await_adverts("adverts", capture.mark(), 3, PATIENCE, |_| true)?;
        ensure!(announcements(&capture, 0, VIP).len() == 1, "more than one");
        let mac = source_mac(&announcements(&capture, 0, VIP)[0]);
        for round in 1..=3 {
            let from = capture.mark();
            let claim = ha_common::wire::arp::gratuitous(stranger.mac(), "10.77.0.100".parse()?);
            inject(&stranger.netns, INTERFACE, &claim)?;
            let answer = capture
                .await_frame("an answer", from, Duration::from_secs(2), |frame| {
                    frame.packet.announces(VIP) && source_mac(frame) == mac
                })
                .with_context(|| format!("round {round}, {lines:?}"))?;
            let claimed = capture.await_frame("the claim", from, PATIENCE, |frame| {
                frame.packet.announces(VIP) && source_mac(frame) == stranger.mac()
            })?;
            ensure!(answer.at > claimed.at, "answered before it was made");
            capture.await_adverts("adverts", capture.mark(), 15, PATIENCE, |_| true)?;
        }
        a.stop()?;
    }
    Ok(())
}
