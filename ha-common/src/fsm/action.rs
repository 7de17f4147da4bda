//! What the state machine asks its driver to do.

use core::{fmt, net::IpAddr, time::Duration};

use super::{
    fault::FaultCause,
    state::{Sorting, StateKind},
};
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
    /// Put the addresses on the interface; those that are there already stay. Before
    /// they are announced, but when an Active router that has fallen silent is replaced.
    InstallAddresses,
    /// Tell the link who has the addresses: gratuitous ARP, unsolicited
    /// neighbour advertisements.
    Announce,
    /// Take the addresses off the interface.
    RemoveAddresses,
    /// Tell the kernel program what to sort by. It comes before the transition that it
    /// belongs to and before the announcement, which others may answer; and without a
    /// transition if the state stays.
    UpdateKernel(Sorting),
    /// Nothing to do: we were Active and have not advertised for so long that the
    /// others must have given us up. The advertisement and the announcement that
    /// were asked for just before take the place back.
    Resumed {
        /// Since the last advertisement.
        silence: Duration,
    },
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
    /// We own the addresses (priority 255) and have just come up.
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
    /// The router that held us back fell below our priority and Skew_Time has
    /// passed.
    Weakened {
        /// Its address.
        by: RouterAddress,
        /// The priority that it fell to.
        priority: Priority,
    },
    /// Another router outranks us.
    Outranked {
        /// Its address.
        by: RouterAddress,
        /// Its priority.
        priority: Priority,
    },
    /// Another member of our sync group was outranked.
    SteppedDown,
    /// Somebody wants another router to have the addresses.
    Drained,
    /// A successor has the addresses.
    HandedOver {
        /// Its address.
        to: RouterAddress,
        /// Its priority.
        priority: Priority,
    },
    /// Nobody has taken the addresses over.
    NoSuccessor {
        /// For how long we waited for one.
        waited: Duration,
    },
    /// The daemon stops.
    Shutdown,
    /// We cannot take part.
    Fault {
        /// What happened last.
        cause: FaultCause,
    },
    /// We can take part again.
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
            Reason::Owner => f.write_str("came up with priority 255 (address owner)"),
            Reason::ActiveDown { silence, allowed } => write!(
                f,
                "no advertisement for {:.3} ms (Active_Down_Interval {:.3} ms)",
                silence.as_secs_f64() * 1e3,
                allowed.as_secs_f64() * 1e3
            ),
            Reason::Released => f.write_str("the Active router released (priority 0)"),
            Reason::Weakened { by, priority } => {
                let by: IpAddr = by.to_ip(self.family);
                write!(f, "the Active router {by} fell to priority {priority}")
            }
            Reason::Outranked { by, priority } => {
                let by: IpAddr = by.to_ip(self.family);
                write!(f, "{by} advertises priority {priority}")
            }
            Reason::SteppedDown => f.write_str("another instance of the sync group was outranked"),
            Reason::Drained => f.write_str("drained by `harrier failover`"),
            Reason::HandedOver { to, priority } => {
                let to: IpAddr = to.to_ip(self.family);
                write!(f, "{to} has taken over with priority {priority}")
            }
            Reason::NoSuccessor { waited } => write!(
                f,
                "nobody has taken over within {:.3} ms",
                waited.as_secs_f64() * 1e3
            ),
            Reason::Shutdown => f.write_str("stopping"),
            Reason::Fault { cause } => cause.fmt(f),
            Reason::Recovery => f.write_str("can take part again"),
        }
    }
}
