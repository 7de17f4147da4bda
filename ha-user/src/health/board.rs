//! What status shows of the checks.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ha_common::fsm::TrackerId;
use tokio::time::Instant;

use crate::{
    config::{CheckConfig, CheckKind},
    engine::Reading,
};

/// What is known of a check.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    /// Nothing yet.
    Pending,
    /// It passes.
    Passing,
    /// It fails.
    Failing,
    /// It says this number.
    Value(i32),
}

impl From<State> for Reading {
    fn from(state: State) -> Self {
        match state {
            State::Pending => Self::Pending,
            State::Passing => Self::Up,
            State::Failing => Self::Down,
            State::Value(value) => Self::Value(value),
        }
    }
}

/// One check.
#[derive(Clone, Debug)]
pub struct Row {
    /// Its name.
    pub name: String,
    /// The word of its kind in the configuration.
    pub kind: &'static str,
    /// What the driver knows it by; that of an interface is the interface's.
    pub id: TrackerId,
    /// Whether it passes.
    pub state: State,
    /// Since when.
    pub since: Instant,
    /// How long the last round took.
    pub took: Option<std::time::Duration>,
    /// What the last round had to say: the last line of a command's output, or what
    /// went wrong. Bounded and printable.
    pub text: String,
    /// Rounds since the start.
    pub rounds: u64,
    /// How many of them failed.
    pub failures: u64,
    /// Rounds that were left out because the one before took too long.
    pub skipped: u64,
}

impl Row {
    /// As in "check nginx fails: connection refused".
    #[must_use]
    pub fn describe(&self) -> String {
        let Self { name, text, .. } = self;
        let says = match self.state {
            State::Pending => "has no result yet".to_owned(),
            State::Passing => "passes".to_owned(),
            State::Failing => "fails".to_owned(),
            State::Value(value) => format!("is {value}"),
        };
        match text.is_empty() || self.state == State::Pending {
            true => format!("check {name} {says}"),
            false => format!("check {name} {says}: {text}"),
        }
    }
}

/// What a task and its readers share.
#[derive(Debug)]
pub(super) struct Shared(Mutex<Row>);

impl Shared {
    pub(super) fn new(check: &CheckConfig, id: TrackerId) -> Self {
        Self(Mutex::new(Row {
            name: check.name.clone(),
            kind: word(&check.kind),
            id,
            state: match check.init_fail {
                true => State::Failing,
                false => State::Pending,
            },
            since: Instant::now(),
            took: None,
            text: String::new(),
            rounds: 0,
            failures: 0,
            skipped: 0,
        }))
    }

    /// The same check with other settings.
    pub(super) fn carried_over(&self, check: &CheckConfig) -> Self {
        Self(Mutex::new(Row {
            kind: word(&check.kind),
            ..self.lock().clone()
        }))
    }

    /// Locked for as long as it takes to copy a few words, never while waiting.
    pub(super) fn lock(&self) -> MutexGuard<'_, Row> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What status shows of the checks, in the order of the configuration.
#[derive(Debug, Default)]
pub struct Board(Mutex<Vec<Arc<Shared>>>);

impl Board {
    pub(super) fn replace(&self, rows: impl Iterator<Item = Arc<Shared>>) {
        *self.lock() = rows.collect();
    }

    /// All checks as they are now.
    pub fn rows(&self) -> Vec<Row> {
        self.lock().iter().map(|row| row.lock().clone()).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Arc<Shared>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const fn word(kind: &CheckKind) -> &'static str {
    match kind {
        CheckKind::Exec(_) => "exec",
        CheckKind::Http(_) => "http",
        CheckKind::Tcp(_) => "tcp",
        CheckKind::Process(_) => "process",
        CheckKind::File(_) => "file",
        CheckKind::Ping(_) => "ping",
        CheckKind::Interface(_) => "interface",
    }
}
