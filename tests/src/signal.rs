//! Ctrl-C and SIGTERM for a program that has namespaces to clean up.

use std::{mem::MaybeUninit, thread};

use anyhow::{Context as _, Result, ensure};

fn interrupts() -> libc::sigset_t {
    let mut set = MaybeUninit::uninit();
    // SAFETY: the call initialises the set that it is given.
    unsafe { libc::sigemptyset(set.as_mut_ptr()) };
    // SAFETY: initialised by the call above, which cannot fail.
    let mut set = unsafe { set.assume_init() };
    for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP] {
        // SAFETY: a valid set and a valid signal number.
        unsafe { libc::sigaddset(&raw mut set, signal) };
    }
    set
}

/// From now on SIGINT, SIGTERM and SIGHUP run `clean_up` on a thread of its own
/// and then end the process with status 128 + signal. To be called before any
/// other thread is started.
///
/// # Errors
/// If the signals cannot be blocked.
pub fn on_interrupt(clean_up: impl FnOnce() + Send + 'static) -> Result<()> {
    let set = interrupts();
    // SAFETY: a valid set; the old mask is not wanted.
    let code =
        unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut()) };
    ensure!(code == 0, "cannot block signals: error {code}");
    thread::Builder::new()
        .name("signals".into())
        .spawn(move || {
            let mut signal = 0;
            // SAFETY: both point to live values; the signals are blocked.
            let code = unsafe { libc::sigwait(&raw const set, &raw mut signal) };
            if code == 0 {
                clean_up();
                std::process::exit(128 + signal);
            }
        })
        .context("cannot start the signal thread")?;
    Ok(())
}
