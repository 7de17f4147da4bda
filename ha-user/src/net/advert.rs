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

/// A raw socket on one interface for one family.
///
/// Advertisements are received by the kernel program, not here; but the socket
/// joins the group, so that switches with snooping forward it to us, and being
/// there keeps the kernel from answering "protocol unreachable". A filter drops
/// all that would be queued on it.
#[derive(Debug)]
pub struct AdvertSocket {
    socket: Socket,
    group: SockAddr,
}

impl AdvertSocket {
    /// Opens a socket that sends from `source` through `interface`.
    ///
    /// # Errors
    /// Whatever the kernel refuses: without CAP_NET_RAW there is no raw socket.
    pub fn open(interface: &Interface, source: IpAddr) -> io::Result<Self> {
        let protocol = Some(Protocol::from(i32::from(PROTOCOL)));
        let kind = Type::RAW.nonblocking().cloexec();
        match source {
            IpAddr::V4(source) => {
                let socket = Socket::new(Domain::IPV4, kind, protocol)?;
                drop_all(&socket)?;
                let by_index = InterfaceIndexOrAddress::Index(interface.index);
                socket.bind_device(Some(interface.name.as_bytes()))?;
                socket.bind(&SocketAddrV4::new(source, 0).into())?;
                socket.join_multicast_v4_n(&IPV4_GROUP, &by_index)?;
                socket.set_multicast_ttl_v4(HOPS)?;
                socket.set_multicast_loop_v4(false)?;
                Ok(Self {
                    socket,
                    group: SocketAddr::from((IPV4_GROUP, 0)).into(),
                })
            }
            IpAddr::V6(source) => {
                let socket = Socket::new(Domain::IPV6, kind, protocol)?;
                let ifindex = interface.index;
                drop_all(&socket)?;
                socket.bind_device(Some(interface.name.as_bytes()))?;
                socket.bind(&SocketAddrV6::new(source, 0, 0, ifindex).into())?;
                socket.join_multicast_v6(&IPV6_GROUP, ifindex)?;
                socket.set_multicast_if_v6(ifindex)?;
                socket.set_multicast_hops_v6(HOPS)?;
                socket.set_multicast_loop_v6(false)?;
                let group = SocketAddrV6::new(IPV6_GROUP, 0, 0, ifindex);
                Ok(Self {
                    socket,
                    group: group.into(),
                })
            }
        }
    }

    /// Sends one VRRP message to the group.
    ///
    /// # Errors
    /// What the kernel says; the socket never blocks.
    pub fn send(&self, message: &[u8]) -> io::Result<()> {
        self.socket.send_to(message, &self.group).map(|_| ())
    }
}

/// Lets nothing into the receive queue, nor wakes anybody.
fn drop_all(socket: &Socket) -> io::Result<()> {
    // BPF_RET | BPF_K with length 0 (linux/filter.h): keep no octet of any packet.
    const RETURN: u16 = 0x06;
    socket.attach_filter(&[SockFilter::new(RETURN, 0, 0, 0)])
}
