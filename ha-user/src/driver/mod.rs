//! The one loop: deadlines, kernel events and commands come in, actions go out.
//!
//! It runs on a thread of its own, under SCHED_FIFO where that is permitted. A
//! Backup does nothing per received advertisement: it wakes once per deadline,
//! reads the arrival time that the kernel took, and sleeps again. Order within
//! one turn: kernel events first, then deadlines, so that a daemon that wakes
//! late hears what happened before it decides.

pub mod command;
pub mod executor;
pub mod peers;
pub mod wait;

use std::os::fd::AsFd;

use ha_common::{
    abi,
    fsm::{Action, Advert, StateKind},
    time::Timestamp,
    types::{AddressFamily, Centiseconds, MacAddress, Priority, RouterAddress},
};

pub use command::{Command, Handle, channel};
pub use executor::{Executor, ExecutorError, Tools};
pub use peers::PeerTable;
use wait::Waiter;

use crate::{
    engine::{Engine, InstanceId, Snapshot},
    kernel::{Actives, EventRing},
    net::{address::AddressTable, link::LinkChange},
    sys,
};

/// Kernel events handled before deadlines get their turn; more wait for the next.
const EVENTS_PER_TURN: usize = 256;

/// Priority under SCHED_FIFO: above ordinary work, below the kernel's own
/// threads (which default to 50) and watchdogs.
const FIFO_PRIORITY: i32 = 40;

/// See the [module](self).
pub struct Driver {
    engine: Engine,
    executors: Vec<Executor>,
    addresses: AddressTable,
    actives: Actives,
    peers: PeerTable,
    events: EventRing,
    commands: command::Receiver,
    waiter: Waiter,
    stopping: bool,
}

/// Why the loop ended before it was told to.
#[derive(Debug, thiserror::Error)]
pub enum DriverError {
    /// Waiting for the next event failed.
    #[error("waiting for the next event: {0}")]
    Wait(#[source] std::io::Error),
}

impl Driver {
    /// A driver for `executors`, whose order is that of the engine's ids.
    ///
    /// # Errors
    /// If the kernel gives no timer or no epoll instance.
    pub fn new(
        executors: Vec<Executor>,
        addresses: AddressTable,
        actives: Actives,
        peers: PeerTable,
        events: EventRing,
        commands: command::Receiver,
    ) -> std::io::Result<Self> {
        let waiter = Waiter::new(&[events.as_fd(), commands.as_fd()])?;
        let engine = Engine::new(executors.iter().map(Executor::parameters));
        Ok(Self {
            engine,
            executors,
            addresses,
            actives,
            peers,
            events,
            commands,
            waiter,
            stopping: false,
        })
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
    /// where Active, no address left.
    ///
    /// # Errors
    /// [`DriverError`]; the addresses are removed then too.
    pub fn run(mut self) -> Result<(), DriverError> {
        let result = self.turns();
        // Also after an error: other routers must hear of it, addresses must go.
        self.shut_down();
        result
    }

    fn turns(&mut self) -> Result<(), DriverError> {
        let now = sys::now();
        for id in self.engine.ids() {
            self.executor(id).publish(StateKind::Init);
            // Without a link it stays in Init until there is one.
            if self.executor(id).link_up {
                self.engine.handle_startup(now, id);
            } else {
                self.executor(id).tell_no_link();
            }
        }
        self.act(now);
        while !self.stopping {
            self.waiter
                .arm(self.engine.poll_timeout())
                .map_err(DriverError::Wait)?;
            self.waiter.wait().map_err(DriverError::Wait)?;
            self.take_events();
            self.take_commands();
            self.take_deadlines();
        }
        Ok(())
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
        let source = RouterAddress(event.address);
        if event.kind == abi::EVENT_CLAIM {
            // One that comes just after we have yielded is the new Active's.
            if self.engine.state(id) == StateKind::Active {
                executor.tell_claim(source, MacAddress(event.mac), event);
            }
            return;
        }
        let advert = Advert {
            at: Timestamp::from_nanos(event.at_ns),
            source,
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
            abi::EVENT_OUTRANKED | abi::EVENT_LOSING => {
                self.engine.handle_advert(now, id, &advert);
            }
            abi::EVENT_CHANGED => {
                executor.tell_changed(&advert);
                self.engine.handle_advert(now, id, &advert);
            }
            // Decides nothing: it is only to get its row among the peers.
            abi::EVENT_NEW_PEER => {}
            kind => tracing::error!(kind, "the kernel sends an event of an unknown kind"),
        }
    }

    fn take_commands(&mut self) {
        while let Some(command) = self.commands.next() {
            match command {
                Command::Snapshot(reply) => {
                    let snapshots: Vec<Snapshot> = self
                        .engine
                        .ids()
                        .map(|id| self.engine.snapshot(id))
                        .collect();
                    // Whoever asked may have gone away.
                    let _ = reply.send(snapshots);
                }
                Command::Link(change) => self.take_link_change(change),
                Command::Shutdown => self.stopping = true,
            }
        }
    }

    fn take_link_change(&mut self, change: LinkChange) {
        let now = sys::now();
        for id in self.engine.ids() {
            let executor = self.executor(id);
            if executor.ifindex() != change.index || executor.link_up == change.up {
                continue;
            }
            executor.link_up = change.up;
            if change.up {
                // One of the two, by its state: its first link, or its link again.
                self.engine.handle_startup(now, id);
                self.engine.handle_recovery(now, id);
            } else {
                self.engine.handle_fault(now, id);
            }
        }
        self.act(now);
    }

    fn take_deadlines(&mut self) {
        loop {
            let now = sys::now();
            let Some(id) = self.engine.poll_due(now) else {
                return;
            };
            // A Backup is held back by it. An Active that finds one has been outranked
            // while its ring was full.
            if let Some(advert) = self.unseen(id) {
                self.engine.handle_advert(now, id, &advert);
            }
            self.engine.handle_timeout(now, id);
            self.act(now);
        }
    }

    /// The kernel's record for `id`, if it is newer than at the last look.
    fn unseen(&mut self, id: InstanceId) -> Option<Advert> {
        let record = self.actives.read(id.0);
        let executor = self.executor(id);
        if record.last_seen_ns == executor.looked_at_ns {
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
            let place = id.0 as usize;
            let executor = &mut self.executors[place];
            let result = match action {
                Action::SendAdvert { priority } => {
                    executor.send_advert(priority);
                    Ok(())
                }
                Action::InstallAddresses => executor.install(&mut self.addresses),
                Action::Announce => {
                    executor.announce();
                    Ok(())
                }
                Action::RemoveAddresses => executor.remove(&mut self.addresses),
                Action::Transition { from, to, reason } => {
                    let published = executor.publish(to);
                    executor.tell_transition(from, to, reason);
                    let installed = executor.confirm(&mut self.addresses);
                    if to == StateKind::Active && published {
                        // Until now the kernel compared by the rules of Backup: what
                        // arrived since the decision is compared again by ours.
                        if let Some(advert) = self.unseen(id) {
                            self.engine.handle_advert(now, id, &advert);
                        }
                    }
                    if published || to == StateKind::Fault {
                        installed
                    } else {
                        Err(ExecutorError::Publish)
                    }
                }
            };
            if let Err(error) = result {
                let name = self.executors[place].name();
                if self.stopping {
                    tracing::error!(instance = name, %error, "while stopping");
                } else {
                    tracing::error!(instance = name, %error, "the instance goes to fault");
                    self.engine.handle_fault(now, id);
                }
            }
        }
    }

    fn shut_down(&mut self) {
        self.stopping = true;
        let now = sys::now();
        for id in self.engine.ids() {
            self.engine.handle_shutdown(now, id);
        }
        self.act(now);
        for executor in &mut self.executors {
            executor.withdraw();
        }
    }

    fn executor(&mut self, id: InstanceId) -> &mut Executor {
        &mut self.executors[id.0 as usize]
    }
}

/// The family that an ABI number means; the kernel only sends what we gave it.
fn family(code: u8) -> AddressFamily {
    AddressFamily::from_code(code).unwrap_or(AddressFamily::Ipv4)
}
