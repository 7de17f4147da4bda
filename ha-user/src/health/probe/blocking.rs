//! Work that may wait for a disk or a server of files, beside everything else.

use std::time::Duration;

use tokio::task::JoinHandle;

/// Does one piece of work at a time. One that takes longer than a round is waited
/// for in the next, else what always takes longer would never be had. One that hangs
/// keeps its thread, but no other is begun.
#[derive(Debug)]
pub(super) struct Blocking<T>(Option<JoinHandle<T>>);

impl<T> Default for Blocking<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<T: Send + 'static> Blocking<T> {
    /// What `work` gives, or that of before, if it had not ended; `None` if that
    /// takes longer than `timeout`.
    pub(super) async fn run(
        &mut self,
        timeout: Duration,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        let begin = || tokio::task::spawn_blocking(work);
        let running = self.0.get_or_insert_with(begin);
        let ended = tokio::time::timeout(timeout, running).await.ok()?;
        self.0 = None;
        // A panic of the work is printed already.
        ended.ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_takes_longer_than_a_round_is_had_in_a_later_one() {
        let mut blocking = Blocking::default();
        let (go, wait) = std::sync::mpsc::channel::<()>();
        let first = blocking.run(Duration::from_millis(1), move || {
            // An error says that the test has failed.
            let _ = wait.recv();
            1
        });
        assert_eq!(first.await, None);
        assert_eq!(blocking.run(Duration::from_millis(1), || 2).await, None);
        go.send(()).unwrap();
        assert_eq!(blocking.run(Duration::from_secs(60), || 3).await, Some(1));
        assert_eq!(blocking.run(Duration::from_secs(60), || 4).await, Some(4));
    }
}
