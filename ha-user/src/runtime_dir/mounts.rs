//! Which mounts are ours, as `/proc` tells it.

use std::{
    ffi::OsString,
    fs, io,
    os::unix::ffi::OsStringExt as _,
    path::{Path, PathBuf},
};

/// Source of the file systems that we mount: tells ours from an operator's, also
/// when the process that mounted it was killed.
pub(super) const SOURCE: &str = "harrier";

/// The calling thread's mounts; another may live in another mount namespace.
pub(super) const MOUNTINFO: &str = "/proc/thread-self/mountinfo";

/// Whether the uppermost mount at `path` is one that a daemon made.
pub(super) fn top_is_ours(path: &Path) -> io::Result<bool> {
    let text = fs::read(MOUNTINFO)?;
    let last = text
        .split(|octet| *octet == b'\n')
        .filter_map(Mount::parse)
        .rfind(|mount| mount.at == path);
    Ok(last.is_some_and(|mount| mount.ours))
}

struct Mount {
    at: PathBuf,
    ours: bool,
}

impl Mount {
    /// Reads a line of mountinfo (`proc_pid_mountinfo(5)`): the mount point is
    /// the fifth field, type and source are the first two behind the hyphen.
    fn parse(line: &[u8]) -> Option<Self> {
        let mut fields = line.split(|octet| *octet == b' ');
        let at = PathBuf::from(OsString::from_vec(unescape(fields.nth(4)?)));
        let mut fields = fields.skip_while(|field| *field != b"-").skip(1);
        let (kind, source) = (fields.next()?, fields.next()?);
        Some(Self {
            at,
            ours: kind == b"bpf" && source == SOURCE.as_bytes(),
        })
    }
}

/// Undoes the octal escapes of white space and backslashes.
fn unescape(field: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&octet, behind)) = rest.split_first() {
        match (octet, behind) {
            (b'\\', &[a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', ..]) => {
                out.push((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'));
                rest = &behind[3..];
            }
            _ => {
                out.push(octet);
                rest = behind;
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mountinfo_is_read() {
        let line =
            br"36 35 0:31 / /run/a\040b/bpf rw,nosuid shared:1 master:2 - bpf harrier rw,mode=700";
        let mount = Mount::parse(line).unwrap();
        assert_eq!(mount.at, Path::new("/run/a b/bpf"));
        assert!(mount.ours);
        let line = b"36 35 0:31 / /sys/fs/bpf rw,nosuid - bpf bpf rw,mode=700";
        assert!(!Mount::parse(line).unwrap().ours);
        assert!(Mount::parse(b"").is_none());
        assert_eq!(unescape(br"a\011\134x\9"), b"a\t\\x\\9");
    }
}
