//! NGINX Plus on hosts of one's own: unicast, a check that adds to the priority,
//! a trigger file for a manual failover, a state file, both families.

use std::{fs, net::SocketAddr};

use anyhow::{Result, ensure};
use ha_common::time::Timestamp;
use ha_tests::{machine::Machine, service::Service, visitor::Visitor};

use super::{
    router::{Peer, Router},
    stage::{PATIENCE, STEADY, Stage, await_file},
    story::{Event, Guide, Told},
};

const STATE: &str = "/run/nginx-ha-keepalived.state";
const TRIGGER: &str = "/run/keepalived-manual-failover";

const KILLED: &str = "nginx killed";
const BACK: &str = "nginx back";
const CUT: &str = "host cut off";
const MENDED: &str = "host reachable again";
const STOPPED: &str = "daemon stopped";
const STARTED: &str = "daemon started";
const TRIGGERED: &str = "manual failover, trigger file made";
const UNTRIGGERED: &str = "trigger file removed";
const ADDED: &str = "an address added to the files, reload";
const DRAINED: &str = "`harrier failover VI_1`";
const RESTORED: &str = "`harrier failover VI_1 --back`";

pub(crate) const GUIDE: Guide = Guide {
    title: "NGINX Plus on premises",
    peers: Peer::ALL,
    events: &[
        Event {
            title: KILLED,
            claim: "the backup has the greater priority and takes over",
            limit: None,
            noticed_by: "check every 3 s",
        },
        Event {
            title: BACK,
            claim: "the primary takes over",
            limit: None,
            noticed_by: "check every 3 s",
        },
        Event {
            title: CUT,
            claim: "after more than three intervals of 1 s",
            limit: Some(4),
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
            claim: "by a packet of priority 0",
            limit: None,
            noticed_by: "priority 0",
        },
        Event {
            title: STARTED,
            claim: "–",
            limit: None,
            noticed_by: "advertisement",
        },
        Event {
            title: TRIGGERED,
            claim: "the backup takes over",
            limit: None,
            noticed_by: "check every 10 s",
        },
        Event {
            title: UNTRIGGERED,
            claim: "–",
            limit: None,
            noticed_by: "check every 10 s",
        },
        Event {
            title: ADDED,
            claim: "it is highly available too",
            limit: None,
            noticed_by: "SIGHUP",
        },
        Event {
            title: DRAINED,
            claim: "–",
            limit: None,
            noticed_by: "command",
        },
        Event {
            title: RESTORED,
            claim: "–",
            limit: None,
            noticed_by: "command",
        },
    ],
    tell,
};

pub(crate) const TWO_INSTANCES: Guide = Guide {
    title: "NGINX Plus on premises, an instance per family",
    peers: Peer::ALL,
    events: &[
        Event {
            title: KILLED,
            claim: "both move",
            limit: None,
            noticed_by: "check every 3 s",
        },
        Event {
            title: BACK,
            claim: "–",
            limit: None,
            noticed_by: "check every 3 s",
        },
        Event {
            title: CUT,
            claim: "both move",
            limit: None,
            noticed_by: "Active_Down_Interval",
        },
    ],
    tell: tell_two_instances,
};

/// The network of the guide, both routers up, the primary serving.
struct Scene {
    over_ipv4: Visitor,
    over_ipv6: Visitor,
    a: Router,
    b: Router,
    nginx_a: Service,
    _nginx_b: Service,
    stage: Stage,
    instances: &'static [&'static str],
}

impl Scene {
    fn new(peer: Peer, stem: &'static str, instances: &'static [&'static str]) -> Result<Self> {
        let mut stage = Stage::new("nginx-on-premises", peer, 0)?;
        stage.stem = stem;
        for (host, number) in [
            (&stage.lab.nodes[0], 11),
            (&stage.lab.nodes[1], 12),
            (&stage.lab.client, 50),
        ] {
            let (ipv4, ipv6) = (
                format!("192.0.2.{number}/24"),
                format!("2001:db8::{number}/64"),
            );
            stage.address(host, &[&ipv4, &ipv6])?;
        }
        let nginx_a = Service::nginx(&stage.primary, None)?;
        let nginx_b = Service::nginx(&stage.secondary, None)?;
        let (a, b) = stage.routers(instances[0])?;
        let client = &stage.lab.client;
        let ipv4: SocketAddr = "192.0.2.100:80".parse()?;
        let ipv6: SocketAddr = "[2001:db8::100]:80".parse()?;
        let mut scene = Self {
            over_ipv4: Visitor::start(client, ipv4)?,
            over_ipv6: Visitor::start(client, ipv6)?,
            a,
            b,
            nginx_a,
            _nginx_b: nginx_b,
            stage,
            instances,
        };
        scene.await_primary()?;
        Ok(scene)
    }

    /// The primary serves and both say so; then for long enough that the secondary
    /// has heard it.
    fn await_primary(&mut self) -> Result<()> {
        for instance in self.instances {
            self.a.await_state(instance, "MASTER", PATIENCE)?;
            self.b.await_state(instance, "BACKUP", PATIENCE)?;
        }
        await_file(&self.stage.primary, STATE, "STATE=MASTER\n")?;
        await_file(&self.stage.secondary, STATE, "STATE=BACKUP\n")?;
        self.await_served(false)
    }

    /// The secondary serves, and says so.
    fn await_secondary(&mut self) -> Result<()> {
        for instance in self.instances {
            self.b.await_state(instance, "MASTER", PATIENCE)?;
        }
        await_file(&self.stage.secondary, STATE, "STATE=MASTER\n")?;
        self.await_served(true)
    }

    /// As [`await_secondary`](Self::await_secondary), and the primary has yielded.
    fn await_handover(&mut self) -> Result<()> {
        self.await_secondary()?;
        for instance in self.instances {
            self.a.await_state(instance, "BACKUP", PATIENCE)?;
        }
        await_file(&self.stage.primary, STATE, "STATE=BACKUP\n")
    }

    fn await_served(&self, by_secondary: bool) -> Result<()> {
        let mark = self.mark();
        let host = self.machine(by_secondary).host.clone();
        for visitor in [&self.over_ipv4, &self.over_ipv6] {
            visitor.await_served(&host, mark, STEADY, PATIENCE)?;
        }
        Ok(())
    }

    fn machine(&self, secondary: bool) -> &Machine {
        if secondary {
            &self.stage.secondary
        } else {
            &self.stage.primary
        }
    }

    fn mark(&self) -> Timestamp {
        self.over_ipv4.mark()
    }

    /// What the worse off of the two visitors saw.
    fn tell(&self, told: &mut Told, event: &'static str, mark: Timestamp) {
        let worst = self.over_ipv4.outage(mark).max(self.over_ipv6.outage(mark));
        told.outage(event, worst);
    }

    fn kill_nginx(&mut self, told: &mut Told) -> Result<()> {
        let mark = self.mark();
        self.nginx_a.process.kill()?;
        self.await_handover()?;
        self.tell(told, KILLED, mark);
        let mark = self.mark();
        self.nginx_a = Service::nginx(&self.stage.primary, None)?;
        self.await_primary()?;
        self.tell(told, BACK, mark);
        Ok(())
    }

    /// A second address in both files, and `service keepalived reload` on both:
    /// it is served, and clients of the first see nothing of it.
    fn add_address(&mut self, told: &mut Told) -> Result<()> {
        let mark = self.mark();
        for machine in [&self.stage.primary, &self.stage.secondary] {
            let (file, from, to) = if self.stage.peer == Peer::HarrierToml {
                (
                    "harrier.toml",
                    "addresses = [\"192.0.2.100/24\"]",
                    "addresses = [\"192.0.2.100/24\", \"192.0.2.101/24\"]",
                )
            } else {
                (
                    "keepalived.conf",
                    "192.0.2.100/24\n",
                    "192.0.2.100/24\n        192.0.2.101/24\n",
                )
            };
            self.stage.edit(machine, file, from, to)?;
        }
        self.b.reload()?;
        self.a.reload()?;
        let added: SocketAddr = "192.0.2.101:80".parse()?;
        let visitor = Visitor::start(&self.stage.lab.client, added)?;
        let host = &self.stage.primary.host;
        visitor.await_served(host, mark, STEADY, PATIENCE)?;
        self.await_primary()?;
        self.tell(told, ADDED, mark);
        Ok(())
    }

    fn cut(&mut self, told: &mut Told) -> Result<()> {
        let mark = self.mark();
        self.stage.cut(&self.stage.primary)?;
        self.await_secondary()?;
        self.tell(told, CUT, mark);
        Ok(())
    }
}

fn tell(peer: Peer, told: &mut Told) -> Result<()> {
    let mut scene = Scene::new(peer, "keepalived", &["VI_1"])?;
    scene.kill_nginx(told)?;
    scene.cut(told)?;

    let mark = scene.mark();
    scene.stage.mend(&scene.stage.primary)?;
    scene.await_primary()?;
    scene.tell(told, MENDED, mark);

    let mark = scene.mark();
    scene.a.stop()?;
    scene.await_secondary()?;
    ensure!(
        !scene.stage.primary.host.has("192.0.2.100")?,
        "the address stayed"
    );
    scene.tell(told, STOPPED, mark);

    let mark = scene.mark();
    scene.a = scene.stage.router(&scene.stage.primary)?;
    scene.await_primary()?;
    scene.tell(told, STARTED, mark);

    let trigger = scene.stage.primary.outside(TRIGGER);
    let mark = scene.mark();
    fs::write(&trigger, "")?;
    scene.await_handover()?;
    scene.tell(told, TRIGGERED, mark);
    let mark = scene.mark();
    fs::remove_file(&trigger)?;
    scene.await_primary()?;
    scene.tell(told, UNTRIGGERED, mark);

    scene.add_address(told)?;

    if peer.is_harrier() {
        let mark = scene.mark();
        scene.a.command(&["failover", "VI_1"])?;
        scene.await_handover()?;
        scene.tell(told, DRAINED, mark);
        let mark = scene.mark();
        scene.a.command(&["failover", "VI_1", "--back"])?;
        scene.await_primary()?;
        scene.tell(told, RESTORED, mark);
    } else {
        told.text(DRAINED, "–");
        told.text(RESTORED, "–");
    }
    Ok(())
}

fn tell_two_instances(peer: Peer, told: &mut Told) -> Result<()> {
    let mut scene = Scene::new(peer, "two-instances", &["VI_1", "VI_2"])?;
    await_file(
        &scene.stage.primary,
        "/run/nginx-ha-keepalived.state.VI_2",
        "STATE=MASTER\n",
    )?;
    scene.kill_nginx(told)?;
    scene.cut(told)
}
