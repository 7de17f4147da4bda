//! Harrier as a library: what the command `harrier` is made of.
//!
//! The core is pure ([`config`], [`engine`]); the edges are thin. How the parts
//! fit together is in `docs/ARCHITECTURE.md`.

pub mod cli;
pub mod config;
pub mod control;
pub mod daemon;
pub mod driver;
pub mod engine;
pub mod health;
pub mod http;
pub mod kernel;
pub mod net;
pub mod notify;
pub mod runtime_dir;
pub mod script;
pub mod sys;
