//! What an instance has of its interface, for as long as that is there.

use std::{net::IpAddr, sync::Arc};

use ha_common::{
    abi,
    types::{MacAddress, RouterAddress},
    wire::vrrp,
};

use super::{
    advertise::Packets,
    executor::{authentication, centiseconds, event_gap},
};
use crate::{
    config::InstanceConfig,
    net::{
        advert::AdvertSocket,
        announce::{Announcement, Announcer, Question},
        host::Items,
        interface::Interface,
    },
};

/// What an instance works with on its interface. It is made beside the driver,
/// where waiting does no harm, and handed over complete; the kernel program is
/// attached and the rows of the instance in its maps are written by then, but
/// for the instance itself.
pub struct Attachment {
    /// The interface, as found.
    pub interface: Interface,
    /// The address that advertisements are sent from.
    pub source: IpAddr,
    /// The link-layer address of the virtual addresses.
    pub mac: MacAddress,
    /// Sends the advertisements.
    pub socket: Arc<AdvertSocket>,
    /// What is announced, by the interface that it goes out of.
    pub announcements: Vec<(Arc<Announcer>, Vec<Announcement>)>,
    /// What an Active asks the other routers with each advertisement; see
    /// [`Question`].
    pub question: Option<(Arc<Announcer>, Question)>,
    /// What is put on the host while the instance is Active, in this order.
    pub items: Items,
    /// The addresses of an owner (priority 255) that the host did not have for its
    /// own when this was made; with a virtual MAC address, those that it had.
    pub misplaced: Vec<IpAddr>,
}

/// An [`Attachment`] with all that can be computed ahead of time.
pub(super) struct Attached {
    pub(super) attachment: Attachment,
    pub(super) key: abi::InstanceKey,
    /// What the kernel program is told; state, priority and preemption change.
    pub(super) value: abi::Instance,
    pub(super) advertised: Vec<RouterAddress>,
    pub(super) packets: Packets,
}

impl Attached {
    pub(super) fn new(index: u32, config: &InstanceConfig, attachment: Attachment) -> Self {
        let Attachment {
            interface,
            source,
            mac,
            ..
        } = &attachment;
        let advertised: Vec<RouterAddress> = config
            .addresses
            .iter()
            .map(|address| address.address.address.into())
            .collect();
        let unicast = config.unicast.as_ref();
        let key = abi::InstanceKey {
            ifindex: interface.index,
            vrid: config.vrid.value(),
            family: config.family.code(),
            reserved: [0; 2],
        };
        let (auth_type, auth_data) = authentication(config).wire();
        let value = abi::Instance {
            address_digest: vrrp::digest(advertised.iter().copied()),
            event_gap_ns: event_gap(config.advert_interval),
            index,
            interval_cs: centiseconds(config).0,
            state: abi::STATE_INIT,
            priority: config.priority.0,
            version: config.version.number(),
            preempt: u8::from(config.preempt),
            min_ttl: unicast.map_or(255, |unicast| unicast.min_ttl),
            address_count: u8::try_from(advertised.len()).unwrap_or(u8::MAX),
            auth_type,
            unicast: u8::from(unicast.is_some()),
            any_first_address: u8::from(config.any_first_address),
            reserved: [0; 3],
            own_mac: mac.0,
            own_address: RouterAddress::from(*source).0,
            auth_data,
        };
        let mut attached = Self {
            attachment,
            key,
            value,
            advertised,
            packets: Packets::default(),
        };
        // What cannot be built is told when it is to be sent.
        let _ = attached.build(config, config.priority);
        attached
    }
}
