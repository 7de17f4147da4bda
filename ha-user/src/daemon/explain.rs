//! Why an instance is what it is.

use std::time::SystemTime;

use ha_common::{abi::Counter, time::Timestamp};

use super::view::{View, millis, report_of};
use crate::{
    control::protocol::{Explanation, HeardStatus, PastTransition, TrackerStatus},
    driver::{Heard, Past, TrackerReport},
    engine::Reading,
    sys,
};

/// Transitions that are told.
const TOLD: usize = 3;

impl View {
    /// Why the instance with this name is what it is.
    ///
    /// # Errors
    /// If there is none, or the driver does not answer.
    pub(super) async fn explain(&self, name: &str) -> Result<Explanation, String> {
        let roster = self.current.roster();
        let (id, config) = self.find(&roster, name)?;
        let reports = self.reports().await?;
        let now: Timestamp = sys::now();
        let report = report_of(&reports, id, config)
            .ok_or_else(|| format!("{name} was changed by a reload meanwhile: ask again"))?;
        let peers = self.peers().map_err(|error| error.to_string())?;
        let counters = self.counters().map_err(|error| error.to_string())?;
        let events_lost = counters.0.get(Counter::EventsLost.name());
        let history = &report.history[report.history.len().saturating_sub(TOLD)..];
        Ok(Explanation {
            status: self.instance(&roster, id, config, report, now),
            trackers: report.trackers.iter().map(tracker).collect(),
            heard: report.heard.map(heard),
            peers: peers
                .into_iter()
                .filter(|peer| peer.instance == name)
                .collect(),
            events_lost: events_lost.copied().unwrap_or(0),
            history: history.iter().map(past).collect(),
        })
    }
}

fn tracker(report: &TrackerReport) -> TrackerStatus {
    let contribution = report.contribution;
    TrackerStatus {
        name: report.name.clone(),
        reading: match contribution.reading {
            None => "unknown".to_owned(),
            Some(Reading::Pending) => "pending".to_owned(),
            // As status has it.
            Some(Reading::Up) if report.is_check => "passing".to_owned(),
            Some(Reading::Down) if report.is_check => "failing".to_owned(),
            Some(Reading::Up) => "up".to_owned(),
            Some(Reading::Down) => "down".to_owned(),
            Some(Reading::Value(value)) => value.to_string(),
        },
        weight: contribution.tracking.weight,
        reverse: contribution.tracking.reverse,
        added: contribution.added,
        fault: report.fault,
    }
}

fn heard(heard: Heard) -> HeardStatus {
    HeardStatus {
        source: heard.source,
        priority: heard.priority.0,
        advert_interval_ms: millis(heard.interval),
        age_ms: heard.age.as_secs_f64() * 1e3,
    }
}

fn past(past: &Past) -> PastTransition {
    // A clock that was set back meanwhile says that it is now.
    let ago = SystemTime::now().duration_since(past.at);
    let since_1970 = past.at.duration_since(SystemTime::UNIX_EPOCH);
    PastTransition {
        at_unix_ms: since_1970.map_or(0, millis),
        ms_ago: ago.map_or(0, millis),
        from: past.from.into(),
        to: past.to.into(),
        reason: past.reason.clone(),
        priority: past.evidence.priority.0,
        heard: past.evidence.heard.map(heard),
        link_up: past.evidence.link_up,
        events_lost: past.evidence.events_lost,
    }
}
