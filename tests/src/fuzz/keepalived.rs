//! A keepalived.conf: whatever its text, what keepalived would run is taken, and
//! what is taken can be said in TOML.

#[cfg(test)]
mod tests;

use ha_user::config::{Options, Severity, parse, parse_keepalived, to_toml};

use super::config::{sound, told};

/// Beginnings of all that a keepalived.conf is refused for. Everything else that
/// is wrong with one is a warning, as it is to keepalived.
const REFUSALS: [&str; 6] = [
    "instance ",
    "a second IPv4 instance with VRID",
    "a second IPv6 instance with VRID",
    "no interface can have the name",
    "the parameters and repetitions of this file make too much of it",
    "there is no keyword",
];

/// Runs the reader of keepalived's language over `input`, and returns whether it
/// is a valid configuration.
///
/// # Panics
/// If a diagnostic points outside the text or disagrees with the verdict; if the
/// file is refused for something that keepalived passes over; if what was taken
/// is not what the model promises, or is another as TOML.
pub fn keepalived(input: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(input) else {
        return false;
    };
    let options = Options {
        config_id: Some("node1".to_owned()),
        ..Options::default()
    };
    let taken = match parse_keepalived(text, &options) {
        Ok((config, warnings)) => {
            assert!(
                warnings.iter().all(|one| one.severity != Severity::Error),
                "taken in spite of an error: {warnings:?}"
            );
            told(text, &warnings);
            if config.instances.is_empty() {
                return true;
            }
            sound::check(&config);
            let toml = to_toml(&config);
            match parse(&toml) {
                Ok((again, _)) => assert_eq!(again, config, "as TOML:\n{toml}"),
                Err(errors) => panic!("refused as TOML: {errors:?}\n{toml}"),
            }
            true
        }
        Err(diagnostics) => {
            let errors = || {
                let all = diagnostics.iter();
                all.filter(|one| one.severity == Severity::Error)
            };
            assert!(errors().count() > 0, "refused without an error");
            for error in errors() {
                let known = REFUSALS
                    .iter()
                    .any(|begin| error.message.starts_with(begin));
                assert!(known, "refused for {error:?}");
            }
            told(text, &diagnostics);
            false
        }
    };
    let strict = Options {
        strict: true,
        ..options
    };
    if parse_keepalived(text, &strict).is_ok() {
        assert!(taken, "taken only with --strict");
    }
    taken
}
