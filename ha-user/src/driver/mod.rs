//! The one loop: deadlines, kernel events and commands come in, actions go out.
//!
//! It runs on a thread of its own, under SCHED_FIFO where that is permitted. A
//! Backup does nothing per received advertisement: it wakes once per deadline,
//! reads the arrival time that the kernel took, and sleeps again. Order within
//! one turn: kernel events first, then commands, then deadlines, so that a daemon
//! that wakes late hears what happened before it decides.

pub mod attachment;
pub mod command;
pub mod conflict;
pub mod executor;
pub mod peers;
mod tell;
pub mod wait;

use std::{os::fd::AsFd, sync::Arc, time::Duration};

use ha_common::{
    abi,
    fsm::{Action, Addresses, Advert, FaultCause, StateKind},
    time::Timestamp,
    types::{AddressFamily, Centiseconds, MacAddress, Priority, RouterAddress},
};

pub use attachment::Attachment;
pub use command::{Command, Gone, Handle, Report, channel};
pub use conflict::Conflict;
pub use executor::{Executor, ExecutorError};
pub use peers::PeerTable;
use wait::Waiter;

use crate::{
    engine::{Engine, InstanceId},
    kernel::{Actives, EventRing},
    net::{announce::Announcer, host::HostTable},
    sys,
};

/// Kernel events handled before deadlines get their turn; more wait for the next.
const EVENTS_PER_TURN: usize = 256;

/// Priority under SCHED_FIFO: above ordinary work, below the kernel's own
/// threads (which default to 50) and watchdogs.
const FIFO_PRIORITY: i32 = 40;

/// A former Active may answer for the addresses for so long after a takeover.
const SETTLED_AFTER: Duration = Duration::from_secs(1);

/// See the [module](self).
pub struct Driver {
    engine: Engine,
    executors: Vec<Executor>,
    host: HostTable,
    /// Each of them once: what they have queued is due at its own time.
    announcers: Vec<Arc<Announcer>>,
    actives: Actives,
    peers: PeerTable,
    events: EventRing,
    commands: command::Receiver,
    waiter: Waiter,
    /// Instances in fault because an action failed, and when they may try again.
    retries: Vec<(Timestamp, InstanceId)>,
    stopping: bool,
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
}

impl Driver {
    /// A driver for `executors`, whose order is that of the ids of `engine`.
    ///
    /// # Errors
    /// If the kernel gives no timer or no epoll instance.
    pub fn new(
        engine: Engine,
        executors: Vec<Executor>,
        tools: Tools,
        commands: command::Receiver,
    ) -> std::io::Result<Self> {
        let waiter = Waiter::new(&[tools.events.as_fd(), commands.as_fd()])?;
        let mut driver = Self {
            engine,
            executors,
            host: tools.host,
            announcers: Vec::new(),
            actives: tools.actives,
            peers: tools.peers,
            events: tools.events,
            commands,
            waiter,
            retries: Vec::new(),
            stopping: false,
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
        for executor in &mut self.executors {
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
        let executor = &mut self.executors[id.0 as usize];
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

    fn take_events(&mut self) {
        for _ in 0..EVENTS_PER_TURN {
            let Some(event) = self.events.next() else {
                return;
            };
            let now = sys::now();
            self.handle_event(now, &event);
            self.act(now);
        }
        // There may be more, and the ring only wakes us for what comes after this.
        self.waiter.again();
    }

    fn handle_event(&mut self, now: Timestamp, event: &abi::Event) {
        let id = InstanceId(event.index);
        let Some(executor) = self.executors.get_mut(event.index as usize) else {
            tracing::error!(
                index = event.index,
                "the kernel names an instance that does not exist"
            );
            return;
        };
        if executor.ifindex() != Some(event.ifindex) {
            // From before the instance got another interface.
            return;
        }
        match event.kind {
            abi::EVENT_CLAIM => {
                // One that comes just after we have yielded is the new Active's; one that
                // comes just after we have taken over is the former one's.
                let snapshot = self.engine.snapshot(id);
                if snapshot.state == StateKind::Active {
                    if now.since(snapshot.since) > SETTLED_AFTER {
                        executor.tell_claim(now, event);
                    }
                    self.engine.handle_claim(now, id);
                }
                return;
            }
            abi::EVENT_REFUSED => {
                executor.tell_refused(now, event);
                return;
            }
            _ => {}
        }
        let advert = Advert {
            at: Timestamp::from_nanos(event.at_ns),
            source: RouterAddress(event.address),
            priority: Priority(event.priority),
            interval: Centiseconds(event.interval_cs).to_duration(),
        };
        self.peers.admit(event);
        match event.kind {
            abi::EVENT_RELEASE => {
                // It shortens what is left of Active_Down, so what is left has to be
                // known: the engine may still count from an older arrival.
                if let Some(held_back_by) = self.unseen(id) {
                    self.engine.handle_advert(now, id, &held_back_by);
                }
                self.engine.handle_advert(now, id, &advert);
            }
            abi::EVENT_OUTRANKED => self.engine.handle_advert(now, id, &advert),
            abi::EVENT_LOSING => {
                // Just after a takeover it is the former Active's last word.
                let snapshot = self.engine.snapshot(id);
                if snapshot.state == StateKind::Active
                    && advert.at > snapshot.since + executor.config.advert_interval
                {
                    executor.tell_second_active(now, &advert, MacAddress(event.mac));
                    executor.check_advert(now, &advert, event);
                }
                self.engine.handle_advert(now, id, &advert);
            }
            abi::EVENT_CHANGED => {
                executor.tell_changed(now, &advert, event);
                self.engine.handle_advert(now, id, &advert);
            }
            abi::EVENT_WEAKENED => {
                // As with a release: it shortens what is left.
                if let Some(held_back_by) = self.unseen(id) {
                    self.engine.handle_advert(now, id, &held_back_by);
                }
                self.engine.handle_advert(now, id, &advert);
            }
            // Decides nothing: it is only to get its row among the peers.
            abi::EVENT_NEW_PEER => executor.check_advert(now, &advert, event),
            kind => tracing::error!(kind, "the kernel sends an event of an unknown kind"),
        }
    }

    fn take_commands(&mut self) {
        while let Some(command) = self.commands.next() {
            let now = sys::now();
            match command {
                Command::Report(reply) => {
                    // Whoever asked may have gone away.
                    let _ = reply.send(self.reports(now));
                }
                Command::Link { index, up } => self.take_link_change(now, index, up),
                Command::Attach(attachments) => self.attach(now, attachments),
                Command::Detach(ids, done) => {
                    self.detach(now, &ids);
                    // Who asked may be gone.
                    let _ = done.send(());
                }
                Command::Tracker(tracker, up) => {
                    // A new priority moves what is left of Active_Down, so what is left
                    // has to be known, by the priority that it was sorted by.
                    self.hand_over_records(now);
                    self.engine.handle_tracker(now, tracker, up);
                }
                Command::AddressesGone(gone) => self.put_back(now, &gone),
                Command::OwnLinkDown(index) => self.put_up(now, index),
                Command::Shutdown => {
                    self.stopping = true;
                    for id in self.engine.ids() {
                        self.engine.handle_shutdown(now, id);
                    }
                }
                Command::StopNow => {
                    self.stopping = true;
                    self.stop_now();
                }
            }
            self.act(now);
        }
    }

    fn reports(&self, now: Timestamp) -> Vec<Report> {
        self.engine
            .ids()
            .zip(&self.executors)
            .map(|(id, executor)| {
                let snapshot = self.engine.snapshot(id);
                Report {
                    faults: snapshot
                        .faults
                        .iter()
                        .map(|cause| executor.describe(*cause))
                        .collect(),
                    conflicts: executor.conflicts(now),
                    snapshot,
                }
            })
            .collect()
    }

    fn take_link_change(&mut self, now: Timestamp, index: u32, up: bool) {
        for id in self.engine.ids() {
            let executor = self.executor(id);
            if executor.ifindex() != Some(index) || executor.link_up == up {
                continue;
            }
            executor.link_up = up;
            if up {
                self.engine.handle_recovery(now, id, FaultCause::Interface);
                self.engine.handle_recovery(now, id, FaultCause::Action);
            } else {
                self.engine.handle_fault(now, id, FaultCause::Interface);
            }
        }
    }

    fn attach(&mut self, now: Timestamp, attachments: Vec<(InstanceId, Attachment)>) {
        for (id, attachment) in attachments {
            self.executor(id).attach(attachment);
            if !self.stopping {
                self.take_part(now, id);
            }
        }
        self.list_announcers();
    }

    fn detach(&mut self, now: Timestamp, ids: &[InstanceId]) {
        for &id in ids {
            self.engine.handle_detached(now, id);
        }
        // While the instance still knows where: what can be removed is removed.
        self.act(now);
        for &id in ids {
            self.executor(id).detach();
            self.peers.forget(id.0);
        }
        self.list_announcers();
    }

    fn list_announcers(&mut self) {
        self.announcers.clear();
        for announcer in self.executors.iter().flat_map(Executor::announcers) {
            if !self.announcers.iter().any(|it| Arc::ptr_eq(it, announcer)) {
                self.announcers.push(Arc::clone(announcer));
            }
        }
    }

    /// Puts addresses of ours back that somebody removed, with what the kernel
    /// removed with them.
    fn put_back(&mut self, now: Timestamp, gone: &[Gone]) {
        for id in self.engine.ids() {
            let place = id.0 as usize;
            let mut was_gone = None;
            for it in gone {
                let executor = &self.executors[place];
                let Some(item) = executor
                    .items()
                    .iter()
                    .find(|item| item.is_address(it.index, it.address) && self.host.has(item))
                else {
                    continue;
                };
                match self.host.put_back(item, executor.items()) {
                    // It is there again already.
                    Ok(false) => {}
                    Ok(true) => was_gone = Some((item.to_string(), it.by.as_deref())),
                    Err(error) => {
                        self.fail(now, id, &error.into());
                        break;
                    }
                }
            }
            if let Some((what, by)) = was_gone {
                let executor = &mut self.executors[place];
                executor.tell_put_back(&what, by);
                executor.announce(now);
            }
        }
    }

    /// Sets an interface of our own up again that somebody has set down.
    fn put_up(&mut self, now: Timestamp, index: u32) {
        for id in self.engine.ids() {
            let executor = &mut self.executors[id.0 as usize];
            let link = executor.items().iter().find(|item| item.is_link(index));
            let Some(link) = link.filter(|link| self.host.has(link)).cloned() else {
                continue;
            };
            // With it went its IPv6 addresses and all routes.
            for item in executor.items() {
                self.host.forget(item);
            }
            executor.tell_put_back(&link.to_string(), None);
            match executor.install_again(&mut self.host) {
                Ok(()) => executor.announce(now),
                Err(error) => self.fail(now, id, &error),
            }
        }
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
            if self.engine.addresses(id) == Addresses::Absent {
                // What could not be removed may be by now.
                let executor = &mut self.executors[id.0 as usize];
                if let Err(error) = executor.remove(&mut self.host) {
                    self.fail(now, id, &error);
                    continue;
                }
            }
            self.engine.handle_recovery(now, id, FaultCause::Action);
            self.act(now);
        }
    }

    /// The kernel's records of all instances reach the engine.
    fn hand_over_records(&mut self, now: Timestamp) {
        for id in self.engine.ids() {
            if let Some(advert) = self.unseen(id) {
                self.engine.handle_advert(now, id, &advert);
            }
        }
    }

    /// The kernel's record for `id`, if it is newer than at the last look.
    fn unseen(&mut self, id: InstanceId) -> Option<Advert> {
        let record = self.actives.read(id.0);
        let executor = self.executor(id);
        // 0: nothing yet, or the slot was cleared for another interface.
        if record.last_seen_ns == executor.looked_at_ns || record.last_seen_ns == 0 {
            return None;
        }
        executor.looked_at_ns = record.last_seen_ns;
        Some(Advert {
            at: Timestamp::from_nanos(record.last_seen_ns),
            source: RouterAddress(record.address),
            priority: Priority(record.priority),
            interval: Centiseconds(record.interval_cs).to_duration(),
        })
    }

    /// Carries out what the engine asks for, and what follows from that.
    fn act(&mut self, now: Timestamp) {
        while let Some((id, action)) = self.engine.poll_action() {
            let executor = &mut self.executors[id.0 as usize];
            let result = match action {
                Action::SendAdvert { priority } => {
                    executor.send_advert(priority);
                    Ok(())
                }
                Action::InstallAddresses => executor.install(&mut self.host),
                Action::Announce => {
                    // Not `now`: many addresses take a while to install, and the gap
                    // between two frames counts from when the first is sent.
                    executor.announce(sys::now());
                    Ok(())
                }
                Action::RemoveAddresses => executor.remove(&mut self.host),
                Action::UpdateKernel(sorting) => {
                    let published = executor.publish(sorting);
                    // Until now the kernel compared by the rules of before: what arrived
                    // since the decision is compared again by ours.
                    if published.is_ok()
                        && let Some(advert) = self.unseen(id)
                    {
                        self.engine.handle_advert(now, id, &advert);
                    }
                    published
                }
                Action::Resumed { silence } => {
                    executor.tell_resumed(silence);
                    Ok(())
                }
                Action::Transition { from, to, reason } => {
                    executor.tell_transition(from, to, reason);
                    executor.confirm(&mut self.host)
                }
            };
            if let Err(error) = result {
                self.fail(now, id, &error);
            }
        }
    }

    /// An action of `id` failed: it cannot take part for a while.
    fn fail(&mut self, now: Timestamp, id: InstanceId, error: &ExecutorError) {
        let name = self.executors[id.0 as usize].name();
        if self.stopping {
            tracing::error!(instance = name, %error, "while stopping");
            return;
        }
        let after = self.executors[id.0 as usize].told.retry_after(now);
        let name = self.executors[id.0 as usize].name();
        tracing::error!(
            instance = name,
            %error,
            "the instance goes to fault, and tries again in {after:?}"
        );
        self.engine.handle_fault(now, id, FaultCause::Action);
        self.retries.retain(|(_, other)| *other != id);
        self.retries.push((now + after, id));
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
        &mut self.executors[id.0 as usize]
    }
}

/// The family that an ABI number means; the kernel only sends what we gave it.
fn family(code: u8) -> AddressFamily {
    AddressFamily::from_code(code).unwrap_or(AddressFamily::Ipv4)
}
