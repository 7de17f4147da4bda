//! Has the daemon go over to the configuration file as it is now.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use tokio::sync::{Mutex, mpsc, oneshot};

use crate::{
    config::{self, Config},
    control::protocol::Reloaded,
};

/// A configuration that is to take effect.
pub(super) struct Order {
    pub(super) config: Config,
    /// What has changed, or why the old one goes on.
    pub(super) reply: oneshot::Sender<Result<Reloaded, String>>,
}

/// Where orders arrive, one after the other.
#[derive(Debug)]
pub(super) struct Orders {
    orders: mpsc::UnboundedReceiver<Order>,
    stopping: Arc<AtomicBool>,
}

impl Orders {
    /// The next; none any more when the daemon is stopping.
    pub(super) async fn next(&mut self) -> Option<Order> {
        loop {
            let order = self.orders.recv().await?;
            if !self.stopping.load(Ordering::Relaxed) {
                return Some(order);
            }
            // Whoever asked may be gone.
            let _ = order.reply.send(Err(STOPPING.to_owned()));
        }
    }
}

const STOPPING: &str = "the daemon is stopping";

/// See the [module](self).
#[derive(Clone, Debug)]
pub(super) struct Reloader {
    path: PathBuf,
    /// How it is read.
    reading: config::Options,
    orders: mpsc::UnboundedSender<Order>,
    /// Held from the reading of the file until it is in effect: else what was read
    /// first could take effect last.
    turn: Arc<Mutex<()>>,
    stopping: Arc<AtomicBool>,
}

impl Reloader {
    /// One for the file `path`, and where its orders arrive.
    pub(super) fn new(path: PathBuf, reading: config::Options) -> (Self, Orders) {
        let (sender, orders) = mpsc::unbounded_channel();
        let stopping = Arc::new(AtomicBool::new(false));
        let reloader = Self {
            path,
            reading,
            orders: sender,
            turn: Arc::default(),
            stopping: Arc::clone(&stopping),
        };
        (reloader, Orders { orders, stopping })
    }

    /// Nothing takes effect any more: a daemon that hands over goes by what it has.
    pub(super) fn stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }

    /// Reads the file and has it take effect. The log tells of it in one message.
    ///
    /// # Errors
    /// Why the old configuration goes on.
    pub(super) async fn reload(&self) -> Result<Reloaded, String> {
        let _turn = self.turn.lock().await;
        // Beside, as a file system may hang; a panic of it was printed.
        let (path, reading) = (self.path.clone(), self.reading.clone());
        let loaded = tokio::task::spawn_blocking(move || config::load(&path, &reading)).await;
        let outcome = match loaded {
            Ok(Ok((config, _))) => self.order(config).await,
            Ok(Err(config::LoadError::Invalid(invalid))) => Err(without_source(
                &invalid.to_string(),
                &self.path.display().to_string(),
            )),
            Ok(Err(error)) => Err(described(&error)),
            Err(error) => Err(error.to_string()),
        };
        match &outcome {
            Ok(reloaded) => tracing::info!("configuration read anew: {reloaded}"),
            Err(reason) => {
                tracing::error!("not reloaded, the old configuration goes on: {reason}");
            }
        }
        outcome
    }

    async fn order(&self, config: Config) -> Result<Reloaded, String> {
        let stopping = || STOPPING.to_owned();
        let (reply, outcome) = oneshot::channel();
        let order = Order { config, reply };
        self.orders.send(order).map_err(|_| stopping())?;
        outcome.await.unwrap_or_else(|_| Err(stopping()))
    }
}

/// A report on a file without the lines of the file: those may hold a secret, and the
/// log and the control socket are for more people than the file is.
fn without_source(report: &str, path: &str) -> String {
    let is_source = |line: &str| {
        let line = line.trim_start();
        let rest = line.trim_start_matches(|c: char| c.is_ascii_digit());
        rest.len() < line.len() && rest.trim_start().starts_with('│')
    };
    let mut text: String = report
        .lines()
        .filter(|line| !is_source(line))
        .flat_map(|line| [line, "\n"])
        .collect();
    text.push_str(&format!("`harrier check {path}` shows the lines"));
    text
}

/// The error with its causes.
fn described(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let words = error.to_string();
        if !text.contains(&words) {
            text.push_str(": ");
            text.push_str(&words);
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const WEB: &str = "[[instance]]\nname = \"web\"\ninterface = \"eth0\"\nvrid = 51\n\
                       addresses = [\"10.0.0.100/24\"]\n";

    #[tokio::test]
    async fn the_file_is_read_when_what_was_read_before_is_in_effect() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("harrier.toml");
        fs::write(&path, WEB).unwrap();
        let (reloader, mut orders) = Reloader::new(path.clone(), config::Options::default());
        let mut asked = Vec::new();
        for _ in 0..2 {
            let reloader = reloader.clone();
            asked.push(tokio::spawn(async move { reloader.reload().await }));
        }
        let first = orders.next().await.unwrap();
        let early = tokio::time::timeout(std::time::Duration::from_millis(300), orders.next());
        assert!(early.await.is_err(), "the second did not wait");
        fs::write(&path, format!("announce_gap = \"1ms\"\n{WEB}")).unwrap();
        first.reply.send(Ok(Reloaded::default())).unwrap();
        let second = orders.next().await.unwrap();
        assert!(!second.config.announce_gap.is_zero());
        second.reply.send(Ok(Reloaded::default())).unwrap();
        for asked in asked {
            assert_eq!(asked.await.unwrap(), Ok(Reloaded::default()));
        }
    }

    #[tokio::test]
    async fn what_is_wrong_is_said_without_secrets() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("harrier.toml");
        let secrets = "password = \"geheim1\"\nnotify = { webhook = { url = \"ftp://a/geheim2\", \
                       headers = { \"a b\" = \"geheim3\" } } }\n";
        fs::write(&path, format!("{WEB}{secrets}")).unwrap();
        let (reloader, _orders) = Reloader::new(path, config::Options::default());
        let said = reloader.reload().await.unwrap_err();
        assert!(!said.contains("geheim"), "{said}");
        for part in [
            "harrier.toml: ",
            "harrier.toml:6:12",
            "no authentication",
            "expected version = 2",
            "not the address of a webhook",
            "`harrier check /",
        ] {
            assert!(said.contains(part), "{part}: {said}");
        }
    }

    #[tokio::test]
    async fn nothing_takes_effect_during_a_stop() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("harrier.toml");
        fs::write(&path, WEB).unwrap();
        let (reloader, mut orders) = Reloader::new(path, config::Options::default());
        reloader.stop();
        let waiting = tokio::spawn(async move { orders.next().await.is_none() });
        assert_eq!(reloader.reload().await, Err(STOPPING.to_owned()));
        drop(reloader);
        assert!(waiting.await.unwrap());
    }
}
