//! Accept_Mode off (RFC 9568 §6.1): the Active router answers for its addresses
//! and forwards, but takes no packets to them for itself.
//!
//! One nftables table drops them at the end of their way in. It can stand in
//! every state: a router that does not have the addresses gets no such packets.
//! ARP is not IP and passes; neighbour discovery passes by a rule, and so does what
//! the host sends to itself.

use std::{
    fmt::Write as _,
    io::{self, Write as _},
    net::IpAddr,
    process::{Child, Command, Stdio},
    time::Duration,
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::retry_on_intr,
    process::{Pid, PidfdFlags, pidfd_open},
};

/// How long `nft` may take: it waits for others that change the rules.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where `nft` is looked for: a daemon's `PATH` may leave out the last two.
const PROGRAMS: [&str; 3] = ["nft", "/usr/sbin/nft", "/sbin/nft"];

/// Why the packets cannot be dropped.
#[derive(Debug, thiserror::Error)]
pub enum AcceptError {
    /// There is no `nft`.
    #[error(
        "`accept = false` needs the command `nft`, which is not installed: install the package \
         nftables, or accept packets to the virtual addresses"
    )]
    Missing,
    /// It could not be run.
    #[error("running `nft`: {0}")]
    Run(#[source] io::Error),
    /// It refused.
    #[error("`nft` refuses the table {table}: {message}")]
    Refused {
        /// The table's name.
        table: String,
        /// What it says.
        message: String,
    },
}

/// The table that drops packets to some addresses. Dropping this value removes it.
#[derive(Debug)]
pub struct AcceptFilter {
    table: Option<String>,
}

impl AcceptFilter {
    /// Makes the table `table` (family inet; letters, digits, `_` and `-`), in place
    /// of one with the same name, in one step. Waits for `nft`: for start and end,
    /// not for a takeover.
    ///
    /// # Errors
    /// [`AcceptError`]; an older table still stands then.
    pub fn install(
        table: &str,
        addresses: impl IntoIterator<Item = IpAddr>,
    ) -> Result<Self, AcceptError> {
        run(table, &script(table, addresses))?;
        Ok(Self {
            table: Some(table.to_owned()),
        })
    }

    /// Drops packets to `addresses` instead, from one step to the next.
    ///
    /// # Errors
    /// [`AcceptError`]; the table is as before then.
    pub fn replace(&self, addresses: impl IntoIterator<Item = IpAddr>) -> Result<(), AcceptError> {
        match &self.table {
            Some(table) => run(table, &script(table, addresses)),
            None => Ok(()),
        }
    }

    /// Removes the table.
    ///
    /// # Errors
    /// [`AcceptError`].
    pub fn remove(mut self) -> Result<(), AcceptError> {
        self.table.take().map_or(Ok(()), |table| remove(&table))
    }
}

impl Drop for AcceptFilter {
    fn drop(&mut self) {
        if let Some(table) = self.table.take()
            && let Err(error) = remove(&table)
        {
            tracing::error!(table, %error, "an nftables table stays behind");
        }
    }
}

/// Removes the table `table`, whoever made it: for what a predecessor left. One that
/// is not there is no error.
///
/// # Errors
/// [`AcceptError`].
pub fn remove(table: &str) -> Result<(), AcceptError> {
    run(table, &removal(table))
}

/// `add` makes `delete` possible where there is no such table.
fn removal(table: &str) -> String {
    format!("add table inet {table}\ndelete table inet {table}\n")
}

/// What `nft -f` makes the table of, as one transaction.
fn script(table: &str, addresses: impl IntoIterator<Item = IpAddr>) -> String {
    let (v4, v6): (Vec<IpAddr>, Vec<IpAddr>) = addresses.into_iter().partition(IpAddr::is_ipv4);
    let mut script = removal(table);
    let _ = writeln!(script, "table inet {table} {{");
    for (set, kind, addresses) in [("vips4", "ipv4_addr", v4), ("vips6", "ipv6_addr", v6)] {
        let _ = writeln!(script, "\tset {set} {{\n\t\ttype {kind}");
        if !addresses.is_empty() {
            let elements: Vec<String> = addresses.iter().map(IpAddr::to_string).collect();
            let _ = writeln!(script, "\t\telements = {{ {} }}", elements.join(", "));
        }
        script.push_str("\t}\n");
    }
    script.push_str(
        "\tchain input {\n\
         \t\ttype filter hook input priority filter; policy accept;\n\
         \t\tiif lo accept\n\
         \t\ticmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept\n\
         \t\tip daddr @vips4 counter drop\n\
         \t\tip6 daddr @vips6 counter drop\n\
         \t}\n}\n",
    );
    script
}

fn run(table: &str, script: &str) -> Result<(), AcceptError> {
    let mut child = PROGRAMS
        .into_iter()
        .find_map(|program| {
            let spawned = Command::new(program)
                .args(["-f", "-"])
                .stdin(Stdio::piped())
                .stdout(Stdio::null())
                .stderr(Stdio::piped())
                .spawn();
            match spawned {
                Err(error) if error.kind() == io::ErrorKind::NotFound => None,
                spawned => Some(spawned),
            }
        })
        .ok_or(AcceptError::Missing)?
        .map_err(AcceptError::Run)?;
    // It reads all before it says anything, so neither waits for the other. One that
    // ends early says why.
    if let Some(mut stdin) = child.stdin.take() {
        let _ = stdin.write_all(script.as_bytes());
    }
    await_end(&mut child, PATIENCE).map_err(AcceptError::Run)?;
    let output = child.wait_with_output().map_err(AcceptError::Run)?;
    if output.status.success() {
        return Ok(());
    }
    Err(AcceptError::Refused {
        table: table.to_owned(),
        message: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
    })
}

/// Waits until `child` ends; one that does not is killed.
fn await_end(child: &mut Child, patience: Duration) -> io::Result<()> {
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let end = pidfd_open(pid.ok_or(io::ErrorKind::NotFound)?, PidfdFlags::empty())?;
    let patience = Timespec::try_from(patience).map_err(io::Error::other)?;
    let mut ends = [PollFd::new(&end, PollFlags::IN)];
    let ended = retry_on_intr(|| poll(&mut ends, Some(&patience)))?;
    if ended > 0 {
        return Ok(());
    }
    child.kill()?;
    child.wait()?;
    Err(io::Error::new(
        io::ErrorKind::TimedOut,
        "it does not end; `nft list ruleset` may show why",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_does_not_end_is_killed() {
        let mut child = Command::new("sleep").arg("1000").spawn().unwrap();
        let error = await_end(&mut child, Duration::from_millis(10)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(child.try_wait().unwrap().is_some());
        let mut child = Command::new("true").spawn().unwrap();
        await_end(&mut child, Duration::from_secs(60)).unwrap();
        assert!(child.wait().unwrap().success());
    }

    #[test]
    fn the_script_names_every_address_in_the_set_of_its_family() {
        let script = script(
            "harrier",
            ["10.0.0.1", "fe80::1", "10.0.0.2"].map(|text| text.parse().unwrap()),
        );
        assert!(script.starts_with("add table inet harrier\ndelete table inet harrier\n"));
        assert!(
            script.contains("elements = { 10.0.0.1, 10.0.0.2 }"),
            "{script}"
        );
        assert!(script.contains("elements = { fe80::1 }"), "{script}");
    }

    #[test]
    fn a_set_without_addresses_has_no_elements() {
        let script = script("harrier", ["10.0.0.1".parse().unwrap()]);
        assert_eq!(script.matches("elements").count(), 1, "{script}");
    }
}
