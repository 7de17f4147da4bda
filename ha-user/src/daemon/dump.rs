//! SIGUSR1 and SIGUSR2: what the daemon knows, written to files that people read.

use std::{
    fmt::Write as _,
    fs::{self, DirBuilder, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    process,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use super::view::View;
use crate::cli::report;

/// Where keepalived writes them.
const KEEPALIVED: &str = "/tmp/keepalived";

/// See the [module](self).
#[derive(Clone)]
pub(super) struct Dumper {
    directory: PathBuf,
    /// Whether they go to where keepalived has them too.
    keepalived: bool,
    view: Arc<View>,
}

impl Dumper {
    /// One that writes to `directory`, and with `keepalived` to `/tmp/keepalived.*`.
    pub(super) fn new(directory: PathBuf, keepalived: bool, view: &Arc<View>) -> Self {
        Self {
            directory,
            keepalived,
            view: Arc::clone(view),
        }
    }

    /// Writes down configuration, state and peers.
    pub(super) async fn data(&self) {
        self.write("data", self.describe().await).await;
    }

    /// Writes down the statistics.
    pub(super) async fn statistics(&self) {
        self.write("stats", self.count().await).await;
    }

    async fn describe(&self) -> Result<String, String> {
        let status = self.view.status().await?;
        let peers = self.view.peers().map_err(|error| error.to_string())?;
        let config = report::config(&self.view.current.roster().config);
        Ok(format!(
            "harrier {}, pid {}\n\nConfiguration\n{config}\nState\n{}\nPeers\n{}",
            status.daemon_version,
            status.pid,
            report::status(&status),
            report::peers(&peers)
        ))
    }

    async fn count(&self) -> Result<String, String> {
        let status = self.view.status().await?;
        let peers = self.view.peers().map_err(|error| error.to_string())?;
        let counters = self.view.counters().map_err(|error| error.to_string())?;
        let mut text = String::from("Instances\n");
        for instance in &status.instances {
            // Writing to a String cannot fail.
            let _ = writeln!(
                text,
                "{}: {} transitions since the start",
                instance.name, instance.transitions
            );
        }
        text.push_str("\nAdvertisements by peer\n");
        text.push_str(&report::peers(&peers));
        text.push_str("\nPackets by reason\n");
        text.push_str(&report::counters(&counters));
        Ok(text)
    }

    async fn write(&self, name: &'static str, text: Result<String, String>) {
        let text = match text {
            Ok(text) => text,
            Err(error) => {
                tracing::error!(error, "nothing was written down");
                return;
            }
        };
        let (directory, keepalived) = (self.directory.clone(), self.keepalived);
        // A disk may take its time, so not on the thread of the others. A panic was
        // printed.
        let _ = tokio::task::spawn_blocking(move || {
            let own = directory.join(name);
            let written = make_directory(&directory).and_then(|()| replace(&own, &text));
            tell(&own, written);
            if keepalived {
                let theirs = PathBuf::from(format!("{KEEPALIVED}.{name}"));
                let written = replace(&theirs, &text);
                tell(&theirs, written);
            }
        })
        .await;
    }
}

fn tell(path: &Path, written: io::Result<()>) {
    let path = path.display();
    match written {
        Ok(()) => tracing::info!("written down in {path}"),
        Err(error) => tracing::error!(%error, "cannot write {path}"),
    }
}

fn make_directory(path: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Replaces the file `path` by a new one. Others may write to its directory: neither a
/// file nor a symbolic link that is there is written to or followed.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let mut next = path.as_os_str().to_owned();
    next.push(format!(".{}-{number}", process::id()));
    let next = PathBuf::from(next);
    // New, so not a link that somebody has laid there.
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o640)
        .open(&next)?;
    let written = file.write_all(text.as_bytes());
    written
        .and_then(|()| fs::rename(&next, path))
        .inspect_err(|_| {
            // What is wrong is told already.
            let _ = fs::remove_file(&next);
        })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_link_is_replaced_and_not_followed() {
        let directory = tempfile::tempdir().unwrap();
        let victim = directory.path().join("victim");
        fs::write(&victim, "mine").unwrap();
        let path = directory.path().join("keepalived.data");
        symlink(&victim, &path).unwrap();
        replace(&path, "one").unwrap();
        assert_eq!(fs::read_to_string(&victim).unwrap(), "mine");
        assert!(!fs::symlink_metadata(&path).unwrap().is_symlink());
        replace(&path, "two").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "two");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 2);
    }

    #[test]
    fn what_cannot_be_written_leaves_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("data");
        fs::create_dir(&path).unwrap();
        assert!(replace(&path, "text").is_err());
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }
}
