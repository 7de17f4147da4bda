//! nginx on two Droplets: a check without weight, so that a node without nginx is
//! in fault, and a script that moves a floating IP address and asks again while
//! the API is busy.

use std::{
    net::{Ipv4Addr, SocketAddr},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use ha_tests::{
    cloud::{API_PORT, Cloud, PublicAddress, TOKEN, Tenant},
    service::Service,
    visitor::Visitor,
};

use super::{
    router::{Peer, Router},
    stage::{PATIENCE, STEADY, Stage},
    story::{Event, Guide, Told},
};

const KILLED: &str = "nginx stopped (`service nginx stop`)";
const BACK: &str = "nginx started";
const BUSY: &str = "nginx stopped, the API busy at first";
const BUSY_BACK: &str = "nginx started after that";
const REBOOT: &str = "host rebooted";
const BOOTED: &str = "host up again";
const STOPPED: &str = "daemon stopped";
const STARTED: &str = "both nodes started, nginx runs";

/// The example's.
const CHECK: &str = "pgrep -x nginx";
const API: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 3);
const FLOATING: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 30);
const CLAIM: &str = "a few seconds";

pub(crate) const GUIDE: Guide = Guide {
    title: "keepalived with a floating IP",
    peers: Peer::ALL,
    events: &[
        Event {
            title: KILLED,
            claim: CLAIM,
            limit: Some(7),
            noticed_by: "check every 2 s",
        },
        Event {
            title: BACK,
            claim: CLAIM,
            limit: Some(7),
            noticed_by: "check every 2 s",
        },
        Event {
            title: BUSY,
            claim: CLAIM,
            limit: Some(7),
            noticed_by: "check every 2 s; asked again after 3 s",
        },
        Event {
            title: BUSY_BACK,
            claim: CLAIM,
            limit: Some(7),
            noticed_by: "check every 2 s",
        },
        Event {
            title: REBOOT,
            claim: CLAIM,
            limit: Some(7),
            noticed_by: "Active_Down_Interval",
        },
        Event {
            title: BOOTED,
            claim: "–",
            limit: None,
            noticed_by: "advertisement",
        },
        Event {
            title: STOPPED,
            claim: CLAIM,
            limit: Some(7),
            noticed_by: "priority 0",
        },
    ],
    tell,
};

/// The guide's own check, `pidof nginx`.
pub(crate) const AS_PUBLISHED: Guide = Guide {
    title: "keepalived with a floating IP, `pidof nginx` as published",
    peers: &[Peer::Keepalived, Peer::HarrierFile],
    events: &[Event {
        title: STARTED,
        claim: "the primary has the address",
        limit: None,
        noticed_by: "check every 2 s",
    }],
    tell: tell_as_published,
};

struct Scene {
    visitor: Visitor,
    a: Router,
    b: Router,
    nginx_a: Service,
    _nginx_b: Service,
    cloud: Cloud,
    stage: Stage,
}

impl Scene {
    /// The guide's network with both routers, with `check` as the check's command;
    /// `works` says whether a node is to become MASTER.
    fn start(peer: Peer, check: &str, works: bool) -> Result<Self> {
        let mut stage = Stage::new("floating-ip", peer, 1)?;
        for machine in [&stage.primary, &stage.secondary] {
            stage.edit(machine, "keepalived.conf", CHECK, check)?;
        }
        stage.private_network(["10.132.0.11/16", "10.132.0.12/16"])?;
        let mut tenants = Vec::new();
        for machine in [&stage.primary, &stage.secondary] {
            let address = machine.host.ipv4();
            stage.route_to_metadata(machine, address)?;
            stage.serve_at(machine, FLOATING)?;
            stage.edit(machine, "floating-ip.conf", "replace-me", TOKEN)?;
            stage.append(
                machine,
                "floating-ip.conf",
                &format!("API=http://{API}:{API_PORT}\n"),
            )?;
            tenants.push(Tenant {
                name: machine.host.name.clone(),
                address,
                id: 1000 + u32::from(machine.host.number),
                private: vec![address],
            });
        }
        let publics = vec![PublicAddress {
            address: FLOATING,
            allocation: String::new(),
        }];
        let client = &stage.lab.client;
        let cloud = Cloud::start(&stage.lab.nodes[2], API, client, tenants, publics)?;
        let nginx_a = Service::nginx(&stage.primary, None)?;
        let nginx_b = Service::nginx(&stage.secondary, None)?;
        let (a, b) = if works {
            stage.routers("VI_1")?
        } else {
            (
                stage.router(&stage.primary)?,
                stage.router(&stage.secondary)?,
            )
        };
        Ok(Self {
            visitor: Visitor::start(client, SocketAddr::from((FLOATING, 80)))?,
            a,
            b,
            nginx_a,
            _nginx_b: nginx_b,
            cloud,
            stage,
        })
    }

    /// The primary serves and both say so; then for long enough that the secondary
    /// has heard it.
    fn await_primary(&mut self) -> Result<()> {
        self.a.await_state("VI_1", "MASTER", PATIENCE)?;
        self.b.await_state("VI_1", "BACKUP", PATIENCE)?;
        let host = &self.stage.primary.host;
        self.cloud.await_holder(FLOATING, host, PATIENCE)?;
        self.visitor.await_steady(host, STEADY, PATIENCE)
    }

    fn await_secondary(&mut self) -> Result<()> {
        self.b.await_state("VI_1", "MASTER", PATIENCE)?;
        let host = &self.stage.secondary.host;
        self.cloud.await_holder(FLOATING, host, PATIENCE)?;
        self.visitor.await_steady(host, STEADY, PATIENCE)
    }

    /// nginx ends and comes back; `refused` calls of the API's fail meanwhile.
    fn stop_nginx(
        &mut self,
        told: &mut Told,
        events: [&'static str; 2],
        refused: u32,
    ) -> Result<()> {
        let before = self.cloud.calls().len();
        self.cloud.refuse(refused);
        let mark = self.visitor.mark();
        self.nginx_a.stop()?;
        self.await_secondary()?;
        self.a.await_state("VI_1", "FAULT", PATIENCE)?;
        told.outage(events[0], self.visitor.outage(mark));
        let calls = self.cloud.calls().split_off(before);
        let failed = calls.iter().filter(|call| !call.accepted).count();
        ensure!(
            failed == usize::try_from(refused)? && calls.len() == failed + 1,
            "calls: {calls:#?}"
        );
        let mark = self.visitor.mark();
        self.nginx_a = Service::nginx(&self.stage.primary, None)?;
        self.await_primary()?;
        told.outage(events[1], self.visitor.outage(mark));
        Ok(())
    }
}

fn tell(peer: Peer, told: &mut Told) -> Result<()> {
    let mut scene = Scene::start(peer, CHECK, true)?;
    scene.await_primary()?;
    scene.stop_nginx(told, [KILLED, BACK], 0)?;
    scene.stop_nginx(told, [BUSY, BUSY_BACK], 1)?;

    let mark = scene.visitor.mark();
    scene.stage.cut(&scene.stage.primary)?;
    scene.a.kill()?;
    scene.nginx_a.process.kill()?;
    scene.await_secondary()?;
    told.outage(REBOOT, scene.visitor.outage(mark));
    let mark = scene.visitor.mark();
    scene.stage.mend(&scene.stage.primary)?;
    scene.nginx_a = Service::nginx(&scene.stage.primary, None)?;
    scene.a = scene.stage.router(&scene.stage.primary)?;
    scene.await_primary()?;
    told.outage(BOOTED, scene.visitor.outage(mark));

    let mark = scene.visitor.mark();
    scene.a.stop()?;
    scene.await_secondary()?;
    told.outage(STOPPED, scene.visitor.outage(mark));
    Ok(())
}

/// keepalived 2.2.7 runs what `/usr/bin/pidof` is a link to, on Debian `killall5`,
/// which takes its job from its name: the check fails whatever runs.
fn tell_as_published(peer: Peer, told: &mut Told) -> Result<()> {
    let mut scene = Scene::start(peer, "pidof nginx", peer.is_harrier())?;
    if peer.is_harrier() {
        scene.await_primary()?;
        told.text(STARTED, "as claimed");
        return Ok(());
    }
    // Twice the time that it takes otherwise.
    let enough = Instant::now() + Duration::from_secs(8);
    while Instant::now() < enough {
        for router in [&mut scene.a, &mut scene.b] {
            let state = router.state("VI_1")?;
            ensure!(
                state.as_deref() != Some("MASTER"),
                "one is MASTER after all"
            );
        }
        thread::sleep(Duration::from_millis(100));
    }
    ensure!(scene.cloud.calls().is_empty(), "the address was moved");
    told.text(STARTED, "both in fault");
    Ok(())
}
