//! The state machine of one virtual router (RFC 9568 §6.4), pure: every handler
//! takes the time it acts at and appends what is to be done to `out`.
//!
//! - [`state`]: the states, each with its own deadlines
//! - [`router`]: the handlers, one per event
//! - [`action`]: what a handler asks for
//! - [`announce`]: when the addresses are announced
//! - [`election`]: whose advertisement counts (shared with the kernel program)
//! - [`fault`]: why a virtual router cannot take part
//! - [`timers`]: Skew_Time and Active_Down_Interval

pub mod action;
pub mod announce;
pub mod election;
pub mod fault;
pub mod router;
pub mod state;
pub mod timers;

pub use action::{Action, Reason};
pub use announce::{AnnounceSchedule, Announcing};
pub use fault::{FaultCause, TrackerId};
pub use router::{Advert, Parameters, VirtualRouter};
pub use state::{
    Active, Addresses, Backup, Preemption, ReleaseTarget, Releasing, Rival, Shortened, Sorting,
    State, StateKind,
};
