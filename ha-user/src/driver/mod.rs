//! The one loop: deadlines, kernel events and commands come in, actions go out.
//!
//! It runs on a thread of its own, under SCHED_FIFO where that is permitted. A
//! Backup does nothing per received advertisement: it wakes once per deadline,
//! reads the arrival time that the kernel took, and sleeps again. Order within
//! one turn: kernel events first, then commands, then deadlines, so that a daemon
//! that wakes late hears what happened before it decides; then what is to be done,
//! over all instances (`agenda.rs`); then what is to be told. A turn is bounded, and
//! what is left over is the next one's.

mod actions;
mod advertise;
mod agenda;
pub mod attachment;
mod backlog;
pub mod command;
mod commands;
pub mod conflict;
mod events;
pub mod executor;
pub mod history;
pub mod notice;
pub mod peers;
pub mod reload;
mod subject;
mod tell;
pub mod wait;

use std::{os::fd::AsFd, sync::Arc, time::Duration};

use ha_common::{
    fsm::{Action, Addresses, FaultCause, StateKind},
    time::Timestamp,
    types::AddressFamily,
};
use tokio::sync::mpsc;

pub use attachment::Attachment;
pub use command::{Command, Gone, Handle, Report, TrackerReport, channel};
pub use conflict::Conflict;
pub use executor::{Executor, ExecutorError};
pub use history::{Evidence, Heard, Past};
pub use notice::{Happening, Notice};
pub use peers::PeerTable;
pub use reload::{Changed, Reload};
pub use subject::Subject;
use wait::Waiter;

use self::{advertise::Adverts, agenda::Agenda, backlog::Backlog};
use crate::{
    engine::{Engine, InstanceId, slots::Slots},
    kernel::{Actives, CounterMap, EventRing, Instances},
    net::{announce::Announcer, host::HostTable},
    sys,
};

/// How far ahead Backups are looked at, at least: those that an Active sends for
/// together are due together but for the jitter.
const LOOK_AHEAD: Duration = Duration::from_millis(1);

/// How long before a takeover is due the driver is awake, at most: a processor that
/// sleeps deeply, as that of a virtual machine does, needs a part of a millisecond to wake.
const VIGIL: Duration = Duration::from_millis(2);

/// Deadlines that are looked at before anything is done.
const DUE_PER_TURN: usize = 256;

/// A former Active may answer for the addresses for so long after a takeover.
const SETTLED_AFTER: Duration = Duration::from_secs(1);

/// See the [module](self).
pub struct Driver {
    engine: Engine,
    executors: Slots<Executor>,
    host: HostTable,
    /// Each of them once: what they have queued is due at its own time.
    announcers: Vec<Arc<Announcer>>,
    actives: Actives,
    peers: PeerTable,
    events: EventRing,
    /// By instance: `last_seen_ns` of its record when it was last read. They stand
    /// together, since a Backup reads nothing else of what is here.
    looked_at_ns: Vec<u64>,
    /// How far ahead Backups are looked at.
    look_ahead: Duration,
    /// How long before a takeover is due we are awake: [`VIGIL`], or a twentieth of the
    /// shortest interval.
    vigil: Duration,
    commands: command::Receiver,
    waiter: Waiter,
    /// Who hears of what happens; sending does not wait.
    notices: notice::Sender,
    /// Instances in fault because an action failed, and when they may try again.
    retries: Vec<(Timestamp, InstanceId)>,
    /// Asked for by the engine and not done yet.
    agenda: Agenda,
    /// Done and not told yet.
    backlog: Backlog,
    adverts: Adverts,
    /// What could not be done in this round.
    failures: Vec<(InstanceId, ExecutorError)>,
    /// Room that is kept from turn to turn: actions of one stage; what is announced, by
    /// the announcer's place in memory; who is due soon.
    taken: Vec<(InstanceId, Action)>,
    lists: Vec<(usize, InstanceId, usize)>,
    soon: Vec<InstanceId>,
    stopping: bool,
    /// Some are leaving; who hears when they have.
    leaving: bool,
    departed: mpsc::UnboundedSender<InstanceId>,
    counters: CounterMap,
    instances: Arc<Instances>,
}

/// Why the loop ended before it was told to.
#[derive(Debug, thiserror::Error)]
pub enum DriverError {
    /// Waiting for the next event failed.
    #[error("waiting for the next event: {0}")]
    Wait(#[source] std::io::Error),
}

/// What the driver shares with the kernel and the host.
pub struct Tools {
    /// What is put on the host.
    pub host: HostTable,
    /// Who holds back Active_Down.
    pub actives: Actives,
    /// Who has a row among the peers.
    pub peers: PeerTable,
    /// What the kernel program has to tell.
    pub events: EventRing,
    /// What the kernel program is told.
    pub instances: Arc<Instances>,
    /// Who hears of transitions.
    pub notices: notice::Sender,
    /// Who hears that a virtual router that was to leave has: its id is free, and
    /// nothing of it is used any more.
    pub departed: mpsc::UnboundedSender<InstanceId>,
    /// Packets by reason, for what was known at a transition.
    pub counters: CounterMap,
}

impl Driver {
    /// A driver for `executors`, one for each virtual router of `engine`.
    ///
    /// # Errors
    /// If the kernel gives no timer or no epoll instance.
    pub fn new(
        engine: Engine,
        executors: Vec<(InstanceId, Executor)>,
        tools: Tools,
        commands: command::Receiver,
    ) -> std::io::Result<Self> {
        let waiter = Waiter::new(&[tools.events.as_fd(), commands.as_fd()])?;
        let mut slots = Slots::default();
        for (id, executor) in executors {
            slots.insert(id, executor);
        }
        let mut driver = Self {
            engine,
            executors: slots,
            host: tools.host,
            announcers: Vec::new(),
            actives: tools.actives,
            peers: tools.peers,
            events: tools.events,
            looked_at_ns: Vec::new(),
            look_ahead: LOOK_AHEAD,
            vigil: VIGIL,
            commands,
            waiter,
            notices: tools.notices,
            retries: Vec::new(),
            agenda: Agenda::default(),
            backlog: Backlog::default(),
            adverts: Adverts::default(),
            failures: Vec::new(),
            taken: Vec::new(),
            lists: Vec::new(),
            soon: Vec::new(),
            stopping: false,
            leaving: false,
            departed: tools.departed,
            counters: tools.counters,
            instances: tools.instances,
        };
        driver.survey();
        Ok(driver)
    }

    /// Runs until told to shut down, then leaves every state cleanly: priority 0
    /// where Active, the addresses kept until a successor speaks, none left at the
    /// end.
    ///
    /// # Errors
    /// [`DriverError`]; the addresses are removed then too.
    pub fn run(mut self) -> Result<(), DriverError> {
        let result = self.turns();
        // Also after an error: other routers must hear of it, addresses must go.
        self.stop_now();
        self.tell_all();
        for executor in self.executors.values_mut() {
            executor.withdraw();
        }
        result
    }

    fn turns(&mut self) -> Result<(), DriverError> {
        let now = sys::now();
        for id in self.engine.ids() {
            self.take_part(now, id);
        }
        self.act(now);
        if !self.tell() {
            self.waiter.again();
        }
        while !(self.stopping && self.engine.has_stopped()) {
            self.wait().map_err(DriverError::Wait)?;
            self.take_events();
            self.take_commands();
            let was_backup = self.take_deadlines();
            let done = self.act_in_turn();
            if was_backup || self.is_takeover_by(sys::now() + self.vigil) {
                self.look_ahead();
            }
            let told = self.tell();
            if !(done && told) {
                self.waiter.again();
            }
            self.release_departed();
        }
        Ok(())
    }

    /// Until the next deadline or something happens. A Backup's deadline is waited for
    /// awake: if the Active lives, its record moves the deadline before that, and
    /// otherwise the takeover is late by nothing but the time to send.
    fn wait(&mut self) -> std::io::Result<()> {
        let deadline = self.poll_timeout();
        let Some(at) = deadline.filter(|at| self.is_takeover_by(*at)) else {
            return self.waiter.wait(deadline);
        };
        let awake_from = at - self.vigil;
        if sys::now() < awake_from {
            return self.waiter.wait(Some(awake_from));
        }
        self.waiter.watch(at);
        Ok(())
    }

    /// Whether the next deadline is a Backup's, and at or before `at`.
    fn is_takeover_by(&self, at: Timestamp) -> bool {
        let next = self.engine.poll_due(at);
        next.is_some_and(|id| self.engine.state(id) == StateKind::Backup)
    }

    fn poll_timeout(&self) -> Option<Timestamp> {
        let announcers = self.announcers.iter().filter_map(|it| it.poll_timeout());
        let retries = self.retries.iter().map(|(at, _)| *at);
        announcers
            .chain(retries)
            .chain(self.engine.poll_timeout())
            .min()
    }

    /// Starts `id`, or takes it up again, if its interface is there.
    fn take_part(&mut self, now: Timestamp, id: InstanceId) {
        let executor = &mut self.executors[id];
        let Some(source) = executor.source() else {
            return;
        };
        if executor.link_up {
            self.engine.handle_recovery(now, id, FaultCause::Interface);
        } else {
            executor.tell_no_link();
            self.engine.handle_fault(now, id, FaultCause::Interface);
        }
        self.engine.handle_attached(now, id, source.into());
    }

    /// Returns whether there was a Backup among those that were due.
    fn take_deadlines(&mut self) -> bool {
        let now = sys::now();
        let mut was_backup = false;
        for _ in 0..DUE_PER_TURN {
            let Some(id) = self.engine.poll_due(now) else {
                break;
            };
            was_backup |= self.engine.state(id) == StateKind::Backup;
            // A Backup is held back by it. An Active that finds one has been outranked
            // while its ring was full.
            if let Some(advert) = self.unseen(id) {
                self.engine.handle_advert(now, id, &advert);
            }
            self.engine.handle_timeout(now, id);
        }
        for announcer in &self.announcers {
            if let Err(error) = announcer.handle_timeout(now) {
                tracing::warn!(%error, "cannot announce virtual addresses");
            }
        }
        while let Some(place) = self.retries.iter().position(|(at, _)| *at <= now) {
            let (_, id) = self.retries.swap_remove(place);
            if self.engine.addresses(id) == Addresses::Absent
                // What could not be removed may be by now.
                && let Err(error) = self.remove_items(id)
            {
                self.fail(now, id, &error);
                continue;
            }
            self.engine.handle_recovery(now, id, FaultCause::Action);
        }
        was_backup
    }

    /// Backups whose deadline is near count from the kernel's last record, so that
    /// not each of them wakes us. Half an interval ahead is best: further, and they
    /// are looked at more often than they need be.
    fn look_ahead(&mut self) {
        let now = sys::now();
        let mut soon = std::mem::take(&mut self.soon);
        self.engine.due_by(now + self.look_ahead, &mut soon);
        for id in soon.drain(..) {
            if self.engine.state(id) == StateKind::Backup
                && let Some(advert) = self.unseen(id)
            {
                self.engine.handle_advert(now, id, &advert);
            }
        }
        self.soon = soon;
    }

    fn stop_now(&mut self) {
        self.stopping = true;
        let now = sys::now();
        for id in self.engine.ids() {
            self.engine.handle_stop_now(now, id);
        }
        self.act(now);
    }

    fn executor(&mut self, id: InstanceId) -> &mut Executor {
        &mut self.executors[id]
    }
}

/// The family that an ABI number means; the kernel only sends what we gave it.
fn family(code: u8) -> AddressFamily {
    AddressFamily::from_code(code).unwrap_or(AddressFamily::Ipv4)
}
