//! A partition heals: two routers were Active, the clients follow the winner.

use std::{net::IpAddr, time::Duration};

use anyhow::{Context as _, Result};
use ha_tests::{
    daemon::{Harrier, Instance},
    lab::Lab,
    probe::{Probe, Responder},
};

const PATIENCE: Duration = Duration::from_secs(20);

/// A client that nobody tells asks the loser's MAC address for longer than this:
/// it doubts its ARP entry after 15 s at the least, and then for 5 s more (Linux,
/// base_reachable_time and delay_first_probe_time).
const TOLD: Duration = Duration::from_secs(3);

const VIP: [u8; 4] = [10, 77, 0, 100];

/// Which of the two advertises first after the heal is chance, and both have to
/// come out right.
const HEALS: usize = 6;

#[test]
fn no_client_stays_with_the_loser() -> Result<()> {
    let lab = Lab::new(2)?;
    let (host_a, host_b) = lab.pair();
    let _responders = [Responder::start(host_a)?, Responder::start(host_b)?];
    let instance = |priority| Instance::new(priority, &["10.77.0.100/16"]);
    let mut a = Harrier::start(&lab, host_a, &[instance(200)])?;
    a.await_state("web", "active", PATIENCE)?;
    let mut b = Harrier::start(&lab, host_b, &[instance(100)])?;
    b.await_state("web", "backup", PATIENCE)?;
    let probe = Probe::start(&lab.client, IpAddr::from(VIP))?;
    probe.await_answers(host_a, 0, 20, PATIENCE)?;
    for heal in 1..=HEALS {
        let mark = probe.mark();
        lab.cut(host_a)?;
        probe.await_answers(host_b, mark, 20, PATIENCE)?;
        let mark = probe.mark();
        lab.mend(host_a)?;
        probe
            .await_answers(host_a, mark, 20, TOLD)
            .with_context(|| format!("heal {heal} of {HEALS}: the client was not told"))?;
    }
    Ok(())
}
