//! What goes by the configuration beside the instances: health checks, who hears of
//! transitions, where the driver runs, and who beside us hears advertisements.

use std::sync::Arc;

use ha_common::fsm::TrackerId;

use super::{roster::Roster, scheduling::Scheduling};
use crate::{health::Checks, kernel::Instances, notify::Notifications};

/// All of it.
pub(super) struct Services {
    pub(super) checks: Checks,
    pub(super) notifications: Notifications,
    pub(super) scheduling: Arc<Scheduling>,
    pub(super) instances: Arc<Instances>,
}

impl Services {
    /// Goes over to `roster`; `check_ids` are the numbers of its checks. What is the
    /// same in it goes on undisturbed. It comes before the driver is told, which so
    /// hears of new checks before it hears who tracks them.
    pub(super) fn reload(&mut self, roster: &Roster, check_ids: &[TrackerId]) {
        self.checks.reload(&roster.config, check_ids);
        self.scheduling.set_cpus(&roster.config.cpu_affinity);
        self.instances.set_consume(roster.config.consume);
        self.notifications
            .reload(&roster.config, roster.ids().to_vec());
    }

    /// Kills commands that checks still run, and tells that the daemon stops.
    pub(super) async fn stop(self) {
        drop(self.checks);
        self.notifications.stop().await;
    }
}
