//! HAProxy on AWS: two nodes that both work, each with an Elastic IP address of
//! its own; checks that add, that subtract and that guard against split brain.

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::{Context as _, Result, ensure};
use ha_common::time::Timestamp;
use ha_tests::{
    cloud::{API_PORT, Cloud, PublicAddress, Tenant},
    http::{Response, Server},
    machine::Machine,
    process::Process,
    service::Service,
    visitor::Visitor,
};

use super::{
    router::{Peer, Router},
    stage::{PATIENCE, STEADY, Stage},
    story::{Event, Guide, Told},
};

const KILLED: &str = "haproxy killed";
const BACK: &str = "haproxy back";
const SSHD: &str = "sshd dies";
const SSHD_BACK: &str = "sshd back";
const UNREACHABLE: &str = "gateway unreachable for one node";
const REACHABLE: &str = "gateway reachable again";
const STOPPED: &str = "daemon stopped";
const STARTED: &str = "daemon started";
const CUT: &str = "host cut off";

const API: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 21);
const ELASTIC: [Ipv4Addr; 2] = [
    Ipv4Addr::new(203, 0, 113, 11),
    Ipv4Addr::new(203, 0, 113, 12),
];
const INSTANCES: [&str; 2] = ["vrrp_1", "vrrp_2"];
const CLAIM: &str = "usually under 5 s";

pub(crate) const GUIDE: Guide = Guide {
    title: "HAProxy on AWS, active-active",
    peers: Peer::ALL,
    events: &[
        Event {
            title: KILLED,
            claim: CLAIM,
            limit: Some(5),
            noticed_by: "check every 2 s, twice",
        },
        Event {
            title: BACK,
            claim: "the address returns",
            limit: None,
            noticed_by: "check every 2 s",
        },
        Event {
            title: SSHD,
            claim: CLAIM,
            limit: Some(5),
            noticed_by: "check every 5 s, twice",
        },
        Event {
            title: SSHD_BACK,
            claim: "the address returns",
            limit: None,
            noticed_by: "check every 5 s",
        },
        Event {
            title: UNREACHABLE,
            claim: "fault, whatever the node was",
            limit: None,
            noticed_by: "check every 3 s, twice",
        },
        Event {
            title: REACHABLE,
            claim: "the address returns",
            limit: None,
            noticed_by: "check every 3 s, three times",
        },
        Event {
            title: STOPPED,
            claim: CLAIM,
            limit: Some(5),
            noticed_by: "priority 0",
        },
        Event {
            title: STARTED,
            claim: "the address returns",
            limit: None,
            noticed_by: "advertisement",
        },
        Event {
            title: CUT,
            claim: CLAIM,
            limit: Some(5),
            noticed_by: "Active_Down_Interval",
        },
    ],
    tell,
};

struct Scene {
    /// One for each Elastic IP address.
    visitors: [Visitor; 2],
    a: Router,
    b: Router,
    haproxy_a: Service,
    _haproxy_b: Service,
    sshd_a: Process,
    _others: Vec<Process>,
    cloud: Cloud,
    backends: Vec<SocketAddr>,
    _servers: Vec<Server>,
    stage: Stage,
}

impl Scene {
    fn new(peer: Peer) -> Result<Self> {
        let stage = Stage::new("haproxy-aws-active-active", peer, 2)?;
        let (services, gateway) = (&stage.lab.nodes[2], &stage.lab.nodes[3]);
        let client = &stage.lab.client;
        stage.address(services, &["10.0.0.21/24"])?;
        stage.address(gateway, &["10.0.0.1/24"])?;
        stage.address(client, &["10.0.0.50/24"])?;
        let mut tenants = Vec::new();
        for (machine, number) in [(&stage.primary, 11), (&stage.secondary, 12)] {
            let address = Ipv4Addr::new(10, 0, 0, number);
            let slot = Ipv4Addr::new(10, 0, 0, 100 + number);
            stage.address(
                &machine.host,
                &[&format!("{address}/24"), &format!("{slot}/24")],
            )?;
            stage.route_to_metadata(machine, address)?;
            stage.append(
                machine,
                "aws.conf",
                &format!("ENDPOINT=http://{API}:{API_PORT}/\n"),
            )?;
            for elastic in ELASTIC {
                stage.serve_at(machine, elastic)?;
            }
            tenants.push(Tenant {
                name: machine.host.name.clone(),
                address,
                id: number.into(),
                // An address without a slot would come to the primary one.
                private: vec![address, slot],
            });
        }
        let publics = ELASTIC
            .iter()
            .zip(1..)
            .map(|(address, number)| PublicAddress {
                address: *address,
                allocation: format!("eipalloc-0123456789abcdef{number}"),
            })
            .collect();
        let cloud = Cloud::start(services, API, client, tenants, publics)?;
        let backends: Vec<SocketAddr> = (8001..=8003).map(|port| (API, port).into()).collect();
        let servers = backends
            .iter()
            .map(|backend| {
                Server::start(&services.netns, *backend, |request| {
                    let by = request.header("x-served-by").unwrap_or("nobody");
                    Response::ok(format!("{by}\n"))
                })
            })
            .collect::<Result<_>>()?;
        let haproxy_a = Service::haproxy(&stage.primary, &backends)?;
        let haproxy_b = Service::haproxy(&stage.secondary, &backends)?;
        let others = vec![
            stand_in(&stage.primary, "dhclient")?,
            stand_in(&stage.secondary, "sshd")?,
            stand_in(&stage.secondary, "dhclient")?,
        ];
        let sshd_a = stand_in(&stage.primary, "sshd")?;
        let (a, b) = stage.routers(INSTANCES[0])?;
        let [first, second] = ELASTIC;
        let mut scene = Self {
            visitors: [
                Visitor::start(client, (first, 80).into())?,
                Visitor::start(client, (second, 80).into())?,
            ],
            a,
            b,
            haproxy_a,
            _haproxy_b: haproxy_b,
            sshd_a,
            _others: others,
            cloud,
            backends,
            _servers: servers,
            stage,
        };
        scene.await_both_at_work()?;
        Ok(scene)
    }

    fn mark(&self) -> Timestamp {
        self.visitors[0].mark()
    }

    /// Each node has its own address, for long enough that the other has heard it.
    fn await_both_at_work(&mut self) -> Result<()> {
        for (instance, at_a, at_b) in [
            ("vrrp_1", "MASTER", "BACKUP"),
            ("vrrp_2", "BACKUP", "MASTER"),
        ] {
            self.a.await_state(instance, at_a, PATIENCE)?;
            self.b.await_state(instance, at_b, PATIENCE)?;
        }
        let (one, two) = self.stage.lab.pair();
        self.visitors[0].await_steady(one, STEADY, PATIENCE)?;
        self.visitors[1].await_steady(two, STEADY, PATIENCE)
    }

    /// The secondary has both addresses.
    fn await_one_for_both(&mut self) -> Result<()> {
        for instance in INSTANCES {
            self.b.await_state(instance, "MASTER", PATIENCE)?;
        }
        let host = &self.stage.secondary.host;
        for (visitor, elastic) in self.visitors.iter().zip(ELASTIC) {
            self.cloud.await_holder(elastic, host, PATIENCE)?;
            visitor.await_steady(host, STEADY, PATIENCE)?;
        }
        Ok(())
    }

    /// What the first address's visitor saw; the second's is to have seen nothing.
    fn tell(&self, told: &mut Told, event: &'static str, mark: Timestamp) -> Result<()> {
        let unconcerned = self.visitors[1].outage(mark);
        ensure!(
            unconcerned == ha_tests::visitor::Outage::None,
            "{event}: the second address failed too, {unconcerned:?}"
        );
        told.outage(event, self.visitors[0].outage(mark));
        Ok(())
    }
}

fn tell(peer: Peer, told: &mut Told) -> Result<()> {
    let mut scene = Scene::new(peer)?;

    let mark = scene.mark();
    scene.haproxy_a.process.kill()?;
    scene.await_one_for_both()?;
    scene.tell(told, KILLED, mark)?;
    let mark = scene.mark();
    scene.haproxy_a = Service::haproxy(&scene.stage.primary, &scene.backends)?;
    scene.await_both_at_work()?;
    scene.tell(told, BACK, mark)?;

    let mark = scene.mark();
    scene.sshd_a.kill()?;
    scene.await_one_for_both()?;
    scene.tell(told, SSHD, mark)?;
    let mark = scene.mark();
    scene.sshd_a = stand_in(&scene.stage.primary, "sshd")?;
    scene.await_both_at_work()?;
    scene.tell(told, SSHD_BACK, mark)?;

    let gateway = scene.stage.lab.nodes[3].clone();
    let mark = scene.mark();
    gateway.netns.ip("route add blackhole 10.0.0.11/32\n")?;
    scene.await_one_for_both()?;
    for instance in INSTANCES {
        scene.a.await_state(instance, "FAULT", PATIENCE)?;
    }
    scene.tell(told, UNREACHABLE, mark)?;
    let mark = scene.mark();
    gateway.netns.ip("route del blackhole 10.0.0.11/32\n")?;
    scene.await_both_at_work()?;
    scene.tell(told, REACHABLE, mark)?;

    let mark = scene.mark();
    scene.a.stop()?;
    scene.await_one_for_both()?;
    scene.tell(told, STOPPED, mark)?;
    let mark = scene.mark();
    scene.a = scene.stage.router(&scene.stage.primary)?;
    scene.await_both_at_work()?;
    scene.tell(told, STARTED, mark)?;

    // Who cannot reach the gateway is in fault, so there is one MASTER only even now.
    let mark = scene.mark();
    scene.stage.cut(&scene.stage.primary)?;
    scene.await_one_for_both()?;
    scene.tell(told, CUT, mark)?;
    for instance in INSTANCES {
        scene.a.await_state(instance, "FAULT", PATIENCE)?;
    }
    let calls = scene.cloud.calls();
    ensure!(
        calls.iter().all(|call| call.accepted),
        "a call was refused: {calls:#?}"
    );
    Ok(())
}

/// A process that has the name of a daemon and does nothing.
fn stand_in(machine: &Machine, name: &str) -> Result<Process> {
    // A link: the kernel calls a process by the name that it was started by.
    let program = machine.shared_directory("stand-ins")?.join(name);
    if !program.exists() {
        let sleep = ha_tests::need::find("sleep").context("no `sleep`")?;
        std::os::unix::fs::symlink(&sleep, &program)
            .with_context(|| format!("cannot link {}", sleep.display()))?;
    }
    let mut command = machine.command(&program);
    command.arg("infinity");
    machine.start(name, &mut command)
}
