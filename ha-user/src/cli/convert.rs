//! `harrier convert`.

use std::{
    io::{self, Write as _},
    path::PathBuf,
};

use clap::Args;

use super::{Reading, output};
use crate::config::{Source, to_toml};

const EXAMPLES: &str = "\
Examples:
  harrier convert /etc/keepalived/keepalived.conf > /etc/harrier.toml
  harrier convert keepalived.conf --config-id node2

What is printed says the same as the file: running either gives the same daemon.
What keepalived does and Harrier does not stands in front as comments. Passwords
are printed too. Exit status 1 if the file is wrong; nothing is printed then.";

/// Print a configuration file as TOML.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct Convert {
    /// Configuration file: a keepalived.conf, or TOML.
    file: PathBuf,

    #[command(flatten)]
    reading: Reading,
}

impl Convert {
    pub(super) fn execute(self) -> anyhow::Result<()> {
        let (config, warnings) = Source::read(&self.file)?.parse(&self.reading.options())?;
        let mut text = String::new();
        for line in warnings.lines() {
            let line: String = line
                .chars()
                .map(|c| if c.is_control() { ' ' } else { c })
                .collect();
            text.extend(["# ", &line, "\n"]);
        }
        if !text.is_empty() {
            text.push('\n');
        }
        text.push_str(&to_toml(&config));
        if config.instances.is_empty() {
            // In TOML a file without instances is none.
            writeln!(
                io::stderr(),
                "harrier: there is no vrrp_instance in this file"
            )?;
        }
        output::print(&text)
    }
}
