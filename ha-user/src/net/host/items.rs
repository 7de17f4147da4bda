//! Items together with the requests that put them on the host and take them off.

use std::{collections::HashSet, net::IpAddr, ops::Deref};

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REQUEST, NetlinkBuffer, NetlinkHeader,
    NetlinkMessage, NetlinkPayload,
};

use super::{Address, Item, Operation};

/// What one virtual router puts on its host, in this order, with the requests for
/// it encoded ahead of time: a takeover copies them and gives them their numbers.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Items {
    list: Vec<Item>,
    install: Requests,
    remove: Requests,
}

impl Items {
    /// Encodes the requests for `list`.
    #[must_use]
    pub fn new(list: Vec<Item>) -> Self {
        Self {
            install: Requests::new(&list, Operation::Install, 0..list.len()),
            remove: Requests::new(&list, Operation::Remove, removal_order(&list)),
            list,
        }
    }

    /// The requests that do `operation`, in the order in which that has to be done,
    /// each with its item.
    pub(super) fn requests(&self, operation: Operation) -> impl Iterator<Item = (&Item, &[u8])> {
        let requests = match operation {
            Operation::Install => &self.install,
            Operation::Remove => &self.remove,
        };
        requests
            .iter()
            .map(|(place, request)| (&self.list[place], request))
    }
}

/// Places in `list`, in the order in which the items are taken off: the last first,
/// because what comes later may need what comes before.
///
/// IPv4 addresses do not need each other, but for the first of a network: the
/// kernel may remove the others with it. Of those in a row the others come first,
/// and the oldest of them, because the kernel looks for an address from there: a
/// thousand are gone in two thirds of the time.
fn removal_order(list: &[Item]) -> Vec<usize> {
    let mut order = Vec::with_capacity(list.len());
    let mut networks = HashSet::new();
    let mut row = Vec::new();
    let mut firsts = Vec::new();
    for (place, item) in list.iter().enumerate().rev() {
        if network(item).is_some() {
            row.push(place);
            if place > 0 && network(&list[place - 1]).is_some() {
                continue;
            }
            networks.clear();
            for place in row.drain(..).rev() {
                if networks.insert(network(&list[place])) {
                    firsts.push(place);
                } else {
                    order.push(place);
                }
            }
            order.extend(firsts.drain(..).rev());
        } else {
            order.push(place);
        }
    }
    order
}

/// The network of an IPv4 address: interface, bits that count, their number.
fn network(item: &Item) -> Option<(u32, u32, u8)> {
    let Item::Address(Address {
        device,
        address: IpAddr::V4(address),
        prefix_len,
        ..
    }) = item
    else {
        return None;
    };
    let behind = 32_u32.saturating_sub((*prefix_len).into());
    let bits = u32::MAX.checked_shl(behind).unwrap_or(0) & address.to_bits();
    Some((device.index, bits, *prefix_len))
}

impl From<Vec<Item>> for Items {
    fn from(list: Vec<Item>) -> Self {
        Self::new(list)
    }
}

impl Deref for Items {
    type Target = [Item];

    fn deref(&self) -> &[Item] {
        &self.list
    }
}

/// Encoded requests, one behind the other.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
struct Requests {
    bytes: Vec<u8>,
    /// Where each ends, and the place of its item.
    ends: Vec<(u32, u32)>,
}

impl Requests {
    fn new(list: &[Item], operation: Operation, order: impl IntoIterator<Item = usize>) -> Self {
        // A request has less than two hundred octets, and a configuration less than
        // the twenty million items that it takes.
        let short = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        let mut bytes = Vec::new();
        let mut ends = Vec::with_capacity(list.len());
        for place in order {
            encode(&mut bytes, operation, &list[place]);
            ends.push((short(bytes.len()), short(place)));
        }
        bytes.shrink_to_fit();
        Self { bytes, ends }
    }

    /// Each with the place of its item.
    fn iter(&self) -> impl Iterator<Item = (usize, &[u8])> {
        let mut start = 0;
        self.ends.iter().map(move |(end, place)| {
            let request = &self.bytes[start..*end as usize];
            start = *end as usize;
            (*place as usize, request)
        })
    }
}

/// Appends the request that does `operation` to `item`, without a number. It is
/// answered only if it is refused.
pub(super) fn encode(bytes: &mut Vec<u8>, operation: Operation, item: &Item) {
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST;
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

/// Gives the request at the beginning of `bytes` its number.
pub(super) fn number(bytes: &mut [u8], sequence: u32) {
    NetlinkBuffer::new(bytes).set_sequence_number(sequence);
}

/// Has the request at the beginning of `bytes` answered in any case.
pub(super) fn ask_for_answer(bytes: &mut [u8]) {
    let mut buffer = NetlinkBuffer::new(bytes);
    let flags = buffer.flags() | NLM_F_ACK;
    buffer.set_flags(flags);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::host::{Device, Link, MAIN_TABLE, Prefix, Route};

    fn address(device: u32, text: &str) -> Item {
        let (address, len) = text.split_once('/').unwrap();
        Address::new(
            Device::new(device, "eth"),
            address.parse().unwrap(),
            len.parse().unwrap(),
        )
        .into()
    }

    fn route() -> Item {
        Route {
            destination: Prefix {
                address: [0, 0, 0, 0].into(),
                len: 0,
            },
            gateway: None,
            device: None,
            table: MAIN_TABLE,
            metric: None,
            source: None,
        }
        .into()
    }

    #[test]
    fn what_others_need_is_taken_off_after_them() {
        let link = Item::from(Link {
            device: Device::new(2, "own"),
        });
        let list = vec![
            link,
            address(2, "10.0.0.1/24"),
            address(2, "10.0.0.2/24"),
            address(2, "10.1.0.1/24"),
            address(2, "10.0.0.3/24"),
            address(3, "10.0.0.4/24"),
            address(2, "10.0.0.5/16"),
            address(2, "fd00::1/64"),
            address(2, "fd00::2/64"),
            address(2, "10.0.0.6/24"),
            address(2, "10.0.0.7/32"),
            address(2, "10.0.0.8/0"),
            address(2, "11.0.0.9/0"),
            route(),
            route(),
        ];
        let order = removal_order(&list);
        assert_eq!(order, [14, 13, 12, 11, 10, 9, 8, 7, 2, 4, 6, 5, 3, 1, 0]);
        let items = Items::new(list.clone());
        let removed: Vec<&Item> = items
            .requests(Operation::Remove)
            .map(|(item, _)| item)
            .collect();
        let expected: Vec<&Item> = order.iter().map(|place| &list[*place]).collect();
        assert_eq!(removed, expected);
    }

    #[test]
    fn each_request_is_that_of_its_item() {
        let items = Items::new(vec![
            address(2, "10.0.0.1/24"),
            address(2, "fd00::2/128"),
            address(2, "10.0.0.3/24"),
            address(2, "10.0.0.4/24"),
            route(),
        ]);
        for operation in [Operation::Install, Operation::Remove] {
            let mut count = 0;
            for (item, request) in items.requests(operation) {
                let mut alone = Vec::new();
                encode(&mut alone, operation, item);
                assert_eq!(request, alone, "{item}");
                count += 1;
            }
            assert_eq!(count, items.len());
        }
    }
}
