//! Sends advertisements: those of one turn in one go, and a question with them.

use std::{io, os::fd::AsFd, sync::Arc, time::Duration};

use ha_common::{
    abi,
    fsm::Action,
    time::Timestamp,
    types::Priority,
    wire::vrrp::{self, EncodeError, Outgoing},
};
use rustix::io::Errno;

use super::{
    Driver,
    attachment::Attached,
    executor::{Executor, authentication, centiseconds},
};
use crate::{
    config::InstanceConfig,
    engine::InstanceId,
    net::{
        advert::{AdvertSocket, Destination, Packet},
        batch::{self, Message},
    },
};

/// Octets in the longest advertisement that fits an Ethernet frame.
const MESSAGE_BYTES: usize = 1500;

/// Who advertises no more often than this asks with each advertisement: it costs
/// nothing then.
const SELDOM: Duration = Duration::from_secs(1);

/// An answer to a question comes within this time, if it comes.
const ANSWERED_WITHIN: Duration = Duration::from_millis(100);

/// The advertisements of an instance as they are sent, one per destination. They
/// are built for the priority in effect and built anew when that changes.
#[derive(Debug, Default)]
pub(super) struct Packets {
    list: Vec<Packet>,
    priority: Option<Priority>,
}

/// What an instance has asked, and by whom others have asked for it.
#[derive(Debug, Default)]
pub(super) struct Asking {
    /// The last send that it asked in itself.
    asked: u64,
    asked_at: Option<Timestamp>,
    /// The last send with a question, its own or another's.
    covered: u64,
}

/// The advertisements of one turn. It keeps its room from turn to turn.
#[derive(Debug, Default)]
pub(super) struct Adverts {
    /// With the socket, by its place in memory, and the place in the order.
    waiting: Vec<(usize, usize, InstanceId)>,
    /// Which could not be sent, by the place of the destination.
    refused: Vec<(InstanceId, usize, Errno)>,
    /// How often something was sent.
    sends: u64,
}

impl Driver {
    /// Sends the advertisements in `actions`, in this order on each socket.
    pub(super) fn advertise(&mut self, now: Timestamp, actions: &[(InstanceId, Action)]) {
        for (id, action) in actions {
            let Action::SendAdvert { priority } = *action else {
                continue;
            };
            // One with another priority waits still: it must not change any more.
            if self.executors[*id].advert_waits && !self.executors[*id].has_packets(priority) {
                self.send_waiting(now);
            }
            let executor = &mut self.executors[*id];
            if let Some(socket) = executor.prepare(priority) {
                executor.advert_waits = true;
                let waiting = &mut self.adverts.waiting;
                waiting.push((socket, waiting.len(), *id));
            }
        }
        self.send_waiting(now);
    }

    fn send_waiting(&mut self, now: Timestamp) {
        let mut waiting = std::mem::take(&mut self.adverts.waiting);
        if !waiting.is_sorted() {
            waiting.sort_unstable();
        }
        for same_socket in waiting.chunk_by(|one, other| one.0 == other.0) {
            self.adverts.sends += 1;
            self.ask(now, same_socket);
            self.send_through_one(same_socket);
        }
        waiting.clear();
        self.adverts.waiting = waiting;
    }

    fn send_through_one(&mut self, waiting: &[(usize, usize, InstanceId)]) {
        let refused = &mut self.adverts.refused;
        refused.clear();
        let executors = &self.executors;
        let Some(attached) = waiting
            .first()
            .and_then(|(.., id)| executors[*id].attached.as_ref())
        else {
            return;
        };
        let messages = waiting.iter().flat_map(|(.., id)| {
            let messages = executors[*id].messages().enumerate();
            messages.map(|(place, message)| ((*id, place), message))
        });
        batch::send(
            attached.attachment.socket.as_fd(),
            messages,
            |(id, place), error| refused.push((id, place, error)),
        );
        for (.., id) in waiting {
            let executor = &mut self.executors[*id];
            executor.advert_waits = false;
            let mut refused = self.adverts.refused.iter();
            let own = refused.rfind(|(other, ..)| other == id);
            executor.tell_sent(own.map(|(_, place, error)| (*place, *error)));
        }
    }

    /// Another Active that is about to hear us yields in silence if it is not a
    /// Harrier, and clients that it had stay with it. So it is asked for an address
    /// before: its kernel answers, and the answer makes us announce the addresses
    /// again. Where many advertise together one is asked for, each in turn: whoever
    /// comes back from the other side of a partition was Active for more than one.
    fn ask(&mut self, now: Timestamp, waiting: &[(usize, usize, InstanceId)]) {
        let send = self.adverts.sends;
        let mut longest_ago: Option<(u64, InstanceId)> = None;
        for (.., id) in waiting {
            let executor = &mut self.executors[*id];
            if !executor.asks() {
                continue;
            }
            executor.asking.covered = send;
            if executor.config.advert_interval >= SELDOM {
                executor.ask(now, send);
            } else if longest_ago.is_none_or(|(asked, _)| executor.asking.asked < asked) {
                longest_ago = Some((executor.asking.asked, *id));
            }
        }
        if let Some((_, id)) = longest_ago {
            self.executors[id].ask(now, send);
        }
    }

    /// Somebody else claims an address of `id`. If that is the answer to a question,
    /// it is one for all those that it was asked for.
    pub(super) fn take_answer(&mut self, now: Timestamp, id: InstanceId) {
        self.engine.handle_claim(now, id);
        let executor = &mut self.executors[id];
        let is_answer = executor
            .asking
            .asked_at
            .take_if(|at| now.since(*at) <= ANSWERED_WITHIN);
        if is_answer.is_none() {
            return;
        }
        let (covered, socket) = (executor.asking.covered, executor.socket());
        for (other, executor) in self.executors.iter() {
            if other != id && executor.asking.covered == covered && executor.socket() == socket {
                self.engine.handle_claim(now, other);
            }
        }
    }
}

impl Executor {
    /// Which socket it advertises through: those with the same number share one.
    fn socket(&self) -> Option<usize> {
        let attached = self.attached.as_ref()?;
        Some(Arc::as_ptr(&attached.attachment.socket).addr())
    }

    fn has_packets(&self, priority: Priority) -> bool {
        let attached = self.attached.as_ref();
        attached.is_some_and(|attached| attached.packets.priority == Some(priority))
    }

    /// Has advertisements of `priority` ready; returns [`Self::socket`], if they can
    /// be sent.
    fn prepare(&mut self, priority: Priority) -> Option<usize> {
        let attached = self.attached.as_mut()?;
        if let Err((place, error)) = attached.build(&self.config, priority) {
            self.tell_send_failure(place, &error);
            return None;
        }
        self.socket()
    }

    fn messages(&self) -> impl Iterator<Item = Message<'_>> {
        self.attached.iter().flat_map(|attached| {
            let socket: &AdvertSocket = &attached.attachment.socket;
            let packets = attached.packets.list.iter().zip(socket.destinations());
            packets.map(|(packet, destination)| socket.message(packet, destination))
        })
    }

    /// Whether its next advertisement comes with a question.
    fn asks(&self) -> bool {
        self.attached.as_ref().is_some_and(|attached| {
            attached.value.state == abi::STATE_ACTIVE
                && attached.packets.priority != Some(Priority::RELEASE)
                && attached.attachment.question.is_some()
        })
    }

    fn ask(&mut self, now: Timestamp, send: u64) {
        let question = |attached: &Attached| {
            if let Some((announcer, question)) = &attached.attachment.question {
                // A failure shows with the advertisement too.
                let _ = announcer.ask(question);
            }
        };
        self.attached.iter().for_each(question);
        self.asking.asked = send;
        self.asking.asked_at = Some(now);
    }

    /// An advertisement was sent, but for the destination at that place. A failure is
    /// told once, until all succeed: the link's state decides over the instance, not a
    /// full queue.
    fn tell_sent(&mut self, refused: Option<(usize, Errno)>) {
        match refused {
            None => self.told.send_failure = false,
            Some((place, error)) => self.tell_send_failure(place, &error.into()),
        }
    }

    fn tell_send_failure(&mut self, place: usize, error: &io::Error) {
        let Some(attached) = &self.attached else {
            return;
        };
        if std::mem::replace(&mut self.told.send_failure, true) {
            return;
        }
        let destination = attached.attachment.socket.destinations().get(place);
        tracing::warn!(
            instance = self.config.name,
            interface = self.config.interface,
            destination = destination.map(|it| tracing::field::display(it.address)),
            %error,
            "cannot send advertisements"
        );
    }
}

impl Attached {
    /// Builds the advertisements, if they are not those of `priority` already. A
    /// failure comes with the place of its destination.
    pub(super) fn build(
        &mut self,
        config: &InstanceConfig,
        priority: Priority,
    ) -> Result<(), (usize, io::Error)> {
        if self.packets.priority == Some(priority) {
            return Ok(());
        }
        // What is half built is of no priority.
        self.packets.priority = None;
        let socket = Arc::clone(&self.attachment.socket);
        for (place, destination) in socket.destinations().iter().enumerate() {
            self.build_one(config, priority, &socket, (place, destination))
                .map_err(|error| (place, error))?;
        }
        self.packets.priority = Some(priority);
        Ok(())
    }

    fn build_one(
        &mut self,
        config: &InstanceConfig,
        priority: Priority,
        socket: &AdvertSocket,
        (place, destination): (usize, &Destination),
    ) -> io::Result<()> {
        let encode = |buffer: &mut [u8]| -> Result<usize, EncodeError> {
            let message = Outgoing {
                version: config.version,
                family: config.family,
                vrid: config.vrid,
                priority,
                interval: centiseconds(config),
                addresses: &self.advertised,
                source: self.attachment.source.into(),
                destination: destination.address.into(),
                checksum: config.checksum,
                auth: authentication(config),
            };
            if config.any_first_address {
                vrrp::encode_any(&message, buffer)
            } else {
                vrrp::encode(&message, buffer)
            }
        };
        // The priority changes its value, not the length.
        if let Some(packet) = self.packets.list.get_mut(place) {
            encode(packet.message_mut()).map_err(io::Error::other)?;
            return Ok(());
        }
        let mut buffer = [0; MESSAGE_BYTES];
        let length = encode(&mut buffer).map_err(io::Error::other)?;
        self.packets.list.push(socket.packet(&buffer[..length])?);
        Ok(())
    }
}
