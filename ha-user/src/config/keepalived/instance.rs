//! `vrrp_instance`.

use std::{collections::HashSet, net::IpAddr, ops::Range, time::Duration};

use ha_common::types::AddressFamily;

use super::{
    address::Home,
    defaults::Garp,
    keywords::Place,
    lex::{Line, Word},
    reader::Reader,
    values,
};
use crate::config::{
    diagnostic::Diagnostic,
    format_duration,
    located::{Field, List, Located},
    model::ChecksumForm,
    raw::{RawAddressEntry, RawConfig, RawInstance},
};

/// Longest `preempt_delay`.
const MAX_PREEMPT_DELAY: Duration = Duration::from_secs(1000);

/// Where a unicast instance without an interface is put, if `global_defs` does
/// not say.
const DEFAULT_INTERFACE: &str = "eth0";

/// What is collected before it can be judged.
#[derive(Default)]
pub(super) struct Draft<'l> {
    /// `state MASTER`.
    pub(super) master: Option<Range<usize>>,
    pub(super) advert_int: Option<&'l Word>,
    pub(super) version: Option<Located<i64>>,
    pub(super) nopreempt: Option<Range<usize>>,
    pub(super) native_ipv6: bool,
    pub(super) authentication: Option<&'l Line>,
    pub(super) source: Option<Located<IpAddr>>,
    pub(super) peers: Option<&'l Line>,
    pub(super) addresses: Vec<&'l Line>,
    pub(super) excluded: Vec<&'l Line>,
    pub(super) tracks: Vec<&'l Line>,
    pub(super) garp: Garp,
}

impl Reader {
    pub(super) fn instance(&mut self, block: &Line, config: &mut RawConfig) {
        let Some(name) = self.block_name(block) else {
            return;
        };
        if !self.defaults.instances.insert(name.value.clone()) {
            self.warn(
                name.span.clone(),
                format!("a second vrrp_instance with the name {:?}", name.value),
                "the first counts, as with keepalived",
                "give it another name",
            );
            return;
        }
        let mut raw = RawInstance {
            head: block.span(),
            ..RawInstance::default()
        };
        let mut draft = Draft::default();
        let mut notify = None;
        for line in block.lines() {
            let Some(keyword) = self.known(line, Place::Instance) else {
                continue;
            };
            self.setting(keyword, line, &mut raw, &mut draft);
            self.notify(keyword, line, &mut notify);
        }
        raw.notify = self.with_defaults(notify).into();
        self.complete(&mut raw, &draft, &name);
        raw.name = Field::Given(name);
        config.instances.push(raw);
    }

    fn setting<'l>(
        &mut self,
        keyword: &str,
        line: &'l Line,
        raw: &mut RawInstance,
        draft: &mut Draft<'l>,
    ) {
        match keyword {
            "state" => self.state(line, draft),
            "interface" => {
                if let Some(word) = self.argument(line) {
                    raw.interface =
                        Field::Given(Located::new(word.text.clone(), word.span.clone()));
                }
            }
            "virtual_router_id" => {
                let else_what = "the line counts for nothing, as with keepalived";
                keep(&mut raw.vrid, self.number(line, 1..=255, else_what));
            }
            "priority" => {
                raw.priority =
                    self.number(line, 1..=255, "priority 100 is taken, as by keepalived");
                if raw.priority.is_absent() {
                    raw.priority = Field::Given(Located::new(100, line.span()));
                }
            }
            "advert_int" => draft.advert_int = self.argument(line).or(draft.advert_int),
            "version" => {
                let else_what = "the version of global_defs, or 2, is taken";
                if let Field::Given(version) = self.number(line, 2..=3, else_what) {
                    draft.version = Some(version);
                }
            }
            "preempt" => draft.nopreempt = None,
            "nopreempt" => draft.nopreempt = Some(line.span()),
            "preempt_delay" => {
                let delay = self.seconds(line, Duration::ZERO..=MAX_PREEMPT_DELAY);
                keep(&mut raw.preempt_delay, delay);
            }
            "authentication" => draft.authentication = Some(line),
            "native_ipv6" => draft.native_ipv6 = true,
            "unicast_src_ip" => draft.source = self.own_address(line),
            "unicast_peer" => draft.peers = Some(line),
            "virtual_ipaddress" => draft.addresses.push(line),
            "virtual_ipaddress_excluded" => draft.excluded.push(line),
            "virtual_routes" => raw.routes = self.routes(line),
            "virtual_rules" => raw.rules = self.rules(line),
            "track_interface" | "track_script" | "track_file" | "track_process" => {
                draft.tracks.push(line);
            }
            "garp_master_delay" => {
                draft.garp.delay = self.number(line, 0..=1000, "5 s are taken").into();
            }
            "garp_master_repeat" => draft.garp.repeat = self.clamped(line, 1..=255).into(),
            "garp_master_refresh" => {
                draft.garp.refresh = self.number(line, 0..=86_400, "none is taken").into();
            }
            "accept" => raw.accept = Field::Absent,
            "no_accept" => raw.accept = Field::Given(Located::new(false, line.span())),
            "use_vmac" => raw.virtual_mac = self.virtual_mac(line),
            "v3_checksum_as_v2" => {
                let on = self.switch(line);
                let form = Located::new(ChecksumForm::MessageOnly, line.span());
                raw.checksum = Some(form).filter(|_| on.value).into();
            }
            _ => {}
        }
    }

    fn state(&mut self, line: &Line, draft: &mut Draft<'_>) {
        let Some(word) = self.argument(line) else {
            return;
        };
        match word.text.as_str() {
            "MASTER" => draft.master = Some(line.span()),
            "BACKUP" => draft.master = None,
            other => {
                let message = format!("there is no state {other:?}");
                self.warn(
                    word.span.clone(),
                    message,
                    "expected MASTER or BACKUP; BACKUP is taken, as by keepalived",
                    "both begin as Backup; who becomes Active is a matter of the priority",
                );
            }
        }
    }

    /// Makes of the draft what it comes to.
    fn complete(&mut self, raw: &mut RawInstance, draft: &Draft<'_>, name: &Located<String>) {
        let unicast = draft.peers.is_some_and(|peers| !peers.lines().is_empty());
        self.needed(raw, unicast, name);
        self.all_addresses(raw, draft);
        let family = self.family(raw, draft);
        let version = self.version(raw, draft, family);
        self.advert_interval(raw, draft, version);
        self.priority(raw, draft);
        self.preemption(raw, draft);
        self.password(raw, draft, version);
        self.unicast(raw, draft, family);
        if raw.checksum.given().is_some() && (version == 2 || family == AddressFamily::Ipv6) {
            raw.checksum = Field::Absent;
        }
        let weighted = self
            .defaults
            .weighted_members
            .iter()
            .find(|(member, _)| *member == name.value)
            .is_none_or(|(_, weighted)| *weighted);
        for block in &draft.tracks {
            if block.keyword().text == "track_interface" {
                self.track_interfaces(block, weighted, &mut raw.track_interfaces);
            } else {
                self.track_checks(block, weighted, &mut raw.track_checks);
            }
        }
        self.routes_by_strangers(raw);
        if !raw.has_no_addresses() {
            let garp = draft.garp.clone().or(&self.defaults.garp);
            raw.announce = garp.announce(self.defaults.announce_gap);
        }
    }

    /// What no instance can do without.
    fn needed(&mut self, raw: &mut RawInstance, unicast: bool, name: &Located<String>) {
        if raw.interface.is_absent() && unicast {
            let (interface, span) = match &self.defaults.interface {
                Some(given) => (given.value.clone(), given.span.clone()),
                None => (DEFAULT_INTERFACE.to_owned(), name.span.clone()),
            };
            self.warn(
                name.span.clone(),
                "a unicast instance without an interface",
                format!("Harrier takes part on one interface: {interface:?} is taken"),
                "say which one: interface eth0",
            );
            raw.interface = Field::Given(Located::new(interface, span));
        }
        for (missing, line) in [
            (raw.interface.is_absent(), "interface eth0"),
            (raw.vrid.is_absent(), "virtual_router_id 51"),
        ] {
            let keyword = line.split(' ').next().unwrap_or(line);
            if missing {
                self.diagnostics.push(
                    Diagnostic::error(
                        name.span.clone(),
                        format!("instance {:?} has no {keyword}", name.value),
                        format!("expected a line such as {line}"),
                    )
                    .help("keepalived does not start without it either"),
                );
            }
        }
        if raw.interface.is_absent() {
            raw.interface = Field::Bad;
        }
        if raw.vrid.is_absent() {
            raw.vrid = Field::Bad;
        }
    }

    fn all_addresses(&mut self, raw: &mut RawInstance, draft: &Draft<'_>) {
        let interface = raw
            .interface
            .given()
            .map(|interface| interface.value.clone());
        let virtual_mac = raw
            .virtual_mac
            .given()
            .map(|given| given.value.name().unwrap_or_default().to_owned());
        let home = Home {
            interface: interface.as_deref(),
            virtual_mac: virtual_mac.as_deref(),
        };
        let mut advertised = Vec::new();
        let mut excluded = Vec::new();
        for block in &draft.addresses {
            advertised.append(&mut self.addresses(block, &home));
        }
        for block in &draft.excluded {
            excluded.append(&mut self.addresses(block, &home));
        }
        let family = advertised
            .first()
            .map(|first| AddressFamily::of(first.value.ip()));
        let (own, other): (Vec<_>, Vec<_>) = advertised
            .into_iter()
            .partition(|entry| Some(AddressFamily::of(entry.value.ip())) == family);
        if let (Some(first), Some(family)) = (other.first(), family) {
            self.warn(
                first.span.clone(),
                format!("an address of another family in an {family} instance"),
                "handled as in virtual_ipaddress_excluded; keepalived passes it over",
                "an instance advertises one family: put the others under \
                 virtual_ipaddress_excluded, or into an instance of their own with the same VRID",
            );
        }
        let own = self.link_local_first(raw, own);
        let mut others = other;
        others.append(&mut excluded);
        let list = |entries: Vec<Located<RawAddressEntry>>, blocks: &[&Line]| {
            let first = entries.first().map(|first| first.span.clone());
            let span = blocks.first().map(|block| block.span()).or(first);
            span.filter(|_| !entries.is_empty()).map(|span| {
                let list = List {
                    entries,
                    incomplete: false,
                };
                Located::new(list, span)
            })
        };
        raw.addresses = list(own, &draft.addresses).into();
        raw.excluded_addresses = list(others, &draft.excluded).into();
    }

    /// Puts the first link-local one of IPv6 addresses in front.
    fn link_local_first(
        &mut self,
        raw: &mut RawInstance,
        mut addresses: Vec<Located<RawAddressEntry>>,
    ) -> Vec<Located<RawAddressEntry>> {
        let is_link_local = |entry: &Located<RawAddressEntry>| matches!(entry.value.ip(), IpAddr::V6(ip) if ip.is_unicast_link_local());
        let place = addresses.iter().position(is_link_local);
        if let (None, Some(first)) = (
            place,
            addresses.first().filter(|first| first.value.ip().is_ipv6()),
        ) {
            let span = first.value.address.span.clone();
            self.warn(
                span.clone(),
                "the first IPv6 address is not link-local",
                "sent and taken like this, as by keepalived; RFC 9568 §5.2.9 asks for an address \
                 of fe80::/10",
                "put one in front that only the virtual router has, such as fe80::51/64, on all \
                 routers",
            );
            raw.any_first_address = Field::Given(Located::new(true, span));
        }
        if let Some(place @ 1..) = place {
            let first = addresses.remove(place);
            self.warn(
                first.span.clone(),
                "the link-local address is not the first",
                "advertised first all the same, as RFC 9568 §5.2.9 asks",
                "write it in front of the others",
            );
            addresses.insert(0, first);
        }
        addresses
    }

    /// The family, which the addresses say, or else the peers.
    fn family(&mut self, raw: &mut RawInstance, draft: &Draft<'_>) -> AddressFamily {
        if let Some(first) = raw.addresses.entries().first() {
            return AddressFamily::of(first.value.ip());
        }
        let peer = draft
            .peers
            .and_then(|peers| peers.lines().first()?.keyword().text.parse().ok());
        let source = draft.source.as_ref().map(|source| source.value);
        let family = if draft.native_ipv6 {
            AddressFamily::Ipv6
        } else {
            source
                .or(peer)
                .map_or(AddressFamily::Ipv4, AddressFamily::of)
        };
        raw.family = Field::Given(Located::new(family, raw.head.clone()));
        if family == AddressFamily::Ipv6 {
            // What the others advertise need not begin with a link-local one.
            raw.any_first_address = Field::Given(Located::new(true, raw.head.clone()));
        }
        family
    }

    fn version(&mut self, raw: &mut RawInstance, draft: &Draft<'_>, family: AddressFamily) -> i64 {
        let said = draft.version.as_ref();
        let version = match family {
            AddressFamily::Ipv4 => said.map_or_else(
                || self.defaults.version.unwrap_or(2),
                |version| version.value,
            ),
            AddressFamily::Ipv6 => 3,
        };
        if let Some(said) = said.filter(|said| said.value != version) {
            self.warn(
                said.span.clone(),
                "VRRP version 2 knows no IPv6",
                "version 3 is taken, as by keepalived",
                "remove the line",
            );
        }
        let span = said.map_or(raw.head.clone(), |said| said.span.clone());
        raw.version = Field::Given(Located::new(version, span));
        version
    }

    /// Leaves out routes whose next router is a virtual address of this instance.
    fn routes_by_strangers(&mut self, raw: &mut RawInstance) {
        let own: HashSet<IpAddr> = raw.all_addresses().map(|one| one.value.ip()).collect();
        let Field::Given(routes) = &mut raw.routes else {
            return;
        };
        routes.value.entries.retain(|route| {
            let via = route.value.via.given();
            let Some(via) = via.filter(|via| own.contains(&via.value)) else {
                return true;
            };
            self.warn(
                via.span.clone(),
                format!(
                    "the next router {} is a virtual address of this instance",
                    via.value
                ),
                "the route is left out",
                "while the route is there, that address is this host's own",
            );
            false
        });
    }

    fn advert_interval(&mut self, raw: &mut RawInstance, draft: &Draft<'_>, version: i64) {
        let Some(word) = draft.advert_int else {
            return;
        };
        let bounds = Duration::from_millis(10)..=Duration::from_secs(255);
        let Some(said) = values::seconds(&word.text).filter(|said| bounds.contains(said)) else {
            self.warn(
                word.span.clone(),
                format!("advert_int cannot be {:?}", word.text),
                "expected seconds from 0.01 to 255; 1 s is taken, as by keepalived",
                "version 3 takes hundredths of a second, version 2 whole seconds",
            );
            return;
        };
        let (step, most, help) = if version == 2 {
            (
                Duration::from_secs(1),
                Duration::from_secs(255),
                "version 3 takes fractions: say vrrp_version 3 in global_defs, on all routers",
            )
        } else {
            (
                Duration::from_millis(10),
                Duration::from_millis(40_950),
                "version 3 sends the interval in hundredths of a second, in 12 bits",
            )
        };
        let steps = (said + step / 2).as_nanos() / step.as_nanos();
        let rounded = step * u32::try_from(steps).unwrap_or(u32::MAX);
        let taken = rounded.clamp(step, most);
        if taken != said {
            self.warn(
                word.span.clone(),
                format!(
                    "version {version} cannot advertise every {}",
                    format_duration(said)
                ),
                format!("{} is taken", format_duration(taken)),
                help,
            );
        }
        raw.advert_interval = Field::Given(Located::new(taken, word.span.clone()));
    }

    fn priority(&mut self, raw: &mut RawInstance, draft: &Draft<'_>) {
        if let (Field::Absent, Some(master)) = (&raw.priority, &draft.master) {
            self.warn(
                master.clone(),
                "state MASTER without a priority",
                "255 is taken, as by keepalived: the address owner, who takes over at once and \
                 whom no check can weaken",
                "say a priority, such as priority 150",
            );
            raw.priority = Field::Given(Located::new(255, master.clone()));
        }
    }

    fn preemption(&mut self, raw: &mut RawInstance, draft: &Draft<'_>) {
        let mut nopreempt = draft.nopreempt.clone();
        if draft.master.is_some() {
            let delay = raw.preempt_delay.given().map(|delay| delay.span.clone());
            for (span, keyword) in [(nopreempt.take(), "nopreempt"), (delay, "preempt_delay")] {
                let Some(span) = span else { continue };
                self.warn(
                    span,
                    format!("{keyword} has no effect with state MASTER"),
                    "this router relieves a lesser one at once, as with keepalived",
                    "say state BACKUP on all routers: the greatest priority begins all the same",
                );
            }
            raw.preempt_delay = Field::Absent;
        }
        if let Some(span) = nopreempt {
            if let Field::Given(delay) = std::mem::take(&mut raw.preempt_delay) {
                self.warn(
                    delay.span,
                    "preempt_delay has no effect with nopreempt",
                    "a router that does not preempt relieves nobody",
                    "remove one of the two",
                );
            }
            raw.preempt = Field::Given(Located::new(false, span));
        }
    }
}

/// Takes `new` if there is one: a line that counts for nothing leaves what an
/// earlier one said.
fn keep<T>(field: &mut Field<T>, new: Field<T>) {
    if !new.is_absent() {
        *field = new;
    }
}
