//! The program sorts any sequence of advertisements as the simulator's model of it
//! does: the same events, the same record, the same count of what was told.
//!
//! The program's clock cannot be set, so the gap between events is either none or
//! without end; the model's clock then only has to move on.

use std::{
    cell::RefCell,
    net::{IpAddr, Ipv4Addr},
};

use anyhow::{Context as _, Result, ensure};
use ha_common::{
    abi::{
        EVENT_CHANGED, EVENT_LOSING, EVENT_OUTRANKED, EVENT_RELEASE, EVENT_WEAKENED, STATE_ACTIVE,
        STATE_BACKUP, STATE_FAULT, STATE_INIT,
    },
    wire::{Frame, SliceWindow, classify, vrrp},
};
use proptest::{
    prelude::*,
    test_runner::{Config, TestCaseError, TestRunner},
};

use super::{
    bench::{Bench, FOR_EVER, V3, instances, isolated, slot},
    model::Slot,
    packet::v3,
};

const SOURCES: [Ipv4Addr; 3] = [
    Ipv4Addr::new(10, 77, 0, 4),
    Ipv4Addr::new(10, 77, 0, 6),
    Ipv4Addr::new(10, 77, 0, 7),
];

#[derive(Clone, Debug)]
enum Step {
    /// What the daemon publishes.
    Publish {
        state: u8,
        priority: u8,
        preempt: u8,
        limited: bool,
    },
    /// The same advertisement, `times` times.
    Hear {
        source: usize,
        priority: u8,
        interval: u8,
        times: u8,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let publish = (
        prop::sample::select(vec![
            STATE_BACKUP,
            STATE_BACKUP,
            STATE_ACTIVE,
            STATE_ACTIVE,
            STATE_INIT,
            STATE_FAULT,
        ]),
        prop::sample::select(vec![0, 1, 100, 100, 254, 255]),
        0..=1u8,
        any::<bool>(),
    )
        .prop_map(|(state, priority, preempt, limited)| Step::Publish {
            // Only a router that hands over is published with priority 0.
            priority: if state == STATE_ACTIVE {
                priority
            } else {
                priority.max(1)
            },
            state,
            preempt,
            limited,
        });
    let hear = (
        0..SOURCES.len(),
        prop::sample::select(vec![0, 1, 99, 100, 101, 255]),
        prop::sample::select(vec![10, 100]),
        prop::sample::select(vec![1, 1, 1, 2, 9]),
    )
        .prop_map(|(source, priority, interval, times)| Step::Hear {
            source,
            priority,
            interval,
            times,
        });
    prop_oneof![1 => publish, 4 => hear]
}

/// Runs `steps` through both; returns the kinds of the events.
fn compare(bench: &mut Bench, steps: &[Step]) -> Result<Vec<u32>> {
    let index = slot(V3, 4);
    let (_, instance) = instances()[index as usize];
    bench.forget(index)?;
    bench.change(V3, |_| {})?;
    let mut model = Slot::new(instance);
    let mut now_ns = 0;
    let mut kinds = Vec::new();
    for step in steps {
        match *step {
            Step::Publish {
                state,
                priority,
                preempt,
                limited,
            } => {
                model.instance.state = state;
                model.instance.priority = priority;
                model.instance.preempt = preempt;
                model.instance.event_gap_ns = if limited { FOR_EVER } else { 0 };
                bench.change(V3, |it| *it = model.instance)?;
            }
            Step::Hear {
                source,
                priority,
                interval,
                times,
            } => {
                let frame = v3()
                    .with(|it| {
                        it.source = SOURCES[source].into();
                        it.priority = priority;
                        it.interval = [0, interval];
                    })
                    .build();
                let window = SliceWindow(&frame);
                let Ok(Frame::Advertisement(header)) = classify(&window) else {
                    anyhow::bail!("not an advertisement");
                };
                let advert = vrrp::validate(&window, &header, &model.instance, |_| false)
                    .ok()
                    .context("not valid")?;
                for _ in 0..times {
                    let mut expected = Vec::new();
                    now_ns += 1;
                    model.hear(now_ns, &advert, |event| {
                        expected.push(event.kind);
                        true
                    });
                    let outcome = bench.run(&frame)?;
                    ensure!(
                        outcome.kinds() == expected,
                        "{step:?}: the model tells {expected:?}, the program {outcome:?}"
                    );
                    kinds.extend(expected);
                    same_state(bench, &model)?;
                }
            }
        }
    }
    Ok(kinds)
}

/// Compares what both keep, but for the times, whose order must be the same.
fn same_state(bench: &Bench, model: &Slot) -> Result<()> {
    let index = model.instance.index;
    let (record, told) = (
        bench.maps.actives.read(index),
        bench.maps.slots.told(index)?,
    );
    let fields = |it: &ha_common::abi::ActiveRouter| {
        (
            (it.last_seen_ns != 0, it.adverts, it.interval_cs),
            (it.priority, it.told, it.mac, it.address),
        )
    };
    ensure!(
        fields(&record) == fields(&model.record),
        "the model has {:?}, the program {record:?}",
        model.record
    );
    let fields = |it: &ha_common::abi::Told| {
        (
            [
                it.changed_ns,
                it.weakened_ns,
                it.losing_ns,
                it.new_peer_ns,
                it.refused_ns,
                it.release_ns,
                it.outranked_ns,
            ]
            .map(|time| time != 0),
            (it.releases, it.outranks),
        )
    };
    ensure!(
        fields(&told) == fields(&model.told),
        "the model has {:?}, the program {told:?}",
        model.told
    );
    Ok(())
}

#[test]
fn the_program_sorts_as_its_model() -> Result<()> {
    isolated(|pins| {
        let bench = RefCell::new(Bench::new(pins)?);
        for source in SOURCES {
            bench.borrow().admit(V3, IpAddr::from(source))?;
        }
        let seen = RefCell::new(std::collections::HashSet::new());
        let mut runner = TestRunner::new(Config {
            cases: 500,
            failure_persistence: None,
            ..Config::default()
        });
        runner.run(&prop::collection::vec(step(), 1..40), |steps| {
            let kinds = compare(&mut bench.borrow_mut(), &steps)
                .map_err(|error| TestCaseError::fail(format!("{error:#}")))?;
            seen.borrow_mut().extend(kinds);
            Ok(())
        })?;
        let seen = seen.into_inner();
        for kind in [
            EVENT_RELEASE,
            EVENT_OUTRANKED,
            EVENT_LOSING,
            EVENT_CHANGED,
            EVENT_WEAKENED,
        ] {
            ensure!(seen.contains(&kind), "no event of kind {kind}");
        }
        Ok(())
    })
}
