//! What the tests look at.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};

/// What takes longer hangs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Span between two looks at what gives no event.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Waits until `ready` says so.
pub(crate) fn await_that(what: &str, mut ready: impl FnMut() -> Result<bool>) -> Result<()> {
    let give_up_at = Instant::now() + PATIENCE;
    while !ready()? {
        ensure!(
            Instant::now() < give_up_at,
            "{what}: not within {PATIENCE:?}"
        );
        thread::sleep(LOOK_EVERY);
    }
    Ok(())
}

/// What is in the file; nothing if there is none.
pub(crate) fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

/// Waits until the file satisfies `ready`.
pub(crate) fn await_text(path: &Path, what: &str, ready: impl Fn(&str) -> bool) -> Result<()> {
    await_that(what, || Ok(ready(&read(path))))
        .with_context(|| format!("{} reads:\n{}", path.display(), read(path)))
}

/// Makes an executable file of `text` at `path`.
pub(crate) fn script(path: &Path, text: &str) -> Result<PathBuf> {
    fs::write(path, format!("#!/bin/sh\n{text}\n"))?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))?;
    Ok(path.to_owned())
}

/// How often `part` is in `text`.
pub(crate) fn count(text: &str, part: &str) -> usize {
    text.matches(part).count()
}
