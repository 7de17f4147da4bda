//! A child's output, passed through line by line while we read it too.

use std::{
    io::{BufRead as _, BufReader, Write},
    process::{Command, ExitStatus, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};

/// How long the output may stay open after the child has ended. It does when a
/// process that a test started lives on with our pipe as its output.
const LEFT_BEHIND: Duration = Duration::from_secs(2);

enum Event {
    Line(Vec<u8>),
    EndOfOutput,
    Exit(std::io::Result<ExitStatus>),
}

/// Runs `command`, prints each line of its output at once and gives it to `reader`.
///
/// # Errors
/// If the child cannot be started or waited for, or our output is closed.
pub(crate) fn run(command: &mut Command, reader: impl FnMut(&str)) -> Result<ExitStatus> {
    run_to(&mut std::io::stdout(), command, reader)
}

fn run_to(
    printed: &mut impl Write,
    command: &mut Command,
    mut reader: impl FnMut(&str),
) -> Result<ExitStatus> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start cargo")?;
    let output = child.stdout.take().context("the child has no output")?;
    let (sender, events) = mpsc::channel();

    let lines = sender.clone();
    thread::spawn(move || {
        let mut output = BufReader::new(output);
        let mut line = Vec::new();
        // A send fails when nobody listens any more, so there is nobody to tell.
        while matches!(output.read_until(b'\n', &mut line), Ok(1..)) {
            if lines.send(Event::Line(std::mem::take(&mut line))).is_err() {
                return;
            }
        }
        let _ = lines.send(Event::EndOfOutput);
    });
    thread::spawn(move || {
        let _ = sender.send(Event::Exit(child.wait()));
    });

    let mut status = None;
    let mut given_up_at = Instant::now();
    let mut ended = false;
    while status.is_none() || !ended {
        let event = if status.is_none() {
            events.recv().context("the child's output is lost")?
        } else if let Ok(event) =
            events.recv_timeout(given_up_at.saturating_duration_since(Instant::now()))
        {
            event
        } else {
            eprintln!(
                "xtask: a process that the tests started is still running and holds their output"
            );
            break;
        };
        match event {
            Event::Line(line) => {
                printed
                    .write_all(&line)
                    .and_then(|()| printed.flush())
                    .context("cannot write to standard output")?;
                reader(&String::from_utf8_lossy(&line));
            }
            Event::EndOfOutput => ended = true,
            Event::Exit(result) => {
                status = Some(result.context("cannot wait for cargo")?);
                given_up_at = Instant::now() + LEFT_BEHIND;
            }
        }
    }
    status.context("the child's status is lost")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> (ExitStatus, Vec<String>) {
        let (mut printed, mut lines) = (Vec::new(), Vec::new());
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        let status = run_to(&mut printed, &mut command, |line| {
            lines.push(line.trim_end().to_owned());
        })
        .unwrap();
        assert_eq!(
            String::from_utf8(printed).unwrap().trim_end(),
            lines.join("\n")
        );
        (status, lines)
    }

    #[test]
    fn lines_and_status_come_through() {
        let (status, lines) = shell("echo one; printf two; exit 3");
        assert_eq!(lines, ["one", "two"]);
        assert_eq!(status.code(), Some(3));
    }

    #[test]
    fn a_process_left_behind_does_not_hold_us() {
        let (status, lines) = shell("sleep 30 & echo $!");
        assert!(status.success());
        let left: &String = lines.first().unwrap();
        assert!(Command::new("kill").arg(left).status().unwrap().success());
    }
}
