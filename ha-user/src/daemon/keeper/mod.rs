//! Keeps the instances attached to their interfaces as those come, change and go.
//!
//! It lives beside the driver, where waiting does no harm: sockets are opened, the
//! kernel program is attached and its maps are filled before the driver hears of
//! an interface.

mod apply;
mod bind;
mod put_back;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    io,
    net::IpAddr,
    sync::Arc,
    time::Duration,
};

use futures_util::FutureExt;
use ha_common::fsm::TrackerId;
use tokio::{
    sync::{mpsc, oneshot},
    time::Instant,
};

use super::{
    DaemonError,
    accepting::Accepting,
    attach::Sockets,
    links::Links,
    plan::{self, Plan},
    ports::Ports,
    reload,
    reloader::Orders,
    roster::{Current, Roster},
    services::Services,
    trackers::Registry,
};
use crate::{
    config::{InstanceConfig, SharedInstance},
    driver::{self, Attachment, Command, Gone, Subject},
    engine::InstanceId,
    kernel::{self, Program},
    net::{
        Netlink,
        interface::InterfaceError,
        journal::{Inventory, Journal},
        macvlan::Macvlan,
        sysctl,
        watch::{HostChange, HostWatch},
    },
};

/// How long what failed is left alone.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// The rows that the keeper writes.
pub(super) struct Rows {
    pub(super) vips: kernel::Vips,
    pub(super) unicast_peers: kernel::UnicastPeers,
    pub(super) slots: kernel::Slots,
}

/// See the [module](self).
pub(super) struct Keeper {
    current: Current,
    roster: Arc<Roster>,
    virtual_addresses: Vec<IpAddr>,
    links: Links,
    watch: HostWatch,
    program: Program,
    rows: Rows,
    sockets: Sockets,
    netlink: Netlink,
    bound: BTreeMap<InstanceId, Bound>,
    failed: BTreeMap<InstanceId, Failed>,
    /// Instances that a reload has removed and whose addresses are still served.
    leaving: BTreeSet<InstanceId>,
    /// Tells when they are gone.
    departed: mpsc::UnboundedReceiver<InstanceId>,
    limits: kernel::Sizes,
    registry: Registry,
    services: Option<Services>,
    accept: Accepting,
    sysctls: sysctl::Guard,
    journal: Journal,
    /// What is in the journal.
    inventory: Inventory,
    ports: Arc<Ports>,
    /// The interfaces that are tracked, and whether they are up.
    tracked: Vec<(TrackerId, String, bool)>,
    put_back_at: HashMap<(u32, IpAddr), Instant>,
    /// Netlink port of the driver.
    own_port: u32,
}

/// What an instance is attached to.
struct Bound {
    config: SharedInstance,
    plan: Plan,
    /// The interface with the virtual router's link-layer address.
    macvlan: Option<Macvlan>,
}

/// A plan that could not be carried out.
struct Failed {
    plan: Plan,
    retry_at: Instant,
}

/// What a keeper begins with.
pub(super) struct Start {
    /// The instances.
    pub(super) current: Current,
    /// The host's interfaces.
    pub(super) links: Links,
    /// What becomes of them.
    pub(super) watch: HostWatch,
    /// The kernel program.
    pub(super) program: Program,
    /// Its maps.
    pub(super) rows: Rows,
    /// Rows that the maps have.
    pub(super) limits: kernel::Sizes,
    /// The numbers of what instances depend on.
    pub(super) registry: Registry,
    /// Netlink port of the driver.
    pub(super) own_port: u32,
    /// The journal, and what is in it.
    pub(super) journal: (Journal, Inventory),
    /// Drops packets to addresses.
    pub(super) accept: Accepting,
    /// Tells which instances that were to leave have.
    pub(super) departed: mpsc::UnboundedReceiver<InstanceId>,
}

impl Keeper {
    /// A keeper that has attached nothing yet.
    ///
    /// # Errors
    /// If there is no netlink socket.
    pub(super) fn new(start: Start) -> io::Result<Self> {
        let Start {
            current,
            links,
            watch,
            program,
            rows,
            limits,
            registry,
            own_port,
            journal: (journal, inventory),
            accept,
            departed,
        } = start;
        let roster = current.roster();
        Ok(Self {
            netlink: Netlink::open()?,
            virtual_addresses: plan::virtual_addresses(&roster.config),
            sockets: Sockets::new(roster.config.announce_gap),
            bound: BTreeMap::new(),
            failed: BTreeMap::new(),
            leaving: BTreeSet::new(),
            departed,
            limits,
            own_port,
            sysctls: sysctl::Guard::default(),
            journal,
            inventory,
            tracked: tracked(&registry, &links),
            registry,
            services: None,
            accept,
            current,
            roster,
            links,
            watch,
            program,
            rows,
            ports: Arc::default(),
            put_back_at: HashMap::new(),
        })
    }

    /// Has `services` go along with a new configuration.
    pub(super) fn take_along(&mut self, services: Services) {
        self.services = Some(services);
    }

    /// Stops them, if they ever ran.
    pub(super) async fn stop_services(&mut self) {
        if let Some(services) = self.services.take() {
            services.stop().await;
        }
    }

    /// What status shows of the interfaces.
    pub(super) fn ports(&self) -> Arc<Ports> {
        Arc::clone(&self.ports)
    }

    /// Whether each tracked interface is up.
    pub(super) fn trackers(&self) -> impl Iterator<Item = (TrackerId, bool)> {
        self.tracked.iter().map(|(id, _, up)| (*id, *up))
    }

    /// Attaches the instances whose interfaces are there, for the first time.
    ///
    /// # Errors
    /// If an instance cannot be attached for another reason than that something
    /// is not there yet.
    pub(super) async fn start(&mut self) -> Result<Vec<(InstanceId, Attachment)>, DaemonError> {
        let roster = Arc::clone(&self.roster);
        for (_, config) in roster.iter() {
            if let Err(error) = plan::plan(config, &self.links, &self.virtual_addresses)
                && plan::is_fatal(&error)
            {
                return Err(error.into());
            }
        }
        let mut attached = Vec::new();
        for (id, plan) in self.look() {
            match plan {
                Ok(plan) => attached.push((id, self.bind(id, plan).await?)),
                Err(error) => self.wait_for(id, &error.to_string()),
            }
        }
        Ok(attached)
    }

    /// Takes the instances' own interfaces off the host. To be called when the
    /// driver is gone; `clean` says that it has left nothing behind, and that a
    /// successor needs no journal.
    pub(super) async fn close(mut self, mut clean: bool) {
        for bound in std::mem::take(&mut self.bound).into_values() {
            clean &= self.delete(bound.macvlan).await;
        }
        if !clean {
            self.journal.keep();
        }
    }

    /// Follows the host for as long as it is polled.
    pub(super) async fn run(&mut self, handle: &driver::Handle, orders: &mut Orders) {
        loop {
            let retry_at = self.failed.values().map(|it| it.retry_at).min();
            let change = tokio::select! {
                change = self.watch.next() => change,
                Some(order) = orders.next() => {
                    let outcome = self.reload(handle, order.config).await;
                    // Whoever asked may be gone.
                    let _ = order.reply.send(outcome);
                    continue;
                }
                Some(id) = self.departed.recv() => {
                    self.clear_away(handle, id).await;
                    continue;
                }
                () = sleep_until(retry_at) => {
                    self.settle_all(handle).await;
                    continue;
                }
            };
            let mut gone = Vec::new();
            let mut dirty = match change {
                Ok(change) => self.take(&change, handle, &mut gone),
                Err(error) => {
                    tracing::error!(%error, "the watch on interfaces broke; it is opened anew");
                    self.look_again(handle).await;
                    true
                }
            };
            // What is known already goes into one look at all instances.
            while let Some(Ok(change)) = self.watch.next().now_or_never() {
                dirty |= self.take(&change, handle, &mut gone);
            }
            if !gone.is_empty() {
                send(handle, Command::AddressesGone(gone));
            }
            if dirty {
                self.settle_all(handle).await;
            }
        }
    }

    /// Opens the watch anew, and tells the driver of the links as they are now.
    async fn look_again(&mut self, handle: &driver::Handle) {
        (self.links, self.watch) = loop {
            match look_around().await {
                Ok(around) => break around,
                Err(error) => {
                    tracing::error!(%error, "interfaces cannot be watched");
                    sleep_until(Some(Instant::now() + RETRY_AFTER)).await;
                }
            }
        };
        for bound in self.bound.values() {
            let index = bound.plan.interface.index;
            let up = self.links.by_index(index).is_some_and(|it| it.up);
            send(handle, Command::Link { index, up });
        }
        self.track(handle);
    }

    /// Takes one change in; returns whether instances may have to be attached anew.
    fn take(&mut self, change: &HostChange, handle: &driver::Handle, gone: &mut Vec<Gone>) -> bool {
        let dirty = self.links.take(change);
        let mut bound = self.bound.values();
        match change {
            HostChange::Link { index, up, .. } => {
                let (index, up) = (*index, *up);
                if bound.clone().any(|it| it.plan.interface.index == index) {
                    send(handle, Command::Link { index, up });
                } else if !up && bound.any(|it| it.is_on(index)) {
                    send(handle, Command::OwnLinkDown(index));
                }
            }
            HostChange::AddressGone {
                index, address, by, ..
            } => self.put_back(handle, *index, *address, *by, gone),
            HostChange::Relisted => self.put_back_missing(handle, gone),
            _ => {}
        }
        if let HostChange::Link { .. } | HostChange::LinkGone { .. } = change {
            self.track(handle);
        }
        // Somebody removed an instance's own interface: it is made again.
        dirty
            || matches!(change, HostChange::LinkGone { index }
                if self.bound.values().any(|bound| bound.is_on(*index)))
    }

    fn track(&mut self, handle: &driver::Handle) {
        for (id, name, was_up) in &mut self.tracked {
            let up = self
                .links
                .by_name(name)
                .is_some_and(|interface| interface.up);
            if up != *was_up {
                *was_up = up;
                send(handle, Command::Tracker(*id, up.into()));
            }
        }
    }

    /// The instances that are not attached as they could be, with what they could
    /// be attached to.
    fn look(&self) -> Vec<(InstanceId, Result<Plan, Obstacle>)> {
        let now = Instant::now();
        let fits = |id: InstanceId, wanted: &Result<Plan, Obstacle>| match wanted {
            Ok(wanted) => {
                let bound = self.bound.get(&id);
                let failed = self.failed.get(&id);
                bound.is_some_and(|bound| bound.plan.is_as(wanted) && self.is_whole(bound))
                    || failed.is_some_and(|it| it.plan.is_as(wanted) && it.retry_at > now)
            }
            Err(_) => false,
        };
        self.roster
            .iter()
            .map(|(id, config)| (id, self.plan(config)))
            .filter(|(id, wanted)| !fits(*id, wanted))
            .collect()
    }

    /// What an instance could be attached to.
    fn plan(&self, config: &InstanceConfig) -> Result<Plan, Obstacle> {
        let mut leaving = self.leaving.iter().filter_map(|id| self.bound.get(id));
        if leaving.any(|old| reload::excludes(&old.config, config)) {
            return Err(Obstacle::Former);
        }
        Ok(plan::plan(config, &self.links, &self.virtual_addresses)?)
    }

    /// Whether the instance's own interface, if it has one, is still there.
    fn is_whole(&self, bound: &Bound) -> bool {
        let macvlan = bound.macvlan.as_ref();
        macvlan.is_none_or(|macvlan| self.links.by_index(macvlan.device.index).is_some())
    }

    /// Attaches and detaches instances, as their interfaces are now.
    async fn settle_all(&mut self, handle: &driver::Handle) {
        let changes = self.look();
        let mut losing: Vec<InstanceId> = changes.iter().map(|(id, _)| *id).collect();
        // One that leaves is not attached anew, but its interface may be gone.
        losing.extend(self.leaving.iter().filter(|id| {
            let interface = self.bound.get(*id).map(|bound| bound.plan.interface.index);
            interface.is_some_and(|index| self.links.by_index(index).is_none())
        }));
        losing.retain(|id| self.bound.contains_key(id));
        if !losing.is_empty() {
            // The driver lets go before anything is taken from under it.
            let (done, let_go) = oneshot::channel();
            send(handle, Command::Detach(losing.clone(), done));
            // A driver that is gone has let go.
            let _ = let_go.await;
            for id in losing {
                self.release(id).await;
            }
        }
        let mut attached = Vec::new();
        for (id, plan) in changes {
            match plan {
                Ok(plan) => match self.bind(id, plan.clone()).await {
                    Ok(attachment) => attached.push((id, attachment)),
                    Err(error) => self.fail(id, plan, &error),
                },
                Err(obstacle) => self.wait_for(id, &obstacle.to_string()),
            }
        }
        if !attached.is_empty() {
            send(handle, Command::Attach(attached));
        }
        self.release_unused();
    }

    /// What the instance needs is not there.
    fn wait_for(&mut self, id: InstanceId, text: &str) {
        self.failed.remove(&id);
        let before = self.ports.set_problem(id, Some(text.to_owned()));
        if before.as_deref() != Some(text) {
            let instance = self.roster.instance(id).map(|config| &config.name);
            tracing::warn!(instance, "{text}; the instance waits for it");
        }
    }

    /// What the instance needs is there, but cannot be used. That may pass without
    /// a change that is heard of.
    fn fail(&mut self, id: InstanceId, plan: Plan, error: &DaemonError) {
        let interface = plan.interface.name.clone();
        let retry_at = Instant::now() + RETRY_AFTER;
        self.failed.insert(id, Failed { plan, retry_at });
        let text = error.to_string();
        if self.ports.set_problem(id, Some(text.clone())).as_ref() != Some(&text) {
            tracing::error!(
                instance = self.roster.instance(id).map(|config| &config.name),
                interface,
                "{text}; tried again every {RETRY_AFTER:?}"
            );
        }
    }
}

impl Bound {
    /// Whether its own interface has this index.
    fn is_on(&self, index: u32) -> bool {
        let macvlan = self.macvlan.as_ref();
        macvlan.is_some_and(|macvlan| macvlan.device.index == index)
    }
}

/// Why an instance cannot be attached yet.
#[derive(Debug, thiserror::Error)]
enum Obstacle {
    #[error(transparent)]
    Interface(#[from] InterfaceError),
    #[error("the instance that it replaces still serves its addresses")]
    Former,
}

/// The interfaces that are tracked, and whether they are up.
fn tracked(registry: &Registry, links: &Links) -> Vec<(TrackerId, String, bool)> {
    let interfaces = registry.iter().filter_map(|(id, subject)| match subject {
        Subject::Interface(name) => Some((id, name)),
        Subject::Check(_) => None,
    });
    interfaces
        .map(|(id, name)| {
            let up = links.by_name(name).is_some_and(|interface| interface.up);
            (id, name.clone(), up)
        })
        .collect()
}

/// Sleeps until then, or for ever.
async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

fn send(handle: &driver::Handle, command: Command) {
    if let Err(error) = handle.send(command) {
        tracing::error!(%error, "a change of the host was lost");
    }
}

/// The host's interfaces as they are, and a watch on what becomes of them.
///
/// # Errors
/// If there is no netlink socket.
pub(super) async fn look_around() -> io::Result<(Links, HostWatch)> {
    let mut watch = HostWatch::open()?;
    let mut links = Links::default();
    loop {
        let change = watch.next().await?;
        if change == HostChange::Listed {
            return Ok((links, watch));
        }
        links.take(&change);
    }
}
