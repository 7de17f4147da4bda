//! Addresses of ours that somebody removes.

use std::{net::IpAddr, time::Duration};

use tokio::time::Instant;

use super::{Keeper, send};
use crate::{
    config::InstanceConfig,
    daemon::attach,
    driver::{self, Command, Gone},
    net::host::{Address, Item},
};

/// An address that somebody keeps removing is put back no more often.
const PUT_BACK_GAP: Duration = Duration::from_millis(500);

impl Keeper {
    /// Has the driver put an address back, at once, but not over and over. It knows
    /// which of them it has removed itself, and which the kernel has removed with
    /// another of the same network.
    pub(super) fn put_back(
        &mut self,
        handle: &driver::Handle,
        index: u32,
        address: IpAddr,
        by: Option<u32>,
        gone: &mut Vec<Gone>,
    ) {
        if !self.is_virtual(address) {
            return;
        }
        let now = Instant::now();
        self.put_back_at.retain(|_, at| *at + PUT_BACK_GAP > now);
        let at = self
            .put_back_at
            .get(&(index, address))
            .map_or(now, |last| *last + PUT_BACK_GAP);
        self.put_back_at.insert((index, address), at);
        let it = Gone {
            index,
            address,
            by: by.filter(|by| *by != self.own_port).and_then(process_name),
        };
        if at <= now {
            gone.push(it);
        } else {
            let handle = handle.clone();
            tokio::spawn(async move {
                tokio::time::sleep_until(at).await;
                send(&handle, Command::AddressesGone(vec![it]));
            });
        }
    }

    /// Has the driver put back what is not there, as far as it believes that it is:
    /// the watch has lost count.
    pub(super) fn put_back_missing(&mut self, handle: &driver::Handle, gone: &mut Vec<Gone>) {
        let mut missing = Vec::new();
        for bound in self.bound.values() {
            for item in attach::items_of(&bound.config, &bound.plan, bound.macvlan.as_ref()) {
                if let Item::Address(Address {
                    device, address, ..
                }) = item
                    && !self.links.has(device.index, address)
                {
                    missing.push((device.index, address));
                }
            }
        }
        for (index, address) in missing {
            self.put_back(handle, index, address, None, gone);
        }
    }

    pub(super) fn is_virtual(&self, address: IpAddr) -> bool {
        let bound = self.bound.values().map(|bound| &*bound.config);
        bound
            .flat_map(InstanceConfig::all_addresses)
            .any(|virtual_address| virtual_address.address.address == address)
    }
}

/// The name of the process with this netlink port, which for most programs is
/// its process id.
fn process_name(port: u32) -> Option<String> {
    let name = std::fs::read_to_string(format!("/proc/{port}/comm")).ok()?;
    Some(format!("process {port} ({})", name.trim()))
}
