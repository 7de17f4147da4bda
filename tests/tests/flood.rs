//! A flood of advertisements, as fast as this machine can send: nobody moves
//! but as the protocol says, nothing grows, and the counters tell the truth.
//!
//! 3 s for each kind, or as many as `HARRIER_STRESS_SECONDS` says
//! (`cargo xtask test --long`). One kind at a time: two would halve each other.

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use ha_common::abi::EVENT_BURST;
use ha_tests::{
    capture::{Capture, Flood, Frame},
    clock::millis,
    daemon::{Harrier, Instance},
    forge::Forgery,
    process::Usage,
    siege::{
        Counters, Mark, PATIENCE, Siege, adverts, await_increase, longest, status, stress_span,
    },
};

/// One flood at a time.
static MACHINE: Mutex<()> = Mutex::new(());

/// Room that the daemon's resident memory may take more than before: pages
/// touched for the first time, not something that grows with the flood.
const FLAT_KIB: u64 = 2048;

/// Share of one CPU that the daemon may use, in percent: it wakes for what the
/// kernel tells it, a hundred times a second here, and not for each frame.
const CPU_PERCENT: u128 = 25;

/// Advertisements that an Active may send in a second at 100 ms: ten of its own, as
/// many answers as the kernel lets through every tenth of an interval, and some
/// room. Releases take most: each that came after our last word wants its answer.
const ADVERTS_PER_SECOND: u128 = 10 + 100 * EVENT_BURST as u128 + 50;

fn pair() -> (Instance, Instance) {
    let instance = |priority| Instance::new(priority, &["10.77.0.100/16"]);
    (instance(200), instance(100))
}

const VIP: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 100);

/// What came of a flood.
struct Aftermath {
    siege: Siege,
    mark: Mark,
    flood: Flood,
    a: Counters,
    b: Counters,
}

/// Floods a pair with what `frames` makes, and checks what holds for every kind:
/// the Active has not moved, memory is flat, little time was used, every frame
/// that arrived is counted as `counter`, our own advertisements have left.
fn flooded(
    kind: &str,
    counter: &str,
    frames: impl FnOnce(&Siege) -> Vec<Vec<u8>>,
) -> Result<Aftermath> {
    let (on_a, on_b) = pair();
    let mut siege = Siege::laid(&on_a, &on_b)?;
    let frames = frames(&siege);
    let _alone = MACHINE.lock().unwrap_or_else(PoisonError::into_inner);
    let mark = siege.mark()?;
    let before = [siege.a.process.usage()?, siege.b.process.usage()?];
    let lost_before = lost(&siege)?;

    let flood = siege.stranger.flood(&frames, stress_span()?)?;

    // All that is on its way has arrived when the client has been answered
    // behind it: the queues are in order.
    siege
        .probe
        .await_answers(&siege.lab.nodes[0], siege.probe.mark(), 20, PATIENCE)?;
    let a = await_increase(&siege.a, &mark.counters_a, |_| true)?;
    let b = await_increase(&siege.b, &mark.counters_b, |_| true)?;
    let lost = lost(&siege)? - lost_before;
    let usage = [siege.a.process.usage()?, siege.b.process.usage()?];

    println!(
        "{kind}: {} frames in {:.1} s, {:.0} a second; {} refused at the sender",
        flood.sent,
        flood.lasted.as_secs_f64(),
        flood.rate(),
        flood.refused
    );
    for (name, counters, place) in [("node-a", &a, 0), ("node-b", &b, 1)] {
        println!(
            "  {name}: {} advertisements counted, {} as {counter}; memory {} -> {} KiB, {} of CPU",
            adverts(counters),
            counters[counter],
            before[place].resident_kib,
            usage[place].resident_kib,
            millis(used(&before[place], &usage[place])),
        );
    }
    println!("  {lost} frames were lost on the way");
    punctuality(&siege.of_a, &mark, &flood)?;
    siege.a_unmoved_since(&mark)?;
    for (name, place) in [("node-a", 0), ("node-b", 1)] {
        let grown = usage[place]
            .resident_kib
            .saturating_sub(before[place].resident_kib);
        ensure!(grown <= FLAT_KIB, "{name} has grown by {grown} KiB");
        let used = used(&before[place], &usage[place]);
        ensure!(
            used.as_nanos() * 100 <= flood.lasted.as_nanos() * CPU_PERCENT,
            "{name} has used {used:?} of CPU in {:?}",
            flood.lasted
        );
    }
    // What node-a sends, node-b hears; there may be one on its way.
    let sent = siege.of_a.frames()[mark.of_a..]
        .iter()
        .filter(|frame| !frame.outgoing && frame.advert().is_some())
        .count() as u64;
    counted(&a, counter, &flood, lost, 0).context("node-a")?;
    counted(&b, counter, &flood, lost, sent + 1).context("node-b")?;
    Ok(Aftermath {
        siege,
        mark,
        flood,
        a,
        b,
    })
}

/// Every frame of the flood is in `counter`, but for what was `lost` on the way.
/// `heard` is how many valid advertisements came from the other node.
fn counted(counters: &Counters, counter: &str, flood: &Flood, lost: u64, heard: u64) -> Result<()> {
    let count = counters[counter];
    let others = if counter == "accepted" { heard } else { 0 };
    ensure!(
        count <= flood.sent + others && count + lost >= flood.sent,
        "{count} counted as {counter} of {} sent, {lost} lost, {others} of the other node",
        flood.sent
    );
    for (name, count) in counters {
        let own = ["accepted", "checksum_with_pseudo_header", "foreign_claims"];
        if name != counter && !own.contains(&name.as_str()) {
            ensure!(*count == 0, "{count} counted as {name}");
        }
    }
    Ok(())
}

/// Frames that interfaces between the stranger and the nodes have lost.
fn lost(siege: &Siege) -> Result<u64> {
    let hosts = siege.lab.nodes.iter().map(|host| &host.netns);
    let mut lost = 0;
    for netns in hosts.chain([&siege.lab.switch]) {
        let text = netns.ip_show(&["-json", "-stats", "link", "show"])?;
        let links: Vec<serde_json::Value> = serde_json::from_str(&text)?;
        for link in links {
            for way in ["rx", "tx"] {
                lost += link["stats64"][way]["dropped"]
                    .as_u64()
                    .with_context(|| format!("no {way} dropped in {text}"))?;
            }
        }
    }
    Ok(lost)
}

fn used(before: &Usage, after: &Usage) -> Duration {
    after.cpu.saturating_sub(before.cpu)
}

/// Tells how punctual node-a's advertisements were. They have left, and not so
/// many that the flood has made a flood of us.
fn punctuality(of_a: &Capture, mark: &Mark, flood: &Flood) -> Result<()> {
    let own: Vec<Frame> = of_a.frames()[mark.of_a..]
        .iter()
        .filter(|frame| !frame.outgoing && frame.advert().is_some())
        .cloned()
        .collect();
    let gap = longest(own.iter().map(|frame| frame.at));
    println!(
        "  node-a sent {} advertisements, the longest gap was {}",
        own.len(),
        millis(gap)
    );
    let lasted = flood.lasted.as_millis() + 1000;
    ensure!(
        own.len() as u128 * 1000 <= ADVERTS_PER_SECOND * lasted,
        "node-a sent {} advertisements in {lasted} ms",
        own.len()
    );
    // Any longer, and a Backup takes over by right.
    ensure!(
        gap < Duration::from_millis(300),
        "node-a was silent for {gap:?}"
    );
    Ok(())
}

/// A flood that says nothing to anyone: the same as no flood.
fn unmoved(mut aftermath: Aftermath) -> Result<()> {
    aftermath.siege.unmoved_since(&aftermath.mark)
}

#[test]
fn of_another_virtual_router() -> Result<()> {
    unmoved(flooded("foreign VRID", "not_configured", |siege| {
        let forgery = Forgery {
            vrid: 52,
            ..Forgery::new(siege.stranger_host(), 254, &[VIP.into()])
        };
        vec![forgery.frame(); 64]
    })?)
}

#[test]
fn with_a_wrong_checksum() -> Result<()> {
    unmoved(flooded("wrong checksum", "bad_checksum", |siege| {
        let mut frame = Forgery::new(siege.stranger_host(), 254, &[VIP.into()]).frame();
        frame[40] ^= 0x10;
        vec![frame; 64]
    })?)
}

#[test]
fn of_lower_priority_from_one_source() -> Result<()> {
    unmoved(flooded(
        "lower priority, one source",
        "accepted",
        |siege| vec![Forgery::new(siege.stranger_host(), 50, &[VIP.into()]).frame(); 64],
    )?)
}

/// The table of peers is bounded; the election needs none of its rows.
#[test]
fn of_lower_priority_from_many_sources() -> Result<()> {
    let aftermath = flooded("lower priority, 16,384 sources", "accepted", |siege| {
        (0..16_384u16)
            .map(|number| {
                let [high, low] = number.to_be_bytes();
                Forgery {
                    source: IpAddr::from([10, 77, 128 | high, low]),
                    ..Forgery::new(siege.stranger_host(), 50, &[VIP.into()])
                }
                .frame()
            })
            .collect()
    })?;
    for harrier in [&aftermath.siege.a, &aftermath.siege.b] {
        let peers = harrier.peers()?.len();
        ensure!(peers <= 16, "{peers} peers");
    }
    unmoved(aftermath)
}

/// A stranger's releases, as if it had been Active: the Active answers,
/// at most every tenth of an interval, and that holds the Backup back.
#[test]
fn of_releases_from_a_stranger() -> Result<()> {
    unmoved(flooded("releases", "accepted", |siege| {
        vec![Forgery::new(siege.stranger_host(), 0, &[VIP.into()]).frame(); 64]
    })?)
}

/// Releases in the Active's name are its own to the Backup, which takes over, as
/// the protocol has it. The Active knows them for its own and stays; each of its
/// advertisements has the Backup yield again, and afterwards all is as before.
#[test]
fn of_releases_in_the_name_of_the_active() -> Result<()> {
    let mut aftermath = flooded_in_the_name_of_the_active()?;
    let of_b = aftermath.siege.of_b.frames()[aftermath.mark.of_b..]
        .iter()
        .filter(|frame| !frame.outgoing && frame.advert().is_some())
        .count();
    println!(
        "  node-b took over, {} transitions and {of_b} advertisements",
        status(&aftermath.siege.b)?.transitions - aftermath.mark.transitions[1]
    );
    ensure!(of_b > 0, "node-b was not released");
    let siege = &mut aftermath.siege;
    // The last release may have come after the last advertisement.
    siege
        .b
        .await_status("node-b held back by node-a", PATIENCE, |status| {
            let web = &status.instances[0];
            (web.state == "backup" && web.active.as_deref() == Some("10.77.0.1")).then_some(())
        })?;
    // node-a is heard, and stays so: the dust has settled.
    siege
        .of_a
        .await_adverts("node-a", siege.of_a.mark(), 5, PATIENCE, |advert| {
            advert.priority == 200
        })?;
    let settled = siege.mark()?;
    siege
        .of_a
        .await_adverts("node-a", siege.of_a.mark(), 5, PATIENCE, |advert| {
            advert.priority == 200
        })?;
    siege.unmoved_since(&settled)?;
    ensure!(aftermath.a["own_address"] > 0 && aftermath.b["accepted"] > 0);
    ensure!(aftermath.flood.sent > 0);
    Ok(())
}

fn flooded_in_the_name_of_the_active() -> Result<Aftermath> {
    let (on_a, on_b) = pair();
    let mut siege = Siege::laid(&on_a, &on_b)?;
    let _alone = MACHINE.lock().unwrap_or_else(PoisonError::into_inner);
    let a = siege.lab.nodes[0].clone();
    let forgery = Forgery {
        source: a.ipv4().into(),
        ..Forgery::new(siege.stranger_host(), 0, &[VIP.into()])
    };
    let mark = siege.mark()?;
    let before = grown_from(&siege)?;
    let flood = siege
        .stranger
        .flood(&vec![forgery.frame(); 64], stress_span()?)?;
    println!(
        "releases in the Active's name: {} frames in {:.1} s, {:.0} a second",
        flood.sent,
        flood.lasted.as_secs_f64(),
        flood.rate()
    );
    siege.a_unmoved_since(&mark)?;
    for (before, after) in before.into_iter().zip(grown_from(&siege)?) {
        ensure!(
            after <= before + FLAT_KIB,
            "grown from {before} to {after} KiB"
        );
    }
    punctuality(&siege.of_a, &mark, &flood)?;
    let counters_a = await_increase(&siege.a, &mark.counters_a, |_| true)?;
    let counters_b = await_increase(&siege.b, &mark.counters_b, |_| true)?;
    Ok(Aftermath {
        siege,
        mark,
        flood,
        a: counters_a,
        b: counters_b,
    })
}

fn grown_from(siege: &Siege) -> Result<Vec<u64>> {
    [&siege.a, &siege.b]
        .into_iter()
        .map(|harrier: &Harrier| Ok(harrier.process.usage()?.resident_kib))
        .collect()
}
