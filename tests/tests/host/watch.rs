//! How the daemon hears of interfaces and addresses.

use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use ha_tests::lab::{Lab, ifindex};
use ha_user::net::{
    host::HostTable,
    watch::{HostChange, HostWatch},
};

use crate::inside::{address, eth0, inside, install_all, remove_all};

const PATIENCE: Duration = Duration::from_secs(20);

/// The changes up to the first that `is_last`.
async fn until(
    watch: &mut HostWatch,
    what: &str,
    is_last: impl Fn(&HostChange) -> bool,
) -> Result<Vec<HostChange>> {
    let mut seen = Vec::new();
    let give_up_at = tokio::time::Instant::now() + PATIENCE;
    loop {
        match tokio::time::timeout_at(give_up_at, watch.next()).await {
            Ok(change) => {
                seen.push(change?);
                if seen.last().is_some_and(&is_last) {
                    return Ok(seen);
                }
            }
            Err(_) => bail!("waited in vain for {what}; saw {seen:?}"),
        }
    }
}

fn is_added(change: &HostChange, wanted: &str) -> bool {
    matches!(change, HostChange::AddressAdded { address, .. }
        if address.address.to_string() == wanted)
}

#[test]
fn what_is_there_and_what_changes_is_told() -> Result<()> {
    let lab = Lab::new(1)?;
    let host = &lab.nodes[0];
    let index = ifindex(&host.netns, "eth0")?;
    inside(&host.netns, async |_| {
        let mut watch = HostWatch::open()?;
        let present = until(&mut watch, "the list", |change| {
            *change == HostChange::Listed
        })
        .await?;
        ensure!(
            present.iter().any(|change| matches!(change,
                HostChange::Link { index: of, name, up: true, mac: Some(mac) }
                    if *of == index && name == "eth0" && *mac == host.mac())),
            "{present:?}"
        );
        ensure!(present.iter().any(|change| is_added(change, "10.77.0.1")));
        ensure!(present.iter().any(|change| is_added(change, "fd77::1")));

        // Ours and another's: the number of who removed it tells them apart. Ours wake
        // nobody when they come (from Linux 5.18 on).
        let mut table = HostTable::open()?;
        let vip = address(&eth0(host)?, "10.77.0.100", 16)?;
        let vip6 = address(&eth0(host)?, "fd77::100", 64)?;
        let vips = [vip6, vip];
        install_all(&mut table, &vips)?;
        host.netns.ip("address add 10.77.0.150/16 dev eth0\n\
             address add fd77::150/64 dev eth0 nodad")?;
        let seen = until(&mut watch, "another's addresses", |change| {
            is_added(change, "fd77::150")
        })
        .await?;
        ensure!(seen.iter().any(|change| is_added(change, "10.77.0.150")));
        let is_ours = |change| is_added(change, "10.77.0.100") || is_added(change, "fd77::100");
        ensure!(!seen.iter().any(is_ours), "{seen:?}");
        let port = table.port();
        remove_all(&mut table, &vips)?;
        let seen = until(
            &mut watch,
            "the end of ours",
            |change| matches!(change, HostChange::AddressGone { address, .. } if address.is_ipv6()),
        )
        .await?;
        let gone = |by| HostChange::AddressGone {
            index,
            address: [10, 77, 0, 100].into(),
            prefix_len: 16,
            by,
        };
        ensure!(seen.first() == Some(&gone(Some(port))), "{seen:?}");
        host.netns
            .ip("address add 10.77.0.100/16 dev eth0\naddress del 10.77.0.100/16 dev eth0")?;
        let seen = until(&mut watch, "its end", |change| {
            matches!(change, HostChange::AddressGone { .. })
        })
        .await?;
        let Some(HostChange::AddressGone { by: Some(by), .. }) = seen.last() else {
            bail!("{seen:?}")
        };
        ensure!(*by != port && *by != 0);

        host.netns.ip("link set eth0 down")?;
        until(&mut watch, "eth0 going down", |change| {
            matches!(change, HostChange::Link { index: of, up: false, .. } if *of == index)
        })
        .await?;
        host.netns.ip("link set eth0 name lan0\nlink set lan0 up")?;
        until(
            &mut watch,
            "its new name",
            |change| matches!(change, HostChange::Link { name, up: true, .. } if name == "lan0"),
        )
        .await?;
        host.netns.ip("link del lan0")?;
        let seen = until(&mut watch, "its end", |change| {
            *change == HostChange::LinkGone { index }
        })
        .await?;
        ensure!(
            seen.iter().any(|change| matches!(change,
                HostChange::AddressGone { address, .. } if address.to_string() == "10.77.0.1")),
            "its addresses go before it: {seen:?}"
        );
        Ok(())
    })
}

/// A port that leaves a bridge is said to be gone, by the bridge.
#[test]
fn a_port_that_leaves_its_bridge_is_still_there() -> Result<()> {
    let lab = Lab::new(1)?;
    let index = ifindex(&lab.switch, "client")?;
    inside(&lab.switch, async |_| {
        let mut watch = HostWatch::open()?;
        until(&mut watch, "the list", |change| {
            *change == HostChange::Listed
        })
        .await?;
        lab.switch
            .ip("link set client nomaster\nlink add mark type veth peer name mark2")?;
        let seen = until(
            &mut watch,
            "the mark",
            |change| matches!(change, HostChange::Link { name, .. } if name == "mark"),
        )
        .await?;
        ensure!(!seen.contains(&HostChange::LinkGone { index }), "{seen:?}");
        Ok(())
    })
}

/// Notifications that the kernel had to drop because of an overrun.
fn drops() -> Result<u64> {
    let text = std::fs::read_to_string("/proc/thread-self/net/netlink")?;
    let column = text
        .lines()
        .next()
        .and_then(|line| line.split_whitespace().position(|word| word == "Drops"))
        .context("no such column")?;
    text.lines()
        .skip(1)
        .map(|line| {
            let field = line.split_whitespace().nth(column).context("no field")?;
            Ok(field.parse::<u64>()?)
        })
        .sum()
}

#[test]
fn an_overrun_is_made_good() -> Result<()> {
    let lab = Lab::new(1)?;
    let host = &lab.nodes[0];
    host.netns
        .ip("link add doomed type veth peer name doomed2\n\
         address add 10.77.0.150/16 dev eth0")?;
    let doomed = ifindex(&host.netns, "doomed")?;
    inside(&host.netns, async |_| {
        let mut watch = HostWatch::open()?;
        until(&mut watch, "the list", |change| {
            *change == HostChange::Listed
        })
        .await?;
        // Nobody reads while this happens. What counts comes when the queue is full.
        let mut flood = String::new();
        for round in 0..6000 {
            flood += &format!("link set eth0 alias round-{round}\n");
        }
        host.netns.ip(&flood)?;
        let lost_before = drops()?;
        ensure!(
            lost_before > 0,
            "the queue holds more than this test thought"
        );
        host.netns.ip("link del doomed\n\
             address del 10.77.0.150/16 dev eth0\n\
             address add 10.77.0.151/16 dev eth0")?;
        ensure!(drops()? > lost_before, "not lost");
        let seen = until(&mut watch, "what was lost", |change| {
            is_lost_removal(change)
        })
        .await?;
        ensure!(
            seen.contains(&HostChange::LinkGone { index: doomed }),
            "{seen:?}"
        );
        ensure!(
            seen.iter().any(|change| is_added(change, "10.77.0.151")),
            "{seen:?}"
        );
        // And it goes on.
        host.netns.ip("address add 10.77.0.152/16 dev eth0")?;
        let after = until(&mut watch, "a change after it", |change| {
            is_added(change, "10.77.0.152")
        })
        .await?;
        let seen = [seen, after].concat();
        ensure!(!seen.contains(&HostChange::Listed), "said once");
        let relisted = seen
            .iter()
            .filter(|change| **change == HostChange::Relisted);
        ensure!(relisted.count() >= 1, "{seen:?}");
        Ok(())
    })
}

/// The removal of 10.77.0.150; nobody knows by whom.
fn is_lost_removal(change: &HostChange) -> bool {
    matches!(change, HostChange::AddressGone { address, by: None, .. }
        if address.to_string() == "10.77.0.150")
}
