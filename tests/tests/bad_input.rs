//! What cannot work is refused: one clear message that names the thing and the
//! remedy, a non-zero status, and nothing left on the host.

use std::{
    fs,
    os::unix::{fs::chown, net::UnixListener},
    path::Path,
    process::Command,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use ha_tests::{
    command,
    daemon::{Harrier, Instance, binary, run_command, run_to_failure},
    lab::{Host, INTERFACE, Lab},
    need,
    run::mounts_below,
    xdp::OtherProgram,
};

const PATIENCE: Duration = Duration::from_secs(20);

/// uid and gid of `nobody`, who may do nothing special.
const NOBODY: u32 = 65534;

fn good() -> String {
    Instance::new(200, &["10.77.0.100/16"]).to_toml()
}

/// One clear message: `words` are in it, and no page of text, no panic.
fn says(log: &str, words: &[&str]) -> Result<()> {
    for word in words {
        ensure!(log.contains(word), "{word:?} is not said:\n{log}");
    }
    for noise in ["panicked", "RUST_BACKTRACE", "stack backtrace"] {
        ensure!(
            !log.contains(noise),
            "{noise} in a message for people:\n{log}"
        );
    }
    ensure!(log.lines().count() <= 15, "more than one message:\n{log}");
    Ok(())
}

/// No address, no program, no pin, no mount, no socket.
fn nothing_left(host: &Host, runtime_directory: &Path) -> Result<()> {
    ensure!(!host.has("10.77.0.100")?, "an address is left");
    ensure!(!host.has_xdp()?, "a program is left attached");
    nothing_below(runtime_directory)
}

fn nothing_below(runtime_directory: &Path) -> Result<()> {
    let mounts = mounts_below(runtime_directory);
    ensure!(mounts.is_empty(), "mounts are left: {mounts:?}");
    let left: Vec<_> = fs::read_dir(runtime_directory)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .collect();
    ensure!(left.is_empty(), "files are left: {left:?}");
    Ok(())
}

/// Runs Harrier with `text` on a fresh node: it is to fail and to say `words`.
fn refused(text: &str, words: &[&str]) -> Result<()> {
    let lab = Lab::new(1)?;
    let host = &lab.nodes[0];
    let (command, runtime_directory) = run_command(&lab, host, "node", text)?;
    let (status, log) = run_to_failure(command, lab.root_directory().join("log"))?;
    ensure!(!status.success(), "it ended with {status}:\n{log}");
    says(&log, words)?;
    nothing_left(host, &runtime_directory)
}

#[test]
fn an_interface_that_is_no_ethernet() -> Result<()> {
    let instance = Instance {
        interface: "tun0".into(),
        ..Instance::new(200, &["10.77.0.100/16"])
    };
    let lab = Lab::new(1)?;
    let host = &lab.nodes[0];
    host.netns.ip("tuntap add dev tun0 mode tun\n")?;
    let (command, runtime_directory) = run_command(&lab, host, "node", &instance.to_toml())?;
    let (status, log) = run_to_failure(command, lab.root_directory().join("log"))?;
    ensure!(!status.success(), "it ended with {status}:\n{log}");
    says(&log, &["tun0", "Ethernet"])?;
    nothing_left(host, &runtime_directory)
}

#[test]
fn a_configuration_error() -> Result<()> {
    refused(
        &good().replace("vrid = 51", "vrid = 0"),
        &["harrier.toml", "vrid", "255"],
    )
}

#[test]
fn an_unknown_field() -> Result<()> {
    refused(
        &format!("{}prioritty = 3\n", good()),
        &["harrier.toml", "prioritty"],
    )
}

#[test]
fn no_privilege() -> Result<()> {
    need::tools(&["setpriv"])?;
    let lab = Lab::new(1)?;
    let host = &lab.nodes[0];
    let directory = lab.directory("node")?;
    // Privilege is to be all that is missing: nobody may run the binary, read
    // the configuration and write the runtime directory.
    let copy = directory.join("harrier");
    fs::copy(binary()?, &copy).context("cannot copy the binary")?;
    let config = directory.join("harrier.toml");
    fs::write(&config, good()).context("cannot write the configuration")?;
    let runtime_directory = directory.join("run");
    fs::create_dir(&runtime_directory).context("cannot make the runtime directory")?;
    chown(&runtime_directory, Some(NOBODY), Some(NOBODY)).context("cannot chown")?;

    let mut command = host.netns.command("setpriv");
    command.args([
        "--reuid=65534",
        "--regid=65534",
        "--clear-groups",
        "--inh-caps=-all",
    ]);
    command.arg(&copy).arg("run").arg("--config").arg(&config);
    command.arg("--runtime-dir").arg(&runtime_directory);
    let (status, log) = run_to_failure(command, directory.join("log"))?;
    ensure!(!status.success(), "it ended with {status}:\n{log}");
    says(&log, &["root", "CAP_NET_ADMIN", "CAP_BPF"])?;
    nothing_left(host, &runtime_directory)
}

#[test]
fn a_runtime_directory_in_use() -> Result<()> {
    let lab = Lab::new(2)?;
    let (host_a, host_b) = lab.pair();
    let mut first = Harrier::start(&lab, host_a, &[Instance::new(200, &["10.77.0.100/16"])])?;
    first.await_state("web", "active", PATIENCE)?;
    let runtime_directory = first.runtime_directory().display().to_string();

    let config = lab.directory("second")?.join("harrier.toml");
    fs::write(&config, good()).context("cannot write the configuration")?;
    let mut command = host_b.netns.command(binary()?);
    command
        .arg("run")
        .arg("--config")
        .arg(&config)
        .args(["--runtime-dir", &runtime_directory]);
    let (status, log) = run_to_failure(command, lab.root_directory().join("log"))?;
    ensure!(!status.success(), "it ended with {status}:\n{log}");
    let pid = first.process.id().to_string();
    says(&log, &[&runtime_directory, &pid, "--runtime-dir"])?;
    ensure!(!host_b.has("10.77.0.100")? && !host_b.has_xdp()?);

    // The first one has not noticed.
    first.await_state("web", "active", PATIENCE)?;
    ensure!(first.runtime_directory().join("bpf/peers").exists());
    first.stop()
}

#[test]
fn another_program_is_attached() -> Result<()> {
    let lab = Lab::new(1)?;
    let host = &lab.nodes[0];
    let other = OtherProgram::attach(&host.netns, INTERFACE)?;
    ensure!(host.has_xdp()?, "the other program is attached");
    let (command, runtime_directory) = run_command(&lab, host, "node", &good())?;
    let (status, log) = run_to_failure(command, lab.root_directory().join("log"))?;
    ensure!(!status.success(), "it ended with {status}:\n{log}");
    says(&log, &[INTERFACE, "XDP"])?;
    ensure!(host.has_xdp()?, "the other program is gone");
    drop(other);
    nothing_left(host, &runtime_directory)
}

#[test]
fn a_control_socket_that_no_one_answers() -> Result<()> {
    let lab = Lab::new(1)?;
    let empty = lab.directory("empty")?;
    let stale = lab.directory("stale")?;
    // A socket whose owner is gone: the file stays, nobody accepts.
    drop(UnixListener::bind(stale.join("control.sock")).context("cannot bind")?);
    for directory in [empty, stale] {
        for subcommand in ["status", "peers"] {
            let mut command = Command::new(binary()?);
            command.arg(subcommand).arg("--runtime-dir").arg(&directory);
            let out = command::output(&mut command, "")?;
            ensure!(
                !out.status.success(),
                "{subcommand} ended with {}",
                out.status
            );
            let said = String::from_utf8_lossy(&out.stderr);
            says(
                &said,
                &[&directory.display().to_string(), "harrier run --config"],
            )?;
        }
    }
    Ok(())
}
