//! In which state a sync group is.

use super::event::Word;

/// The state of a group whose members are in `members`: what all are in, and fault if
/// one is. `None` while they are on the way from one to another.
pub(super) fn state(members: impl Iterator<Item = Option<Word>>) -> Option<Word> {
    let mut all = None;
    let mut mixed = false;
    for member in members {
        if member == Some(Word::Fault) {
            return member;
        }
        match all {
            None => all = Some(member),
            Some(first) => mixed |= first != member,
        }
    }
    if mixed { None } else { all.flatten() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_where_all_its_members_are() {
        use Word::{Backup, Fault, Master};
        for (members, expected) in [
            (&[Some(Master), Some(Master)][..], Some(Master)),
            (&[Some(Backup), Some(Backup)], Some(Backup)),
            (&[Some(Master), Some(Backup)], None),
            (&[Some(Backup), None], None),
            (&[None, None], None),
            (&[Some(Master), Some(Fault)], Some(Fault)),
            (&[None, Some(Fault)], Some(Fault)),
        ] {
            let found = state(members.iter().copied());
            assert_eq!(found, expected, "{members:?}");
        }
    }
}
