//! The command line from outside: words, streams, exit statuses. Needs no
//! privilege and no network.

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    os::unix::net::UnixListener,
    path::Path,
    process::{Command, Output, Stdio},
    thread,
};

use anyhow::{Context as _, Result, ensure};
use ha_tests::daemon::{Instance, binary};

const REPORT: &str = "\
harrier: FILE: 1 error
Error: there is no VRID 300
   ╭─[ FILE:4:8 ]
   │
 4 │ vrid = 300
   │        ─┬─
   │         ╰─── expected 1 to 255
";

fn harrier(arguments: &[&str]) -> Result<Output> {
    Command::new(binary()?)
        .args(arguments)
        .env_remove("RUST_LOG")
        .stdin(Stdio::null())
        .output()
        .context("cannot run harrier")
}

fn text(octets: &[u8]) -> String {
    String::from_utf8_lossy(octets).into_owned()
}

/// Writes `content` to a file in `directory` and returns its path.
fn file(directory: &Path, content: &str) -> Result<String> {
    let path = directory.join("harrier.toml");
    fs::write(&path, content)?;
    Ok(path.to_str().context("a path that is no text")?.to_owned())
}

/// The configuration with an interface that no host has: `check` tells of addresses
/// that do not fit those of this one.
fn elsewhere(content: &str) -> String {
    content.replace("\"eth0\"", "\"none0\"")
}

/// Exit status, standard output, standard error.
fn ends(out: &Output, status: i32, stdout: &str, stderr: &str) -> Result<()> {
    let (out_text, err_text) = (text(&out.stdout), text(&out.stderr));
    ensure!(
        out.status.code() == Some(status),
        "{}: {out_text}{err_text}",
        out.status
    );
    ensure!(
        out_text == stdout,
        "standard output is {out_text:?}, not {stdout:?}"
    );
    ensure!(
        err_text == stderr,
        "standard error is {err_text:?}, not {stderr:?}"
    );
    Ok(())
}

#[test]
fn check_summarises_a_good_file() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let mut instance = Instance::new(100, &["10.77.0.100/16", "10.77.0.101/16"]);
    instance.preempt = false;
    let file = file(directory.path(), &elsewhere(&instance.to_toml()))?;
    ends(
        &harrier(&["check", &file])?,
        0,
        "web: VRID 51 on none0, VRRPv3 IPv4, priority 100, advertises every 100 ms, \
         Active_Down_Interval 360.938 ms, does not preempt, 10.77.0.100/16 10.77.0.101/16\n",
        "",
    )
}

#[test]
fn check_says_what_is_not_as_by_default() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let instance = Instance::new(100, &["10.77.0.100/16"]);
    let content = format!(
        "startup_delay = \"10s\"\n{}preempt_delay = \"5s\"\n\
         routes = [{{ to = \"default\", via = \"10.77.0.1\" }}]\n",
        instance.to_toml()
    );
    let file = file(directory.path(), &elsewhere(&content))?;
    ends(
        &harrier(&["check", &file])?,
        0,
        "daemon: no take-over for 10s after the start\n\
         web: VRID 51 on none0, VRRPv3 IPv4, priority 100, advertises every 100 ms, \
         Active_Down_Interval 360.938 ms, 10.77.0.100/16\n\
         \x20 preempts after 5s\n\
         \x20 route to 0.0.0.0/0 via 10.77.0.1\n",
        "",
    )
}

#[test]
fn check_and_run_show_what_is_wrong_where_and_do_nothing_else() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let content = Instance::new(100, &["10.77.0.100/16"])
        .to_toml()
        .replace("vrid = 51", "vrid = 300");
    let file = file(directory.path(), &content)?;
    let runtime = directory.path().join("run");
    let runtime = runtime.to_str().context("a path that is no text")?;
    let report = REPORT.replace("FILE", &file);
    for arguments in [
        &["check", &file][..],
        &["run", "--config", &file, "--runtime-dir", runtime],
    ] {
        let out = harrier(arguments)?;
        let stderr = text(&out.stderr);
        ensure!(stderr.starts_with(&report), "{arguments:?}: {stderr}");
        ends(&out, 1, "", &stderr)?;
        ensure!(
            !Path::new(runtime).exists(),
            "{arguments:?} made a runtime directory"
        );
    }
    Ok(())
}

#[test]
fn a_file_that_is_not_there_is_named_with_the_reason() -> Result<()> {
    ends(
        &harrier(&["check", "/nonexistent/harrier.toml"])?,
        1,
        "",
        "harrier: cannot read the configuration file /nonexistent/harrier.toml: No such file or \
         directory (os error 2)\n",
    )
}

#[test]
fn wrong_usage_is_status_2() -> Result<()> {
    for arguments in [
        &[][..],
        &["fly"],
        &["run"],
        &["check"],
        &["status", "--jsn"],
        &["run", "--config", "x", "--log-level", "x=y=z"],
    ] {
        let out = harrier(arguments)?;
        ensure!(
            out.status.code() == Some(2),
            "{arguments:?}: {}",
            out.status
        );
        ensure!(
            out.stdout.is_empty() && !out.stderr.is_empty(),
            "{arguments:?}: {out:?}"
        );
    }
    Ok(())
}

#[test]
fn help_is_complete_and_has_examples() -> Result<()> {
    let help = text(&harrier(&["--help"])?.stdout);
    for subcommand in ["run", "check", "status", "peers", "counters"] {
        ensure!(
            help.contains(&format!("  {subcommand} ")),
            "{subcommand} is not in {help}"
        );
        let out = harrier(&[subcommand, "--help"])?;
        let example = format!("Examples:\n  harrier {subcommand}");
        ensure!(out.status.success(), "{subcommand}: {}", out.status);
        ensure!(
            text(&out.stdout).contains(&example),
            "{subcommand} has no example"
        );
    }
    Ok(())
}

#[test]
fn without_a_daemon_the_socket_and_the_remedy_are_named() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let runtime = directory
        .path()
        .to_str()
        .context("a path that is no text")?;
    let socket = format!("{runtime}/control.sock");
    let asks = |words: &str| -> Result<()> {
        for subcommand in ["status", "peers", "counters"] {
            let out = harrier(&[subcommand, "--json", "--runtime-dir", runtime])?;
            let stderr = text(&out.stderr);
            for part in [words, &socket, "harrier run --config FILE"] {
                ensure!(stderr.contains(part), "{part:?} is not in {stderr}");
            }
            ensure!(
                stderr.lines().count() == 1,
                "more than one message: {stderr}"
            );
            ends(&out, 1, "", &stderr)?;
        }
        Ok(())
    };
    asks("there is no control socket")?;
    drop(UnixListener::bind(&socket)?);
    asks("nobody listens")
}

#[test]
fn a_daemon_that_does_not_answer_is_given_up() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let runtime = directory
        .path()
        .to_str()
        .context("a path that is no text")?;
    // Connections are queued, and nobody takes them off.
    let _listener = UnixListener::bind(directory.path().join("control.sock"))?;
    let out = harrier(&["status", "--runtime-dir", runtime])?;
    let stderr = text(&out.stderr);
    ensure!(stderr.contains("control.sock within 2 s"), "{stderr}");
    ends(&out, 1, "", &stderr)
}

/// What one client sends to a daemon that answers `reply`, and what it then
/// prints.
fn answered(arguments: &[&str], reply: &'static str) -> Result<(String, Output)> {
    let directory = tempfile::tempdir()?;
    let runtime = directory
        .path()
        .to_str()
        .context("a path that is no text")?;
    let listener = UnixListener::bind(directory.path().join("control.sock"))?;
    let daemon = thread::spawn(move || -> Result<String> {
        let (mut stream, _) = listener.accept()?;
        let mut request = String::new();
        BufReader::new(stream.try_clone()?).read_line(&mut request)?;
        stream.write_all(reply.as_bytes())?;
        Ok(request)
    });
    let out = harrier(&[arguments, &["--runtime-dir", runtime]].concat())?;
    let request = daemon
        .join()
        .map_err(|_| anyhow::anyhow!("the daemon panicked"))??;
    Ok((request, out))
}

#[test]
fn peers_and_counters_print_what_the_daemon_says() -> Result<()> {
    const PEERS: &str = concat!(
        r#"[{"instance":"web","address":"10.77.0.2","mac":"02:00:00:00:00:02","priority":100,"#,
        r#""version":3,"advert_interval_ms":100,"adverts":7,"last_advert_age_ms":42.5}]"#
    );
    const PEERS_REPLY: &str = concat!(
        r#"{"peers":[{"instance":"web","address":"10.77.0.2","mac":"02:00:00:00:00:02","#,
        r#""priority":100,"version":3,"advert_interval_ms":100,"adverts":7,"#,
        r#""last_advert_age_ms":42.5}]}"#,
        "\n"
    );
    let (request, out) = answered(&["peers", "--json"], PEERS_REPLY)?;
    ensure!(request == "{\"request\":\"peers\"}\n", "asked {request:?}");
    ends(&out, 0, &format!("{PEERS}\n"), "")?;
    let (_, out) = answered(&["peers"], PEERS_REPLY)?;
    ends(
        &out,
        0,
        "INSTANCE  ADDRESS    MAC                PRIORITY  VRRP  ADVERT  ADVERTS  LAST\n\
         web       10.77.0.2  02:00:00:00:00:02  100       v3    100 ms  7        42.5 ms ago\n",
        "",
    )?;
    let (request, out) = answered(&["counters", "--json"], "{\"counters\":{\"accepted\":3}}\n")?;
    ensure!(
        request == "{\"request\":\"counters\"}\n",
        "asked {request:?}"
    );
    ends(&out, 0, "{\"accepted\":3}\n", "")
}

#[test]
fn what_a_daemon_refuses_or_garbles_is_a_failure() -> Result<()> {
    for (reply, words) in [
        ("{\"error\":\"out of order\"}\n", "says: out of order"),
        ("not json\n", "cannot understand the answer"),
        ("", "hung up"),
    ] {
        let (_, out) = answered(&["status"], reply)?;
        let stderr = text(&out.stderr);
        ensure!(stderr.contains(words), "{words:?} is not in {stderr}");
        ends(&out, 1, "", &stderr)?;
    }
    Ok(())
}

#[test]
fn no_colour_where_nobody_sees_it() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let file = file(directory.path(), "name = web")?;
    let out = harrier(&["check", &file])?;
    ensure!(!out.stderr.contains(&0x1b), "{}", text(&out.stderr));
    Ok(())
}

/// A keepalived.conf is told by what is in it; what it comes to in TOML is taken.
#[test]
fn a_keepalived_conf_is_checked_and_converted() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("keepalived.conf");
    let text = "vrrp_instance VI {\n  interface none0\n  virtual_router_id 51\n  @here priority 150\n  \
                bogus 1\n  virtual_ipaddress { 10.0.0.1/24 }\n}\n";
    fs::write(&path, text)?;
    let path = path.to_str().context("a path that is no text")?;
    let warning = |word: &str| {
        // As far as the line itself.
        format!(
            "{word}: there is no keyword \"bogus\" in vrrp_instance\n   ╭─[ {path}:5:3 ]\n   │\n \
             5 │   bogus 1\n"
        )
    };

    let out = harrier(&["check", path, "--config-id", "here"])?;
    ensure!(out.status.code() == Some(0), "{out:?}");
    ensure!(
        text_of(&out)
            .0
            .contains("VI: VRID 51 on none0, VRRPv2 IPv4, priority 150")
    );
    ensure!(text_of(&out).1.starts_with(&warning("Warning")), "{out:?}");
    let out = harrier(&["check", "--strict", path])?;
    ensure!(out.status.code() == Some(1), "{out:?}");
    ensure!(text_of(&out).1.contains(&warning("Error")), "{out:?}");
    let out = harrier(&["check", "--format", "toml", path])?;
    ensure!(out.status.code() == Some(1), "{out:?}");
    let out = harrier(&["check", "--format", "yaml", path])?;
    ensure!(out.status.code() == Some(2), "{out:?}");

    let out = harrier(&["convert", path, "--config-id", "here"])?;
    let toml = format!(
        "# {path}:5:3: there is no keyword \"bogus\" in vrrp_instance: passed over, with its block if it \
         has one, as keepalived does\n\n[[instance]]\nname = \"VI\"\ninterface = \"none0\"\nvrid = 51\n\
         version = 2\npriority = 150\naddresses = [\"10.0.0.1/24\"]\n"
    );
    ends(&out, 0, &toml, "")?;
    let converted = file(directory.path(), &toml)?;
    let again = harrier(&["convert", &converted])?;
    let (_, plain) = toml.split_once("\n\n").context("comments in front")?;
    ends(&again, 0, plain, "")?;

    fs::write(path, "vrrp_instance VI {\n}\n")?;
    let out = harrier(&["convert", path])?;
    ensure!(
        out.status.code() == Some(1) && out.stdout.is_empty(),
        "{out:?}"
    );
    ensure!(text_of(&out).1.contains(": 2 errors"), "{out:?}");
    Ok(())
}

fn text_of(out: &Output) -> (String, String) {
    (text(&out.stdout), text(&out.stderr))
}
