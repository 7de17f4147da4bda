//! The program finds a virtual router in a bucket that others share, whichever of
//! them come and go.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use ha_common::{
    abi::{self, Counter, Instance, InstanceKey},
    types::RouterAddress,
};
use ha_user::kernel::{Loader, Program, Sizes};

use super::{
    bench::{Bench, DROP, IFINDEX, PASS, V3, V3_UNICAST, instances, isolated, loader, slot},
    packet::{v3, v3_ipv6, v3_unicast},
};

/// The loader of all suites, with room for `count` virtual routers.
fn roomy(pins: &Path, count: usize) -> Loader {
    let loader = loader(pins);
    Loader {
        sizes: Sizes {
            instances: count,
            ..loader.sizes
        },
        ..loader
    }
}

/// The virtual router that frames are for, and `others` on other interfaces in its
/// bucket, each with a slot of its own.
fn one_bucket(others: usize) -> Vec<(InstanceKey, Instance)> {
    let (ours, value) = instances()[0];
    let strangers = (IFINDEX + 1..)
        .flat_map(|ifindex| (1..=255).map(move |vrid| (ifindex, vrid)))
        .map(|(ifindex, vrid)| InstanceKey {
            ifindex,
            vrid,
            ..ours
        })
        .filter(|key| key.bucket() == ours.bucket());
    std::iter::once(ours)
        .chain(strangers.take(others))
        .zip(0..)
        .map(|(key, index)| (key, Instance { index, ..value }))
        .collect()
}

/// What the program counts for an advertisement to [`V3`].
fn counted(program: &Program, maps: &ha_user::kernel::Maps) -> Result<Counter> {
    use aya::{TestRun as _, TestRunOptions};
    let before = maps.counters.sum()?;
    let frame = v3().with(|it| it.vrid = V3).build();
    let result = program
        .xdp()
        .context("no program")?
        .test_run(TestRunOptions {
            data_in: Some(&frame),
            ..TestRunOptions::default()
        })?;
    ensure!(result.return_value == PASS);
    let after = maps.counters.sum()?;
    [Counter::Accepted, Counter::NotConfigured]
        .into_iter()
        .find(|counter| after.of(*counter) > before.of(*counter))
        .context("counted as something else")
}

#[test]
fn one_of_many_in_a_bucket_is_found() -> Result<()> {
    isolated(|pins| {
        let rows = one_bucket(abi::LONGEST_CHAIN - 1);
        let (program, maps) = roomy(pins, rows.len() + 1).load(&[])?;
        ensure!(counted(&program, &maps)? == Counter::NotConfigured);
        // Ours first: it ends up at the far end of the chain.
        for (key, value) in &rows {
            maps.instances.publish(key, value)?;
            ensure!(counted(&program, &maps)? == Counter::Accepted, "{key:?}");
        }
        // One more does not fit, and changes nothing.
        let (key, value) = *one_bucket(abi::LONGEST_CHAIN).last().context("no more")?;
        ensure!(maps.instances.publish(&key, &value).is_err());
        ensure!(maps.instances.read(&key).is_none());
        ensure!(counted(&program, &maps)? == Counter::Accepted);
        // A new state does not need room.
        let (ours, value) = rows[0];
        let weaker = Instance {
            priority: 7,
            ..value
        };
        maps.instances.publish(&ours, &weaker)?;
        ensure!(maps.instances.read(&ours) == Some(weaker));

        // The others go, from the middle, the front and the end of the chain.
        let mut others: Vec<_> = rows[1..].iter().map(|(key, _)| *key).collect();
        while !others.is_empty() {
            for place in [others.len() / 2, others.len().saturating_sub(1), 0] {
                if place < others.len() {
                    let key = others.remove(place);
                    maps.instances.withdraw(&key)?;
                    ensure!(maps.instances.read(&key).is_none());
                    ensure!(counted(&program, &maps)? == Counter::Accepted, "{key:?}");
                }
            }
        }
        // Twice is fine.
        for _ in 0..2 {
            maps.instances.withdraw(&ours)?;
            ensure!(counted(&program, &maps)? == Counter::NotConfigured);
        }
        Ok(())
    })
}

#[test]
fn a_slot_that_another_gets_is_the_others_alone() -> Result<()> {
    isolated(|pins| {
        let (program, maps) = roomy(pins, 4).load(&[])?;
        let (ours, value) = instances()[0];
        maps.instances.publish(&ours, &value)?;
        let other = InstanceKey { vrid: 99, ..ours };
        maps.instances.publish(&other, &value)?;
        ensure!(maps.instances.read(&ours).is_none() && maps.instances.read(&other).is_some());
        ensure!(counted(&program, &maps)? == Counter::NotConfigured);
        // It moves to another slot.
        maps.instances.publish(&ours, &value)?;
        let moved = Instance { index: 3, ..value };
        maps.instances.publish(&ours, &moved)?;
        ensure!(maps.instances.read(&ours) == Some(moved));
        ensure!(counted(&program, &maps)? == Counter::Accepted);
        maps.instances.withdraw(&ours)?;
        ensure!(counted(&program, &maps)? == Counter::NotConfigured);
        // There is no such slot.
        let beyond = Instance { index: 4, ..value };
        ensure!(maps.instances.publish(&ours, &beyond).is_err());
        Ok(())
    })
}

#[test]
fn what_is_recorded_is_consumed_if_asked_for() -> Result<()> {
    isolated(|pins| {
        let mut bench = Bench::new(pins)?;
        let valid = [v3(), v3_ipv6(), v3_unicast()];
        for frame in &valid {
            let (verdict, outcome) = bench.judge(&frame.build())?;
            ensure!(verdict == PASS && !outcome.counters().contains(&Counter::Consumed));
        }
        bench.maps.instances.set_consume(true);
        for state in [abi::STATE_BACKUP, abi::STATE_ACTIVE] {
            // One that is published later too.
            bench.change(V3, |it| it.state = state)?;
            for frame in &valid {
                let (verdict, outcome) = bench.judge(&frame.build())?;
                ensure!(verdict == DROP, "{frame:?}");
                ensure!(
                    outcome.counters().contains(&Counter::Consumed),
                    "{outcome:?}"
                );
            }
            let record = bench.maps.actives.read(slot(V3_UNICAST, 4));
            ensure!(record.adverts > 1, "dropped, not recorded: {record:?}");
            // Losing is being recorded too.
            let (verdict, _) = bench.judge(&v3().with(|it| it.priority = 1).build())?;
            ensure!(verdict == DROP);
        }
        // What is refused, names nobody here, or is no advertisement goes on.
        for other in [
            v3().with(|it| it.ttl = 254),
            v3().with(|it| it.checksum = super::packet::Checksum::Wrong),
            v3().with(|it| it.vrid = 200),
            v3().with(|it| it.protocol = 17),
        ] {
            let outcome = bench.run(&other.build())?;
            ensure!(
                !outcome.counters().contains(&Counter::Consumed),
                "{other:?}"
            );
        }
        // So does everything while the instance does not take part.
        for state in [abi::STATE_INIT, abi::STATE_FAULT] {
            bench.change(V3, |it| it.state = state)?;
            bench.run(&v3().build())?;
        }
        bench.maps.instances.set_consume(false);
        bench.change(V3, |it| it.state = abi::STATE_BACKUP)?;
        for frame in &valid {
            bench.run(&frame.build())?;
        }
        Ok(())
    })
}

#[test]
fn whoever_looks_sees_what_is_valid_and_what_is_refused() -> Result<()> {
    isolated(|pins| {
        let mut bench = Bench::new(pins)?;
        let frames = [
            (v3(), Counter::Accepted),
            (v3_ipv6(), Counter::Accepted),
            (v3_unicast(), Counter::Accepted),
            (v3().with(|it| it.ttl = 254), Counter::BadTtl),
            (
                v3().with(|it| it.checksum = super::packet::Checksum::Wrong),
                Counter::BadChecksum,
            ),
        ];
        for (frame, _) in &frames {
            bench.run(&frame.build())?;
        }
        ensure!(bench.maps.dump.next().is_none(), "nobody looks");
        bench.maps.instances.set_dump(true);
        for (frame, reason) in &frames {
            bench.run(&frame.build())?;
            let seen = bench.maps.dump.next().context("not shown")?;
            let family = if frame.source.is_ipv4() { 4 } else { 6 };
            let expected = abi::Dumped {
                at_ns: seen.at_ns,
                ifindex: IFINDEX,
                interval_cs: 100,
                vrid: frame.vrid,
                family,
                version: frame.version,
                priority: frame.priority,
                address_count: u8::try_from(frame.addresses.len())?,
                ttl: frame.ttl,
                to_group: u8::from(frame.vrid != V3_UNICAST),
                reason: u8::try_from(*reason as usize)?,
                mac: frame.source_mac,
                address: RouterAddress::from(frame.source).0,
                state: abi::STATE_BACKUP,
                consume: 0,
                reserved: [0; 2],
            };
            ensure!(seen == expected && seen.at_ns != 0, "{frame:?}: {seen:?}");
            ensure!(bench.maps.dump.next().is_none());
        }
        // Others' are not shown, and what does not fit is counted.
        bench.run(&v3().with(|it| it.vrid = 200).build())?;
        ensure!(bench.maps.dump.next().is_none());
        let before = bench.maps.counters.sum()?;
        let room = abi::DUMP_BYTES / 56;
        bench.repeat(&v3().build(), room + 1000)?;
        let seen = std::iter::from_fn(|| bench.maps.dump.next()).count() as u64;
        let lost = bench.maps.counters.sum()?.dumps_lost - before.dumps_lost;
        ensure!(
            lost >= 1000 && seen + lost == u64::from(room) + 1000,
            "{seen} {lost}"
        );
        bench.maps.instances.set_dump(false);
        bench.run(&v3().build())?;
        ensure!(bench.maps.dump.next().is_none());
        Ok(())
    })
}

#[test]
fn virtual_routers_spread_over_the_buckets() {
    // A host with a hundred interfaces, ten instances of both families on each, in
    // the order in which people number them; and one with all that an
    // interface can have.
    for (interfaces, vrids) in [(100, 10), (1, 255), (20, 255)] {
        let mut filled = vec![0; abi::BUCKETS as usize];
        for ifindex in 2..2 + interfaces {
            for vrid in 1..=vrids {
                for family in [4, 6] {
                    let key = InstanceKey {
                        ifindex,
                        vrid,
                        family,
                        reserved: [0; 2],
                    };
                    filled[key.bucket() as usize] += 1;
                }
            }
        }
        let most = filled.iter().max().copied().unwrap_or(0);
        assert!(
            most <= 8,
            "{most} of {interfaces} x {vrids} x 2 in one bucket"
        );
    }
}
