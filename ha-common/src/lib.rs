//! What Harrier's kernel program, daemon, simulator and fuzzers share.
//!
//! Nothing here knows a clock, a socket or an allocator: every function takes
//! the time it acts at and returns what is to be done. Terms are those of
//! [RFC 9568](https://www.rfc-editor.org/rfc/rfc9568).
//!
//! - [`types`]: the small vocabulary (virtual router identifier, priority, …)
//! - [`time`]: points in time and spans, in nanoseconds of `CLOCK_MONOTONIC`
//! - [`wire`]: the frame parser with its ordered ladder of checks, and the builders
//! - [`fsm`]: the state machine of one virtual router
//! - [`abi`]: the maps that kernel and daemon share
#![cfg_attr(not(test), no_std)]
#![deny(unsafe_code)]

pub mod abi;
pub mod fsm;
pub mod time;
pub mod types;
pub mod wire;
