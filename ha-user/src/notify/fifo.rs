//! FIFOs that get a line for all that happens, in order.
//!
//! Nothing here waits for a reader: a FIFO that is full loses lines, which is told.

use std::{
    ffi::OsStr,
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::unix::{
        ffi::OsStrExt as _,
        fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _, fchown},
    },
    path::{Path, PathBuf},
    time::Duration,
};

use rustix::{
    fs::{CWD, FileType, Mode, OFlags, mknodat},
    io::Errno,
};
use tokio::{
    task::JoinHandle,
    time::{sleep, timeout},
};

use super::trouble::Trouble;
use crate::{
    config::{self, Script},
    script::{self, Children, Defaults, Output, ResolvedScript, Terms},
};

/// Before a reader that has ended is started again.
const RESTART: Duration = Duration::from_secs(1);

/// A reader may run for as long as it likes; a century is as good as that.
const FOR_EVER: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// How long a reader may take to end when there is nothing more to read.
const FAREWELL: Duration = Duration::from_millis(500);

/// A FIFO, and who reads it if that is ours to start.
#[derive(Debug)]
pub(super) struct Fifo {
    config: config::Fifo,
    defaults: Defaults,
    file: Option<File>,
    /// Whether it is there because of us.
    made: bool,
    trouble: Trouble,
    reader: Option<JoinHandle<()>>,
}

impl Fifo {
    /// Makes and opens it, and starts its reader. What fails is told, and tried again
    /// with the next line.
    pub(super) fn new(config: &config::Fifo, defaults: &Defaults) -> Self {
        let mut fifo = Self {
            config: config.clone(),
            defaults: defaults.clone(),
            file: None,
            made: false,
            trouble: Trouble::default(),
            reader: None,
        };
        if let Err(error) = fifo.open() {
            fifo.failed(&error);
        }
        fifo
    }

    /// Whether it is as a new one would be.
    pub(super) fn is(&self, config: &config::Fifo, defaults: &Defaults) -> bool {
        self.config == *config && self.defaults == *defaults
    }

    pub(super) fn path(&self) -> &PathBuf {
        &self.config.path
    }

    /// It is not removed at its end: another has taken it over.
    pub(super) fn leave(&mut self) {
        self.made = false;
    }

    /// Writes a line, or loses it.
    pub(super) fn write(&mut self, line: &str) {
        match self.try_write(line) {
            Ok(()) => {
                if let Some(lost) = self.trouble.recovered() {
                    let lines = if lost == 1 { "line" } else { "lines" };
                    let path = self.config.path.display();
                    tracing::info!("the FIFO {path} takes lines again, {lost} {lines} are lost");
                }
            }
            Err(error) => self.failed(&error),
        }
    }

    fn failed(&mut self, error: &io::Error) {
        let full = error.kind() == io::ErrorKind::WouldBlock;
        let why = if full {
            "it is full, as nobody reads it".to_owned()
        } else {
            error.to_string()
        };
        if self.trouble.failed(&why) {
            let path = self.config.path.display();
            tracing::warn!("the FIFO {path} loses lines: {why}");
        }
    }

    fn try_write(&mut self, line: &str) -> io::Result<()> {
        if !self.is_in_place() {
            self.open()?;
        }
        let Some(file) = &mut self.file else {
            return Ok(());
        };
        // No longer than PIPE_BUF, so it goes as a whole or not at all.
        file.write_all(line.as_bytes())
    }

    /// Whether what is open is what has the path now.
    fn is_in_place(&self) -> bool {
        let identity = |metadata: fs::Metadata| (metadata.dev(), metadata.ino());
        let open = self.file.as_ref().and_then(|file| file.metadata().ok());
        let there = fs::metadata(&self.config.path).ok();
        open.is_some() && open.map(identity) == there.map(identity)
    }

    fn open(&mut self) -> io::Result<()> {
        self.file = None;
        let path = &self.config.path;
        let is_new = match mknodat(CWD, path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0) {
            Ok(()) => true,
            // Whoever made it may want it to stay.
            Err(Errno::EXIST) => false,
            Err(error) => return Err(error.into()),
        };
        self.made |= is_new;
        // Open for reading, too: so there is always a reader, and opening does not
        // wait for one.
        let flags = OFlags::NONBLOCK | OFlags::NOFOLLOW;
        let mut options = OpenOptions::new();
        options.read(true).write(true);
        options.custom_flags(flags.bits().cast_signed());
        let file = options.open(path)?;
        if !file.metadata()?.file_type().is_fifo() {
            return Err(io::Error::other("it is no FIFO"));
        }
        if is_new {
            self.give_away(&file)?;
        }
        self.file = Some(file);
        self.start_reader();
        Ok(())
    }

    /// To who reads it, if that is another user. What is open, not what has its path by
    /// now: who may write to the directory could have put anything there.
    fn give_away(&self, file: &File) -> io::Result<()> {
        let run_as = self.config.reader.as_ref();
        let run_as = run_as.and_then(|reader| reader.run_as.clone());
        let defaults = Defaults {
            run_as: run_as.or(self.defaults.run_as.clone()),
            ..self.defaults
        };
        match defaults.owner().map_err(io::Error::other)? {
            Some((uid, gid)) => fchown(file, Some(uid), Some(gid)),
            None => Ok(()),
        }
    }

    fn start_reader(&mut self) {
        let Some(reader) = &self.config.reader else {
            return;
        };
        if self.reader.as_ref().is_some_and(|task| !task.is_finished()) {
            return;
        }
        let (reader, path) = (reader.clone(), self.config.path.clone());
        let task = read(reader, path, self.defaults.clone());
        self.reader = Some(tokio::spawn(task));
    }

    /// Ends it: the reader gets to the end of the file, and is killed if it does not
    /// end then. Removes it if it was not there before.
    pub(super) async fn close(mut self) {
        // Without a writer reading comes to an end.
        self.file = None;
        if let Some(mut reader) = self.reader.take()
            && timeout(FAREWELL, &mut reader).await.is_err()
        {
            reader.abort();
        }
        if self.made {
            // Nobody misses it if it is gone already.
            let _ = fs::remove_file(&self.config.path);
        }
    }
}

/// Who stops being told of anything need not be read.
impl Drop for Fifo {
    fn drop(&mut self) {
        if let Some(reader) = &self.reader {
            reader.abort();
        }
    }
}

/// Runs `reader` again and again, for as long as the FIFO at `path` is written.
async fn read(reader: Script, path: PathBuf, defaults: Defaults) {
    let mut trouble = Trouble::default();
    loop {
        let why = match run(&reader, &path, &defaults).await {
            Ok(()) => return,
            Err(why) => why,
        };
        if trouble.failed(&why) {
            let program = reader.argv.first().map_or("", String::as_str);
            let path = path.display();
            tracing::warn!("the reader {program} of the FIFO {path} {why}");
        }
        sleep(RESTART).await;
    }
}

/// # Errors
/// Why it does not read any more.
async fn run(reader: &Script, path: &Path, defaults: &Defaults) -> Result<(), String> {
    let (reader, defaults) = (reader.clone(), defaults.clone());
    let found = tokio::task::spawn_blocking(move || ResolvedScript::resolve(&reader, &defaults));
    let resolved = found
        .await
        .map_err(|error| error.to_string())?
        .map_err(|error| format!("cannot be run: {error}"))?;
    let terms = Terms {
        timeout: FOR_EVER,
        children: Children::Killed,
        output: Output::Discarded,
    };
    let argument = OsStr::from_bytes(path.as_os_str().as_bytes());
    let outcome = script::run(&resolved, &[argument], &[], terms).await;
    Err(outcome.end.to_string())
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    fn fifo(path: &Path, reader: Option<&str>) -> Fifo {
        let reader = reader.map(|text| Script {
            argv: ["/bin/sh", "-c", text].map(str::to_owned).to_vec(),
            run_as: None,
        });
        let config = config::Fifo {
            path: path.to_owned(),
            reader,
        };
        Fifo::new(&config, &Defaults::default())
    }

    /// What there is to be read at `path`.
    fn waiting(path: &Path) -> String {
        let mut options = OpenOptions::new();
        options.read(true);
        options.custom_flags(OFlags::NONBLOCK.bits().cast_signed());
        let mut file = options.open(path).unwrap();
        let mut octets = vec![0; 1 << 20];
        match file.read(&mut octets) {
            Ok(count) => String::from_utf8_lossy(&octets[..count]).into_owned(),
            Err(error) => {
                assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
                String::new()
            }
        }
    }

    fn block_on<T>(future: impl Future<Output = T>) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(future)
    }

    #[test]
    fn lines_wait_for_a_reader_and_are_lost_when_it_is_full() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("fifo");
        block_on(async {
            let mut fifo = fifo(&path, None);
            let metadata = fs::metadata(&path).unwrap();
            assert!(metadata.file_type().is_fifo());
            assert_eq!(metadata.mode() & 0o777, 0o600);
            fifo.write("one\n");
            fifo.write("two\n");
            assert_eq!(waiting(&path), "one\ntwo\n");
            let long = format!("{}\n", "x".repeat(999));
            for _ in 0..100 {
                fifo.write(&long);
            }
            assert!(fifo.trouble.failures >= 30, "{:?}", fifo.trouble);
            let read = waiting(&path);
            assert!(read.len() < 100 * long.len() && read.len().is_multiple_of(long.len()));
            fifo.write("three\n");
            assert_eq!(fifo.trouble.failures, 0);
            assert_eq!(waiting(&path), "three\n");
            fifo.close().await;
            assert!(!path.exists());
        });
    }

    #[test]
    fn one_that_was_there_stays_and_one_that_goes_is_made_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("fifo");
        mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        block_on(async {
            let mut first = fifo(&path, None);
            first.write("one\n");
            first.close().await;
            assert!(path.exists());
            let mut second = fifo(&path, None);
            fs::remove_file(&path).unwrap();
            second.write("two\n");
            assert_eq!(waiting(&path), "two\n");
            second.close().await;
            assert!(!path.exists());
        });
    }

    #[test]
    fn it_is_given_to_its_reader_and_nothing_else_is() {
        if !rustix::process::geteuid().is_root() {
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let (path, other) = (dir.path().join("fifo"), dir.path().join("other"));
        fs::write(&other, "").unwrap();
        let config = config::Fifo {
            path: path.clone(),
            reader: None,
        };
        let defaults = Defaults {
            run_as: Some(config::RunAs {
                user: "65534".to_owned(),
                group: Some("65534".to_owned()),
            }),
            security: false,
        };
        block_on(async {
            let fifo = Fifo::new(&config, &defaults);
            assert_eq!(fs::metadata(&path).unwrap().uid(), 65534);
            let file = fifo.file.as_ref().unwrap();
            fs::remove_file(&path).unwrap();
            std::os::unix::fs::symlink(&other, &path).unwrap();
            fifo.give_away(file).unwrap();
            assert_eq!(fs::metadata(&other).unwrap().uid(), 0);
            fifo.close().await;
        });
    }

    #[test]
    fn what_is_no_fifo_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        fs::write(&path, "mine").unwrap();
        block_on(async {
            let mut fifo = fifo(&path, None);
            fifo.write("one\n");
            assert_eq!(fifo.trouble.failures, 2);
            fifo.close().await;
        });
        assert_eq!(fs::read_to_string(&path).unwrap(), "mine");
    }

    #[test]
    fn a_reader_reads_all_and_ends_with_the_fifo() {
        let dir = tempfile::tempdir().unwrap();
        let (path, out) = (dir.path().join("fifo"), dir.path().join("out"));
        let text = format!(
            "echo \"from $0\" > {0}; cat $0 >> {0}; echo end >> {0}",
            out.display()
        );
        block_on(async {
            let mut fifo = fifo(&path, Some(&text));
            fifo.write("one\n");
            let expected = format!("from {}\none\n", path.display());
            while !fs::read_to_string(&out).is_ok_and(|text| text == expected) {
                sleep(Duration::from_millis(5)).await;
            }
            fifo.write("two\n");
            fifo.close().await;
            let out = fs::read_to_string(&out).unwrap();
            assert_eq!(out, format!("{expected}two\nend\n"));
        });
    }
}
