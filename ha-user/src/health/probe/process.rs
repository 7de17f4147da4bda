//! Processes: found in `/proc`, and from then on watched through a pidfd, which
//! tells of their end at once.

use std::{
    fs, io,
    os::fd::OwnedFd,
    path::Path,
    time::{Duration, Instant},
};

use futures_util::future::{pending, select_all};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use tokio::io::unix::AsyncFd;

use super::{Finding, blocking::Blocking, file::start_of};
use crate::{
    config::{ProcessCheck, ProcessMatch},
    sys,
};

/// So many processes more than needed are watched, so that the end of one of many
/// is no reason to look for others.
const SPARE: usize = 16;

/// So many are watched at most: each takes a descriptor, of which the daemon has a
/// thousand perhaps. Where more are needed, searches count them.
const MOST_WATCHED: usize = 64;

/// A search may take one part in so many of the time: `/proc` may be large, and an
/// interval short.
const SEARCH_SHARE: u32 = 20;

/// Who is watched is looked at again so often: a process may become another program,
/// and a pid file name another process.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// So long the first search may take before the check has failed.
const FIRST_SEARCH: Duration = Duration::from_secs(1);

/// The kernel keeps so many octets of a program's name, and a NUL.
const MAX_COMM: usize = 15;

/// See [`CheckKind::Process`](crate::config::CheckKind::Process).
pub(in crate::health) struct Processes {
    config: ProcessCheck,
    watched: Vec<Watched>,
    blocking: Blocking<Look>,
    /// How many there were at the last search, and when the next may be.
    found: usize,
    next_search: Option<Instant>,
    /// When those that are watched were looked at.
    looked_at: Option<Instant>,
    /// Since when `/proc` is looked at for longer than a round.
    looking_since: Option<Instant>,
}

struct Watched {
    pid: Pid,
    end: AsyncFd<OwnedFd>,
}

/// What a look at `/proc` gives.
struct Look {
    /// Of those that were to be looked at, which are still as they should be.
    still: Vec<Pid>,
    /// What a search has found.
    search: Option<Search>,
}

struct Search {
    found: Vec<(Pid, OwnedFd)>,
    count: usize,
    took: Duration,
    /// What went wrong, or is worth saying of none.
    text: String,
}

impl Processes {
    pub(super) fn new(config: ProcessCheck) -> Self {
        Self {
            config,
            watched: Vec::new(),
            blocking: Blocking::default(),
            found: 0,
            next_search: None,
            looked_at: None,
            looking_since: None,
        }
    }

    /// Ends when a watched process has, and too few are left.
    pub(super) async fn changed(&mut self) {
        loop {
            if self.watched.is_empty() {
                return pending().await;
            }
            let ends = self.watched.iter().map(|it| Box::pin(it.end.readable()));
            let (_, place, _) = select_all(ends).await;
            self.watched.swap_remove(place);
            self.found = self.found.saturating_sub(1);
            if self.left() < self.needed() {
                // Something has changed, so a search is worth its time.
                self.next_search = None;
                return;
            }
        }
    }

    pub(super) async fn round(&mut self, timeout: Duration) -> Finding {
        let now = Instant::now();
        let is_fresh = self.looked_at.is_some_and(|at| now < at + LOOK_AGAIN);
        // Without an upper limit there is nothing to find while all of them run, and
        // their ends are told.
        if is_fresh && self.config.at_most.is_none() && self.watched.len() >= self.needed() {
            return self.judge(String::new());
        }
        let config = self.config.clone();
        let watched: Vec<Pid> = self.watched.iter().map(|it| it.pid).collect();
        let may_search = self.next_search.is_none_or(|at| at <= now);
        let keep = (self.needed() + SPARE).min(MOST_WATCHED);
        let look = move || look(&config, &watched, may_search, keep);
        let Some(look) = self.blocking.run(timeout, look).await else {
            return self.judge_unseen(timeout);
        };
        self.looked_at = Some(now);
        self.looking_since = None;
        self.watched.retain(|it| look.still.contains(&it.pid));
        let mut text = String::new();
        if let Some(search) = look.search {
            self.next_search = Some(Instant::now() + search.took * SEARCH_SHARE);
            self.found = search.count;
            text = search.text;
            for (pid, end) in search.found {
                match sys::readable(end) {
                    Ok(end) => self.watched.push(Watched { pid, end }),
                    Err(error) => text = format!("process {pid:?} cannot be watched: {error}"),
                }
            }
        } else if self.config.at_most.is_none() || self.left() < self.needed() {
            self.found = self.left();
        }
        self.judge(text)
    }

    /// A table of many processes takes longer to search than a round of a short
    /// interval may: what is known otherwise goes on to count.
    fn judge_unseen(&mut self, timeout: Duration) -> Finding {
        let since = *self.looking_since.get_or_insert_with(Instant::now);
        let is_first = self.next_search.is_none() && self.found == 0;
        let enough = self.left() >= self.needed() && !self.watched.is_empty();
        if enough || (is_first && since.elapsed() < FIRST_SEARCH) {
            return Finding::Busy;
        }
        Finding::Failed(format!("/proc could not be read within {timeout:?}"))
    }

    fn judge(&self, text: String) -> Finding {
        let ProcessCheck {
            at_least, at_most, ..
        } = self.config;
        let found = u32::try_from(self.found).unwrap_or(u32::MAX);
        let count = match found {
            0 => "no such process".to_owned(),
            1 => match self.watched.first() {
                Some(it) => format!("process {}", it.pid.as_raw_nonzero()),
                None => "1 process".to_owned(),
            },
            more => format!("{more} processes"),
        };
        let too_many = at_most.is_some_and(|most| found > most);
        if found >= at_least && !too_many {
            return Finding::Passed(count);
        }
        Finding::Failed(match (found, text.is_empty()) {
            (0, false) => text,
            _ if too_many => format!("{count}, too many"),
            (0, _) => count,
            _ => format!("{count}, too few"),
        })
    }

    /// How many are left, as far as that is known without a search.
    fn left(&self) -> usize {
        match self.needed() > MOST_WATCHED {
            true => self.found,
            false => self.watched.len(),
        }
    }

    fn needed(&self) -> usize {
        usize::try_from(self.config.at_least).unwrap_or(usize::MAX)
    }
}

/// Looks at the processes `watched`, and for others if there are too few of them,
/// or might be too many.
fn look(config: &ProcessCheck, watched: &[Pid], may_search: bool, keep: usize) -> Look {
    let needed = usize::try_from(config.at_least).unwrap_or(usize::MAX);
    if let ProcessMatch::Pidfile(path) = &config.which {
        return look_by_pidfile(path, watched);
    }
    let mut still: Vec<Pid> = watched.to_vec();
    still.retain(|pid| is_match(*pid, &config.which));
    let wanted = still.len() < needed || config.at_most.is_some();
    if !wanted || !may_search {
        return Look {
            still,
            search: None,
        };
    }
    let began = Instant::now();
    let mut search = Search {
        found: Vec::new(),
        count: 0,
        took: Duration::ZERO,
        text: String::new(),
    };
    match fs::read_dir("/proc") {
        Ok(entries) => {
            for entry in entries.flatten() {
                let name = entry.file_name();
                let pid = name.to_str().and_then(|name| name.parse().ok());
                let Some(pid) = pid.and_then(Pid::from_raw) else {
                    continue;
                };
                if !is_match(pid, &config.which) {
                    continue;
                }
                if still.len() + search.found.len() < keep && !still.contains(&pid) {
                    // Its number may have become another's before it was opened.
                    match pidfd_open(pid, PidfdFlags::NONBLOCK) {
                        Ok(end) if is_match(pid, &config.which) => search.found.push((pid, end)),
                        Ok(_) | Err(rustix::io::Errno::SRCH) => continue,
                        Err(error) => {
                            let error = io::Error::from(error);
                            search.text = format!("processes cannot be watched: {error}");
                            continue;
                        }
                    }
                }
                search.count += 1;
            }
        }
        Err(error) => search.text = format!("/proc: {error}"),
    }
    search.took = began.elapsed();
    Look {
        still,
        search: Some(search),
    }
}

fn look_by_pidfile(path: &Path, watched: &[Pid]) -> Look {
    let mut search = Search {
        found: Vec::new(),
        count: 0,
        took: Duration::ZERO,
        text: String::new(),
    };
    let mut still = Vec::new();
    match pid_in(path) {
        Ok(pid) if is_alive(pid) => {
            search.count = 1;
            if watched.contains(&pid) {
                still.push(pid);
            } else {
                match pidfd_open(pid, PidfdFlags::NONBLOCK) {
                    Ok(end) => search.found.push((pid, end)),
                    Err(error) => {
                        search.count = 0;
                        search.text = io::Error::from(error).to_string();
                    }
                }
            }
        }
        Ok(pid) => search.text = format!("process {} does not run", pid.as_raw_nonzero()),
        Err(error) => search.text = format!("{}: {error}", path.display()),
    }
    Look {
        still,
        search: Some(search),
    }
}

fn pid_in(path: &Path) -> io::Result<Pid> {
    let text = start_of(path)?;
    let text = String::from_utf8_lossy(&text);
    let number = text.split_whitespace().next();
    let pid = number.and_then(|number| number.parse().ok());
    pid.filter(|pid| *pid > 0)
        .and_then(Pid::from_raw)
        .ok_or_else(|| io::Error::other("there is no process number in it"))
}

/// Whether the process runs; one that has ended and was not waited for does not.
fn is_alive(pid: Pid) -> bool {
    let Some(stat) = Stat::read(pid) else {
        return false;
    };
    stat.runs
}

fn is_match(pid: Pid, which: &ProcessMatch) -> bool {
    match which {
        ProcessMatch::Name(name) => {
            let Some(stat) = Stat::read(pid) else {
                return false;
            };
            stat.runs && has_name(pid, &stat.comm, name.as_bytes())
        }
        ProcessMatch::CommandLine(words) => {
            // That of a process that has ended is empty.
            let line = fs::read(of(pid, "cmdline")).unwrap_or_default();
            is_command_line(&line, words)
        }
        // Known by its number.
        ProcessMatch::Pidfile(_) => true,
    }
}

/// By what the kernel calls it, or by its program file: some call themselves
/// otherwise.
fn has_name(pid: Pid, comm: &[u8], name: &[u8]) -> bool {
    if comm == name {
        return true;
    }
    let cut = name.len() > MAX_COMM && comm == &name[..MAX_COMM];
    let program = fs::read_link(of(pid, "exe")).unwrap_or_default();
    let program = program.file_name().unwrap_or_default().as_encoded_bytes();
    // A program that was replaced while it runs.
    let program = program.strip_suffix(b" (deleted)").unwrap_or(program);
    if program == name {
        return true;
    }
    // The kernel's name is cut, and the program file is an interpreter's.
    cut && fs::read(of(pid, "cmdline")).is_ok_and(|line| {
        let mut words = line.split(|octet| *octet == 0);
        words.any(|word| word.rsplit(|octet| *octet == b'/').next() == Some(name))
    })
}

/// Compares word by word; a program that has written over its command line has it
/// in one piece.
fn is_command_line(line: &[u8], words: &[String]) -> bool {
    let end = line.iter().rposition(|octet| *octet != 0);
    let line = &line[..end.map_or(0, |end| end + 1)];
    let parts: Vec<&[u8]> = line.split(|octet| *octet == 0).collect();
    let as_words = parts.len() == words.len()
        && parts
            .iter()
            .zip(words)
            .all(|(part, word)| *part == word.as_bytes());
    let in_one = || {
        let text = line.trim_ascii_end();
        parts.len() == 1 && text == words.join(" ").as_bytes()
    };
    !line.is_empty() && (as_words || in_one())
}

fn of(pid: Pid, what: &str) -> String {
    format!("/proc/{}/{what}", pid.as_raw_nonzero())
}

/// What we need of `/proc/PID/stat`.
struct Stat {
    comm: Vec<u8>,
    runs: bool,
}

impl Stat {
    fn read(pid: Pid) -> Option<Self> {
        Self::parse(&fs::read(of(pid, "stat")).ok()?)
    }

    /// `1234 (name) S …`; the name may have parentheses in it.
    fn parse(stat: &[u8]) -> Option<Self> {
        let open = stat.iter().position(|octet| *octet == b'(')?;
        let close = stat.iter().rposition(|octet| *octet == b')')?;
        let state = stat.get(close + 2)?;
        Some(Self {
            comm: stat.get(open + 1..close)?.to_vec(),
            runs: !matches!(state, b'Z' | b'X' | b'x'),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stat_is_read_whatever_the_name() {
        let stat = |text: &str| Stat::parse(text.as_bytes()).map(|it| (it.comm, it.runs));
        assert_eq!(stat("7 (nginx) S 1"), Some((b"nginx".to_vec(), true)));
        assert_eq!(stat("7 (a) b) (c) R 1"), Some((b"a) b) (c".to_vec(), true)));
        assert_eq!(stat("7 (nginx) Z 1"), Some((b"nginx".to_vec(), false)));
        for none in ["", "7 nginx S", "7 (nginx)", ")("] {
            assert_eq!(stat(none), None, "{none}");
        }
    }

    #[test]
    fn a_command_line_has_all_its_words() {
        let line = |line: &str, words: &[&str]| {
            let words: Vec<String> = words.iter().map(ToString::to_string).collect();
            is_command_line(line.as_bytes(), &words)
        };
        assert!(line("sleep\0 7\0", &["sleep", " 7"]));
        assert!(!line("sleep\0 7\0", &["sleep"]));
        assert!(!line("sleep\0", &["sleep", "7"]));
        assert!(line(
            "nginx: master process\0\0\0",
            &["nginx:", "master", "process"]
        ));
        assert!(line("nginx: master process \0", &["nginx: master process"]));
        // Words are not to be found across others' borders.
        assert!(!line("a b\0c\0", &["a", "b c"]));
        assert!(!line("", &[""]));
    }

    #[test]
    fn this_process_is_found_by_its_program() {
        let own = Pid::from_raw(std::process::id().cast_signed()).unwrap();
        let exe = std::env::current_exe().unwrap();
        let name = exe.file_name().unwrap().to_str().unwrap().to_owned();
        assert!(is_match(own, &ProcessMatch::Name(name.clone())));
        assert!(!is_match(own, &ProcessMatch::Name(format!("{name}x"))));
        assert!(is_alive(own));
        assert!(!is_alive(Pid::from_raw(i32::MAX).unwrap()));
    }

    #[tokio::test]
    async fn a_search_that_takes_longer_than_a_round_comes_to_an_end() {
        let exe = std::env::current_exe().unwrap();
        let name = exe.file_name().unwrap().to_str().unwrap().to_owned();
        let mut processes = Processes::new(ProcessCheck {
            which: ProcessMatch::Name(name),
            at_least: 1,
            at_most: Some(1000),
        });
        let mut passed = 0;
        let begun = Instant::now();
        while passed < 5 {
            assert!(begun.elapsed() < Duration::from_secs(60));
            match processes.round(Duration::ZERO).await {
                Finding::Passed(_) => passed += 1,
                Finding::Busy => {}
                // The machine is so busy that the first search takes that long.
                other => assert!(begun.elapsed() >= FIRST_SEARCH, "{other:?}"),
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    #[tokio::test]
    async fn of_many_processes_some_are_watched_and_all_are_counted() {
        const MANY: u32 = 80;
        struct Killed(Vec<std::process::Child>);
        impl Drop for Killed {
            fn drop(&mut self) {
                for child in &mut self.0 {
                    let _ = child.kill();
                    let _ = child.wait();
                }
            }
        }
        let dir = tempfile::tempdir().unwrap();
        let name = format!("many-{}", std::process::id());
        let program = dir.path().join(&name);
        std::os::unix::fs::symlink("/bin/sleep", &program).unwrap();
        let start = || std::process::Command::new(&program).arg("600").spawn();
        let started: io::Result<_> = (0..MANY).map(|_| start()).collect();
        let mut children = Killed(started.unwrap());
        let mut processes = Processes::new(ProcessCheck {
            which: ProcessMatch::Name(name),
            at_least: MANY,
            at_most: None,
        });
        let timeout = Duration::from_secs(60);
        let all = Finding::Passed(format!("{MANY} processes"));
        for _ in 0..3 {
            assert_eq!(processes.round(timeout).await, all);
        }
        assert!(processes.watched.len() <= MOST_WATCHED);
        // One that is watched.
        let pid = processes.watched[0].pid.as_raw_nonzero().get();
        let mut all = children.0.iter_mut();
        let child = all.find(|it| it.id().cast_signed() == pid).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        processes.changed().await;
        let few = Finding::Failed(format!("{} processes, too few", MANY - 1));
        assert_eq!(processes.round(timeout).await, few);
    }

    #[test]
    fn a_pid_file_has_a_number() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pid");
        for (text, number) in [
            ("42\n", Some(42)),
            (" 7 x", Some(7)),
            ("", None),
            ("0", None),
            ("-1", None),
        ] {
            fs::write(&path, text).unwrap();
            let read = pid_in(&path).ok().map(|pid| pid.as_raw_nonzero().get());
            assert_eq!(read, number, "{text:?}");
        }
    }
}
