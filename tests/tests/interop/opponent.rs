//! The router at the other end, whichever it is.

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use ha_tests::{
    daemon::Instance,
    frr::{self, Frr},
    keepalived::{self, Keepalived, Options},
    lab::{Host, Lab},
};

use super::combination::{Combination, Mac, Peer, Transport};

/// Span between two looks at what a peer says of itself.
const LOOK_EVERY: Duration = Duration::from_millis(50);

#[derive(Debug)]
pub(crate) enum Opponent {
    Keepalived(Keepalived),
    Frr(Frr),
}

impl Opponent {
    pub(crate) fn start(
        lab: &Lab,
        host: &Host,
        combination: &Combination,
        instance: &Instance,
    ) -> Result<Self> {
        match combination.peer {
            Peer::Keepalived => {
                let options = Options {
                    virtual_mac: combination.their_mac == Mac::Virtual,
                    // Over IPv6 it is not 255 otherwise, which Harrier refuses.
                    unicast_ttl: (combination.transport == Transport::Unicast
                        && combination.form.is_ipv6())
                    .then_some(255),
                    ..Options::default()
                };
                Keepalived::start_with(lab, host, instance, options).map(Self::Keepalived)
            }
            Peer::Frr => Frr::start(lab, host, instance).map(Self::Frr),
        }
    }

    /// Whether it says that it is the Active router; `None` if it says neither
    /// that nor that it is a Backup router.
    pub(crate) fn is_active(&self) -> Result<Option<bool>> {
        let state = match self {
            Self::Keepalived(keepalived) => keepalived.state(),
            Self::Frr(frr) => frr.state()?,
        };
        Ok(match state.as_deref() {
            Some("MASTER" | "Master") => Some(true),
            Some("BACKUP" | "Backup") => Some(false),
            _ => None,
        })
    }

    /// Waits until it says that it is Active, or Backup.
    pub(crate) fn await_active(&self, active: bool, patience: Duration) -> Result<()> {
        let give_up_at = Instant::now() + patience;
        loop {
            let found = self.is_active()?;
            if found == Some(active) {
                return Ok(());
            }
            ensure!(
                Instant::now() < give_up_at,
                "whether the peer is Active, in its own words: {found:?}, not {active}"
            );
            // The peer is asked for its state; it does not tell by itself.
            thread::sleep(LOOK_EVERY);
        }
    }

    pub(crate) fn stop(&mut self) -> Result<()> {
        match self {
            Self::Keepalived(keepalived) => keepalived.stop(),
            Self::Frr(frr) => frr.stop(),
        }
    }

    pub(crate) fn kill(&mut self) -> Result<()> {
        match self {
            Self::Keepalived(keepalived) => keepalived.process.kill(),
            Self::Frr(frr) => frr.kill(),
        }
    }

    pub(crate) fn quiet(&mut self) {
        match self {
            Self::Keepalived(keepalived) => keepalived.process.quiet(),
            Self::Frr(frr) => frr.quiet(),
        }
    }
}

/// What `host` forgets when it boots after its router was killed: virtual
/// addresses, and interfaces made for them.
pub(crate) fn reboot(host: &Host, instance: &Instance) -> Result<()> {
    for name in [keepalived::VMAC, frr::MACVLAN] {
        if host.netns.ip_show(&["link", "show", name]).is_ok() {
            host.netns.ip(&format!("link delete {name}\n"))?;
        }
    }
    for cidr in &instance.addresses {
        let address = cidr.split_once('/').map_or(cidr.as_str(), |parts| parts.0);
        if host.has(address)? {
            // With the prefix length that it has: keepalived's may differ.
            let interface = &instance.interface;
            let text = host
                .netns
                .ip_show(&["-brief", "address", "show", "dev", interface])?;
            let present = text
                .split_whitespace()
                .find(|word| word.split_once('/').is_some_and(|parts| parts.0 == address))
                .unwrap_or(cidr);
            host.netns
                .ip(&format!("addr del {present} dev {interface}\n"))?;
        }
    }
    Ok(())
}

/// Whether `address` is in use on `host`: on an interface that is not held down.
pub(crate) fn holds(host: &Host, address: &str) -> Result<bool> {
    let text = host.netns.ip_show(&["-brief", "address", "show", "up"])?;
    Ok(text
        .lines()
        .map(|line| line.split_whitespace().skip(1))
        .any(|mut words| {
            words.next() != Some("DOWN")
                && words.any(|word| word.split_once('/').is_some_and(|parts| parts.0 == address))
        }))
}
