//! Health checks, as a file says them.

use std::{net::IpAddr, ops::Range, time::Duration};

use crate::config::{
    located::{Field, List, Located},
    raw::RawScript,
};

/// A health check. Which settings it may have depends on its kind.
#[derive(Debug, Default)]
pub(in crate::config) struct RawCheck {
    /// What to point at when a setting is missing: the head of the check.
    pub(in crate::config) head: Range<usize>,
    pub(in crate::config) name: Field<String>,
    pub(in crate::config) kind: Field<RawCheckKind>,
    pub(in crate::config) interval: Field<Duration>,
    pub(in crate::config) timeout: Field<Duration>,
    pub(in crate::config) rise: Field<i64>,
    pub(in crate::config) fall: Field<i64>,
    /// What instances that track it without saying one use.
    pub(in crate::config) weight: Field<i64>,
    /// What instances that track it without saying use.
    pub(in crate::config) reverse: Field<bool>,
    pub(in crate::config) init_fail: Field<bool>,
    /// exec.
    pub(in crate::config) command: Field<RawScript>,
    /// http and https: `http://host:port/path`.
    pub(in crate::config) url: Field<String>,
    pub(in crate::config) host: Field<String>,
    /// http: single statuses, and first and last of a range.
    pub(in crate::config) status: Field<List<(i64, i64)>>,
    pub(in crate::config) body: Field<String>,
    pub(in crate::config) verify: Field<bool>,
    /// tcp: `host:port`.
    pub(in crate::config) target: Field<String>,
    /// process: one of the three.
    pub(in crate::config) process: Field<String>,
    pub(in crate::config) command_line: Field<List<String>>,
    pub(in crate::config) pidfile: Field<String>,
    pub(in crate::config) at_least: Field<i64>,
    pub(in crate::config) at_most: Field<i64>,
    /// file.
    pub(in crate::config) path: Field<String>,
    /// file: its number counts, not whether it is there.
    pub(in crate::config) number: Field<bool>,
    /// ping.
    pub(in crate::config) address: Field<IpAddr>,
    /// ping and interface.
    pub(in crate::config) interface: Field<String>,
}

/// The kinds of health checks, as written.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(in crate::config) enum RawCheckKind {
    Exec,
    Http,
    Tcp,
    Process,
    File,
    Ping,
    Interface,
}

/// An entry of `track_checks`.
#[derive(Debug)]
pub(in crate::config) struct RawTrackedCheck {
    pub(in crate::config) name: Located<String>,
    pub(in crate::config) weight: Field<i64>,
    pub(in crate::config) reverse: Field<bool>,
}
