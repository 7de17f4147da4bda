//! Configurations as generators and people write them (`tests/keepalived`), and
//! those that keepalived's package ships: each is taken, says the same as TOML,
//! and is judged as keepalived's own `-t` judges it.

use std::{
    collections::BTreeSet,
    fs,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use ha_tests::{
    daemon::Harrier,
    keepalived::Keepalived,
    lab::{Host, INTERFACE, Lab},
    need,
    netns::Netns,
    run::Run,
};
use ha_user::config::{Config, Options, Source, Warnings, parse, to_toml};

/// Where Debian's package has its samples.
const SAMPLES: &str = "/usr/share/doc/keepalived/samples";

/// Interfaces that every configuration may name.
const INTERFACES: [&str; 8] = [
    "eth0", "eth1", "eth2", "eth3", "eth0.10", "eth0.11", "eth0.12", "eth0.13",
];

/// Exit statuses of keepalived 2.2.7's `-t`: nothing to say, and nothing but that
/// scripts run without script security.
const TAKEN: [i32; 2] = [0, 6];

/// The files of `directory` that are configurations, in the order of their names.
fn files(directory: &Path, is_one: impl Fn(&str) -> bool) -> Result<Vec<PathBuf>> {
    let mut files = fs::read_dir(directory)
        .with_context(|| format!("cannot read {}", directory.display()))?
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<Vec<_>>>()?;
    files.retain(|path| {
        path.file_name()
            .and_then(|name| name.to_str())
            .is_some_and(&is_one)
    });
    files.sort();
    Ok(files)
}

fn corpus() -> Result<Vec<PathBuf>> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("keepalived");
    files(&directory, |name| name.ends_with(".conf"))
}

/// The samples; none where the package is not installed, or without its
/// documentation.
fn samples() -> Result<Vec<PathBuf>> {
    if Path::new(SAMPLES).is_dir() {
        files(Path::new(SAMPLES), |name| {
            name.starts_with("keepalived.conf")
        })
    } else {
        println!("{SAMPLES} is not there: the samples are left out");
        Ok(Vec::new())
    }
}

fn options() -> Options {
    Options {
        config_id: Some("node1".to_owned()),
        ..Options::default()
    }
}

fn read(path: &Path) -> Result<(Config, Warnings)> {
    Source::read(path)?
        .parse(&options())
        .with_context(|| format!("{} is refused", path.display()))
}

#[test]
fn all_of_them_are_taken_and_say_the_same_as_toml() -> Result<()> {
    let corpus = corpus()?;
    ensure!(corpus.len() >= 38, "only {} files", corpus.len());
    for path in corpus.into_iter().chain(samples()?) {
        println!("{}", path.display());
        let (config, _) = read(&path)?;
        if config.instances.is_empty() {
            // LVS alone, which TOML has no words for.
            continue;
        }
        let toml = to_toml(&config);
        match parse(&toml) {
            Ok((again, _)) => ensure!(again == config, "not the same:\n{toml}"),
            Err(errors) => bail!("refused as TOML: {errors:?}\n{toml}"),
        }
    }
    Ok(())
}

#[test]
fn the_guides_say_nothing_that_is_not_known() -> Result<()> {
    let guides: Vec<PathBuf> = corpus()?
        .into_iter()
        .filter(|path| path.to_string_lossy().contains("/guide-"))
        .collect();
    ensure!(guides.len() == 8, "{guides:?}");
    for path in guides {
        let strict = Options {
            strict: true,
            ..options()
        };
        let (config, _) = Source::read(&path)?.parse(&strict)?;
        for instance in &config.instances {
            ensure!(!instance.track_checks.is_empty(), "{instance:?}");
            ensure!(
                instance.notify != ha_user::config::NotifyConfig::default(),
                "{instance:?}"
            );
        }
    }
    Ok(())
}

#[test]
fn slips_are_told_with_their_place() -> Result<()> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("keepalived/sloppy.conf");
    let (_, warnings) = read(&path)?;
    let lines: Vec<String> = warnings.lines().collect();
    for (place, words) in [
        ("3:5", "did you mean vrrp_version?"),
        ("4:5", "did you mean notification_email?"),
        ("11:16", "1s is taken"),
        ("12:5", "nopreempt has no effect with state MASTER"),
        ("13:19", "preempt_delay has no effect with state MASTER"),
        ("16:19", "a password of 18 octets"),
        ("18:20", "unicast without peers"),
        ("20:9", "taken for the address of a single host"),
        ("20:25", "passed over"),
        ("22:9", "another family"),
        ("25:9", "track_script \"not_there\" is not there"),
        ("27:5", "did you mean priority?"),
        ("28:24", "1 is taken"),
    ] {
        let found = lines
            .iter()
            .any(|line| line.contains(&format!("sloppy.conf:{place}: ")) && line.contains(words));
        ensure!(found, "{place} {words:?} is not in {lines:#?}");
    }
    let report = warnings.report(false);
    ensure!(
        !report.contains("thispassword"),
        "a secret is shown: {report}"
    );
    let strict = Options {
        strict: true,
        ..options()
    };
    let error = Source::read(&path)?
        .parse(&strict)
        .expect_err("unknown keywords")
        .to_string();
    ensure!(error.contains(": 4 errors"), "{error}");
    ensure!(error.contains("because of --strict"), "{error}");
    Ok(())
}

#[test]
fn a_place_in_an_included_file_is_shown_in_that_file() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let below = directory.path().join("conf.d");
    fs::create_dir(&below)?;
    let main = directory.path().join("keepalived.conf");
    fs::write(
        &main,
        "$IF=eth0\ninclude conf.d/*.conf\ninclude nosuch.conf\n",
    )?;
    let instance = "vrrp_instance web {\n  interface $IF\n  virtual_router_id 5\n  bogus\n  \
                    virtual_ipaddress { 10.0.0.1/24 }\n  include more/addresses.inc\n}\n";
    fs::write(below.join("web.conf"), instance)?;
    fs::write(below.join("other.txt"), "bogus\n")?;
    fs::create_dir(below.join("more"))?;
    fs::write(below.join("more/addresses.inc"), "priority 300\n")?;

    let (config, warnings) = read(&main)?;
    ensure!(config.instances[0].interface == "eth0");
    let lines: Vec<String> = warnings.lines().collect();
    let said = |file: &str, words: &str| {
        let has = |line: &String| line.contains(file) && line.contains(words);
        ensure!(lines.iter().any(has), "{file} {words} is not in {lines:#?}");
        Ok(())
    };
    said("conf.d/web.conf:4:3: ", "\"bogus\"")?;
    said(
        "conf.d/more/addresses.inc:1:10: ",
        "priority cannot be \"300\"",
    )?;
    said("keepalived.conf:3:1: ", "\"nosuch.conf\"")?;
    let report = warnings.report(false);
    for part in ["web.conf:4:3", "4 │   bogus", "1 │ priority 300"] {
        ensure!(report.contains(part), "{part} is not in\n{report}");
    }
    ensure!(!report.contains("other.txt"), "{report}");

    // A file that includes itself comes to an end.
    fs::write(&main, "include keepalived.conf\nglobal_defs {\n}\n")?;
    let error = read(&main).expect_err("without an end");
    ensure!(format!("{error:#}").contains("without an end"), "{error:#}");
    Ok(())
}

#[test]
fn what_keepalived_takes_is_taken() -> Result<()> {
    need::root()?;
    need::tools(&["keepalived", "ip"])?;
    let run = Run::new()?;
    let netns = Netns::create(&run, "check")?;
    let directory = tempfile::tempdir()?;
    let files: Vec<PathBuf> = corpus()?.into_iter().chain(samples()?).collect();
    let mut names: BTreeSet<String> = INTERFACES.map(str::to_owned).into();
    for path in &files {
        names.extend(interfaces(&fs::read_to_string(path)?));
    }
    for (number, name) in names.iter().enumerate() {
        netns.ip(&format!(
            "link add {name} type veth peer name peer{number}\nlink set {name} up\n\
             link set peer{number} up\naddress add 10.99.{number}.1/24 dev {name}"
        ))?;
    }
    let mut taken = 0;
    for path in &files {
        let log = directory.path().join("log");
        let _ = fs::remove_file(&log);
        let copy = directory.path().join("keepalived.conf");
        fs::write(&copy, with_programs(&fs::read_to_string(path)?))?;
        let mut command = netns.command("keepalived");
        command
            .arg(format!("--config-test={}", log.display()))
            .args(["--config-id", "node1", "--use-file"])
            .arg(&copy)
            // It signals its process group at times.
            .process_group(0);
        let out = command.output().context("cannot run keepalived")?;
        let ours = read(&copy);
        println!(
            "{}: keepalived {}, Harrier {}",
            path.display(),
            out.status,
            ours.is_ok()
        );
        if out.status.code().is_some_and(|code| TAKEN.contains(&code)) {
            taken += 1;
            if let Err(error) = ours {
                bail!("{}: keepalived takes it: {error:#}", path.display());
            }
        } else {
            println!("{}", fs::read_to_string(&log).unwrap_or_default());
        }
    }
    // Where it says something to most of them, this shows little.
    ensure!(
        taken >= 30,
        "keepalived takes only {taken} of {}",
        files.len()
    );
    Ok(())
}

/// The configuration with a program in place of those that are not here:
/// keepalived has something to say of those.
fn with_programs(text: &str) -> String {
    let mut out = String::new();
    for line in text.lines() {
        let rest = line.trim_start();
        let keyword = rest.split_whitespace().next().unwrap_or_default();
        let command = rest[keyword.len()..].trim_start();
        let program = command.trim_start_matches('"');
        if (keyword == "script" || keyword.starts_with("notify")) && !program.is_empty() {
            let quote = &command[..command.len() - program.len()];
            let len = program.find([' ', '"']).unwrap_or(program.len());
            let program = if keyword.ends_with("fifo") || keyword.ends_with("changes") {
                program.to_owned()
            } else {
                format!("/bin/true{}", &program[len..])
            };
            out.push_str(&format!("{keyword} {quote}{program}\n"));
        } else {
            out.push_str(&format!("{line}\n"));
        }
    }
    out
}

/// The interfaces that a configuration names.
fn interfaces(text: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let words: Vec<&str> = text.split_whitespace().collect();
    for pair in words.windows(2) {
        let name = pair[1];
        let good = name.len() <= 15
            && name
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_'));
        if matches!(pair[0], "interface" | "dev") && good && name != "lo" {
            found.insert(name.to_owned());
        }
    }
    found
}

const PATIENCE: Duration = Duration::from_secs(30);

const V4: &str = "10.77.0.100";
const V6: &str = "fd77::100";

/// One file for both nodes: version 2 with a password by multicast, IPv6 by
/// unicast without a link-local address.
fn shared(lab: &Lab) -> String {
    let (a, b) = lab.pair();
    format!(
        "@{a} $PRIORITY=200\n@^{a} $PRIORITY=100\n\
         vrrp_instance V4 {{\n  interface {INTERFACE}\n  virtual_router_id 51\n  \
         priority $PRIORITY\n  advert_int 1\n  authentication {{\n    auth_type PASS\n    \
         auth_pass secret\n  }}\n  virtual_ipaddress {{\n    {V4}/16\n  }}\n}}\n\
         vrrp_instance V6 {{\n  interface {INTERFACE}\n  virtual_router_id 51\n  \
         priority $PRIORITY\n  advert_int 0.2\n  @{a} unicast_src_ip {a6}\n  \
         @^{a} unicast_src_ip {b6}\n  unicast_peer {{\n    @{a} {b6}\n    @^{a} {a6}\n  }}\n  \
         virtual_ipaddress {{\n    {V6}/64\n  }}\n}}\n",
        a = a.name,
        a6 = a.ipv6(),
        b6 = b.ipv6(),
    )
}

/// As [`shared`] for `host`: Harrier is started here without `--config-id`.
fn only_for(text: &str, host: &Host) -> String {
    text.lines()
        .filter_map(|line| {
            let Some(rest) = line.trim_start().strip_prefix('@') else {
                return Some(format!("{line}\n"));
            };
            let (id, rest) = rest.split_once(' ')?;
            let is_for = match id.strip_prefix('^') {
                Some(other) => other != host.name,
                None => id == host.name,
            };
            is_for.then(|| format!("{rest}\n"))
        })
        .collect()
}

fn await_addresses(host: &Host) -> Result<()> {
    let give_up_at = Instant::now() + PATIENCE;
    while !(host.has(V4)? && host.has(V6)?) {
        ensure!(
            Instant::now() < give_up_at,
            "{} has only {:?}",
            host.name,
            host.addresses()?
        );
        // Another process puts them there; `ip` cannot be waited for.
        thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// One machine is changed to Harrier, the other not yet: with the same file they
/// elect each other.
#[test]
fn one_file_runs_under_both_side_by_side() -> Result<()> {
    let lab = Lab::new(2)?;
    let (a, b) = lab.pair();
    let text = shared(&lab);
    let mut keepalived = Keepalived::start_text(&lab, b, &text)?;
    await_addresses(b)?;
    let mut harrier = Harrier::start_with(&lab, a, &a.name, &only_for(&text, a))?;
    for name in ["V4", "V6"] {
        harrier.await_state(name, "active", PATIENCE)?;
    }
    await_addresses(a)?;
    for address in [V4, V6] {
        b.await_without(address, PATIENCE)?;
    }
    let refused: Vec<_> = harrier
        .counters()?
        .into_iter()
        .filter(|(name, count)| {
            *count > 0 && matches!(name.as_str(), "not_link_local" | "bad_authentication")
        })
        .collect();
    ensure!(refused.is_empty(), "{refused:?}");

    harrier.stop()?;
    await_addresses(b)?;
    let mut harrier = Harrier::start_with(&lab, a, &a.name, &only_for(&text, a))?;
    for name in ["V4", "V6"] {
        harrier.await_state(name, "active", PATIENCE)?;
    }
    keepalived.stop()
}

/// Both machines are changed.
#[test]
fn two_of_ours_run_by_a_file_of_keepalived() -> Result<()> {
    let lab = Lab::new(2)?;
    let (a, b) = lab.pair();
    let text = shared(&lab);
    let mut first = Harrier::start_with(&lab, a, &a.name, &only_for(&text, a))?;
    let mut second = Harrier::start_with(&lab, b, &b.name, &only_for(&text, b))?;
    for name in ["V4", "V6"] {
        first.await_state(name, "active", PATIENCE)?;
        second.await_state(name, "backup", PATIENCE)?;
    }
    await_addresses(a)?;
    first.stop()?;
    await_addresses(b)?;
    let answer = second.reload(&only_for(&text, b).replace("$PRIORITY=100", "$PRIORITY=101"))?;
    ensure!(answer.contains("V4"), "{answer}");
    second.await_state("V4", "active", PATIENCE)?;
    Ok(())
}
