//! How the driver is scheduled, in the words of the control socket.

use std::fmt;

use serde::{Deserialize, Serialize};

/// How the driver's thread is scheduled.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Scheduling {
    /// `"fifo"` (real time) or `"other"`.
    pub policy: String,
    /// Priority in real time (1 to 99); `null` of another policy.
    pub priority: Option<u8>,
    /// Whether what the daemon has touched stays in memory.
    pub memory_locked: bool,
    /// Numbers of the CPUs that it may run on, ascending.
    pub cpus: Vec<u16>,
    /// What the host did not permit, and what helps.
    pub problems: Vec<String>,
}

impl fmt::Display for Scheduling {
    /// In one line, without the problems.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.priority {
            Some(priority) => write!(f, "{} {priority}", self.policy.to_uppercase())?,
            None => f.write_str("no real-time priority")?,
        }
        let locked = if self.memory_locked { "" } else { "not " };
        write!(f, ", memory {locked}locked, {}", cpu_list(&self.cpus))
    }
}

/// CPUs in words: `CPU 1`, `CPUs 0 to 3, 8`.
pub(crate) fn cpu_list(cpus: &[u16]) -> String {
    let mut runs: Vec<(u16, u16)> = Vec::new();
    for cpu in cpus {
        match runs.last_mut() {
            Some((_, last)) if last.checked_add(1) == Some(*cpu) => *last = *cpu,
            _ => runs.push((*cpu, *cpu)),
        }
    }
    let runs: Vec<String> = runs
        .into_iter()
        .map(|(first, last)| match last - first {
            0 => first.to_string(),
            1 => format!("{first}, {last}"),
            _ => format!("{first} to {last}"),
        })
        .collect();
    match cpus {
        [] => "no known CPU".to_owned(),
        [one] => format!("CPU {one}"),
        _ => format!("CPUs {}", runs.join(", ")),
    }
}
