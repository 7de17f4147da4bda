//! Waiting for the next deadline or event: one timerfd, one epoll instance.
//!
//! Everything is watched edge-triggered, so that waking up costs no read: the
//! timer is set anew for the next deadline, the event ring and the command
//! channel are drained in memory.

use std::{
    hint, io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use ha_common::time::Timestamp;
use rustix::{
    event::epoll,
    time::{
        Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
        timerfd_settime,
    },
};

use crate::sys;

/// See the [module](self).
#[derive(Debug)]
pub struct Waiter {
    epoll: OwnedFd,
    timer: OwnedFd,
    armed: Option<Timestamp>,
    again: bool,
}

impl Waiter {
    /// Waits for a deadline and for any of `sources`.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn new(sources: &[BorrowedFd<'_>]) -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let timer = timerfd_create(
            TimerfdClockId::Monotonic,
            TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK,
        )?;
        let flags = epoll::EventFlags::IN | epoll::EventFlags::ET;
        // Which of them it was does not matter: a turn looks at all of them.
        for source in sources.iter().copied().chain([timer.as_fd()]) {
            epoll::add(&epoll, source, epoll::EventData::new_u64(0), flags)?;
        }
        Ok(Self {
            epoll,
            timer,
            armed: None,
            again: false,
        })
    }

    fn arm(&mut self, deadline: Option<Timestamp>) -> io::Result<()> {
        if deadline == self.armed {
            return Ok(());
        }
        // All zero disarms; a deadline at the origin of the clock is in the past.
        let nanos = deadline.map_or(0, |at| at.as_nanos().max(1));
        let value = Timespec {
            tv_sec: i64::try_from(nanos / 1_000_000_000).unwrap_or(i64::MAX),
            tv_nsec: i64::try_from(nanos % 1_000_000_000).unwrap_or(0),
        };
        let once = Itimerspec {
            it_interval: Timespec {
                tv_sec: 0,
                tv_nsec: 0,
            },
            it_value: value,
        };
        timerfd_settime(&self.timer, TimerfdTimerFlags::ABSTIME, &once)?;
        self.armed = deadline;
        Ok(())
    }

    /// Makes the next [`wait`](Self::wait) return at once.
    pub fn again(&mut self) {
        self.again = true;
    }

    /// Waits for `deadline` awake, and for nothing else.
    pub fn watch(&mut self, deadline: Timestamp) {
        if std::mem::take(&mut self.again) {
            return;
        }
        while sys::now() < deadline {
            hint::spin_loop();
        }
    }

    /// Waits for `deadline` or a source. May return early.
    ///
    /// # Errors
    /// What the kernel says; a signal is no error.
    pub fn wait(&mut self, deadline: Option<Timestamp>) -> io::Result<()> {
        if std::mem::take(&mut self.again) {
            return Ok(());
        }
        self.arm(deadline)?;
        let mut events = [epoll::Event {
            flags: epoll::EventFlags::empty(),
            data: epoll::EventData::new_u64(0),
        }; 4];
        match epoll::wait(&self.epoll, &mut events, None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}
