//! `harrier dump`.

use std::io::Write as _;

use anyhow::Context as _;
use clap::Args;

use super::{Ask, output};
use crate::control::{client, protocol::DumpedAdvert};

const EXAMPLES: &str = "\
Examples:
  harrier dump              all that name one of our virtual routers
  harrier dump web          those for one instance
  harrier dump --json | jq 'select(.refused)'

One line per advertisement, valid or refused, until interrupted; what the daemon sends
itself is not among them. They are what the kernel program sees, so `consume = true`
hides none. The first column is the time since the machine was booted, in seconds.
In a flood not all can be shown; how many were not is said on standard error.

The JSON, one object per line: at_ns, instance, vrid, source, mac, multicast, ttl,
version, priority, advert_interval_ms, address_count, refused (a counter's name), consumed.";

/// Show advertisements as they arrive, until interrupted.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct Dump {
    /// Names of instances; all if none is given.
    instances: Vec<String>,

    #[command(flatten)]
    ask: Ask,
}

impl Dump {
    pub(super) fn execute(self) -> anyhow::Result<()> {
        let socket = self.ask.socket();
        let mut cursor = None;
        loop {
            let dump = client::dump(&socket, &self.instances, cursor)?;
            let mut text = String::new();
            for advert in &dump.adverts {
                if self.ask.json {
                    text.push_str(&serde_json::to_string(advert).context("writing JSON")?);
                } else {
                    text.push_str(&render(advert));
                }
                text.push('\n');
            }
            output::print(&text)?;
            if dump.lost != 0 {
                writeln!(std::io::stderr(), "{} more were not shown", dump.lost)
                    .context("writing to standard error")?;
            }
            cursor = Some(dump.cursor);
        }
    }
}

fn render(advert: &DumpedAdvert) -> String {
    let (seconds, rest) = (
        advert.at_ns / 1_000_000_000,
        advert.at_ns % 1_000_000_000 / 1000,
    );
    let verdict = match (&advert.refused, advert.consumed) {
        (Some(reason), _) => format!("refused: {}", output::plain(reason)),
        (None, true) => "accepted, consumed".to_owned(),
        (None, false) => "accepted".to_owned(),
    };
    format!(
        "{seconds}.{rest:06} {} {} ({}){} v{} vrid {} priority {} every {} ms, {} address{}, ttl {}: {verdict}",
        output::plain(&advert.instance),
        advert.source,
        output::plain(&advert.mac),
        if advert.multicast { "" } else { " unicast" },
        advert.version,
        advert.vrid,
        advert.priority,
        advert.advert_interval_ms,
        advert.address_count,
        if advert.address_count == 1 { "" } else { "es" },
        advert.ttl,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_what_became_of_it() {
        let mut advert = DumpedAdvert {
            at_ns: 6_013_107_106_724,
            instance: "web".to_owned(),
            vrid: 51,
            source: "10.77.0.1".parse().unwrap(),
            mac: "02:00:00:00:00:01".to_owned(),
            multicast: true,
            ttl: 255,
            version: 3,
            priority: 200,
            advert_interval_ms: 100,
            address_count: 1,
            refused: None,
            consumed: false,
        };
        assert_eq!(
            render(&advert),
            "6013.107106 web 10.77.0.1 (02:00:00:00:00:01) v3 vrid 51 priority 200 every 100 ms, \
             1 address, ttl 255: accepted"
        );
        advert.consumed = true;
        assert!(render(&advert).ends_with(": accepted, consumed"));
        advert.refused = Some("bad_checksum".to_owned());
        advert.multicast = false;
        let line = render(&advert);
        assert!(line.ends_with(": refused: bad_checksum") && line.contains(") unicast v3"));
    }
}
