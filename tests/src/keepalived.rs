//! A real keepalived on a node.

use std::{fs, time::Duration};

use anyhow::{Context as _, Result};
use rustix::process::Signal;

use crate::{
    daemon::Instance,
    lab::{Host, Lab},
    need,
    process::Process,
};

/// A running keepalived.
#[derive(Debug)]
pub struct Keepalived {
    /// Its process.
    pub process: Process,
}

impl Keepalived {
    /// Starts keepalived on `host` with the same virtual router as `instance`.
    ///
    /// # Errors
    /// If keepalived is not installed or cannot be started.
    pub fn start(lab: &Lab, host: &Host, instance: &Instance) -> Result<Self> {
        need::tools(&["keepalived"])?;
        let directory = lab.directory(&format!("{}-keepalived", host.name))?;
        let file = |name: &str| directory.join(name);
        let config = file("keepalived.conf");
        fs::write(&config, configuration(instance, host.number))
            .with_context(|| format!("cannot write {}", config.display()))?;
        let mut command = host.netns.command("keepalived");
        command
            .args(["--dont-fork", "--log-console", "--log-detail", "--vrrp"])
            .arg("--use-file")
            .arg(&config)
            .arg("--pid")
            .arg(file("keepalived.pid"))
            .arg("--vrrp_pid")
            .arg(file("vrrp.pid"));
        let title = format!("keepalived on {}", host.name);
        Process::start(title, &mut command, file("log")).map(|process| Self { process })
    }

    /// Ends it in order: priority 0 on the wire, addresses removed.
    ///
    /// # Errors
    /// If it does not end.
    pub fn stop(&mut self) -> Result<()> {
        self.process.signal(Signal::TERM)?;
        self.process.await_end(Duration::from_secs(10)).map(drop)
    }
}

fn configuration(instance: &Instance, router: u8) -> String {
    let interval = instance.advert_interval.as_secs_f64();
    let preempt = if instance.preempt {
        ""
    } else {
        "    nopreempt\n"
    };
    let authentication = instance.password.map_or_else(String::new, |password| {
        format!(
            "    authentication {{\n        auth_type PASS\n        auth_pass {password}\n    }}\n"
        )
    });
    let unicast = instance
        .unicast
        .as_ref()
        .map_or_else(String::new, |(source, peers)| {
            let peers: String = peers
                .iter()
                .map(|peer| format!("        {peer}\n"))
                .collect();
            format!("    unicast_src_ip {source}\n    unicast_peer {{\n{peers}    }}\n")
        });
    let addresses: String = instance
        .addresses
        .iter()
        .map(|address| format!("        {address}\n"))
        .collect();
    format!(
        "global_defs {{\n    router_id node{router}\n    vrrp_version {version}\n}}\n\
         vrrp_instance {name} {{\n    state BACKUP\n    interface {interface}\n    \
         virtual_router_id {vrid}\n    priority {priority}\n    advert_int {interval}\n{preempt}\
         {authentication}{unicast}    \
         virtual_ipaddress {{\n{addresses}    }}\n}}\n",
        version = instance.version,
        name = instance.name,
        interface = instance.interface,
        vrid = instance.vrid,
        priority = instance.priority,
    )
}
