//! Whose advertisement counts: the comparison that kernel and daemon share.

use crate::types::{Priority, RouterAddress};

/// Our side of the comparison.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Contender {
    /// Our effective priority.
    pub priority: Priority,
    /// Our primary address on the interface.
    pub address: RouterAddress,
    /// Whether a router of lower priority is to be preempted. The owner
    /// (255) always preempts (RFC 9568 §6.1, Preempt_Mode).
    pub preempt: bool,
}

/// Which rules compare: those of the Backup or of the Active state.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Role {
    /// RFC 9568 §6.4.2.
    Backup,
    /// RFC 9568 §6.4.3.
    Active,
}

/// What an advertisement means to us.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Standing {
    /// Priority 0: its sender stops taking part.
    Release,
    /// It holds back our Active_Down timer (Backup), or outranks us (Active).
    Wins,
    /// It is to be discarded.
    Loses,
}

/// Compares an advertisement of `priority` from `source` with us.
#[inline(always)]
#[must_use]
pub fn standing(
    role: Role,
    own: &Contender,
    priority: Priority,
    source: RouterAddress,
) -> Standing {
    if priority == Priority::RELEASE {
        return Standing::Release;
    }
    let wins = match role {
        // §6.4.2: preempt off, or at least our priority.
        Role::Backup => {
            priority >= own.priority || !(own.preempt || own.priority == Priority::OWNER)
        }
        // §6.4.3: greater priority, or the same from a greater address.
        Role::Active => {
            priority > own.priority || (priority == own.priority && source > own.address)
        }
    };
    if wins {
        Standing::Wins
    } else {
        Standing::Loses
    }
}
