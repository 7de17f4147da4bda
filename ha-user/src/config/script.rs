//! Commands, and as whom they run.

use std::ops::Range;

use super::{
    diagnostic::Diagnostic,
    located::{Field, Located},
    model::{RunAs, Script},
    raw::{RawConfig, RawNotify, RawRunAs, RawScript},
};
use crate::script::{Defaults, ResolveError, ResolvedScript};

/// The command, if it is given; complaints.
pub(super) fn check(field: &Field<RawScript>, diagnostics: &mut Vec<Diagnostic>) -> Option<Script> {
    let script = field.given()?;
    let argv = &script.value.argv;
    let complaint = match argv.first().map(String::as_str) {
        None | Some("") => "a command without a program",
        Some(_) if argv.iter().any(|word| word.contains('\0')) => "a command with a NUL in it",
        Some(_) => {
            return Some(Script {
                argv: argv.clone(),
                run_as: run_as(&script.value.run_as, diagnostics),
            });
        }
    };
    diagnostics.push(Diagnostic::error(
        script.span.clone(),
        complaint,
        "expected a program and its arguments",
    ));
    None
}

/// The user, if it is given; complaints. The same user may be that of several
/// commands, and is complained of once.
pub(super) fn run_as(field: &Field<RawRunAs>, diagnostics: &mut Vec<Diagnostic>) -> Option<RunAs> {
    let Located { value, span } = field.given()?;
    let RawRunAs { user, group } = value;
    let is_name = |name: &str| {
        !name.is_empty() && !name.contains([':', '\0']) && !name.contains(char::is_whitespace)
    };
    if is_name(user) && group.as_deref().is_none_or(is_name) {
        return Some(RunAs {
            user: user.clone(),
            group: group.clone(),
        });
    }
    let complaint = Diagnostic::error(
        span.clone(),
        "no user has such a name",
        "expected a user, or a user and a group, by name or number",
    );
    if !diagnostics.contains(&complaint) {
        diagnostics.push(complaint);
    }
    None
}

/// Warnings about commands that a daemon on this host could not run, or should not:
/// programs and users that are not there, and programs that would run as root
/// though others can change them.
pub(super) fn here(raw: &RawConfig) -> Vec<Diagnostic> {
    // What is wrong with the file itself is for others to say.
    let mut ignored = Vec::new();
    let defaults = Defaults {
        run_as: run_as(&raw.script_user, &mut ignored),
        security: false,
    };
    let refused = raw.script_security.given().is_some_and(|it| it.value);
    let mut found: Vec<Diagnostic> = Vec::new();
    if let (Err(error), Some(user)) = (defaults.owner(), raw.script_user.given()) {
        found.push(warning(user.span.clone(), &error.into(), refused));
    }
    for field in all(raw) {
        let (Some(script), Some(located)) = (check(field, &mut ignored), field.given()) else {
            continue;
        };
        // Daemons run as root.
        let resolved = ResolvedScript::resolve(&script, &defaults);
        let Err(error) = resolved.and_then(|resolved| resolved.secure_of(0)) else {
            continue;
        };
        let place = match (&error, &script.run_as) {
            (ResolveError::User(_), Some(_)) => located.value.run_as.given().map(|it| &it.span),
            (ResolveError::User(_), None) => raw.script_user.given().map(|it| &it.span),
            _ => None,
        };
        let span = place.unwrap_or(&located.span).clone();
        let warning = warning(span, &error, refused);
        // One user may be that of several commands.
        if !found.contains(&warning) {
            found.push(warning);
        }
    }
    found.sort_by_key(|warning| warning.span.start);
    found
}

/// What a warning says of `error`; `refused` if unsafe commands are not run.
fn warning(span: Range<usize>, error: &ResolveError, refused: bool) -> Diagnostic {
    let (expected, help) = match error {
        ResolveError::Unsafe(_) if refused => (
            "it is not run, as script_security is on",
            "take the permission to write away from others, or say a user to run it as",
        ),
        ResolveError::Unsafe(_) => (
            "who can change it is root",
            "take the permission to write away from others, or say a user to run it as; \
             script_security = true refuses such commands",
        ),
        _ => (
            "a daemon on this host cannot run it",
            "if the file is for another host, check it there",
        ),
    };
    Diagnostic::warning(span, error.to_string(), expected).help(help)
}

/// All commands of a file.
fn all(raw: &RawConfig) -> impl Iterator<Item = &Field<RawScript>> {
    let instances = raw.instances.iter().map(|instance| &instance.notify);
    let groups = raw.sync_groups.iter().map(|group| &group.notify);
    let of_notify = instances.chain(groups).filter_map(Field::given);
    let of_notify = of_notify.flat_map(|Located { value, .. }| {
        let RawNotify {
            active,
            backup,
            fault,
            stop,
            any,
            active_lower,
            ..
        } = value;
        [active, backup, fault, stop, any, active_lower]
    });
    let readers = raw.notify_fifos.entries().iter();
    let readers = readers.map(|fifo| &fifo.value.reader);
    let checks = raw.checks.iter().map(|check| &check.command);
    of_notify.chain(readers).chain(checks)
}
