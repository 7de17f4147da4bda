//! A request that the kernel refused.

use std::{fmt, io};

use super::{Item, Link};

/// A request that the kernel refused.
#[derive(Debug, thiserror::Error)]
pub struct HostError {
    /// What it was about.
    pub item: Item,
    /// The number that came with the items, where they came with one.
    pub owner: Option<u32>,
    /// Whether it was to be installed, or removed.
    pub install: bool,
    /// What the kernel says.
    pub source: io::Error,
}

impl HostError {
    /// Whether it could not be installed because it was there before.
    #[must_use]
    pub fn was_there(&self) -> bool {
        self.install && self.source.raw_os_error() == Some(libc::EEXIST)
    }

    /// What the operator can do, as the end of a sentence; empty if that is not
    /// known.
    fn remedy(&self) -> &'static str {
        let Some(code) = self.source.raw_os_error() else {
            return "";
        };
        if code == libc::EPERM {
            return "; run as root, or with CAP_NET_ADMIN";
        }
        if !self.install {
            return "";
        }
        match &self.item {
            Item::Address(address) => address.remedy(code),
            Item::Route(route) => route.remedy(code),
            Item::Rule(rule) => rule.remedy(code),
            Item::Link(_) => Link::remedy(code),
        }
    }
}

impl fmt::Display for HostError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verb = if self.install { "adding" } else { "removing" };
        write!(f, "{verb} {}: {}{}", self.item, self.source, self.remedy())
    }
}
