//! The daemon's side of the control socket.
//!
//! Clients are not trusted to behave: a request has a greatest length, reading
//! it and writing the reply have a time limit, and so many clients are served at
//! once. None of this can hold up the driver, which lives on its own thread.

use std::{
    future::Future, io, os::unix::fs::PermissionsExt as _, path::Path, pin::pin, sync::Arc,
    time::Duration,
};

use rustix::fs::{Mode, fchmod};
use socket2::{Domain, SockAddr, Socket, Type};
use tokio::{
    io::{AsyncBufRead, AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{UnixListener, UnixStream},
    sync::{Semaphore, watch},
    task::JoinSet,
    time::timeout,
};

use super::{
    client::RELOAD_TIMEOUT,
    protocol::{MAX_REQUEST, Reply, Request},
};

/// How long a client may take for a request, and for reading the reply.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long a reload may take: a little less than a client waits for it.
const RELOAD_PATIENCE: Duration = Duration::from_secs(RELOAD_TIMEOUT.as_secs() - 5);

/// Clients served at once; more wait in the socket's queue.
const MAX_CLIENTS: usize = 32;

/// Pause after a failed `accept`.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Permissions of the socket: owner and group may ask.
const MODE: u32 = 0o660;

/// Binds and listens at `path`, which must not exist; mode 0660. To be called in
/// a tokio runtime.
///
/// # Errors
/// If the socket cannot be made there.
pub fn bind(path: &Path) -> io::Result<UnixListener> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    // The file that `bind` makes takes over the mode of the socket less the
    // umask, so that it is at no time open to others; then the umask is undone.
    fchmod(&socket, Mode::from_raw_mode(MODE))?;
    socket.bind(&SockAddr::unix(path)?)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(MODE))?;
    socket.listen(128)?;
    socket.set_nonblocking(true)?;
    UnixListener::from_std(socket.into())
}

/// Answers requests with what `handler` makes of them until `cancelled` turns
/// true or its sender is gone; an `Err` of the handler goes to the client as
/// [`Reply::Error`]. Open connections end with it.
pub async fn serve<H, F>(listener: UnixListener, mut cancelled: watch::Receiver<bool>, handler: H)
where
    H: Fn(Request) -> F + Send + Sync + 'static,
    F: Future<Output = Result<Reply, String>> + Send + 'static,
{
    let handler = Arc::new(handler);
    let places = Arc::new(Semaphore::new(MAX_CLIENTS));
    // Dropped at the end, which ends its tasks.
    let mut clients = JoinSet::new();
    let mut stop = pin!(async move {
        // An error says that the sender is gone.
        let _ = cancelled.wait_for(|cancelled| *cancelled).await;
    });
    loop {
        let accepted = async {
            // The semaphore is never closed.
            let place = Arc::clone(&places).acquire_owned().await.ok();
            (listener.accept().await, place)
        };
        tokio::select! {
            () = &mut stop => return,
            (accepted, place) = accepted => match accepted {
                Ok((stream, _)) => {
                    let handler = Arc::clone(&handler);
                    clients.spawn(async move {
                        if let Err(error) = converse(stream, &*handler).await {
                            tracing::debug!(%error, "control connection ended");
                        }
                        drop(place);
                    });
                }
                Err(error) => {
                    // Out of file descriptors, most likely. No event tells when
                    // there are some again, and trying at once would spin.
                    tracing::warn!(%error, "cannot accept a control connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
            Some(_) = clients.join_next() => {}
        }
    }
}

/// Serves one client until it hangs up.
async fn converse<H, F>(stream: UnixStream, handler: &H) -> io::Result<()>
where
    H: Fn(Request) -> F,
    F: Future<Output = Result<Reply, String>>,
{
    let (read, mut write) = stream.into_split();
    let mut read = BufReader::new(read);
    loop {
        let line = timeout(PATIENCE, read_line(&mut read)).await??;
        let (reply, last) = match line {
            Line::End => return Ok(()),
            Line::TooLong => (
                Reply::Error(format!("a request has at most {MAX_REQUEST} octets")),
                true,
            ),
            Line::Whole(line) => match serde_json::from_slice(&line) {
                Ok(request) => (answer(handler, request).await, false),
                Err(error) => (Reply::Error(format!("not a request: {error}")), false),
            },
        };
        let mut line = serde_json::to_vec(&reply)?;
        line.push(b'\n');
        timeout(PATIENCE, write.write_all(&line)).await??;
        if last {
            return Ok(());
        }
    }
}

async fn answer<H, F>(handler: &H, request: Request) -> Reply
where
    H: Fn(Request) -> F,
    F: Future<Output = Result<Reply, String>>,
{
    let patience = if request == Request::Reload {
        RELOAD_PATIENCE
    } else {
        PATIENCE
    };
    match timeout(patience, handler(request)).await {
        Ok(result) => result.unwrap_or_else(Reply::Error),
        // Else a driver that hangs would use up all places for clients.
        Err(_) => Reply::Error(format!(
            "no answer from the driver within {} s",
            patience.as_secs()
        )),
    }
}

enum Line {
    Whole(Vec<u8>),
    TooLong,
    End,
}

async fn read_line(read: &mut (impl AsyncBufRead + Unpin)) -> io::Result<Line> {
    let mut line = Vec::new();
    read.take(MAX_REQUEST as u64)
        .read_until(b'\n', &mut line)
        .await?;
    Ok(match line.last() {
        None => Line::End,
        Some(b'\n') => Line::Whole(line),
        Some(_) if line.len() == MAX_REQUEST => Line::TooLong,
        // The client hung up in the middle of a line: nothing to answer to.
        Some(_) => Line::End,
    })
}
