//! Two nodes with one virtual router, a client, and what is lost.

use std::{
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};

use anyhow::{Result, ensure};
use ha_tests::{
    daemon::{Harrier, Instance},
    lab::{Host, Lab},
    probe::{Probe, Responder},
};

pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
pub(crate) const VIP: &str = "10.77.0.100";
pub(crate) const VIP_CIDR: &str = "10.77.0.100/16";

/// `web`, advertised every 100 ms.
pub(crate) fn web(priority: u8) -> Instance {
    Instance::new(priority, &[VIP_CIDR])
}

/// A second virtual router.
pub(crate) fn db(priority: u8) -> Instance {
    Instance {
        name: "db".to_owned(),
        vrid: 52,
        ..Instance::new(priority, &["10.77.0.200/16"])
    }
}

/// The configuration of `instances`.
pub(crate) fn config(instances: &[Instance]) -> String {
    let tables: Vec<String> = instances.iter().map(Instance::to_toml).collect();
    tables.join("\n")
}

pub(crate) struct Scene {
    pub(crate) lab: Lab,
    _responders: Vec<Responder>,
    pub(crate) probe: Probe,
}

impl Scene {
    pub(crate) fn new(nodes: u8) -> Result<Self> {
        let lab = Lab::new(nodes)?;
        let responders = lab.nodes.iter().map(Responder::start);
        let responders = responders.collect::<Result<_>>()?;
        let probe = Probe::start(&lab.client, IpAddr::V4(Ipv4Addr::new(10, 77, 0, 100)))?;
        Ok(Self {
            lab,
            _responders: responders,
            probe,
        })
    }

    /// node-a is Active for `of_a`, node-b Backup with `of_b`, and the client is
    /// answered.
    pub(crate) fn pair(&self, of_a: &[Instance], of_b: &[Instance]) -> Result<(Harrier, Harrier)> {
        let (host_a, host_b) = self.lab.pair();
        let mut a = Harrier::start(&self.lab, host_a, of_a)?;
        for instance in of_a {
            a.await_state(&instance.name, "active", PATIENCE)?;
        }
        let mut b = Harrier::start(&self.lab, host_b, of_b)?;
        for instance in of_b {
            b.await_status("held back by a", PATIENCE, |status| {
                let mut instances = status.instances.iter();
                let found = instances.find(|it| it.name == instance.name)?;
                (found.active.as_deref() == Some("10.77.0.1")).then_some(())
            })?;
        }
        self.await_service(host_a)?;
        Ok((a, b))
    }

    /// Waits until `host` answers steadily: requests from before it did may have waited
    /// in the client, and be answered now, or not.
    pub(crate) fn await_service(&self, host: &Host) -> Result<()> {
        self.probe.await_answers(host, 0, 300, PATIENCE).map(drop)
    }

    /// Does `work`, and ensures that the client goes on hearing from `host` without
    /// losing a request.
    pub(crate) fn ensure_none_lost<T>(
        &self,
        what: &str,
        host: &Host,
        work: impl FnOnce() -> Result<T>,
    ) -> Result<T> {
        let (lost, result) = self.lost(host, work)?;
        eprintln!("{what}: {lost} requests lost");
        ensure!(lost == 0, "{what}: {lost} requests were lost");
        Ok(result)
    }

    /// Does `work`, after which `host` answers; returns how many requests were lost
    /// from shortly before until some time after.
    pub(crate) fn lost<T>(
        &self,
        host: &Host,
        work: impl FnOnce() -> Result<T>,
    ) -> Result<(u64, T)> {
        let before = self.probe.mark().saturating_sub(20);
        let result = work()?;
        let after = self.probe.mark();
        self.probe.await_answers(host, after, 300, PATIENCE)?;
        Ok((self.probe.lost(before), result))
    }

    /// How many transitions `instance` has behind it.
    pub(crate) fn transitions(daemon: &mut Harrier, instance: &str) -> Result<u64> {
        daemon.await_status(instance, PATIENCE, |status| {
            let mut instances = status.instances.iter();
            Some(instances.find(|it| it.name == instance)?.transitions)
        })
    }
}
