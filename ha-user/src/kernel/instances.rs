//! `instances`: what the kernel is told of each virtual router, and `buckets`, by
//! which it finds one.
//!
//! Both are in our memory, so telling it costs no system call: a thousand
//! instances that change their state at once take microseconds.

use std::sync::{Mutex, MutexGuard, PoisonError};

use aya::maps::{self, Map};
use bytemuck::Zeroable as _;
use ha_common::abi::{self, Bucket, Instance, InstanceKey, InstanceRow};

use super::{MapError, mapped::Mapped, maps::failed};

/// See the [module](self).
pub struct Instances(Mutex<Tables>);

struct Tables {
    rows: Mapped<InstanceRow>,
    buckets: Mapped<Bucket>,
    consume: bool,
    dump: bool,
}

impl Instances {
    pub(super) fn new(rows: &Map, buckets: &Map) -> Result<Self, MapError> {
        Ok(Self(Mutex::new(Tables {
            rows: Mapped::to_write(rows, abi::map::INSTANCES)?,
            buckets: Mapped::to_write(buckets, abi::map::BUCKETS)?,
            consume: false,
            dump: false,
        })))
    }

    fn lock(&self) -> MutexGuard<'_, Tables> {
        // A panic elsewhere cannot leave a chain without an end.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells the kernel of a virtual router, or of its new state. What is read from
    /// a map afterwards is read after the kernel sorts by the new state.
    ///
    /// # Errors
    /// If there is no slot [`Instance::index`], or too many virtual routers are in
    /// one bucket ([`abi::LONGEST_CHAIN`]).
    pub fn publish(&self, key: &InstanceKey, instance: &Instance) -> Result<(), MapError> {
        self.lock().publish(key, instance)
    }

    /// Makes the kernel forget a virtual router; fine if it does not know it.
    ///
    /// # Errors
    /// None today.
    pub fn withdraw(&self, key: &InstanceKey) -> Result<(), MapError> {
        self.lock().withdraw(key);
        Ok(())
    }

    /// Whether the kernel program keeps advertisements from the host's stack once they
    /// are recorded: those of all virtual routers that are Backup or Active, now and
    /// later.
    pub fn set_consume(&self, consume: bool) {
        let mut tables = self.lock();
        tables.consume = consume;
        tables.mark();
    }

    /// Whether the kernel program puts every advertisement for one of our virtual
    /// routers, refused or not, into the ring `dump`.
    pub fn set_dump(&self, dump: bool) {
        let mut tables = self.lock();
        tables.dump = dump;
        tables.mark();
    }

    /// What the kernel is told of a virtual router, if it is.
    #[must_use]
    pub fn read(&self, key: &InstanceKey) -> Option<Instance> {
        let tables = self.lock();
        let (_, row) = tables.chain(key).find(|(_, row)| row.key == *key)?;
        Some(row.instance)
    }
}

impl Tables {
    /// The slots and rows of the bucket that `key` is in.
    fn chain(&self, key: &InstanceKey) -> impl Iterator<Item = (u32, InstanceRow)> {
        let row = |next: u32| next.checked_sub(1).map(|slot| (slot, self.rows.read(slot)));
        let first = row(self.buckets.read(key.bucket()).first);
        std::iter::successors(first, move |(_, at)| row(at.next)).take(abi::LONGEST_CHAIN)
    }

    fn publish(&mut self, key: &InstanceKey, instance: &Instance) -> Result<(), MapError> {
        let slot = instance.index;
        let failed = |source| failed("write", self.rows.name())(source);
        let full = |max_entries| maps::MapError::OutOfBounds {
            index: slot,
            max_entries,
        };
        if slot >= self.rows.slots() {
            return Err(failed(full(self.rows.slots())));
        }
        let row = self.rows.read(slot);
        if row.key == *key {
            let row = InstanceRow {
                instance: *instance,
                ..row
            };
            self.rows.write(slot, &row);
            return Ok(());
        }
        if self.chain(key).count() >= abi::LONGEST_CHAIN {
            return Err(failed(full(self.rows.slots())));
        }
        // Under another key or in another slot it is no longer.
        self.withdraw(&row.key);
        self.withdraw(key);
        let bucket = self.buckets.read(key.bucket());
        let row = InstanceRow {
            key: *key,
            next: bucket.first,
            consume: u8::from(self.consume),
            dump: u8::from(self.dump),
            reserved: [0; 2],
            instance: *instance,
        };
        // The row first: who finds it finds all of it.
        self.rows.write(slot, &row);
        let bucket = Bucket {
            first: slot + 1,
            ..bucket
        };
        self.buckets.write(key.bucket(), &bucket);
        Ok(())
    }

    /// Writes what is the same for all virtual routers into the row of each.
    fn mark(&mut self) {
        let (consume, dump) = (u8::from(self.consume), u8::from(self.dump));
        for slot in 0..self.rows.slots() {
            let row = self.rows.read(slot);
            if row.key != InstanceKey::zeroed() && (row.consume, row.dump) != (consume, dump) {
                let row = InstanceRow {
                    consume,
                    dump,
                    ..row
                };
                self.rows.write(slot, &row);
            }
        }
    }

    fn withdraw(&mut self, key: &InstanceKey) {
        let mut before = None;
        let mut found = None;
        for (slot, row) in self.chain(key) {
            if row.key == *key {
                found = Some((slot, row));
                break;
            }
            before = Some((slot, row));
        }
        let Some((slot, row)) = found else { return };
        match before {
            Some((slot, before)) => {
                let next = row.next;
                self.rows.write(slot, &InstanceRow { next, ..before });
            }
            None => {
                let first = row.next;
                let bucket = self.buckets.read(key.bucket());
                self.buckets
                    .write(key.bucket(), &Bucket { first, ..bucket });
            }
        }
        // It still leads on to those behind it: the kernel program may just be here.
        let left = InstanceRow {
            next: row.next,
            ..InstanceRow::zeroed()
        };
        self.rows.write(slot, &left);
    }
}
