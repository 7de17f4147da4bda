//! `harrier peers`.

use clap::Args;

use super::{Ask, output};
use crate::control::{client, protocol::Peer};

const EXAMPLES: &str = "\
Examples:
  harrier peers
  harrier peers --json | jq '.[] | select(.last_advert_age_ms > 1000)'

A peer is whoever has sent a valid advertisement for one of our virtual routers.
The age of the last one is by the kernel's clock at its arrival. The JSON is a
list of: instance, address, mac, priority, version, advert_interval_ms, adverts,
last_advert_age_ms. More fields may come; those named here stay.";

/// Show the routers that advertise for our virtual routers.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct Peers {
    #[command(flatten)]
    ask: Ask,
}

impl Peers {
    pub(super) fn execute(self) -> anyhow::Result<()> {
        let peers = client::peers(&self.ask.socket())?;
        if self.ask.json {
            return output::print_json(&peers);
        }
        output::print(&render(&peers))
    }
}

pub(super) fn render(peers: &[Peer]) -> String {
    if peers.is_empty() {
        return "no peer has advertised yet\n".to_owned();
    }
    let mut table = output::table(&[
        "INSTANCE", "ADDRESS", "MAC", "PRIORITY", "VRRP", "ADVERT", "ADVERTS", "LAST",
    ]);
    for peer in peers {
        table.add_row([
            output::plain(&peer.instance),
            peer.address.to_string(),
            output::plain(&peer.mac),
            peer.priority.to_string(),
            format!("v{}", peer.version),
            output::milliseconds(peer.advert_interval_ms as f64),
            peer.adverts.to_string(),
            format!("{} ago", output::milliseconds(peer.last_advert_age_ms)),
        ]);
    }
    output::lines(&table)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Peer {
        Peer {
            instance: "web".to_owned(),
            address: [10, 77, 0, 2].into(),
            mac: "02:00:00:00:00:02".to_owned(),
            priority: 100,
            version: 3,
            advert_interval_ms: 100,
            adverts: 12_345,
            last_advert_age_ms: 42.5,
        }
    }

    #[test]
    fn a_row_per_peer() {
        let out = render(&[sample(), sample()]);
        assert_eq!(out.lines().count(), 3, "{out}");
        for part in [
            "web",
            "10.77.0.2",
            "02:00:00:00:00:02",
            "12345",
            "42.5 ms ago",
        ] {
            assert!(out.contains(part), "{part}: {out}");
        }
        assert_eq!(render(&[]), "no peer has advertised yet\n");
    }

    #[test]
    fn json_has_the_fields_of_the_contract_and_no_others() {
        assert_eq!(
            serde_json::to_value([sample()]).unwrap(),
            serde_json::json!([{
                "instance": "web",
                "address": "10.77.0.2",
                "mac": "02:00:00:00:00:02",
                "priority": 100,
                "version": 3,
                "advert_interval_ms": 100,
                "adverts": 12_345,
                "last_advert_age_ms": 42.5,
            }])
        );
    }
}
