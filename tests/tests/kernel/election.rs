//! What an advertisement means in each state: records, events, and their limits.

use std::{
    collections::HashSet,
    net::{IpAddr, Ipv4Addr},
};

use anyhow::{Context as _, Result, ensure};
use bytemuck::Zeroable as _;
use ha_common::abi::{
    self, Counter, EVENT_BURST, EVENT_CHANGED, EVENT_LOSING, EVENT_NEW_PEER, EVENT_OUTRANKED,
    EVENT_RELEASE, EVENT_WEAKENED, STATE_ACTIVE, STATE_BACKUP, STATE_FAULT, STATE_INIT,
};

use super::{
    bench::{Bench, FOR_EVER, V2, V2_UNICAST, V3, V3_UNICAST, isolated, peer_key, slot},
    packet::{PEER, PEER_MAC, arp, neighbour_advertisement, v2, v2_unicast, v3, v3_unicast},
};

/// Smaller and greater than our address, 10.77.0.5.
const BELOW: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 4);
const ABOVE: Ipv4Addr = PEER;

/// Our priority is 100 unless the row says so.
struct Row {
    state: u8,
    own_priority: u8,
    preempt: bool,
    priority: u8,
    source: Ipv4Addr,
    event: u32,
    /// Whether it becomes the one that holds back Active_Down.
    recorded: bool,
}

const fn row(state: u8, priority: u8, source: Ipv4Addr, event: u32, recorded: bool) -> Row {
    Row {
        state,
        own_priority: 100,
        preempt: true,
        priority,
        source,
        event,
        recorded,
    }
}

const fn releasing(priority: u8, source: Ipv4Addr, event: u32, recorded: bool) -> Row {
    Row {
        own_priority: 0,
        ..row(STATE_ACTIVE, priority, source, event, recorded)
    }
}

const ROWS: &[Row] = &[
    row(STATE_BACKUP, 0, ABOVE, EVENT_RELEASE, false),
    row(STATE_BACKUP, 99, ABOVE, EVENT_NEW_PEER, false),
    row(STATE_BACKUP, 100, BELOW, EVENT_CHANGED, true),
    row(STATE_BACKUP, 100, ABOVE, EVENT_CHANGED, true),
    row(STATE_BACKUP, 255, ABOVE, EVENT_CHANGED, true),
    Row {
        preempt: false,
        ..row(STATE_BACKUP, 1, BELOW, EVENT_CHANGED, true)
    },
    Row {
        preempt: false,
        ..row(STATE_BACKUP, 0, BELOW, EVENT_RELEASE, false)
    },
    row(STATE_ACTIVE, 0, ABOVE, EVENT_RELEASE, false),
    row(STATE_ACTIVE, 99, ABOVE, EVENT_LOSING, false),
    Row {
        preempt: false,
        ..row(STATE_ACTIVE, 99, ABOVE, EVENT_LOSING, false)
    },
    row(STATE_ACTIVE, 100, BELOW, EVENT_LOSING, false),
    row(STATE_ACTIVE, 100, ABOVE, EVENT_OUTRANKED, true),
    row(STATE_ACTIVE, 101, BELOW, EVENT_OUTRANKED, true),
    // Handing over: whoever advertises a priority outranks us, releases aside.
    releasing(1, BELOW, EVENT_OUTRANKED, true),
    releasing(1, ABOVE, EVENT_OUTRANKED, true),
    releasing(255, BELOW, EVENT_OUTRANKED, true),
    releasing(0, BELOW, EVENT_RELEASE, false),
    releasing(0, ABOVE, EVENT_RELEASE, false),
    Row {
        preempt: false,
        ..releasing(1, BELOW, EVENT_OUTRANKED, true)
    },
    row(STATE_INIT, 200, ABOVE, EVENT_NEW_PEER, false),
    row(STATE_INIT, 0, ABOVE, EVENT_NEW_PEER, false),
    row(STATE_FAULT, 200, ABOVE, EVENT_NEW_PEER, false),
];

#[test]
fn each_state_has_its_rules() -> Result<()> {
    isolated(|pins| {
        let mut bench = Bench::new(pins)?;
        for Row {
            state,
            own_priority,
            preempt,
            priority,
            source,
            event,
            recorded,
        } in ROWS
        {
            let name = format!(
                "state {state}, own priority {own_priority}, preempt {preempt}, {priority} from {source}"
            );
            bench.change(V3, |it| {
                it.state = *state;
                it.priority = *own_priority;
                it.preempt = u8::from(*preempt);
            })?;
            bench.forget(slot(V3, 4))?;
            let frame = v3().with(|it| {
                it.priority = *priority;
                it.source = (*source).into();
            });
            let outcome = bench.run(&frame.build())?;
            ensure!(outcome.kinds() == [*event], "{name}: {:?}", outcome.events);
            ensure!(
                outcome.events[0].priority == *priority,
                "{name}: {:?}",
                outcome.events
            );
            let record = bench.maps.actives.read(slot(V3, 4));
            ensure!((record.adverts == 1) == *recorded, "{name}: {record:?}");
            ensure!(
                (record.last_seen_ns != 0) == *recorded,
                "{name}: {record:?}"
            );
            ensure!(bench.peers()?.is_empty(), "{name}: the program made a row");

            // Once the daemon knows the peer, only what it has to act on is told.
            let key = bench.admit(V3, (*source).into())?;
            bench.forget(slot(V3, 4))?;
            let outcome = bench.run(&frame.build())?;
            let expected: &[u32] = if *event == EVENT_NEW_PEER {
                &[]
            } else {
                &[*event]
            };
            ensure!(
                outcome.kinds() == expected,
                "{name}, known: {:?}",
                outcome.events
            );
            bench.maps.peers.remove(&key)?;
        }
        Ok(())
    })
}

#[test]
fn a_backup_hears_in_silence_until_something_changes() -> Result<()> {
    isolated(|pins| {
        let mut bench = Bench::new(pins)?;
        let key = bench.admit(V3, PEER.into())?;
        ensure!(bench.run(&v3().build())?.kinds() == [EVENT_CHANGED]);
        let mut last = bench.maps.actives.read(slot(V3, 4));
        let told = bench.maps.slots.told(slot(V3, 4))?;
        for adverts in 2..=10 {
            ensure!(bench.run(&v3().build())?.events.is_empty());
            let record = bench.maps.actives.read(slot(V3, 4));
            ensure!(record.adverts == adverts && record.last_seen_ns > last.last_seen_ns);
            ensure!(bench.maps.slots.told(slot(V3, 4))? == told);
            let peer = bench.maps.peers.read(&key)?.expect("its row");
            ensure!(peer.adverts == adverts && peer.last_seen_ns == record.last_seen_ns);
            last = record;
        }
        let changes = [
            v3().with(|it| it.priority = 201),
            v3().with(|it| {
                it.priority = 201;
                it.interval = [0, 10];
            }),
            v3().with(|it| {
                it.priority = 201;
                it.interval = [0, 10];
                it.source = BELOW.into();
            }),
        ];
        bench.admit(V3, BELOW.into())?;
        for frame in changes {
            ensure!(
                bench.run(&frame.build())?.kinds() == [EVENT_CHANGED],
                "{frame:?}"
            );
            ensure!(
                bench.run(&frame.build())?.events.is_empty(),
                "{frame:?} is told twice"
            );
        }
        // A loser is no change, and does not count as sign of life of the Active.
        // (PEER is not the one that holds us back any more.)
        let before = bench.maps.actives.read(slot(V3, 4));
        ensure!(
            bench
                .run(&v3().with(|it| it.priority = 1).build())?
                .events
                .is_empty()
        );
        ensure!(bench.maps.actives.read(slot(V3, 4)) == before);
        Ok(())
    })
}

#[test]
fn what_repeats_within_the_gap_is_counted_in_its_row_later() -> Result<()> {
    isolated(|pins| {
        let mut bench = Bench::new(pins)?;
        let key = bench.admit(V3, PEER.into())?;
        let row = |bench: &Bench| bench.maps.peers.read(&key)?.context("its row");
        bench.change(V3, |it| it.event_gap_ns = FOR_EVER)?;
        bench.run(&v3().build())?;
        let first = row(&bench)?;
        ensure!(first.adverts == 1);
        for _ in 0..4 {
            bench.run(&v3().build())?;
        }
        ensure!(row(&bench)? == first, "the row was written again");
        let record = bench.maps.actives.read(slot(V3, 4));
        ensure!(record.adverts == 5 && record.unwritten == 4, "{record:?}");
        ensure!(record.row_written_ns == first.last_seen_ns, "{record:?}");
        ensure!(record.last_seen_ns > first.last_seen_ns, "{record:?}");

        // What is new is written at once, with those.
        bench.run(&v3().with(|it| it.priority = 201).build())?;
        let changed = row(&bench)?;
        ensure!(
            changed.adverts == 6 && changed.priority == 201,
            "{changed:?}"
        );
        // What loses too, which changes no record.
        bench.run(&v3().with(|it| it.priority = 201).build())?;
        bench.run(&v3().with(|it| it.priority = 1).build())?;
        let lost = row(&bench)?;
        ensure!(lost.adverts == 8 && lost.priority == 1, "{lost:?}");
        ensure!(bench.maps.actives.read(slot(V3, 4)).unwritten == 0);
        // When the gap is over, the next one is written as it comes.
        bench.run(&v3().with(|it| it.priority = 201).build())?;
        bench.change(V3, |it| it.event_gap_ns = 0)?;
        bench.run(&v3().with(|it| it.priority = 201).build())?;
        ensure!(row(&bench)?.adverts == 10);

        // A source without a row is told of however often it repeats itself, and
        // another one's row is its own.
        let other = v3().with(|it| it.source = BELOW.into()).build();
        bench.change(V3, |it| it.event_gap_ns = FOR_EVER)?;
        bench.forget(slot(V3, 4))?;
        ensure!(bench.run(&other)?.kinds() == [EVENT_CHANGED]);
        ensure!(bench.run(&other)?.kinds() == [EVENT_NEW_PEER]);
        let record = bench.maps.actives.read(slot(V3, 4));
        ensure!(
            record.row_written_ns == 0 && record.unwritten == 0,
            "{record:?}"
        );
        ensure!(row(&bench)?.adverts == 10);
        let other_key = bench.admit(V3, BELOW.into())?;
        for _ in 0..3 {
            bench.run(&other)?;
        }
        let other_row = bench.maps.peers.read(&other_key)?.context("its row")?;
        ensure!(other_row.adverts == 1, "{other_row:?}");
        ensure!(bench.maps.actives.read(slot(V3, 4)).unwritten == 2);
        // What was not written yet is not counted as another one's.
        bench.run(&v3().build())?;
        ensure!(row(&bench)?.adverts == 11);
        ensure!(bench.maps.actives.read(slot(V3, 4)).unwritten == 0);
        Ok(())
    })
}

#[test]
fn a_change_that_came_too_soon_is_told_later() -> Result<()> {
    isolated(|pins| {
        let mut bench = Bench::new(pins)?;
        bench.admit(V3, PEER.into())?;
        bench.change(V3, |it| it.event_gap_ns = FOR_EVER)?;
        ensure!(bench.run(&v3().build())?.kinds() == [EVENT_CHANGED]);
        let other = v3().with(|it| it.priority = 150).build();
        ensure!(bench.run(&other)?.events.is_empty(), "the gap is not kept");
        ensure!(bench.maps.actives.read(slot(V3, 4)).told == 0);
        ensure!(bench.run(&other)?.events.is_empty(), "the gap is not kept");
        bench.change(V3, |it| it.event_gap_ns = 0)?;
        ensure!(
            bench.run(&other)?.kinds() == [EVENT_CHANGED],
            "the change was forgotten"
        );
        ensure!(bench.maps.actives.read(slot(V3, 4)).told == 1);
        ensure!(bench.run(&other)?.events.is_empty());
        Ok(())
    })
}

#[test]
fn the_active_that_falls_below_us_is_told_of() -> Result<()> {
    isolated(|pins| {
        let mut bench = Bench::new(pins)?;
        bench.admit(V3, PEER.into())?;
        bench.admit(V3, BELOW.into())?;
        let weak = v3().with(|it| it.priority = 99).build();
        // Nobody has held us back yet.
        ensure!(bench.run(&weak)?.events.is_empty());
        ensure!(bench.run(&v3().build())?.kinds() == [EVENT_CHANGED]);
        let record = bench.maps.actives.read(slot(V3, 4));
        // Not the one that holds us back.
        let other = v3().with(|it| {
            it.priority = 99;
            it.source = BELOW.into();
        });
        ensure!(bench.run(&other.build())?.events.is_empty());

        let outcome = bench.run(&weak)?;
        ensure!(
            outcome.kinds() == [EVENT_WEAKENED] && outcome.events[0].priority == 99,
            "{outcome:?}"
        );
        // It is no sign of life of an Active, and changes no record.
        ensure!(bench.maps.actives.read(slot(V3, 4)) == record);
        // Where a lower router is not to be preempted, it holds us back as ever.
        bench.change(V3, |it| it.preempt = 0)?;
        ensure!(bench.run(&weak)?.kinds() == [EVENT_CHANGED]);
        // Once that is over it is weaker than us anew.
        bench.change(V3, |it| it.preempt = 1)?;
        ensure!(bench.run(&weak)?.kinds() == [EVENT_WEAKENED]);
        // When we are Active it is a loser like any other.
        bench.change(V3, |it| it.state = STATE_ACTIVE)?;
        ensure!(bench.run(&weak)?.kinds() == [EVENT_LOSING]);
        Ok(())
    })
}

#[test]
fn each_kind_has_a_limit() -> Result<()> {
    isolated(|pins| {
        let mut bench = Bench::new(pins)?;
        bench.admit(V3, PEER.into())?;
        // In this order without clearing anything: no kind uses up another's.
        for (state, own_priority, priority, kind, limit) in [
            (STATE_BACKUP, 100, 200, EVENT_CHANGED, 1),
            (STATE_BACKUP, 100, 99, EVENT_WEAKENED, 1),
            (STATE_ACTIVE, 100, 50, EVENT_LOSING, 1),
            (STATE_ACTIVE, 100, 201, EVENT_OUTRANKED, EVENT_BURST),
            (STATE_BACKUP, 100, 0, EVENT_RELEASE, EVENT_BURST),
        ] {
            bench.change(V3, |it| {
                it.state = state;
                it.priority = own_priority;
                it.event_gap_ns = FOR_EVER;
            })?;
            bench.repeat(&v3().with(|it| it.priority = priority).build(), 100)?;
            let kinds: Vec<u32> = bench.drain().iter().map(|event| event.kind).collect();
            ensure!(
                kinds == vec![kind; limit as usize],
                "state {state}, priority {priority}: {kinds:?}"
            );
        }
        let told = bench.maps.slots.told(slot(V3, 4))?;
        ensure!(
            told.releases == EVENT_BURST && told.outranks == EVENT_BURST,
            "{told:?}"
        );
        // In the next gap each is told again.
        for (state, priority, kind) in [
            (STATE_ACTIVE, 201, EVENT_OUTRANKED),
            (STATE_ACTIVE, 0, EVENT_RELEASE),
        ] {
            bench.change(V3, |it| it.state = state)?;
            let frame = v3().with(|it| it.priority = priority).build();
            ensure!(bench.run(&frame)?.kinds() == [kind], "state {state}");
        }
        let told = bench.maps.slots.told(slot(V3, 4))?;
        ensure!(told.releases == 1 && told.outranks == 1, "{told:?}");
        Ok(())
    })
}

/// Within one gap: a router releases, its successor advertises and releases too.
#[test]
fn a_release_after_a_newer_advertisement_is_told() -> Result<()> {
    isolated(|pins| {
        let mut bench = Bench::new(pins)?;
        bench.admit(V3, PEER.into())?;
        bench.admit(V3, BELOW.into())?;
        bench.change(V3, |it| it.event_gap_ns = FOR_EVER)?;
        let release = v3().with(|it| it.priority = 0);
        ensure!(bench.run(&v3().build())?.kinds() == [EVENT_CHANGED]);
        ensure!(bench.run(&release.build())?.kinds() == [EVENT_RELEASE]);
        let successor = v3().with(|it| it.source = BELOW.into());
        ensure!(bench.run(&successor.build())?.events.is_empty());
        let again = release.with(|it| it.source = BELOW.into());
        ensure!(bench.run(&again.build())?.kinds() == [EVENT_RELEASE]);
        Ok(())
    })
}

/// What a flood of winners leaves untold is in the record, and is told as soon as
/// it holds us back.
#[test]
fn who_outranks_us_unheard_is_in_the_record() -> Result<()> {
    isolated(|pins| {
        let mut bench = Bench::new(pins)?;
        bench.admit(V3, PEER.into())?;
        bench.admit(V3, BELOW.into())?;
        bench.change(V3, |it| {
            it.state = STATE_ACTIVE;
            it.event_gap_ns = FOR_EVER;
        })?;
        bench.repeat(&v3().build(), EVENT_BURST + 1)?;
        ensure!(bench.drain().len() == EVENT_BURST as usize);
        let record = bench.maps.actives.read(slot(V3, 4));
        // The daemon knows of this one.
        ensure!(record.told == 1 && record.adverts == u64::from(EVENT_BURST) + 1);
        let other = v3().with(|it| {
            it.priority = 201;
            it.source = BELOW.into();
        });
        ensure!(bench.run(&other.build())?.events.is_empty());
        let record = bench.maps.actives.read(slot(V3, 4));
        ensure!(record.told == 0 && record.priority == 201, "{record:?}");
        bench.change(V3, |it| it.event_gap_ns = FOR_EVER)?;
        ensure!(bench.run(&other.build())?.kinds() == [EVENT_CHANGED]);
        Ok(())
    })
}

#[test]
fn a_slot_that_is_cleared_remembers_nothing() -> Result<()> {
    isolated(|pins| {
        let mut bench = Bench::new(pins)?;
        let (index, neighbour) = (slot(V3, 4), slot(V2, 4));
        bench.admit(V3, PEER.into())?;
        bench.admit(V2, PEER.into())?;
        bench.run(&v3().build())?;
        bench.run(&v3().with(|it| it.ttl = 1).build())?;
        bench.run(&v2().build())?;
        let before = bench.maps.actives.read(neighbour);
        bench.maps.slots.clear(index)?;
        ensure!(bench.maps.actives.read(index) == abi::ActiveRouter::zeroed());
        ensure!(bench.maps.slots.told(index)? == abi::Told::zeroed());
        ensure!(bench.maps.refusals.read(index)?.is_none());
        ensure!(before.adverts == 1 && bench.maps.actives.read(neighbour) == before);
        // Another interface's past decides nothing: what was told is told again.
        ensure!(bench.run(&v3().build())?.kinds() == [EVENT_CHANGED]);
        ensure!(bench.maps.slots.clear(abi::EVENTS_BYTES).is_err());
        Ok(())
    })
}

#[test]
fn a_virtual_router_is_forgotten_with_its_peers_and_addresses() -> Result<()> {
    isolated(|pins| {
        let bench = Bench::new(pins)?;
        let key = |vrid| {
            super::bench::instances()
                .into_iter()
                .find(|(key, _)| key.vrid == vrid && key.family == 4)
                .expect("a virtual router")
                .0
        };
        // Of the others of this interface, VRID or family, no row goes.
        bench.admit(V3, PEER.into())?;
        bench.admit(V3, BELOW.into())?;
        bench.admit(V2, PEER.into())?;
        bench.admit(V3, "fe80::9".parse()?)?;
        bench.maps.peers.forget(&key(V3))?;
        let left: Vec<_> = bench
            .peers()?
            .iter()
            .map(|(key, _)| (key.vrid, key.family))
            .collect();
        ensure!(left == [(V3, 6), (V2, 4)], "{left:?}");

        bench.maps.unicast_peers.forget(&key(V3_UNICAST))?;
        let mut bench = bench;
        let refused = bench.run(&v3_unicast().build())?.counters();
        ensure!(refused == [Counter::UnlistedSource], "{refused:?}");
        let accepted = bench.run(&v2_unicast().build())?.counters();
        ensure!(accepted.contains(&Counter::Accepted), "{accepted:?}");
        bench
            .maps
            .unicast_peers
            .unlist(&peer_key(V2_UNICAST, PEER.into()))?;
        let refused = bench.run(&v2_unicast().build())?.counters();
        ensure!(refused == [Counter::UnlistedSource], "{refused:?}");

        let claim = arp(2, PEER_MAC, [10, 77, 0, 100].into(), [10, 77, 0, 1].into());
        let ipv6 = neighbour_advertisement(PEER_MAC, "2001:db8::100".parse()?);
        ensure!(bench.run(&claim)?.counters() == [Counter::ForeignClaims]);
        bench.maps.vips.forget(&key(V3))?;
        ensure!(bench.run(&claim)?.counts.is_empty());
        ensure!(bench.maps.claims.iter().count() == 0);
        ensure!(bench.run(&ipv6)?.counters() == [Counter::ForeignClaims]);
        Ok(())
    })
}

#[test]
fn new_peers_do_not_hold_back_other_events() -> Result<()> {
    isolated(|pins| {
        let mut bench = Bench::new(pins)?;
        bench.change(V3, |it| it.event_gap_ns = FOR_EVER)?;
        let loser = v3().with(|it| it.priority = 1).build();
        ensure!(bench.run(&loser)?.kinds() == [EVENT_NEW_PEER]);
        ensure!(bench.run(&loser)?.events.is_empty());
        ensure!(bench.run(&v3().build())?.kinds() == [EVENT_CHANGED]);
        Ok(())
    })
}

#[test]
fn forged_sources_change_no_row_and_cost_few_events() -> Result<()> {
    const SOURCES: u32 = 10_000;
    isolated(|pins| {
        let mut bench = Bench::new(pins)?;
        for known in 0..16 {
            bench.admit(V3, IpAddr::from([10, 77, 1, known]))?;
        }
        let peers = bench.peers()?;
        for (state, priority, allowed) in [
            (STATE_BACKUP, 1, HashSet::from([EVENT_NEW_PEER])),
            (
                STATE_BACKUP,
                254,
                HashSet::from([EVENT_NEW_PEER, EVENT_CHANGED]),
            ),
            (
                STATE_ACTIVE,
                1,
                HashSet::from([EVENT_NEW_PEER, EVENT_LOSING]),
            ),
        ] {
            bench.change(V3, |it| {
                it.state = state;
                it.event_gap_ns = FOR_EVER;
            })?;
            bench.forget(slot(V3, 4))?;
            let accepted = bench.maps.counters.sum()?.accepted;
            for number in 0..SOURCES {
                let source = Ipv4Addr::from_bits(Ipv4Addr::new(10, 78, 0, 0).to_bits() + number);
                let frame = v3().with(|it| {
                    it.source = source.into();
                    it.priority = priority;
                });
                bench.repeat(&frame.build(), 1)?;
            }
            ensure!(bench.maps.counters.sum()?.accepted - accepted == u64::from(SOURCES));
            let events = bench.drain();
            let kinds: HashSet<u32> = events.iter().map(|event| event.kind).collect();
            // One of each kind: that the limit says.
            ensure!(
                events.len() == kinds.len() && kinds == allowed,
                "{events:?}"
            );
            ensure!(bench.peers()? == peers, "the flood changed the peers");
        }
        // Who is known is still heard.
        bench.run(
            &v3()
                .with(|it| it.source = IpAddr::from([10, 77, 1, 3]))
                .build(),
        )?;
        let key = peer_key(V3, IpAddr::from([10, 77, 1, 3]));
        ensure!(
            bench
                .maps
                .peers
                .read(&key)?
                .is_some_and(|peer| peer.adverts == 1)
        );
        ensure!(bench.peers()?.len() == 16);
        Ok(())
    })
}

#[test]
fn a_full_ring_loses_events_but_no_change() -> Result<()> {
    const RELEASES: u32 = 5_000;
    isolated(|pins| {
        let mut bench = Bench::new(pins)?;
        bench.admit(V3, PEER.into())?;
        // The gap of this suite is none, so nothing is limited.
        bench.repeat(&v3().with(|it| it.priority = 0).build(), RELEASES)?;
        bench.repeat(&v3().build(), 1)?;
        let lost = bench.maps.counters.sum()?.of(Counter::EventsLost);
        let received = bench.drain();
        ensure!(
            lost > 0,
            "{RELEASES} events fit the ring: the test shows nothing"
        );
        ensure!(received.len() as u64 + lost == u64::from(RELEASES) + 1);
        ensure!(received.iter().all(|event| event.kind == EVENT_RELEASE));
        let record = bench.maps.actives.read(slot(V3, 4));
        ensure!(record.told == 0 && record.priority == 200, "{record:?}");
        ensure!(
            bench.run(&v3().build())?.kinds() == [EVENT_CHANGED],
            "the change was forgotten"
        );
        Ok(())
    })
}

#[test]
fn an_instance_that_is_withdrawn_is_not_configured() -> Result<()> {
    isolated(|pins| {
        let mut bench = Bench::new(pins)?;
        let (key, _) = super::bench::instances()[0];
        bench.maps.instances.withdraw(&key)?;
        bench.maps.instances.withdraw(&key)?;
        ensure!(bench.run(&v3().build())?.counters() == [Counter::NotConfigured]);
        Ok(())
    })
}

#[test]
fn an_instance_without_a_slot_is_refused_and_the_one_before_stays() -> Result<()> {
    isolated(|pins| {
        let mut bench = Bench::new(pins)?;
        let row = bench.admit(V3, PEER.into())?;
        let refused = bench.change(V3, |it| it.index = abi::EVENTS_BYTES);
        ensure!(refused.is_err_and(|error| error.to_string().contains("instances")));
        let outcome = bench.run(&v3().build())?;
        ensure!(outcome.counters().contains(&Counter::Accepted));
        ensure!(
            bench
                .maps
                .peers
                .read(&row)?
                .is_some_and(|peer| peer.adverts == 1)
        );
        Ok(())
    })
}
