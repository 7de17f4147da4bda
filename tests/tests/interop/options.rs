//! Which options of this protocol the peers know, by their own parsers.

use std::fs;

use anyhow::{Result, ensure};
use ha_tests::{command, daemon::Instance, frr::Frr, lab::Lab};

/// keepalived's options that matter between two implementations.
const OF_KEEPALIVED: [&str; 4] = [
    "old_unicast_checksum",
    "unicast_ttl 255",
    "use_vmac",
    "v3_checksum_as_v2",
];

/// What other versions or implementations have commands for, as a word in them.
const OF_FRR: [&str; 5] = ["preempt", "authentication", "checksum", "unicast", "accept"];

/// One row per option: peer and option, and whether the peer knows it.
pub(crate) fn find() -> Result<Vec<(String, Vec<String>)>> {
    let lab = Lab::new(1)?;
    let host = &lab.nodes[0];
    let mut rows = Vec::new();

    let file = lab.root_directory().join("option.conf");
    for option in OF_KEEPALIVED {
        let text = format!(
            "vrrp_instance web {{\n interface eth0\n virtual_router_id 51\n {option}\n}}\n"
        );
        fs::write(&file, text)?;
        let mut test = host.netns.command("keepalived");
        test.arg("--config-test").arg("--use-file").arg(&file);
        let out = command::output(&mut test, "")?;
        let said = String::from_utf8_lossy(&out.stderr).into_owned();
        let word = option.split(' ').next().unwrap_or(option);
        let unknown = said.contains(&format!("Unknown keyword '{word}'"));
        // It has complaints about so short a configuration, and says which.
        ensure!(unknown || !said.contains("Unknown keyword"), "{said}");
        rows.push(row("keepalived", word, !unknown));
    }

    let mut frr = Frr::start(&lab, host, &Instance::new(100, &["10.77.0.100/16"]))?;
    let commands = frr.commands()?;
    for word in OF_FRR {
        let known = commands.iter().any(|command| command.contains(word));
        rows.push(row("FRR", word, known));
    }
    frr.quiet();
    Ok(rows)
}

fn row(peer: &str, option: &str, known: bool) -> (String, Vec<String>) {
    let known = if known { "yes" } else { "no" };
    (format!("{peer} | `{option}`"), vec![known.to_owned()])
}
