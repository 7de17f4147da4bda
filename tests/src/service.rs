//! Debian's nginx and haproxy on a machine, with configurations made here and
//! no file outside the machine's own.

use std::{fs, net::SocketAddr, time::Duration};

use anyhow::{Context as _, Result};
use rustix::process::Signal;

use crate::{machine::Machine, need, process::Process};

/// What serves the address.
#[derive(Debug)]
pub struct Service {
    /// Its process.
    pub process: Process,
}

impl Service {
    /// Starts nginx on every address of `machine`, port 80. It answers `/` with
    /// the machine's name itself, or passes it on to `upstream`, whose answers
    /// have to hold the name; the header `X-Served-By` goes with the request.
    ///
    /// # Errors
    /// If nginx is not installed or does not come up.
    pub fn nginx(machine: &Machine, upstream: Option<SocketAddr>) -> Result<Self> {
        need::tools(&["nginx"])?;
        let directory = machine.shared_directory("nginx")?;
        let name = &machine.host.name;
        let location = upstream.map_or_else(
            || format!("return 200 \"{name}\\n\";"),
            |upstream| {
                format!("proxy_pass http://{upstream};\n      proxy_set_header X-Served-By {name};")
            },
        );
        let own = directory.display();
        let config = directory.join("nginx.conf");
        let text = format!(
            "user root;\nworker_processes 1;\npid {own}/nginx.pid;\ndaemon off;\n\
             error_log stderr warn;\nevents {{ worker_connections 256; }}\n\
             http {{\n  access_log off;\n\
             \x20 client_body_temp_path {own}/body;\n  proxy_temp_path {own}/proxy;\n\
             \x20 fastcgi_temp_path {own}/fastcgi;\n  uwsgi_temp_path {own}/uwsgi;\n\
             \x20 scgi_temp_path {own}/scgi;\n\
             \x20 server {{\n    listen 80;\n    listen [::]:80;\n\
             \x20   location = /nginx_health {{ return 200 \"fine\\n\"; }}\n\
             \x20   location / {{\n      {location}\n    }}\n  }}\n}}\n"
        );
        fs::write(&config, text).with_context(|| format!("cannot write {}", config.display()))?;
        let mut command = machine.command("nginx");
        command
            .args(["-e", "stderr", "-p"])
            .arg(&directory)
            .arg("-c")
            .arg(&config);
        let process = machine.start("nginx", &mut command)?;
        let service = Self { process };
        service.await_port(machine)
    }

    /// Starts haproxy on every IPv4 address of `machine`, port 80, in front of
    /// `backends`, whose answers have to hold the machine's name, which goes with
    /// the request as `X-Served-By`.
    ///
    /// # Errors
    /// If haproxy is not installed or does not come up.
    pub fn haproxy(machine: &Machine, backends: &[SocketAddr]) -> Result<Self> {
        need::tools(&["haproxy"])?;
        let directory = machine.shared_directory("haproxy")?;
        let config = directory.join("haproxy.cfg");
        let name = &machine.host.name;
        let servers: String = backends
            .iter()
            .enumerate()
            .map(|(number, backend)| format!("    server web{number} {backend}\n"))
            .collect();
        let text = format!(
            "global\n    maxconn 200\n    nbthread 1\n\
             defaults\n    mode http\n    timeout connect 2s\n    timeout client 5s\n    \
             timeout server 5s\n\
             listen webapp\n    bind :80\n    balance roundrobin\n    \
             http-request set-header X-Served-By {name}\n{servers}"
        );
        fs::write(&config, text).with_context(|| format!("cannot write {}", config.display()))?;
        let mut command = machine.command("haproxy");
        command.arg("-db").arg("-f").arg(&config);
        let process = machine.start("haproxy", &mut command)?;
        let service = Self { process };
        service.await_port(machine)
    }

    fn await_port(mut self, machine: &Machine) -> Result<Self> {
        let give_up_at = std::time::Instant::now() + Duration::from_secs(20);
        let target: SocketAddr = ([127, 0, 0, 1], 80).into();
        loop {
            let answered = machine
                .host
                .netns
                .enter(|| std::net::TcpStream::connect(target).is_ok())?;
            if answered {
                return Ok(self);
            }
            let ended = self.process.ended()?;
            if ended.is_some() || std::time::Instant::now() > give_up_at {
                anyhow::bail!(
                    "nobody listens at {target} on {}: {}",
                    machine.host.name,
                    self.process.log()
                );
            }
            // A port gives no event.
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// As `pkill` does it: SIGTERM, which drops all connections.
    ///
    /// # Errors
    /// If it does not end.
    pub fn stop(&mut self) -> Result<()> {
        self.process.signal(Signal::TERM)?;
        self.process.await_end(Duration::from_secs(10)).map(drop)
    }
}
