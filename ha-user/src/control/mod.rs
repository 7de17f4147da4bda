//! The control socket: what the daemon tells to whoever asks.
//!
//! - [`protocol`]: requests and replies, one line of JSON each
//! - [`server`]: the daemon's side, on its tokio runtime
//! - [`client`]: the command line's side, blocking

pub mod client;
pub mod protocol;
pub mod server;
