//! What a configuration file says, whatever its language: every setting of the
//! right kind and with its place, none of them judged yet.
//!
//! Each language has a front end that makes this of a file; one
//! [validation](super::validate) makes the [`Config`](super::Config) of it.

mod check;
mod notify;

use std::{net::IpAddr, ops::Range, time::Duration};

use ha_common::types::AddressFamily;

use super::{
    located::{Field, List, Located},
    model::{ChecksumForm, Scope, XdpMode},
};

pub(super) use self::{
    check::{RawCheck, RawCheckKind, RawTrackedCheck},
    notify::{RawFifo, RawNotify, RawRunAs, RawScript, RawWebhook},
};

#[derive(Debug, Default)]
pub(super) struct RawConfig {
    pub(super) xdp_mode: Field<XdpMode>,
    pub(super) consume: Field<bool>,
    pub(super) startup_delay: Field<Duration>,
    pub(super) announce_gap: Field<Duration>,
    pub(super) cpu_affinity: Field<List<i64>>,
    pub(super) checks: Vec<RawCheck>,
    /// Whether something that ought to be a check was reported as none.
    pub(super) bad_checks: bool,
    pub(super) script_user: Field<RawRunAs>,
    pub(super) script_security: Field<bool>,
    pub(super) notify_fifos: Field<List<RawFifo>>,
    pub(super) sync_groups: Vec<RawSyncGroup>,
    pub(super) instances: Vec<RawInstance>,
    /// Whether a file without instances is taken: keepalived has other things to
    /// do.
    pub(super) may_be_idle: bool,
    /// Whether something that ought to be an instance was reported as none.
    pub(super) bad_instances: bool,
}

#[derive(Debug, Default)]
pub(super) struct RawSyncGroup {
    /// What to point at when a setting is missing: the head of the section.
    pub(super) head: Range<usize>,
    pub(super) name: Field<String>,
    /// Names of instances.
    pub(super) instances: Field<List<String>>,
    pub(super) track_interfaces: Field<List<RawTrackedInterface>>,
    pub(super) track_checks: Field<List<RawTrackedCheck>>,
    pub(super) notify: Field<RawNotify>,
}

#[derive(Debug, Default)]
pub(super) struct RawInstance {
    /// What to point at when a setting is missing: the head of the instance.
    pub(super) head: Range<usize>,
    pub(super) name: Field<String>,
    pub(super) interface: Field<String>,
    pub(super) vrid: Field<i64>,
    pub(super) family: Field<AddressFamily>,
    pub(super) version: Field<i64>,
    pub(super) priority: Field<i64>,
    pub(super) advert_interval: Field<Duration>,
    pub(super) preempt: Field<bool>,
    pub(super) preempt_delay: Field<Duration>,
    pub(super) quick_preempt: Field<bool>,
    pub(super) checksum: Field<ChecksumForm>,
    pub(super) password: Field<String>,
    pub(super) unicast: Field<RawUnicast>,
    pub(super) virtual_mac: Field<RawVirtualMac>,
    pub(super) accept: Field<bool>,
    pub(super) addresses: Field<List<RawAddressEntry>>,
    pub(super) any_first_address: Field<bool>,
    pub(super) excluded_addresses: Field<List<RawAddressEntry>>,
    pub(super) routes: Field<List<RawRoute>>,
    pub(super) rules: Field<List<RawRule>>,
    pub(super) announce: Field<RawAnnounce>,
    pub(super) track_interfaces: Field<List<RawTrackedInterface>>,
    pub(super) track_checks: Field<List<RawTrackedCheck>>,
    pub(super) notify: Field<RawNotify>,
}

impl RawConfig {
    /// Where secrets stand that no report is to show: passwords, and what follows the
    /// host of an address, and headers.
    pub(super) fn secrets(&self) -> Vec<Range<usize>> {
        let mut secrets = Vec::new();
        let instances = self.instances.iter();
        secrets.extend(
            instances
                .clone()
                .filter_map(|instance| Some(instance.password.given()?.span.clone())),
        );
        let notify = instances.map(|instance| &instance.notify);
        let notify = notify.chain(self.sync_groups.iter().map(|group| &group.notify));
        for webhook in notify.filter_map(|notify| notify.given()?.value.webhook.given()) {
            secrets.extend(webhook.value.url.given().map(behind_host));
            let headers = webhook.value.headers.iter();
            secrets.extend(headers.map(|(_, value)| value.span.clone()));
        }
        let urls = self.checks.iter().filter_map(|check| check.url.given());
        secrets.extend(urls.map(behind_host));
        secrets
    }
}

/// What of `url` may be secret: path and query, or all of it if that cannot be told.
fn behind_host(url: &Located<String>) -> Range<usize> {
    let span = url.span.clone();
    // Between quotes, letter for letter.
    let is_plain = span.len() == url.value.len() + 2;
    match url.value.split_once("://") {
        // What stands before an @ may be a password.
        Some((scheme, rest)) if is_plain && !rest.contains('@') => {
            let host = rest.find(['/', '?', '#']).unwrap_or(rest.len());
            span.start + 1 + scheme.len() + 3 + host..span.end - 1
        }
        _ => span,
    }
}

impl RawInstance {
    /// All entries of `addresses` and `excluded_addresses`.
    pub(super) fn all_addresses(&self) -> impl Iterator<Item = &Located<RawAddressEntry>> {
        let advertised = self.addresses.entries();
        advertised.iter().chain(self.excluded_addresses.entries())
    }

    /// Whether the instance is meant to have no addresses at all.
    pub(super) fn has_no_addresses(&self) -> bool {
        [&self.addresses, &self.excluded_addresses]
            .into_iter()
            .all(|field| match field {
                Field::Absent => true,
                Field::Bad => false,
                Field::Given(list) => list.value.entries.is_empty() && !list.value.incomplete,
            })
    }
}

/// The table `unicast` of an instance.
#[derive(Debug, Default)]
pub(super) struct RawUnicast {
    pub(super) source: Field<IpAddr>,
    pub(super) peers: Field<List<IpAddr>>,
    pub(super) min_ttl: Field<i64>,
}

/// The setting `virtual_mac` of an instance.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum RawVirtualMac {
    Off,
    On,
    Named(String),
}

impl RawVirtualMac {
    pub(super) fn name(&self) -> Option<&str> {
        match self {
            Self::Named(name) => Some(name),
            Self::Off | Self::On => None,
        }
    }
}

/// An entry of `addresses` or `excluded_addresses`.
#[derive(Debug)]
pub(super) struct RawAddressEntry {
    pub(super) address: Located<RawAddress>,
    pub(super) interface: Field<String>,
    pub(super) label: Field<String>,
    pub(super) scope: Field<Scope>,
    pub(super) prefix_route: Field<bool>,
}

impl RawAddressEntry {
    /// The address and nothing else.
    pub(super) const fn plain(address: Located<RawAddress>) -> Self {
        Self {
            address,
            interface: Field::Absent,
            label: Field::Absent,
            scope: Field::Absent,
            prefix_route: Field::Absent,
        }
    }

    pub(super) const fn ip(&self) -> IpAddr {
        self.address.value.address
    }
}

/// An entry of `routes`.
#[derive(Debug, Default)]
pub(super) struct RawRoute {
    pub(super) to: Field<RawDestination>,
    pub(super) via: Field<IpAddr>,
    pub(super) interface: Field<String>,
    pub(super) table: Field<i64>,
    pub(super) metric: Field<i64>,
    pub(super) source: Field<IpAddr>,
}

/// Where a route leads to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum RawDestination {
    /// Everywhere, in a family that the rest of the route settles.
    Default,
    Prefix(RawAddress),
}

/// An entry of `rules`.
#[derive(Debug, Default)]
pub(super) struct RawRule {
    pub(super) from: Field<RawAddress>,
    pub(super) to: Field<RawAddress>,
    pub(super) table: Field<i64>,
    pub(super) priority: Field<i64>,
}

/// The table `announce` of an instance.
#[derive(Debug, Default)]
pub(super) struct RawAnnounce {
    pub(super) count: Field<i64>,
    pub(super) interval: Field<Duration>,
    pub(super) delay: Field<Duration>,
    pub(super) refresh: Field<Duration>,
}

/// An entry of `track_interfaces`.
#[derive(Debug)]
pub(super) struct RawTrackedInterface {
    pub(super) name: Located<String>,
    pub(super) weight: Field<i64>,
    pub(super) reverse: Field<bool>,
}

/// An address as written, perhaps without a prefix length.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct RawAddress {
    pub(super) address: IpAddr,
    pub(super) prefix_len: Option<u32>,
}

impl RawAddress {
    /// Reads `10.0.0.1/24`, `10.0.0.1`, `2001:db8::1/64`, `fe80::1`.
    ///
    /// The error says what is wrong.
    pub(super) fn parse(text: &str) -> Result<Self, &'static str> {
        let (address, prefix_len) = match text.split_once('/') {
            None => (text, None),
            Some((address, prefix_len)) => {
                let digits =
                    !prefix_len.is_empty() && prefix_len.bytes().all(|b| b.is_ascii_digit());
                let prefix_len = prefix_len.parse().ok().filter(|_| digits);
                (
                    address,
                    Some(prefix_len.ok_or("the prefix length is not a number")?),
                )
            }
        };
        let address = address.parse().map_err(|_| "not an IP address")?;
        Ok(Self {
            address,
            prefix_len,
        })
    }
}
