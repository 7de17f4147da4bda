//! NGINX Plus on AWS: unicast, no virtual address, a notify script that moves an
//! Elastic IP address.

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::{Result, ensure};
use ha_tests::{
    cloud::{API_PORT, Cloud, PublicAddress, Tenant},
    service::Service,
    visitor::Visitor,
};

use super::{
    router::{Peer, Router},
    stage::{PATIENCE, STEADY, Stage, await_file},
    story::{Event, Guide, Told},
};

const KILLED: &str = "nginx killed";
const BACK: &str = "nginx back";
const STOPPED: &str = "daemon stopped";
const STARTED: &str = "daemon started";
const CUT: &str = "host cut off";
const MENDED: &str = "host reachable again";

const STATE: &str = "/run/nginx-ha-keepalived.state";
const API: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 21);
const ELASTIC: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 10);
const CLAIM: &str = "5–6 s";

pub(crate) const GUIDE: Guide = Guide {
    title: "NGINX Plus on AWS, Elastic IP",
    peers: Peer::ALL,
    events: &[
        Event {
            title: KILLED,
            claim: CLAIM,
            limit: Some(6),
            noticed_by: "check every 3 s",
        },
        Event {
            title: BACK,
            claim: CLAIM,
            limit: Some(6),
            noticed_by: "check every 3 s",
        },
        Event {
            title: STOPPED,
            claim: CLAIM,
            limit: Some(6),
            noticed_by: "priority 0",
        },
        Event {
            title: STARTED,
            claim: CLAIM,
            limit: Some(6),
            noticed_by: "advertisement",
        },
        Event {
            title: CUT,
            claim: CLAIM,
            limit: Some(6),
            noticed_by: "Active_Down_Interval",
        },
        Event {
            title: MENDED,
            claim: "the address may end up at the wrong node",
            limit: None,
            noticed_by: "advertisement",
        },
    ],
    tell,
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
    fn new(peer: Peer) -> Result<Self> {
        let stage = Stage::new("nginx-aws-elastic-ip", peer, 1)?;
        let cloud_host = &stage.lab.nodes[2];
        let client = &stage.lab.client;
        stage.address(cloud_host, &["10.0.0.21/24"])?;
        stage.address(client, &["10.0.0.50/24"])?;
        let mut tenants = Vec::new();
        for (machine, number) in [(&stage.primary, 11), (&stage.secondary, 12)] {
            let address = Ipv4Addr::new(10, 0, 0, number);
            stage.address(&machine.host, &[&format!("{address}/24")])?;
            stage.route_to_metadata(machine, address)?;
            stage.serve_at(machine, ELASTIC)?;
            stage.append(
                machine,
                "aws.conf",
                &format!("ENDPOINT=http://{API}:{API_PORT}/\n"),
            )?;
            tenants.push(Tenant {
                name: machine.host.name.clone(),
                address,
                id: number.into(),
                private: vec![address],
            });
        }
        let publics = vec![PublicAddress {
            address: ELASTIC,
            allocation: "eipalloc-0123456789abcdef0".to_owned(),
        }];
        let cloud = Cloud::start(cloud_host, API, client, tenants, publics)?;
        let nginx_a = Service::nginx(&stage.primary, None)?;
        let nginx_b = Service::nginx(&stage.secondary, None)?;
        let (a, b) = stage.routers("VI_1")?;
        let mut scene = Self {
            visitor: Visitor::start(client, SocketAddr::from((ELASTIC, 80)))?,
            a,
            b,
            nginx_a,
            _nginx_b: nginx_b,
            cloud,
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
        await_file(&self.stage.primary, STATE, "STATE=MASTER\n")?;
        await_file(&self.stage.secondary, STATE, "STATE=BACKUP\n")?;
        let host = &self.stage.primary.host;
        self.cloud.await_holder(ELASTIC, host, PATIENCE)?;
        self.visitor.await_steady(host, STEADY, PATIENCE)
    }

    fn await_secondary(&mut self) -> Result<()> {
        self.b.await_state("VI_1", "MASTER", PATIENCE)?;
        await_file(&self.stage.secondary, STATE, "STATE=MASTER\n")?;
        let host = &self.stage.secondary.host;
        self.cloud.await_holder(ELASTIC, host, PATIENCE)?;
        self.visitor.await_steady(host, STEADY, PATIENCE)
    }
}

fn tell(peer: Peer, told: &mut Told) -> Result<()> {
    let mut scene = Scene::new(peer)?;
    let before = scene.cloud.calls().len();

    let mark = scene.visitor.mark();
    scene.nginx_a.process.kill()?;
    scene.await_secondary()?;
    scene.a.await_state("VI_1", "BACKUP", PATIENCE)?;
    await_file(&scene.stage.primary, STATE, "STATE=BACKUP\n")?;
    told.outage(KILLED, scene.visitor.outage(mark));
    // EC2 refuses the first time; until the second the secondary still serves.
    scene.cloud.refuse(1);
    let mark = scene.visitor.mark();
    scene.nginx_a = Service::nginx(&scene.stage.primary, None)?;
    scene.await_primary()?;
    told.outage(BACK, scene.visitor.outage(mark));

    let mark = scene.visitor.mark();
    scene.a.stop()?;
    scene.await_secondary()?;
    told.outage(STOPPED, scene.visitor.outage(mark));
    let mark = scene.visitor.mark();
    scene.a = scene.stage.router(&scene.stage.primary)?;
    scene.await_primary()?;
    told.outage(STARTED, scene.visitor.outage(mark));
    // One call for each move and one more for the refused one, and none for the rest.
    let calls = scene.cloud.calls().split_off(before);
    let to: Vec<(&str, bool)> = calls
        .iter()
        .map(|call| (call.to.as_str(), call.accepted))
        .collect();
    let wanted = [
        ("node-b", true),
        ("node-a", false),
        ("node-a", true),
        ("node-b", true),
        ("node-a", true),
    ];
    ensure!(to == wanted, "calls: {calls:#?}");

    let mark = scene.visitor.mark();
    scene.stage.cut(&scene.stage.primary)?;
    scene.await_secondary()?;
    told.outage(CUT, scene.visitor.outage(mark));
    // The primary was MASTER all the time, so nothing is told there: the guide's
    // caveat. The TOML has a script for just that.
    let mark = scene.visitor.mark();
    scene.stage.mend(&scene.stage.primary)?;
    scene.b.await_state("VI_1", "BACKUP", PATIENCE)?;
    scene.a.await_state("VI_1", "MASTER", PATIENCE)?;
    if peer == Peer::HarrierToml {
        scene.await_primary()?;
        told.outage(MENDED, scene.visitor.outage(mark));
    } else {
        let host = &scene.stage.secondary.host;
        let mark = scene.visitor.mark();
        scene
            .visitor
            .await_served(host, mark, 2 * STEADY, PATIENCE)?;
        scene.cloud.await_holder(ELASTIC, host, PATIENCE)?;
        told.text(MENDED, "stays at the secondary");
    }
    Ok(())
}
