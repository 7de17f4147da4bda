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
pub mod kernel;
pub mod net;
pub mod runtime_dir;
pub mod sys;
