//! What the state machine asks its driver to do.

use core::{fmt, net::IpAddr, time::Duration};

use super::state::StateKind;
use crate::types::{AddressFamily, Priority, RouterAddress};

/// One thing to do. Actions are to be carried out in the order in which they
/// are given: a takeover's first advertisement goes out before all else.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Action {
    /// Send one advertisement of this priority.
    SendAdvert {
        /// The effective priority, or [`Priority::RELEASE`].
        priority: Priority,
    },
    /// Put the addresses on the interface.
    InstallAddresses,
    /// Tell the link who has the addresses: gratuitous ARP, unsolicited
    /// neighbour advertisements.
    Announce,
    /// Take the addresses off the interface.
    RemoveAddresses,
    /// The state has changed; all that precedes belongs to the change.
    Transition {
        /// The state that was left.
        from: StateKind,
        /// The state that was entered.
        to: StateKind,
        /// Why.
        reason: Reason,
    },
}

/// Why a state was entered, with the evidence.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reason {
    /// The daemon started.
    Startup,
    /// The daemon started and our priority is 255.
    Owner,
    /// No advertisement for `silence`, of which `allowed` were allowed.
    ActiveDown {
        /// Between the last advertisement (or the start) and the decision.
        silence: Duration,
        /// Active_Down_Interval.
        allowed: Duration,
    },
    /// The Active router released (priority 0) and Skew_Time has passed.
    Released,
    /// Another router outranks us.
    Outranked {
        /// Its address.
        by: RouterAddress,
        /// Its priority.
        priority: Priority,
    },
    /// The daemon stops.
    Shutdown,
    /// The interface cannot be used.
    Fault,
    /// The interface can be used again.
    Recovery,
}

impl Reason {
    /// The reason in words; `family` tells how to write addresses.
    #[must_use]
    pub fn describe(self, family: AddressFamily) -> impl fmt::Display {
        Description {
            reason: self,
            family,
        }
    }
}

struct Description {
    reason: Reason,
    family: AddressFamily,
}

impl fmt::Display for Description {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.reason {
            Reason::Startup => f.write_str("started"),
            Reason::Owner => f.write_str("started with priority 255 (address owner)"),
            Reason::ActiveDown { silence, allowed } => write!(
                f,
                "no advertisement for {:.3} ms (Active_Down_Interval {:.3} ms)",
                silence.as_secs_f64() * 1e3,
                allowed.as_secs_f64() * 1e3
            ),
            Reason::Released => f.write_str("the Active router released (priority 0)"),
            Reason::Outranked { by, priority } => {
                let by: IpAddr = by.to_ip(self.family);
                write!(f, "{by} advertises priority {priority}")
            }
            Reason::Shutdown => f.write_str("stopping"),
            Reason::Fault => f.write_str("the interface cannot be used"),
            Reason::Recovery => f.write_str("the interface can be used again"),
        }
    }
}
