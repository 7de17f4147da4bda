//! How other threads talk to the driver: a bounded channel and an eventfd that
//! wakes it.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::{Arc, mpsc},
};

use rustix::event::{EventfdFlags, eventfd};
use tokio::sync::oneshot;

use crate::{engine::Snapshot, net::link::LinkChange};

/// Commands that may wait for the driver at once.
const CAPACITY: usize = 64;

/// One command.
#[derive(Debug)]
pub enum Command {
    /// What every virtual router is doing, in the order of the configuration.
    Snapshot(oneshot::Sender<Vec<Snapshot>>),
    /// A link went down or came back.
    Link(LinkChange),
    /// Leave every state cleanly and end.
    Shutdown,
}

/// The driver is gone, or so busy that its channel is full.
#[derive(Debug, thiserror::Error)]
#[error("the driver does not take commands")]
pub struct Unreachable;

/// The sending side.
#[derive(Clone, Debug)]
pub struct Handle {
    commands: mpsc::SyncSender<Command>,
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
    let (sender, receiver) = mpsc::sync_channel(CAPACITY);
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
        self.commands.try_send(command).map_err(|_| Unreachable)?;
        // Only a counter at its maximum could refuse, and then the driver wakes anyway.
        let _ = rustix::io::write(&self.wake, &1_u64.to_ne_bytes());
        Ok(())
    }

    /// What every virtual router is doing, in the order of the configuration.
    ///
    /// # Errors
    /// [`Unreachable`].
    pub async fn snapshot(&self) -> Result<Vec<Snapshot>, Unreachable> {
        let (reply, answer) = oneshot::channel();
        self.send(Command::Snapshot(reply))?;
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
