//! What a guide is here: its name, what happens in it, and who tells it.

use std::time::Duration;

use anyhow::Result;
use ha_tests::visitor::Outage;

use super::router::Peer;

/// A guide, or a part of one that needs a network of its own.
pub(crate) struct Guide {
    /// Its name in the table.
    pub(crate) title: &'static str,
    /// Who runs it.
    pub(crate) peers: &'static [Peer],
    /// What happens, in this order.
    pub(crate) events: &'static [Event],
    /// Lets it happen; what a client saw goes into the record, an error is what
    /// was not as the guide says.
    pub(crate) tell: fn(Peer, &mut Told) -> Result<()>,
}

/// Something that happens to two nodes.
pub(crate) struct Event {
    /// What it is.
    pub(crate) title: &'static str,
    /// What the guide says of it.
    pub(crate) claim: &'static str,
    /// The longest outage that is still as claimed, in seconds, where it says.
    pub(crate) limit: Option<u64>,
    /// What notices it, with keepalived and with the guide's file.
    pub(crate) noticed_by: &'static str,
}

/// What was seen so far.
#[derive(Default)]
pub(crate) struct Told {
    /// Event and cell of the table.
    pub(crate) cells: Vec<(&'static str, String)>,
    /// The events with an outage.
    outages: Vec<(&'static str, Duration)>,
}

impl Told {
    /// After `event` a client saw `outage`.
    pub(crate) fn outage(&mut self, event: &'static str, outage: Outage) {
        let cell = match outage {
            Outage::None => "none".to_owned(),
            Outage::Of(span) => {
                self.outages.push((event, span));
                seconds(span)
            }
        };
        self.text(event, cell);
    }

    /// After `event` it was as `cell` says.
    pub(crate) fn text(&mut self, event: &'static str, cell: impl Into<String>) {
        self.cells.push((event, cell.into()));
    }

    /// The event that was told last.
    pub(crate) fn last(&self) -> &'static str {
        self.cells.last().map_or("the start", |(event, _)| event)
    }

    /// The events of `guide` after which the outage was longer than claimed.
    pub(crate) fn slower_than_claimed(&self, guide: &Guide) -> Vec<String> {
        self.outages
            .iter()
            .filter(|(event, span)| {
                let limit = guide
                    .events
                    .iter()
                    .find(|its| its.title == *event)
                    .and_then(|its| its.limit);
                limit.is_some_and(|limit| *span > Duration::from_secs(limit))
            })
            .map(|(event, span)| format!("{event}: {}", seconds(*span)))
            .collect()
    }
}

/// A span as the table has it.
pub(crate) fn seconds(span: Duration) -> String {
    format!("{:.2} s", span.as_secs_f64())
}
