//! State files: replaced in one step, and on a disk that is full.

use std::{
    fs,
    io::ErrorKind,
    path::PathBuf,
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use anyhow::{Result, ensure};
use ha_tests::{
    daemon::{Harrier, Instance},
    lab::{INTERFACE, Lab},
};

use crate::scene::{PATIENCE, await_text, count, read};

#[test]
fn a_reader_of_a_state_file_always_sees_a_whole_state() -> Result<()> {
    let lab = Lab::new(1)?;
    let node = &lab.nodes[0];
    let path = lab.directory("state")?.join("web.state");
    let instance = Instance::new(150, &["10.77.0.100/16"]).with(&format!(
        "notify = {{ state_file = \"{}\" }}",
        path.display()
    ));
    let mut harrier = Harrier::start(&lab, node, &[instance])?;
    await_text(&path, "the first state", |text| text == "STATE=BACKUP\n")?;

    let over = AtomicBool::new(false);
    thread::scope(|scope| -> Result<()> {
        let reader = scope.spawn(|| -> Result<u64> {
            let mut reads = 0;
            while !over.load(Ordering::SeqCst) {
                let text = fs::read_to_string(&path)?;
                let known = ["BACKUP", "MASTER", "FAULT", "STOP"]
                    .iter()
                    .any(|word| text == format!("STATE={word}\n"));
                ensure!(known, "it reads {text:?}");
                reads += 1;
            }
            Ok(reads)
        });
        let mut work = || -> Result<()> {
            harrier.await_state("web", "active", PATIENCE)?;
            await_text(&path, "MASTER", |text| text == "STATE=MASTER\n")?;
            for _ in 0..5 {
                node.netns.ip(&format!("link set {INTERFACE} down"))?;
                await_text(&path, "FAULT", |text| text == "STATE=FAULT\n")?;
                node.netns.ip(&format!("link set {INTERFACE} up"))?;
                await_text(&path, "MASTER again", |text| text == "STATE=MASTER\n")?;
            }
            harrier.stop()
        };
        let worked = work();
        over.store(true, Ordering::SeqCst);
        let reads = reader.join().expect("the reader panicked")?;
        worked?;
        ensure!(reads > 100, "only {reads} reads");
        Ok(())
    })?;
    assert_eq!(read(&path), "STATE=STOP\n");
    assert_eq!(fs::read_dir(lab.directory("state")?)?.count(), 1);
    Ok(())
}

#[test]
fn a_full_disk_is_told_once_and_the_state_is_written_when_there_is_room() -> Result<()> {
    let lab = Lab::new(1)?;
    let node = &lab.nodes[0];
    let mount = lab.directory("disk")?;
    let shown = mount.display();
    let instance = Instance::new(150, &["10.77.0.100/16"]).with(&format!(
        "notify = {{ state_file = \"{shown}/web.state\" }}"
    ));
    // A disk of three pages, seen by the daemon only: the file, its successor and
    // something else.
    let on_small_disk = format!("mount -t tmpfs -o size=12k none {shown} && exec \"$@\"");
    let wrapper = ["unshare", "--mount", "sh", "-c", &on_small_disk, "sh"];
    let mut harrier = Harrier::start_by(&lab, node, &wrapper, &[instance])?;
    harrier.await_state("web", "active", PATIENCE)?;
    // As the daemon sees it.
    let inside = PathBuf::from(format!("/proc/{}/root{shown}", harrier.process.id()));
    let path = inside.join("web.state");
    await_text(&path, "MASTER", |text| text == "STATE=MASTER\n")?;

    let filler = inside.join("filler");
    let full = fs::write(&filler, vec![0; 1 << 20]).expect_err("the disk takes anything");
    assert_eq!(full.kind(), ErrorKind::StorageFull);
    let complaint = "cannot write FAULT to ";
    node.netns.ip(&format!("link set {INTERFACE} down"))?;
    harrier.process.await_log(complaint, PATIENCE)?;
    // It goes on all the same, and what was there stays.
    assert_eq!(read(&path), "STATE=MASTER\n");
    harrier.await_state("web", "fault", PATIENCE)?;
    node.netns.ip(&format!("link set {INTERFACE} up"))?;
    harrier.await_state("web", "active", PATIENCE)?;
    node.netns.ip(&format!("link set {INTERFACE} down"))?;
    harrier.await_state("web", "fault", PATIENCE)?;
    let told = harrier.process.log();
    assert_eq!(count(&told, "cannot write "), 1, "{told}");

    fs::remove_file(&filler)?;
    await_text(&path, "FAULT", |text| text == "STATE=FAULT\n")?;
    harrier
        .process
        .await_log("can be written again", PATIENCE)?;
    harrier.stop()
}
