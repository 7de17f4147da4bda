//! Sends advertisements.

use std::{
    io,
    net::{IpAddr, SocketAddr, SocketAddrV4, SocketAddrV6},
};

use ha_common::wire::vrrp::{IPV4_GROUP, IPV6_GROUP, PROTOCOL};
use socket2::{Domain, InterfaceIndexOrAddress, Protocol, SockAddr, SockFilter, Socket, Type};

use super::interface::Interface;

/// TTL and hop limit of an advertisement (RFC 9568 §5.1.1.3, §5.1.2.3).
const HOPS: u32 = 255;

/// A raw socket on one interface for one family, and where it sends to: the
/// group, or unicast peers.
///
/// Advertisements are received by the kernel program, not here; but for
/// multicast the socket joins the group, so that switches with snooping forward
/// it to us, and being there keeps the kernel from answering "protocol
/// unreachable". A filter drops all that would be queued on it.
#[derive(Debug)]
pub struct AdvertSocket {
    socket: Socket,
    destinations: Vec<Destination>,
}

/// Who is sent advertisements.
#[derive(Debug)]
pub struct Destination {
    /// The group or a peer.
    pub address: IpAddr,
    socket_address: SockAddr,
}

impl AdvertSocket {
    /// Opens a socket that sends from `source` through `interface` to the group.
    ///
    /// # Errors
    /// Whatever the kernel refuses: without CAP_NET_RAW there is no raw socket.
    pub fn multicast(interface: &Interface, source: IpAddr) -> io::Result<Self> {
        let socket = open(interface, source)?;
        let ifindex = interface.index;
        let group: IpAddr = match source {
            IpAddr::V4(_) => {
                let by_index = InterfaceIndexOrAddress::Index(ifindex);
                socket.join_multicast_v4_n(&IPV4_GROUP, &by_index)?;
                socket.set_multicast_ttl_v4(HOPS)?;
                socket.set_multicast_loop_v4(false)?;
                IPV4_GROUP.into()
            }
            IpAddr::V6(_) => {
                socket.join_multicast_v6(&IPV6_GROUP, ifindex)?;
                socket.set_multicast_if_v6(ifindex)?;
                socket.set_multicast_hops_v6(HOPS)?;
                socket.set_multicast_loop_v6(false)?;
                IPV6_GROUP.into()
            }
        };
        Ok(Self {
            socket,
            destinations: vec![Destination::new(group, ifindex)],
        })
    }

    /// Opens a socket that sends from `source` through `interface` to each of
    /// `peers`, which are of the source's family.
    ///
    /// # Errors
    /// As [`multicast`](Self::multicast).
    pub fn unicast(interface: &Interface, source: IpAddr, peers: &[IpAddr]) -> io::Result<Self> {
        let socket = open(interface, source)?;
        if source.is_ipv4() {
            socket.set_ttl_v4(HOPS)?;
        } else {
            socket.set_unicast_hops_v6(HOPS)?;
        }
        let destinations = peers
            .iter()
            .map(|peer| Destination::new(*peer, interface.index))
            .collect();
        Ok(Self {
            socket,
            destinations,
        })
    }

    /// The group alone, or the peers.
    #[must_use]
    pub fn destinations(&self) -> &[Destination] {
        &self.destinations
    }

    /// Sends one VRRP message, whose checksum may depend on its destination.
    ///
    /// # Errors
    /// What the kernel says; the socket never blocks.
    pub fn send(&self, message: &[u8], to: &Destination) -> io::Result<()> {
        self.socket.send_to(message, &to.socket_address).map(|_| ())
    }
}

impl Destination {
    fn new(address: IpAddr, ifindex: u32) -> Self {
        let socket_address = match address {
            IpAddr::V4(address) => SocketAddr::from((address, 0)).into(),
            // The scope counts for link-local addresses and the group only.
            IpAddr::V6(address) => SocketAddrV6::new(address, 0, 0, ifindex).into(),
        };
        Self {
            address,
            socket_address,
        }
    }
}

/// A raw socket that sends from `source` through `interface` and queues nothing.
fn open(interface: &Interface, source: IpAddr) -> io::Result<Socket> {
    let protocol = Some(Protocol::from(i32::from(PROTOCOL)));
    let kind = Type::RAW.nonblocking().cloexec();
    let (domain, source) = match source {
        IpAddr::V4(source) => (Domain::IPV4, SocketAddrV4::new(source, 0).into()),
        IpAddr::V6(source) => (
            Domain::IPV6,
            SocketAddrV6::new(source, 0, 0, interface.index).into(),
        ),
    };
    let socket = Socket::new(domain, kind, protocol)?;
    drop_all(&socket)?;
    socket.bind_device(Some(interface.name.as_bytes()))?;
    socket.bind(&source)?;
    Ok(socket)
}

/// Lets nothing into the receive queue, nor wakes anybody.
fn drop_all(socket: &Socket) -> io::Result<()> {
    // BPF_RET | BPF_K with length 0 (linux/filter.h): keep no octet of any packet.
    const RETURN: u16 = 0x06;
    socket.attach_filter(&[SockFilter::new(RETURN, 0, 0, 0)])
}
