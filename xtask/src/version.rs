//! Versions, as tools print them.

use std::{fmt, str::FromStr};

/// A version `major.minor.patch`; what follows (`-nightly`, `+dfsg1`) is not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Version {
    pub(crate) major: u32,
    pub(crate) minor: u32,
    pub(crate) patch: u32,
}

impl Version {
    pub(crate) const fn new(major: u32, minor: u32, patch: u32) -> Self {
        Self {
            major,
            minor,
            patch,
        }
    }

    /// The first word of `text` that is a version.
    pub(crate) fn find(text: &str) -> Option<Self> {
        text.split_whitespace().find_map(|word| word.parse().ok())
    }
}

/// A word is not a version.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NotAVersion;

impl FromStr for Version {
    type Err = NotAVersion;

    /// Takes `1.96.0`, `v7.1`, `1.97.0-nightly` and Debian's `1:22.1.8-1~deb12u1`.
    fn from_str(word: &str) -> Result<Self, NotAVersion> {
        let word = word.split_once(':').map_or(word, |(_epoch, rest)| rest);
        let word = word.strip_prefix('v').unwrap_or(word);
        let end = word
            .find(|character: char| !character.is_ascii_digit() && character != '.')
            .unwrap_or(word.len());
        let mut numbers = word[..end].trim_end_matches('.').split('.');
        let mut number = || numbers.next().map(|digits| digits.parse().ok());
        let (Some(Some(major)), Some(Some(minor))) = (number(), number()) else {
            return Err(NotAVersion);
        };
        let patch = number().unwrap_or(Some(0)).ok_or(NotAVersion)?;
        Ok(Self::new(major, minor, patch))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

/// What `rustc -vV` says: the compiler's version and that of its LLVM.
pub(crate) fn of_rustc(verbose: &str) -> Option<(Version, Version)> {
    let field = |name: &str| {
        verbose
            .lines()
            .find_map(|line| line.strip_prefix(name))
            .and_then(|value| value.trim().parse().ok())
    };
    Some((field("release:")?, field("LLVM version:")?))
}

/// The major version of the LLVM that a program is linked to, from what `ldd` prints.
pub(crate) fn of_shared_llvm(ldd: &str) -> Option<u32> {
    let name = ldd
        .split_whitespace()
        .find(|word| word.starts_with("libLLVM"))?;
    let rest = name
        .strip_prefix("libLLVM.so.")
        .or_else(|| name.strip_prefix("libLLVM-"))?;
    let end = rest
        .find(|character: char| !character.is_ascii_digit())
        .unwrap_or(rest.len());
    rest[..end].parse().ok()
}

/// The version that `apt-cache policy` would install for each package.
pub(crate) fn of_candidates(policy: &str) -> Vec<(String, Version)> {
    let mut package = "";
    let mut candidates = Vec::new();
    for line in policy.lines() {
        if let Some(name) = line.strip_suffix(':').filter(|name| !name.starts_with(' ')) {
            package = name;
        } else if let Some(version) = line.trim().strip_prefix("Candidate:")
            && version.trim() != "(none)"
        {
            // A version without a dot, such as iputils' date, still is a candidate.
            let version = version.trim().parse().unwrap_or(Version::new(0, 0, 0));
            candidates.push((package.to_owned(), version));
        }
    }
    candidates
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_found_in_what_tools_print() {
        for (text, expected) in [
            ("bpf-linker 0.13.0", Some(Version::new(0, 13, 0))),
            (
                "bpftool v7.1.0\nusing libbpf v1.1",
                Some(Version::new(7, 1, 0)),
            ),
            (
                "rustc 1.97.0-nightly (e50aa6fba 2026-05-19)",
                Some(Version::new(1, 97, 0)),
            ),
            ("LLVM version 22.1", Some(Version::new(22, 1, 0))),
            ("1:22.1.8-1~deb12u1", Some(Version::new(22, 1, 8))),
            ("1.96.0+dfsg1-1~deb12u2", Some(Version::new(1, 96, 0))),
            ("release 22", None),
            ("command not found", None),
            ("99999999999.1.1", None),
            ("", None),
        ] {
            assert_eq!(Version::find(text), expected, "{text:?}");
        }
    }

    #[test]
    fn versions_are_ordered_by_number() {
        assert!(Version::new(1, 100, 0) > Version::new(1, 98, 9));
        assert!(Version::new(0, 13, 0) > Version::new(0, 9, 15));
    }

    #[test]
    fn rustc_tells_its_llvm() {
        let verbose = "rustc 1.96.0 (ac68faa20 2026-05-25) (built from a source tarball)\n\
                       binary: rustc\nhost: x86_64-unknown-linux-gnu\nrelease: 1.96.0\n\
                       LLVM version: 22.1.8\n";
        assert_eq!(
            of_rustc(verbose),
            Some((Version::new(1, 96, 0), Version::new(22, 1, 8)))
        );
        assert_eq!(of_rustc("rustc 1.96.0"), None);
    }

    #[test]
    fn ldd_tells_the_llvm() {
        let ldd = "\tlinux-vdso.so.1 (0x00007f6aa9706000)\n\
                   \tlibLLVM.so.22.1 => /usr/lib/llvm-22/lib/libLLVM.so.22.1 (0x00007f6aa0400000)\n";
        assert_eq!(of_shared_llvm(ldd), Some(22));
        let old = "\tlibLLVM-14.so.1 => /lib/x86_64-linux-gnu/libLLVM-14.so.1 (0x0000)\n";
        assert_eq!(of_shared_llvm(old), Some(14));
        assert_eq!(of_shared_llvm("\tnot a dynamic executable\n"), None);
    }

    #[test]
    fn apt_tells_its_candidates() {
        let policy = "rustc-web:\n  Installed: (none)\n  Candidate: 1.96.0+dfsg1-1~deb12u2\n  \
                      Version table:\n     1.85.0+dfsg3-1~deb12u3 500\n\
                      llvm-22:\n  Installed: (none)\n  Candidate: (none)\n\
                      iputils-ping:\n  Installed: (none)\n  Candidate: 3:20221126-1+deb12u1\n";
        assert_eq!(
            of_candidates(policy),
            [
                ("rustc-web".to_owned(), Version::new(1, 96, 0)),
                ("iputils-ping".to_owned(), Version::new(0, 0, 0)),
            ]
        );
    }
}
