//! What can go wrong with the kernel program, named with its subject and remedy.

use std::{error::Error, io, path::PathBuf};

/// A kernel map cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[error("cannot {operation} the kernel map `{map}`: {}", chain(.source))]
pub struct MapError {
    /// What was tried, as in "cannot … the kernel map".
    pub operation: &'static str,
    /// Name of the map.
    pub map: &'static str,
    /// What the kernel says.
    pub source: aya::maps::MapError,
}

/// The kernel program cannot be loaded, pinned or attached.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The kernel does not let us.
    #[error(
        "not permitted to {operation}: run as root, or with the capabilities CAP_BPF and \
         CAP_NET_ADMIN, outside of a container that takes bpf() away"
    )]
    NotPermitted {
        /// What was tried.
        operation: String,
    },
    /// The kernel is older than what the program needs.
    #[error(
        "kernel {release} is too old: {feature} needs Linux {needed}; run Harrier on Linux 5.9 or \
         later"
    )]
    KernelTooOld {
        /// The running kernel's release.
        release: String,
        /// What it lacks.
        feature: &'static str,
        /// The first kernel that has it.
        needed: &'static str,
    },
    /// The kernel was built without BPF.
    #[error(
        "this kernel has no bpf(): use one that is built with CONFIG_BPF_SYSCALL and CONFIG_NET"
    )]
    NoBpf,
    /// The object file cannot be read.
    #[error(
        "cannot read the kernel program {}: {source}; check --ebpf-object, or leave it out to use \
         the program built in",
        path.display()
    )]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The object is not a build of Harrier's kernel program, or of another version.
    #[error(
        "{object} is not the kernel program of this version of Harrier ({reason}): build it with \
         `cargo xtask build-ebpf`"
    )]
    NotHarrier {
        /// Which object.
        object: String,
        /// What does not fit.
        reason: String,
    },
    /// The kernel refuses the program or one of its maps.
    #[error("the kernel refuses {object}: {}", chain(.source))]
    Refused {
        /// Which object.
        object: String,
        /// What the kernel says.
        source: Box<aya::EbpfError>,
    },
    /// The program or a map cannot be pinned.
    #[error(
        "cannot pin to {}: {}; the directory has to be on a bpffs (`mount -t bpf bpf DIR`)",
        path.display(),
        chain(.source)
    )]
    Pin {
        /// The pin.
        path: PathBuf,
        /// What the kernel says.
        source: Box<aya::pin::PinError>,
    },
    /// What a predecessor pinned cannot be removed.
    #[error("cannot remove the stale pin {}: {source}; remove it by hand", path.display())]
    StalePin {
        /// The pin.
        path: PathBuf,
        /// What the kernel says.
        source: io::Error,
    },
    /// Another XDP program is in the way.
    #[error(
        "another XDP program is attached to {interface} (`ip link show dev {interface}` and \
         `bpftool net` name it): stop the program that attached it, or detach it with `ip link \
         set dev {interface} xdp off`, `xdpgeneric off` or `bpftool link detach id ID`"
    )]
    Occupied {
        /// The interface.
        interface: String,
    },
    /// We are there already.
    #[error("the kernel program is attached to {interface} (index {ifindex}) already")]
    Attached {
        /// The interface.
        interface: String,
        /// Its index.
        ifindex: u32,
    },
    /// The interface is gone.
    #[error("there is no interface {interface} (index {ifindex}) any more")]
    NoInterface {
        /// The interface.
        interface: String,
        /// Its index.
        ifindex: u32,
    },
    /// The driver cannot run the program, and nothing else is allowed.
    #[error(
        "the driver of {interface} cannot run XDP programs ({reason}): set xdp_mode to \"auto\" or \
         \"generic\""
    )]
    NoDriverMode {
        /// The interface.
        interface: String,
        /// What the kernel says.
        reason: String,
    },
    /// Attaching fails for another reason.
    #[error("cannot attach to {interface}: {}", chain(.source))]
    Attach {
        /// The interface.
        interface: String,
        /// What the kernel says.
        source: Box<aya::programs::ProgramError>,
    },
    /// A map of the loaded program cannot be used.
    #[error(transparent)]
    Map(#[from] MapError),
}

/// An error and what caused it, in one line.
pub(super) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        // Some say what their cause says.
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        cause = error.source();
    }
    text
}

/// The system's error number at the root of `error`, if there is one.
pub(super) fn errno(error: &(dyn Error + 'static)) -> Option<i32> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(error) = error.downcast_ref::<io::Error>() {
            return error.raw_os_error();
        }
        if let Some(error) = error.downcast_ref::<aya::programs::ProgramError>() {
            match error {
                aya::programs::ProgramError::IOError(error) => return error.raw_os_error(),
                aya::programs::ProgramError::XdpError(aya::programs::XdpError::NetlinkError(
                    error,
                )) => return error.raw_os_error(),
                _ => {}
            }
        }
        if let Some(aya::maps::MapError::IoError(error)) =
            error.downcast_ref::<aya::maps::MapError>()
        {
            return error.raw_os_error();
        }
        next = error.source();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_told_with_its_cause_once() {
        let error = MapError {
            operation: "write",
            map: "instances",
            source: aya::maps::MapError::CreateError {
                name: "instances".to_owned(),
                io_error: io::Error::from_raw_os_error(libc::EPERM),
            },
        };
        let text = chain(&error);
        assert_eq!(text.matches("Operation not permitted").count(), 1, "{text}");
        assert!(
            text.starts_with("cannot write the kernel map `instances`: "),
            "{text}"
        );
    }

    #[test]
    fn the_error_number_is_found_wherever_aya_keeps_it() {
        let busy = || io::Error::from_raw_os_error(libc::EBUSY);
        let syscall = aya::programs::ProgramError::SyscallError(aya::sys::SyscallError {
            call: "bpf_link_create",
            io_error: busy(),
        });
        assert_eq!(errno(&syscall), Some(libc::EBUSY));
        assert_eq!(
            errno(&aya::programs::ProgramError::IOError(busy())),
            Some(libc::EBUSY)
        );
        assert_eq!(
            errno(&aya::maps::MapError::IoError(busy())),
            Some(libc::EBUSY)
        );
        let map = aya::EbpfError::MapError(aya::maps::MapError::CreateError {
            name: "events".to_owned(),
            io_error: busy(),
        });
        assert_eq!(errno(&map), Some(libc::EBUSY));
        assert_eq!(errno(&aya::programs::ProgramError::NotLoaded), None);
    }
}
