//! What many checks cost.
//!
//! 3 s, or as many as `HARRIER_STRESS_SECONDS` says (`cargo xtask test --long`),
//! which then has a limit: in a short run on a busy machine it would say nothing.

use std::{env, thread};

use anyhow::{Result, ensure};
use ha_tests::{
    daemon::{Harrier, Instance, binary},
    lab::Lab,
    siege::stress_span,
};

use crate::scene::{Programs, Server, VIP_CIDR, await_checks, check};

const CHECKS: usize = 50;

/// Share of one core that fifty checks at 100 ms may take, in percent.
const CPU_PERCENT: f64 = 5.0;

/// So many parts of the interval are told apart.
const PARTS: usize = 10;

#[test]
fn fifty_native_checks_cost_little_and_are_spread() -> Result<()> {
    let lab = Lab::new(1)?;
    let host = &lab.nodes[0];
    let directory = lab.directory("checked")?;
    let name = format!("hacost{}", std::process::id());
    let mut programs = Programs::new(&directory);
    let web = Server::well(host)?;
    let port = Server::well(host)?;
    let mut sections = String::new();
    let mut tracked = Vec::new();
    for place in 0..CHECKS {
        let lines = match place % 4 {
            0 => format!("kind = \"tcp\"\ntarget = \"{}\"", port.address),
            1 => format!(
                "kind = \"http\"\nurl = \"http://{}/\"\nbody = \"all well\"",
                web.address
            ),
            2 => {
                let name = format!("{name}-{place}");
                programs.start(&name)?;
                format!("kind = \"process\"\nprocess = \"{name}\"")
            }
            _ => format!("kind = \"file\"\npath = {directory:?}"),
        };
        let name = format!("check{place}");
        sections += &check(
            &name,
            &format!("{lines}\ninterval = \"100ms\"\ntimeout = \"5s\""),
        );
        tracked.push(format!("{{ name = \"{name}\", weight = -1 }}"));
    }
    let lines = format!("track_checks = [{}]\n{sections}", tracked.join(", "));
    let quiet = Instance::new(255, &[VIP_CIDR]);
    let base = Instance {
        // Its own advertisements are not what is measured.
        advert_interval: std::time::Duration::from_secs(10),
        ..quiet
    };
    let base = Instance {
        priority: 100,
        ..base
    };
    let mut harrier = Harrier::start(&lab, host, &[base.with(&lines)])?;
    await_checks(&mut harrier, "passing")?;
    let rounds = |harrier: &mut Harrier| await_checks(harrier, "passing");
    let before = (harrier.process.usage()?, rounds(&mut harrier)?);
    let (from_web, from_port) = (web.accepted().len(), port.accepted().len());
    let began = std::time::Instant::now();
    let span = stress_span()?;
    thread::sleep(span);
    let after = (harrier.process.usage()?, rounds(&mut harrier)?);
    let took = began.elapsed().as_secs_f64();
    let cpu = (after.0.cpu - before.0.cpu).as_secs_f64() / took * 100.0;
    let done: u64 = after
        .1
        .iter()
        .zip(&before.1)
        .map(|(after, before)| after.rounds - before.rounds)
        .sum();

    let mut parts = [0_u32; PARTS];
    let connections = web.accepted().split_off(from_web).into_iter();
    let connections = connections.chain(port.accepted().split_off(from_port));
    for at in connections {
        let millis = at.as_nanos() / 1_000_000 % 100;
        parts[usize::try_from(millis)? * PARTS / 100] += 1;
    }
    let binary = binary()?;
    let unoptimised = binary.iter().any(|part| part == "debug");
    eprintln!(
        "{CHECKS} native checks at 100 ms, {took:.1} s: {cpu:.2} % of a core{}, {done} rounds, \
         connections by tenth of the interval: {parts:?}",
        if unoptimised { " (not optimised)" } else { "" }
    );
    let all: u32 = parts.iter().sum();
    ensure!(all > 100, "only {all} connections");
    let most = parts.iter().max().copied().unwrap_or(0);
    ensure!(most < all / 2, "half of them come at once: {parts:?}");
    if env::var_os("HARRIER_STRESS_SECONDS").is_some() && !unoptimised {
        ensure!(cpu < CPU_PERCENT, "{cpu:.2} % of a core");
    }
    harrier.stop()
}
