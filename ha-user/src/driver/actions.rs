//! Carries out what the engine asks for, and sees to what was put on the host.

use ha_common::{
    fsm::{Action, FaultCause},
    time::Timestamp,
};

use super::{Driver, ExecutorError, Gone, Happening, Notice};
use crate::{engine::InstanceId, sys};

impl Driver {
    /// Carries out what the engine asks for, and what follows from that.
    pub(super) fn act(&mut self, now: Timestamp) {
        while let Some((id, action)) = self.engine.poll_action() {
            let executor = &mut self.executors[id];
            let result = match action {
                Action::SendAdvert { priority } => {
                    executor.send_advert(priority);
                    Ok(())
                }
                Action::InstallAddresses => executor.install(&mut self.host),
                Action::Announce => {
                    // Not `now`: many addresses take a while to install, and the gap
                    // between two frames counts from when the first is sent.
                    executor.announce(sys::now());
                    Ok(())
                }
                Action::RemoveAddresses => self.remove_items(id),
                Action::UpdateKernel(sorting) => {
                    self.notices.tell_priority(now, id, sorting);
                    let published = executor.publish(sorting);
                    // Until now the kernel compared by the rules of before: what arrived
                    // since the decision is compared again by ours.
                    if published.is_ok()
                        && let Some(advert) = self.unseen(id)
                    {
                        self.engine.handle_advert(now, id, &advert);
                    }
                    published
                }
                Action::Resumed { silence } => {
                    executor.tell_resumed(silence);
                    Ok(())
                }
                Action::Transition { from, to, reason } => {
                    let reason = executor.tell_transition(from, to, reason, self.engine.readings());
                    let priority = self.engine.parameters(id).priority;
                    self.notices.send(Notice {
                        id,
                        at: now,
                        priority,
                        what: Happening::Transition {
                            from,
                            to,
                            reason: reason.clone(),
                        },
                    });
                    let confirmed = executor.confirm(&mut self.host);
                    self.remember(now, id, from, to, reason);
                    confirmed
                }
            };
            if let Err(error) = result {
                self.fail(now, id, &error);
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
        for id in self.engine.ids() {
            let mut was_gone = None;
            for it in gone {
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
