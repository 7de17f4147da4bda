//! Runs commands of the configuration: health checks and notifications.
//!
//! A command may do what it likes and is bounded all the same: in time (it gets
//! SIGTERM, then SIGKILL, and so do its children), in what its output costs us,
//! and in what it inherits (no descriptors, no signal settings, no preloaded
//! libraries). How a process is made is in `spawn`, with what it costs; who runs
//! what is looked up in `resolve`, once per configuration.

mod output;
mod resolve;
mod spawn;
#[cfg(test)]
mod tests;
mod user;

use std::{
    ffi::{CString, OsStr, OsString},
    fmt, io,
    os::{
        fd::{AsFd as _, AsRawFd, OwnedFd, RawFd},
        unix::ffi::OsStrExt as _,
    },
    time::Duration,
};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, WaitIdStatus};
use tokio::{
    io::{Interest, unix::AsyncFd},
    time::{Instant, sleep_until},
};

use self::{
    output::Reader,
    spawn::{Image, Spawned},
};
pub use self::{
    resolve::{Defaults, ResolveError, ResolvedScript, Unsafe},
    user::UserError,
};

/// From SIGTERM to SIGKILL for a command that has run into its timeout.
pub const GRACE: Duration = Duration::from_secs(2);

/// How long a killed command may take to be gone before it is left to itself. It
/// is longer only if it hangs in the kernel.
pub const BURIAL: Duration = Duration::from_secs(1);

/// Variables that commands do not inherit: with them, whoever started the daemon
/// would change what commands of another user do.
const NOT_INHERITED: [&str; 3] = ["IFS", "LD_PRELOAD", "LD_LIBRARY_PATH"];

/// What a command may do, and what of it is wanted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Terms {
    /// How long it may run; [`GRACE`] more if it does not heed SIGTERM.
    pub timeout: Duration,
    /// What becomes of its children when it has ended in time.
    pub children: Children,
    /// What becomes of its output.
    pub output: Output,
}

/// What becomes of the children that a command leaves behind.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Children {
    /// They are killed with it, as far as they are in its process group.
    Killed,
    /// They may stay: commands start daemons. After a timeout they are killed.
    Left,
}

/// What becomes of a command's output.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Output {
    /// It goes to `/dev/null`, for as long as anyone writes it.
    Discarded,
    /// Its last line is kept. Who writes after the command has ended gets an
    /// error, so this is not for commands whose children stay.
    LastLine,
}

/// How a command has ended.
#[derive(Debug)]
pub struct Outcome {
    /// How.
    pub end: End,
    /// The last line that it wrote, of both outputs together, which is not blank:
    /// printable, without its end, cut at 200 characters. Empty if there was none,
    /// or none was wanted.
    pub last_line: String,
    /// From the call to its end, and that of its children if those are killed.
    pub took: Duration,
    /// What is left of it if it hangs in the kernel, where no signal reaches it.
    pub remains: Option<Remains>,
}

/// A command that was killed and is still there. If this is dropped it is reaped all
/// the same, as soon as that is possible.
pub struct Remains(Watched);

impl Remains {
    /// Ends when it is gone.
    pub async fn gone(mut self) {
        // It cannot be waited for any more, or not be reaped: there is nothing left to do.
        let _ = self.0.gone().await;
        let _ = self.0.reap();
    }
}

impl fmt::Debug for Remains {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Remains").finish_non_exhaustive()
    }
}

/// How a command has ended.
#[derive(Debug)]
pub enum End {
    /// By itself, with this status.
    Exited(i32),
    /// By this signal, which was not ours.
    Killed(i32),
    /// It ran into its timeout and has been killed, with its children.
    TimedOut,
    /// It was never run.
    NotStarted(io::Error),
}

impl End {
    /// Whether it ended by itself with status 0.
    #[must_use]
    pub const fn success(&self) -> bool {
        matches!(self, Self::Exited(0))
    }
}

/// As in "the command exited with status 1".
impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exited(status) => write!(f, "exited with status {status}"),
            Self::Killed(signal) => write!(f, "was killed by signal {signal}"),
            Self::TimedOut => f.write_str("did not end in time and was killed"),
            Self::NotStarted(error) => write!(f, "cannot be started: {error}"),
        }
    }
}

/// Runs `script` with `args` after its own and `env` beside what the daemon has
/// in its environment. If the future is dropped, the command is killed with its
/// children; one whose children may stay stays itself.
///
/// # Panics
/// Outside a tokio runtime with its time and I/O drivers.
pub async fn run(
    script: &ResolvedScript,
    args: &[&OsStr],
    env: &[(&str, &OsStr)],
    terms: Terms,
) -> Outcome {
    let started = Instant::now();
    let mut reader = Reader::default();
    let followed = follow(script, args, env, terms, started, &mut reader).await;
    let (end, remains) = followed.unwrap_or_else(|error| (End::NotStarted(error), None));
    Outcome {
        end,
        last_line: reader.last_line(),
        took: started.elapsed(),
        remains,
    }
}

async fn follow(
    script: &ResolvedScript,
    args: &[&OsStr],
    env: &[(&str, &OsStr)],
    terms: Terms,
    started: Instant,
    reader: &mut Reader,
) -> io::Result<(End, Option<Remains>)> {
    let image = Image {
        program: script.program().to_owned(),
        argv: script
            .argv()
            .iter()
            .cloned()
            .map(Ok)
            .chain(args.iter().map(|arg| c_string(arg)))
            .collect::<io::Result<_>>()?,
        env: environment(std::env::vars_os(), env)?,
        identity: script.identity().cloned(),
        output: terms.output == Output::LastLine,
    };
    // The calling thread waits until the program is loaded: from memory that takes
    // some 40 µs, from a disk that hangs for ever.
    let spawned = tokio::task::spawn_blocking(move || {
        let Spawned { process, output } = spawn::spawn(&image)?;
        // Here, so that it is killed and reaped also if nobody waits any more.
        io::Result::Ok((Watched::new(process, terms.children)?, output))
    });
    let (mut process, output) = spawned.await.map_err(io::Error::other)??;
    if let Some(output) = output {
        reader.open(output)?;
    }

    let mut stage = Stage::Running;
    let mut due = started + terms.timeout;
    loop {
        tokio::select! {
            gone = process.gone() => {
                gone?;
                break;
            }
            () = reader.read() => {}
            () = sleep_until(due) => match stage {
                Stage::Running => {
                    process.signal(Signal::TERM);
                    (stage, due) = (Stage::Terminated, due + GRACE);
                }
                Stage::Terminated => {
                    process.signal(Signal::KILL);
                    (stage, due) = (Stage::Killed, due + BURIAL);
                }
                Stage::Killed => return Ok((End::TimedOut, Some(Remains(process)))),
            }
        }
    }
    // Not reaped yet, so the group's number is still its own.
    if terms.children == Children::Killed || stage != Stage::Running {
        process.signal(Signal::KILL);
    }
    let status = process.reap()?;
    reader.drain();
    let end = match (stage, status) {
        (Stage::Running, Some(status)) => {
            let signal = status.terminating_signal();
            signal.map_or_else(
                || End::Exited(status.exit_status().unwrap_or(-1)),
                End::Killed,
            )
        }
        (Stage::Running, None) => End::Exited(-1),
        (Stage::Terminated | Stage::Killed, _) => End::TimedOut,
    };
    Ok((end, None))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Running,
    Terminated,
    Killed,
}

/// The environment of a command: what the daemon has, but for
/// [`NOT_INHERITED`], and `more`.
fn environment(
    inherited: impl Iterator<Item = (OsString, OsString)>,
    more: &[(&str, &OsStr)],
) -> io::Result<Vec<CString>> {
    let inherited = inherited.filter(|(name, _)| {
        !NOT_INHERITED.iter().any(|not| name == not) && !more.iter().any(|(own, _)| name == own)
    });
    let more = more
        .iter()
        .map(|(name, value)| (OsString::from(name), (*value).to_owned()));
    inherited
        .chain(more)
        .map(|(mut variable, value)| {
            variable.push("=");
            variable.push(value);
            c_string(&variable)
        })
        .collect()
}

fn c_string(text: &OsStr) -> io::Result<CString> {
    CString::new(text.as_bytes())
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "a zero octet in an argument"))
}

/// A process that is ours to reap, and its group.
#[derive(Debug)]
struct Process {
    pid: Pid,
    pidfd: OwnedFd,
}

impl Process {
    /// To all of its group. Only before it is reaped: later the number may be
    /// another's.
    fn signal(&self, signal: Signal) {
        // It fails if nobody is left, which is fine.
        let _ = rustix::process::kill_process_group(self.pid, signal);
    }

    fn reap(&self) -> io::Result<Option<WaitIdStatus>> {
        let id = WaitId::PidFd(self.pidfd.as_fd());
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
        Ok(rustix::process::waitid(id, options)?)
    }
}

/// A process whose end can be waited for.
struct Watched {
    /// `None` once it is reaped.
    process: Option<AsyncFd<Process>>,
    children: Children,
}

impl AsRawFd for Process {
    fn as_raw_fd(&self) -> RawFd {
        self.pidfd.as_raw_fd()
    }
}

impl Watched {
    /// # Errors
    /// If its end cannot be waited for; then it is killed.
    fn new(process: Process, children: Children) -> io::Result<Self> {
        // SAFETY: the descriptor stays the same and open as long as `process`, which
        // owns it, and that is as long as the registration.
        let registered = unsafe { AsyncFd::register_with_interest(process, Interest::READABLE) };
        match registered {
            Ok(process) => Ok(Self {
                process: Some(process),
                children,
            }),
            Err(error) => {
                let (process, error) = error.into_parts();
                process.signal(Signal::KILL);
                Err(error)
            }
        }
    }

    /// Ends when the process has, which can then be reaped.
    async fn gone(&self) -> io::Result<()> {
        match &self.process {
            Some(process) => process.readable().await.map(|_| ()),
            None => Ok(()),
        }
    }

    fn signal(&self, signal: Signal) {
        if let Some(process) = &self.process {
            process.get_ref().signal(signal);
        }
    }

    fn reap(&mut self) -> io::Result<Option<WaitIdStatus>> {
        let Some(process) = self.process.take() else {
            return Ok(None);
        };
        process.get_ref().reap()
    }
}

/// What is given up is killed, unless it may stay, and left to a task to be reaped.
impl Drop for Watched {
    fn drop(&mut self) {
        if self.children == Children::Killed {
            self.signal(Signal::KILL);
        }
        let (Some(process), Ok(runtime)) =
            (self.process.take(), tokio::runtime::Handle::try_current())
        else {
            return;
        };
        runtime.spawn(async move {
            if process.readable().await.is_ok() {
                // There is nobody to tell.
                let _ = process.get_ref().reap();
            }
        });
    }
}
