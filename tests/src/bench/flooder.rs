//! Sends the same frames over and over, as fast as one CPU can, from a thread of
//! its own until it is stopped or its time is over.
//!
//! The thread looks at the time itself: who is flooded may take the machine with it
//! (a router of real-time priority that logs every frame does), and then nobody else
//! gets to stop the flood.
//!
//! `sendmmsg(2)` on a packet socket that bypasses the queueing discipline; the
//! headers are made once. [`Injector`](crate::capture::Injector) does the same for
//! the suites, on the caller's thread and at less speed.

use std::{
    io, mem,
    os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};

use super::hog::pin_this_thread;
use crate::{capture::Flood, lab::ifindex, netns::Netns};

/// Frames for each system call.
const BATCH: usize = 64;

/// A running flood.
#[derive(Debug)]
pub struct Flooder {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<io::Result<Flood>>>,
}

impl Flooder {
    /// Floods `interface` in `netns` with `frames`, in their order, from `cpu`, for
    /// `limit` at most.
    ///
    /// # Errors
    /// If the packet socket or the thread cannot be had.
    pub fn start(
        netns: &Netns,
        interface: &str,
        cpu: usize,
        frames: Vec<Vec<u8>>,
        limit: Duration,
    ) -> Result<Self> {
        ensure!(!frames.is_empty(), "there is nothing to flood with");
        let index = ifindex(netns, interface)?;
        let socket = netns
            .enter(|| sender(index))?
            .context("cannot open a packet socket")?;
        let stop = Arc::new(AtomicBool::new(false));
        let thread = thread::Builder::new().name("flooder".to_owned()).spawn({
            let stop = Arc::clone(&stop);
            move || {
                pin_this_thread(cpu).map_err(io::Error::other)?;
                flood(&socket, &frames, &stop, limit)
            }
        });
        Ok(Self {
            stop,
            thread: Some(thread.context("cannot start a thread")?),
        })
    }

    /// Ends it and tells what it did.
    ///
    /// # Errors
    /// If it could not send.
    pub fn stop(mut self) -> Result<Flood> {
        self.end()
            .context("the flood was stopped twice")?
            .context("cannot flood")
    }

    /// Whether it still sends.
    #[must_use]
    pub fn goes_on(&self) -> bool {
        self.thread
            .as_ref()
            .is_some_and(|thread| !thread.is_finished())
    }

    fn end(&mut self) -> Option<io::Result<Flood>> {
        self.stop.store(true, Ordering::Relaxed);
        let flood = self.thread.take()?.join();
        Some(flood.unwrap_or_else(|_| Err(io::Error::other("the flooder has panicked"))))
    }
}

impl Drop for Flooder {
    fn drop(&mut self) {
        if let Some(Err(error)) = self.end() {
            eprintln!("flooder: {error}");
        }
    }
}

/// A packet socket that only sends.
fn sender(ifindex: u32) -> io::Result<OwnedFd> {
    // SAFETY: no pointers.
    let fd = unsafe { libc::socket(libc::AF_PACKET, libc::SOCK_RAW | libc::SOCK_CLOEXEC, 0) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: a descriptor that was just opened and that nobody else has.
    let socket = unsafe { OwnedFd::from_raw_fd(fd) };
    let yes: libc::c_int = 1;
    // SAFETY: pointer and length of a live value.
    let code = unsafe {
        libc::setsockopt(
            fd,
            libc::SOL_PACKET,
            libc::PACKET_QDISC_BYPASS,
            (&raw const yes).cast(),
            socklen::<libc::c_int>(),
        )
    };
    if code < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: all zeros is a valid address structure.
    let mut address: libc::sockaddr_ll = unsafe { mem::zeroed() };
    address.sll_family = u16::try_from(libc::AF_PACKET).unwrap_or_default();
    address.sll_ifindex = i32::try_from(ifindex).map_err(io::Error::other)?;
    // SAFETY: pointer and length of a live structure.
    let code = unsafe {
        libc::bind(
            fd,
            (&raw const address).cast(),
            socklen::<libc::sockaddr_ll>(),
        )
    };
    if code < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(socket)
}

fn socklen<T>() -> libc::socklen_t {
    libc::socklen_t::try_from(mem::size_of::<T>()).unwrap_or_default()
}

fn flood(
    socket: &OwnedFd,
    frames: &[Vec<u8>],
    stop: &AtomicBool,
    limit: Duration,
) -> io::Result<Flood> {
    // A system call carries a whole batch, however few frames there are.
    let count = frames.len().max(BATCH).next_multiple_of(BATCH);
    let mut parts: Vec<libc::iovec> = frames
        .iter()
        .cycle()
        .take(count)
        .map(|frame| libc::iovec {
            // The kernel only reads it.
            iov_base: frame.as_ptr().cast_mut().cast(),
            iov_len: frame.len(),
        })
        .collect();
    let mut messages: Vec<libc::mmsghdr> = parts
        .iter_mut()
        .map(|part| {
            // SAFETY: all zeros is a valid message header.
            let mut message: libc::mmsghdr = unsafe { mem::zeroed() };
            message.msg_hdr.msg_iov = part;
            message.msg_hdr.msg_iovlen = 1;
            message
        })
        .collect();

    let begun = Instant::now();
    let mut done = Flood::default();
    'flooding: loop {
        for batch in messages.chunks_mut(BATCH) {
            if stop.load(Ordering::Relaxed) || begun.elapsed() >= limit {
                break 'flooding;
            }
            let length = libc::c_uint::try_from(batch.len()).map_err(io::Error::other)?;
            // SAFETY: so many headers, each with one part that points to a frame
            // that outlives the call.
            let sent = unsafe { libc::sendmmsg(socket.as_raw_fd(), batch.as_mut_ptr(), length, 0) };
            if let Ok(sent) = u64::try_from(sent) {
                done.sent += sent;
                continue;
            }
            let error = io::Error::last_os_error();
            match error.raw_os_error() {
                // A full queue on the way: this one is lost, the next may pass.
                Some(libc::ENOBUFS) => done.refused += 1,
                Some(libc::EINTR) => {}
                _ => return Err(error),
            }
        }
    }
    done.lasted = begun.elapsed();
    Ok(done)
}
