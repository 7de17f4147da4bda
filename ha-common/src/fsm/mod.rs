//! The state machine of one virtual router (RFC 9568 §6.4), pure.
pub mod election;
pub mod timers;
