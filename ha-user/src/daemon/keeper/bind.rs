//! What an instance gets before the driver hears of its interface, and gives back
//! afterwards: the kernel program there, an interface of its own, rows in the maps,
//! sockets, settings, all of it in the journal first.

use std::{
    collections::{BTreeSet, HashSet},
    sync::Arc,
};

use ha_common::{abi, types::AddressFamily, wire::vrrp};

use super::{Bound, Keeper};
use crate::{
    config::InstanceConfig,
    daemon::{DaemonError, attach, plan::Plan, system},
    driver::Attachment,
    engine::InstanceId,
    net::{
        macvlan::{self, Macvlan},
        sysctl::{self, Setting, Want},
        watch::HostChange,
    },
};

impl Keeper {
    /// Takes back what an instance was attached to.
    pub(super) async fn release(&mut self, id: InstanceId) {
        let Some(old) = self.bound.remove(&id) else {
            return;
        };
        self.forget(&old.config, &old.plan);
        self.delete(old.macvlan).await;
        self.ports.set_detached(id);
    }

    /// Attaches one instance.
    pub(super) async fn bind(
        &mut self,
        id: InstanceId,
        plan: Plan,
    ) -> Result<Attachment, DaemonError> {
        let roster = Arc::clone(&self.roster);
        let Some(config) = roster.shared(id) else {
            unreachable!("only instances of the configuration are attached");
        };
        let config = &config;
        let index = plan.interface.index;
        self.take_stock(config, &plan)?;
        let mode = match self.program.modes().get(&index) {
            Some(mode) => mode,
            None => self.program.attach(index, &plan.interface.name)?,
        };
        let macvlan = self.own_interface(config, &plan).await?;
        let attachment = match self.attach(id, config, &plan, macvlan.as_ref()) {
            Ok(attachment) => attachment,
            Err(error) => {
                self.delete(macvlan).await;
                return Err(error);
            }
        };
        self.failed.remove(&id);
        self.ports.set_attached(id, index, mode);
        if self.ports.set_problem(id, None).is_some() {
            tracing::info!(
                instance = config.name,
                interface = config.interface,
                "the interface is there: the instance takes part"
            );
        }
        let config = config.clone();
        self.bound.insert(
            id,
            Bound {
                config,
                plan,
                macvlan,
            },
        );
        Ok(attachment)
    }

    /// Writes down what the instance may put on the host by `plan`.
    pub(super) fn take_stock(
        &mut self,
        config: &InstanceConfig,
        plan: &Plan,
    ) -> Result<(), DaemonError> {
        if attach::take_stock(config, plan, &mut self.inventory) {
            self.write_journal()?;
        }
        Ok(())
    }

    /// The interface with the virtual router's link-layer address, if it is to
    /// have one, and what its parent has to be set to for it.
    pub(super) async fn own_interface(
        &mut self,
        config: &InstanceConfig,
        plan: &Plan,
    ) -> Result<Option<Macvlan>, DaemonError> {
        for setting in Self::settings(config, plan) {
            self.set(&setting)?;
        }
        let parent = &plan.interface;
        let Some(name) = attach::macvlan_name(config, plan) else {
            return Ok(None);
        };
        let mac = vrrp::virtual_mac(config.family, config.vrid);
        // IPv6 has to be switched on, which IPv4 always is.
        let family = if carries(config, AddressFamily::Ipv6) {
            AddressFamily::Ipv6
        } else {
            AddressFamily::Ipv4
        };
        let handle = &self.netlink.handle;
        let macvlan = Macvlan::create(handle, &name, parent.index, mac, family).await?;
        // It is known from now on, not only when the watch tells of it.
        self.links.take(&HostChange::Link {
            index: macvlan.device.index,
            name,
            up: false,
            mac: Some(mac),
        });
        Ok(Some(macvlan))
    }

    /// What the interface of the instance has to be set to.
    pub(super) fn settings(config: &InstanceConfig, plan: &Plan) -> Vec<Setting> {
        let parent = &plan.interface.name;
        if config.virtual_mac.is_some() {
            return [AddressFamily::Ipv4, AddressFamily::Ipv6]
                .into_iter()
                .filter(|family| carries(config, *family))
                .flat_map(|family| macvlan::parent_settings(parent, family))
                .collect();
        }
        if !attach::is_home_of(config, AddressFamily::Ipv4) {
            return Vec::new();
        }
        // Else the kernel removes other people's addresses of a network with the first
        // one of it, if that is ours.
        vec![Setting {
            family: AddressFamily::Ipv4,
            interface: parent.clone(),
            key: "promote_secondaries",
            want: Want::AtLeast(1),
        }]
    }

    /// Changes a setting of an interface, if it has to be, until the daemon ends.
    pub(super) fn set(&mut self, setting: &Setting) -> Result<(), DaemonError> {
        if let Some(change) = sysctl::Change::plan(setting)? {
            if !self.inventory.sysctls.contains(&change) {
                self.inventory.sysctls.push(change.clone());
                self.write_journal()?;
            }
            self.sysctls.apply(change)?;
        }
        Ok(())
    }

    pub(super) fn attach(
        &mut self,
        id: InstanceId,
        config: &InstanceConfig,
        plan: &Plan,
        macvlan: Option<&Macvlan>,
    ) -> Result<Attachment, DaemonError> {
        let index = plan.interface.index;
        let attachment = self
            .sockets
            .open(config, plan, macvlan)
            .map_err(|(what, error)| system(what)(error))?;
        // Nothing of an interface that the instance had before may decide.
        self.rows.slots.clear(id.0)?;
        self.fill(config, index)?;
        Ok(attachment)
    }

    /// Writes the rows of an instance.
    pub(super) fn fill(&mut self, config: &InstanceConfig, index: u32) -> Result<(), DaemonError> {
        let vip = abi::Vip {
            vrid: config.vrid.value(),
            family: config.family.code(),
            reserved: [0; 2],
        };
        for key in attach::vip_keys(config, index) {
            self.rows.vips.watch(&key, &vip)?;
        }
        for key in attach::peer_keys(config, index) {
            self.rows.unicast_peers.list(&key)?;
        }
        Ok(())
    }

    /// Takes the rows of an instance out of the maps that no attached one has too; one
    /// that stays is of no use to anybody without the instance's own.
    pub(super) fn forget(&mut self, config: &InstanceConfig, plan: &Plan) {
        let mut vips: HashSet<_> = attach::vip_keys(config, plan.interface.index)
            .into_iter()
            .collect();
        let mut peers: HashSet<_> = attach::peer_keys(config, plan.interface.index)
            .into_iter()
            .collect();
        for bound in self.bound.values() {
            let index = bound.plan.interface.index;
            for key in attach::vip_keys(&bound.config, index) {
                vips.remove(&key);
            }
            for key in attach::peer_keys(&bound.config, index) {
                peers.remove(&key);
            }
        }
        for key in vips {
            let _ = self.rows.vips.unwatch(&key);
        }
        for key in peers {
            let _ = self.rows.unicast_peers.unlist(&key);
        }
    }

    /// Detaches the program from interfaces that no instance uses any more.
    pub(super) fn release_unused(&mut self) {
        let used: BTreeSet<u32> = self
            .bound
            .values()
            .map(|bound| bound.plan.interface.index)
            .collect();
        let unused: Vec<u32> = self
            .program
            .modes()
            .keys()
            .copied()
            .filter(|index| !used.contains(index))
            .collect();
        for index in unused {
            self.program.detach(index);
        }
    }

    /// Returns whether it is gone.
    pub(super) async fn delete(&self, macvlan: Option<Macvlan>) -> bool {
        let Some(macvlan) = macvlan else {
            return true;
        };
        match macvlan.delete(&self.netlink.handle).await {
            Ok(()) => true,
            Err(error) => {
                tracing::error!(%error, "an interface stays behind");
                false
            }
        }
    }

    /// Has the journal say what the inventory does, before it becomes true.
    pub(super) fn write_journal(&self) -> Result<(), DaemonError> {
        self.journal
            .update(&self.inventory)
            .map_err(system("writing the journal"))
    }
}

/// Whether the instance has to do with `family` on its own interface.
fn carries(config: &InstanceConfig, family: AddressFamily) -> bool {
    config.family == family || attach::is_home_of(config, family)
}
