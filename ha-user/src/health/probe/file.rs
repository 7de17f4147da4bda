//! Files that exist, or have a number in them.

use std::{
    fs::{self, OpenOptions},
    io::{self, Read as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
    time::Duration,
};

use super::{Finding, blocking::Blocking};
use crate::config::{FileCheck, FileReads};

/// So many octets of a file are looked at for a number.
const MAX_NUMBER: u64 = 64;

/// See [`CheckKind::File`](crate::config::CheckKind::File).
pub(in crate::health) struct File {
    config: FileCheck,
    blocking: Blocking<Finding>,
}

impl File {
    pub(super) fn new(config: FileCheck) -> Self {
        Self {
            config,
            blocking: Blocking::default(),
        }
    }

    pub(super) async fn round(&mut self, timeout: Duration) -> Finding {
        let FileCheck { path, reads } = self.config.clone();
        let look = move || match reads {
            FileReads::Existence => exists(&path),
            FileReads::Number => number(&path),
        };
        let found = self.blocking.run(timeout, look).await;
        // A disk that does not answer says nothing about the number.
        found.unwrap_or_else(|| match reads {
            FileReads::Existence => Finding::Failed(format!("no answer within {timeout:?}")),
            FileReads::Number => Finding::Busy,
        })
    }
}

fn exists(path: &Path) -> Finding {
    match fs::metadata(path) {
        Ok(_) => Finding::Passed(String::new()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Finding::Failed("it does not exist".to_owned())
        }
        Err(error) => Finding::Failed(error.to_string()),
    }
}

fn number(path: &Path) -> Finding {
    match start_of(path) {
        Ok(text) => match leading_number(&text) {
            Some(number) => Finding::Value(number, String::new()),
            None => Finding::Value(0, "there is no number at its start".to_owned()),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Finding::Value(0, "it does not exist".to_owned())
        }
        Err(error) => Finding::Value(0, error.to_string()),
    }
}

/// The first octets of a small file.
pub(super) fn start_of(path: &Path) -> io::Result<Vec<u8>> {
    // Whoever puts a pipe there must not stop us.
    let nonblocking = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(nonblocking)
        .open(path)?;
    let mut text = Vec::new();
    file.take(MAX_NUMBER).read_to_end(&mut text)?;
    Ok(text)
}

/// `-20` of ` -20 # drained`; what is beyond an i32 is the nearest of those.
fn leading_number(text: &[u8]) -> Option<i32> {
    let text = text.trim_ascii_start();
    let (negative, digits) = match text.split_first()? {
        (b'-', rest) => (true, rest),
        (b'+', rest) => (false, rest),
        _ => (false, text),
    };
    let digits = digits.iter().take_while(|octet| octet.is_ascii_digit());
    let mut number = None;
    for digit in digits {
        let digit = i64::from(digit - b'0');
        let so_far = number.unwrap_or(0_i64);
        number = Some(so_far.saturating_mul(10).saturating_add(digit));
    }
    let number = number.map(|number| if negative { -number } else { number })?;
    let bounded = number.clamp(i32::MIN.into(), i32::MAX.into());
    i32::try_from(bounded).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_at_the_start_counts() {
        for (text, number) in [
            ("5", Some(5)),
            ("-20\n", Some(-20)),
            (" +7 weight", Some(7)),
            ("0x10", Some(0)),
            ("12.9", Some(12)),
            ("99999999999999999999999", Some(i32::MAX)),
            ("-99999999999999999999999", Some(i32::MIN)),
            ("", None),
            ("-", None),
            ("- 5", None),
            ("five", None),
        ] {
            assert_eq!(leading_number(text.as_bytes()), number, "{text}");
        }
    }

    #[test]
    fn what_is_no_file_with_a_number_is_0_and_does_not_wait() {
        let dir = tempfile::tempdir().unwrap();
        let said = |path: &Path| match number(path) {
            Finding::Value(0, why) => why,
            other => panic!("{other:?}"),
        };
        assert_eq!(said(&dir.path().join("none")), "it does not exist");
        assert!(said(dir.path()).contains("directory"));
        let fifo = dir.path().join("fifo");
        let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
        rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, mode, 0).unwrap();
        assert_eq!(said(&fifo), "there is no number at its start");
    }
}
