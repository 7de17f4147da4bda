//! Patterns of file names: `*`, `?`, `[a-z]` and `{a,b}`.

use std::path::{Component, Path, PathBuf};

/// Patterns that braces stand for, at most.
const MAX_PATTERNS: usize = 1000;

/// Whether `pattern` may stand for several files.
pub(super) fn is_pattern(pattern: &str) -> bool {
    pattern.contains(['*', '?', '[', '{'])
}

/// The patterns without braces that `pattern` stands for.
pub(super) fn braces(pattern: &str) -> Vec<String> {
    let mut done = Vec::new();
    let mut open = vec![pattern.to_owned()];
    while let Some(pattern) = open.pop() {
        if done.len() + open.len() >= MAX_PATTERNS {
            break;
        }
        match innermost(&pattern) {
            None => done.push(pattern),
            Some((before, inside, behind)) => {
                let each = inside.split(',').rev();
                open.extend(each.map(|one| format!("{before}{one}{behind}")));
            }
        }
    }
    done
}

/// What is before, inside and behind the first braces with none inside.
fn innermost(pattern: &str) -> Option<(&str, &str, &str)> {
    let close = pattern.find('}').filter(|close| {
        // A closing brace alone is a character of the name.
        pattern[..*close].contains('{')
    })?;
    let open = pattern[..close].rfind('{')?;
    Some((
        &pattern[..open],
        &pattern[open + 1..close],
        &pattern[close + 1..],
    ))
}

/// The files that `pattern`, without braces, stands for; a relative one is below
/// `directory`.
pub(super) fn matches(directory: &Path, pattern: &str) -> Vec<PathBuf> {
    let mut found = vec![if Path::new(pattern).is_absolute() {
        PathBuf::from("/")
    } else {
        directory.to_owned()
    }];
    for component in Path::new(pattern).components() {
        let name = match component {
            Component::RootDir | Component::Prefix(_) | Component::CurDir => continue,
            Component::ParentDir => "..",
            Component::Normal(name) => name.to_str().unwrap_or_default(),
        };
        found = found.iter().flat_map(|below| step(below, name)).collect();
    }
    found.retain(|path| path.exists());
    found
}

/// What is in the directory `below` under names like `name`.
fn step(below: &Path, name: &str) -> Vec<PathBuf> {
    if !is_pattern(name) {
        return vec![below.join(name)];
    }
    let here = if below.as_os_str().is_empty() {
        Path::new(".")
    } else {
        below
    };
    let Ok(entries) = here.read_dir() else {
        return Vec::new();
    };
    let names = entries
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok());
    names
        // A leading dot has to be said.
        .filter(|found| found.starts_with('.') == name.starts_with('.'))
        .filter(|found| is_like(found, name))
        .map(|found| below.join(found))
        .collect()
}

/// Whether `name` is as `pattern` says.
fn is_like(name: &str, pattern: &str) -> bool {
    let (mut name, mut pattern) = (name, pattern);
    // Where to go on if what follows the last star does not fit.
    let mut star: Option<(&str, &str)> = None;
    loop {
        let fits = match pattern.chars().next() {
            None => name.is_empty(),
            Some('*') => {
                pattern = &pattern[1..];
                star = Some((name, pattern));
                continue;
            }
            Some(_) => match name
                .chars()
                .next()
                .and_then(|c| one(c, pattern).map(|rest| (c, rest)))
            {
                Some((c, rest)) => {
                    name = &name[c.len_utf8()..];
                    pattern = rest;
                    continue;
                }
                None => false,
            },
        };
        if fits {
            return true;
        }
        let Some((from, behind)) = star else {
            return false;
        };
        let Some(skipped) = from.chars().next() else {
            return false;
        };
        name = &from[skipped.len_utf8()..];
        pattern = behind;
        star = Some((name, behind));
    }
}

/// What is left of `pattern` if its beginning stands for `c`.
fn one(c: char, pattern: &str) -> Option<&str> {
    let mut characters = pattern.chars();
    match characters.next()? {
        '?' => Some(characters.as_str()),
        '[' => {
            let set = characters.as_str();
            let not = set.starts_with(['!', '^']);
            let set = &set[usize::from(not)..];
            // A bracket that comes first is one of the set.
            let end = set.char_indices().skip(1).find(|(_, c)| *c == ']')?.0;
            let members: Vec<char> = set[..end].chars().collect();
            let mut inside = false;
            let mut place = 0;
            while place < members.len() {
                if members.get(place + 1) == Some(&'-') && place + 2 < members.len() {
                    inside |= (members[place]..=members[place + 2]).contains(&c);
                    place += 3;
                } else {
                    inside |= members[place] == c;
                    place += 1;
                }
            }
            (inside != not).then_some(&set[end + 1..])
        }
        literal => (literal == c).then_some(characters.as_str()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_like_patterns() {
        for (name, pattern, expected) in [
            ("a.conf", "*.conf", true),
            ("a.conf.bak", "*.conf", false),
            ("aXbXc", "a*b*c", true),
            ("ab", "a?b", false),
            ("a1b", "a[0-9]b", true),
            ("axb", "a[!0-9]b", true),
            ("a]b", "a[]]b", true),
            ("a", "a*", true),
            ("", "*", true),
            ("", "?", false),
            ("ä", "?", true),
            ("a[", "a[", false),
        ] {
            assert_eq!(is_like(name, pattern), expected, "{name} {pattern}");
        }
    }

    #[test]
    fn braces_stand_for_several() {
        assert_eq!(braces("a"), ["a"]);
        assert_eq!(
            braces("{foo/{,cat,dog},bar}"),
            ["foo/", "bar", "foo/cat", "bar", "foo/dog", "bar"]
        );
        assert_eq!(braces("a}b{"), ["a}b{"]);
    }

    #[test]
    fn files_are_found_below_a_directory() {
        let directory = tempfile::tempdir().unwrap();
        let file = |name: &str| std::fs::write(directory.path().join(name), "").unwrap();
        std::fs::create_dir(directory.path().join("conf.d")).unwrap();
        file("conf.d/b.conf");
        file("conf.d/a.conf");
        file("conf.d/.hidden.conf");
        file("conf.d/a.txt");
        let mut found = matches(directory.path(), "conf.d/*.conf");
        found.sort();
        assert_eq!(
            found,
            ["conf.d/a.conf", "conf.d/b.conf"].map(|name| directory.path().join(name))
        );
        let absolute = directory.path().join("con*/a.txt");
        assert_eq!(
            matches(Path::new("/nowhere"), absolute.to_str().unwrap()).len(),
            1
        );
        assert!(matches(directory.path(), "nosuch.conf").is_empty());
    }
}
