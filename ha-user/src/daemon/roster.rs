//! The configuration in effect, and which virtual router is which instance of it.

use std::sync::{Arc, Mutex, PoisonError};

use crate::{
    config::{Config, InstanceConfig, SharedInstance},
    engine::InstanceId,
};

/// A configuration with the ids of its instances. The ids are those of the engine
/// and of the slots in the kernel's maps; an instance keeps its own through reloads,
/// wherever it stands in the file.
#[derive(Clone, Debug)]
pub(super) struct Roster {
    pub(super) config: Arc<Config>,
    /// In the order of the instances.
    ids: Vec<InstanceId>,
}

impl Roster {
    /// That of a start: ids in the order of the configuration.
    pub(super) fn of(config: Arc<Config>) -> Self {
        let ids = (0..).map(InstanceId).take(config.instances.len()).collect();
        Self { config, ids }
    }

    /// `ids` are those of the instances, in their order.
    pub(super) fn new(config: Arc<Config>, ids: Vec<InstanceId>) -> Self {
        debug_assert_eq!(config.instances.len(), ids.len());
        Self { config, ids }
    }

    /// The ids, in the order of the instances.
    pub(super) fn ids(&self) -> &[InstanceId] {
        &self.ids
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (InstanceId, &InstanceConfig)> {
        self.ids.iter().copied().zip(&self.config.instances)
    }

    /// The id of the instance in this place of the configuration.
    pub(super) fn id(&self, place: usize) -> InstanceId {
        self.ids[place]
    }

    /// The instance with this id, if it is in the configuration.
    pub(super) fn instance(&self, id: InstanceId) -> Option<&InstanceConfig> {
        self.iter()
            .find(|(it, _)| *it == id)
            .map(|(_, config)| config)
    }

    /// As [`instance`](Self::instance), to keep.
    pub(super) fn shared(&self, id: InstanceId) -> Option<SharedInstance> {
        let place = self.ids.iter().position(|it| *it == id)?;
        Some(SharedInstance::new(&self.config, place))
    }

    /// The instance with this name.
    pub(super) fn by_name(&self, name: &str) -> Option<(InstanceId, &InstanceConfig)> {
        self.iter().find(|(_, config)| config.name == name)
    }

    /// The members of each sync group.
    pub(super) fn groups(&self) -> Vec<Vec<InstanceId>> {
        let groups = self.config.sync_groups.iter();
        groups
            .map(|group| group.members.iter().map(|place| self.id(*place)).collect())
            .collect()
    }

    /// The name of the sync group that `id` is in.
    pub(super) fn group_of(&self, id: InstanceId) -> Option<&str> {
        let is_in = |members: &[usize]| members.iter().any(|place| self.id(*place) == id);
        let mut groups = self.config.sync_groups.iter();
        groups
            .find(|group| is_in(&group.members))
            .map(|group| group.name.as_str())
    }
}

/// The roster in effect, for those who look at it from elsewhere.
#[derive(Clone, Debug)]
pub(super) struct Current(Arc<Mutex<Arc<Roster>>>);

impl Current {
    pub(super) fn new(roster: Roster) -> Self {
        Self(Arc::new(Mutex::new(Arc::new(roster))))
    }

    pub(super) fn roster(&self) -> Arc<Roster> {
        // It is replaced in one step, so a panic leaves it whole.
        Arc::clone(&self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn replace(&self, roster: Roster) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(roster);
    }
}
