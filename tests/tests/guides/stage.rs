//! Where a guide is played: two machines with an example's files, a client, and
//! whatever else the guide has on its network.

use std::{
    fs, io,
    net::Ipv4Addr,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use ha_tests::{
    capture::Capture,
    daemon,
    lab::{Host, INTERFACE, Lab, ifindex},
    machine::{ETC, Machine},
    need,
    netlink::{PortState, set_port_state},
};

use super::router::{Peer, Router};

/// How long anything may take before it counts as failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Good answers that show that a service is there to stay: one second of them.
pub(crate) const STEADY: usize = 25;

const EXAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples");

/// The scene of one guide.
pub(crate) struct Stage {
    pub(crate) peer: Peer,
    /// The file that the routers are started with.
    pub(crate) stem: &'static str,
    pub(crate) primary: Machine,
    pub(crate) secondary: Machine,
    pub(crate) lab: Lab,
    has_private_network: bool,
}

impl Stage {
    /// Two nodes with the files of `examples/FOLDER`, and `more` for what else
    /// there is: node-c and so on.
    pub(crate) fn new(folder: &str, peer: Peer, more: u8) -> Result<Self> {
        need::tools(&["keepalived", "curl", "pidof", "pkill", "ping"])?;
        let lab = Lab::new(2 + more)?;
        let primary = Machine::boot(&lab, &lab.nodes[0])?;
        let secondary = Machine::boot(&lab, &lab.nodes[1])?;
        let example = Path::new(EXAMPLES).join(folder);
        for (machine, role) in [(&primary, "primary"), (&secondary, "secondary")] {
            let etc = machine.outside(&format!("{ETC}/x"));
            let etc = etc.parent().context("a directory")?;
            for source in [&example, &example.join(role)] {
                copy_files(source, etc)?;
            }
        }
        Ok(Self {
            peer,
            stem: "keepalived",
            primary,
            secondary,
            lab,
            has_private_network: false,
        })
    }

    /// Gives `host` addresses at `eth0` besides those of the laboratory.
    pub(crate) fn address(&self, host: &Host, addresses: &[&str]) -> Result<()> {
        let lines: String = addresses
            .iter()
            .map(|address| {
                let nodad = if address.contains(':') { " nodad" } else { "" };
                format!("addr add {address} dev {INTERFACE}{nodad}\n")
            })
            .collect();
        host.netns.ip(&lines)
    }

    /// A second switch, and at both machines `eth1` with these addresses.
    pub(crate) fn private_network(&mut self, addresses: [&str; 2]) -> Result<()> {
        let switch = &self.lab.switch;
        switch.ip(
            "link add br1 type bridge stp_state 0 forward_delay 0 mcast_snooping 0\nlink set br1 up",
        )?;
        for (machine, address) in [&self.primary, &self.secondary].into_iter().zip(addresses) {
            let host = &machine.host;
            let port = private_port(host);
            switch.ip(&format!(
                "link add {port} type veth peer name eth1 netns {}\n\
                 link set {port} master br1\nlink set {port} up\n",
                host.netns.name()
            ))?;
            host.netns
                .ip(&format!("link set eth1 up\naddr add {address} dev eth1\n"))?;
        }
        self.has_private_network = true;
        Ok(())
    }

    /// Cuts `machine`, which is MASTER, off every network, right after an
    /// advertisement of its own: Active_Down_Interval counts in full, for everyone.
    pub(crate) fn cut(&self, machine: &Machine) -> Result<()> {
        let port = if self.has_private_network {
            private_port(&machine.host)
        } else {
            machine.host.name.clone()
        };
        let capture = Capture::start(&self.lab.switch, &port)?;
        capture.await_frame("an advertisement", 0, PATIENCE, |frame| {
            !frame.outgoing && frame.advert().is_some()
        })?;
        self.lab.cut(&machine.host)?;
        self.set_private_port(machine, PortState::Disabled)
    }

    /// Ends a [`cut`](Self::cut).
    pub(crate) fn mend(&self, machine: &Machine) -> Result<()> {
        self.lab.mend(&machine.host)?;
        self.set_private_port(machine, PortState::Forwarding)
    }

    fn set_private_port(&self, machine: &Machine, state: PortState) -> Result<()> {
        if !self.has_private_network {
            return Ok(());
        }
        let port = ifindex(&self.lab.switch, &private_port(&machine.host))?;
        self.lab.switch.enter(|| set_port_state(port, state))?
    }

    /// Starts the router under test on `machine`.
    pub(crate) fn router(&self, machine: &Machine) -> Result<Router> {
        Router::start(self.peer, machine, self.stem)
    }

    /// Edits a file of `machine`'s `/etc/keepalived`; `from` has to be in it.
    pub(crate) fn edit(&self, machine: &Machine, file: &str, from: &str, to: &str) -> Result<()> {
        let path = machine.outside(&format!("{ETC}/{file}"));
        let text =
            fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        ensure!(text.contains(from), "no {from:?} in {file}");
        fs::write(&path, text.replace(from, to))
            .with_context(|| format!("cannot write {}", path.display()))
    }

    /// What `harrier check` says of a machine's configuration, which it is to accept.
    pub(crate) fn check(&self, machine: &Machine) -> Result<String> {
        let mut command = machine.command(daemon::binary()?);
        command.args(["check", &self.peer.config(self.stem)]);
        let out = machine.output(&mut command)?;
        let said = String::from_utf8_lossy(&[out.stdout, out.stderr].concat()).into_owned();
        ensure!(out.status.success(), "`harrier check` fails: {said}");
        Ok(said)
    }

    /// Starts both routers in the order that the guides have: the primary first, and
    /// the secondary when that is MASTER of `instance`. Started at once they would
    /// both be for a moment, and whose script moves an address last is chance.
    pub(crate) fn routers(&self, instance: &str) -> Result<(Router, Router)> {
        if self.peer.is_harrier() {
            for machine in [&self.primary, &self.secondary] {
                let said = self.check(machine)?;
                ensure!(!said.contains("Warning"), "`harrier check` warns: {said}");
            }
        }
        let mut a = self.router(&self.primary)?;
        a.await_state(instance, "MASTER", PATIENCE)?;
        Ok((a, self.router(&self.secondary)?))
    }

    /// Adds `text` to a file of `machine`'s `/etc/keepalived`.
    pub(crate) fn append(&self, machine: &Machine, file: &str, text: &str) -> Result<()> {
        use io::Write as _;
        let path = machine.outside(&format!("{ETC}/{file}"));
        let name = || format!("cannot write {}", path.display());
        let mut file = fs::File::options()
            .append(true)
            .open(&path)
            .with_context(name)?;
        file.write_all(text.as_bytes()).with_context(name)
    }

    /// The machine asks the cloud's metadata service, with `source` as its address.
    pub(crate) fn route_to_metadata(&self, machine: &Machine, source: Ipv4Addr) -> Result<()> {
        let address = ha_tests::cloud::METADATA;
        machine.host.netns.ip(&format!(
            "route add {address}/32 dev {INTERFACE} src {source}\n"
        ))
    }

    /// The machine serves `address`, which comes to it by routes.
    pub(crate) fn serve_at(&self, machine: &Machine, address: Ipv4Addr) -> Result<()> {
        machine
            .host
            .netns
            .ip(&format!("addr add {address}/32 dev lo\n"))
    }
}

fn private_port(host: &Host) -> String {
    format!("{}-1", host.name)
}

/// Copies the files of `source` (not those below) to `target`, with their modes.
fn copy_files(source: &Path, target: &Path) -> Result<()> {
    let entries =
        fs::read_dir(source).with_context(|| format!("cannot read {}", source.display()))?;
    for entry in entries {
        let path: PathBuf = entry?.path();
        if path.is_file() {
            let name = path.file_name().context("a name")?;
            let copy = target.join(name);
            fs::copy(&path, &copy).with_context(|| format!("cannot copy {}", path.display()))?;
            let script = fs::read(&path)?.starts_with(b"#!");
            // As a person would install them.
            let mode = if script { 0o755 } else { 0o644 };
            fs::set_permissions(&copy, fs::Permissions::from_mode(mode))?;
        }
    }
    Ok(())
}

/// Waits until the file that is `path` on `machine` holds `wanted`.
pub(crate) fn await_file(machine: &Machine, path: &str, wanted: &str) -> Result<()> {
    let outside = machine.outside(path);
    let give_up_at = Instant::now() + PATIENCE;
    loop {
        let text = fs::read_to_string(&outside).unwrap_or_default();
        if text == wanted {
            return Ok(());
        }
        ensure!(
            Instant::now() < give_up_at,
            "{path} on {} is {text:?}, not {wanted:?}",
            machine.host.name
        );
        // A file gives no event worth the machinery.
        thread::sleep(Duration::from_millis(20));
    }
}
