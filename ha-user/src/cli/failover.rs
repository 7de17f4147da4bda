//! `harrier failover`.

use clap::Args;

use super::{Ask, output};
use crate::control::{client, protocol};

const EXAMPLES: &str = "\
Examples:
  harrier failover web           another router is to take over
  harrier failover web --back    this one may take over again

The instance hands over without a gap and goes on with priority 1 (an owner too), so
that any other router has the addresses, whether it preempts or not; all members of
its sync group go with it. If nobody takes over within four intervals, this router
serves on. `harrier status` shows it as drained. It lasts until --back or the end of
the daemon, through reloads.

The JSON: instances (names), drained.";

/// Have another router take over from an instance, or end that.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct Failover {
    /// Name of the instance.
    instance: String,

    /// Take part with the configured priority again.
    #[arg(long)]
    back: bool,

    #[command(flatten)]
    ask: Ask,
}

impl Failover {
    pub(super) fn execute(self) -> anyhow::Result<()> {
        let done = client::failover(&self.ask.socket(), self.instance, self.back)?;
        if self.ask.json {
            return output::print_json(&done);
        }
        output::print(&render(&done))
    }
}

fn render(done: &protocol::Failover) -> String {
    let names = output::plain(&done.instances.join(", "));
    if done.drained {
        let first = done.instances.first().map_or("", String::as_str);
        let first = output::plain(first);
        format!("{names}: drained, until `harrier failover {first} --back`\n")
    } else {
        format!("{names}: back with the configured priority\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_it_concerns_are_named() {
        let mut done = protocol::Failover {
            instances: vec!["web".to_owned(), "db".to_owned()],
            drained: true,
        };
        assert_eq!(
            render(&done),
            "web, db: drained, until `harrier failover web --back`\n"
        );
        done.drained = false;
        assert!(render(&done).starts_with("web, db: back"));
    }
}
