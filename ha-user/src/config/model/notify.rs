//! Who hears of transitions, as configured.

use std::{fmt, path::PathBuf, time::Duration};

/// A command: a program and its arguments, without a shell.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Script {
    /// Program and arguments; never empty. A program without a `/` is looked for
    /// in `PATH`.
    pub argv: Vec<String>,
    /// As whom it runs; if absent as [`Config::script_user`](super::Config::script_user).
    pub run_as: Option<RunAs>,
}

/// A user that commands run as.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct RunAs {
    /// Name or number.
    pub user: String,
    /// Name or number; the user's own group if absent.
    pub group: Option<String>,
}

/// Who hears of the transitions of an instance or a sync group.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NotifyConfig {
    /// After a transition to Active.
    pub active: Option<Script>,
    /// After a transition to Backup.
    pub backup: Option<Script>,
    /// After a transition to fault.
    pub fault: Option<Script>,
    /// When the daemon stops.
    pub stop: Option<Script>,
    /// After each of them, with `INSTANCE|GROUP name STATE priority` appended; a
    /// group's priority is 0.
    pub any: Option<Script>,
    /// When an Active hears an advertisement of lower priority.
    pub active_lower: Option<Script>,
    /// Whether changes of the priority alone are told too, to FIFOs and the webhook.
    pub priority_changes: bool,
    /// How long a command may run, 100 ms to 1 day.
    pub timeout: Duration,
    /// A file with the state in it, `STATE=MASTER`, replaced at once.
    pub state_file: Option<PathBuf>,
    /// Where transitions are posted as JSON.
    pub webhook: Option<Webhook>,
}

impl NotifyConfig {
    /// How long a command may run where the file does not say.
    pub const TIMEOUT: Duration = Duration::from_secs(60);
}

impl Default for NotifyConfig {
    fn default() -> Self {
        Self {
            active: None,
            backup: None,
            fault: None,
            stop: None,
            any: None,
            active_lower: None,
            priority_changes: false,
            timeout: Self::TIMEOUT,
            state_file: None,
            webhook: None,
        }
    }
}

/// Where transitions are posted.
#[derive(Clone, PartialEq, Eq)]
pub struct Webhook {
    /// `http://` or `https://`. May hold a secret: it is kept out of log and
    /// status, but for the host.
    pub url: String,
    /// How long one attempt may take, 100 ms to 5 min.
    pub timeout: Duration,
    /// Attempts after the first, 0 to 100.
    pub retries: u32,
    /// From the end of one attempt to the next, 100 ms to 1 h.
    pub retry_interval: Duration,
    /// Headers of the request, name and value; values are secrets.
    pub headers: Vec<(String, String)>,
    /// Whether the certificate of an `https` server is verified.
    pub verify: bool,
}

impl Webhook {
    /// [`timeout`](Self::timeout) where the file does not say.
    pub const TIMEOUT: Duration = Duration::from_secs(5);
    /// [`retries`](Self::retries) where the file does not say.
    pub const RETRIES: u32 = 5;
    /// [`retry_interval`](Self::retry_interval) where the file does not say.
    pub const RETRY_INTERVAL: Duration = Duration::from_secs(3);
}

impl fmt::Debug for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Webhook").finish_non_exhaustive()
    }
}

/// A FIFO that gets one line per transition, such as `INSTANCE "web" MASTER 100`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fifo {
    /// Where it is made.
    pub path: PathBuf,
    /// A command that reads it, with the path as last argument.
    pub reader: Option<Script>,
}
