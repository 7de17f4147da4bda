//! Runs the daemon's library inside a node.

use anyhow::{Result, ensure};
use ha_tests::{
    lab::{Host, INTERFACE, ifindex},
    netns::Netns,
};
use ha_user::net::host::{Address, Device, HostError, HostTable, Item};
use rtnetlink::Handle;

/// Runs `work` on a thread in `netns` with an asynchronous runtime.
pub(crate) fn inside<T: Send>(
    netns: &Netns,
    work: impl AsyncFnOnce(&Handle) -> Result<T> + Send,
) -> Result<T> {
    netns.enter(|| {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?
            .block_on(async {
                let (connection, handle, _) = rtnetlink::new_connection()?;
                let connection = tokio::spawn(connection);
                let result = work(&handle).await;
                connection.abort();
                result
            })
    })?
}

/// The node's interface.
pub(crate) fn eth0(host: &Host) -> Result<Device> {
    device(host, INTERFACE)
}

/// An interface of the node.
pub(crate) fn device(host: &Host, name: &str) -> Result<Device> {
    Ok(Device::new(ifindex(&host.netns, name)?, name))
}

/// An address, with the rest at its defaults.
pub(crate) fn address(device: &Device, address: &str, prefix_len: u8) -> Result<Item> {
    Ok(Address::new(device.clone(), address.parse()?, prefix_len).into())
}

/// Installs, and returns what was refused.
pub(crate) fn install(table: &mut HostTable, items: &[Item]) -> Result<Vec<HostError>> {
    let mut failures = Vec::new();
    table.install(items, &mut failures)?;
    table.collect(&mut failures)?;
    Ok(failures)
}

/// Installs all.
pub(crate) fn install_all(table: &mut HostTable, items: &[Item]) -> Result<()> {
    let failures = install(table, items)?;
    ensure!(failures.is_empty(), "{failures:?}");
    ensure!(items.iter().all(|item| table.has(item)));
    Ok(())
}

/// Removes all that is the table's.
pub(crate) fn remove_all(table: &mut HostTable, items: &[Item]) -> Result<()> {
    let mut failures = Vec::new();
    table.remove(items, &mut failures)?;
    table.collect(&mut failures)?;
    ensure!(failures.is_empty(), "{failures:?}");
    ensure!(!items.iter().any(|item| table.has(item)));
    Ok(())
}

/// What `ip` says of addresses, routes in all tables, and rules.
pub(crate) fn state(host: &Host) -> Result<String> {
    let mut state = String::new();
    for args in [
        &["-oneline", "address", "show"][..],
        &["-4", "route", "show", "table", "all"],
        &["-6", "route", "show", "table", "all"],
        &["-4", "rule", "show"],
        &["-6", "rule", "show"],
    ] {
        state += &host.netns.ip_show(args)?;
    }
    Ok(state)
}
