//! Why a virtual router cannot take part.

use core::fmt;

/// Names something that virtual routers depend on: another interface, later the
/// result of a check. Numbers are its owner's to give.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct TrackerId(pub u32);

/// Something because of which a virtual router cannot take part. Several may
/// stand at once.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum FaultCause {
    /// Its interface does not exist.
    Detached,
    /// Its interface is down or has no carrier.
    Interface,
    /// Something that it needs done failed, such as adding an address.
    Action,
    /// Something that it depends on is down.
    Tracker(TrackerId),
    /// Another member of its sync group cannot take part.
    Group,
}

impl FaultCause {
    /// Whether clients can still use the addresses, so that they may stay until
    /// a successor has them.
    #[must_use]
    pub const fn leaves_addresses_usable(self) -> bool {
        match self {
            Self::Detached | Self::Interface | Self::Action => false,
            Self::Tracker(_) | Self::Group => true,
        }
    }
}

impl fmt::Display for FaultCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Detached => f.write_str("the interface does not exist"),
            Self::Interface => f.write_str("the interface cannot be used"),
            Self::Action => f.write_str("an action failed"),
            Self::Tracker(TrackerId(id)) => write!(f, "tracker {id} is down"),
            Self::Group => f.write_str("another instance of the sync group cannot take part"),
        }
    }
}
