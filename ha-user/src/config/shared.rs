//! Instances of a configuration that several parts of the daemon hold.

use std::{fmt, ops::Deref, sync::Arc};

use super::model::{Config, InstanceConfig};

/// One instance of a configuration; keeps all of that, so a copy costs nothing.
#[derive(Clone)]
pub struct SharedInstance {
    config: Arc<Config>,
    place: usize,
}

impl SharedInstance {
    /// The instance in this place of the configuration.
    ///
    /// # Panics
    /// If there is none.
    #[must_use]
    pub fn new(config: &Arc<Config>, place: usize) -> Self {
        assert!(place < config.instances.len(), "no instance {place}");
        Self {
            config: Arc::clone(config),
            place,
        }
    }
}

impl Deref for SharedInstance {
    type Target = InstanceConfig;

    fn deref(&self) -> &InstanceConfig {
        &self.config.instances[self.place]
    }
}

impl fmt::Debug for SharedInstance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
