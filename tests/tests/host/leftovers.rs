//! A daemon that was killed with everything in place, and its successor.

use anyhow::{Context as _, Result, ensure};
use ha_common::{
    types::{AddressFamily, Vrid},
    wire::vrrp::virtual_mac,
};
use ha_tests::{command, lab::Lab, need};
use ha_user::net::{
    accept::AcceptFilter,
    host::{HostTable, Item, Link, MAIN_TABLE, Prefix, Route, Rule},
    interface,
    journal::{Inventory, Journal},
    leftover,
    macvlan::{self, Macvlan},
    sysctl::Change,
};

use crate::inside::{address, eth0, inside, install_all, state};

#[test]
fn a_successor_removes_everything_and_nothing_of_others() -> Result<()> {
    need::tools(&["nft"])?;
    let lab = Lab::new(1)?;
    let host = &lab.nodes[0];
    let journal = lab.directory("host")?.join("journal.json");
    // What others have: like ours, but for one thing.
    host.netns.ip("address add 10.77.0.200/16 dev eth0\n\
         route add 10.98.0.0/16 dev eth0 scope link table 7\n\
         rule add from 10.77.0.200 lookup 100 pref 300\n\
         rule add from 10.77.0.201 lookup 100 pref 301 protocol 112\n\
         link add link eth0 name mine address 02:00:00:00:99:99 type macvlan mode private")?;
    let everything = || -> Result<String> {
        let nft = command::checked(host.netns.command("nft").args(["list", "ruleset"]), "")?;
        let links = host.netns.ip_show(&["-brief", "link", "show"])?;
        let settings = host
            .netns
            .enter(|| std::fs::read_to_string("/proc/sys/net/ipv4/conf/eth0/arp_announce"))??;
        Ok(state(host)? + &nft + &links + &settings)
    };
    let before = everything()?;
    let vips = ["10.77.0.100".parse()?, "fd77::100".parse()?];
    inside(&host.netns, async |handle| {
        let parent = interface::resolve(handle, "eth0").await?;
        let family = AddressFamily::Ipv4;
        let mac = virtual_mac(family, Vrid::new(51).context("a VRID")?);
        let mut inventory = Inventory::default();
        for setting in macvlan::parent_settings("eth0", family) {
            inventory.sysctls.extend(Change::plan(&setting)?);
        }
        inventory.sysctls.iter().try_for_each(Change::apply)?;
        let made = Macvlan::create(handle, "hv4-51", parent.index, mac, family).await?;
        inventory.macvlans.insert("hv4-51".into());
        // Named in the journal, but not a virtual router's.
        inventory.macvlans.insert("mine".into());
        inventory.nft_tables.insert("harrier-51".into());
        std::mem::forget(AcceptFilter::install("harrier-51", vips)?);
        let prefix = |address: &str, len| -> Result<Prefix> {
            Ok(Prefix {
                address: address.parse()?,
                len,
            })
        };
        let items: Vec<Item> = vec![
            Link {
                device: made.device.clone(),
            }
            .into(),
            address(&made.device, "10.77.0.100", 16)?,
            address(&eth0(host)?, "fd77::100", 64)?,
            Route {
                destination: prefix("10.98.0.0", 16)?,
                gateway: Some(lab.client.ipv4().into()),
                device: None,
                table: MAIN_TABLE,
                metric: None,
                source: Some("10.77.0.100".parse()?),
            }
            .into(),
            Rule {
                from: Some(prefix("10.77.0.100", 32)?),
                to: None,
                table: 100,
                priority: None,
            }
            .into(),
        ];
        for item in &items {
            inventory.add(item);
        }
        // The journal names these too, as they are configured: no proof.
        for other in [
            address(&eth0(host)?, "10.77.0.200", 16)?,
            Route {
                destination: prefix("10.98.0.0", 16)?,
                gateway: None,
                device: Some(eth0(host)?),
                table: 7,
                metric: None,
                source: None,
            }
            .into(),
            Rule {
                from: Some(prefix("10.77.0.200", 32)?),
                to: None,
                table: 100,
                priority: None,
            }
            .into(),
        ] {
            inventory.add(&other);
        }
        Journal::write(&journal, &inventory)?.keep();
        let mut table = HostTable::open()?;
        install_all(&mut table, &items)?;
        std::mem::forget(table);
        ensure!(everything()? != before);

        let read = Journal::predecessor(&journal)?;
        ensure!(read == inventory, "{read:?}");
        let mut table = HostTable::open()?;
        let none = Inventory::default();
        let removed = leftover::clean(handle, &read, &none, &mut table).await?;
        // The other three of the items, the macvlan with the fourth, a table, two
        // settings; the macvlan's address is removed by itself.
        ensure!(removed == 8, "{removed}");
        ensure!(
            leftover::clean(handle, &read, &none, &mut table).await? <= 1,
            "the second time there is nothing but the table to ask for"
        );
        Ok(())
    })?;
    let after = everything()?;
    ensure!(after == before, "{before}\nbecame\n{after}");
    Ok(())
}
