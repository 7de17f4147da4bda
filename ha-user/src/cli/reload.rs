//! `harrier reload`.

use anyhow::bail;
use clap::Args;

use super::{Ask, output};
use crate::control::{
    client::{self, ClientError},
    protocol::Reloaded,
};

const EXAMPLES: &str = "\
Examples:
  harrier reload
  harrier check /etc/harrier.toml && harrier reload
  harrier reload --json | jq -r '.removed[]'

The daemon reads the file that it was started with, as on SIGHUP. What is the same
in it goes on undisturbed; addresses, priorities, intervals and the like change in
place. With another interface, VRID, family, version, unicast source or virtual_mac
an instance is another virtual router: the old one hands over, the new one starts.
A file with a mistake changes nothing: the mistakes are shown, the exit status is 1.

The JSON: changed (name, changes), added, removed, replaced (names), other (lines).
More fields may come; those named here stay.";

/// Have the daemon read its configuration file anew.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct Reload {
    #[command(flatten)]
    ask: Ask,
}

impl Reload {
    pub(super) fn execute(self) -> anyhow::Result<()> {
        let reloaded = match client::reload(&self.ask.socket()) {
            Ok(reloaded) => reloaded,
            Err(ClientError::Refused { reason, .. }) => {
                bail!("not reloaded, the old configuration goes on: {reason}")
            }
            Err(error) => return Err(error.into()),
        };
        if self.ask.json {
            return output::print_json(&reloaded);
        }
        output::print(&render(&reloaded))
    }
}

fn render(reloaded: &Reloaded) -> String {
    let lines: String = reloaded
        .lines()
        .flat_map(|line| [output::plain(&line), "\n".to_owned()])
        .collect();
    if lines.is_empty() {
        return "nothing has changed\n".to_owned();
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::protocol::InstanceChange;

    #[test]
    fn every_change_is_a_line() {
        let reloaded = Reloaded {
            changed: vec![InstanceChange {
                name: "web".to_owned(),
                changes: vec![
                    "priority 100 -> 150".to_owned(),
                    "notify changed".to_owned(),
                ],
            }],
            added: vec!["db".to_owned()],
            removed: vec!["old".to_owned()],
            replaced: vec!["edge".to_owned()],
            other: vec!["check nginx changed".to_owned()],
        };
        assert_eq!(
            render(&reloaded),
            "web: priority 100 -> 150\nweb: notify changed\ndb: added\nold: removed\n\
             edge: another virtual router, replaced\ncheck nginx changed\n"
        );
        assert_eq!(render(&Reloaded::default()), "nothing has changed\n");
        assert_eq!(Reloaded::default().to_string(), "nothing has changed");
    }
}
