//! What is combined: the peer, the form of the protocol, the transport, whose
//! MAC address the virtual addresses have.

use std::{fmt, net::IpAddr, time::Duration};

use anyhow::Result;
use ha_tests::{
    daemon::{Harrier, Instance},
    lab::{Host, Lab},
};

/// The MAC addresses that Harrier's side is run with.
const OURS: [Mac; 2] = [Mac::Physical, Mac::Virtual];

/// The implementation at the other end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Peer {
    Keepalived,
    Frr,
}

/// Version, family and authentication.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Form {
    V2,
    V2Password,
    V3Ipv4,
    V3Ipv6,
}

/// How advertisements travel.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Transport {
    Multicast,
    Unicast,
}

/// Which MAC address the virtual addresses have on a router.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Mac {
    Physical,
    Virtual,
}

/// One row of the table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Combination {
    pub(crate) peer: Peer,
    pub(crate) form: Form,
    pub(crate) transport: Transport,
    pub(crate) their_mac: Mac,
    pub(crate) our_mac: Mac,
}

impl Combination {
    /// Every combination that both ends know, those first that take longest.
    pub(crate) fn all() -> Vec<Self> {
        let mut all = Vec::new();
        for form in [Form::V2, Form::V2Password, Form::V3Ipv4, Form::V3Ipv6] {
            for peer in [Peer::Keepalived, Peer::Frr] {
                for transport in [Transport::Multicast, Transport::Unicast] {
                    for their_mac in [Mac::Physical, Mac::Virtual] {
                        for our_mac in OURS {
                            all.push(Self {
                                peer,
                                form,
                                transport,
                                their_mac,
                                our_mac,
                            });
                        }
                    }
                }
            }
        }
        all.retain(Self::is_known);
        all
    }

    fn is_known(&self) -> bool {
        // The password changes nothing but eight octets: one row is enough.
        let plain = self.transport == Transport::Multicast
            && self.their_mac == Mac::Physical
            && self.our_mac == Mac::Physical;
        match self.peer {
            Peer::Keepalived => match self.form {
                Form::V2Password => plain,
                // Our virtual MAC address does not care for the version: one
                // row of the slow one is enough.
                Form::V2 if self.our_mac == Mac::Virtual => {
                    self.transport == Transport::Multicast && self.their_mac == Mac::Virtual
                }
                Form::V2 | Form::V3Ipv4 | Form::V3Ipv6 => true,
            },
            // vrrpd knows no password, no unicast, and no physical MAC address.
            Peer::Frr => {
                self.form != Form::V2Password
                    && self.transport == Transport::Multicast
                    && self.their_mac == Mac::Virtual
            }
        }
    }

    pub(crate) fn instance(&self, own: &Host, other: &Host, priority: u8) -> Instance {
        let addresses: &[&str] = if self.form.is_ipv6() {
            &["fe80::100/64", "fd77::100/64"]
        } else {
            &["10.77.0.100/16", "10.77.0.101/16"]
        };
        let address = |host: &Host| -> IpAddr {
            if self.form.is_ipv6() {
                host.ipv6().into()
            } else {
                host.ipv4().into()
            }
        };
        Instance {
            version: self.form.version(),
            advert_interval: self.form.interval(),
            password: (self.form == Form::V2Password).then_some("secret"),
            unicast: (self.transport == Transport::Unicast)
                .then(|| (address(own), vec![address(other)])),
            ..Instance::new(priority, addresses)
        }
    }

    /// Starts Harrier on `own` against a router on `other`.
    pub(crate) fn start_harrier(
        &self,
        lab: &Lab,
        own: &Host,
        other: &Host,
        priority: u8,
    ) -> Result<Harrier> {
        let mut text = self.instance(own, other, priority).to_toml();
        if self.our_mac == Mac::Virtual {
            text += "virtual_mac = true\n";
        }
        Harrier::start_with(lab, own, &own.name, &text)
    }

    /// The virtual address that the client asks.
    pub(crate) fn asked(&self) -> &'static str {
        if self.form.is_ipv6() {
            "fd77::100"
        } else {
            "10.77.0.100"
        }
    }
}

impl Form {
    pub(crate) fn version(self) -> u8 {
        match self {
            Self::V2 | Self::V2Password => 2,
            Self::V3Ipv4 | Self::V3Ipv6 => 3,
        }
    }

    pub(crate) fn is_ipv6(self) -> bool {
        self == Self::V3Ipv6
    }

    /// The peers run at normal priority on a busy machine: short enough for a
    /// quick run, long enough that a stall is no silence.
    pub(crate) fn interval(self) -> Duration {
        match self.version() {
            2 => Duration::from_secs(1),
            _ => Duration::from_millis(200),
        }
    }

    /// Active_Down_Interval of `priority`, by hand (with one second as interval
    /// the formulas of both versions are the same).
    pub(crate) fn active_down(self, priority: u8) -> Duration {
        let interval = self.interval();
        3 * interval + interval * (256 - u32::from(priority)) / 256
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Keepalived => "keepalived",
            Self::Frr => "FRR",
        })
    }
}

impl fmt::Display for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V2 => "2, IPv4",
            Self::V2Password => "2, IPv4, password",
            Self::V3Ipv4 => "3, IPv4",
            Self::V3Ipv6 => "3, IPv6",
        })
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Multicast => "multicast",
            Self::Unicast => "unicast",
        })
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Physical => "physical",
            Self::Virtual => "virtual",
        })
    }
}

impl fmt::Display for Combination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            peer,
            form,
            transport,
            their_mac,
            our_mac,
        } = self;
        write!(f, "{peer} | {form} | {transport} | {their_mac} | {our_mac}")
    }
}
