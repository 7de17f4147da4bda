//! Commands.

use std::{sync::Arc, time::Duration};

use tokio::{sync::Semaphore, task::JoinSet, time::Instant};

use super::Finding;
use crate::{
    config::Script,
    script::{self, Children, Defaults, End, Outcome, Output, ResolvedScript, Terms},
};

/// So long after its timeout the round of a command is over, though the command
/// itself may take longer to end.
const MARGIN: Duration = Duration::from_millis(20);

/// See [`CheckKind::Exec`](crate::config::CheckKind::Exec).
pub(in crate::health) struct Exec {
    script: Script,
    defaults: Defaults,
    commands: Arc<Semaphore>,
    resolved: Option<Arc<ResolvedScript>>,
    /// At most one: the command, which is killed when this is dropped.
    running: JoinSet<Outcome>,
    /// When it should be gone, killed if need be.
    gone_at: Instant,
}

impl Exec {
    pub(super) fn new(script: Script, defaults: Defaults, commands: &Arc<Semaphore>) -> Self {
        Self {
            script,
            defaults,
            commands: Arc::clone(commands),
            resolved: None,
            running: JoinSet::new(),
            gone_at: Instant::now(),
        }
    }

    pub(super) async fn round(&mut self, timeout: Duration) -> Finding {
        // One that was given up and has ended meanwhile.
        while self.running.try_join_next().is_some() {}
        if !self.running.is_empty() {
            // It may hang there for ever, and so long nobody knows how things are.
            return match Instant::now() < self.gone_at {
                true => Finding::Busy,
                false => Finding::Failed("it hangs and cannot be killed".to_owned()),
            };
        }
        let script = match self.resolve().await {
            Ok(script) => script,
            Err(why) => return Finding::Failed(why),
        };
        let commands = Arc::clone(&self.commands);
        let Ok(turn) = commands.acquire_owned().await else {
            return Finding::Busy;
        };
        let terms = Terms {
            timeout,
            children: Children::Killed,
            output: Output::LastLine,
        };
        self.gone_at = Instant::now() + timeout + script::GRACE + script::BURIAL + MARGIN;
        self.running.spawn(async move {
            let mut outcome = script::run(&script, &[], &[], terms).await;
            // Others may run; of this one no second is begun.
            drop(turn);
            if let Some(remains) = outcome.remains.take() {
                remains.gone().await;
            }
            outcome
        });
        match tokio::time::timeout(timeout + MARGIN, self.running.join_next()).await {
            Ok(Some(Ok(outcome))) => judge(outcome),
            // It was begun just now, and panics are printed.
            Ok(None | Some(Err(_))) => Finding::Failed("it cannot be run".to_owned()),
            Err(_) => Finding::Failed(format!("did not end within {timeout:?}")),
        }
    }

    /// The program and its user, looked up until they are found.
    async fn resolve(&mut self) -> Result<Arc<ResolvedScript>, String> {
        if let Some(script) = &self.resolved {
            return Ok(Arc::clone(script));
        }
        let (script, defaults) = (self.script.clone(), self.defaults.clone());
        let resolve = move || ResolvedScript::resolve(&script, &defaults);
        let resolved = tokio::task::spawn_blocking(resolve)
            .await
            .map_err(|error| error.to_string())?
            .map_err(|error| error.to_string())?;
        Ok(Arc::clone(self.resolved.insert(Arc::new(resolved))))
    }
}

fn judge(outcome: Outcome) -> Finding {
    let Outcome { end, last_line, .. } = outcome;
    match end {
        End::Exited(0) => Finding::Passed(last_line),
        end if last_line.is_empty() => Finding::Failed(end.to_string()),
        end => Finding::Failed(format!("{last_line} ({end})")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_command_that_cannot_be_killed_fails_and_stays_the_only_one() {
        let script = Script {
            argv: vec!["/bin/true".to_owned()],
            run_as: None,
        };
        let commands = Arc::new(Semaphore::new(1));
        let mut exec = Exec::new(script, Defaults::default(), &commands);
        let timeout = Duration::from_secs(60);
        assert_eq!(exec.round(timeout).await, Finding::Passed(String::new()));
        // As one that hangs in the kernel.
        exec.running.spawn(std::future::pending());
        assert_eq!(exec.round(timeout).await, Finding::Busy);
        exec.gone_at = Instant::now();
        assert!(matches!(exec.round(timeout).await, Finding::Failed(_)));
        assert_eq!(exec.running.len(), 1);
        exec.running.shutdown().await;
        assert_eq!(exec.round(timeout).await, Finding::Passed(String::new()));
    }
}
