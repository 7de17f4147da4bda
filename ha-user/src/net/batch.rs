//! Many messages through one socket by few system calls: `sendmmsg(2)`.
//!
//! Messages that leave together cost the sender and the receivers a fraction of
//! what they cost one by one. All that a batch needs is on the stack: sending
//! allocates nothing.

use std::{io::IoSlice, os::fd::BorrowedFd};

pub use rustix::net::SocketAddrAny;
use rustix::{
    io::Errno,
    net::{MMsgHdr, SendAncillaryBuffer, SendFlags, sendmmsg},
};

/// Messages that the kernel is handed at once.
pub const AT_ONCE: usize = 32;

/// One message.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    /// What is sent.
    pub bytes: &'a [u8],
    /// Where to; `None` where the socket knows.
    pub to: Option<&'a SocketAddrAny>,
}

/// Sends `messages` in this order, without waiting for room in a queue. One that the
/// kernel refuses is passed to `failed`, by what stands beside it; those behind it
/// are sent all the same.
pub fn send<'a, T: Copy>(
    socket: BorrowedFd<'_>,
    messages: impl IntoIterator<Item = (T, Message<'a>)>,
    mut failed: impl FnMut(T, Errno),
) {
    let mut messages = messages.into_iter();
    loop {
        let mut batch = [None; AT_ONCE];
        let mut count = 0;
        for (place, message) in batch.iter_mut().zip(&mut messages) {
            *place = Some(message);
            count += 1;
        }
        if count > 0 {
            send_batch(socket, &batch, count, &mut failed);
        }
        if count < AT_ONCE {
            return;
        }
    }
}

/// Sends the first `count` of `batch`.
fn send_batch<T: Copy>(
    socket: BorrowedFd<'_>,
    batch: &[Option<(T, Message<'_>)>; AT_ONCE],
    count: usize,
    failed: &mut impl FnMut(T, Errno),
) {
    let slices = batch.map(|place| {
        let bytes = place.map_or(&[][..], |(_, message)| message.bytes);
        [IoSlice::new(bytes)]
    });
    let mut controls: [SendAncillaryBuffer<'_, '_, '_>; AT_ONCE] =
        std::array::from_fn(|_| SendAncillaryBuffer::default());
    let mut place = 0;
    let mut headers = controls.each_mut().map(|control| {
        let to = batch[place].and_then(|(_, message)| message.to);
        let slice = &slices[place];
        place += 1;
        match to {
            Some(address) => MMsgHdr::new_with_addr(address, slice, control),
            None => MMsgHdr::new(slice, control),
        }
    });
    let mut sent = 0;
    while sent < count {
        match sendmmsg(socket, &mut headers[sent..count], SendFlags::DONTWAIT) {
            // It stops at the first that is refused, and says why when that is the
            // first of a call.
            Ok(more) if more > 0 => sent += more,
            Err(Errno::INTR) => {}
            refused => {
                let error = refused.err().unwrap_or(Errno::IO);
                if let Some((beside, _)) = batch[sent] {
                    failed(beside, error);
                }
                sent += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::{AsFd, OwnedFd};

    use rustix::net::{
        AddressFamily, RecvFlags, SocketAddrUnix, SocketFlags, SocketType, recv, socketpair,
    };

    use super::*;

    fn pair(kind: SocketType) -> (OwnedFd, OwnedFd) {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        socketpair(AddressFamily::UNIX, kind, flags, None).unwrap()
    }

    fn received(socket: &impl AsFd) -> Vec<Vec<u8>> {
        let mut all = Vec::new();
        let mut buffer = [0; 64];
        while let Ok((length, _)) = recv(socket, &mut buffer[..], RecvFlags::empty()) {
            all.push(buffer[..length].to_vec());
        }
        all
    }

    #[test]
    fn all_arrive_in_order_however_many() {
        for count in [0, 1, AT_ONCE - 1, AT_ONCE, AT_ONCE + 1, 3 * AT_ONCE] {
            let (near, far) = pair(SocketType::SEQPACKET);
            let messages: Vec<[u8; 8]> = (0..count).map(usize::to_be_bytes).collect();
            let outgoing = messages
                .iter()
                .map(|bytes| ((), Message { bytes, to: None }));
            send(near.as_fd(), outgoing, |(), error| panic!("{error}"));
            assert_eq!(received(&far), messages);
        }
    }

    #[test]
    fn one_that_is_refused_holds_up_none_behind_it() {
        let (near, far) = pair(SocketType::DGRAM);
        let nowhere: SocketAddrAny = SocketAddrUnix::new("/nonexistent/socket").unwrap().into();
        let messages: Vec<[u8; 1]> = (0..8).map(|n| [n]).collect();
        let mut failed = Vec::new();
        send(
            near.as_fd(),
            messages.iter().map(|bytes| {
                let to = [0, 3, 4, 7].contains(&bytes[0]).then_some(&nowhere);
                (bytes[0], Message { bytes, to })
            }),
            |which, error| failed.push((which, error)),
        );
        let refused: Vec<u8> = failed.iter().map(|(which, _)| *which).collect();
        assert_eq!(refused, [0, 3, 4, 7], "{failed:?}");
        assert_eq!(received(&far), [[1], [2], [5], [6]]);
    }
}
