//! What a benchmark ran on.

use std::fs;

use anyhow::{Context as _, Result};
use rustix::system::uname;
use serde::{Deserialize, Serialize};

use crate::bench::Contestant;

/// See the [module](self).
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Machine {
    /// Version of the kernel.
    pub kernel: String,
    /// The processor's name for itself.
    pub processor: String,
    /// CPUs that may be used.
    pub cpus: usize,
    /// Whether it is a virtual machine, as the processor says.
    pub is_virtual: bool,
    /// The versions of the contestants that took part.
    pub versions: Vec<(Contestant, String)>,
    /// Processes that wanted a CPU, on average over the minute before the run.
    #[serde(default)]
    pub load_before: f64,
}

impl Machine {
    /// This machine, with the versions of `contestants`.
    ///
    /// # Errors
    /// If `/proc` cannot be read or a contestant is not installed.
    pub fn read(contestants: &[Contestant]) -> Result<Self> {
        let cpuinfo = fs::read_to_string("/proc/cpuinfo").context("cannot read /proc/cpuinfo")?;
        let field = |name: &str| {
            cpuinfo
                .lines()
                .find(|line| line.starts_with(name))
                .and_then(|line| line.split_once(':'))
                .map(|(_, value)| value.trim())
        };
        let load = fs::read_to_string("/proc/loadavg").context("cannot read /proc/loadavg")?;
        let versions = contestants
            .iter()
            .map(|&contestant| {
                let version = contestant
                    .version()
                    .with_context(|| format!("{} cannot take part", contestant.title()))?;
                Ok((contestant, version))
            })
            .collect::<Result<_>>()?;
        Ok(Self {
            kernel: uname().release().to_string_lossy().into_owned(),
            // Not every architecture has the line.
            processor: field("model name").unwrap_or("not named").to_owned(),
            cpus: std::thread::available_parallelism()
                .context("cannot count CPUs")?
                .get(),
            is_virtual: field("flags")
                .is_some_and(|flags| flags.split_whitespace().any(|flag| flag == "hypervisor")),
            versions,
            load_before: load
                .split_whitespace()
                .next()
                .and_then(|load| load.parse().ok())
                .context("no number in /proc/loadavg")?,
        })
    }

    /// In one sentence.
    #[must_use]
    pub fn describe(&self) -> String {
        let versions: Vec<String> = self
            .versions
            .iter()
            // Both forms of keepalived are one program.
            .filter(|(contestant, _)| *contestant != Contestant::KeepalivedRealTime)
            .map(|(contestant, version)| format!("{} {version}", contestant.title()))
            .collect();
        format!(
            "{}, {} CPUs{}, Linux {}, load {:.1} before the run; {}",
            self.processor,
            self.cpus,
            if self.is_virtual {
                " of a virtual machine"
            } else {
                ""
            },
            self.kernel,
            self.load_before,
            versions.join(", ")
        )
    }

    /// Whether figures of `other` may stand beside those of this one.
    #[must_use]
    pub fn is_like(&self, other: &Self) -> bool {
        (&self.kernel, &self.processor, self.cpus) == (&other.kernel, &other.processor, other.cpus)
            && self.versions.iter().all(|(contestant, version)| {
                other
                    .versions
                    .iter()
                    .all(|(theirs, other)| theirs != contestant || other == version)
            })
    }
}
