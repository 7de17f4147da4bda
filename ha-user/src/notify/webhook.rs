//! Posts what happens as JSON, again and again until it is taken.
//!
//! Neither the address, but for its host, nor the headers are in the log: they may
//! hold secrets.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::time::timeout;

use super::{event::Event, queue::Receiver, trouble::Trouble};
use crate::{
    config,
    http::{Server, Url},
};

/// Where it is posted, ready to be used.
#[derive(Clone, Debug)]
pub(super) struct Webhook {
    config: config::Webhook,
    server: Server,
    path: String,
    host: String,
}

impl Webhook {
    /// `None`, which is told, if the address cannot be used after all.
    pub(super) fn new(config: &config::Webhook, of: &str) -> Option<Self> {
        let url = Url::parse(&config.url).ok()?;
        let Ok(server) = Server::of(&url, config.verify) else {
            tracing::warn!("{of}: the webhook's host is none");
            return None;
        };
        Some(Self {
            config: config.clone(),
            server,
            path: url.path,
            host: url.host,
        })
    }

    async fn post(&self, body: String) -> Result<(), String> {
        let answer = self
            .server
            .post_json(&self.path, &self.config.headers, body, self.config.timeout)
            .await
            .map_err(|error| error.to_string())?;
        match answer.status {
            200..=299 => Ok(()),
            status => Err(format!("status {status}")),
        }
    }
}

/// The webhook in effect: that of a reload takes another's place.
pub(super) type Current = Arc<Mutex<Arc<Webhook>>>;

/// Posts what comes out of `queue`, until nothing more does; `of` is whose
/// transitions they are, `daemon` this host's name. What makes an event void puts an
/// end to the attempts with it.
pub(super) async fn serve(webhook: Current, of: String, daemon: String, mut queue: Receiver) {
    let mut trouble = Trouble::default();
    while let Some(event) = queue.next().await {
        let webhook = Arc::clone(&webhook.lock().unwrap_or_else(PoisonError::into_inner));
        attempts(&webhook, &event, &of, &daemon, &mut queue, &mut trouble).await;
    }
}

async fn attempts(
    webhook: &Webhook,
    event: &Event,
    of: &str,
    daemon: &str,
    queue: &mut Receiver,
    trouble: &mut Trouble,
) {
    let (host, word) = (&webhook.host, event.word());
    let body = event.json(daemon).to_string();
    for left in (0..=webhook.config.retries).rev() {
        let why = match webhook.post(body.clone()).await {
            Ok(()) => {
                if let Some(failures) = trouble.recovered() {
                    let attempts = if failures == 1 { "attempt" } else { "attempts" };
                    tracing::info!(
                        "{of}: the webhook at {host} has taken {word}, after {failures} failed \
                         {attempts}"
                    );
                }
                return;
            }
            Err(why) => why,
        };
        if trouble.failed(&why) {
            tracing::warn!("{of}: the webhook at {host} has not taken {word}: {why}");
        }
        if left == 0 {
            tracing::warn!("{of}: the webhook at {host} is not told of {word} any more: {why}");
            return;
        }
        // At the end the last is tried on, within the time that there is.
        let interval = webhook.config.retry_interval;
        if timeout(interval, queue.newer(event)).await.is_ok() {
            tracing::debug!("{of}: the webhook at {host} is told of what is newer than {word}");
            return;
        }
    }
}
