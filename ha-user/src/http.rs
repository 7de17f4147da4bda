//! A client for HTTP/1.1, for health checks and webhooks: one connection per
//! request, within a deadline, and of the answer no more than it takes.
//!
//! Errors name the step that failed, and the host; never path, query or headers,
//! which may hold a secret.

#[cfg(test)]
mod tests;
mod tls;
mod url;

use std::{
    fmt, io,
    net::{IpAddr, SocketAddr, ToSocketAddrs as _},
    time::Duration,
};

use http_body_util::{BodyExt as _, Full};
use hyper::{
    Method,
    body::{Bytes, Incoming},
    client::conn::http1,
    header::{self, HeaderName, HeaderValue},
};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    sync::Semaphore,
};
use tokio_rustls::rustls::pki_types::ServerName;

pub use self::url::{Url, UrlError};

/// So much of an answer's body is read.
pub const MAX_BODY: usize = 64 * 1024;

/// See [`look_up`].
static LOOK_UPS: Semaphore = Semaphore::const_new(16);

/// How we introduce ourselves.
const USER_AGENT: &str = concat!("harrier/", env!("CARGO_PKG_VERSION"));

/// A server that requests go to.
#[derive(Clone, Debug)]
pub struct Server {
    host: String,
    port: u16,
    /// The header `Host`.
    authority: HeaderValue,
    tls: Option<Tls>,
}

#[derive(Clone, Debug)]
struct Tls {
    name: ServerName<'static>,
    verify: bool,
}

/// A name that cannot be that of a host.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("not the name of a host")]
pub struct BadHost;

impl Server {
    /// The server at `port` of `host`, a name or an address. With `name` it is asked
    /// for that host (header `Host`, TLS server name), with a port if it has one.
    /// `tls` says whether there is TLS, and if so whether the certificate is verified.
    ///
    /// # Errors
    /// If `name`, or `host` without one, is no host's name.
    pub fn new(
        host: &str,
        port: u16,
        tls: Option<bool>,
        name: Option<&str>,
    ) -> Result<Self, BadHost> {
        let default_port = if tls.is_some() { 443 } else { 80 };
        let authority = match name {
            Some(name) => name.to_owned(),
            None if port == default_port => bracketed(host),
            None => format!("{}:{port}", bracketed(host)),
        };
        let uri: hyper::Uri = authority.parse().map_err(|_| BadHost)?;
        let named = uri.authority().ok_or(BadHost)?.host();
        let named = named.trim_start_matches('[').trim_end_matches(']');
        let tls = match tls {
            None => None,
            Some(verify) => Some(Tls {
                name: ServerName::try_from(named.to_owned()).map_err(|_| BadHost)?,
                verify,
            }),
        };
        Ok(Self {
            host: host.to_owned(),
            port,
            authority: HeaderValue::try_from(authority).map_err(|_| BadHost)?,
            tls,
        })
    }

    /// The server of `url`; `verify` counts with `https` only.
    ///
    /// # Errors
    /// As of [`new`](Self::new).
    pub fn of(url: &Url, verify: bool) -> Result<Self, BadHost> {
        Self::new(&url.host, url.port, url.tls.then_some(verify), None)
    }

    /// Asks for `path`, which starts with `/`. The body is waited for only if it is
    /// wanted. The connection is reset afterwards, so that frequent requests do not
    /// use up the host's ports.
    ///
    /// # Errors
    /// [`RequestError`]; also if that takes longer than `within`.
    pub async fn get(
        &self,
        path: &str,
        want_body: bool,
        within: Duration,
    ) -> Result<Answer, RequestError> {
        let request = Request {
            method: Method::GET,
            path,
            headers: &[],
            body: None,
            want_body,
        };
        self.request(request, within).await
    }

    /// Sends `body`, which is JSON, to `path`, with these headers more.
    ///
    /// # Errors
    /// [`RequestError`]; also if that takes longer than `within`.
    pub async fn post_json(
        &self,
        path: &str,
        headers: &[(String, String)],
        body: String,
        within: Duration,
    ) -> Result<Answer, RequestError> {
        let request = Request {
            method: Method::POST,
            path,
            headers,
            body: Some(body.into()),
            want_body: false,
        };
        self.request(request, within).await
    }

    async fn request(
        &self,
        request: Request<'_>,
        within: Duration,
    ) -> Result<Answer, RequestError> {
        let mut step = Step::Resolve(self.host.clone());
        let exchange = self.exchange(request, &mut step);
        match tokio::time::timeout(within, exchange).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(why)) => Err(RequestError { step, why }),
            Err(_) => Err(RequestError {
                step,
                why: Why::Silence(within),
            }),
        }
    }

    async fn exchange(&self, request: Request<'_>, step: &mut Step) -> Result<Answer, Why> {
        let stream = connect_in_steps(&self.host, self.port, step).await?;
        stream.set_nodelay(true)?;
        if request.method == Method::GET {
            reset_at_close(&stream)?;
        }
        let Some(tls) = &self.tls else {
            return self.talk(stream, request, step).await;
        };
        *step = Step::Tls(self.host.clone());
        let connector = tls::connector(tls.verify).await?;
        let stream = connector.connect(tls.name.clone(), stream).await?;
        self.talk(stream, request, step).await
    }

    async fn talk(
        &self,
        stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
        request: Request<'_>,
        step: &mut Step,
    ) -> Result<Answer, Why> {
        *step = Step::Send;
        let want_body = request.want_body;
        let request = self.head(request)?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let exchange = async {
            *step = Step::Answer;
            let answer = sender.send_request(request).await?;
            let status = answer.status().as_u16();
            let body = match want_body {
                true => {
                    *step = Step::Body;
                    read(answer.into_body()).await?
                }
                false => Vec::new(),
            };
            Ok(Answer { status, body })
        };
        tokio::pin!(exchange, connection);
        tokio::select! {
            biased;
            answer = &mut exchange => answer,
            // What is in flight is told to the other half, or is an error there too.
            _ = &mut connection => exchange.await,
        }
    }

    fn head(&self, request: Request<'_>) -> Result<hyper::Request<Full<Bytes>>, Why> {
        let mut head = hyper::Request::builder()
            .method(request.method)
            .uri(request.path)
            .header(header::HOST, &self.authority)
            .header(header::USER_AGENT, USER_AGENT)
            .header(header::CONNECTION, "close");
        if request.body.is_some() {
            head = head.header(header::CONTENT_TYPE, "application/json");
        }
        for (name, value) in request.headers {
            let name = HeaderName::try_from(name).map_err(|_| Why::Header)?;
            let mut value = HeaderValue::try_from(value).map_err(|_| Why::Header)?;
            value.set_sensitive(true);
            // One of ours that is said gives way.
            if let Some(headers) = head.headers_mut() {
                headers.insert(name, value);
            }
        }
        let body = request.body.unwrap_or_default();
        head.body(Full::new(body)).map_err(|_| Why::Path)
    }
}

struct Request<'a> {
    method: Method,
    path: &'a str,
    headers: &'a [(String, String)],
    body: Option<Bytes>,
    want_body: bool,
}

/// What a server said.
#[derive(Clone, PartialEq, Eq)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The first [`MAX_BODY`] octets of the body, if it was wanted.
    pub body: Vec<u8>,
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer")
            .field("status", &self.status)
            .field("body", &format_args!("{} octets", self.body.len()))
            .finish()
    }
}

/// Why there is no answer, as in "connecting to 10.0.0.1:80: Connection refused".
#[derive(Debug, thiserror::Error)]
#[error("{step}: {why}")]
pub struct RequestError {
    step: Step,
    why: Why,
}

impl RequestError {
    /// Whether the deadline has passed.
    #[must_use]
    pub fn is_timeout(&self) -> bool {
        matches!(self.why, Why::Silence(_))
    }
}

/// What was being done.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Step {
    Resolve(String),
    Connect(SocketAddr),
    Tls(String),
    Send,
    Answer,
    Body,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Resolve(host) => write!(f, "looking up {host}"),
            Self::Connect(address) => write!(f, "connecting to {address}"),
            Self::Tls(host) => write!(f, "TLS with {host}"),
            Self::Send => f.write_str("sending the request"),
            Self::Answer => f.write_str("waiting for the answer"),
            Self::Body => f.write_str("reading the answer's body"),
        }
    }
}

#[derive(Debug, thiserror::Error)]
enum Why {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("{0}")]
    Http(#[from] hyper::Error),
    #[error("nothing within {0:?}")]
    Silence(Duration),
    #[error("it has no address")]
    NoAddress,
    #[error("a header has characters that cannot be sent")]
    Header,
    #[error("the path has characters that cannot be sent")]
    Path,
}

/// Opens a TCP connection.
///
/// # Errors
/// [`RequestError`]; also if that takes longer than `within`.
pub async fn connect(host: &str, port: u16, within: Duration) -> Result<TcpStream, RequestError> {
    let mut step = Step::Resolve(host.to_owned());
    match tokio::time::timeout(within, connect_in_steps(host, port, &mut step)).await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(why)) => Err(RequestError { step, why }),
        Err(_) => Err(RequestError {
            step,
            why: Why::Silence(within),
        }),
    }
}

/// A connection to the first address of `host` that takes one.
async fn connect_in_steps(host: &str, port: u16, step: &mut Step) -> Result<TcpStream, Why> {
    if let Ok(address) = host.parse::<IpAddr>() {
        let address = SocketAddr::new(address, port);
        *step = Step::Connect(address);
        return Ok(TcpStream::connect(address).await?);
    }
    let mut failure = Why::NoAddress;
    for address in look_up(host, port).await? {
        *step = Step::Connect(address);
        match TcpStream::connect(address).await {
            Ok(stream) => return Ok(stream),
            Err(error) => failure = error.into(),
        }
    }
    Err(failure)
}

/// The addresses of `host`. A look-up cannot be given up, and may take long where no
/// name server answers: only so many are on their way at once.
async fn look_up(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    let permit = LOOK_UPS.acquire().await.map_err(io::Error::other)?;
    let host = host.to_owned();
    let look_up = tokio::task::spawn_blocking(move || {
        let _permit = permit;
        Ok((host.as_str(), port).to_socket_addrs()?.collect())
    });
    look_up.await?
}

/// Has the kernel forget the connection when it is closed, instead of keeping its
/// port for a minute: a check every 10 ms would take 6000 of them.
///
/// # Errors
/// If the kernel refuses.
pub fn reset_at_close(stream: &TcpStream) -> io::Result<()> {
    socket2::SockRef::from(stream).set_linger(Some(Duration::ZERO))
}

/// The first [`MAX_BODY`] octets.
async fn read(mut body: Incoming) -> Result<Vec<u8>, Why> {
    let mut read = Vec::new();
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame?.into_data() {
            let room = MAX_BODY - read.len();
            read.extend_from_slice(&data[..data.len().min(room)]);
            if read.len() == MAX_BODY {
                break;
            }
        }
    }
    Ok(read)
}

fn bracketed(host: &str) -> String {
    match host.contains(':') {
        true => format!("[{host}]"),
        false => host.to_owned(),
    }
}
