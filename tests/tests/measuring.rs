//! The benchmark's instruments: what they count is what was there.

use std::{
    net::IpAddr,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use ha_tests::{
    bench::{
        flooder::Flooder,
        hog::{Appetite, Hog},
        meter::Meter,
        tap::{Tally, Tap, Way},
        verdict::longest_gaps,
    },
    capture::Injector,
    forge::Forgery,
    lab::{INTERFACE, Lab},
};

const VIP: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 77, 0, 100));

/// What takes longer hangs.
const PATIENCE: Duration = Duration::from_secs(20);

#[test]
fn taps_and_tallies_see_every_advertisement_and_nothing_else() -> Result<()> {
    let lab = Lab::new(2)?;
    let (a, b) = lab.pair();
    let tally = Tally::start(&lab.switch, &a.name, Way::In)?;
    let tap = Tap::start(&lab.switch, &a.name, Way::In)?;
    // What node-a sends leaves by node-b's port, from its address.
    let passed_on = Tap::start(&lab.switch, &b.name, Way::OutFrom(a.ipv4()))?;
    let of_b = Tap::start(&lab.switch, &b.name, Way::In)?;
    let not_from_b = Tap::start(&lab.switch, &b.name, Way::OutFrom(b.ipv4()))?;

    let from_a = Injector::open(&a.netns, INTERFACE)?;
    let advert = |vrid, priority| {
        Forgery {
            vrid,
            ..Forgery::new(a, priority, &[VIP])
        }
        .frame()
    };
    let other = Forgery {
        source: a.link_local().into(),
        destination: "ff02::12".parse()?,
        ..Forgery::new(a, 1, &[a.link_local().into()])
    };
    let rounds = 500;
    for _ in 0..rounds {
        from_a.send_all(&[advert(7, 100), other.frame(), advert(8, 200)])?;
    }
    // On veth the switch has seen a frame when it is sent.
    ensure!(tally.count()? == 2 * rounds, "{}", tally.count()?);
    from_a.send(&advert(7, 100))?;
    ensure!(tally.count()? == 2 * rounds + 1, "{}", tally.count()?);

    for tap in [tap, passed_on] {
        let passed = tap.end()?;
        ensure!(passed.len() as u64 == 2 * rounds + 1, "{}", passed.len());
        ensure!(passed.is_sorted_by_key(|advert| advert.at));
        for pair in passed.chunks_exact(2) {
            let seen = [
                pair[0].vrid,
                pair[0].priority,
                pair[1].vrid,
                pair[1].priority,
            ];
            ensure!(seen == [7, 100, 8, 200], "{seen:?}");
        }
        let gaps = longest_gaps(&passed);
        ensure!(gaps.keys().eq(&[7, 8]), "{gaps:?}");
    }
    ensure!(of_b.end()?.is_empty(), "node-b has sent nothing");
    ensure!(not_from_b.end()?.is_empty(), "node-b has sent nothing");
    Ok(())
}

#[test]
fn a_flood_sends_what_it_says_until_it_is_stopped() -> Result<()> {
    let lab = Lab::new(2)?;
    let (a, b) = lab.pair();
    let tally = Tally::start(&lab.switch, &a.name, Way::In)?;
    let frames = vec![Forgery::new(a, 1, &[VIP]).frame()];
    let flooder = Flooder::start(&a.netns, INTERFACE, 0, frames.clone(), PATIENCE)?;
    let give_up_at = Instant::now() + PATIENCE;
    while tally.count()? < 10_000 {
        ensure!(Instant::now() < give_up_at, "no flood comes");
    }
    let flood = flooder.stop()?;
    ensure!(flood.refused == 0, "{flood:?}");
    ensure!(tally.count()? == flood.sent, "{flood:?}");
    ensure!(b.has("10.77.0.2")?, "{} is gone", b.name);

    // Nobody stops this one.
    let flooder = Flooder::start(&a.netns, INTERFACE, 0, frames, Duration::from_millis(50))?;
    while flooder.goes_on() {
        ensure!(Instant::now() < give_up_at, "it does not end");
        std::thread::yield_now();
    }
    ensure!(flooder.stop()?.lasted >= Duration::from_millis(50));
    Ok(())
}

#[test]
fn a_hog_takes_a_cpu_and_a_meter_sees_it() -> Result<()> {
    for appetite in [
        Appetite::Busy { threads: 2 },
        Appetite::RealTime {
            priority: 10,
            busy: Duration::from_millis(4),
            period: Duration::from_millis(20),
        },
    ] {
        let own = [std::process::id()];
        let hog = Hog::start(0, appetite)?;
        let meter = Meter::start(&own, &own)?;
        let begun = Instant::now();
        while meter.read()?.daemon < Duration::from_millis(40) {
            ensure!(begun.elapsed() < PATIENCE, "{appetite:?} eats nothing");
        }
        drop(hog);
        // One CPU has no more than one second in a second; this loop has another.
        let spent = meter.read()?;
        ensure!(spent.daemon_percent() < 300.0, "{spent:?}");
    }
    Ok(())
}

#[test]
fn a_process_that_has_ended_is_not_measured() -> Result<()> {
    let mut child = std::process::Command::new("true").spawn()?;
    child.wait().context("cannot wait for a child")?;
    ensure!(Meter::start(&[child.id()], &[std::process::id()]).is_err());
    Ok(())
}
