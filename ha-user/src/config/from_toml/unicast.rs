//! The table `unicast` of an instance.

use std::{net::IpAddr, ops::Range};

use toml::de::DeValue;

use super::{Reader, Settings, fields::EXPECTED_IP};
use crate::config::{diagnostic::Diagnostic, located::Field, raw::RawUnicast};

const KEYS: &[&str] = &["source", "peers", "min_ttl"];

const EXPECTED: &str = "a table, such as { peers = [\"10.77.0.2\"] }";
const EXPECTED_PEERS: &str = "a list of addresses, such as [\"10.77.0.2\"]";

impl Reader {
    pub(super) fn unicast(&mut self, settings: &mut Settings<'_>) -> Field<RawUnicast> {
        self.table(settings, "unicast", EXPECTED, |reader, mut settings| {
            let unicast = RawUnicast {
                source: reader.ip(&mut settings, "source"),
                peers: reader.list(&mut settings, "peers", EXPECTED_PEERS, Self::peer),
                min_ttl: reader.integer(&mut settings, "min_ttl"),
            };
            reader.unknown(settings, KEYS, "in unicast");
            unicast
        })
    }

    fn peer(&mut self, span: Range<usize>, value: DeValue<'_>) -> Option<IpAddr> {
        let DeValue::String(text) = value else {
            self.wrong_kind(span, "a peer", EXPECTED_IP, &value);
            return None;
        };
        let peer = text.parse().ok();
        if peer.is_none() {
            self.diagnostics.push(Diagnostic::error(
                span,
                format!("a peer cannot be {text:?}"),
                format!("expected {EXPECTED_IP}"),
            ));
        }
        peer
    }
}
