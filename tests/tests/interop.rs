//! Harrier and a real keepalived as the two routers of one virtual router, in
//! both roles, in each form of the protocol that both speak.

use std::{net::IpAddr, time::Duration};

use anyhow::{Context as _, Result, ensure};
use ha_tests::{
    capture::Capture,
    daemon::{Harrier, Instance},
    keepalived::Keepalived,
    lab::{Host, Lab},
    probe::{Probe, Responder},
};

const PATIENCE: Duration = Duration::from_secs(30);

/// One form of the protocol.
struct Form {
    version: u8,
    interval: Duration,
    password: Option<&'static str>,
    addresses: &'static [&'static str],
    asked: &'static str,
    /// To and from the other node only.
    unicast: bool,
}

const V2: Form = Form {
    version: 2,
    interval: Duration::from_secs(1),
    password: None,
    addresses: &["10.77.0.100/16"],
    asked: "10.77.0.100",
    unicast: false,
};
const V2_PASSWORD: Form = Form {
    password: Some("secret"),
    ..V2
};
const V3_IPV4: Form = Form {
    version: 3,
    interval: Duration::from_millis(100),
    ..V2
};
const V3_IPV6: Form = Form {
    version: 3,
    interval: Duration::from_millis(100),
    password: None,
    addresses: &["fe80::100/64", "fd77::100/64"],
    asked: "fd77::100",
    unicast: false,
};
const V2_UNICAST: Form = Form {
    unicast: true,
    ..V2
};
const V3_IPV4_UNICAST: Form = Form {
    unicast: true,
    ..V3_IPV4
};

impl Form {
    fn instance(&self, priority: u8) -> Instance {
        Instance {
            version: self.version,
            advert_interval: self.interval,
            password: self.password,
            ..Instance::new(priority, self.addresses)
        }
    }

    /// As [`instance`](Self::instance), for `own` with the router on `other`.
    fn instance_of(&self, own: &Host, other: &Host, priority: u8) -> Instance {
        Instance {
            unicast: self
                .unicast
                .then(|| (own.ipv4().into(), vec![other.ipv4().into()])),
            ..self.instance(priority)
        }
    }

    /// Active_Down_Interval of priority 100, by hand: 3 intervals and 156/256
    /// of one (version 3) or of a second (version 2).
    fn active_down(&self) -> Duration {
        match self.version {
            2 => Duration::from_nanos(3_609_375_000),
            _ => Duration::from_nanos(360_937_500),
        }
    }
}

/// Cuts node-a, whose router has priority 200, and mends it: node-b is to take
/// over and to yield. Both are running when this is called.
fn take_over_and_yield(lab: &Lab, form: &Form) -> Result<()> {
    let (a, b) = lab.pair();
    let at_b = lab.capture(b)?;
    let _responders = [Responder::start(a)?, Responder::start(b)?];
    let probe = Probe::start(&lab.client, form.asked.parse()?)?;
    let of_a = [IpAddr::from(a.ipv4()), a.link_local().into()];
    let of_b = [IpAddr::from(b.ipv4()), b.link_local().into()];
    probe.await_answers(a, 0, 100, PATIENCE)?;
    at_b.await_adverts("adverts of node-a", at_b.mark(), 2, PATIENCE, |advert| {
        of_a.contains(&advert.source)
    })?;

    let mark = at_b.mark();
    lab.cut(a)?;
    let first = at_b.await_frame("node-b takes over", mark, PATIENCE, |frame| {
        !frame.outgoing
            && frame
                .advert()
                .is_some_and(|advert| of_b.contains(&advert.source))
    })?;
    let last = at_b
        .frames()
        .into_iter()
        .rfind(|frame| {
            frame.outgoing
                && frame.at < first.at
                && frame
                    .advert()
                    .is_some_and(|advert| of_a.contains(&advert.source))
        })
        .context("node-b heard node-a")?;
    let waited = first.at.since(last.at);
    // keepalived computes in microseconds and starts its timer when it reads.
    let due = form.active_down().saturating_sub(Duration::from_millis(1));
    ensure!(
        waited >= due,
        "node-b took over after {waited:?}, before {due:?}"
    );
    ensure!(
        first
            .advert()
            .is_some_and(|advert| advert.version == form.version),
        "{first:?}"
    );
    probe.await_answers(b, probe.mark(), 20, PATIENCE)?;

    // Both believe to be Active now; the lower priority yields.
    lab.mend(a)?;
    probe.await_answers(a, probe.mark(), 20, PATIENCE)?;
    let mark = at_b.mark();
    at_b.await_adverts("adverts of node-a", mark, 4, PATIENCE, |advert| {
        of_a.contains(&advert.source)
    })?;
    let late = at_b.frames()[mark..].iter().any(|frame| {
        frame
            .advert()
            .is_some_and(|advert| of_b.contains(&advert.source))
    });
    ensure!(!late, "node-b still advertises");
    let address = form.asked;
    ensure!(
        a.has(address)? && !b.has(address)?,
        "node-b still has {address}"
    );
    Ok(())
}

fn harrier_as_backup(form: &Form) -> Result<()> {
    let lab = Lab::new(2)?;
    let (a, b) = lab.pair();
    let _keepalived = Keepalived::start(&lab, a, &form.instance_of(a, b, 200))?;
    let mut harrier = Harrier::start(&lab, b, &[form.instance_of(b, a, 100)])?;
    harrier.await_state("web", "backup", PATIENCE)?;
    take_over_and_yield(&lab, form)?;
    harrier.await_state("web", "backup", PATIENCE)?;
    Ok(())
}

fn harrier_as_active(form: &Form) -> Result<()> {
    let lab = Lab::new(2)?;
    let (a, b) = lab.pair();
    let mut harrier = Harrier::start(&lab, a, &[form.instance_of(a, b, 200)])?;
    harrier.await_state("web", "active", PATIENCE)?;
    let _keepalived = Keepalived::start(&lab, b, &form.instance_of(b, a, 100))?;
    take_over_and_yield(&lab, form)?;
    let status = harrier.await_state("web", "active", PATIENCE)?;
    // Init, Backup, Active: it never yielded to the lower priority.
    ensure!(status.transitions == 2, "{status:?}");
    Ok(())
}

#[test]
fn v2_ipv4_harrier_takes_over_from_and_yields_to_keepalived() -> Result<()> {
    harrier_as_backup(&V2)
}

#[test]
fn v2_ipv4_keepalived_takes_over_from_and_yields_to_harrier() -> Result<()> {
    harrier_as_active(&V2)
}

#[test]
fn v2_password_harrier_takes_over_from_and_yields_to_keepalived() -> Result<()> {
    harrier_as_backup(&V2_PASSWORD)
}

#[test]
fn v2_password_keepalived_takes_over_from_and_yields_to_harrier() -> Result<()> {
    harrier_as_active(&V2_PASSWORD)
}

#[test]
fn v3_ipv4_harrier_takes_over_from_and_yields_to_keepalived() -> Result<()> {
    harrier_as_backup(&V3_IPV4)
}

#[test]
fn v3_ipv4_keepalived_takes_over_from_and_yields_to_harrier() -> Result<()> {
    harrier_as_active(&V3_IPV4)
}

#[test]
fn v3_ipv6_harrier_takes_over_from_and_yields_to_keepalived() -> Result<()> {
    harrier_as_backup(&V3_IPV6)
}

#[test]
fn v3_ipv6_keepalived_takes_over_from_and_yields_to_harrier() -> Result<()> {
    harrier_as_active(&V3_IPV6)
}

#[test]
fn v2_unicast_harrier_takes_over_from_and_yields_to_keepalived() -> Result<()> {
    harrier_as_backup(&V2_UNICAST)
}

#[test]
fn v2_unicast_keepalived_takes_over_from_and_yields_to_harrier() -> Result<()> {
    harrier_as_active(&V2_UNICAST)
}

#[test]
fn v3_ipv4_unicast_harrier_takes_over_from_and_yields_to_keepalived() -> Result<()> {
    harrier_as_backup(&V3_IPV4_UNICAST)
}

#[test]
fn v3_ipv4_unicast_keepalived_takes_over_from_and_yields_to_harrier() -> Result<()> {
    harrier_as_active(&V3_IPV4_UNICAST)
}

#[test]
fn a_clean_stop_hands_over_either_way() -> Result<()> {
    let lab = Lab::new(2)?;
    let (a, b) = lab.pair();
    let at_client = lab.capture(&lab.client)?;
    let mut harrier = Harrier::start(&lab, a, &[V3_IPV4.instance(200)])?;
    harrier.await_state("web", "active", PATIENCE)?;
    let mut keepalived = Keepalived::start(&lab, b, &V3_IPV4.instance(100))?;
    // keepalived logs the state that it starts in once it listens.
    keepalived
        .process
        .await_log("Entering BACKUP STATE", PATIENCE)?;

    let mark = at_client.mark();
    harrier.stop()?;
    hands_over(&at_client, mark, b.ipv4().into())?;

    let mut harrier = Harrier::start(&lab, a, &[V3_IPV4.instance(50)])?;
    harrier.await_status("the Active is heard", PATIENCE, |status| {
        status.instances[0].active.clone()
    })?;
    let mark = at_client.mark();
    keepalived.stop()?;
    hands_over(&at_client, mark, a.ipv4().into())?;
    Ok(())
}

/// After `mark` a priority 0 is heard, and `to` advertises before an
/// Active_Down_Interval could have passed.
fn hands_over(at_client: &Capture, mark: usize, to: IpAddr) -> Result<()> {
    let released =
        at_client.await_advert("priority 0", mark, PATIENCE, |advert| advert.priority == 0)?;
    let taken = at_client.await_advert("the other takes over", mark, PATIENCE, |advert| {
        advert.source == to
    })?;
    let waited = taken.at.since(released.at);
    ensure!(
        waited < Duration::from_millis(300),
        "{to} took over after {waited:?}"
    );
    Ok(())
}
