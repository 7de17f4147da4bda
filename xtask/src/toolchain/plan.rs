//! From findings to a decision, without touching anything.

use std::path::PathBuf;

use super::{
    Compiler, DEBIAN_LLVM, DEBIAN_LLVM_PREFIX, DEBIAN_RUSTC, Findings, LINKER, Linker,
    OLDEST_RUSTC, Route, TARGET,
};

/// Debian's compiler with `core` for the kernel's target; `core`'s sources are what the
/// verifier's log quotes.
const COMPILER_PACKAGES: &[&str] = &["rustc-web", "libstd-rust-web-dev-bpf", "rust-web-src"];
/// What `bpf-linker` is built with.
const LLVM_PACKAGES: &[&str] = &[
    "llvm-22",
    "llvm-22-dev",
    "libpolly-22-dev",
    "zlib1g-dev",
    "libzstd-dev",
];
const CLIPPY_PACKAGE: &str = "rust-web-clippy";

/// What to do about the findings.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Plan {
    /// Nothing: all is there.
    Ready(Route),
    /// These, in this order.
    Install(Vec<Step>),
    /// It is for the user to do.
    Manual {
        /// What is missing or unsuitable, by name and version.
        problems: Vec<String>,
        /// Commands for a shell.
        commands: Vec<String>,
    },
}

/// One thing to install.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Debian packages.
    Packages(Vec<&'static str>),
    /// `bpf-linker` from source, with Debian's LLVM.
    BuildLinker,
    /// Rustup's nightly with `rust-src`.
    Nightly,
    /// `bpf-linker` as its project builds it.
    FetchLinker,
}

impl Step {
    /// The same for a shell.
    pub(crate) fn shell(&self, root: bool) -> String {
        let sudo = if root { "" } else { "sudo " };
        match self {
            Self::Packages(packages) => {
                format!(
                    "{sudo}apt-get install --no-install-recommends {}",
                    packages.join(" ")
                )
            }
            Self::BuildLinker => format!(
                "LLVM_PREFIX={DEBIAN_LLVM_PREFIX} cargo {}",
                build_linker_arguments().join(" ")
            ),
            Self::Nightly => format!("rustup {}", NIGHTLY_ARGUMENTS.join(" ")),
            Self::FetchLinker => {
                format!("cargo binstall bpf-linker@{LINKER}  # cargo install cargo-binstall")
            }
        }
    }
}

/// Rustup's arguments that install nightly.
pub(crate) const NIGHTLY_ARGUMENTS: &[&str] = &[
    "toolchain",
    "install",
    "nightly",
    "--profile",
    "minimal",
    "--component",
    "rust-src,clippy",
];

/// Cargo's arguments that build `bpf-linker` with Debian's LLVM.
pub(crate) fn build_linker_arguments() -> Vec<String> {
    let version = LINKER.to_string();
    let feature = format!("llvm-{DEBIAN_LLVM}");
    [
        "install",
        "bpf-linker",
        "--version",
        &version,
        "--no-default-features",
        "--features",
        &feature,
        "--locked",
        // An unsuitable one of the same version is replaced.
        "--force",
    ]
    .map(str::to_owned)
    .to_vec()
}

/// What is to be done about `findings`.
pub(crate) fn plan(findings: &Findings) -> Plan {
    let route = route(findings);
    if let Ok(route) = &route
        && missing_packages(findings, route).is_empty()
    {
        return Plan::Ready(route.clone());
    }
    let steps = steps(findings, route.as_ref().ok());
    let needs_root = steps.iter().any(|step| matches!(step, Step::Packages(_)));
    let able = if needs_root {
        findings.root && findings.debian && all_offered(findings, &steps)
    } else {
        steps.iter().all(|step| match step {
            Step::Nightly => findings.rustup,
            Step::FetchLinker => findings.binstall,
            Step::Packages(_) | Step::BuildLinker => true,
        })
    };
    if able && !steps.is_empty() {
        return Plan::Install(steps);
    }
    Plan::Manual {
        problems: problems(findings),
        commands: steps.iter().map(|step| step.shell(findings.root)).collect(),
    }
}

/// A route that is ready, else what each lacks.
pub(crate) fn route(findings: &Findings) -> Result<Route, Vec<String>> {
    debian_route(findings).or_else(|debian| {
        nightly_route(findings).map_err(|nightly| {
            let mut lacks = debian;
            lacks.extend(
                nightly
                    .into_iter()
                    .filter(|lack| !lacks.contains(lack))
                    .collect::<Vec<_>>(),
            );
            lacks
        })
    })
}

/// Debian's route if it is ready, else what it lacks.
pub(crate) fn debian_route(findings: &Findings) -> Result<Route, Vec<String>> {
    let mut lacks = Vec::new();
    let compiler = findings.system.as_ref();
    lacks.extend(compiler_lack(
        DEBIAN_RUSTC,
        compiler,
        &format!("no `core` for {TARGET}"),
    ));
    let linker = suitable_linker(findings, compiler.map_or(0, |compiler| compiler.llvm.major));
    match (compiler, linker) {
        (Some(compiler), Ok(linker)) if lacks.is_empty() => Ok(Route::Debian {
            rustc: compiler.version,
            linker,
        }),
        (_, linker) => {
            lacks.extend(linker.err().into_iter().flatten());
            Err(lacks)
        }
    }
}

/// Nightly's route if it is ready, else what it lacks.
fn nightly_route(findings: &Findings) -> Result<Route, Vec<String>> {
    let mut lacks = Vec::new();
    let compiler = findings.nightly.as_ref();
    lacks.extend(compiler_lack(
        "rustup's nightly rustc",
        compiler,
        "no sources (rust-src)",
    ));
    let linker = suitable_linker(findings, compiler.map_or(0, |compiler| compiler.llvm.major));
    match (compiler, linker) {
        (Some(compiler), Ok(linker)) if lacks.is_empty() => Ok(Route::Nightly {
            rustc: compiler.version,
            linker,
        }),
        (_, linker) => {
            lacks.extend(linker.err().into_iter().flatten());
            Err(lacks)
        }
    }
}

fn compiler_lack(name: &str, compiler: Option<&Compiler>, no_core: &str) -> Option<String> {
    let Some(compiler) = compiler else {
        return Some(format!("{name} is not installed"));
    };
    let version = compiler.version;
    if version < OLDEST_RUSTC {
        Some(format!(
            "{name} is {version}, Harrier needs {OLDEST_RUSTC} or later"
        ))
    } else if !compiler.core {
        Some(format!("{name} {version} has {no_core}"))
    } else {
        None
    }
}

/// The first linker that reads what a rustc with this LLVM writes, else what is wrong with each.
fn suitable_linker(findings: &Findings, llvm: u32) -> Result<PathBuf, Vec<String>> {
    let mut lacks = Vec::new();
    for linker in &findings.linkers {
        match linker_lack(linker, llvm) {
            None => return Ok(linker.path.clone()),
            Some(lack) => lacks.push(lack),
        }
    }
    if lacks.is_empty() {
        lacks.push("bpf-linker is not installed".to_owned());
    }
    Err(lacks)
}

fn linker_lack(linker: &Linker, llvm: u32) -> Option<String> {
    let path = linker.path.display();
    match (&linker.version, linker.llvm) {
        (Err(reason), _) => Some(format!("{path} does not run: {reason}")),
        (Ok(version), _) if *version < LINKER => Some(format!(
            "{path} is {version}, Harrier needs {LINKER} or later"
        )),
        (Ok(version), Some(own)) if own < llvm => Some(format!(
            "{path} {version} is linked to LLVM {own}, older than rustc's LLVM {llvm}"
        )),
        _ => None,
    }
}

/// What is missing or unsuitable, by name.
pub(crate) fn problems(findings: &Findings) -> Vec<String> {
    let mut problems = route(findings).err().unwrap_or_default();
    if let Ok(Route::Debian { .. }) = route(findings)
        && !findings.system_clippy
    {
        problems.push("Debian's clippy (rust-web-clippy) is not installed".to_owned());
    }
    for tool in &findings.tools {
        problems.push(format!("{} is not installed", tool.program));
    }
    if let Some(candidates) = &findings.candidates {
        let wanted = packages(&steps(findings, route(findings).ok().as_ref()));
        for package in wanted {
            if !candidates.contains_key(package) {
                problems.push(format!("apt does not offer {package}"));
            }
        }
    }
    problems
}

/// The packages still to install for a route that is otherwise ready.
fn missing_packages(findings: &Findings, route: &Route) -> Vec<&'static str> {
    let mut packages = Vec::new();
    if matches!(route, Route::Debian { .. }) && !findings.system_clippy {
        packages.push(CLIPPY_PACKAGE);
    }
    for tool in &findings.tools {
        if !packages.contains(&tool.package) {
            packages.push(tool.package);
        }
    }
    packages
}

/// All that is to be installed: the missing tools, and the route that is nearer.
fn steps(findings: &Findings, ready: Option<&Route>) -> Vec<Step> {
    let mut packages: Vec<&'static str> = Vec::new();
    let mut steps = Vec::new();
    if let Some(route) = ready {
        packages.extend(missing_packages(findings, route));
    } else {
        // Debian's route links with Debian's LLVM, which must not be older than rustc's.
        let newer_llvm = findings
            .system
            .as_ref()
            .is_some_and(|compiler| compiler.core && compiler.llvm.major > DEBIAN_LLVM);
        let by_debian =
            findings.root && findings.debian && !newer_llvm && offers_compiler(findings);
        if by_debian || !findings.rustup && findings.debian {
            let system = findings.system.as_ref();
            if compiler_lack(DEBIAN_RUSTC, system, "").is_some() {
                packages.extend(COMPILER_PACKAGES);
            }
            if suitable_linker(findings, DEBIAN_LLVM).is_err() {
                if !findings.llvm_dev {
                    packages.extend(LLVM_PACKAGES);
                }
                steps.push(Step::BuildLinker);
            }
            if !findings.system_clippy {
                packages.push(CLIPPY_PACKAGE);
            }
        } else {
            let nightly = findings.nightly.as_ref();
            if compiler_lack("", nightly, "").is_some() {
                steps.push(Step::Nightly);
            }
            if suitable_linker(findings, nightly.map_or(0, |compiler| compiler.llvm.major)).is_err()
            {
                steps.push(Step::FetchLinker);
            }
        }
        packages.extend(findings.tools.iter().map(|tool| tool.package));
    }
    let mut unique = Vec::new();
    for package in packages {
        if !unique.contains(&package) {
            unique.push(package);
        }
    }
    if !unique.is_empty() {
        steps.insert(0, Step::Packages(unique));
    }
    steps
}

/// The Debian packages of some steps.
pub(crate) fn packages(steps: &[Step]) -> Vec<&'static str> {
    steps
        .iter()
        .filter_map(|step| match step {
            Step::Packages(packages) => Some(packages.iter().copied()),
            Step::BuildLinker | Step::Nightly | Step::FetchLinker => None,
        })
        .flatten()
        .collect()
}

/// Whether apt has a compiler and an LLVM that are new enough, as far as it was asked.
fn offers_compiler(findings: &Findings) -> bool {
    let Some(candidates) = &findings.candidates else {
        return true;
    };
    let has_compiler = compiler_lack("", findings.system.as_ref(), "").is_none()
        || candidates
            .get("rustc-web")
            .is_some_and(|version| *version >= OLDEST_RUSTC)
            && candidates.contains_key("libstd-rust-web-dev-bpf");
    let has_llvm = findings.llvm_dev
        || LLVM_PACKAGES
            .iter()
            .all(|package| candidates.contains_key(*package));
    let needs_llvm = suitable_linker(findings, DEBIAN_LLVM).is_err();
    has_compiler && (has_llvm || !needs_llvm)
}

fn all_offered(findings: &Findings, steps: &[Step]) -> bool {
    findings.candidates.as_ref().is_none_or(|candidates| {
        packages(steps)
            .iter()
            .all(|package| candidates.contains_key(*package))
    })
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
