//! Claiming and giving up; what needs root to mount is in the root suites.

use std::os::unix::net::UnixListener;

use super::*;

fn entries(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

#[test]
fn a_claim_creates_and_a_release_removes() {
    let base = tempfile::tempdir().unwrap();
    let dir = base.path().join("a/b");
    let claimed = RuntimeDir::claim(&dir).unwrap();
    assert_eq!(fs::metadata(&dir).unwrap().mode() & 0o700, 0o700);
    let text = fs::read_to_string(claimed.pid_file()).unwrap();
    assert_eq!(text, format!("{}\n", process::id()));
    let socket = UnixListener::bind(claimed.control_socket()).unwrap();
    claimed.release().unwrap();
    drop(socket);
    assert_eq!(entries(base.path()), [""; 0]);
}

#[test]
fn a_live_holder_is_named_and_left_alone() {
    let base = tempfile::tempdir().unwrap();
    let dir = base.path().join("run");
    let first = RuntimeDir::claim(&dir).unwrap();
    let socket = UnixListener::bind(first.control_socket()).unwrap();
    let refused = RuntimeDir::claim(&dir).unwrap_err();
    assert!(matches!(refused, ClaimError::Busy { pid: Some(pid), .. } if pid == process::id()));
    let message = refused.to_string();
    assert!(message.contains("--runtime-dir") && message.contains(&process::id().to_string()));
    assert_eq!(entries(&dir), ["control.sock", "harrier.pid"]);
    drop((first, socket));
    assert!(!dir.exists());
    RuntimeDir::claim(&dir).unwrap();
}

#[test]
fn a_killed_predecessor_is_succeeded() {
    let base = tempfile::tempdir().unwrap();
    let dir = base.path();
    fs::write(dir.join("harrier.pid"), "4194305 and some more\n").unwrap();
    drop(UnixListener::bind(dir.join("control.sock")).unwrap());
    fs::create_dir(dir.join("bpf")).unwrap();
    fs::write(dir.join("addresses.json"), "[]").unwrap();
    let claimed = RuntimeDir::claim(dir).unwrap();
    assert_eq!(
        fs::read_to_string(claimed.pid_file()).unwrap(),
        format!("{}\n", process::id())
    );
    assert_eq!(entries(dir), ["addresses.json", "bpf", "harrier.pid"]);
    claimed.release().unwrap();
    assert_eq!(
        entries(dir),
        ["addresses.json"],
        "the journal and the directory stay"
    );
}

#[test]
fn only_a_socket_is_taken_for_one() {
    let base = tempfile::tempdir().unwrap();
    fs::write(base.path().join("control.sock"), "precious").unwrap();
    drop(RuntimeDir::claim(base.path()).unwrap());
    assert_eq!(entries(base.path()), ["control.sock"]);
}

#[test]
fn a_path_that_no_socket_can_have_is_refused_before_anything_happens() {
    let base = tempfile::tempdir().unwrap();
    let room = MAX_SOCKET_PATH - base.path().as_os_str().len() - "//control.sock".len();
    let fits = base.path().join("d".repeat(room));
    let claimed = RuntimeDir::claim(&fits).unwrap();
    drop(UnixListener::bind(claimed.control_socket()).unwrap());
    drop(claimed);
    let refused = RuntimeDir::claim(base.path().join("d".repeat(room + 1))).unwrap_err();
    assert!(matches!(refused, ClaimError::TooLong { .. }));
    assert_eq!(entries(base.path()), [""; 0]);
}

#[test]
fn what_is_in_the_way_is_named() {
    let base = tempfile::tempdir().unwrap();
    let file = base.path().join("file");
    fs::write(&file, "").unwrap();
    let refused = RuntimeDir::claim(file.join("run")).unwrap_err();
    assert!(
        refused.to_string().contains(&*file.to_string_lossy()),
        "{refused}"
    );
    assert_eq!(entries(base.path()), ["file"]);
}
