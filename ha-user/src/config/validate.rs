//! From what a file says to a configuration that Harrier can carry out.
//!
//! Everything that is wrong is collected; a value that is wrong is replaced by
//! one that draws no further complaints.

use std::time::Duration;

use ha_common::types::{AddressFamily, Centiseconds, Priority, Version, Vrid};

use super::{
    addresses::{self, Addresses},
    announce, check, cpus,
    diagnostic::{Diagnostic, Severity},
    duration, groups,
    located::{Field, Located},
    model::{ChecksumForm, Config, InstanceConfig, Password},
    names,
    notify::{self, Whose},
    preempt::{self, Preemption},
    range,
    raw::{RawConfig, RawInstance},
    routes, script,
    track::{self, Tracked},
    unicast, unique, virtual_mac,
};

/// `Advertisement_Interval` where the file does not say.
pub(super) const DEFAULT_ADVERT_INTERVAL: Duration = Duration::from_secs(1);

/// Longest `startup_delay`.
const MAX_STARTUP_DELAY: Duration = Duration::from_secs(1000);

/// Longest `announce_gap`.
const MAX_ANNOUNCE_GAP: Duration = Duration::from_secs(1);

/// The configuration and the warnings, or all complaints.
pub(super) fn validate(
    raw: &RawConfig,
    mut diagnostics: Vec<Diagnostic>,
) -> Result<(Config, Vec<Diagnostic>), Vec<Diagnostic>> {
    if raw.instances.is_empty() && !raw.bad_instances && raw.may_be_idle {
        diagnostics.push(
            Diagnostic::warning(0..0, "no vrrp_instance", "there is nothing to do")
                .help("an instance needs a name, an interface and a virtual_router_id"),
        );
    } else if raw.instances.is_empty() && !raw.bad_instances {
        diagnostics.push(
            Diagnostic::error(0..0, "no instance", "expected at least one [[instance]]")
                .help("an instance needs a name, an interface, a vrid and addresses"),
        );
    }
    let startup_delay = range::span(
        &raw.startup_delay,
        "startup_delay",
        &(Duration::ZERO..=MAX_STARTUP_DELAY),
        Duration::ZERO,
        &mut diagnostics,
    );
    let announce_gap = range::span(
        &raw.announce_gap,
        "announce_gap",
        &(Duration::ZERO..=MAX_ANNOUNCE_GAP),
        Duration::ZERO,
        &mut diagnostics,
    );
    let checks = check::check(raw, &mut diagnostics);
    let tracked: Vec<Tracked> = raw
        .instances
        .iter()
        .map(|it| {
            track::check(
                raw,
                &it.track_interfaces,
                &it.track_checks,
                &mut diagnostics,
            )
        })
        .collect();
    let cpu_affinity = cpus::check(&raw.cpu_affinity, &mut diagnostics);
    let mut check = Check {
        announce_gap,
        fifos: !raw.notify_fifos.entries().is_empty(),
        seen: routes::Seen::default(),
        diagnostics,
    };
    let instances: Vec<Option<InstanceConfig>> = raw
        .instances
        .iter()
        .map(|instance| check.instance(instance))
        .collect();
    let mut diagnostics = check.diagnostics;
    let groups = groups::check(raw, &mut diagnostics);
    track::warn(raw, &tracked, &groups, &mut diagnostics);
    let script_user = script::run_as(&raw.script_user, &mut diagnostics);
    let notify_fifos = notify::fifos(raw, &mut diagnostics);
    notify::unheard(raw, &mut diagnostics);
    notify::unique(raw, &mut diagnostics);
    unique::check(raw, &mut diagnostics);
    diagnostics.sort_by_key(|diagnostic| (diagnostic.span.start, diagnostic.severity));
    let bad = diagnostics
        .iter()
        .any(|diagnostic| diagnostic.severity == Severity::Error);
    let instances: Option<Vec<InstanceConfig>> = instances.into_iter().collect();
    match instances {
        Some(mut instances) if !bad => {
            for (instance, tracked) in instances.iter_mut().zip(tracked) {
                instance.track_interfaces = tracked.interfaces;
                instance.track_checks = tracked.checks;
            }
            let xdp_mode = raw
                .xdp_mode
                .given()
                .map_or_else(Default::default, |mode| mode.value);
            Ok((
                Config {
                    xdp_mode,
                    consume: raw.consume.given().is_some_and(|it| it.value),
                    startup_delay,
                    announce_gap,
                    cpu_affinity,
                    checks,
                    script_user,
                    script_security: raw.script_security.given().is_some_and(|it| it.value),
                    notify_fifos,
                    sync_groups: groups.into_iter().map(|(group, _)| group).collect(),
                    instances,
                },
                diagnostics,
            ))
        }
        _ => Err(diagnostics),
    }
}

struct Check {
    announce_gap: Duration,
    /// Whether there are FIFOs that hear of transitions.
    fifos: bool,
    seen: routes::Seen,
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
        let family = addresses::family(raw, &mut self.diagnostics);
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

        let found = &mut self.diagnostics;
        let addresses = addresses::check(raw, version, family, found);
        let any_first_address = addresses::any_first_address(raw, family, found);
        let all: Vec<_> = addresses.all().collect();
        let unicast = raw
            .unicast
            .given()
            .map(|unicast| unicast::check(unicast, family, &all, priority, found));
        let Preemption {
            preempt,
            delay: preempt_delay,
            quick: quick_preempt,
        } = preempt::check(raw, priority, found);
        let virtual_mac = virtual_mac::check(raw, priority, found);
        let accept = virtual_mac::accept(raw, priority, found);
        let routes = self.seen.routes(raw, family, &all, found);
        let rules = self.seen.rules(raw, found);
        let announce = announce::check(raw, all.len(), self.announce_gap, found);
        let notify = notify::check(&raw.notify, Whose::Instance, self.fifos, found);
        let Addresses {
            advertised,
            excluded,
        } = addresses;
        Some(InstanceConfig {
            name: name?,
            interface: interface?,
            vrid: vrid?,
            family: family?,
            version: version?,
            priority: priority?,
            advert_interval: advert_interval?,
            preempt,
            preempt_delay,
            quick_preempt,
            checksum,
            password,
            unicast,
            virtual_mac,
            accept,
            any_first_address,
            addresses: advertised,
            excluded_addresses: excluded,
            routes,
            rules,
            announce,
            // Of all instances at once: checks and groups matter for them.
            track_interfaces: Vec::new(),
            track_checks: Vec::new(),
            notify,
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
        names::name(name, &mut self.diagnostics)
    }

    fn interface(&mut self, raw: &RawInstance) -> Option<String> {
        let interface = self.required(raw, &raw.interface, "interface", "\"eth0\"")?;
        names::interface(interface, &mut self.diagnostics)
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
}
