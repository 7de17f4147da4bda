//! Who is told what.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, SystemTime},
};

use ha_common::{fsm::StateKind, types::Priority};
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{Instant, timeout},
};

use super::{
    STOP,
    event::{Event, Subject, What, Word},
    fifo::Fifo,
    group,
    recipient::{Crew, Recipients},
};
use crate::{
    config::{Config, NotifyConfig},
    driver::notice::{Happening, Notice},
    engine::InstanceId,
    script::Defaults,
    sys,
};

/// Knows all instances and groups, and whom to tell of them.
#[derive(Debug)]
pub(super) struct Teller {
    config: Arc<Config>,
    /// The instances' places in the configuration.
    places: BTreeMap<InstanceId, usize>,
    /// By name.
    instances: BTreeMap<Subject, Known>,
    groups: BTreeMap<Subject, Known>,
    /// Instances that are no longer in the configuration and have not let go yet.
    leaving: BTreeMap<InstanceId, (Subject, Known)>,
    fifos: Vec<Fifo>,
    crew: Crew,
}

/// What is known of an instance or a group.
#[derive(Debug)]
struct Known {
    /// The state that was told last; of an instance `None` also while it is in one
    /// that is not told.
    state: Option<Word>,
    /// The last state that was told.
    told: Option<Arc<Event>>,
    priority: Option<Priority>,
    recipients: Recipients,
}

impl Teller {
    pub(super) fn new(config: &Arc<Config>, ids: Vec<InstanceId>) -> Self {
        let daemon = rustix::system::uname();
        let mut teller = Self {
            config: Arc::new(Config::default()),
            places: BTreeMap::new(),
            instances: BTreeMap::new(),
            groups: BTreeMap::new(),
            leaving: BTreeMap::new(),
            fifos: Vec::new(),
            crew: Crew {
                tasks: JoinSet::new(),
                stopping: watch::Sender::new(None),
                daemon: daemon.nodename().to_string_lossy().into_owned(),
            },
        };
        teller.reload(config, ids);
        teller
    }

    pub(super) fn reload(&mut self, config: &Arc<Config>, ids: Vec<InstanceId>) {
        let defaults = Defaults::from(&**config);
        let instances = config.instances.iter().map(|instance| {
            let subject = Subject::Instance(instance.name.clone());
            (subject, &instance.notify, Some(instance.priority))
        });
        let groups = config.sync_groups.iter().map(|group| {
            let subject = Subject::Group(group.name.clone());
            (subject, &group.notify, None)
        });
        let places: BTreeMap<InstanceId, usize> = ids.into_iter().zip(0..).collect();
        self.tell_replaced(config, &places);
        let crew = &mut self.crew;
        let gone_instances = replace(&mut self.instances, instances, &defaults, crew);
        let gone_groups = replace(&mut self.groups, groups, &defaults, crew);
        // By the FIFOs of before: those of the new configuration have never heard of
        // them.
        for (subject, known) in gone_instances.into_iter().chain(gone_groups) {
            // It has begun to take part, so it will let go.
            let id = self.id_of(&subject).filter(|_| known.told.is_some());
            match id {
                Some(id) => {
                    self.leaving.insert(id, (subject, known));
                }
                None => self.tell_gone(&subject, &known),
            }
        }
        let mut before = std::mem::take(&mut self.fifos);
        for fifo in &config.notify_fifos {
            let kept = before.iter().position(|old| old.is(fifo, &defaults));
            self.fifos.push(match kept {
                Some(place) => before.swap_remove(place),
                None => Fifo::new(fifo, &defaults),
            });
        }
        // One with the same path but another reader is not to be removed.
        let paths: Vec<_> = config.notify_fifos.iter().map(|fifo| &fifo.path).collect();
        for mut fifo in before {
            if paths.contains(&fifo.path()) {
                fifo.leave();
            }
            self.crew.tasks.spawn(fifo.close());
        }
        self.places = places;
        self.config = Arc::clone(config);
        self.reap();
    }

    /// The id of an instance in the configuration until now.
    fn id_of(&self, subject: &Subject) -> Option<InstanceId> {
        let Subject::Instance(name) = subject else {
            return None;
        };
        let is_it = |place: &usize| self.config.instances[*place].name == *name;
        let mut places = self.places.iter();
        places.find(|(_, place)| is_it(place)).map(|(id, _)| *id)
    }

    /// Tells of those that are another virtual router in `config`, under the same name:
    /// that may have to wait for long before it is in any state.
    fn tell_replaced(&mut self, config: &Config, places: &BTreeMap<InstanceId, usize>) {
        for (id, place) in places {
            let subject = Subject::Instance(config.instances[*place].name.clone());
            if self.id_of(&subject).is_none_or(|before| before == *id) {
                continue;
            }
            let Some(known) = self.instances.get_mut(&subject) else {
                continue;
            };
            known.state = None;
            if known.last().is_none_or(|word| word == Word::Stop) {
                continue;
            }
            let event = stop(&subject, known, "another virtual router takes its place");
            known.remember(&event);
            tell(&mut self.fifos, &event, &known.recipients);
        }
    }

    fn tell_gone(&mut self, subject: &Subject, known: &Known) {
        let reason = "it is no longer in the configuration";
        tell(
            &mut self.fifos,
            &stop(subject, known, reason),
            &known.recipients,
        );
    }

    /// What happens to a router that is not in the configuration is not told, but for
    /// its end.
    pub(super) fn hear(&mut self, notice: Notice) {
        let is_end =
            matches!(&notice.what, Happening::Transition { to, .. } if *to == StateKind::Init);
        if is_end && let Some((subject, known)) = self.leaving.remove(&notice.id) {
            self.tell_gone(&subject, &known);
            return;
        }
        let instance = self.places.get(&notice.id);
        let instance = instance.and_then(|place| self.config.instances.get(*place));
        let Some(instance) = instance else {
            return;
        };
        let subject = Subject::Instance(instance.name.clone());
        let Some(known) = self.instances.get_mut(&subject) else {
            return;
        };
        known.priority = Some(notice.priority);
        let what = match notice.what {
            Happening::Transition {
                from: _,
                to,
                reason,
            } => {
                known.state = Word::of(to);
                let Some(to) = known.state else {
                    return;
                };
                let from = known.last();
                // It has taken its addresses back before it had released them.
                if from == Some(to) {
                    return;
                }
                What::State { from, to, reason }
            }
            Happening::Priority => match known.state {
                Some(Word::Stop) | None => return,
                Some(state) => What::Priority(state),
            },
            Happening::LowerAdvert => What::LowerAdvert,
        };
        let event = Arc::new(Event {
            subject,
            what,
            priority: Some(notice.priority),
            at: wall_clock(notice.at),
        });
        known.remember(&event);
        tell(&mut self.fifos, &event, &known.recipients);
        self.reap();
    }

    /// Tells of groups that have come into another state.
    pub(super) fn tell_groups(&mut self) {
        for group in &self.config.sync_groups {
            let members = || {
                let members = group.members.iter();
                let members = members.filter_map(|place| self.config.instances.get(*place));
                members.filter_map(|member| {
                    let subject = Subject::Instance(member.name.clone());
                    self.instances.get(&subject)
                })
            };
            let state = group::state(members().map(|member| member.state));
            let reason = members()
                .filter_map(|member| member.told.as_ref())
                .max_by_key(|event| event.at)
                .map_or(String::new(), |event| match &event.what {
                    What::State { reason, .. } => format!("{}: {reason}", event.subject),
                    What::Priority(_) | What::LowerAdvert => String::new(),
                });
            let subject = Subject::Group(group.name.clone());
            let (Some(to), Some(known)) = (state, self.groups.get_mut(&subject)) else {
                continue;
            };
            let from = known.last();
            if from == Some(to) {
                continue;
            }
            known.state = Some(to);
            let event = Arc::new(Event {
                subject,
                what: What::State { from, to, reason },
                priority: None,
                at: SystemTime::now(),
            });
            known.remember(&event);
            tell(&mut self.fifos, &event, &known.recipients);
        }
    }

    /// Tells that all stop, and waits for those who are told, for a while.
    pub(super) async fn stop(mut self) {
        let leaving = self
            .leaving
            .values()
            .map(|(subject, known)| (subject, known));
        let all = self.instances.iter().chain(&self.groups).chain(leaving);
        for (subject, known) in all {
            let event = stop(subject, known, "the daemon stops");
            tell(&mut self.fifos, &event, &known.recipients);
        }
        // Nothing more will come.
        self.instances.clear();
        self.groups.clear();
        self.leaving.clear();
        let since = Instant::now();
        self.crew.stopping.send_replace(Some(since));
        let tasks = &mut self.crew.tasks;
        for fifo in self.fifos.drain(..) {
            tasks.spawn(fifo.close());
        }
        let all_told = async { while tasks.join_next().await.is_some() {} };
        if timeout(STOP, all_told).await.is_err() {
            let left = tasks.len();
            tracing::warn!(
                "not all could be told of the stop within {STOP:?}: {left} not waited for"
            );
        }
    }

    /// Forgets tasks that have ended. They do not fail; a panic was already printed.
    fn reap(&mut self) {
        while self.crew.tasks.try_join_next().is_some() {}
    }
}

impl Known {
    /// The last state that was told.
    fn last(&self) -> Option<Word> {
        match &self.told.as_ref()?.what {
            What::State { to, .. } => Some(*to),
            What::Priority(_) | What::LowerAdvert => None,
        }
    }

    fn remember(&mut self, event: &Arc<Event>) {
        if matches!(event.what, What::State { .. }) {
            self.told = Some(Arc::clone(event));
        }
    }
}

/// Makes `known` those of `subjects`; gives those that are none any more.
fn replace<'a>(
    known: &mut BTreeMap<Subject, Known>,
    subjects: impl Iterator<Item = (Subject, &'a NotifyConfig, Option<Priority>)>,
    defaults: &Defaults,
    crew: &mut Crew,
) -> BTreeMap<Subject, Known> {
    let mut before = std::mem::take(known);
    for (subject, config, priority) in subjects {
        let entry = match before.remove(&subject) {
            Some(mut entry) => {
                let told = entry.told.clone();
                entry.recipients.set(config, defaults, told.as_ref(), crew);
                entry
            }
            None => Known {
                state: None,
                told: None,
                priority,
                recipients: Recipients::new(&subject, config, defaults, crew),
            },
        };
        known.insert(subject, entry);
    }
    before
}

fn stop(subject: &Subject, known: &Known, reason: &str) -> Arc<Event> {
    Arc::new(Event {
        subject: subject.clone(),
        what: What::State {
            from: known.last(),
            to: Word::Stop,
            reason: reason.to_owned(),
        },
        priority: known.priority,
        at: SystemTime::now(),
    })
}

fn tell(fifos: &mut [Fifo], event: &Arc<Event>, recipients: &Recipients) {
    if recipients.tell(event) && !fifos.is_empty() {
        let line = event.line();
        for fifo in fifos {
            fifo.write(&line);
        }
    }
}

/// What the clock on the wall said at `at`.
fn wall_clock(at: ha_common::time::Timestamp) -> SystemTime {
    let now = sys::now().as_nanos();
    let ago = Duration::from_nanos(now.saturating_sub(at.as_nanos()));
    let now = SystemTime::now();
    now.checked_sub(ago).unwrap_or(now)
}
