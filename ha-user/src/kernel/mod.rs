//! The kernel program and its maps, as the daemon holds them.
//!
//! - [`loader`]: loads the program, attaches it, pins it
//! - [`maps`]: one type per map, with the operations that the daemon needs
//! - [`events`]: the ring of what cannot wait
//! - [`error`]: what can go wrong, with the remedy
//!
//! Layouts and names are those of [`ha_common::abi`]; nothing here decides
//! anything.

pub mod error;
pub mod events;
pub mod loader;
mod log;
pub mod maps;

pub use error::{LoadError, MapError};
pub use events::EventRing;
pub use loader::{Loader, Program, Sizes};
pub use maps::{Actives, Claims, CounterMap, Instances, Maps, Peers, UnicastPeers, Vips};

/// An ABI type as `aya` wants it: `aya::Pod` and `bytemuck::Pod` ask for the
/// same, but neither crate knows of the other.
#[derive(Clone, Copy)]
#[repr(transparent)]
struct AbiPod<T>(T);

// SAFETY: `bytemuck::Pod` is the stronger promise (no padding, every bit pattern
// valid), and the wrapper is transparent.
unsafe impl<T: bytemuck::Pod> aya::Pod for AbiPod<T> {}
