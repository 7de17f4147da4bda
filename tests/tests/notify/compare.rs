//! The same transitions under Harrier and under keepalived, each alone on its node:
//! the same commands, arguments, environment and lines.
//!
//! Known to differ, and left out: keepalived runs the commands of a transition at
//! the same time, where Harrier runs one after the other; it has its commands create
//! files with umask 177, and hands on three variables that Harrier does not; and it
//! tells of the first state of a group before that of its members.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, ensure};
use ha_tests::{
    capture,
    daemon::run_command,
    forge::Forgery,
    lab::{Host, INTERFACE, Lab},
    need,
    process::Process,
};
use rustix::process::Signal;

use crate::scene::{PATIENCE, await_text, await_that, count, read, script};

/// An interface that counts for the priority of `solo`.
const TRACKED: &str = "tracked";

/// Name, VRID less that of the daemon's first, priority.
const INSTANCES: [(&str, u8, u8); 3] = [("solo", 0, 150), ("g1", 1, 120), ("g2", 2, 120)];

/// Key in Harrier's configuration, keyword in keepalived's.
const KEYS: [(&str, &str); 5] = [
    ("active", "notify_master"),
    ("backup", "notify_backup"),
    ("fault", "notify_fault"),
    ("stop", "notify_stop"),
    ("any", "notify"),
];

/// What differs between the two.
struct Daemon {
    process: Process,
    reader: Process,
    host: Host,
    first_vrid: u8,
    directory: PathBuf,
}

impl Daemon {
    /// The lines of its FIFO.
    fn lines(&self) -> String {
        read(self.reader.log_path())
    }

    fn await_lines(&self, what: &str, ready: impl Fn(&str) -> bool) -> Result<()> {
        await_text(self.reader.log_path(), what, ready)
    }

    /// An advertisement of a router with less priority than `solo`.
    fn lower_advert(&self, from: &Host) -> Result<()> {
        let address = format!("10.77.{}.100", self.first_vrid).parse()?;
        let mut advert = Forgery::new(from, 90, &[address]);
        advert.vrid = self.first_vrid;
        capture::inject(&from.netns, INTERFACE, &advert.frame())
    }
}

/// Writes what the command is told to a line of `args`, and its environment to a
/// file of its own.
fn tell(directory: &Path) -> Result<PathBuf> {
    let dir = directory.display();
    script(
        &directory.join("tell"),
        &format!("env > {dir}/env.$$\necho \"$# $*\" >> {dir}/args"),
    )
}

fn start(
    mut command: Command,
    title: &str,
    host: &Host,
    first_vrid: u8,
    directory: PathBuf,
) -> Result<Daemon> {
    // Neither is for commands, and both daemons are told of it.
    command.env("IFS", "x").env("LD_LIBRARY_PATH", "/nowhere");
    command.env("NOTIFY_TEST", "kept");
    let process = Process::start(title, &mut command, directory.join("log"))?;
    let fifo = directory.join("fifo");
    await_that("the FIFO", || Ok(fifo.exists()))?;
    let mut cat = host.netns.command("cat");
    cat.arg(&fifo);
    let mut reader = Process::start(
        format!("reader of {title}"),
        &mut cat,
        directory.join("lines"),
    )?;
    reader.quiet();
    Ok(Daemon {
        process,
        reader,
        host: host.clone(),
        first_vrid,
        directory,
    })
}

fn harrier(lab: &Lab, host: &Host) -> Result<Daemon> {
    let first_vrid = 51;
    let directory = lab.directory("harrier")?;
    let tell = tell(&directory)?;
    let commands = |of: &str| {
        KEYS.iter().fold(String::new(), |mut text, (key, _)| {
            let _ = write!(text, "{key} = \"{} {of} {key}\", ", tell.display());
            text
        })
    };
    let mut text = format!("notify_fifos = [\"{}/fifo\"]\n", directory.display());
    for (name, vrid, priority) in INSTANCES {
        let vrid = first_vrid + vrid;
        let _ = writeln!(
            text,
            "[[instance]]\nname = \"{name}\"\ninterface = \"{INTERFACE}\"\nvrid = {vrid}\n\
             priority = {priority}\nadvert_interval = \"100ms\"\naddresses = [\"10.77.{vrid}.100\"]\n\
             notify = {{ {}active_lower = \"{} {name} lower\", priority_changes = true }}",
            commands(name),
            tell.display(),
        );
        if name == "solo" {
            let _ = writeln!(
                text,
                "track_interfaces = [{{ name = \"{TRACKED}\", weight = -20 }}]"
            );
        }
    }
    let _ = writeln!(
        text,
        "[[sync_group]]\nname = \"edge\"\ninstances = [\"g1\", \"g2\"]\nnotify = {{ {} }}",
        commands("edge")
    );
    let (command, _) = run_command(lab, host, "harrier", &text)?;
    start(command, "harrier", host, first_vrid, directory)
}

fn keepalived(lab: &Lab, host: &Host) -> Result<Daemon> {
    let first_vrid = 61;
    let directory = lab.directory("keepalived")?;
    let tell = tell(&directory)?;
    let commands = |of: &str| {
        KEYS.iter().fold(String::new(), |mut text, (key, keyword)| {
            let _ = writeln!(text, "  {keyword} \"{} {of} {key}\"", tell.display());
            text
        })
    };
    let mut text = format!(
        "global_defs {{\n  vrrp_version 3\n  script_user root\n  notify_fifo {}/fifo\n  \
         vrrp_notify_priority_changes on\n}}\n\
         vrrp_sync_group edge {{\n  group {{\n    g1\n    g2\n  }}\n{}}}\n",
        directory.display(),
        commands("edge"),
    );
    for (name, vrid, priority) in INSTANCES {
        let vrid = first_vrid + vrid;
        let tracked = match name {
            "solo" => format!("  track_interface {{\n    {TRACKED} weight -20\n  }}\n"),
            _ => String::new(),
        };
        let _ = writeln!(
            text,
            "vrrp_instance {name} {{\n  interface {INTERFACE}\n  virtual_router_id {vrid}\n  \
             priority {priority}\n  advert_int 0.1\n{}  \
             notify_master_rx_lower_pri \"{} {name} lower\"\n{tracked}  \
             virtual_ipaddress {{\n    10.77.{vrid}.100\n  }}\n}}",
            commands(name),
            tell.display(),
        );
    }
    let config = directory.join("keepalived.conf");
    fs::write(&config, text)?;
    let mut command = host.netns.command("keepalived");
    command.args(["--dont-fork", "--log-console", "--log-detail", "--vrrp"]);
    command.arg("--use-file").arg(&config);
    command.arg("--pid").arg(directory.join("keepalived.pid"));
    command.arg("--vrrp_pid").arg(directory.join("vrrp.pid"));
    start(command, "keepalived", host, first_vrid, directory)
}

/// For each instance and group the lines of the FIFO, in order.
fn by_subject(lines: &str) -> BTreeMap<String, Vec<String>> {
    let mut subjects: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for line in lines.lines() {
        let subject = line.split('"').nth(1).unwrap_or_default();
        let of = subjects.entry(subject.to_owned()).or_default();
        of.push(line.to_owned());
    }
    subjects
}

/// The calls of the command, sorted: keepalived makes some at the same time.
fn calls(daemon: &Daemon) -> Vec<String> {
    let args = read(&daemon.directory.join("args"));
    let mut calls: Vec<String> = args.lines().map(str::to_owned).collect();
    calls.sort();
    calls
}

/// The environments that commands had, but for what only keepalived hands on. (The
/// shell makes of any `IFS` one that has a line end in it.)
fn environments(daemon: &Daemon) -> Result<BTreeSet<Vec<String>>> {
    let mut environments = BTreeSet::new();
    for entry in fs::read_dir(&daemon.directory)? {
        let path = entry?.path();
        if path.to_string_lossy().contains("/env.") {
            let text = read(&path);
            let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
            if daemon.directory.ends_with("keepalived") {
                lines.retain(|line| {
                    let not_ours = ["IFS=", "LD_PRELOAD=", "LD_LIBRARY_PATH="];
                    !line.is_empty() && !not_ours.iter().any(|name| line.starts_with(name))
                });
            }
            lines.sort();
            environments.insert(lines);
        }
    }
    Ok(environments)
}

#[test]
fn commands_and_fifo_are_told_what_keepalived_tells() -> Result<()> {
    need::tools(&["keepalived"])?;
    let lab = Lab::new(3)?;
    let [a, b, stranger] = &lab.nodes[..] else {
        anyhow::bail!("three nodes");
    };
    for host in [a, b] {
        let lines = format!(
            "link add {TRACKED} type veth peer name other\nlink set {TRACKED} up\nlink set other up"
        );
        host.netns.ip(&lines)?;
    }
    let mut daemons = [harrier(&lab, a)?, keepalived(&lab, b)?];
    let all = |what: &str, times: usize| -> Result<()> {
        for daemon in &daemons {
            let title = format!("{times} times {what} in {}", daemon.directory.display());
            daemon.await_lines(&title, |lines| count(lines, what) >= times)?;
        }
        Ok(())
    };

    // Each alone with its virtual routers: they become Active.
    all(" MASTER ", 4)?;
    for (state, line) in [
        ("down", " MASTER_PRIORITY 130"),
        ("up", " MASTER_PRIORITY 150"),
    ] {
        for host in [a, b] {
            host.netns.ip(&format!("link set {TRACKED} {state}"))?;
        }
        all(line, 1)?;
    }
    for daemon in &daemons {
        daemon.lower_advert(stranger)?;
    }
    all(" MASTER_RX_LOWER_PRI ", 1)?;
    for daemon in &daemons {
        daemon
            .host
            .netns
            .ip(&format!("link set {INTERFACE} down"))?;
    }
    all(" FAULT ", 4)?;
    for daemon in &daemons {
        daemon.host.netns.ip(&format!("link set {INTERFACE} up"))?;
    }
    all(" MASTER ", 8)?;
    // Every command of theirs has begun before the daemon is told to end.
    for daemon in &daemons {
        let args = daemon.directory.join("args");
        await_text(&args, "commands for MASTER", |text| {
            count(text, " MASTER ") == 8 && count(text, "active\n") == 8
        })?;
    }
    for daemon in &mut daemons {
        daemon.process.signal(Signal::TERM)?;
        daemon.process.await_end(PATIENCE)?;
        daemon.reader.await_end(PATIENCE)?;
    }
    for daemon in &daemons {
        // keepalived does not wait for them.
        let args = daemon.directory.join("args");
        await_text(&args, "commands for STOP", |text| {
            count(text, " STOP ") == 4 && count(text, "stop\n") == 4
        })?;
    }

    let [ours, theirs] = &daemons;
    assert_eq!(by_subject(&ours.lines()), by_subject(&theirs.lines()));
    assert_eq!(calls(ours), calls(theirs));
    // A group is told of when its members have been.
    let lines = ours.lines();
    for word in ["BACKUP", "MASTER", "FAULT", "STOP"] {
        let group = format!("GROUP \"edge\" {word} 0");
        let at = lines.find(&group).with_context(|| format!("no {group}"))?;
        let members = count(&lines[..at], &format!("\"g1\" {word} "))
            + count(&lines[..at], &format!("\"g2\" {word} "));
        // A fault of one is the group's.
        let least = if word == "FAULT" { 1 } else { 2 };
        assert!(members >= least, "{lines}");
    }
    let (our_environments, their_environments) = (environments(ours)?, environments(theirs)?);
    assert_eq!(our_environments.len(), 1, "{our_environments:#?}");
    assert_eq!(our_environments, their_environments);
    let environment = our_environments.first().context("one")?.join("\n");
    ensure!(environment.contains("NOTIFY_TEST=kept"), "{environment}");
    for name in ["IFS=", "LD_LIBRARY_PATH="] {
        ensure!(!environment.contains(name), "{environment}");
    }
    // Ours goes with the daemon.
    ensure!(!ours.directory.join("fifo").exists(), "the FIFO is left");
    Ok(())
}
