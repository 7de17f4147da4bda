//! The table `unicast` of an instance.

use std::{net::IpAddr, ops::Range};

use toml::de::DeValue;

use super::{Reader, Settings, settings};
use crate::config::{
    diagnostic::Diagnostic,
    located::{Field, Located},
    raw::{RawInstance, RawUnicast},
};

const KEYS: &[&str] = &["source", "peers", "min_ttl"];

const EXPECTED: &str = "a table, such as { peers = [\"10.77.0.2\"] }";
const EXPECTED_PEERS: &str = "a list of addresses, such as [\"10.77.0.2\"]";
const EXPECTED_ADDRESS: &str = "an address without a prefix length, such as \"10.77.0.2\"";

impl Reader {
    pub(super) fn unicast(
        &mut self,
        instance_settings: &mut Settings<'_>,
        instance: &mut RawInstance,
    ) {
        if let Some((key, _)) = instance_settings.remove("min_ttl") {
            self.diagnostics.push(
                Diagnostic::error(
                    key,
                    "min_ttl is a setting of unicast",
                    "expected unicast = { peers = [\"10.77.0.2\"], min_ttl = 254 }",
                )
                .help("by multicast only a TTL of 255 is accepted (RFC 9568 §5.1.1.3)"),
            );
        }
        let Some((_, value)) = instance_settings.remove("unicast") else {
            return;
        };
        let span = value.span();
        let mut settings = match value.into_inner() {
            DeValue::Table(table) => settings(table),
            other => {
                instance.unicast = Field::Bad;
                self.wrong_kind(span, "unicast", EXPECTED, &other);
                return;
            }
        };
        let mut unicast = RawUnicast {
            source: self.parsed(&mut settings, "source", EXPECTED_ADDRESS, |text| {
                text.parse().ok()
            }),
            min_ttl: self.integer(&mut settings, "min_ttl"),
            ..RawUnicast::default()
        };
        self.peers(&mut settings, &mut unicast);
        self.unknown(settings, KEYS, "in unicast");
        instance.unicast = Field::Given(Located::new(unicast, span));
    }

    fn peers(&mut self, settings: &mut Settings<'_>, unicast: &mut RawUnicast) {
        let Some((_, value)) = settings.remove("peers") else {
            return;
        };
        let span = value.span();
        let entries = match value.into_inner() {
            DeValue::Array(entries) => entries,
            other => {
                unicast.peers = Field::Bad;
                self.wrong_kind(span, "peers", EXPECTED_PEERS, &other);
                return;
            }
        };
        let mut peers = Vec::with_capacity(entries.len());
        for entry in entries {
            let span = entry.span();
            match self.peer(span.clone(), &entry.into_inner()) {
                Some(peer) => peers.push(Located::new(peer, span)),
                None => unicast.bad_peers = true,
            }
        }
        unicast.peers = Field::Given(Located::new(peers, span));
    }

    fn peer(&mut self, span: Range<usize>, value: &DeValue<'_>) -> Option<IpAddr> {
        let DeValue::String(text) = value else {
            self.wrong_kind(span, "a peer", EXPECTED_ADDRESS, value);
            return None;
        };
        let peer = text.parse().ok();
        if peer.is_none() {
            self.diagnostics.push(Diagnostic::error(
                span,
                format!("a peer cannot be {text:?}"),
                format!("expected {EXPECTED_ADDRESS}"),
            ));
        }
        peer
    }
}
