//! An array of ABI types that the kernel shares with our memory
//! (`BPF_F_MMAPABLE`, Linux 5.5): reading or writing a slot is no system call.

use std::{
    io,
    ptr::{self, NonNull},
    sync::atomic::{Ordering, fence},
};

use aya::maps::{self, Map};
use bytemuck::Pod;
use rustix::mm;

use super::{MapError, maps::failed};

/// What slots are read and written in.
type Word = u64;

/// See the [module](self).
pub(super) struct Mapped<T> {
    name: &'static str,
    start: NonNull<T>,
    slots: u32,
    bytes: usize,
}

// SAFETY: the mapping belongs to this value alone and is valid in every thread.
unsafe impl<T: Send> Send for Mapped<T> {}

// SAFETY: a shared reference reads slots by value only; writing asks for `&mut`.
unsafe impl<T: Sync> Sync for Mapped<T> {}

impl<T: Pod> Mapped<T> {
    /// To be read: the kernel program writes it.
    pub(super) fn to_read(map: &Map, name: &'static str) -> Result<Self, MapError> {
        Self::new(map, name, mm::ProtFlags::READ)
    }

    /// To be written, by us alone.
    pub(super) fn to_write(map: &Map, name: &'static str) -> Result<Self, MapError> {
        Self::new(map, name, mm::ProtFlags::READ | mm::ProtFlags::WRITE)
    }

    fn new(map: &Map, name: &'static str, protection: mm::ProtFlags) -> Result<Self, MapError> {
        // The kernel lays values out in steps of eight octets, and so does the type.
        const { assert!(size_of::<T>().is_multiple_of(size_of::<Word>())) };
        const { assert!(align_of::<T>() <= align_of::<Word>()) };
        let failed = |source| failed("map into memory", name)(source);
        let Map::Array(data) = map else {
            return Err(failed(maps::MapError::InvalidName {
                name: name.to_owned(),
            }));
        };
        let info = data.info().map_err(failed)?;
        let (size, expected) = (info.value_size() as usize, size_of::<T>());
        if size != expected {
            return Err(failed(maps::MapError::InvalidValueSize { size, expected }));
        }
        let slots = info.max_entries();
        let bytes = (slots as usize * expected).next_multiple_of(rustix::param::page_size());
        let flags = mm::MapFlags::SHARED;
        // SAFETY: a new mapping at an address of the kernel's choice disturbs
        // nothing. It holds the map itself, so the descriptor may go.
        let start = unsafe { mm::mmap(ptr::null_mut(), bytes, protection, flags, data.fd(), 0) }
            .map_err(|error| failed(io::Error::from(error).into()))?;
        let start = NonNull::new(start.cast::<T>())
            .ok_or_else(|| failed(io::Error::from(io::ErrorKind::OutOfMemory).into()))?;
        Ok(Self {
            name,
            start,
            slots,
            bytes,
        })
    }

    /// Name of the map.
    pub(super) fn name(&self) -> &'static str {
        self.name
    }

    /// Number of slots.
    pub(super) fn slots(&self) -> u32 {
        self.slots
    }

    /// The value in slot `index`. Somebody else may write it meanwhile.
    ///
    /// # Panics
    /// If there is no such slot.
    #[inline]
    pub(super) fn read(&self, index: u32) -> T {
        // SAFETY: the slot stays mapped as long as `self`, is aligned to its page and
        // to the value's size, and every bit pattern is a value.
        unsafe { self.slot(index).read_volatile() }
    }

    /// Writes slot `index`, word by word and in their order: a reader may see some
    /// words of the old value and some of the new one, but no mixed word.
    ///
    /// What is written before this call is seen before it, and what is read
    /// after it is read after all have seen it.
    ///
    /// # Panics
    /// If there is no such slot.
    pub(super) fn write(&mut self, index: u32, value: &T) {
        let slot = self.slot(index).cast::<Word>();
        fence(Ordering::Release);
        for (place, word) in bytemuck::bytes_of(value)
            .chunks_exact(size_of::<Word>())
            .enumerate()
        {
            let mut octets = [0; size_of::<Word>()];
            octets.copy_from_slice(word);
            // SAFETY: the slot has as many words as the value.
            let to = unsafe { slot.add(place) };
            // SAFETY: it stays mapped as long as `self`, is aligned to its page and
            // to the value's size, and nobody else writes it.
            unsafe { to.write_volatile(Word::from_ne_bytes(octets)) };
        }
        fence(Ordering::SeqCst);
    }

    fn slot(&self, index: u32) -> NonNull<T> {
        assert!(
            index < self.slots,
            "the map `{}` has no slot {index}",
            self.name
        );
        // SAFETY: the mapping holds `slots` values, of which this is one.
        unsafe { self.start.add(index as usize) }
    }
}

impl<T> Drop for Mapped<T> {
    fn drop(&mut self) {
        // SAFETY: nobody else knows of the mapping, and no reference into it is
        // ever given out.
        let unmapped = unsafe { mm::munmap(self.start.as_ptr().cast(), self.bytes) };
        debug_assert!(unmapped.is_ok(), "{unmapped:?}");
    }
}
