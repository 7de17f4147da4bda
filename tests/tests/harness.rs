//! The harness itself, tried on what is known to work: two keepalived, left-overs
//! made by hand.

use std::{
    fs,
    io::Read as _,
    net::IpAddr,
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use ha_tests::{
    command,
    daemon::Instance,
    decode::Packet,
    keepalived::Keepalived,
    lab::{INTERFACE, Lab},
    probe::{Probe, Responder},
    run,
    xdp::OtherProgram,
};

const PATIENCE: Duration = Duration::from_secs(15);

#[test]
fn a_cut_moves_the_address_between_two_keepalived() -> Result<()> {
    let lab = Lab::new(2)?;
    let (a, b) = lab.pair();
    let address: IpAddr = "10.77.0.100".parse()?;
    let at_client = lab.capture(&lab.client)?;
    let _responders = [Responder::start(a)?, Responder::start(b)?];
    let probe = Probe::start(&lab.client, address)?;
    let _first = Keepalived::start(&lab, a, &Instance::new(200, &["10.77.0.100/16"]))?;
    let _second = Keepalived::start(&lab, b, &Instance::new(100, &["10.77.0.100/16"]))?;
    probe.await_answers(a, 0, 200, PATIENCE)?;

    let cut_at = lab.cut(a)?;
    let mark = probe.mark();
    probe.await_answers(b, mark, 50, PATIENCE)?;
    let (last, first) = probe.outage(b).context("the address did not move")?;
    ensure!(last.node == a.number);
    let outage = first.at.since(last.at);
    // 3 intervals and the skew, less the one interval that had begun to run.
    ensure!(outage > Duration::from_millis(260), "{outage:?}");
    let announced = at_client.await_frame("announcement", 0, PATIENCE, |frame| {
        frame.at > cut_at && frame.outgoing && frame.packet.announces(address)
    })?;
    ensure!(matches!(announced.packet, Packet::Arp { mac, .. } if mac == b.mac()));

    lab.mend(a)?;
    let mark = probe.mark();
    probe.await_answers(a, mark, 1, PATIENCE)?;
    Ok(())
}

/// A run that was killed leaves everything behind; the next one removes it.
#[test]
fn a_sweep_removes_what_a_killed_run_left_and_nothing_else() -> Result<()> {
    let lab = Lab::new(1)?;
    // A run of a process that is dead: its own, whose end is awaited.
    let mut dead = Command::new("true").spawn().context("cannot start true")?;
    let pid = dead.id();
    dead.wait().context("cannot wait")?;
    let prefix = format!("hr-{pid}-1-0");
    let namespace = format!("{prefix}-switch");
    let directory = std::env::temp_dir().join(&prefix);
    fs::create_dir_all(directory.join("bpf")).context("cannot make a directory")?;
    let mount_point = directory.join("bpf").display().to_string();
    command::run("mount", &["-t", "bpf", "bpf", &mount_point])?;
    command::run("ip", &["netns", "add", &namespace])?;
    let mut left = Command::new("ip")
        .args([
            "netns",
            "exec",
            &namespace,
            "sh",
            "-c",
            "echo in; exec sleep 1000",
        ])
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start a shell")?;
    let said = left.stdout.as_mut().context("a pipe")?;
    // Once it speaks it is inside.
    said.read_exact(&mut [0; 3])
        .context("the shell did not start")?;

    run::sweep();
    ensure!(
        !left.wait().context("cannot wait")?.success(),
        "the process was ended"
    );
    ensure!(!directory.exists(), "the directory is still there");
    ensure!(
        run::mounts_below(&directory).is_empty(),
        "the mount is still there"
    );
    let namespaces = command::run("ip", &["netns", "list"])?;
    ensure!(
        !namespaces.contains(&namespace),
        "the namespace is still there"
    );
    ensure!(
        namespaces.contains(lab.switch.name()),
        "a living run's namespace is gone"
    );
    ensure!(
        lab.root_directory().exists(),
        "a living run's directory is gone"
    );
    Ok(())
}

#[test]
fn a_program_of_someone_else_is_seen_and_goes_with_its_guard() -> Result<()> {
    let lab = Lab::new(1)?;
    let host = &lab.nodes[0];
    ensure!(!host.has_xdp()?);
    let program = OtherProgram::attach(&host.netns, INTERFACE)?;
    ensure!(host.has_xdp()?);
    drop(program);
    ensure!(!host.has_xdp()?);
    Ok(())
}
