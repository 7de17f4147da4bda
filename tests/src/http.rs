//! As much HTTP as stand-ins for services and their visitors need: one request
//! per connection, bodies as text.

use std::{
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    net::{IpAddr, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};

use crate::netns::Netns;

/// How long a server waits for the rest of a request.
const PATIENCE: Duration = Duration::from_secs(5);

/// The longest body that a server reads, in octets.
const MOST: u64 = 1 << 20;

/// What a client asked for.
#[derive(Clone, Debug)]
pub struct Request {
    /// Who asked.
    pub from: IpAddr,
    /// `GET`, `POST`, …
    pub method: String,
    /// Path with query.
    pub path: String,
    /// Headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// Body.
    pub body: String,
}

impl Request {
    /// The first header called `name` (in lower case).
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find_map(|(its, value)| (its == name).then_some(value.as_str()))
    }
}

/// What it is answered.
#[derive(Clone, Debug)]
pub struct Response {
    /// Status code.
    pub status: u16,
    /// Body.
    pub body: String,
}

impl Response {
    /// 200 with `body`.
    #[must_use]
    pub fn ok(body: impl Into<String>) -> Self {
        Self::of(200, body)
    }

    /// `status` with `body`.
    #[must_use]
    pub fn of(status: u16, body: impl Into<String>) -> Self {
        Self {
            status,
            body: body.into(),
        }
    }
}

/// A server in a namespace; it ends with its guard.
#[derive(Debug)]
pub struct Server {
    stop: Arc<AtomicBool>,
    address: SocketAddr,
    netns: Netns,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Answers at `address` in `netns` with what `answer` says, which is called
    /// on a thread of each connection.
    ///
    /// # Errors
    /// If the address cannot be bound.
    pub fn start(
        netns: &Netns,
        address: SocketAddr,
        answer: impl Fn(&Request) -> Response + Send + Sync + 'static,
    ) -> Result<Self> {
        let listener = netns
            .enter(|| TcpListener::bind(address))?
            .with_context(|| format!("cannot listen at {address}"))?;
        let address = listener.local_addr()?;
        let stop = Arc::new(AtomicBool::new(false));
        let answer = Arc::new(answer);
        let thread = thread::Builder::new()
            .name("http".to_owned())
            .spawn({
                let stop = Arc::clone(&stop);
                move || {
                    for stream in listener.incoming() {
                        if stop.load(Ordering::SeqCst) {
                            return;
                        }
                        let answer = Arc::clone(&answer);
                        if let Ok(stream) = stream {
                            // A client that goes away is no news here.
                            let _ = thread::Builder::new().spawn(move || serve(&stream, &*answer));
                        }
                    }
                }
            })
            .context("cannot start a thread")?;
        Ok(Self {
            stop,
            address,
            netns: netns.clone(),
            thread: Some(thread),
        })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        // Wakes it from `accept`.
        let woken = self
            .netns
            .enter(|| TcpStream::connect_timeout(&self.address, PATIENCE).is_ok());
        if let (Ok(true), Some(thread)) = (woken, self.thread.take()) {
            let _ = thread.join();
        }
    }
}

fn serve(stream: &TcpStream, answer: &dyn Fn(&Request) -> Response) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    let request = read_request(stream)?;
    let Response { status, body } = answer(&request);
    let mut stream = stream;
    stream.write_all(
        format!(
            "HTTP/1.1 {status} Status\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        )
        .as_bytes(),
    )
}

fn read_request(stream: &TcpStream) -> io::Result<Request> {
    let from = stream.peer_addr()?.ip();
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let mut words = line.split_whitespace().map(str::to_owned);
    let (Some(method), Some(path)) = (words.next(), words.next()) else {
        return Err(io::ErrorKind::InvalidData.into());
    };
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.split_once(':') else {
            break;
        };
        headers.push((name.trim().to_lowercase(), value.trim().to_owned()));
    }
    let mut request = Request {
        from,
        method,
        path,
        headers,
        body: String::new(),
    };
    let length = request
        .header("content-length")
        .and_then(|length| length.parse::<u64>().ok())
        .unwrap_or(0);
    reader
        .take(length.min(MOST))
        .read_to_string(&mut request.body)?;
    Ok(request)
}

/// Asks `target` for `path` from the calling thread's namespace; the body of an
/// answer with status 200.
///
/// # Errors
/// Without such an answer within `timeout`.
pub fn get(target: SocketAddr, path: &str, timeout: Duration) -> io::Result<String> {
    let give_up_at = Instant::now() + timeout;
    let left = || {
        let left = give_up_at.saturating_duration_since(Instant::now());
        if left.is_zero() {
            Err(io::Error::from(io::ErrorKind::TimedOut))
        } else {
            Ok(left)
        }
    };
    let mut stream = TcpStream::connect_timeout(&target, left()?)?;
    stream.set_nodelay(true)?;
    stream.set_write_timeout(Some(left()?))?;
    stream.write_all(
        format!("GET {path} HTTP/1.1\r\nHost: www.example.org\r\nConnection: close\r\n\r\n")
            .as_bytes(),
    )?;
    let mut answer = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        stream.set_read_timeout(Some(left()?))?;
        match stream.read(&mut chunk)? {
            0 => break,
            length => answer.extend_from_slice(&chunk[..length]),
        }
    }
    let answer = String::from_utf8_lossy(&answer);
    let (head, body) = answer
        .split_once("\r\n\r\n")
        .ok_or(io::ErrorKind::UnexpectedEof)?;
    if head.split_whitespace().nth(1) != Some("200") {
        return Err(io::Error::other(
            head.lines().next().unwrap_or_default().to_owned(),
        ));
    }
    Ok(body.to_owned())
}
