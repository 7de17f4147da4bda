//! The command line's side of the control socket.

use std::{
    io::{self, Read as _, Write as _},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use socket2::{Domain, SockAddr, Socket, Type};

use super::protocol::{
    Counters, Dump, DumpCursor, Explanation, Failover, MAX_REPLY, Peer, Reloaded, Reply, Request,
    Status,
};

/// How long the daemon may take to answer.
pub const TIMEOUT: Duration = Duration::from_secs(2);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// There is no control socket.
    #[error(
        "no harrier runs here: there is no control socket {}; start one with `harrier run --config \
         FILE`, or name the directory of a running one with --runtime-dir",
        socket.display()
    )]
    NoSocket {
        /// Where it would be.
        socket: PathBuf,
    },
    /// No socket can have this path.
    #[error(
        "the path of the control socket {} is longer than the system allows, so no harrier runs \
         there; name the directory of a running one with --runtime-dir",
        socket.display()
    )]
    TooLong {
        /// The path.
        socket: PathBuf,
    },
    /// The control socket is a dead daemon's.
    #[error(
        "no harrier runs here: nobody listens at the control socket {}, which a killed daemon left \
         behind; `harrier run --config FILE` starts one that takes it over",
        socket.display()
    )]
    Stale {
        /// The socket.
        socket: PathBuf,
    },
    /// We may not use the control socket.
    #[error(
        "no permission to use the control socket {}; ask as root or as a member of its group",
        socket.display()
    )]
    Denied {
        /// The socket.
        socket: PathBuf,
    },
    /// The daemon does not answer.
    #[error(
        "no answer at the control socket {} within {} s: the daemon hangs or is stopped; its pid \
         is in harrier.pid beside the socket",
        socket.display(),
        after.as_secs_f64()
    )]
    Silent {
        /// The socket.
        socket: PathBuf,
        /// How long we waited.
        after: Duration,
    },
    /// The daemon refused the request.
    #[error("the daemon at {} says: {reason}", socket.display())]
    Refused {
        /// The socket.
        socket: PathBuf,
        /// Its words.
        reason: String,
    },
    /// The answer makes no sense.
    #[error(
        "cannot understand the answer at the control socket {}: {reason}; is the daemon of another \
         version than this command?",
        socket.display()
    )]
    Unintelligible {
        /// The socket.
        socket: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The connection failed otherwise.
    #[error("cannot talk to the daemon at the control socket {}", socket.display())]
    Io {
        /// The socket.
        socket: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Asks the daemon at `socket` what its virtual routers are doing.
///
/// # Errors
/// See [`ask`].
pub fn status(socket: &Path) -> Result<Status, ClientError> {
    match ask(socket, Request::Status, TIMEOUT)? {
        Reply::Status(status) => Ok(status),
        other => Err(other_reply(socket, &other)),
    }
}

/// Asks the daemon at `socket` which peers it hears.
///
/// # Errors
/// See [`ask`].
pub fn peers(socket: &Path) -> Result<Vec<Peer>, ClientError> {
    match ask(socket, Request::Peers, TIMEOUT)? {
        Reply::Peers(peers) => Ok(peers),
        other => Err(other_reply(socket, &other)),
    }
}

/// Asks the daemon at `socket` for its packet counts.
///
/// # Errors
/// See [`ask`].
pub fn counters(socket: &Path) -> Result<Counters, ClientError> {
    match ask(socket, Request::Counters, TIMEOUT)? {
        Reply::Counters(counters) => Ok(counters),
        other => Err(other_reply(socket, &other)),
    }
}

/// How long the daemon may take to go over to a new configuration.
pub const RELOAD_TIMEOUT: Duration = Duration::from_secs(60);

/// Has the daemon at `socket` read its configuration file anew.
///
/// # Errors
/// See [`ask`]; [`ClientError::Refused`] says that the old configuration goes on.
pub fn reload(socket: &Path) -> Result<Reloaded, ClientError> {
    match ask(socket, Request::Reload, RELOAD_TIMEOUT)? {
        Reply::Reloaded(reloaded) => Ok(reloaded),
        other => Err(other_reply(socket, &other)),
    }
}

/// Has the daemon at `socket` leave an instance to another router, or ends that.
///
/// # Errors
/// See [`ask`]; [`ClientError::Refused`] if there is no such instance.
pub fn failover(socket: &Path, instance: String, back: bool) -> Result<Failover, ClientError> {
    match ask(socket, Request::Failover { instance, back }, TIMEOUT)? {
        Reply::Failover(failover) => Ok(failover),
        other => Err(other_reply(socket, &other)),
    }
}

/// Asks the daemon at `socket` why an instance is what it is.
///
/// # Errors
/// See [`ask`]; [`ClientError::Refused`] if there is no such instance.
pub fn explain(socket: &Path, instance: String) -> Result<Explanation, ClientError> {
    match ask(socket, Request::Explain { instance }, TIMEOUT)? {
        Reply::Explanation(explanation) => Ok(*explanation),
        other => Err(other_reply(socket, &other)),
    }
}

/// Asks the daemon at `socket` which advertisements it has seen since `cursor`; waits
/// for one, but not for ever.
///
/// # Errors
/// See [`ask`]; [`ClientError::Refused`] if there is no such instance.
pub fn dump(
    socket: &Path,
    instances: &[String],
    cursor: Option<DumpCursor>,
) -> Result<Dump, ClientError> {
    let instances = instances.to_vec();
    match ask(socket, Request::Dump { instances, cursor }, TIMEOUT * 2)? {
        Reply::Dump(dump) => Ok(dump),
        other => Err(other_reply(socket, &other)),
    }
}

fn other_reply(socket: &Path, reply: &Reply) -> ClientError {
    let kind = match reply {
        Reply::Status(_) => "status",
        Reply::Peers(_) => "peers",
        Reply::Counters(_) => "counters",
        Reply::Reloaded(_) => "a reload",
        Reply::Failover(_) => "a failover",
        Reply::Dump(_) => "a dump",
        Reply::Explanation(_) => "an explanation",
        Reply::Error(_) => "an error",
    };
    ClientError::Unintelligible {
        socket: socket.to_owned(),
        reason: format!("it answers with {kind}, which was not asked for"),
    }
}

/// Sends `request` to the daemon at `socket` and waits for its reply, all within
/// `limit`. [`Reply::Error`] comes back as [`ClientError::Refused`].
///
/// # Errors
/// If nobody listens there, or answers in time, or sensibly.
pub fn ask(socket: &Path, request: Request, limit: Duration) -> Result<Reply, ClientError> {
    let deadline = Instant::now() + limit;
    let line = exchange(socket, &request, deadline).map_err(|error| {
        let socket = socket.to_owned();
        match error.kind() {
            io::ErrorKind::NotFound => ClientError::NoSocket { socket },
            io::ErrorKind::InvalidInput => ClientError::TooLong { socket },
            io::ErrorKind::ConnectionRefused => ClientError::Stale { socket },
            io::ErrorKind::PermissionDenied => ClientError::Denied { socket },
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => ClientError::Silent {
                socket,
                after: limit,
            },
            io::ErrorKind::InvalidData => ClientError::Unintelligible {
                socket,
                reason: error.to_string(),
            },
            _ => ClientError::Io {
                socket,
                source: error,
            },
        }
    })?;
    match serde_json::from_slice(&line) {
        Ok(Reply::Error(reason)) => Err(ClientError::Refused {
            socket: socket.to_owned(),
            reason,
        }),
        Ok(reply) => Ok(reply),
        Err(error) => Err(ClientError::Unintelligible {
            socket: socket.to_owned(),
            reason: error.to_string(),
        }),
    }
}

fn exchange(path: &Path, request: &Request, deadline: Instant) -> io::Result<Vec<u8>> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    // Bounds `connect` too, which waits while the daemon's queue is full.
    socket.set_write_timeout(Some(remaining(deadline)?))?;
    socket.connect(&SockAddr::unix(path)?)?;
    let mut stream = UnixStream::from(socket);
    let mut line = serde_json::to_vec(request)?;
    line.push(b'\n');
    stream.write_all(&line)?;

    let mut reply = Vec::new();
    let mut buffer = [0; 8192];
    loop {
        stream.set_read_timeout(Some(remaining(deadline)?))?;
        let count = match stream.read(&mut buffer) {
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        let got = &buffer[..count];
        if let Some(end) = got.iter().position(|octet| *octet == b'\n') {
            reply.extend_from_slice(&got[..end]);
            return Ok(reply);
        }
        reply.extend_from_slice(got);
        if count == 0 {
            return Err(invalid("the daemon hung up"));
        }
        if reply.len() > MAX_REPLY {
            return Err(invalid("it is too long"));
        }
    }
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// What is left until `deadline`; an error if nothing is.
fn remaining(deadline: Instant) -> io::Result<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() {
        return Err(io::ErrorKind::TimedOut.into());
    }
    Ok(left)
}

#[cfg(test)]
mod tests {
    use std::{
        collections::BTreeMap,
        os::unix::{fs::PermissionsExt as _, net::UnixListener},
        thread,
    };

    use tokio::sync::watch;

    use super::*;
    use crate::control::{protocol::MAX_REQUEST, server};

    fn sample() -> Counters {
        Counters(BTreeMap::from([
            ("accepted".to_owned(), 7),
            ("bad_ttl".to_owned(), 0),
        ]))
    }

    /// Runs `during` beside a server on a thread of its own.
    fn with_server<T>(during: impl FnOnce(&Path) -> T) -> T {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("control.sock");
        let (stop, cancelled) = watch::channel(false);
        let (ready, bound) = std::sync::mpsc::channel();
        let path = socket.clone();
        let server = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                let listener = server::bind(&path).unwrap();
                ready.send(()).unwrap();
                let handler = |request| async move {
                    match request {
                        Request::Counters => Ok(Reply::Counters(sample())),
                        Request::Peers => Err("no peers today".to_owned()),
                        _ => std::future::pending().await,
                    }
                };
                server::serve(listener, cancelled, handler).await;
            });
        });
        bound.recv().unwrap();
        let result = during(&socket);
        stop.send(true).unwrap();
        server.join().unwrap();
        result
    }

    #[test]
    fn a_question_is_answered_or_refused_in_words() {
        with_server(|socket| {
            let mode = std::fs::metadata(socket).unwrap().permissions().mode();
            assert_eq!(mode & 0o7777, 0o660);
            assert_eq!(counters(socket).unwrap(), sample());
            let refused = peers(socket).unwrap_err().to_string();
            assert!(refused.contains("no peers today"), "{refused}");
        });
    }

    #[test]
    fn a_daemon_that_hangs_is_not_waited_for_and_holds_up_nobody() {
        with_server(|socket| {
            let started = Instant::now();
            let limit = Duration::from_millis(50);
            let error = ask(socket, Request::Status, limit).unwrap_err();
            assert!(matches!(error, ClientError::Silent { .. }), "{error}");
            assert!(started.elapsed() >= limit);
            let mut hanging: Vec<UnixStream> = Vec::new();
            for _ in 0..8 {
                hanging.push(UnixStream::connect(socket).unwrap());
            }
            assert_eq!(counters(socket).unwrap(), sample());
        });
    }

    fn raw(socket: &Path, octets: &[u8]) -> String {
        let mut stream = UnixStream::connect(socket).unwrap();
        stream.write_all(octets).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let mut reply = String::new();
        stream.read_to_string(&mut reply).unwrap();
        reply
    }

    #[test]
    fn nonsense_gets_an_error_and_several_lines_several_replies() {
        with_server(|socket| {
            let counts = "{\"counters\":{\"accepted\":7,\"bad_ttl\":0}}\n";
            assert_eq!(
                raw(
                    socket,
                    b"{\"request\":\"counters\"}\n{\"request\":\"counters\"}\n"
                ),
                counts.repeat(2)
            );
            for nonsense in [
                "\n",
                "status\n",
                "{\"request\":\"reboot\"}\n",
                "[]\n",
                "\u{0}\n",
            ] {
                let reply = raw(socket, nonsense.as_bytes());
                assert!(
                    reply.starts_with("{\"error\":\"not a request"),
                    "{nonsense:?}: {reply}"
                );
            }
            assert_eq!(
                raw(socket, b"{\"request\":\"counters\"}"),
                "",
                "an unfinished line"
            );
            let long = raw(socket, &b" ".repeat(MAX_REQUEST));
            assert!(
                long.starts_with("{\"error\":\"a request has at most"),
                "{long}"
            );
        });
    }

    #[test]
    fn nobody_there_is_said_with_the_remedy() {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("control.sock");
        let error = status(&socket).unwrap_err();
        assert!(matches!(error, ClientError::NoSocket { .. }), "{error:?}");
        drop(UnixListener::bind(&socket).unwrap());
        let stale = status(&socket).unwrap_err();
        assert!(matches!(stale, ClientError::Stale { .. }), "{stale:?}");
        for error in [error, stale] {
            let message = error.to_string();
            assert!(message.contains(&*socket.to_string_lossy()), "{message}");
            assert!(message.contains("harrier run"), "{message}");
        }
    }

    #[test]
    fn an_answer_that_is_none_is_an_error() {
        for (answer, expected) in [
            ("", "hung up"),
            ("{}\n", "expected"),
            ("{\"peers\":[]}\n", "not asked"),
        ] {
            let dir = tempfile::tempdir().unwrap();
            let socket = dir.path().join("control.sock");
            let listener = UnixListener::bind(&socket).unwrap();
            let server = thread::spawn(move || {
                let (mut stream, _) = listener.accept().unwrap();
                let mut request = [0; 64];
                let count = stream.read(&mut request).unwrap();
                stream.write_all(answer.as_bytes()).unwrap();
                String::from_utf8_lossy(&request[..count]).into_owned()
            });
            let error = status(&socket).unwrap_err();
            assert!(
                matches!(error, ClientError::Unintelligible { .. }),
                "{error:?}"
            );
            assert!(error.to_string().contains(expected), "{answer:?}: {error}");
            assert_eq!(server.join().unwrap(), "{\"request\":\"status\"}\n");
        }
    }
}
