//! Frames as the kernel saw them pass an interface, with its times.

pub(crate) mod socket;

use std::{
    fs::File,
    io::{BufWriter, Write as _},
    os::fd::AsFd as _,
    path::Path,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use ha_common::{time::Timestamp, types::MacAddress};
use rustix::{
    event::{EventfdFlags, PollFd, PollFlags, eventfd, poll},
    fd::OwnedFd,
};

use self::socket::PacketSocket;
use crate::{
    clock::WallClock,
    decode::{Advert, Packet, decode},
    lab::ifindex,
    netns::Netns,
};

/// A captured frame.
#[derive(Clone, Debug)]
pub struct Frame {
    /// When the kernel saw it.
    pub at: Timestamp,
    /// Whether it left by the interface (or else came in).
    pub outgoing: bool,
    /// What it says.
    pub packet: Packet,
    wall_nanos: u64,
    bytes: Vec<u8>,
}

impl Frame {
    /// The frame itself.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The advertisement, if it is one.
    #[must_use]
    pub fn advert(&self) -> Option<&Advert> {
        self.packet.advert()
    }
}

#[derive(Debug, Default)]
struct Shared {
    frames: Mutex<Vec<Frame>>,
    more: Condvar,
}

impl Shared {
    fn frames(&self) -> MutexGuard<'_, Vec<Frame>> {
        self.frames.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A running capture of advertisements, ARP, neighbour advertisements and UDP.
/// It ends with its guard.
#[derive(Debug)]
pub struct Capture {
    shared: Arc<Shared>,
    stop: Arc<OwnedFd>,
    thread: Option<JoinHandle<()>>,
    title: String,
}

impl Capture {
    /// Captures at `interface` in `netns`. What passes after the return is seen.
    ///
    /// # Errors
    /// If the packet socket cannot be opened.
    pub fn start(netns: &Netns, interface: &str) -> Result<Self> {
        let index = ifindex(netns, interface)?;
        let socket = netns.enter(|| PacketSocket::receiver(index))??;
        Self::of_socket(netns, interface, socket)
    }

    /// Captures only what has the Ethernet source `sender`: the kernel drops the
    /// rest, so that a flood of others neither takes memory nor hides it.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn start_of(netns: &Netns, interface: &str, sender: MacAddress) -> Result<Self> {
        let index = ifindex(netns, interface)?;
        let socket = netns.enter(|| PacketSocket::receiver_of(index, sender))??;
        Self::of_socket(netns, interface, socket)
    }

    fn of_socket(netns: &Netns, interface: &str, socket: PacketSocket) -> Result<Self> {
        let shared = Arc::new(Shared::default());
        let stop = Arc::new(eventfd(0, EventfdFlags::CLOEXEC).context("cannot make an eventfd")?);
        let thread = std::thread::Builder::new()
            .name("capture".into())
            .spawn({
                let (shared, stop) = (Arc::clone(&shared), Arc::clone(&stop));
                move || {
                    if let Err(error) = receive(&socket, &shared, &stop) {
                        eprintln!("capture: {error:#}");
                    }
                }
            })
            .context("cannot start a capture thread")?;
        let title = format!("{interface} in {}", netns.name());
        Ok(Self {
            shared,
            stop,
            thread: Some(thread),
            title,
        })
    }

    /// What was captured so far.
    #[must_use]
    pub fn frames(&self) -> Vec<Frame> {
        self.shared.frames().clone()
    }

    /// What `look` makes of what was captured so far. Nothing is captured meanwhile: a look
    /// should be short.
    pub fn read<T>(&self, look: impl FnOnce(&[Frame]) -> T) -> T {
        look(&self.shared.frames())
    }

    /// How many frames were captured so far: a mark for
    /// [`await_frame`](Self::await_frame).
    #[must_use]
    pub fn mark(&self) -> usize {
        self.shared.frames().len()
    }

    /// The first frame from the mark `from` on for which `wanted` holds, waiting for it
    /// at most `timeout`. `what` is what the message of a failure says was awaited.
    ///
    /// # Errors
    /// If none comes in time.
    pub fn await_frame(
        &self,
        what: &str,
        from: usize,
        timeout: Duration,
        mut wanted: impl FnMut(&Frame) -> bool,
    ) -> Result<Frame> {
        let give_up_at = Instant::now() + timeout;
        let mut next = from;
        let mut frames = self.shared.frames();
        loop {
            if let Some(frame) = frames
                .get(next..)
                .unwrap_or_default()
                .iter()
                .find(|frame| wanted(frame))
            {
                return Ok(frame.clone());
            }
            next = frames.len();
            let left = give_up_at.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let tail: Vec<_> = frames
                    .iter()
                    .filter(|frame| !matches!(frame.packet, Packet::Udp { .. }))
                    .rev()
                    .take(12)
                    .map(|frame| format!("  {} {:?}", frame.at.as_nanos() / 1000, frame.packet))
                    .collect();
                bail!(
                    "{what}: not seen at {} within {timeout:?}; the latest frames there \
                     (latest first, µs):\n{}",
                    self.title,
                    tail.join("\n")
                );
            }
            frames = self
                .shared
                .more
                .wait_timeout(frames, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    /// Waits for the advertisement for which `wanted` holds.
    ///
    /// # Errors
    /// If none comes in time.
    pub fn await_advert(
        &self,
        what: &str,
        from: usize,
        timeout: Duration,
        mut wanted: impl FnMut(&Advert) -> bool,
    ) -> Result<Frame> {
        self.await_frame(what, from, timeout, |frame| {
            frame.advert().is_some_and(&mut wanted)
        })
    }

    /// Waits for `count` advertisements for which `wanted` holds.
    ///
    /// # Errors
    /// If fewer come in time.
    pub fn await_adverts(
        &self,
        what: &str,
        from: usize,
        count: usize,
        timeout: Duration,
        mut wanted: impl FnMut(&Advert) -> bool,
    ) -> Result<Frame> {
        let mut seen = 0;
        self.await_advert(what, from, timeout, |advert| {
            seen += usize::from(wanted(advert));
            seen == count
        })
    }

    /// Writes what was captured as a pcap file with nanosecond times.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn write_pcap(&self, path: &Path) -> Result<()> {
        let write = || -> std::io::Result<()> {
            let mut file = BufWriter::new(File::create(path)?);
            file.write_all(&0xa1b2_3c4d_u32.to_ne_bytes())?;
            file.write_all(&2u16.to_ne_bytes())?;
            file.write_all(&4u16.to_ne_bytes())?;
            file.write_all(&[0; 8])?;
            file.write_all(&0x0004_0000_u32.to_ne_bytes())?;
            file.write_all(&1u32.to_ne_bytes())?; // Ethernet
            for frame in self.shared.frames().iter() {
                let length = u32::try_from(frame.bytes.len()).unwrap_or(u32::MAX);
                let seconds = u32::try_from(frame.wall_nanos / 1_000_000_000).unwrap_or(u32::MAX);
                let fraction = u32::try_from(frame.wall_nanos % 1_000_000_000).unwrap_or(0);
                for word in [seconds, fraction, length, length] {
                    file.write_all(&word.to_ne_bytes())?;
                }
                file.write_all(&frame.bytes)?;
            }
            file.flush()
        };
        write().with_context(|| format!("cannot write {}", path.display()))
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        // An eventfd takes eight octets; it is written once, so it cannot block.
        let _ = rustix::io::write(&*self.stop, &1u64.to_ne_bytes());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Frames per system call of [`Injector::send_all`] and [`Injector::flood`].
pub const BATCH: usize = 64;

/// What [`Injector::flood`] did.
#[derive(Clone, Copy, Default, Debug)]
pub struct Flood {
    /// Frames that the interface took.
    pub sent: u64,
    /// Frames that it did not take.
    pub refused: u64,
    /// How long it took.
    pub lasted: Duration,
}

impl Flood {
    /// Frames per second.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "for people")]
    pub fn rate(&self) -> f64 {
        self.sent as f64 / self.lasted.as_secs_f64()
    }
}

/// Sends frames out of an interface as they are.
#[derive(Debug)]
pub struct Injector {
    socket: PacketSocket,
}

impl Injector {
    /// An injector at `interface` in `netns`.
    ///
    /// # Errors
    /// If the packet socket cannot be opened.
    pub fn open(netns: &Netns, interface: &str) -> Result<Self> {
        let index = ifindex(netns, interface)?;
        let socket = netns.enter(|| PacketSocket::sender(index))??;
        Ok(Self { socket })
    }

    /// Sends `frame`.
    ///
    /// # Errors
    /// If the interface refuses it.
    pub fn send(&self, frame: &[u8]) -> Result<()> {
        let sent = rustix::net::send(&self.socket, frame, rustix::net::SendFlags::empty())
            .context("cannot send a frame")?;
        anyhow::ensure!(sent == frame.len(), "sent {sent} of {} octets", frame.len());
        Ok(())
    }

    /// Sends all of `frames`, [`BATCH`] at a system call, and one again that the
    /// interface had no room for.
    ///
    /// # Errors
    /// If the interface refuses one for another reason.
    pub fn send_all(&self, frames: &[impl AsRef<[u8]>]) -> Result<()> {
        for batch in frames.chunks(BATCH) {
            let mut rest = batch;
            while !rest.is_empty() {
                match self.socket.send_many(rest) {
                    Ok(sent) => rest = &rest[sent..],
                    Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => {
                        std::thread::yield_now();
                    }
                    Err(error) => return Err(error).context("cannot send frames"),
                }
            }
        }
        Ok(())
    }

    /// Sends `frames` over and over, as fast as the machine can, until `span` is
    /// over.
    ///
    /// # Errors
    /// If frames cannot be sent at all; that single ones are refused is counted.
    pub fn flood(&self, frames: &[impl AsRef<[u8]>], span: Duration) -> Result<Flood> {
        let begun = Instant::now();
        let mut flood = Flood::default();
        for batch in frames.chunks(BATCH).cycle() {
            match self.socket.send_many(batch) {
                Ok(sent) => flood.sent += sent as u64,
                // A full queue on the way: this one is lost, the next may pass.
                Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => flood.refused += 1,
                Err(error) => return Err(error).context("cannot flood"),
            }
            flood.lasted = begun.elapsed();
            if flood.lasted >= span {
                break;
            }
        }
        Ok(flood)
    }
}

/// Sends one `frame` out of `interface` in `netns` as it is.
///
/// # Errors
/// As [`Injector`].
pub fn inject(netns: &Netns, interface: &str, frame: &[u8]) -> Result<()> {
    Injector::open(netns, interface)?.send(frame)
}

fn receive(socket: &PacketSocket, shared: &Shared, stop: &OwnedFd) -> Result<()> {
    let mut buffer = vec![0; 65536];
    loop {
        let mut fds = [
            PollFd::from_borrowed_fd(socket.as_fd(), PollFlags::IN),
            PollFd::from_borrowed_fd(stop.as_fd(), PollFlags::IN),
        ];
        match poll(&mut fds, None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error).context("cannot poll"),
        }
        if !fds[1].revents().is_empty() {
            return Ok(());
        }
        let wall_clock = WallClock::compare();
        while let Some(received) = socket.receive(&mut buffer)? {
            let bytes = &buffer[..received.length];
            if let Some(packet) = decode(bytes) {
                shared.frames().push(Frame {
                    at: wall_clock.to_monotonic(received.wall_nanos),
                    outgoing: received.outgoing,
                    packet,
                    wall_nanos: received.wall_nanos,
                    bytes: bytes.to_vec(),
                });
                shared.more.notify_all();
            }
        }
    }
}
