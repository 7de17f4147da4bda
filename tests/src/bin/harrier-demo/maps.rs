//! The kernel's maps, as bpftool shows them.

use std::path::Path;

use anyhow::Result;
use ha_tests::command;

/// A dump with the command that made it.
pub(crate) struct Dump {
    pub(crate) command: String,
    pub(crate) text: String,
}

/// What `bpftool map dump pinned PIN` prints, each array on one line.
pub(crate) fn dump(pin: &Path) -> Result<Dump> {
    let pin = pin.to_string_lossy();
    let text = command::run("bpftool", &["map", "dump", "pinned", &pin])?;
    Ok(Dump {
        command: format!("bpftool map dump pinned {pin}"),
        text: fold(&text),
    })
}

/// bpftool breaks the line before the bracket that ends an array of numbers:
/// joins it again.
fn fold(text: &str) -> String {
    let mut folded = String::with_capacity(text.len());
    for line in text.lines() {
        let closes = line.trim_start().starts_with(']');
        if closes && folded.ends_with(|last: char| last.is_ascii_digit()) {
            folded.push_str(line.trim_start());
        } else {
            if !folded.is_empty() {
                folded.push('\n');
            }
            folded.push_str(line);
        }
    }
    folded
}

#[cfg(test)]
mod tests {
    use super::fold;

    #[test]
    fn arrays_of_numbers_are_folded_and_nothing_else() {
        let shown = "[{\n  \"a\": [1,2,3\n  ],\n  \"b\": 4\n  }\n]";
        assert_eq!(fold(shown), "[{\n  \"a\": [1,2,3],\n  \"b\": 4\n  }\n]");
    }
}
