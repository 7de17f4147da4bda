//! The state machine of one virtual router (RFC 9568 §6.4), pure: every handler
//! takes the time it acts at and appends what is to be done to `out`.
//!
//! - [`state`]: the states, each with its own deadlines
//! - [`router`]: the handlers, one per event
//! - [`action`]: what a handler asks for
//! - [`announce`]: when the addresses are announced
//! - [`election`]: whose advertisement counts (shared with the kernel program)
//! - [`timers`]: Skew_Time and Active_Down_Interval

pub mod action;
pub mod announce;
pub mod election;
pub mod router;
pub mod state;
pub mod timers;

pub use action::{Action, Reason};
pub use announce::AnnounceSchedule;
pub use router::{Advert, Parameters, VirtualRouter};
pub use state::{State, StateKind};
