//! One round of a check, by its kind.

mod blocking;
mod exec;
mod file;
mod ping;
mod process;

use std::{future, ops::RangeInclusive, sync::Arc, time::Duration};

use tokio::sync::Semaphore;

use self::{exec::Exec, file::File, ping::Ping, process::Processes};
use crate::{
    config::{CheckConfig, CheckKind, HttpCheck, Target},
    http::{self, Server},
    script,
};

/// What a round has found, with what there is to say of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Finding {
    /// All is well.
    Passed(String),
    /// It is not.
    Failed(String),
    /// A number.
    Value(i32, String),
    /// The round before has not ended, though it has been given up.
    Busy,
}

/// What asks.
pub(super) enum Probe {
    Exec(Exec),
    Http(Http),
    Tcp(Target),
    Processes(Processes),
    File(File),
    Ping(Ping),
}

impl Probe {
    /// None for an interface, which is not asked.
    pub(super) fn new(
        check: &CheckConfig,
        defaults: &script::Defaults,
        commands: &Arc<Semaphore>,
    ) -> Option<Self> {
        Some(match &check.kind {
            CheckKind::Exec(script) => {
                Self::Exec(Exec::new(script.clone(), defaults.clone(), commands))
            }
            CheckKind::Http(http) => Self::Http(Http::new(http)),
            CheckKind::Tcp(target) => Self::Tcp(target.clone()),
            CheckKind::Process(process) => Self::Processes(Processes::new(process.clone())),
            CheckKind::File(file) => Self::File(File::new(file.clone())),
            CheckKind::Ping(ping) => Self::Ping(Ping::new(ping.clone())),
            CheckKind::Interface(_) => return None,
        })
    }

    /// Asks once; it takes hardly longer than `timeout`.
    pub(super) async fn round(&mut self, timeout: Duration) -> Finding {
        match self {
            Self::Exec(exec) => exec.round(timeout).await,
            Self::Http(http) => http.round(timeout).await,
            Self::Tcp(target) => tcp(target, timeout).await,
            Self::Processes(processes) => processes.round(timeout).await,
            Self::File(file) => file.round(timeout).await,
            Self::Ping(ping) => ping.round(timeout).await,
        }
    }

    /// Ends when a round would find something else than the last one, as far as that
    /// can be noticed without one.
    pub(super) async fn changed(&mut self) {
        match self {
            Self::Processes(processes) => processes.changed().await,
            _ => future::pending().await,
        }
    }
}

/// See [`CheckKind::Http`].
pub(super) struct Http {
    server: Result<Server, http::BadHost>,
    path: String,
    status: Vec<RangeInclusive<u16>>,
    body: Option<String>,
}

impl Http {
    fn new(config: &HttpCheck) -> Self {
        let Target { host, port } = &config.target;
        let tls = config.tls.map(|tls| tls.verify);
        Self {
            server: Server::new(host, *port, tls, config.host.as_deref()),
            path: config.path.clone(),
            status: config.status.clone(),
            body: config.body.clone(),
        }
    }

    async fn round(&self, timeout: Duration) -> Finding {
        let server = match &self.server {
            Ok(server) => server,
            // The configuration has none such.
            Err(error) => return Finding::Failed(error.to_string()),
        };
        let answer = server.get(&self.path, self.body.is_some(), timeout).await;
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) => return Finding::Failed(error.to_string()),
        };
        let said = format!("status {}", answer.status);
        if !self.status.iter().any(|it| it.contains(&answer.status)) {
            return Finding::Failed(said);
        }
        match &self.body {
            Some(text) if !contains(&answer.body, text.as_bytes()) => {
                Finding::Failed(format!("{said}, without the text in its body"))
            }
            _ => Finding::Passed(said),
        }
    }
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    part.is_empty() || text.windows(part.len()).any(|window| window == part)
}

async fn tcp(target: &Target, timeout: Duration) -> Finding {
    let Target { host, port } = target;
    match http::connect(host, *port, timeout).await {
        Ok(stream) => {
            // If the kernel does not, the port is busy for a minute.
            let _ = http::reset_at_close(&stream);
            Finding::Passed(String::new())
        }
        Err(error) => Finding::Failed(error.to_string()),
    }
}
