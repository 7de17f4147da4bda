//! Carries out what the engine asks for, and sees to what was put on the host.

use std::{io, sync::Arc};

use ha_common::{
    fsm::{Action, FaultCause},
    time::Timestamp,
};

use super::{
    Driver, ExecutorError, Gone,
    agenda::Stage,
    backlog::{News, Transition},
};
use crate::{engine::InstanceId, net::host::HostError, sys};

/// Instances whose addresses are changed before deadlines get their turn.
const AT_ONCE: usize = 32;

/// How often all stages are gone through before events get their turn. A takeover
/// takes three at most.
const ROUNDS: usize = 8;

impl Driver {
    /// Carries out all that the engine asks for, and what follows from that.
    pub(super) fn act(&mut self, now: Timestamp) {
        while self.round(now, usize::MAX) {}
    }

    /// As [`act`](Self::act), but addresses wait while a deadline is due. Returns
    /// whether that was all.
    pub(super) fn act_in_turn(&mut self) -> bool {
        for _ in 0..ROUNDS {
            let now = sys::now();
            if !self.round(now, AT_ONCE) {
                return true;
            }
            if self.engine.poll_due(sys::now()).is_some() {
                break;
            }
        }
        self.agenda.is_empty()
    }

    /// Each stage once, with addresses of at most `limit` instances. Returns whether
    /// there was anything to do.
    fn round(&mut self, now: Timestamp, limit: usize) -> bool {
        while let Some((id, action)) = self.engine.poll_action() {
            self.agenda.push(id, action);
        }
        if self.agenda.is_empty() {
            return false;
        }
        let mut taken = std::mem::take(&mut self.taken);
        for stage in Stage::ALL {
            let limit = if stage == Stage::Host {
                limit
            } else {
                usize::MAX
            };
            self.agenda.take(stage, limit, &mut taken);
            match stage {
                Stage::Advertise => self.advertise(now, &taken),
                Stage::Publish => self.publish(now, &taken),
                Stage::Announce => self.announce(&taken),
                Stage::Host => self.change_host(&taken),
                Stage::Tell => self.note(now, &taken),
            }
            taken.clear();
        }
        self.taken = taken;
        // After what was done in vain is told of.
        for (id, error) in std::mem::take(&mut self.failures) {
            self.tell_all();
            self.fail(now, id, &error);
        }
        true
    }

    fn publish(&mut self, now: Timestamp, actions: &[(InstanceId, Action)]) {
        for (id, action) in actions {
            let Action::UpdateKernel(sorting) = *action else {
                continue;
            };
            if let Some(notice) = self.notices.of_priority(now, *id, sorting) {
                self.notify(notice);
            }
            if let Err(error) = self.executors[*id].publish(sorting) {
                self.failures.push((*id, error));
            } else if let Some(advert) = self.unseen(*id) {
                // Until now the kernel compared by the rules of before: what arrived
                // since the decision is compared again by ours.
                self.engine.handle_advert(now, *id, &advert);
            }
        }
    }

    /// Announces the addresses of all of them, those of one interface in one go.
    fn announce(&mut self, actions: &[(InstanceId, Action)]) {
        let mut lists = std::mem::take(&mut self.lists);
        for (id, _) in actions {
            let announcers = self.executors[*id].announcers().enumerate();
            lists.extend(announcers.map(|(place, announcer)| {
                let announcer = Arc::as_ptr(announcer).addr();
                (announcer, *id, place)
            }));
        }
        if !lists.is_sorted_by_key(|(announcer, ..)| announcer) {
            // Stable: it was in the order of the deadlines.
            lists.sort_by_key(|(announcer, ..)| *announcer);
        }
        for same_announcer in lists.chunk_by(|one, other| one.0 == other.0) {
            let list = |id: InstanceId, place: usize| &self.executors[id].announcements()[place];
            let Some((announcer, _)) = same_announcer
                .first()
                .map(|(_, id, place)| list(*id, *place))
            else {
                continue;
            };
            let mut failure = None;
            let announcements = same_announcer.iter().flat_map(|(_, id, place)| {
                let (_, announcements) = list(*id, *place);
                announcements.iter().map(|it| (*id, it))
            });
            // Not the time of the decision: the gap between two frames counts from when
            // the first is sent.
            announcer.send(sys::now(), announcements, |id, error| {
                failure = Some((id, error));
            });
            if let Some((id, error)) = failure {
                self.executors[id].tell_not_announced(&error);
            }
        }
        lists.clear();
        self.lists = lists;
    }

    /// Puts on the host and takes off, in this order; as much as possible at once.
    fn change_host(&mut self, actions: &[(InstanceId, Action)]) {
        for same in actions.chunk_by(|(_, one), (_, other)| one == other) {
            let Some((_, action)) = same.first() else {
                continue;
            };
            if *action == Action::RemoveAddresses {
                self.remove_all(same);
            } else {
                let orders = same
                    .iter()
                    .filter_map(|(id, _)| self.executors[*id].order());
                let mut refused = Vec::new();
                let asked = self.host.install_all(orders, &mut refused);
                self.judge_all(same, asked, refused);
            }
        }
    }

    fn remove_all(&mut self, actions: &[(InstanceId, Action)]) {
        if self.leaving {
            // Each may share something with one that stays.
            for (id, _) in actions {
                if let Err(error) = self.remove_items(*id) {
                    self.failures.push((*id, error));
                }
            }
            return;
        }
        let mut refused = Vec::new();
        let orders = actions.iter().filter_map(|(id, _)| {
            let executor = &self.executors[*id];
            executor.cancel_announcements();
            executor.order()
        });
        let asked = self.host.remove_all(orders, &mut refused);
        self.judge_all(actions, asked, refused);
    }

    /// Waits for the kernel's word on what was asked of it for `actions`.
    fn judge_all(
        &mut self,
        actions: &[(InstanceId, Action)],
        asked: io::Result<()>,
        mut refused: Vec<HostError>,
    ) {
        let answered = asked.and_then(|()| self.host.collect(&mut refused));
        if let Err(error) = answered {
            // Nobody knows whose it was.
            let of_each = |(id, _): &(InstanceId, Action)| {
                let error = io::Error::new(error.kind(), error.to_string());
                (*id, error.into())
            };
            self.failures.extend(actions.iter().map(of_each));
        }
        for refusal in refused {
            let Some(id) = refusal.owner.map(InstanceId) else {
                tracing::error!(error = %refusal, "the kernel refused something");
                continue;
            };
            let Err(error) = self.executors[id].judge(vec![refusal]) else {
                continue;
            };
            // One of them tells.
            if !self.failures.iter().any(|(other, _)| *other == id) {
                self.failures.push((id, error));
            }
        }
    }

    /// It is told of when there is time.
    fn note(&mut self, now: Timestamp, actions: &[(InstanceId, Action)]) {
        for (id, action) in actions {
            let id = *id;
            match *action {
                Action::Resumed { silence } => self.tell_later(News::Resumed { id, silence }),
                Action::Transition { from, to, reason } => {
                    let transition = Transition {
                        at: now,
                        id,
                        from,
                        to,
                        reason,
                        priority: self.engine.parameters(id).priority,
                        heard: self.heard(now, id),
                        link_up: self.executors[id].link_up,
                    };
                    self.tell_later(News::Transition(transition));
                }
                Action::SendAdvert { .. }
                | Action::UpdateKernel(_)
                | Action::Announce
                | Action::InstallAddresses
                | Action::RemoveAddresses => {}
            }
        }
    }

    /// An action of `id` failed: it cannot take part for a while.
    pub(super) fn fail(&mut self, now: Timestamp, id: InstanceId, error: &ExecutorError) {
        let name = self.executors[id].name();
        if self.stopping {
            tracing::error!(instance = name, %error, "while stopping");
            return;
        }
        let after = self.executors[id].told.retry_after(now);
        let name = self.executors[id].name();
        tracing::error!(
            instance = name,
            %error,
            "the instance goes to fault, and tries again in {after:?}"
        );
        self.engine.handle_fault(now, id, FaultCause::Action);
        self.retries.retain(|(_, other)| *other != id);
        self.retries.push((now + after, id));
    }

    /// Puts addresses of ours back that somebody removed, with what the kernel
    /// removed with them.
    pub(super) fn put_back(&mut self, now: Timestamp, gone: &[Gone]) {
        // Most often we have removed them ourselves, and many of them.
        let own = self
            .host
            .own_among(gone.iter().map(|it| (it.index, it.address)));
        if own.is_empty() {
            return;
        }
        let is_own = |it: &&Gone| own.contains(&(it.index, it.address));
        for id in self.engine.ids() {
            let mut was_gone = None;
            for it in gone.iter().filter(is_own) {
                let executor = &self.executors[id];
                let Some(item) = executor
                    .items()
                    .iter()
                    .find(|item| item.is_address(it.index, it.address) && self.host.has(item))
                else {
                    continue;
                };
                match self.host.put_back(item, executor.items()) {
                    // It is there again already.
                    Ok(false) => {}
                    Ok(true) => was_gone = Some((item.to_string(), it.by.as_deref())),
                    Err(error) => {
                        self.fail(now, id, &error.into());
                        break;
                    }
                }
            }
            if let Some((what, by)) = was_gone {
                let executor = &mut self.executors[id];
                executor.tell_put_back(&what, by);
                executor.announce(now);
            }
        }
    }

    /// Sets an interface of our own up again that somebody has set down.
    pub(super) fn put_up(&mut self, now: Timestamp, index: u32) {
        for id in self.engine.ids() {
            let executor = &mut self.executors[id];
            let link = executor.items().iter().find(|item| item.is_link(index));
            let Some(link) = link.filter(|link| self.host.has(link)).cloned() else {
                continue;
            };
            // With it went its IPv6 addresses and all routes.
            for item in executor.items() {
                self.host.forget(item);
            }
            executor.tell_put_back(&link.to_string(), None);
            match executor.install_again(&mut self.host) {
                Ok(()) => executor.announce(now),
                Err(error) => self.fail(now, id, &error),
            }
        }
    }
}
