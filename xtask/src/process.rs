//! Running other programs: finding them, reading them, keeping them quiet.

use std::{
    env,
    fs::{self, File},
    io::{Read as _, Seek as _, SeekFrom},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};

/// Lines of a failed child's output that are shown; the log has them all.
const SHOWN_LINES: usize = 80;

/// Every `name` in `PATH`, in the system directories that an unprivileged
/// `PATH` leaves out, and where cargo installs; the first is what a shell runs.
pub(crate) fn find_all(name: &str) -> Vec<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let mut found: Vec<PathBuf> = Vec::new();
    for directory in env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin"].map(PathBuf::from))
        .chain(crate::workspace::cargo_bin())
    {
        let candidate = directory.join(name);
        if candidate.is_file() && !found.contains(&candidate) {
            found.push(candidate);
        }
    }
    found
}

/// The first `name` of [`find_all`].
pub(crate) fn find(name: &str) -> Option<PathBuf> {
    find_all(name).into_iter().next()
}

/// What a program prints, if it runs and says that all is well.
///
/// # Errors
/// Says why it does not: not found, its status, the last line of its complaint.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let name = Path::new(command.get_program()).display().to_string();
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot run {name}"))?;
    if !output.status.success() {
        let complaint = String::from_utf8_lossy(&output.stderr);
        let last = complaint.trim().lines().last().unwrap_or_default();
        bail!("{name}: {}: {last}", output.status);
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Runs a program in the foreground, its output going where ours goes.
///
/// # Errors
/// If it cannot be started or fails.
pub(crate) fn run(command: &mut Command, what: &str) -> Result<()> {
    let status = command
        .stdin(Stdio::null())
        .status()
        .with_context(|| format!("cannot run {}", Path::new(command.get_program()).display()))?;
    if !status.success() {
        bail!("{what} failed ({status})");
    }
    Ok(())
}

/// The log of children that run quietly, new with each run of ours.
pub(crate) struct Log {
    path: PathBuf,
    file: File,
}

impl Log {
    /// # Errors
    /// If the file cannot be made.
    pub(crate) fn create(path: PathBuf) -> Result<Self> {
        let describe = || format!("cannot write {}", path.display());
        if let Some(directory) = path.parent() {
            fs::create_dir_all(directory).with_context(describe)?;
        }
        let file = File::options()
            .create(true)
            .truncate(true)
            .read(true)
            .write(true)
            .open(&path)
            .with_context(describe)?;
        Ok(Self { path, file })
    }

    /// Runs a program with its output in the log, and says on stderr what it
    /// does, how long it took and, if it fails, what it said.
    ///
    /// # Errors
    /// If it cannot be started or fails.
    pub(crate) fn run(&mut self, what: &str, command: &mut Command) -> Result<()> {
        let log = || format!("cannot use {}", self.path.display());
        let start = self.file.seek(SeekFrom::End(0)).with_context(log)?;
        let begun = Instant::now();
        eprintln!("setup: {what} …");
        let status = command
            .stdin(Stdio::null())
            .stdout(self.file.try_clone().with_context(log)?)
            .stderr(self.file.try_clone().with_context(log)?)
            .status()
            .with_context(|| {
                format!("cannot run {}", Path::new(command.get_program()).display())
            })?;
        if status.success() {
            eprintln!("setup: {what}: done in {}", seconds(begun.elapsed()));
            return Ok(());
        }
        let mut said = Vec::new();
        self.file.seek(SeekFrom::Start(start)).with_context(log)?;
        self.file.read_to_end(&mut said).with_context(log)?;
        let said = String::from_utf8_lossy(&said);
        let lines: Vec<&str> = said.lines().collect();
        for line in &lines[lines.len().saturating_sub(SHOWN_LINES)..] {
            eprintln!("    {line}");
        }
        bail!(
            "{what} failed ({status}); the full log is {}",
            self.path.display()
        );
    }
}

/// A span for people: `0.3 s`, `41 s`.
pub(crate) fn seconds(span: Duration) -> String {
    let seconds = span.as_secs_f64();
    if seconds < 10.0 {
        format!("{seconds:.1} s")
    } else {
        format!("{seconds:.0} s")
    }
}
