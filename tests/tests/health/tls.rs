//! Certificates, against the server of OpenSSL.

use std::{fs, path::Path, process::Command};

use anyhow::{Context as _, Result, ensure};
use ha_tests::{
    command,
    daemon::{Harrier, Instance},
    lab::{Host, Lab},
    need,
    process::Process,
};

use crate::scene::{VIP_CIDR, await_check, check};

/// A certificate of an authority of its own, for `www.example.org`: `name.pem` and
/// `name.key`; the authority's is `name-ca.pem`.
fn certificate(directory: &Path, name: &str) -> Result<()> {
    let script = format!(
        "set -e\n\
         key='-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes'\n\
         openssl req -x509 $key -days 2 -subj '/CN={name} authority' \
             -keyout {name}-ca.key -out {name}-ca.pem\n\
         openssl req $key -subj /CN=www.example.org -keyout {name}.key -out {name}.csr\n\
         echo subjectAltName=DNS:www.example.org >{name}.ext\n\
         openssl x509 -req -in {name}.csr -CA {name}-ca.pem -CAkey {name}-ca.key \
             -CAcreateserial -days 2 -extfile {name}.ext -out {name}.pem\n"
    );
    let mut shell = Command::new("sh");
    shell.args(["-c", &script]).current_dir(directory);
    command::checked(&mut shell, "").map(drop)
}

fn server(host: &Host, directory: &Path, name: &str, port: u16) -> Result<Process> {
    let mut openssl = host.netns.command("openssl");
    openssl.current_dir(directory).args([
        "s_server",
        "-accept",
        &format!("127.0.0.1:{port}"),
        "-cert",
        &format!("{name}.pem"),
        "-key",
        &format!("{name}.key"),
        "-www",
    ]);
    let log = directory.join(format!("{name}.log"));
    Process::start(format!("openssl s_server {name}"), &mut openssl, log)
}

#[test]
fn certificates_are_verified_unless_told_otherwise() -> Result<()> {
    need::tools(&["openssl"])?;
    let lab = Lab::new(1)?;
    let host = &lab.nodes[0];
    let directory = lab.directory("certificates")?;
    for name in ["known", "unknown"] {
        certificate(&directory, name)?;
    }
    let mut servers = [
        server(host, &directory, "known", 8443)?,
        server(host, &directory, "unknown", 8444)?,
    ];
    servers.iter_mut().for_each(Process::quiet);
    let https = |name: &str, port: u16, lines: &str| {
        check(
            name,
            &format!(
                "kind = \"http\"\nurl = \"https://127.0.0.1:{port}/\"\ninterval = \"200ms\"\n\
                 timeout = \"5s\"\nweight = -1\n{lines}"
            ),
        )
    };
    let named = "host = \"www.example.org\"";
    let lines = [
        "track_checks = [\"valid\", \"other-name\", \"stranger\", \"any\"]\n".to_owned(),
        https("valid", 8443, named),
        https("other-name", 8443, "host = \"www.example.com\""),
        https("stranger", 8444, named),
        https("any", 8444, "verify = false"),
    ]
    .concat();
    let roots = format!("SSL_CERT_FILE={}", directory.join("known-ca.pem").display());
    let instance = Instance::new(100, &[VIP_CIDR]).with(&lines);
    let mut harrier = Harrier::start_by(
        &lab,
        host,
        &["env", "-u", "SSL_CERT_DIR", &roots],
        &[instance],
    )?;
    for (name, state, part) in [
        ("valid", "passing", "status 200"),
        ("any", "passing", "status 200"),
        ("other-name", "failing", "not valid for name"),
        ("stranger", "failing", "UnknownIssuer"),
    ] {
        let row = await_check(&mut harrier, name, |check| {
            check.state == state
                && check.rounds > 1
                && check.text.as_deref().is_some_and(|it| it.contains(part))
        })?;
        let text = row.text.context("nothing is said")?;
        if state == "failing" {
            ensure!(text.starts_with("TLS with 127.0.0.1: "), "{text}");
        }
    }
    harrier.stop()?;
    // An empty file: nobody can be trusted, which is said.
    fs::write(directory.join("known-ca.pem"), "")?;
    let lines = format!(
        "track_checks = [\"valid\"]\n{}",
        https("valid", 8443, named)
    );
    let instance = Instance::new(100, &[VIP_CIDR]).with(&lines);
    let mut harrier = Harrier::start_by(
        &lab,
        host,
        &["env", "-u", "SSL_CERT_DIR", &roots],
        &[instance],
    )?;
    let row = await_check(&mut harrier, "valid", |check| check.state == "failing")?;
    let text = row.text.context("nothing is said")?;
    ensure!(text.contains("no root certificates"), "{text}");
    harrier.stop()
}
