//! What the commands show, for the daemon to write down.

use super::{check, counters, peers, status};
use crate::{
    config::Config,
    control::protocol::{Counters, Peer, Status},
};

/// What `harrier check` says of `config`.
pub(crate) fn config(config: &Config) -> String {
    check::describe(config)
}

/// What `harrier status` shows.
pub(crate) fn status(status: &Status) -> String {
    status::render(status, false)
}

/// What `harrier peers` shows.
pub(crate) fn peers(peers: &[Peer]) -> String {
    peers::render(peers)
}

/// What `harrier counters` shows.
pub(crate) fn counters(counters: &Counters) -> String {
    counters::render(counters)
}
