//! The system calls that no crate here wraps.

use std::{
    io,
    os::fd::{AsRawFd, FromRawFd, OwnedFd},
};

use ha_common::time::Timestamp;
use tokio::io::{Interest, unix::AsyncFd};

/// Now, by `CLOCK_MONOTONIC`: the clock of `bpf_ktime_get_ns`.
#[must_use]
pub fn now() -> Timestamp {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    // The clock starts at boot and its nanoseconds stay below 10^9.
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let nanos = u64::try_from(time.tv_nsec).unwrap_or(0);
    Timestamp::from_nanos(seconds * 1_000_000_000 + nanos)
}

/// Puts the calling thread under SCHED_FIFO at `priority` (1 to 99).
///
/// # Errors
/// EPERM without CAP_SYS_NICE and a sufficient RLIMIT_RTPRIO.
pub fn schedule_fifo(priority: i32) -> io::Result<()> {
    let parameters = libc::sched_param {
        sched_priority: priority,
    };
    // SAFETY: 0 means the calling thread, and `parameters` lives through the call.
    let result = unsafe {
        libc::sched_setscheduler(
            0,
            libc::SCHED_FIFO | libc::SCHED_RESET_ON_FORK,
            &raw const parameters,
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Keeps every page that the process has touched or will touch in memory, so
/// that a takeover never waits for a disk.
///
/// # Errors
/// EPERM or ENOMEM without CAP_IPC_LOCK and a sufficient RLIMIT_MEMLOCK.
pub fn lock_memory() -> io::Result<()> {
    // SAFETY: mlockall changes no memory; it only pins pages.
    let result =
        unsafe { libc::mlockall(libc::MCL_CURRENT | libc::MCL_FUTURE | libc::MCL_ONFAULT) };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Gives memory back to the kernel that was freed: what was needed once, at the start
/// for example. Of no effect on what is locked already.
pub fn trim_heap() {
    #[cfg(target_env = "gnu")]
    // SAFETY: malloc_trim only touches memory that nobody has allocated.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Has the asynchronous runtime wait until `fd`, which does not block, can be read.
///
/// # Errors
/// If the kernel takes no more descriptors to wait for.
///
/// # Panics
/// Outside a tokio runtime.
pub fn readable(fd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an OwnedFd is one descriptor, open for as long as it lives, and it
    // lives as long as the registration.
    let registered = unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE) };
    registered.map_err(io::Error::from)
}

/// A packet socket that sends whole Ethernet frames through the interface
/// `ifindex` and receives nothing.
///
/// # Errors
/// What the kernel refuses: without CAP_NET_RAW there is no packet socket.
pub fn packet_socket(ifindex: u32) -> io::Result<OwnedFd> {
    // Protocol 0: the socket is never given a packet.
    // SAFETY: no pointers are passed.
    let raw = unsafe {
        libc::socket(
            libc::AF_PACKET,
            libc::SOCK_RAW | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC,
            0,
        )
    };
    if raw < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel just gave us this descriptor, and nobody else has it.
    let socket = unsafe { OwnedFd::from_raw_fd(raw) };
    let address = libc::sockaddr_ll {
        sll_family: u16::try_from(libc::AF_PACKET).unwrap_or_default(),
        sll_protocol: 0,
        sll_ifindex: i32::try_from(ifindex).map_err(io::Error::other)?,
        sll_hatype: 0,
        sll_pkttype: 0,
        sll_halen: 0,
        sll_addr: [0; 8],
    };
    let length = libc::socklen_t::try_from(size_of::<libc::sockaddr_ll>()).unwrap_or_default();
    // SAFETY: `address` is a sockaddr_ll that outlives the call, `length` its size.
    let result = unsafe { libc::bind(socket.as_raw_fd(), (&raw const address).cast(), length) };
    if result == 0 {
        Ok(socket)
    } else {
        Err(io::Error::last_os_error())
    }
}
