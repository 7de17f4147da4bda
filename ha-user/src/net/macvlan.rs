//! Interfaces of our own with a virtual router's link-layer address (RFC 9568
//! §7.3), on top of the interface that it takes part on.
//!
//! They are made down and without addresses. The parent keeps its own address;
//! frames to the virtual one reach the host only while the interface on top is up.

use futures_util::TryStreamExt;
use ha_common::types::{AddressFamily, MacAddress};
use netlink_packet_route::link::{InfoKind, LinkAttribute, LinkInfo, LinkMessage, MacVlanMode};
use rtnetlink::{Handle, LinkMacVlan};

use super::{
    host::Device,
    interface::link_address,
    sysctl::{Change, Setting, SysctlError, Want},
};

/// Longest name of an interface (IFNAMSIZ less the final zero).
pub const MAX_NAME: usize = 15;

/// An interface with a virtual router's link-layer address.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Macvlan {
    /// The interface itself.
    pub device: Device,
    /// Index of the interface that it is on; 0 if that is in another namespace.
    pub parent: u32,
    /// Its link-layer address.
    pub mac: MacAddress,
}

/// Why a macvlan could not be had.
#[derive(Debug, thiserror::Error)]
pub enum MacvlanError {
    /// The name is taken by an interface that is none of ours.
    #[error(
        "an interface named {name} is there already and is not the virtual router's: give \
         another name, or remove it (`ip link delete {name}`) if nothing needs it"
    )]
    Taken {
        /// The name.
        name: String,
    },
    /// Netlink refused.
    #[error("{verb} the interface {name}: {source}{}", remedy(.source))]
    Netlink {
        /// What was being done.
        verb: &'static str,
        /// Its name.
        name: String,
        /// What rtnetlink says.
        source: rtnetlink::Error,
    },
    /// One of its settings.
    #[error(transparent)]
    Sysctl(#[from] SysctlError),
}

fn remedy(error: &rtnetlink::Error) -> &'static str {
    match code(error) {
        Some(libc::EOPNOTSUPP) => {
            "; the kernel has no macvlan (CONFIG_MACVLAN): `modprobe macvlan`"
        }
        Some(libc::EPERM) => "; run as root, or with CAP_NET_ADMIN",
        Some(libc::ENODEV) => "; the interface that it is to be on is gone",
        _ => "",
    }
}

fn code(error: &rtnetlink::Error) -> Option<i32> {
    match error {
        rtnetlink::Error::NetlinkError(message) => Some(message.raw_code().abs()),
        _ => None,
    }
}

/// The name of a virtual router's interface, if the configuration gives none:
/// `hv4-51.3` for VRID 51 over IPv4 on the interface with index 3. Indexes of more
/// than six digits do not fit and lose their first ones.
#[must_use]
pub fn default_name(family: AddressFamily, vrid: u8, parent: u32) -> String {
    let prefix = format!("hv{}-{vrid}.", family.code());
    let index = parent.to_string();
    let room = MAX_NAME - prefix.len();
    format!("{prefix}{}", &index[index.len().saturating_sub(room)..])
}

impl Macvlan {
    /// Makes the interface `name` on `parent`, down, without addresses, in private
    /// mode: what is on the same parent does not hear it. IPv6 is switched on there if
    /// that is the `family`, whatever new interfaces begin with.
    ///
    /// # Errors
    /// [`MacvlanError`]; nothing is left then.
    pub async fn create(
        handle: &Handle,
        name: &str,
        parent: u32,
        mac: MacAddress,
        family: AddressFamily,
    ) -> Result<Self, MacvlanError> {
        let message = LinkMacVlan::new(name, parent, MacVlanMode::Private)
            .address(mac.0.to_vec())
            .build();
        match handle.link().add(message).execute().await {
            Ok(()) => {}
            Err(error) if code(&error) == Some(libc::EEXIST) => {
                return Err(MacvlanError::Taken {
                    name: name.to_owned(),
                });
            }
            Err(source) => return Err(failed("making", name, source)),
        }
        let made = match find(handle, name).await {
            Ok(Some(made)) => made,
            Ok(None) => {
                return Err(failed("finding", name, rtnetlink::Error::RequestFailed));
            }
            Err(error) => return Err(error),
        };
        if let Err(error) = configure(name, family) {
            made.delete(handle).await?;
            return Err(error.into());
        }
        Ok(made)
    }

    /// Removes the interface with all that is on it. One that is gone is no error.
    ///
    /// # Errors
    /// [`MacvlanError::Netlink`].
    pub async fn delete(&self, handle: &Handle) -> Result<(), MacvlanError> {
        match handle.link().del(self.device.index).execute().await {
            Ok(()) => Ok(()),
            Err(error) if code(&error) == Some(libc::ENODEV) => Ok(()),
            Err(source) => Err(failed("removing", &self.device.name, source)),
        }
    }

    /// Its link-layer address is that of a virtual router (RFC 9568 §7.3): nobody
    /// but a VRRP daemon makes such an interface.
    #[must_use]
    pub fn is_virtual_router(&self) -> bool {
        matches!(self.mac.0, [0, 0, 0x5e, 0, 1 | 2, _])
    }
}

/// The macvlan `name`; `None` if there is no interface with that name, or it is
/// of another kind.
///
/// # Errors
/// [`MacvlanError::Netlink`].
pub async fn find(handle: &Handle, name: &str) -> Result<Option<Macvlan>, MacvlanError> {
    let mut links = handle.link().get().match_name(name).execute();
    match links.try_next().await {
        Ok(link) => Ok(link.and_then(|link| macvlan(&link, name))),
        Err(error) if code(&error) == Some(libc::ENODEV) => Ok(None),
        Err(source) => Err(failed("finding", name, source)),
    }
}

fn macvlan(link: &LinkMessage, name: &str) -> Option<Macvlan> {
    let is_macvlan = link.attributes.iter().any(|attribute| {
        matches!(attribute, LinkAttribute::LinkInfo(info)
            if info.contains(&LinkInfo::Kind(InfoKind::MacVlan)))
    });
    let parent = link
        .attributes
        .iter()
        .find_map(|attribute| match attribute {
            LinkAttribute::Link(index) => Some(*index),
            _ => None,
        });
    is_macvlan.then_some(Macvlan {
        device: Device::new(link.header.index, name),
        parent: parent.unwrap_or(0),
        mac: link_address(link)?,
    })
}

/// Settings of the interface itself. It goes away with them: nothing is put back.
fn configure(name: &str, family: AddressFamily) -> Result<(), SysctlError> {
    for setting in own_settings(name, family) {
        let optional = setting.family != family;
        match Change::plan(&setting) {
            Ok(None) => {}
            Ok(Some(change)) => change.apply()?,
            // A host without IPv6 has nothing to switch off.
            Err(error) if optional && error.source.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn own_settings(name: &str, family: AddressFamily) -> Vec<Setting> {
    use AddressFamily::{Ipv4, Ipv6};
    let mut settings = vec![
        // Answer for the addresses on it, not for the parent's.
        (Ipv4, "arp_ignore", Want::AtLeast(1)),
        (Ipv4, "arp_announce", Want::AtLeast(2)),
        // The routes back lead through the parent.
        (Ipv4, "rp_filter", Want::Exactly(2)),
        // No address of its own: no link-local one, none by autoconfiguration.
        (Ipv6, "addr_gen_mode", Want::Exactly(1)),
        (Ipv6, "accept_ra", Want::Exactly(0)),
        (Ipv6, "autoconf", Want::Exactly(0)),
        (Ipv6, "accept_dad", Want::Exactly(0)),
    ];
    if family == Ipv6 {
        settings.push((Ipv6, "disable_ipv6", Want::Exactly(0)));
    }
    settings
        .into_iter()
        .map(|(family, key, want)| Setting {
            family,
            interface: name.to_owned(),
            key,
            want,
        })
        .collect()
}

/// What the parent of an IPv4 virtual router's interface has to be set to: neither
/// answer nor ask for the virtual addresses with its own link-layer address. Without
/// it a host answers on every interface for all of its addresses.
#[must_use]
pub fn parent_settings(parent: &str, family: AddressFamily) -> Vec<Setting> {
    let keys = match family {
        AddressFamily::Ipv4 => &[("arp_ignore", 1), ("arp_announce", 2)][..],
        // Neighbour discovery answers for the addresses of the interface only.
        AddressFamily::Ipv6 => &[],
    };
    keys.iter()
        .map(|(key, least)| Setting {
            family,
            interface: parent.to_owned(),
            key,
            want: Want::AtLeast(*least),
        })
        .collect()
}

fn failed(verb: &'static str, name: &str, source: rtnetlink::Error) -> MacvlanError {
    MacvlanError::Netlink {
        verb,
        name: name.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_default_name_fits_an_interface_name() {
        assert_eq!(default_name(AddressFamily::Ipv4, 51, 3), "hv4-51.3");
        assert_eq!(default_name(AddressFamily::Ipv6, 1, 12), "hv6-1.12");
        for index in [1, 999_999, 1_234_567, u32::MAX] {
            let name = default_name(AddressFamily::Ipv6, 255, index);
            assert!(name.len() <= MAX_NAME, "{name}");
            assert!(
                name.ends_with(&index.to_string()[index.to_string().len().saturating_sub(7)..]),
                "{name}"
            );
        }
    }
}
