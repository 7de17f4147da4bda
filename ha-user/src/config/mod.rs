//! From a file to a validated [`Config`], with all that is wrong with the file
//! said at once.
//!
//! A front end per language (TOML: `from_toml`) reads what the file says into
//! raw settings that know their place (`raw`); one validation (`validate`) turns
//! them into the model (`model`); both speak in [`Diagnostic`]s.

mod address;
mod addresses;
mod announce;
mod diagnostic;
mod duration;
mod from_toml;
mod groups;
mod located;
mod model;
mod names;
mod preempt;
mod range;
mod raw;
mod routes;
#[cfg(test)]
mod tests;
mod track;
mod unicast;
mod unique;
mod validate;
mod virtual_mac;

use std::{
    fmt,
    fs::File,
    io::{self, Read as _},
    path::{Path, PathBuf},
};

pub(crate) use self::duration::format as format_duration;
pub use self::{
    diagnostic::{Diagnostic, Severity, line_and_column, render},
    model::{
        AddressConfig, ChecksumForm, Config, InstanceConfig, Password, RouteConfig, RuleConfig,
        Scope, SyncGroup, TrackedInterface, Unicast, VirtualAddress, VirtualMacInterface, XdpMode,
    },
};

/// Largest configuration file, in octets. Thousands of instances fit.
const MAX_FILE: u64 = 4 * 1024 * 1024;

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file cannot be read.
    #[error("cannot read the configuration file {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is too large to be a configuration.
    #[error("{} has more than {MAX_FILE} octets, too many for a configuration file", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// The file is no text.
    #[error("{}:{line}: not UTF-8 text; is this a configuration file?", path.display())]
    NotText {
        /// The file.
        path: PathBuf,
        /// The first line that is none, from 1.
        line: usize,
    },
    /// The file is wrong.
    #[error(transparent)]
    Invalid(#[from] Invalid),
}

/// A file and what is wrong with it.
#[derive(Debug)]
pub struct Invalid {
    source: Source,
    diagnostics: Vec<Diagnostic>,
}

impl std::error::Error for Invalid {}

impl Invalid {
    /// How many errors, as a headline.
    #[must_use]
    pub fn summary(&self) -> String {
        let errors = self
            .diagnostics
            .iter()
            .filter(|found| found.severity == Severity::Error)
            .count();
        let noun = if errors == 1 { "error" } else { "errors" };
        format!("{}: {errors} {noun}", self.source.name)
    }

    /// All that is wrong, with the lines; with `colour` for a terminal.
    #[must_use]
    pub fn report(&self, colour: bool) -> String {
        self.source.render(&self.diagnostics, colour)
    }
}

/// The headline and the report without colour.
impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n{}", self.summary(), self.report(false).trim_end())
    }
}

/// The text of a configuration file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Source {
    name: String,
    text: String,
}

impl Source {
    /// Reads the file at `path`.
    ///
    /// # Errors
    /// If it cannot be read, is no text, or is too large.
    pub fn read(path: &Path) -> Result<Self, LoadError> {
        let cannot_read = |source| LoadError::Read {
            path: path.to_owned(),
            source,
        };
        let mut octets = Vec::new();
        let file = File::open(path).map_err(cannot_read)?;
        file.take(MAX_FILE + 1)
            .read_to_end(&mut octets)
            .map_err(cannot_read)?;
        if octets.len() as u64 > MAX_FILE {
            return Err(LoadError::TooLarge {
                path: path.to_owned(),
            });
        }
        let text = String::from_utf8(octets).map_err(|error| {
            let good = &error.as_bytes()[..error.utf8_error().valid_up_to()];
            LoadError::NotText {
                path: path.to_owned(),
                line: good.iter().filter(|octet| **octet == b'\n').count() + 1,
            }
        })?;
        Ok(Self {
            name: path.display().to_string(),
            text,
        })
    }

    /// The configuration and the warnings about it.
    ///
    /// # Errors
    /// If the text is no valid configuration.
    pub fn parse(self) -> Result<(Config, Warnings), LoadError> {
        match parse(&self.text) {
            Ok((config, diagnostics)) => Ok((
                config,
                Warnings {
                    source: self,
                    diagnostics,
                },
            )),
            Err(diagnostics) => Err(Invalid {
                source: self,
                diagnostics,
            }
            .into()),
        }
    }

    fn render(&self, diagnostics: &[Diagnostic], colour: bool) -> String {
        render(&self.name, &self.text, diagnostics, colour)
    }
}

/// A valid file and what is odd about it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Warnings {
    source: Source,
    diagnostics: Vec<Diagnostic>,
}

impl Warnings {
    /// All warnings, with the lines; empty if there are none.
    #[must_use]
    pub fn report(&self, colour: bool) -> String {
        self.source.render(&self.diagnostics, colour)
    }

    /// One line for each, for the log.
    pub fn lines(&self) -> impl Iterator<Item = String> + '_ {
        self.diagnostics.iter().map(|warning| {
            let Source { name, text } = &self.source;
            let (line, column) = line_and_column(text, warning.span.start);
            format!(
                "{name}:{line}:{column}: {}: {}",
                warning.message, warning.expected
            )
        })
    }
}

/// Reads the configuration file at `path`; warnings go to the log.
///
/// # Errors
/// If the file cannot be read or is no valid configuration.
pub fn load(path: &Path) -> Result<Config, LoadError> {
    let (config, warnings) = Source::read(path)?.parse()?;
    for warning in warnings.lines() {
        tracing::warn!("{warning}");
    }
    Ok(config)
}

/// The configuration that `text` is, in TOML, and the warnings about it.
///
/// # Errors
/// All that is wrong with it, warnings included, in the order of the text.
pub fn parse(text: &str) -> Result<(Config, Vec<Diagnostic>), Vec<Diagnostic>> {
    let (raw, reported) = from_toml::read(text)?;
    validate::validate(&raw, reported)
}
