//! On which CPUs the driver may run.

use super::{
    diagnostic::Diagnostic,
    located::{Field, List},
};

/// The greatest number of a CPU: what `sched_setaffinity` takes without ado.
pub(super) const LAST: i64 = 1023;

/// The CPUs of `field`, ascending; complains of those that cannot be, and of one that
/// stands twice. Which there are is another host's business: the daemon sees.
pub(super) fn check(field: &Field<List<i64>>, diagnostics: &mut Vec<Diagnostic>) -> Vec<u16> {
    let mut cpus: Vec<u16> = Vec::new();
    for entry in field.entries() {
        let number = u16::try_from(entry.value).ok();
        match number.filter(|_| entry.value <= LAST) {
            Some(cpu) if cpus.contains(&cpu) => diagnostics.push(
                Diagnostic::error(
                    entry.span.clone(),
                    format!("CPU {cpu} stands twice in cpu_affinity"),
                    "expected each once",
                )
                .help("remove one of them"),
            ),
            Some(cpu) => cpus.push(cpu),
            None => diagnostics.push(
                Diagnostic::error(
                    entry.span.clone(),
                    format!("cpu_affinity cannot have CPU {}", entry.value),
                    format!("expected 0 to {LAST}"),
                )
                .help("`lscpu -e` lists the CPUs; without cpu_affinity the driver runs on any"),
            ),
        }
    }
    cpus.sort_unstable();
    cpus
}
