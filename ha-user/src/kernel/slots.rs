//! The maps that are arrays with one slot per virtual router.

use std::sync::{Mutex, MutexGuard, PoisonError};

use aya::maps::{Array, Map, MapData};
use bytemuck::Pod;
use ha_common::abi::{self, ActiveRouter, Refused, Told};

use super::{AbiPod, MapError, mapped::Mapped, maps::failed};

/// `actives`: by slot, the advertisement that holds back Active_Down.
///
/// The map is in our memory: reading a record is no system call.
pub struct Actives(Mapped<ActiveRouter>);

impl Actives {
    pub(super) fn new(map: &Map) -> Result<Self, MapError> {
        Mapped::to_read(map, abi::map::ACTIVES).map(Self)
    }

    /// The record in slot `index` ([`Instance::index`](ha_common::abi::Instance::index)). The kernel may write it
    /// meanwhile, see [`ActiveRouter`].
    ///
    /// # Panics
    /// If there is no such slot.
    #[must_use]
    pub fn read(&self, index: u32) -> ActiveRouter {
        self.0.read(index)
    }
}

/// `refusals`: by slot, the last advertisement that was refused.
pub struct Refusals(Row<Refused>);

impl Refusals {
    pub(super) fn new(map: Map) -> Result<Self, MapError> {
        Row::new(map, abi::map::REFUSALS).map(Self)
    }

    /// The last refused advertisement for the virtual router in slot `index`
    /// ([`Instance::index`](ha_common::abi::Instance::index)), if there was one. Who forges one writes here too.
    ///
    /// # Errors
    /// If there is no such slot or the kernel refuses.
    pub fn read(&self, index: u32) -> Result<Option<Refused>, MapError> {
        let refused = self.0.read(index)?;
        Ok((refused.last_seen_ns != 0).then_some(refused))
    }
}

/// What the kernel keeps per slot: `actives`, `refusals` and `told`, to clear them
/// for an instance that is attached anew. Otherwise what was heard on the old
/// interface would count on the new one.
pub struct Slots {
    actives: Row<ActiveRouter>,
    refusals: Row<Refused>,
    told: Row<Told>,
}

impl Slots {
    pub(super) fn new(actives: Map, refusals: Map, told: Map) -> Result<Self, MapError> {
        Ok(Self {
            actives: Row::new(actives, abi::map::ACTIVES)?,
            refusals: Row::new(refusals, abi::map::REFUSALS)?,
            told: Row::new(told, abi::map::TOLD)?,
        })
    }

    /// Clears slot `index` ([`Instance::index`](ha_common::abi::Instance::index)):
    /// nothing was heard, nothing told.
    ///
    /// To be called while no instance in `instances` uses the slot: before
    /// [`Instances::publish`](super::Instances::publish), after
    /// [`Instances::withdraw`](super::Instances::withdraw). (A frame that the
    /// kernel program is just working on may still be written down. Its interface is
    /// the old one; the next advertisement on the new one replaces it.)
    ///
    /// # Errors
    /// If there is no such slot or the kernel refuses.
    pub fn clear(&self, index: u32) -> Result<(), MapError> {
        self.actives.clear(index)?;
        self.refusals.clear(index)?;
        self.told.clear(index)
    }

    /// When the kernel last told what of the virtual router in slot `index`.
    ///
    /// # Errors
    /// If there is no such slot or the kernel refuses.
    pub fn told(&self, index: u32) -> Result<Told, MapError> {
        self.told.read(index)
    }
}

/// An array of ABI types, one per slot.
struct Row<V: Pod> {
    name: &'static str,
    // For `aya`, a write needs the handle alone, although the kernel does not.
    map: Mutex<Array<MapData, AbiPod<V>>>,
}

impl<V: Pod> Row<V> {
    fn new(map: Map, name: &'static str) -> Result<Self, MapError> {
        let map = Array::try_from(map).map_err(failed("open", name))?;
        Ok(Self {
            name,
            map: Mutex::new(map),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Array<MapData, AbiPod<V>>> {
        // A panic elsewhere cannot leave a handle half-written.
        self.map.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read(&self, index: u32) -> Result<V, MapError> {
        self.lock()
            .get(&index, 0)
            .map(|value| value.0)
            .map_err(failed("read", self.name))
    }

    fn clear(&self, index: u32) -> Result<(), MapError> {
        self.lock()
            .set(index, AbiPod(V::zeroed()), 0)
            .map_err(failed("clear a slot of", self.name))
    }
}
