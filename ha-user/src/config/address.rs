//! Which addresses can be virtual ones, and how many fit an advertisement.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ha_common::types::{AddressFamily, Version};

use super::{model::VirtualAddress, names, raw::RawAddress};

/// Octets of the largest packet that every Ethernet link carries.
pub(super) const MTU: usize = 1500;

/// Octets in front of the addresses of an advertisement, behind the IP header.
const VRRP_HEADER: usize = 8;

/// Octets behind the addresses in version 2 (authentication data).
const V2_TRAILER: usize = 8;

/// How many addresses one advertisement carries without being fragmented.
pub(super) fn limit(version: Version, family: AddressFamily) -> usize {
    let ip_header = match family {
        AddressFamily::Ipv4 => 20,
        AddressFamily::Ipv6 => 40,
    };
    let trailer = match version {
        Version::V2 => V2_TRAILER,
        Version::V3 => 0,
    };
    let room = MTU - ip_header - VRRP_HEADER - trailer;
    (room / family.address_len()).min(usize::from(u8::MAX))
}

/// Why an address cannot be a virtual one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Fault {
    pub(super) message: String,
    pub(super) expected: &'static str,
    pub(super) help: &'static str,
}

/// The address, with the prefix length of a single host where it has none.
pub(super) fn check(raw: RawAddress) -> Result<VirtualAddress, Fault> {
    let address = raw.address;
    let bits = if address.is_ipv4() { 32 } else { 128 };
    if let Some(kind) = kind(address) {
        return Err(Fault {
            message: format!("{address} is {kind}"),
            expected: "expected a unicast address that a host can have",
            help: "a virtual address is one that clients of the service connect to",
        });
    }
    let prefix_len = match raw.prefix_len {
        None => bits,
        Some(prefix_len) if (1..=u32::from(bits)).contains(&prefix_len) => {
            u8::try_from(prefix_len).unwrap_or(bits)
        }
        Some(prefix_len) => {
            return Err(Fault {
                message: format!("{address} cannot have a prefix of {prefix_len} bits"),
                expected: if bits == 32 {
                    "expected /1 to /32"
                } else {
                    "expected /1 to /128"
                },
                help: "take the prefix length of the interface's own network, or none at all",
            });
        }
    };
    if let Some(kind) = network_kind(address, prefix_len) {
        return Err(Fault {
            message: format!("{address} is {kind} of its network /{prefix_len}"),
            expected: "expected the address of a host",
            help: "write the address itself in front of the slash, not that of the network",
        });
    }
    Ok(VirtualAddress {
        address,
        prefix_len,
    })
}

/// Whether `label` can be that of an address on `interface`: its name, perhaps
/// with `:` and more behind it.
pub(super) fn is_label(label: &str, interface: &str) -> bool {
    let Some(rest) = label
        .strip_prefix(interface)
        .filter(|_| !interface.is_empty())
    else {
        return false;
    };
    let suffix = rest.strip_prefix(':').filter(|suffix| !suffix.is_empty());
    label.len() <= names::MAX_INTERFACE
        && (rest.is_empty() || suffix.is_some_and(|suffix| suffix.chars().all(names::is_visible)))
}

/// What `address` is, if it is none that a host can have.
pub(super) fn kind(address: IpAddr) -> Option<&'static str> {
    match address {
        IpAddr::V4(address) => v4_kind(address),
        IpAddr::V6(address) => v6_kind(address),
    }
}

fn v4_kind(address: Ipv4Addr) -> Option<&'static str> {
    if address.is_unspecified() {
        Some("the unspecified address")
    } else if address.octets()[0] == 0 {
        Some("an address of \"this network\" (0.0.0.0/8)")
    } else if address.is_loopback() {
        Some("a loopback address")
    } else if address.is_multicast() {
        Some("a multicast address")
    } else if address.is_broadcast() {
        Some("the broadcast address")
    } else {
        None
    }
}

fn v6_kind(address: Ipv6Addr) -> Option<&'static str> {
    if address.is_unspecified() {
        Some("the unspecified address")
    } else if address.is_loopback() {
        Some("the loopback address")
    } else if address.is_multicast() {
        Some("a multicast address")
    } else if address.to_ipv4_mapped().is_some() {
        Some("an IPv4 address in IPv6 spelling")
    } else {
        None
    }
}

/// What `address` is in its network, if it is not a host. The two addresses of a
/// point-to-point network (/31, RFC 3021; /127, RFC 6164) both are.
fn network_kind(address: IpAddr, prefix_len: u8) -> Option<&'static str> {
    match address {
        IpAddr::V4(address) if prefix_len <= 30 => {
            let host = u32::MAX >> prefix_len;
            match u32::from(address) & host {
                0 => Some("the address"),
                bits if bits == host => Some("the broadcast address"),
                _ => None,
            }
        }
        IpAddr::V6(address) if prefix_len <= 126 => {
            let host = u128::MAX >> prefix_len;
            (u128::from(address) & host == 0).then_some("the subnet-router anycast address")
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(text: &str) -> Result<String, String> {
        check(RawAddress::parse(text).unwrap())
            .map(|address| address.to_string())
            .map_err(|fault| fault.message)
    }

    #[test]
    fn hosts_are_taken() {
        for (text, shown) in [
            ("10.77.0.100/16", "10.77.0.100/16"),
            ("10.77.0.100", "10.77.0.100/32"),
            ("10.0.0.0/31", "10.0.0.0/31"),
            ("10.0.0.255/31", "10.0.0.255/31"),
            ("10.0.0.255/16", "10.0.0.255/16"),
            ("169.254.1.1/16", "169.254.1.1/16"),
            ("fe80::51/64", "fe80::51/64"),
            ("2001:DB8:0::1", "2001:db8::1/128"),
            ("2001:db8::/127", "2001:db8::/127"),
            (
                "2001:db8::ffff:ffff:ffff:ffff/64",
                "2001:db8::ffff:ffff:ffff:ffff/64",
            ),
        ] {
            assert_eq!(checked(text).as_deref(), Ok(shown), "{text}");
        }
    }

    #[test]
    fn everything_else_is_refused_by_its_name() {
        for (text, word) in [
            ("0.0.0.0", "unspecified"),
            ("0.1.2.3/8", "this network"),
            ("127.0.0.1/8", "loopback"),
            ("224.0.0.18", "multicast"),
            ("255.255.255.255", "broadcast"),
            ("10.0.0.0/24", "is the address of its network"),
            ("10.0.0.255/24", "broadcast"),
            ("10.0.0.1/0", "prefix of 0 bits"),
            ("10.0.0.1/33", "prefix of 33 bits"),
            ("::", "unspecified"),
            ("::1/128", "loopback"),
            ("ff02::12", "multicast"),
            ("::ffff:10.0.0.1", "IPv4"),
            ("2001:db8::/64", "anycast"),
            ("2001:db8::1/0", "prefix of 0 bits"),
            ("2001:db8::1/129", "prefix of 129 bits"),
        ] {
            let message = checked(text).unwrap_err();
            assert!(message.contains(word), "{text}: {message}");
        }
    }

    #[test]
    fn what_is_no_address_is_not_read() {
        for text in [
            "",
            "/24",
            "10.0.0",
            "10.0.0.1/",
            "10.0.0.1/+8",
            "10.0.0.1/8/8",
            "10.0.0.1/-1",
            "fe80::1%eth0",
            " 10.0.0.1",
            "010.0.0.1",
            "10.0.0.1/99999999999",
            "web",
        ] {
            assert!(RawAddress::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn an_advertisement_carries_so_many() {
        assert_eq!(limit(Version::V3, AddressFamily::Ipv4), 255);
        assert_eq!(limit(Version::V2, AddressFamily::Ipv4), 255);
        // 40 + 8 + 90 × 16 = 1488; one more would be 1504.
        assert_eq!(limit(Version::V3, AddressFamily::Ipv6), 90);
    }
}
