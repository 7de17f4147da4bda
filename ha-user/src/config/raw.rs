//! What a configuration file says, whatever its language: every setting of the
//! right kind and with its place, none of them judged yet.
//!
//! Each language has a front end that makes this of a file; one
//! [validation](super::validate) makes the [`Config`](super::Config) of it.

use std::{net::IpAddr, ops::Range, time::Duration};

use ha_common::types::AddressFamily;

use super::{
    located::{Field, Located},
    model::{ChecksumForm, XdpMode},
};

#[derive(Debug, Default)]
pub(super) struct RawConfig {
    pub(super) xdp_mode: Field<XdpMode>,
    pub(super) instances: Vec<RawInstance>,
    /// Whether something that ought to be an instance was reported as none.
    pub(super) bad_instances: bool,
}

#[derive(Debug)]
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
    pub(super) checksum: Field<ChecksumForm>,
    pub(super) password: Field<String>,
    pub(super) unicast: Field<RawUnicast>,
    pub(super) addresses: Field<Vec<Located<RawAddress>>>,
    /// Whether some of `addresses` have been reported as no addresses.
    pub(super) bad_addresses: bool,
}

impl RawInstance {
    pub(super) fn at(head: Range<usize>) -> Self {
        Self {
            head,
            name: Field::Absent,
            interface: Field::Absent,
            vrid: Field::Absent,
            family: Field::Absent,
            version: Field::Absent,
            priority: Field::Absent,
            advert_interval: Field::Absent,
            preempt: Field::Absent,
            checksum: Field::Absent,
            password: Field::Absent,
            unicast: Field::Absent,
            addresses: Field::Absent,
            bad_addresses: false,
        }
    }
}

/// The table `unicast` of an instance.
#[derive(Debug, Default)]
pub(super) struct RawUnicast {
    pub(super) source: Field<IpAddr>,
    pub(super) peers: Field<Vec<Located<IpAddr>>>,
    /// Whether some of `peers` have been reported as no addresses.
    pub(super) bad_peers: bool,
    pub(super) min_ttl: Field<i64>,
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
