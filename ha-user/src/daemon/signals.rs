//! What signals ask of the daemon.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// What a signal asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Asked {
    /// SIGTERM, SIGINT: stop.
    Stop,
    /// SIGHUP: read the configuration anew.
    Reload,
    /// SIGUSR1: write down configuration, state and peers.
    Data,
    /// SIGUSR2: write down the statistics.
    Statistics,
}

/// The signals that the daemon catches.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
    user_1: Signal,
    user_2: Signal,
}

impl Signals {
    /// Catches them from now on.
    ///
    /// # Errors
    /// What the kernel says.
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
            user_1: signal(SignalKind::user_defined1())?,
            user_2: signal(SignalKind::user_defined2())?,
        })
    }

    /// Waits for the next.
    pub(super) async fn next(&mut self) -> Asked {
        tokio::select! {
            _ = self.terminate.recv() => Asked::Stop,
            _ = self.interrupt.recv() => Asked::Stop,
            _ = self.hangup.recv() => Asked::Reload,
            _ = self.user_1.recv() => Asked::Data,
            _ = self.user_2.recv() => Asked::Statistics,
        }
    }
}
