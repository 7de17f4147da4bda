//! A new configuration takes effect.

use std::{collections::BTreeSet, net::IpAddr, sync::Arc};

use ha_common::fsm::TrackerId;
use tokio::sync::oneshot;

use super::{Keeper, send, tracked};
use crate::{
    config::{Config, InstanceConfig, SharedInstance},
    control::protocol::Reloaded,
    daemon::{
        DaemonError, attach, phase,
        plan::{self, Plan},
        reload::{self, Comparison, NeedsRestart},
        roster::Roster,
        setup, system,
        trackers::Registry,
    },
    driver::{self, Attachment, Changed, Command, Subject},
    engine::{InstanceId, Reading, Tracking},
    net::sysctl::Setting,
};

/// A configuration with all that has to be had before it can take effect.
struct Prepared {
    comparison: Comparison,
    roster: Roster,
    registry: Registry,
    trackings: Vec<Vec<Tracking>>,
    /// The numbers of the checks.
    checks: Vec<TrackerId>,
    /// What instances that stay work with from now on.
    attachments: Vec<(InstanceId, Attachment, Plan)>,
}

impl Keeper {
    /// Goes over to `config`. What is the same in it goes on undisturbed.
    ///
    /// # Errors
    /// Why the old configuration goes on; nothing has changed then.
    pub(super) async fn reload(
        &mut self,
        handle: &driver::Handle,
        config: Config,
    ) -> Result<Reloaded, String> {
        let before = Arc::clone(&self.roster);
        let mut filled = Vec::new();
        let prepared = match self.prepare(Arc::new(config), &mut filled) {
            Ok(prepared) => prepared,
            Err(error) => {
                self.clear_rows(filled);
                self.tidy();
                return Err(error.to_string());
            }
        };
        let reloaded = prepared
            .comparison
            .describe(&before.config, &prepared.roster.config);
        self.take_effect(handle, &before, prepared).await?;
        Ok(reloaded)
    }

    /// Everything that can fail. What has got rows in the maps is in `filled`.
    fn prepare(
        &mut self,
        config: Arc<Config>,
        filled: &mut Vec<(SharedInstance, Plan)>,
    ) -> Result<Prepared, DaemonError> {
        let old = Arc::clone(&self.roster);
        let comparison = reload::compare(&old.config, &config)?;
        self.check_room(&config, &comparison)?;
        let ids = self.ids(&old, &config, &comparison)?;
        let roster = Roster::new(Arc::clone(&config), ids);
        let virtual_addresses = plan::virtual_addresses(&config);
        for (_, instance) in roster.iter() {
            if let Err(error) = plan::plan(instance, &self.links, &virtual_addresses)
                && plan::is_fatal(&error)
            {
                return Err(error.into());
            }
        }
        let mut registry = self.registry.clone();
        let trackings = registry.trackings(&config);
        let checks = registry.checks(&config);
        let leaving = comparison.leaving.iter();
        let leaving: Vec<&InstanceConfig> = leaving.map(|it| &old.config.instances[*it]).collect();
        self.refuse_packets(&config, &leaving)?;
        let mut attachments = Vec::new();
        for (before, after) in &comparison.kept {
            let (before, after) = (&old.config.instances[*before], *after);
            let (id, instance) = (roster.id(after), &config.instances[after]);
            if reload::needs_attachment(before, instance)
                && let Some(plan) = self.next_plan(id, instance, &virtual_addresses)
            {
                filled.push((SharedInstance::new(&config, after), plan.clone()));
                let attachment = self.prepare_attachment(id, instance, &plan)?;
                attachments.push((id, attachment, plan));
            }
        }
        Ok(Prepared {
            comparison,
            roster,
            registry,
            trackings,
            checks,
            attachments,
        })
    }

    /// By what an instance that stays is attached from now on; `None` if it is not
    /// attached, or has to be attached anew.
    fn next_plan(
        &self,
        id: InstanceId,
        config: &InstanceConfig,
        virtual_addresses: &[IpAddr],
    ) -> Option<Plan> {
        let bound = self.bound.get(&id)?;
        // What it lacks is said when it is looked at again.
        let plan = plan::plan(config, &self.links, virtual_addresses).ok()?;
        (bound.plan.is_at(&plan) && self.is_whole(bound)).then_some(plan)
    }

    /// What an instance that stays works with from now on, its rows in the maps
    /// included.
    fn prepare_attachment(
        &mut self,
        id: InstanceId,
        config: &InstanceConfig,
        plan: &Plan,
    ) -> Result<Attachment, DaemonError> {
        self.take_stock(config, plan)?;
        for setting in Self::settings(config, plan) {
            self.set(&setting)?;
        }
        let macvlan = self.bound.get(&id).and_then(|bound| bound.macvlan.clone());
        let opened = self.sockets.open(config, plan, macvlan.as_ref());
        let attachment = opened.map_err(|(what, error)| system(what)(error))?;
        self.fill(config, plan.interface.index)?;
        Ok(attachment)
    }

    /// Whether the kernel's maps have room for old and new together.
    fn check_room(&self, new: &Config, comparison: &Comparison) -> Result<(), NeedsRestart> {
        let leaving = self.leaving.iter().filter_map(|id| self.bound.get(id));
        let instances = || {
            let all = self.roster.config.instances.iter().chain(&new.instances);
            all.chain(leaving.clone().map(|bound| &*bound.config))
        };
        let addresses: BTreeSet<(&str, IpAddr)> = instances()
            .flat_map(|it| {
                let addresses = it.all_addresses();
                addresses.map(|address| (it.interface.as_str(), address.address.address))
            })
            .collect();
        let peers: BTreeSet<(&str, u8, IpAddr)> = instances()
            .flat_map(|it| {
                let peers = it.unicast.iter().flat_map(|unicast| &unicast.peers);
                peers.map(|peer| (it.interface.as_str(), it.vrid.value(), *peer))
            })
            .collect();
        let slots = new.instances.len() + comparison.leaving.len() + self.leaving.len();
        for (what, needed, there) in [
            ("instances", slots, self.limits.instances),
            ("addresses", addresses.len(), self.limits.addresses),
            ("unicast peers", peers.len(), self.limits.unicast_peers),
        ] {
            if needed > there {
                return Err(NeedsRestart::Maps {
                    what,
                    needed,
                    there,
                });
            }
        }
        Ok(())
    }

    /// The ids of the instances: those that stay have theirs, new ones get free ones.
    fn ids(
        &self,
        old: &Roster,
        config: &Config,
        comparison: &Comparison,
    ) -> Result<Vec<InstanceId>, NeedsRestart> {
        let taken: BTreeSet<InstanceId> = old
            .iter()
            .map(|(id, _)| id)
            .chain(self.leaving.iter().copied())
            .collect();
        let there = self.limits.instances;
        let most = u32::try_from(there).unwrap_or(u32::MAX);
        let mut free = (0..most).map(InstanceId).filter(|id| !taken.contains(id));
        let places = 0..config.instances.len();
        places
            .map(|place| {
                let kept = comparison.kept.iter().find(|(_, new)| *new == place);
                kept.map(|(before, _)| old.id(*before))
                    .or_else(|| free.next())
                    .ok_or(NeedsRestart::Maps {
                        what: "instances",
                        needed: taken.len() + comparison.added.len(),
                        there,
                    })
            })
            .collect()
    }

    /// Addresses take no packets that are to take none by `config`, or by an instance
    /// that still leaves or is about to.
    fn refuse_packets(
        &mut self,
        config: &Config,
        leaving: &[&InstanceConfig],
    ) -> Result<(), DaemonError> {
        let mut refused = setup::refused_addresses(config);
        refused.extend(leaving.iter().flat_map(|it| setup::refused_by(it)));
        for bound in self.leaving.iter().filter_map(|id| self.bound.get(id)) {
            refused.extend(setup::refused_by(&bound.config));
        }
        let table = self.accept.table().to_owned();
        if !refused.is_empty() && self.inventory.nft_tables.insert(table) {
            self.write_journal()?;
        }
        Ok(self.accept.refuse(refused)?)
    }

    async fn take_effect(
        &mut self,
        handle: &driver::Handle,
        before: &Roster,
        prepared: Prepared,
    ) -> Result<(), String> {
        let Prepared {
            comparison,
            roster,
            registry,
            trackings,
            checks,
            mut attachments,
        } = prepared;
        let readings = self.new_readings(&registry);
        let leaving: Vec<InstanceId> = comparison.leaving.iter().map(|it| before.id(*it)).collect();
        let config = Arc::clone(&roster.config);
        let mut plans = Vec::new();
        let phases = phase::phases(&config);
        let changed = |place: usize, attachment: Option<Attachment>| Changed {
            id: roster.id(place),
            config: SharedInstance::new(&config, place),
            phase: phases[place],
            trackings: trackings[place].clone(),
            attachment,
        };
        let mut kept = Vec::new();
        for (_, place) in &comparison.kept {
            let id = roster.id(*place);
            let found = attachments.iter().position(|(other, ..)| *other == id);
            let attachment = found.map(|found| {
                let (_, attachment, plan) = attachments.swap_remove(found);
                plans.push((id, plan));
                attachment
            });
            kept.push(changed(*place, attachment));
        }
        let added = comparison.added.iter().map(|place| changed(*place, None));
        let reload = driver::Reload {
            trackers: registry.subjects().into(),
            readings,
            announce_gap: config.announce_gap,
            startup_delay: config.startup_delay,
            leaving: leaving.clone(),
            kept,
            added: added.collect(),
            groups: roster.groups(),
        };
        if let Some(services) = &mut self.services {
            services.reload(&roster, &checks);
        }
        let (done, in_effect) = oneshot::channel();
        send(handle, Command::Reload(Box::new(reload), done));
        if in_effect.await.is_err() {
            return Err("the daemon is stopping".to_owned());
        }
        let mut stale = Vec::new();
        for (id, plan) in plans {
            if let Some(bound) = self.bound.get_mut(&id) {
                stale.push((
                    bound.config.clone(),
                    std::mem::replace(&mut bound.plan, plan),
                ));
            }
        }
        for place in 0..config.instances.len() {
            if let Some(bound) = self.bound.get_mut(&roster.id(place)) {
                bound.config = SharedInstance::new(&config, place);
            }
        }
        self.clear_rows(stale);
        self.leaving.extend(leaving);
        // What leaves is no interface's own address yet, nor is what has just left.
        self.virtual_addresses = plan::virtual_addresses(&config);
        self.virtual_addresses
            .extend(plan::virtual_addresses(&before.config));
        self.sockets.set_gap(config.announce_gap);
        self.tracked = tracked(&registry, &self.links);
        self.registry = registry;
        self.current.replace(roster);
        self.roster = self.current.roster();
        self.failed.clear();
        self.settle_all(handle).await;
        self.tidy();
        Ok(())
    }

    /// What is known of interfaces that nobody has asked for so far. Checks tell for
    /// themselves.
    fn new_readings(&self, registry: &Registry) -> Vec<(TrackerId, Reading)> {
        let known = self.registry.iter().count();
        let subjects = registry.iter().skip(known);
        let interfaces = subjects.filter_map(|(id, subject)| match subject {
            Subject::Interface(name) => Some((id, name)),
            Subject::Check(_) => None,
        });
        interfaces
            .map(|(id, name)| {
                let interface = self.links.by_name(name);
                (id, interface.is_some_and(|interface| interface.up).into())
            })
            .collect()
    }

    /// Takes the rows out of the maps that nobody needs any more.
    fn clear_rows(&mut self, stale: Vec<(SharedInstance, Plan)>) {
        for (config, plan) in stale {
            self.forget(&config, &plan);
        }
    }

    /// An instance that was to leave has: nothing of it is used any more.
    pub(super) async fn clear_away(&mut self, handle: &driver::Handle, id: InstanceId) {
        self.leaving.remove(&id);
        self.release(id).await;
        self.ports.set_problem(id, None);
        // Another may have waited for it.
        self.settle_all(handle).await;
        self.tidy();
    }

    /// Takes back what no instance needs any more, but for what the driver has.
    fn tidy(&mut self) {
        let config = Arc::clone(&self.roster.config);
        // Addresses that take no packets are let through when nobody has them.
        if let Err(error) = self.refuse_packets(&config, &[]) {
            tracing::error!(%error, "packets to addresses that are not ours any more are dropped");
        }
        let mut wanted: Vec<Setting> = Vec::new();
        for bound in self.bound.values() {
            wanted.extend(Self::settings(&bound.config, &bound.plan));
        }
        self.sysctls.keep(&wanted);
        let mut inventory = setup::inventory(&config, &self.links, self.accept.table());
        for bound in self.bound.values() {
            attach::take_stock(&bound.config, &bound.plan, &mut inventory);
        }
        inventory.sysctls = self.sysctls.changes().to_vec();
        if self.accept.is_on() {
            inventory.nft_tables.insert(self.accept.table().to_owned());
        }
        self.inventory = inventory;
        if let Err(error) = self.write_journal() {
            tracing::error!(%error, "the journal says more than there is");
        }
    }
}
