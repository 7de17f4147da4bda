//! From a file to a validated [`Config`], with all that is wrong with the file
//! said at once.
//!
//! A front end per language (TOML: `from_toml`; keepalived's: `keepalived`) reads
//! what the file says into raw settings that know their place (`raw`); one validation (`validate`) turns
//! them into the model (`model`); both speak in [`Diagnostic`]s.

mod address;
mod addresses;
mod announce;
mod check;
mod cpus;
mod diagnostic;
mod duration;
mod from_toml;
mod groups;
mod keepalived;
mod located;
mod model;
mod names;
mod notify;
mod on_link;
mod preempt;
mod range;
mod raw;
mod routes;
mod script;
mod shared;
mod sources;
#[cfg(test)]
mod tests;
mod to_toml;
mod track;
mod unicast;
mod unique;
mod validate;
mod virtual_mac;
mod words;

use std::{
    fmt,
    fs::File,
    io::{self, Read as _},
    path::{Path, PathBuf},
};

pub(crate) use self::duration::format as format_duration;
pub use self::{
    diagnostic::{Diagnostic, Severity, line_and_column, render, render_sources},
    model::{
        AddressConfig, CheckConfig, CheckKind, ChecksumForm, Config, Fifo, FileCheck, FileReads,
        HttpCheck, InstanceConfig, NotifyConfig, Password, PingCheck, ProcessCheck, ProcessMatch,
        RouteConfig, RuleConfig, RunAs, Scope, Script, SyncGroup, Target, TlsCheck, TrackedCheck,
        TrackedInterface, Unicast, VirtualAddress, VirtualMacInterface, Webhook, XdpMode,
    },
    shared::SharedInstance,
    sources::Sources,
    to_toml::to_toml,
};

/// Largest configuration file, in octets. Thousands of instances fit.
const MAX_FILE: u64 = 4 * 1024 * 1024;

/// The language of a configuration file.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Format {
    /// Harrier's own.
    Toml,
    /// That of keepalived.conf.
    Keepalived,
}

/// How a configuration is read.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Options {
    /// Its language; told by what is in the file if absent.
    pub format: Option<Format>,
    /// Whether keywords of keepalived's language that there are none of are
    /// errors, and not only warned of.
    pub strict: bool,
    /// What lines with `@` of keepalived's language are held against; by default
    /// the first part of the host's name.
    pub config_id: Option<String>,
}

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

/// A file, with those that it includes, and what is wrong with it.
#[derive(Debug)]
pub struct Invalid {
    sources: Sources,
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
        format!("{}: {errors} {noun}", self.sources.main().name)
    }

    /// All that is wrong, with the lines; with `colour` for a terminal.
    #[must_use]
    pub fn report(&self, colour: bool) -> String {
        render_sources(&self.sources, &self.diagnostics, colour)
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

    /// Its language, by what is in it: keepalived's if a line begins with one of
    /// its blocks, else TOML.
    #[must_use]
    pub fn format(&self) -> Format {
        if keepalived::is_likely(&self.text) {
            Format::Keepalived
        } else {
            Format::Toml
        }
    }

    /// The configuration and the warnings about it.
    ///
    /// # Errors
    /// If the text is no valid configuration.
    pub fn parse(self, options: &Options) -> Result<(Config, Warnings), LoadError> {
        let format = options.format.unwrap_or_else(|| self.format());
        let mut sources = Sources::new(self.name, self.text);
        let parsed = match format {
            Format::Toml => read_toml(&mut sources),
            Format::Keepalived => {
                read_keepalived(&mut sources, keepalived::Files::Included, options)
            }
        };
        match parsed {
            Ok((config, diagnostics)) => Ok((
                config,
                Warnings {
                    sources,
                    diagnostics,
                },
            )),
            Err(diagnostics) => Err(Invalid {
                sources,
                diagnostics,
            }
            .into()),
        }
    }

    /// Warnings about what does not fit this host: commands that a daemon here could
    /// not run, or should not (programs and users that are not there, programs that
    /// would run as root though others can change them), and addresses that are in
    /// none of the networks of their interface. None if the file is no
    /// configuration.
    #[must_use]
    pub fn warnings_here(&self, options: &Options) -> Warnings {
        let mut sources = Sources::new(self.name.clone(), self.text.clone());
        let raw = match options.format.unwrap_or_else(|| self.format()) {
            Format::Toml => from_toml::read(&self.text).map(|(raw, _)| raw).ok(),
            Format::Keepalived => {
                let id = options.config_id.clone().unwrap_or_else(host_name);
                let files = keepalived::Files::Included;
                let (mut raw, _) = keepalived::read(&mut sources, files, options.strict, &id);
                keepalived::default_user(&mut raw);
                Some(raw)
            }
        };
        Warnings {
            sources,
            diagnostics: raw.map_or_else(Vec::new, |raw| {
                let mut found = script::here(&raw);
                found.append(&mut on_link::here(&raw));
                found.sort_by_key(|warning| warning.span.start);
                found
            }),
        }
    }
}

/// A valid configuration's files and what is odd about them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Warnings {
    sources: Sources,
    diagnostics: Vec<Diagnostic>,
}

impl Warnings {
    /// All warnings, with the lines; empty if there are none.
    #[must_use]
    pub fn report(&self, colour: bool) -> String {
        render_sources(&self.sources, &self.diagnostics, colour)
    }

    /// One line for each, for the log; notes are left out.
    pub fn lines(&self) -> impl Iterator<Item = String> + '_ {
        let warnings = self.diagnostics.iter();
        let warnings = warnings.filter(|one| one.severity != Severity::Note);
        warnings.map(|warning| {
            let (name, line, column) = self.sources.place(warning.span.start);
            format!(
                "{name}:{line}:{column}: {}: {}",
                warning.message, warning.expected
            )
        })
    }
}

/// Reads the configuration file at `path`, in the language that is returned with it;
/// warnings go to the log.
///
/// # Errors
/// If the file cannot be read or is no valid configuration.
pub fn load(path: &Path, options: &Options) -> Result<(Config, Format), LoadError> {
    let source = Source::read(path)?;
    let format = options.format.unwrap_or_else(|| source.format());
    let (config, warnings) = source.parse(options)?;
    for warning in warnings.lines() {
        tracing::warn!("{warning}");
    }
    Ok((config, format))
}

/// The configuration that `text` is, in TOML, and the warnings about it.
///
/// # Errors
/// All that is wrong with it, warnings included, in the order of the text.
pub fn parse(text: &str) -> Result<(Config, Vec<Diagnostic>), Vec<Diagnostic>> {
    let (raw, reported) = from_toml::read(text)?;
    validate::validate(&raw, reported)
}

/// The configuration that `text` is, in keepalived's language, and the warnings
/// about it. Files that it includes are passed over.
///
/// # Errors
/// All that is wrong with it, warnings included, in the order of the text.
pub fn parse_keepalived(
    text: &str,
    options: &Options,
) -> Result<(Config, Vec<Diagnostic>), Vec<Diagnostic>> {
    let mut sources = Sources::new("keepalived.conf", text);
    read_keepalived(&mut sources, keepalived::Files::None, options)
}

/// As [`parse`], and has secrets hidden.
fn read_toml(sources: &mut Sources) -> Result<(Config, Vec<Diagnostic>), Vec<Diagnostic>> {
    let (raw, reported) = from_toml::read(&sources.main().text)?;
    for secret in raw.secrets() {
        sources.hide(secret);
    }
    validate::validate(&raw, reported)
}

fn read_keepalived(
    sources: &mut Sources,
    files: keepalived::Files,
    options: &Options,
) -> Result<(Config, Vec<Diagnostic>), Vec<Diagnostic>> {
    let id = options.config_id.clone().unwrap_or_else(host_name);
    let (mut raw, reported) = keepalived::read(sources, files, options.strict, &id);
    if files == keepalived::Files::Included {
        keepalived::default_user(&mut raw);
    }
    validate::validate(&raw, reported)
}

/// The first part of the host's name.
fn host_name() -> String {
    let name = rustix::system::uname();
    let name = name.nodename().to_string_lossy();
    name.split('.').next().unwrap_or_default().to_owned()
}
