//! What goes by the configuration beside the instances: health checks and who hears
//! of transitions.

use ha_common::fsm::TrackerId;

use super::roster::Roster;
use crate::{health::Checks, notify::Notifications};

/// All of it.
pub(super) struct Services {
    pub(super) checks: Checks,
    pub(super) notifications: Notifications,
}

impl Services {
    /// Goes over to `roster`; `check_ids` are the numbers of its checks. What is the
    /// same in it goes on undisturbed. It comes before the driver is told, which so
    /// hears of new checks before it hears who tracks them.
    pub(super) fn reload(&mut self, roster: &Roster, check_ids: &[TrackerId]) {
        self.checks.reload(&roster.config, check_ids);
        self.notifications
            .reload(&roster.config, roster.ids().to_vec());
    }

    /// Kills commands that checks still run, and tells that the daemon stops.
    pub(super) async fn stop(self) {
        drop(self.checks);
        self.notifications.stop().await;
    }
}
