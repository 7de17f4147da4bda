//! Whether the table `unicast` of an instance can be carried out.

use std::{collections::HashMap, net::IpAddr, ops::Range};

use ha_common::types::{AddressFamily, Priority};

use super::{
    address,
    diagnostic::Diagnostic,
    located::Located,
    model::{Unicast, VirtualAddress},
    raw::RawUnicast,
};

/// Least TTL where the file does not say: senders on the same link only.
pub(super) const DEFAULT_MIN_TTL: u8 = 255;

/// The settings, and complaints about what is wrong with them in `diagnostics`.
/// `addresses` are those of the instance.
pub(super) fn check(
    raw: &Located<RawUnicast>,
    family: Option<AddressFamily>,
    addresses: &[VirtualAddress],
    priority: Option<Priority>,
    diagnostics: &mut Vec<Diagnostic>,
) -> Unicast {
    let mut check = Check {
        family,
        addresses,
        diagnostics,
    };
    let source = raw.value.source.given();
    if let Some(source) = source {
        check.source(source, priority);
    }
    check.peers(raw, source);
    Unicast {
        source: source.map(|source| source.value),
        peers: raw
            .value
            .peers
            .entries()
            .iter()
            .map(|peer| peer.value)
            .collect(),
        min_ttl: check.min_ttl(&raw.value),
    }
}

struct Check<'a> {
    family: Option<AddressFamily>,
    addresses: &'a [VirtualAddress],
    diagnostics: &'a mut Vec<Diagnostic>,
}

impl Check<'_> {
    fn source(&mut self, source: &Located<IpAddr>, priority: Option<Priority>) {
        // An owner may have no other address to send from.
        let own = self.is_host("the source", source);
        if own && priority != Some(Priority::OWNER) && self.is_virtual(source.value) {
            self.diagnostics.push(
                Diagnostic::error(
                    source.span.clone(),
                    format!("the source {} is a virtual address", source.value),
                    "expected an address that the interface always has",
                )
                .help("leave source out: the interface's own address is the default"),
            );
        }
    }

    fn peers(&mut self, raw: &Located<RawUnicast>, source: Option<&Located<IpAddr>>) {
        let example = match self.family {
            Some(AddressFamily::Ipv6) => "peers = [\"fe80::2\"]",
            _ => "peers = [\"10.77.0.2\"]",
        };
        let Some(peers) = raw.value.peers.given() else {
            if raw.value.peers.is_absent() {
                self.diagnostics.push(Diagnostic::error(
                    raw.span.clone(),
                    "unicast has no peers",
                    format!("expected the addresses of the other routers, such as {example}"),
                ));
            }
            return;
        };
        if peers.value.entries.is_empty() && !peers.value.incomplete {
            self.diagnostics.push(
                Diagnostic::error(
                    peers.span.clone(),
                    "the list of peers is empty",
                    format!("expected the addresses of the other routers, such as {example}"),
                )
                .help("leave unicast out to advertise by multicast"),
            );
        }
        let mut seen: HashMap<IpAddr, &Range<usize>> = HashMap::new();
        for peer in &peers.value.entries {
            if !self.is_host("the peer", peer) {
                continue;
            }
            if let Some(first) = seen.insert(peer.value, &peer.span) {
                self.diagnostics.push(
                    Diagnostic::error(
                        peer.span.clone(),
                        format!("the peer {} is listed twice", peer.value),
                        "expected each peer once",
                    )
                    .related(first.clone(), "the first is here"),
                );
            } else if let Some(source) = source.filter(|source| source.value == peer.value) {
                self.diagnostics.push(
                    Diagnostic::error(
                        peer.span.clone(),
                        format!("the peer {} is this router's own source", peer.value),
                        "expected the addresses of the other routers only",
                    )
                    .related(source.span.clone(), "the source is said here"),
                );
            } else if self.is_virtual(peer.value) {
                self.diagnostics.push(
                    Diagnostic::error(
                        peer.span.clone(),
                        format!("the peer {} is a virtual address", peer.value),
                        "expected an address that the other router always has",
                    )
                    .help("a virtual address is with the Active router, whichever that is"),
                );
            }
        }
    }

    fn min_ttl(&mut self, raw: &RawUnicast) -> u8 {
        let Some(min_ttl) = raw.min_ttl.given() else {
            return DEFAULT_MIN_TTL;
        };
        if let Ok(value @ 1..) = u8::try_from(min_ttl.value) {
            return value;
        }
        self.diagnostics.push(
            Diagnostic::error(
                min_ttl.span.clone(),
                format!("there is no least TTL {}", min_ttl.value),
                "expected 1 to 255",
            )
            .help("255 accepts senders on the same link only, 254 such behind one router"),
        );
        DEFAULT_MIN_TTL
    }

    /// Whether `address` is one that a host can have, and of the instance's family.
    fn is_host(&mut self, what: &str, address: &Located<IpAddr>) -> bool {
        let ip = address.value;
        if let Some(family) = self.family
            && AddressFamily::of(ip) != family
        {
            self.diagnostics.push(
                Diagnostic::error(
                    address.span.clone(),
                    format!("{what} {ip} in an {family} instance"),
                    format!("expected an {family} address"),
                )
                .help("an instance is of one family, its peers too"),
            );
            return false;
        }
        let Some(kind) = address::kind(ip) else {
            return true;
        };
        self.diagnostics.push(
            Diagnostic::error(
                address.span.clone(),
                format!("{what} {ip} is {kind}"),
                "expected a unicast address that a host can have",
            )
            .help("leave unicast out to advertise by multicast"),
        );
        false
    }

    fn is_virtual(&self, ip: IpAddr) -> bool {
        self.addresses.iter().any(|address| address.address == ip)
    }
}
