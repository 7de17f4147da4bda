//! The environment for building the kernel program.
//!
//! `cargo xtask` runs under cargo and often under rustup, which set variables
//! (`RUSTUP_TOOLCHAIN`, `LD_LIBRARY_PATH` …) that would turn another compiler
//! astray; a developer's own `RUSTFLAGS` are meant for programs of this
//! machine. So the build for the kernel gets an environment without them.

use std::{
    env,
    ffi::OsStr,
    path::{Component, Path},
    process::Command,
};

/// Cargo's settings that do not say how to compile.
const CARGO_KEPT: &[&str] = &["CARGO_HOME"];
const CARGO_KEPT_PREFIXES: &[&str] = &[
    "CARGO_HTTP_",
    "CARGO_NET_",
    "CARGO_REGISTRIES_",
    "CARGO_REGISTRY_",
    "CARGO_TERM_",
];
const RUST_KEPT: &[&str] = &[
    "RUSTUP_HOME",
    "RUSTUP_DIST_SERVER",
    "RUSTUP_UPDATE_ROOT",
    "RUSTUP_USE_CURL",
    "RUST_BACKTRACE",
];

/// Takes from `command`'s environment what must not reach a build for the kernel.
pub(crate) fn for_kernel(command: &mut Command) {
    for (name, _) in env::vars_os() {
        if !reaches_kernel_build(&name) {
            command.env_remove(name);
        }
    }
    if let Some(path) = env::var_os("LD_LIBRARY_PATH") {
        let kept = env::split_paths(&path).filter(|directory| !is_of_cargo(directory));
        match env::join_paths(kept) {
            Ok(path) if !path.is_empty() => command.env("LD_LIBRARY_PATH", path),
            _ => command.env_remove("LD_LIBRARY_PATH"),
        };
    }
    // rustup must not fetch a toolchain on its own: that is `setup`'s to say.
    command.env("RUSTUP_AUTO_INSTALL", "0");
}

/// Whether a variable may reach the build for the kernel.
fn reaches_kernel_build(name: &OsStr) -> bool {
    let Some(name) = name.to_str() else {
        return true;
    };
    if name.starts_with("CARGO") {
        CARGO_KEPT.contains(&name)
            || CARGO_KEPT_PREFIXES
                .iter()
                .any(|prefix| name.starts_with(prefix))
    } else if name.starts_with("RUST") {
        RUST_KEPT.contains(&name)
    } else {
        name != "CLIPPY_ARGS"
    }
}

/// Whether a directory is one that cargo or rustup put into `LD_LIBRARY_PATH`:
/// a toolchain's, or a build's output.
fn is_of_cargo(directory: &Path) -> bool {
    let has = |name: &str| {
        directory
            .components()
            .any(|component| component == Component::Normal(OsStr::new(name)))
    };
    has("toolchains") || has("rustlib") || directory.ends_with("deps") || {
        let profile = directory.file_name();
        [Some("debug"), Some("release")].contains(&profile.and_then(OsStr::to_str))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compiler_settings_do_not_reach_the_kernel_build() {
        for name in [
            "RUSTC",
            "RUSTC_WRAPPER",
            "RUSTFLAGS",
            "RUSTDOCFLAGS",
            "RUSTUP_TOOLCHAIN",
            "RUST_RECURSION_COUNT",
            "CARGO",
            "CARGO_ENCODED_RUSTFLAGS",
            "CARGO_BUILD_RUSTFLAGS",
            "CARGO_BUILD_TARGET",
            "CARGO_TARGET_DIR",
            "CARGO_PROFILE_RELEASE_LTO",
            "CARGO_MANIFEST_DIR",
            "CARGO_PKG_NAME",
        ] {
            assert!(!reaches_kernel_build(OsStr::new(name)), "{name}");
        }
    }

    #[test]
    fn the_rest_does() {
        for name in [
            "PATH",
            "HOME",
            "CARGO_HOME",
            "CARGO_NET_OFFLINE",
            "CARGO_TERM_COLOR",
            "CARGO_REGISTRIES_MIRROR_INDEX",
            "RUSTUP_HOME",
            "HTTPS_PROXY",
        ] {
            assert!(reaches_kernel_build(OsStr::new(name)), "{name}");
        }
    }

    #[test]
    fn library_paths_of_cargo_are_told_from_others() {
        for directory in [
            "/h/.rustup/toolchains/stable-x86_64-unknown-linux-gnu/lib",
            "/h/harrier/target/debug/deps",
            "/h/harrier/target/debug",
        ] {
            assert!(is_of_cargo(Path::new(directory)), "{directory}");
        }
        for directory in ["/usr/lib/llvm-22/lib", "/opt/lib"] {
            assert!(!is_of_cargo(Path::new(directory)), "{directory}");
        }
    }
}
