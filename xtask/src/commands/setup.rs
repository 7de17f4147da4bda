//! `setup`: what is needed is there, or is installed, or is named.

use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result, bail};

use crate::{
    debian, environment,
    process::Log,
    toolchain::{
        DEBIAN_LLVM_PREFIX, Findings, LINKER, Route,
        plan::{self, NIGHTLY_ARGUMENTS, Plan, Step, plan},
        probe,
    },
    workspace::{self, Workspace},
};

/// The options of `setup`.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Only say what is missing; install nothing
    #[arg(long)]
    check: bool,
}

pub(crate) fn run(workspace: &Workspace, arguments: &Arguments) -> Result<ExitCode> {
    let route = if arguments.check {
        check()?
    } else {
        ensure(workspace)?
    };
    println!("setup: all there; the kernel program is built with {route}");
    Ok(ExitCode::SUCCESS)
}

fn check() -> Result<Route> {
    let findings = probe::findings()?;
    match plan(&findings) {
        Plan::Ready(route) => Ok(route),
        Plan::Install(steps) => {
            let commands: Vec<String> =
                steps.iter().map(|step| step.shell(findings.root)).collect();
            bail!(
                "{}\n`cargo xtask setup` runs:\n{}",
                list(&plan::problems(&findings)),
                list(&commands)
            )
        }
        Plan::Manual { problems, commands } => bail!(manual(&problems, &commands)),
    }
}

/// Makes sure that everything is there, and says how the kernel program is built.
///
/// # Errors
/// Names what is missing or unsuitable and cannot be installed from here, with
/// the commands that would install it.
pub(crate) fn ensure(workspace: &Workspace) -> Result<Route> {
    let mut findings = probe::findings()?;
    let mut steps = match plan(&findings) {
        Plan::Ready(route) => return Ok(route),
        Plan::Manual { problems, commands } => bail!(manual(&problems, &commands)),
        Plan::Install(steps) => steps,
    };

    let mut log = Log::create(workspace.setup_log())?;
    let wanted = plan::packages(&steps);
    if !wanted.is_empty() {
        debian::update(&mut log)?;
        findings.candidates = Some(debian::candidates(&wanted)?);
        // Apt may lack what Debian's route needs: then the other one is next.
        steps = match plan(&findings) {
            Plan::Install(steps) => steps,
            Plan::Ready(route) => return Ok(route),
            Plan::Manual { problems, commands } => bail!(manual(&problems, &commands)),
        };
    }
    for step in &steps {
        take(step, &mut log).with_context(|| remedy(&findings, step))?;
    }

    let findings = probe::findings()?;
    match plan(&findings) {
        Plan::Ready(route) => Ok(route),
        Plan::Install(_) | Plan::Manual { .. } => bail!(
            "the set-up ran, and still:\n{}",
            list(&plan::problems(&findings))
        ),
    }
}

fn take(step: &Step, log: &mut Log) -> Result<()> {
    match step {
        Step::Packages(packages) => debian::install(packages, log),
        Step::BuildLinker => {
            let mut command = Command::new(workspace::cargo());
            // A developer's target directory and flags are not meant for a tool.
            environment::for_kernel(&mut command);
            command
                .args(plan::build_linker_arguments())
                .env("LLVM_PREFIX", DEBIAN_LLVM_PREFIX);
            log.run("building bpf-linker (a minute or two)", &mut command)
        }
        Step::Nightly => {
            let mut command = Command::new("rustup");
            command.args(NIGHTLY_ARGUMENTS);
            log.run(
                "installing nightly Rust with rust-src by rustup",
                &mut command,
            )
        }
        Step::FetchLinker => {
            let mut command = Command::new("cargo-binstall");
            command.args(["--no-confirm", "--force", &format!("bpf-linker@{LINKER}")]);
            log.run("installing bpf-linker by cargo binstall", &mut command)
        }
    }
}

fn remedy(findings: &Findings, step: &Step) -> String {
    format!("to do this by hand: {}", step.shell(findings.root))
}

fn manual(problems: &[String], commands: &[String]) -> String {
    let mut text = format!("something is missing:\n{}", list(problems));
    if !commands.is_empty() {
        text += &format!("\ninstall it with:\n{}", list(commands));
    }
    text
}

fn list(lines: &[String]) -> String {
    lines
        .iter()
        .map(|line| format!("  {line}"))
        .collect::<Vec<_>>()
        .join("\n")
}
