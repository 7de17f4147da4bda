//! Opens what an instance works with on its interface.

use std::{
    collections::HashMap,
    io,
    net::IpAddr,
    sync::{Arc, Weak},
    time::Duration,
};

use ha_common::{
    abi,
    types::{AddressFamily, RouterAddress},
};

use super::plan::Plan;
use crate::{
    config::{AddressConfig, InstanceConfig, RouteConfig, RuleConfig, VirtualAddress},
    driver::Attachment,
    net::{
        advert::AdvertSocket,
        announce::{Announcement, Announcer, Question, forwards_ipv6},
        host::{Address, Device, Item, Link, MAIN_TABLE, Prefix, Route, Rule, Scope},
        interface::Interface,
        journal::Inventory,
        macvlan::{self, Macvlan},
    },
};

/// Sockets that instances share where interface and family are the same, closed
/// with the last of them.
pub(super) struct Sockets {
    announce_gap: Duration,
    adverts: HashMap<(u32, IpAddr), Weak<AdvertSocket>>,
    announcers: HashMap<u32, Weak<Announcer>>,
}

impl Sockets {
    /// No sockets yet. Announcement frames on one interface are `announce_gap`
    /// apart.
    pub(super) fn new(announce_gap: Duration) -> Self {
        Self {
            announce_gap,
            adverts: HashMap::new(),
            announcers: HashMap::new(),
        }
    }

    /// Announcement frames on one interface are `announce_gap` apart from now on, where
    /// sockets are opened; those that are open are the driver's.
    pub(super) fn set_gap(&mut self, announce_gap: Duration) {
        self.announce_gap = announce_gap;
    }

    fn advert(
        &mut self,
        config: &InstanceConfig,
        plan: &Plan,
        macvlan: Option<&Macvlan>,
    ) -> io::Result<Arc<AdvertSocket>> {
        let Plan {
            interface, source, ..
        } = plan;
        if let Some(unicast) = &config.unicast {
            return AdvertSocket::unicast(interface, *source, &unicast.peers).map(Arc::new);
        }
        if let Some(macvlan) = macvlan {
            return AdvertSocket::multicast_from(interface, *source, macvlan.mac).map(Arc::new);
        }
        let key = (interface.index, *source);
        if let Some(open) = self.adverts.get(&key).and_then(Weak::upgrade) {
            return Ok(open);
        }
        self.adverts.retain(|_, socket| socket.strong_count() > 0);
        let socket = Arc::new(AdvertSocket::multicast(interface, *source)?);
        self.adverts.insert(key, Arc::downgrade(&socket));
        Ok(socket)
    }

    fn announcer(&mut self, interface: &Interface) -> io::Result<Arc<Announcer>> {
        if let Some(open) = self
            .announcers
            .get(&interface.index)
            .and_then(Weak::upgrade)
        {
            return Ok(open);
        }
        let announcer = Arc::new(Announcer::open(interface.index, self.announce_gap)?);
        self.announcers.retain(|_, it| it.strong_count() > 0);
        self.announcers
            .insert(interface.index, Arc::downgrade(&announcer));
        Ok(announcer)
    }

    /// Everything that the instance works with by `plan`.
    ///
    /// # Errors
    /// What the kernel says; the message names the interface.
    pub(super) fn open(
        &mut self,
        config: &InstanceConfig,
        plan: &Plan,
        macvlan: Option<&Macvlan>,
    ) -> Result<Attachment, (String, io::Error)> {
        let Plan {
            interface, source, ..
        } = plan;
        let failed = |what: &str| {
            let what = format!(
                "opening a {what} socket on {} from {source}",
                interface.name
            );
            move |error| (what, error)
        };
        let socket = self.advert(config, plan, macvlan).map_err(failed("raw"))?;
        let mac = macvlan.map_or(interface.mac, |macvlan| macvlan.mac);
        let mut announcements: Vec<(u32, Arc<Announcer>, Vec<Announcement>)> = Vec::new();
        for address in config.all_addresses() {
            let (through, mac) = match &address.interface {
                Some(name) => match plan.others.iter().find(|other| other.name == *name) {
                    Some(other) => (other, other.mac),
                    // Its own, named: not the one with the virtual MAC address.
                    None => (interface, interface.mac),
                },
                None => (interface, mac),
            };
            let address = address.address.address;
            let router = address.is_ipv6() && forwards_ipv6(&through.name);
            let announcement = Announcement::new(mac, address, router);
            let known = announcements
                .iter_mut()
                .find(|(index, ..)| *index == through.index);
            match known {
                Some((_, _, list)) => list.push(announcement),
                None => {
                    let announcer = self.announcer(through).map_err(failed("packet"))?;
                    announcements.push((through.index, announcer, vec![announcement]));
                }
            }
        }
        // By unicast others may be out of ARP's reach; with a virtual MAC address the
        // switches learn from the advertisements alone where it is.
        let asked = config
            .addresses
            .iter()
            .find(|address| address.interface.is_none())
            .filter(|_| config.unicast.is_none() && macvlan.is_none())
            .and_then(|address| Question::new(mac, *source, address.address.address));
        let question = match asked {
            Some(question) => {
                let announcer = self.announcer(interface).map_err(failed("packet"))?;
                Some((announcer, question))
            }
            None => None,
        };
        Ok(Attachment {
            question,
            interface: interface.clone(),
            source: *source,
            mac,
            socket,
            announcements: announcements
                .into_iter()
                .map(|(_, announcer, list)| (announcer, list))
                .collect(),
            items: items_of(config, plan, macvlan).into(),
            misplaced: plan.misplaced.clone(),
        })
    }
}

/// The name of the interface that the addresses of an instance with a virtual
/// router's link-layer address live on.
pub(super) fn macvlan_name(config: &InstanceConfig, plan: &Plan) -> Option<String> {
    let wanted = config.virtual_mac.as_ref()?;
    Some(wanted.name.clone().unwrap_or_else(|| {
        macvlan::default_name(config.family, config.vrid.value(), plan.interface.index)
    }))
}

/// Adds to `inventory` what the instance may put on the host by `plan`; returns
/// whether some of it was not in there.
pub(super) fn take_stock(config: &InstanceConfig, plan: &Plan, inventory: &mut Inventory) -> bool {
    let mut new = false;
    let home = match macvlan_name(config, plan) {
        None => Device::new(plan.interface.index, &plan.interface.name),
        Some(name) => {
            let home = Device::new(0, &name);
            new |= inventory.macvlans.insert(name);
            home
        }
    };
    for item in items(config, plan, None, &home) {
        new |= inventory.add(&item);
    }
    new
}

/// What is put on the host while the instance is Active.
pub(super) fn items_of(
    config: &InstanceConfig,
    plan: &Plan,
    macvlan: Option<&Macvlan>,
) -> Vec<Item> {
    let interface = &plan.interface;
    let home = macvlan.map_or_else(
        || Device::new(interface.index, &interface.name),
        |macvlan| macvlan.device.clone(),
    );
    items(config, plan, macvlan, &home)
}

/// What is put on the host while the instance is Active, in this order: a route
/// may need an address, a rule a route. Addresses that name no interface live on
/// `home`.
fn items(
    config: &InstanceConfig,
    plan: &Plan,
    macvlan: Option<&Macvlan>,
    home: &Device,
) -> Vec<Item> {
    let link = macvlan.map(|macvlan| {
        Item::from(Link {
            device: macvlan.device.clone(),
        })
    });
    let device = |name: &Option<String>| match name {
        Some(name) => plan.device(name),
        None => None,
    };
    let addresses = config.all_addresses().map(|address| {
        let AddressConfig {
            address:
                VirtualAddress {
                    address: ip,
                    prefix_len,
                },
            interface,
            label,
            scope,
            prefix_route,
        } = address;
        Item::from(Address {
            label: label.clone(),
            scope: match scope {
                crate::config::Scope::Global => Scope::Global,
                crate::config::Scope::Site => Scope::Site,
                crate::config::Scope::Link => Scope::Link,
                crate::config::Scope::Host => Scope::Host,
            },
            prefix_route: *prefix_route,
            ..Address::new(
                device(interface).unwrap_or_else(|| home.clone()),
                *ip,
                *prefix_len,
            )
        })
    });
    let routes = config.routes.iter().map(|route| {
        let RouteConfig {
            destination,
            via,
            interface,
            table,
            metric,
            source,
        } = route;
        Item::from(Route {
            destination: prefix(*destination),
            gateway: *via,
            device: device(interface).or_else(|| via.is_none().then(|| home.clone())),
            table: table.unwrap_or(MAIN_TABLE),
            metric: *metric,
            source: *source,
        })
    });
    let rules = config.rules.iter().map(|rule| {
        let RuleConfig {
            from,
            to,
            table,
            priority,
        } = rule;
        Item::from(Rule {
            from: from.map(prefix),
            to: to.map(prefix),
            table: *table,
            priority: *priority,
        })
    });
    link.into_iter()
        .chain(addresses)
        .chain(routes)
        .chain(rules)
        .collect()
}

fn prefix(network: VirtualAddress) -> Prefix {
    Prefix {
        address: network.address,
        len: network.prefix_len,
    }
}

/// Whether an address of `family` lives where those of the instance do that name no
/// interface: excluded ones may be of another family than the instance.
pub(super) fn is_home_of(config: &InstanceConfig, family: AddressFamily) -> bool {
    config.all_addresses().any(|address| {
        address.interface.is_none() && AddressFamily::of(address.address.address) == family
    })
}

/// The rows of `vips` for an instance: the addresses on its own interface.
pub(super) fn vip_keys(config: &InstanceConfig, ifindex: u32) -> Vec<abi::VipKey> {
    config
        .all_addresses()
        .filter(|address| {
            let named = address.interface.as_ref();
            named.is_none_or(|name| *name == config.interface)
        })
        .map(|address| address.address.address)
        .map(|address| abi::VipKey {
            ifindex,
            family: AddressFamily::of(address).code(),
            reserved: [0; 3],
            address: RouterAddress::from(address).0,
        })
        .collect()
}

/// The rows of `unicast_peers` for an instance.
pub(super) fn peer_keys(config: &InstanceConfig, ifindex: u32) -> Vec<abi::PeerKey> {
    config
        .unicast
        .iter()
        .flat_map(|unicast| &unicast.peers)
        .map(|peer| abi::PeerKey {
            ifindex,
            vrid: config.vrid.value(),
            family: config.family.code(),
            reserved: [0; 2],
            address: RouterAddress::from(*peer).0,
        })
        .collect()
}
