//! Whether this host's interfaces know the networks that the addresses are of.

use std::{collections::HashMap, net::IpAddr};

use super::{
    diagnostic::Diagnostic,
    located::Located,
    raw::{RawAddressEntry, RawConfig, RawInstance},
    routes::network,
};

/// The addresses of each interface, with the lengths of their prefixes.
type Interfaces = HashMap<String, Vec<(IpAddr, u8)>>;

/// Warnings about addresses outside of every network of the interface that they
/// are put on. None of what cannot be told: an interface that is not here, or has
/// no address of the family.
pub(super) fn here(raw: &RawConfig) -> Vec<Diagnostic> {
    outside(raw, &interfaces())
}

fn interfaces() -> Interfaces {
    let mut found = Interfaces::new();
    let Ok(all) = nix::ifaddrs::getifaddrs() else {
        return found;
    };
    for one in all {
        let address = one.address.and_then(|address| ip(&address));
        let mask = one.netmask.and_then(|mask| ip(&mask));
        if let (Some(address), Some(mask)) = (address, mask) {
            let bits = match mask {
                IpAddr::V4(mask) => u32::from(mask).count_ones(),
                IpAddr::V6(mask) => u128::from(mask).count_ones(),
            };
            let prefix_len = u8::try_from(bits).unwrap_or(u8::MAX);
            found
                .entry(one.interface_name)
                .or_default()
                .push((address, prefix_len));
        }
    }
    found
}

fn ip(address: &nix::sys::socket::SockaddrStorage) -> Option<IpAddr> {
    let v4 = address.as_sockaddr_in().map(|address| address.ip().into());
    v4.or_else(|| address.as_sockaddr_in6().map(|address| address.ip().into()))
}

fn outside(raw: &RawConfig, interfaces: &Interfaces) -> Vec<Diagnostic> {
    let entries = raw.instances.iter().flat_map(|instance| {
        let entries = instance.all_addresses();
        entries.map(move |entry| (instance, entry))
    });
    entries
        .filter_map(|(instance, entry)| stranger(raw, instance, entry, interfaces))
        .collect()
}

fn stranger(
    raw: &RawConfig,
    instance: &RawInstance,
    entry: &Located<RawAddressEntry>,
    interfaces: &Interfaces,
) -> Option<Diagnostic> {
    let ip = entry.value.ip();
    if matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local()) {
        return None;
    }
    let own = instance.virtual_mac.given().and_then(|it| it.value.name());
    let on = entry.value.interface.given().map(|name| &*name.value);
    let on = on.filter(|on| own != Some(on));
    let interface = on.or(instance.interface.given().map(|name| &*name.value))?;
    // Those of the host itself: on the Active router the virtual ones are there too.
    let is_virtual = |ip: IpAddr| {
        let mut all = raw.instances.iter().flat_map(RawInstance::all_addresses);
        all.any(|entry| entry.value.ip() == ip)
    };
    let mut networks = interfaces
        .get(interface)?
        .iter()
        .filter(|(own, _)| own.is_ipv4() == ip.is_ipv4() && !is_virtual(*own))
        .filter(|(own, _)| !matches!(own, IpAddr::V6(own) if own.is_unicast_link_local()))
        .map(|(own, prefix_len)| (network(*own, *prefix_len), *prefix_len))
        .peekable();
    networks.peek()?;
    if networks.any(|(base, prefix_len)| network(ip, prefix_len) == base) {
        return None;
    }
    Some(
        Diagnostic::warning(
            entry.value.address.span.clone(),
            format!("{ip} is in none of the networks of {interface}"),
            "other hosts on this link do not look for it here",
        )
        .help(
            "a router has to have a route to it; if the file is for another host, check it there",
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::from_toml;

    #[test]
    fn addresses_outside_of_every_network_are_told() {
        let text = "[[instance]]\nname = \"a\"\ninterface = \"eth0\"\nvrid = 1\n\
            virtual_mac = \"v1\"\n\
            addresses = [\"10.0.0.100/24\", \"10.0.5.1\", { address = \"10.1.0.7/24\", interface = \"eth1\" }, \
            { address = \"10.0.0.101/24\", interface = \"v1\" }]\n\
            excluded_addresses = [\"2001:db8::1/64\", \"fe80::1/64\", { address = \"10.9.0.1/24\", interface = \"eth9\" }]\n";
        let (raw, _) = from_toml::read(text).unwrap();
        let here = |interfaces: &[(&str, &[(&str, u8)])]| -> Vec<String> {
            let interfaces = interfaces
                .iter()
                .map(|(name, addresses)| {
                    let addresses = addresses.iter();
                    let addresses = addresses.map(|(ip, len)| (ip.parse().unwrap(), *len));
                    ((*name).to_owned(), addresses.collect())
                })
                .collect();
            let found = outside(&raw, &interfaces);
            found.into_iter().map(|one| one.message).collect()
        };
        let eth0: (&str, &[(&str, u8)]) = (
            "eth0",
            &[("10.0.0.1", 24), ("fe80::2", 64), ("10.0.5.1", 24)],
        );
        assert_eq!(here(&[]), [""; 0]);
        assert_eq!(
            here(&[eth0, ("eth1", &[("10.1.0.1", 25)])]),
            ["10.0.5.1 is in none of the networks of eth0"]
        );
        assert_eq!(
            here(&[eth0, ("eth1", &[("10.2.0.1", 16)])]).len(),
            2,
            "the one on eth1 too"
        );
        let v6 = ("eth0", &[("10.0.0.1", 8), ("2001:db9::2", 64)][..]);
        assert_eq!(
            here(&[v6]),
            ["2001:db8::1 is in none of the networks of eth0"]
        );
    }
}
