//! Adversity: forged, replayed and malformed advertisements at a pair of
//! Harriers and their client. What is not valid may move nobody and has to be
//! counted for what it is; what is valid has to do what the protocol says, and
//! no more.
//!
//! VRRP has no authentication worth the name, so a stranger on the link who
//! sends valid advertisements takes part. What that can do is written down here
//! too ([`forged`], [`replayed`]); the defence is unicast, which XDP then keeps
//! to the listed peers.

#[path = "adversity/forged.rs"]
mod forged;
#[path = "adversity/malformed.rs"]
mod malformed;
#[path = "adversity/replayed.rs"]
mod replayed;
