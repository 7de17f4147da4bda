//! Carries out one virtual router's actions, and tells of them.

use std::{
    io,
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use ha_common::{
    abi,
    fsm::{Advert, Parameters, Reason, StateKind},
    types::{Centiseconds, MacAddress, Priority, RouterAddress},
    wire::vrrp::{self, Authentication, Outgoing},
};

use crate::{
    config::{AddressConfig, InstanceConfig, VirtualAddress},
    kernel::{Instances, UnicastPeers, Vips},
    net::{
        address::{AddressError, AddressTable},
        advert::{AdvertSocket, Destination},
        announce::{Announcement, Announcer},
        interface::Interface,
    },
};

/// Least span between two log lines that traffic can cause, per instance and kind.
const LOG_GAP: Duration = Duration::from_secs(1);

/// Octets in the longest advertisement that fits an Ethernet frame.
const MESSAGE_BYTES: usize = 1500;

/// An action that could not be carried out.
#[derive(Debug, thiserror::Error)]
pub enum ExecutorError {
    /// Netlink failed as a whole.
    #[error("asking the kernel to change addresses: {0}")]
    Netlink(#[from] io::Error),
    /// One address was refused.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// The kernel program was not told of the new state.
    #[error("the kernel program cannot be told of the new state")]
    Publish,
}

/// See the [module](self).
pub struct Executor {
    config: InstanceConfig,
    interface: Interface,
    source: IpAddr,
    key: abi::InstanceKey,
    value: abi::Instance,
    advertised: Vec<RouterAddress>,
    announcements: Vec<Announcement>,
    socket: Arc<AdvertSocket>,
    announcer: Arc<Announcer>,
    instances: Arc<Instances>,
    vips: Arc<Vips>,
    told_send_failure: bool,
    told_claim: Option<Instant>,
    told_changed: Option<Instant>,
    /// Whether the interface can be used.
    pub(super) link_up: bool,
    /// `last_seen_ns` of the kernel's record when it was last read.
    pub(super) looked_at_ns: u64,
}

/// What an [`Executor`] works with, opened before it.
pub struct Tools {
    /// Sends advertisements through the instance's interface and family.
    pub socket: Arc<AdvertSocket>,
    /// Sends announcements through the instance's interface.
    pub announcer: Arc<Announcer>,
    /// The kernel's map of instances.
    pub instances: Arc<Instances>,
    /// The kernel's map of watched addresses.
    pub vips: Arc<Vips>,
}

impl Executor {
    /// An executor for the instance with slot `index`, which sends from `source`
    /// on `interface`. `router` is the R flag of its neighbour advertisements.
    #[must_use]
    pub fn new(
        index: u32,
        config: InstanceConfig,
        interface: Interface,
        source: IpAddr,
        router: bool,
        tools: Tools,
    ) -> Self {
        let advertised: Vec<RouterAddress> = config
            .addresses
            .iter()
            .map(|address| address.address.address.into())
            .collect();
        let announcements = config
            .addresses
            .iter()
            .map(|address| Announcement::new(interface.mac, address.address.address, router))
            .collect();
        let key = abi::InstanceKey {
            ifindex: interface.index,
            vrid: config.vrid.value(),
            family: config.family.code(),
            reserved: [0; 2],
        };
        let value = abi::Instance {
            address_digest: vrrp::digest(advertised.iter().copied()),
            event_gap_ns: event_gap(config.advert_interval),
            index,
            interval_cs: centiseconds(&config).0,
            state: abi::STATE_INIT,
            priority: config.priority.0,
            version: config.version.number(),
            preempt: u8::from(config.preempt),
            min_ttl: config
                .unicast
                .as_ref()
                .map_or(255, |unicast| unicast.min_ttl),
            address_count: u8::try_from(advertised.len()).unwrap_or(u8::MAX),
            auth_type: authentication(&config).wire().0,
            unicast: u8::from(config.unicast.is_some()),
            reserved: [0; 4],
            own_mac: interface.mac.0,
            own_address: RouterAddress::from(source).0,
            auth_data: authentication(&config).wire().1,
        };
        Self {
            link_up: interface.up,
            config,
            interface,
            source,
            key,
            value,
            advertised,
            announcements,
            socket: tools.socket,
            announcer: tools.announcer,
            instances: tools.instances,
            vips: tools.vips,
            told_send_failure: false,
            told_claim: None,
            told_changed: None,
            looked_at_ns: 0,
        }
    }

    /// What the state machine is to know.
    #[must_use]
    pub fn parameters(&self) -> Parameters {
        Parameters {
            version: self.config.version,
            priority: self.config.priority,
            address: self.source.into(),
            preempt: self.config.preempt,
            advertisement_interval: self.config.advert_interval,
        }
    }

    /// The instance's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.config.name
    }

    /// The interface that the instance takes part on.
    #[must_use]
    pub fn ifindex(&self) -> u32 {
        self.interface.index
    }

    /// Sends one advertisement, to each peer where it goes by unicast. A failure
    /// is told once, until all succeed: the link's state decides over the
    /// instance, not a full queue.
    pub(super) fn send_advert(&mut self, priority: Priority) {
        let mut failure = None;
        for destination in self.socket.destinations() {
            if let Err(error) = self.send_advert_to(priority, destination) {
                failure = Some((destination.address, error));
            }
        }
        match failure {
            None => self.told_send_failure = false,
            Some((destination, error)) if !self.told_send_failure => {
                self.told_send_failure = true;
                tracing::warn!(
                    instance = self.config.name,
                    interface = self.interface.name,
                    %destination,
                    %error,
                    "cannot send advertisements"
                );
            }
            Some(_) => {}
        }
    }

    fn send_advert_to(&self, priority: Priority, destination: &Destination) -> io::Result<()> {
        let message = Outgoing {
            version: self.config.version,
            family: self.config.family,
            vrid: self.config.vrid,
            priority,
            interval: centiseconds(&self.config),
            addresses: &self.advertised,
            source: self.source.into(),
            destination: destination.address.into(),
            checksum: self.config.checksum,
            auth: authentication(&self.config),
        };
        // Encoded anew each time: what is sent cannot be older than what is decided.
        let mut buffer = [0; MESSAGE_BYTES];
        let length = vrrp::encode(&message, &mut buffer).map_err(io::Error::other)?;
        self.socket.send(&buffer[..length], destination)
    }

    pub(super) fn install(&mut self, table: &mut AddressTable) -> Result<(), ExecutorError> {
        let mut failures = Vec::new();
        table.install(self.interface.index, &self.addresses(), &mut failures)?;
        self.judge(failures)
    }

    pub(super) fn remove(&mut self, table: &mut AddressTable) -> Result<(), ExecutorError> {
        let mut failures = Vec::new();
        table.remove(self.interface.index, &self.addresses(), &mut failures)?;
        table.collect(&mut failures)?;
        self.judge(failures)
    }

    /// Waits for the kernel's word on all that was asked of it.
    pub(super) fn confirm(&mut self, table: &mut AddressTable) -> Result<(), ExecutorError> {
        let mut failures = Vec::new();
        table.collect(&mut failures)?;
        self.judge(failures)
    }

    pub(super) fn announce(&mut self) {
        if let Err(error) = self.announcer.send(&self.announcements) {
            tracing::warn!(
                instance = self.config.name,
                interface = self.interface.name,
                %error,
                "cannot announce the virtual addresses"
            );
        }
    }

    /// Tells the kernel program of the state; `false` if it could not be told.
    pub(super) fn publish(&mut self, state: StateKind) -> bool {
        self.value.state = state.code();
        match self.instances.publish(&self.key, &self.value) {
            Ok(()) => true,
            Err(error) => {
                tracing::error!(instance = self.config.name, %error, "writing a kernel map");
                false
            }
        }
    }

    /// Lets the kernel watch for claims of the instance's addresses.
    ///
    /// # Errors
    /// If the map cannot be written.
    pub fn watch(&self) -> Result<(), crate::kernel::MapError> {
        let vip = abi::Vip {
            vrid: self.key.vrid,
            family: self.key.family,
            reserved: [0; 2],
        };
        for key in self.vip_keys() {
            self.vips.watch(&key, &vip)?;
        }
        Ok(())
    }

    /// Has the kernel program take advertisements from the unicast peers.
    ///
    /// # Errors
    /// If the map cannot be written.
    pub fn list_peers(&self, peers: &UnicastPeers) -> Result<(), crate::kernel::MapError> {
        let listed = self
            .config
            .unicast
            .iter()
            .flat_map(|unicast| &unicast.peers);
        for peer in listed {
            peers.list(&abi::PeerKey {
                ifindex: self.key.ifindex,
                vrid: self.key.vrid,
                family: self.key.family,
                reserved: [0; 2],
                address: RouterAddress::from(*peer).0,
            })?;
        }
        Ok(())
    }

    /// Makes the kernel program forget the instance.
    pub(super) fn withdraw(&mut self) {
        // The program is about to be detached; what stays in a map goes with it.
        let _ = self.instances.withdraw(&self.key);
        for key in self.vip_keys() {
            let _ = self.vips.unwatch(&key);
        }
    }

    fn addresses(&self) -> Vec<VirtualAddress> {
        let bare = |config: &AddressConfig| config.address;
        self.config.addresses.iter().map(bare).collect()
    }

    fn vip_keys(&self) -> impl Iterator<Item = abi::VipKey> {
        let ifindex = self.interface.index;
        self.config
            .addresses
            .iter()
            .map(move |config| config.address.address)
            .map(move |address| abi::VipKey {
                ifindex,
                family: if address.is_ipv4() { 4 } else { 6 },
                reserved: [0; 3],
                address: RouterAddress::from(address).0,
            })
    }

    pub(super) fn tell_transition(&self, from: StateKind, to: StateKind, reason: Reason) {
        tracing::info!(
            instance = self.config.name,
            interface = self.interface.name,
            vrid = self.config.vrid.value(),
            "{from} -> {to}: {}",
            reason.describe(self.config.family)
        );
    }

    pub(super) fn tell_no_link(&self) {
        tracing::warn!(
            instance = self.config.name,
            interface = self.interface.name,
            "the interface is down or has no carrier: the instance waits for it"
        );
    }

    /// The advertisement that holds us back has another source, priority or
    /// interval than the one before.
    pub(super) fn tell_changed(&mut self, advert: &Advert) {
        if !due(&mut self.told_changed) {
            return;
        }
        let address = advert.source.to_ip(self.config.family);
        if advert.interval == self.config.advert_interval {
            tracing::info!(
                instance = self.config.name,
                "the Active router is {address}, priority {}",
                advert.priority
            );
        } else {
            tracing::warn!(
                instance = self.config.name,
                "the Active router is {address}, priority {}; it advertises every {:?} where we \
                 are configured for {:?}; its interval is used",
                advert.priority,
                advert.interval,
                self.config.advert_interval
            );
        }
    }

    /// A stranger claims one of our addresses while we are Active.
    pub(super) fn tell_claim(
        &mut self,
        address: RouterAddress,
        mac: MacAddress,
        event: &abi::Event,
    ) {
        if due(&mut self.told_claim) {
            let address = address.to_ip(super::family(event.family));
            tracing::warn!(
                instance = self.config.name,
                interface = self.interface.name,
                "{mac} claims {address}, which is ours while we are Active: another host has \
                 that address configured, or a second Active does not hear us"
            );
        }
    }

    /// Refusals as an error, but for addresses that were there before.
    fn judge(&self, failures: Vec<AddressError>) -> Result<(), ExecutorError> {
        let mut worst = Ok(());
        for failure in failures {
            if failure.install && failure.source.raw_os_error() == Some(libc::EEXIST) {
                if self.config.priority == Priority::OWNER {
                    // The owner has the address for its own.
                    continue;
                }
                tracing::warn!(
                    instance = self.config.name,
                    interface = self.interface.name,
                    address = %failure.address,
                    "the address was there before; it stays where it is when this node is not \
                     Active, which gives two nodes with one address: remove it from the interface"
                );
            } else {
                worst = Err(failure.into());
            }
        }
        worst
    }
}

/// Whether something may be told again, if it was last told at `told`.
fn due(told: &mut Option<Instant>) -> bool {
    let now = Instant::now();
    let due = told.is_none_or(|at| now.duration_since(at) >= LOG_GAP);
    if due {
        *told = Some(now);
    }
    due
}

/// A tenth of the advertisement interval, but 1 ms at least: often enough for
/// every router that has something to say, too seldom for a flood to cost much.
fn event_gap(advert_interval: Duration) -> u64 {
    let gap = (advert_interval / 10).max(Duration::from_millis(1));
    u64::try_from(gap.as_nanos()).unwrap_or(u64::MAX)
}

/// The interval as the wire has it; the configuration holds no other.
fn centiseconds(config: &InstanceConfig) -> Centiseconds {
    Centiseconds::from_duration(config.advert_interval).unwrap_or(Centiseconds::MAX)
}

/// What version 2 sends and expects; version 3 has none.
fn authentication(config: &InstanceConfig) -> Authentication {
    config.password.map_or(Authentication::None, |password| {
        Authentication::Simple(password.octets())
    })
}
