//! What checks look at, and what counts for whom: a line for each.

use std::fmt::Write as _;

use super::details::program;
use crate::config::{
    CheckConfig, CheckKind, Config, FileReads, ProcessMatch, RunAs, Target, TlsCheck, TrackedCheck,
    TrackedInterface, format_duration,
};

/// A line for each check. Arguments, and path and query of a url, may be secrets.
pub(super) fn lines(config: &Config) -> impl Iterator<Item = String> {
    config.checks.iter().map(|check| {
        let CheckConfig {
            name,
            kind,
            interval,
            timeout,
            rise,
            fall,
            init_fail,
        } = check;
        let mut line = format!("check {name}: {}", looked_at(kind));
        if matches!(kind, CheckKind::Interface(_)) {
            return line;
        }
        let _ = write!(line, ", every {}", format_duration(*interval));
        if timeout != interval {
            let _ = write!(line, ", timeout {}", format_duration(*timeout));
        }
        for (rounds, turn) in [(rise, "passes"), (fall, "fails")] {
            if *rounds > 1 {
                let _ = write!(line, ", {turn} after {rounds} in a row");
            }
        }
        if *init_fail {
            line.push_str(", fails at first");
        }
        line
    })
}

fn looked_at(kind: &CheckKind) -> String {
    match kind {
        CheckKind::Exec(script) => {
            let mut text = format!("runs {}", program(script));
            if let Some(RunAs { user, group }) = &script.run_as {
                let _ = write!(text, " as {user}");
                if let Some(group) = group {
                    let _ = write!(text, ":{group}");
                }
            }
            text
        }
        CheckKind::Http(http) => {
            let scheme = match http.tls {
                None => "HTTP",
                Some(TlsCheck { verify: true }) => "HTTPS",
                Some(TlsCheck { verify: false }) => "HTTPS (any certificate)",
            };
            let mut text = format!("{scheme} from {}", address(&http.target));
            if let Some(host) = &http.host {
                let _ = write!(text, " as {host}");
            }
            let status = http.status.iter().map(|range| {
                let (first, last) = (range.start(), range.end());
                match first == last {
                    true => first.to_string(),
                    false => format!("{first}-{last}"),
                }
            });
            let status: Vec<String> = status.collect();
            let _ = write!(text, ", status {}", status.join(" "));
            if http.body.is_some() {
                text.push_str(" and body");
            }
            text
        }
        CheckKind::Tcp(target) => format!("connects to {}", address(target)),
        CheckKind::Process(process) => {
            let mut text = match &process.which {
                ProcessMatch::Name(name) => format!("process {name}"),
                ProcessMatch::CommandLine(words) => format!("process {:?}", words.join(" ")),
                ProcessMatch::Pidfile(path) => format!("process of {}", path.display()),
            };
            if process.at_least > 1 {
                let _ = write!(text, ", at least {}", process.at_least);
            }
            if let Some(most) = process.at_most {
                let _ = write!(text, ", at most {most}");
            }
            text
        }
        CheckKind::File(file) => match file.reads {
            FileReads::Existence => format!("file {}", file.path.display()),
            FileReads::Number => format!("number in {}", file.path.display()),
        },
        CheckKind::Ping(ping) => match &ping.interface {
            None => format!("ping {}", ping.address),
            Some(interface) => format!("ping {} on {interface}", ping.address),
        },
        CheckKind::Interface(name) => format!("interface {name}"),
    }
}

fn address(target: &Target) -> String {
    let Target { host, port } = target;
    match host.contains(':') {
        true => format!("[{host}]:{port}"),
        false => format!("{host}:{port}"),
    }
}

/// What counts, without the weights of an owner.
pub(super) fn tracked(
    config: &Config,
    interfaces: &[TrackedInterface],
    checks: &[TrackedCheck],
    owner: bool,
) -> Vec<String> {
    let counts = |weight: i16| weight == 0 || !owner;
    let interfaces = interfaces.iter().filter(|it| counts(it.weight)).map(|it| {
        let (good, bad) = swapped("is up", "is down", it.reverse);
        weighted(&it.name, it.weight, good, bad)
    });
    let checks = checks.iter().filter(|it| counts(it.weight)).map(|it| {
        let check = &config.checks[it.check];
        let name = format!("check {}", check.name);
        let number = matches!(&check.kind, CheckKind::File(file)
            if file.reads == FileReads::Number);
        let (good, bad) = match number {
            // Its sign is what a reversed number has another of.
            true if it.weight != 0 => {
                let weight = if it.reverse { -it.weight } else { it.weight };
                return format!("priority {weight:+} times the number of {name}");
            }
            true => swapped("is 0", "is not 0", it.reverse),
            false => swapped("passes", "fails", it.reverse),
        };
        weighted(&name, it.weight, good, bad)
    });
    interfaces.chain(checks).collect()
}

fn swapped<'a>(good: &'a str, bad: &'a str, reverse: bool) -> (&'a str, &'a str) {
    if reverse { (bad, good) } else { (good, bad) }
}

fn weighted(name: &str, weight: i16, good: &str, bad: &str) -> String {
    match weight {
        0 => format!("in fault while {name} {bad}"),
        1.. => format!("priority {weight:+} while {name} {good}"),
        _ => format!("priority {weight} while {name} {bad}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::parse;

    fn config(top: &str, rest: &str) -> Config {
        let least = "[[instance]]\nname = \"web\"\ninterface = \"eth0\"\nvrid = 51\n";
        parse(&format!("{top}\n{least}{rest}")).unwrap().0
    }

    fn instance(config: &Config) -> Vec<String> {
        let web = &config.instances[0];
        tracked(config, &web.track_interfaces, &web.track_checks, false)
    }

    #[test]
    fn checks_are_said_without_what_may_be_secret() {
        let check = |name: &str, lines: &str| format!("[[check]]\nname = \"{name}\"\n{lines}\n");
        let top = [
            check(
                "a",
                "kind = \"http\"\nurl = \"https://[::1]:8443/secret?secret\"\nhost = \"a.example\"\n\
                 status = [200, \"300-399\"]\nbody = \"secret\"\nverify = false\nfall = 3",
            ),
            check("b", "kind = \"tcp\"\ntarget = \"db:5432\"\ntimeout = \"100ms\"\nrise = 2"),
            check("c", "kind = \"process\"\nprocess = \"nginx\"\nat_least = 2\nat_most = 9"),
            check("d", "kind = \"file\"\npath = \"/a\"\nnumber = true\ninit_fail = true"),
            check("e", "kind = \"ping\"\naddress = \"10.0.0.1\"\ninterface = \"eth1\""),
            check("f", "kind = \"interface\"\ninterface = \"eth1\""),
            check("g", "kind = \"exec\"\ncommand = \"/a secret\"\nuser = \"nobody:nogroup\""),
        ]
        .concat();
        let config = config(
            &top,
            r#"family = "ipv4"
            track_checks = [
                "a",
                { name = "b", weight = -20, reverse = true },
                { name = "c", weight = 30 },
                { name = "d", weight = 2, reverse = true },
                "e",
                "f",
                "g",
            ]
            track_interfaces = [{ name = "eth2", reverse = true }]"#,
        );
        assert_eq!(
            lines(&config).collect::<Vec<_>>(),
            [
                "check a: HTTPS (any certificate) from [::1]:8443 as a.example, status 200 300-399 \
                 and body, every 1s, fails after 3 in a row",
                "check b: connects to db:5432, every 1s, timeout 100ms, passes after 2 in a row",
                "check c: process nginx, at least 2, at most 9, every 1s",
                "check d: number in /a, every 1s, fails at first",
                "check e: ping 10.0.0.1 on eth1, every 1s",
                "check f: interface eth1",
                "check g: runs /a as nobody:nogroup, every 1s",
            ]
        );
        assert_eq!(
            instance(&config),
            [
                "in fault while eth2 is up",
                "in fault while check a fails",
                "priority -20 while check b passes",
                "priority +30 while check c passes",
                "priority -2 times the number of check d",
                "in fault while check e fails",
                "in fault while check f fails",
                "in fault while check g fails",
            ]
        );
    }
}
