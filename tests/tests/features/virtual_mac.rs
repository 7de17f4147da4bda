//! A virtual router's own MAC address (RFC 9568 §7.3): nobody's neighbour table
//! changes, whatever happens to the routers.

use std::{
    net::{IpAddr, SocketAddr, UdpSocket},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use ha_common::types::MacAddress;
use ha_tests::{
    capture::{Capture, inject},
    daemon::{Harrier, Instance},
    lab::{Host, INTERFACE, Lab},
    probe::{Probe, Responder},
};

use crate::scene::{
    NeighbourWatch, PATIENCE, await_that, ensure_no_conflicts, ensure_unchanged, everything, has,
    json, neighbour, source_mac, speaks_for, up_links,
};

/// One virtual router of a test, and what it looks like from outside.
#[derive(Clone, Copy)]
struct Router {
    name: &'static str,
    addresses: &'static [&'static str],
    /// The address that the client asks.
    asked: &'static str,
    /// By hand (RFC 9568 §7.3): VRID 51 is 0x33.
    mac: MacAddress,
}

const V4: Router = Router {
    name: "web",
    addresses: &["10.77.0.100/16"],
    asked: "10.77.0.100",
    mac: MacAddress([0, 0, 0x5e, 0, 1, 0x33]),
};

const V6: Router = Router {
    name: "web6",
    addresses: &["fe80::100/64", "fd77::100/64"],
    asked: "fd77::100",
    mac: MacAddress([0, 0, 0x5e, 0, 2, 0x33]),
};

impl Router {
    fn instance(&self, priority: u8) -> Instance {
        Instance {
            name: self.name.to_owned(),
            ..Instance::new(priority, self.addresses)
        }
        .with("virtual_mac = true")
    }

    /// The name that its interface on `host` has.
    fn link(&self, host: &Host) -> Result<Option<String>> {
        let mac = self.mac.to_string();
        Ok(json(host, &["link", "show"])?
            .iter()
            .find(|link| link["address"].as_str() == Some(&mac))
            .and_then(|link| link["ifname"].as_str())
            .map(str::to_owned))
    }

    /// What `host` has sent, as it came in at the switch, carries no other MAC
    /// address for the virtual ones, and no other has spoken.
    fn check_frames(&self, host: &Host, capture: &Capture) -> Result<()> {
        let ours: Vec<IpAddr> = self
            .addresses
            .iter()
            .map(|address| Ok(address.split('/').next().unwrap_or_default().parse()?))
            .collect::<Result<_>>()?;
        for frame in capture.frames().iter().filter(|frame| !frame.outgoing) {
            let source = source_mac(frame);
            let physical = source == host.mac();
            if let Some(advert) = frame.advert() {
                ensure!(!physical, "an advertisement by the physical one: {frame:?}");
                if advert.source.is_ipv4() == ours[0].is_ipv4() {
                    ensure!(source == self.mac, "{frame:?}");
                }
            }
            for address in &ours {
                if let Some(mac) = speaks_for(frame, *address) {
                    ensure!(source == self.mac, "{} by {source}: {frame:?}", self.name);
                    // An answer to one who knows it already need not say it again.
                    let said = mac.is_none_or(|mac| mac == self.mac);
                    ensure!(said, "{}: {frame:?}", self.name);
                }
            }
        }
        Ok(())
    }
}

/// Two nodes, a client that asks every router, and captures of all that is said.
struct Scene {
    routers: Vec<Router>,
    probes: Vec<Probe>,
    watch: NeighbourWatch,
    at_a: Capture,
    at_b: Capture,
    before: [String; 2],
    _responders: [Responder; 2],
    lab: Lab,
}

impl Scene {
    fn new(routers: &[Router]) -> Result<Self> {
        let lab = Lab::new(2)?;
        let (host_a, host_b) = lab.pair();
        let before = [everything(host_a)?, everything(host_b)?];
        let watch = NeighbourWatch::start(&lab.client, lab.root_directory().join("neighbours"))?;
        let responders = [Responder::start(host_a)?, Responder::start(host_b)?];
        let probes = routers
            .iter()
            .map(|router| Probe::start(&lab.client, router.asked.parse()?))
            .collect::<Result<_>>()?;
        Ok(Self {
            routers: routers.to_vec(),
            probes,
            watch,
            at_a: lab.capture(host_a)?,
            at_b: lab.capture(host_b)?,
            before,
            _responders: responders,
            lab,
        })
    }

    fn start(&self, host: &Host, priority: u8) -> Result<Harrier> {
        let instances: Vec<Instance> = self
            .routers
            .iter()
            .map(|router| router.instance(priority))
            .collect();
        Harrier::start(&self.lab, host, &instances)
    }

    fn await_all(&self, harrier: &mut Harrier, state: &str) -> Result<()> {
        for router in &self.routers {
            harrier.await_state(router.name, state, PATIENCE)?;
        }
        Ok(())
    }

    /// `active` answers for all; its interfaces are up and the other's are not; the
    /// client has seen one MAC address only; no packet with another.
    fn served_by(&self, what: &str, active: &Host, other: Option<&Host>) -> Result<()> {
        for (router, probe) in self.routers.iter().zip(&self.probes) {
            probe
                .await_answers(active, probe.mark(), 100, PATIENCE)
                .with_context(|| what.to_owned())?;
            let link = router.link(active)?.context("no interface of its own")?;
            ensure!(up_links(active)?.contains(&link), "{what}: {link} is down");
            if let Some(other) = other
                && let Some(link) = router.link(other)?
            {
                // It lingers until the next one has announced the addresses.
                await_that(&format!("{what}: {link} is down"), || {
                    Ok(!up_links(other)?.contains(&link) && !has(other, router.asked)?)
                })?;
            }
            let mac = router.mac.to_string();
            let entry = neighbour(&self.lab.client, router.asked)?;
            ensure!(entry.as_ref() == Some(&mac), "{what}: {entry:?}");
            let macs = self.watch.macs(router.asked);
            ensure!(macs == [mac], "{what}: {macs:?}");
            router
                .check_frames(&self.lab.nodes[0], &self.at_a)
                .and_then(|()| router.check_frames(&self.lab.nodes[1], &self.at_b))
                .with_context(|| what.to_owned())?;
        }
        Ok(())
    }

    /// A server that answers *from* the virtual address on `host` when the client
    /// writes to it, with a node that has forgotten where the client is: what it
    /// asks then must not be asked by the wrong MAC address.
    fn answers_from_the_address(&self, host: &Host) -> Result<()> {
        for router in &self.routers {
            let address: IpAddr = router.asked.parse()?;
            let server = host.netns.enter(|| UdpSocket::bind((address, 0)))??;
            server.set_read_timeout(Some(PATIENCE))?;
            let port = server.local_addr()?.port();
            let any: SocketAddr = if address.is_ipv4() {
                "0.0.0.0:0".parse()?
            } else {
                "[::]:0".parse()?
            };
            let client = self.lab.client.netns.enter(|| UdpSocket::bind(any))??;
            client.set_read_timeout(Some(PATIENCE))?;
            for _ in 0..5 {
                host.netns.ip("neighbour flush all\n")?;
                client.send_to(b"?", (address, port))?;
                let mut buffer = [0; 8];
                let (_, from) = server.recv_from(&mut buffer).context("no question")?;
                server.send_to(b"!", from)?;
                let (_, from) = client.recv_from(&mut buffer).context("no answer")?;
                ensure!(from.ip() == address, "answered by {from}");
            }
        }
        Ok(())
    }

    fn nothing_is_left(&self) -> Result<()> {
        let (host_a, host_b) = self.lab.pair();
        for (host, before) in [host_a, host_b].into_iter().zip(&self.before) {
            ensure_unchanged(before, &everything(host)?)
                .with_context(|| format!("on {}", host.name))?;
        }
        Ok(())
    }
}

fn through_everything(routers: &[Router]) -> Result<()> {
    let scene = Scene::new(routers)?;
    let (host_a, host_b) = scene.lab.pair();
    let mut b = scene.start(host_b, 100)?;
    scene.await_all(&mut b, "active")?;
    scene.served_by("alone", host_b, None)?;
    scene.answers_from_the_address(host_b)?;

    let mut a = scene.start(host_a, 200)?;
    scene.await_all(&mut a, "active")?;
    scene.await_all(&mut b, "backup")?;
    scene.served_by("preemption", host_a, Some(host_b))?;
    scene.answers_from_the_address(host_a)?;

    scene.lab.cut(host_a)?;
    scene.await_all(&mut b, "active")?;
    scene.served_by("dead host", host_b, None)?;
    scene.answers_from_the_address(host_b)?;
    scene.lab.mend(host_a)?;
    scene.await_all(&mut b, "backup")?;
    scene.served_by("mended host", host_a, Some(host_b))?;

    a.stop()?;
    scene.await_all(&mut b, "active")?;
    scene.served_by("clean stop", host_b, Some(host_a))?;
    ensure_no_conflicts(&b)?;
    b.stop()?;
    scene.nothing_is_left()
}

#[test]
fn the_mac_address_stays_through_everything() -> Result<()> {
    through_everything(&[V4])
}

#[test]
fn the_mac_address_stays_through_everything_over_ipv6() -> Result<()> {
    through_everything(&[V6])
}

#[test]
fn both_families_in_one_daemon() -> Result<()> {
    through_everything(&[V4, V6])
}

/// At an interval of one second nobody waits for the next advertisement to lead
/// the switch to the new one.
#[test]
fn a_clean_stop_is_not_noticed() -> Result<()> {
    let scene = Scene::new(&[V4])?;
    let (host_a, host_b) = scene.lab.pair();
    let slow = |priority| Instance {
        advert_interval: Duration::from_secs(1),
        ..V4.instance(priority)
    };
    let mut a = Harrier::start(&scene.lab, host_a, &[slow(200)])?;
    scene.await_all(&mut a, "active")?;
    let mut b = Harrier::start(&scene.lab, host_b, &[slow(100)])?;
    b.await_status("node-a is heard", PATIENCE, |status| {
        status.instances[0].active.is_some().then_some(())
    })?;
    scene.served_by("before", host_a, Some(host_b))?;
    let mark = scene.probes[0].mark();
    a.stop()?;
    scene.probes[0].await_answers(host_b, mark, 200, PATIENCE)?;
    let (last, first) = scene.probes[0].outage(host_b).context("no outage")?;
    let outage = first.at.since(last.at);
    // Skew_Time is 609 ms.
    ensure!(outage < Duration::from_millis(200), "{outage:?}");
    scene.served_by("after", host_b, Some(host_a))?;
    b.stop()?;
    scene.nothing_is_left()
}

#[test]
fn a_killed_one_is_cleaned_up_after_and_takes_part_again() -> Result<()> {
    let routers = [V4, V6];
    let scene = Scene::new(&routers)?;
    let (host_a, host_b) = scene.lab.pair();
    let mut a = scene.start(host_a, 200)?;
    scene.await_all(&mut a, "active")?;
    let mut b = scene.start(host_b, 100)?;
    scene.await_all(&mut b, "backup")?;
    a.process.kill()?;
    scene.await_all(&mut b, "active")?;
    for router in &routers {
        ensure!(has(host_a, router.asked)?, "nothing was left to clean");
    }
    // First as one that does not take over: it is the cleaning that removes it.
    let mut a = scene.start(host_a, 50)?;
    scene.await_all(&mut a, "backup")?;
    scene.served_by("successor is Backup", host_b, Some(host_a))?;
    a.stop()?;
    scene.nothing_is_left().err().context("node-b is Active")?;
    let mut a = scene.start(host_a, 200)?;
    scene.await_all(&mut a, "active")?;
    scene.await_all(&mut b, "backup")?;
    scene.served_by("successor is Active", host_a, Some(host_b))?;
    a.stop()?;
    b.stop()?;
    scene.nothing_is_left()
}

/// Killed while Active, and never started again with a virtual MAC address.
#[test]
fn a_successor_without_one_removes_what_a_killed_one_left() -> Result<()> {
    let scene = Scene::new(&[V4])?;
    let (host_a, _) = scene.lab.pair();
    let mut a = scene.start(host_a, 200)?;
    scene.await_all(&mut a, "active")?;
    a.process.kill()?;
    let mut a = Harrier::start(&scene.lab, host_a, &[Instance::new(200, V4.addresses)])?;
    scene.await_all(&mut a, "active")?;
    ensure!(V4.link(host_a)?.is_none(), "the interface stayed");
    ensure!(host_a.has(V4.asked)?, "it is not on eth0");
    a.stop()?;
    scene.nothing_is_left()
}

#[test]
fn an_interface_that_somebody_deletes_is_made_again() -> Result<()> {
    let scene = Scene::new(&[V4])?;
    let (host_a, _) = scene.lab.pair();
    let named = V4.instance(200).extra.replace("true", "\"vrrp.51\"");
    let instance = Instance::new(200, V4.addresses).with(&named);
    let mut a = Harrier::start(&scene.lab, host_a, &[instance])?;
    scene.await_all(&mut a, "active")?;
    scene.served_by("at first", host_a, None)?;
    for round in 1..=3 {
        let link = V4.link(host_a)?.context("no interface of its own")?;
        ensure!(link == "vrrp.51", "{link}");
        let mark = scene.probes[0].mark();
        host_a.netns.ip("link del vrrp.51\n")?;
        scene.probes[0]
            .await_answers(host_a, mark, 200, PATIENCE)
            .with_context(|| format!("round {round}"))?;
        scene.await_all(&mut a, "active")?;
        scene.served_by("made again", host_a, None)?;
    }
    a.stop()?;
    scene.nothing_is_left()
}

/// The addresses of the other family have the same MAC address: the parent must
/// not answer for them either.
#[test]
fn excluded_addresses_of_the_other_family_have_it_too() -> Result<()> {
    for (router, excluded) in [(V4, "fd77::120"), (V6, "10.77.0.120")] {
        let prefix = if excluded.contains(':') { 64 } else { 16 };
        let scene = Scene::new(&[router])?;
        let (host_a, _) = scene.lab.pair();
        // As many hosts have it: new interfaces begin without IPv6.
        host_a
            .netns
            .sysctl(&[("ipv6/conf/default/disable_ipv6", "1")])?;
        let also = format!("excluded_addresses = [\"{excluded}/{prefix}\"]");
        let mut a = Harrier::start(&scene.lab, host_a, &[router.instance(200).with(&also)])?;
        scene.await_all(&mut a, "active")?;
        scene.served_by("the advertised ones", host_a, None)?;
        let probe = Probe::start(&scene.lab.client, excluded.parse()?)?;
        for _ in 0..5 {
            // Whoever answers first is believed; so often it would be the wrong one.
            scene.lab.client.netns.ip("neighbour flush all\n")?;
            probe.await_answers(host_a, probe.mark(), 20, PATIENCE)?;
        }
        let macs: Vec<_> = scene
            .at_a
            .frames()
            .iter()
            .filter_map(|frame| speaks_for(frame, excluded.parse().ok()?))
            .collect();
        ensure!(
            macs.len() > 5
                && macs
                    .iter()
                    .all(|mac| mac.is_none_or(|mac| mac == router.mac)),
            "{excluded}: {macs:?}"
        );
        a.stop()?;
        scene.nothing_is_left()?;
    }
    Ok(())
}

/// What lives on another interface by its own entry has that one's MAC address.
#[test]
fn an_address_that_is_to_live_on_the_interface_itself_has_its_mac_address() -> Result<()> {
    let scene = Scene::new(&[V4])?;
    let (host_a, host_b) = scene.lab.pair();
    let also = "excluded_addresses = [{ address = \"10.77.0.120/16\", interface = \"eth0\" }]";
    let mut a = Harrier::start(&scene.lab, host_a, &[V4.instance(200).with(also)])?;
    scene.await_all(&mut a, "active")?;
    ensure!(host_a.has("10.77.0.120")?, "it is not on eth0");
    let probe = Probe::start(&scene.lab.client, "10.77.0.120".parse()?)?;
    probe.await_answers(host_a, 0, 20, PATIENCE)?;
    scene.served_by("the other one", host_a, None)?;
    // A stranger's claim is answered for it as for the others.
    let mark = scene.at_a.mark();
    let claim = ha_common::wire::arp::gratuitous(host_b.mac(), "10.77.0.120".parse()?);
    inject(&host_b.netns, INTERFACE, &claim)?;
    scene
        .at_a
        .await_frame("an answer to the claim", mark, PATIENCE, |frame| {
            !frame.outgoing && frame.packet.announces(IpAddr::from([10, 77, 0, 120]))
        })?;
    let macs: Vec<_> = scene
        .at_a
        .frames()
        .iter()
        .filter(|frame| !frame.outgoing)
        .filter_map(|frame| speaks_for(frame, IpAddr::from([10, 77, 0, 120])))
        .collect();
    ensure!(
        macs.iter().all(|mac| *mac == Some(host_a.mac())),
        "{macs:?}"
    );
    a.stop()?;
    scene.nothing_is_left()
}
