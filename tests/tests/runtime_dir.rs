//! The runtime directory's bpffs: mounted, taken over from a killed daemon,
//! shared with an operator, and gone afterwards. Needs root, and works in a
//! mount namespace of its own.

use std::{fs, mem, path::Path, thread};

use anyhow::{Context as _, Result, ensure};
use ha_tests::need;
use ha_user::runtime_dir::RuntimeDir;
use rustix::{
    fs::statfs,
    mount::{MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_change, unmount},
    thread::{UnshareFlags, unshare_unsafe},
};

const BPF_FS_MAGIC: i64 = 0xcafe_4a11;

/// Runs `test` with an empty directory, in a mount namespace that ends with it.
fn in_a_mount_namespace(test: impl FnOnce(&Path) -> Result<()> + Send + 'static) -> Result<()> {
    need::root()?;
    let base = tempfile::tempdir()?;
    let path = base.path().to_owned();
    let inside = thread::spawn(move || -> Result<()> {
        // SAFETY: only the mount namespace (and with it, as `unshare(2)` says, the
        // thread's root and working directory) is unshared, no descriptor table.
        unsafe { unshare_unsafe(UnshareFlags::NEWNS) }.context("no mount namespace")?;
        mount_change(
            "/",
            MountPropagationFlags::PRIVATE | MountPropagationFlags::REC,
        )?;
        test(&path)
    });
    inside
        .join()
        .map_err(|_| anyhow::anyhow!("the test panicked"))?
}

fn is_bpffs(path: &Path) -> Result<bool> {
    // The type of the field differs between architectures.
    #[allow(clippy::useless_conversion, reason = "needed on 32 bits")]
    let magic = i64::from(statfs(path)?.f_type);
    Ok(magic == BPF_FS_MAGIC)
}

fn mounts_below(path: &Path) -> Result<usize> {
    let text = fs::read_to_string("/proc/thread-self/mountinfo")?;
    let path = path.to_str().context("a path that is no text")?;
    Ok(text.lines().filter(|line| line.contains(path)).count())
}

#[test]
fn a_bpffs_is_mounted_and_unmounted() -> Result<()> {
    in_a_mount_namespace(|base| {
        let dir = base.join("run with space");
        let mut claimed = RuntimeDir::claim(&dir)?;
        claimed.mount_pins()?;
        ensure!(is_bpffs(&claimed.pin_dir())?, "no bpffs");
        ensure!(mounts_below(base)? == 1);
        // A pin directory that is full does not hold up the end.
        fs::create_dir(claimed.pin_dir().join("x"))?;
        claimed.release()?;
        ensure!(mounts_below(base)? == 0, "still mounted");
        ensure!(!dir.exists(), "the directory is left");
        Ok(())
    })
}

#[test]
fn the_mount_of_a_killed_daemon_is_taken_over_and_ends_with_its_successor() -> Result<()> {
    in_a_mount_namespace(|base| {
        let dir = base.join("run");
        let mut killed = RuntimeDir::claim(&dir)?;
        killed.mount_pins()?;
        fs::create_dir(killed.pin_dir().join("stale"))?;
        let pid_file = killed.pid_file();
        // Not released, as by a kill. The lock would end with the process; here
        // it goes with the file.
        mem::forget(killed);
        fs::remove_file(&pid_file)?;
        fs::write(&pid_file, "1\n")?;

        let mut successor = RuntimeDir::claim(&dir)?;
        ensure!(mounts_below(base)? == 0, "the old mount is still there");
        successor.mount_pins()?;
        ensure!(mounts_below(base)? == 1);
        // The kernel may put iterators of its own into a new bpffs.
        ensure!(!successor.pin_dir().join("stale").exists(), "stale pins");
        successor.release()?;
        ensure!(mounts_below(base)? == 0, "still mounted");
        Ok(())
    })
}

#[test]
fn a_start_that_fails_before_it_mounts_still_clears_the_old_mount() -> Result<()> {
    in_a_mount_namespace(|base| {
        let mut killed = RuntimeDir::claim(base)?;
        killed.mount_pins()?;
        let pid_file = killed.pid_file();
        mem::forget(killed);
        fs::remove_file(&pid_file)?;
        drop(RuntimeDir::claim(base)?);
        ensure!(mounts_below(base)? == 0, "still mounted");
        ensure!(fs::read_dir(base)?.count() == 0, "something is left");
        Ok(())
    })
}

#[test]
fn an_operators_bpffs_is_used_and_stays() -> Result<()> {
    in_a_mount_namespace(|base| {
        let pins = base.join("bpf");
        fs::create_dir(&pins)?;
        mount("operator", &pins, "bpf", MountFlags::empty(), None)?;
        fs::create_dir(pins.join("of-somebody-else"))?;
        let mut claimed = RuntimeDir::claim(base)?;
        claimed.mount_pins()?;
        ensure!(mounts_below(base)? == 1, "mounted on top");
        claimed.release()?;
        ensure!(is_bpffs(&pins)?, "unmounted");
        ensure!(
            pins.join("of-somebody-else").exists(),
            "another's pin is gone"
        );
        unmount(&pins, UnmountFlags::DETACH)?;
        Ok(())
    })
}
