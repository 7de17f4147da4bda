//! Advertisements recorded on the wire and sent again later, as they were and
//! changed.
//!
//! A replay of a router that is dead is a valid advertisement of it, so it holds
//! a Backup back: that is VRRP. What must not be: that it holds it back for
//! longer than Active_Down after the last one, or that a changed one does.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use ha_tests::{
    capture::{Capture, Frame, Injector},
    clock,
    daemon::{Harrier, Instance},
    forge::seal,
    keepalived::Keepalived,
    lab::{Host, INTERFACE, Lab},
    siege::{PATIENCE, Siege, await_increase, status},
};

/// Active_Down_Interval of priority 100 at 100 ms, by hand.
const ACTIVE_DOWN: Duration = Duration::from_nanos(360_937_500);

/// How long a dead router is kept alive by its replay.
const HELD: Duration = Duration::from_millis(1500);

const VIP: &str = "10.77.0.100";

fn instance(priority: u8) -> Instance {
    Instance::new(priority, &["10.77.0.100/16"])
}

/// A live Active on node-a, of either kind.
enum Active {
    Harrier(Harrier),
    Keepalived(Keepalived),
}

impl Active {
    fn kill(&mut self) -> Result<()> {
        match self {
            Self::Harrier(harrier) => harrier.process.kill(),
            Self::Keepalived(keepalived) => keepalived.process.kill(),
        }
    }
}

/// An Active, which has been recorded, and a Harrier that it holds back.
struct Recorded {
    active: Active,
    backup: Harrier,
    /// What node-a sends.
    of_a: Capture,
    /// What passes at the switch's port to node-b.
    at_b: Capture,
    advert: Frame,
    lab: Lab,
}

fn recorded(start: impl FnOnce(&Lab, &Host) -> Result<Active>) -> Result<Recorded> {
    let lab = Lab::new(3)?;
    let (a, b) = lab.pair();
    let of_a = Capture::start_of(&lab.switch, &a.name, a.mac())?;
    let at_b = lab.capture(b)?;
    let active = start(&lab, a)?;
    // keepalived may say so in its first advertisement already.
    let advert = of_a.await_adverts("the Active's advertisements", 0, 3, PATIENCE, |advert| {
        advert.priority == 200
    })?;
    let mut backup = Harrier::start(&lab, b, &[instance(100)])?;
    backup.await_status("the Active is heard", PATIENCE, |status| {
        let status = &status.instances[0];
        (status.state == "backup" && status.active.as_deref() == Some("10.77.0.1")).then_some(())
    })?;
    Ok(Recorded {
        active,
        backup,
        of_a,
        at_b,
        advert,
        lab,
    })
}

/// Sends `frames` every 100 ms from another thread until `work` is done.
fn while_replaying<T>(
    injector: &Injector,
    frames: &[Vec<u8>],
    work: impl FnOnce() -> Result<T>,
) -> Result<T> {
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let replay = scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                injector.send_all(frames)?;
                // The pace of the router that it plays.
                thread::sleep(Duration::from_millis(100));
            }
            anyhow::Ok(())
        });
        let result = work();
        done.store(true, Ordering::Relaxed);
        let sent = replay
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        sent.and(result)
    })
}

/// The latest advertisement of priority 200 before node-b's first, and that.
fn last_heard(at_b: &Capture, from: usize, b: &Host) -> Result<(Frame, Frame)> {
    let own = b.ipv4();
    let first = at_b.await_advert("node-b takes over", from, PATIENCE, |advert| {
        advert.source == own && advert.priority == 100
    })?;
    let last = at_b
        .frames()
        .into_iter()
        .rfind(|frame| {
            frame.at < first.at && frame.advert().is_some_and(|advert| advert.priority == 200)
        })
        .context("an advertisement before the takeover")?;
    Ok((last, first))
}

/// A replay of a dead Active holds the Backup back, which names the Active and
/// takes over Active_Down after the last one.
fn a_replay_holds_back_for_active_down(
    start: impl FnOnce(&Lab, &Host) -> Result<Active>,
) -> Result<()> {
    let Recorded {
        lab,
        mut active,
        mut backup,
        of_a,
        at_b,
        advert,
    } = recorded(start)?;
    let b = &lab.nodes[1];
    let injector = Injector::open(&lab.nodes[2].netns, INTERFACE)?;
    let mark = at_b.mark();
    while_replaying(&injector, &[advert.bytes().to_vec()], || {
        active.kill()?;
        let dead_at = clock::now();
        // That nothing happens meanwhile is what is tested.
        thread::sleep(HELD);
        let held = status(&backup)?;
        ensure!(
            held.state == "backup" && held.transitions == 1,
            "a Backup is not held back by what is valid: {held:?}"
        );
        ensure!(
            held.active.as_deref() == Some("10.77.0.1"),
            "who holds it back is not said: {held:?}"
        );
        let undead = of_a
            .frames()
            .into_iter()
            .find(|frame| frame.at > dead_at && !frame.outgoing && frame.advert().is_some());
        ensure!(undead.is_none(), "node-a is not dead: {undead:?}");
        Ok(())
    })?;
    let (last, first) = last_heard(&at_b, mark, b)?;
    let waited = first.at.since(last.at);
    ensure!(waited >= ACTIVE_DOWN, "took over after {waited:?}");
    ensure!(
        waited < ACTIVE_DOWN + Duration::from_secs(2),
        "took over only after {waited:?}"
    );
    backup.await_state("web", "active", PATIENCE)?;
    ensure!(b.has(VIP)?);
    Ok(())
}

#[test]
fn a_dead_harrier_lives_as_long_as_its_replay() -> Result<()> {
    a_replay_holds_back_for_active_down(|lab, host| {
        Harrier::start(lab, host, &[instance(200)]).map(Active::Harrier)
    })
}

#[test]
fn a_dead_keepalived_lives_as_long_as_its_replay() -> Result<()> {
    a_replay_holds_back_for_active_down(|lab, host| {
        Keepalived::start(lab, host, &instance(200)).map(Active::Keepalived)
    })
}

/// A replay that was changed on the way, or that came through a router, holds
/// nobody back: the Backup takes over as if there were none.
#[test]
fn a_changed_replay_holds_nobody_back() -> Result<()> {
    type Change = fn(&mut Vec<u8>);
    let changes: [(&str, Change); 3] = [
        // Another priority under the old checksum.
        ("bad_checksum", |frame| frame[36] = 255),
        // Forwarded: one hop less, and the header's checksum made right.
        ("bad_ttl", |frame| {
            frame[22] -= 1;
            seal(frame);
        }),
        ("truncated", |frame| frame.truncate(45)),
    ];
    let Recorded {
        lab,
        mut active,
        mut backup,
        of_a,
        at_b,
        advert,
    } = recorded(|lab, host| Harrier::start(lab, host, &[instance(200)]).map(Active::Harrier))?;
    let changed = changes.map(|(_, change)| {
        let mut changed = advert.bytes().to_vec();
        change(&mut changed);
        changed
    });
    // At the last port: a switch may drop some of them.
    let injector = Injector::open(&lab.switch, &lab.nodes[1].name)?;
    let before = backup.counters()?;
    while_replaying(&injector, &changed, || {
        active.kill()?;
        backup
            .await_state("web", "active", PATIENCE)
            .context("held back by what is not valid")
    })?;
    let first = at_b.await_advert("node-b takes over", 0, PATIENCE, |advert| {
        advert.source == lab.nodes[1].ipv4()
    })?;
    let last = of_a
        .frames()
        .into_iter()
        .rfind(|frame| frame.at < first.at && !frame.outgoing && frame.advert().is_some())
        .context("the Active's last")?;
    let waited = first.at.since(last.at);
    ensure!(
        waited >= ACTIVE_DOWN && waited < 2 * ACTIVE_DOWN,
        "took over {waited:?} after the Active's last"
    );
    let more = await_increase(&backup, &before, |_| true)?;
    for (counter, _) in changes {
        ensure!(more[counter] >= 3, "{counter}: {more:?}");
    }
    Ok(())
}

/// The Active hears its own voice again: it knows it for its own.
#[test]
fn a_replay_of_our_own_is_known_for_our_own() -> Result<()> {
    const TIMES: u64 = 2000;
    let mut siege = Siege::laid(&instance(200), &instance(100))?;
    let own =
        siege
            .of_a
            .await_advert("an advertisement", siege.of_a.mark(), PATIENCE, |advert| {
                advert.priority == 200
            })?;
    let mark = siege.mark()?;
    siege
        .stranger
        .send_all(&vec![own.bytes(); usize::try_from(TIMES)?])?;
    let more = await_increase(&siege.a, &mark.counters_a, |more| {
        more["own_address"] >= TIMES
    })?;
    for (name, count) in &more {
        let expected = if name == "own_address" { TIMES } else { 0 };
        ensure!(*count == expected, "{count} counted as {name}");
    }
    siege.unmoved_since(&mark)
}

/// Its release from yesterday does release its Backup, who cannot tell; but the
/// Active stays what it is, and the Backup yields to its next advertisement.
#[test]
fn a_replayed_release_is_over_with_the_next_advertisement() -> Result<()> {
    let mut siege = Siege::laid(&instance(200), &instance(100))?;
    let before = siege.of_a.mark();
    // Recorded from the same router a run earlier.
    siege.a.stop()?;
    let release = siege
        .of_a
        .await_advert("the release", before, PATIENCE, |advert| {
            advert.priority == 0
        })?;
    let (host_a, _) = siege.lab.pair();
    siege.a = Harrier::start_with(&siege.lab, host_a, "again", &instance(200).to_toml())?;
    siege.a.await_state("web", "active", PATIENCE)?;
    siege.b.await_state("web", "backup", PATIENCE)?;

    let mark = siege.mark()?;
    for _ in 0..20 {
        siege.stranger.send(release.bytes())?;
        // Each in another part of the interval.
        thread::sleep(Duration::from_millis(70));
    }
    siege.a_unmoved_since(&mark)?;
    let more = await_increase(&siege.a, &mark.counters_a, |more| more["own_address"] >= 20)?;
    ensure!(more["own_address"] == 20, "{more:?}");
    let back = siege.b.await_state("web", "backup", PATIENCE)?;
    ensure!(back.active.as_deref() == Some("10.77.0.1"), "{back:?}");
    // Held back or released, it has said nothing but that it takes over, and
    // then that it does not.
    siege.a_unmoved_since(&mark)
}
