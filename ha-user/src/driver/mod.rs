//! The one loop: deadlines, kernel events and commands come in, actions go out.
//!
//! It runs on a thread of its own, under SCHED_FIFO where that is permitted. A
//! Backup does nothing per received advertisement: it wakes once per deadline,
//! reads the arrival time that the kernel took, and sleeps again. Order within
//! one turn: kernel events first, then commands, then deadlines, so that a daemon
//! that wakes late hears what happened before it decides.

mod actions;
pub mod attachment;
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
    fsm::{Addresses, FaultCause},
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

use crate::{
    engine::{Engine, InstanceId, slots::Slots},
    kernel::{Actives, CounterMap, EventRing, Instances},
    net::{announce::Announcer, host::HostTable},
    sys,
};

/// Priority under SCHED_FIFO: above ordinary work, below the kernel's own
/// threads (which default to 50) and watchdogs.
const FIFO_PRIORITY: i32 = 40;

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
    commands: command::Receiver,
    waiter: Waiter,
    /// Who hears of what happens; sending does not wait.
    notices: notice::Sender,
    /// Instances in fault because an action failed, and when they may try again.
    retries: Vec<(Timestamp, InstanceId)>,
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
            commands,
            waiter,
            notices: tools.notices,
            retries: Vec::new(),
            stopping: false,
            leaving: false,
            departed: tools.departed,
            counters: tools.counters,
            instances: tools.instances,
        };
        driver.list_announcers();
        Ok(driver)
    }

    /// Asks for SCHED_FIFO and locked memory; returns whether the thread has the
    /// first. A host that permits neither still runs, only less punctually.
    pub fn prepare_thread() -> bool {
        if let Err(error) = sys::lock_memory() {
            tracing::warn!(%error, "memory cannot be locked; needs CAP_IPC_LOCK");
        }
        match sys::schedule_fifo(FIFO_PRIORITY) {
            Ok(()) => true,
            Err(error) => {
                tracing::warn!(
                    %error,
                    "no real-time scheduling; a busy machine can delay advertisements and \
                     takeovers (needs CAP_SYS_NICE)"
                );
                false
            }
        }
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
        while !(self.stopping && self.engine.has_stopped()) {
            self.waiter
                .arm(self.poll_timeout())
                .map_err(DriverError::Wait)?;
            self.waiter.wait().map_err(DriverError::Wait)?;
            self.take_events();
            self.take_commands();
            self.take_deadlines();
            self.release_departed();
        }
        Ok(())
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

    fn take_deadlines(&mut self) {
        loop {
            let now = sys::now();
            let Some(id) = self.engine.poll_due(now) else {
                break;
            };
            // A Backup is held back by it. An Active that finds one has been outranked
            // while its ring was full.
            if let Some(advert) = self.unseen(id) {
                self.engine.handle_advert(now, id, &advert);
            }
            self.engine.handle_timeout(now, id);
            self.act(now);
        }
        let now = sys::now();
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
            self.act(now);
        }
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
