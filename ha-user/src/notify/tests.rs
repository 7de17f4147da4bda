//! Notices in, commands run and lines written out.

use std::{fs, path::PathBuf};

use ha_common::{fsm::StateKind, types::Priority};
use tempfile::TempDir;
use tokio::time::sleep;

use super::*;
use crate::{config, driver::notice::Happening, sys};

/// A daemon without a driver: the test is the driver.
struct Scene {
    directory: TempDir,
    notices: mpsc::UnboundedSender<Notice>,
    notifications: Notifications,
}

impl Scene {
    /// With `text` as configuration, where `DIR` is the scene's directory.
    fn new(text: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let (notices, heard) = mpsc::unbounded_channel();
        let config = parse(&directory, text);
        let ids = ids(&config);
        let notifications = Notifications::start(&config, ids, heard);
        Self {
            directory,
            notices,
            notifications,
        }
    }

    fn reload(&self, text: &str) {
        let config = parse(&self.directory, text);
        self.notifications.reload(&config, ids(&config));
    }

    fn reload_as(&self, text: &str, ids: Vec<InstanceId>) {
        let config = parse(&self.directory, text);
        self.notifications.reload(&config, ids);
    }

    fn tell(&self, instance: u32, what: Happening) {
        let notice = Notice {
            id: InstanceId(instance),
            at: sys::now(),
            priority: Priority(150),
            what,
        };
        self.notices.send(notice).unwrap();
    }

    fn turn(&self, instance: u32, from: StateKind, to: StateKind) {
        let reason = "a reason".to_owned();
        self.tell(instance, Happening::Transition { from, to, reason });
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    /// Waits until the file reads `expected`.
    async fn await_text(&self, name: &str, expected: &str) {
        for _ in 0..6000 {
            if self.read(name) == expected {
                return;
            }
            sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(self.read(name), expected);
    }

    /// Waits until there is no such file.
    async fn await_gone(&self, name: &str) {
        for _ in 0..3000 {
            if !self.path(name).exists() {
                return;
            }
            sleep(Duration::from_millis(10)).await;
        }
        panic!("{name} is still there");
    }

    /// Stops; gives the directory, where what was told is.
    async fn stop(self) -> TempDir {
        self.notifications.stop().await;
        self.directory
    }
}

fn parse(directory: &TempDir, text: &str) -> Arc<Config> {
    let text = text.replace("DIR", directory.path().to_str().unwrap());
    let config = config::parse(&text).unwrap_or_else(|found| panic!("{found:#?}"));
    Arc::new(config.0)
}

fn ids(config: &Config) -> Vec<InstanceId> {
    (0..).map(InstanceId).take(config.instances.len()).collect()
}

fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(test);
}

fn instance(name: &str, vrid: u8, notify: &str) -> String {
    format!(
        "[[instance]]\nname = \"{name}\"\ninterface = \"eth0\"\nvrid = {vrid}\nfamily = \"ipv4\"\n\
         addresses = []\nnotify = {notify}\n"
    )
}

/// A command that appends `words` and its arguments to `DIR/log`.
fn log(words: &str) -> String {
    format!(r#"["/bin/sh", "-c", 'echo "{words}" $* >> DIR/log', "sh"]"#)
}

use StateKind::{Active, Backup, Fault, Init, Releasing};

#[test]
fn commands_run_in_order_with_keepalived_s_arguments() {
    run(async {
        let notify = format!(
            "{{ active = {}, backup = {}, fault = {}, stop = {}, any = {}, active_lower = {} }}",
            log("active"),
            log("backup"),
            log("fault"),
            log("stop"),
            log("any"),
            log("lower")
        );
        let scene = Scene::new(&instance("web", 51, &notify));
        let mut expected = String::new();
        for (from, to, words, word) in [
            (Init, Backup, "backup", "BACKUP"),
            (Backup, Active, "active", "MASTER"),
            (Releasing, Fault, "fault", "FAULT"),
            (Fault, Backup, "backup", "BACKUP"),
        ] {
            if from == Releasing {
                scene.turn(0, Active, Releasing);
            }
            scene.turn(0, from, to);
            expected += &format!("{words}\nany INSTANCE web {word} 150\n");
            scene.await_text("log", &expected).await;
        }
        scene.tell(0, Happening::LowerAdvert);
        expected += "lower\n";
        scene.await_text("log", &expected).await;
        scene.tell(0, Happening::Priority);
        let directory = scene.stop().await;
        expected += "stop\nany INSTANCE web STOP 150\n";
        let log = fs::read_to_string(directory.path().join("log")).unwrap();
        assert_eq!(log, expected);
    });
}

#[test]
fn a_slow_command_is_told_of_the_newest_state_only() {
    run(async {
        // It goes on when there is a file for it, or after a minute.
        let slow = r#"["/bin/sh", "-c", '''
            echo "begin $3" >> DIR/log
            for i in $(seq 6000); do test -e DIR/go && break; sleep 0.01; done
            echo "end $3" >> DIR/log
        ''', "sh"]"#;
        let config = instance(
            "web",
            51,
            &format!("{{ any = {slow}, state_file = \"DIR/state\" }}"),
        );
        let scene = Scene::new(&config);
        scene.turn(0, Init, Backup);
        scene.await_text("log", "begin BACKUP\n").await;
        for _ in 0..10 {
            scene.turn(0, Backup, Active);
            scene.turn(0, Active, Backup);
        }
        scene.turn(0, Backup, Fault);
        // Others do not wait for it.
        scene.await_text("state", "STATE=FAULT\n").await;
        assert_eq!(scene.read("log"), "begin BACKUP\n");
        fs::write(scene.path("go"), "").unwrap();
        scene
            .await_text("log", "begin BACKUP\nend BACKUP\nbegin FAULT\nend FAULT\n")
            .await;
        scene.stop().await;
    });
}

#[test]
fn a_command_that_never_ends_does_not_hold_up_a_stop() {
    run(async {
        let notify = format!(
            "{{ active = [\"/bin/sh\", \"-c\", \"echo $$ > DIR/pid; sleep 1000\"], stop = {} }}",
            log("stop")
        );
        let scene = Scene::new(&instance("web", 51, &notify));
        scene.turn(0, Backup, Active);
        while !scene.read("pid").ends_with('\n') {
            sleep(Duration::from_millis(5)).await;
        }
        let pid: i32 = scene.read("pid").trim().parse().unwrap();
        let directory = scene.stop().await;
        let log = fs::read_to_string(directory.path().join("log")).unwrap();
        assert_eq!(log, "stop\n");
        // It goes on by itself; this fails if it does not.
        let group = rustix::process::Pid::from_raw(pid).unwrap();
        rustix::process::kill_process_group(group, rustix::process::Signal::KILL).unwrap();
    });
}

#[test]
fn a_command_that_is_missing_is_run_as_soon_as_it_is_there() {
    run(async {
        let scene = Scene::new(&instance("web", 51, "{ any = \"DIR/later\" }"));
        scene.turn(0, Init, Backup);
        // Until it is known to be missing.
        sleep(Duration::from_millis(50)).await;
        let later = scene.path("later.new");
        let text = format!("#!/bin/sh\necho $* >> {}\n", scene.path("log").display());
        fs::write(&later, text).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(&later, mode).unwrap();
        fs::rename(&later, scene.path("later")).unwrap();
        scene.turn(0, Backup, Active);
        scene.await_text("log", "INSTANCE web MASTER 150\n").await;
        scene.stop().await;
    });
}

#[test]
fn a_fifo_hears_of_all_in_order_and_groups_last() {
    run(async {
        let notify = |name| format!("{{ state_file = \"DIR/{name}\", priority_changes = true }}");
        let text = format!(
            "notify_fifos = [{{ path = \"DIR/fifo\", reader = \"/bin/sh -c 'cat $0 > DIR/log'\" }}]\n\
             {}{}[[sync_group]]\nname = \"edge\"\ninstances = [\"web\", \"dns\"]\n\
             notify = {{ any = {} }}\n",
            instance("web", 51, &notify("web")),
            instance("dns", 52, "{ state_file = \"DIR/dns\" }"),
            log("any").replace("DIR/log", "DIR/group"),
        );
        let scene = Scene::new(&text);
        for id in [0, 1] {
            scene.turn(id, Init, Backup);
        }
        let mut expected = "INSTANCE \"web\" BACKUP 150\nINSTANCE \"dns\" BACKUP 150\n\
                            GROUP \"edge\" BACKUP 0\n"
            .to_owned();
        scene.await_text("log", &expected).await;
        // One alone is not the group.
        scene.turn(1, Backup, Active);
        expected += "INSTANCE \"dns\" MASTER 150\n";
        scene.await_text("log", &expected).await;
        scene.turn(0, Backup, Active);
        expected += "INSTANCE \"web\" MASTER 150\nGROUP \"edge\" MASTER 0\n";
        scene.await_text("log", &expected).await;
        scene.tell(0, Happening::LowerAdvert);
        scene.tell(0, Happening::Priority);
        // It does not want to tell of it.
        scene.tell(1, Happening::Priority);
        expected +=
            "INSTANCE \"web\" MASTER_RX_LOWER_PRI 150\nINSTANCE \"web\" MASTER_PRIORITY 150\n";
        scene.await_text("log", &expected).await;
        // A fault of one is the group's.
        scene.turn(1, Active, Fault);
        expected += "INSTANCE \"dns\" FAULT 150\nGROUP \"edge\" FAULT 0\n";
        scene.await_text("log", &expected).await;
        let groups = ["BACKUP", "MASTER", "FAULT"].map(|word| format!("any GROUP edge {word} 0\n"));
        scene.await_text("group", &groups.concat()).await;
        let directory = scene.stop().await;
        let read = |name| fs::read_to_string(directory.path().join(name)).unwrap();
        expected += "INSTANCE \"dns\" STOP 150\nINSTANCE \"web\" STOP 150\nGROUP \"edge\" STOP 0\n";
        assert_eq!(read("log"), expected);
        assert_eq!(read("group"), groups.concat() + "any GROUP edge STOP 0\n");
        assert_eq!(read("web"), "STATE=STOP\n");
        assert!(!directory.path().join("fifo").exists());
    });
}

#[test]
fn a_reload_keeps_what_stays_and_tells_of_what_goes() {
    run(async {
        let fifo = "notify_fifos = [{ path = \"DIR/fifo\", reader = \"/bin/sh -c 'cat $0 > DIR/lines'\" }]\n";
        let any = format!("{{ any = {} }}", log("any"));
        let web = instance("web", 51, &any);
        let scene = Scene::new(&format!("{fifo}{web}{}", instance("dns", 52, &any)));
        scene.turn(0, Init, Backup);
        let mut log = "any INSTANCE web BACKUP 150\n".to_owned();
        scene.await_text("log", &log).await;

        let web = instance(
            "web",
            51,
            &any.replace(" }", ", state_file = \"DIR/state\" }"),
        );
        let new = instance("new", 53, "{ state_file = \"DIR/new\" }");
        scene.reload(&format!("{fifo}{web}{new}"));
        // The file is new, so it is told of what is; the command is not.
        scene.await_text("state", "STATE=BACKUP\n").await;
        log += "any INSTANCE dns STOP 100\n";
        scene.await_text("log", &log).await;
        scene.turn(1, Init, Backup);
        scene.await_text("new", "STATE=BACKUP\n").await;
        scene.turn(0, Backup, Active);
        scene.await_text("state", "STATE=MASTER\n").await;
        log += "any INSTANCE web MASTER 150\n";
        scene.await_text("log", &log).await;
        // The reader has not been started anew.
        let lines = "INSTANCE \"web\" BACKUP 150\nINSTANCE \"dns\" STOP 100\n\
                     INSTANCE \"new\" BACKUP 150\nINSTANCE \"web\" MASTER 150\n";
        scene.await_text("lines", lines).await;

        // Without anybody.
        scene.reload(&instance("web", 51, "{}"));
        // It serves until another does.
        scene.turn(1, Backup, Releasing);
        scene.turn(0, Active, Backup);
        scene.await_gone("fifo").await;
        assert_eq!(scene.read("new"), "STATE=BACKUP\n");
        scene.turn(1, Releasing, Init);
        scene.await_text("new", "STATE=STOP\n").await;
        let directory = scene.stop().await;
        assert_eq!(
            fs::read_to_string(directory.path().join("log")).unwrap(),
            log
        );
    });
}

#[test]
fn an_instance_that_another_replaces_stops() {
    run(async {
        let notify = format!("{{ any = {}, state_file = \"DIR/state\" }}", log("any"));
        let scene = Scene::new(&instance("web", 51, &notify));
        scene.turn(0, Backup, Active);
        let mut log = "any INSTANCE web MASTER 150\n".to_owned();
        scene.await_text("log", &log).await;
        scene.await_text("state", "STATE=MASTER\n").await;
        // It is the same name, and another virtual router, which may wait for long.
        scene.reload_as(&instance("web", 52, &notify), vec![InstanceId(1)]);
        log += "any INSTANCE web STOP 150\n";
        scene.await_text("log", &log).await;
        scene.await_text("state", "STATE=STOP\n").await;
        // What the old one is still told of is its own business.
        scene.turn(0, Releasing, Backup);
        scene.turn(1, Init, Backup);
        log += "any INSTANCE web BACKUP 150\n";
        scene.await_text("log", &log).await;
        scene.await_text("state", "STATE=BACKUP\n").await;
        scene.stop().await;
    });
}

#[test]
fn what_a_new_instance_does_at_once_is_told() {
    run(async {
        let notify = |name| format!("{{ state_file = \"DIR/{name}\" }}");
        let web = instance("web", 51, &notify("web"));
        let scene = Scene::new(&web);
        scene.reload(&format!("{web}{}", instance("new", 52, &notify("new"))));
        // Before the task has had its turn.
        scene.turn(1, Init, Backup);
        scene.await_text("new", "STATE=BACKUP\n").await;
        scene.stop().await;
    });
}

#[test]
fn what_a_predecessor_left_goes_if_no_state_is_known() {
    run(async {
        let scene = Scene::new(&instance("web", 51, "{ state_file = \"DIR/state\" }"));
        fs::write(scene.path("state"), "STATE=MASTER\n").unwrap();
        scene.await_text("state", "").await;
        assert!(!scene.path("state").exists());
        scene.turn(0, Init, Backup);
        scene.await_text("state", "STATE=BACKUP\n").await;
        scene.stop().await;
    });
}

#[test]
fn a_router_that_takes_its_addresses_back_has_not_been_elsewhere() {
    run(async {
        let scene = Scene::new(&instance("web", 51, &format!("{{ any = {} }}", log("any"))));
        for (from, to) in [
            (Init, Backup),
            (Backup, Active),
            (Active, Releasing),
            (Releasing, Active),
            (Active, Releasing),
            (Releasing, Init),
        ] {
            scene.turn(0, from, to);
            // Each by itself: the newest would win.
            if to == Backup {
                scene
                    .await_text("log", "any INSTANCE web BACKUP 150\n")
                    .await;
            }
        }
        let directory = scene.stop().await;
        let log = fs::read_to_string(directory.path().join("log")).unwrap();
        let told: Vec<&str> = log.lines().collect();
        // The stop may have overtaken the state before it.
        assert_eq!(told.first(), Some(&"any INSTANCE web BACKUP 150"));
        assert_eq!(told.last(), Some(&"any INSTANCE web STOP 150"));
        assert!(told.len() <= 3, "{told:?}");
    });
}
