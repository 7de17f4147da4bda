//! Puts the parts together, and takes them apart again: what the daemon adds to
//! the host is gone when [`run`] returns, whether it ends well or not.

mod attach;
mod keeper;
mod links;
mod plan;
mod ports;
mod setup;
mod view;

use std::{io, sync::Arc, thread};

use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::{oneshot, watch},
};

use self::{keeper::Keeper, view::View};
use crate::{
    cli::RunOptions,
    config::{self, Config},
    control::server,
    driver::{self, Driver, PeerTable},
    kernel,
    net::{accept, host::HostTable, interface, leftover, macvlan, sysctl},
    runtime_dir::RuntimeDir,
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
    let config = Arc::new(config);
    setup::check_privilege()?;
    let mut runtime_dir = RuntimeDir::claim(&options.runtime_dir)?;
    let mut host = HostTable::open().map_err(system("opening a netlink socket"))?;
    let around = keeper::look_around()
        .await
        .map_err(system("looking up the interfaces"))?;
    let journal =
        setup::clean_up_after_predecessor(&config, &around.0, &runtime_dir, &mut host).await?;
    let filter = setup::accept_filter(&config, &runtime_dir.nft_table())?;

    runtime_dir.mount_pins()?;
    let loader = kernel::Loader {
        object: options.ebpf_object.clone(),
        sizes: setup::sizes(&config),
        pin_dir: runtime_dir.pin_dir().to_owned(),
        xdp_mode: config.xdp_mode,
    };
    let (program, maps) = loader.load(&[])?;
    let rows = keeper::Rows {
        vips: maps.vips,
        unicast_peers: maps.unicast_peers,
        slots: maps.slots,
    };
    let (trackings, tracked) = setup::trackings(&config);
    let mut keeper = Keeper::new(
        Arc::clone(&config),
        around,
        program,
        rows,
        (&tracked, host.port()),
        journal,
    )
    .map_err(system("opening a netlink socket"))?;
    let attached = match keeper.start().await {
        Ok(attached) => attached,
        Err(error) => {
            keeper.close(true).await;
            return Err(error);
        }
    };

    let executors = setup::executors(&config, maps.instances, &tracked, attached);
    let mut engine = setup::engine(&config, &executors, trackings);
    let now = crate::sys::now();
    for (tracker, up) in keeper.trackers() {
        engine.handle_tracker(now, tracker, up);
    }
    let tools = driver::Tools {
        host,
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
        Ok((handle, listener, start(driver)?))
    };
    let (handle, listener, (driver, realtime, mut ended)) = match launch() {
        Ok(launched) => launched,
        Err(error) => {
            keeper.close(true).await;
            return Err(error);
        }
    };
    // From here on every way out goes past the driver's end.
    let view = Arc::new(View {
        config,
        ports: keeper.ports(),
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
    tokio::select! {
        () = supervise(&mut signals, &handle) => {}
        () = keeper.run(&handle) => {}
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
    // What a driver that failed may have left is for the next start to remove.
    keeper.close(outcome.is_ok()).await;
    drop(filter);
    drop(runtime_dir);
    tracing::info!("stopped");
    outcome
}

/// The first signal has the driver hand over, which ends it when a successor has
/// spoken or none can be expected any more; a second one does not wait for that.
async fn supervise(signals: &mut Signals, handle: &driver::Handle) {
    signals.stop().await;
    // If the driver has ended there is nobody to tell.
    let _ = handle.send(driver::Command::Shutdown);
    tracing::info!("stopping: the addresses are served until a successor speaks");
    signals.stop().await;
    tracing::info!("stopping at once");
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
