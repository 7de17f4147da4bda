//! A node as a machine of its own: its processes see each other and nobody
//! else's, and it has its own `/run` and `/etc/keepalived`.
//!
//! What guides tell people to write (`pidof nginx`, `/run/…`) is then true of
//! one node, although all share a kernel and a file system.

use std::{
    fs::{self, File},
    io,
    os::{
        fd::{AsFd as _, BorrowedFd},
        unix::process::CommandExt as _,
    },
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::{
    command,
    lab::{Host, Lab},
    need,
    process::Process,
};

/// Where a node's configuration is, on the node.
pub const ETC: &str = "/etc/keepalived";

/// Makes the node's own directories and then waits for ever, adopting whom
/// nobody waits for. `$1` and `$2` are what `/etc/keepalived` and `/run` are to be.
const INIT: &str = "mount --bind \"$1\" /etc/keepalived && mount --bind \"$2\" /run && \
                    echo ready && { sleep infinity & wait; }";

/// A node with processes and directories of its own.
#[derive(Debug)]
pub struct Machine {
    /// The node.
    pub host: Host,
    directory: PathBuf,
    pids: File,
    mounts: Arc<File>,
    // Its end is that of all processes of the machine.
    _init: Process,
}

impl Machine {
    /// Makes `host` a machine.
    ///
    /// # Errors
    /// If the kernel refuses, or `/etc/keepalived` is not there to be covered.
    pub fn boot(lab: &Lab, host: &Host) -> Result<Self> {
        need::tools(&["unshare", "mount"])?;
        ensure!(
            Path::new(ETC).is_dir(),
            "{ETC} is not there: keepalived's package makes it"
        );
        let directory = lab.directory(&format!("{}-machine", host.name))?;
        for name in ["etc", "run"] {
            fs::create_dir_all(directory.join(name))?;
        }
        let mut command = host.netns.command("unshare");
        command
            .args(["--pid", "--fork", "--kill-child=KILL"])
            .args(["--mount", "--mount-proc"])
            .args(["sh", "-c", INIT, "init"])
            .arg(directory.join("etc"))
            .arg(directory.join("run"));
        let title = format!("init of {}", host.name);
        let mut init = Process::start(title, &mut command, directory.join("init.log"))?;
        init.quiet();
        init.await_log("ready", Duration::from_secs(30))?;
        let namespace = |kind: &str| -> Result<File> {
            let path = format!("/proc/{}/ns/{kind}", init.id());
            File::open(&path).with_context(|| format!("cannot open {path}"))
        };
        Ok(Self {
            host: host.clone(),
            pids: namespace("pid_for_children")?,
            mounts: Arc::new(namespace("mnt")?),
            directory,
            _init: init,
        })
    }

    /// A command that runs on the machine once it is started by
    /// [`start`](Self::start) or [`run`](Self::run).
    #[must_use]
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = self.host.netns.command(program);
        let mounts = Arc::clone(&self.mounts);
        let enter = move || -> io::Result<()> {
            move_into_link_name_space(mounts.as_fd(), Some(LinkNameSpaceType::Mount))?;
            Ok(())
        };
        // SAFETY: between fork and exec only one system call is made; nothing
        // allocates or takes a lock.
        unsafe { command.pre_exec(enter) };
        command
    }

    /// Starts `command`, one of [`command`](Self::command).
    ///
    /// # Errors
    /// As [`Process::start`].
    pub fn start(&self, title: &str, command: &mut Command) -> Result<Process> {
        let log = self.log(title);
        let title = format!("{title} on {}", self.host.name);
        self.with_own_children(|| Process::start(title, command, log))?
    }

    /// Where the output of what is started as `title` goes.
    #[must_use]
    pub fn log(&self, title: &str) -> PathBuf {
        self.directory.join(format!("{title}.log"))
    }

    /// Runs `command`, one of [`command`](Self::command), to its end and returns
    /// what it printed.
    ///
    /// # Errors
    /// If it cannot be started or fails.
    pub fn run(&self, command: &mut Command) -> Result<String> {
        self.with_own_children(|| command::checked(command, ""))?
    }

    /// As [`run`](Self::run), whatever its end.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn output(&self, command: &mut Command) -> Result<Output> {
        self.with_own_children(|| command::output(command, ""))?
    }

    /// Whatever `work` starts is a process of the machine. It can start no thread:
    /// threads of one process share a PID namespace.
    fn with_own_children<T>(&self, work: impl FnOnce() -> T) -> Result<T> {
        let own = File::open("/proc/thread-self/ns/pid").context("cannot open our namespace")?;
        let enter = |pids: BorrowedFd<'_>| {
            move_into_link_name_space(pids, Some(LinkNameSpaceType::ProcessID))
                .context("cannot enter a PID namespace")
        };
        enter(self.pids.as_fd())?;
        let result = work();
        enter(own.as_fd())?;
        Ok(result)
    }

    /// Where the machine's `path`, below `/run` or `/etc/keepalived`, is to be
    /// found from outside.
    ///
    /// # Panics
    /// If it is below neither.
    #[must_use]
    pub fn outside(&self, path: &str) -> PathBuf {
        for (inside, outside) in [(ETC, "etc"), ("/run", "run")] {
            if let Some(rest) = path
                .strip_prefix(inside)
                .and_then(|rest| rest.strip_prefix('/'))
            {
                return self.directory.join(outside).join(rest);
            }
        }
        panic!("{path} is not the machine's own");
    }

    /// A directory for `name`, with the same path inside and outside.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn shared_directory(&self, name: &str) -> Result<PathBuf> {
        let directory = self.directory.join(name);
        fs::create_dir_all(&directory)
            .with_context(|| format!("cannot make {}", directory.display()))?;
        Ok(directory)
    }
}
