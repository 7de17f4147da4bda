//! How other threads talk to the driver: a channel and an eventfd that wakes it.
//!
//! The channel has no bound: a change of the host that is lost would leave the
//! driver with a wrong picture for good. What is sent is bounded where it comes
//! from: changes go in batches, and the control socket has few clients.

use std::{
    io,
    net::IpAddr,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::{Arc, mpsc},
};

use rustix::event::{EventfdFlags, eventfd};
use tokio::sync::oneshot;

use ha_common::fsm::TrackerId;

use super::{
    attachment::Attachment,
    conflict::Conflict,
    history::{Heard, Past},
    reload::Reload,
};
use crate::engine::{Contribution, InstanceId, Reading, Snapshot};

/// One command.
pub enum Command {
    /// What some virtual routers are doing, in the order of their ids.
    Report {
        /// The first that is of interest.
        from: InstanceId,
        /// How many of them: the driver does nothing else meanwhile.
        at_most: usize,
        /// Who asks.
        reply: oneshot::Sender<Vec<Report>>,
    },
    /// The link with this index went down or came back.
    Link {
        /// Kernel index of the interface.
        index: u32,
        /// Administratively up, and with a carrier.
        up: bool,
    },
    /// Instances have got an interface, or another one than before.
    Attach(Vec<(InstanceId, Attachment)>),
    /// Instances have lost their interface. The answer says that the driver does
    /// not use it any more.
    Detach(Vec<InstanceId>, oneshot::Sender<()>),
    /// Something that priorities depend on has turned.
    Tracker(TrackerId, Reading),
    /// Another configuration. The answer says that it is in effect; there is none
    /// from a driver that is stopping.
    Reload(Box<Reload>, oneshot::Sender<()>),
    /// Another router is to have the addresses of an instance and its sync group,
    /// or may leave them to us again. The answer names those whom it concerns.
    Drain {
        /// The instance.
        id: InstanceId,
        /// `false` ends it.
        drained: bool,
        /// Dropped by a driver that is stopping.
        reply: oneshot::Sender<Vec<InstanceId>>,
    },
    /// Addresses are gone from interfaces.
    AddressesGone(Vec<Gone>),
    /// An interface of our own with this index is down.
    OwnLinkDown(u32),
    /// Leave every state cleanly, hand over, and end.
    Shutdown,
    /// End without waiting for a successor.
    StopNow,
}

/// An address that is gone from an interface.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Gone {
    /// Kernel index of the interface.
    pub index: u32,
    /// The address.
    pub address: IpAddr,
    /// Who removed it, if that can be told.
    pub by: Option<String>,
}

/// What one virtual router is doing, and what is wrong around it.
#[derive(Clone, Debug)]
pub struct Report {
    /// Which it is.
    pub id: InstanceId,
    /// Its name.
    pub name: String,
    /// Its last transitions, the newest last.
    pub history: Vec<Past>,
    /// The last advertisement that held it back or outranked it.
    pub heard: Option<Heard>,
    /// The state machine's view.
    pub snapshot: Snapshot,
    /// Why it cannot take part, in words; empty if it can.
    pub faults: Vec<String>,
    /// What is wrong between it and others.
    pub conflicts: Vec<Conflict>,
    /// What each of its trackers does for it.
    pub trackers: Vec<TrackerReport>,
}

/// What a tracker does for an instance.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TrackerReport {
    /// What is tracked, as in `check nginx`.
    pub name: String,
    /// Whether it is a health check, which passes or fails.
    pub is_check: bool,
    /// What is known of it, and what it adds.
    pub contribution: Contribution,
    /// Whether it is why the instance is in fault.
    pub fault: bool,
}

/// Virtual routers that are reported on in one turn of the driver: a fraction of a
/// millisecond's work, so that whoever asks delays no advertisement.
const REPORTED_AT_ONCE: usize = 32;

/// The driver is gone.
#[derive(Debug, thiserror::Error)]
#[error("the driver does not take commands")]
pub struct Unreachable;

/// The sending side.
#[derive(Clone, Debug)]
pub struct Handle {
    commands: mpsc::Sender<Command>,
    wake: Arc<OwnedFd>,
}

/// The driver's side.
#[derive(Debug)]
pub struct Receiver {
    commands: mpsc::Receiver<Command>,
    wake: Arc<OwnedFd>,
}

/// A channel to a driver.
///
/// # Errors
/// If the kernel gives no eventfd.
pub fn channel() -> io::Result<(Handle, Receiver)> {
    let wake = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
    let (sender, receiver) = mpsc::channel();
    Ok((
        Handle {
            commands: sender,
            wake: Arc::clone(&wake),
        },
        Receiver {
            commands: receiver,
            wake,
        },
    ))
}

impl Handle {
    /// Hands `command` to the driver.
    ///
    /// # Errors
    /// [`Unreachable`].
    pub fn send(&self, command: Command) -> Result<(), Unreachable> {
        self.commands.send(command).map_err(|_| Unreachable)?;
        // Only a counter at its maximum could refuse, and then the driver wakes anyway.
        let _ = rustix::io::write(&self.wake, &1_u64.to_ne_bytes());
        Ok(())
    }

    /// What every virtual router is doing, in the order of their ids; those that are
    /// leaving are among them.
    ///
    /// # Errors
    /// [`Unreachable`].
    pub async fn report(&self) -> Result<Vec<Report>, Unreachable> {
        let mut reports: Vec<Report> = Vec::new();
        let mut from = Some(InstanceId(0));
        while let Some(next) = from {
            let (reply, answer) = oneshot::channel();
            self.send(Command::Report {
                from: next,
                at_most: REPORTED_AT_ONCE,
                reply,
            })?;
            let some = answer.await.map_err(|_| Unreachable)?;
            from = some
                .last()
                .and_then(|last| last.id.0.checked_add(1))
                .map(InstanceId);
            reports.extend(some);
        }
        Ok(reports)
    }
}

impl Handle {
    /// Has another router take over from `id` and its sync group, or ends that;
    /// returns those whom it concerns.
    ///
    /// # Errors
    /// [`Unreachable`], also while the driver stops.
    pub async fn drain(
        &self,
        id: InstanceId,
        drained: bool,
    ) -> Result<Vec<InstanceId>, Unreachable> {
        let (reply, answer) = oneshot::channel();
        self.send(Command::Drain { id, drained, reply })?;
        answer.await.map_err(|_| Unreachable)
    }
}

impl Receiver {
    /// Readable when there are commands. Watch it edge-triggered: it is never read.
    pub fn as_fd(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }

    /// The next command, if there is one.
    pub fn next(&self) -> Option<Command> {
        self.commands.try_recv().ok()
    }
}
