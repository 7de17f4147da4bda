//! Puts virtual addresses on interfaces and takes them off.
//!
//! Requests are built and parsed with the netlink crates that rtnetlink is made
//! of, but sent on a socket of the driver's own thread: the kernel carries out a
//! request while it is being sent, so an address is in place when `send`
//! returns, and no other thread stands in the way of a takeover.

use std::{
    collections::{HashSet, VecDeque},
    io,
    net::IpAddr,
};

use ha_common::types::AddressFamily;
use netlink_packet_core::{
    NLM_F_ACK, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage,
    NetlinkPayload,
};
use netlink_packet_route::{
    RouteNetlinkMessage,
    address::{
        AddressAttribute, AddressFlags, AddressHeader, AddressHeaderFlags, AddressMessage,
        AddressProtocol, AddressScope, CacheInfo,
    },
};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};

use crate::config::VirtualAddress;

/// `IFA_PROTO` of every address that Harrier adds (Linux 5.18): VRRP's protocol
/// number. It tells our addresses from those that others added.
pub const ADDRESS_PROTOCOL: u8 = 112;

/// Requests sent before their answers are read; the answers of so many fit any
/// receive buffer.
const BATCH: usize = 64;

/// Room for one answer: a netlink header and the error code, with the request
/// cut off by `NETLINK_CAP_ACK` and some text by the kernel.
const ANSWER_BYTES: usize = 4096;

/// What a request was for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Operation {
    Install,
    Remove,
}

/// One request that the kernel refused.
#[derive(Debug, thiserror::Error)]
#[error("{} {address} {} interface {ifindex}: {source}", if *.install { "adding" } else { "removing" }, if *.install { "to" } else { "from" })]
pub struct AddressError {
    /// Interface index.
    pub ifindex: u32,
    /// The address.
    pub address: VirtualAddress,
    /// Whether it was to be added.
    pub install: bool,
    /// What the kernel says.
    pub source: io::Error,
}

/// The virtual addresses that this daemon has on its interfaces. Dropping it
/// takes off what is still there.
pub struct AddressTable {
    socket: Socket,
    sequence: u32,
    pending: VecDeque<(u32, Operation, u32, VirtualAddress)>,
    installed: HashSet<(u32, VirtualAddress)>,
}

impl AddressTable {
    /// Opens the netlink socket.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn open() -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        socket.bind_auto()?;
        socket.connect(&SocketAddr::new(0, 0))?;
        socket.set_cap_ack(true)?;
        Ok(Self {
            socket,
            sequence: 0,
            pending: VecDeque::with_capacity(BATCH),
            installed: HashSet::new(),
        })
    }

    /// Whether this daemon has put `address` on `ifindex`.
    #[must_use]
    pub fn has(&self, ifindex: u32, address: VirtualAddress) -> bool {
        self.installed.contains(&(ifindex, address))
    }

    /// Adds `addresses`. They are in place when this returns; whether each could
    /// be added is for [`collect`](Self::collect) to tell.
    ///
    /// # Errors
    /// If the requests could not even be sent.
    pub fn install(
        &mut self,
        ifindex: u32,
        addresses: &[VirtualAddress],
        failures: &mut Vec<AddressError>,
    ) -> io::Result<()> {
        self.request(Operation::Install, ifindex, addresses, failures)
    }

    /// Takes those of `addresses` off that this daemon has added.
    ///
    /// # Errors
    /// If the requests could not even be sent.
    pub fn remove(
        &mut self,
        ifindex: u32,
        addresses: &[VirtualAddress],
        failures: &mut Vec<AddressError>,
    ) -> io::Result<()> {
        // An answer that is still out may be the one that makes an address ours.
        self.collect(failures)?;
        let ours: Vec<_> = addresses
            .iter()
            .copied()
            .filter(|address| self.has(ifindex, *address))
            .collect();
        self.request(Operation::Remove, ifindex, &ours, failures)
    }

    /// Takes one address off whoever added it: for what a predecessor left.
    ///
    /// # Errors
    /// What the kernel says; an address that is not there is no error.
    pub fn remove_leftover(&mut self, ifindex: u32, address: VirtualAddress) -> io::Result<()> {
        let mut failures = Vec::new();
        self.request(Operation::Remove, ifindex, &[address], &mut failures)?;
        self.collect(&mut failures)?;
        failures.pop().map_or(Ok(()), |failure| Err(failure.source))
    }

    /// Reads the answers to all requests so far and appends the refusals. An
    /// address that was there already is refused with EEXIST and stays its
    /// owner's: it will not be removed.
    ///
    /// # Errors
    /// If the answers cannot be read.
    pub fn collect(&mut self, failures: &mut Vec<AddressError>) -> io::Result<()> {
        let mut buffer = Vec::with_capacity(ANSWER_BYTES);
        while let Some((sequence, operation, ifindex, address)) = self.pending.pop_front() {
            let code = self.answer(sequence, &mut buffer)?;
            let result = match code {
                0 => Ok(()),
                code => Err(io::Error::from_raw_os_error(code)),
            };
            match (operation, result) {
                (Operation::Install, Ok(())) => {
                    self.installed.insert((ifindex, address));
                }
                (Operation::Remove, Ok(())) => {
                    self.installed.remove(&(ifindex, address));
                }
                // Somebody was faster, or the interface is gone: there is nothing
                // left to remove.
                (Operation::Remove, Err(error))
                    if matches!(
                        error.raw_os_error(),
                        Some(libc::EADDRNOTAVAIL | libc::ENODEV)
                    ) =>
                {
                    self.installed.remove(&(ifindex, address));
                }
                (operation, Err(source)) => failures.push(AddressError {
                    ifindex,
                    address,
                    install: operation == Operation::Install,
                    source,
                }),
            }
        }
        Ok(())
    }

    fn request(
        &mut self,
        operation: Operation,
        ifindex: u32,
        addresses: &[VirtualAddress],
        failures: &mut Vec<AddressError>,
    ) -> io::Result<()> {
        for batch in addresses.chunks(BATCH) {
            if self.pending.len() + batch.len() > BATCH {
                self.collect(failures)?;
            }
            let mut bytes = Vec::with_capacity(batch.len() * 96);
            let first = self.pending.len();
            for address in batch {
                self.sequence = self.sequence.wrapping_add(1);
                append(&mut bytes, operation, self.sequence, ifindex, *address);
                self.pending
                    .push_back((self.sequence, operation, ifindex, *address));
            }
            if let Err(error) = self.socket.send(&bytes, 0) {
                // None of this batch will be answered.
                self.pending.truncate(first);
                return Err(error);
            }
        }
        Ok(())
    }

    /// The error number in the answer to `sequence`; 0 is success.
    fn answer(&mut self, sequence: u32, buffer: &mut Vec<u8>) -> io::Result<i32> {
        loop {
            buffer.clear();
            self.socket.recv(buffer, 0)?;
            let message = NetlinkMessage::<RouteNetlinkMessage>::deserialize(buffer)
                .map_err(io::Error::other)?;
            // Answers come in the order of the requests; an older one belongs to a
            // batch that was given up.
            if message.header.sequence_number != sequence {
                continue;
            }
            return match message.payload {
                NetlinkPayload::Error(error) => Ok(error.raw_code().abs()),
                other => Err(io::Error::other(format!(
                    "the kernel answered an address request with {other:?}"
                ))),
            };
        }
    }
}

impl Drop for AddressTable {
    fn drop(&mut self) {
        let mut failures = Vec::new();
        let collected = self.collect(&mut failures);
        let left: Vec<_> = self.installed.iter().copied().collect();
        for (ifindex, address) in left {
            if let Err(error) = self.remove_leftover(ifindex, address) {
                tracing::error!(%address, ifindex, %error, "a virtual address stays behind");
            }
        }
        if let Err(error) = collected {
            tracing::error!(%error, "reading the kernel's answers to address requests");
        }
    }
}

fn append(
    bytes: &mut Vec<u8>,
    operation: Operation,
    sequence: u32,
    ifindex: u32,
    address: VirtualAddress,
) {
    let message = message(ifindex, address);
    let mut header = NetlinkHeader::default();
    header.sequence_number = sequence;
    let payload = match operation {
        Operation::Install => {
            header.flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL;
            RouteNetlinkMessage::NewAddress(message)
        }
        Operation::Remove => {
            header.flags = NLM_F_REQUEST | NLM_F_ACK;
            RouteNetlinkMessage::DelAddress(message)
        }
    };
    let mut message = NetlinkMessage::new(header, NetlinkPayload::from(payload));
    message.finalize();
    let start = bytes.len();
    // Netlink messages are aligned to four octets.
    bytes.resize(start + message.buffer_len().next_multiple_of(4), 0);
    message.serialize(&mut bytes[start..]);
}

fn message(ifindex: u32, address: VirtualAddress) -> AddressMessage {
    let family = AddressFamily::of(address.address);
    let mut message = AddressMessage::default();
    message.header = AddressHeader {
        family: match family {
            AddressFamily::Ipv4 => netlink_packet_route::AddressFamily::Inet,
            AddressFamily::Ipv6 => netlink_packet_route::AddressFamily::Inet6,
        },
        prefix_len: address.prefix_len,
        flags: AddressHeaderFlags::empty(),
        scope: AddressScope::Universe,
        index: ifindex,
    };
    message.attributes = vec![
        AddressAttribute::Local(address.address),
        AddressAttribute::Address(address.address),
        AddressAttribute::Protocol(AddressProtocol::Other(ADDRESS_PROTOCOL)),
    ];
    if let IpAddr::V6(v6) = address.address {
        // The address moves from node to node: detection of duplicates would find
        // the old Active, and hold the address back for a second.
        message
            .attributes
            .push(AddressAttribute::Flags(AddressFlags::Nodad));
        // Reachable, but not chosen as a source: it may leave at any time.
        if address.prefix_len == 128 || v6.is_unicast_link_local() {
            let mut lifetime = CacheInfo::default();
            lifetime.ifa_preferred = 0;
            lifetime.ifa_valid = u32::MAX;
            message
                .attributes
                .push(AddressAttribute::CacheInfo(lifetime));
        }
    }
    message
}
