//! What is told when there is time: log lines, notices, the history.
//!
//! A line costs as much as an advertisement, and a thousand instances may take over
//! at once, so all of this waits until nobody's deadline does. It is told in the
//! order in which it came to be.

use std::{collections::VecDeque, time::Duration};

use ha_common::{
    abi::Counter,
    fsm::{Reason, StateKind},
    time::Timestamp,
    types::Priority,
};

use super::{Driver, Evidence, Happening, Heard, Notice};
use crate::{engine::InstanceId, sys};

/// What is told in one turn at least, and at most: other things may wait, but not
/// for ever.
const AT_LEAST: usize = 4;
const AT_MOST: usize = 64;

/// Something to tell.
#[derive(Debug)]
pub(super) enum News {
    /// A transition that was carried out.
    Transition(Transition),
    /// An Active has been silent for too long.
    Resumed { id: InstanceId, silence: Duration },
    /// Something else that others want to hear of.
    Notice(Notice),
}

/// A transition, and what was known then.
#[derive(Debug)]
pub(super) struct Transition {
    pub(super) at: Timestamp,
    pub(super) id: InstanceId,
    pub(super) from: StateKind,
    pub(super) to: StateKind,
    pub(super) reason: Reason,
    pub(super) priority: Priority,
    pub(super) heard: Option<Heard>,
    pub(super) link_up: bool,
}

/// See the [module](self).
#[derive(Debug, Default)]
pub(super) struct Backlog(VecDeque<News>);

impl Driver {
    /// Something happened that others want to hear of.
    pub(super) fn notify(&mut self, notice: Notice) {
        self.backlog.0.push_back(News::Notice(notice));
    }

    pub(super) fn tell_later(&mut self, news: News) {
        self.backlog.0.push_back(news);
    }

    /// Tells what can be told before the next deadline. Returns whether that was all.
    pub(super) fn tell(&mut self) -> bool {
        let mut events_lost = None;
        for told in 0..AT_MOST {
            let is_due = |deadline: Option<Timestamp>| deadline.is_some_and(|at| at <= sys::now());
            if self.backlog.0.is_empty() || told >= AT_LEAST && is_due(self.engine.poll_timeout()) {
                break;
            }
            self.tell_next(&mut events_lost);
        }
        self.backlog.0.is_empty()
    }

    /// Tells everything.
    pub(super) fn tell_all(&mut self) {
        let mut events_lost = None;
        while !self.backlog.0.is_empty() {
            self.tell_next(&mut events_lost);
        }
    }

    /// `events_lost` is read once for all that is told together.
    fn tell_next(&mut self, events_lost: &mut Option<Option<u64>>) {
        match self.backlog.0.pop_front() {
            None => {}
            Some(News::Notice(notice)) => self.notices.send(notice),
            Some(News::Resumed { id, silence }) => {
                if let Some(executor) = self.executors.get(id) {
                    executor.tell_resumed(silence);
                }
            }
            Some(News::Transition(transition)) => {
                let counters = &self.counters;
                let events_lost = *events_lost.get_or_insert_with(|| {
                    let sum = counters.sum().ok();
                    sum.map(|sum| sum.of(Counter::EventsLost))
                });
                self.tell_transition(&transition, events_lost);
            }
        }
    }

    fn tell_transition(&mut self, transition: &Transition, events_lost: Option<u64>) {
        let Transition {
            at,
            id,
            from,
            to,
            reason,
            priority,
            heard,
            link_up,
        } = *transition;
        let Some(executor) = self.executors.get_mut(id) else {
            return;
        };
        let reason = executor.tell_transition(from, to, reason, self.engine.readings());
        executor.history.push(super::Past {
            at: std::time::SystemTime::now() - sys::now().since(at),
            from,
            to,
            reason: reason.clone(),
            evidence: Evidence {
                heard,
                priority,
                link_up,
                events_lost,
            },
        });
        self.notices.send(Notice {
            id,
            at,
            priority,
            what: Happening::Transition { from, to, reason },
        });
    }
}
