//! Building advertisements.

use core::{error, fmt};

use super::{ADVERTISEMENT, AUTHENTICATION_LEN, FIXED_LEN, pseudo_header};
use crate::{
    types::{AddressFamily, Centiseconds, Priority, RouterAddress, Version, Vrid},
    wire::checksum::Sum,
};

/// Octets in the longest message: 255 IPv6 addresses.
pub const MAX_MESSAGE_LEN: usize = FIXED_LEN + 255 * 16;

/// What the checksum of version 3 over IPv4 covers.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum ChecksumForm {
    /// Message and pseudo-header, as most routers in the field do it.
    PseudoHeader,
    /// The message only, as RFC 9568 §5.2.8 has it for IPv4.
    MessageOnly,
}

/// Authentication of version 2 (RFC 2338 §5.3.6; deprecated by RFC 3768).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Authentication {
    /// Type 0.
    None,
    /// Type 1: a password in the clear, zeros behind it.
    Simple([u8; 8]),
}

impl Authentication {
    /// Type and data as they stand on the wire.
    #[must_use]
    pub const fn wire(self) -> (u8, [u8; 8]) {
        match self {
            Self::None => (0, [0; 8]),
            Self::Simple(password) => (1, password),
        }
    }
}

/// An advertisement to be sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Outgoing<'a> {
    /// Version of the protocol.
    pub version: Version,
    /// Family of the virtual router.
    pub family: AddressFamily,
    /// Virtual router identifier.
    pub vrid: Vrid,
    /// Priority.
    pub priority: Priority,
    /// Interval. Version 3: 1 to 4095; version 2: whole seconds up to 255.
    pub interval: Centiseconds,
    /// The virtual router's addresses, at most 255, the first IPv6 one
    /// link-local unless [`encode_any`] writes it. None at all breaks the RFC, but is common where something
    /// else moves the addresses.
    pub addresses: &'a [RouterAddress],
    /// IP source address, for the pseudo-header.
    pub source: RouterAddress,
    /// IP destination address, for the pseudo-header.
    pub destination: RouterAddress,
    /// For version 3 over IPv4. Version 2 never has the pseudo-header in its
    /// checksum and IPv6 always has.
    pub checksum: ChecksumForm,
    /// For version 2. Version 3 has none.
    pub auth: Authentication,
}

/// Why an advertisement cannot be built.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum EncodeError {
    /// Version 2 knows no IPv6.
    Version2OverIpv6,
    /// More addresses than the count field can say.
    TooManyAddresses {
        /// How many there are.
        count: usize,
    },
    /// The first IPv6 address is not link-local.
    NotLinkLocal,
    /// The interval does not fit the version's field.
    Interval {
        /// The interval.
        interval: Centiseconds,
        /// The version.
        version: Version,
    },
    /// The buffer is shorter than the message.
    BufferTooShort {
        /// Octets that the message has.
        needed: usize,
        /// Octets that the buffer has.
        available: usize,
    },
}

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Version2OverIpv6 => f.write_str("VRRP version 2 does not carry IPv6"),
            Self::TooManyAddresses { count } => {
                write!(f, "{count} addresses do not fit an advertisement, 255 do")
            }
            Self::NotLinkLocal => f.write_str("the first IPv6 address is not link-local"),
            Self::Interval { interval, version } => write!(
                f,
                "an interval of {} centiseconds does not fit VRRP version {}, which takes {}",
                interval.0,
                version.number(),
                match version {
                    Version::V2 => "1 to 255 whole seconds",
                    Version::V3 => "1 to 4095 centiseconds",
                }
            ),
            Self::BufferTooShort { needed, available } => write!(
                f,
                "an advertisement of {needed} octets does not fit a buffer of {available}"
            ),
        }
    }
}

impl error::Error for EncodeError {}

/// Writes the VRRP message (no IP header) to the start of `buffer` and returns
/// its length in octets.
///
/// # Errors
///
/// See [`EncodeError`]. A buffer of [`MAX_MESSAGE_LEN`] is never too short.
pub fn encode(message: &Outgoing<'_>, buffer: &mut [u8]) -> Result<usize, EncodeError> {
    if message.family == AddressFamily::Ipv6
        && message.version != Version::V2
        && message.addresses.len() <= usize::from(u8::MAX)
        && let Some(RouterAddress([high, low, ..])) = message.addresses.first()
        && (*high != 0xfe || low & 0xc0 != 0x80)
    {
        return Err(EncodeError::NotLinkLocal);
    }
    encode_any(message, buffer)
}

/// As [`encode`], but the first IPv6 address may be of any kind, as keepalived
/// allows it and RFC 9568 §5.2.9 does not.
///
/// # Errors
///
/// See [`EncodeError`], without [`EncodeError::NotLinkLocal`].
pub fn encode_any(message: &Outgoing<'_>, buffer: &mut [u8]) -> Result<usize, EncodeError> {
    let count =
        u8::try_from(message.addresses.len()).map_err(|_| EncodeError::TooManyAddresses {
            count: message.addresses.len(),
        })?;
    if message.family == AddressFamily::Ipv6 && message.version == Version::V2 {
        return Err(EncodeError::Version2OverIpv6);
    }
    let (auth_type, auth_data) = message.auth.wire();
    let [high, low] = match message.version {
        Version::V2 => whole_seconds(message.interval).map(|seconds| [auth_type, seconds]),
        Version::V3 => Some(message.interval)
            .filter(|interval| (1..=Centiseconds::MAX.0).contains(&interval.0))
            .map(|interval| interval.0.to_be_bytes()),
    }
    .ok_or(EncodeError::Interval {
        interval: message.interval,
        version: message.version,
    })?;

    let address_len = message.family.address_len();
    let addresses_len = message.addresses.len() * address_len;
    let length = FIXED_LEN
        + addresses_len
        + match message.version {
            Version::V2 => AUTHENTICATION_LEN,
            Version::V3 => 0,
        };
    let available = buffer.len();
    let Some(buffer) = buffer.get_mut(..length) else {
        return Err(EncodeError::BufferTooShort {
            needed: length,
            available,
        });
    };

    let (fixed, rest) = buffer.split_at_mut(FIXED_LEN);
    fixed.copy_from_slice(&[
        message.version.number() << 4 | ADVERTISEMENT,
        message.vrid.value(),
        message.priority.0,
        count,
        high,
        low,
        0,
        0,
    ]);
    let (addresses, authentication) = rest.split_at_mut(addresses_len);
    for (place, address) in addresses
        .chunks_exact_mut(address_len)
        .zip(message.addresses)
    {
        place.copy_from_slice(&address.0[..address_len]);
    }
    if message.version == Version::V2 {
        authentication.copy_from_slice(&auth_data);
    }

    let start = match (message.version, message.family, message.checksum) {
        (Version::V2, _, _) | (Version::V3, AddressFamily::Ipv4, ChecksumForm::MessageOnly) => {
            Sum::new()
        }
        (Version::V3, AddressFamily::Ipv4, ChecksumForm::PseudoHeader)
        | (Version::V3, AddressFamily::Ipv6, _) => {
            pseudo_header(message.source, message.destination, length)
        }
    };
    let checksum = start.add_slice(buffer).checksum();
    buffer[6..8].copy_from_slice(&checksum);
    Ok(length)
}

/// The interval in whole seconds, if it is 1 to 255 of them.
fn whole_seconds(interval: Centiseconds) -> Option<u8> {
    if interval.0 == 0 || !interval.0.is_multiple_of(100) {
        return None;
    }
    u8::try_from(interval.0 / 100).ok()
}
