//! Puts the parts together, and takes them apart again: what the daemon adds to
//! the host is gone when [`run`] returns, whether it ends well or not.

mod setup;
mod view;

use std::{io, sync::Arc, thread};

use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::{oneshot, watch},
};

use self::view::View;
use crate::{
    cli::RunOptions,
    config::{self, Config},
    control::server,
    driver::{self, Driver, PeerTable},
    kernel,
    net::{address::AddressTable, interface, link},
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
    let interfaces = setup::interfaces(&config).await?;
    let journal =
        setup::clean_up_after_predecessor(&config, &interfaces, &runtime_dir, &mut addresses)
            .map_err(system("removing what a killed daemon left behind"))?;

    let tools = setup::open_sockets(&config, &interfaces)?;
    runtime_dir.mount_pins()?;
    let loader = kernel::Loader {
        object: options.ebpf_object.clone(),
        sizes: kernel::Sizes {
            instances: config.instances.len(),
            addresses: config
                .instances
                .iter()
                .map(|instance| instance.addresses.len())
                .sum(),
            unicast_peers: config
                .instances
                .iter()
                .filter_map(|instance| instance.unicast.as_ref())
                .map(|unicast| unicast.peers.len())
                .sum(),
        },
        pin_dir: runtime_dir.pin_dir().to_owned(),
        xdp_mode: config.xdp_mode,
    };
    let ports: Vec<(u32, String)> = interfaces
        .values()
        .map(|found| (found.index, found.name.clone()))
        .collect();
    let (program, maps) = loader.load(&ports)?;
    let watched = ports.iter().map(|(index, _)| *index).collect();

    let executors = setup::executors(
        &config,
        &interfaces,
        tools,
        maps.instances,
        maps.vips,
        &maps.unicast_peers,
    )?;
    let (handle, commands) = driver::channel().map_err(system("creating an eventfd"))?;
    let peers = PeerTable::new(maps.peers);
    let driver = Driver::new(
        executors,
        addresses,
        maps.actives,
        peers,
        maps.events,
        commands,
    )
    .map_err(system("creating the driver's timer"))?;
    let socket = runtime_dir.control_socket();
    let listener =
        server::bind(&socket).map_err(system(format!("listening on {}", socket.display())))?;
    let (driver, realtime, mut ended) = start(driver)?;
    // From here on every way out goes past the driver's end.
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
    let links = tokio::spawn(watch_links(handle.clone(), watched));
    tokio::select! {
        () = signals.stop() => {}
        _ = &mut ended => {}
    }
    links.abort();
    // If the driver has ended already there is nobody to tell.
    let _ = handle.send(driver::Command::Shutdown);
    let outcome = match tokio::task::spawn_blocking(move || driver.join()).await {
        Ok(Ok(result)) => result.map_err(DaemonError::from),
        Ok(Err(_)) | Err(_) => Err(DaemonError::DriverPanic),
    };
    let _ = cancel.send(true);
    // The server ends by itself; a panic of its own was already printed.
    let _ = control.await;
    // What a driver that failed may have left is for the next start to remove.
    if outcome.is_err() {
        journal.keep();
    } else {
        drop(journal);
    }
    drop(program);
    drop(runtime_dir);
    tracing::info!("stopped");
    outcome
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

/// Tells the driver of the links with index in `ours`. A host may have hundreds of
/// others, which would fill the driver's channel.
async fn watch_links(handle: driver::Handle, ours: Vec<u32>) {
    let watched = link::watch(|change| {
        !ours.contains(&change.index)
            || match handle.send(driver::Command::Link(change)) {
                Ok(()) => true,
                Err(error) => {
                    tracing::error!(%error, "a change of a link was lost");
                    true
                }
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
