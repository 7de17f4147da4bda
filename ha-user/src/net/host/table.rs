//! Puts items on the host and takes them off.
//!
//! Requests are built and parsed with the netlink crates that rtnetlink is made
//! of, but sent on a socket of the driver's own thread: the kernel carries out a
//! request while it is being sent, so an address is in place when `send`
//! returns, and no other thread stands in the way of a takeover.

use std::{
    collections::{HashMap, VecDeque},
    io,
};

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage,
    NetlinkPayload,
};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};

use super::{HostError, Item, Operation};

/// Requests sent before their answers are read; the answers of so many fit any
/// receive buffer.
const BATCH: usize = 64;

/// Room for one answer: a netlink header and the error code, with the request
/// cut off by `NETLINK_CAP_ACK` and some text by the kernel.
const ANSWER_BYTES: usize = 4096;

/// Something that could not be put back.
#[derive(Debug, thiserror::Error)]
pub enum PutBackError {
    /// Netlink failed as a whole.
    #[error(transparent)]
    Netlink(#[from] io::Error),
    /// One item was refused.
    #[error(transparent)]
    Refused(#[from] HostError),
}

/// A request that is not answered yet.
struct Pending {
    sequence: u32,
    operation: Operation,
    item: Item,
}

/// What this daemon has on its host. Dropping it takes off what is still there.
pub struct HostTable {
    socket: Socket,
    port: u32,
    sequence: u32,
    pending: VecDeque<Pending>,
    /// With the sequence number of the request that installed it, which tells the
    /// order.
    installed: HashMap<Item, u32>,
}

impl HostTable {
    /// Opens the netlink socket.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn open() -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        let port = socket.bind_auto()?.port_number();
        socket.connect(&SocketAddr::new(0, 0))?;
        socket.set_cap_ack(true)?;
        Ok(Self {
            socket,
            port,
            sequence: 0,
            pending: VecDeque::with_capacity(BATCH),
            installed: HashMap::new(),
        })
    }

    /// The netlink port of its socket: notifications of changes that it made
    /// carry this number.
    #[must_use]
    pub fn port(&self) -> u32 {
        self.port
    }

    /// Whether this daemon has put `item` on the host, as far as answers have been
    /// [collected](Self::collect).
    #[must_use]
    pub fn has(&self, item: &Item) -> bool {
        self.installed.contains_key(item)
    }

    /// Somebody else took `item` off: [`install`](Self::install) will add it again.
    /// Returns whether it was there.
    pub fn forget(&mut self, item: &Item) -> bool {
        self.installed.remove(item).is_some()
    }

    /// `item` is on the host, and this daemon has put it there.
    pub fn adopt(&mut self, item: &Item) {
        self.sequence = self.sequence.wrapping_add(1);
        self.installed.insert(item.clone(), self.sequence);
    }

    /// Adds `items` in this order, but for those that it has. They are in place
    /// when this returns; whether each could be added is for
    /// [`collect`](Self::collect) to tell.
    ///
    /// # Errors
    /// If the requests could not even be sent, or older answers not be read.
    pub fn install(&mut self, items: &[Item], failures: &mut Vec<HostError>) -> io::Result<()> {
        // An answer that is still out may be the one that makes an item ours.
        self.collect(failures)?;
        let missing: Vec<&Item> = items.iter().filter(|item| !self.has(item)).collect();
        self.request(Operation::Install, &missing, failures)
    }

    /// Takes those of `items` off that this daemon has added, the last first.
    ///
    /// # Errors
    /// As [`install`](Self::install).
    pub fn remove(&mut self, items: &[Item], failures: &mut Vec<HostError>) -> io::Result<()> {
        self.collect(failures)?;
        let ours: Vec<&Item> = items.iter().rev().filter(|item| self.has(item)).collect();
        self.request(Operation::Remove, &ours, failures)
    }

    /// Adds `gone`, which somebody else took off, once more, and those routes among
    /// `items` that the kernel has removed with it. Returns whether `gone` was gone.
    ///
    /// # Errors
    /// The first refusal, or what kept the requests from being made.
    pub fn put_back(&mut self, gone: &Item, items: &[Item]) -> Result<bool, PutBackError> {
        let mut failures = Vec::new();
        self.collect(&mut failures)?;
        failures.clear();
        let lost: Vec<&Item> = items
            .iter()
            .filter(|item| *item == gone || matches!(item, Item::Route(_)))
            .filter(|item| self.has(item))
            .collect();
        let mut was_gone = lost.contains(&gone);
        self.request(Operation::Install, &lost, &mut failures)?;
        self.collect(&mut failures)?;
        for failure in failures {
            if !failure.was_there() {
                // It is not there, so it is not ours to remove.
                self.forget(&failure.item);
                return Err(failure.into());
            }
            was_gone &= failure.item != *gone;
        }
        Ok(was_gone)
    }

    /// Takes one item off whoever added it: for what a predecessor left. Returns
    /// whether it was there.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn remove_leftover(&mut self, item: &Item) -> io::Result<bool> {
        let mut failures = Vec::new();
        self.request(Operation::Remove, &[item], &mut failures)?;
        for error in failures {
            // Of requests before this one, which nobody has asked for.
            tracing::error!(%error, "the kernel refused something");
        }
        let mut buffer = Vec::with_capacity(ANSWER_BYTES);
        let sequence = self.sequence;
        self.pending.clear();
        let code = self.answer(sequence, &mut buffer)?;
        if code != 0 && !item.is_gone(code) {
            return Err(io::Error::from_raw_os_error(code));
        }
        self.installed.remove(item);
        Ok(code == 0)
    }

    /// Reads the answers to all requests so far and appends the refusals. An item
    /// that was there already is refused with EEXIST and stays its owner's: it will
    /// not be removed.
    ///
    /// # Errors
    /// If the answers cannot be read.
    pub fn collect(&mut self, failures: &mut Vec<HostError>) -> io::Result<()> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let mut buffer = Vec::with_capacity(ANSWER_BYTES);
        while let Some(Pending {
            sequence,
            operation,
            item,
        }) = self.pending.pop_front()
        {
            match (operation, self.answer(sequence, &mut buffer)?) {
                (Operation::Install, 0) => {
                    self.installed.insert(item, sequence);
                }
                (Operation::Remove, 0) => {
                    self.installed.remove(&item);
                }
                (Operation::Remove, code) if item.is_gone(code) => {
                    self.installed.remove(&item);
                }
                (operation, code) => failures.push(HostError {
                    item,
                    install: operation == Operation::Install,
                    source: io::Error::from_raw_os_error(code),
                }),
            }
        }
        Ok(())
    }

    fn request(
        &mut self,
        operation: Operation,
        items: &[&Item],
        failures: &mut Vec<HostError>,
    ) -> io::Result<()> {
        for batch in items.chunks(BATCH) {
            self.collect(failures)?;
            let mut bytes = Vec::with_capacity(batch.len() * 96);
            for item in batch {
                self.sequence = self.sequence.wrapping_add(1);
                append(&mut bytes, operation, self.sequence, item);
                self.pending.push_back(Pending {
                    sequence: self.sequence,
                    operation,
                    item: (*item).clone(),
                });
            }
            if let Err(error) = self.socket.send(&bytes, 0) {
                // None of this batch will be answered.
                self.pending.clear();
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
                    "the kernel answered a request with {other:?}"
                ))),
            };
        }
    }
}

impl Drop for HostTable {
    fn drop(&mut self) {
        let mut failures = Vec::new();
        let collected = self.collect(&mut failures);
        let mut left: Vec<(Item, u32)> = self.installed.drain().collect();
        left.sort_by_key(|(_, sequence)| std::cmp::Reverse(*sequence));
        for (item, _) in left {
            if let Err(error) = self.remove_leftover(&item) {
                tracing::error!(%item, %error, "this stays behind on the host");
            }
        }
        if let Err(error) = collected {
            tracing::error!(%error, "reading the kernel's answers");
        }
    }
}

fn append(bytes: &mut Vec<u8>, operation: Operation, sequence: u32, item: &Item) {
    let mut header = NetlinkHeader::default();
    header.sequence_number = sequence;
    header.flags = NLM_F_REQUEST | NLM_F_ACK;
    if operation == Operation::Install && !matches!(item, Item::Link(_)) {
        header.flags |= NLM_F_CREATE | NLM_F_EXCL;
    }
    let payload = NetlinkPayload::from(item.request(operation));
    let mut message = NetlinkMessage::new(header, payload);
    message.finalize();
    let start = bytes.len();
    // Netlink messages are aligned to four octets.
    bytes.resize(start + message.buffer_len().next_multiple_of(4), 0);
    message.serialize(&mut bytes[start..]);
}
