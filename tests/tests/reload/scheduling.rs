//! How the driver's thread is scheduled, what is said of it, and where it runs by
//! another configuration.

use std::fs;

use anyhow::{Context as _, Result, ensure};
use ha_tests::{
    daemon::{Harrier, Instance},
    lab::Lab,
    need,
};
use rustix::thread::{CpuSet, sched_getaffinity};

use super::scene::{PATIENCE, config, web};

/// The CPUs that this process may use.
fn allowed() -> Result<Vec<usize>> {
    let set = sched_getaffinity(None)?;
    let all = 0..CpuSet::MAX_CPU;
    Ok(all.filter(|cpu| set.is_set(*cpu)).collect())
}

/// What the kernel says of the driver's thread, in `key` of its status file.
fn driver(daemon: &Harrier, key: &str) -> Result<String> {
    for entry in fs::read_dir(format!("/proc/{}/task", daemon.process.id()))? {
        let task = entry?.path();
        if fs::read_to_string(task.join("comm"))?.trim() != "harrier-driver" {
            continue;
        }
        let text = fs::read_to_string(task.join("status"))?;
        let line = text.lines().find_map(|line| line.strip_prefix(key));
        return Ok(line.context("no such key")?.trim().to_owned());
    }
    anyhow::bail!("there is no thread harrier-driver")
}

/// The last paragraph of `harrier status`, and the same from its JSON.
fn told(daemon: &Harrier) -> Result<(String, serde_json::Value)> {
    let out = daemon.command(&["status"])?;
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    let at = text.find("\nscheduling: ").context("nothing is said")?;
    let out = daemon.command(&["status", "--json"])?;
    let json: serde_json::Value = serde_json::from_slice(&out.stdout)?;
    Ok((text[at + 1..].to_owned(), json["scheduling"].clone()))
}

#[test]
fn the_driver_runs_where_it_is_told_to() -> Result<()> {
    let cpus = allowed()?;
    let (first, last) = (cpus[0], cpus[cpus.len() - 1]);
    let lab = Lab::new(1)?;
    let host = &lab.nodes[0];
    let on = |cpus: &str| format!("cpu_affinity = {cpus}\n{}", config(&[web(200)]));
    let mut a = Harrier::start_with(&lab, host, "a", &on(&format!("[{last}]")))?;
    a.await_state("web", "active", PATIENCE)?;
    let ensure_on = |a: &Harrier, cpu: usize| -> Result<()> {
        let (text, json) = told(a)?;
        let expected = format!("scheduling: FIFO 40, memory locked, CPU {cpu}\n");
        ensure!(text == expected, "{text}");
        ensure!(json["cpus"] == serde_json::json!([cpu]), "{json}");
        ensure!(driver(a, "Cpus_allowed_list:")? == cpu.to_string());
        Ok(())
    };
    ensure_on(&a, last)?;
    let said = a.reload(&on(&format!("[{first}]")))?;
    ensure!(
        first == last || said.contains("cpu_affinity changed"),
        "{said}"
    );
    ensure_on(&a, first)?;
    // One that no kernel has by that number here: told, and no reason to refuse.
    a.reload(&on("[1023]"))?;
    let (text, json) = told(&a)?;
    ensure!(
        text.contains("\nwarning: cpu_affinity asks for CPU 1023"),
        "{text}"
    );
    ensure!(
        json["problems"].as_array().is_some_and(|it| it.len() == 1),
        "{json}"
    );
    a.reload(&config(&[web(200)]))?;
    let (text, json) = told(&a)?;
    ensure!(!text.contains("warning"), "{text}");
    ensure!(json["cpus"] == serde_json::json!(cpus), "{json}");
    a.stop()
}

#[test]
fn what_the_host_does_not_permit_is_said_with_what_helps() -> Result<()> {
    need::tools(&["setpriv", "prlimit"])?;
    let lab = Lab::new(1)?;
    let host = &lab.nodes[0];
    let wrapper = [
        "prlimit",
        "--rtprio=0",
        "--memlock=65536",
        "setpriv",
        "--bounding-set=-sys_nice,-ipc_lock",
    ];
    let instances: [Instance; 1] = [web(200)];
    let mut a = Harrier::start_by(&lab, host, &wrapper, &instances)?;
    a.await_state("web", "active", PATIENCE)?;
    let (text, json) = told(&a)?;
    let expected = "scheduling: no real-time priority, memory not locked, CPU";
    ensure!(text.starts_with(expected), "{text}");
    for words in [
        "\nwarning: no real-time scheduling (Operation not permitted",
        "CAP_SYS_NICE, or LimitRTPRIO=40",
        "\nwarning: memory is not locked (",
        "CAP_IPC_LOCK, or LimitMEMLOCK=infinity",
    ] {
        ensure!(text.contains(words), "{words:?}: {text}");
    }
    ensure!(
        json["policy"] == "other" && json["priority"].is_null(),
        "{json}"
    );
    ensure!(json["memory_locked"] == false, "{json}");
    let log = a.process.log();
    ensure!(log.contains("LimitRTPRIO=40"), "{log}");
    a.stop()
}
