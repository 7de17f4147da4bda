//! The kernel's maps, as bpftool shows them.

use std::path::Path;

use anyhow::Result;
use ha_tests::command;

/// A dump with the command that made it.
pub(crate) struct Dump {
    pub(crate) command: String,
    pub(crate) text: String,
}

/// What `bpftool map dump pinned PIN` prints, arrays folded onto one line.
pub(crate) fn dump(pin: &Path) -> Result<Dump> {
    let pin = pin.to_string_lossy();
    let text = command::run("bpftool", &["map", "dump", "pinned", &pin])?;
    Ok(Dump {
        command: format!("bpftool map dump pinned {pin}"),
        text: fold(&text),
    })
}

/// Joins the lines of every array of numbers.
fn fold(text: &str) -> String {
    let mut folded = String::with_capacity(text.len());
    let mut in_numbers = false;
    for line in text.lines() {
        let item = line.trim().trim_end_matches(',').trim_end_matches(']');
        let number = !item.is_empty() && item.bytes().all(|octet| octet.is_ascii_digit());
        if in_numbers && (number || line.trim().starts_with(']')) {
            folded.push_str(line.trim());
        } else {
            if !folded.is_empty() {
                folded.push('\n');
            }
            folded.push_str(line);
        }
        in_numbers = line.trim_end().ends_with('[') || (in_numbers && number);
    }
    folded
}

#[cfg(test)]
mod tests {
    use super::fold;

    #[test]
    fn arrays_of_numbers_are_folded_and_nothing_else() {
        let shown = "[{\n  \"a\": [1,\n    2,\n    3\n  ],\n  \"b\": [\n    1,\n    2\n  ],\n  \"c\": 4\n}]";
        assert_eq!(
            fold(shown),
            "[{\n  \"a\": [1,\n    2,\n    3\n  ],\n  \"b\": [1,2],\n  \"c\": 4\n}]"
        );
    }
}
