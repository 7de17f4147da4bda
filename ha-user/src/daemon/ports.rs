//! What `harrier status` shows of the instances' interfaces.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use crate::engine::InstanceId;

/// What `harrier status` shows of the interfaces.
#[derive(Debug, Default)]
pub(super) struct Ports(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// By instance: its interface, and how the kernel program is attached there.
    attached: BTreeMap<InstanceId, (u32, &'static str)>,
    /// By instance: why it is not attached.
    problems: BTreeMap<InstanceId, String>,
}

impl Ports {
    fn with<T>(&self, look: impl FnOnce(&mut Inner) -> T) -> T {
        // What a panic may have left is complete: every change is one insertion.
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Index of the instance's interface and how the program is attached to it.
    pub(super) fn attached(&self, id: InstanceId) -> Option<(u32, &'static str)> {
        self.with(|ports| ports.attached.get(&id).copied())
    }

    /// Why the instance has no interface.
    pub(super) fn problem(&self, id: InstanceId) -> Option<String> {
        self.with(|ports| ports.problems.get(&id).cloned())
    }

    /// The instance has the interface with this index.
    pub(super) fn set_attached(&self, id: InstanceId, index: u32, mode: &'static str) {
        self.with(|ports| ports.attached.insert(id, (index, mode)));
    }

    /// The instance has no interface any more.
    pub(super) fn set_detached(&self, id: InstanceId) {
        self.with(|ports| ports.attached.remove(&id));
    }

    /// Returns what the problem was before.
    pub(super) fn set_problem(&self, id: InstanceId, problem: Option<String>) -> Option<String> {
        self.with(|ports| match problem {
            Some(problem) => ports.problems.insert(id, problem),
            None => ports.problems.remove(&id),
        })
    }
}
