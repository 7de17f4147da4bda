//! Interfaces and their addresses, as they are and as they change.
//!
//! Lists and notifications come over one socket, so they are in the order in
//! which they became true. When the socket's queue overflows the kernel drops
//! notifications and says so: everything is listed again then, and what differs
//! from what was told before is told.
//!
//! Addresses with Harrier's mark are not told when they come: whoever put them
//! there knows, and a takeover of a thousand would wake the watch for each.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    io,
    net::IpAddr,
};

use ha_common::types::MacAddress;
use netlink_packet_core::{
    NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_MULTIPART, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage,
    NetlinkPayload,
};
use netlink_packet_route::{
    AddressFamily, RouteNetlinkMessage,
    address::AddressMessage,
    link::{LinkAttribute, LinkMessage},
};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};
use socket2::SockFilter;
use tokio::io::{Interest, unix::AsyncFd};

use super::{
    host::PROTOCOL,
    interface::{InterfaceAddress, interface_address, is_up, link_address},
};

/// What is listened to: `RTNLGRP_LINK`, `RTNLGRP_IPV4_IFADDR` and
/// `RTNLGRP_IPV6_IFADDR` (linux/rtnetlink.h).
const GROUPS: [u32; 3] = [1, 5, 9];

/// The socket's queue: some thousand changes at once.
const QUEUE_BYTES: u32 = 4 << 20;

/// More than the kernel puts into one datagram of a list (32 KiB).
const DATAGRAM_BYTES: usize = 64 << 10;

/// A change of the host, or what was there when the watch began.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum HostChange {
    /// An interface is there, or has another name, state or link-layer address.
    Link {
        /// Kernel index.
        index: u32,
        /// Name.
        name: String,
        /// Administratively up and with a carrier.
        up: bool,
        /// Link-layer address, if it is an Ethernet interface.
        mac: Option<MacAddress>,
    },
    /// An interface is gone; its addresses went before.
    LinkGone {
        /// Kernel index it had.
        index: u32,
    },
    /// An address is on an interface, or is otherwise than before (no longer
    /// tentative, say). From Linux 5.18 on those with Harrier's mark are told only
    /// where they are found in a list.
    AddressAdded {
        /// Index of the interface.
        index: u32,
        /// The address.
        address: InterfaceAddress,
    },
    /// An address is off an interface, whether it was told that it was there or not.
    AddressGone {
        /// Index of the interface.
        index: u32,
        /// The address.
        address: IpAddr,
        /// Length of its prefix.
        prefix_len: u8,
        /// Netlink port of who removed it, which often is the process id; `None` for
        /// the kernel, `ioctl`, or if the notification was lost.
        by: Option<u32>,
    },
    /// All that was there when the watch began has been told. Comes once.
    Listed,
    /// Notifications were lost, and all that is there has been listed anew and told
    /// as far as it differs. Of an address that was not told before, nobody could
    /// tell that it is gone.
    Relisted,
}

/// See the [module](self).
pub struct HostWatch {
    socket: AsyncFd<Socket>,
    sequence: u32,
    listing: Listing,
    /// The kernel says that the list under way is not of one moment.
    inconsistent: bool,
    listed: bool,
    /// Counts the lists. What is known from an earlier round only when a list ends
    /// is there no more.
    round: u32,
    links: BTreeMap<u32, Known<LinkState>>,
    addresses: HashMap<(u32, IpAddr, u8), Known<InterfaceAddress>>,
    changes: VecDeque<HostChange>,
    buffer: Vec<u8>,
}

/// The list that is under way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Listing {
    Links,
    Addresses,
    Nothing,
}

/// Something that was told of.
struct Known<T> {
    value: T,
    round: u32,
}

#[derive(Clone, PartialEq, Eq)]
struct LinkState {
    name: String,
    up: bool,
    mac: Option<MacAddress>,
}

impl HostWatch {
    /// Begins to watch the network namespace of the calling thread.
    ///
    /// # Errors
    /// What the kernel says.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn open() -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        socket.set_non_blocking(true)?;
        socket.bind_auto()?;
        socket.connect(&SocketAddr::new(0, 0))?;
        enlarge(&socket)?;
        leave_out_marked(&socket)?;
        for group in GROUPS {
            socket.add_membership(group)?;
        }
        // SAFETY: the socket owns its one descriptor until it is dropped.
        let socket = unsafe { AsyncFd::register_with_interest(socket, Interest::READABLE) }
            .map_err(io::Error::from)?;
        let mut watch = Self {
            socket,
            sequence: 0,
            listing: Listing::Nothing,
            inconsistent: false,
            listed: false,
            round: 0,
            links: BTreeMap::new(),
            addresses: HashMap::new(),
            changes: VecDeque::new(),
            buffer: Vec::with_capacity(DATAGRAM_BYTES),
        };
        watch.list(Listing::Links)?;
        Ok(watch)
    }

    /// The next change: first the interfaces that are there, then their addresses,
    /// then [`Listed`](HostChange::Listed), and changes between and after them.
    /// Nothing is lost if the future is dropped.
    ///
    /// # Errors
    /// If the socket fails. Nothing can be told any more.
    pub async fn next(&mut self) -> io::Result<HostChange> {
        loop {
            if let Some(change) = self.changes.pop_front() {
                return Ok(change);
            }
            self.buffer.clear();
            let buffer = &mut self.buffer;
            let received = self
                .socket
                .async_io(Interest::READABLE, |socket| socket.recv_from(buffer, 0))
                .await;
            match received {
                // Another process may send to a netlink socket too.
                Ok((_, from)) if from.port_number() == 0 => self.take_datagram()?,
                Ok(_) => {}
                Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => {
                    tracing::warn!(
                        "changes of the host came faster than they were read: listing it anew"
                    );
                    self.start_over()?;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Throws away what is queued, which is older than the list that is asked for
    /// then: what contradicts it may be among what was lost.
    fn start_over(&mut self) -> io::Result<()> {
        loop {
            self.buffer.clear();
            match self.socket.get_ref().recv_from(&mut self.buffer, 0) {
                Ok(_) => {}
                Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        self.list(Listing::Links)
    }

    fn list(&mut self, listing: Listing) -> io::Result<()> {
        let request = match listing {
            Listing::Links => RouteNetlinkMessage::GetLink(LinkMessage::default()),
            Listing::Addresses => RouteNetlinkMessage::GetAddress(AddressMessage::default()),
            Listing::Nothing => return Ok(()),
        };
        self.listing = listing;
        self.inconsistent = false;
        self.round = self.round.wrapping_add(1);
        self.sequence = self.sequence.wrapping_add(1);
        let mut header = NetlinkHeader::default();
        header.flags = NLM_F_REQUEST | NLM_F_DUMP;
        header.sequence_number = self.sequence;
        let mut message = NetlinkMessage::new(header, NetlinkPayload::from(request));
        message.finalize();
        let mut bytes = vec![0; message.buffer_len()];
        message.serialize(&mut bytes);
        self.socket.get_ref().send(&bytes, 0).map(drop)
    }

    fn take_datagram(&mut self) -> io::Result<()> {
        let buffer = std::mem::take(&mut self.buffer);
        let mut rest = buffer.as_slice();
        let mut result = Ok(());
        // nlmsghdr (linux/netlink.h) begins with the length of the message.
        while let Some(length) = rest.first_chunk().map(|octets| u32::from_ne_bytes(*octets)) {
            let length = usize::try_from(length).unwrap_or(usize::MAX);
            let Some(octets) = rest.get(..length).filter(|octets| octets.len() >= 16) else {
                break;
            };
            result = match NetlinkMessage::<RouteNetlinkMessage>::deserialize(octets) {
                Ok(message) => self.take_message(message),
                Err(error) => {
                    tracing::warn!(%error, "the kernel tells of a change in unknown words");
                    Ok(())
                }
            };
            if result.is_err() {
                break;
            }
            rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        }
        self.buffer = buffer;
        result
    }

    fn take_message(&mut self, message: NetlinkMessage<RouteNetlinkMessage>) -> io::Result<()> {
        let header = message.header;
        if self.listing != Listing::Nothing
            && header.sequence_number == self.sequence
            && header.flags & NLM_F_DUMP_INTR != 0
        {
            self.inconsistent = true;
        }
        match message.payload {
            NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewLink(link)) => {
                self.take_link(&link);
            }
            // A bridge says of a port that leaves it that it is gone, too.
            NetlinkPayload::InnerMessage(RouteNetlinkMessage::DelLink(link))
                if link.header.interface_family == AddressFamily::Unspec =>
            {
                self.take_link_gone(link.header.index);
            }
            NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewAddress(address)) => {
                self.take_address(&address);
            }
            NetlinkPayload::InnerMessage(RouteNetlinkMessage::DelAddress(address)) => {
                let by = Some(header.port_number).filter(|port| *port != 0);
                if let Some(gone) = interface_address(&address) {
                    self.take_address_gone(
                        (address.header.index, gone.address, gone.prefix_len),
                        by,
                    );
                }
            }
            NetlinkPayload::Done(_) if header.sequence_number == self.sequence => {
                return self.finish_list();
            }
            NetlinkPayload::Error(error) if header.sequence_number == self.sequence => {
                return Err(error.to_io());
            }
            _ => {}
        }
        Ok(())
    }

    fn finish_list(&mut self) -> io::Result<()> {
        if self.inconsistent {
            return self.list(self.listing);
        }
        let round = self.round;
        match self.listing {
            Listing::Links => {
                let gone: Vec<u32> = self
                    .links
                    .iter()
                    .filter(|(_, known)| known.round != round)
                    .map(|(index, _)| *index)
                    .collect();
                for index in gone {
                    self.take_link_gone(index);
                }
                self.list(Listing::Addresses)
            }
            Listing::Addresses => {
                let gone: Vec<(u32, IpAddr, u8)> = self
                    .addresses
                    .iter()
                    .filter(|(_, known)| known.round != round)
                    .map(|(key, _)| *key)
                    .collect();
                for key in gone {
                    self.take_address_gone(key, None);
                }
                self.listing = Listing::Nothing;
                self.changes.push_back(if self.listed {
                    HostChange::Relisted
                } else {
                    HostChange::Listed
                });
                self.listed = true;
                Ok(())
            }
            Listing::Nothing => Ok(()),
        }
    }

    fn take_link(&mut self, link: &LinkMessage) {
        // Bridges tell of their ports in the same words.
        if link.header.interface_family != AddressFamily::Unspec {
            return;
        }
        let index = link.header.index;
        let name = link
            .attributes
            .iter()
            .find_map(|attribute| match attribute {
                LinkAttribute::IfName(name) => Some(name.clone()),
                _ => None,
            });
        let Some(name) = name else { return };
        let state = LinkState {
            name,
            up: is_up(link),
            mac: link_address(link),
        };
        let now = Known {
            value: state.clone(),
            round: self.round,
        };
        let before = self.links.insert(index, now);
        if before.is_none_or(|before| before.value != state) {
            let LinkState { name, up, mac } = state;
            self.changes.push_back(HostChange::Link {
                index,
                name,
                up,
                mac,
            });
        }
    }

    fn take_link_gone(&mut self, index: u32) {
        let left: Vec<(u32, IpAddr, u8)> = self
            .addresses
            .keys()
            .filter(|(of, ..)| *of == index)
            .copied()
            .collect();
        for key in left {
            self.take_address_gone(key, None);
        }
        if self.links.remove(&index).is_some() {
            self.changes.push_back(HostChange::LinkGone { index });
        }
    }

    fn take_address(&mut self, message: &AddressMessage) {
        let Some(address) = interface_address(message) else {
            return;
        };
        let index = message.header.index;
        let now = Known {
            value: address,
            round: self.round,
        };
        let before = self
            .addresses
            .insert((index, address.address, address.prefix_len), now);
        if before.is_none_or(|before| before.value != address) {
            self.changes
                .push_back(HostChange::AddressAdded { index, address });
        }
    }

    fn take_address_gone(&mut self, key: (u32, IpAddr, u8), by: Option<u32>) {
        self.addresses.remove(&key);
        let (index, address, prefix_len) = key;
        self.changes.push_back(HostChange::AddressGone {
            index,
            address,
            prefix_len,
            by,
        });
    }
}

/// Keeps notifications of new addresses with Harrier's mark out of the queue. Lists
/// have all of them.
fn leave_out_marked(socket: &Socket) -> io::Result<()> {
    // linux/bpf_common.h, linux/filter.h.
    const LOAD_WORD: u16 = 0x20;
    const LOAD_HALF: u16 = 0x28;
    const LOAD_OCTET_AT_X: u16 = 0x50;
    const LOAD_NUMBER: u16 = 0x00;
    const LOAD_X_NUMBER: u16 = 0x01;
    const COPY_TO_X: u16 = 0x07;
    const JUMP_EQUAL: u16 = 0x15;
    const JUMP_ANY_BIT: u16 = 0x45;
    const RETURN: u16 = 0x06;
    // Finds the attribute of type X from octet A on; SKF_AD_OFF + SKF_AD_NLATTR.
    const FIND_ATTRIBUTE: u32 = (-0x1000_i32 + 12).cast_unsigned();
    // nlmsghdr (linux/netlink.h), 16 octets, then ifaddrmsg (linux/if_addr.h), 8;
    // of an attribute the value begins at octet 4.
    const TYPE_AT: u32 = 4;
    const FLAGS_AT: u32 = 6;
    const ATTRIBUTES_AT: u32 = 24;
    const VALUE_AT: u32 = 4;
    const NEW_ADDRESS: u16 = 20;
    const IFA_PROTO: u32 = 11;
    // Netlink has numbers in the host's order, the filter loads them in the network's.
    let host = |number: u16| u32::from(number.to_be());
    let then = SockFilter::new;
    socket2::SockRef::from(socket).attach_filter(&[
        then(LOAD_HALF, 0, 0, FLAGS_AT),
        then(JUMP_ANY_BIT, 8, 0, host(NLM_F_MULTIPART)),
        then(LOAD_HALF, 0, 0, TYPE_AT),
        then(JUMP_EQUAL, 0, 6, host(NEW_ADDRESS)),
        then(LOAD_X_NUMBER, 0, 0, IFA_PROTO),
        then(LOAD_NUMBER, 0, 0, ATTRIBUTES_AT),
        then(LOAD_WORD, 0, 0, FIND_ATTRIBUTE),
        then(COPY_TO_X, 0, 0, 0),
        // Without the attribute X is 0, and this an octet of the type.
        then(LOAD_OCTET_AT_X, 0, 0, VALUE_AT),
        then(JUMP_EQUAL, 1, 0, PROTOCOL.into()),
        then(RETURN, 0, 0, u32::MAX),
        then(RETURN, 0, 0, 0),
    ])
}

/// Makes room for [`QUEUE_BYTES`], beyond the host's limit where that is
/// permitted.
fn enlarge(socket: &Socket) -> io::Result<()> {
    match rustix::net::sockopt::set_socket_recv_buffer_size_force(socket, QUEUE_BYTES as usize) {
        Ok(()) => Ok(()),
        Err(_) => socket.set_rx_buf_sz(QUEUE_BYTES),
    }
}
