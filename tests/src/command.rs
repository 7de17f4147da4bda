//! Short-lived commands whose output is wanted.

use std::{
    io::Write as _,
    process::{Command, Output, Stdio},
};

use anyhow::{Context as _, Result, bail};

/// Runs `command` with `input` on its standard input, to its end.
///
/// # Errors
/// If it cannot be started.
pub fn output(command: &mut Command, input: &str) -> Result<Output> {
    let program = command.get_program().to_string_lossy().into_owned();
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start {program}"))?;
    if let Some(mut stdin) = child.stdin.take() {
        // A command that does not read its input is no error here.
        let _ = stdin.write_all(input.as_bytes());
    }
    child
        .wait_with_output()
        .with_context(|| format!("cannot wait for {program}"))
}

/// Runs `command` and returns what it printed.
///
/// # Errors
/// If it cannot be started or fails; its error output is in the message.
pub fn checked(command: &mut Command, input: &str) -> Result<String> {
    let out = output(command, input)?;
    if !out.status.success() {
        bail!(
            "{command:?}: {}: {}{}",
            out.status,
            String::from_utf8_lossy(&out.stderr).trim(),
            if input.is_empty() {
                String::new()
            } else {
                format!("\ninput:\n{input}")
            }
        );
    }
    Ok(String::from_utf8_lossy(&out.stdout).into_owned())
}

/// [`checked`] for a program with arguments and no input.
///
/// # Errors
/// As [`checked`].
pub fn run(program: &str, args: &[&str]) -> Result<String> {
    checked(Command::new(program).args(args), "")
}
