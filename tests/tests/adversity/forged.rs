//! Whole advertisements with one thing wrong, each two thousand times: nobody
//! moves, and exactly one counter goes up, by exactly that number. And one with
//! nothing wrong.

use std::{net::IpAddr, time::Duration};

use anyhow::{Context as _, Result, ensure};
use ha_tests::{
    daemon::{Harrier, Instance},
    forge::{Forgery, seal},
    lab::Host,
    siege::{Counters, Mark, PATIENCE, Siege, await_increase, status},
};

/// How often each is sent.
const TIMES: u64 = 2000;

/// Would win against both if it were valid.
const WINNING: u8 = 254;

/// A forgery, and what it is to be counted as.
struct Case {
    counter: &'static str,
    frame: Vec<u8>,
}

fn case(counter: &'static str, forgery: &Forgery) -> Case {
    Case {
        counter,
        frame: forgery.frame(),
    }
}

/// Sends each case and has both nodes count it; nobody may move.
fn all_refused(siege: &mut Siege, cases: &[Case]) -> Result<()> {
    let begin = siege.mark()?;
    for (number, Case { counter, frame }) in cases.iter().enumerate() {
        let mark = siege.mark()?;
        let times = usize::try_from(TIMES)?;
        siege.send_to_both(&vec![frame; times])?;
        for (name, harrier, before) in [
            ("node-a", &siege.a, &mark.counters_a),
            ("node-b", &siege.b, &mark.counters_b),
        ] {
            counted(harrier, before, counter, name == "node-b")
                .with_context(|| format!("case {number} ({counter}) at {name}"))?;
        }
    }
    siege.unmoved_since(&begin)
}

/// What a Backup hears of the Active: its advertisements, and its announcements,
/// which claim the addresses.
const OF_ACTIVE: [&str; 3] = ["accepted", "checksum_with_pseudo_header", "foreign_claims"];

/// `counter` has gone up by [`TIMES`] and nothing else has, but for
/// [`OF_ACTIVE`] if it `hears` one.
fn counted(harrier: &Harrier, before: &Counters, counter: &str, hears: bool) -> Result<()> {
    let more = await_increase(harrier, before, |more| {
        more.get(counter).copied() >= Some(TIMES)
    })?;
    for (name, more) in &more {
        let of_active = OF_ACTIVE.contains(&name.as_str());
        if name == counter {
            ensure!(*more == TIMES, "{more} counted as {name}");
        } else if !(hears && of_active) {
            ensure!(*more == 0, "{more} counted as {name} too");
        }
    }
    Ok(())
}

fn pair(addresses: &[&str]) -> (Instance, Instance) {
    (Instance::new(200, addresses), Instance::new(100, addresses))
}

/// The cases that both families share.
fn common(good: &Forgery) -> Vec<Case> {
    let with = |change: &dyn Fn(&mut Forgery)| {
        let mut forgery = good.clone();
        change(&mut forgery);
        forgery
    };
    // Octet of the message's checksum, behind Ethernet and IP header.
    let checksum_at = if good.source.is_ipv4() { 34 } else { 54 } + 6;
    let mut wrong_sum = good.frame();
    wrong_sum[checksum_at] ^= 0x10;
    let mut cases = vec![
        case("bad_ttl", &with(&|f| f.hops = 254)),
        case("bad_ttl", &with(&|f| f.hops = 1)),
        case("bad_version", &with(&|f| f.version = 1)),
        case("bad_version", &with(&|f| f.version = 4)),
        case("bad_type", &with(&|f| f.kind = 2)),
        case("bad_type", &with(&|f| f.kind = 0)),
        case("not_configured", &with(&|f| f.vrid = 52)),
        case("not_configured", &with(&|f| f.vrid = 0)),
        case("zero_interval", &with(&|f| f.interval = [0, 0])),
        // The reserved bits are no part of the interval.
        case("zero_interval", &with(&|f| f.interval = [0xf0, 0])),
        case(
            "no_addresses",
            &with(&|f| {
                f.count = 0;
                f.addresses.clear();
            }),
        ),
        case("no_addresses", &with(&|f| f.count = 0)),
        case("bad_length", &with(&|f| f.count += 1)),
        case("bad_length", &with(&|f| f.trailer = vec![0; 4])),
    ];
    cases.push(Case {
        counter: "bad_checksum",
        frame: wrong_sum,
    });
    cases
}

#[test]
fn ipv4_forgeries_move_nobody() -> Result<()> {
    let (on_a, on_b) = pair(&["10.77.0.100/16"]);
    let mut siege = Siege::laid(&on_a, &on_b)?;
    let vip = IpAddr::from([10, 77, 0, 100]);
    let good = Forgery::new(siege.stranger_host(), WINNING, &[vip]);
    let mut cases = common(&good);
    cases.push(case(
        "version_mismatch",
        &Forgery {
            version: 2,
            interval: [0, 1],
            trailer: vec![0; 8],
            ..good.clone()
        },
    ));
    // Made for someone else, but flooded by the switch or sent to all on purpose.
    cases.push(case(
        "bad_destination",
        &Forgery {
            destination: siege.lab.nodes[0].ipv4().into(),
            ..good.clone()
        },
    ));
    for fragment in [0x2000, 0x0001] {
        cases.push(case(
            "fragment",
            &Forgery {
                fragment,
                ..good.clone()
            },
        ));
    }
    let mut wrong_sum = good.frame();
    wrong_sum[24] ^= 0x10;
    cases.push(Case {
        counter: "bad_ip_checksum",
        frame: wrong_sum,
    });
    let mut short_header = good.frame();
    short_header[14] = 0x44;
    cases.push(Case {
        counter: "bad_ip_header",
        frame: short_header,
    });
    let mut cut = good.frame();
    cut.pop();
    cases.push(Case {
        counter: "truncated",
        frame: cut,
    });
    let mut seven = good.frame();
    seven[17] = 27;
    seal(&mut seven);
    cases.push(Case {
        counter: "too_short",
        frame: seven,
    });
    all_refused(&mut siege, &cases)
}

#[test]
fn ipv6_forgeries_move_nobody() -> Result<()> {
    let (on_a, on_b) = pair(&["fe80::100/64", "fd77::100/64"]);
    let mut siege = Siege::laid(&on_a, &on_b)?;
    let addresses: [IpAddr; 2] = ["fe80::100".parse()?, "fd77::100".parse()?];
    let good = Forgery::new(siege.stranger_host(), WINNING, &addresses);
    let mut cases = common(&good);
    let mut swapped = good.clone();
    swapped.addresses.reverse();
    cases.push(case("not_link_local", &swapped));
    // There is no version 2 over IPv6.
    cases.push(case(
        "bad_version",
        &Forgery {
            version: 2,
            ..good.clone()
        },
    ));
    all_refused(&mut siege, &cases)
}

#[test]
fn version_2_forgeries_move_nobody() -> Result<()> {
    let version_2 = |priority| Instance {
        version: 2,
        advert_interval: Duration::from_secs(1),
        password: Some("harrier"),
        ..Instance::new(priority, &["10.77.0.100/16"])
    };
    let mut siege = Siege::laid(&version_2(200), &version_2(100))?;
    let vip = IpAddr::from([10, 77, 0, 100]);
    let good = Forgery {
        version: 2,
        interval: [1, 1],
        trailer: b"harrier\0".to_vec(),
        ..Forgery::new(siege.stranger_host(), WINNING, &[vip])
    };
    let cases = [
        case(
            "bad_authentication",
            &Forgery {
                trailer: b"harriet\0".to_vec(),
                ..good.clone()
            },
        ),
        case(
            "bad_authentication",
            &Forgery {
                interval: [0, 1],
                ..good.clone()
            },
        ),
        case(
            "interval_mismatch",
            &Forgery {
                interval: [1, 2],
                ..good.clone()
            },
        ),
        case(
            "address_list_mismatch",
            &Forgery {
                addresses: vec![IpAddr::from([10, 77, 0, 99])],
                ..good.clone()
            },
        ),
        case("bad_ttl", &Forgery { hops: 64, ..good }),
    ];
    all_refused(&mut siege, &cases)
}

#[test]
fn unlisted_sources_move_nobody() -> Result<()> {
    let of = |number: u8| IpAddr::from([10, 77, 0, number]);
    let by_unicast = |priority, own, peer| Instance {
        unicast: Some((of(own), vec![of(peer)])),
        ..Instance::new(priority, &["10.77.0.100/16"])
    };
    let mut siege = Siege::laid(&by_unicast(200, 1, 2), &by_unicast(100, 2, 1))?;
    let to = |host: &Host| Forgery {
        to_mac: host.mac(),
        destination: host.ipv4().into(),
        ..Forgery::new(&siege.lab.nodes[2], WINNING, &[of(100)])
    };
    let (to_a, to_b) = (to(&siege.lab.nodes[0]), to(&siege.lab.nodes[1]));
    let group = Forgery::new(&siege.lab.nodes[2], WINNING, &[of(100)]);
    let begin = siege.mark()?;
    let times = usize::try_from(TIMES)?;
    for (counter, at_a, at_b) in [
        ("unlisted_source", to_a.clone(), to_b.clone()),
        // An owner has no privilege in this.
        (
            "unlisted_source",
            Forgery {
                priority: 255,
                ..to_a.clone()
            },
            Forgery {
                priority: 255,
                ..to_b.clone()
            },
        ),
        // Nor has a release: it would be a takeover.
        (
            "unlisted_source",
            Forgery {
                priority: 0,
                ..to_a.clone()
            },
            Forgery {
                priority: 0,
                ..to_b.clone()
            },
        ),
        (
            "bad_ttl",
            Forgery {
                hops: 254,
                source: of(2),
                ..to_a
            },
            Forgery {
                hops: 254,
                source: of(1),
                ..to_b
            },
        ),
        ("bad_destination", group.clone(), group),
    ] {
        let mark = siege.mark()?;
        siege.ports[0].send_all(&vec![at_a.frame(); times])?;
        siege.ports[1].send_all(&vec![at_b.frame(); times])?;
        counted(&siege.a, &mark.counters_a, counter, false)?;
        counted(&siege.b, &mark.counters_b, counter, true)?;
    }
    siege.unmoved_since(&begin)
}

/// A router that hears itself: a loop, a reflecting switch, a second host with
/// its address, or an attacker.
#[test]
fn our_own_address_as_source_moves_nobody() -> Result<()> {
    let (on_a, on_b) = pair(&["10.77.0.100/16"]);
    let mut siege = Siege::laid(&on_a, &on_b)?;
    let vip = IpAddr::from([10, 77, 0, 100]);
    let begin = siege.mark()?;
    let times = usize::try_from(TIMES)?;
    for priority in [WINNING, 255, 0, 200, 1] {
        for (place, harrier, before) in [
            (0, &siege.a, siege.a.counters()?),
            (1, &siege.b, siege.b.counters()?),
        ] {
            // To that node alone: for the other it is just its peer's.
            let host = &siege.lab.nodes[place];
            let forgery = Forgery {
                source: host.ipv4().into(),
                ..Forgery::new(siege.stranger_host(), priority, &[vip])
            };
            siege.ports[place].send_all(&vec![forgery.frame(); times])?;
            counted(harrier, &before, "own_address", place == 1)
                .with_context(|| format!("priority {priority} at {}", host.name))?;
        }
    }
    siege.unmoved_since(&begin)
}

/// A valid advertisement of priority 255 is the owner's, whoever sends it: RFC
/// 9568 §6.4.3 has the Active yield. It does, it says to whom, and it is back as
/// soon as Active_Down allows, no earlier.
#[test]
fn a_strangers_valid_255_is_obeyed_and_named() -> Result<()> {
    /// Of priority 200 at 100 ms, by hand: 3 × 100 ms + (256 − 200) / 256 × 100 ms.
    const ACTIVE_DOWN: Duration = Duration::from_nanos(321_875_000);
    /// Frames of the stranger, at its interval.
    const FRAMES: u32 = 10;

    // The Backup's Active_Down is far enough from the Active's for a busy machine.
    let mut siege = Siege::laid(
        &Instance::new(200, &["10.77.0.100/16"]),
        &Instance::new(1, &["10.77.0.100/16"]),
    )?;
    let vip = IpAddr::from([10, 77, 0, 100]);
    let from_stranger = siege.lab.capture(&siege.lab.nodes[2])?;
    let forged = Forgery::new(siege.stranger_host(), 255, &[vip]).frame();
    let mark = siege.mark()?;
    for frame in 0..FRAMES {
        if frame > 0 {
            // Its pace; there is nothing to wait for.
            std::thread::sleep(Duration::from_millis(100));
        }
        siege.stranger.send(&forged)?;
        if frame == 2 {
            let yielded = siege.a.await_state("web", "backup", PATIENCE)?;
            ensure!(
                yielded.active.as_deref() == Some("10.77.0.3"),
                "who is Active is not said: {yielded:?}"
            );
            ensure!(!siege.lab.nodes[0].has("10.77.0.100")?, "the address stays");
        }
    }
    siege.a.await_state("web", "active", PATIENCE)?;
    let last = from_stranger
        .frames()
        .into_iter()
        .rfind(|frame| frame.advert().is_some_and(|advert| advert.priority == 255))
        .context("the stranger's last")?;
    let back = siege
        .of_a
        .await_frame("node-a is back", mark.of_a, PATIENCE, |frame| {
            frame.at > last.at && frame.advert().is_some()
        })?;
    let waited = back.at.since(last.at);
    ensure!(waited >= ACTIVE_DOWN, "back after {waited:?}");
    ensure!(
        waited < ACTIVE_DOWN + Duration::from_secs(2),
        "back only after {waited:?}"
    );
    siege
        .probe
        .await_answers(&siege.lab.nodes[0], mark.answers, 50, PATIENCE)?;
    // Two transitions, not twenty: one advertisement or ten are one Active.
    moved_by(&siege.a, mark.transitions[0], 2)?;
    moved_by(&siege.b, mark.transitions[1], 0)?;
    is_told(&siege, &mark)
}

fn moved_by(harrier: &Harrier, before: u64, transitions: u64) -> Result<()> {
    let status = status(harrier)?;
    ensure!(
        status.transitions == before + transitions,
        "{transitions} transitions expected from {before} on: {status:?}"
    );
    Ok(())
}

/// The stranger's advertisements are accepted, and it is a peer with its MAC
/// address, by which an operator finds it.
fn is_told(siege: &Siege, mark: &Mark) -> Result<()> {
    let peers = siege.a.peers()?;
    let stranger = peers
        .iter()
        .find(|peer| peer.address == "10.77.0.3")
        .context("the stranger is among the peers")?;
    ensure!(
        stranger.priority == 255 && stranger.mac == siege.stranger_host().mac().to_string(),
        "{stranger:?}"
    );
    let more = await_increase(&siege.a, &mark.counters_a, |_| true)?;
    ensure!(more["accepted"] >= 10, "{more:?}");
    Ok(())
}
