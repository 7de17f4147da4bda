//! ICMP echo requests.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::atomic::{AtomicU16, Ordering},
    time::{Duration, Instant},
};

use ha_common::wire::checksum::Sum;
use rustix::net::{RecvFlags, recv};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::Interest;

use super::Finding;
use crate::{config::PingCheck, sys};

/// Distinguishes the checks of this process.
static NEXT_ID: AtomicU16 = AtomicU16::new(1);

/// See [`CheckKind::Ping`](crate::config::CheckKind::Ping).
pub(in crate::health) struct Ping {
    config: PingCheck,
    id: u16,
    sequence: u16,
}

/// Type, code, checksum, identifier, sequence number (RFC 792, RFC 4443 §4.1).
const HEADER: usize = 8;

/// What comes back if it is ours: process, and when it was sent.
const PAYLOAD: usize = 16;

type Request = [u8; HEADER + PAYLOAD];

impl Ping {
    pub(super) fn new(config: PingCheck) -> Self {
        Self {
            config,
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            sequence: 0,
        }
    }

    pub(super) async fn round(&mut self, timeout: Duration) -> Finding {
        self.sequence = self.sequence.wrapping_add(1);
        let request = request(self.config.address, self.id, self.sequence);
        let began = Instant::now();
        match tokio::time::timeout(timeout, self.ask(&request)).await {
            Ok(Ok(())) => {
                let took = began.elapsed().as_secs_f64() * 1e3;
                Finding::Passed(format!("answered after {took:.3} ms"))
            }
            Ok(Err(error)) => Finding::Failed(error.to_string()),
            Err(_) => Finding::Failed(format!("no answer within {timeout:?}")),
        }
    }

    /// Each round has a socket of its own: nothing piles up between rounds, and an
    /// interface that is made anew does no harm.
    async fn ask(&self, request: &Request) -> io::Result<()> {
        let PingCheck { address, interface } = &self.config;
        let (domain, protocol) = match address {
            IpAddr::V4(_) => (Domain::IPV4, Protocol::ICMPV4),
            IpAddr::V6(_) => (Domain::IPV6, Protocol::ICMPV6),
        };
        let socket = Socket::new(domain, Type::RAW.nonblocking(), Some(protocol))?;
        if let Some(interface) = interface {
            socket
                .bind_device(Some(interface.as_bytes()))
                .map_err(|error| io::Error::new(error.kind(), format!("{interface}: {error}")))?;
        }
        // From here on the kernel gives us what that host sends, and nothing else.
        socket.connect(&SocketAddr::new(*address, 0).into())?;
        socket.send(request)?;
        let socket = sys::readable(socket.into())?;
        let mut buffer = [0; 1024];
        loop {
            let length = socket
                .async_io(Interest::READABLE, |socket| {
                    let (length, _) = recv(socket, &mut buffer[..], RecvFlags::empty())?;
                    Ok(length)
                })
                .await?;
            if is_answer(*address, &buffer[..length], request) {
                return Ok(());
            }
        }
    }
}

fn request(address: IpAddr, id: u16, sequence: u16) -> Request {
    let mut request = [0; HEADER + PAYLOAD];
    request[0] = if address.is_ipv4() { 8 } else { 128 };
    request[4..6].copy_from_slice(&id.to_be_bytes());
    request[6..8].copy_from_slice(&sequence.to_be_bytes());
    let process = u64::from(std::process::id());
    request[8..16].copy_from_slice(&process.to_be_bytes());
    let now = sys::now().as_nanos();
    request[16..24].copy_from_slice(&now.to_be_bytes());
    // The kernel fills that of ICMPv6 in.
    if address.is_ipv4() {
        let sum = Sum::new().add_slice(&request).checksum();
        request[2..4].copy_from_slice(&sum);
    }
    request
}

/// Whether `packet` is the answer to `request`. IPv4 comes with its header.
fn is_answer(address: IpAddr, packet: &[u8], request: &Request) -> bool {
    let (message, kind) = match address {
        IpAddr::V4(_) => {
            let header = packet
                .first()
                .map_or(0, |first| usize::from(first & 15) * 4);
            (packet.get(header..).unwrap_or_default(), 0)
        }
        IpAddr::V6(_) => (packet, 129),
    };
    message.len() == request.len()
        && message[0] == kind
        && message[1] == 0
        && message[4..] == request[4..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_answer_to_the_request_is_one() {
        let address = IpAddr::from([10, 0, 0, 1]);
        let asked = request(address, 7, 9);
        assert_eq!(asked[..2], [8, 0]);
        assert!(Sum::new().add_slice(&asked).is_valid());
        let mut packet = vec![0x45; 20];
        packet.extend(asked);
        // Our own request, as it is heard when we ask ourselves.
        assert!(!is_answer(address, &packet, &asked));
        packet[20] = 0;
        assert!(is_answer(address, &packet, &asked));
        let later = request(address, 7, 10);
        assert!(!is_answer(address, &packet, &later));
        assert!(!is_answer(address, &packet[..43], &asked));
        assert!(!is_answer(address, &[0x4f], &asked));
        assert!(!is_answer(address, &[], &asked));

        let address = "fe80::1".parse().unwrap();
        let asked = request(address, 7, 9);
        let mut packet = asked;
        assert!(!is_answer(address, &packet, &asked));
        packet[0] = 129;
        assert!(is_answer(address, &packet, &asked));
    }
}
