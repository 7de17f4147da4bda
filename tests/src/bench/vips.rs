//! `vips`: a dead host with one virtual router and hundreds of addresses.

use std::{
    collections::BTreeSet,
    net::Ipv4Addr,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use ha_common::types::MacAddress;

use super::{
    Contestant, Goal, Sample, Scenario, Stage, Statistic, Workload,
    contestant::Settings,
    pair::{Pair, Takeover, announcements},
};
use crate::{
    capture::{Capture, Frame, Injector},
    decode::Packet,
};

const ADDRESSES: [usize; 3] = [100, 500, 1000];

const INTERVAL: Duration = Duration::from_millis(100);

/// How often node-a is cut off in one turn, for the announcements and again for the answers.
const CUTS: usize = 2;

/// As many of the addresses are asked for, spread evenly, the last one among them: more
/// questions would be a load of their own.
const ASKED: usize = 20;

/// Span between two questions for one address.
const ASK_EVERY: Duration = Duration::from_micros(500);

const PATIENCE: Duration = Duration::from_secs(20);

/// See the [module](self). FRR is not among them: it has no addresses that are not
/// advertised, and no more than 255 can be.
#[derive(Clone, Copy, Debug)]
pub struct Vips;

fn figure(addresses: usize, what: &str) -> String {
    format!("{addresses} addresses: {what}")
}

const FIRST_ANNOUNCED: &str = "first announced";
const LAST_ANNOUNCED: &str = "last announced";
const LAST_ANSWERS: &str = "last answers";

impl Scenario for Vips {
    fn name(&self) -> &'static str {
        "vips"
    }

    fn title(&self) -> &'static str {
        "Dead host, hundreds of addresses: announced, and answering a second observer's ARP, \
         after Active_Down"
    }

    fn contestants(&self) -> Vec<Contestant> {
        Contestant::WITHOUT_FRR.to_vec()
    }

    fn goals(&self) -> Vec<Goal> {
        ADDRESSES
            .iter()
            .map(|&addresses| {
                Goal::at_most(figure(addresses, LAST_ANNOUNCED), Statistic::Median, 3.0)
            })
            .collect()
    }

    fn run(&self, stage: &mut Stage, contestant: Contestant) -> Result<Vec<Sample>> {
        let mut samples = Vec::new();
        for addresses in ADDRESSES {
            let workload = Workload {
                instances: 1,
                interval: INTERVAL,
                addresses,
            };
            stage.part(&format!("{addresses} addresses"), |_| {
                let mut pair = Pair::start(contestant, workload, true, &Settings::for_times())?;
                pair.await_calm()?;
                let all: BTreeSet<Ipv4Addr> = workload.addresses_of(0).into_iter().collect();
                for _ in 0..CUTS {
                    let seen = pair.cut(|frames| {
                        let announced = announcements(&frames[0]);
                        all.iter().all(|address| announced.contains_key(address))
                    })?;
                    samples.extend(announced(addresses, &seen, &all)?);
                    pair.mend()?;
                }
                for cut in 0..CUTS {
                    if cut > 0 {
                        pair.mend()?;
                    }
                    samples.push(answers(&mut pair)?);
                }
                Ok(())
            });
        }
        Ok(samples)
    }
}

fn announced(addresses: usize, seen: &Takeover, all: &BTreeSet<Ipv4Addr>) -> Result<[Sample; 2]> {
    let due = seen.instances[0].due;
    let at = seen.announcements(0);
    let times = || at.iter().filter(|(address, _)| all.contains(*address));
    let first = times().map(|(_, at)| *at).min();
    let last = times().map(|(_, at)| *at).max();
    let sample = |what, at: Option<_>| {
        let at = at.context("nothing was announced")?;
        Ok::<_, anyhow::Error>(Sample::span(figure(addresses, what), due, at))
    };
    Ok([
        sample(FIRST_ANNOUNCED, first)?,
        sample(LAST_ANNOUNCED, last)?,
    ])
}

/// Cuts node-a off and has the client ask who has the addresses until node-b has answered
/// for each that is asked for.
fn answers(pair: &mut Pair) -> Result<Sample> {
    let addresses = pair.workload.addresses_of(0);
    let count = addresses.len();
    let asked: Vec<Ipv4Addr> = (1..=ASKED)
        .map(|number| addresses[count * number / ASKED - 1])
        .collect();
    let client = pair.field.client.as_ref().context("there is no client")?;
    let questions: Vec<Vec<u8>> = asked
        .iter()
        .map(|address| question(client.mac(0), client.ipv4(0), *address))
        .collect();
    let client_address = client.ipv4(0);
    let injector = Injector::open(&client.netns, &client.interfaces[0])?;
    let seen = pair.cut_and(
        |captures| {
            let give_up_at = Instant::now() + PATIENCE;
            while !answered(&captures[0], client_address, &asked) {
                injector.send_all(&questions)?;
                ensure!(
                    Instant::now() < give_up_at,
                    "node-b does not answer for every address"
                );
                thread::sleep(ASK_EVERY);
            }
            Ok(())
        },
        |_| true,
    )?;
    let last = asked
        .iter()
        .map(|address| {
            seen.frames[0]
                .iter()
                .find(|frame| answers_for(frame, client_address) == Some(*address))
                .map(|frame| frame.at)
                .context("an answer is lost")
        })
        .collect::<Result<Vec<_>>>()?
        .into_iter()
        .max()
        .context("nothing was asked")?;
    Ok(Sample::span(
        figure(count, LAST_ANSWERS),
        seen.instances[0].due,
        last,
    ))
}

fn answered(capture: &Capture, client: Ipv4Addr, asked: &[Ipv4Addr]) -> bool {
    capture.read(|frames| {
        let answered: BTreeSet<Ipv4Addr> = frames
            .iter()
            .filter_map(|frame| answers_for(frame, client))
            .collect();
        asked.iter().all(|address| answered.contains(address))
    })
}

/// The address that the node answers for to the client, if `frame` is such an answer.
fn answers_for(frame: &Frame, client: Ipv4Addr) -> Option<Ipv4Addr> {
    match frame.packet {
        Packet::Arp {
            operation: 2,
            sender,
            target,
            ..
        } if !frame.outgoing && target == client => Some(sender),
        _ => None,
    }
}

/// Who has `address`? asks the client.
fn question(mac: MacAddress, client: Ipv4Addr, address: Ipv4Addr) -> Vec<u8> {
    let mut frame = vec![0xff; 6];
    frame.extend(mac.0);
    frame.extend([0x08, 0x06]); // ARP
    frame.extend([0, 1, 0x08, 0, 6, 4, 0, 1]); // Ethernet, IPv4, request
    frame.extend(mac.0);
    frame.extend(client.octets());
    frame.extend([0; 6]);
    frame.extend(address.octets());
    frame
}
