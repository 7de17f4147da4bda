//! A partition heals: two routers were Active, the clients follow the winner.

use std::{net::IpAddr, time::Duration};

use anyhow::{Context as _, Result, ensure};
use ha_common::time::Timestamp;
use ha_tests::{
    capture::{Capture, Frame},
    daemon::{Harrier, Instance},
    keepalived::Keepalived,
    lab::Lab,
    probe::{Probe, Responder},
};

const PATIENCE: Duration = Duration::from_secs(20);

/// A client that nobody tells asks the loser's MAC address for longer than this:
/// it doubts its ARP entry after 15 s at the least, and then for 5 s more (Linux,
/// base_reachable_time and delay_first_probe_time).
const TOLD: Duration = Duration::from_secs(3);

const VIP: [u8; 4] = [10, 77, 0, 100];

/// Which of the two advertises first after the heal is chance, and both have to
/// come out right.
const HEALS: usize = 6;

#[test]
fn no_client_stays_with_the_loser() -> Result<()> {
    let lab = Lab::new(2)?;
    let (host_a, host_b) = lab.pair();
    let _responders = [Responder::start(host_a)?, Responder::start(host_b)?];
    let instance = |priority| Instance::new(priority, &["10.77.0.100/16"]);
    let mut a = Harrier::start(&lab, host_a, &[instance(200)])?;
    a.await_state("web", "active", PATIENCE)?;
    let mut b = Harrier::start(&lab, host_b, &[instance(100)])?;
    b.await_state("web", "backup", PATIENCE)?;
    let probe = Probe::start(&lab.client, IpAddr::from(VIP))?;
    probe.await_answers(host_a, 0, 20, PATIENCE)?;
    for heal in 1..=HEALS {
        let mark = probe.mark();
        lab.cut(host_a)?;
        probe.await_answers(host_b, mark, 20, PATIENCE)?;
        let mark = probe.mark();
        lab.mend(host_a)?;
        probe
            .await_answers(host_a, mark, 20, TOLD)
            .with_context(|| format!("heal {heal} of {HEALS}: the client was not told"))?;
    }
    Ok(())
}

const VIP_CIDR: &str = "10.77.0.100/16";
const INTERVAL: Duration = Duration::from_millis(100);

/// The first advertisement that came in at `port` after `mended`.
fn first_advert(port: &Capture, mended: Timestamp) -> Option<Frame> {
    port.frames()
        .into_iter()
        .find(|frame| !frame.outgoing && frame.at > mended && frame.advert().is_some())
}

/// keepalived that loses says nothing if the winner's advertisement comes before
/// its own next one: it removes the addresses in silence. Harrier asks who has them
/// before it advertises, so its kernel has said so by then.
#[test]
fn no_client_stays_with_a_keepalived_that_loses() -> Result<()> {
    /// Its own advertisement comes first or ours does: the chances are even.
    const HEALS: usize = 10;

    let lab = Lab::new(2)?;
    let (host_a, host_b) = lab.pair();
    let (at_a, at_b) = (lab.capture(host_a)?, lab.capture(host_b)?);
    let _responders = [Responder::start(host_a)?, Responder::start(host_b)?];
    let instance = |priority| Instance::new(priority, &[VIP_CIDR]);
    let mut a = Harrier::start(&lab, host_a, &[instance(200)])?;
    a.await_state("web", "active", PATIENCE)?;
    let mut b = Keepalived::start(&lab, host_b, &instance(100))?;
    b.process.await_log("Entering BACKUP STATE", PATIENCE)?;
    let probe = Probe::start(&lab.client, IpAddr::from(VIP))?;
    probe.await_answers(host_a, 0, 20, PATIENCE)?;

    let mut silent = 0;
    for heal in 1..=HEALS {
        let mark = probe.mark();
        lab.cut(host_a)?;
        probe.await_answers(host_b, mark, 20, PATIENCE)?;

        let (mark, mark_a, mark_b) = (probe.mark(), at_a.mark(), at_b.mark());
        let mended = lab.mend(host_a)?;
        let ours = at_b.await_frame("an advertisement for node-b", mark_b, PATIENCE, |frame| {
            frame.outgoing && frame.at > mended && frame.advert().is_some()
        })?;
        b.await_state("BACKUP", PATIENCE)?;
        let heard = first_advert(&at_b, mended);
        silent += usize::from(heard.is_none());
        let met = heard.map_or(ours.at, |heard| heard.at.min(ours.at));
        let told = at_a.await_frame("an announcement", mark_a, PATIENCE, |frame| {
            !frame.outgoing && frame.at > mended && frame.packet.announces(VIP.into())
        })?;
        let waited = told.at.since(met);
        ensure!(
            waited < INTERVAL,
            "heal {heal} of {HEALS}: the clients were told after {waited:?}"
        );
        let back = probe
            .await_answers(host_a, mark, 20, TOLD)
            .with_context(|| format!("heal {heal} of {HEALS}: the client was not told"))?;
        eprintln!(
            "heal {heal}: told {waited:?} after the first advertisement, answered by the winner \
             {:?} after it",
            back.at.since(met)
        );
    }
    eprintln!("keepalived yielded in silence in {silent} of {HEALS} heals");
    Ok(())
}

/// Harrier that loses to keepalived says so before it goes, and keepalived
/// announces the addresses again.
#[test]
fn no_client_stays_with_us_when_keepalived_wins() -> Result<()> {
    let lab = Lab::new(2)?;
    let (host_a, host_b) = lab.pair();
    let (at_a, at_b) = (lab.capture(host_a)?, lab.capture(host_b)?);
    let _responders = [Responder::start(host_a)?, Responder::start(host_b)?];
    let instance = |priority| Instance::new(priority, &[VIP_CIDR]);
    let mut a = Keepalived::start(&lab, host_a, &instance(200))?;
    a.process.await_log("Entering MASTER STATE", PATIENCE)?;
    let mut b = Harrier::start(&lab, host_b, &[instance(100)])?;
    b.await_state("web", "backup", PATIENCE)?;
    let probe = Probe::start(&lab.client, IpAddr::from(VIP))?;
    probe.await_answers(host_a, 0, 20, PATIENCE)?;
    for heal in 1..=HEALS {
        let mark = probe.mark();
        lab.cut(host_a)?;
        probe.await_answers(host_b, mark, 20, PATIENCE)?;
        let (mark, mark_a, mark_b) = (probe.mark(), at_a.mark(), at_b.mark());
        let mended = lab.mend(host_a)?;
        let last = at_b.await_frame("node-b's advertisement", mark_b, PATIENCE, |frame| {
            !frame.outgoing && frame.at > mended && frame.advert().is_some()
        })?;
        at_a.await_frame("node-a's announcement", mark_a, PATIENCE, |frame| {
            !frame.outgoing && frame.at >= last.at && frame.packet.announces(VIP.into())
        })?;
        probe
            .await_answers(host_a, mark, 20, TOLD)
            .with_context(|| format!("heal {heal} of {HEALS}: the client was not told"))?;
        b.await_state("web", "backup", PATIENCE)?;
    }
    Ok(())
}
