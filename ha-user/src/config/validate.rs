//! From what a file says to a configuration that Harrier can carry out.
//!
//! Everything that is wrong is collected; a value that is wrong is replaced by
//! one that draws no further complaints.

use std::{net::IpAddr, time::Duration};

use ha_common::{
    fsm::AnnounceSchedule,
    types::{AddressFamily, Centiseconds, Priority, Version, Vrid},
};

use super::{
    address::{self, MTU},
    diagnostic::{Diagnostic, Severity},
    duration,
    located::{Field, Located},
    model::{AddressConfig, ChecksumForm, Config, InstanceConfig, Password, VirtualAddress},
    raw::{RawConfig, RawInstance},
    unicast, unique,
};

/// Longest name of an instance, in octets.
const MAX_NAME: usize = 64;

/// Longest name of an interface, in octets (`IFNAMSIZ` less its final NUL).
const MAX_INTERFACE: usize = 15;

/// `Advertisement_Interval` where the file does not say.
const DEFAULT_ADVERT_INTERVAL: Duration = Duration::from_secs(1);

/// The configuration and the warnings, or all complaints.
pub(super) fn validate(
    raw: &RawConfig,
    reported: Vec<Diagnostic>,
) -> Result<(Config, Vec<Diagnostic>), Vec<Diagnostic>> {
    let mut check = Check {
        diagnostics: reported,
    };
    if raw.instances.is_empty() && !raw.bad_instances {
        check.error(
            Diagnostic::error(0..0, "no instance", "expected at least one [[instance]]")
                .help("an instance needs a name, an interface, a vrid and addresses"),
        );
    }
    let instances: Vec<Option<InstanceConfig>> = raw
        .instances
        .iter()
        .map(|instance| check.instance(instance))
        .collect();
    let mut diagnostics = check.diagnostics;
    unique::check(raw, &mut diagnostics);
    diagnostics.sort_by_key(|diagnostic| (diagnostic.span.start, diagnostic.severity));
    let bad = diagnostics
        .iter()
        .any(|diagnostic| diagnostic.severity == Severity::Error);
    let instances: Option<Vec<InstanceConfig>> = instances.into_iter().collect();
    match instances {
        Some(instances) if !bad => {
            let xdp_mode = raw
                .xdp_mode
                .given()
                .map_or_else(Default::default, |mode| mode.value);
            Ok((
                Config {
                    xdp_mode,
                    startup_delay: Duration::ZERO,
                    announce_gap: Duration::ZERO,
                    sync_groups: Vec::new(),
                    instances,
                },
                diagnostics,
            ))
        }
        _ => Err(diagnostics),
    }
}

struct Check {
    diagnostics: Vec<Diagnostic>,
}

impl Check {
    fn error(&mut self, diagnostic: Diagnostic) {
        self.diagnostics.push(diagnostic);
    }

    /// `None` if something that it needs is missing or wrong, which is reported.
    fn instance(&mut self, raw: &RawInstance) -> Option<InstanceConfig> {
        let name = self.name(raw);
        let interface = self.interface(raw);
        let vrid = self.vrid(raw);
        let version = self.version(raw);
        let priority = self.priority(raw);
        let family = self.family(raw);
        if let (Some(Version::V2), Some(AddressFamily::Ipv6)) = (version, family) {
            let span = raw
                .version
                .given()
                .map_or(&raw.head, |version| &version.span);
            self.error(
                Diagnostic::error(
                    span.clone(),
                    "VRRP version 2 knows no IPv6",
                    "expected version 3 for IPv6 addresses",
                )
                .help("leave version out: 3 is the default"),
            );
        }
        let advert_interval = self.advert_interval(raw, version);
        let checksum = self.checksum(raw, version, family);
        let password = self.password(raw, version);
        let addresses = self.addresses(raw, version, family);
        let unicast = raw.unicast.given().map(|unicast| {
            unicast::check(unicast, family, &addresses, priority, &mut self.diagnostics)
        });
        let preempt = raw.preempt.given().is_none_or(|preempt| preempt.value);
        if priority == Some(Priority::OWNER)
            && let Some(given) = raw.preempt.given()
            && !given.value
        {
            self.error(
                Diagnostic::warning(
                    given.span.clone(),
                    "preempt = false has no effect with priority 255",
                    "the address owner always preempts",
                )
                .help("take a priority of at most 254 for a router that does not preempt"),
            );
        }
        Some(InstanceConfig {
            name: name?,
            interface: interface?,
            vrid: vrid?,
            family: family?,
            version: version?,
            priority: priority?,
            advert_interval: advert_interval?,
            preempt,
            preempt_delay: Duration::ZERO,
            quick_preempt: true,
            checksum,
            password,
            unicast,
            virtual_mac: None,
            accept: true,
            addresses: addresses.into_iter().map(AddressConfig::from).collect(),
            excluded_addresses: Vec::new(),
            routes: Vec::new(),
            rules: Vec::new(),
            announce: AnnounceSchedule::default(),
            track_interfaces: Vec::new(),
        })
    }

    /// The setting, or a complaint that it is missing.
    fn required<'a, T>(
        &mut self,
        raw: &RawInstance,
        field: &'a Field<T>,
        key: &str,
        example: &str,
    ) -> Option<&'a Located<T>> {
        if field.is_absent() {
            let which = raw.name.given().map_or("this instance".to_owned(), |name| {
                format!("instance {:?}", name.value)
            });
            self.error(Diagnostic::error(
                raw.head.clone(),
                format!("{which} has no {key}"),
                format!("expected a line such as {key} = {example}"),
            ));
        }
        field.given()
    }

    fn name(&mut self, raw: &RawInstance) -> Option<String> {
        let name = self.required(raw, &raw.name, "name", "\"web\"")?;
        let value = &name.value;
        let complaint = if value.is_empty() {
            "a name cannot be empty".to_owned()
        } else if value.len() > MAX_NAME {
            format!("the name is {} octets long", value.len())
        } else if value.chars().any(|c| c.is_whitespace() || !is_printable(c)) {
            format!("the name {value:?} has characters that cannot be used")
        } else {
            return Some(value.clone());
        };
        self.error(Diagnostic::error(
            name.span.clone(),
            complaint,
            format!("expected 1 to {MAX_NAME} octets of printable text without white space"),
        ));
        None
    }

    fn interface(&mut self, raw: &RawInstance) -> Option<String> {
        let interface = self.required(raw, &raw.interface, "interface", "\"eth0\"")?;
        let value = &interface.value;
        let good = (1..=MAX_INTERFACE).contains(&value.len())
            && !matches!(value.as_str(), "." | "..")
            && value
                .chars()
                .all(|c| is_printable(c) && !c.is_whitespace() && !matches!(c, '/' | ':'));
        if good {
            return Some(value.clone());
        }
        self.error(
            Diagnostic::error(
                interface.span.clone(),
                format!("no interface can have the name {value:?}"),
                format!("expected 1 to {MAX_INTERFACE} octets, no white space, no '/' or ':'"),
            )
            .help("`ip link` lists the interfaces of this machine"),
        );
        None
    }

    fn vrid(&mut self, raw: &RawInstance) -> Option<Vrid> {
        let vrid = self.required(raw, &raw.vrid, "vrid", "51")?;
        let valid = u8::try_from(vrid.value).ok().and_then(Vrid::new);
        if valid.is_none() {
            self.error(
                Diagnostic::error(
                    vrid.span.clone(),
                    format!("there is no VRID {}", vrid.value),
                    "expected 1 to 255",
                )
                .help(
                    "all routers that share the addresses use one VRID, others on the link another",
                ),
            );
        }
        valid
    }

    fn version(&mut self, raw: &RawInstance) -> Option<Version> {
        let version = match &raw.version {
            Field::Absent => return Some(Version::V3),
            Field::Bad => return None,
            Field::Given(version) => version,
        };
        let valid = u8::try_from(version.value)
            .ok()
            .and_then(Version::from_number);
        if valid.is_none() {
            self.error(Diagnostic::error(
                version.span.clone(),
                format!("there is no VRRP version {}", version.value),
                "expected 3 (the default) or 2",
            ));
        }
        valid
    }

    fn priority(&mut self, raw: &RawInstance) -> Option<Priority> {
        let priority = match &raw.priority {
            Field::Absent => return Some(Priority::DEFAULT),
            Field::Bad => return None,
            Field::Given(priority) => priority,
        };
        if let Ok(value @ 1..) = u8::try_from(priority.value) {
            return Some(Priority(value));
        }
        let complaint = match priority.value {
            0 => "priority 0 says that a router stops taking part".to_owned(),
            value => format!("there is no priority {value}"),
        };
        self.error(
            Diagnostic::error(priority.span.clone(), complaint, "expected 1 to 255")
                .help("the greatest priority is Active; 100 is the default, 255 the address owner"),
        );
        None
    }

    fn advert_interval(&mut self, raw: &RawInstance, version: Option<Version>) -> Option<Duration> {
        let interval = match &raw.advert_interval {
            Field::Absent => return Some(DEFAULT_ADVERT_INTERVAL),
            Field::Bad => return None,
            Field::Given(interval) => interval,
        };
        let span = interval.value;
        let (good, expected, help) = match version? {
            Version::V2 => (
                span.subsec_nanos() == 0 && (1..=255).contains(&span.as_secs()),
                "expected whole seconds from \"1s\" to \"255s\", as version 2 sends them",
                "version = 3 allows intervals down to 10 ms",
            ),
            Version::V3 => (
                matches!(Centiseconds::from_duration(span), Some(span) if (1..=Centiseconds::MAX.0).contains(&span.0)),
                "expected a multiple of 10 ms from \"10ms\" to \"40.95s\"",
                "version 3 sends the interval in hundredths of a second, in 12 bits",
            ),
        };
        if good {
            return Some(span);
        }
        self.error(
            Diagnostic::error(
                interval.span.clone(),
                format!(
                    "an advertisement interval of {} is impossible",
                    duration::format(span)
                ),
                expected,
            )
            .help(help),
        );
        None
    }

    /// The family that the settings agree on, or that the first of them names.
    fn family(&mut self, raw: &RawInstance) -> Option<AddressFamily> {
        let first = raw
            .addresses
            .given()
            .and_then(|addresses| addresses.value.first())
            .map(|address| (AddressFamily::of(address.value.address), &address.span));
        match (raw.family.given(), first) {
            (Some(said), first) => {
                if let Some((family, span)) = first
                    && family != said.value
                {
                    self.error(
                        Diagnostic::error(
                            span.clone(),
                            format!("an {family} address in an {} instance", said.value),
                            format!("expected {} addresses only", said.value),
                        )
                        .related(said.span.clone(), "the family is said here")
                        .help("leave family out where there are addresses"),
                    );
                }
                Some(said.value)
            }
            (None, Some((family, _))) => Some(family),
            (None, None) => {
                let known = matches!(raw.family, Field::Bad)
                    || matches!(raw.addresses, Field::Bad)
                    || raw.bad_addresses;
                if !known {
                    let span = raw
                        .addresses
                        .given()
                        .map_or(&raw.head, |addresses| &addresses.span);
                    self.error(
                        Diagnostic::error(
                            span.clone(),
                            "neither addresses nor a family",
                            "expected addresses, such as addresses = [\"10.77.0.100/16\"]",
                        )
                        .help(
                            "where something else moves the addresses, leave the list empty and \
                             say family = \"ipv4\" or family = \"ipv6\"",
                        ),
                    );
                }
                None
            }
        }
    }

    fn checksum(
        &mut self,
        raw: &RawInstance,
        version: Option<Version>,
        family: Option<AddressFamily>,
    ) -> ChecksumForm {
        let Some(checksum) = raw.checksum.given() else {
            return ChecksumForm::PseudoHeader;
        };
        let only_form = match (version, family) {
            (Some(Version::V2), _) => "version 2 always leaves the pseudo-header out",
            (_, Some(AddressFamily::Ipv6)) => "IPv6 always includes the pseudo-header",
            _ => return checksum.value,
        };
        self.error(
            Diagnostic::error(
                checksum.span.clone(),
                "checksum is a setting of version 3 over IPv4",
                only_form,
            )
            .help("remove the line"),
        );
        checksum.value
    }

    fn password(&mut self, raw: &RawInstance, version: Option<Version>) -> Option<Password> {
        let given = raw.password.given()?;
        if version == Some(Version::V3) {
            self.error(
                Diagnostic::error(
                    given.span.clone(),
                    "VRRP version 3 has no authentication",
                    "expected version = 2 with a password, or none",
                )
                .help(
                    "the password went over the wire in the clear and kept nobody out; a packet \
                     filter that lets protocol 112 in from the other routers only does more",
                ),
            );
            return None;
        }
        let password = Password::new(&given.value);
        if password.is_none() {
            self.error(
                Diagnostic::error(
                    given.span.clone(),
                    "the password does not fit",
                    format!("expected 1 to {} octets", Password::MAX),
                )
                .help("keepalived sends the first 8 octets of a longer one: give those"),
            );
        }
        password
    }

    fn addresses(
        &mut self,
        raw: &RawInstance,
        version: Option<Version>,
        family: Option<AddressFamily>,
    ) -> Vec<VirtualAddress> {
        let (Some(addresses), Some(family)) = (raw.addresses.given(), family) else {
            return Vec::new();
        };
        let mut valid = Vec::with_capacity(addresses.value.len());
        for (place, address) in addresses.value.iter().enumerate() {
            if AddressFamily::of(address.value.address) != family {
                // The first one has been held against `family` already.
                if place > 0 {
                    self.error(
                        Diagnostic::error(
                            address.span.clone(),
                            format!("{} in an {family} instance", address.value.address),
                            format!("expected {family} addresses only"),
                        )
                        .help("an instance is of one family; another may have the same vrid"),
                    );
                }
                continue;
            }
            match address::check(address.value) {
                Ok(address) => valid.push(address),
                Err(fault) => self.error(
                    Diagnostic::error(address.span.clone(), fault.message, fault.expected)
                        .help(fault.help),
                ),
            }
        }
        if let Some(first) = addresses.value.first()
            && !raw.bad_addresses
            && let IpAddr::V6(v6) = first.value.address
            && family == AddressFamily::Ipv6
            && !v6.is_unicast_link_local()
        {
            self.error(
                Diagnostic::error(
                    first.span.clone(),
                    "the first IPv6 address is not link-local",
                    "expected an address of fe80::/10 first (RFC 9568 §5.2.9)",
                )
                .help("put a link-local address in front that only the virtual router has, such as \"fe80::51/64\""),
            );
        }
        let version = version.unwrap_or(Version::V3);
        let limit = address::limit(version, family);
        if addresses.value.len() > limit {
            self.error(
                Diagnostic::error(
                    addresses.span.clone(),
                    format!(
                        "{} addresses do not fit one advertisement",
                        addresses.value.len()
                    ),
                    match family {
                        AddressFamily::Ipv4 => {
                            format!("expected at most {limit}, the count has 8 bits")
                        }
                        AddressFamily::Ipv6 => {
                            format!("expected at most {limit}, which fill a packet of {MTU} octets")
                        }
                    },
                )
                .help("spread them over several instances, each with a vrid of its own"),
            );
        }
        valid
    }
}

/// Neither a control character nor one of those that steer the direction of
/// text or take no room: they would make two names look alike.
fn is_printable(c: char) -> bool {
    !c.is_control()
        && !matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}
