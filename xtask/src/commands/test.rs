//! `test`: every test, with one line at the end that sums them up.

use std::{
    env,
    io::IsTerminal as _,
    path::Path,
    process::{Command, ExitCode},
    time::Instant,
};

use anyhow::{Context as _, Result, ensure};

use super::{build_ebpf, setup};
use crate::{
    libtest::{self, Counts},
    process::{self, seconds},
    stream,
    toolchain::Route,
    workspace::{self, Workspace},
};

/// How many tests of the suites run at once. Each has its own network, and
/// measures time: more of them would measure each other.
const SUITE_THREADS: &str = "2";

/// How long a long run keeps up each flood.
const LONG_STRESS_SECONDS: &str = "30";

/// The options of `test`.
#[derive(clap::Args, Default)]
pub(crate) struct Arguments {
    /// Run only the tests whose name contains this
    #[arg(long, value_name = "NAME")]
    filter: Option<String>,
    /// Keep up for 30 s, not 3, what wears the machine down: floods, busy loops
    #[arg(long)]
    long: bool,
    /// List the tests and run none
    #[arg(long)]
    list: bool,
}

pub(crate) fn run(workspace: &Workspace, arguments: &Arguments) -> Result<ExitCode> {
    if arguments.list {
        return list(workspace, arguments);
    }
    let counts = count(workspace, arguments)?;
    println!("{counts}");
    Ok(if counts.is_success() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Runs every stage, also after one that fails.
///
/// # Errors
/// If nothing can be run: no root, a kernel without what the suites need, no
/// set-up.
pub(crate) fn count(workspace: &Workspace, arguments: &Arguments) -> Result<Counts> {
    ensure!(
        workspace::is_root()?,
        "the tests need root, for network namespaces and XDP: run `cargo xtask test` as root"
    );
    let route = stage("setup", || setup::ensure(workspace))?;
    check_kernel()?;

    let mut counts = Counts::default();
    let built = build(workspace, &route);
    for package in ["ha-common", "ha-user", "xtask"] {
        counts += tests(workspace, &[package], arguments);
    }
    match built {
        Ok(()) => counts += tests(workspace, &["ha-tests"], arguments),
        Err(error) => {
            eprintln!("xtask: {error:#}; the suites of ha-tests are not run");
            counts.failed += 1;
        }
    }
    if counts.passed + counts.failed == 0 {
        match &arguments.filter {
            Some(filter) => eprintln!("xtask: no test that ran has {filter:?} in its name"),
            None => eprintln!("xtask: no test ran"),
        }
    }
    Ok(counts)
}

fn list(workspace: &Workspace, arguments: &Arguments) -> Result<ExitCode> {
    let route = setup::ensure(workspace)?;
    build_ebpf::build(workspace, &route, false)?;
    let mut command = cargo_test(
        workspace,
        &["ha-common", "ha-user", "xtask", "ha-tests"],
        arguments,
    );
    command.arg("--list");
    let mut listed = 0;
    let status = stream::run(&mut command, |line| {
        listed += libtest::parse_listed(line).unwrap_or(0);
    })?;
    ensure!(status.success(), "listing the tests failed ({status})");
    println!("{listed} tests");
    Ok(ExitCode::SUCCESS)
}

/// Builds what the suites run.
///
/// # Errors
/// If a build fails.
pub(crate) fn build(workspace: &Workspace, route: &Route) -> Result<()> {
    stage("build-ebpf", || build_ebpf::build(workspace, route, false))?;
    stage("build harrier", || {
        let mut cargo = workspace.cargo("build");
        cargo.args(["--release", "--package", "ha-user", "--bins"]);
        process::run(&mut cargo, "building harrier")
    })
}

/// The tests of some packages; that they could not be run is a failure too.
fn tests(workspace: &Workspace, packages: &[&str], arguments: &Arguments) -> Counts {
    let name = format!("test {}", packages.join(" "));
    let mut reader = libtest::Reader::default();
    let run = stage(&name, || {
        stream::run(&mut cargo_test(workspace, packages, arguments), |line| {
            reader.line(line);
        })
    });
    let success = match run {
        Ok(status) => status.success(),
        Err(error) => {
            eprintln!("xtask: {error:#}");
            false
        }
    };
    let counts = reader.finish(success);
    println!("== {name}: {counts}");
    counts
}

fn cargo_test(workspace: &Workspace, packages: &[&str], arguments: &Arguments) -> Command {
    let mut cargo = workspace.cargo("test");
    for package in packages {
        cargo.args(["--package", package]);
    }
    if packages.contains(&"ha-tests") {
        // The simulation runs more than a year.
        cargo.arg("--release");
    }
    cargo
        .arg("--no-fail-fast")
        .env("HARRIER_BIN", workspace.release_binary("harrier"));
    if packages.contains(&"ha-tests") && env::var_os("RUST_TEST_THREADS").is_none() {
        cargo.env("RUST_TEST_THREADS", SUITE_THREADS);
    }
    if arguments.long {
        cargo.env("HARRIER_STRESS_SECONDS", LONG_STRESS_SECONDS);
    }
    cargo.arg("--").args(&arguments.filter);
    // Its output goes through us, so libtest does not see the terminal.
    if std::io::stdout().is_terminal() {
        cargo.args(["--color", "always"]);
    }
    cargo
}

/// Does `work` between two lines that say what it is and how long it took.
pub(crate) fn stage<T>(name: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    println!("== {name}");
    let begun = Instant::now();
    let result = work();
    let verdict = if result.is_ok() { "ended" } else { "failed" };
    println!("== {name} {verdict} after {}", seconds(begun.elapsed()));
    result
}

/// What the suites need of the kernel, so that a lack is told once and first.
fn check_kernel() -> Result<()> {
    let in_namespace = |arguments: &[&str]| {
        let mut command = Command::new("unshare");
        command.args(["--net", "--mount", "--"]).args(arguments);
        process::output(&mut command)
    };
    in_namespace(&["true"]).context(
        "cannot make a network namespace: the suites need CAP_SYS_ADMIN and a kernel with CONFIG_NET_NS",
    )?;
    in_namespace(&[
        "ip", "link", "add", "name", "veth0", "type", "veth", "peer", "name", "veth1",
    ])
    .context("cannot make a veth pair: the suites need a kernel with CONFIG_VETH")?;
    in_namespace(&["ip", "link", "add", "name", "bridge0", "type", "bridge"])
        .context("cannot make a bridge: the suites need a kernel with CONFIG_BRIDGE")?;
    ensure!(
        Path::new("/sys/kernel/btf/vmlinux").is_file(),
        "/sys/kernel/btf/vmlinux is missing: the suites need a kernel with CONFIG_DEBUG_INFO_BTF"
    );
    Ok(())
}
