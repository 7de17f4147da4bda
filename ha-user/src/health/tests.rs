//! Checks with a driver that only listens. What they ask is on the loopback
//! interface, or in files.

use std::{fs, path::PathBuf};

use tokio::{net::TcpListener, time::sleep};

use super::*;
use crate::config::{FileCheck, FileReads, Script, Target};

/// Long enough for the busiest machine.
const PATIENCE: Duration = Duration::from_secs(30);

fn check(name: &str, kind: CheckKind) -> CheckConfig {
    CheckConfig {
        name: name.to_owned(),
        kind,
        interval: Duration::from_millis(10),
        timeout: Duration::from_secs(5),
        rise: 1,
        fall: 1,
        init_fail: false,
    }
}

fn file(name: &str, path: PathBuf, reads: FileReads) -> CheckConfig {
    check(name, CheckKind::File(FileCheck { path, reads }))
}

fn command(name: &str, words: &[&str]) -> CheckConfig {
    let argv = words.iter().map(ToString::to_string).collect();
    CheckConfig {
        interval: Duration::from_millis(100),
        ..check(name, CheckKind::Exec(Script { argv, run_as: None }))
    }
}

fn config(checks: &[CheckConfig]) -> Config {
    Config {
        checks: checks.to_vec(),
        ..Config::default()
    }
}

/// Running checks, and the driver's side of the channel.
struct Scene {
    checks: Checks,
    commands: driver::command::Receiver,
}

impl Scene {
    fn new(checks: &[CheckConfig]) -> Self {
        let (handle, commands) = driver::channel().unwrap();
        let ids: Vec<TrackerId> = (0..).map(TrackerId).take(checks.len()).collect();
        Self {
            checks: Checks::start(&config(checks), &ids, handle),
            commands,
        }
    }

    fn row(&self, place: usize) -> Row {
        self.checks.board().rows().remove(place)
    }

    async fn row_with(&self, place: usize, what: impl Fn(&Row) -> bool) -> Row {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let row = self.row(place);
            if what(&row) {
                return row;
            }
            assert!(Instant::now() < deadline, "{row:?}");
            sleep(Duration::from_millis(5)).await;
        }
    }

    /// All that the driver has been told since the last call.
    fn told(&self) -> Vec<(u32, Reading)> {
        let mut told = Vec::new();
        while let Some(command) = self.commands.next() {
            match command {
                Command::Tracker(TrackerId(id), reading) => told.push((id, reading)),
                _ => panic!("another command"),
            }
        }
        told
    }
}

#[tokio::test]
async fn the_driver_hears_of_changes_only() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("here");
    let scene = Scene::new(&[
        file("here", path.clone(), FileReads::Existence),
        file("number", path.clone(), FileReads::Number),
    ]);
    scene.row_with(0, |row| row.rounds > 5).await;
    scene.row_with(1, |row| row.rounds > 5).await;
    let mut told = scene.told();
    told.sort_by_key(|(id, _)| *id);
    assert_eq!(told, [(0, Reading::Down), (1, Reading::Value(0))]);
    assert_eq!(
        scene.row(0).describe(),
        "check here fails: it does not exist"
    );

    fs::write(&path, "-20").unwrap();
    scene.row_with(0, |row| row.state == State::Passing).await;
    let row = scene
        .row_with(1, |row| row.state == State::Value(-20))
        .await;
    assert_eq!(row.describe(), "check number is -20");
    assert_eq!(row.failures, 0);
    let before = scene.row(0);
    scene
        .row_with(0, |row| row.rounds > before.rounds + 3)
        .await;
    assert_eq!(scene.row(0).since, before.since);
    let mut told = scene.told();
    told.sort_by_key(|(id, _)| *id);
    assert_eq!(told, [(0, Reading::Up), (1, Reading::Value(-20))]);
}

#[tokio::test]
async fn a_reload_keeps_what_is_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("here");
    fs::write(&path, "").unwrap();
    let kept = file("kept", path.clone(), FileReads::Existence);
    let slower = file("slower", path.clone(), FileReads::Existence);
    let gone = file("gone", path.clone(), FileReads::Existence);
    let mut scene = Scene::new(&[kept.clone(), slower.clone(), gone]);
    for place in 0..3 {
        scene.row_with(place, |row| row.rounds > 3).await;
    }
    scene.told();
    let before = [scene.row(0), scene.row(1)];

    let slower = CheckConfig {
        fall: 3,
        timeout: Duration::from_secs(1),
        ..slower
    };
    let new = CheckConfig {
        init_fail: true,
        ..file("new", dir.path().join("none"), FileReads::Existence)
    };
    let ids = [TrackerId(3), TrackerId(1), TrackerId(0)];
    let reloaded = config(&[new, slower, kept]);
    scene.checks.reload(&reloaded, &ids);
    // At once: before anybody who tracks it is known.
    assert_eq!(scene.told(), [(3, Reading::Down)]);
    let rows = scene.checks.board().rows();
    let names: Vec<&str> = rows.iter().map(|row| row.name.as_str()).collect();
    assert_eq!(names, ["new", "slower", "kept"]);
    assert!(rows[1].rounds >= before[1].rounds && rows[2].rounds >= before[0].rounds);
    assert_eq!(
        (rows[1].state, rows[1].since),
        (State::Passing, before[1].since)
    );
    assert_eq!(rows[2].since, before[0].since);
    for (place, before) in rows.iter().enumerate() {
        let more = |row: &Row| row.rounds > before.rounds + 3;
        scene.row_with(place, more).await;
    }
    assert_eq!(scene.told(), [], "nothing has turned");
}

#[tokio::test]
async fn a_check_that_is_no_interface_any_more_is_a_new_one() {
    let link = check("it", CheckKind::Interface("eth1".to_owned()));
    let mut scene = Scene::new(&[link]);
    assert_eq!((scene.told(), scene.row(0).kind), (vec![], "interface"));
    let file = file("it", "/".into(), FileReads::Existence);
    scene.checks.reload(&config(&[file]), &[TrackerId(1)]);
    assert_eq!(scene.told(), [(1, Reading::Pending)]);
    let row = scene.row_with(0, |row| row.state == State::Passing).await;
    assert_eq!((row.kind, row.id), ("file", TrackerId(1)));
    assert_eq!(scene.told(), [(1, Reading::Up)]);
}

#[tokio::test]
async fn commands_are_bounded_and_say_what_is_wrong() {
    let dir = tempfile::tempdir().unwrap();
    let plain = dir.path().join("plain");
    fs::write(&plain, "#!/bin/sh\n").unwrap();
    let count = dir.path().join("count");
    let slow = format!("echo x >> {}; exec sleep 60", count.display());
    let hanging = CheckConfig {
        timeout: Duration::from_millis(100),
        ..command(
            "hanging",
            &["/bin/sh", "-c", &format!("trap '' TERM; {slow}")],
        )
    };
    let scene = Scene::new(&[
        command("good", &["/bin/sh", "-c", "echo one; echo two"]),
        command("bad", &["/bin/sh", "-c", "echo no database >&2; exit 3"]),
        command("none", &["/no/such/thing"]),
        command("plain", &[plain.to_str().unwrap()]),
        hanging,
    ]);
    let failing = |row: &Row| row.state == State::Failing;
    let row = scene.row_with(0, |row| row.state == State::Passing).await;
    assert_eq!(row.describe(), "check good passes: two");
    let row = scene.row_with(1, failing).await;
    assert_eq!(
        row.describe(),
        "check bad fails: no database (exited with status 3)"
    );
    let row = scene.row_with(2, failing).await;
    assert_eq!(
        row.describe(),
        "check none fails: there is no /no/such/thing"
    );
    let row = scene.row_with(3, failing).await;
    assert!(row.describe().contains("no executable file"), "{row:?}");
    let row = scene.row_with(4, failing).await;
    assert_eq!(row.text, "did not end within 100ms");
    // While that one does not heed SIGTERM no second is begun.
    let row = scene.row_with(4, |row| row.skipped > 2).await;
    assert_eq!(row.rounds, 1);
    assert_eq!(fs::read_to_string(&count).unwrap(), "x\n");
    // It may be put right while the daemon runs.
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(&plain, fs::Permissions::from_mode(0o755)).unwrap();
    scene.row_with(3, |row| row.state == State::Passing).await;
}

#[tokio::test]
async fn a_port_is_open_or_not() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = Target {
        host: "127.0.0.1".to_owned(),
        port: listener.local_addr().unwrap().port(),
    };
    let tcp = CheckConfig {
        rise: 2,
        fall: 3,
        ..check("tcp", CheckKind::Tcp(target))
    };
    let scene = Scene::new(&[tcp]);
    scene.row_with(0, |row| row.state == State::Passing).await;
    drop(listener);
    let row = scene.row_with(0, |row| row.state == State::Failing).await;
    assert!(row.failures >= 3, "{row:?}");
    assert!(row.text.starts_with("connecting to 127.0.0.1:"), "{row:?}");
}

#[test]
fn rounds_of_one_interval_are_spread_over_it() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let _guard = runtime.enter();
    let checks: Vec<CheckConfig> = (0..50)
        .map(|n| {
            let interval = Duration::from_millis(if n % 5 == 0 { 1000 } else { 100 });
            CheckConfig {
                interval,
                ..file(&n.to_string(), "/".into(), FileReads::Existence)
            }
        })
        .collect();
    let schedules = schedules(&checks);
    let start = schedules[0].first;
    for (schedule, check) in schedules.iter().zip(&checks) {
        let first = schedule.first - start;
        assert!(first <= FIRST_ROUNDS_APART * 50, "{schedule:?}");
        let gap = schedule.second - schedule.first;
        assert!(gap >= check.interval / 2, "{schedule:?}");
        assert!(gap <= check.interval * 5 / 2, "{schedule:?}");
    }
    // Where in their interval the later rounds of the forty fast ones lie.
    let fast = schedules.iter().filter(|it| it.interval.as_millis() == 100);
    let phase = |it: &Schedule| (it.second - start).as_nanos() % it.interval.as_nanos();
    let mut phases: Vec<u128> = fast.map(phase).collect();
    phases.sort_unstable();
    // They would be 2.5 ms apart, so that four come together.
    let slots: Vec<&[u128]> = phases.chunk_by(|a, b| a == b).collect();
    assert!(slots.iter().all(|slot| slot.len() == 4), "{phases:?}");
    let starts = slots.iter().map(|slot| slot[0]);
    let gaps: Vec<u128> = starts
        .clone()
        .skip(1)
        .zip(starts)
        .map(|(b, a)| b - a)
        .collect();
    assert_eq!(gaps, [10_000_000; 9]);
    // Those of a second have 100 ms each.
    let slow = schedules.iter().filter(|it| it.interval.as_secs() == 1);
    let slow: Vec<u128> = slow.map(phase).collect();
    assert!(slow.windows(2).all(|pair| pair[0] != pair[1]), "{slow:?}");
}
