//! Tells the link who has the virtual addresses: gratuitous ARP for IPv4
//! (RFC 9568 §6.4.2, RFC 5227 §3), unsolicited neighbour advertisements for IPv6
//! (RFC 4861 §7.2.6).

use std::{io, net::IpAddr, os::fd::OwnedFd};

use ha_common::{
    types::MacAddress,
    wire::{arp, nd},
};

use crate::sys;

/// Sends announcements through one interface.
#[derive(Debug)]
pub struct Announcer {
    socket: OwnedFd,
}

/// One frame, built ahead of time: a takeover only sends it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Announcement(Box<[u8]>);

impl Announcement {
    /// Says that `address` is at `mac`. `router` is the R flag of a neighbour
    /// advertisement: whether the host forwards IPv6.
    #[must_use]
    pub fn new(mac: MacAddress, address: IpAddr, router: bool) -> Self {
        match address {
            IpAddr::V4(address) => Self(Box::new(arp::gratuitous(mac, address))),
            IpAddr::V6(address) => Self(Box::new(nd::unsolicited_advertisement(
                mac, address, router,
            ))),
        }
    }
}

impl Announcer {
    /// Opens a packet socket on the interface `ifindex`.
    ///
    /// # Errors
    /// As [`sys::packet_socket`].
    pub fn open(ifindex: u32) -> io::Result<Self> {
        Ok(Self {
            socket: sys::packet_socket(ifindex)?,
        })
    }

    /// Sends every announcement once.
    ///
    /// # Errors
    /// The first failure, after all have been tried.
    pub fn send(&self, announcements: &[Announcement]) -> io::Result<()> {
        let mut result = Ok(());
        for Announcement(frame) in announcements {
            let sent = rustix::net::send(&self.socket, frame, rustix::net::SendFlags::DONTWAIT);
            if let Err(error) = sent
                && result.is_ok()
            {
                result = Err(error.into());
            }
        }
        result
    }
}

/// Whether the host forwards IPv6 on `interface`, by its sysctl; `false` where
/// there is none.
#[must_use]
pub fn forwards_ipv6(interface: &str) -> bool {
    std::fs::read_to_string(format!("/proc/sys/net/ipv6/conf/{interface}/forwarding"))
        .is_ok_and(|text| text.trim() != "0")
}
