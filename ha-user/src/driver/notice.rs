//! What others want to hear of: transitions, changes of the priority, losing
//! advertisements. The driver only puts it into a channel.

use std::collections::BTreeMap;

use ha_common::{
    fsm::{Sorting, StateKind},
    time::Timestamp,
    types::Priority,
};
use tokio::sync::mpsc;

use crate::engine::InstanceId;

/// Something that happened to one virtual router.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Notice {
    /// The virtual router.
    pub id: InstanceId,
    /// When.
    pub at: Timestamp,
    /// Its effective priority then.
    pub priority: Priority,
    /// What happened.
    pub what: Happening,
}

/// What happened.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Happening {
    /// The state has changed, and all that belongs to it is done.
    Transition {
        /// The state that was left.
        from: StateKind,
        /// The state that was entered.
        to: StateKind,
        /// Why, in words.
        reason: String,
    },
    /// The priority has changed.
    Priority,
    /// We are Active, and another router advertises that it is too, with a lower
    /// priority.
    LowerAdvert,
}

/// The driver's side of the channel. What is sent after the receiver has gone is
/// lost.
#[derive(Debug)]
pub struct Sender {
    channel: mpsc::UnboundedSender<Notice>,
    priorities: BTreeMap<InstanceId, Priority>,
}

/// A channel for notices. It has no bound, as nothing of it may be lost and the
/// driver does not wait; who receives must keep up, not wait for scripts.
#[must_use]
pub fn channel() -> (Sender, mpsc::UnboundedReceiver<Notice>) {
    let (channel, receiver) = mpsc::unbounded_channel();
    let priorities = BTreeMap::new();
    (
        Sender {
            channel,
            priorities,
        },
        receiver,
    )
}

impl Sender {
    pub(super) fn send(&self, notice: Notice) {
        let _ = self.channel.send(notice);
    }

    /// `id` is free: the next to have it is another router.
    pub(super) fn forget(&mut self, id: InstanceId) {
        self.priorities.remove(&id);
    }

    /// A notice of the priority in `sorting`, if it is another than before. A router
    /// that releases is published with priority 0, which is none of its own.
    pub(super) fn of_priority(
        &mut self,
        at: Timestamp,
        id: InstanceId,
        sorting: Sorting,
    ) -> Option<Notice> {
        let priority = sorting.priority;
        if priority == Priority::RELEASE {
            return None;
        }
        let before = self.priorities.insert(id, priority);
        before.filter(|before| *before != priority)?;
        Some(Notice {
            id,
            at,
            priority,
            what: Happening::Priority,
        })
    }
}
