//! What the tests look at on a host.

use std::{
    net::IpAddr,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use ha_common::types::MacAddress;
use ha_tests::{
    capture::{Capture, Frame},
    daemon::Harrier,
    decode::Packet,
    lab::{Host, INTERFACE},
    process::Process,
};
use serde_json::Value;

/// What takes longer hangs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Span between two looks at what gives no event.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// The Ethernet source of a frame.
pub(crate) fn source_mac(frame: &Frame) -> MacAddress {
    let mut mac = [0; 6];
    mac.copy_from_slice(&frame.bytes()[6..12]);
    MacAddress(mac)
}

/// What `ip -j` says to `args` on `host`; numbers stay numbers.
pub(crate) fn json(host: &Host, args: &[&str]) -> Result<Vec<Value>> {
    let mut all = vec!["-json", "-detail", "-N"];
    all.extend(args);
    let text = host.netns.ip_show(&all)?;
    // An empty table is an empty text.
    if text.trim().is_empty() {
        return Ok(Vec::new());
    }
    serde_json::from_str(&text).with_context(|| format!("ip says {text}"))
}

/// All addresses on all interfaces of `host` but the loopback's, with the names of
/// their interfaces.
pub(crate) fn addresses(host: &Host) -> Result<Vec<(String, IpAddr)>> {
    let mut addresses = Vec::new();
    for link in json(host, &["address", "show"])? {
        let name = link["ifname"].as_str().unwrap_or_default();
        for address in link["addr_info"].as_array().into_iter().flatten() {
            let local = address["local"].as_str().unwrap_or_default();
            if name != "lo" {
                addresses.push((name.to_owned(), local.parse()?));
            }
        }
    }
    Ok(addresses)
}

/// Whether any interface of `host` has `address`.
pub(crate) fn has(host: &Host, address: &str) -> Result<bool> {
    let address: IpAddr = address.parse()?;
    Ok(addresses(host)?.iter().any(|(_, found)| *found == address))
}

/// The names of the interfaces of `host` that are up.
pub(crate) fn up_links(host: &Host) -> Result<Vec<String>> {
    Ok(json(host, &["link", "show"])?
        .iter()
        .filter(|link| {
            let flags = link["flags"].as_array();
            flags.is_some_and(|flags| flags.iter().any(|flag| flag == "UP"))
        })
        .filter_map(|link| link["ifname"].as_str())
        .map(str::to_owned)
        .collect())
}

/// Everything that a daemon may change: interfaces, addresses, routes, rules, the
/// packet filter and the settings of the interface.
pub(crate) fn everything(host: &Host) -> Result<String> {
    let mut text = String::new();
    for args in [
        &["-oneline", "address", "show"][..],
        &["-brief", "link", "show"],
        &["-4", "route", "show", "table", "all"],
        &["-6", "route", "show", "table", "all"],
        &["-4", "rule", "show"],
        &["-6", "rule", "show"],
    ] {
        text += &host.netns.ip_show(args)?;
    }
    let mut nft = host.netns.command("nft");
    text += &ha_tests::command::checked(nft.args(["list", "ruleset"]), "")?;
    for family in ["ipv4", "ipv6"] {
        let directory = format!("/proc/sys/net/{family}/conf/{INTERFACE}");
        text += &host.netns.enter(|| -> Result<String> {
            let mut lines = Vec::new();
            for entry in std::fs::read_dir(&directory)? {
                let path = entry?.path();
                // Some can be written only.
                if let Ok(value) = std::fs::read_to_string(&path) {
                    lines.push(format!("{}={}\n", path.display(), value.trim()));
                }
            }
            lines.sort();
            Ok(lines.concat())
        })??;
    }
    Ok(text)
}

/// Refuses what is not as it was, line by line.
pub(crate) fn ensure_unchanged(before: &str, after: &str) -> Result<()> {
    let only = |one: &str, other: &str| -> Vec<String> {
        one.lines()
            .filter(|line| !other.lines().any(|found| found == *line))
            .map(str::to_owned)
            .collect()
    };
    let (gone, new) = (only(before, after), only(after, before));
    ensure!(
        gone.is_empty() && new.is_empty(),
        "gone: {gone:#?}\nnew: {new:#?}"
    );
    Ok(())
}

/// Waits until `host` is as it was before: a router that has yielded keeps its
/// addresses until the next one has announced them.
pub(crate) fn await_unchanged(before: &str, host: &Host) -> Result<()> {
    let give_up_at = Instant::now() + PATIENCE;
    loop {
        let outcome = ensure_unchanged(before, &everything(host)?);
        if outcome.is_ok() || Instant::now() > give_up_at {
            return outcome;
        }
        // What `ip` shows gives no event.
        thread::sleep(LOOK_EVERY);
    }
}

/// Waits until `ready` says so.
pub(crate) fn await_that(what: &str, mut ready: impl FnMut() -> Result<bool>) -> Result<()> {
    let give_up_at = Instant::now() + PATIENCE;
    while !ready()? {
        ensure!(
            Instant::now() < give_up_at,
            "{what}: not within {PATIENCE:?}"
        );
        // What is looked at here are tables of the kernel and of others.
        thread::sleep(LOOK_EVERY);
    }
    Ok(())
}

/// The MAC address that `host` has in its neighbour table for `address`.
pub(crate) fn neighbour(host: &Host, address: &str) -> Result<Option<String>> {
    let table = json(host, &["neighbour", "show", address])?;
    Ok(table
        .iter()
        .find_map(|entry| entry["lladdr"].as_str())
        .map(str::to_owned))
}

/// Watches what becomes of a host's neighbour table.
pub(crate) struct NeighbourWatch(Process);

impl NeighbourWatch {
    pub(crate) fn start(host: &Host, log: std::path::PathBuf) -> Result<Self> {
        let mut command = host.netns.command("ip");
        command.args(["-o", "monitor", "neigh"]);
        Process::start("ip monitor", &mut command, log).map(Self)
    }

    /// The MAC addresses that `address` had, in their order, each once in a row.
    pub(crate) fn macs(&self, address: &str) -> Vec<String> {
        let mut macs: Vec<String> = self
            .0
            .log()
            .lines()
            .map(|line| line.split_whitespace().collect::<Vec<_>>())
            .filter(|words| words.contains(&address) && !words.contains(&"Deleted"))
            .filter_map(|words| {
                let place = words.iter().position(|word| *word == "lladdr")?;
                words.get(place + 1).map(|&mac| mac.to_owned())
            })
            .collect();
        macs.dedup();
        macs
    }
}

/// The frames that announce `address` to all.
pub(crate) fn announcements(capture: &Capture, from: usize, address: IpAddr) -> Vec<Frame> {
    capture
        .frames()
        .into_iter()
        .skip(from)
        .filter(|frame| frame.packet.announces(address))
        .collect()
}

/// Refuses a daemon that says of any instance that something is wrong.
pub(crate) fn ensure_no_conflicts(harrier: &Harrier) -> Result<()> {
    let status = harrier.status()?.context("no status")?;
    for instance in status.instances {
        ensure!(instance.conflicts.is_empty(), "{instance:#?}");
    }
    Ok(())
}

/// Whether the frame is an ARP packet or a neighbour advertisement that speaks for
/// `address`, and the MAC address that it gives.
pub(crate) fn speaks_for(frame: &Frame, address: IpAddr) -> Option<Option<MacAddress>> {
    match (&frame.packet, address) {
        (Packet::Arp { sender, mac, .. }, IpAddr::V4(address)) if *sender == address => {
            Some(Some(*mac))
        }
        (Packet::NeighbourAdvertisement { target, mac, .. }, IpAddr::V6(address))
            if *target == address =>
        {
            Some(*mac)
        }
        _ => None,
    }
}
