//! `harrier check`.

mod details;

use std::{
    fmt::Write as _,
    io::{self, Write as _},
    path::PathBuf,
};

use clap::Args;

use super::output;
use crate::config::{InstanceConfig, Source};

const EXAMPLES: &str = "\
Examples:
  harrier check /etc/harrier.toml
  harrier check new.toml && mv new.toml /etc/harrier.toml

Says all that is wrong with the file at once, each with its line and the remedy,
and exits with status 1. Of a file that is right it says, per instance, how long
a Backup waits before it takes over (Active_Down_Interval), and below that what is
not as by default. It looks at the file only, not at the interfaces of this
machine, and needs no privilege.";

/// Check a configuration file.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct Check {
    /// Configuration file (TOML).
    file: PathBuf,
}

impl Check {
    pub(super) fn execute(self) -> anyhow::Result<()> {
        let (config, warnings) = Source::read(&self.file)?.parse()?;
        io::stderr().write_all(warnings.report(output::colour(&io::stderr())).as_bytes())?;
        let mut text = String::new();
        if let Some(line) = details::daemon(&config) {
            text.extend([&line, "\n"]);
        }
        for instance in &config.instances {
            summarise(&mut text, instance);
            for line in details::instance(instance) {
                text.extend(["  ", &line, "\n"]);
            }
        }
        for line in details::groups(&config) {
            text.extend([&line, "\n"]);
        }
        output::print(&text)
    }
}

/// One line of `instance`, such as `web: Backup takes over after 341.406 ms …`.
fn summarise(out: &mut String, instance: &InstanceConfig) {
    let InstanceConfig {
        name,
        interface,
        vrid,
        family,
        version,
        priority,
        ..
    } = instance;
    // Writing to a String cannot fail.
    let _ = write!(
        out,
        "{name}: VRID {vrid} on {interface}, VRRPv{} {family}, priority {priority}, advertises \
         every {}, Active_Down_Interval {}",
        version.number(),
        output::milliseconds(instance.advert_interval.as_secs_f64() * 1e3),
        output::milliseconds(instance.active_down_interval().as_secs_f64() * 1e3),
    );
    if !instance.preempt {
        out.push_str(", does not preempt");
    }
    if instance.addresses.is_empty() {
        out.push_str(", no addresses");
    }
    if !instance.addresses.is_empty() {
        let _ = write!(out, ", {}", details::list(&instance.addresses));
    }
    out.push('\n');
}
