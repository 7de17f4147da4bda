//! Loads the kernel program, attaches it, pins it, and takes all of that back.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use aya::{
    Ebpf, EbpfError, EbpfLoader,
    maps::MapError as AyaMapError,
    pin::PinError,
    programs::{ProgramError, Xdp, XdpMode as AttachMode, xdp::XdpLinkId},
    util::KernelVersion,
};
use ha_common::abi;

use super::{
    LoadError, Maps,
    error::{chain, errno},
    log,
};
use crate::config::XdpMode;

/// The program that `build.rs` found.
static EMBEDDED: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/harrier.bpf.o"));

/// Rows that the maps need.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sizes {
    /// Virtual routers.
    pub instances: usize,
    /// Watched addresses.
    pub addresses: usize,
    /// Unicast peers of all virtual routers together.
    pub unicast_peers: usize,
}

/// How the kernel program is to be loaded.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Loader {
    /// An object file to use in place of the program built in.
    pub object: Option<PathBuf>,
    /// Rows that the maps need.
    pub sizes: Sizes,
    /// Where program and maps are pinned: a directory on a bpffs that is the
    /// caller's alone. Pins of a predecessor in it are replaced.
    pub pin_dir: PathBuf,
    /// How the program is attached.
    pub xdp_mode: XdpMode,
}

/// The loaded and pinned program, attached to interfaces. Dropping it detaches it
/// and removes the pins; a killed process leaves only the pins.
pub struct Program {
    attached: BTreeMap<u32, Attached>,
    xdp_mode: XdpMode,
    _pins: Pins,
    ebpf: Ebpf,
}

/// The program on one interface.
struct Attached {
    /// The mode's name.
    mode: &'static str,
    link: XdpLinkId,
}

impl Loader {
    /// Loads the program, pins it and its maps, and attaches it to each of
    /// `interfaces`, given by index and name: none, if they come later (see
    /// [`Program::attach`]). The maps outlive the program's
    /// guard, but nothing changes in them any more when it is gone.
    ///
    /// Inside a tokio runtime the log of a program with the feature `log` is read.
    ///
    /// # Errors
    /// See [`LoadError`]; nothing is left on the host then.
    pub fn load(&self, interfaces: &[(u32, String)]) -> Result<(Program, Maps), LoadError> {
        check_kernel()?;
        let (object, name) = self.object()?;
        let mut ebpf = self.create(&object, &name)?;
        if aya::features().btf().is_none() {
            return Err(too_old(("BTF, by which the maps can be read,", "4.18")));
        }
        let missing = |reason: String| LoadError::NotHarrier {
            object: name.clone(),
            reason,
        };
        for map in abi::map::ALL {
            if ebpf.map(map).is_none() {
                return Err(missing(format!("it has no map `{map}`")));
            }
        }
        xdp(&mut ebpf)
            .ok_or_else(|| missing(format!("it has no XDP program `{}`", abi::PROGRAM)))?
            .load()
            .map_err(|error| refused(&name, error.into()))?;
        let pins = self.pin(&mut ebpf)?;
        log::start(&mut ebpf);
        let maps = Maps::take(&mut ebpf).map_err(|error| match error.source {
            AyaMapError::InvalidKeySize { .. }
            | AyaMapError::InvalidValueSize { .. }
            | AyaMapError::InvalidMapType { .. } => {
                missing(format!("map `{}`: {}", error.map, error.source))
            }
            _ => error.into(),
        })?;
        let mut program = Program {
            attached: BTreeMap::new(),
            xdp_mode: self.xdp_mode,
            _pins: pins,
            ebpf,
        };
        for (ifindex, interface) in interfaces {
            program.attach(*ifindex, interface)?;
        }
        Ok((program, maps))
    }

    fn object(&self) -> Result<(Cow<'static, [u8]>, String), LoadError> {
        match &self.object {
            None => Ok((
                Cow::Borrowed(EMBEDDED),
                "the built-in kernel program".to_owned(),
            )),
            Some(path) => match fs::read(path) {
                Ok(octets) => Ok((Cow::Owned(octets), path.display().to_string())),
                Err(source) => Err(LoadError::Unreadable {
                    path: path.clone(),
                    source,
                }),
            },
        }
    }

    fn create(&self, object: &[u8], name: &str) -> Result<Ebpf, LoadError> {
        let instances = rows(self.sizes.instances);
        let addresses = rows(self.sizes.addresses);
        EbpfLoader::new()
            .map_max_entries(abi::map::INSTANCES, instances)
            .map_max_entries(abi::map::ACTIVES, instances)
            .map_max_entries(abi::map::REFUSALS, instances)
            .map_max_entries(abi::map::TOLD, instances)
            .map_max_entries(
                abi::map::PEERS,
                instances.saturating_mul(abi::PEERS_PER_INSTANCE),
            )
            .map_max_entries(abi::map::UNICAST_PEERS, rows(self.sizes.unicast_peers))
            .map_max_entries(abi::map::VIPS, addresses)
            .map_max_entries(abi::map::CLAIMS, addresses)
            .load(object)
            .map_err(|error| refused(name, error))
    }

    fn pin(&self, ebpf: &mut Ebpf) -> Result<Pins, LoadError> {
        let mut pins = Pins(Vec::new());
        for name in abi::map::ALL {
            if let Some(map) = ebpf.map(name) {
                pins.add(self.pin_dir.join(name), |path| map.pin(path))?;
            }
        }
        if let Some(xdp) = xdp(ebpf) {
            pins.add(self.pin_dir.join(abi::PROGRAM), |path| xdp.pin(path))?;
        }
        Ok(pins)
    }
}

impl Program {
    /// The program itself, to run it on frames that never were on a wire
    /// (`aya::TestRun`).
    #[must_use]
    pub fn xdp(&self) -> Option<&Xdp> {
        self.ebpf.program(abi::PROGRAM)?.try_into().ok()
    }

    /// By interface index, the mode in which the program runs: `driver` or
    /// `generic`.
    #[must_use]
    pub fn modes(&self) -> BTreeMap<u32, &'static str> {
        let mode = |(ifindex, attached): (&u32, &Attached)| (*ifindex, attached.mode);
        self.attached.iter().map(mode).collect()
    }

    /// Attaches the program to one more interface, and returns the mode in which it
    /// runs there. Nothing is attached after an error.
    ///
    /// # Errors
    /// [`LoadError::Attached`] without a [`detach`](Self::detach) since the last
    /// time, and what else prevents it.
    pub fn attach(&mut self, ifindex: u32, interface: &str) -> Result<&'static str, LoadError> {
        // The kernel would say that it is occupied, by us.
        if self.attached.contains_key(&ifindex) {
            return Err(LoadError::Attached {
                interface: interface.to_owned(),
                ifindex,
            });
        }
        let attached = self.try_modes(ifindex, interface)?;
        let mode = attached.mode;
        self.attached.insert(ifindex, attached);
        Ok(mode)
    }

    /// Takes the program off an interface; fine if it is not there. It is due for an
    /// interface that is gone, too: another may be given its index.
    pub fn detach(&mut self, ifindex: u32) {
        let Some(attached) = self.attached.remove(&ifindex) else {
            return;
        };
        if let Some(xdp) = xdp(&mut self.ebpf)
            && let Err(error) = xdp.detach(attached.link)
        {
            tracing::warn!(ifindex, %error, "the kernel program stays attached");
        }
    }

    fn try_modes(&mut self, ifindex: u32, interface: &str) -> Result<Attached, LoadError> {
        let mut try_mode = |mode| match xdp(&mut self.ebpf) {
            Some(xdp) => xdp.attach_to_if_index(ifindex, mode),
            None => Err(ProgramError::NotLoaded),
        };
        if self.xdp_mode != XdpMode::Generic {
            let error = match try_mode(AttachMode::Driver) {
                Ok(link) => {
                    return Ok(Attached {
                        mode: XdpMode::Driver.name(),
                        link,
                    });
                }
                Err(error) => error,
            };
            let reason = chain(&error);
            match attach_error(ifindex, interface, error) {
                LoadError::Attach { .. } if self.xdp_mode == XdpMode::Driver => {
                    return Err(LoadError::NoDriverMode {
                        interface: interface.to_owned(),
                        reason,
                    });
                }
                LoadError::Attach { .. } => tracing::warn!(
                    interface,
                    reason,
                    "the driver cannot run XDP programs: using the slower generic mode; \
                     xdp_mode = \"generic\" silences this"
                ),
                error => return Err(error),
            }
        }
        let link =
            try_mode(AttachMode::Skb).map_err(|error| attach_error(ifindex, interface, error))?;
        Ok(Attached {
            mode: XdpMode::Generic.name(),
            link,
        })
    }
}

/// Pins, removed when dropped.
struct Pins(Vec<PathBuf>);

impl Pins {
    fn add(
        &mut self,
        path: PathBuf,
        pin: impl FnOnce(&Path) -> Result<(), PinError>,
    ) -> Result<(), LoadError> {
        match fs::remove_file(&path) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(source) => return Err(LoadError::StalePin { path, source }),
        }
        match pin(&path) {
            Ok(()) => {
                self.0.push(path);
                Ok(())
            }
            // EPERM too: it is how a directory that is not on a bpffs is refused.
            Err(error) => Err(LoadError::Pin {
                path,
                source: Box::new(error),
            }),
        }
    }
}

impl Drop for Pins {
    fn drop(&mut self) {
        for path in &self.0 {
            if let Err(error) = fs::remove_file(path)
                && error.kind() != io::ErrorKind::NotFound
            {
                tracing::warn!(pin = %path.display(), %error, "a pin stays behind");
            }
        }
    }
}

fn xdp(ebpf: &mut Ebpf) -> Option<&mut Xdp> {
    ebpf.program_mut(abi::PROGRAM)?.try_into().ok()
}

/// A map has one row at least.
fn rows(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX).max(1)
}

/// What the program needs that is told by the version alone.
fn check_kernel() -> Result<(), LoadError> {
    // A version that cannot be told is no reason to refuse.
    let Ok(current) = KernelVersion::current() else {
        return Ok(());
    };
    if current < KernelVersion::new(5, 8, 0) {
        return Err(too_old(RING_BUFFER));
    }
    if current < KernelVersion::new(5, 9, 0) {
        return Err(too_old(("attaching XDP by a BPF link", "5.9")));
    }
    Ok(())
}

const RING_BUFFER: (&str, &str) = ("the BPF ring buffer", "5.8");

fn too_old((feature, needed): (&'static str, &'static str)) -> LoadError {
    let release = rustix::system::uname()
        .release()
        .to_string_lossy()
        .into_owned();
    LoadError::KernelTooOld {
        release,
        feature,
        needed,
    }
}

/// Why an object was not loaded.
fn refused(object: &str, error: EbpfError) -> LoadError {
    let object = object.to_owned();
    match errno(&error) {
        Some(libc::EPERM) => {
            return LoadError::NotPermitted {
                operation: format!("load {object}"),
            };
        }
        Some(libc::ENOSYS) => return LoadError::NoBpf,
        _ => {}
    }
    match error {
        EbpfError::ParseError(_)
        | EbpfError::BtfError(_)
        | EbpfError::NoBTF
        | EbpfError::RelocationError(_)
        | EbpfError::BtfRelocationError(_)
        | EbpfError::UnexpectedPinningType { .. } => LoadError::NotHarrier {
            object,
            reason: chain(&error),
        },
        EbpfError::MapError(AyaMapError::CreateError {
            ref name,
            ref io_error,
        }) if name == abi::map::EVENTS && io_error.raw_os_error() == Some(libc::EINVAL) => {
            too_old(RING_BUFFER)
        }
        error => LoadError::Refused {
            object,
            source: Box::new(error),
        },
    }
}

/// Why the program was not attached.
fn attach_error(ifindex: u32, interface: &str, error: ProgramError) -> LoadError {
    let interface = interface.to_owned();
    match errno(&error) {
        Some(libc::EBUSY | libc::EEXIST) => LoadError::Occupied { interface },
        Some(libc::ENODEV) => LoadError::NoInterface { interface, ifindex },
        Some(libc::EPERM) => LoadError::NotPermitted {
            operation: format!("attach the kernel program to {interface}"),
        },
        _ => LoadError::Attach {
            interface,
            source: Box::new(error),
        },
    }
}
