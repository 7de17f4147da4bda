//! The states of a virtual router. Deadlines live inside the state they belong
//! to, so none can outlive it.

use core::{fmt, time::Duration};

use super::announce::Announcing;
use crate::{
    abi,
    time::Timestamp,
    types::{Priority, RouterAddress},
};

/// State of one virtual router.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    /// Not taking part (RFC 9568 §6.4.1).
    Init,
    /// Watching the Active router (§6.4.2).
    Backup(Backup),
    /// Serving the addresses (§6.4.3).
    Active(Active),
    /// Has sent priority 0 and serves the addresses until a successor does. Not in
    /// the RFC, whose Active router stops serving when it sends priority 0.
    Releasing(Releasing),
    /// Cannot take part, for example because the link is down. Not in the RFC,
    /// where an interface without a link has no virtual router.
    Fault,
}

/// See [`State::Backup`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Backup {
    /// Arrival of the advertisement that the deadline counts from, or when the
    /// state was entered. What arrived no later is already accounted for.
    pub heard_at: Timestamp,
    /// When the Active router is held to be dead.
    pub active_down_at: Timestamp,
    /// Interval that the Active router advertises.
    pub active_adver_interval: Duration,
    /// The router that last held us back, since the state was entered.
    pub held_by: Option<Rival>,
    /// Why `active_down_at` is less than Active_Down_Interval after `heard_at`.
    pub shortened: Option<Shortened>,
    /// Whether a lower Active router may be relieved.
    pub preemption: Preemption,
    /// A router that does not hold us back has advertised since `heard_at`: it may
    /// serve the addresses.
    pub is_contested: bool,
}

/// Another router, by its last advertisement.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rival {
    /// Its primary address.
    pub address: RouterAddress,
    /// The priority that it advertised.
    pub priority: Priority,
}

/// Why a Backup does not wait for all of Active_Down_Interval.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Shortened {
    /// The Active router released.
    Released,
    /// The router that held us back fell below our priority.
    Weakened(Rival),
    /// We own the addresses and have not heard of anyone greater.
    Owner,
}

/// Whether a Backup may relieve an Active router of lower priority.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Preemption {
    /// It may, if Preempt_Mode is on.
    Free,
    /// Not before the delay, which begins with the first lower advertisement.
    Barred,
    /// Not before this time: a lower router has been heard.
    BarredUntil(Timestamp),
}

/// See [`State::Active`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Active {
    /// When the next advertisement is due.
    pub advert_at: Timestamp,
    /// When the last one was sent, for whatever reason.
    pub advertised_at: Timestamp,
    /// How far the announcements are.
    pub announcing: Announcing,
}

/// See [`State::Releasing`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Releasing {
    /// When priority 0 was sent. What arrived no later is no successor.
    pub released_at: Timestamp,
    /// When the state is left, successor or not.
    pub until: Timestamp,
    /// The state that follows.
    pub then: ReleaseTarget,
    /// The successor, if it has been heard.
    pub successor: Option<Rival>,
}

impl Releasing {
    /// Whether it takes its place back if nobody wants it: it can take part, and
    /// nobody has taken over so far.
    #[must_use]
    pub fn returns(&self) -> bool {
        self.then == ReleaseTarget::Backup && self.successor.is_none()
    }
}

/// What follows [`State::Releasing`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ReleaseTarget {
    /// [`State::Init`]: the daemon stops.
    Init,
    /// [`State::Fault`].
    Fault,
    /// [`State::Backup`]: stepped down with its group, drained, or recovered
    /// meanwhile. Without a successor it may become Active again instead.
    Backup,
}

/// Where the virtual addresses are, as far as we asked for it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Addresses {
    /// Not on the interface.
    Absent,
    /// On the interface.
    Installed,
    /// On the interface until then: another router has taken over, and installs
    /// and announces them only after its advertisement.
    LeavingAt(Timestamp),
}

/// What the kernel program sorts advertisements by.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sorting {
    /// The state; its [`code`](StateKind::code) is what the kernel gets.
    pub state: StateKind,
    /// The effective priority, or 0 while releasing: any other router outranks us.
    pub priority: Priority,
    /// Whether lower priorities do not hold us back.
    pub preempt: bool,
}

impl State {
    /// The state without its deadlines.
    #[must_use]
    pub const fn kind(&self) -> StateKind {
        match self {
            Self::Init => StateKind::Init,
            Self::Backup(_) => StateKind::Backup,
            Self::Active(_) => StateKind::Active,
            Self::Releasing(_) => StateKind::Releasing,
            Self::Fault => StateKind::Fault,
        }
    }

    /// The earliest deadline of the state but that of Active_Down, if it has one.
    #[must_use]
    pub fn upkeep_at(&self) -> Option<Timestamp> {
        match self {
            Self::Init | Self::Fault => None,
            Self::Backup(backup) => match backup.preemption {
                Preemption::Free | Preemption::Barred => None,
                Preemption::BarredUntil(at) => Some(at),
            },
            Self::Active(active) => Some(
                active
                    .announcing
                    .next_at
                    .map_or(active.advert_at, |at| at.min(active.advert_at)),
            ),
            Self::Releasing(releasing) => Some(releasing.until),
        }
    }

    /// When the Active router is held to be dead; Backup only.
    #[must_use]
    pub const fn active_down_at(&self) -> Option<Timestamp> {
        match self {
            Self::Backup(backup) => Some(backup.active_down_at),
            Self::Init | Self::Active(_) | Self::Releasing(_) | Self::Fault => None,
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
    /// See [`State::Releasing`].
    Releasing,
    /// See [`State::Fault`].
    Fault,
}

impl StateKind {
    /// The number that [`abi::Instance::state`] carries. One that is releasing
    /// goes by the rules of Active, with priority 0.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Init => abi::STATE_INIT,
            Self::Backup => abi::STATE_BACKUP,
            Self::Active | Self::Releasing => abi::STATE_ACTIVE,
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
            Self::Releasing => "releasing",
            Self::Fault => "fault",
        }
    }
}

impl fmt::Display for StateKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
