//! Who is told of one instance or group.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::{sync::watch, task::JoinSet, time::Instant};

use super::{
    event::{Event, Subject, What},
    queue::{self, Sender},
    scripts::{self, Commands},
    state_file,
    webhook::{self, Webhook},
};
use crate::{config::NotifyConfig, script::Defaults};

/// The tasks of all who are told, and what they need to know.
#[derive(Debug)]
pub(super) struct Crew {
    pub(super) tasks: JoinSet<()>,
    /// Since when the daemon stops.
    pub(super) stopping: watch::Sender<Option<Instant>>,
    /// The name of this host.
    pub(super) daemon: String,
}

/// Those who are told of one instance or group. When it is dropped, what waits is
/// still told.
#[derive(Debug)]
pub(super) struct Recipients {
    of: String,
    /// None of an instance that says nothing of it, as most do.
    config: Option<Box<NotifyConfig>>,
    defaults: Defaults,
    scripts: Option<(Sender, scripts::Current)>,
    state_file: Option<(Sender, PathBuf)>,
    webhook: Option<(Sender, webhook::Current)>,
}

impl Recipients {
    pub(super) fn new(
        subject: &Subject,
        config: &NotifyConfig,
        defaults: &Defaults,
        crew: &mut Crew,
    ) -> Self {
        let mut recipients = Self {
            of: subject.to_string(),
            config: None,
            defaults: defaults.clone(),
            scripts: None,
            state_file: None,
            webhook: None,
        };
        recipients.set(config, defaults, None, crew);
        recipients
    }

    /// Tells those in `config` from now on. Who is new is told of `state` where it is
    /// about how things are, not about what happens.
    pub(super) fn set(
        &mut self,
        config: &NotifyConfig,
        defaults: &Defaults,
        state: Option<&Arc<Event>>,
        crew: &mut Crew,
    ) {
        let wanted = (*config != NotifyConfig::default()).then(|| Box::new(config.clone()));
        if self.config == wanted && self.defaults == *defaults {
            return;
        }
        self.set_scripts(config, defaults, crew);
        self.set_state_file(config, state, crew);
        self.set_webhook(config, crew);
        self.config = wanted;
        self.defaults = defaults.clone();
    }

    fn set_scripts(&mut self, config: &NotifyConfig, defaults: &Defaults, crew: &mut Crew) {
        let Some(commands) = Commands::new(self.of.clone(), config, defaults) else {
            self.scripts = None;
            return;
        };
        let commands = Arc::new(commands);
        let new = Arc::clone(&commands);
        crew.tasks.spawn(async move { new.look_up().await });
        if let Some((_, current)) = &self.scripts {
            *current.lock().unwrap_or_else(PoisonError::into_inner) = commands;
            return;
        }
        let (sender, receiver) = queue::queue();
        let current = Arc::new(Mutex::new(commands));
        let stopping = crew.stopping.subscribe();
        let task = scripts::serve(receiver, Arc::clone(&current), stopping);
        crew.tasks.spawn(task);
        self.scripts = Some((sender, current));
    }

    fn set_state_file(
        &mut self,
        config: &NotifyConfig,
        state: Option<&Arc<Event>>,
        crew: &mut Crew,
    ) {
        let before = self.state_file.as_ref().map(|(_, path)| path);
        if before == config.state_file.as_ref() {
            return;
        }
        self.state_file = config.state_file.as_ref().map(|path| {
            let (sender, receiver) = queue::queue();
            if let Some(state) = state {
                sender.put(Arc::clone(state));
            }
            let task = state_file::serve(path.clone(), self.of.clone(), receiver);
            crew.tasks.spawn(task);
            (sender, path.clone())
        });
    }

    fn set_webhook(&mut self, config: &NotifyConfig, crew: &mut Crew) {
        let webhook = config.webhook.as_ref();
        let Some(webhook) = webhook.and_then(|webhook| Webhook::new(webhook, &self.of)) else {
            self.webhook = None;
            return;
        };
        let webhook = Arc::new(webhook);
        if let Some((_, current)) = &self.webhook {
            *current.lock().unwrap_or_else(PoisonError::into_inner) = webhook;
            return;
        }
        let (sender, receiver) = queue::queue();
        let current = Arc::new(Mutex::new(webhook));
        let (of, daemon) = (self.of.clone(), crew.daemon.clone());
        crew.tasks
            .spawn(webhook::serve(Arc::clone(&current), of, daemon, receiver));
        self.webhook = Some((sender, current));
    }

    /// Tells those who want to hear of it; whether FIFOs are to be told, too.
    pub(super) fn tell(&self, event: &Arc<Event>) -> bool {
        let is_state = matches!(event.what, What::State { .. });
        let is_priority = matches!(event.what, What::Priority(_));
        let config = self.config.as_ref();
        if is_priority && !config.is_some_and(|config| config.priority_changes) {
            return false;
        }
        if let Some((queue, commands)) = &self.scripts
            && scripts::current(commands).want(event)
            && let Some(passed_over) = queue.put(Arc::clone(event))
        {
            let (of, word) = (&self.of, passed_over.word());
            let newer = event.word();
            tracing::info!(
                "{of}: no command is run for {word}: an earlier one still runs, and {newer} is newer"
            );
        }
        if let Some((queue, _)) = &self.state_file
            && is_state
        {
            queue.put(Arc::clone(event));
        }
        if let Some((queue, _)) = &self.webhook
            && (is_state || is_priority)
        {
            queue.put(Arc::clone(event));
        }
        true
    }
}
