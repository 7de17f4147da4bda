//! `harrier run`.

use std::{env, io, path::PathBuf};

use anyhow::Context as _;
use clap::Args;
use tracing_appender::non_blocking::NonBlockingBuilder;
use tracing_subscriber::{EnvFilter, filter::LevelFilter};

use super::{Reading, output};
use crate::{config, runtime_dir};

const EXAMPLES: &str = "\
Examples:
  harrier run --config /etc/harrier.toml
  harrier run --config /etc/keepalived/keepalived.conf
  harrier run --config lab.toml --runtime-dir /tmp/lab --log-level debug
  RUST_LOG=info,ha_user::driver=trace harrier run --config lab.toml

The log goes to standard error. SIGTERM and SIGINT stop cleanly, with status 0:
an Active router releases (priority 0), serves its addresses until a successor
speaks, four intervals at most, and takes them off. A second signal does not wait.
SIGHUP has it read its configuration anew (as `harrier reload`), SIGUSR1 write down
configuration, state and peers, SIGUSR2 the statistics; the log says where.

Two daemons on one machine, for example in two network namespaces, each need a
runtime directory of their own: control socket, pid file and pinned maps are in it.";

/// Log lines that wait for a slow terminal: some for each of a thousand instances.
/// Room for them is taken at the start, 32 bytes each.
const LOG_LINES: usize = 8192;

/// Take part in the election, in the foreground.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct Run {
    /// Configuration file: TOML, or a keepalived.conf; `harrier check FILE` checks
    /// it beforehand.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,

    #[command(flatten)]
    reading: Reading,

    /// Directory of control socket, pid file and pinned maps; created if missing.
    #[arg(long, value_name = "DIR", default_value = runtime_dir::DEFAULT)]
    runtime_dir: PathBuf,

    /// Kernel program to load in place of the one that is built in.
    #[arg(long, value_name = "FILE")]
    ebpf_object: Option<PathBuf>,

    /// Write what SIGUSR1 and SIGUSR2 ask for to /tmp/keepalived.data and
    /// /tmp/keepalived.stats too, where scripts written for keepalived look. With a
    /// keepalived.conf that is so anyway.
    #[arg(long)]
    keepalived_dumps: bool,

    /// What to log: error, warn, info, debug, trace, or a filter such as
    /// `info,ha_user::driver=debug`. Without it the variable RUST_LOG says, and
    /// without that it is info.
    #[arg(long, value_name = "LEVEL", value_parser = log_filter)]
    log_level: Option<String>,
}

impl Run {
    pub(super) fn execute(self, daemon: Daemon) -> anyhow::Result<()> {
        let filter = match self.log_level {
            Some(filter) => EnvFilter::builder().parse(filter)?,
            // Where RUST_LOG is not set, or empty, the directive is all there is.
            None => EnvFilter::builder()
                .with_default_directive(LevelFilter::INFO.into())
                .parse(env::var(EnvFilter::DEFAULT_ENV).unwrap_or_default())
                .context("the variable RUST_LOG does not say what to log")?,
        };
        // Written by a thread of its own: a terminal that is held must not hold
        // up the driver. Lines are lost then, and the end of the log is written
        // when the guard goes.
        let (writer, _guard) = NonBlockingBuilder::default()
            .buffered_lines_limit(LOG_LINES)
            .finish(io::stderr());
        tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_ansi(output::colour(&io::stderr()))
            .with_writer(writer)
            .init();
        let options = RunOptions {
            reading: self.reading.options(),
            config: self.config,
            runtime_dir: self.runtime_dir,
            ebpf_object: self.ebpf_object,
            keepalived_dumps: self.keepalived_dumps,
        };
        daemon(&options)
    }
}

/// Runs the daemon until it is told to stop, or fails.
pub type Daemon = fn(&RunOptions) -> anyhow::Result<()>;

/// What `harrier run` is told on its command line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RunOptions {
    /// The configuration file.
    pub config: PathBuf,
    /// How it is read.
    pub reading: config::Options,
    /// Where socket, pid file and pins live.
    pub runtime_dir: PathBuf,
    /// Kernel program to load in place of the one that is built in.
    pub ebpf_object: Option<PathBuf>,
    /// Whether dumps go to where keepalived has them too.
    pub keepalived_dumps: bool,
}

fn log_filter(text: &str) -> Result<String, String> {
    match EnvFilter::builder().parse(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(error) => Err(error.to_string()),
    }
}
