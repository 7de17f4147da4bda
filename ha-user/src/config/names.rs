//! Names of instances, groups and interfaces.

use super::{diagnostic::Diagnostic, located::Located};

/// Longest name of an instance or a group, in octets.
const MAX_NAME: usize = 64;

/// Longest name of an interface and of an address's label, in octets (`IFNAMSIZ`
/// less its final NUL).
pub(super) const MAX_INTERFACE: usize = 15;

/// The name of an instance or a group, or a complaint.
pub(super) fn name(name: &Located<String>, diagnostics: &mut Vec<Diagnostic>) -> Option<String> {
    let value = &name.value;
    let complaint = if value.is_empty() {
        "a name cannot be empty".to_owned()
    } else if value.len() > MAX_NAME {
        format!("the name is {} octets long", value.len())
    } else if !value.chars().all(is_visible) {
        format!("the name {value:?} has characters that cannot be used")
    } else {
        return Some(value.clone());
    };
    diagnostics.push(Diagnostic::error(
        name.span.clone(),
        complaint,
        format!("expected 1 to {MAX_NAME} octets of printable text without white space"),
    ));
    None
}

/// The name of an interface, or a complaint.
pub(super) fn interface(
    name: &Located<String>,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<String> {
    let fault = interface_fault(&name.value, name.span.clone());
    let good = fault.is_none().then(|| name.value.clone());
    diagnostics.extend(fault);
    good
}

/// What is wrong with `name` at `span` as the name of an interface.
pub(super) fn interface_fault(name: &str, span: std::ops::Range<usize>) -> Option<Diagnostic> {
    let good = (1..=MAX_INTERFACE).contains(&name.len())
        && !matches!(name, "." | "..")
        && name
            .chars()
            .all(|c| is_visible(c) && !matches!(c, '/' | ':'));
    (!good).then(|| {
        Diagnostic::error(
            span,
            format!("no interface can have the name {name:?}"),
            format!("expected 1 to {MAX_INTERFACE} octets, no white space, no '/' or ':'"),
        )
        .help("`ip link` lists the interfaces of this machine")
    })
}

/// Neither white space nor a control character nor one of those that steer the
/// direction of text or take no room: they would make two names look alike.
pub(super) fn is_visible(c: char) -> bool {
    !c.is_control()
        && !c.is_whitespace()
        && !matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// The one of `known` that `word` is probably a slip of.
pub(super) fn nearest<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    known
        .map(|known| (distance(word, known), known))
        .min()
        .filter(|(distance, known)| *distance <= known.len() / 3)
        .map(|(_, known)| known)
}

/// Insertions, deletions and replacements between two words (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, to) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distance_counts_edits() {
        assert_eq!(distance("vrid", "vrid"), 0);
        assert_eq!(distance("", "vrid"), 4);
        assert_eq!(distance("vird", "vrid"), 2);
        assert_eq!(distance("priorty", "priority"), 1);
    }
}
