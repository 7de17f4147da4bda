//! Webhooks: tried until they are taken, and no secret of theirs is told.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use anyhow::{Context as _, Result, ensure};
use ha_tests::{
    command,
    daemon::{Harrier, Instance, binary},
    http::{Request, Response, Server},
    lab::{INTERFACE, Lab},
};
use serde_json::Value;

use crate::scene::{PATIENCE, await_that, count};

/// Whatever has this in it must not be shown.
const SECRET: &str = "hunter2";

#[test]
fn a_webhook_is_tried_until_it_is_taken_and_its_secrets_are_not_told() -> Result<()> {
    let lab = Lab::new(2)?;
    let (node, server) = (&lab.nodes[0], &lab.nodes[1]);
    let requests: Arc<Mutex<Vec<Request>>> = Arc::default();
    let address = SocketAddr::from((server.ipv4(), 8080));
    let _server = Server::start(&server.netns, address, {
        let requests = Arc::clone(&requests);
        move |request| {
            let mut requests = requests.lock().expect("the other holder panicked");
            requests.push(request.clone());
            // The first three are not taken, whatever they are about.
            match requests.len() {
                1..=3 => Response::of(500, "later"),
                _ => Response::of(204, ""),
            }
        }
    })?;
    let instance = Instance::new(150, &["10.77.0.100/16"]).with(&format!(
        "[instance.notify]\nany = \"/bin/true {SECRET}\"\n[instance.notify.webhook]\n\
         url = \"http://{address}/{SECRET}?token={SECRET}\"\nretries = 20\n\
         retry_interval = \"200ms\"\nheaders = {{ Authorization = \"Bearer {SECRET}\" }}\n"
    ));
    let mut harrier = Harrier::start(&lab, node, &[instance])?;
    let bodies = || -> Result<Vec<Value>> {
        let requests = requests.lock().expect("the server panicked");
        let bodies = requests.iter().map(|request| &request.body);
        bodies
            .map(|body| serde_json::from_str(body).with_context(|| body.clone()))
            .collect()
    };
    // The fourth and later ones are taken: BACKUP has been overtaken by then, or not.
    await_that("MASTER at the webhook", || {
        Ok(bodies()?
            .iter()
            .skip(3)
            .any(|body| body["state"] == "MASTER"))
    })?;
    harrier
        .process
        .await_log("has taken MASTER", PATIENCE)
        .or_else(|error| {
            // BACKUP was the fourth.
            harrier
                .process
                .await_log("has taken BACKUP", PATIENCE)
                .context(error)
        })?;
    node.netns.ip(&format!("link set {INTERFACE} down"))?;
    harrier.await_state("web", "fault", PATIENCE)?;
    node.netns.ip(&format!("link set {INTERFACE} up"))?;
    await_that("MASTER again", || {
        let masters = bodies()?;
        let masters = masters.iter().rev();
        let last = masters.take_while(|body| body["state"] == "MASTER").count();
        Ok(last > 0
            && bodies()?
                .iter()
                .skip(3)
                .filter(|body| body["state"] == "MASTER")
                .count()
                > 1)
    })?;

    let mut status = std::process::Command::new(binary()?);
    status
        .arg("status")
        .arg("--runtime-dir")
        .arg(harrier.runtime_directory());
    let mut shown = command::checked(&mut status, "")?;
    shown += &command::checked(status.arg("--json"), "")?;
    harrier.stop()?;

    let requests = requests.lock().expect("the server panicked");
    let first = requests.first().context("no request")?;
    assert_eq!(first.method, "POST");
    assert_eq!(first.path, format!("/{SECRET}?token={SECRET}"));
    assert_eq!(first.header("content-type"), Some("application/json"));
    assert_eq!(
        first.header("authorization"),
        Some(&*format!("Bearer {SECRET}"))
    );
    drop(requests);
    let bodies = bodies()?;
    // In order, and none that is over: what is refused is told again or overtaken.
    let states: Vec<&str> = bodies
        .iter()
        .filter_map(|body| body["state"].as_str())
        .collect();
    ensure!(states.last() == Some(&"STOP"), "{states:?}");
    assert_eq!(states.iter().filter(|state| **state == "STOP").count(), 1);
    for body in &bodies {
        assert_eq!(body["instance"], "web");
        assert_eq!(body["priority"], 150);
        ensure!(
            body["daemon"].as_str().is_some_and(|name| !name.is_empty()),
            "{body}"
        );
        ensure!(
            body["reason"].as_str().is_some_and(|why| !why.is_empty()),
            "{body}"
        );
        // After 2020, in milliseconds.
        ensure!(
            body["at"].as_u64().is_some_and(|at| at > 1_577_836_800_000),
            "{body}"
        );
    }
    let master = bodies.iter().find(|body| body["state"] == "MASTER");
    assert_eq!(master.context("no MASTER")?["from"], "BACKUP");

    let log = harrier.process.log();
    // Told once, with the host and the status. (Nobody can be told of a link that is
    // down through it.)
    assert_eq!(count(&log, "status 500"), 1, "{log}");
    ensure!(log.contains(&format!("{}", server.ipv4())), "{log}");
    for (what, text) in [("log", &log), ("status", &shown)] {
        ensure!(!text.contains(SECRET), "the {what} has the secret:\n{text}");
    }
    Ok(())
}

#[test]
fn a_webhook_that_is_not_there_is_given_up_and_holds_up_nothing() -> Result<()> {
    let lab = Lab::new(1)?;
    let node = &lab.nodes[0];
    // Nobody has the address: no answer at all.
    let instance = Instance::new(150, &["10.77.0.100/16"]).with(
        "notify = { webhook = { url = \"http://10.77.0.99/hook\", timeout = \"200ms\", \
         retries = 1, retry_interval = \"100ms\" } }",
    );
    let mut harrier = Harrier::start(&lab, node, &[instance])?;
    harrier.await_state("web", "active", PATIENCE)?;
    let given_up = "is not told of MASTER any more";
    harrier.process.await_log(given_up, PATIENCE)?;
    harrier.stop()
}
