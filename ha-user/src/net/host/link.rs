//! Interfaces that are up while a router is Active.

use std::fmt;

use netlink_packet_route::link::{LinkFlags, LinkMessage};

use super::Device;

/// An interface that is up; down when the item is removed.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Link {
    /// The interface.
    pub device: Device,
}

impl Link {
    pub(super) fn message(&self, up: bool) -> LinkMessage {
        let mut message = LinkMessage::default();
        message.header.index = self.device.index;
        message.header.change_mask = LinkFlags::Up;
        if up {
            message.header.flags = LinkFlags::Up;
        }
        message
    }

    pub(super) fn remedy(code: i32) -> &'static str {
        match code {
            libc::ENODEV => "; the interface is gone",
            libc::EADDRINUSE => {
                "; another interface on the same one has this link-layer address: are there two \
                 virtual routers with one VRID, or one daemon too many?"
            }
            libc::ENETDOWN => "; the interface that it is on is down",
            _ => "",
        }
    }
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "link {} up", self.device)
    }
}
