//! `cargo xtask`: set-up, build, demo, benchmark and test of Harrier in one command each.
//!
//! - [`commands`]: one file per subcommand
//! - [`toolchain`]: what this machine has for building the kernel program, and
//!   what to do about the rest
//! - [`debian`], [`tools`]: packages
//! - [`environment`], [`process`], [`stream`]: running other programs
//! - [`libtest`], [`version`]: reading what they print
//! - [`workspace`]: where things are

use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod commands;
mod debian;
mod environment;
mod libtest;
mod process;
mod stream;
mod toolchain;
mod tools;
mod version;
mod workspace;

use workspace::Workspace;

/// Harrier's set-up, build, demo, benchmark and test commands.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Find what is needed to build and test Harrier; install what is missing.
    ///
    /// Installs by itself as root on Debian and Ubuntu; elsewhere prints what to install.
    Setup(commands::setup::Arguments),
    /// Build the kernel program into `target/bpf/harrier.bpf.o`, which the daemon embeds.
    BuildEbpf(commands::build_ebpf::Arguments),
    /// Build everything and show a virtual address fail over between two nodes.
    ///
    /// Every argument goes to the demo: `cargo xtask demo --help` shows them.
    #[command(disable_help_flag = true)]
    Demo(commands::demo::Arguments),
    /// Build everything and measure Harrier beside keepalived and FRR; needs root.
    ///
    /// Every argument goes to the benchmark: `cargo xtask bench --help` shows them.
    #[command(disable_help_flag = true)]
    Bench(commands::bench::Arguments),
    /// Build everything and run every test; needs root for the network namespaces.
    Test(commands::test::Arguments),
    /// Look for inputs that break a promise, with libFuzzer; needs nightly and cargo-fuzz.
    ///
    /// `cargo xtask test` replays the inputs that are known.
    Fuzz(commands::fuzz::Arguments),
    /// Run more seeds of the simulation than the tests do, or one again.
    Sim(commands::sim::Arguments),
    /// Run the interop suite and write docs/interop.md from what it finds; needs root.
    ///
    /// `cargo xtask test` fails if the document says anything else.
    InteropTable,
    /// Run the published guides and write docs/guides.md from what a client saw; needs root.
    ///
    /// `cargo xtask test` fails if something else happens; times may differ.
    GuidesTable,
    /// Break the code in known ways and see which tests notice.
    Mutants(commands::mutants::Arguments),
    /// Check formatting, lints and documentation, warnings denied.
    Lint,
    /// Run `lint`, `test` and `bench --quick`.
    Ci,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(&arguments.command) {
        Ok(status) => status,
        Err(error) => {
            // In our own words: a backtrace would bury what to install.
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: &Command) -> anyhow::Result<ExitCode> {
    let workspace = Workspace::find()?;
    match command {
        Command::Setup(arguments) => commands::setup::run(&workspace, arguments),
        Command::BuildEbpf(arguments) => commands::build_ebpf::run(&workspace, arguments),
        Command::Demo(arguments) => commands::demo::run(&workspace, arguments),
        Command::Bench(arguments) => commands::bench::run(&workspace, arguments),
        Command::Test(arguments) => commands::test::run(&workspace, arguments),
        Command::Fuzz(arguments) => commands::fuzz::run(&workspace, arguments),
        Command::Sim(arguments) => commands::sim::run(&workspace, arguments),
        Command::InteropTable => commands::interop_table::run(&workspace),
        Command::GuidesTable => commands::guides_table::run(&workspace),
        Command::Mutants(arguments) => commands::mutants::run(&workspace, arguments),
        Command::Lint => commands::lint::run(&workspace),
        Command::Ci => commands::ci::run(&workspace),
    }
}
