//! A long-running process with its log; it ends with its guard.

use std::{
    fs::{self, File},
    os::fd::{AsFd as _, OwnedFd},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Pid, PidfdFlags, Signal, kill_process, kill_process_group, pidfd_open},
};

/// What a process has used.
#[derive(Clone, Copy, Debug)]
pub struct Usage {
    /// Resident memory, in KiB.
    pub resident_kib: u64,
    /// Time on a CPU, user and system, to the clock tick (usually 10 ms).
    pub cpu: Duration,
}

/// Sees to it that a process does not outlive its use. At its end its log goes
/// to standard error, which the test runner shows if the test fails.
#[derive(Debug)]
pub struct Process {
    title: String,
    child: Child,
    exit: OwnedFd,
    log: PathBuf,
    ended: Option<ExitStatus>,
    quiet: bool,
}

impl Process {
    /// Starts `command` with its output going to `log`. `title` is what
    /// messages call it.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn start(title: impl Into<String>, command: &mut Command, log: PathBuf) -> Result<Self> {
        let _creating = crate::run::creating();
        let title = title.into();
        let file = File::options()
            .create(true)
            .append(true)
            .open(&log)
            .with_context(|| format!("cannot make {}", log.display()))?;
        let errors = file
            .try_clone()
            .context("cannot duplicate a file descriptor")?;
        let child = command
            .stdin(Stdio::null())
            .stdout(file)
            .stderr(errors)
            .spawn()
            .with_context(|| format!("cannot start {title}"))?;
        let exit = pidfd_open(pid(&child), PidfdFlags::empty())
            .with_context(|| format!("cannot watch {title}"))?;
        Ok(Self {
            title,
            child,
            exit,
            log,
            ended: None,
            quiet: false,
        })
    }

    /// Keeps its log off standard error.
    pub fn quiet(&mut self) {
        self.quiet = true;
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it has used of the machine since it was started.
    ///
    /// # Errors
    /// If it has ended.
    pub fn usage(&self) -> Result<Usage> {
        let read = |name: &str| {
            fs::read_to_string(format!("/proc/{}/{name}", self.id()))
                .with_context(|| format!("{} has ended", self.title))
        };
        let status = read("status")?;
        let resident_kib = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .and_then(|rest| rest.split_whitespace().next()?.parse().ok())
            .context("no VmRSS")?;
        let stat = read("stat")?;
        // The second field is the command in parentheses and may hold blanks;
        // user and system time are the 14th and the 15th.
        let ticks: u64 = stat
            .rsplit_once(')')
            .map(|(_, rest)| rest.split_whitespace().skip(11).take(2))
            .into_iter()
            .flatten()
            .filter_map(|field| field.parse::<u64>().ok())
            .sum();
        Ok(Usage {
            resident_kib,
            cpu: Duration::from_millis(ticks * 1000 / rustix::param::clock_ticks_per_second()),
        })
    }

    /// Where its output goes.
    #[must_use]
    pub fn log_path(&self) -> &Path {
        &self.log
    }

    /// What it has printed so far.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read(&self.log)
            .map(|log| String::from_utf8_lossy(&log).into_owned())
            .unwrap_or_default()
    }

    /// Its exit status, once it has ended.
    ///
    /// # Errors
    /// If it cannot be waited for.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        if self.ended.is_none() {
            self.ended = self.child.try_wait().context("cannot wait for a child")?;
        }
        Ok(self.ended)
    }

    /// Sends `signal` to the process (not to its children).
    ///
    /// # Errors
    /// If it has ended.
    pub fn signal(&mut self, signal: Signal) -> Result<()> {
        ensure!(self.ended()?.is_none(), "{} has ended", self.title);
        kill_process(pid(&self.child), signal)
            .with_context(|| format!("cannot signal {}", self.title))
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// If it still runs after `timeout`.
    pub fn await_end(&mut self, timeout: Duration) -> Result<ExitStatus> {
        let seconds = i64::try_from(timeout.as_secs()).unwrap_or(i64::MAX);
        let timeout_at = Timespec {
            tv_sec: seconds,
            tv_nsec: timeout.subsec_nanos().into(),
        };
        let mut fds = [PollFd::from_borrowed_fd(self.exit.as_fd(), PollFlags::IN)];
        poll(&mut fds, Some(&timeout_at)).context("cannot poll a pidfd")?;
        match self.ended()? {
            Some(status) => Ok(status),
            None => bail!("{} still runs after {timeout:?}", self.title),
        }
    }

    /// Waits until its log holds `words`.
    ///
    /// # Errors
    /// If it ends or `timeout` passes first.
    pub fn await_log(&mut self, words: &str, timeout: Duration) -> Result<()> {
        let give_up_at = Instant::now() + timeout;
        while !self.log().contains(words) {
            let late = Instant::now() > give_up_at;
            if late || self.ended()?.is_some() {
                bail!("{} did not say {words:?}:\n{}", self.title, self.log());
            }
            // A log file gives no event worth the machinery.
            thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    /// SIGKILL, to its children too.
    ///
    /// # Errors
    /// If it cannot be waited for.
    pub fn kill(&mut self) -> Result<()> {
        if self.ended()?.is_none() {
            // The group holds it and its children; it may be gone already.
            let _ = kill_process_group(pid(&self.child), Signal::KILL);
            self.ended = Some(self.child.wait().context("cannot wait for a child")?);
        }
        Ok(())
    }
}

fn pid(child: &Child) -> Pid {
    Pid::from_child(child)
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Err(error) = self.kill() {
            eprintln!("{}: {error:#}", self.title);
        }
        if !self.quiet {
            eprintln!("---- log of {} ----\n{}", self.title, self.log());
        }
    }
}
