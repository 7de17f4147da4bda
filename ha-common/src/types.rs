//! The small vocabulary of VRRP, as types that cannot hold a wrong value.

use core::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    num::NonZeroU8,
    time::Duration,
};

/// Virtual router identifier, 1 to 255 (RFC 9568 §5.2.3).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Vrid(NonZeroU8);

impl Vrid {
    /// `None` for 0, which names no virtual router.
    #[must_use]
    pub const fn new(value: u8) -> Option<Self> {
        match NonZeroU8::new(value) {
            Some(value) => Some(Self(value)),
            None => None,
        }
    }

    /// The identifier as it stands on the wire.
    #[must_use]
    pub const fn value(self) -> u8 {
        self.0.get()
    }
}

impl fmt::Display for Vrid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Priority of a virtual router, 0 to 255 (RFC 9568 §5.2.4).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Priority(pub u8);

impl Priority {
    /// Says that the Active router stops taking part.
    pub const RELEASE: Self = Self(0);
    /// The default of a router that does not own the addresses.
    pub const DEFAULT: Self = Self(100);
    /// The address owner.
    pub const OWNER: Self = Self(255);
}

impl fmt::Display for Priority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A span in hundredths of a second, the unit of version 3's wire format.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Centiseconds(pub u16);

impl Centiseconds {
    /// The largest value that 12 bits hold: 40.95 s (RFC 9568 §5.2.7).
    pub const MAX: Self = Self(4095);

    /// The span as a [`Duration`]; never overflows.
    #[must_use]
    pub const fn to_duration(self) -> Duration {
        Duration::from_millis(self.0 as u64 * 10)
    }

    /// `None` unless `span` is a whole number of centiseconds that 16 bits hold.
    #[must_use]
    pub const fn from_duration(span: Duration) -> Option<Self> {
        let nanos = span.as_nanos();
        let centiseconds = nanos / 10_000_000;
        if !nanos.is_multiple_of(10_000_000) || centiseconds > u16::MAX as u128 {
            return None;
        }
        #[allow(clippy::cast_possible_truncation, reason = "checked above")]
        Some(Self(centiseconds as u16))
    }
}

/// The address family of a virtual router; each has its own election.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum AddressFamily {
    /// IPv4, group 224.0.0.18.
    Ipv4,
    /// IPv6, group ff02::12.
    Ipv6,
}

impl AddressFamily {
    /// The number that the kernel maps carry: 4 or 6.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Ipv4 => 4,
            Self::Ipv6 => 6,
        }
    }

    /// The inverse of [`code`](Self::code); `None` for any other number.
    #[must_use]
    pub const fn from_code(code: u8) -> Option<Self> {
        match code {
            4 => Some(Self::Ipv4),
            6 => Some(Self::Ipv6),
            _ => None,
        }
    }

    /// The family of `address`.
    #[must_use]
    pub const fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self::Ipv4,
            IpAddr::V6(_) => Self::Ipv6,
        }
    }

    /// Octets in one address.
    #[must_use]
    pub const fn address_len(self) -> usize {
        match self {
            Self::Ipv4 => 4,
            Self::Ipv6 => 16,
        }
    }
}

impl fmt::Display for AddressFamily {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ipv4 => "IPv4",
            Self::Ipv6 => "IPv6",
        })
    }
}

/// Version of the protocol.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Version {
    /// RFC 3768: IPv4 only, whole seconds.
    V2,
    /// RFC 9568 (and RFC 5798): IPv4 and IPv6, centiseconds.
    V3,
}

impl Version {
    /// The number on the wire: 2 or 3.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::V2 => 2,
            Self::V3 => 3,
        }
    }

    /// The inverse of [`number`](Self::number); `None` for any other number.
    #[must_use]
    pub const fn from_number(number: u8) -> Option<Self> {
        match number {
            2 => Some(Self::V2),
            3 => Some(Self::V3),
            _ => None,
        }
    }
}

/// An address in network byte order, IPv4 in the first four octets and zeros
/// behind it.
///
/// Within one family the derived order is the unsigned comparison in network
/// byte order that RFC 9568 §6.4.3 asks of the tie-break.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct RouterAddress(pub [u8; 16]);

impl RouterAddress {
    /// The address of `family` that these octets spell.
    #[must_use]
    pub fn to_ip(self, family: AddressFamily) -> IpAddr {
        match family {
            AddressFamily::Ipv4 => {
                let [a, b, c, d, ..] = self.0;
                IpAddr::V4(Ipv4Addr::new(a, b, c, d))
            }
            AddressFamily::Ipv6 => IpAddr::V6(Ipv6Addr::from(self.0)),
        }
    }
}

impl From<Ipv4Addr> for RouterAddress {
    fn from(address: Ipv4Addr) -> Self {
        let [a, b, c, d] = address.octets();
        Self([a, b, c, d, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])
    }
}

impl From<Ipv6Addr> for RouterAddress {
    fn from(address: Ipv6Addr) -> Self {
        Self(address.octets())
    }
}

impl From<IpAddr> for RouterAddress {
    fn from(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(address) => address.into(),
            IpAddr::V6(address) => address.into(),
        }
    }
}

/// A 48-bit link-layer address, shown as `02:00:00:00:00:01`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct MacAddress(pub [u8; 6]);

impl MacAddress {
    /// ff:ff:ff:ff:ff:ff.
    pub const BROADCAST: Self = Self([0xff; 6]);
}

impl fmt::Display for MacAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vrid_zero_does_not_exist() {
        assert_eq!(Vrid::new(0), None);
        assert_eq!(Vrid::new(255).map(Vrid::value), Some(255));
    }

    #[test]
    fn centiseconds_refuse_what_they_cannot_hold() {
        assert_eq!(
            Centiseconds::from_duration(Duration::from_millis(100)),
            Some(Centiseconds(10))
        );
        assert_eq!(
            Centiseconds::from_duration(Duration::from_millis(105)),
            None
        );
        assert_eq!(Centiseconds::from_duration(Duration::from_secs(656)), None);
        assert_eq!(
            Centiseconds::MAX.to_duration(),
            Duration::from_millis(40_950)
        );
    }

    #[test]
    fn addresses_compare_as_unsigned_network_order() {
        let low = RouterAddress::from(Ipv4Addr::new(10, 0, 0, 2));
        let high = RouterAddress::from(Ipv4Addr::new(192, 0, 2, 1));
        assert!(low < high, "the first octet decides, and it is unsigned");
        assert_eq!(
            high.to_ip(AddressFamily::Ipv4),
            IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1))
        );
    }

    #[test]
    fn mac_is_shown_as_people_write_it() {
        assert_eq!(
            MacAddress([0, 0, 0x5e, 0, 1, 51]).to_string(),
            "00:00:5e:00:01:33"
        );
    }
}
