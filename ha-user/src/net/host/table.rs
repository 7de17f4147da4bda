//! Puts items on the host and takes them off.
//!
//! Requests are built and parsed with the netlink crates that rtnetlink is made
//! of, but sent on a socket of the driver's own thread: the kernel carries out a
//! request while it is being sent, so an address is in place when `send`
//! returns, and no other thread stands in the way of a takeover.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    io,
    net::IpAddr,
};

use netlink_packet_core::{NetlinkMessage, NetlinkPayload};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};
use rustix::net::sockopt::set_socket_recv_buffer_size_force;

use super::{
    HostError, Item, Items, Operation,
    items::{ask_for_answer, encode, number},
};

/// Requests sent before their answers are read and kept account of, for which
/// there is time when all are out. Only refusals are answered, and the last of them
/// all.
const BATCH: usize = 256;

/// Room for the answers of a batch that is refused from end to end: each takes
/// about 900 octets of the socket's queue.
const QUEUE_BYTES: u32 = 512 << 10;

/// Room for one answer: a netlink header and the error code, with the request
/// cut off by `NETLINK_CAP_ACK` and some text by the kernel.
const ANSWER_BYTES: usize = 4096;

/// Room for a batch of requests; it grows if they are longer.
const BATCH_BYTES: usize = BATCH * 64;

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

/// A request whose answer is not known yet.
struct Pending {
    sequence: u32,
    operation: Operation,
    owner: Option<u32>,
    /// Whether the item was ours when it was asked for.
    had: bool,
    item: Item,
}

/// What this daemon has on its host. Dropping it takes off what is still there.
pub struct HostTable {
    socket: Socket,
    port: u32,
    sequence: u32,
    /// In the order of their numbers; the last is answered in any case.
    pending: VecDeque<Pending>,
    /// The batch that is being put together.
    batch: Vec<u8>,
    /// Where its last request begins.
    last: usize,
    answer: Vec<u8>,
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
        // Beyond the host's limit where that is permitted; that is 212,992 by default,
        // of which the kernel makes the double.
        if set_socket_recv_buffer_size_force(&socket, QUEUE_BYTES as usize).is_err() {
            socket.set_rx_buf_sz(QUEUE_BYTES)?;
        }
        Ok(Self {
            socket,
            port,
            sequence: 0,
            pending: VecDeque::with_capacity(BATCH),
            batch: Vec::with_capacity(BATCH_BYTES),
            last: 0,
            answer: Vec::with_capacity(ANSWER_BYTES),
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

    /// Those of `addresses`, each with the index of its interface, that this daemon
    /// has put on the host. Looks at everything that it has there once, however many
    /// they are.
    #[must_use]
    pub fn own_among(
        &self,
        addresses: impl IntoIterator<Item = (u32, IpAddr)>,
    ) -> HashSet<(u32, IpAddr)> {
        let asked: HashSet<_> = addresses.into_iter().collect();
        let own = self.installed.keys().filter_map(|item| match item {
            Item::Address(own) => Some((own.device.index, own.address)),
            _ => None,
        });
        own.filter(|own| asked.contains(own)).collect()
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

    /// Adds the items of several owners, in this order, but for those that it has.
    /// They are in place when this returns; whether each could be added is for
    /// [`collect`](Self::collect) to tell. A refusal carries the number that comes
    /// with the items.
    ///
    /// # Errors
    /// If the requests could not even be sent, or older answers not be read.
    pub fn install_all<'a>(
        &mut self,
        orders: impl IntoIterator<Item = (u32, &'a Items)>,
        failures: &mut Vec<HostError>,
    ) -> io::Result<()> {
        // An answer that is still out may be the one that makes an item ours.
        self.collect(failures)?;
        for (owner, items) in orders {
            let requests = items.requests(Operation::Install);
            self.add(Operation::Install, Some(owner), false, requests, failures)?;
        }
        self.flush()
    }

    /// Takes those of the items of several owners off that this daemon has added:
    /// the owners in this order, of each what needs another item before that.
    /// Refusals are told as by [`install_all`](Self::install_all).
    ///
    /// # Errors
    /// As [`install_all`](Self::install_all).
    pub fn remove_all<'a>(
        &mut self,
        orders: impl IntoIterator<Item = (u32, &'a Items)>,
        failures: &mut Vec<HostError>,
    ) -> io::Result<()> {
        self.collect(failures)?;
        for (owner, items) in orders {
            let requests = items.requests(Operation::Remove);
            self.add(Operation::Remove, Some(owner), true, requests, failures)?;
        }
        self.flush()
    }

    /// As [`install_all`](Self::install_all), for items whose requests are not
    /// encoded yet; refusals carry no owner.
    ///
    /// # Errors
    /// As [`install_all`](Self::install_all).
    pub fn install(&mut self, items: &[Item], failures: &mut Vec<HostError>) -> io::Result<()> {
        self.encode_and_add(Operation::Install, false, items, failures)
    }

    /// As [`remove_all`](Self::remove_all), for items whose requests are not
    /// encoded yet; refusals carry no owner.
    ///
    /// # Errors
    /// As [`install_all`](Self::install_all).
    pub fn remove(&mut self, items: &[Item], failures: &mut Vec<HostError>) -> io::Result<()> {
        self.encode_and_add(Operation::Remove, true, items, failures)
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
        let lost = items
            .iter()
            .filter(|item| *item == gone || matches!(item, Item::Route(_)))
            .filter(|item| self.has(item));
        let lost = Items::new(lost.cloned().collect());
        let mut was_gone = lost.contains(gone);
        let requests = lost.requests(Operation::Install);
        self.add(Operation::Install, None, true, requests, &mut failures)?;
        self.flush()?;
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
        self.collect(&mut failures)?;
        for error in failures.drain(..) {
            // Of requests before this one, which nobody has asked for.
            tracing::error!(%error, "the kernel refused something");
        }
        let mut request = Vec::new();
        encode(&mut request, Operation::Remove, item);
        self.ask(&mut request)?;
        let code = self.answer(self.sequence)?.1;
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
        while let Some(last) = self.pending.back().map(|last| last.sequence) {
            let (sequence, code) = match self.answer(last) {
                Ok(answer) => answer,
                Err(error) => {
                    // Nothing is known of these, so they are nobody's.
                    self.pending.clear();
                    return Err(error);
                }
            };
            // Answers come in the order of the requests: those that are passed over
            // were carried out.
            while let Some(pending) = self.pending.pop_front() {
                let is_answered = pending.sequence == sequence;
                self.settle(pending, if is_answered { code } else { 0 }, failures);
                if is_answered {
                    break;
                }
            }
        }
        Ok(())
    }

    /// The kernel has answered a request with `code`, where 0 is success.
    fn settle(&mut self, pending: Pending, code: i32, failures: &mut Vec<HostError>) {
        let Pending {
            sequence,
            operation,
            owner,
            had,
            item,
        } = pending;
        match (operation, code) {
            (Operation::Install, 0) => {
                self.installed.insert(item, sequence);
            }
            // Asked for twice in one batch: the first has added it.
            (Operation::Install, libc::EEXIST) if !had && self.has(&item) => {}
            (Operation::Remove, code) if code == 0 || item.is_gone(code) => {
                self.installed.remove(&item);
            }
            (operation, code) => failures.push(HostError {
                item,
                owner,
                install: operation == Operation::Install,
                source: io::Error::from_raw_os_error(code),
            }),
        }
    }

    /// Encodes requests for those of `items` that are ours, or are not, and sends them.
    fn encode_and_add(
        &mut self,
        operation: Operation,
        ours: bool,
        items: &[Item],
        failures: &mut Vec<HostError>,
    ) -> io::Result<()> {
        self.collect(failures)?;
        let items = Items::new(items.to_vec());
        self.add(operation, None, ours, items.requests(operation), failures)?;
        self.flush()
    }

    /// Puts the requests for those items into the batch that are ours, or are not,
    /// and sends it when it is full.
    fn add<'a>(
        &mut self,
        operation: Operation,
        owner: Option<u32>,
        ours: bool,
        requests: impl Iterator<Item = (&'a Item, &'a [u8])>,
        failures: &mut Vec<HostError>,
    ) -> io::Result<()> {
        for (item, request) in requests {
            if self.has(item) != ours {
                continue;
            }
            if self.pending.len() == BATCH {
                self.flush()?;
                self.collect(failures)?;
            }
            self.sequence = self.sequence.wrapping_add(1);
            self.last = self.batch.len();
            self.batch.extend_from_slice(request);
            number(&mut self.batch[self.last..], self.sequence);
            self.pending.push_back(Pending {
                sequence: self.sequence,
                operation,
                owner,
                had: ours,
                item: item.clone(),
            });
        }
        Ok(())
    }

    /// Sends the batch.
    fn flush(&mut self) -> io::Result<()> {
        if self.batch.is_empty() {
            return Ok(());
        }
        ask_for_answer(&mut self.batch[self.last..]);
        let sent = self.socket.send(&self.batch, 0);
        self.batch.clear();
        if let Err(error) = sent {
            // None of it will be answered.
            self.pending.clear();
            return Err(error);
        }
        Ok(())
    }

    /// Sends one request that is answered in any case.
    fn ask(&mut self, request: &mut [u8]) -> io::Result<()> {
        self.sequence = self.sequence.wrapping_add(1);
        number(request, self.sequence);
        ask_for_answer(request);
        self.socket.send(request, 0).map(drop)
    }

    /// The next answer to one of the requests up to `last` that are not answered
    /// yet: its number, and the error's; 0 is success.
    fn answer(&mut self, last: u32) -> io::Result<(u32, i32)> {
        let first = self.pending.front().map_or(last, |first| first.sequence);
        loop {
            self.answer.clear();
            self.socket.recv(&mut self.answer, 0)?;
            let message = NetlinkMessage::<RouteNetlinkMessage>::deserialize(&self.answer)
                .map_err(io::Error::other)?;
            let sequence = message.header.sequence_number;
            // An older one belongs to a batch that was given up.
            if sequence.wrapping_sub(first) > last.wrapping_sub(first) {
                continue;
            }
            return match message.payload {
                NetlinkPayload::Error(error) => Ok((sequence, error.raw_code().abs())),
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
