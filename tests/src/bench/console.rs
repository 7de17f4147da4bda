//! A slow console: what a serial line takes of a log.

use std::{
    fs::File,
    io::Read as _,
    os::fd::AsFd as _,
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use rustix::{
    fs::{CWD, Mode, OFlags, mkfifoat},
    pipe::fcntl_setpipe_size,
};

/// What a line with 115,200 baud sends in a second.
const OCTETS_PER_SECOND: f64 = 11_500.0;

/// What it keeps before a writer waits: as much as Linux buffers for a serial line.
const ROOM: usize = 4096;

/// Span between two looks at the pipe: 115 octets.
const TICK: Duration = Duration::from_millis(10);

/// A named pipe and the thread that reads it slowly. The thread ends with its guard.
#[derive(Debug)]
pub(super) struct Console {
    text: Arc<Mutex<Vec<u8>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Console {
    /// Makes the pipe `path` and reads it.
    ///
    /// # Errors
    /// If it cannot be made.
    pub(super) fn at(path: &Path) -> Result<Self> {
        let describe = || format!("cannot make the console {}", path.display());
        mkfifoat(CWD, path, Mode::RUSR | Mode::WUSR).with_context(describe)?;
        // Open for writing too, so that it has no end while nobody else writes yet.
        let file = rustix::fs::open(
            path,
            OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC,
            Mode::empty(),
        )
        .with_context(describe)?;
        fcntl_setpipe_size(file.as_fd(), ROOM).with_context(describe)?;
        let (text, stop) = (
            Arc::<Mutex<Vec<u8>>>::default(),
            Arc::<AtomicBool>::default(),
        );
        let thread = thread::Builder::new()
            .name("console".into())
            .spawn({
                let (text, stop) = (Arc::clone(&text), Arc::clone(&stop));
                move || read_slowly(&mut File::from(file), &text, &stop)
            })
            .with_context(describe)?;
        Ok(Self {
            text,
            stop,
            thread: Some(thread),
        })
    }

    /// What it has taken.
    pub(super) fn text(&self) -> String {
        let text = self.text.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&text).into_owned()
    }
}

impl Drop for Console {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn read_slowly(file: &mut File, text: &Mutex<Vec<u8>>, stop: &AtomicBool) {
    let mut allowed = 0.0;
    let mut before = Instant::now();
    let mut buffer = [0; ROOM];
    while !stop.load(Ordering::SeqCst) {
        // Not a wait for anything: this is the line's speed.
        thread::sleep(TICK);
        let now = Instant::now();
        // A line does not save up what it could have sent.
        let saved = OCTETS_PER_SECOND * (2 * TICK).as_secs_f64();
        allowed += OCTETS_PER_SECOND * (now - before).as_secs_f64();
        allowed = f64::min(
            allowed,
            saved.max(OCTETS_PER_SECOND * (now - before).as_secs_f64()),
        );
        before = now;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "at least 0, and no more than the buffer by the line below"
        )]
        let room = (allowed as usize).min(buffer.len());
        if let Ok(length) = file.read(&mut buffer[..room])
            && length > 0
        {
            #[expect(clippy::cast_precision_loss, reason = "at most 4096")]
            let used = length as f64;
            allowed -= used;
            text.lock()
                .unwrap_or_else(PoisonError::into_inner)
                .extend_from_slice(&buffer[..length]);
        }
    }
}
