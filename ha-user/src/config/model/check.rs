//! Health checks, as configured.

use std::{net::IpAddr, ops::RangeInclusive, path::PathBuf, time::Duration};

use super::Script;

/// One health check; instances refer to it by [`TrackedCheck`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CheckConfig {
    /// Its name, by the rules of an instance's; unique among the checks.
    pub name: String,
    /// What is checked.
    pub kind: CheckKind,
    /// From the start of one round to that of the next: 10 ms to 1 day, for
    /// [`CheckKind::Exec`] at least 100 ms.
    pub interval: Duration,
    /// How long a round may take before it counts as failed, 1 ms to 1 day. A
    /// round that has not ended when the next is due takes that one's place.
    pub timeout: Duration,
    /// Rounds in a row that must pass before a failed check counts as passed; at
    /// least 1. The first round ever decides alone.
    pub rise: u32,
    /// Rounds in a row that must fail before a passed check counts as failed; at
    /// least 1.
    pub fall: u32,
    /// Whether it counts as failed until the first round is over, instead of
    /// being waited for.
    pub init_fail: bool,
}

/// What a health check looks at.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum CheckKind {
    /// Passes if the command ends with status 0.
    Exec(Script),
    /// Passes if the answer to a request is as wanted.
    Http(HttpCheck),
    /// Passes if a connection is accepted.
    Tcp(Target),
    /// Passes while a process runs.
    Process(ProcessCheck),
    /// Passes while a file exists, or counts by the number in it.
    File(FileCheck),
    /// Passes if an ICMP echo request is answered.
    Ping(PingCheck),
    /// Passes while an interface is up and has a carrier.
    Interface(String),
}

/// Where to connect to.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Target {
    /// Name or address.
    pub host: String,
    /// TCP port, not 0.
    pub port: u16,
}

/// A request by HTTP/1.1.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HttpCheck {
    /// Where to connect to.
    pub target: Target,
    /// What is asked for, with a leading `/`.
    pub path: String,
    /// The `Host` of the request (and TLS server name), if not that of the target.
    pub host: Option<String>,
    /// Statuses that pass; never empty.
    pub status: Vec<RangeInclusive<u16>>,
    /// Text that has to be in the first 64 KiB of the body.
    pub body: Option<String>,
    /// TLS, and how the server's certificate is judged.
    pub tls: Option<TlsCheck>,
}

/// How a server's certificate is judged.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TlsCheck {
    /// Whether it has to be valid for the host by the host's root certificates.
    pub verify: bool,
}

/// A process that has to run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ProcessCheck {
    /// How it is found.
    pub which: ProcessMatch,
    /// How many at least, 1 or more.
    pub at_least: u32,
    /// How many at most.
    pub at_most: Option<u32>,
}

/// How processes are found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ProcessMatch {
    /// By the name of the program, the last part of its path, as `pidof` does.
    Name(String),
    /// By all words of the command line.
    CommandLine(Vec<String>),
    /// By the number in a file.
    Pidfile(PathBuf),
}

/// A file that counts.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FileCheck {
    /// The file.
    pub path: PathBuf,
    /// What about it.
    pub reads: FileReads,
}

/// What about a file counts.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum FileReads {
    /// Whether it exists.
    Existence,
    /// The whole number at its start, times the weight; a missing file, and one
    /// without a number, is 0.
    Number,
}

/// An address that has to answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PingCheck {
    /// The address.
    pub address: IpAddr,
    /// The interface to ask through, if not the one that the routes say.
    pub interface: Option<String>,
}

/// A check that counts for an instance.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TrackedCheck {
    /// Place in [`Config::checks`](super::Config::checks).
    pub check: usize,
    /// Added to the priority while it passes (positive), or while it fails
    /// (negative), -253 to 253; 0: while it fails the instance is in fault. A
    /// file's number is multiplied with it.
    pub weight: i16,
    /// It counts as passed while it fails, and the other way round.
    pub reverse: bool,
}
