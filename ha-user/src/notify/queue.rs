//! What waits for somebody who is slow: of each kind the newest, so a queue never
//! grows and nobody is told of what is over.

use std::{
    mem::discriminant,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::Notify;

use super::event::{Event, What};

impl Event {
    fn is_state(&self) -> bool {
        matches!(self.what, What::State { .. })
    }

    /// Whether an older event need not be told for it.
    fn replaces(&self, old: &Self) -> bool {
        self.is_state() || discriminant(&old.what) == discriminant(&self.what)
    }
}

/// The two ends of a queue.
pub(super) fn queue() -> (Sender, Receiver) {
    let shared = Arc::new(Shared {
        state: Mutex::default(),
        changed: Notify::new(),
    });
    (Sender(Arc::clone(&shared)), Receiver(shared))
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// At most one of each kind.
    waiting: Vec<Arc<Event>>,
    closed: bool,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        // Each change is one step, so a panic leaves it whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where events are put. When it is dropped, what waits is still told.
#[derive(Debug)]
pub(super) struct Sender(Arc<Shared>);

impl Sender {
    /// What is of the same kind is told no more, and what a change of state makes
    /// void neither. Gives the change of state that is not told for it.
    pub(super) fn put(&self, event: Arc<Event>) -> Option<Arc<Event>> {
        let mut state = self.0.state();
        let replaced = state.waiting.extract_if(.., |old| event.replaces(old));
        let passed_over = replaced.filter(|old| old.is_state()).last();
        state.waiting.push(event);
        drop(state);
        self.0.changed.notify_one();
        passed_over
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        self.0.state().closed = true;
        self.0.changed.notify_one();
    }
}

/// Where events come out.
#[derive(Debug)]
pub(super) struct Receiver(Arc<Shared>);

impl Receiver {
    /// The next; `None` when there will be no more.
    pub(super) async fn next(&mut self) -> Option<Arc<Event>> {
        self.changed().await;
        let waiting = &mut self.0.state().waiting;
        (!waiting.is_empty()).then(|| waiting.remove(0))
    }

    /// Ends when there is one, or will be no more.
    pub(super) async fn changed(&mut self) {
        while !self.has_changed() {
            self.0.changed.notified().await;
        }
    }

    /// Ends when there is one that makes `told` void: a state, or of the same kind. A
    /// state is not void because the priority has changed since.
    pub(super) async fn newer(&mut self, told: &Event) {
        while !self.0.state().waiting.iter().any(|it| it.replaces(told)) {
            // Nobody wakes us any more when there will be no more.
            self.0.changed.notified().await;
        }
    }

    /// Whether there is one, or will be no more.
    fn has_changed(&self) -> bool {
        let state = self.0.state();
        !state.waiting.is_empty() || state.closed
    }
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use futures_util::FutureExt as _;

    use super::{
        super::event::{Subject, Word},
        *,
    };

    fn event(what: What) -> Arc<Event> {
        Arc::new(Event {
            subject: Subject::Instance("web".to_owned()),
            what,
            priority: None,
            at: UNIX_EPOCH,
        })
    }

    fn state(to: Word) -> Arc<Event> {
        event(What::State {
            from: None,
            to,
            reason: String::new(),
        })
    }

    fn all(receiver: &mut Receiver) -> Vec<&'static str> {
        let mut words = Vec::new();
        while let Some(Some(event)) = receiver.next().now_or_never() {
            words.push(event.word());
        }
        words
    }

    #[test]
    fn the_newest_state_wins() {
        let (sender, mut receiver) = queue();
        assert_eq!(sender.put(state(Word::Backup)), None);
        assert!(receiver.has_changed());
        assert_eq!(
            sender.put(state(Word::Master)).unwrap().word(),
            Word::Backup.name()
        );
        assert_eq!(all(&mut receiver), ["MASTER"]);
        assert!(!receiver.has_changed());
        assert_eq!(sender.put(state(Word::Fault)), None);
        assert_eq!(all(&mut receiver), ["FAULT"]);
    }

    #[test]
    fn kinds_do_not_displace_each_other_but_states_do() {
        let (sender, mut receiver) = queue();
        for _ in 0..1000 {
            sender.put(event(What::LowerAdvert));
            sender.put(event(What::Priority(Word::Master)));
        }
        assert_eq!(
            all(&mut receiver),
            ["MASTER_RX_LOWER_PRI", "MASTER_PRIORITY"]
        );
        sender.put(state(Word::Master));
        sender.put(event(What::LowerAdvert));
        assert_eq!(all(&mut receiver), ["MASTER", "MASTER_RX_LOWER_PRI"]);
        sender.put(event(What::LowerAdvert));
        assert_eq!(sender.put(state(Word::Stop)), None);
        assert_eq!(all(&mut receiver), ["STOP"]);
    }

    #[test]
    fn a_priority_does_not_take_the_place_of_a_state() {
        let (sender, mut receiver) = queue();
        let (told, priority) = (state(Word::Master), event(What::Priority(Word::Master)));
        sender.put(event(What::Priority(Word::Master)));
        assert!(receiver.newer(&told).now_or_never().is_none());
        assert!(receiver.newer(&priority).now_or_never().is_some());
        sender.put(state(Word::Backup));
        assert!(receiver.newer(&told).now_or_never().is_some());
        assert!(receiver.newer(&priority).now_or_never().is_some());
    }

    #[test]
    fn what_waits_at_the_end_is_told() {
        let (sender, mut receiver) = queue();
        sender.put(state(Word::Stop));
        drop(sender);
        let before = state(Word::Master);
        assert!(receiver.newer(&before).now_or_never().is_some());
        assert_eq!(
            receiver.next().now_or_never().unwrap(),
            Some(state(Word::Stop))
        );
        assert!(receiver.newer(&before).now_or_never().is_none());
        assert!(receiver.changed().now_or_never().is_some());
        assert_eq!(receiver.next().now_or_never().unwrap(), None);
        assert_eq!(receiver.next().now_or_never().unwrap(), None);
    }

    #[test]
    fn who_waits_is_woken() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        runtime.block_on(async {
            let (sender, mut receiver) = queue();
            let waits = tokio::spawn(async move {
                let first = receiver.next().await.map(|event| event.word());
                (first, receiver.next().await.is_none())
            });
            tokio::task::yield_now().await;
            sender.put(state(Word::Master));
            tokio::task::yield_now().await;
            drop(sender);
            assert_eq!(waits.await.unwrap(), (Some("MASTER"), true));
        });
    }
}
