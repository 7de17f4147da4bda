//! What a killed predecessor left on the host: found by its journal, told from
//! what others put there by the protocol number that everything of ours carries.

use std::{collections::HashMap, io};

use futures_util::TryStreamExt;
use netlink_packet_route::link::LinkAttribute;
use rtnetlink::Handle;

use super::{
    accept::{self, AcceptError},
    host::{self, Address, Device, HostTable, Item, Rule},
    interface::{InterfaceAddress, interface_address},
    journal::{AddressEntry, Inventory},
    macvlan::{self, MacvlanError},
    sysctl::SysctlError,
};

/// Something that could not be removed or put back.
#[derive(Debug, thiserror::Error)]
pub enum CleanError {
    /// The host could not be asked what it has.
    #[error("asking the kernel for interfaces and addresses: {0}")]
    List(#[from] rtnetlink::Error),
    /// One item.
    #[error("removing {item}: {source}")]
    Item {
        /// The item.
        item: Box<Item>,
        /// What the kernel says.
        source: io::Error,
    },
    /// An interface of our own.
    #[error(transparent)]
    Macvlan(#[from] MacvlanError),
    /// The nftables table.
    #[error(transparent)]
    Accept(#[from] AcceptError),
    /// A setting.
    #[error(transparent)]
    Sysctl(#[from] SysctlError),
}

/// Whether `found` was added by a predecessor that kept `journal`.
///
/// From Linux 5.18 on the address itself says so (`tagged`); before, the journal
/// alone has to do.
#[must_use]
pub fn is_leftover(
    interface: &str,
    found: &InterfaceAddress,
    journal: &Inventory,
    configured: &Inventory,
    tagged: bool,
) -> bool {
    let entry = AddressEntry::new(interface, found.address, found.prefix_len);
    if tagged {
        found.protocol == Some(host::PROTOCOL)
            && (journal.addresses.contains(&entry) || configured.addresses.contains(&entry))
    } else {
        journal.addresses.contains(&entry)
    }
}

/// Removes what a predecessor left: what its `journal` or our own configuration
/// names and what carries our mark. Puts back the settings that it changed.
/// Returns how many things that were. Asks for everything, whatever fails.
///
/// # Errors
/// The first failure.
pub async fn clean(
    handle: &Handle,
    journal: &Inventory,
    configured: &Inventory,
    table: &mut HostTable,
) -> Result<usize, CleanError> {
    let mut cleaner = Cleaner {
        table,
        removed: 0,
        result: Ok(()),
    };
    let both = configured.clone().union(journal);
    let devices = devices(handle).await?;
    cleaner.rules(handle, &both).await?;
    for route in &both.routes {
        let device = |name: &str| {
            devices
                .iter()
                .find(|(_, device)| &*device.name == name)
                .map(|(_, device)| device.clone())
        };
        if let Some(route) = route.route(device) {
            // The request names our protocol: the kernel removes no other's.
            cleaner.item(route.into());
        }
    }
    cleaner
        .addresses(handle, journal, configured, &devices)
        .await?;
    for name in &both.macvlans {
        cleaner.macvlan(handle, name).await;
    }
    for name in &journal.nft_tables {
        let removed = accept::remove(name).map(|()| true);
        cleaner.note("an nftables table", name, removed);
    }
    for change in journal.sysctls.iter().rev() {
        cleaner.note("a setting", &change.to_string(), change.undo());
    }
    let Cleaner {
        removed, result, ..
    } = cleaner;
    result.map(|()| removed)
}

struct Cleaner<'a> {
    table: &'a mut HostTable,
    removed: usize,
    /// The first failure.
    result: Result<(), CleanError>,
}

impl Cleaner<'_> {
    /// Counts and tells what was removed, or keeps the error.
    fn note<E: Into<CleanError>>(&mut self, kind: &str, name: &str, result: Result<bool, E>) {
        match result {
            Ok(true) => {
                self.removed += 1;
                tracing::info!("removed {kind} that a killed daemon left behind: {name}");
            }
            Ok(false) => {}
            Err(error) => {
                let error = error.into();
                tracing::error!(%error, "something that a killed daemon left stays behind");
                if self.result.is_ok() {
                    self.result = Err(error);
                }
            }
        }
    }

    fn item(&mut self, item: Item) {
        let result = self.table.remove_leftover(&item);
        let name = item.to_string();
        let result = result.map_err(|source| CleanError::Item {
            item: Box::new(item),
            source,
        });
        self.note("this", &name, result);
    }

    async fn addresses(
        &mut self,
        handle: &Handle,
        journal: &Inventory,
        configured: &Inventory,
        devices: &HashMap<u32, Device>,
    ) -> Result<(), CleanError> {
        let tagged = kernel_tags_addresses();
        let mut addresses = handle.address().get().execute();
        let mut leftovers = Vec::new();
        while let Some(message) = addresses.try_next().await? {
            let Some(device) = devices.get(&message.header.index) else {
                continue;
            };
            let Some(found) = interface_address(&message) else {
                continue;
            };
            if is_leftover(&device.name, &found, journal, configured, tagged) {
                leftovers.push(Address::new(
                    device.clone(),
                    found.address,
                    found.prefix_len,
                ));
            }
        }
        // The last first: with the first of a network the kernel may remove the others.
        for address in leftovers.into_iter().rev() {
            self.item(address.into());
        }
        Ok(())
    }

    async fn rules(&mut self, handle: &Handle, both: &Inventory) -> Result<(), CleanError> {
        if both.rules.is_empty() {
            return Ok(());
        }
        let mut marked = Vec::new();
        for version in [rtnetlink::IpVersion::V4, rtnetlink::IpVersion::V6] {
            let mut rules = handle.rule().get(version).execute();
            while let Some(message) = rules.try_next().await? {
                marked.extend(Rule::marked(&message));
            }
        }
        for rule in both.rules.iter().map(Rule::from) {
            for found in marked.iter().filter(|found| rule.describes(found)) {
                self.item(found.clone().into());
            }
        }
        Ok(())
    }

    async fn macvlan(&mut self, handle: &Handle, name: &str) {
        let removed = match macvlan::find(handle, name).await {
            // A name alone is no proof.
            Ok(Some(found)) if found.is_virtual_router() => {
                found.delete(handle).await.map(|()| true)
            }
            Ok(_) => Ok(false),
            Err(error) => Err(error),
        };
        self.note("an interface", name, removed);
    }
}

/// The interfaces by index.
async fn devices(handle: &Handle) -> Result<HashMap<u32, Device>, rtnetlink::Error> {
    let mut devices = HashMap::new();
    let mut links = handle.link().get().execute();
    while let Some(link) = links.try_next().await? {
        let index = link.header.index;
        let name = link
            .attributes
            .iter()
            .find_map(|attribute| match attribute {
                LinkAttribute::IfName(name) => Some(name.as_str()),
                _ => None,
            });
        if let Some(name) = name {
            devices.insert(index, Device::new(index, name));
        }
    }
    Ok(devices)
}

/// Whether this kernel keeps `IFA_PROTO`: Linux 5.18 or newer.
fn kernel_tags_addresses() -> bool {
    let name = rustix::system::uname();
    version_at_least(&name.release().to_string_lossy(), (5, 18))
}

fn version_at_least(release: &str, least: (u32, u32)) -> bool {
    let mut numbers = release
        .split(|c: char| !c.is_ascii_digit())
        .map(|part| part.parse::<u32>().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) >= least
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(protocol: Option<u8>) -> InterfaceAddress {
        InterfaceAddress {
            address: "10.0.0.100".parse().unwrap(),
            prefix_len: 24,
            secondary: true,
            tentative: false,
            protocol,
        }
    }

    fn ours() -> Inventory {
        let mut inventory = Inventory::default();
        inventory
            .addresses
            .insert(AddressEntry::new("eth0", [10, 0, 0, 100].into(), 24));
        inventory
    }

    #[test]
    fn only_what_carries_our_mark_and_our_name_is_a_leftover() {
        let (ours, none) = (ours(), Inventory::default());
        let marked = found(Some(host::PROTOCOL));
        assert!(is_leftover("eth0", &marked, &ours, &none, true));
        assert!(is_leftover("eth0", &marked, &none, &ours, true));
        assert!(
            !is_leftover("eth0", &marked, &none, &none, true),
            "another daemon's"
        );
        assert!(
            !is_leftover("eth1", &marked, &ours, &ours, true),
            "another interface"
        );
        assert!(
            !is_leftover("eth0", &found(None), &ours, &ours, true),
            "somebody else's"
        );
        assert!(
            !is_leftover("eth0", &found(Some(3)), &ours, &ours, true),
            "the kernel's"
        );
    }

    #[test]
    fn an_old_kernel_leaves_only_the_journal_to_go_by() {
        let (ours, none) = (ours(), Inventory::default());
        assert!(is_leftover("eth0", &found(None), &ours, &none, false));
        assert!(!is_leftover("eth0", &found(None), &none, &ours, false));
    }

    #[test]
    fn kernel_releases_compare_by_number() {
        assert!(version_at_least("6.18.44-fc", (5, 18)));
        assert!(version_at_least("5.18.0", (5, 18)));
        assert!(!version_at_least("5.15.0-101-generic", (5, 18)));
        assert!(!version_at_least("5.9.1", (5, 18)));
    }
}
