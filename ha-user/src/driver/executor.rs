//! Carries out one virtual router's actions.

use std::{collections::HashSet, io, net::IpAddr, sync::Arc, time::Duration};

use ha_common::{
    fsm::{FaultCause, Parameters, Sorting, TrackerId},
    time::Timestamp,
    types::{Centiseconds, Priority},
    wire::vrrp::Authentication,
};

use super::{
    advertise::Asking,
    attachment::{Attached, Attachment},
    command::TrackerReport,
    history::History,
    subject::{Spate, Subject},
    tell::Told,
};
use crate::{
    config::{InstanceConfig, SharedInstance},
    engine::{Readings, Snapshot},
    kernel::Instances,
    net::{
        announce::{Announcement, Announcer},
        host::{HostError, HostTable, Item, Items, PutBackError},
    },
    sys,
};

/// An action that could not be carried out.
#[derive(Debug, thiserror::Error)]
pub enum ExecutorError {
    /// Netlink failed as a whole.
    #[error("asking the kernel to change addresses: {0}")]
    Netlink(#[from] io::Error),
    /// One address, route or rule was refused.
    #[error(transparent)]
    Refused(#[from] HostError),
    /// The kernel program was not told of the new state.
    #[error("the kernel program cannot be told of the new state")]
    Publish,
}

impl From<PutBackError> for ExecutorError {
    fn from(error: PutBackError) -> Self {
        match error {
            PutBackError::Netlink(error) => error.into(),
            PutBackError::Refused(error) => error.into(),
        }
    }
}

/// See the [module](self).
pub struct Executor {
    pub(super) config: SharedInstance,
    pub(super) index: u32,
    pub(super) attached: Option<Attached>,
    pub(super) instances: Arc<Instances>,
    /// What the trackers look at, by id.
    pub(super) trackers: Arc<[Subject]>,
    pub(super) told: Told,
    pub(super) priorities: Spate,
    pub(super) history: History,
    /// Whether the interface can be used.
    pub(super) link_up: bool,
    /// An advertisement of it stands among those that are about to be sent.
    pub(super) advert_waits: bool,
    pub(super) asking: Asking,
}

impl Executor {
    /// An executor for the instance with slot `index`, without an interface yet.
    /// `trackers` are the subjects behind the tracker ids.
    #[must_use]
    pub fn new(
        index: u32,
        config: SharedInstance,
        instances: Arc<Instances>,
        trackers: Arc<[Subject]>,
    ) -> Self {
        Self {
            config,
            index,
            attached: None,
            instances,
            trackers,
            told: Told::default(),
            priorities: Spate::default(),
            history: History::default(),
            link_up: false,
            advert_waits: false,
            asking: Asking::default(),
        }
    }

    /// Gives the instance its interface.
    pub fn attach(&mut self, attachment: Attachment) {
        self.link_up = attachment.interface.up;
        self.tell_misplaced(sys::now(), &attachment);
        self.attached = Some(Attached::new(self.index, &self.config, attachment));
    }

    /// Takes the interface away; the kernel program forgets the instance.
    pub(super) fn detach(&mut self) {
        self.link_up = false;
        if let Some(attached) = self.attached.take() {
            // Where the row cannot be removed it does no harm: nothing arrives on an
            // interface that is gone, and a new one has another index.
            let _ = self.instances.withdraw(&attached.key);
        }
    }

    /// What the state machine is to know.
    #[must_use]
    pub fn parameters(&self) -> Parameters {
        Parameters {
            preempt: self.config.preempt,
            preempt_delay: self.config.preempt_delay,
            quick_preempt: self.config.quick_preempt,
            announce: self.config.announce,
            ..Parameters::new(
                self.config.version,
                self.config.priority,
                self.source().unwrap_or(IpAddr::from([0; 4])).into(),
                self.config.advert_interval,
            )
        }
    }

    /// The instance's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.config.name
    }

    /// Why the instance cannot take part, in words.
    pub(super) fn describe(&self, cause: FaultCause, readings: &Readings) -> String {
        match cause {
            FaultCause::Interface => format!(
                "interface {} is down or has no carrier",
                self.config.interface
            ),
            FaultCause::Tracker(tracker) => self.describe_tracker(tracker, readings),
            other => other.to_string(),
        }
    }

    /// As in "check nginx fails".
    pub(super) fn describe_tracker(&self, tracker: TrackerId, readings: &Readings) -> String {
        match self.subject(tracker) {
            Some(subject) => subject.describe(readings.get(&tracker).copied()),
            None => "something that it tracks is down".to_owned(),
        }
    }

    /// What each tracker does for the instance.
    pub(super) fn tracker_reports(&self, snapshot: &Snapshot) -> Vec<TrackerReport> {
        let contributions = snapshot.contributions.iter();
        contributions
            .map(|contribution| {
                let tracker = contribution.tracking.tracker;
                TrackerReport {
                    name: self.name_of(tracker),
                    is_check: matches!(self.subject(tracker), Some(Subject::Check(_))),
                    contribution: *contribution,
                    fault: snapshot.faults.contains(&FaultCause::Tracker(tracker)),
                }
            })
            .collect()
    }

    fn name_of(&self, tracker: TrackerId) -> String {
        let subject = self.subject(tracker);
        subject.map_or_else(|| "something".to_owned(), ToString::to_string)
    }

    fn subject(&self, TrackerId(id): TrackerId) -> Option<&Subject> {
        self.trackers.get(id as usize)
    }

    /// The interface that the instance takes part on, while there is one.
    #[must_use]
    pub fn ifindex(&self) -> Option<u32> {
        let attached = self.attached.as_ref()?;
        Some(attached.attachment.interface.index)
    }

    /// The address that it sends from, while it has an interface.
    #[must_use]
    pub fn source(&self) -> Option<IpAddr> {
        let attached = self.attached.as_ref()?;
        Some(attached.attachment.source)
    }

    /// Everything that it announces through, each once per interface.
    pub(super) fn announcers(&self) -> impl Iterator<Item = &Arc<Announcer>> {
        self.announcements().iter().map(|(announcer, _)| announcer)
    }

    pub(super) fn announcements(&self) -> &[(Arc<Announcer>, Vec<Announcement>)] {
        self.attached
            .as_ref()
            .map_or(&[], |attached| &attached.attachment.announcements)
    }

    /// Puts what it has on the host, where some of it may be there still, and is ours.
    pub(super) fn install_again(&mut self, table: &mut HostTable) -> Result<(), ExecutorError> {
        let mut failures = Vec::new();
        table.install_all(self.order(), &mut failures)?;
        table.collect(&mut failures)?;
        for failure in &failures {
            if failure.was_there() {
                table.adopt(&failure.item);
            }
        }
        failures.retain(|failure| !failure.was_there());
        self.judge(failures)
    }

    /// Takes off what it has put on the host, but for what is in `shared`: another
    /// instance has that too.
    pub(super) fn remove(
        &mut self,
        table: &mut HostTable,
        shared: &HashSet<Item>,
    ) -> Result<(), ExecutorError> {
        self.cancel_announcements();
        let mut failures = Vec::new();
        if shared.is_empty() {
            table.remove_all(self.order(), &mut failures)?;
        } else {
            let own = self.items().iter().filter(|item| !shared.contains(item));
            let own: Vec<Item> = own.cloned().collect();
            table.remove(&own, &mut failures)?;
        }
        table.collect(&mut failures)?;
        self.judge(failures)
    }

    /// What still waits to be announced is not any more.
    pub(super) fn cancel_announcements(&self) {
        for (announcer, announcements) in self.announcements() {
            announcer.cancel(announcements);
        }
    }

    /// What the instance puts on the host while it is Active.
    pub(super) fn items(&self) -> &[Item] {
        self.attached
            .as_ref()
            .map_or(&[], |attached| &attached.attachment.items)
    }

    /// The same, as an order to the host's table.
    pub(super) fn order(&self) -> Option<(u32, &Items)> {
        let attached = self.attached.as_ref()?;
        Some((self.index, &attached.attachment.items))
    }

    pub(super) fn announce(&self, now: Timestamp) {
        for (announcer, announcements) in self.announcements() {
            let announcements = announcements.iter().map(|it| ((), it));
            let mut failure = None;
            announcer.send(now, announcements, |(), error| failure = Some(error));
            if let Some(error) = failure {
                self.tell_not_announced(&error);
            }
        }
    }

    pub(super) fn tell_not_announced(&self, error: &io::Error) {
        tracing::warn!(
            instance = self.config.name,
            interface = self.config.interface,
            %error,
            "cannot announce the virtual addresses"
        );
    }

    /// Tells the kernel program by what to sort.
    pub(super) fn publish(&mut self, sorting: Sorting) -> Result<(), ExecutorError> {
        let Some(attached) = &mut self.attached else {
            return Ok(());
        };
        attached.value.state = sorting.state.code();
        attached.value.priority = sorting.priority.0;
        attached.value.preempt = u8::from(sorting.preempt);
        self.instances
            .publish(&attached.key, &attached.value)
            .map_err(|error| {
                tracing::error!(instance = self.config.name, %error, "writing a kernel map");
                ExecutorError::Publish
            })
    }

    /// Makes the kernel program forget the instance.
    pub(super) fn withdraw(&mut self) {
        if let Some(attached) = &self.attached {
            // The program is about to be detached; what stays in a map goes with it.
            let _ = self.instances.withdraw(&attached.key);
        }
    }

    /// Refusals as an error, but for addresses that were there before.
    pub(super) fn judge(&self, failures: Vec<HostError>) -> Result<(), ExecutorError> {
        let mut worst = Ok(());
        for failure in failures {
            if failure.was_there() {
                if self.config.priority == Priority::OWNER {
                    // The owner has the address for its own.
                    continue;
                }
                tracing::warn!(
                    instance = self.config.name,
                    interface = self.config.interface,
                    item = %failure.item,
                    "it was there before; it stays where it is when this node is not Active, \
                     which gives two nodes with one address: remove it from this node"
                );
            } else {
                worst = Err(failure.into());
            }
        }
        worst
    }
}

/// A tenth of the advertisement interval, but 1 ms at least: often enough for
/// every router that has something to say, too seldom for a flood to cost much.
pub(super) fn event_gap(advert_interval: Duration) -> u64 {
    let gap = (advert_interval / 10).max(Duration::from_millis(1));
    u64::try_from(gap.as_nanos()).unwrap_or(u64::MAX)
}

/// The interval as the wire has it; the configuration holds no other.
pub(super) fn centiseconds(config: &InstanceConfig) -> Centiseconds {
    Centiseconds::from_duration(config.advert_interval).unwrap_or(Centiseconds::MAX)
}

/// What version 2 sends and expects; version 3 has none.
pub(super) fn authentication(config: &InstanceConfig) -> Authentication {
    config.password.map_or(Authentication::None, |password| {
        Authentication::Simple(password.octets())
    })
}
