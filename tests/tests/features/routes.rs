//! Routes and policy rules that follow the addresses.

use anyhow::{Context as _, Result, ensure};
use ha_tests::{
    daemon::{Harrier, Instance},
    lab::{Host, Lab},
};
use serde_json::Value;

use crate::scene::{PATIENCE, await_unchanged, ensure_unchanged, everything, json};

fn instance(priority: u8) -> Instance {
    Instance::new(priority, &["10.77.0.100/16"]).with(
        "excluded_addresses = [\"fd77::100/64\"]\n\
         routes = [\n\
         { to = \"10.98.0.0/16\", via = \"10.77.0.254\", table = 100, metric = 50, source = \"10.77.0.100\" },\n\
         { to = \"10.99.0.0/16\" },\n\
         { to = \"default\", via = \"10.77.0.254\" },\n\
         { to = \"fd98::/64\", via = \"fd77::fe\", metric = 7, source = \"fd77::100\" },\n\
         ]\n\
         rules = [\n\
         { from = \"10.77.0.100/32\", table = 100, priority = 1000 },\n\
         { to = \"fd98::/64\", table = 101, priority = 1001 },\n\
         { from = \"10.98.0.0/16\", to = \"10.99.0.0/16\", table = 100 },\n\
         ]",
    )
}

/// The routes and rules of protocol 112 on `host`.
fn ours(host: &Host) -> Result<(Vec<Value>, Vec<Value>)> {
    let mut routes = Vec::new();
    let mut rules = Vec::new();
    for family in ["-4", "-6"] {
        routes.extend(json(host, &[family, "route", "show", "table", "all"])?);
        rules.extend(json(host, &[family, "rule", "show"])?);
    }
    let ours = |all: Vec<Value>| -> Vec<Value> {
        all.into_iter()
            .filter(|it| match &it["protocol"] {
                Value::String(name) => name == "112" || name == "vrrp",
                number => *number == 112,
            })
            .collect()
    };
    Ok((ours(routes), ours(rules)))
}

fn counts(host: &Host) -> Result<(usize, usize)> {
    let (routes, rules) = ours(host)?;
    Ok((routes.len(), rules.len()))
}

/// A number, or a text of one.
fn number(value: &Value) -> Option<u64> {
    value
        .as_u64()
        .or_else(|| value.as_str().and_then(|text| text.parse().ok()))
}

/// Sets what a running Harrier sets too: then its pictures are of the rest.
fn promote(host: &Host) -> Result<()> {
    host.netns
        .sysctl(&[("ipv4/conf/eth0/promote_secondaries", "1")])
}

#[test]
fn routes_and_rules_follow_the_addresses() -> Result<()> {
    let lab = Lab::new(2)?;
    let (host_a, host_b) = lab.pair();
    promote(host_a)?;
    promote(host_b)?;
    let before = [everything(host_a)?, everything(host_b)?];
    let mut a = Harrier::start(&lab, host_a, &[instance(200)])?;
    a.await_state("web", "active", PATIENCE)?;
    let mut b = Harrier::start(&lab, host_b, &[instance(100)])?;
    b.await_status("node-a is heard", PATIENCE, |status| {
        status.instances[0].active.is_some().then_some(())
    })?;
    ensure!(counts(host_b)? == (0, 0), "{:#?}", ours(host_b)?);

    let (routes, rules) = ours(host_a)?;
    ensure!(
        (routes.len(), rules.len()) == (4, 3),
        "{routes:#?}{rules:#?}"
    );
    let route = |destination: &str| {
        routes
            .iter()
            .find(|route| route["dst"] == destination)
            .with_context(|| format!("no route to {destination} in {routes:#?}"))
    };
    let it = route("10.98.0.0/16")?;
    ensure!(
        it["gateway"] == "10.77.0.254"
            && it["dev"] == "eth0"
            && number(&it["table"]) == Some(100)
            && number(&it["metric"]) == Some(50)
            && it["prefsrc"] == "10.77.0.100",
        "{it:#}"
    );
    let it = route("10.99.0.0/16")?;
    ensure!(it["gateway"].is_null() && it["dev"] == "eth0", "{it:#}");
    let it = route("default").or_else(|_| route("0.0.0.0/0"))?;
    ensure!(it["gateway"] == "10.77.0.254", "{it:#}");
    let it = route("fd98::/64")?;
    ensure!(
        it["gateway"] == "fd77::fe"
            && it["dev"] == "eth0"
            && number(&it["metric"]) == Some(7)
            && it["prefsrc"] == "fd77::100",
        "{it:#}"
    );
    let rule = |source: &str, destination: &str| {
        rules
            .iter()
            .find(|rule| {
                rule["src"].as_str().unwrap_or("all") == source
                    && rule["dst"].as_str().unwrap_or("all") == destination
            })
            .with_context(|| format!("no rule from {source} to {destination} in {rules:#?}"))
    };
    let it = rule("10.77.0.100", "all")?;
    ensure!(
        number(&it["priority"]) == Some(1000) && number(&it["table"]) == Some(100),
        "{it:#}"
    );
    let it = rule("all", "fd98::")?;
    ensure!(
        number(&it["priority"]) == Some(1001) && number(&it["table"]) == Some(101),
        "{it:#}"
    );
    rule("10.98.0.0", "10.99.0.0")?;

    a.stop()?;
    b.await_state("web", "active", PATIENCE)?;
    ensure!(counts(host_b)? == (4, 3), "{:#?}", ours(host_b)?);
    ensure_unchanged(&before[0], &everything(host_a)?)?;
    // As a Backup node-b loses them again.
    let mut a = Harrier::start(&lab, host_a, &[instance(200)])?;
    a.await_state("web", "active", PATIENCE)?;
    b.await_state("web", "backup", PATIENCE)?;
    await_unchanged(&before[1], host_b)?;
    a.stop()?;
    b.stop()?;
    ensure_unchanged(&before[1], &everything(host_b)?)
}

#[test]
fn what_a_killed_one_left_its_successor_removes() -> Result<()> {
    let lab = Lab::new(2)?;
    let (host_a, host_b) = lab.pair();
    promote(host_a)?;
    let before = everything(host_a)?;
    let mut a = Harrier::start(&lab, host_a, &[instance(200)])?;
    a.await_state("web", "active", PATIENCE)?;
    a.process.kill()?;
    ensure!(counts(host_a)? == (4, 3), "{:#?}", ours(host_a)?);
    let mut b = Harrier::start(&lab, host_b, &[instance(100)])?;
    b.await_state("web", "active", PATIENCE)?;
    // The successor is told of none of them: the journal alone knows.
    let mut a = Harrier::start(&lab, host_a, &[Instance::new(50, &["10.77.0.101/16"])])?;
    a.await_state("web", "backup", PATIENCE)?;
    ensure_unchanged(&before, &everything(host_a)?)?;
    a.stop()?;
    b.stop()?;
    ensure_unchanged(&before, &everything(host_a)?)
}

/// A virtual MAC address moves the addresses to another interface, and the routes
/// without a gateway with them.
#[test]
fn routes_lead_out_of_the_interface_with_the_virtual_mac_address() -> Result<()> {
    let lab = Lab::new(1)?;
    let host = &lab.nodes[0];
    promote(host)?;
    let before = everything(host)?;
    let instance = instance(200).with("virtual_mac = \"vrrp.51\"");
    let mut a = Harrier::start(&lab, host, &[instance])?;
    a.await_state("web", "active", PATIENCE)?;
    let (routes, rules) = ours(host)?;
    ensure!(
        (routes.len(), rules.len()) == (4, 3),
        "{routes:#?}{rules:#?}"
    );
    let it = routes
        .iter()
        .find(|route| route["dst"] == "10.99.0.0/16")
        .context("no route without a gateway")?;
    ensure!(it["dev"] == "vrrp.51", "{it:#}");
    a.stop()?;
    ensure_unchanged(&before, &everything(host)?)
}
