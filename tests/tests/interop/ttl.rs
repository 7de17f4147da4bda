//! The TTL or hop limit of keepalived's unicast advertisements, and whether
//! Harrier takes them.

use std::{fmt, time::Duration};

use anyhow::{Context as _, Result};
use ha_tests::{
    capture::Frame,
    daemon::Harrier,
    keepalived::{Keepalived, Options},
    lab::Lab,
};

use super::combination::{Combination, Form, Mac, Peer, Transport};

const PATIENCE: Duration = Duration::from_secs(30);

/// One row of the table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Case {
    pub(crate) form: Form,
    /// keepalived's `unicast_ttl`.
    pub(crate) their_ttl: Option<u8>,
    /// Harrier's `min_ttl`.
    pub(crate) min_ttl: Option<u8>,
}

/// What was seen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Finding {
    pub(crate) they_send: u8,
    /// Whether Harrier has taken their advertisements.
    pub(crate) we_take: bool,
}

impl Case {
    pub(crate) fn all() -> Vec<Self> {
        let case = |form, their_ttl, min_ttl| Self {
            form,
            their_ttl,
            min_ttl,
        };
        vec![
            case(Form::V3Ipv4, None, None),
            case(Form::V3Ipv6, None, None),
            case(Form::V3Ipv6, None, Some(64)),
            case(Form::V3Ipv6, Some(255), None),
        ]
    }

    /// keepalived is Active with priority 100; Harrier comes with 200. When it
    /// has taken over it has heard keepalived, or refuses it.
    pub(crate) fn find(&self) -> Result<Finding> {
        let lab = Lab::new(2)?;
        let (us, them) = lab.pair();
        let at_them = lab.capture(them)?;
        let combination = Combination {
            peer: Peer::Keepalived,
            form: self.form,
            transport: Transport::Unicast,
            their_mac: Mac::Physical,
            our_mac: Mac::Physical,
        };
        let options = Options {
            unicast_ttl: self.their_ttl,
            ..Options::default()
        };
        let instance = combination.instance(them, us, 100);
        let mut theirs = Keepalived::start_with(&lab, them, &instance, options)?;
        let is_sent = |frame: &Frame| !frame.outgoing && frame.advert().is_some();
        let frame = at_them.await_frame("their advertisement", 0, PATIENCE, is_sent)?;
        let place = if self.form.is_ipv6() { 14 + 7 } else { 14 + 8 };
        let they_send = *frame.bytes().get(place).context("a TTL")?;

        let mut text = combination.instance(us, them, 200).to_toml();
        if let Some(ttl) = self.min_ttl {
            text = text.replace("peers =", &format!("min_ttl = {ttl}, peers ="));
        }
        let mut ours = Harrier::start_with(&lab, us, &us.name, &text)?;
        ours.await_state("web", "active", PATIENCE)?;
        let we_take = !ours.peers()?.is_empty();
        theirs.process.quiet();
        ours.process.quiet();
        Ok(Finding { they_send, we_take })
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let option = |name: &str, value: Option<u8>| {
            value.map_or_else(|| "default".to_owned(), |value| format!("`{name}` {value}"))
        };
        let theirs = option("unicast_ttl", self.their_ttl);
        let ours = option("min_ttl", self.min_ttl);
        write!(f, "{} | {theirs} | {ours}", self.form)
    }
}
