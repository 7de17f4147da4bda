//! A packet socket whose frames come with the kernel's time and direction:
//! the one file of the harness that hands pointers to the kernel.

use std::{
    io, mem,
    os::fd::{AsFd, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd},
    ptr,
};

use anyhow::{Context as _, Result};

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

impl PacketSocket {
    /// Opens it in the calling thread's network namespace.
    pub(super) fn open(ifindex: u32) -> Result<Self> {
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

        // SAFETY: all zeros is a valid address structure.
        let mut address: libc::sockaddr_ll = unsafe { mem::zeroed() };
        address.sll_family = u16::try_from(libc::AF_PACKET).unwrap_or_default();
        address.sll_protocol = ETH_P_ALL.to_be();
        address.sll_ifindex = i32::try_from(ifindex).context("interface index out of range")?;
        let length = socklen::<libc::sockaddr_ll>();
        // SAFETY: pointer and length of a live structure.
        let code = unsafe { libc::bind(fd, (&raw const address).cast(), length) };
        if code < 0 {
            return Err(io::Error::last_os_error()).context("cannot bind a packet socket");
        }
        Ok(socket)
    }

    fn set(&self, option: libc::c_int, value: libc::c_int) -> io::Result<()> {
        let length = socklen::<libc::c_int>();
        let fd = self.0.as_raw_fd();
        // SAFETY: pointer and length of a live integer.
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

/// The arrival time in a message's control data, which `recvmsg` has filled.
fn arrival(message: &libc::msghdr) -> Option<u64> {
    // SAFETY: the header is as recvmsg left it.
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
