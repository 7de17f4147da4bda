//! `use_vmac`.

use std::collections::{HashMap, HashSet};

use super::{lex::Line, reader::Reader};
use crate::config::{
    located::{Field, Located},
    names,
    raw::{RawConfig, RawVirtualMac},
};

impl Reader {
    pub(super) fn virtual_mac(&mut self, line: &Line) -> Field<RawVirtualMac> {
        self.surplus(line, 3);
        let mut virtual_mac = Located::new(RawVirtualMac::On, line.span());
        for word in line.arguments().iter().take(2) {
            if word.text.contains(':') {
                self.warn(
                    word.span.clone(),
                    "a MAC address of one's own is not done",
                    "the one of the virtual router (RFC 9568 §7.3) is used",
                    "all routers of the group have to use it",
                );
            } else if names::interface_fault(&word.text, word.span.clone()).is_some() {
                self.warn(
                    word.span.clone(),
                    format!("no interface can have the name {:?}", word.text),
                    "Harrier chooses one, as keepalived does",
                    "a name has 15 octets at most",
                );
            } else {
                virtual_mac.value = RawVirtualMac::Named(word.text.clone());
            }
        }
        Field::Given(virtual_mac)
    }

    /// Takes back names that another interface has: an interface that is made is
    /// up only while its instance is Active, so nothing else can be on it.
    pub(super) fn virtual_mac_names(&mut self, config: &mut RawConfig) {
        let mut taken: HashSet<String> = HashSet::new();
        // The instance that has addresses on an interface, if it is the only one.
        let mut used: HashMap<&str, Option<usize>> = HashMap::new();
        for (place, instance) in config.instances.iter().enumerate() {
            let own = instance.interface.given().map(|name| &name.value);
            let tracked = instance.track_interfaces.entries().iter();
            let tracked = tracked.map(|entry| &entry.value.name.value);
            taken.extend(own.into_iter().chain(tracked).cloned());
            for entry in instance.all_addresses() {
                if let Some(on) = entry.value.interface.given() {
                    let user = used.entry(&on.value).or_insert(Some(place));
                    *user = user.filter(|user| *user == place);
                }
            }
        }
        for (place, instance) in config.instances.iter().enumerate() {
            let made = instance.virtual_mac.given().and_then(|it| it.value.name());
            if let Some(made) = made
                && used.get(made).is_some_and(|user| *user != Some(place))
            {
                taken.insert(made.to_owned());
            }
        }
        for instance in &mut config.instances {
            let Field::Given(virtual_mac) = &mut instance.virtual_mac else {
                continue;
            };
            let Some(name) = virtual_mac.value.name().map(str::to_owned) else {
                continue;
            };
            if taken.insert(name.clone()) {
                continue;
            }
            let span = virtual_mac.span.clone();
            virtual_mac.value = RawVirtualMac::On;
            for list in [&mut instance.addresses, &mut instance.excluded_addresses] {
                let Field::Given(list) = list else { continue };
                for entry in &mut list.value.entries {
                    let on = entry.value.interface.given();
                    if on.is_some_and(|on| on.value == name) {
                        entry.value.interface = Field::Absent;
                    }
                    // It begins with the name that is not known now.
                    if entry.value.interface.is_absent() {
                        entry.value.label = Field::Absent;
                    }
                }
            }
            self.warn(
                span,
                format!("use_vmac cannot have the name {name:?}"),
                "another interface has it; Harrier chooses one",
                "it is up only while the instance is Active: say a name that nothing else has",
            );
        }
    }
}
