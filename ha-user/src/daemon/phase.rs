//! Which instances advertise together. Sending in batches costs a fraction of what it
//! costs one by one, for us and for whoever receives it; all of them at once would make
//! the last ones late and fill queues. Pure.

use std::time::Duration;

use crate::config::{Config, InstanceConfig};

/// Instances that advertise together, at most.
const BATCH: usize = 32;

/// The phase of each instance ([`Parameters::phase`](ha_common::fsm::Parameters)), in
/// the order of the configuration: `None` where no other has its interval.
///
/// Those of one interval are cut into batches of neighbours (by interface and family,
/// which share a socket), and the batches spread evenly over the interval.
pub(super) fn phases(config: &Config) -> Vec<Option<Duration>> {
    let instances = &config.instances;
    let key = |place: &usize| {
        let InstanceConfig {
            advert_interval,
            interface,
            family,
            ..
        } = &instances[*place];
        (*advert_interval, interface.as_str(), family.code())
    };
    let mut order: Vec<usize> = (0..instances.len()).collect();
    order.sort_by_key(key);
    let mut phases = vec![None; instances.len()];
    for equals in order.chunk_by(|one, other| key(one).0 == key(other).0) {
        if equals.len() < 2 {
            continue;
        }
        let batches = equals.len().div_ceil(BATCH);
        let interval = key(&equals[0]).0;
        for (number, batch) in (0..).zip(equals.chunks(equals.len().div_ceil(batches))) {
            let phase = interval * number / u32::try_from(batches).unwrap_or(u32::MAX);
            for place in batch {
                phases[*place] = Some(phase);
            }
        }
    }
    phases
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, fmt::Write as _};

    use super::*;
    use crate::config::parse;

    /// One instance for each (interface, interval in ms), in this order.
    fn phases_of(
        instances: impl IntoIterator<Item = (&'static str, u64)>,
    ) -> Vec<Option<Duration>> {
        let mut text = String::new();
        for (number, (interface, millis)) in (1..).zip(instances) {
            let (vrid, net) = ((number - 1) % 255 + 1, number / 250);
            let host = number % 250 + 1;
            writeln!(
                text,
                "[[instance]]\nname = \"i{number}\"\ninterface = \"{interface}\"\nvrid = {vrid}\n\
                 priority = 100\nadvert_interval = \"{millis}ms\"\n\
                 addresses = [\"10.0.{net}.{host}/16\"]"
            )
            .unwrap();
        }
        phases(&parse(&text).unwrap().0)
    }

    fn millis(number: u64) -> Option<Duration> {
        Some(Duration::from_millis(number))
    }

    #[test]
    fn one_alone_has_none() {
        assert_eq!(phases_of([("eth0", 100)]), [None]);
        assert_eq!(
            phases_of([("eth0", 100), ("eth0", 10), ("eth1", 100)]),
            [millis(0), None, millis(0)]
        );
    }

    #[test]
    fn a_batch_is_of_neighbours_and_the_batches_are_spread() {
        let phases = phases_of((0..64).map(|place| (["eth0", "eth1"][place % 2], 100)));
        for (place, phase) in phases.iter().enumerate() {
            let expected = [millis(0), millis(50)][place % 2];
            assert_eq!(*phase, expected, "instance {place}");
        }
    }

    #[test]
    fn no_batch_is_greater_than_another_by_much_nor_than_the_most() {
        let phases = phases_of((0..250).map(|_| ("eth0", 10)));
        let mut sizes: BTreeMap<Duration, usize> = BTreeMap::new();
        for phase in phases {
            *sizes.entry(phase.unwrap()).or_default() += 1;
        }
        let spans: Vec<u128> = sizes.keys().map(Duration::as_micros).collect();
        assert_eq!(
            spans,
            [0, 1250, 2500, 3750, 5000, 6250, 7500, 8750],
            "{sizes:?}"
        );
        let sizes: Vec<usize> = sizes.into_values().collect();
        assert_eq!(sizes, [32, 32, 32, 32, 32, 32, 32, 26]);
    }
}
