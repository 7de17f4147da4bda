//! A file with the state of an instance or a group, for whoever looks.

use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::time::timeout;

use super::{
    event::{What, Word},
    queue::Receiver,
    trouble::Trouble,
};

/// Between two attempts to write a file that cannot be written.
const AGAIN: Duration = Duration::from_secs(1);

/// If no state is known so long after the start, what a predecessor has left is
/// removed.
const FIRST: Duration = Duration::from_secs(1);

/// Writes to `path` what comes out of `queue`, until nothing more does. `of` is
/// whose state it is.
pub(super) async fn serve(path: PathBuf, of: String, mut queue: Receiver) {
    if timeout(FIRST, queue.changed()).await.is_err() {
        remove(&path).await;
    }
    let mut trouble = Trouble::default();
    while let Some(event) = queue.next().await {
        let What::State { to, .. } = event.what else {
            continue;
        };
        loop {
            match write(&path, to).await {
                Ok(()) => {
                    if trouble.recovered().is_some() {
                        tracing::info!("{of}: {} can be written again", path.display());
                    }
                    break;
                }
                Err(error) => {
                    if trouble.failed(&error.to_string()) {
                        let (word, path) = (to.name(), path.display());
                        tracing::warn!("{of}: cannot write {word} to {path}: {error}");
                    }
                }
            }
            // A newer state does not wait, and neither does the end.
            if timeout(AGAIN, queue.changed()).await.is_ok() {
                break;
            }
        }
    }
}

async fn remove(path: &Path) {
    let path = path.to_owned();
    let removed = tokio::task::spawn_blocking(move || fs::remove_file(path));
    // Mostly there is none; what else may be wrong is told when it is written.
    let _ = removed.await;
}

/// Replaces the file in one step: who reads it sees the old state or the new one.
/// A disk may take its time, so not on the thread of the others.
async fn write(path: &Path, state: Word) -> io::Result<()> {
    let path = path.to_owned();
    let written = tokio::task::spawn_blocking(move || replace(&path, state));
    written.await.map_err(io::Error::other)?
}

fn replace(path: &Path, state: Word) -> io::Result<()> {
    let mut name = OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(".new");
    let new = path.with_file_name(name);
    // Where others may write, it could be a link to somewhere else.
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(0o644);
    let mut file = options.open(&new)?;
    let outcome = fill(&mut file, state).and_then(|()| fs::rename(&new, path));
    if outcome.is_err() {
        // It is of no use, and takes room that may be scarce.
        let _ = fs::remove_file(&new);
    }
    outcome
}

fn fill(file: &mut File, state: Word) -> io::Result<()> {
    file.write_all(format!("STATE={}\n", state.name()).as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_replaced_as_a_whole() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("web.state");
        replace(&path, Word::Backup).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "STATE=BACKUP\n");
        // Who has it open keeps what it was.
        let before = File::open(&path).unwrap();
        replace(&path, Word::Master).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "STATE=MASTER\n");
        assert_eq!(io::read_to_string(before).unwrap(), "STATE=BACKUP\n");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_link_in_its_place_is_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let (path, other) = (dir.path().join("web.state"), dir.path().join("other"));
        fs::write(&other, "mine").unwrap();
        std::os::unix::fs::symlink(&other, dir.path().join(".web.state.new")).unwrap();
        std::os::unix::fs::symlink(&other, &path).unwrap();
        replace(&path, Word::Fault).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "STATE=FAULT\n");
        assert_eq!(fs::read_to_string(&other).unwrap(), "mine");
    }

    #[test]
    fn a_failure_leaves_what_was_there() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("web.state");
        fs::create_dir(&path).unwrap();
        fs::write(path.join("kept"), "").unwrap();
        replace(&path, Word::Master).unwrap_err();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        replace(&dir.path().join("no/such/dir"), Word::Master).unwrap_err();
    }
}
