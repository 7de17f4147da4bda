//! Tells the link who has the virtual addresses: gratuitous ARP for IPv4
//! (RFC 9568 §6.4.2, RFC 5227 §3), unsolicited neighbour advertisements for IPv6
//! (RFC 4861 §7.2.6).

use std::{
    collections::VecDeque,
    io,
    net::IpAddr,
    os::fd::{AsFd, OwnedFd},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use ha_common::{
    time::Timestamp,
    types::MacAddress,
    wire::{arp, nd},
};

use super::batch::{self, Message};
use crate::sys;

/// Sends announcements through one interface, not closer together than a gap.
#[derive(Debug)]
pub struct Announcer {
    socket: OwnedFd,
    /// Shared by the instances on the interface, all on the driver's thread.
    queue: Mutex<Queue>,
}

/// One frame, built ahead of time: a takeover only sends it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Announcement {
    address: IpAddr,
    frame: Box<[u8]>,
}

impl Announcement {
    /// Says that `address` is at `mac`. `router` is the R flag of a neighbour
    /// advertisement: whether the host forwards IPv6.
    #[must_use]
    pub fn new(mac: MacAddress, address: IpAddr, router: bool) -> Self {
        let frame: Box<[u8]> = match address {
            IpAddr::V4(address) => Box::new(arp::gratuitous(mac, address)),
            IpAddr::V6(address) => Box::new(nd::unsolicited_advertisement(mac, address, router)),
        };
        Self { address, frame }
    }

    /// The address that it is about.
    #[must_use]
    pub fn address(&self) -> IpAddr {
        self.address
    }
}

/// Asks the other routers whether one of them has an address: built ahead of
/// time too.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Question(Box<[u8]>);

impl Question {
    /// Asks for `address`, from `mac` and, for IPv6, `source`. `None` if the two are
    /// not of one family.
    #[must_use]
    pub fn new(mac: MacAddress, source: IpAddr, address: IpAddr) -> Option<Self> {
        Some(match (source, address) {
            (IpAddr::V4(_), IpAddr::V4(address)) => Self(Box::new(arp::probe(mac, address))),
            (IpAddr::V6(source), IpAddr::V6(address)) => {
                Self(Box::new(nd::solicitation(mac, source, address)))
            }
            _ => return None,
        })
    }
}

impl Announcer {
    /// Sends `question`, past the queue.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn ask(&self, question: &Question) -> io::Result<()> {
        self.transmit(&question.0)
    }

    /// Opens a packet socket on the interface `ifindex`. Two frames are at least
    /// `gap` apart; zero for no limit.
    ///
    /// # Errors
    /// As [`sys::packet_socket`].
    pub fn open(ifindex: u32, gap: Duration) -> io::Result<Self> {
        Ok(Self {
            socket: sys::packet_socket(ifindex)?,
            queue: Mutex::new(Queue {
                gap,
                next_at: None,
                waiting: VecDeque::new(),
            }),
        })
    }

    /// Two frames are at least `gap` apart from now on.
    pub fn set_gap(&self, gap: Duration) {
        self.queue().gap = gap;
    }

    /// Sends every announcement once: at once without a gap, else the first at
    /// once and the others from [`handle_timeout`](Self::handle_timeout). One for an
    /// address that is still waiting takes the place of the older one. What cannot be
    /// sent is passed to `failed`, by what stands beside it.
    pub fn send<'a, T: Copy>(
        &self,
        now: Timestamp,
        announcements: impl IntoIterator<Item = (T, &'a Announcement)>,
        mut failed: impl FnMut(T, io::Error),
    ) {
        let mut queue = self.queue();
        if queue.gap.is_zero() {
            let messages = announcements.into_iter().map(|(beside, announcement)| {
                let bytes = &announcement.frame;
                (beside, Message { bytes, to: None })
            });
            batch::send(self.socket.as_fd(), messages, |beside, error| {
                failed(beside, error.into());
            });
            return;
        }
        let mut last = None;
        for (beside, announcement) in announcements {
            queue.push(announcement.clone());
            last = Some(beside);
        }
        if let (Err(error), Some(beside)) = (self.flush(&mut queue, now), last) {
            failed(beside, error);
        }
    }

    /// When the next waiting announcement is due.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        self.queue().poll_timeout()
    }

    /// Sends what is due.
    ///
    /// # Errors
    /// The first failure, after all that are due have been tried.
    pub fn handle_timeout(&self, now: Timestamp) -> io::Result<()> {
        self.flush(&mut self.queue(), now)
    }

    /// Drops what is still waiting of `announcements`: the addresses are not ours
    /// any more.
    pub fn cancel(&self, announcements: &[Announcement]) {
        self.queue().waiting.retain(|waiting| {
            announcements
                .iter()
                .all(|cancelled| cancelled.address != waiting.address)
        });
    }

    fn flush(&self, queue: &mut Queue, now: Timestamp) -> io::Result<()> {
        let mut result = Ok(());
        while let Some(announcement) = queue.pop_due(now) {
            result = result.and(self.transmit(&announcement.frame));
        }
        result
    }

    fn transmit(&self, frame: &[u8]) -> io::Result<()> {
        rustix::net::send(&self.socket, frame, rustix::net::SendFlags::DONTWAIT)?;
        Ok(())
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        // Each change to the queue is a single step: a panic leaves it whole.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What waits for its turn; pure.
#[derive(Debug)]
struct Queue {
    gap: Duration,
    /// Since the last frame the gap has not passed before this.
    next_at: Option<Timestamp>,
    waiting: VecDeque<Announcement>,
}

impl Queue {
    fn push(&mut self, announcement: Announcement) {
        let older = self
            .waiting
            .iter_mut()
            .find(|waiting| waiting.address == announcement.address);
        match older {
            Some(older) => *older = announcement,
            None => self.waiting.push_back(announcement),
        }
    }

    fn poll_timeout(&self) -> Option<Timestamp> {
        self.waiting
            .front()
            .map(|_| self.next_at.unwrap_or(Timestamp::from_nanos(0)))
    }

    /// The next frame that is due at `now`. What a stall has missed is not made up
    /// for in a burst.
    fn pop_due(&mut self, now: Timestamp) -> Option<Announcement> {
        if self.next_at.is_some_and(|at| now < at) {
            return None;
        }
        let announcement = self.waiting.pop_front()?;
        self.next_at = Some(now + self.gap);
        Some(announcement)
    }
}

/// Whether the host forwards IPv6 on `interface`, by its sysctl; `false` where
/// there is none.
#[must_use]
pub fn forwards_ipv6(interface: &str) -> bool {
    std::fs::read_to_string(format!("/proc/sys/net/ipv6/conf/{interface}/forwarding"))
        .is_ok_and(|text| text.trim() != "0")
}

#[cfg(test)]
mod tests {
    use super::*;

    const GAP: Duration = Duration::from_millis(10);

    fn at(milliseconds: u64) -> Timestamp {
        Timestamp::from_nanos(milliseconds * 1_000_000)
    }

    fn announcement(last: u8, address: u8) -> Announcement {
        let mac = MacAddress([0, 0, 0x5e, 0, 1, last]);
        Announcement::new(mac, IpAddr::from([10, 0, 0, address]), false)
    }

    fn queue() -> Queue {
        Queue {
            gap: GAP,
            next_at: None,
            waiting: VecDeque::new(),
        }
    }

    #[test]
    fn frames_keep_their_distance_and_the_first_goes_at_once() {
        let mut queue = queue();
        assert_eq!(queue.poll_timeout(), None);
        for address in 1..=3 {
            queue.push(announcement(1, address));
        }
        assert!(queue.poll_timeout().unwrap() <= at(100));
        assert_eq!(queue.pop_due(at(100)), Some(announcement(1, 1)));
        assert_eq!(queue.pop_due(at(100)), None);
        assert_eq!(queue.poll_timeout(), Some(at(110)));
        assert_eq!(queue.pop_due(at(109)), None);
        // A stall of several gaps still yields one frame.
        assert_eq!(queue.pop_due(at(150)), Some(announcement(1, 2)));
        assert_eq!(queue.pop_due(at(150)), None);
        assert_eq!(queue.pop_due(at(160)), Some(announcement(1, 3)));
        assert_eq!(queue.poll_timeout(), None);
        // The gap holds from one round to the next too.
        queue.push(announcement(1, 1));
        assert_eq!(queue.pop_due(at(161)), None);
        assert_eq!(queue.poll_timeout(), Some(at(170)));
    }

    #[test]
    fn a_new_round_replaces_what_still_waits() {
        let mut queue = queue();
        for round in 1..=5 {
            for address in 1..=3 {
                queue.push(announcement(round, address));
            }
        }
        assert_eq!(queue.waiting.len(), 3);
        assert_eq!(queue.pop_due(at(0)), Some(announcement(5, 1)), "the newest");
        assert_eq!(queue.pop_due(at(10)), Some(announcement(5, 2)));
    }
}
