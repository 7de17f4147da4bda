//! The runtime directory: everything by which one daemon could meet another.
//!
//! ```text
//! DIR/harrier.pid       process id; locked as long as the daemon lives
//! DIR/control.sock      control socket
//! DIR/addresses.json    journal of what the daemon may leave on the host
//! DIR/dump/             what SIGUSR1 and SIGUSR2 have written down
//! DIR/bpf/              pinned program and maps, a bpffs of its own
//! ```
//!
//! Whoever holds the lock owns the directory, so whatever a killed predecessor
//! left in it (the lock ends with the process) can be cleared away.

mod mounts;
#[cfg(test)]
mod tests;

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Read as _, Seek as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    process,
};

use ha_common::abi;
use rustix::{
    fs::{FlockOperation, flock, statfs},
    io::Errno,
    mount::{MountFlags, UnmountFlags, mount, unmount},
};

/// Where `harrier` keeps its things unless told otherwise.
pub const DEFAULT: &str = "/run/harrier";

/// Longest path of a unix socket: 108 octets less the final NUL (`unix(7)`).
const MAX_SOCKET_PATH: usize = 107;

/// `statfs` type of a bpffs (`BPF_FS_MAGIC`).
const BPF_FS_MAGIC: u64 = 0xcafe_4a11;

/// Why the runtime directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ClaimError {
    /// Another daemon lives in it.
    #[error(
        "{} is in use by {}; stop that one first, or give this one a directory of its own with \
         --runtime-dir",
        dir.display(),
        pid.map_or_else(|| "another harrier".to_owned(), |pid| format!("another harrier (pid {pid})"))
    )]
    Busy {
        /// The directory.
        dir: PathBuf,
        /// The other daemon, if it has written down its pid yet.
        pid: Option<u32>,
    },
    /// The control socket's path would be too long.
    #[error(
        "the path of the control socket {} has {} octets, of which the system allows \
         {MAX_SOCKET_PATH}; choose a shorter directory with --runtime-dir",
        path.display(),
        path.as_os_str().len()
    )]
    TooLong {
        /// The socket's path.
        path: PathBuf,
    },
    /// A file or directory in it cannot be made or removed.
    #[error(
        "cannot {operation} {}; harrier runs as root, or in a directory of its own given with \
         --runtime-dir",
        path.display()
    )]
    Io {
        /// What was tried.
        operation: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The bpffs cannot be mounted or unmounted.
    #[error(
        "cannot {operation} {}; that takes root's CAP_SYS_ADMIN and a kernel with \
         CONFIG_BPF_SYSCALL",
        path.display()
    )]
    Mount {
        /// What was tried.
        operation: &'static str,
        /// Where.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

/// Paths in the runtime directory `dir`, for those who do not own it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Paths {
    dir: PathBuf,
}

impl Paths {
    /// The paths below `dir`.
    #[must_use]
    pub fn of(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into() }
    }

    /// The directory itself.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The control socket.
    #[must_use]
    pub fn control_socket(&self) -> PathBuf {
        self.dir.join("control.sock")
    }

    /// The pid file, which is also the lock.
    #[must_use]
    pub fn pid_file(&self) -> PathBuf {
        self.dir.join("harrier.pid")
    }

    /// Where program and maps are pinned.
    #[must_use]
    pub fn pin_dir(&self) -> PathBuf {
        self.dir.join("bpf")
    }

    /// The journal of what may be left on the host.
    #[must_use]
    pub fn journal(&self) -> PathBuf {
        self.dir.join("addresses.json")
    }

    /// Where what SIGUSR1 and SIGUSR2 ask for is written down.
    #[must_use]
    pub fn dump_dir(&self) -> PathBuf {
        self.dir.join("dump")
    }

    /// Name of the nftables table, of which there is one for each daemon of a
    /// network namespace: `harrier` and a hash of the directory (FNV-1a).
    #[must_use]
    pub fn nft_table(&self) -> String {
        let hash = self
            .dir
            .as_os_str()
            .as_encoded_bytes()
            .iter()
            .fold(0xcbf2_9ce4_8422_2325_u64, |hash, octet| {
                (hash ^ u64::from(*octet)).wrapping_mul(0x0100_0000_01b3)
            });
        format!("harrier-{hash:016x}")
    }
}

/// A runtime directory that is ours until this is released or dropped.
#[derive(Debug)]
pub struct RuntimeDir {
    paths: Paths,
    /// Holds the lock.
    pid_file: File,
    /// Directories that did not exist before us, the innermost first.
    created: Vec<PathBuf>,
    /// Whether a bpffs of ours is mounted on the pin directory.
    mounted: bool,
    /// Whether the pin directory holds, or may hold, pins of ours.
    pinned: bool,
    released: bool,
}

impl RuntimeDir {
    /// Makes `dir` ours: creates it if need be, takes the lock, writes the pid
    /// file, and clears what a killed predecessor left: its socket and its
    /// bpffs. The journal stays; it tells which addresses to clean up.
    ///
    /// # Errors
    /// If a live daemon has it, or a step fails; then nothing is left behind.
    pub fn claim(dir: impl Into<PathBuf>) -> Result<Self, ClaimError> {
        let dir = dir.into();
        let dir = std::path::absolute(&dir).map_err(io_error("find", &dir))?;
        let paths = Paths::of(dir);
        let socket = paths.control_socket();
        if socket.as_os_str().len() > MAX_SOCKET_PATH {
            return Err(ClaimError::TooLong { path: socket });
        }
        let mut created = Vec::new();
        let pid_file = match lock(&paths, &mut created) {
            Ok(pid_file) => pid_file,
            Err(error) => {
                remove_directories(&created);
                return Err(error);
            }
        };
        // From here on, dropping it cleans up.
        let mut this = Self {
            paths,
            pid_file,
            created,
            mounted: false,
            pinned: false,
            released: false,
        };
        this.write_pid()?;
        this.remove_socket()?;
        this.unmount_ours()?;
        Ok(this)
    }

    /// The paths in it.
    #[must_use]
    pub fn paths(&self) -> &Paths {
        &self.paths
    }

    /// See [`Paths::control_socket`].
    #[must_use]
    pub fn control_socket(&self) -> PathBuf {
        self.paths.control_socket()
    }

    /// See [`Paths::pid_file`].
    #[must_use]
    pub fn pid_file(&self) -> PathBuf {
        self.paths.pid_file()
    }

    /// See [`Paths::pin_dir`]; there is nothing there before
    /// [`mount_pins`](Self::mount_pins).
    #[must_use]
    pub fn pin_dir(&self) -> PathBuf {
        self.paths.pin_dir()
    }

    /// See [`Paths::journal`].
    #[must_use]
    pub fn journal(&self) -> PathBuf {
        self.paths.journal()
    }

    /// See [`Paths::dump_dir`].
    #[must_use]
    pub fn dump_dir(&self) -> PathBuf {
        self.paths.dump_dir()
    }

    /// See [`Paths::nft_table`].
    #[must_use]
    pub fn nft_table(&self) -> String {
        self.paths.nft_table()
    }

    /// Makes the pin directory a bpffs without pins of ours: mounts one there, or
    /// uses the one that an operator has mounted there and removes from it what
    /// a predecessor pinned.
    ///
    /// # Errors
    /// If it cannot be mounted, or a stale pin cannot be removed.
    pub fn mount_pins(&mut self) -> Result<(), ClaimError> {
        let path = self.pin_dir();
        match fs::create_dir(&path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(io_error("create the directory", &path)(error));
            }
            Ok(()) | Err(_) => self.pinned = true,
        }
        let metadata = fs::symlink_metadata(&path).map_err(io_error("look at", &path))?;
        if !metadata.is_dir() {
            let error = io::Error::from(io::ErrorKind::NotADirectory);
            return Err(io_error("use as a directory", &path)(error));
        }
        if is_bpffs(&path)? {
            return self.remove_pins();
        }
        let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
        mount(mounts::SOURCE, &path, "bpf", flags, c"mode=0700")
            .map_err(mount_error("mount a bpffs on", &path))?;
        self.mounted = true;
        Ok(())
    }

    /// Gives the directory up: removes the socket, our pins, the bpffs that we
    /// mounted, the pid file and the directories that we created. A journal in
    /// it is not removed (nor then the directory): it names addresses that could
    /// not be.
    ///
    /// # Errors
    /// The first thing that went wrong; the rest is done all the same.
    pub fn release(mut self) -> Result<(), ClaimError> {
        self.clean_up()
    }

    fn clean_up(&mut self) -> Result<(), ClaimError> {
        if self.released {
            return Ok(());
        }
        self.released = true;
        let mut result = self.remove_socket();
        if self.mounted {
            // Its pins end with it.
            result = result.and(self.unmount_ours());
        } else if self.pinned && is_bpffs(&self.pin_dir()).unwrap_or(false) {
            result = result.and(self.remove_pins());
        }
        // Refused where it is not empty or an operator's mount: then it stays.
        let _ = fs::remove_dir(self.pin_dir());
        for name in ["data", "stats"] {
            result = result.and(remove_file(&self.dump_dir().join(name)));
        }
        let _ = fs::remove_dir(self.dump_dir());
        // Last, and still under the lock, so that nobody's but our own is removed.
        let pid_file = self.pid_file();
        result = result.and(remove_file(&pid_file));
        remove_directories(&self.created);
        result
    }

    fn write_pid(&mut self) -> Result<(), ClaimError> {
        let path = self.pid_file();
        let mut write = || {
            self.pid_file.set_len(0)?;
            self.pid_file.rewind()?;
            writeln!(self.pid_file, "{}", process::id())
        };
        write().map_err(io_error("write the pid file", &path))
    }

    /// Removes the control socket; only a socket, whatever else has its name.
    fn remove_socket(&self) -> Result<(), ClaimError> {
        let path = self.control_socket();
        match fs::symlink_metadata(&path) {
            Ok(metadata) if metadata.file_type().is_socket() => remove_file(&path),
            Ok(_) | Err(_) => Ok(()),
        }
    }

    /// Unmounts every bpffs that a daemon mounted on the pin directory.
    fn unmount_ours(&mut self) -> Result<(), ClaimError> {
        let path = self.pin_dir();
        // A mount point's path in mountinfo has no symbolic links in it.
        let Ok(canonical) = path.canonicalize() else {
            return Ok(());
        };
        while mounts::top_is_ours(&canonical)
            .map_err(io_error("read", Path::new(mounts::MOUNTINFO)))?
        {
            unmount(&path, UnmountFlags::DETACH).map_err(mount_error("unmount", &path))?;
            self.pinned = true;
        }
        self.mounted = false;
        Ok(())
    }

    /// Removes from an operator's bpffs what a daemon pins: nothing else, it may
    /// be shared.
    fn remove_pins(&self) -> Result<(), ClaimError> {
        let path = self.pin_dir();
        for name in [abi::PROGRAM].into_iter().chain(abi::map::ALL) {
            remove_file(&path.join(name))?;
        }
        Ok(())
    }
}

impl Drop for RuntimeDir {
    fn drop(&mut self) {
        if let Err(error) = self.clean_up() {
            let cause = std::error::Error::source(&error);
            tracing::warn!(cause, "{error}");
        }
    }
}

/// Opens the pid file of `paths` and locks it.
fn lock(paths: &Paths, created: &mut Vec<PathBuf>) -> Result<File, ClaimError> {
    let path = paths.pid_file();
    loop {
        create_directories(paths.dir(), created)?;
        let opened = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o644)
            .open(&path);
        let mut file = match opened {
            Ok(file) => file,
            // A daemon that stops has just removed the directory.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(io_error("open the pid file", &path)(error)),
        };
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => {
                let mut text = String::new();
                let pid = file
                    .read_to_string(&mut text)
                    .ok()
                    .and_then(|_| text.trim().parse().ok());
                return Err(ClaimError::Busy {
                    dir: paths.dir().to_owned(),
                    pid,
                });
            }
            Err(error) => return Err(io_error("lock the pid file", &path)(error.into())),
        }
        // A daemon that stops removes the file before it unlocks it: then what we
        // have locked is not the file that the next one will find.
        let ours = file.metadata().map_err(io_error("look at", &path))?;
        match fs::metadata(&path) {
            Ok(named) if (named.dev(), named.ino()) == (ours.dev(), ours.ino()) => return Ok(file),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(io_error("look at", &path)(error)),
        }
    }
}

/// Creates `dir` and what is missing above it, and notes what it created, the
/// innermost first.
fn create_directories(dir: &Path, created: &mut Vec<PathBuf>) -> Result<(), ClaimError> {
    let missing: Vec<&Path> = dir.ancestors().take_while(|dir| !dir.exists()).collect();
    for dir in missing.into_iter().rev() {
        match DirBuilder::new().mode(0o755).create(dir) {
            Ok(()) => created.insert(0, dir.to_owned()),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(io_error("create the directory", dir)(error)),
        }
    }
    Ok(())
}

/// Removes those of `created` that are empty.
fn remove_directories(created: &[PathBuf]) {
    for dir in created {
        // Not empty: somebody else uses it now.
        let _ = fs::remove_dir(dir);
    }
}

fn remove_file(path: &Path) -> Result<(), ClaimError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(io_error("remove", path)(error))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

fn is_bpffs(path: &Path) -> Result<bool, ClaimError> {
    let found = statfs(path).map_err(|error| io_error("look at", path)(error.into()))?;
    // The type of the field differs between architectures.
    #[allow(
        clippy::unnecessary_cast,
        clippy::cast_sign_loss,
        reason = "a magic number"
    )]
    let magic = found.f_type as u64 & 0xffff_ffff;
    Ok(magic == BPF_FS_MAGIC)
}

fn io_error(operation: &'static str, path: &Path) -> impl Fn(io::Error) -> ClaimError + use<> {
    let path = path.to_owned();
    move |source| ClaimError::Io {
        operation,
        path: path.clone(),
        source,
    }
}

fn mount_error(operation: &'static str, path: &Path) -> impl Fn(Errno) -> ClaimError + use<> {
    let path = path.to_owned();
    move |source| ClaimError::Mount {
        operation,
        path: path.clone(),
        source: source.into(),
    }
}
