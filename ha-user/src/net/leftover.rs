//! What a killed predecessor left on the host: found by its journal, told from
//! other people's addresses by `IFA_PROTO`.

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::{
    address::{ADDRESS_PROTOCOL, AddressTable},
    interface::{Interface, InterfaceAddress},
};
use crate::config::VirtualAddress;

/// One line of the journal: an address that this daemon may add.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct Entry {
    /// Name of the interface.
    pub interface: String,
    /// The address with its prefix, as `10.0.0.1/24`.
    pub address: String,
}

impl Entry {
    /// An entry for `address` on `interface`.
    #[must_use]
    pub fn new(interface: &str, address: VirtualAddress) -> Self {
        Self {
            interface: interface.to_owned(),
            address: address.to_string(),
        }
    }
}

/// The file that says which addresses a daemon with this runtime directory may
/// have added. Written once at start, before any address is; gone when this value
/// is dropped. Nothing is written during a takeover.
#[derive(Debug)]
pub struct Journal {
    path: Option<PathBuf>,
}

impl Journal {
    /// The entries that a predecessor left; none if it stopped cleanly.
    ///
    /// # Errors
    /// If the file is there but cannot be read.
    pub fn predecessor(path: &Path) -> io::Result<BTreeSet<Entry>> {
        match fs::read(path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(io::Error::other),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(BTreeSet::new()),
            Err(error) => Err(error),
        }
    }

    /// Writes a new journal in place of the old one, atomically.
    ///
    /// # Errors
    /// What the file system says.
    pub fn write(path: &Path, entries: &BTreeSet<Entry>) -> io::Result<Self> {
        let next = path.with_extension("next");
        fs::write(
            &next,
            serde_json::to_vec(entries).map_err(io::Error::other)?,
        )?;
        fs::rename(&next, path)?;
        Ok(Self {
            path: Some(path.to_owned()),
        })
    }

    /// Leaves the file for the successor: an address may have stayed behind.
    pub fn keep(mut self) {
        self.path = None;
    }
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

/// Whether `found` was added by a predecessor that kept `journal`.
///
/// From Linux 5.18 on the address itself says so (`tagged`); before, the journal
/// alone has to do.
#[must_use]
pub fn is_leftover(
    interface: &str,
    found: &InterfaceAddress,
    journal: &BTreeSet<Entry>,
    configured: &BTreeSet<Entry>,
    tagged: bool,
) -> bool {
    let entry = Entry::new(
        interface,
        VirtualAddress {
            address: found.address,
            prefix_len: found.prefix_len,
        },
    );
    if tagged {
        found.protocol == Some(ADDRESS_PROTOCOL)
            && (journal.contains(&entry) || configured.contains(&entry))
    } else {
        journal.contains(&entry)
    }
}

/// Takes off `interface` what a predecessor left there; returns how many.
///
/// # Errors
/// What the kernel says.
pub fn clean(
    interface: &Interface,
    journal: &BTreeSet<Entry>,
    configured: &BTreeSet<Entry>,
    table: &mut AddressTable,
) -> io::Result<usize> {
    let tagged = kernel_tags_addresses();
    let mut removed = 0;
    for found in &interface.addresses {
        if is_leftover(&interface.name, found, journal, configured, tagged) {
            let address = VirtualAddress {
                address: found.address,
                prefix_len: found.prefix_len,
            };
            table.remove_leftover(interface.index, address)?;
            tracing::info!(
                interface = interface.name,
                %address,
                "removed an address that a killed daemon left behind"
            );
            removed += 1;
        }
    }
    Ok(removed)
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

    fn entries(of: &[(&str, &str)]) -> BTreeSet<Entry> {
        of.iter()
            .map(|(interface, address)| Entry {
                interface: (*interface).into(),
                address: (*address).into(),
            })
            .collect()
    }

    #[test]
    fn only_what_carries_our_mark_and_our_name_is_a_leftover() {
        let ours = entries(&[("eth0", "10.0.0.100/24")]);
        let none = entries(&[]);
        let marked = found(Some(ADDRESS_PROTOCOL));
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
        let ours = entries(&[("eth0", "10.0.0.100/24")]);
        let none = entries(&[]);
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

    #[test]
    fn the_journal_is_for_a_successor_only() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("addresses.json");
        assert_eq!(Journal::predecessor(&path).unwrap(), entries(&[]));
        let ours = entries(&[("eth0", "10.0.0.100/24")]);
        Journal::write(&path, &ours).unwrap().keep();
        assert_eq!(Journal::predecessor(&path).unwrap(), ours);
        drop(Journal::write(&path, &ours).unwrap());
        assert_eq!(Journal::predecessor(&path).unwrap(), entries(&[]));
    }
}
