//! Sends advertisements.

use std::{
    io,
    net::{IpAddr, SocketAddr, SocketAddrV4, SocketAddrV6},
    os::fd::{AsFd, BorrowedFd},
};

use ha_common::{
    types::{AddressFamily, MacAddress},
    wire::{
        eth, ipv4, ipv6,
        vrrp::{self, IPV4_GROUP, IPV6_GROUP, PROTOCOL, TRAFFIC_CLASS},
    },
};
use socket2::{Domain, InterfaceIndexOrAddress, Protocol, SockFilter, Socket, Type};

use super::{
    batch::{Message, SocketAddrAny},
    interface::Interface,
};
use crate::sys;

/// TTL and hop limit of an advertisement (RFC 9568 §5.1.1.3, §5.1.2.3).
const HOPS: u32 = 255;

/// Where advertisements stand in the queues of the host (`SO_PRIORITY`), and in
/// a VLAN tag where the egress map says so. 6 is the highest that needs no
/// CAP_NET_ADMIN.
const QUEUE_PRIORITY: u32 = 6;

/// A raw socket on one interface for one family, and where it sends to: the
/// group, or unicast peers. What it sends is marked as control traffic (CS6).
///
/// Advertisements are received by the kernel program, not here; but for
/// multicast the socket joins the group, so that switches with snooping forward
/// it to us, and being there keeps the kernel from answering "protocol
/// unreachable". A filter drops all that would be queued on it.
#[derive(Debug)]
pub struct AdvertSocket {
    socket: Socket,
    frames: Option<Frames>,
    destinations: Vec<Destination>,
}

/// Sends whole frames in place of the raw socket: the kernel would put the
/// interface's own link-layer address into them.
#[derive(Debug)]
struct Frames {
    socket: Socket,
    source: IpAddr,
    source_mac: MacAddress,
}

/// What an [`AdvertSocket`] sends to one destination, built ahead of time: a VRRP
/// message, with a frame around it where the socket sends whole frames.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Packet {
    bytes: Box<[u8]>,
    message_at: usize,
}

impl Packet {
    /// The VRRP message in it. It can be changed, but for its length.
    pub fn message_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[self.message_at..]
    }
}

/// Who is sent advertisements.
#[derive(Debug)]
pub struct Destination {
    /// The group or a peer.
    pub address: IpAddr,
    socket_address: SocketAddrAny,
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
            frames: None,
            destinations: vec![Destination::new(group, ifindex)],
        })
    }

    /// As [`multicast`](Self::multicast), but with `source_mac` as the link-layer
    /// address that advertisements come from: the virtual router's (RFC 9568 §7.2).
    ///
    /// # Errors
    /// As [`multicast`](Self::multicast).
    pub fn multicast_from(
        interface: &Interface,
        source: IpAddr,
        source_mac: MacAddress,
    ) -> io::Result<Self> {
        let socket = Socket::from(sys::packet_socket(interface.index)?);
        socket.set_priority(QUEUE_PRIORITY)?;
        Ok(Self {
            frames: Some(Frames {
                socket,
                source,
                source_mac,
            }),
            ..Self::multicast(interface, source)?
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
            frames: None,
            destinations,
        })
    }

    /// The group alone, or the peers.
    #[must_use]
    pub fn destinations(&self) -> &[Destination] {
        &self.destinations
    }

    /// `message` as it will be sent.
    ///
    /// # Errors
    /// If it is longer than an IP packet can be.
    pub fn packet(&self, message: &[u8]) -> io::Result<Packet> {
        let mut bytes = match &self.frames {
            None => Vec::with_capacity(message.len()),
            Some(frames) => frames.headers(message.len())?,
        };
        let message_at = bytes.len();
        bytes.extend_from_slice(message);
        Ok(Packet {
            bytes: bytes.into(),
            message_at,
        })
    }

    /// `packet` for `to`, to be sent through this socket with
    /// [`batch::send`](super::batch::send).
    #[must_use]
    pub fn message<'a>(&self, packet: &'a Packet, to: &'a Destination) -> Message<'a> {
        Message {
            bytes: &packet.bytes,
            to: self.frames.is_none().then_some(&to.socket_address),
        }
    }
}

/// What is sent through.
impl AsFd for AdvertSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.frames {
            None => self.socket.as_fd(),
            Some(frames) => frames.socket.as_fd(),
        }
    }
}

impl Frames {
    /// The headers of a frame to the group with a message of `length` octets. The
    /// packet is not to be fragmented, so its identification says nothing (RFC 6864).
    fn headers(&self, length: usize) -> io::Result<Vec<u8>> {
        let message_length = u16::try_from(length).map_err(io::Error::other)?;
        let mut headers = Vec::with_capacity(eth::HEADER_LEN + ipv6::HEADER_LEN + length);
        let destination = vrrp::group_mac(AddressFamily::of(self.source));
        match self.source {
            IpAddr::V4(source) => {
                headers.extend(eth::header(destination, self.source_mac, eth::IPV4));
                headers.extend(ipv4::advert_header(source, IPV4_GROUP, message_length, 0));
            }
            IpAddr::V6(source) => {
                headers.extend(eth::header(destination, self.source_mac, eth::IPV6));
                headers.extend(ipv6::advert_header(source, IPV6_GROUP, message_length));
            }
        }
        Ok(headers)
    }
}

impl Destination {
    fn new(address: IpAddr, ifindex: u32) -> Self {
        let socket_address = match address {
            IpAddr::V4(address) => SocketAddr::from((address, 0)),
            // The scope counts for link-local addresses and the group only.
            IpAddr::V6(address) => SocketAddrV6::new(address, 0, 0, ifindex).into(),
        };
        Self {
            address,
            socket_address: socket_address.into(),
        }
    }
}

/// A raw socket that sends from `source` through `interface` and queues nothing.
fn open(interface: &Interface, source: IpAddr) -> io::Result<Socket> {
    let protocol = Some(Protocol::from(i32::from(PROTOCOL)));
    let kind = Type::RAW.nonblocking().cloexec();
    let source_is_ipv4 = source.is_ipv4();
    let (domain, source) = match source {
        IpAddr::V4(source) => (Domain::IPV4, SocketAddrV4::new(source, 0).into()),
        IpAddr::V6(source) => (
            Domain::IPV6,
            SocketAddrV6::new(source, 0, 0, interface.index).into(),
        ),
    };
    let socket = Socket::new(domain, kind, protocol)?;
    drop_all(&socket)?;
    if source_is_ipv4 {
        socket.set_tos_v4(TRAFFIC_CLASS.into())?;
    } else {
        socket.set_tclass_v6(TRAFFIC_CLASS.into())?;
    }
    // After the type of service, which sets it too.
    socket.set_priority(QUEUE_PRIORITY)?;
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
