//! Settings of interfaces (`/proc/sys/net/{ipv4,ipv6}/conf`) that Harrier needs
//! otherwise than they are, and puts back at the end.

use std::{fmt, fs, io, path::PathBuf};

use ha_common::types::AddressFamily;
use serde::{Deserialize, Serialize};

/// A setting of an interface, and what it has to be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Setting {
    /// Whose `conf` directory.
    pub family: AddressFamily,
    /// Name of the interface.
    pub interface: String,
    /// Name of the setting, `arp_ignore` for example.
    pub key: &'static str,
    /// What it has to be.
    pub want: Want,
}

/// What a setting has to be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Want {
    /// This value or a higher one.
    AtLeast(i32),
    /// This value.
    Exactly(i32),
}

impl Want {
    const fn value(self) -> i32 {
        match self {
            Self::AtLeast(value) | Self::Exactly(value) => value,
        }
    }

    const fn accepts(self, value: i32) -> bool {
        match self {
            Self::AtLeast(least) => value >= least,
            Self::Exactly(exact) => value == exact,
        }
    }
}

/// A change of a setting, planned or made. It is undone only where nobody has
/// changed the setting since.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct Change {
    /// 4 or 6: whose `conf` directory.
    family: u8,
    /// Name of the interface.
    interface: String,
    /// Name of the setting.
    key: String,
    /// Its value before.
    before: i32,
    /// Its value after.
    after: i32,
}

/// A setting that could not be read or written.
#[derive(Debug, thiserror::Error)]
#[error("{verb} the sysctl {sysctl}: {source}")]
pub struct SysctlError {
    verb: &'static str,
    sysctl: String,
    /// What the kernel says.
    pub source: io::Error,
}

impl Change {
    /// What has to be changed for `setting`; `None` if it is as it has to be.
    ///
    /// # Errors
    /// If it cannot be read: the interface is gone, or has no such family.
    pub fn plan(setting: &Setting) -> Result<Option<Self>, SysctlError> {
        let after = setting.want.value();
        let change = Self {
            family: setting.family.code(),
            interface: setting.interface.clone(),
            key: setting.key.to_owned(),
            before: after,
            after,
        };
        let before = change.read()?;
        Ok((!setting.want.accepts(before)).then_some(Self { before, ..change }))
    }

    /// Makes the change.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn apply(&self) -> Result<(), SysctlError> {
        self.write(self.after)
    }

    /// Puts the setting back, if it still is as [`apply`](Self::apply) left it.
    /// Returns whether it was; an interface that is gone is no error.
    ///
    /// # Errors
    /// If it cannot be read or written.
    pub fn undo(&self) -> Result<bool, SysctlError> {
        match self.read() {
            Ok(value) if value == self.after => {}
            Ok(_) => return Ok(false),
            Err(error) if error.source.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error),
        }
        self.write(self.before).map(|()| true)
    }

    fn is_for(&self, setting: &Setting) -> bool {
        self.family == setting.family.code()
            && self.interface == setting.interface
            && self.key == setting.key
    }

    fn path(&self) -> PathBuf {
        [
            "/proc/sys/net",
            self.directory(),
            "conf",
            &self.interface,
            &self.key,
        ]
        .iter()
        .collect()
    }

    fn directory(&self) -> &'static str {
        if self.family == AddressFamily::Ipv4.code() {
            "ipv4"
        } else {
            "ipv6"
        }
    }

    fn read(&self) -> Result<i32, SysctlError> {
        fs::read_to_string(self.path())
            .and_then(|text| text.trim().parse().map_err(io::Error::other))
            .map_err(|source| self.error("reading", source))
    }

    fn write(&self, value: i32) -> Result<(), SysctlError> {
        fs::write(self.path(), value.to_string()).map_err(|source| self.error("writing", source))
    }

    fn error(&self, verb: &'static str, source: io::Error) -> SysctlError {
        SysctlError {
            verb,
            sysctl: self.to_string(),
            source,
        }
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "net.{}.conf.{}.{}",
            self.directory(),
            self.interface,
            self.key
        )
    }
}

/// Settings that were changed. Dropping it puts them back, the last first.
#[derive(Debug, Default)]
pub struct Guard {
    changes: Vec<Change>,
}

impl Guard {
    /// Makes `change` and remembers it.
    ///
    /// # Errors
    /// As [`Change::apply`].
    pub fn apply(&mut self, change: Change) -> Result<(), SysctlError> {
        change.apply()?;
        self.changes.push(change);
        Ok(())
    }

    /// Puts back the settings that none of `wanted` asks for, the last first.
    pub fn keep(&mut self, wanted: &[Setting]) {
        let is_wanted = |change: &Change| wanted.iter().any(|setting| change.is_for(setting));
        let unwanted: Vec<Change> = self
            .changes
            .extract_if(.., |change| !is_wanted(change))
            .collect();
        for change in unwanted.iter().rev() {
            undo(change);
        }
    }

    /// What was changed, for the journal.
    #[must_use]
    pub fn changes(&self) -> &[Change] {
        &self.changes
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        for change in self.changes.iter().rev() {
            undo(change);
        }
    }
}

fn undo(change: &Change) {
    match change.undo() {
        Ok(true) => {}
        Ok(false) => tracing::info!(
            sysctl = %change,
            "not put back: somebody has changed it, or the interface is gone"
        ),
        Err(error) => tracing::error!(%error, "a changed setting stays behind"),
    }
}
