//! One run: the prefix of its namespaces, its directory, and its clean-up.
//!
//! Namespaces and directory carry the owner's pid and start time in their
//! names, so a later run knows which are left-overs of a dead one and removes
//! those, and only those.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{self, Command},
    sync::{
        Mutex, MutexGuard, Once, PoisonError,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    thread,
};

use anyhow::{Context as _, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};

use crate::{command, need};

/// First part of every name that a run gives.
const PREFIX: &str = "hr";

/// Prefix of what `harrier-demo --keep` leaves up.
pub const KEPT: &str = "harrier-demo";

/// Where iproute2 keeps named network namespaces.
const NAMESPACES: &str = "/run/netns";

static SWEPT: Once = Once::new();
static NUMBER: AtomicU32 = AtomicU32::new(0);
static INTERRUPTED: AtomicBool = AtomicBool::new(false);
static CREATING: Mutex<()> = Mutex::new(());

/// Held while a namespace or a process is being made, so that a clean-up on a
/// signal does not miss one.
pub(crate) fn creating() -> MutexGuard<'static, ()> {
    CREATING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A run's names and directory; dropping it removes all that goes by them.
#[derive(Debug)]
pub struct Run {
    prefix: String,
    keep: bool,
}

impl Run {
    /// A new run of this process. The first one of a process sweeps first.
    ///
    /// # Errors
    /// Without root or `ip`, or if the directory cannot be made.
    pub fn new() -> Result<Self> {
        need::root()?;
        need::tools(&["ip", "bridge", "umount"])?;
        SWEPT.call_once(sweep);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let pid = process::id();
        let start = start_time(pid).context("cannot read /proc/self/stat")?;
        Self::with_prefix(format!("{PREFIX}-{pid}-{start}-{number}"), false)
    }

    /// The run whose namespaces may outlive this process; there is one at a time.
    ///
    /// # Errors
    /// As [`new`](Self::new), or if there is such a run already.
    pub fn kept() -> Result<Self> {
        need::root()?;
        need::tools(&["ip", "bridge", "umount"])?;
        ensure!(
            !directory(KEPT).exists() && namespaces(KEPT).is_empty(),
            "a demo is still up: end it with `harrier-demo --clean`"
        );
        Self::with_prefix(KEPT.to_owned(), true)
    }

    fn with_prefix(prefix: String, keep: bool) -> Result<Self> {
        let directory = directory(&prefix);
        fs::create_dir(&directory)
            .with_context(|| format!("cannot make {}", directory.display()))?;
        Ok(Self { prefix, keep })
    }

    /// The run's own directory, for configurations, logs, runtime directories.
    #[must_use]
    pub fn directory(&self) -> PathBuf {
        directory(&self.prefix)
    }

    /// The full name of the namespace `role`.
    #[must_use]
    pub fn namespace(&self, role: &str) -> String {
        format!("{}-{role}", self.prefix)
    }

    /// Whether its processes may outlive this one.
    #[must_use]
    pub fn outlives(&self) -> bool {
        self.keep
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        // On the way out on a signal everything is removed already or just now,
        // and what fails here only fails because of that: the process ends soon.
        while INTERRUPTED.load(Ordering::SeqCst) {
            thread::park();
        }
        clean(&self.prefix);
    }
}

fn directory(prefix: &str) -> PathBuf {
    env::temp_dir().join(prefix)
}

fn namespaces(prefix: &str) -> Vec<String> {
    let start = format!("{prefix}-");
    entries(Path::new(NAMESPACES))
        .into_iter()
        .filter(|name| name.starts_with(&start))
        .collect()
}

fn entries(directory: &Path) -> Vec<String> {
    fs::read_dir(directory)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect()
}

/// Field 22 of `/proc/PID/stat`: start time in ticks since boot. With the pid
/// it names a process for good. `None` if there is no such process.
fn start_time(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is the command in parentheses and may hold blanks.
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_whitespace().nth(19)?.parse().ok()
}

/// The run that `name` belongs to, if it is one of ours: its prefix and
/// whether its owner lives.
fn owner(name: &str) -> Option<(String, bool)> {
    let mut parts = name.split('-');
    if parts.next()? != PREFIX {
        return None;
    }
    let pid: u32 = parts.next()?.parse().ok()?;
    let start: u64 = parts.next()?.parse().ok()?;
    let number: u32 = parts.next()?.parse().ok()?;
    let alive = start_time(pid) == Some(start);
    Some((format!("{PREFIX}-{pid}-{start}-{number}"), alive))
}

/// Removes what runs left behind whose process is dead.
pub fn sweep() {
    let mut dead: Vec<String> = entries(Path::new(NAMESPACES))
        .iter()
        .chain(&entries(&env::temp_dir()))
        .filter_map(|name| owner(name))
        .filter_map(|(prefix, alive)| (!alive).then_some(prefix))
        .collect();
    dead.sort();
    dead.dedup();
    for prefix in dead {
        clean(&prefix);
    }
}

/// Removes all that this process's runs made, and keeps this process from
/// making more: for the way out on a signal, which the caller ends with an exit. `kept` says whether the run of
/// [`Run::kept`] is this process's.
pub fn clean_own(kept: bool) {
    INTERRUPTED.store(true, Ordering::SeqCst);
    // Never released: whoever is about to make something waits for the exit.
    std::mem::forget(creating());
    let pid = process::id();
    if let Some(start) = start_time(pid) {
        for number in 0..NUMBER.load(Ordering::Relaxed) {
            clean(&format!("{PREFIX}-{pid}-{start}-{number}"));
        }
    }
    if kept {
        clean(KEPT);
    }
}

/// Ends the processes in the namespaces of `prefix`, unmounts what is mounted
/// below its directory, and removes namespaces and directory. What fails is
/// said and left for the next sweep.
pub fn clean(prefix: &str) {
    let namespaces = namespaces(prefix);
    for name in &namespaces {
        end_processes(name);
    }
    let directory = directory(prefix);
    for mount in mounts_below(&directory) {
        complain(command::checked(
            Command::new("umount").arg("-l").arg(&mount),
            "",
        ));
    }
    for name in &namespaces {
        complain(command::run("ip", &["netns", "delete", name]));
    }
    if directory.exists() {
        complain(
            fs::remove_dir_all(&directory)
                .with_context(|| format!("cannot remove {}", directory.display())),
        );
    }
}

fn complain<T>(result: Result<T>) {
    if let Err(error) = result {
        eprintln!("clean-up: {error:#}");
    }
}

/// Ends every process inside the namespace `name`. This process is never among
/// them: only threads of it enter namespaces.
fn end_processes(name: &str) {
    let Ok(pids) = command::run("ip", &["netns", "pids", name]) else {
        return;
    };
    let own = process::id();
    for pid in pids
        .lines()
        .filter_map(|line| line.trim().parse::<u32>().ok())
    {
        let target = i32::try_from(pid).ok().and_then(Pid::from_raw);
        if let (Some(target), true) = (target, pid != own) {
            // It may have ended meanwhile.
            let _ = kill_process(target, Signal::KILL);
        }
    }
}

/// Mount points below `directory`, innermost first.
#[must_use]
pub fn mounts_below(directory: &Path) -> Vec<PathBuf> {
    let mut mounts: Vec<PathBuf> = fs::read_to_string("/proc/self/mountinfo")
        .unwrap_or_default()
        .lines()
        .filter_map(|line| line.split(' ').nth(4).map(PathBuf::from))
        .filter(|mount| mount.starts_with(directory))
        .collect();
    mounts.sort();
    mounts.reverse();
    mounts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_tells_whether_its_owner_lives() {
        let pid = process::id();
        let start = start_time(pid).expect("this process lives");
        assert_eq!(
            owner(&format!("hr-{pid}-{start}-3-switch")),
            Some((format!("hr-{pid}-{start}-3"), true))
        );
        // The same pid with another start time is another process.
        assert_eq!(
            owner(&format!("hr-{pid}-{}-3", start + 1)),
            Some((format!("hr-{pid}-{}-3", start + 1), false))
        );
    }

    #[test]
    fn names_of_others_are_nobodys() {
        for name in ["hr", "hr-web-1-2", "harrier-demo-switch", "blue", "hr-1-2"] {
            assert_eq!(owner(name), None, "{name}");
        }
    }
}
