//! Who hears of transitions, as a file says it.

use std::time::Duration;

use crate::config::located::{Field, Located};

/// A command: words, of which the first is the program.
#[derive(Debug)]
pub(in crate::config) struct RawScript {
    pub(in crate::config) argv: Vec<String>,
    pub(in crate::config) run_as: Field<RawRunAs>,
}

/// A user, as `user` or `user:group`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(in crate::config) struct RawRunAs {
    pub(in crate::config) user: String,
    pub(in crate::config) group: Option<String>,
}

/// The table `notify` of an instance or a sync group.
#[derive(Debug, Default)]
pub(in crate::config) struct RawNotify {
    pub(in crate::config) active: Field<RawScript>,
    pub(in crate::config) backup: Field<RawScript>,
    pub(in crate::config) fault: Field<RawScript>,
    pub(in crate::config) stop: Field<RawScript>,
    pub(in crate::config) any: Field<RawScript>,
    pub(in crate::config) active_lower: Field<RawScript>,
    pub(in crate::config) priority_changes: Field<bool>,
    pub(in crate::config) timeout: Field<Duration>,
    pub(in crate::config) state_file: Field<String>,
    pub(in crate::config) webhook: Field<RawWebhook>,
}

/// The table `webhook` of `notify`.
#[derive(Debug, Default)]
pub(in crate::config) struct RawWebhook {
    pub(in crate::config) url: Field<String>,
    pub(in crate::config) timeout: Field<Duration>,
    pub(in crate::config) retries: Field<i64>,
    pub(in crate::config) retry_interval: Field<Duration>,
    pub(in crate::config) headers: Vec<(Located<String>, Located<String>)>,
    pub(in crate::config) verify: Field<bool>,
}

/// An entry of `notify_fifos`.
#[derive(Debug)]
pub(in crate::config) struct RawFifo {
    pub(in crate::config) path: Located<String>,
    pub(in crate::config) reader: Field<RawScript>,
}
