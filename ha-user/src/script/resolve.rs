//! From a command of the configuration to a program of this host and a user, once
//! per start or reload, so that what is wrong is said then.

use std::{
    env,
    ffi::{CString, OsStr, OsString},
    fmt,
    fs::{self, Metadata},
    io,
    os::unix::{
        ffi::OsStrExt as _,
        fs::{MetadataExt as _, PermissionsExt as _},
    },
    path::{Path, PathBuf, absolute},
};

use super::user::{Identity, UserError};
use crate::config::{Config, RunAs, Script};

/// Where programs are looked for if the daemon has no `PATH`.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A command that can be run: program found, user looked up.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ResolvedScript {
    path: PathBuf,
    program: CString,
    argv: Vec<CString>,
    identity: Option<Identity>,
}

/// What counts for commands that do not say.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Defaults {
    /// As whom they run; as the daemon does if absent.
    pub run_as: Option<RunAs>,
    /// Whether [`Unsafe`] commands are refused.
    pub security: bool,
}

impl Defaults {
    /// User and group that commands run as which do not say, if not as the daemon
    /// does.
    ///
    /// # Errors
    /// If there is no such user or group.
    pub fn owner(&self) -> Result<Option<(u32, u32)>, UserError> {
        let identity = self.run_as.as_ref().map(Identity::look_up).transpose()?;
        Ok(identity.map(|identity| (identity.uid, identity.gid)))
    }
}

impl From<&Config> for Defaults {
    fn from(config: &Config) -> Self {
        Self {
            run_as: config.script_user.clone(),
            security: config.script_security,
        }
    }
}

/// Why a command cannot be run.
#[derive(Debug, thiserror::Error)]
pub enum ResolveError {
    /// There is no such program.
    #[error("there is no {}", .0.display())]
    NoProgram(PathBuf),
    /// There is no such program where programs are looked for.
    #[error("there is no program {program} in {path}")]
    NotInPath {
        /// The program.
        program: String,
        /// Where it was looked for.
        path: String,
    },
    /// Nobody may execute it, or it is no file.
    #[error("{} is no executable file; `chmod +x` makes a script one", .0.display())]
    NotExecutable(PathBuf),
    /// It cannot be looked at.
    #[error("cannot look at {}: {source}", path.display())]
    Unreadable {
        /// The program, or a directory that leads to it.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The user cannot be had.
    #[error(transparent)]
    User(#[from] UserError),
    /// Others than root can change what would run as root.
    #[error(transparent)]
    Unsafe(#[from] Unsafe),
    /// A word has a zero octet in it.
    #[error("a command cannot have a zero octet in it")]
    Zero,
}

/// Others than root can change what runs as root.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{} would run as root, but others can change {}", program.display(), changeable.display())]
pub struct Unsafe {
    /// The program.
    pub program: PathBuf,
    /// The file or directory that they can change.
    pub changeable: PathBuf,
}

impl ResolvedScript {
    /// Looks for the program and the user of `script`.
    ///
    /// # Errors
    /// If it could not be run now, or must not be.
    pub fn resolve(script: &Script, defaults: &Defaults) -> Result<Self, ResolveError> {
        let name = script.argv.first().map(String::as_str).unwrap_or_default();
        let path = find(name)?;
        let run_as = script.run_as.as_ref().or(defaults.run_as.as_ref());
        let identity = run_as.map(Identity::look_up).transpose()?;
        // Who is what he is to become need not be allowed to change it.
        let own = (
            rustix::process::geteuid().as_raw(),
            rustix::process::getegid().as_raw(),
        );
        let identity = identity.filter(|it| own.0 == 0 || (it.uid, it.gid) != own);
        let c_string = |text: &OsStr| CString::new(text.as_bytes());
        let argv = script.argv.iter().map(|word| c_string(word.as_ref()));
        let resolved = Self {
            program: c_string(path.as_os_str()).map_err(|_| ResolveError::Zero)?,
            argv: argv
                .collect::<Result<_, _>>()
                .map_err(|_| ResolveError::Zero)?,
            path,
            identity,
        };
        if defaults.security {
            resolved.secure()?;
        }
        Ok(resolved)
    }

    /// Whether what it runs is safe to be run as it is to be.
    ///
    /// # Errors
    /// If it is to run as root and others can change it, or something on the way to
    /// it.
    pub fn secure(&self) -> Result<(), ResolveError> {
        self.secure_of(rustix::process::geteuid().as_raw())
    }

    /// [`secure`](Self::secure) for a daemon that runs as user `uid`.
    ///
    /// # Errors
    /// As of [`secure`](Self::secure).
    pub fn secure_of(&self, uid: u32) -> Result<(), ResolveError> {
        if self.identity.as_ref().map_or(uid, |identity| identity.uid) != 0 {
            return Ok(());
        }
        match changeable(&self.path)? {
            None => Ok(()),
            Some(changeable) => Err(Unsafe {
                program: self.path.clone(),
                changeable,
            }
            .into()),
        }
    }

    /// Where the program is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// User and group that it runs as, if not as the daemon does.
    #[must_use]
    pub fn owner(&self) -> Option<(u32, u32)> {
        let identity = self.identity.as_ref()?;
        Some((identity.uid, identity.gid))
    }

    pub(super) fn program(&self) -> &CString {
        &self.program
    }

    pub(super) fn argv(&self) -> &[CString] {
        &self.argv
    }

    pub(super) fn identity(&self) -> Option<&Identity> {
        self.identity.as_ref()
    }
}

/// The program, which may not be its arguments: those may hold secrets.
impl fmt::Display for ResolvedScript {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.path.display().fmt(f)
    }
}

/// The program `name`, with all that makes a file one.
fn find(name: &str) -> Result<PathBuf, ResolveError> {
    if name.contains('/') {
        let path = absolute(name).unwrap_or_else(|_| PathBuf::from(name));
        let metadata = look(&path)?;
        return match executable(&metadata) {
            true => Ok(path),
            false => Err(ResolveError::NotExecutable(path)),
        };
    }
    let dirs = env::var_os("PATH").unwrap_or_else(|| PATH.into());
    let mut candidate = None;
    if !name.is_empty() {
        for dir in env::split_paths(&dirs).filter(|dir| dir.is_absolute()) {
            let path = dir.join(name);
            match fs::metadata(&path) {
                Ok(metadata) if executable(&metadata) => return Ok(path),
                Ok(_) => candidate = candidate.or(Some(path)),
                Err(_) => {}
            }
        }
    }
    Err(match candidate {
        Some(path) => ResolveError::NotExecutable(path),
        None => ResolveError::NotInPath {
            program: name.to_owned(),
            path: dirs.to_string_lossy().into_owned(),
        },
    })
}

fn look(path: &Path) -> Result<Metadata, ResolveError> {
    fs::metadata(path).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => ResolveError::NoProgram(path.to_owned()),
        _ => ResolveError::Unreadable {
            path: path.to_owned(),
            source,
        },
    })
}

/// Whether anyone may execute it. Whether its user may is for the kernel to say,
/// which knows of access lists.
fn executable(metadata: &Metadata) -> bool {
    metadata.is_file() && metadata.permissions().mode() & 0o111 != 0
}

/// So many links are followed on one way, as by the kernel.
const LINKS: usize = 40;

/// What others than root can change of `program`, of all directories that lead to
/// it, and of every link on the way with the directories that lead to where it
/// points.
fn changeable(program: &Path) -> Result<Option<PathBuf>, ResolveError> {
    let mut ahead: Vec<OsString> = words(program);
    let mut at = PathBuf::from("/");
    let mut links = 0;
    loop {
        let unreadable = |source| ResolveError::Unreadable {
            path: at.clone(),
            source,
        };
        let metadata = fs::symlink_metadata(&at).map_err(unreadable)?;
        if metadata.uid() != 0 || others_write(&metadata) {
            return Ok(Some(at));
        }
        if metadata.is_symlink() {
            links += 1;
            if links > LINKS {
                return Err(unreadable(rustix::io::Errno::LOOP.into()));
            }
            ahead.extend(words(&fs::read_link(&at).map_err(unreadable)?));
            at.pop();
        }
        // An absolute path has `/` as its first word, which is pushed in place of all.
        match ahead.pop() {
            None => return Ok(None),
            Some(word) if word == ".." => {
                at.pop();
            }
            Some(word) => at.push(word),
        }
    }
}

/// The words of a path, the last one first.
fn words(path: &Path) -> Vec<OsString> {
    let words = path.components().rev();
    words.map(|word| word.as_os_str().to_owned()).collect()
}

/// Whether a group that is not root's, or everybody, may replace it. A link has
/// no permissions of its own; in a directory as `/tmp` others can make files, but
/// not replace those of root.
fn others_write(metadata: &Metadata) -> bool {
    let mode = metadata.mode();
    let sticky = metadata.is_dir() && mode & 0o1000 != 0;
    let group = mode & 0o020 != 0 && metadata.gid() != 0;
    let world = mode & 0o002 != 0;
    !metadata.is_symlink() && !sticky && (group || world)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{chown, symlink};

    use super::*;

    fn resolve(argv: &[&str], defaults: &Defaults) -> Result<ResolvedScript, ResolveError> {
        let script = Script {
            argv: argv.iter().map(ToString::to_string).collect(),
            run_as: None,
        };
        ResolvedScript::resolve(&script, defaults)
    }

    fn said(program: &str) -> String {
        let error = resolve(&[program], &Defaults::default()).unwrap_err();
        error.to_string()
    }

    #[test]
    fn programs_are_found_in_the_path_or_where_it_says() {
        let shell = resolve(&["sh", "-c"], &Defaults::default()).unwrap();
        assert!(shell.path().ends_with("sh") && shell.path().is_absolute());
        assert_eq!(shell.argv().len(), 2);
        let again = resolve(&[shell.path().to_str().unwrap()], &Defaults::default());
        assert_eq!(again.unwrap().path(), shell.path());
    }

    #[test]
    fn what_is_wrong_with_a_program_is_said() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("plain");
        fs::write(&file, "#!/bin/sh\n").unwrap();
        let text = file.to_str().unwrap();
        assert_eq!(
            said(text),
            format!("{text} is no executable file; `chmod +x` makes a script one")
        );
        assert!(said(dir.path().to_str().unwrap()).contains("is no executable file"));
        assert!(said("/no/such/thing").contains("there is no /no/such/thing"));
        assert!(said("no-such-thing").contains("no program no-such-thing in /"));
        assert!(said("").contains("there is no program"));
        assert!(said(&format!("{text}/x")).contains("cannot look at"));
    }

    #[test]
    fn what_others_can_change_does_not_run_as_root_where_that_is_asked() {
        if rustix::process::geteuid().as_raw() != 0 {
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let inner = dir.path().join("inner");
        fs::create_dir(&inner).unwrap();
        let file = inner.join("script");
        fs::write(&file, "#!/bin/sh\n").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
        let link = dir.path().join("link");
        symlink(&file, &link).unwrap();
        let strict = Defaults {
            security: true,
            ..Defaults::default()
        };
        let blamed = |path: &Path| match resolve(&[path.to_str().unwrap()], &strict) {
            Ok(_) => None,
            Err(ResolveError::Unsafe(Unsafe { changeable, .. })) => Some(changeable),
            Err(other) => panic!("{other}"),
        };
        assert_eq!((blamed(&file), blamed(&link)), (None, None));
        for (mode, gid, bad) in [
            (0o775, 0, false),
            (0o775, 1, true),
            (0o757, 0, true),
            (0o755, 1, false),
        ] {
            chown(&file, Some(0), Some(gid)).unwrap();
            fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
            let expected = bad.then(|| file.clone());
            assert_eq!(blamed(&file), expected, "{mode:o}");
            assert_eq!(blamed(&link), expected, "{mode:o}");
        }
        chown(&file, Some(1), Some(0)).unwrap();
        assert_eq!(blamed(&link), Some(file.clone()));
        chown(&file, Some(0), Some(0)).unwrap();
        fs::set_permissions(&inner, fs::Permissions::from_mode(0o777)).unwrap();
        assert_eq!(blamed(&link), Some(inner.clone()));
        fs::set_permissions(&inner, fs::Permissions::from_mode(0o1777)).unwrap();
        assert_eq!(blamed(&link), None);
        // A link on the way counts, wherever it is, and so does where it is.
        fs::set_permissions(&inner, fs::Permissions::from_mode(0o755)).unwrap();
        let open = dir.path().join("open");
        fs::create_dir(&open).unwrap();
        let (middle, outer) = (open.join("middle"), dir.path().join("outer"));
        symlink(&file, &middle).unwrap();
        symlink("open/middle", &outer).unwrap();
        assert_eq!(blamed(&outer), None);
        fs::set_permissions(&open, fs::Permissions::from_mode(0o777)).unwrap();
        assert_eq!(blamed(&outer), Some(open.clone()));
        let (way, round) = (open.join("way"), dir.path().join("round"));
        symlink("../inner", &way).unwrap();
        symlink(&way, &round).unwrap();
        assert_eq!(blamed(&round.join("script")), Some(open.clone()));
        fs::set_permissions(&open, fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(blamed(&round.join("script")), None);
        std::os::unix::fs::lchown(&middle, Some(1), Some(1)).unwrap();
        assert_eq!(blamed(&outer), Some(middle));
        // As another user it may be anyone's.
        fs::set_permissions(&inner, fs::Permissions::from_mode(0o777)).unwrap();
        let nobody = Defaults {
            run_as: Some(RunAs {
                user: "65534".to_owned(),
                group: Some("65534".to_owned()),
            }),
            security: true,
        };
        assert!(resolve(&[file.to_str().unwrap()], &nobody).is_ok());
        assert!(resolve(&[file.to_str().unwrap()], &Defaults::default()).is_ok());
    }
}
