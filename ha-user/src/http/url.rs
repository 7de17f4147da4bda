//! Addresses of web services: `http://host:port/path?query`.

use std::fmt;

use hyper::Uri;

/// A web address, taken apart. Path and query may hold a secret: [`Debug`] shows
/// neither.
#[derive(Clone, PartialEq, Eq)]
pub struct Url {
    /// Whether it is `https`.
    pub tls: bool,
    /// Name or address, an IPv6 address without its brackets.
    pub host: String,
    /// The port, 80 or 443 where the text has none.
    pub port: u16,
    /// Path and query; starts with `/`.
    pub path: String,
}

/// Why a text is no [`Url`]. It does not repeat the text.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum UrlError {
    /// It does not start with `http://` or `https://`.
    #[error("it starts neither with http:// nor with https://")]
    Scheme,
    /// A character or a part is not as it has to be.
    #[error("it is no web address: http://host:port/path without white space")]
    Malformed,
    /// There is no host.
    #[error("it has no host")]
    Host,
    /// There is no such port.
    #[error("the port is not 1 to 65535")]
    Port,
    /// It says a user.
    #[error("it has a user name before the host; say a header Authorization instead")]
    User,
}

impl Url {
    /// Reads `http://host`, `https://host:8443/path?query`, `http://[::1]:8080/`.
    /// A fragment (`#…`) is dropped, as it is never sent.
    ///
    /// # Errors
    /// [`UrlError`].
    pub fn parse(text: &str) -> Result<Self, UrlError> {
        let (scheme, _) = text.split_once("://").ok_or(UrlError::Scheme)?;
        let tls = match scheme.to_ascii_lowercase().as_str() {
            "http" => false,
            "https" => true,
            _ => return Err(UrlError::Scheme),
        };
        let uri: Uri = text.parse().map_err(|_| UrlError::Malformed)?;
        let authority = uri.authority().ok_or(UrlError::Host)?;
        if authority.as_str().contains('@') {
            return Err(UrlError::User);
        }
        let host = authority.host();
        let bare = host.strip_prefix('[').and_then(|it| it.strip_suffix(']'));
        let host = match bare {
            Some(bare) => bare
                .parse::<std::net::Ipv6Addr>()
                .map_err(|_| UrlError::Malformed)?
                .to_string(),
            None => host.to_owned(),
        };
        if host.is_empty() {
            return Err(UrlError::Host);
        }
        let written = &authority.as_str()[authority.host().len()..];
        let port = match (written, authority.port_u16()) {
            ("" | ":", _) if tls => 443,
            ("" | ":", _) => 80,
            (_, Some(port @ 1..)) => port,
            _ => return Err(UrlError::Port),
        };
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        let path = match path.starts_with('/') {
            true => path.to_owned(),
            // A query right behind the host.
            false => format!("/{path}"),
        };
        Ok(Self {
            tls,
            host,
            port,
            path,
        })
    }
}

impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Url")
            .field("tls", &self.tls)
            .field("host", &self.host)
            .field("port", &self.port)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> (bool, String, u16, String) {
        let Url {
            tls,
            host,
            port,
            path,
        } = Url::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        (tls, host, port, path)
    }

    #[test]
    fn every_part_is_found() {
        for (text, tls, host, port, path) in [
            ("http://a", false, "a", 80, "/"),
            ("http://a:", false, "a", 80, "/"),
            (
                "HTTPS://a.example/x?y=1#z",
                true,
                "a.example",
                443,
                "/x?y=1",
            ),
            (
                "http://10.0.0.1:8080/health",
                false,
                "10.0.0.1",
                8080,
                "/health",
            ),
            ("https://[2001:db8::1]:8443", true, "2001:db8::1", 8443, "/"),
            ("http://a?q", false, "a", 80, "/?q"),
        ] {
            let expected = (tls, host.to_owned(), port, path.to_owned());
            assert_eq!(url(text), expected, "{text}");
        }
    }

    #[test]
    fn what_is_none_says_why_without_repeating_it() {
        for (text, why) in [
            ("", UrlError::Scheme),
            ("a.example/health", UrlError::Scheme),
            ("ftp://a", UrlError::Scheme),
            ("http://", UrlError::Malformed),
            ("http:///x", UrlError::Malformed),
            ("http://:80/", UrlError::Host),
            ("http://a b/", UrlError::Malformed),
            ("http://a/b c", UrlError::Malformed),
            ("http://a:0/", UrlError::Port),
            ("http://a:65536/", UrlError::Port),
            ("http://a:http/", UrlError::Port),
            ("http://[::1/", UrlError::Malformed),
            ("http://[nothing]/", UrlError::Malformed),
            ("http://user:secret@a/", UrlError::User),
        ] {
            assert_eq!(Url::parse(text), Err(why), "{text}");
        }
        let shown = format!("{:?}", Url::parse("http://a/hooks/secret").unwrap());
        assert!(!shown.contains("secret"), "{shown}");
    }
}
