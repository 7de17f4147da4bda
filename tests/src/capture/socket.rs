//! A packet socket whose frames come with the kernel's time and direction:
//! the one file of the harness that hands pointers to the kernel.

use std::{
    io, mem,
    os::fd::{AsFd, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd},
    ptr,
};

use anyhow::{Context as _, Result};
use ha_common::types::MacAddress;
use rustix::event::{PollFd, PollFlags, poll};

/// A frame's place in the buffer, and what the kernel says of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Received {
    pub(super) length: usize,
    pub(super) outgoing: bool,
    /// Nanoseconds of `CLOCK_REALTIME`.
    pub(super) wall_nanos: u64,
}

/// A raw, non-blocking packet socket bound to one interface.
#[derive(Debug)]
pub(super) struct PacketSocket(OwnedFd);

/// Room for one control message with a `timespec`.
#[repr(C, align(8))]
struct Control([u8; 64]);

const ETH_P_ALL: u16 = 0x0003;

// Classic BPF: class, size and mode of an instruction in one number.
const BPF_LOAD_WORD: u16 = 0x20;
const BPF_LOAD_HALF: u16 = 0x28;
const BPF_JUMP_IF_EQUAL: u16 = 0x15;
const BPF_RETURN: u16 = 0x06;

const fn instruction(code: u16, if_true: u8, if_false: u8, operand: u32) -> libc::sock_filter {
    libc::sock_filter {
        code,
        jt: if_true,
        jf: if_false,
        k: operand,
    }
}

impl PacketSocket {
    /// One that receives all that passes. To be opened in a thread of the
    /// interface's network namespace.
    pub(super) fn receiver(ifindex: u32) -> Result<Self> {
        Self::open(ifindex, ETH_P_ALL, None)
    }

    /// One that receives only frames with the Ethernet source `sender`.
    pub(super) fn receiver_of(ifindex: u32, sender: MacAddress) -> Result<Self> {
        Self::open(ifindex, ETH_P_ALL, Some(sender))
    }

    /// One that only sends.
    pub(super) fn sender(ifindex: u32) -> Result<Self> {
        Self::open(ifindex, 0, None)
    }

    fn open(ifindex: u32, protocol: u16, only_of: Option<MacAddress>) -> Result<Self> {
        // Protocol 0: nothing is received until bind says from where.
        let flags = libc::SOCK_RAW | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
        // SAFETY: no pointers.
        let fd = unsafe { libc::socket(libc::AF_PACKET, flags, 0) };
        if fd < 0 {
            return Err(io::Error::last_os_error()).context("cannot open a packet socket");
        }
        // SAFETY: a descriptor that was just opened and that nobody else has.
        let socket = Self(unsafe { OwnedFd::from_raw_fd(fd) });
        socket
            .set(libc::SO_TIMESTAMPNS, 1)
            .context("cannot ask for arrival times")?;
        socket
            .set(libc::SO_RCVBUFFORCE, 16 << 20)
            .context("cannot enlarge a socket buffer")?;
        if let Some(sender) = only_of {
            socket
                .filter_source(sender)
                .context("cannot filter by sender")?;
        }

        // SAFETY: all zeros is a valid address structure.
        let mut address: libc::sockaddr_ll = unsafe { mem::zeroed() };
        address.sll_family = u16::try_from(libc::AF_PACKET).unwrap_or_default();
        address.sll_protocol = protocol.to_be();
        address.sll_ifindex = i32::try_from(ifindex).context("interface index out of range")?;
        let length = socklen::<libc::sockaddr_ll>();
        // SAFETY: pointer and length of a live structure.
        let code = unsafe { libc::bind(fd, (&raw const address).cast(), length) };
        if code < 0 {
            return Err(io::Error::last_os_error()).context("cannot bind a packet socket");
        }
        Ok(socket)
    }

    fn set<T>(&self, option: libc::c_int, value: T) -> io::Result<()> {
        let length = socklen::<T>();
        let fd = self.0.as_raw_fd();
        // SAFETY: pointer and length of a live value, whose type the option asks for.
        let code = unsafe {
            libc::setsockopt(
                fd,
                libc::SOL_SOCKET,
                option,
                (&raw const value).cast(),
                length,
            )
        };
        if code < 0 {
            Err(io::Error::last_os_error())
        } else {
            Ok(())
        }
    }

    /// Has the kernel drop what another sends, before it takes room in the buffer.
    fn filter_source(&self, sender: MacAddress) -> io::Result<()> {
        let [a, b, c, d, e, f] = sender.0;
        // Classic BPF: the first four octets of the source, the last two, and
        // everything or nothing of the frame. Jumps count from the next line.
        let mut program = [
            instruction(BPF_LOAD_WORD, 0, 0, 6),
            instruction(BPF_JUMP_IF_EQUAL, 0, 3, u32::from_be_bytes([a, b, c, d])),
            instruction(BPF_LOAD_HALF, 0, 0, 10),
            instruction(BPF_JUMP_IF_EQUAL, 0, 1, u32::from_be_bytes([0, 0, e, f])),
            instruction(BPF_RETURN, 0, 0, u32::MAX),
            instruction(BPF_RETURN, 0, 0, 0),
        ];
        let program = libc::sock_fprog {
            len: u16::try_from(program.len()).map_err(io::Error::other)?,
            filter: program.as_mut_ptr(),
        };
        self.set(libc::SO_ATTACH_FILTER, program)
    }

    /// Hands `frames` to the interface, as many as it takes at once; returns how
    /// many that were. Waits while the socket's own buffer is full.
    pub(super) fn send_many(&self, frames: &[impl AsRef<[u8]>]) -> io::Result<usize> {
        let mut parts: Vec<libc::iovec> = frames
            .iter()
            .map(|frame| libc::iovec {
                // The kernel only reads it.
                iov_base: frame.as_ref().as_ptr().cast_mut().cast(),
                iov_len: frame.as_ref().len(),
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
        let count = libc::c_uint::try_from(messages.len()).map_err(io::Error::other)?;
        loop {
            // SAFETY: so many headers, each with one part that points to a live frame.
            let sent =
                unsafe { libc::sendmmsg(self.0.as_raw_fd(), messages.as_mut_ptr(), count, 0) };
            if let Ok(sent) = usize::try_from(sent) {
                return Ok(sent);
            }
            let error = io::Error::last_os_error();
            match error.kind() {
                io::ErrorKind::WouldBlock => {
                    let mut fds = [PollFd::new(self, PollFlags::OUT)];
                    poll(&mut fds, None)?;
                }
                io::ErrorKind::Interrupted => {}
                _ => return Err(error),
            }
        }
    }

    /// The next frame, or `None` if there is none yet.
    pub(super) fn receive(&self, buffer: &mut [u8]) -> Result<Option<Received>> {
        // SAFETY: all zeros is a valid address structure.
        let mut address: libc::sockaddr_ll = unsafe { mem::zeroed() };
        let mut control = Control([0; 64]);
        let mut part = libc::iovec {
            iov_base: buffer.as_mut_ptr().cast(),
            iov_len: buffer.len(),
        };
        // SAFETY: all zeros is a valid message header.
        let mut message: libc::msghdr = unsafe { mem::zeroed() };
        message.msg_name = (&raw mut address).cast();
        message.msg_namelen = socklen::<libc::sockaddr_ll>();
        message.msg_iov = &raw mut part;
        message.msg_iovlen = 1;
        message.msg_control = (&raw mut control).cast();
        message.msg_controllen = mem::size_of::<Control>();
        // SAFETY: every pointer in the header is to a live value of the stated length.
        let length = unsafe { libc::recvmsg(self.0.as_raw_fd(), &raw mut message, 0) };
        let Ok(length) = usize::try_from(length) else {
            let error = io::Error::last_os_error();
            return match error.kind() {
                io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => Ok(None),
                _ => Err(error).context("cannot receive from a packet socket"),
            };
        };
        let wall_nanos = arrival(&message).context("a frame came without its arrival time")?;
        let outgoing = address.sll_pkttype == libc::PACKET_OUTGOING;
        Ok(Some(Received {
            length,
            outgoing,
            wall_nanos,
        }))
    }
}

impl AsFd for PacketSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// The arrival time in a message's control data, which the kernel has filled:
/// nanoseconds of `CLOCK_REALTIME`.
pub(crate) fn arrival(message: &libc::msghdr) -> Option<u64> {
    // SAFETY: the header is as the kernel left it.
    let first = unsafe { libc::CMSG_FIRSTHDR(message) };
    // SAFETY: null, or a header within the control buffer, which is aligned for it.
    let header = unsafe { first.as_ref() }?;
    // One control message was asked for, so it is the first.
    if header.cmsg_level != libc::SOL_SOCKET || header.cmsg_type != libc::SCM_TIMESTAMPNS {
        return None;
    }
    // SAFETY: a control message header with its data behind it.
    let data = unsafe { libc::CMSG_DATA(first) };
    // SAFETY: a message of this type carries one timespec; it need not be aligned.
    let time: libc::timespec = unsafe { ptr::read_unaligned(data.cast()) };
    let seconds = u64::try_from(time.tv_sec).ok()?;
    let fraction = u64::try_from(time.tv_nsec).ok()?;
    Some(seconds * 1_000_000_000 + fraction)
}

fn socklen<T>() -> libc::socklen_t {
    libc::socklen_t::try_from(mem::size_of::<T>()).unwrap_or_default()
}
