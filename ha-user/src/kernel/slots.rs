//! The maps that are arrays with one slot per virtual router.

use std::{
    io,
    ptr::{self, NonNull},
    sync::{Mutex, MutexGuard, PoisonError},
};

use aya::maps::{self, Array, Map, MapData};
use bytemuck::Pod;
use ha_common::abi::{self, ActiveRouter, Refused, Told};
use rustix::mm;

use super::{AbiPod, MapError, maps::failed};

/// `actives`: by slot, the advertisement that holds back Active_Down.
///
/// The map is in our memory (`BPF_F_MMAPABLE`, Linux 5.5): reading a record is
/// no system call.
pub struct Actives {
    records: NonNull<ActiveRouter>,
    slots: usize,
    bytes: usize,
}

// SAFETY: the mapping belongs to this value alone and is valid in every thread.
unsafe impl Send for Actives {}

impl Actives {
    pub(super) fn new(map: Map) -> Result<Self, MapError> {
        let failed = |source| failed("map into memory", abi::map::ACTIVES)(source);
        let Map::Array(data) = map else {
            return Err(failed(maps::MapError::InvalidName {
                name: abi::map::ACTIVES.to_owned(),
            }));
        };
        let info = data.info().map_err(failed)?;
        let slots = info.max_entries() as usize;
        // The kernel lays values out in steps of eight octets, and so does the type.
        const { assert!(size_of::<ActiveRouter>().is_multiple_of(8)) };
        let bytes =
            (slots * size_of::<ActiveRouter>()).next_multiple_of(rustix::param::page_size());
        let (protection, flags) = (mm::ProtFlags::READ, mm::MapFlags::SHARED);
        // SAFETY: a new mapping at an address of the kernel's choice disturbs
        // nothing. It holds the map itself, so the descriptor may go.
        let start = unsafe { mm::mmap(ptr::null_mut(), bytes, protection, flags, data.fd(), 0) }
            .map_err(|error| failed(io::Error::from(error).into()))?;
        let records = NonNull::new(start.cast::<ActiveRouter>())
            .ok_or_else(|| failed(io::Error::from(io::ErrorKind::OutOfMemory).into()))?;
        Ok(Self {
            records,
            slots,
            bytes,
        })
    }

    /// The record in slot `index` ([`Instance::index`](ha_common::abi::Instance::index)). The kernel may write it
    /// meanwhile, see [`ActiveRouter`].
    ///
    /// # Panics
    /// If there is no such slot.
    #[must_use]
    pub fn read(&self, index: u32) -> ActiveRouter {
        let index = index as usize;
        assert!(index < self.slots, "the map `actives` has no slot {index}");
        // SAFETY: the mapping holds `slots` records, of which this is one.
        let record = unsafe { self.records.add(index) };
        // SAFETY: it stays mapped as long as `self`, is aligned to its page and to
        // the record's size, and every bit pattern is a record.
        unsafe { record.read_volatile() }
    }
}

impl Drop for Actives {
    fn drop(&mut self) {
        // SAFETY: nobody else knows of the mapping, and no reference into it is
        // ever given out.
        let unmapped = unsafe { mm::munmap(self.records.as_ptr().cast(), self.bytes) };
        debug_assert!(unmapped.is_ok(), "{unmapped:?}");
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
