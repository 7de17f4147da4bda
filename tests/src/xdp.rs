//! XDP programs of someone else, for Harrier to find in its way or to be measured
//! beside, and runs of programs on frames that never were on a wire.

use std::{
    io, mem,
    os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd},
};

use anyhow::{Context as _, Result};

use crate::{lab::ifindex, netns::Netns};

const BPF_PROG_LOAD: libc::c_long = 5;
const BPF_PROG_TEST_RUN: libc::c_long = 10;
const BPF_LINK_CREATE: libc::c_long = 28;
const BPF_LINK_DETACH: libc::c_long = 34;
const BPF_PROG_TYPE_XDP: u32 = 6;
const BPF_XDP: u32 = 37;

/// The verdict by which a packet goes on to the stack.
pub const XDP_PASS: u32 = 2;

/// The beginning of the kernel's `union bpf_attr` for `BPF_PROG_LOAD`.
#[repr(C)]
struct ProgLoad {
    prog_type: u32,
    insn_cnt: u32,
    insns: u64,
    license: u64,
}

/// The beginning of the kernel's `union bpf_attr` for `BPF_LINK_CREATE`.
#[repr(C)]
struct LinkCreate {
    prog_fd: u32,
    target_ifindex: u32,
    attach_type: u32,
    flags: u32,
}

/// The beginning of the kernel's `union bpf_attr` for `BPF_LINK_DETACH`.
#[repr(C)]
struct LinkDetach {
    link_fd: u32,
}

/// The kernel's `union bpf_attr` for `BPF_PROG_TEST_RUN`, as of Linux 4.12.
#[repr(C)]
struct ProgTestRun {
    prog_fd: u32,
    retval: u32,
    data_size_in: u32,
    data_size_out: u32,
    data_in: u64,
    data_out: u64,
    repeat: u32,
    duration: u32,
}

/// What became of a frame in a program.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TestRun {
    /// The program's verdict.
    pub verdict: u32,
    /// How long one run took on average.
    pub nanoseconds: u32,
}

/// Loads a program that passes everything.
///
/// # Errors
/// If the kernel refuses.
pub fn load_passing() -> Result<OwnedFd> {
    // r0 = 2 (XDP_PASS); exit
    let code: [[u8; 8]; 2] = [[0xb7, 0, 0, 0, 2, 0, 0, 0], [0x95, 0, 0, 0, 0, 0, 0, 0]];
    let license = c"MIT";
    let mut load = ProgLoad {
        prog_type: BPF_PROG_TYPE_XDP,
        insn_cnt: 2,
        insns: code.as_ptr() as u64,
        license: license.as_ptr() as u64,
    };
    // SAFETY: the attributes point to instructions and licence that live on.
    unsafe { bpf_fd(BPF_PROG_LOAD, &mut load) }.context("cannot load a program")
}

/// Runs `frame` through `program`, `repeat` times.
///
/// # Errors
/// If the kernel refuses.
pub fn test_run(program: BorrowedFd<'_>, frame: &[u8], repeat: u32) -> Result<TestRun> {
    let mut run = ProgTestRun {
        prog_fd: u32::try_from(program.as_raw_fd()).context("descriptor out of range")?,
        retval: 0,
        data_size_in: u32::try_from(frame.len()).context("a frame of gigabytes")?,
        data_size_out: 0,
        data_in: frame.as_ptr() as u64,
        data_out: 0,
        repeat,
        duration: 0,
    };
    // SAFETY: the attributes point to a frame that lives on and is as long as they
    // say; the kernel writes results into the attributes alone.
    unsafe { bpf(BPF_PROG_TEST_RUN, &mut run) }.context("cannot run a program")?;
    Ok(TestRun {
        verdict: run.retval,
        nanoseconds: run.duration,
    })
}

/// A program that passes everything, attached until this is dropped.
#[derive(Debug)]
pub struct OtherProgram(OwnedFd);

impl OtherProgram {
    /// Attaches it to `interface` in `netns`.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn attach(netns: &Netns, interface: &str) -> Result<Self> {
        let program = load_passing()?;
        let mut create = LinkCreate {
            prog_fd: u32::try_from(program.as_raw_fd()).context("descriptor out of range")?,
            target_ifindex: ifindex(netns, interface)?,
            attach_type: BPF_XDP,
            flags: 0,
        };
        let link = netns
            // SAFETY: the attributes hold no pointers.
            .enter(|| unsafe { bpf_fd(BPF_LINK_CREATE, &mut create) })?
            .context("cannot attach a program")?;
        Ok(Self(link))
    }
}

impl Drop for OtherProgram {
    /// Detaches now: a child that another thread is just starting may hold a
    /// copy of the descriptor for a moment, so closing it is not enough.
    fn drop(&mut self) {
        let mut detach = LinkDetach {
            link_fd: u32::try_from(self.0.as_raw_fd()).unwrap_or(u32::MAX),
        };
        // SAFETY: the attributes hold no pointers.
        if let Err(error) = unsafe { bpf(BPF_LINK_DETACH, &mut detach) } {
            eprintln!("cannot detach a program: {error}");
        }
    }
}

/// A command that returns a new descriptor.
///
/// # Safety
/// What `attributes` points to must be what `command` expects.
unsafe fn bpf_fd<T>(command: libc::c_long, attributes: &mut T) -> io::Result<OwnedFd> {
    // SAFETY: the caller's promise.
    let fd = unsafe { bpf(command, attributes) }?;
    // SAFETY: such commands return a new descriptor that nobody else has.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// The system call.
///
/// # Safety
/// What `attributes` points to must be what `command` expects.
unsafe fn bpf<T>(command: libc::c_long, attributes: &mut T) -> io::Result<libc::c_int> {
    let pointer: *mut T = attributes;
    // SAFETY: pointer and size of a live value; its contents are the caller's promise.
    let code = unsafe { libc::syscall(libc::SYS_bpf, command, pointer, mem::size_of::<T>()) };
    if code < 0 {
        return Err(io::Error::last_os_error());
    }
    libc::c_int::try_from(code).map_err(io::Error::other)
}
