//! The states of a virtual router. Deadlines live inside the state they belong
//! to, so none can outlive it.

use core::{fmt, time::Duration};

use crate::{abi, time::Timestamp};

/// State of one virtual router.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    /// Not taking part (RFC 9568 §6.4.1).
    Init,
    /// Watching the Active router (§6.4.2).
    Backup {
        /// Arrival of the advertisement that the deadline counts from, or when
        /// the state was entered. What arrived no later is already accounted for.
        heard_at: Timestamp,
        /// When the Active router is held to be dead.
        active_down_at: Timestamp,
        /// Interval that the Active router advertises.
        active_adver_interval: Duration,
    },
    /// Serving the addresses (§6.4.3).
    Active {
        /// When the next advertisement is due.
        advert_at: Timestamp,
        /// When the addresses were last announced.
        announced_at: Timestamp,
        /// When they are announced again, and which repetition that is.
        announce: Option<(Timestamp, u8)>,
    },
    /// Cannot take part, for example because the link is down. Not in the RFC,
    /// where an interface without a link has no virtual router.
    Fault,
}

impl State {
    /// The state without its deadlines.
    #[must_use]
    pub const fn kind(&self) -> StateKind {
        match self {
            Self::Init => StateKind::Init,
            Self::Backup { .. } => StateKind::Backup,
            Self::Active { .. } => StateKind::Active,
            Self::Fault => StateKind::Fault,
        }
    }

    /// The earliest deadline of the state, if it has one.
    #[must_use]
    pub fn deadline(&self) -> Option<Timestamp> {
        match *self {
            Self::Init | Self::Fault => None,
            Self::Backup { active_down_at, .. } => Some(active_down_at),
            Self::Active {
                advert_at,
                announce,
                ..
            } => Some(announce.map_or(advert_at, |(at, _)| at.min(advert_at))),
        }
    }
}

/// A [`State`] without its deadlines.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum StateKind {
    /// See [`State::Init`].
    Init,
    /// See [`State::Backup`].
    Backup,
    /// See [`State::Active`].
    Active,
    /// See [`State::Fault`].
    Fault,
}

impl StateKind {
    /// The number that [`abi::Instance::state`] carries.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Init => abi::STATE_INIT,
            Self::Backup => abi::STATE_BACKUP,
            Self::Active => abi::STATE_ACTIVE,
            Self::Fault => abi::STATE_FAULT,
        }
    }

    /// The word that status and log show.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Init => "init",
            Self::Backup => "backup",
            Self::Active => "active",
            Self::Fault => "fault",
        }
    }
}

impl fmt::Display for StateKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
