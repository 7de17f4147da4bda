//! The command line, one file per subcommand.
//!
//! Exit status: 0 done, 1 failed (the reason is on standard error), 2 wrong
//! usage.

mod check;
mod convert;
mod counters;
mod dump;
mod explain;
mod failover;
mod output;
mod peers;
mod reload;
pub(crate) mod report;
mod run;
mod status;

use std::{path::PathBuf, process::ExitCode};

use clap::{Args, Parser, Subcommand, ValueEnum};

pub use self::run::{Daemon, RunOptions};
use crate::{
    config::{self, Format},
    runtime_dir::{self, Paths},
};

const EXAMPLES: &str = "\
Examples:
  harrier check /etc/harrier.toml           is the configuration right?
  harrier convert keepalived.conf           what would that be in TOML?
  harrier run --config /etc/harrier.toml    take part, in the foreground
  harrier status                            which router is Active?
  harrier peers --json                      who advertises, for scripts
  harrier dump                              what does the kernel program hear?
  harrier explain web                       why is it Active or Backup?
  harrier failover web                      another router is to take over
  harrier reload                            read the configuration file anew

Exit status: 0 done, 1 failed (the reason is on standard error), 2 wrong usage.";

/// VIP failover by VRRP (RFC 9568), with the failure clock in the kernel.
///
/// Routers that share virtual IP addresses elect one of them Active; it holds
/// the addresses and advertises. When its advertisements stop, the best of the
/// Backups takes the addresses over.
#[derive(Debug, Parser)]
#[command(name = "harrier", version, after_long_help = EXAMPLES, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Run(run::Run),
    Check(check::Check),
    Convert(convert::Convert),
    Status(status::Status),
    Peers(peers::Peers),
    Counters(counters::Counters),
    Dump(dump::Dump),
    Explain(explain::Explain),
    Failover(failover::Failover),
    Reload(reload::Reload),
}

/// How a configuration file is read.
#[derive(Clone, Debug, Args)]
struct Reading {
    /// Language of the file; auto tells it by what is in the file.
    #[arg(long, value_name = "FORMAT", default_value = "auto")]
    format: FormatName,

    /// Make errors of keepalived keywords that there are none of.
    #[arg(long)]
    strict: bool,

    /// Name that lines with @ of a keepalived.conf are held against; the host's
    /// by default.
    #[arg(long, value_name = "NAME")]
    config_id: Option<String>,
}

/// A language, as named on the command line.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum FormatName {
    /// Told by what is in the file.
    Auto,
    /// Harrier's own.
    Toml,
    /// That of keepalived.conf.
    Keepalived,
}

impl Reading {
    fn options(&self) -> config::Options {
        config::Options {
            format: match self.format {
                FormatName::Auto => None,
                FormatName::Toml => Some(Format::Toml),
                FormatName::Keepalived => Some(Format::Keepalived),
            },
            strict: self.strict,
            config_id: self.config_id.clone(),
        }
    }
}

/// Which daemon to ask, and how to show what it says.
#[derive(Debug, Args)]
struct Ask {
    /// Print JSON: on a terminal indented, else on one line.
    #[arg(long)]
    json: bool,

    /// Runtime directory of the daemon to ask.
    #[arg(long, value_name = "DIR", default_value = runtime_dir::DEFAULT)]
    runtime_dir: PathBuf,
}

impl Ask {
    fn socket(&self) -> PathBuf {
        Paths::of(&self.runtime_dir).control_socket()
    }
}

/// Runs the command that the process was started with, to its end; `daemon` is
/// what `harrier run` runs.
#[must_use]
pub fn main(daemon: Daemon) -> ExitCode {
    let result = match Cli::parse().command {
        Command::Run(run) => run.execute(daemon),
        Command::Check(check) => check.execute(),
        Command::Convert(convert) => convert.execute(),
        Command::Status(status) => status.execute(),
        Command::Peers(peers) => peers.execute(),
        Command::Counters(counters) => counters.execute(),
        Command::Dump(dump) => dump.execute(),
        Command::Explain(explain) => explain.execute(),
        Command::Failover(failover) => failover.execute(),
        Command::Reload(reload) => reload.execute(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            output::failure(&error);
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_grammar_is_sound() {
        Cli::command().debug_assert();
    }
}
