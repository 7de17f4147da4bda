//! Decisions for machines of several kinds.

use super::*;
use crate::{tools::Tool, version::Version};

fn compiler(version: Version, llvm: u32, core: bool) -> Compiler {
    Compiler {
        version,
        llvm: Version::new(llvm, 1, 0),
        core,
    }
}

fn linker(version: Version, llvm: Option<u32>) -> Linker {
    Linker {
        path: "/opt/bin/bpf-linker".into(),
        version: Ok(version),
        llvm,
    }
}

/// A Debian machine, root, with everything.
fn complete() -> Findings {
    Findings {
        root: true,
        debian: true,
        system: Some(compiler(Version::new(1, 96, 0), 22, true)),
        system_clippy: true,
        llvm_dev: true,
        linkers: vec![linker(LINKER, Some(22))],
        ..Findings::default()
    }
}

/// A Debian machine, root, with nothing but rustup's stable Rust.
fn fresh() -> Findings {
    Findings {
        root: true,
        debian: true,
        rustup: true,
        tools: vec![
            Tool {
                program: "ip",
                package: "iproute2",
            },
            Tool {
                program: "bridge",
                package: "iproute2",
            },
        ],
        ..Findings::default()
    }
}

fn offered(packages: &[&str]) -> Option<std::collections::BTreeMap<String, Version>> {
    let version = Version::new(1, 96, 0);
    Some(
        packages
            .iter()
            .map(|name| ((*name).to_owned(), version))
            .collect(),
    )
}

fn everything_offered() -> Option<std::collections::BTreeMap<String, Version>> {
    let all = [
        COMPILER_PACKAGES,
        LLVM_PACKAGES,
        &[CLIPPY_PACKAGE, "iproute2"],
    ];
    offered(&all.concat())
}

#[test]
fn what_is_there_is_used() {
    assert_eq!(
        plan(&complete()),
        Plan::Ready(Route::Debian {
            rustc: Version::new(1, 96, 0),
            linker: "/opt/bin/bpf-linker".into()
        })
    );
    let nightly = Findings {
        system: None,
        rustup: true,
        nightly: Some(compiler(Version::new(1, 97, 0), 22, true)),
        linkers: vec![linker(LINKER, None), linker(LINKER, Some(23))],
        ..complete()
    };
    assert!(matches!(plan(&nightly), Plan::Ready(Route::Nightly { .. })));
}

#[test]
fn a_fresh_debian_gets_debians_packages() {
    for candidates in [None, everything_offered()] {
        let Plan::Install(steps) = plan(&Findings {
            candidates,
            ..fresh()
        }) else {
            panic!("root on Debian installs by itself");
        };
        let [Step::Packages(packages), Step::BuildLinker] = &steps[..] else {
            panic!("{steps:?}");
        };
        for package in [COMPILER_PACKAGES, LLVM_PACKAGES, &[CLIPPY_PACKAGE]].concat() {
            assert!(packages.contains(&package), "{package}");
        }
        assert_eq!(
            packages
                .iter()
                .filter(|package| **package == "iproute2")
                .count(),
            1
        );
    }
}

#[test]
fn an_old_release_falls_back_to_nightly() {
    // Debian without rustc-web, or with one that is too old.
    let mut old = everything_offered();
    old.as_mut()
        .unwrap()
        .insert("rustc-web".to_owned(), Version::new(1, 85, 0));
    for candidates in [offered(&["iproute2"]), old] {
        let findings = Findings {
            candidates,
            binstall: true,
            ..fresh()
        };
        assert_eq!(
            plan(&findings),
            Plan::Install(vec![
                Step::Packages(vec!["iproute2"]),
                Step::Nightly,
                Step::FetchLinker
            ])
        );
    }
}

#[test]
fn a_rustc_with_a_newer_llvm_than_debians_is_not_given_an_older_linker() {
    let findings = Findings {
        system: Some(compiler(Version::new(1, 99, 0), DEBIAN_LLVM + 1, true)),
        rustup: true,
        binstall: true,
        ..complete()
    };
    assert_eq!(plan(&findings), Plan::Install(vec![Step::Nightly]));
}

#[test]
fn only_what_is_missing_is_installed() {
    let without_linker = Findings {
        linkers: Vec::new(),
        ..complete()
    };
    assert_eq!(
        plan(&without_linker),
        Plan::Install(vec![Step::BuildLinker])
    );
    let without_clippy = Findings {
        system_clippy: false,
        ..complete()
    };
    assert_eq!(
        plan(&without_clippy),
        Plan::Install(vec![Step::Packages(vec![CLIPPY_PACKAGE])])
    );
}

#[test]
fn without_root_it_is_for_the_user() {
    let findings = Findings {
        root: false,
        rustup: false,
        ..fresh()
    };
    let Plan::Manual { problems, commands } = plan(&findings) else {
        panic!("nothing can be installed without root");
    };
    assert!(
        problems.contains(&"ip is not installed".to_owned()),
        "{problems:?}"
    );
    assert!(
        problems.contains(&"bpf-linker is not installed".to_owned()),
        "{problems:?}"
    );
    let [packages, linker] = &commands[..] else {
        panic!("{commands:?}");
    };
    assert!(packages.starts_with("sudo apt-get install"), "{packages}");
    assert!(
        packages.contains("rustc-web") && packages.contains("iproute2"),
        "{packages}"
    );
    assert!(
        linker.starts_with("LLVM_PREFIX=/usr/lib/llvm-22 cargo install bpf-linker"),
        "{linker}"
    );
}

#[test]
fn a_package_that_apt_does_not_offer_is_named() {
    let findings = Findings {
        tools: vec![Tool {
            program: "tshark",
            package: "tshark",
        }],
        candidates: offered(&["iproute2"]),
        ..complete()
    };
    let Plan::Manual { problems, .. } = plan(&findings) else {
        panic!("it cannot be installed");
    };
    assert!(
        problems.contains(&"apt does not offer tshark".to_owned()),
        "{problems:?}"
    );
}

#[test]
fn unsuitable_tools_are_named_with_their_versions() {
    let cases = [
        (
            Findings {
                system: Some(compiler(Version::new(1, 85, 0), 19, true)),
                ..complete()
            },
            "/usr/bin/rustc is 1.85.0, Harrier needs 1.88.0 or later",
        ),
        (
            Findings {
                system: Some(compiler(Version::new(1, 96, 0), 22, false)),
                ..complete()
            },
            "/usr/bin/rustc 1.96.0 has no `core` for bpfel-unknown-none",
        ),
        (
            Findings {
                linkers: vec![linker(LINKER, Some(14))],
                ..complete()
            },
            "/opt/bin/bpf-linker 0.13.0 is linked to LLVM 14, older than rustc's LLVM 22",
        ),
        (
            Findings {
                linkers: vec![linker(Version::new(0, 9, 15), Some(22))],
                ..complete()
            },
            "/opt/bin/bpf-linker is 0.9.15, Harrier needs 0.13.0 or later",
        ),
        (
            Findings {
                linkers: vec![Linker {
                    path: "/opt/bin/bpf-linker".into(),
                    version: Err("libLLVM.so.21 is missing".to_owned()),
                    llvm: None,
                }],
                ..complete()
            },
            "/opt/bin/bpf-linker does not run: libLLVM.so.21 is missing",
        ),
    ];
    for (findings, problem) in cases {
        let problems = problems(&findings);
        assert!(
            problems.contains(&problem.to_owned()),
            "{problem}: {problems:?}"
        );
        assert!(!matches!(plan(&findings), Plan::Ready(_)), "{problem}");
    }
}

#[test]
fn an_unsuitable_linker_does_not_hide_a_suitable_one() {
    let findings = Findings {
        linkers: vec![
            linker(LINKER, Some(14)),
            Linker {
                path: "/home/bin/bpf-linker".into(),
                ..linker(LINKER, Some(22))
            },
        ],
        ..complete()
    };
    assert_eq!(
        plan(&findings),
        Plan::Ready(Route::Debian {
            rustc: Version::new(1, 96, 0),
            linker: "/home/bin/bpf-linker".into()
        })
    );
}
