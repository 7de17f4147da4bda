//! Puts the parts together, and takes them apart again: what the daemon adds to
//! the host is gone when [`run`] returns, whether it ends well or not.

mod accepting;
mod attach;
mod dump;
mod explain;
mod keeper;
mod links;
mod live;
mod phase;
mod plan;
mod ports;
mod reload;
mod reloader;
mod roster;
mod scheduling;
mod services;
mod setup;
mod signals;
mod trackers;
mod view;

use std::{io, sync::Arc, thread, time::Duration};

use ha_common::fsm::TrackerId;
use tokio::sync::{mpsc, oneshot, watch};

use self::{
    accepting::Accepting,
    dump::Dumper,
    keeper::Keeper,
    live::Live,
    reloader::Reloader,
    roster::{Current, Roster},
    scheduling::Scheduling,
    services::Services,
    signals::{Asked, Signals},
    view::View,
};
use crate::{
    cli::RunOptions,
    config::{self, CheckKind, Config, Format},
    control::server,
    driver::{self, Driver, PeerTable},
    engine::Reading,
    health::{self, Checks},
    kernel,
    net::{accept, host::HostTable, interface, leftover, macvlan, sysctl},
    notify::Notifications,
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
    /// A virtual router's own interface cannot be had.
    #[error(transparent)]
    Macvlan(#[from] macvlan::MacvlanError),
    /// A setting of an interface cannot be changed.
    #[error(transparent)]
    Sysctl(#[from] sysctl::SysctlError),
    /// Packets to the addresses cannot be dropped.
    #[error(transparent)]
    Accept(#[from] accept::AcceptError),
    /// A new configuration needs a restart.
    #[error(transparent)]
    NeedsRestart(#[from] reload::NeedsRestart),
    /// Something that a killed daemon left cannot be removed.
    #[error(transparent)]
    Clean(#[from] leftover::CleanError),
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

/// How long threads that hang are waited for at the end.
const LEAVE: Duration = Duration::from_secs(1);

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
    let (config, format) = config::load(&options.config, &options.reading)?;
    let keepalived_dumps = options.keepalived_dumps || format == Format::Keepalived;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(system("starting the asynchronous runtime"))?;
    let outcome = runtime.block_on(serve(options, config, keepalived_dumps));
    // Threads that wait for a disk or for the user database may do so for ever.
    runtime.shutdown_timeout(LEAVE);
    outcome
}

async fn serve(
    options: &RunOptions,
    config: Config,
    keepalived_dumps: bool,
) -> Result<(), DaemonError> {
    // Before anything is put on the host: from here on a signal is a clean stop.
    let mut signals = Signals::new().map_err(system("catching signals"))?;
    let roster = Roster::of(Arc::new(config));
    let config = Arc::clone(&roster.config);
    setup::check_privilege()?;
    let mut runtime_dir = RuntimeDir::claim(&options.runtime_dir)?;
    let mut host = HostTable::open().map_err(system("opening a netlink socket"))?;
    let (links, host_watch) = keeper::look_around()
        .await
        .map_err(system("looking up the interfaces"))?;
    let journal =
        setup::clean_up_after_predecessor(&config, &links, &runtime_dir, &mut host).await?;
    let mut accept = Accepting::new(runtime_dir.nft_table());
    accept.refuse(setup::refused_addresses(&config))?;

    runtime_dir.mount_pins()?;
    let limits = setup::sizes(&config);
    let loader = kernel::Loader {
        object: options.ebpf_object.clone(),
        sizes: limits,
        pin_dir: runtime_dir.pin_dir().to_owned(),
        xdp_mode: config.xdp_mode,
    };
    let (program, maps) = loader.load(&[])?;
    let rows = keeper::Rows {
        vips: maps.vips,
        unicast_peers: maps.unicast_peers,
        slots: maps.slots,
    };
    let mut registry = trackers::Registry::default();
    let trackings = registry.trackings(&config);
    let check_ids = registry.checks(&config);
    let subjects = registry.subjects();
    let current = Current::new(roster);
    let (departed, departures) = mpsc::unbounded_channel();
    let mut keeper = Keeper::new(keeper::Start {
        current: current.clone(),
        links,
        watch: host_watch,
        program,
        rows,
        limits,
        registry,
        own_port: host.port(),
        journal,
        accept,
        departed: departures,
    })
    .map_err(system("opening a netlink socket"))?;
    let attached = match keeper.start().await {
        Ok(attached) => attached,
        Err(error) => {
            keeper.close(true).await;
            return Err(error);
        }
    };

    let roster = current.roster();
    let instances = Arc::new(maps.instances);
    instances.set_consume(config.consume);
    let executors = setup::executors(&roster, &instances, subjects, attached);
    let mut engine = setup::engine(&roster, &executors, trackings);
    let now = sys::now();
    let links = keeper.trackers().map(|(id, up)| (id, up.into()));
    let links: Vec<(TrackerId, Reading)> = links.collect();
    let checks = config.checks.iter().zip(&check_ids);
    let checks = checks.filter(|(check, _)| !matches!(check.kind, CheckKind::Interface(_)));
    let checks = checks.map(|(check, id)| (*id, health::first_reading(check)));
    for (tracker, reading) in links.into_iter().chain(checks) {
        engine.handle_tracker(now, tracker, reading);
    }
    let live = Live::new(maps.dump, Arc::clone(&instances))
        .map_err(system("watching the kernel's ring of advertisements"))?;
    let (notices, heard) = driver::notice::channel();
    let tools = driver::Tools {
        host,
        notices,
        instances: Arc::clone(&instances),
        departed,
        counters: maps.counters_view,
        actives: maps.actives,
        peers: PeerTable::new(maps.peers),
        events: maps.events,
    };
    let socket = runtime_dir.control_socket();
    let launch = || {
        let (handle, commands) = driver::channel().map_err(system("creating an eventfd"))?;
        let driver = Driver::new(engine, executors, tools, commands)
            .map_err(system("creating the driver's timer"))?;
        let listener =
            server::bind(&socket).map_err(system(format!("listening on {}", socket.display())))?;
        // What is not used any more goes back, before memory is locked.
        sys::trim_heap();
        Ok((
            handle,
            listener,
            start(driver, config.cpu_affinity.clone())?,
        ))
    };
    let (handle, listener, (driver, scheduling, mut ended)) = match launch() {
        Ok(launched) => launched,
        Err(error) => {
            keeper.close(true).await;
            return Err(error);
        }
    };
    // From here on every way out goes past the driver's end.
    let scheduling = Arc::new(scheduling.await.unwrap_or_else(|_| Scheduling::of_nobody()));
    let checks = Checks::start(&config, &check_ids, handle.clone());
    let board = checks.board();
    keeper.take_along(Services {
        checks,
        notifications: Notifications::start(&config, roster.ids().to_vec(), heard),
        scheduling: Arc::clone(&scheduling),
        instances,
    });
    let (reloader, mut orders) = Reloader::new(options.config.clone(), options.reading.clone());
    let view = Arc::new(View {
        current,
        ports: keeper.ports(),
        scheduling,
        handle: handle.clone(),
        checks: board,
        peers: maps.peers_view,
        counters: maps.counters,
        live,
        reloader: reloader.clone(),
        started_at: now,
    });
    tracing::info!(
        socket = %socket.display(),
        "running with {} instance{}",
        config.instances.len(),
        if config.instances.len() == 1 { "" } else { "s" }
    );
    let (cancel, cancelled) = watch::channel(false);
    let dumper = Dumper::new(runtime_dir.dump_dir(), keepalived_dumps, &view);
    let control = tokio::spawn(server::serve(listener, cancelled, move |request| {
        let view = Arc::clone(&view);
        async move { view.answer(request).await }
    }));
    tokio::select! {
        () = supervise(&mut signals, &handle, &reloader, &dumper) => {}
        () = keeper.run(&handle, &mut orders) => {}
        _ = &mut ended => {}
    }
    // If the driver has ended already there is nobody to tell.
    let _ = handle.send(driver::Command::StopNow);
    let outcome = match tokio::task::spawn_blocking(move || driver.join()).await {
        Ok(Ok(result)) => result.map_err(DaemonError::from),
        Ok(Err(_)) | Err(_) => Err(DaemonError::DriverPanic),
    };
    let _ = cancel.send(true);
    // The server ends by itself; a panic of its own was already printed.
    let _ = control.await;
    keeper.stop_services().await;
    // What a driver that failed may have left is for the next start to remove.
    keeper.close(outcome.is_ok()).await;
    drop(dumper);
    drop(runtime_dir);
    tracing::info!("stopped");
    outcome
}

/// The first signal to stop has the driver hand over, which ends it when a successor
/// has spoken or none can be expected any more; a second one does not wait for that.
/// Others are obeyed beside it, so that nothing delays a stop.
async fn supervise(
    signals: &mut Signals,
    handle: &driver::Handle,
    reloader: &Reloader,
    dumper: &Dumper,
) {
    let mut stopping = false;
    loop {
        match signals.next().await {
            Asked::Stop if stopping => {
                tracing::info!("stopping at once");
                return;
            }
            Asked::Stop => {
                stopping = true;
                reloader.stop();
                // If the driver has ended there is nobody to tell.
                let _ = handle.send(driver::Command::Shutdown);
                tracing::info!("stopping: the addresses are served until a successor speaks");
            }
            Asked::Reload => {
                let reloader = reloader.clone();
                tokio::spawn(async move { reloader.reload().await });
            }
            Asked::Data => {
                let dumper = dumper.clone();
                tokio::spawn(async move { dumper.data().await });
            }
            Asked::Statistics => {
                let dumper = dumper.clone();
                tokio::spawn(async move { dumper.statistics().await });
            }
        }
    }
}

type Running = (
    thread::JoinHandle<Result<(), driver::DriverError>>,
    oneshot::Receiver<Scheduling>,
    oneshot::Receiver<()>,
);

/// Starts the driver's thread on `cpus`, on any if there are none; the first channel
/// tells how it is scheduled, the second ends when the thread does.
fn start(driver: Driver, cpus: Vec<u16>) -> Result<Running, DaemonError> {
    let (scheduling_sender, scheduling) = oneshot::channel();
    let (ended_sender, ended) = oneshot::channel::<()>();
    let thread = thread::Builder::new()
        .name("harrier-driver".into())
        .spawn(move || {
            // Dropped when the thread ends, by a panic too.
            let _ended = ended_sender;
            // Whoever asked may be gone.
            let _ = scheduling_sender.send(Scheduling::prepare(&cpus));
            driver.run()
        })
        .map_err(system("starting the driver's thread"))?;
    Ok((thread, scheduling, ended))
}
