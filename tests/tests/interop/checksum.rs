//! The checksum of version 3 over IPv4: which form each side sends, and which
//! it takes.

use std::{
    fmt,
    net::Ipv4Addr,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use ha_tests::{
    capture::Frame,
    daemon::Harrier,
    frr::Frr,
    keepalived::{Keepalived, Options},
    lab::Lab,
};

use super::{
    combination::{Combination, Form, Mac, Peer, Transport},
    opponent::Opponent,
};

const PATIENCE: Duration = Duration::from_secs(30);

/// Advertisements of ours that a peer that takes them has obeyed long before.
const ENOUGH: usize = 10;

/// The group of VRRP over IPv4.
const GROUP: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 18);

/// The form that Harrier is told to send.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Ours {
    PseudoHeader,
    MessageOnly,
}

/// One row of the table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Case {
    pub(crate) peer: Peer,
    pub(crate) transport: Transport,
    /// keepalived's `old_unicast_checksum`.
    pub(crate) old: bool,
    pub(crate) ours: Ours,
}

/// What was seen.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Finding {
    /// What their checksums cover.
    pub(crate) they_send: &'static str,
    /// Whether Harrier has taken their advertisements.
    pub(crate) we_take: bool,
    /// Whether they have yielded to Harrier's.
    pub(crate) they_take: bool,
}

impl Case {
    pub(crate) fn all() -> Vec<Self> {
        let mut all = Vec::new();
        for ours in [Ours::PseudoHeader, Ours::MessageOnly] {
            for (peer, transport, old) in [
                (Peer::Keepalived, Transport::Multicast, false),
                (Peer::Keepalived, Transport::Unicast, false),
                (Peer::Keepalived, Transport::Unicast, true),
                (Peer::Frr, Transport::Multicast, false),
            ] {
                all.push(Self {
                    peer,
                    transport,
                    old,
                    ours,
                });
            }
        }
        all
    }

    /// The peer is Active with priority 100; Harrier comes with 200, sends its
    /// form and takes over, after which the peer yields if it takes that form.
    pub(crate) fn find(&self) -> Result<Finding> {
        let lab = Lab::new(2)?;
        let (us, them) = lab.pair();
        let (at_us, at_them) = (lab.capture(us)?, lab.capture(them)?);
        let combination = Combination {
            peer: self.peer,
            form: Form::V3Ipv4,
            transport: self.transport,
            their_mac: match self.peer {
                Peer::Keepalived => Mac::Physical,
                Peer::Frr => Mac::Virtual,
            },
            our_mac: Mac::Physical,
        };
        let instance = combination.instance(them, us, 100);
        let mut theirs = match self.peer {
            Peer::Keepalived => {
                let options = Options {
                    old_unicast_checksum: self.old,
                    ..Options::default()
                };
                Opponent::Keepalived(Keepalived::start_with(&lab, them, &instance, options)?)
            }
            Peer::Frr => Opponent::Frr(Frr::start(&lab, them, &instance)?),
        };
        theirs.await_active(true, PATIENCE)?;
        let frame = at_them.await_frame("their advertisement", 0, PATIENCE, is_sent)?;
        let they_send = covered(&frame)?;

        let mut text = combination.instance(us, them, 200).to_toml();
        if self.ours == Ours::MessageOnly {
            text += "checksum = \"message-only\"\n";
        }
        let mut ours = Harrier::start_with(&lab, us, &us.name, &text)?;
        // Three of their intervals at least: they were heard, or are refused.
        ours.await_state("web", "active", PATIENCE)?;
        let we_take = !ours.peers()?.is_empty();
        let frame = at_us.await_frame("our advertisement", 0, PATIENCE, is_sent)?;
        let expected = match self.ours {
            Ours::PseudoHeader => "pseudo-header",
            Ours::MessageOnly => "message only",
        };
        ensure!(covered(&frame)? == expected, "we send {frame:?}");

        let they_take = await_verdict(&theirs, || {
            at_us.frames().iter().filter(|frame| is_sent(frame)).count() > ENOUGH
        })?;
        if let (false, Opponent::Keepalived(keepalived)) = (they_take, &theirs) {
            let log = keepalived.log();
            ensure!(
                log.contains("Invalid VRRPv3 checksum"),
                "keepalived does not say why it does not yield"
            );
        }
        theirs.quiet();
        ours.process.quiet();
        Ok(Finding {
            they_send,
            we_take,
            they_take,
        })
    }
}

/// Whether the peer yields before it has had enough of our advertisements.
fn await_verdict(theirs: &Opponent, mut enough: impl FnMut() -> bool) -> Result<bool> {
    let give_up_at = Instant::now() + PATIENCE;
    loop {
        // In this order: what it says was said after it had had enough.
        let enough = enough();
        match theirs.is_active()? {
            Some(false) => return Ok(true),
            Some(true) if enough => return Ok(false),
            found if Instant::now() > give_up_at => {
                bail!("no verdict: enough is {enough}, Active is {found:?}")
            }
            // The peer is asked for its state; it does not tell by itself.
            _ => thread::sleep(Duration::from_millis(20)),
        }
    }
}

fn is_sent(frame: &Frame) -> bool {
    !frame.outgoing && frame.advert().is_some()
}

/// What the checksum in an IPv4 frame covers besides the message. Recomputed
/// here, not by the code under test.
fn covered(frame: &Frame) -> Result<&'static str> {
    let packet = frame.bytes().get(14..).context("an Ethernet frame")?;
    let header = usize::from(packet.first().context("an IP header")? & 0x0f) * 4;
    let total = usize::from(u16::from_be_bytes([packet[2], packet[3]]));
    let message = packet.get(header..total).context("a message")?;
    let (source, destination) = (&packet[12..16], &packet[16..20]);
    let length = u16::try_from(message.len())?.to_be_bytes();
    let pseudo = |destination: &[u8]| -> Vec<u8> {
        [source, destination, &[0, 112], &length, message].concat()
    };
    Ok(if sum(&pseudo(destination)) == 0xffff {
        "pseudo-header"
    } else if sum(message) == 0xffff {
        "message only"
    } else if sum(&pseudo(&GROUP.octets())) == 0xffff {
        "pseudo-header with the group"
    } else {
        "something else"
    })
}

fn sum(octets: &[u8]) -> u32 {
    let total: u32 = octets
        .chunks(2)
        .map(|pair| u32::from(pair[0]) << 8 | u32::from(pair.get(1).copied().unwrap_or(0)))
        .sum();
    let once = (total & 0xffff) + (total >> 16);
    (once & 0xffff) + (once >> 16)
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            peer,
            transport,
            old,
            ours,
        } = self;
        let option = if *old { ", `old_unicast_checksum`" } else { "" };
        let ours = match ours {
            Ours::PseudoHeader => "pseudo-header",
            Ours::MessageOnly => "message only",
        };
        write!(f, "{peer}{option} | {transport} | {ours}")
    }
}
