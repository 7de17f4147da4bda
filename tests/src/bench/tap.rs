//! Advertisements at a port of the switch, for loads that a
//! [`Capture`](crate::capture::Capture) would itself slow down.
//!
//! The kernel picks the advertisements of one direction (classic BPF), so that what
//! is not looked at costs nobody anything. A [`Tap`] takes its frames in many at a
//! time, 50 times a second, and keeps of each when it passed and of which virtual
//! router it was. A [`Tally`] only has the kernel count: for a hundred thousand a
//! second. Both know IPv4 only.

use std::{
    io, mem,
    net::Ipv4Addr,
    os::fd::{AsFd, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd},
    ptr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use ha_common::time::Timestamp;
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};

use crate::{capture::socket::arrival, clock::WallClock, lab::ifindex, netns::Netns};

/// Whose advertisements.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Way {
    /// Those that come in at the port: sent by the node behind it.
    In,
    /// Those that leave by the port, sent from this address: they have passed the
    /// switch and reach the node behind the port.
    OutFrom(Ipv4Addr),
}

/// An advertisement that has passed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Passed {
    /// When the kernel saw it.
    pub at: Timestamp,
    /// Virtual router identifier.
    pub vrid: u8,
    /// Priority.
    pub priority: u8,
}

/// Octets of a frame that are looked at: Ethernet, IPv4 without options, and the
/// first three of VRRP.
const LOOK: usize = 14 + 20 + 3;
/// Frames for each system call.
const BATCH: usize = 128;
/// Between two looks at the socket. It has room for many times what comes meanwhile.
const EVERY: Duration = Duration::from_millis(20);
/// Room in the socket of a tap, in octets; the kernel doubles it.
const ROOM: libc::c_int = 32 << 20;

/// A socket that sees the chosen advertisements.
#[derive(Debug)]
struct Socket(OwnedFd);

/// Classic BPF: class, size and mode in one number, and what it is about.
const fn instruction(code: u16, if_true: u8, if_false: u8, operand: u32) -> libc::sock_filter {
    libc::sock_filter {
        code,
        jt: if_true,
        jf: if_false,
        k: operand,
    }
}

/// Accepts the first [`LOOK`] octets of IPv4 VRRP frames of `way`.
fn filter(way: Way) -> Vec<libc::sock_filter> {
    const LOAD_WORD: u16 = 0x20;
    const LOAD_HALF: u16 = 0x28;
    const LOAD_OCTET: u16 = 0x30;
    const EQUAL: u16 = 0x15;
    const RETURN: u16 = 0x06;
    /// `SKF_AD_OFF + SKF_AD_PKTTYPE`: the direction, among others.
    const DIRECTION: u32 = 0xffff_f000 + 4;
    const OUTGOING: u32 = libc::PACKET_OUTGOING as u32;

    let mut tests = vec![
        (LOAD_HALF, 12, 0x0800u32),
        (LOAD_OCTET, 23, 112),
        // Version, header length: no options, which no router sends.
        (LOAD_OCTET, 14, 0x45),
    ];
    if let Way::OutFrom(source) = way {
        tests.push((LOAD_OCTET, DIRECTION, OUTGOING));
        tests.push((LOAD_WORD, 26, source.to_bits()));
    }
    let mut program = Vec::new();
    for (place, (load, at, wanted)) in tests.iter().enumerate() {
        // Jumps count from the next line; behind the tests stand yes and no.
        let to_no = u8::try_from(2 * (tests.len() - place - 1) + 1).unwrap_or(u8::MAX);
        program.push(instruction(*load, 0, 0, *at));
        program.push(instruction(EQUAL, 0, to_no, *wanted));
    }
    let look = u32::try_from(LOOK).unwrap_or(u32::MAX);
    program.push(instruction(RETURN, 0, 0, look));
    program.push(instruction(RETURN, 0, 0, 0));
    program
}

impl Socket {
    /// To be opened in a thread of the interface's network namespace.
    fn open(index: u32, way: Way, room: libc::c_int) -> io::Result<Self> {
        let flags = libc::SOCK_RAW | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
        // Protocol 0: nothing is received until bind says from where.
        // SAFETY: no pointers.
        let fd = unsafe { libc::socket(libc::AF_PACKET, flags, 0) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: a descriptor that was just opened and that nobody else has.
        let socket = Self(unsafe { OwnedFd::from_raw_fd(fd) });
        let mut program = filter(way);
        let program = libc::sock_fprog {
            len: u16::try_from(program.len()).map_err(io::Error::other)?,
            filter: program.as_mut_ptr(),
        };
        socket.set(libc::SOL_SOCKET, libc::SO_ATTACH_FILTER, program)?;
        socket.set(libc::SOL_SOCKET, libc::SO_TIMESTAMPNS, 1)?;
        socket.set(libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, room)?;
        if way == Way::In {
            // What leaves is not even looked at.
            socket.set(libc::SOL_PACKET, libc::PACKET_IGNORE_OUTGOING, 1)?;
        }
        // SAFETY: all zeros is a valid address structure.
        let mut address: libc::sockaddr_ll = unsafe { mem::zeroed() };
        address.sll_family = u16::try_from(libc::AF_PACKET).unwrap_or_default();
        address.sll_protocol = u16::try_from(libc::ETH_P_ALL).unwrap_or_default().to_be();
        address.sll_ifindex = i32::try_from(index).map_err(io::Error::other)?;
        let length = socklen::<libc::sockaddr_ll>();
        // SAFETY: pointer and length of a live structure.
        let code = unsafe { libc::bind(fd, (&raw const address).cast(), length) };
        if code < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(socket)
    }

    fn set<T>(&self, level: libc::c_int, option: libc::c_int, value: T) -> io::Result<()> {
        let fd = self.0.as_raw_fd();
        let (pointer, length) = ((&raw const value).cast(), socklen::<T>());
        // SAFETY: pointer and length of a live value, whose type the option asks for.
        let code = unsafe { libc::setsockopt(fd, level, option, pointer, length) };
        if code < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(())
    }

    /// Frames that the filter has taken since the last call, and those of them
    /// that found no room.
    fn statistics(&self) -> io::Result<(u64, u64)> {
        let mut counts = libc::tpacket_stats {
            tp_packets: 0,
            tp_drops: 0,
        };
        let mut length = socklen::<libc::tpacket_stats>();
        // SAFETY: pointer and length of a live structure, which the option asks for.
        let code = unsafe {
            libc::getsockopt(
                self.0.as_raw_fd(),
                libc::SOL_PACKET,
                libc::PACKET_STATISTICS,
                (&raw mut counts).cast(),
                &raw mut length,
            )
        };
        if code < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok((counts.tp_packets.into(), counts.tp_drops.into()))
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

fn socklen<T>() -> libc::socklen_t {
    libc::socklen_t::try_from(mem::size_of::<T>()).unwrap_or_default()
}

fn open(netns: &Netns, interface: &str, way: Way, room: libc::c_int) -> Result<Socket> {
    let index = ifindex(netns, interface)?;
    netns
        .enter(|| Socket::open(index, way, room))?
        .with_context(|| format!("cannot watch {interface} in {}", netns.name()))
}

/// Counts advertisements; it keeps none.
#[derive(Debug)]
pub struct Tally {
    socket: Socket,
    counted: AtomicU64,
}

impl Tally {
    /// Counts from now on what passes `interface` in `netns`.
    ///
    /// # Errors
    /// If the packet socket cannot be opened.
    pub fn start(netns: &Netns, interface: &str, way: Way) -> Result<Self> {
        // No room: the kernel counts a frame that finds none too, and is done with
        // it at that.
        let socket = open(netns, interface, way, 0)?;
        Ok(Self {
            socket,
            counted: AtomicU64::new(0),
        })
    }

    /// How many have passed.
    ///
    /// # Errors
    /// If the kernel does not tell.
    pub fn count(&self) -> Result<u64> {
        let (more, _) = self
            .socket
            .statistics()
            .context("cannot tell how many frames a socket has seen")?;
        Ok(self.counted.fetch_add(more, Ordering::Relaxed) + more)
    }
}

#[derive(Debug, Default)]
struct Kept {
    passed: Vec<Passed>,
    lost: u64,
    failure: Option<io::Error>,
}

/// Advertisements as they pass. It ends with its guard.
#[derive(Debug)]
pub struct Tap {
    kept: Arc<Mutex<Kept>>,
    stop: Arc<OwnedFd>,
    thread: Option<JoinHandle<()>>,
}

impl Tap {
    /// Keeps from now on what passes `interface` in `netns`.
    ///
    /// # Errors
    /// If the packet socket cannot be opened.
    pub fn start(netns: &Netns, interface: &str, way: Way) -> Result<Self> {
        let socket = open(netns, interface, way, ROOM)?;
        let kept = Arc::new(Mutex::new(Kept::default()));
        let stop = Arc::new(eventfd(0, EventfdFlags::CLOEXEC).context("cannot make an eventfd")?);
        let thread = thread::Builder::new().name("tap".to_owned()).spawn({
            let (kept, stop) = (Arc::clone(&kept), Arc::clone(&stop));
            move || {
                if let Err(error) = keep(&socket, &kept, &stop) {
                    lock(&kept).failure = Some(error);
                }
            }
        });
        Ok(Self {
            kept,
            stop,
            thread: Some(thread.context("cannot start a thread")?),
        })
    }

    /// What has passed until now, in order of time.
    ///
    /// # Errors
    /// If a frame was lost: then nobody can say what has passed.
    pub fn end(mut self) -> Result<Vec<Passed>> {
        self.join();
        let mut kept = lock(&self.kept);
        if let Some(error) = kept.failure.take() {
            return Err(error).context("cannot receive from a packet socket");
        }
        ensure!(
            kept.lost == 0,
            "{} advertisements found no room in the socket of a tap",
            kept.lost
        );
        Ok(mem::take(&mut kept.passed))
    }

    /// What has been taken in so far: all that passed 20 ms ago.
    #[must_use]
    pub fn so_far(&self) -> Vec<Passed> {
        lock(&self.kept).passed.clone()
    }

    fn join(&mut self) {
        // An eventfd takes eight octets; it is written once, so it cannot block.
        let _ = rustix::io::write(&*self.stop, &1u64.to_ne_bytes());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        self.join();
    }
}

fn lock(kept: &Mutex<Kept>) -> std::sync::MutexGuard<'_, Kept> {
    kept.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Takes in what has come, every [`EVERY`] and once more at the end: waking for
/// each frame would slow down who sends it.
fn keep(socket: &Socket, kept: &Mutex<Kept>, stop: &OwnedFd) -> io::Result<()> {
    let every = Timespec {
        tv_sec: 0,
        tv_nsec: EVERY.subsec_nanos().into(),
    };
    let mut intake = Intake::new();
    loop {
        let mut fds = [PollFd::from_borrowed_fd(stop.as_fd(), PollFlags::IN)];
        let last = match poll(&mut fds, Some(&every)) {
            Ok(ready) => ready > 0,
            Err(rustix::io::Errno::INTR) => false,
            Err(error) => return Err(error.into()),
        };
        let clock = WallClock::compare();
        loop {
            let batch = intake.receive(socket, clock)?;
            let full = batch.len() == BATCH;
            lock(kept).passed.extend(batch);
            if !full {
                break;
            }
        }
        let (_, lost) = socket.statistics()?;
        lock(kept).lost += lost;
        if last {
            return Ok(());
        }
    }
}

/// Room for one control message with a `timespec`.
#[derive(Clone, Copy)]
#[repr(C, align(8))]
struct Control([u8; 64]);

/// Buffers for a batch.
struct Intake {
    frames: Vec<[u8; LOOK]>,
    controls: Vec<Control>,
}

impl Intake {
    fn new() -> Self {
        Self {
            frames: vec![[0; LOOK]; BATCH],
            controls: vec![Control([0; 64]); BATCH],
        }
    }

    /// As many frames as there are, at most [`BATCH`].
    fn receive(&mut self, socket: &Socket, clock: WallClock) -> io::Result<Vec<Passed>> {
        let mut parts: Vec<libc::iovec> = self
            .frames
            .iter_mut()
            .map(|frame| libc::iovec {
                iov_base: frame.as_mut_ptr().cast(),
                iov_len: LOOK,
            })
            .collect();
        let mut messages: Vec<libc::mmsghdr> = parts
            .iter_mut()
            .zip(&mut self.controls)
            .map(|(part, control)| {
                // SAFETY: all zeros is a valid message header.
                let mut message: libc::mmsghdr = unsafe { mem::zeroed() };
                message.msg_hdr.msg_iov = part;
                message.msg_hdr.msg_iovlen = 1;
                message.msg_hdr.msg_control = (&raw mut *control).cast();
                message.msg_hdr.msg_controllen = mem::size_of::<Control>();
                message
            })
            .collect();
        // SAFETY: so many headers, whose pointers are to live buffers of the stated
        // lengths; no timeout.
        let received = unsafe {
            libc::recvmmsg(
                socket.0.as_raw_fd(),
                messages.as_mut_ptr(),
                libc::c_uint::try_from(BATCH).unwrap_or_default(),
                0,
                ptr::null_mut(),
            )
        };
        let Ok(received) = usize::try_from(received) else {
            let error = io::Error::last_os_error();
            return match error.kind() {
                io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => Ok(Vec::new()),
                _ => Err(error),
            };
        };
        messages[..received]
            .iter()
            .zip(&self.frames)
            .map(|(message, frame)| {
                let wall = arrival(&message.msg_hdr)
                    .ok_or_else(|| io::Error::other("a frame came without its arrival time"))?;
                Ok(Passed {
                    at: clock.to_monotonic(wall),
                    vrid: frame[LOOK - 2],
                    priority: frame[LOOK - 1],
                })
            })
            .collect()
    }
}
