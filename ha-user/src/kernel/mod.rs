//! The kernel program and its maps, as the daemon holds them.
//!
//! - [`loader`]: loads the program, pins it, attaches it to interfaces that come and go
//! - [`instances`]: what the kernel program is told of each virtual router
//! - [`maps`]: one type per map, with the operations that the daemon needs
//! - [`slots`]: the same for those that are arrays, a slot per virtual router
//! - [`events`]: the rings of what cannot wait and of what people look at
//! - [`error`]: what can go wrong, with the remedy
//!
//! Layouts and names are those of [`ha_common::abi`]; nothing here decides
//! anything.

pub mod error;
pub mod events;
pub mod instances;
pub mod loader;
mod log;
mod mapped;
pub mod maps;
pub mod slots;

pub use error::{LoadError, MapError};
pub use events::{DumpRing, EventRing};
pub use instances::Instances;
pub use loader::{Loader, Program, Sizes};
pub use maps::{Claims, CounterMap, Maps, Peers, UnicastPeers, Vips};
pub use slots::{Actives, Refusals, Slots};

/// An ABI type as `aya` wants it: `aya::Pod` and `bytemuck::Pod` ask for the
/// same, but neither crate knows of the other.
#[derive(Clone, Copy)]
#[repr(transparent)]
struct AbiPod<T>(T);

// SAFETY: `bytemuck::Pod` is the stronger promise (no padding, every bit pattern
// valid), and the wrapper is transparent.
unsafe impl<T: bytemuck::Pod> aya::Pod for AbiPod<T> {}
