//! Addresses, routes, rules and links.

use anyhow::{Context as _, Result, ensure};
use ha_tests::lab::Lab;
use ha_user::net::host::{
    Address, HostTable, Item, Items, Link, MAIN_TABLE, Prefix, Route, Rule, Scope,
};

use crate::inside::{address, device, eth0, inside, install, install_all, remove_all, state};

fn prefix(text: &str) -> Result<Prefix> {
    let (address, len) = text.split_once('/').context("no prefix length")?;
    Ok(Prefix {
        address: address.parse()?,
        len: len.parse()?,
    })
}

fn route(destination: &str) -> Result<Route> {
    Ok(Route {
        destination: prefix(destination)?,
        gateway: None,
        device: None,
        table: MAIN_TABLE,
        metric: None,
        source: None,
    })
}

/// One of each kind, where the later ones need the earlier ones.
fn one_of_each(lab: &Lab) -> Result<Vec<Item>> {
    let host = &lab.nodes[0];
    host.netns.ip("link add own type veth peer name other")?;
    // The kernel puts nothing there by itself.
    host.netns.sysctl(&[
        ("ipv6/conf/own/addr_gen_mode", "1"),
        ("ipv6/conf/other/disable_ipv6", "1"),
    ])?;
    host.netns.ip("link set other up")?;
    let own = device(host, "own")?;
    let eth0 = eth0(host)?;
    Ok(vec![
        Link {
            device: own.clone(),
        }
        .into(),
        Address {
            label: Some("own:vip".into()),
            scope: Scope::Link,
            prefix_route: false,
            ..Address::new(own.clone(), "10.99.0.100".parse()?, 24)
        }
        .into(),
        address(&own, "fd99::100", 64)?,
        address(&own, "fd99::101", 128)?,
        // On the link because the address has no route to its prefix.
        Route {
            device: Some(own.clone()),
            ..route("10.99.0.0/24")?
        }
        .into(),
        Route {
            gateway: Some("10.99.0.1".parse()?),
            table: 1000,
            metric: Some(7),
            source: Some("10.99.0.100".parse()?),
            ..route("0.0.0.0/0")?
        }
        .into(),
        Route {
            gateway: Some("fd99::1".parse()?),
            device: Some(own),
            ..route("fd98::/64")?
        }
        .into(),
        Route {
            device: Some(eth0),
            table: 100,
            source: Some("fd99::100".parse()?),
            ..route("fd97::/64")?
        }
        .into(),
        Rule {
            from: Some(prefix("10.99.0.100/32")?),
            to: None,
            table: 1000,
            priority: Some(500),
        }
        .into(),
        Rule {
            from: None,
            to: Some(prefix("fd98::/64")?),
            table: 100,
            priority: None,
        }
        .into(),
    ])
}

#[test]
fn every_kind_comes_and_goes() -> Result<()> {
    let lab = Lab::new(1)?;
    let host = &lab.nodes[0];
    let items = one_of_each(&lab)?;
    let before = state(host)?;
    inside(&host.netns, async |_| {
        let mut table = HostTable::open()?;
        install_all(&mut table, &items)?;
        let after = state(host)?;
        for part in [
            "inet 10.99.0.100/24 scope link",
            "inet6 fd99::100/64 scope global",
            "inet6 fd99::101/128 scope global",
            "10.99.0.0/24 dev own proto 112 scope link",
            "default via 10.99.0.1 dev own table 1000 proto 112 src 10.99.0.100 metric 7",
            "fd98::/64 via fd99::1 dev own proto 112",
            "fd97::/64 dev eth0 table 100 proto 112 src fd99::100",
            "500:\tfrom 10.99.0.100 lookup 1000 proto 112",
            "from all to fd98::/64 lookup 100 proto 112",
        ] {
            ensure!(after.contains(part), "{part:?} is not in\n{after}");
        }
        for (address, word) in [
            ("10.99.0.100/24", "own:vip"),
            ("10.99.0.100/24", "noprefixroute"),
            ("fd99::101/128", "deprecated"),
        ] {
            let mut lines = after.lines();
            let line = lines.find(|line| line.contains(address)).context("shown")?;
            ensure!(line.contains(word), "{word:?} is not in {line}");
        }
        ensure!(
            !after.contains("10.99.0.0/24 dev own proto kernel"),
            "{after}"
        );
        ensure!(
            !host
                .netns
                .ip_show(&["-6", "address", "show", "tentative"])?
                .contains("fd99"),
            "duplicate address detection runs"
        );
        // What it has it does not ask for again.
        ensure!(install(&mut table, &items)?.is_empty());
        remove_all(&mut table, &items)
    })?;
    ensure!(state(host)? == before, "{before}\nbecame\n{}", state(host)?);
    let own = host.netns.ip_show(&["link", "show", "dev", "own"])?;
    ensure!(own.contains("state DOWN"), "{own}");
    Ok(())
}

#[test]
fn what_is_left_goes_with_the_table() -> Result<()> {
    let lab = Lab::new(1)?;
    let host = &lab.nodes[0];
    let items = one_of_each(&lab)?;
    let before = state(host)?;
    inside(&host.netns, async |_| {
        let mut table = HostTable::open()?;
        let mut failures = Vec::new();
        // Not even collected: the answers are still out.
        table.install(&items, &mut failures)?;
        ensure!(state(host)? != before && failures.is_empty());
        drop(table);
        Ok(())
    })?;
    ensure!(state(host)? == before, "{before}\nbecame\n{}", state(host)?);
    Ok(())
}

#[test]
fn more_than_one_batch_keeps_its_order() -> Result<()> {
    let lab = Lab::new(1)?;
    let host = &lab.nodes[0];
    let eth0 = eth0(host)?;
    let items = (0..300)
        .map(|number| {
            address(
                &eth0,
                &format!("10.77.{}.{}", 100 + number / 100, 1 + number % 100),
                16,
            )
        })
        .collect::<Result<Vec<_>>>()?;
    inside(&host.netns, async |_| {
        let mut table = HostTable::open()?;
        install_all(&mut table, &items)?;
        let shown: Vec<String> = host
            .addresses()?
            .into_iter()
            .filter(|address| address.starts_with("10.77.1"))
            .collect();
        let expected: Vec<String> = items
            .iter()
            .filter_map(|item| match item {
                Item::Address(address) => Some(address.address.to_string()),
                _ => None,
            })
            .collect();
        ensure!(shown == expected, "{shown:?}");
        remove_all(&mut table, &items)
    })?;
    ensure!(
        !host
            .addresses()?
            .iter()
            .any(|address| address.starts_with("10.77.1"))
    );
    Ok(())
}

#[test]
fn what_others_have_put_there_stays_theirs() -> Result<()> {
    let lab = Lab::new(1)?;
    let host = &lab.nodes[0];
    let eth0 = eth0(host)?;
    host.netns.ip("address add 10.77.0.100/16 dev eth0\n\
         route add 10.98.0.0/16 dev eth0 scope link\n\
         rule add from 10.77.0.100 lookup 100 pref 300 protocol 112")?;
    let before = state(host)?;
    let items = [
        address(&eth0, "10.77.0.100", 16)?,
        Route {
            device: Some(eth0),
            ..route("10.98.0.0/16")?
        }
        .into(),
        Rule {
            from: Some(prefix("10.77.0.100/32")?),
            to: None,
            table: 100,
            priority: Some(300),
        }
        .into(),
    ];
    inside(&host.netns, async |_| {
        let mut table = HostTable::open()?;
        let failures = install(&mut table, &items)?;
        ensure!(failures.len() == items.len(), "{failures:?}");
        for (failure, item) in failures.iter().zip(&items) {
            ensure!(failure.was_there() && failure.item == *item, "{failure}");
            ensure!(!table.has(item));
        }
        remove_all(&mut table, &items)
    })?;
    ensure!(state(host)? == before, "{before}\nbecame\n{}", state(host)?);
    Ok(())
}

#[test]
fn a_refusal_names_the_item_and_a_remedy() -> Result<()> {
    let lab = Lab::new(1)?;
    let host = &lab.nodes[0];
    let eth0 = eth0(host)?;
    let unreachable = Route {
        gateway: Some("10.200.0.1".parse()?),
        ..route("10.98.0.0/16")?
    };
    let unreachable6 = Route {
        gateway: Some("fd55::1".parse()?),
        ..route("fd98::/64")?
    };
    let no_source = Route {
        device: Some(eth0.clone()),
        source: Some("10.99.9.9".parse()?),
        ..route("10.97.0.0/16")?
    };
    let good = address(&eth0, "10.77.0.100", 16)?;
    let gone = Link {
        device: ha_user::net::host::Device::new(4711, "gone"),
    };
    let items = [
        unreachable.into(),
        unreachable6.into(),
        no_source.into(),
        good.clone(),
        gone.into(),
    ];
    inside(&host.netns, async |_| {
        let mut table = HostTable::open()?;
        let failures = install(&mut table, &items)?;
        let messages: Vec<String> = failures.iter().map(ToString::to_string).collect();
        ensure!(messages.len() == 4, "{messages:?}");
        for (message, parts) in messages.iter().zip([
            ["route 10.98.0.0/16 via 10.200.0.1", "gateway in it"],
            ["route fd98::/64 via fd55::1", "gateway in it"],
            ["src 10.99.9.9", "is its source one of"],
            ["link gone up", "the interface is gone"],
        ]) {
            ensure!(parts.iter().all(|part| message.contains(part)), "{message}");
        }
        ensure!(table.has(&good), "the others are tried all the same");
        Ok(())
    })
}

/// Only refusals and the last request are answered: who was refused what must be
/// told all the same, wherever in the batch it was.
#[test]
fn what_several_ask_for_in_one_go_is_told_to_each() -> Result<()> {
    let lab = Lab::new(1)?;
    let host = &lab.nodes[0];
    let eth0 = eth0(host)?;
    let vip = |owner: u32, number: u32| {
        let text = format!("10.77.{}.{}", 100 + owner, 1 + number);
        address(&eth0, &text, 16)
    };
    let per_owner = 50;
    let is_taken = |owner, number| [(0, 0), (1, 7), (1, 8), (3, 49)].contains(&(owner, number));
    let mut orders = Vec::new();
    let mut taken = Vec::new();
    for owner in 0..4 {
        let mut list = Vec::new();
        for number in 0..per_owner {
            let item = vip(owner, number)?;
            if is_taken(owner, number) {
                let Item::Address(address) = &item else {
                    unreachable!()
                };
                let address = address.address;
                host.netns
                    .ip(&format!("address add {address}/16 dev eth0"))?;
                taken.push((owner, item.clone()));
            }
            list.push(item);
        }
        orders.push(Items::new(list));
    }
    // What two ask for is theirs, whoever of them was first.
    let both = orders[2][5].clone();
    orders.push(Items::new(vec![both]));
    let before = state(host)?;
    inside(&host.netns, async |_| {
        let mut table = HostTable::open()?;
        let mut failures = Vec::new();
        table.install_all((10..).zip(&orders), &mut failures)?;
        table.collect(&mut failures)?;
        let told: Vec<(u32, Item)> = failures
            .iter()
            .map(|failure| {
                ensure!(failure.was_there(), "{failure}");
                let owner = failure.owner.context("nobody's")?;
                Ok((owner - 10, failure.item.clone()))
            })
            .collect::<Result<_>>()?;
        ensure!(told == taken, "{told:?}");
        for item in orders.iter().flat_map(|items| items.iter()) {
            let is_ours = !taken.iter().any(|(_, taken)| taken == item);
            ensure!(table.has(item) == is_ours, "{item}");
        }
        failures.clear();
        table.remove_all((10..).zip(&orders), &mut failures)?;
        table.collect(&mut failures)?;
        ensure!(failures.is_empty(), "{failures:?}");
        Ok(())
    })?;
    ensure!(state(host)? == before, "{before}\nbecame\n{}", state(host)?);
    Ok(())
}

/// All answers of a batch wait in the socket's queue until the last is out.
#[test]
fn every_refusal_of_many_is_told() -> Result<()> {
    let lab = Lab::new(1)?;
    let eth0 = eth0(&lab.nodes[0])?;
    let items = (0..600)
        .map(|number| {
            let text = format!("10.77.{}.{}", 100 + number / 100, 1 + number % 100);
            address(&eth0, &text, 16)
        })
        .collect::<Result<Vec<_>>>()?;
    inside(&lab.nodes[0].netns, async |_| {
        let mut owner = HostTable::open()?;
        install_all(&mut owner, &items)?;
        let mut other = HostTable::open()?;
        let failures = install(&mut other, &items)?;
        ensure!(failures.len() == items.len(), "{}", failures.len());
        for (failure, item) in failures.iter().zip(&items) {
            ensure!(failure.was_there() && failure.item == *item, "{failure}");
        }
        remove_all(&mut other, &items)?;
        remove_all(&mut owner, &items)
    })
}

#[test]
fn what_somebody_removed_is_put_back_once_it_is_forgotten() -> Result<()> {
    let lab = Lab::new(1)?;
    let host = &lab.nodes[0];
    let vip = address(&eth0(host)?, "10.77.0.100", 16)?;
    inside(&host.netns, async |_| {
        let mut table = HostTable::open()?;
        install_all(&mut table, std::slice::from_ref(&vip))?;
        host.netns.ip("address del 10.77.0.100/16 dev eth0")?;
        ensure!(install(&mut table, std::slice::from_ref(&vip))?.is_empty());
        ensure!(!host.has("10.77.0.100")?, "the table still believes it");
        ensure!(table.forget(&vip) && !table.forget(&vip));
        install_all(&mut table, std::slice::from_ref(&vip))?;
        ensure!(host.has("10.77.0.100")?);
        Ok(())
    })
}

/// The kernel removes routes and IPv6 addresses with their interface's state, and
/// everything with the interface.
#[test]
fn what_the_kernel_removed_is_no_failure() -> Result<()> {
    for removal in ["link set own down", "link del own"] {
        let lab = Lab::new(1)?;
        let host = &lab.nodes[0];
        let items = one_of_each(&lab)?;
        inside(&host.netns, async |_| {
            let mut table = HostTable::open()?;
            install_all(&mut table, &items)?;
            host.netns.ip(removal)?;
            remove_all(&mut table, &items)
        })
        .with_context(|| removal.to_owned())?;
    }
    Ok(())
}
