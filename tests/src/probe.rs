//! A client that asks a virtual address every millisecond, and the responders
//! on the nodes that answer with their number.
//!
//! Request and answer are UDP: a sequence number (4 octets), and in the answer
//! the node's number behind it. An answer comes from the node's own address;
//! that the request reached the node at all shows that it had the virtual one.
//! The client's neighbour cache is left alone: it follows the announcements, or
//! it does not, which is what is measured.

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    os::fd::{AsFd as _, OwnedFd},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use ha_common::time::Timestamp;
use rustix::{
    event::{EventfdFlags, PollFd, PollFlags, eventfd, poll},
    time::{
        Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
        timerfd_settime,
    },
};

use crate::{clock, lab::Host};

/// UDP port of the responders.
pub const PORT: u16 = 7777;

/// Span between two requests.
pub const PERIOD: Duration = Duration::from_millis(1);

/// A thread that ends with its guard.
#[derive(Debug)]
struct Worker {
    stop: Arc<OwnedFd>,
    thread: Option<JoinHandle<()>>,
}

impl Worker {
    fn start(
        name: &str,
        work: impl FnOnce(&OwnedFd) -> Result<()> + Send + 'static,
    ) -> Result<Self> {
        let stop = Arc::new(eventfd(0, EventfdFlags::CLOEXEC).context("cannot make an eventfd")?);
        let thread = thread::Builder::new()
            .name(name.to_owned())
            .spawn({
                let (stop, name) = (Arc::clone(&stop), name.to_owned());
                move || {
                    if let Err(error) = work(&stop) {
                        eprintln!("{name}: {error:#}");
                    }
                }
            })
            .context("cannot start a thread")?;
        Ok(Self {
            stop,
            thread: Some(thread),
        })
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // An eventfd takes eight octets; it is written once, so it cannot block.
        let _ = rustix::io::write(&*self.stop, &1u64.to_ne_bytes());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Answers requests on one node, to whichever of its addresses they come.
#[derive(Debug)]
pub struct Responder {
    stopped: Arc<Stopped>,
    _worker: Worker,
}

/// Whether a responder is as good as stopped by SIGSTOP, and what tells it.
#[derive(Debug)]
struct Stopped {
    flag: AtomicBool,
    changed: OwnedFd,
}

impl Responder {
    /// Starts answering on `host`.
    ///
    /// # Errors
    /// If the port cannot be bound.
    pub fn start(host: &Host) -> Result<Self> {
        // Takes IPv4 too (net.ipv6.bindv6only is 0).
        let socket = host
            .netns
            .enter(|| UdpSocket::bind((Ipv6Addr::UNSPECIFIED, PORT)))?
            .with_context(|| format!("cannot bind port {PORT} on {}", host.name))?;
        socket
            .set_nonblocking(true)
            .context("cannot make a socket non-blocking")?;
        make_room(&socket)?;
        let number = host.number;
        let stopped = Arc::new(Stopped {
            flag: AtomicBool::new(false),
            changed: eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)
                .context("cannot make an eventfd")?,
        });
        let worker = Worker::start("responder", {
            let stopped = Arc::clone(&stopped);
            move |stop| {
                let mut request = [0; 64];
                loop {
                    let is_stopped = stopped.flag.load(Ordering::SeqCst);
                    let watched = if is_stopped {
                        stop.as_fd()
                    } else {
                        socket.as_fd()
                    };
                    let [_, changed, ended] =
                        wait(&[watched, stopped.changed.as_fd(), stop.as_fd()])?;
                    if ended {
                        return Ok(());
                    }
                    if changed {
                        // It only wakes; the flag says what is so.
                        let _ = rustix::io::read(&stopped.changed, &mut [0u8; 8]);
                        continue;
                    }
                    while let Ok((_, client)) = socket.recv_from(&mut request) {
                        let [a, b, c, d, ..] = request;
                        // No route back is no reason to stop answering others.
                        let _ = socket.send_to(&[a, b, c, d, number], client);
                    }
                }
            }
        })?;
        Ok(Self {
            stopped,
            _worker: worker,
        })
    }

    /// Stops answering, or goes on, as SIGSTOP and SIGCONT do: requests wait in
    /// the socket meanwhile, as many as it holds.
    ///
    /// # Errors
    /// If the thread cannot be woken.
    pub fn set_stopped(&self, stopped: bool) -> Result<()> {
        self.stopped.flag.store(stopped, Ordering::SeqCst);
        rustix::io::write(&self.stopped.changed, &1u64.to_ne_bytes())
            .map(drop)
            .context("cannot wake a responder")
    }
}

/// An answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Answer {
    /// Which request it answers.
    pub sequence: u32,
    /// When the client had it.
    pub at: Timestamp,
    /// The node that answered.
    pub node: u8,
}

/// The answer in the payload of a datagram from a responder: sequence number
/// and node.
#[must_use]
pub fn parse_answer(payload: &[u8]) -> Option<(u32, u8)> {
    match *payload {
        [a, b, c, d, node] => Some((u32::from_be_bytes([a, b, c, d]), node)),
        _ => None,
    }
}

#[derive(Debug, Default)]
struct Shared {
    answers: Mutex<Vec<Answer>>,
    more: Condvar,
}

impl Shared {
    fn answers(&self) -> MutexGuard<'_, Vec<Answer>> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The running client.
#[derive(Debug)]
pub struct Probe {
    shared: Arc<Shared>,
    target: IpAddr,
    _worker: Worker,
}

impl Probe {
    /// Starts asking `target` from `client`, once per [`PERIOD`].
    ///
    /// # Errors
    /// If socket or timer cannot be made.
    pub fn start(client: &Host, target: IpAddr) -> Result<Self> {
        Self::every(PERIOD, client, target)
    }

    /// As [`start`](Self::start), once per `period` (less than a second): where only
    /// who answers is asked, and not to the millisecond.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn every(period: Duration, client: &Host, target: IpAddr) -> Result<Self> {
        let local: IpAddr = match target {
            IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        let socket = client
            .netns
            .enter(|| UdpSocket::bind((local, 0)))?
            .context("cannot bind the client's socket")?;
        socket
            .set_nonblocking(true)
            .context("cannot make a socket non-blocking")?;
        make_room(&socket)?;
        let period = Timespec {
            tv_sec: 0,
            tv_nsec: i64::from(period.subsec_nanos()),
        };
        let timer = timerfd_create(
            TimerfdClockId::Monotonic,
            TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK,
        )
        .context("cannot make a timer")?;
        timerfd_settime(
            &timer,
            TimerfdTimerFlags::empty(),
            &Itimerspec {
                it_interval: period,
                it_value: period,
            },
        )
        .context("cannot set a timer")?;

        let shared = Arc::new(Shared::default());
        let worker = Worker::start("probe", {
            let shared = Arc::clone(&shared);
            move |stop| ask(&socket, &timer, (target, PORT).into(), &shared, stop)
        })?;
        Ok(Self {
            shared,
            target,
            _worker: worker,
        })
    }

    /// The answers so far.
    #[must_use]
    pub fn answers(&self) -> Vec<Answer> {
        self.shared.answers().clone()
    }

    /// How many answers came so far: a mark for [`await_answers`](Self::await_answers).
    #[must_use]
    pub fn mark(&self) -> usize {
        self.shared.answers().len()
    }

    /// Waits until `host` has answered `count` times from the mark `from` on;
    /// returns the first of these answers.
    ///
    /// # Errors
    /// If it takes longer than `timeout`.
    pub fn await_answers(
        &self,
        host: &Host,
        from: usize,
        count: usize,
        timeout: Duration,
    ) -> Result<Answer> {
        let give_up_at = Instant::now() + timeout;
        let mut answers = self.shared.answers();
        loop {
            let mut of_host = answers
                .get(from..)
                .unwrap_or_default()
                .iter()
                .filter(|answer| answer.node == host.number);
            if let Some(first) = of_host.next()
                && of_host.count() + 1 >= count
            {
                return Ok(*first);
            }
            let left = give_up_at.saturating_duration_since(Instant::now());
            if left.is_zero() {
                bail!(
                    "{} did not answer {count} times at {} within {timeout:?}; the latest answers: {:?}",
                    host.name,
                    self.target,
                    answers.iter().rev().take(3).collect::<Vec<_>>()
                );
            }
            answers = self
                .shared
                .more
                .wait_timeout(answers, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    /// How many requests from the mark `from` on were not answered, up to the last one
    /// that was.
    #[must_use]
    pub fn lost(&self, from: usize) -> u64 {
        let answers = self.answers();
        let answered: BTreeSet<u32> = answers
            .get(from..)
            .unwrap_or_default()
            .iter()
            .map(|answer| answer.sequence)
            .collect();
        match (answered.first(), answered.last()) {
            (Some(first), Some(last)) => u64::from(last - first) + 1 - answered.len() as u64,
            _ => 0,
        }
    }

    /// What the client saw of the address moving to `to`: the last answer of
    /// any other node before, and the first of `to` after it. `None` if there
    /// is no such pair.
    #[must_use]
    pub fn outage(&self, to: &Host) -> Option<(Answer, Answer)> {
        let answers = self.answers();
        let last = answers
            .iter()
            .rposition(|answer| answer.node != to.number)?;
        let first = answers[last..]
            .iter()
            .find(|answer| answer.node == to.number)?;
        Some((answers[last], *first))
    }
}

/// Room for what comes while a loaded machine does not let the thread run: what is
/// lost is to be the routers' doing.
fn make_room(socket: &UdpSocket) -> Result<()> {
    rustix::net::sockopt::set_socket_recv_buffer_size_force(socket, 4 << 20)
        .context("cannot enlarge a socket's buffer")
}

fn ask(
    socket: &UdpSocket,
    timer: &OwnedFd,
    target: SocketAddr,
    shared: &Shared,
    stop: &OwnedFd,
) -> Result<()> {
    let mut sequence = 0u32;
    let mut answer = [0; 64];
    loop {
        let [answered, due, stopped] = wait(&[socket.as_fd(), timer.as_fd(), stop.as_fd()])?;
        if stopped {
            return Ok(());
        }
        if answered {
            while let Ok((length, _)) = socket.recv_from(&mut answer) {
                if let Some((sequence, node)) = parse_answer(&answer[..length]) {
                    shared.answers().push(Answer {
                        sequence,
                        at: clock::now(),
                        node,
                    });
                }
            }
            shared.more.notify_all();
        }
        if due {
            // How often it has expired does not matter: one request per wake-up.
            let _ = rustix::io::read(timer, &mut [0u8; 8]);
            sequence += 1;
            // Nobody has the address yet, or no route: the next one may do better.
            let _ = socket.send_to(&sequence.to_be_bytes(), target);
        }
    }
}

/// Waits until one of `fds` can be read; says which can.
fn wait<const N: usize>(fds: &[rustix::fd::BorrowedFd<'_>; N]) -> Result<[bool; N]> {
    let mut polled = fds.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN));
    match poll(&mut polled, None) {
        Ok(_) | Err(rustix::io::Errno::INTR) => {}
        Err(error) => return Err(error).context("cannot poll"),
    }
    Ok(polled.map(|fd| !fd.revents().is_empty()))
}
