//! The setting `virtual_mac` of an instance.

use toml::de::DeValue;

use super::{Reader, Settings};
use crate::config::{located::Field, raw::RawVirtualMac};

const EXPECTED: &str = "true, false, or a name for the interface, such as \"vrrp.51\"";

impl Reader {
    pub(super) fn virtual_mac(&mut self, settings: &mut Settings<'_>) -> Field<RawVirtualMac> {
        self.field(settings, "virtual_mac", EXPECTED, |value| match value {
            DeValue::Boolean(true) => Some(RawVirtualMac::On),
            DeValue::Boolean(false) => Some(RawVirtualMac::Off),
            DeValue::String(name) => Some(RawVirtualMac::Named(name.into_owned())),
            _ => None,
        })
    }
}
