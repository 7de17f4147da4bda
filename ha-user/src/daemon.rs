//! Puts the parts together, and takes them apart again: what the daemon adds to
//! the host is gone when [`run`] returns, whether it ends well or not.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    net::IpAddr,
    sync::Arc,
    thread,
};

use ha_common::{
    abi,
    fsm::StateKind,
    time::Timestamp,
    types::{AddressFamily, Centiseconds, MacAddress, RouterAddress},
};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::{oneshot, watch},
};

use crate::{
    cli::RunOptions,
    config::{self, Config, InstanceConfig},
    control::{
        protocol::{Counters, Family, InstanceState, InstanceStatus, Peer, Reply, Request, Status},
        server,
    },
    driver::{self, Driver, Executor, PeerTable, Tools},
    engine::Snapshot,
    kernel,
    net::{
        address::AddressTable,
        advert::AdvertSocket,
        announce::{Announcer, forwards_ipv6},
        interface::{self, Interface},
        leftover::{self, Entry, Journal},
        link,
    },
    runtime_dir::RuntimeDir,
    sys,
};

/// Why the daemon did not start, or stopped by itself.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// The configuration cannot be used.
    #[error(transparent)]
    Config(#[from] config::LoadError),
    /// The runtime directory cannot be used.
    #[error(transparent)]
    RuntimeDir(#[from] crate::runtime_dir::ClaimError),
    /// An interface cannot be used.
    #[error(transparent)]
    Interface(#[from] interface::InterfaceError),
    /// The kernel program cannot be loaded or attached.
    #[error(transparent)]
    Kernel(#[from] kernel::LoadError),
    /// A kernel map cannot be written.
    #[error(transparent)]
    Map(#[from] kernel::MapError),
    /// The loop ended before it was told to.
    #[error(transparent)]
    Driver(#[from] driver::DriverError),
    /// The driver's thread panicked; the addresses are removed all the same.
    #[error("the driver's thread panicked; please report this, with the log")]
    DriverPanic,
    /// Something that every Linux host has could not be had.
    #[error("{what}: {source}{}", remedy(.source))]
    System {
        /// What was being done.
        what: String,
        /// What the kernel says.
        source: io::Error,
    },
}

fn remedy(error: &io::Error) -> &'static str {
    if error.kind() == io::ErrorKind::PermissionDenied {
        "; run as root, or with CAP_NET_ADMIN, CAP_NET_RAW, CAP_BPF and CAP_PERFMON"
    } else {
        ""
    }
}

fn system(what: impl Into<String>) -> impl FnOnce(io::Error) -> DaemonError {
    let what = what.into();
    move |source| DaemonError::System { what, source }
}

/// Runs the daemon in the foreground until SIGTERM or SIGINT.
///
/// # Errors
/// [`DaemonError`].
pub fn run(options: &RunOptions) -> Result<(), DaemonError> {
    let config = config::load(&options.config)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(system("starting the asynchronous runtime"))?;
    runtime.block_on(serve(options, config))
}

async fn serve(options: &RunOptions, config: Config) -> Result<(), DaemonError> {
    // Before anything is put on the host: from here on a signal is a clean stop.
    let mut signals = Signals::new().map_err(system("catching signals"))?;
    let mut runtime_dir = RuntimeDir::claim(&options.runtime_dir)?;
    let mut addresses = AddressTable::open().map_err(system("opening a netlink socket"))?;
    let interfaces = interfaces(&config).await?;
    let journal = clean_up_after_predecessor(&config, &interfaces, &runtime_dir, &mut addresses)
        .map_err(system("removing what a killed daemon left behind"))?;

    let tools = open_sockets(&config, &interfaces)?;
    runtime_dir.mount_pins()?;
    let loader = kernel::Loader {
        object: options.ebpf_object.clone(),
        sizes: kernel::Sizes {
            instances: config.instances.len(),
            addresses: config.instances.iter().map(|instance| instance.addresses.len()).sum(),
        },
        pin_dir: runtime_dir.pin_dir().to_owned(),
        xdp_mode: config.xdp_mode,
    };
    let ports: Vec<(u32, String)> =
        interfaces.values().map(|found| (found.index, found.name.clone())).collect();
    let (program, maps) = loader.load(&ports)?;

    let instances = Arc::new(maps.instances);
    let vips = Arc::new(maps.vips);
    let mut executors = Vec::with_capacity(config.instances.len());
    for (index, (instance, (source, socket, announcer))) in (0..).zip(config.instances.iter().zip(tools)) {
        let interface = interfaces[&instance.interface].clone();
        let router = forwards_ipv6(&interface.name);
        let executor = Executor::new(
            index,
            instance.clone(),
            interface,
            source,
            router,
            Tools {
                socket,
                announcer,
                instances: Arc::clone(&instances),
                vips: Arc::clone(&vips),
            },
        );
        executor.watch()?;
        executors.push(executor);
    }

    let (handle, commands) = driver::channel().map_err(system("creating an eventfd"))?;
    let peers = PeerTable::new(maps.peers);
    let driver = Driver::new(executors, addresses, maps.actives, peers, maps.events, commands)
        .map_err(system("creating the driver's timer"))?;
    let (driver, realtime, mut ended) = start(driver)?;

    let socket = runtime_dir.control_socket();
    let listener = server::bind(&socket)
        .map_err(system(format!("listening on {}", socket.display())));
    // The driver runs: from here on every way out goes past its end.
    let mut outcome = Ok(());
    match listener {
        Err(error) => outcome = Err(error),
        Ok(listener) => {
            let view = Arc::new(View {
                config,
                interfaces,
                modes: program.modes(),
                realtime: realtime.await.unwrap_or(false),
                handle: handle.clone(),
                peers: maps.peers_view,
                counters: maps.counters,
            });
            tracing::info!(
                socket = %socket.display(),
                "running with {} instance{}",
                view.config.instances.len(),
                if view.config.instances.len() == 1 { "" } else { "s" }
            );
            let (cancel, cancelled) = watch::channel(false);
            let control = tokio::spawn(server::serve(listener, cancelled, move |request| {
                let view = Arc::clone(&view);
                async move { view.answer(request).await }
            }));
            let links = tokio::spawn(watch_links(handle.clone()));
            tokio::select! {
                () = signals.stop() => {}
                _ = &mut ended => {}
            }
            links.abort();
            let _ = cancel.send(true);
            // The server ends by itself; a panic of its own was already printed.
            let _ = control.await;
        }
    }
    // If the driver has ended already there is nobody to tell.
    let _ = handle.send(driver::Command::Shutdown);
    let driven = tokio::task::spawn_blocking(move || driver.join()).await;
    match driven {
        Ok(Ok(result)) => outcome = outcome.and(result.map_err(DaemonError::from)),
        Ok(Err(_)) | Err(_) => outcome = Err(DaemonError::DriverPanic),
    }
    // What is not removed is removed by the next start: the journal stays then.
    if outcome.is_ok()
        && let Err(error) = journal.close()
    {
        tracing::warn!(%error, "the journal of addresses stays behind");
    }
    drop(program);
    drop(runtime_dir);
    tracing::info!("stopped");
    outcome
}

/// Every interface that an instance names, once.
async fn interfaces(config: &Config) -> Result<BTreeMap<String, Interface>, DaemonError> {
    let mut found = BTreeMap::new();
    for instance in &config.instances {
        if found.contains_key(&instance.interface) {
            continue;
        }
        let families: Vec<AddressFamily> = config
            .instances
            .iter()
            .filter(|other| other.interface == instance.interface)
            .map(|other| other.family)
            .collect();
        let virtual_addresses = virtual_addresses(config);
        let interface =
            interface::resolve_settled(&instance.interface, &families, &virtual_addresses).await?;
        found.insert(instance.interface.clone(), interface);
    }
    Ok(found)
}

fn virtual_addresses(config: &Config) -> Vec<IpAddr> {
    config
        .instances
        .iter()
        .flat_map(|instance| &instance.addresses)
        .map(|address| address.address)
        .collect()
}

fn clean_up_after_predecessor(
    config: &Config,
    interfaces: &BTreeMap<String, Interface>,
    runtime_dir: &RuntimeDir,
    addresses: &mut AddressTable,
) -> io::Result<Journal> {
    let path = runtime_dir.journal();
    let before = Journal::predecessor(&path)?;
    let configured: BTreeSet<Entry> = config
        .instances
        .iter()
        .flat_map(|instance| {
            instance.addresses.iter().map(|address| Entry::new(&instance.interface, *address))
        })
        .collect();
    for interface in interfaces.values() {
        leftover::clean(interface, &before, &configured, addresses)?;
    }
    Journal::write(&path, &configured)
}

type Sockets = (IpAddr, Arc<AdvertSocket>, Arc<Announcer>);

/// For each instance its source address and sockets, shared where interface and
/// family are the same.
fn open_sockets(
    config: &Config,
    interfaces: &BTreeMap<String, Interface>,
) -> Result<Vec<Sockets>, DaemonError> {
    let virtual_addresses = virtual_addresses(config);
    let mut adverts: BTreeMap<(u32, AddressFamily), (IpAddr, Arc<AdvertSocket>)> = BTreeMap::new();
    let mut announcers: BTreeMap<u32, Arc<Announcer>> = BTreeMap::new();
    let mut sockets = Vec::with_capacity(config.instances.len());
    for instance in &config.instances {
        let interface = &interfaces[&instance.interface];
        let key = (interface.index, instance.family);
        if !adverts.contains_key(&key) {
            let source = interface.require_primary(instance.family, &virtual_addresses)?;
            let socket = AdvertSocket::open(interface, source).map_err(system(format!(
                "opening a raw socket on {} from {source}",
                interface.name
            )))?;
            adverts.insert(key, (source, Arc::new(socket)));
        }
        if !announcers.contains_key(&interface.index) {
            let announcer = Announcer::open(interface.index)
                .map_err(system(format!("opening a packet socket on {}", interface.name)))?;
            announcers.insert(interface.index, Arc::new(announcer));
        }
        let (source, socket) = &adverts[&key];
        let announcer = &announcers[&interface.index];
        sockets.push((*source, Arc::clone(socket), Arc::clone(announcer)));
    }
    Ok(sockets)
}

type Running = (
    thread::JoinHandle<Result<(), driver::DriverError>>,
    oneshot::Receiver<bool>,
    oneshot::Receiver<()>,
);

/// Starts the driver's thread; the first channel tells whether it runs in real
/// time, the second ends when the thread does.
fn start(driver: Driver) -> Result<Running, DaemonError> {
    let (realtime_sender, realtime) = oneshot::channel();
    let (ended_sender, ended) = oneshot::channel::<()>();
    let thread = thread::Builder::new()
        .name("harrier-driver".into())
        .spawn(move || {
            // Dropped when the thread ends, by a panic too.
            let _ended = ended_sender;
            let _ = realtime_sender.send(Driver::prepare_thread());
            driver.run()
        })
        .map_err(system("starting the driver's thread"))?;
    Ok((thread, realtime, ended))
}

async fn watch_links(handle: driver::Handle) {
    let watched = link::watch(|change| match handle.send(driver::Command::Link(change)) {
        Ok(()) => true,
        Err(error) => {
            tracing::error!(%error, "a change of a link was lost");
            true
        }
    })
    .await;
    if let Err(error) = watched {
        tracing::error!(%error, "links are not watched any more");
    }
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// Ends when the daemon is to stop.
    async fn stop(&mut self) {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return,
                _ = self.interrupt.recv() => return,
                _ = self.hangup.recv() => {
                    tracing::warn!("SIGHUP is ignored: restart to read the configuration anew");
                }
            }
        }
    }
}

/// What the control socket answers from.
struct View {
    config: Config,
    interfaces: BTreeMap<String, Interface>,
    modes: BTreeMap<u32, &'static str>,
    realtime: bool,
    handle: driver::Handle,
    peers: kernel::Peers,
    counters: kernel::CounterMap,
}

impl View {
    async fn answer(&self, request: Request) -> Result<Reply, String> {
        match request {
            Request::Status => {
                let snapshots = self.handle.snapshot().await.map_err(|error| error.to_string())?;
                Ok(Reply::Status(self.status(&snapshots)))
            }
            Request::Peers => self.peers().map(Reply::Peers).map_err(|error| error.to_string()),
            Request::Counters => {
                self.counters().map(Reply::Counters).map_err(|error| error.to_string())
            }
        }
    }

    fn status(&self, snapshots: &[Snapshot]) -> Status {
        let now = sys::now();
        Status {
            instances: self
                .config
                .instances
                .iter()
                .zip(snapshots)
                .map(|(config, snapshot)| self.instance(config, snapshot, now))
                .collect(),
            pid: std::process::id(),
            daemon_version: env!("CARGO_PKG_VERSION").to_owned(),
            realtime: self.realtime,
        }
    }

    fn instance(
        &self,
        config: &InstanceConfig,
        snapshot: &Snapshot,
        now: Timestamp,
    ) -> InstanceStatus {
        let mode = self.modes.get(&self.interfaces[&config.interface].index);
        InstanceStatus {
            name: config.name.clone(),
            interface: config.interface.clone(),
            vrid: config.vrid.value(),
            family: match config.family {
                AddressFamily::Ipv4 => Family::Ipv4,
                AddressFamily::Ipv6 => Family::Ipv6,
            },
            version: config.version.number(),
            state: match snapshot.state {
                StateKind::Init => InstanceState::Init,
                StateKind::Backup => InstanceState::Backup,
                StateKind::Active => InstanceState::Active,
                StateKind::Fault => InstanceState::Fault,
            },
            base_priority: config.priority.0,
            priority: config.priority.0,
            advert_interval_ms: millis(config.advert_interval),
            active_down_interval_ms: snapshot.active_down_interval.as_secs_f64() * 1e3,
            addresses: config.addresses.iter().map(ToString::to_string).collect(),
            since_ms: millis(now.since(snapshot.since)),
            transitions: snapshot.transitions,
            active: snapshot.active.map(|address| address.to_ip(config.family)),
            last_transition: snapshot
                .reason
                .map(|reason| reason.describe(config.family).to_string()),
            xdp_mode: mode.map(|mode| (*mode).to_owned()),
        }
    }

    fn peers(&self) -> Result<Vec<Peer>, kernel::MapError> {
        let now = sys::now();
        let mut peers = Vec::new();
        for row in self.peers.iter() {
            let (key, peer) = row?;
            if let Some(config) = self.instance_of(&key) {
                peers.push(Peer {
                    instance: config.name.clone(),
                    address: RouterAddress(key.address).to_ip(config.family),
                    mac: MacAddress(peer.mac).to_string(),
                    priority: peer.priority,
                    version: peer.version,
                    advert_interval_ms: millis(Centiseconds(peer.interval_cs).to_duration()),
                    adverts: peer.adverts,
                    last_advert_age_ms: now
                        .since(Timestamp::from_nanos(peer.last_seen_ns))
                        .as_secs_f64()
                        * 1e3,
                });
            }
        }
        peers.sort_by(|a, b| (&a.instance, a.address).cmp(&(&b.instance, b.address)));
        Ok(peers)
    }

    fn instance_of(&self, key: &abi::PeerKey) -> Option<&InstanceConfig> {
        self.config.instances.iter().find(|config| {
            config.vrid.value() == key.vrid
                && config.family.code() == key.family
                && self.interfaces[&config.interface].index == key.ifindex
        })
    }

    fn counters(&self) -> Result<Counters, kernel::MapError> {
        let sum = self.counters.sum()?;
        Ok(Counters(
            abi::Counter::ALL
                .iter()
                .map(|counter| (counter.name().to_owned(), sum.of(*counter)))
                .collect(),
        ))
    }
}

fn millis(span: std::time::Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
