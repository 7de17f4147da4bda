//! Interfaces that come and go, addresses that somebody takes away, and other
//! interfaces that count.

use std::{
    net::{IpAddr, Ipv4Addr},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use ha_tests::{
    daemon::{Harrier, Instance},
    lab::{Host, Lab},
    probe::{Probe, Responder},
    xdp::OtherProgram,
};
use rustix::process::Signal;

const PATIENCE: Duration = Duration::from_secs(20);
const VIP: &str = "10.77.0.100";
const VIP_CIDR: &str = "10.77.0.100/16";

/// A second interface that has nothing to do with the switch.
const SPARE: &str = "link add spare0 type veth peer name spare1\n\
                     link set spare0 address 02:00:00:00:01:01\n\
                     addr add 10.78.0.1/16 dev spare0\n\
                     link set spare1 up\n\
                     link set spare0 up\n";

/// Whether the virtual address of [`on_spare`] is on any interface of `host`.
fn has_it(host: &Host) -> Result<bool> {
    let shown = host.netns.ip_show(&["-o", "address", "show"])?;
    Ok(shown.contains("10.78.0.100/16"))
}

fn on_spare() -> Instance {
    Instance {
        interface: "spare0".to_owned(),
        ..Instance::new(100, &["10.78.0.100/16"])
    }
}

#[test]
fn a_missing_interface_is_waited_for_and_one_made_anew_is_taken() -> Result<()> {
    let lab = Lab::new(1)?;
    let host = &lab.nodes[0];
    let mut harrier = Harrier::start(&lab, host, &[on_spare()])?;
    let status = harrier.await_state("web", "init", PATIENCE)?;
    let problem = status.problem.context("nothing is said of the problem")?;
    ensure!(problem.contains("spare0 does not exist"), "{problem}");

    for round in 1..=3 {
        host.netns.ip(SPARE)?;
        let status = harrier
            .await_state("web", "active", PATIENCE)
            .with_context(|| format!("round {round}"))?;
        ensure!(status.problem.is_none(), "{status:?}");
        ensure!(has_it(host)?);
        host.netns.ip("link del spare0\n")?;
        let status = harrier.await_state("web", "fault", PATIENCE)?;
        ensure!(status.problem.is_some(), "{status:?}");
    }
    harrier.stop()
}

#[test]
fn an_interface_without_an_address_is_waited_for_too() -> Result<()> {
    let lab = Lab::new(1)?;
    let host = &lab.nodes[0];
    host.netns.ip("addr flush dev eth0\n")?;
    let mut harrier = Harrier::start(&lab, host, &[Instance::new(100, &[VIP_CIDR])])?;
    let status = harrier.await_state("web", "init", PATIENCE)?;
    let problem = status.problem.context("nothing is said of the problem")?;
    ensure!(problem.contains("no usable IPv4 address"), "{problem}");
    host.netns.ip("addr add 10.77.0.1/16 dev eth0\n")?;
    harrier.await_state("web", "active", PATIENCE)?;
    ensure!(host.has(VIP)?);
    harrier.stop()
}

#[test]
fn a_renamed_interface_is_another_one() -> Result<()> {
    let lab = Lab::new(1)?;
    let host = &lab.nodes[0];
    host.netns.ip(SPARE)?;
    let mut harrier = Harrier::start(&lab, host, &[on_spare()])?;
    harrier.await_state("web", "active", PATIENCE)?;
    host.netns
        .ip("link set spare0 down\nlink set spare0 name other0\nlink set other0 up\n")?;
    harrier.await_state("web", "fault", PATIENCE)?;
    ensure!(
        !has_it(host)?,
        "the address stayed on an interface that is not configured"
    );
    host.netns
        .ip("link set other0 down\nlink set other0 name spare0\nlink set spare0 up\n")?;
    harrier.await_state("web", "active", PATIENCE)?;
    ensure!(has_it(host)?);
    harrier.stop()
}

#[test]
fn an_address_that_somebody_removes_is_put_back_within_a_second() -> Result<()> {
    let lab = Lab::new(1)?;
    let host = &lab.nodes[0];
    let _responder = Responder::start(host)?;
    let mut harrier = Harrier::start(&lab, host, &[Instance::new(100, &[VIP_CIDR])])?;
    harrier.await_state("web", "active", PATIENCE)?;
    let probe = Probe::start(&lab.client, IpAddr::V4(Ipv4Addr::new(10, 77, 0, 100)))?;
    probe.await_answers(host, 0, 20, PATIENCE)?;

    // Again and again: it is put back at most twice a second, but always.
    for _ in 0..3 {
        host.netns.ip("addr del 10.77.0.100/16 dev eth0\n")?;
        let removed = Instant::now();
        let mark = probe.mark();
        probe.await_answers(host, mark, 20, PATIENCE)?;
        ensure!(host.has(VIP)?);
        ensure!(
            removed.elapsed() < Duration::from_secs(1),
            "{:?}",
            removed.elapsed()
        );
    }
    let status = harrier.await_state("web", "active", PATIENCE)?;
    ensure!(status.transitions == 2, "{status:?}");
    let log = harrier.process.log();
    ensure!(
        log.contains("10.77.0.100/16") && log.contains("put back"),
        "{log}"
    );

    // What it removes itself it does not put back.
    harrier.stop()?;
    ensure!(!host.has(VIP)?);
    Ok(())
}

/// The daemon cannot hear of it when so much else changes that the kernel drops
/// notifications; it looks again then.
#[test]
fn an_address_whose_removal_was_lost_is_put_back() -> Result<()> {
    let lab = Lab::new(1)?;
    let host = &lab.nodes[0];
    let mut harrier = Harrier::start(&lab, host, &[Instance::new(100, &[VIP_CIDR])])?;
    harrier.await_state("web", "active", PATIENCE)?;
    harrier.process.signal(Signal::STOP)?;
    let mut flood = String::new();
    for round in 0..6000 {
        flood += &format!("link set eth0 alias round-{round}\n");
    }
    flood += "addr del 10.77.0.100/16 dev eth0\n";
    host.netns.ip(&flood)?;
    ensure!(!host.has(VIP)?);
    harrier.process.signal(Signal::CONT)?;
    harrier
        .process
        .await_log("faster than they were read", PATIENCE)?;
    harrier.process.await_log("put back", PATIENCE)?;
    ensure!(host.has(VIP)?);
    Ok(())
}

#[test]
fn another_interface_counts_by_its_weight() -> Result<()> {
    let lab = Lab::new(2)?;
    let (host_a, host_b) = lab.pair();
    host_a.netns.ip(SPARE)?;
    let tracking = "track_interfaces = [{ name = \"spare0\", weight = -50 }]";
    let mut a = Harrier::start(
        &lab,
        host_a,
        &[Instance::new(120, &[VIP_CIDR]).with(tracking)],
    )?;
    a.await_state("web", "active", PATIENCE)?;
    let mut b = Harrier::start(&lab, host_b, &[Instance::new(100, &[VIP_CIDR])])?;
    b.await_state("web", "backup", PATIENCE)?;

    host_a.netns.ip("link set spare1 down\n")?;
    b.await_state("web", "active", PATIENCE)?;
    let status = a.await_state("web", "backup", PATIENCE)?;
    ensure!(
        (status.base_priority, status.priority) == (120, 70),
        "{status:?}"
    );
    host_a.netns.ip("link set spare1 up\n")?;
    let status = a.await_state("web", "active", PATIENCE)?;
    ensure!(status.priority == 120, "{status:?}");
    b.await_state("web", "backup", PATIENCE)?;
    a.stop()?;
    b.stop()
}

#[test]
fn without_another_interface_an_instance_is_in_fault() -> Result<()> {
    let lab = Lab::new(2)?;
    let (host_a, host_b) = lab.pair();
    let tracking = "track_interfaces = [\"spare0\"]";
    let mut a = Harrier::start(
        &lab,
        host_a,
        &[Instance::new(120, &[VIP_CIDR]).with(tracking)],
    )?;
    let mut b = Harrier::start(&lab, host_b, &[Instance::new(100, &[VIP_CIDR])])?;
    b.await_state("web", "active", PATIENCE)?;
    host_a.netns.ip(SPARE)?;
    a.await_state("web", "active", PATIENCE)?;
    host_a.netns.ip("link del spare0\n")?;
    a.await_state("web", "fault", PATIENCE)?;
    b.await_state("web", "active", PATIENCE)?;
    host_a.await_without(VIP, PATIENCE)?;
    a.stop()?;
    b.stop()
}

#[test]
fn members_of_a_sync_group_move_together() -> Result<()> {
    let lab = Lab::new(2)?;
    let (host_a, host_b) = lab.pair();
    // The second network of each node leads nowhere: what happens there is this
    // node's business alone.
    let group = "\n[[sync_group]]\nname = \"edge\"\ninstances = [\"web\", \"db\"]\n";
    let config = |priority| {
        let web = Instance::new(priority, &[VIP_CIDR]);
        let db = Instance {
            name: "db".to_owned(),
            vrid: 52,
            ..Instance::new(priority, &["10.77.0.101/16"])
        };
        let tracked = Instance {
            extra: "track_interfaces = [\"spare0\"]\n".to_owned(),
            ..db.clone()
        };
        let db = if priority == 120 { tracked } else { db };
        format!("{}\n{}{group}", web.to_toml(), db.to_toml())
    };
    host_a.netns.ip(SPARE)?;
    let mut a = Harrier::start_with(&lab, host_a, "node-a", &config(120))?;
    for name in ["web", "db"] {
        a.await_state(name, "active", PATIENCE)?;
    }
    let mut b = Harrier::start_with(&lab, host_b, "node-b", &config(100))?;
    for name in ["web", "db"] {
        b.await_state(name, "backup", PATIENCE)?;
    }
    // Only `db` tracks the interface, but both move.
    host_a.netns.ip("link set spare1 down\n")?;
    for name in ["web", "db"] {
        b.await_state(name, "active", PATIENCE)?;
        a.await_state(name, "fault", PATIENCE)?;
    }
    for address in [VIP, "10.77.0.101"] {
        host_a.await_without(address, PATIENCE)?;
    }
    host_a.netns.ip("link set spare1 up\n")?;
    for name in ["web", "db"] {
        a.await_state(name, "active", PATIENCE)?;
        b.await_state(name, "backup", PATIENCE)?;
    }
    a.stop()?;
    b.stop()
}

/// The kernel removes the other addresses of a network with the first one of it,
/// unless it is told not to.
#[test]
fn what_others_have_in_the_network_of_an_address_stays_theirs() -> Result<()> {
    const PROMOTE: &str = "/proc/sys/net/ipv4/conf/eth0/promote_secondaries";
    let lab = Lab::new(2)?;
    let (host_a, host_b) = lab.pair();
    let set =
        || -> Result<String> { Ok(host_b.netns.enter(|| std::fs::read_to_string(PROMOTE))??) };
    let before = set()?;
    let instance = |priority| Instance::new(priority, &["203.0.113.10/24"]);
    let mut b = Harrier::start(&lab, host_b, &[instance(100)])?;
    b.await_state("web", "active", PATIENCE)?;
    host_b.netns.ip("addr add 203.0.113.77/24 dev eth0\n")?;
    let mut a = Harrier::start(&lab, host_a, &[instance(200)])?;
    b.await_state("web", "backup", PATIENCE)?;
    host_b.await_without("203.0.113.10", PATIENCE)?;
    ensure!(
        host_b.has("203.0.113.77")?,
        "somebody's address went with ours"
    );
    b.stop()?;
    ensure!(set()? == before, "the setting was not put back");
    a.stop()
}

#[test]
fn an_interface_of_our_own_that_somebody_sets_down_is_set_up_again() -> Result<()> {
    let lab = Lab::new(1)?;
    let host = &lab.nodes[0];
    let _responder = Responder::start(host)?;
    let instance = Instance::new(100, &[VIP_CIDR]).with("virtual_mac = \"own0\"");
    let mut harrier = Harrier::start(&lab, host, &[instance])?;
    harrier.await_state("web", "active", PATIENCE)?;
    let probe = Probe::start(&lab.client, IpAddr::V4(Ipv4Addr::new(10, 77, 0, 100)))?;
    probe.await_answers(host, 0, 20, PATIENCE)?;
    host.netns.ip("link set own0 down\n")?;
    let mark = probe.mark();
    probe.await_answers(host, mark, 20, PATIENCE)?;
    let status = harrier.await_state("web", "active", PATIENCE)?;
    ensure!(status.transitions == 2, "{status:?}");
    harrier.process.await_log("put back", PATIENCE)?;
    harrier.stop()
}

/// What keeps the kernel program from an interface may go without a change that
/// is heard of: it is tried again.
#[test]
fn an_interface_that_is_occupied_is_tried_again() -> Result<()> {
    let lab = Lab::new(1)?;
    let host = &lab.nodes[0];
    let mut harrier = Harrier::start(&lab, host, &[on_spare()])?;
    harrier.await_state("web", "init", PATIENCE)?;
    // The program is there before the address, without which no instance is.
    host.netns.ip(
        "link add spare0 type veth peer name spare1\nlink set spare1 up\nlink set spare0 up\n",
    )?;
    let other = OtherProgram::attach(&host.netns, "spare0")?;
    host.netns.ip("addr add 10.78.0.1/16 dev spare0\n")?;
    harrier.await_status("a problem with XDP", PATIENCE, |status| {
        let problem = status.instances[0].problem.as_ref()?;
        problem.contains("XDP").then_some(())
    })?;
    drop(other);
    harrier.await_state("web", "active", PATIENCE)?;
    harrier.stop()
}
