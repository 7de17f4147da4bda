//! The addresses change hands while nothing is broken: the client should not
//! notice. Ours and keepalived as successor; a stop, a preemption, a weakened
//! Active.

use std::{
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use ha_tests::{
    daemon::{Harrier, Instance},
    keepalived::Keepalived,
    lab::{Host, Lab},
    probe::{Probe, Responder},
    siege::longest,
};

const PATIENCE: Duration = Duration::from_secs(30);
const VIP: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 100);
const VIP_CIDR: &str = "10.77.0.100/16";

/// One second, as most people have it: Skew_Time is 609 ms at priority 100, so
/// what takes a fraction of that has not waited for it.
const INTERVAL: Duration = Duration::from_secs(1);

/// Far above what a hand-over takes, far below Skew_Time.
const SEAMLESS: Duration = Duration::from_millis(200);

fn instance(priority: u8) -> Instance {
    Instance {
        advert_interval: INTERVAL,
        ..Instance::new(priority, &[VIP_CIDR])
    }
}

struct Scene {
    lab: Lab,
    _responders: [Responder; 2],
    probe: Probe,
}

impl Scene {
    fn new() -> Result<Self> {
        let lab = Lab::new(2)?;
        let (host_a, host_b) = lab.pair();
        let responders = [Responder::start(host_a)?, Responder::start(host_b)?];
        let probe = Probe::start(&lab.client, IpAddr::V4(VIP))?;
        Ok(Self {
            lab,
            _responders: responders,
            probe,
        })
    }

    fn hosts(&self) -> (&Host, &Host) {
        self.lab.pair()
    }

    /// Waits until `to` answers steadily, and says how long nobody did.
    fn outage(&self, what: &str, mark: usize, to: &Host) -> Result<Duration> {
        self.probe.await_answers(to, mark, 200, PATIENCE)?;
        let (last, first) = self
            .probe
            .outage(to)
            .with_context(|| format!("{what}: nobody else answered before"))?;
        let outage = first.at.since(last.at);
        eprintln!("{what}: the client saw nothing for {outage:?}");
        Ok(outage)
    }
}

#[test]
fn a_clean_stop_is_not_noticed() -> Result<()> {
    let scene = Scene::new()?;
    let (host_a, host_b) = scene.hosts();
    let mut a = Harrier::start(&scene.lab, host_a, &[instance(200)])?;
    a.await_state("web", "active", PATIENCE)?;
    let mut b = Harrier::start(&scene.lab, host_b, &[instance(100)])?;
    b.await_state("web", "backup", PATIENCE)?;
    let mark = scene.probe.mark();
    scene.probe.await_answers(host_a, mark, 20, PATIENCE)?;
    let mark = scene.probe.mark();
    a.stop()?;
    ensure!(!host_a.has("10.77.0.100")?, "the address stayed");
    let outage = scene.outage("clean stop, Harrier succeeds", mark, host_b)?;
    ensure!(outage < SEAMLESS, "{outage:?}");
    b.stop()
}

#[test]
fn a_clean_stop_is_not_noticed_with_keepalived_as_successor() -> Result<()> {
    let scene = Scene::new()?;
    let (host_a, host_b) = scene.hosts();
    let mut a = Harrier::start(&scene.lab, host_a, &[instance(200)])?;
    a.await_state("web", "active", PATIENCE)?;
    let b = Keepalived::start(&scene.lab, host_b, &instance(100))?;
    a.await_state("web", "active", PATIENCE)?;
    let mark = scene.probe.mark();
    scene.probe.await_answers(host_a, mark, 20, PATIENCE)?;
    // keepalived says nothing as a Backup: what shows that it listens is its log.
    b.await_state("BACKUP", PATIENCE)?;
    let mark = scene.probe.mark();
    a.stop()?;
    let outage = scene.outage("clean stop, keepalived succeeds", mark, host_b)?;
    ensure!(outage < SEAMLESS, "{outage:?}");
    Ok(())
}

#[test]
fn a_preemption_is_not_noticed() -> Result<()> {
    let scene = Scene::new()?;
    let (host_a, host_b) = scene.hosts();
    let mut b = Harrier::start(&scene.lab, host_b, &[instance(100)])?;
    b.await_state("web", "active", PATIENCE)?;
    let mark = scene.probe.mark();
    scene.probe.await_answers(host_b, mark, 20, PATIENCE)?;
    let mark = scene.probe.mark();
    let mut a = Harrier::start(&scene.lab, host_a, &[instance(200)])?;
    a.await_state("web", "active", PATIENCE)?;
    let outage = scene.outage("preemption", mark, host_a)?;
    ensure!(outage < SEAMLESS, "{outage:?}");
    b.await_state("web", "backup", PATIENCE)?;
    a.stop()?;
    b.stop()
}

/// A tracker blips while nobody else is there: it is released, and taken back when
/// nobody has come for it.
#[test]
fn what_nobody_wants_stays() -> Result<()> {
    let scene = Scene::new()?;
    let (host, _) = scene.hosts();
    host.netns
        .ip("link add spare0 type veth peer name spare1\n\
                   link set spare1 up\n\
                   link set spare0 up\n")?;
    let instance = instance(200).with("track_interfaces = [\"spare0\"]");
    let mut a = Harrier::start(&scene.lab, host, &[instance])?;
    let before = a.await_state("web", "active", PATIENCE)?.transitions;
    let mark = scene.probe.mark();
    scene.probe.await_answers(host, mark, 20, PATIENCE)?;
    let mark = scene.probe.mark();
    host.netns.ip("link set spare0 down\n")?;
    a.await_state("web", "releasing", PATIENCE)?;
    host.netns.ip("link set spare0 up\n")?;
    let status = a.await_state("web", "active", PATIENCE)?;
    ensure!(status.transitions == before + 2, "{status:?}");
    let reason = status.last_transition.unwrap_or_default();
    ensure!(reason.contains("nobody has taken over"), "{reason}");
    let after = scene.probe.mark();
    scene.probe.await_answers(host, after, 20, PATIENCE)?;
    let answers = scene.probe.answers();
    let longest = longest(answers[mark - 1..].iter().map(|answer| answer.at));
    eprintln!("the client saw nothing for {longest:?} at most");
    ensure!(longest < SEAMLESS, "{longest:?}");
    a.stop()
}

#[test]
fn a_stop_without_a_successor_ends_after_active_down() -> Result<()> {
    let lab = Lab::new(1)?;
    let host = &lab.nodes[0];
    let mut a = Harrier::start(&lab, host, &[Instance::new(200, &[VIP_CIDR])])?;
    a.await_state("web", "active", PATIENCE)?;
    a.stop()?;
    ensure!(!host.has("10.77.0.100")?);
    let log = a.process.log();
    ensure!(log.contains("nobody has taken over"), "{log}");
    Ok(())
}

#[test]
fn a_second_signal_stops_at_once() -> Result<()> {
    let lab = Lab::new(1)?;
    let host = &lab.nodes[0];
    let forever = Instance {
        // Four of these are the time that a successor has.
        advert_interval: Duration::from_secs(10),
        ..Instance::new(255, &[VIP_CIDR])
    };
    let mut a = Harrier::start(&lab, host, &[forever])?;
    a.await_state("web", "active", PATIENCE)?;
    a.process.signal(rustix::process::Signal::TERM)?;
    a.await_state("web", "releasing", PATIENCE)?;
    ensure!(host.has("10.77.0.100")?, "it does not serve any more");
    // `stop` sends the second one and gives it less time than a successor has.
    a.stop()?;
    ensure!(!host.has("10.77.0.100")?);
    Ok(())
}

/// What a tracked interface does to the priority moves the addresses within a
/// fraction of one interval.
#[test]
fn a_weakened_active_is_relieved_in_a_fraction_of_an_interval() -> Result<()> {
    let scene = Scene::new()?;
    let (host_a, host_b) = scene.hosts();
    host_a
        .netns
        .ip("link add spare0 type veth peer name spare1\n\
         link set spare1 up\n\
         link set spare0 up\n")?;
    let tracking = "track_interfaces = [{ name = \"spare0\", weight = -150 }]";
    let mut a = Harrier::start(&scene.lab, host_a, &[instance(200).with(tracking)])?;
    a.await_state("web", "active", PATIENCE)?;
    let mut b = Harrier::start(&scene.lab, host_b, &[instance(150)])?;
    b.await_status("web held back by a", PATIENCE, |status| {
        let web = &status.instances[0];
        (web.active.as_deref() == Some("10.77.0.1")).then_some(())
    })?;
    let capture = scene.lab.capture(host_a)?;
    let mark = scene.probe.mark();
    scene.probe.await_answers(host_a, mark, 20, PATIENCE)?;

    let mark = scene.probe.mark();
    let from = capture.mark();
    host_a.netns.ip("link set spare1 down\n")?;
    let weak = capture.await_advert("of 50", from, PATIENCE, |it| it.priority == 50)?;
    let taken = capture.await_advert("of 150", from, PATIENCE, |it| it.priority == 150)?;
    let took = taken.at.since(weak.at);
    eprintln!("weakened: the advertisement of the successor came after {took:?}");
    // Skew_Time of priority 150 is 414 ms, Active_Down_Interval 3414 ms.
    ensure!(took < 2 * INTERVAL, "{took:?}");
    let outage = scene.outage("weakened", mark, host_b)?;
    ensure!(outage < SEAMLESS, "{outage:?}");
    a.stop()?;
    b.stop()
}

#[test]
fn preemption_waits_for_its_delay() -> Result<()> {
    let lab = Lab::new(2)?;
    let (host_a, host_b) = lab.pair();
    let mut b = Harrier::start(&lab, host_b, &[Instance::new(100, &[VIP_CIDR])])?;
    b.await_state("web", "active", PATIENCE)?;
    let capture = lab.capture(host_b)?;
    let delayed = Instance::new(200, &[VIP_CIDR]).with("preempt_delay = \"3s\"");
    let mut a = Harrier::start(&lab, host_a, &[delayed])?;
    a.await_state("web", "backup", PATIENCE)?;
    let heard = capture.await_advert("of b", capture.mark(), PATIENCE, |it| it.priority == 100)?;
    let taken = capture.await_advert("of a", 0, PATIENCE, |it| it.priority == 200)?;
    // It heard one of `b` before this test did, an interval earlier at most.
    let waited = taken.at.since(heard.at);
    ensure!(
        waited > Duration::from_millis(2500),
        "it waited {waited:?} only"
    );
    a.await_state("web", "active", PATIENCE)?;
    b.await_state("web", "backup", PATIENCE)?;

    // A dead Active is replaced at once, whatever the delay.
    a.process.kill()?;
    b.await_state("web", "active", PATIENCE)?;
    b.stop()
}

#[test]
fn a_start_can_be_delayed() -> Result<()> {
    let lab = Lab::new(1)?;
    let host = &lab.nodes[0];
    let config = format!(
        "startup_delay = \"2s\"\n{}",
        Instance::new(100, &[VIP_CIDR]).to_toml()
    );
    let capture = lab.capture(host)?;
    let mut a = Harrier::start_with(&lab, host, "delayed", &config)?;
    let status = a.await_state("web", "active", PATIENCE)?;
    ensure!(status.transitions == 2, "{status:?}");
    let reason = status.last_transition.unwrap_or_default();
    ensure!(reason.contains("no advertisement for 2"), "{reason}");
    capture.await_advert("of a", 0, PATIENCE, |it| it.priority == 100)?;
    a.stop()
}
