//! Named network namespaces, and commands and threads inside them.
//!
//! Entering means the network namespace only. `ip netns exec` would also give
//! a mount namespace with a fresh sysfs, which hides a bpffs below `/sys`.

use std::{
    fs::{self, File},
    io,
    os::{fd::AsFd as _, unix::process::CommandExt as _},
    path::Path,
    process::Command,
    sync::Arc,
    thread,
};

use anyhow::{Context as _, Result};
use rustix::{
    process::{Signal, set_parent_process_death_signal},
    thread::{LinkNameSpaceType, move_into_link_name_space},
};

use crate::{command, run::Run};

/// A network namespace. The [`Run`] that it was made for removes it.
#[derive(Clone, Debug)]
pub struct Netns {
    name: String,
    handle: Arc<File>,
    outlives: bool,
}

impl Netns {
    /// Makes the namespace `role` of `run`, with its loopback up.
    ///
    /// # Errors
    /// If `ip` fails.
    pub fn create(run: &Run, role: &str) -> Result<Self> {
        let _creating = crate::run::creating();
        let name = run.namespace(role);
        command::run("ip", &["netns", "add", &name])?;
        let path = format!("/run/netns/{name}");
        let handle = File::open(&path).with_context(|| format!("cannot open {path}"))?;
        let netns = Self {
            name,
            handle: Arc::new(handle),
            outlives: run.outlives(),
        };
        netns.ip("link set lo up")?;
        Ok(netns)
    }

    /// Its name, as `ip netns` shows it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Runs lines of `ip` commands inside.
    ///
    /// # Errors
    /// If one fails.
    pub fn ip(&self, lines: &str) -> Result<()> {
        command::checked(
            Command::new("ip").args(["-n", &self.name, "-batch", "-"]),
            lines,
        )
        .map(drop)
    }

    /// What `ip` says to `args` inside.
    ///
    /// # Errors
    /// If it fails.
    pub fn ip_show(&self, args: &[&str]) -> Result<String> {
        command::checked(Command::new("ip").args(["-n", &self.name]).args(args), "")
    }

    /// Sets sysctls below `net`, for example `ipv6/conf/default/accept_dad`.
    ///
    /// # Errors
    /// If one cannot be written.
    pub fn sysctl(&self, settings: &[(&str, &str)]) -> Result<()> {
        self.enter(|| {
            settings.iter().try_for_each(|(key, value)| {
                // The files below /proc/sys/net are those of the reader's namespace.
                let path = Path::new("/proc/sys/net").join(key);
                fs::write(&path, value)
                    .with_context(|| format!("cannot write {value} to {}", path.display()))
            })
        })?
    }

    /// A command that will run inside, and that ends with the thread that
    /// starts it (unless the run is kept).
    #[must_use]
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        let handle = Arc::clone(&self.handle);
        let outlives = self.outlives;
        let enter = move || -> io::Result<()> {
            move_into_link_name_space(handle.as_fd(), Some(LinkNameSpaceType::Network))?;
            if !outlives {
                set_parent_process_death_signal(Some(Signal::KILL))?;
            }
            Ok(())
        };
        // SAFETY: between fork and exec only two system calls are made; nothing
        // allocates or takes a lock.
        unsafe { command.pre_exec(enter) };
        // Ctrl-C at the terminal is for this process, which cleans up in order.
        command.process_group(0);
        command
    }

    /// Runs `work` on a thread of its own inside the namespace.
    ///
    /// # Errors
    /// If the namespace cannot be entered.
    ///
    /// # Panics
    /// If `work` does.
    pub fn enter<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T> {
        thread::scope(|scope| {
            let inside = scope.spawn(|| {
                self.enter_this_thread()?;
                Ok(work())
            });
            inside
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// Moves the calling thread inside, for good.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn enter_this_thread(&self) -> Result<()> {
        move_into_link_name_space(self.handle.as_fd(), Some(LinkNameSpaceType::Network))
            .with_context(|| format!("cannot enter the network namespace {}", self.name))
    }
}
