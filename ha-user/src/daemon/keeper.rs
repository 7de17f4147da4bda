//! Keeps the instances attached to their interfaces as those come, change and go.
//!
//! It lives beside the driver, where waiting does no harm: sockets are opened, the
//! kernel program is attached and its maps are filled before the driver hears of
//! an interface.

use std::{
    collections::{BTreeSet, HashMap},
    io,
    net::IpAddr,
    sync::Arc,
    time::Duration,
};

use futures_util::FutureExt;
use ha_common::{abi, fsm::TrackerId, types::AddressFamily, wire::vrrp};
use tokio::{sync::oneshot, time::Instant};

use super::{
    DaemonError,
    attach::{self, Sockets},
    links::Links,
    plan::{self, Plan},
    ports::Ports,
    system,
};
use crate::{
    config::{Config, InstanceConfig},
    driver::{self, Attachment, Command, Gone},
    engine::InstanceId,
    kernel::{self, Program},
    net::{
        Netlink,
        interface::InterfaceError,
        journal::{Inventory, Journal},
        macvlan::{self, Macvlan},
        sysctl::{self, Setting, Want},
        watch::{HostChange, HostWatch},
    },
};

/// How long what failed is left alone.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// An address that somebody keeps removing is put back no more often.
const PUT_BACK_GAP: Duration = Duration::from_millis(500);

/// The rows that the keeper writes.
pub(super) struct Rows {
    pub(super) vips: kernel::Vips,
    pub(super) unicast_peers: kernel::UnicastPeers,
    pub(super) slots: kernel::Slots,
}

/// See the [module](self).
pub(super) struct Keeper {
    config: Arc<Config>,
    virtual_addresses: Vec<IpAddr>,
    links: Links,
    watch: HostWatch,
    program: Program,
    rows: Rows,
    sockets: Sockets,
    netlink: Netlink,
    bound: Vec<Option<Bound>>,
    failed: Vec<Option<Failed>>,
    sysctls: sysctl::Guard,
    journal: Journal,
    /// What is in the journal.
    inventory: Inventory,
    ports: Arc<Ports>,
    /// Names of the interfaces that are tracked, by tracker.
    tracked: Vec<(String, bool)>,
    put_back_at: HashMap<(u32, IpAddr), Instant>,
    /// Netlink port of the driver.
    own_port: u32,
}

/// What an instance is attached to.
struct Bound {
    plan: Plan,
    /// The interface with the virtual router's link-layer address.
    macvlan: Option<Macvlan>,
}

/// A plan that could not be carried out.
struct Failed {
    plan: Plan,
    retry_at: Instant,
}

impl Keeper {
    /// A keeper that knows the host's interfaces by `links`, which `watch` told.
    /// `tracked` are the names behind the tracker ids, `own_port` is the driver's
    /// netlink port.
    ///
    /// # Errors
    /// If there is no netlink socket.
    pub(super) fn new(
        config: Arc<Config>,
        (links, watch): (Links, HostWatch),
        program: Program,
        rows: Rows,
        (tracked, own_port): (&[String], u32),
        (journal, inventory): (Journal, Inventory),
    ) -> io::Result<Self> {
        Ok(Self {
            netlink: Netlink::open()?,
            virtual_addresses: plan::virtual_addresses(&config),
            sockets: Sockets::new(config.announce_gap),
            bound: config.instances.iter().map(|_| None).collect(),
            failed: config.instances.iter().map(|_| None).collect(),
            own_port,
            sysctls: sysctl::Guard::default(),
            journal,
            inventory,
            tracked: tracked
                .iter()
                .map(|name| {
                    let up = links.by_name(name).is_some_and(|interface| interface.up);
                    (name.clone(), up)
                })
                .collect(),
            config,
            links,
            watch,
            program,
            rows,
            ports: Arc::default(),
            put_back_at: HashMap::new(),
        })
    }

    /// What status shows of the interfaces.
    pub(super) fn ports(&self) -> Arc<Ports> {
        Arc::clone(&self.ports)
    }

    /// Whether each tracked interface is up, in the order of the tracker ids.
    pub(super) fn trackers(&self) -> impl Iterator<Item = (TrackerId, bool)> {
        (0..)
            .zip(&self.tracked)
            .map(|(id, (_, up))| (TrackerId(id), *up))
    }

    /// Attaches the instances whose interfaces are there, for the first time.
    ///
    /// # Errors
    /// If an instance cannot be attached for another reason than that something
    /// is not there yet.
    pub(super) async fn start(&mut self) -> Result<Vec<(InstanceId, Attachment)>, DaemonError> {
        for config in &self.config.instances {
            if let Err(error) = plan::plan(config, &self.links, &self.virtual_addresses)
                && plan::is_fatal(&error)
            {
                return Err(error.into());
            }
        }
        let mut attached = Vec::new();
        for (place, plan) in self.look() {
            match plan {
                Ok(plan) => attached.push((id(place), self.bind(place, plan).await?)),
                Err(error) => self.wait_for(place, &error),
            }
        }
        Ok(attached)
    }

    /// Takes the instances' own interfaces off the host. To be called when the
    /// driver is gone; `clean` says that it has left nothing behind, and that a
    /// successor needs no journal.
    pub(super) async fn close(mut self, mut clean: bool) {
        for bound in std::mem::take(&mut self.bound).into_iter().flatten() {
            clean &= self.delete(bound.macvlan).await;
        }
        if !clean {
            self.journal.keep();
        }
    }

    /// Has the journal say what the inventory does, before it becomes true.
    fn write_journal(&self) -> Result<(), DaemonError> {
        self.journal
            .update(&self.inventory)
            .map_err(system("writing the journal"))
    }

    /// Returns whether it is gone.
    async fn delete(&self, macvlan: Option<Macvlan>) -> bool {
        let Some(macvlan) = macvlan else {
            return true;
        };
        match macvlan.delete(&self.netlink.handle).await {
            Ok(()) => true,
            Err(error) => {
                tracing::error!(%error, "an interface stays behind");
                false
            }
        }
    }

    /// Follows the host for as long as it is polled.
    pub(super) async fn run(&mut self, handle: &driver::Handle) {
        loop {
            let retry_at = self.failed.iter().flatten().map(|it| it.retry_at).min();
            let change = tokio::select! {
                change = self.watch.next() => change,
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
        for bound in self.bound.iter().flatten() {
            let index = bound.plan.interface.index;
            let up = self.links.by_index(index).is_some_and(|it| it.up);
            send(handle, Command::Link { index, up });
        }
        self.track(handle);
    }

    /// Takes one change in; returns whether instances may have to be attached anew.
    fn take(&mut self, change: &HostChange, handle: &driver::Handle, gone: &mut Vec<Gone>) -> bool {
        let dirty = self.links.take(change);
        let mut bound = self.bound.iter().flatten();
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
            _ => {}
        }
        if let HostChange::Link { .. } | HostChange::LinkGone { .. } = change {
            self.track(handle);
        }
        // Somebody removed an instance's own interface: it is made again.
        dirty
            || matches!(change, HostChange::LinkGone { index }
                if self.bound.iter().flatten().any(|bound| bound.is_on(*index)))
    }

    fn track(&mut self, handle: &driver::Handle) {
        for (id, (name, was_up)) in (0..).zip(&mut self.tracked) {
            let up = self
                .links
                .by_name(name)
                .is_some_and(|interface| interface.up);
            if up != *was_up {
                *was_up = up;
                send(handle, Command::Tracker(TrackerId(id), up));
            }
        }
    }

    /// Has the driver put an address back, at once, but not over and over. It knows
    /// which of them it has removed itself, and which the kernel has removed with
    /// another of the same network.
    fn put_back(
        &mut self,
        handle: &driver::Handle,
        index: u32,
        address: IpAddr,
        by: Option<u32>,
        gone: &mut Vec<Gone>,
    ) {
        if !self.is_virtual(address) {
            return;
        }
        let now = Instant::now();
        self.put_back_at.retain(|_, at| *at + PUT_BACK_GAP > now);
        let at = self
            .put_back_at
            .get(&(index, address))
            .map_or(now, |last| *last + PUT_BACK_GAP);
        self.put_back_at.insert((index, address), at);
        let it = Gone {
            index,
            address,
            by: by.filter(|by| *by != self.own_port).and_then(process_name),
        };
        if at <= now {
            gone.push(it);
        } else {
            let handle = handle.clone();
            tokio::spawn(async move {
                tokio::time::sleep_until(at).await;
                send(&handle, Command::AddressesGone(vec![it]));
            });
        }
    }

    fn is_virtual(&self, address: IpAddr) -> bool {
        self.config
            .instances
            .iter()
            .flat_map(|instance| {
                instance
                    .addresses
                    .iter()
                    .chain(&instance.excluded_addresses)
            })
            .any(|virtual_address| virtual_address.address.address == address)
    }

    /// The instances that are not attached as they could be, with what they could
    /// be attached to.
    fn look(&self) -> Vec<(usize, Result<Plan, InterfaceError>)> {
        let now = Instant::now();
        let fits = |place: usize, wanted: &Result<Plan, InterfaceError>| match wanted {
            Ok(wanted) => {
                let bound = self.bound[place].as_ref();
                let failed = self.failed[place].as_ref();
                bound.is_some_and(|bound| bound.plan.is_as(wanted) && self.is_whole(bound))
                    || failed.is_some_and(|it| it.plan.is_as(wanted) && it.retry_at > now)
            }
            Err(_) => false,
        };
        let instances = self.config.instances.iter().enumerate();
        instances
            .map(|(place, config)| {
                let wanted = plan::plan(config, &self.links, &self.virtual_addresses);
                (place, wanted)
            })
            .filter(|(place, wanted)| !fits(*place, wanted))
            .collect()
    }

    /// Whether the instance's own interface, if it has one, is still there.
    fn is_whole(&self, bound: &Bound) -> bool {
        let macvlan = bound.macvlan.as_ref();
        macvlan.is_none_or(|macvlan| self.links.by_index(macvlan.device.index).is_some())
    }

    /// Attaches and detaches instances, as their interfaces are now.
    async fn settle_all(&mut self, handle: &driver::Handle) {
        let changes = self.look();
        let leaving: Vec<usize> = changes
            .iter()
            .map(|(place, _)| *place)
            .filter(|place| self.bound[*place].is_some())
            .collect();
        if !leaving.is_empty() {
            // The driver lets go before anything is taken from under it.
            let (done, let_go) = oneshot::channel();
            let ids = leaving.iter().map(|place| id(*place)).collect();
            send(handle, Command::Detach(ids, done));
            // A driver that is gone has let go.
            let _ = let_go.await;
            for place in leaving {
                self.release(place).await;
            }
        }
        let mut attached = Vec::new();
        for (place, plan) in changes {
            match plan {
                Ok(plan) => match self.bind(place, plan.clone()).await {
                    Ok(attachment) => attached.push((id(place), attachment)),
                    Err(error) => self.fail(place, plan, &error),
                },
                Err(error) => self.wait_for(place, &error),
            }
        }
        if !attached.is_empty() {
            send(handle, Command::Attach(attached));
        }
        self.release_unused();
    }

    /// What the instance needs is not there.
    fn wait_for(&mut self, place: usize, error: &InterfaceError) {
        self.failed[place] = None;
        let text = error.to_string();
        if self.ports.set_problem(place, Some(text.clone())).as_ref() != Some(&text) {
            let instance = &self.config.instances[place].name;
            tracing::warn!(instance, "{text}; the instance waits for it");
        }
    }

    /// What the instance needs is there, but cannot be used. That may pass without
    /// a change that is heard of.
    fn fail(&mut self, place: usize, plan: Plan, error: &DaemonError) {
        self.failed[place] = Some(Failed {
            plan,
            retry_at: Instant::now() + RETRY_AFTER,
        });
        let text = error.to_string();
        if self.ports.set_problem(place, Some(text.clone())).as_ref() != Some(&text) {
            let config = &self.config.instances[place];
            tracing::error!(
                instance = config.name,
                interface = config.interface,
                "{text}; tried again every {RETRY_AFTER:?}"
            );
        }
    }

    /// Takes back what an instance was attached to.
    async fn release(&mut self, place: usize) {
        let Some(old) = self.bound[place].take() else {
            return;
        };
        let config = Arc::clone(&self.config);
        self.forget(&config.instances[place], &old.plan);
        self.delete(old.macvlan).await;
        self.ports.set_detached(place);
    }

    /// Attaches one instance.
    async fn bind(&mut self, place: usize, plan: Plan) -> Result<Attachment, DaemonError> {
        let config = Arc::clone(&self.config);
        let config = &config.instances[place];
        let index = plan.interface.index;
        let before = self.inventory.clone();
        attach::take_stock(config, &plan, &mut self.inventory);
        if self.inventory != before {
            self.write_journal()?;
        }
        let mode = match self.program.modes().get(&index) {
            Some(mode) => mode,
            None => self.program.attach(index, &plan.interface.name)?,
        };
        let macvlan = self.own_interface(config, &plan).await?;
        let attachment = match self.attach(id(place), config, &plan, macvlan.as_ref()) {
            Ok(attachment) => attachment,
            Err(error) => {
                self.delete(macvlan).await;
                return Err(error);
            }
        };
        self.failed[place] = None;
        self.ports.set_attached(place, index, mode);
        if self.ports.set_problem(place, None).is_some() {
            tracing::info!(
                instance = config.name,
                interface = config.interface,
                "the interface is there: the instance takes part"
            );
        }
        self.bound[place] = Some(Bound { plan, macvlan });
        Ok(attachment)
    }

    /// The interface with the virtual router's link-layer address, if it is to
    /// have one, and what its parent has to be set to for it.
    async fn own_interface(
        &mut self,
        config: &InstanceConfig,
        plan: &Plan,
    ) -> Result<Option<Macvlan>, DaemonError> {
        let parent = &plan.interface;
        let Some(name) = attach::macvlan_name(config, plan) else {
            if attach::is_home_of(config, AddressFamily::Ipv4) {
                // Else the kernel removes other people's addresses of a network with the
                // first one of it, if that is ours.
                self.set(&Setting {
                    family: AddressFamily::Ipv4,
                    interface: parent.name.clone(),
                    key: "promote_secondaries",
                    want: Want::AtLeast(1),
                })?;
            }
            return Ok(None);
        };
        let carries = |family| config.family == family || attach::is_home_of(config, family);
        let settings = [AddressFamily::Ipv4, AddressFamily::Ipv6]
            .into_iter()
            .filter(|family| carries(*family))
            .flat_map(|family| macvlan::parent_settings(&parent.name, family));
        for setting in settings {
            self.set(&setting)?;
        }
        let mac = vrrp::virtual_mac(config.family, config.vrid);
        // IPv6 has to be switched on, which IPv4 always is.
        let family = if carries(AddressFamily::Ipv6) {
            AddressFamily::Ipv6
        } else {
            AddressFamily::Ipv4
        };
        let handle = &self.netlink.handle;
        let macvlan = Macvlan::create(handle, &name, parent.index, mac, family).await?;
        // It is known from now on, not only when the watch tells of it.
        self.links.take(&HostChange::Link {
            index: macvlan.device.index,
            name,
            up: false,
            mac: Some(mac),
        });
        Ok(Some(macvlan))
    }

    /// Changes a setting of an interface, if it has to be, until the daemon ends.
    fn set(&mut self, setting: &Setting) -> Result<(), DaemonError> {
        if let Some(change) = sysctl::Change::plan(setting)? {
            if !self.inventory.sysctls.contains(&change) {
                self.inventory.sysctls.push(change.clone());
                self.write_journal()?;
            }
            self.sysctls.apply(change)?;
        }
        Ok(())
    }

    fn attach(
        &mut self,
        id: InstanceId,
        config: &InstanceConfig,
        plan: &Plan,
        macvlan: Option<&Macvlan>,
    ) -> Result<Attachment, DaemonError> {
        let index = plan.interface.index;
        let attachment = self
            .sockets
            .open(config, plan, macvlan)
            .map_err(|(what, error)| system(what)(error))?;
        // Nothing of an interface that the instance had before may decide.
        self.rows.slots.clear(id.0)?;
        let vip = abi::Vip {
            vrid: config.vrid.value(),
            family: config.family.code(),
            reserved: [0; 2],
        };
        for key in attach::vip_keys(config, index) {
            self.rows.vips.watch(&key, &vip)?;
        }
        for key in attach::peer_keys(config, index) {
            self.rows.unicast_peers.list(&key)?;
        }
        Ok(attachment)
    }

    /// Takes the rows of an instance out of the maps; one that stays is of no use
    /// to anybody without the instance's own.
    fn forget(&mut self, config: &InstanceConfig, plan: &Plan) {
        let index = plan.interface.index;
        for key in attach::vip_keys(config, index) {
            let _ = self.rows.vips.unwatch(&key);
        }
        for key in attach::peer_keys(config, index) {
            let _ = self.rows.unicast_peers.unlist(&key);
        }
    }

    /// Detaches the program from interfaces that no instance uses any more.
    fn release_unused(&mut self) {
        let used: BTreeSet<u32> = self
            .bound
            .iter()
            .flatten()
            .map(|bound| bound.plan.interface.index)
            .collect();
        let unused: Vec<u32> = self
            .program
            .modes()
            .keys()
            .copied()
            .filter(|index| !used.contains(index))
            .collect();
        for index in unused {
            self.program.detach(index);
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

/// The id of the instance in this place of the configuration.
fn id(place: usize) -> InstanceId {
    InstanceId(u32::try_from(place).unwrap_or(u32::MAX))
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

/// The name of the process with this netlink port, which for most programs is
/// its process id.
fn process_name(port: u32) -> Option<String> {
    let name = std::fs::read_to_string(format!("/proc/{port}/comm")).ok()?;
    Some(format!("process {port} ({})", name.trim()))
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
