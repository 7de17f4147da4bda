//! What the model promises of every configuration that was taken.

use std::{
    collections::HashSet,
    hash::Hash,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    time::Duration,
};

use ha_common::{
    fsm::timers,
    types::{AddressFamily, Centiseconds, Priority, RouterAddress, Version},
    wire::vrrp::{Authentication, MAX_MESSAGE_LEN, Outgoing, encode, encode_any, group},
};
use ha_user::{
    config::{
        AddressConfig, CheckConfig, CheckKind, Config, InstanceConfig, NotifyConfig, RouteConfig,
        RuleConfig, Scope, Script, TrackedCheck, TrackedInterface, VirtualAddress,
    },
    http::{Server, Url},
};

const SECOND: Duration = Duration::from_secs(1);

/// # Panics
/// If a promise of the model is broken.
pub(in crate::fuzz) fn check(config: &Config) {
    assert!(config.startup_delay <= 1000 * SECOND);
    assert!(config.announce_gap <= SECOND);
    config.checks.iter().for_each(check_of);
    distinct(config.checks.iter().map(|one| &one.name), "checks");
    for group in &config.sync_groups {
        tracked(config, &group.track_interfaces, &group.track_checks);
        told(&group.notify);
    }
    for fifo in &config.notify_fifos {
        assert!(fifo.path.is_absolute() && fifo.path.file_name().is_some());
        fifo.reader.iter().for_each(script);
    }
    for instance in &config.instances {
        advertised(instance);
        roles(instance);
        peers(instance);
        addresses(instance);
        instance.routes.iter().for_each(route);
        instance.rules.iter().for_each(rule);
        announced(instance);
        tracked(config, &instance.track_interfaces, &instance.track_checks);
        told(&instance.notify);
    }
    shared(config);
    groups(config);
}

/// It can be sent, in one piece, and has deadlines.
fn advertised(instance: &InstanceConfig) {
    let addresses: Vec<RouterAddress> = instance
        .addresses
        .iter()
        .map(|address| address.address.address.into())
        .collect();
    let message = Outgoing {
        version: instance.version,
        family: instance.family,
        vrid: instance.vrid,
        priority: instance.priority,
        interval: Centiseconds::from_duration(instance.advert_interval)
            .expect("whole centiseconds"),
        addresses: &addresses,
        source: RouterAddress([0; 16]),
        destination: group(instance.family),
        checksum: instance.checksum,
        auth: Authentication::None,
    };
    let encode = if instance.any_first_address {
        encode_any
    } else {
        encode
    };
    match encode(&message, &mut [0; MAX_MESSAGE_LEN]) {
        Ok(octets) => {
            let header = match instance.family {
                AddressFamily::Ipv4 => 20,
                AddressFamily::Ipv6 => 40,
            };
            assert!(octets + header <= 1500, "{octets} octets");
        }
        Err(error) => panic!("{} cannot advertise: {error}", instance.name),
    }
    let skew = timers::skew_time(
        instance.version,
        instance.priority,
        instance.advert_interval,
    );
    assert!(!skew.is_zero(), "{instance:?}");
    if instance.version == Version::V2 {
        assert_eq!(instance.family, AddressFamily::Ipv4);
    } else {
        assert_eq!(instance.password, None);
    }
}

/// What has no effect is not there.
fn roles(instance: &InstanceConfig) {
    let owner = instance.priority == Priority::OWNER;
    assert!(instance.preempt_delay <= 1000 * SECOND);
    if owner || !instance.preempt {
        assert!(instance.preempt_delay.is_zero(), "{instance:?}");
    }
    assert!(instance.accept || !owner, "an owner accepts");
}

fn peers(instance: &InstanceConfig) {
    let Some(unicast) = &instance.unicast else {
        return;
    };
    assert!(!unicast.peers.is_empty() && unicast.min_ttl > 0);
    distinct(&unicast.peers, "peers");
    for ip in unicast.peers.iter().chain(&unicast.source) {
        assert_eq!(AddressFamily::of(*ip), instance.family);
    }
}

fn addresses(instance: &InstanceConfig) {
    for address in &instance.addresses {
        let ip = address.address.address;
        assert_eq!(AddressFamily::of(ip), instance.family, "{ip}");
    }
    if let Some(first) = instance.addresses.first()
        && let IpAddr::V6(ip) = first.address.address
    {
        assert!(
            instance.any_first_address || ip.is_unicast_link_local(),
            "{ip} comes first"
        );
    }
    for address in all_addresses(instance) {
        let VirtualAddress {
            address: ip,
            prefix_len,
        } = address.address;
        assert!(prefix_len >= 1 && prefix_len <= bits(ip), "{address}");
        assert!(!ip.is_unspecified() && !ip.is_multicast() && !ip.is_loopback());
        if let Some(name) = &address.interface {
            interface(name);
        }
        if ip.is_ipv6() {
            assert_eq!(address.label, None);
            assert_eq!(address.scope, Scope::Global);
        }
        if let Some(label) = &address.label {
            let made = instance.virtual_mac.as_ref();
            let home = made.map_or(Some(&instance.interface), |made| made.name.as_ref());
            let on = address.interface.as_ref().or(home).expect("a known name");
            let rest = label.strip_prefix(on.as_str()).expect("the interface");
            assert!(rest.is_empty() || rest.starts_with(':'), "{label} on {on}");
            assert!(label.len() <= 15, "{label}");
        }
    }
}

fn route(route: &RouteConfig) {
    network(route.destination);
    let family = AddressFamily::of(route.destination.address);
    for ip in route.via.iter().chain(&route.source) {
        assert_eq!(AddressFamily::of(*ip), family, "{route:?}");
    }
    route.interface.iter().for_each(|name| interface(name));
    assert!(route.table != Some(0) && route.metric != Some(0));
}

fn rule(rule: &RuleConfig) {
    let prefixes: Vec<VirtualAddress> = rule.from.into_iter().chain(rule.to).collect();
    assert!(!prefixes.is_empty());
    for prefix in &prefixes {
        network(*prefix);
        assert_eq!(prefix.address.is_ipv4(), prefixes[0].address.is_ipv4());
    }
    assert!(rule.table > 0 && rule.priority != Some(0));
}

fn announced(instance: &InstanceConfig) {
    let schedule = instance.announce;
    assert!(schedule.count > 0);
    assert!(schedule.interval >= SECOND / 1000 && schedule.interval <= 60 * SECOND);
    assert!(schedule.delay <= 1000 * SECOND);
    assert!(
        schedule.refresh.is_zero()
            || (schedule.refresh >= SECOND / 10 && schedule.refresh <= 86_400 * SECOND)
    );
}

fn tracked(config: &Config, interfaces: &[TrackedInterface], checks: &[TrackedCheck]) {
    for tracked in interfaces {
        interface(&tracked.name);
        assert!((-253..=253).contains(&tracked.weight));
    }
    distinct(interfaces.iter().map(|one| &one.name), "tracked interfaces");
    for tracked in checks {
        assert!(tracked.check < config.checks.len());
        assert!((-253..=253).contains(&tracked.weight));
    }
    distinct(checks.iter().map(|one| one.check), "tracked checks");
}

/// It can be carried out.
fn check_of(check: &CheckConfig) {
    let day = 86_400 * SECOND;
    let least = match check.kind {
        CheckKind::Exec(_) => SECOND / 10,
        _ => SECOND / 100,
    };
    assert!(check.interval >= least && check.interval <= day);
    assert!(check.timeout >= SECOND / 1000 && check.timeout <= day);
    assert!(check.rise > 0 && check.fall > 0);
    match &check.kind {
        CheckKind::Exec(command) => script(command),
        CheckKind::Http(http) => {
            assert!(http.path.starts_with('/') && !http.status.is_empty());
            let (host, port) = (&http.target.host, http.target.port);
            let verify = http.tls.map(|tls| tls.verify);
            Server::new(host, port, verify, http.host.as_deref()).expect("a server");
        }
        CheckKind::Tcp(target) => assert!(!target.host.is_empty() && target.port > 0),
        CheckKind::Process(process) => {
            assert!(process.at_least > 0);
            assert!(process.at_most.is_none_or(|most| most >= process.at_least));
        }
        CheckKind::File(file) => assert!(file.path.is_absolute()),
        CheckKind::Ping(ping) => assert!(!ping.address.is_multicast()),
        CheckKind::Interface(name) => interface(name),
    }
}

/// It can be handed to the kernel.
fn script(script: &Script) {
    assert!(!script.argv[0].is_empty());
    assert!(script.argv.iter().all(|word| !word.contains('\0')));
}

/// All who are told of transitions can be.
fn told(notify: &NotifyConfig) {
    let NotifyConfig {
        active,
        backup,
        fault,
        stop,
        any,
        active_lower,
        priority_changes: _,
        timeout,
        state_file,
        webhook,
    } = notify;
    let commands = [active, backup, fault, stop, any, active_lower];
    commands.into_iter().flatten().for_each(script);
    assert!(*timeout >= SECOND / 10 && *timeout <= 86_400 * SECOND);
    if let Some(path) = state_file {
        assert!(path.is_absolute() && path.file_name().is_some(), "{path:?}");
    }
    if let Some(webhook) = webhook {
        let url = Url::parse(&webhook.url).expect("an address");
        Server::of(&url, webhook.verify).expect("a server");
        assert!(webhook.timeout >= SECOND / 10 && webhook.timeout <= 300 * SECOND);
        assert!(webhook.retry_interval >= SECOND / 10);
        assert!(webhook.retry_interval <= 3600 * SECOND && webhook.retries <= 100);
        for (name, value) in &webhook.headers {
            assert!(!name.is_empty() && name.is_ascii() && value.is_ascii());
            assert!(!value.contains(['\r', '\n', '\0']));
        }
    }
}

/// What no two instances have in common.
fn shared(config: &Config) {
    let instances = &config.instances;
    distinct(instances.iter().map(|one| &one.name), "names");
    let routers = instances
        .iter()
        .map(|one| (&one.interface, one.vrid, one.family));
    distinct(routers, "virtual routers");
    let addresses = instances.iter().flat_map(|one| {
        all_addresses(one).map(|address| {
            let link = address.interface.as_ref().unwrap_or(&one.interface);
            (link, address.address.address)
        })
    });
    distinct(addresses, "addresses of an interface");
    let routes = instances.iter().flat_map(|one| &one.routes);
    let routes = routes.map(|one| (one.destination, one.table.unwrap_or(254), one.metric));
    distinct(routes, "routes");
    let rules = instances.iter().flat_map(|one| &one.rules);
    distinct(rules, "rules");

    let made: Vec<&String> = instances
        .iter()
        .filter_map(|one| one.virtual_mac.as_ref()?.name.as_ref())
        .collect();
    made.iter().for_each(|name| interface(name));
    distinct(made.iter(), "virtual MAC interfaces");
    for instance in instances {
        let tracked = instance.track_interfaces.iter().map(|one| &one.name);
        let on = all_addresses(instance).filter_map(|one| one.interface.as_ref());
        for name in tracked.chain(on).chain([&instance.interface]) {
            assert!(!made.contains(&name), "{name} is made by Harrier");
        }
    }
}

fn groups(config: &Config) {
    let groups = &config.sync_groups;
    distinct(groups.iter().map(|group| &group.name), "groups");
    for group in groups {
        assert!(!group.members.is_empty(), "{group:?}");
    }
    let members = groups.iter().flat_map(|group| &group.members);
    assert!(members.clone().all(|place| *place < config.instances.len()));
    distinct(members, "members");
}

fn all_addresses(instance: &InstanceConfig) -> impl Iterator<Item = &AddressConfig> {
    let advertised = instance.addresses.iter();
    advertised.chain(&instance.excluded_addresses)
}

/// An interface can have the name.
fn interface(name: &str) {
    assert!((1..=15).contains(&name.len()), "{name:?}");
    assert!(!name.contains(['/', ':', '\0']) && !name.contains(char::is_whitespace));
}

/// No bits behind the prefix.
fn network(prefix: VirtualAddress) {
    let ip = prefix.address;
    assert!(prefix.prefix_len <= bits(ip), "{prefix}");
    let behind = u32::from(bits(ip) - prefix.prefix_len);
    let trailing = match ip {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) | IpAddr::V6(Ipv6Addr::UNSPECIFIED) => return,
        IpAddr::V4(ip) => u32::from(ip).trailing_zeros(),
        IpAddr::V6(ip) => u128::from(ip).trailing_zeros(),
    };
    assert!(trailing >= behind, "{prefix}");
}

fn bits(ip: IpAddr) -> u8 {
    if ip.is_ipv4() { 32 } else { 128 }
}

fn distinct<T: Eq + Hash>(values: impl IntoIterator<Item = T>, what: &str) {
    let mut seen = HashSet::new();
    for value in values {
        assert!(seen.insert(value), "two {what} are the same");
    }
}
