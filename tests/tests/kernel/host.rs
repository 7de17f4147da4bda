//! What the loader does to the host, and what an operator sees there.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, ensure};
use ha_common::abi;
use ha_tests::command;
use ha_user::{
    config::XdpMode,
    kernel::{LoadError, Loader},
};
use serde_json::Value;

use super::{
    bench::{Bench, V3, isolated, loader},
    packet::{PEER, PEER_MAC, arp, v3},
};

/// A pair of virtual Ethernet devices in this thread's namespace.
fn make_pair() -> Result<Vec<(u32, String)>> {
    command::run(
        "ip",
        &[
            "link", "add", "left", "type", "veth", "peer", "name", "right",
        ],
    )?;
    command::run("ip", &["link", "set", "left", "up"])?;
    command::run("ip", &["link", "set", "right", "up"])?;
    Ok(vec![(index("left")?, "left".to_owned())])
}

fn index(name: &str) -> Result<u32> {
    let index = show(name)?["ifindex"].as_u64().context("no index")?;
    Ok(u32::try_from(index)?)
}

fn show(name: &str) -> Result<Value> {
    let shown = command::run("ip", &["-j", "link", "show", "dev", name])?;
    let links: Value = serde_json::from_str(&shown)?;
    Ok(links[0].clone())
}

/// `ip`'s word for the XDP program on `name`: 1 driver, 2 generic.
fn attached(name: &str) -> Result<Option<u64>> {
    Ok(show(name)?["xdp"]["mode"].as_u64())
}

/// What is pinned, but for the kernel's own files in a fresh bpffs.
fn pinned(pins: &Path) -> Result<Vec<String>> {
    let mut names = fs::read_dir(pins)?
        .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
        .filter(|name| !matches!(name, Ok(name) if name.ends_with(".debug")))
        .collect::<Result<Vec<_>>>()?;
    names.sort();
    Ok(names)
}

/// The error of a load that must fail and leave nothing behind.
fn fails(loader: &Loader, interfaces: &[(u32, String)]) -> Result<LoadError> {
    let before = pinned(&loader.pin_dir)?;
    let Err(error) = loader.load(interfaces) else {
        anyhow::bail!("loading succeeded");
    };
    ensure!(
        pinned(&loader.pin_dir)? == before,
        "{error}: pins are left behind"
    );
    Ok(error)
}

#[test]
fn it_attaches_pins_and_takes_both_back() -> Result<()> {
    isolated(|pins| {
        let interfaces = make_pair()?;
        for (mode, name, shown) in [
            (XdpMode::Auto, "driver", 1),
            (XdpMode::Driver, "driver", 1),
            (XdpMode::Generic, "generic", 2),
        ] {
            let loader = Loader {
                xdp_mode: mode,
                ..loader(pins)
            };
            let (program, maps) = loader.load(&interfaces)?;
            ensure!(
                program.modes().get(&interfaces[0].0) == Some(&name),
                "{:?}",
                program.modes()
            );
            ensure!(attached("left")? == Some(shown), "{:?}", attached("left"));
            ensure!(attached("right")?.is_none());
            let mut expected: Vec<String> = abi::map::ALL
                .iter()
                .map(|name| (*name).to_owned())
                .collect();
            expected.push(abi::PROGRAM.to_owned());
            expected.sort();
            ensure!(pinned(pins)? == expected, "{:?}", pinned(pins));
            drop(program);
            ensure!(attached("left")?.is_none(), "still attached");
            ensure!(pinned(pins)?.is_empty(), "{:?}", pinned(pins));
            drop(maps);
        }
        Ok(())
    })
}

#[test]
fn without_driver_support_it_falls_back_only_in_auto_mode() -> Result<()> {
    isolated(|pins| {
        let interfaces = [(index("lo")?, "lo".to_owned())];
        let (program, _) = loader(pins).load(&interfaces)?;
        ensure!(program.modes().get(&interfaces[0].0) == Some(&"generic"));
        ensure!(attached("lo")? == Some(2));
        drop(program);
        let loader = Loader {
            xdp_mode: XdpMode::Driver,
            ..loader(pins)
        };
        let error = fails(&loader, &interfaces)?;
        ensure!(matches!(error, LoadError::NoDriverMode { .. }), "{error}");
        ensure!(error.to_string().contains("xdp_mode"), "{error}");
        ensure!(attached("lo")?.is_none());
        Ok(())
    })
}

#[test]
fn another_program_in_the_way_is_named_and_left_alone() -> Result<()> {
    isolated(|pins| {
        let interfaces = make_pair()?;
        let other = pins.join("other");
        fs::create_dir(&other)?;
        for (theirs, shown) in [(XdpMode::Driver, 1), (XdpMode::Generic, 2)] {
            let (program, _) = Loader {
                xdp_mode: theirs,
                ..loader(&other)
            }
            .load(&interfaces)?;
            for ours in [XdpMode::Auto, XdpMode::Driver, XdpMode::Generic] {
                let error = fails(
                    &Loader {
                        xdp_mode: ours,
                        ..loader(pins)
                    },
                    &interfaces,
                )?;
                ensure!(
                    matches!(&error, LoadError::Occupied { interface } if interface == "left"),
                    "{theirs:?}, {ours:?}: {error}"
                );
                ensure!(attached("left")? == Some(shown), "theirs is gone");
            }
            drop(program);
        }
        Ok(())
    })
}

#[test]
fn a_later_interface_that_fails_takes_the_earlier_ones_back() -> Result<()> {
    isolated(|pins| {
        let mut interfaces = make_pair()?;
        interfaces.push((4711, "gone".to_owned()));
        let error = fails(&loader(pins), &interfaces)?;
        ensure!(
            matches!(&error, LoadError::NoInterface { interface, ifindex: 4711 } if interface == "gone"),
            "{error}"
        );
        ensure!(attached("left")?.is_none());
        Ok(())
    })
}

#[test]
fn interfaces_come_and_go_after_the_start() -> Result<()> {
    isolated(|pins| {
        let (mut program, _maps) = loader(pins).load(&[])?;
        ensure!(program.modes().is_empty());
        let left = make_pair()?[0].0;
        ensure!(program.attach(left, "left")? == "driver");
        ensure!(attached("left")? == Some(1) && attached("right")?.is_none());
        ensure!(program.modes() == BTreeMap::from([(left, "driver")]));

        // Twice is refused, by name, and changes nothing.
        let error = program
            .attach(left, "left")
            .err()
            .context("attached twice")?;
        ensure!(
            matches!(&error, LoadError::Attached { interface, ifindex }
                if interface == "left" && *ifindex == left),
            "{error}"
        );
        ensure!(attached("left")? == Some(1));

        // A failure leaves the others alone.
        let error = program.attach(4711, "gone").err().context("attached")?;
        ensure!(matches!(error, LoadError::NoInterface { .. }), "{error}");
        ensure!(program.modes() == BTreeMap::from([(left, "driver")]));

        // One by one.
        let right = index("right")?;
        program.attach(right, "right")?;
        program.detach(left);
        program.detach(left);
        program.detach(4711);
        ensure!(attached("left")?.is_none() && attached("right")? == Some(1));
        ensure!(program.modes() == BTreeMap::from([(right, "driver")]));
        program.attach(left, "left")?;
        ensure!(attached("left")? == Some(1));
        Ok(())
    })
}

#[test]
fn an_interface_made_anew_is_attached_anew() -> Result<()> {
    isolated(|pins| {
        let interfaces = make_pair()?;
        let old = interfaces[0].0;
        let (mut program, _maps) = loader(pins).load(&interfaces)?;
        command::run("ip", &["link", "delete", "left"])?;
        // Under another index, before the old one is taken back.
        let new = make_pair()?[0].0;
        ensure!(new != old, "the index is the same: the test shows nothing");
        ensure!(attached("left")?.is_none());
        program.attach(new, "left")?;
        ensure!(attached("left")? == Some(1));
        program.detach(old);
        ensure!(attached("left")? == Some(1));
        ensure!(program.modes() == BTreeMap::from([(new, "driver")]));

        // Under the same index.
        command::run("ip", &["link", "delete", "left"])?;
        program.detach(new);
        let number = new.to_string();
        command::run(
            "ip",
            &[
                "link", "add", "left", "index", &number, "type", "veth", "peer", "name", "right",
            ],
        )?;
        program.attach(new, "left")?;
        ensure!(attached("left")? == Some(1));
        drop(program);
        ensure!(attached("left")?.is_none() && pinned(pins)?.is_empty());
        Ok(())
    })
}

#[test]
fn stale_pins_are_replaced() -> Result<()> {
    isolated(|pins| {
        let (program, maps) = loader(pins).load(&[])?;
        // As a killed daemon leaves them.
        std::mem::forget(program);
        drop(maps);
        ensure!(!pinned(pins)?.is_empty());
        let (program, _) = loader(pins).load(&[])?;
        drop(program);
        ensure!(pinned(pins)?.is_empty());
        Ok(())
    })
}

#[test]
fn a_useless_object_is_named() -> Result<()> {
    isolated(|pins| {
        let directory = tempfile::tempdir()?;
        let missing = directory.path().join("missing.o");
        let text = directory.path().join("text.o");
        fs::write(&text, "not an object")?;
        let foreign = directory.path().join("foreign.o");
        let mut octets = fs::read(object())?;
        let name = b"\0claims\0";
        let mut renamed = 0;
        // In the symbols' names and in those of the types.
        while let Some(place) = octets.windows(name.len()).position(|octets| octets == name) {
            octets[place + 1] = b'k';
            renamed += 1;
        }
        ensure!(renamed > 0, "no map name in the object");
        fs::write(&foreign, octets)?;
        for (path, words) in [
            (&missing, "cannot read"),
            (&text, "is not"),
            (&foreign, "is not"),
        ] {
            let loader = Loader {
                object: Some(path.clone()),
                ..loader(pins)
            };
            let error = fails(&loader, &[])?;
            let message = error.to_string();
            ensure!(
                message.contains(words) && message.contains(&path.display().to_string()),
                "{error:?}"
            );
        }
        Ok(())
    })
}

#[test]
fn a_pin_directory_that_is_no_bpffs_is_named() -> Result<()> {
    isolated(|_| {
        let directory = tempfile::tempdir()?;
        let error = fails(&loader(directory.path()), &[])?;
        ensure!(matches!(error, LoadError::Pin { .. }), "{error}");
        ensure!(error.to_string().contains("bpffs"), "{error}");
        Ok(())
    })
}

#[test]
fn without_privilege_it_says_what_it_needs() -> Result<()> {
    isolated(|pins| {
        // aya asks the kernel once per process what it can do: while we may.
        ensure!(aya::features().btf().is_some());
        let loader = loader(pins);
        let error = std::thread::scope(|scope| {
            scope
                .spawn(|| {
                    // SAFETY: changes the user of this thread alone, which ends.
                    let result =
                        unsafe { libc::syscall(libc::SYS_setresuid, 65_534, 65_534, 65_534) };
                    ensure!(result == 0, "cannot become nobody");
                    loader.load(&[]).err().context("loading succeeded")
                })
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })?;
        ensure!(matches!(error, LoadError::NotPermitted { .. }), "{error}");
        let message = error.to_string();
        ensure!(
            ["root", "CAP_BPF", "CAP_NET_ADMIN"]
                .iter()
                .all(|word| message.contains(word)),
            "{message}"
        );
        Ok(())
    })
}

/// The object that is embedded in the daemon.
fn object() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    match std::env::var_os("HARRIER_EBPF_OBJECT") {
        Some(path) => root.join(path),
        None => root.join("target/bpf/harrier.bpf.o"),
    }
}

#[test]
fn bpftool_loads_the_object_too() -> Result<()> {
    isolated(|pins| {
        let program = pins.join("byhand");
        command::checked(
            Command::new("bpftool")
                .args(["prog", "load"])
                .arg(object())
                .arg(&program),
            "",
        )?;
        let shown = command::checked(
            Command::new("bpftool")
                .args(["-j", "prog", "show", "pinned"])
                .arg(&program),
            "",
        )?;
        let shown: Value = serde_json::from_str(&shown)?;
        ensure!(
            shown["name"] == abi::PROGRAM && shown["type"] == "xdp",
            "{shown}"
        );
        Ok(())
    })
}

fn dump(pins: &Path, map: &str) -> Result<Value> {
    let text = command::checked(
        Command::new("bpftool")
            .args(["-j", "map", "dump", "pinned"])
            .arg(pins.join(map)),
        "",
    )?;
    serde_json::from_str(&text).with_context(|| text)
}

/// Every leaf of a dump that an operator reads is a number.
fn numbers_only(value: &Value) -> bool {
    match value {
        Value::Object(fields) => fields.values().all(numbers_only),
        Value::Array(items) => items.iter().all(numbers_only),
        Value::Number(_) => true,
        Value::Null | Value::Bool(_) | Value::String(_) => false,
    }
}

#[test]
fn bpftool_shows_named_fields_and_numbers() -> Result<()> {
    isolated(|pins| {
        let mut bench = Bench::new(pins)?;
        let key = bench.admit(V3, PEER.into())?;
        bench.run(&v3().build())?;
        bench.run(&v3().with(|it| it.ttl = 1).build())?;
        bench.run(&arp(
            2,
            PEER_MAC,
            [10, 77, 0, 100].into(),
            [10, 77, 0, 1].into(),
        ))?;

        let peers = dump(pins, abi::map::PEERS)?;
        let row = &peers[0]["formatted"];
        ensure!(numbers_only(row), "{row}");
        ensure!(
            row["key"]["vrid"] == V3 && row["key"]["family"] == 4,
            "{row}"
        );
        let address = serde_json::json!(key.address);
        ensure!(row["key"]["address"] == address, "{row}");
        let peer = bench.maps.peers.read(&key)?.context("no row")?;
        for (field, number) in [
            ("last_seen_ns", peer.last_seen_ns),
            ("adverts", 1),
            ("interval_cs", 100),
            ("priority", 200),
            ("version", 3),
            ("address_mismatch", 0),
            ("message_only_checksum", 0),
        ] {
            ensure!(row["value"][field] == number, "{field}: {row}");
        }
        ensure!(row["value"]["mac"] == serde_json::json!(PEER_MAC), "{row}");

        for (map, fields) in [
            (
                abi::map::INSTANCES,
                &[
                    "/key/ifindex",
                    "/key/vrid",
                    "/instance/state",
                    "/instance/own_address",
                ][..],
            ),
            (abi::map::BUCKETS, &["first"]),
            (abi::map::VIPS, &["vrid", "family"]),
            (
                abi::map::ACTIVES,
                &[
                    "last_seen_ns",
                    "priority",
                    "address",
                    "told",
                    "row_written_ns",
                ],
            ),
            (
                abi::map::REFUSALS,
                &[
                    "last_seen_ns",
                    "adverts",
                    "reason",
                    "version",
                    "interval_cs",
                    "address",
                ],
            ),
            (
                abi::map::TOLD,
                &[
                    "changed_ns",
                    "weakened_ns",
                    "refused_ns",
                    "releases",
                    "outranks",
                ],
            ),
            (abi::map::CLAIMS, &["last_seen_ns", "claims", "mac", "kind"]),
        ] {
            let rows = dump(pins, map)?;
            let row = &rows[0]["formatted"]["value"];
            ensure!(numbers_only(row), "{map}: {row}");
            for field in fields {
                let pointer = format!("/{}", field.trim_start_matches('/'));
                ensure!(
                    row.pointer(&pointer).is_some_and(|value| !value.is_null()),
                    "{map} has no field {field}: {row}"
                );
            }
        }
        let counters = dump(pins, abi::map::COUNTERS)?;
        let per_cpu = &counters[0]["formatted"]["values"];
        let accepted: u64 = per_cpu
            .as_array()
            .context("no CPUs")?
            .iter()
            .filter_map(|cpu| cpu["value"]["accepted"].as_u64())
            .sum();
        ensure!(accepted == 1, "{per_cpu}");
        Ok(())
    })
}
