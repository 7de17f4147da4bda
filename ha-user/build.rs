//! Puts the kernel program where `kernel::loader` embeds it from.
//!
//! The program needs another target and other tools than the rest, so it is not
//! built here: `cargo xtask build-ebpf` builds it into the place below.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

/// Names another object than the one that `cargo xtask build-ebpf` builds.
const OVERRIDE: &str = "HARRIER_EBPF_OBJECT";
/// Where `cargo xtask build-ebpf` leaves the object, from the workspace's root.
const BUILT: &str = "target/bpf/harrier.bpf.o";

fn main() {
    println!("cargo::rerun-if-env-changed={OVERRIDE}");
    let object = object();
    println!("cargo::rerun-if-changed={}", object.display());
    let copy = PathBuf::from(variable("OUT_DIR")).join("harrier.bpf.o");
    // Read and written, not copied: a copy would keep the old time stamp.
    if let Err(error) = fs::read(&object).and_then(|octets| fs::write(&copy, octets)) {
        println!(
            "cargo::error=the kernel program {} cannot be embedded ({error}): run `cargo xtask \
             build-ebpf`, or name an object with {OVERRIDE}",
            object.display()
        );
    }
}

fn object() -> PathBuf {
    let package = PathBuf::from(variable("CARGO_MANIFEST_DIR"));
    let root = package.parent().unwrap_or(Path::new("."));
    match env::var_os(OVERRIDE) {
        // A relative path is relative to where the user stands: the root.
        Some(named) => root.join(named),
        None => root.join(BUILT),
    }
}

/// A variable that cargo sets for every build script.
fn variable(name: &str) -> String {
    env::var(name).unwrap_or_else(|error| panic!("{name}: {error}"))
}
