//! The log of a kernel program built with the feature `log`.

use aya::Ebpf;
use aya_log::{EbpfLogger, Error};
use tokio::{
    io::{Interest, unix::AsyncFd},
    runtime::Handle,
};

/// Passes the program's log lines on, if it has any, from a task of the current
/// runtime. A program without log, as it is shipped, costs nothing.
pub(super) fn start(ebpf: &mut Ebpf) {
    let logger = match EbpfLogger::init(ebpf) {
        Ok(logger) => logger,
        Err(Error::MapNotFound) => return,
        Err(error) => {
            tracing::warn!(%error, "the kernel program's log cannot be read");
            return;
        }
    };
    let Ok(runtime) = Handle::try_current() else {
        tracing::warn!("the kernel program's log is not read: there is no runtime to do it");
        return;
    };
    let _entered = runtime.enter();
    // SAFETY: the logger owns its map, and so the one descriptor that it names.
    let registered = unsafe { AsyncFd::register_with_interest(logger, Interest::READABLE) };
    match registered {
        Ok(mut logger) => {
            runtime.spawn(async move {
                while let Ok(mut ready) = logger.readable_mut().await {
                    ready.get_inner_mut().flush();
                    ready.clear_ready();
                }
            });
        }
        Err(error) => tracing::warn!(%error, "the kernel program's log cannot be read"),
    }
}
