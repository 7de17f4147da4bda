//! Runs the commands of one instance or group, one after the other.

use std::{
    ffi::OsStr,
    future::pending,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{Mutex as AsyncMutex, watch},
    time::{Instant, sleep_until},
};

use super::{
    event::{Event, What, Word},
    queue::Receiver,
    trouble::Trouble,
};
use crate::{
    config::{NotifyConfig, Script},
    script::{self, Children, Defaults, Output, ResolveError, ResolvedScript, Terms},
};

/// When the daemon stops, a command for an earlier state is waited for so long; then
/// it goes on by itself, beside those for the stop.
const YIELD: Duration = Duration::from_secs(3);

/// The commands of an instance or a group.
#[derive(Debug)]
pub(super) struct Commands {
    /// Whose, for the log.
    of: String,
    timeout: Duration,
    defaults: Defaults,
    active: Option<Command>,
    backup: Option<Command>,
    fault: Option<Command>,
    stop: Option<Command>,
    any: Option<Command>,
    active_lower: Option<Command>,
}

#[derive(Debug)]
struct Command {
    script: Script,
    /// As in "active of web".
    what: String,
    state: AsyncMutex<CommandState>,
}

#[derive(Debug)]
struct CommandState {
    /// `None` until it is found.
    resolved: Option<Arc<ResolvedScript>>,
    trouble: Trouble,
}

impl Commands {
    /// `None` if there are no commands.
    pub(super) fn new(of: String, config: &NotifyConfig, defaults: &Defaults) -> Option<Self> {
        let command = |script: &Option<Script>, key: &str| {
            let script = script.as_ref()?;
            Some(Command::new(script, &format!("{key} of {of}")))
        };
        let commands = Self {
            timeout: config.timeout,
            defaults: defaults.clone(),
            active: command(&config.active, "active"),
            backup: command(&config.backup, "backup"),
            fault: command(&config.fault, "fault"),
            stop: command(&config.stop, "stop"),
            any: command(&config.any, "any"),
            active_lower: command(&config.active_lower, "active_lower"),
            of,
        };
        let some = commands.all().next().is_some();
        some.then_some(commands)
    }

    fn all(&self) -> impl Iterator<Item = &Command> {
        let all = [
            &self.active,
            &self.backup,
            &self.fault,
            &self.stop,
            &self.any,
            &self.active_lower,
        ];
        all.into_iter().flatten()
    }

    /// Looks for all programs and users, and tells what is wrong, before anything is to
    /// be run.
    pub(super) async fn look_up(&self) {
        for command in self.all() {
            let mut state = command.state.lock().await;
            if let Err(why) = self.resolve(command, &mut state).await
                && state.trouble.failed(&why)
            {
                tracing::warn!("the command {} {why}", command.what);
            }
        }
    }

    /// The program and the user of `command`, looked up until they are found. Who is
    /// asked for users may take a while.
    async fn resolve(
        &self,
        command: &Command,
        state: &mut CommandState,
    ) -> Result<Arc<ResolvedScript>, String> {
        if let Some(resolved) = &state.resolved {
            return Ok(Arc::clone(resolved));
        }
        let (script, defaults) = (command.script.clone(), self.defaults.clone());
        let found = tokio::task::spawn_blocking(move || {
            let resolved = ResolvedScript::resolve(&script, &defaults)?;
            let secure = resolved.secure();
            Ok::<_, ResolveError>((resolved, secure))
        });
        let found = found.await.map_err(|error| error.to_string())?;
        let (resolved, secure) = found.map_err(|error| format!("cannot be run: {error}"))?;
        if let Err(error) = secure {
            tracing::warn!("the command {}: {error}", command.what);
        }
        Ok(Arc::clone(state.resolved.insert(Arc::new(resolved))))
    }

    /// Whether any command is for `event`.
    pub(super) fn want(&self, event: &Event) -> bool {
        self.of(event).any(|_| true)
    }

    /// The commands for `event`, and whether they are told of it by arguments.
    fn of(&self, event: &Event) -> impl Iterator<Item = (&Command, bool)> {
        let (own, any) = match &event.what {
            What::State { to, .. } => {
                let own = match to {
                    Word::Master => &self.active,
                    Word::Backup => &self.backup,
                    Word::Fault => &self.fault,
                    Word::Stop => &self.stop,
                };
                (own, self.any.as_ref())
            }
            What::LowerAdvert => (&self.active_lower, None),
            What::Priority(_) => (&None, None),
        };
        let own = own.iter().map(|command| (command, false));
        own.chain(any.map(|command| (command, true)))
    }

    async fn run(&self, event: &Event) {
        let arguments = event.arguments();
        for (command, told) in self.of(event) {
            let arguments: Vec<&OsStr> = if told {
                arguments.iter().map(AsRef::as_ref).collect()
            } else {
                Vec::new()
            };
            let mut state = command.state.lock().await;
            let failure = self.run_one(command, &mut state, &arguments).await.err();
            let program = command.program();
            let (of, word) = (&self.of, event.word());
            match failure {
                Some(why) if state.trouble.failed(&why) => {
                    tracing::warn!("{of}: the command {program} for {word} {why}");
                }
                Some(_) => {}
                None => {
                    if let Some(failures) = state.trouble.recovered() {
                        let times = if failures == 1 { "time" } else { "times" };
                        tracing::info!(
                            "{of}: the command {program} has run, for {word}, after it failed \
                             {failures} {times}"
                        );
                    }
                }
            }
        }
    }

    /// # Errors
    /// What it did not do, as in "the command … exited with status 1".
    async fn run_one(
        &self,
        command: &Command,
        state: &mut CommandState,
        arguments: &[&OsStr],
    ) -> Result<(), String> {
        let resolved = self.resolve(command, state).await?;
        let terms = Terms {
            timeout: self.timeout,
            children: Children::Left,
            output: Output::Discarded,
        };
        let outcome = script::run(&resolved, arguments, &[], terms).await;
        tracing::debug!(
            "{}: {resolved} {}, after {:?}",
            self.of,
            outcome.end,
            outcome.took
        );
        if outcome.end.success() {
            Ok(())
        } else {
            Err(outcome.end.to_string())
        }
    }
}

impl Command {
    /// `what` it is, for the log.
    fn new(script: &Script, what: &str) -> Self {
        Self {
            script: script.clone(),
            what: what.to_owned(),
            state: AsyncMutex::new(CommandState {
                resolved: None,
                trouble: Trouble::default(),
            }),
        }
    }

    fn program(&self) -> &str {
        self.script.argv.first().map_or("", String::as_str)
    }
}

/// The commands in effect: those of a reload take the place of others.
pub(super) type Current = Arc<Mutex<Arc<Commands>>>;

/// The commands in effect.
pub(super) fn current(commands: &Current) -> Arc<Commands> {
    Arc::clone(&commands.lock().unwrap_or_else(PoisonError::into_inner))
}

/// Runs `commands` for what comes out of `queue`, until nothing more does.
/// `stopping` says since when the daemon stops.
pub(super) async fn serve(
    mut queue: Receiver,
    commands: Current,
    stopping: watch::Receiver<Option<Instant>>,
) {
    while let Some(event) = queue.next().await {
        let commands = current(&commands);
        let is_last = matches!(event.what, What::State { to: Word::Stop, .. });
        tokio::select! {
            () = commands.run(&event) => {}
            () = overdue(stopping.clone()), if !is_last => {
                let (of, word) = (&commands.of, event.word());
                tracing::warn!("{of}: the command for {word} still runs; it is not waited for");
            }
        }
    }
}

/// Ends when the daemon has been stopping for [`YIELD`].
async fn overdue(mut stopping: watch::Receiver<Option<Instant>>) {
    let since = match stopping.wait_for(Option::is_some).await {
        Ok(since) => *since,
        // Nobody will say.
        Err(_) => None,
    };
    match since {
        Some(since) => sleep_until(since + YIELD).await,
        None => pending().await,
    }
}
