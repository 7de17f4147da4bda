//! The handbook's nginx in front of a backend: multicast, a password, `state
//! MASTER`, a check that subtracts from the priority, scripts that write a log.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use ha_tests::{
    cloud::{Cloud, Tenant},
    http::{Response, Server},
    service::Service,
    visitor::Visitor,
};

use super::{
    router::{Peer, Router},
    stage::{PATIENCE, STEADY, Stage},
    story::{Event, Guide, Told},
};

const KILLED: &str = "nginx stopped (`pkill nginx`)";
const BACK: &str = "nginx back";
const CUT: &str = "host shut down";
const MENDED: &str = "host back";
const STOPPED: &str = "daemon stopped (`pkill keepalived`)";
const STARTED: &str = "daemon started";

const BACKEND: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 21);
const NOTIFIED: &str = "/run/keepalived-notify.log";

pub(crate) const GUIDE: Guide = Guide {
    title: "keepalived + nginx handbook",
    peers: Peer::ALL,
    events: &[
        Event {
            title: KILLED,
            claim: "3–10 s",
            limit: Some(10),
            noticed_by: "check every 2 s, twice",
        },
        Event {
            title: BACK,
            claim: "–",
            limit: None,
            noticed_by: "check every 2 s",
        },
        Event {
            title: CUT,
            claim: "about 3 s",
            limit: Some(3),
            noticed_by: "Active_Down_Interval",
        },
        Event {
            title: MENDED,
            claim: "–",
            limit: None,
            noticed_by: "advertisement",
        },
        Event {
            title: STOPPED,
            claim: "after the advertisement interval (1 s)",
            limit: None,
            noticed_by: "priority 0",
        },
        Event {
            title: STARTED,
            claim: "–",
            limit: None,
            noticed_by: "advertisement",
        },
    ],
    tell,
};

/// The guide's own weight, 10 points for a gap of 20.
pub(crate) const AS_PUBLISHED: Guide = Guide {
    title: "keepalived + nginx handbook, weight −10 as published",
    peers: &[Peer::Keepalived, Peer::HarrierFile],
    events: &[Event {
        title: KILLED,
        claim: "3–10 s",
        limit: Some(10),
        noticed_by: "nothing: 90 is still more than 80",
    }],
    tell: tell_as_published,
};

/// The guide's option: who has the address keeps it.
pub(crate) const NO_PREEMPTION: Guide = Guide {
    title: "keepalived + nginx handbook, `nopreempt`",
    peers: Peer::ALL,
    events: &[
        Event {
            title: STOPPED,
            claim: "–",
            limit: None,
            noticed_by: "priority 0",
        },
        Event {
            title: STARTED,
            claim: "the primary does not reclaim the address",
            limit: None,
            noticed_by: "nothing",
        },
    ],
    tell: tell_without_preemption,
};

struct Scene {
    visitor: Visitor,
    a: Router,
    b: Router,
    nginx_a: Service,
    _nginx_b: Service,
    cloud: Cloud,
    _backend: Server,
    stage: Stage,
}

impl Scene {
    fn new(peer: Peer, prepare: impl FnOnce(&Stage) -> Result<()>) -> Result<Self> {
        let stage = Stage::new("nginx-handbook", peer, 1)?;
        let backend_host = &stage.lab.nodes[2];
        stage.address(&stage.lab.nodes[0], &["198.51.100.11/24"])?;
        stage.address(&stage.lab.nodes[1], &["198.51.100.12/24"])?;
        stage.address(backend_host, &["198.51.100.21/24"])?;
        stage.address(&stage.lab.client, &["198.51.100.50/24"])?;
        prepare(&stage)?;
        // Says who has passed the request on, which the guide sees by addresses.
        let upstream = SocketAddr::from((BACKEND, 8000));
        let backend = Server::start(&backend_host.netns, upstream, |request| {
            Response::ok(format!(
                "{}\n",
                request.header("x-served-by").unwrap_or("nobody")
            ))
        })?;
        let tenant = |name: &str, number| Tenant {
            name: name.to_owned(),
            address: Ipv4Addr::new(198, 51, 100, number),
            id: number.into(),
            private: Vec::new(),
        };
        let tenants = vec![tenant("node-a", 11), tenant("node-b", 12)];
        let cloud = Cloud::start(backend_host, BACKEND, &stage.lab.client, tenants, vec![])?;
        let nginx_a = Service::nginx(&stage.primary, Some(upstream))?;
        let nginx_b = Service::nginx(&stage.secondary, Some(upstream))?;
        let (a, b) = stage.routers("VI_1")?;
        let target: SocketAddr = "198.51.100.100:80".parse()?;
        let mut scene = Self {
            visitor: Visitor::start(&stage.lab.client, target)?,
            a,
            b,
            nginx_a,
            _nginx_b: nginx_b,
            cloud,
            _backend: backend,
            stage,
        };
        scene.await_primary()?;
        Ok(scene)
    }

    /// The primary serves and both say so; then for long enough that the secondary
    /// has heard it.
    fn await_primary(&mut self) -> Result<()> {
        self.a.await_state("VI_1", "MASTER", PATIENCE)?;
        self.b.await_state("VI_1", "BACKUP", PATIENCE)?;
        self.await_notified(true, "master")?;
        self.await_notified(false, "backup")?;
        self.visitor
            .await_steady(&self.stage.primary.host, STEADY, PATIENCE)
    }

    fn await_secondary(&mut self) -> Result<()> {
        self.b.await_state("VI_1", "MASTER", PATIENCE)?;
        self.await_notified(false, "master")?;
        self.visitor
            .await_steady(&self.stage.secondary.host, STEADY, PATIENCE)
    }

    /// Waits until the last line of a node's log is about `state`.
    fn await_notified(&self, primary: bool, state: &str) -> Result<()> {
        let machine = if primary {
            &self.stage.primary
        } else {
            &self.stage.secondary
        };
        let path = machine.outside(NOTIFIED);
        let give_up_at = Instant::now() + PATIENCE;
        loop {
            let log = fs::read_to_string(&path).unwrap_or_default();
            if log.lines().last().is_some_and(|line| line.ends_with(state)) {
                return Ok(());
            }
            ensure!(
                Instant::now() < give_up_at,
                "the notify script of {} was not told {state:?}: {log}",
                machine.host.name
            );
            thread::sleep(Duration::from_millis(20));
        }
    }
}

fn tell(peer: Peer, told: &mut Told) -> Result<()> {
    let mut scene = Scene::new(peer, |_| Ok(()))?;

    // What the TOML posts is refused twice, and posted again.
    scene.cloud.refuse(2);
    let mark = scene.visitor.mark();
    scene.nginx_a.stop()?;
    scene.await_secondary()?;
    told.outage(KILLED, scene.visitor.outage(mark));
    scene.a.await_state("VI_1", "BACKUP", PATIENCE)?;
    scene.await_notified(true, "backup")?;
    if peer == Peer::HarrierToml {
        scene.cloud.await_posted(&["VI_1", "MASTER"], PATIENCE)?;
        let refused = scene.cloud.posted().iter().any(|posted| !posted.accepted);
        ensure!(refused, "no webhook was refused");
    }

    let mark = scene.visitor.mark();
    let upstream = SocketAddr::from((BACKEND, 8000));
    scene.nginx_a = Service::nginx(&scene.stage.primary, Some(upstream))?;
    scene.await_primary()?;
    told.outage(BACK, scene.visitor.outage(mark));

    // The host dies: nobody of it says a word any more. A boot starts it afresh.
    let mark = scene.visitor.mark();
    scene.stage.cut(&scene.stage.primary)?;
    scene.a.kill()?;
    scene.await_secondary()?;
    told.outage(CUT, scene.visitor.outage(mark));
    scene
        .stage
        .primary
        .host
        .netns
        .ip("addr flush dev eth0 to 198.51.100.100\n")?;
    let mark = scene.visitor.mark();
    scene.stage.mend(&scene.stage.primary)?;
    scene.a = scene.stage.router(&scene.stage.primary)?;
    scene.await_primary()?;
    told.outage(MENDED, scene.visitor.outage(mark));

    let mark = scene.visitor.mark();
    scene.a.stop()?;
    scene.await_secondary()?;
    told.outage(STOPPED, scene.visitor.outage(mark));
    let mark = scene.visitor.mark();
    scene.a = scene.stage.router(&scene.stage.primary)?;
    scene.await_primary()?;
    told.outage(STARTED, scene.visitor.outage(mark));
    Ok(())
}

/// The commonest mistake of published guides: nothing moves, and Harrier says so
/// before it is run.
fn tell_as_published(peer: Peer, told: &mut Told) -> Result<()> {
    let mut scene = Scene::new(peer, |stage| {
        for machine in [&stage.primary, &stage.secondary] {
            stage.edit(machine, "keepalived.conf", "weight -30", "weight -10")?;
        }
        Ok(())
    })?;
    let mark = scene.visitor.mark();
    scene.nginx_a.stop()?;
    // Two rounds of the check, an Active_Down_Interval and time to spare.
    let enough = Instant::now() + Duration::from_secs(12);
    while Instant::now() < enough {
        ensure!(
            scene.b.state("VI_1")?.as_deref() == Some("BACKUP"),
            "the address has moved, which 10 points are not enough for"
        );
        thread::sleep(Duration::from_millis(100));
    }
    let served = scene
        .visitor
        .await_served(&scene.stage.secondary.host, mark, 1, Duration::ZERO);
    ensure!(served.is_err(), "the secondary has served");
    scene.a.await_state("VI_1", "MASTER", PATIENCE)?;
    told.text(KILLED, "never");
    if peer.is_harrier() {
        let said = scene.stage.check(&scene.stage.primary)?;
        ensure!(
            said.contains("90 or less never takes over"),
            "`harrier check` does not say it: {said}"
        );
    }
    Ok(())
}

fn tell_without_preemption(peer: Peer, told: &mut Told) -> Result<()> {
    let mut scene = Scene::new(peer, |stage| match peer {
        Peer::HarrierToml => stage.edit(
            &stage.primary,
            "harrier.toml",
            "priority = 100",
            "priority = 100\npreempt = false",
        ),
        // `state MASTER` makes it void.
        Peer::Keepalived | Peer::HarrierFile => stage.edit(
            &stage.primary,
            "keepalived.conf",
            "state MASTER",
            "state BACKUP\n    nopreempt",
        ),
    })?;
    let mark = scene.visitor.mark();
    scene.a.stop()?;
    scene.await_secondary()?;
    told.outage(STOPPED, scene.visitor.outage(mark));
    scene.a = scene.stage.router(&scene.stage.primary)?;
    scene.a.await_state("VI_1", "BACKUP", PATIENCE)?;
    // Longer than an Active_Down_Interval: it would have taken over by now.
    let mark = scene.visitor.mark();
    let host = &scene.stage.secondary.host;
    scene
        .visitor
        .await_served(host, mark, 5 * STEADY, PATIENCE)?;
    scene.a.await_state("VI_1", "BACKUP", PATIENCE)?;
    scene.b.await_state("VI_1", "MASTER", PATIENCE)?;
    told.text(STARTED, "stays at the secondary");
    Ok(())
}
