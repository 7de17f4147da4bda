//! `harrier check`.

mod checks;
mod details;

use std::{
    fmt::Write as _,
    io::{self, Write as _},
    path::PathBuf,
};

use clap::Args;

use super::{Reading, output};
use crate::config::{Config, InstanceConfig, Source};

const EXAMPLES: &str = "\
Examples:
  harrier check /etc/harrier.toml
  harrier check new.toml && mv new.toml /etc/harrier.toml

Says all that is wrong with the file at once, each with its line and the remedy,
and exits with status 1; warnings alone exit with status 0. Of a file that is right
it says, per instance, how long a Backup waits before it takes over
(Active_Down_Interval), and below that what is not as by default.

It warns of what does not fit this machine: commands that could not run here, those
that others than root can change though they would run as root, addresses in none
of the networks of their interface. It needs no privilege.";

/// Check a configuration file.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct Check {
    /// Configuration file: TOML, or a keepalived.conf.
    file: PathBuf,

    #[command(flatten)]
    reading: Reading,
}

impl Check {
    pub(super) fn execute(self) -> anyhow::Result<()> {
        let options = self.reading.options();
        let source = Source::read(&self.file)?;
        let here = source.warnings_here(&options);
        let (config, warnings) = source.parse(&options)?;
        let colour = output::colour(&io::stderr());
        for warnings in [warnings, here] {
            io::stderr().write_all(warnings.report(colour).as_bytes())?;
        }
        let text = describe(&config);
        output::print(&text)
    }
}

/// What `config` says, in lines.
pub(super) fn describe(config: &Config) -> String {
    let mut text = String::new();
    if let Some(line) = details::daemon(config) {
        text.extend([&line, "\n"]);
    }
    for instance in &config.instances {
        summarise(&mut text, instance);
        for line in details::instance(config, instance) {
            text.extend(["  ", &line, "\n"]);
        }
    }
    for line in details::groups(config).chain(checks::lines(config)) {
        text.extend([&line, "\n"]);
    }
    text
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
