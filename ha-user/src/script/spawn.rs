//! Makes processes, at little cost to the threads that go on.
//!
//! `fork` copies the page tables of a daemon whose memory is locked, under the lock
//! that page faults need too, and write-protects all pages: afterwards the driver
//! takes a fault for each page that it touches. `posix_spawn` does not, but it
//! cannot change the user, so the standard library forks for that. Measured with
//! 200 spawns of `/bin/true`, beside a SCHED_FIFO thread that is busy with 4, 32 or
//! 128 MiB of locked memory:
//!
//! | way | calling thread, median | longest gap of the busy thread | its gaps, per spawn |
//! |---|---|---|---|
//! | fork, setuid | 0.6, 0.9, 2.7 ms | 0.5, 1.4, 3.3 ms | 0.4, 0.7, 2.2 ms |
//! | `posix_spawn`, no other user | 0.08 ms | as without any spawn | as without any |
//! | this | 0.03 to 0.04 ms | as without any spawn | as without any |
//!
//! So this does what `posix_spawn` does: a process that shares our memory until it
//! is another program (`CLONE_VM | CLONE_VFORK`), on a stack of its own, while the
//! calling thread waits. It may only make system calls: what they need is laid
//! out before.

use std::{
    ffi::{CString, c_char, c_int, c_void},
    fs::File,
    io,
    os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd, RawFd},
    ptr,
    sync::{Mutex, OnceLock, PoisonError},
};

use rustix::process::Pid;

use super::{Process, user::Identity};

/// What a process is to be.
pub(super) struct Image {
    /// Path of the program.
    pub(super) program: CString,
    pub(super) argv: Vec<CString>,
    /// `NAME=value`.
    pub(super) env: Vec<CString>,
    /// As whom it runs, if not as the daemon does.
    pub(super) identity: Option<Identity>,
    /// Whether its output is wanted.
    pub(super) output: bool,
}

/// A process that has been made.
#[derive(Debug)]
pub(super) struct Spawned {
    pub(super) process: Process,
    /// Where its output comes out, both kinds.
    pub(super) output: Option<OwnedFd>,
}

/// Octets of the stack that the new process runs on until it is another program.
/// It calls a dozen functions of libc, one after the other.
const STACK: usize = 64 * 1024;

/// What the new process needs, in memory that it shares with us.
struct Plan {
    program: *const c_char,
    argv: *const *const c_char,
    env: *const *const c_char,
    input: RawFd,
    output: RawFd,
    identity: Option<IdentityPlan>,
    /// What it was doing when it failed, and the error number.
    failure: Option<(Step, c_int)>,
}

struct IdentityPlan {
    uid: libc::c_long,
    gid: libc::c_long,
    groups: *const u32,
    group_count: usize,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Step {
    Group,
    Descriptors,
    Identity,
    Execute,
}

/// Makes a process. The calling thread waits until the program is loaded.
///
/// # Errors
/// What the kernel says where it fails, also in the new process.
pub(super) fn spawn(image: &Image) -> io::Result<Spawned> {
    let null = File::options().read(true).write(true).open("/dev/null")?;
    let pipe = image.output.then(io::pipe).transpose()?;
    let argv = pointers(&image.argv);
    let env = pointers(&image.env);
    let output = pipe
        .as_ref()
        .map_or(null.as_raw_fd(), |(_, writer)| writer.as_raw_fd());
    let mut plan = Plan {
        program: image.program.as_ptr(),
        argv: argv.as_ptr(),
        env: env.as_ptr(),
        input: null.as_raw_fd(),
        output,
        identity: image.identity.as_ref().map(|identity| IdentityPlan {
            uid: identity.uid.into(),
            gid: identity.gid.into(),
            groups: identity.groups.as_ptr(),
            group_count: identity.groups.len(),
        }),
        failure: None,
    };
    let process = clone(&mut plan)?;
    if let Some((step, error)) = plan.failure {
        // It has ended, so this does not wait.
        let _ = process.reap();
        return Err(explained(step, io::Error::from_raw_os_error(error)));
    }
    let output = pipe.map(|(reader, _)| reader.into());
    Ok(Spawned { process, output })
}

/// With a hint where the number alone says little.
fn explained(step: Step, error: io::Error) -> io::Error {
    let what = match step {
        Step::Group => "making a process group",
        Step::Descriptors => "setting up input and output",
        Step::Identity => "changing the user",
        Step::Execute if error.raw_os_error() == Some(libc::ENOEXEC) => {
            let hint = "no program; a script starts with a line such as #!/bin/sh";
            return io::Error::new(error.kind(), hint);
        }
        Step::Execute => return error,
    };
    io::Error::new(error.kind(), format!("{what}: {error}"))
}

/// A list of C, with a null pointer at its end.
fn pointers(strings: &[CString]) -> Vec<*const c_char> {
    let strings = strings.iter().map(|string| string.as_ptr());
    strings.chain([ptr::null()]).collect()
}

fn clone(plan: &mut Plan) -> io::Result<Process> {
    prepare();
    let mut stack = vec![0_u128; STACK / size_of::<u128>()];
    let top = stack.as_mut_ptr_range().end;
    let switching = plan.identity.is_some().then(Switching::begin);
    let mut pidfd: c_int = -1;
    // A handler of ours must not run in the new process: it would run on our
    // memory, as another process.
    let blocked = SignalsBlocked::new();
    let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::CLONE_PIDFD | libc::SIGCHLD;
    // SAFETY: `top` is the end of a stack that is large enough, aligned to 16
    // octets and outlives the call, which with CLONE_VFORK returns only when the
    // new process uses our memory no more. `plan` lives as long, nobody else
    // touches it meanwhile, and what it points to lives in the caller. `pidfd` is
    // where CLONE_PIDFD puts a descriptor.
    let pid = unsafe {
        libc::clone(
            start,
            top.cast(),
            flags,
            ptr::from_mut(plan).cast::<c_void>(),
            &raw mut pidfd,
        )
    };
    let error = io::Error::last_os_error();
    drop(blocked);
    drop(switching);
    drop(stack);
    let pid = if pid > 0 { Pid::from_raw(pid) } else { None };
    let pid = pid.ok_or(error)?;
    // SAFETY: the kernel just gave us this descriptor, and nobody else has it.
    let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
    Ok(Process { pid, pidfd })
}

/// Where the new process starts: our memory, but other descriptors, signal
/// handlers and signal mask than ours.
extern "C" fn start(plan: *mut c_void) -> c_int {
    // SAFETY: `clone` passes a `Plan` that nobody else touches until we are gone or
    // another program.
    let plan = unsafe { &mut *plan.cast::<Plan>() };
    let Err(step) = become_program(plan);
    // errno is that of the thread that waits for us.
    let error = io::Error::last_os_error().raw_os_error();
    plan.failure = Some((step, error.unwrap_or(libc::EIO)));
    // SAFETY: ends this process and runs nothing of ours, as `exit` would.
    unsafe { libc::_exit(127) }
}

fn become_program(plan: &Plan) -> Result<std::convert::Infallible, Step> {
    let done = |result: libc::c_long, step| if result < 0 { Err(step) } else { Ok(()) };
    // SAFETY: changes nothing of our memory.
    let result = unsafe { libc::setpgid(0, 0) };
    done(result.into(), Step::Group)?;
    for (descriptor, source) in [(0, plan.input), (1, plan.output), (2, plan.output)] {
        // The standard library has made sure that 0 to 2 are open in the daemon, so
        // `source` is none of them and the copy stays open in the program.
        // SAFETY: the table of descriptors is a copy.
        let result = unsafe { libc::dup2(source, descriptor) };
        done(result.into(), Step::Descriptors)?;
    }
    // All of ours are closed when the program starts; this is for those that the
    // daemon was started with. Kernels before 5.9 do not know it.
    // SAFETY: the table of descriptors is a copy.
    unsafe { libc::syscall(libc::SYS_close_range, 3_usize, libc::c_uint::MAX, 0_usize) };
    default_signals();
    if let Some(identity) = &plan.identity {
        // Those of libc would change all threads of the daemon, so the system calls
        // themselves: they are about this process only. (They are those of 64-bit
        // systems.)
        let IdentityPlan {
            uid,
            gid,
            groups,
            group_count,
        } = *identity;
        // SAFETY: takes numbers only.
        unsafe {
            libc::syscall(
                libc::SYS_prctl,
                libc::PR_CAP_AMBIENT,
                libc::PR_CAP_AMBIENT_CLEAR_ALL,
                0_usize,
                0_usize,
                0_usize,
            )
        };
        // SAFETY: `groups` points to so many groups, in the caller's memory.
        let result = unsafe { libc::syscall(libc::SYS_setgroups, group_count, groups) };
        done(result, Step::Identity)?;
        // SAFETY: takes numbers only.
        let result = unsafe { libc::syscall(libc::SYS_setresgid, gid, gid, gid) };
        done(result, Step::Identity)?;
        // SAFETY: takes numbers only.
        let result = unsafe { libc::syscall(libc::SYS_setresuid, uid, uid, uid) };
        done(result, Step::Identity)?;
    }
    // SAFETY: a path and two lists that end with a null pointer, in the caller's
    // memory.
    unsafe { libc::execve(plan.program, plan.argv, plan.env) };
    Err(Step::Execute)
}

/// What the program expects: every signal has its default effect, and none is
/// blocked.
fn default_signals() {
    // All zeros are the default handler, no flags and no mask, in the kernel's layout
    // of any architecture. libc would refuse those that it has its own use for.
    let default = [0_u64; 8];
    for signal in 1..=libc::SIGRTMAX() {
        // SAFETY: `default` is larger than what is read of it; the table of handlers
        // is a copy. Those that cannot be set refuse it.
        unsafe {
            libc::syscall(
                libc::SYS_rt_sigaction,
                signal,
                default.as_ptr(),
                ptr::null::<c_void>(),
                size_of::<u64>(),
            )
        };
    }
    let mut none = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: makes `none` an empty set.
    unsafe { libc::sigemptyset(none.as_mut_ptr()) };
    // SAFETY: `none` has just been set; the mask is that of this process.
    unsafe { libc::sigprocmask(libc::SIG_SETMASK, none.as_ptr(), ptr::null_mut()) };
}

/// No signal reaches the calling thread until this is dropped.
struct SignalsBlocked {
    before: libc::sigset_t,
}

impl SignalsBlocked {
    fn new() -> Self {
        let mut all = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
        let mut before = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
        // SAFETY: makes `all` a full set.
        unsafe { libc::sigfillset(all.as_mut_ptr()) };
        // SAFETY: `all` has just been set; writes the mask to `before`. It cannot
        // fail with these arguments.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), before.as_mut_ptr()) };
        // SAFETY: has just been written.
        let before = unsafe { before.assume_init() };
        Self { before }
    }
}

impl Drop for SignalsBlocked {
    fn drop(&mut self) {
        // SAFETY: the mask is one that this thread had.
        unsafe {
            libc::pthread_sigmask(libc::SIG_SETMASK, &raw const self.before, ptr::null_mut())
        };
    }
}

/// Once per daemon: whoever started it may have it ignore SIGCHLD, and then the
/// kernel keeps no status of processes that have ended.
fn prepare() {
    static DONE: OnceLock<()> = OnceLock::new();
    DONE.get_or_init(|| {
        let mut now = std::mem::MaybeUninit::<libc::sigaction>::uninit();
        // SAFETY: writes what is set for SIGCHLD to `now`.
        let result = unsafe { libc::sigaction(libc::SIGCHLD, ptr::null(), now.as_mut_ptr()) };
        if result != 0 {
            return;
        }
        // SAFETY: has just been written.
        let now = unsafe { now.assume_init() };
        if now.sa_sigaction == libc::SIG_IGN {
            // SAFETY: the default is to do nothing.
            unsafe { libc::signal(libc::SIGCHLD, libc::SIG_DFL) };
        }
    });
}

/// A process that changes its user makes the memory that it shares with us
/// undumpable, so that the other user cannot look into it. That is put back when no
/// such process uses our memory any more, so that the daemon can be looked into by
/// who could before.
struct Switching;

/// How many such processes there are, and what was set before the first.
static SWITCHING: Mutex<(usize, c_int)> = Mutex::new((0, 0));

impl Switching {
    fn begin() -> Self {
        let mut switching = SWITCHING.lock().unwrap_or_else(PoisonError::into_inner);
        if switching.0 == 0 {
            // SAFETY: takes and gives numbers only.
            switching.1 = unsafe { libc::prctl(libc::PR_GET_DUMPABLE) };
        }
        switching.0 += 1;
        Self
    }
}

impl Drop for Switching {
    fn drop(&mut self) {
        let mut switching = SWITCHING.lock().unwrap_or_else(PoisonError::into_inner);
        switching.0 -= 1;
        // Others than 1 are the kernel's to set.
        if switching.0 == 0 && switching.1 == 1 {
            // SAFETY: takes and gives numbers only.
            unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 1) };
        }
    }
}
