//! The interface with the virtual router's link-layer address, and who may
//! speak to the addresses.

use ha_common::types::Priority;

use super::{
    diagnostic::Diagnostic,
    model::VirtualMacInterface,
    names,
    raw::{RawInstance, RawVirtualMac},
};

/// The setting `virtual_mac`; complaints about it.
pub(super) fn check(
    raw: &RawInstance,
    priority: Option<Priority>,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<VirtualMacInterface> {
    let given = raw.virtual_mac.given()?;
    let name = match &given.value {
        RawVirtualMac::Off => return None,
        RawVirtualMac::On => None,
        RawVirtualMac::Named(name) => {
            diagnostics.extend(names::interface_fault(name, given.span.clone()));
            Some(name.clone())
        }
    };
    if priority == Some(Priority::OWNER) {
        diagnostics.push(
            Diagnostic::warning(
                given.span.clone(),
                "an address owner with a virtual MAC address",
                "if the interface has the address too, both MAC addresses answer for it",
            )
            .help(
                "take a priority of at most 254, or see that nothing but Harrier configures the \
                 addresses",
            ),
        );
    }
    if raw.unicast.given().is_some() {
        diagnostics.push(
            Diagnostic::warning(
                given.span.clone(),
                "unicast advertisements do not carry the virtual MAC address",
                "only announcements and the traffic of the addresses do",
            )
            .help(
                "switches learn it from the announcements; say announce = { refresh = \"60s\" } \
                 if they forget it, or leave virtual_mac out",
            ),
        );
    }
    Some(VirtualMacInterface { name })
}

/// The setting `accept`; complaints about it. An address owner accepts always.
pub(super) fn accept(
    raw: &RawInstance,
    priority: Option<Priority>,
    diagnostics: &mut Vec<Diagnostic>,
) -> bool {
    let Some(given) = raw.accept.given().filter(|accept| !accept.value) else {
        return true;
    };
    let owner = priority == Some(Priority::OWNER);
    let void = if owner {
        Some((
            "priority 255",
            "the address owner accepts what is sent to its addresses (RFC 9568 §6.1)",
            "take a priority of at most 254 for a router that only forwards",
        ))
    } else if raw.has_no_addresses() {
        Some((
            "no addresses",
            "there is nothing to refuse",
            "remove the line",
        ))
    } else {
        None
    };
    if let Some((cause, why, help)) = void {
        let message = format!("accept = false has no effect with {cause}");
        diagnostics.push(Diagnostic::warning(given.span.clone(), message, why).help(help));
    }
    owner
}
