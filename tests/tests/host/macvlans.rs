//! Interfaces with a virtual router's link-layer address, and what goes out with it.

use std::{collections::BTreeSet, net::UdpSocket, os::fd::AsFd, time::Duration};

use anyhow::{Context as _, Result, ensure};
use ha_common::{
    types::{AddressFamily, MacAddress, Vrid},
    wire::vrrp::virtual_mac,
};
use ha_tests::{capture::Frame, decode::Packet, lab::Lab};
use ha_user::net::{
    advert::AdvertSocket,
    batch,
    host::{Device, HostTable, Item, Link},
    interface,
    macvlan::{self, Macvlan, MacvlanError},
    sysctl::{Change, Guard, Setting, Want},
};

use crate::inside::{address, inside, install, install_all, remove_all};

const PATIENCE: Duration = Duration::from_secs(20);

fn vmac(family: AddressFamily) -> MacAddress {
    virtual_mac(family, Vrid::new(51).unwrap())
}

fn source_mac(frame: &Frame) -> Option<&[u8]> {
    frame.bytes().get(6..12)
}

#[test]
fn a_macvlan_is_quiet_until_it_is_up() -> Result<()> {
    let lab = Lab::new(1)?;
    let host = &lab.nodes[0];
    let mac = vmac(AddressFamily::Ipv6);
    inside(&host.netns, async |handle| {
        let parent = interface::resolve(handle, "eth0").await?;
        let family = AddressFamily::Ipv6;
        let made = Macvlan::create(handle, "hv6-51", parent.index, mac, family).await?;
        ensure!(made.mac == mac && made.parent == parent.index && made.is_virtual_router());
        ensure!(macvlan::find(handle, "hv6-51").await? == Some(made.clone()));
        ensure!(
            macvlan::find(handle, "eth0").await?.is_none(),
            "another kind"
        );
        ensure!(macvlan::find(handle, "nobody").await?.is_none());
        let shown = host
            .netns
            .ip_show(&["-d", "link", "show", "dev", "hv6-51"])?;
        for part in ["mode private", "state DOWN", "00:00:5e:00:02:33"] {
            ensure!(shown.contains(part), "{part:?} is not in {shown}");
        }
        let mut table = HostTable::open()?;
        let items = [
            Link {
                device: made.device.clone(),
            }
            .into(),
            address(&made.device, "fe80::100", 64)?,
        ];
        install_all(&mut table, &items)?;
        let shown = host
            .netns
            .ip_show(&["-o", "address", "show", "dev", "hv6-51"])?;
        ensure!(shown.lines().count() == 1, "none of its own: {shown}");
        remove_all(&mut table, &items)?;

        let taken = Macvlan::create(handle, "hv6-51", parent.index, mac, family).await;
        ensure!(
            matches!(taken, Err(MacvlanError::Taken { .. })),
            "{taken:?}"
        );
        // Two with one address on one interface cannot both be up.
        let twin = Macvlan::create(handle, "hv6-52", parent.index, mac, family).await?;
        let up = |device: &Device| {
            Item::from(Link {
                device: device.clone(),
            })
        };
        install_all(&mut table, &[up(&made.device)])?;
        let failures = install(&mut table, &[up(&twin.device)])?;
        let message = failures.first().context("no failure")?.to_string();
        ensure!(
            message.contains("hv6-52") && message.contains("one VRID"),
            "{message}"
        );
        remove_all(&mut table, &[up(&made.device)])?;
        twin.delete(handle).await?;
        made.delete(handle).await?;
        made.delete(handle).await.context("gone already")?;
        ensure!(macvlan::find(handle, "hv6-51").await?.is_none());
        Ok(())
    })
}

/// Each link-layer address answers for its own IPv4 addresses only: without the
/// parent's settings both would answer for all.
#[test]
fn the_virtual_mac_answers_for_the_virtual_address_alone() -> Result<()> {
    let lab = Lab::new(1)?;
    let host = &lab.nodes[0];
    let mac = vmac(AddressFamily::Ipv4);
    let capture = lab.capture(&lab.client)?;
    let client = lab.client.netns.enter(|| UdpSocket::bind("0.0.0.0:0"))??;
    let vip = "10.77.0.100".parse()?;
    inside(&host.netns, async |handle| {
        let parent = interface::resolve(handle, "eth0").await?;
        let family = AddressFamily::Ipv4;
        let mut guard = Guard::default();
        for setting in macvlan::parent_settings("eth0", family) {
            if let Some(change) = Change::plan(&setting)? {
                guard.apply(change)?;
            }
        }
        ensure!(guard.changes().len() == 2, "{:?}", guard.changes());
        let made = Macvlan::create(handle, "hv4-51", parent.index, mac, family).await?;
        let mut table = HostTable::open()?;
        let items = [
            Link {
                device: made.device.clone(),
            }
            .into(),
            address(&made.device, "10.77.0.100", 16)?,
        ];
        install_all(&mut table, &items)?;
        for _ in 0..5 {
            for target in [vip, host.ipv4()] {
                lab.client.netns.ip("neighbour flush all")?;
                let mark = capture.mark();
                client.send_to(b"?", (target, 4000))?;
                capture.await_frame("an ARP reply", mark, PATIENCE, |frame| {
                    matches!(&frame.packet, Packet::Arp { operation: 2, sender, .. }
                        if *sender == target)
                })?;
            }
        }
        remove_all(&mut table, &items)?;
        made.delete(handle).await?;
        drop(guard);
        Ok(())
    })?;
    // All answers but those to the last question have come: the client's kernel
    // asks once a second.
    let answers: BTreeSet<_> = capture
        .frames()
        .iter()
        .filter_map(|frame| match &frame.packet {
            Packet::Arp {
                operation: 2,
                sender,
                mac,
                ..
            } if *sender != lab.client.ipv4() => Some((*sender, *mac)),
            _ => None,
        })
        .collect();
    let expected = BTreeSet::from([(vip, mac), (host.ipv4(), host.mac())]);
    ensure!(answers == expected, "{answers:?}");
    let arp_ignore = host
        .netns
        .enter(|| std::fs::read_to_string("/proc/sys/net/ipv4/conf/eth0/arp_ignore"))??;
    ensure!(arp_ignore.trim() == "0", "put back");
    Ok(())
}

#[test]
fn advertisements_carry_the_virtual_mac_and_the_class_of_control_traffic() -> Result<()> {
    let lab = Lab::new(1)?;
    let host = &lab.nodes[0];
    let capture = lab.capture(&lab.client)?;
    // Version 3, VRID 51, priority 100, one address, every second; what the
    // checksum says is for the message's builder to get right.
    let v4 = [0x31, 51, 100, 1, 0, 100, 0, 0, 10, 77, 0, 100];
    let mut v6 = vec![0x31, 51, 100, 1, 0, 100, 0, 0];
    v6.extend("fe80::100".parse::<std::net::Ipv6Addr>()?.octets());
    for (family, message, group) in [
        (AddressFamily::Ipv4, &v4[..], [0x01, 0, 0x5e, 0, 0, 0x12]),
        (AddressFamily::Ipv6, &v6, [0x33, 0x33, 0, 0, 0, 0x12]),
    ] {
        let virtual_mac = vmac(family);
        let mark = capture.mark();
        inside(&host.netns, async |handle| {
            let interface = interface::resolve(handle, "eth0").await?;
            let source = interface.require_primary(family, &[])?;
            for socket in [
                AdvertSocket::multicast_from(&interface, source, virtual_mac)?,
                AdvertSocket::multicast(&interface, source)?,
            ] {
                let packet = socket.packet(message)?;
                let message = socket.message(&packet, &socket.destinations()[0]);
                let mut refused = None;
                batch::send(socket.as_fd(), [((), message)], |(), error| {
                    refused = Some(error);
                });
                ensure!(refused.is_none(), "{refused:?}");
            }
            let groups = host.netns.ip_show(&["maddress", "show", "dev", "eth0"])?;
            drop(interface);
            ensure!(!groups.is_empty());
            Ok(())
        })?;
        for mac in [virtual_mac, host.mac()] {
            let frame = capture.await_frame("an advertisement", mark, PATIENCE, |frame| {
                frame.advert().is_some() && source_mac(frame) == Some(&mac.0)
            })?;
            let bytes = frame.bytes();
            ensure!(bytes.starts_with(&group), "{bytes:02x?}");
            let (class, hops) = match family {
                AddressFamily::Ipv4 => (bytes[15], bytes[22]),
                AddressFamily::Ipv6 => (bytes[14] << 4 | bytes[15] >> 4, bytes[21]),
            };
            ensure!((class, hops) == (0xc0, 255), "{class:#x}, {hops}");
        }
    }
    Ok(())
}

#[test]
fn a_setting_is_put_back_unless_somebody_has_changed_it() -> Result<()> {
    let lab = Lab::new(1)?;
    let netns = &lab.nodes[0].netns;
    let path = "/proc/sys/net/ipv4/conf/eth0/rp_filter";
    netns.sysctl(&[("ipv4/conf/eth0/rp_filter", "0")])?;
    netns.enter(|| -> Result<()> {
        let read = || std::fs::read_to_string(path);
        let setting = |want| Setting {
            family: AddressFamily::Ipv4,
            interface: "eth0".into(),
            key: "rp_filter",
            want,
        };
        ensure!(Change::plan(&setting(Want::AtLeast(0)))?.is_none());
        let change = Change::plan(&setting(Want::Exactly(2)))?.context("a change")?;
        ensure!(read()?.trim() == "0", "only planned");
        let mut guard = Guard::default();
        guard.apply(change.clone())?;
        ensure!(read()?.trim() == "2");
        drop(guard);
        ensure!(read()?.trim() == "0");

        change.apply()?;
        std::fs::write(path, "1")?;
        ensure!(!change.undo()?);
        ensure!(read()?.trim() == "1", "somebody's choice");
        let missing = Setting {
            interface: "nobody".into(),
            ..setting(Want::Exactly(1))
        };
        let message = Change::plan(&missing).unwrap_err().to_string();
        ensure!(
            message.contains("net.ipv4.conf.nobody.rp_filter"),
            "{message}"
        );
        Ok(())
    })?
}
