//! The journal: what a daemon may put on its host, written down before it does,
//! for a successor that finds it killed.
//!
//! Things are named as people name them: an index means another interface after
//! the next start of the machine.

use std::{
    collections::BTreeSet,
    fs, io,
    net::IpAddr,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::{
    host::{Address, Device, Item, Prefix, Route, Rule},
    sysctl::Change,
};

/// Version of the format. Version 1 was a list of addresses.
const VERSION: u32 = 2;

/// What a daemon may have put on its host.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Inventory {
    /// Addresses.
    pub addresses: BTreeSet<AddressEntry>,
    /// Routes.
    pub routes: BTreeSet<RouteEntry>,
    /// Policy rules.
    pub rules: BTreeSet<RuleEntry>,
    /// Names of interfaces with a virtual router's link-layer address.
    pub macvlans: BTreeSet<String>,
    /// Settings that were changed, in this order.
    pub sysctls: Vec<Change>,
    /// nftables tables (family inet).
    pub nft_tables: BTreeSet<String>,
}

impl Inventory {
    /// Adds `item`; returns whether it was not there before. An interface that is up
    /// is not worth a line: if it is ours it is among the macvlans.
    pub fn add(&mut self, item: &Item) -> bool {
        match item {
            Item::Address(address) => self.addresses.insert(address.into()),
            Item::Route(route) => self.routes.insert(route.into()),
            Item::Rule(rule) => self.rules.insert(rule.into()),
            Item::Link(_) => false,
        }
    }

    /// What is in either.
    #[must_use]
    pub fn union(mut self, other: &Self) -> Self {
        self.addresses.extend(other.addresses.iter().cloned());
        self.routes.extend(other.routes.iter().cloned());
        self.rules.extend(other.rules.iter().cloned());
        self.macvlans.extend(other.macvlans.iter().cloned());
        self.nft_tables.extend(other.nft_tables.iter().cloned());
        for change in &other.sysctls {
            if !self.sysctls.contains(change) {
                self.sysctls.push(change.clone());
            }
        }
        self
    }

    /// Reads any version.
    fn parse(bytes: &[u8]) -> io::Result<Self> {
        let value: serde_json::Value = serde_json::from_slice(bytes).map_err(io::Error::other)?;
        if value.is_array() {
            return Ok(Self {
                addresses: serde_json::from_value(value).map_err(io::Error::other)?,
                ..Self::default()
            });
        }
        match value.get("version").and_then(serde_json::Value::as_u64) {
            Some(version) if version == u64::from(VERSION) => {
                serde_json::from_value(value).map_err(io::Error::other)
            }
            version => Err(io::Error::other(format!(
                "its version is {version:?}, and only those up to {VERSION} are known: another \
                 Harrier wrote it; start that once, and stop it, to clean up"
            ))),
        }
    }

    fn render(&self) -> io::Result<Vec<u8>> {
        #[derive(Serialize)]
        struct Versioned<'a> {
            version: u32,
            #[serde(flatten)]
            inventory: &'a Inventory,
        }
        serde_json::to_vec(&Versioned {
            version: VERSION,
            inventory: self,
        })
        .map_err(io::Error::other)
    }
}

/// An address on an interface.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct AddressEntry {
    /// Name of the interface.
    pub interface: String,
    /// The address with its prefix length, as `10.0.0.1/24`.
    pub address: String,
}

impl AddressEntry {
    /// An entry for `address` on `interface`.
    #[must_use]
    pub fn new(interface: &str, address: IpAddr, prefix_len: u8) -> Self {
        Self {
            interface: interface.to_owned(),
            address: format!("{address}/{prefix_len}"),
        }
    }
}

impl From<&Address> for AddressEntry {
    fn from(address: &Address) -> Self {
        Self::new(&address.device.name, address.address, address.prefix_len)
    }
}

/// A network.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct PrefixEntry {
    /// Its address.
    pub address: IpAddr,
    /// Bits that count.
    pub len: u8,
}

impl From<Prefix> for PrefixEntry {
    fn from(Prefix { address, len }: Prefix) -> Self {
        Self { address, len }
    }
}

impl From<PrefixEntry> for Prefix {
    fn from(PrefixEntry { address, len }: PrefixEntry) -> Self {
        Self { address, len }
    }
}

/// A route; see [`Route`].
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the fields are those of Route, but for names")]
pub struct RouteEntry {
    pub destination: PrefixEntry,
    pub gateway: Option<IpAddr>,
    /// Name of the interface.
    pub interface: Option<String>,
    pub table: u32,
    pub metric: Option<u32>,
    pub source: Option<IpAddr>,
}

impl From<&Route> for RouteEntry {
    fn from(route: &Route) -> Self {
        Self {
            destination: route.destination.into(),
            gateway: route.gateway,
            interface: route.device.as_ref().map(|device| device.name.to_string()),
            table: route.table,
            metric: route.metric,
            source: route.source,
        }
    }
}

impl RouteEntry {
    /// The route, if its interface, which `device` finds by name, is there: the
    /// kernel removes routes with their interface.
    #[must_use]
    pub fn route(&self, device: impl FnOnce(&str) -> Option<Device>) -> Option<Route> {
        let device = match &self.interface {
            Some(name) => Some(device(name)?),
            None => None,
        };
        Some(Route {
            destination: self.destination.into(),
            gateway: self.gateway,
            device,
            table: self.table,
            metric: self.metric,
            source: self.source,
        })
    }
}

/// A policy rule; see [`Rule`].
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the fields are those of Rule")]
pub struct RuleEntry {
    pub from: Option<PrefixEntry>,
    pub to: Option<PrefixEntry>,
    pub table: u32,
    pub priority: Option<u32>,
}

impl From<&Rule> for RuleEntry {
    fn from(rule: &Rule) -> Self {
        Self {
            from: rule.from.map(PrefixEntry::from),
            to: rule.to.map(PrefixEntry::from),
            table: rule.table,
            priority: rule.priority,
        }
    }
}

impl From<&RuleEntry> for Rule {
    fn from(entry: &RuleEntry) -> Self {
        Self {
            from: entry.from.map(Prefix::from),
            to: entry.to.map(Prefix::from),
            table: entry.table,
            priority: entry.priority,
        }
    }
}

/// The file with the inventory of the daemon that has the runtime directory.
/// Written at start, before anything is put on the host; gone when this value is
/// dropped. Nothing is written during a takeover.
#[derive(Debug)]
pub struct Journal {
    path: Option<PathBuf>,
}

impl Journal {
    /// What a predecessor left behind; nothing if it stopped cleanly.
    ///
    /// # Errors
    /// If the file is there but cannot be read.
    pub fn predecessor(path: &Path) -> io::Result<Inventory> {
        match fs::read(path) {
            Ok(bytes) => Inventory::parse(&bytes).map_err(|error| {
                io::Error::other(format!("reading the journal {}: {error}", path.display()))
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Inventory::default()),
            Err(error) => Err(error),
        }
    }

    /// Writes a new journal in place of the old one, in one step.
    ///
    /// # Errors
    /// What the file system says.
    pub fn write(path: &Path, inventory: &Inventory) -> io::Result<Self> {
        replace(path, inventory)?;
        Ok(Self {
            path: Some(path.to_owned()),
        })
    }

    /// Writes it anew: something more may be put on the host, on an interface that
    /// has appeared for example.
    ///
    /// # Errors
    /// What the file system says.
    pub fn update(&self, inventory: &Inventory) -> io::Result<()> {
        match &self.path {
            Some(path) => replace(path, inventory),
            None => Ok(()),
        }
    }

    /// Leaves the file for the successor: something may have stayed behind.
    pub fn keep(mut self) {
        self.path = None;
    }
}

fn replace(path: &Path, inventory: &Inventory) -> io::Result<()> {
    let next = path.with_extension("next");
    fs::write(&next, inventory.render()?)?;
    fs::rename(&next, path)
}

impl Drop for Journal {
    fn drop(&mut self) {
        if let Some(path) = &self.path
            && let Err(error) = fs::remove_file(path)
        {
            tracing::warn!(journal = %path.display(), %error, "the journal stays behind");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn everything() -> Inventory {
        let device = Device::new(7, "eth0");
        let prefix = |text: &str, len| Prefix {
            address: text.parse().unwrap(),
            len,
        };
        let mut inventory = Inventory::default();
        inventory.add(&Address::new(device.clone(), [10, 0, 0, 100].into(), 24).into());
        inventory.add(
            &Route {
                destination: prefix("2001:db8::", 32),
                gateway: Some("fe80::1".parse().unwrap()),
                device: Some(device),
                table: 1000,
                metric: Some(5),
                source: None,
            }
            .into(),
        );
        inventory.add(
            &Rule {
                from: Some(prefix("10.0.0.100", 32)),
                to: None,
                table: 100,
                priority: None,
            }
            .into(),
        );
        inventory.macvlans.insert("hv4-51.3".into());
        inventory.nft_tables.insert("harrier".into());
        inventory
    }

    #[test]
    fn the_journal_is_for_a_successor_only() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("addresses.json");
        assert_eq!(Journal::predecessor(&path).unwrap(), Inventory::default());
        let journal = Journal::write(&path, &Inventory::default()).unwrap();
        journal.update(&everything()).unwrap();
        journal.keep();
        assert_eq!(Journal::predecessor(&path).unwrap(), everything());
        drop(Journal::write(&path, &everything()).unwrap());
        assert_eq!(Journal::predecessor(&path).unwrap(), Inventory::default());
    }

    #[test]
    fn a_journal_of_addresses_alone_is_understood() {
        let old = br#"[{"interface":"eth0","address":"10.0.0.100/24"}]"#;
        let inventory = Inventory::parse(old).unwrap();
        let entry = AddressEntry::new("eth0", [10, 0, 0, 100].into(), 24);
        assert_eq!(inventory.addresses, BTreeSet::from([entry]));
        assert_eq!(Inventory::parse(b"[]").unwrap(), Inventory::default());
    }

    #[test]
    fn a_newer_journal_is_refused_with_its_version() {
        let message = Inventory::parse(br#"{"version":3}"#)
            .unwrap_err()
            .to_string();
        assert!(message.contains('3'), "{message}");
        assert!(Inventory::parse(b"{}").is_err());
    }

    #[test]
    fn routes_and_rules_come_back_whole() {
        let inventory = everything();
        let entry = inventory.routes.first().unwrap();
        let route = entry.route(|name| Some(Device::new(9, name))).unwrap();
        assert_eq!(route.device, Some(Device::new(9, "eth0")));
        assert_eq!(RouteEntry::from(&route), *entry);
        assert_eq!(entry.route(|_| None), None, "its interface is gone");
        let entry = inventory.rules.first().unwrap();
        assert_eq!(RuleEntry::from(&Rule::from(entry)), *entry);
    }
}
