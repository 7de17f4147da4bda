//! Real commands: what they inherit, how they end, what they leave behind.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use tempfile::TempDir;

use super::*;
use crate::config::{RunAs, Script};

/// Long enough for whatever ends by itself.
const LONG: Duration = Duration::from_secs(60);

const CHECK: Terms = Terms {
    timeout: LONG,
    children: Children::Killed,
    output: Output::LastLine,
};

fn shell(text: &str) -> Script {
    Script {
        argv: ["/bin/sh", "-c", text].map(str::to_owned).to_vec(),
        run_as: None,
    }
}

fn resolved(script: &Script) -> ResolvedScript {
    ResolvedScript::resolve(script, &Defaults::default()).unwrap()
}

/// Blocks on `future` in a runtime such as the daemon's.
fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(future)
}

fn run_script(script: &Script, terms: Terms) -> Outcome {
    let script = resolved(script);
    block_on(run(&script, &[], &[], terms))
}

/// What `text` says last, run by a shell.
fn answer(text: &str) -> String {
    let outcome = run_script(&shell(text), CHECK);
    assert!(outcome.end.success(), "{text}: {outcome:?}");
    outcome.last_line
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Waits until a process is gone; a zombie is not.
fn wait_gone(pid: &str) {
    let proc = PathBuf::from(format!("/proc/{pid}"));
    for _ in 0..3000 {
        if !proc.exists() {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    let status = fs::read_to_string(proc.join("status"));
    panic!("process {pid} is still there: {status:?}");
}

/// The number that a command has written to `path`, once it has.
async fn number_in(path: &Path) -> String {
    loop {
        if let Ok(text) = fs::read_to_string(path)
            && text.ends_with('\n')
        {
            return text.trim().to_owned();
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn place(dir: &TempDir, name: &str) -> (PathBuf, String) {
    let path = dir.path().join(name);
    let text = path.to_str().unwrap().to_owned();
    (path, text)
}

#[test]
fn the_status_and_the_last_line_are_told() {
    let outcome = run_script(&shell("echo one; echo two >&2; exit 7"), CHECK);
    assert!(matches!(outcome.end, End::Exited(7)), "{outcome:?}");
    assert_eq!(outcome.last_line, "two");
    assert_eq!(outcome.end.to_string(), "exited with status 7");
    let outcome = run_script(&shell("kill -9 $$"), CHECK);
    assert!(matches!(outcome.end, End::Killed(9)), "{outcome:?}");
    assert!(run_script(&shell("exit 0"), CHECK).end.success());
}

#[test]
fn output_that_is_not_wanted_goes_nowhere() {
    let terms = Terms {
        output: Output::Discarded,
        ..CHECK
    };
    let outcome = run_script(&shell("echo one; ls -l /proc/self/fd/1 >&2"), terms);
    assert!(outcome.end.success() && outcome.last_line.is_empty());
}

#[test]
fn arguments_and_variables_come_after_what_is_there() {
    let mut script = shell("echo \"$0 $1 $2 $STATE\"");
    script.argv.extend(["zero".to_owned(), "one".to_owned()]);
    let outcome = block_on(run(
        &resolved(&script),
        &["two words".as_ref()],
        &[("STATE", "MASTER".as_ref())],
        CHECK,
    ));
    assert_eq!(outcome.last_line, "zero one two words MASTER");
}

#[test]
fn the_environment_is_inherited_but_for_a_few() {
    let inherited = ["PATH", "IFS", "LD_PRELOAD", "LD_LIBRARY_PATH", "STATE"];
    let inherited = inherited.map(|name| (OsString::from(name), OsString::from("x")));
    let own: [(&str, &OsStr); 1] = [("STATE", "MASTER".as_ref())];
    let environment = environment(inherited.into_iter(), &own).unwrap();
    let environment: Vec<&str> = environment.iter().map(|it| it.to_str().unwrap()).collect();
    assert_eq!(environment, ["PATH=x", "STATE=MASTER"]);
}

#[test]
fn a_command_that_does_not_end_is_killed_with_its_children() {
    let dir = tempfile::tempdir().unwrap();
    let (child, child_text) = place(&dir, "child");
    let terms = Terms {
        timeout: Duration::from_millis(300),
        ..CHECK
    };
    // The child is in the group, so it gets the signal too.
    let text = format!("sleep 1000 & echo $! > {child_text}; echo begun; wait");
    let outcome = run_script(&shell(&text), terms);
    assert!(matches!(outcome.end, End::TimedOut), "{outcome:?}");
    assert_eq!(outcome.last_line, "begun");
    assert!(outcome.took >= terms.timeout && outcome.took < LONG);
    wait_gone(fs::read_to_string(child).unwrap().trim());
}

#[test]
fn a_command_that_ignores_sigterm_is_killed_after_the_grace() {
    let dir = tempfile::tempdir().unwrap();
    let (child, child_text) = place(&dir, "child");
    let terms = Terms {
        timeout: Duration::from_millis(200),
        children: Children::Left,
        output: Output::LastLine,
    };
    // What a shell ignores its children ignore too.
    let text = format!("trap '' TERM; sleep 1000 & echo $! > {child_text}; wait; sleep 1000");
    let outcome = run_script(&shell(&text), terms);
    assert!(matches!(outcome.end, End::TimedOut), "{outcome:?}");
    assert!(outcome.took >= terms.timeout + GRACE, "{outcome:?}");
    wait_gone(fs::read_to_string(child).unwrap().trim());
}

#[test]
fn children_stay_or_go_as_the_caller_says() {
    let dir = tempfile::tempdir().unwrap();
    let (child, child_text) = place(&dir, "child");
    let script = shell(&format!("sleep 1000 >&- 2>&- & echo $! > {child_text}"));
    for children in [Children::Killed, Children::Left] {
        let terms = Terms {
            children,
            output: Output::Discarded,
            ..CHECK
        };
        assert!(run_script(&script, terms).end.success());
        let pid = fs::read_to_string(&child).unwrap().trim().to_owned();
        match children {
            Children::Killed => wait_gone(&pid),
            Children::Left => {
                let number: i32 = pid.parse().unwrap();
                let pid = Pid::from_raw(number).unwrap();
                // It fails if the child is gone, which it must not be.
                rustix::process::kill_process(pid, Signal::KILL).unwrap();
            }
        }
    }
}

#[test]
fn a_child_that_holds_the_output_open_does_not_hold_us_up() {
    let outcome = run_script(&shell("setsid sleep 30 & echo done"), CHECK);
    assert!(outcome.end.success(), "{outcome:?}");
    assert_eq!(outcome.last_line, "done");
    assert!(outcome.took < Duration::from_secs(25), "{outcome:?}");
}

#[test]
fn a_flood_of_output_costs_no_memory_and_ends_with_the_command() {
    let terms = Terms {
        timeout: Duration::from_millis(500),
        ..CHECK
    };
    let resident = || {
        let statm = fs::read_to_string("/proc/self/statm").unwrap();
        let pages = statm.split(' ').nth(1).unwrap();
        pages.parse::<u64>().unwrap() * 4
    };
    let before = resident();
    let outcome = run_script(&shell("exec yes flood"), terms);
    let after = resident();
    assert!(matches!(outcome.end, End::TimedOut), "{outcome:?}");
    assert_eq!(outcome.last_line, "flood");
    // Other tests run beside this one.
    assert!(after < before + 64 * 1024, "{before} KiB, then {after} KiB");
    // A line without an end.
    let outcome = run_script(&shell("exec cat /dev/zero"), terms);
    assert!(matches!(outcome.end, End::TimedOut), "{outcome:?}");
    assert_eq!(outcome.last_line, "");
}

#[test]
fn all_output_is_read_before_the_last_line_is_told() {
    for lines in [1, 100, 100_000] {
        assert_eq!(answer(&format!("seq {lines}")), lines.to_string());
    }
}

#[test]
fn another_user_runs_it_with_its_groups_only() {
    if !is_root() {
        return;
    }
    let mut script = shell("id -u; id -g; id -G; id -u -r; grep CapEff /proc/self/status");
    script.run_as = Some(RunAs {
        user: "nobody".to_owned(),
        group: None,
    });
    script.argv[2] = "echo $(id -u) $(id -ru) $(id -g) $(id -G) \
                      $(sed -n 's/^Cap\\(Eff\\|Prm\\|Amb\\):\\t//p' /proc/self/status)"
        .to_owned();
    let identity = resolved(&script).identity().unwrap().clone();
    let groups: Vec<String> = identity.groups.iter().map(ToString::to_string).collect();
    let (uid, gid) = (identity.uid, identity.gid);
    assert_ne!(uid, 0);
    let none = "0000000000000000";
    let expected = format!(
        "{uid} {uid} {gid} {} {none} {none} {none}",
        groups.join(" ")
    );
    assert_eq!(run_script(&script, CHECK).last_line, expected);
    // Ours has not changed, and neither has who may look into us.
    assert!(is_root());
    assert!(fs::read("/proc/self/environ").is_ok());
    // SAFETY: gives a number only.
    assert_eq!(unsafe { libc::prctl(libc::PR_GET_DUMPABLE) }, 1);
    assert_eq!(answer("id -u"), "0");
}

#[test]
fn what_cannot_be_started_says_why() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let (path, text_path) = place(&dir, name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        Script {
            argv: vec![text_path],
            run_as: None,
        }
    };
    let said = |script: &Script| {
        let outcome = run_script(script, CHECK);
        assert!(matches!(outcome.end, End::NotStarted(_)), "{outcome:?}");
        outcome.end.to_string()
    };
    let bare = write("bare", "echo no first line\n");
    assert!(said(&bare).contains("#!/bin/sh"), "{}", said(&bare));
    let astray = write("astray", "#!/no/such/interpreter\n");
    assert!(said(&astray).contains("No such file"), "{}", said(&astray));
    // Gone since it was looked up.
    let gone = write("gone", "#!/bin/sh\n");
    let script = resolved(&gone);
    fs::remove_file(&gone.argv[0]).unwrap();
    let outcome = block_on(run(&script, &[], &[], CHECK));
    assert!(
        outcome.end.to_string().contains("No such file"),
        "{outcome:?}"
    );
    // Too long for the kernel.
    let long = "x".repeat(4 << 20);
    let outcome = block_on(run(&resolved(&shell("")), &[long.as_ref()], &[], CHECK));
    assert!(matches!(outcome.end, End::NotStarted(_)), "{}", outcome.end);
    let zero = block_on(run(&resolved(&shell("")), &["a\0b".as_ref()], &[], CHECK));
    assert!(zero.end.to_string().contains("zero octet"), "{}", zero.end);
    if is_root() {
        let private = write("private", "#!/bin/sh\n");
        fs::set_permissions(&private.argv[0], fs::Permissions::from_mode(0o700)).unwrap();
        let other = Script {
            run_as: Some(RunAs {
                user: "nobody".to_owned(),
                group: None,
            }),
            ..private
        };
        assert!(
            said(&other).contains("Permission denied"),
            "{}",
            said(&other)
        );
    }
}

#[test]
fn nothing_of_ours_is_inherited() {
    // A descriptor that nobody has marked.
    let leaky = fs::File::open("/dev/null").unwrap();
    rustix::io::fcntl_setfd(&leaky, rustix::io::FdFlags::empty()).unwrap();
    // `ls` needs one for the directory itself.
    assert_eq!(answer("echo $(ls /proc/self/fd)"), "0 1 2 3");
    assert_eq!(answer("readlink /proc/self/fd/0"), "/dev/null");
    drop(leaky);
    // Rust ignores SIGPIPE; the spawning thread blocks all signals meanwhile.
    let signals = answer("echo $(sed -n 's/^Sig\\(Blk\\|Ign\\|Cgt\\):\\t//p' /proc/self/status)");
    assert_eq!(signals, ["0000000000000000"; 3].join(" "));
    // Neither real time nor another nice value than ours: policy is field 41, nice
    // field 19 of `stat`.
    let ours = fs::read_to_string("/proc/self/stat").unwrap();
    let ours = ours.rsplit(") ").next().unwrap();
    let ours = ours.split(' ').nth(19 - 3).unwrap();
    let fields = answer("sed 's/.*) //' /proc/self/stat | cut -d' ' -f17,39");
    assert_eq!(fields, format!("{ours} 0"));
    // A group of its own.
    let outcome = run_script(&shell("echo $$ $(cut -d' ' -f5 /proc/$$/stat)"), CHECK);
    let (pid, group) = outcome.last_line.split_once(' ').unwrap();
    assert_eq!(pid, group);
}

/// Page faults of this thread since its start that needed no disk.
fn faults() -> i64 {
    let mut usage = std::mem::MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: `usage` is what is written, and outlives the call.
    unsafe { libc::getrusage(libc::RUSAGE_THREAD, usage.as_mut_ptr()) };
    // SAFETY: zeros are a value, too.
    unsafe { usage.assume_init() }.ru_minflt
}

/// `fork` would have every page that is written afterwards fault.
#[test]
fn our_memory_stays_as_it_is() {
    const PAGE: usize = 4096;
    const PAGES: usize = 4096;
    let mut memory = vec![0_u8; (PAGES + 1) * PAGE];
    let start = memory.as_ptr().align_offset(PAGE);
    let memory = &mut memory[start..start + PAGES * PAGE];
    // Huge pages would fault less often. A kernel that has none refuses this.
    // SAFETY: these are whole pages of ours, and nothing in them changes.
    let _ = unsafe {
        rustix::mm::madvise(
            memory.as_mut_ptr().cast(),
            memory.len(),
            rustix::mm::Advice::LinuxNoHugepage,
        )
    };
    let mut touch = || {
        for page in memory.chunks_mut(PAGE) {
            page[0] = page[0].wrapping_add(1);
        }
    };
    let mut script = shell("exit 0");
    if is_root() {
        script.run_as = Some(RunAs {
            user: "nobody".to_owned(),
            group: None,
        });
    }
    touch();
    assert!(run_script(&script, CHECK).end.success());
    let before = faults();
    touch();
    let after = faults();
    assert!(
        after - before < 100,
        "{} faults for {PAGES} pages",
        after - before
    );
    // With `fork` there are as many as pages: this can fail.
    // SAFETY: the child does nothing but end.
    let child = unsafe { libc::fork() };
    if child == 0 {
        // SAFETY: ends the child, and runs nothing of ours.
        unsafe { libc::_exit(0) };
    }
    let before = faults();
    touch();
    let after = faults();
    let pid = Pid::from_raw(child).unwrap();
    rustix::process::waitpid(Some(pid), rustix::process::WaitOptions::empty()).unwrap();
    assert!(
        after - before > 1000,
        "{} faults after a fork",
        after - before
    );
}

#[test]
fn nobody_is_left_to_be_reaped() {
    let dir = tempfile::tempdir().unwrap();
    let (own, own_text) = place(&dir, "own");
    block_on(async {
        // Ended by itself.
        let script = resolved(&shell(&format!("echo $$ > {own_text}; exit 3")));
        let _ = run(&script, &[], &[], CHECK).await;
        wait_gone(fs::read_to_string(&own).unwrap().trim());
        fs::remove_file(&own).unwrap();

        // Given up by the caller.
        let script = resolved(&shell(&format!("echo $$ > {own_text}; sleep 1000")));
        let task = tokio::spawn(async move { run(&script, &[], &[], CHECK).await });
        let pid = number_in(&own).await;
        task.abort();
        let _ = task.await;
        let proc = PathBuf::from(format!("/proc/{pid}"));
        for _ in 0..3000 {
            if !proc.exists() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{} is still there", proc.display());
    });
}

#[test]
fn a_command_that_may_stay_is_left_alone_when_it_is_given_up() {
    let dir = tempfile::tempdir().unwrap();
    let (own, own_text) = place(&dir, "own");
    let terms = Terms {
        children: Children::Left,
        output: Output::Discarded,
        ..CHECK
    };
    let pid = block_on(async {
        let script = resolved(&shell(&format!("echo $$ > {own_text}; sleep 1000")));
        let task = tokio::spawn(async move { run(&script, &[], &[], terms).await });
        let pid = number_in(&own).await;
        task.abort();
        let _ = task.await;
        pid
    });
    let pid = Pid::from_raw(pid.parse().unwrap()).unwrap();
    // It fails if there is no such process.
    rustix::process::kill_process_group(pid, Signal::KILL).unwrap();
}

#[test]
fn many_at_once_are_kept_apart() {
    block_on(async {
        let tasks: Vec<_> = (0..40)
            .map(|number| {
                let mut script = shell(&format!("echo {number}; exit {number}"));
                if is_root() && number % 2 == 0 {
                    script.run_as = Some(RunAs {
                        user: "nobody".to_owned(),
                        group: None,
                    });
                }
                let script = resolved(&script);
                tokio::spawn(async move { run(&script, &[], &[], CHECK).await })
            })
            .collect();
        for (number, task) in (0..).zip(tasks) {
            let outcome = task.await.unwrap();
            assert!(
                matches!(outcome.end, End::Exited(status) if status == number),
                "{outcome:?}"
            );
            assert_eq!(outcome.last_line, number.to_string());
        }
    });
    // SAFETY: gives a number only.
    assert_eq!(unsafe { libc::prctl(libc::PR_GET_DUMPABLE) }, 1);
}
