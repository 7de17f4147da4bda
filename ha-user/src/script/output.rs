//! What a command writes: read as fast as it comes, up to a limit, and thrown away
//! but for the last line.

use std::{io, os::fd::OwnedFd, time::Duration};

use tokio::{net::unix::pipe::Receiver, time::sleep};

/// Characters that are kept of a line.
const LINE: usize = 200;

/// Octets that are kept of a line: each character may take 4.
const LINE_OCTETS: usize = 4 * LINE;

/// Octets of one `read`, the capacity of a pipe.
const CHUNK: usize = 64 * 1024;

/// So many octets are read as fast as they come.
const FREE: u64 = 1024 * 1024;

/// Between two reads after [`FREE`]: who floods has to wait for us, not we for
/// him.
const PACE: Duration = Duration::from_millis(1);

/// The reading end of a pipe, and the last line that came out of it.
#[derive(Default)]
pub(super) struct Reader {
    pipe: Option<Receiver>,
    buffer: Vec<u8>,
    total: u64,
    lines: Lines,
}

impl Reader {
    /// Reads from `pipe`.
    pub(super) fn open(&mut self, pipe: OwnedFd) -> io::Result<()> {
        self.pipe = Some(Receiver::from_owned_fd(pipe)?);
        self.buffer = vec![0; CHUNK];
        Ok(())
    }

    /// Reads once; never ends if there is nothing to read any more. May be dropped
    /// at any time.
    pub(super) async fn read(&mut self) {
        let Some(pipe) = &self.pipe else {
            return std::future::pending().await;
        };
        if self.total >= FREE {
            sleep(PACE).await;
        }
        if pipe.readable().await.is_ok() {
            let result = pipe.try_read(&mut self.buffer);
            self.take(result);
        }
    }

    /// Reads what is there, as much as a pipe holds.
    pub(super) fn drain(&mut self) {
        let limit = self.total + CHUNK as u64;
        while let Some(pipe) = &self.pipe
            && self.total < limit
        {
            // The kernel is asked, not tokio: it may not have heard of it yet.
            let result = rustix::io::read(pipe, &mut self.buffer);
            if self.take(result.map_err(io::Error::from)).is_none() {
                break;
            }
        }
    }

    /// How much has been read.
    fn take(&mut self, result: io::Result<usize>) -> Option<usize> {
        match result {
            Ok(count @ 1..) => {
                self.total += count as u64;
                self.lines.feed(&self.buffer[..count]);
                return Some(count);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Ok(0) | Err(_) => self.pipe = None,
        }
        None
    }

    /// The last line that is not blank, fit to be shown.
    pub(super) fn last_line(self) -> String {
        self.lines.last()
    }
}

/// The beginning of the last line of a stream.
#[derive(Default)]
struct Lines {
    /// The last whole line that is not blank.
    last: Vec<u8>,
    /// What there is of the line after it.
    open: Vec<u8>,
}

impl Lines {
    fn feed(&mut self, octets: &[u8]) {
        let mut pieces = octets.split(|octet| *octet == b'\n');
        // There is always one.
        let rest = pieces.next_back().unwrap_or_default();
        for line in pieces {
            self.extend(line);
            if !blank(&self.open) {
                std::mem::swap(&mut self.last, &mut self.open);
            }
            self.open.clear();
        }
        self.extend(rest);
    }

    fn extend(&mut self, octets: &[u8]) {
        let room = LINE_OCTETS - self.open.len();
        self.open
            .extend_from_slice(&octets[..octets.len().min(room)]);
    }

    fn last(&self) -> String {
        let line = if blank(&self.open) {
            &self.last
        } else {
            &self.open
        };
        let text = String::from_utf8_lossy(line);
        let shown = text.chars().map(|it| if harmless(it) { it } else { ' ' });
        let shown: String = shown.collect();
        shown.trim().chars().take(LINE).collect()
    }
}

/// Whether it is only itself: neither moves a cursor nor turns text around.
fn harmless(character: char) -> bool {
    !character.is_control()
        && !matches!(
            character,
            '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
        )
}

fn blank(line: &[u8]) -> bool {
    line.trim_ascii().is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn last(chunks: &[&[u8]]) -> String {
        let mut lines = Lines::default();
        for chunk in chunks {
            lines.feed(chunk);
            assert!(lines.open.len() <= LINE_OCTETS && lines.last.len() <= LINE_OCTETS);
        }
        lines.last()
    }

    #[test]
    fn the_last_line_that_is_not_blank_counts() {
        assert_eq!(last(&[]), "");
        assert_eq!(last(&[b"\n \n"]), "");
        assert_eq!(last(&[b"one"]), "one");
        assert_eq!(last(&[b"one\ntwo\n"]), "two");
        assert_eq!(last(&[b"one\ntwo\n\n \t\n"]), "two");
        assert_eq!(last(&[b"one\ntw", b"o", b"\n\n"]), "two");
        assert_eq!(last(&[b"one\nand", b" more"]), "and more");
        assert_eq!(last(&[b"dos\r\n"]), "dos");
    }

    #[test]
    fn what_is_shown_is_short_and_harmless() {
        assert_eq!(last(&[b"a\x1b[2Jb\x00c\xffd\n"]), "a [2Jb c\u{fffd}d");
        assert_eq!(last(&["a\u{202e}b".as_bytes()]), "a b");
        assert_eq!(last(&[&[b'x'; 5000]]).len(), LINE);
        assert_eq!(last(&["ä".repeat(5000).as_bytes()]).chars().count(), LINE);
        let long = [b'x'; 700];
        assert_eq!(last(&[&long, &long, b"\nend\n"]), "end");
    }
}
