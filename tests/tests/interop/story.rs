//! The life of two routers of one virtual router, in one network: each event
//! follows from where the one before has left things.

use std::{net::IpAddr, time::Duration};

use anyhow::{Context as _, Result, ensure};
use ha_common::types::MacAddress;
use ha_tests::{
    capture::{Capture, Frame},
    daemon::Harrier,
    lab::{Host, INTERFACE, Lab},
    probe::{Probe, Responder},
};

use super::{
    combination::{Combination, Mac, Transport},
    opponent::{Opponent, holds, reboot},
};

const PATIENCE: Duration = Duration::from_secs(30);

/// Our priority; the peer's is above or below it.
const OURS: u8 = 50;
const HIGH: u8 = 100;
const LOW: u8 = 20;

/// Span between two requests of the client. Many clients ask at once here.
const ASK_EVERY: Duration = Duration::from_millis(10);

/// How much too early a peer's clock may be: FRR counts in centiseconds and
/// drops the rest.
const COARSE: Duration = Duration::from_millis(10);

/// What happens, in the order of the story.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Event {
    TheyAreActive,
    TheyDie,
    TheyPreempt,
    TheyStop,
    WeAreActive,
    WeStop,
    WePreempt,
    WeDie,
}

impl Event {
    pub(crate) const ALL: [Self; 8] = [
        Self::TheyAreActive,
        Self::TheyDie,
        Self::TheyPreempt,
        Self::TheyStop,
        Self::WeAreActive,
        Self::WeStop,
        Self::WePreempt,
        Self::WeDie,
    ];

    /// Its column in the table.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::TheyAreActive => "they are Active when we start",
            Self::TheyDie => "they die",
            Self::TheyPreempt => "they preempt us",
            Self::TheyStop => "they stop",
            Self::WeAreActive => "we are Active when they start",
            Self::WeStop => "we stop",
            Self::WePreempt => "we preempt them",
            Self::WeDie => "we die",
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Side {
    Ours,
    Theirs,
}

/// Two nodes, ours first, and what watches them.
struct Story {
    combination: Combination,
    ours: Option<Harrier>,
    theirs: Option<Opponent>,
    at_us: Capture,
    at_them: Capture,
    probe: Probe,
    _responders: [Responder; 2],
    lab: Lab,
}

/// Tells the story of `combination`: what became of each event, up to the first
/// that went wrong.
pub(crate) fn tell(combination: Combination) -> Result<Vec<(Event, Result<()>)>> {
    let mut story = Story::new(combination)?;
    let mut told = Vec::new();
    for event in Event::ALL {
        let outcome = story.happen(event);
        let failed = outcome.is_err();
        told.push((event, outcome));
        if failed {
            return Ok(told);
        }
    }
    story.quiet();
    Ok(told)
}

impl Story {
    fn new(combination: Combination) -> Result<Self> {
        let lab = Lab::new(2)?;
        let (us, them) = lab.pair();
        // zebra advertises itself as a router, which is of no interest here.
        for host in [us, them, &lab.client] {
            host.netns.sysctl(&[
                ("ipv6/conf/all/accept_ra", "0"),
                ("ipv6/conf/eth0/accept_ra", "0"),
            ])?;
        }
        if combination.transport == Transport::Unicast {
            // Advertisements to a peer that is dead would stop with its neighbour
            // entry, and the wire is to show them.
            for (host, peer) in [(us, them), (them, us)] {
                for address in [IpAddr::from(peer.ipv4()), peer.ipv6().into()] {
                    let mac = peer.mac().0.map(|octet| format!("{octet:02x}")).join(":");
                    host.netns.ip(&format!(
                        "neighbour replace {address} lladdr {mac} dev {INTERFACE} nud permanent\n"
                    ))?;
                }
            }
        }
        Ok(Self {
            combination,
            ours: None,
            theirs: None,
            at_us: lab.capture(us)?,
            at_them: lab.capture(them)?,
            probe: Probe::every(ASK_EVERY, &lab.client, combination.asked().parse()?)?,
            _responders: [Responder::start(us)?, Responder::start(them)?],
            lab,
        })
    }

    fn quiet(&mut self) {
        if let Some(harrier) = &mut self.ours {
            harrier.process.quiet();
        }
        if let Some(opponent) = &mut self.theirs {
            opponent.quiet();
        }
    }

    fn happen(&mut self, event: Event) -> Result<()> {
        match event {
            Event::TheyAreActive => self.they_are_active(),
            Event::TheyDie => self.they_die(),
            Event::TheyPreempt => self.they_preempt(),
            Event::TheyStop => self.they_stop(),
            Event::WeAreActive => self.we_are_active(),
            Event::WeStop => self.we_stop(),
            Event::WePreempt => self.we_preempt(),
            Event::WeDie => self.we_die(),
        }
    }

    fn they_are_active(&mut self) -> Result<()> {
        self.start_theirs(HIGH)?;
        self.theirs()?.await_active(true, PATIENCE)?;
        let from = self.at_us.mark();
        self.start_ours()?;
        let ours = self.ours.as_mut().context("we run")?;
        ours.await_status("the Active router is heard", PATIENCE, |status| {
            let status = &status.instances[0];
            (status.state == "backup" && status.active.is_some()).then_some(())
        })?;
        // Longer than our Active_Down_Interval.
        self.await_adverts(Side::Theirs, self.at_them.mark(), 5)?;
        self.has_not_advertised(Side::Ours, from)?;
        self.settles(Side::Theirs)
    }

    fn they_die(&mut self) -> Result<()> {
        let mark = self.at_us.mark();
        self.theirs()?.kill()?;
        self.lab.cut(&self.lab.nodes[1])?;
        self.takes_over_after_silence(Side::Ours, mark, OURS)?;
        self.theirs_ended();
        self.settles(Side::Ours)
    }

    fn they_preempt(&mut self) -> Result<()> {
        let (us, them) = self.lab.pair();
        reboot(them, &self.combination.instance(them, us, HIGH))?;
        self.lab.mend(them)?;
        self.start_theirs(HIGH)?;
        self.settles(Side::Theirs)
    }

    fn they_stop(&mut self) -> Result<()> {
        let marks = (self.at_us.mark(), self.at_them.mark());
        self.theirs()?.stop()?;
        self.hands_over(Side::Theirs, marks, OURS)?;
        self.theirs_ended();
        self.settles(Side::Ours)?;
        self.uses(Side::Theirs, false)
    }

    fn we_are_active(&mut self) -> Result<()> {
        let before = self.transitions()?;
        let from = self.at_them.mark();
        self.start_theirs(LOW)?;
        self.theirs()?.await_active(false, PATIENCE)?;
        // Longer than their Active_Down_Interval.
        self.await_adverts(Side::Ours, self.at_us.mark(), 5)?;
        self.has_not_advertised(Side::Theirs, from)?;
        ensure!(self.transitions()? == before, "we left Active meanwhile");
        self.settles(Side::Ours)
    }

    fn we_stop(&mut self) -> Result<()> {
        let marks = (self.at_us.mark(), self.at_them.mark());
        let mut ours = self.ours.take().context("we run")?;
        ours.stop()?;
        self.hands_over(Side::Ours, marks, LOW)?;
        ours.process.quiet();
        self.settles(Side::Theirs)?;
        self.uses(Side::Ours, false)
    }

    fn we_preempt(&mut self) -> Result<()> {
        self.start_ours()?;
        self.settles(Side::Ours)
    }

    fn we_die(&mut self) -> Result<()> {
        let mark = self.at_them.mark();
        let mut ours = self.ours.take().context("we run")?;
        ours.process.kill()?;
        ours.process.quiet();
        self.lab.cut(&self.lab.nodes[0])?;
        self.takes_over_after_silence(Side::Theirs, mark, LOW)?;
        self.settles(Side::Theirs)
    }

    fn start_ours(&mut self) -> Result<()> {
        let (us, them) = self.lab.pair();
        let harrier = self.combination.start_harrier(&self.lab, us, them, OURS)?;
        self.ours = Some(harrier);
        Ok(())
    }

    fn start_theirs(&mut self, priority: u8) -> Result<()> {
        let (us, them) = self.lab.pair();
        let instance = self.combination.instance(them, us, priority);
        let opponent = Opponent::start(&self.lab, them, &self.combination, &instance)?;
        self.theirs = Some(opponent);
        Ok(())
    }

    /// The log of what has ended well is of no interest.
    fn theirs_ended(&mut self) {
        if let Some(mut theirs) = self.theirs.take() {
            theirs.quiet();
        }
    }

    fn theirs(&mut self) -> Result<&mut Opponent> {
        self.theirs.as_mut().context("they run")
    }

    fn transitions(&self) -> Result<u64> {
        let ours = self.ours.as_ref().context("we run")?;
        let status = ours.status()?.context("we answer")?;
        Ok(status.instances[0].transitions)
    }

    fn host(&self, side: Side) -> &Host {
        match side {
            Side::Ours => &self.lab.nodes[0],
            Side::Theirs => &self.lab.nodes[1],
        }
    }

    fn port(&self, side: Side) -> &Capture {
        match side {
            Side::Ours => &self.at_us,
            Side::Theirs => &self.at_them,
        }
    }

    /// Waits until both agree that `winner` is the Active router: by their own
    /// words, on the wire, for the client, in the addresses they use.
    fn settles(&mut self, winner: Side) -> Result<()> {
        let loser = other(winner);
        if let Some(ours) = &mut self.ours {
            let state = if winner == Side::Ours {
                "active"
            } else {
                "backup"
            };
            ours.await_state("web", state, PATIENCE)?;
        }
        if let Some(theirs) = &self.theirs {
            theirs.await_active(winner == Side::Theirs, PATIENCE)?;
        }
        self.probe
            .await_answers(self.host(winner), self.probe.mark(), 5, PATIENCE)?;

        let marks = (self.port(winner).mark(), self.port(loser).mark());
        self.await_adverts(winner, marks.0, 2)?;
        self.has_not_advertised(loser, marks.1)?;
        for frame in self.adverts(winner, marks.0) {
            self.is_as_configured(winner, &frame)
                .with_context(|| format!("{winner:?}: {frame:?}"))?;
        }
        self.uses(winner, true)?;
        let runs = match loser {
            Side::Ours => self.ours.is_some(),
            Side::Theirs => self.theirs.is_some(),
        };
        if runs {
            self.uses(loser, false)?;
        }
        self.client_knows(winner)
    }

    /// What has come in at the port of `side` since `mark`.
    fn adverts(&self, side: Side, mark: usize) -> Vec<Frame> {
        let mut frames = self.port(side).frames().split_off(mark);
        frames.retain(|frame| !frame.outgoing && frame.advert().is_some());
        frames
    }

    fn await_adverts(&self, side: Side, mark: usize, count: usize) -> Result<()> {
        let mut seen = 0;
        let what = format!("{count} advertisements, {side:?}");
        self.port(side)
            .await_frame(&what, mark, PATIENCE, |frame| {
                seen += usize::from(!frame.outgoing && frame.advert().is_some());
                seen == count
            })
            .map(drop)
    }

    fn has_not_advertised(&self, side: Side, mark: usize) -> Result<()> {
        let sent = self.adverts(side, mark);
        ensure!(sent.is_empty(), "{side:?} advertise too: {sent:?}");
        Ok(())
    }

    /// Whether an advertisement of the Active router says what was configured.
    fn is_as_configured(&self, side: Side, frame: &Frame) -> Result<()> {
        let advert = frame.advert().context("an advertisement")?;
        let form = self.combination.form;
        let instance = self
            .combination
            .instance(&self.lab.nodes[0], &self.lab.nodes[1], 1);
        ensure!(advert.version == form.version(), "version");
        ensure!(advert.vrid == instance.vrid, "VRID");
        ensure!(advert.interval == form.interval(), "interval");
        ensure!(advert.priority != 0, "priority");
        ensure!(advert.source.is_ipv6() == form.is_ipv6(), "family");
        let mut addresses = advert.addresses.clone();
        addresses.sort();
        let configured: Vec<IpAddr> = configured_addresses(&instance.addresses)?;
        ensure!(addresses == configured, "addresses, not {configured:?}");
        let source = frame.bytes().get(6..12).context("a source MAC address")?;
        let expected = self.advert_mac(side);
        ensure!(source == expected.0, "source MAC address, not {expected:?}");
        let group = frame.bytes()[0] & 1 != 0;
        ensure!(
            group == (self.combination.transport == Transport::Multicast),
            "transport"
        );
        Ok(())
    }

    fn mac(&self, side: Side) -> Mac {
        match side {
            Side::Ours => self.combination.our_mac,
            Side::Theirs => self.combination.their_mac,
        }
    }

    /// The MAC address of the virtual addresses.
    fn address_mac(&self, side: Side) -> MacAddress {
        match self.mac(side) {
            Mac::Physical => self.host(side).mac(),
            Mac::Virtual => {
                let family = if self.combination.form.is_ipv6() {
                    2
                } else {
                    1
                };
                MacAddress([0, 0, 0x5e, 0, family, 51])
            }
        }
    }

    /// The MAC address that advertisements come from: unicast ones leave by the
    /// interface itself.
    fn advert_mac(&self, side: Side) -> MacAddress {
        match self.combination.transport {
            Transport::Multicast => self.address_mac(side),
            Transport::Unicast => self.host(side).mac(),
        }
    }

    /// Whether `side` has the virtual addresses in use (`expected`).
    fn uses(&self, side: Side, expected: bool) -> Result<()> {
        let host = self.host(side);
        let instance = self.combination.instance(host, host, 1);
        for cidr in &instance.addresses {
            let address = cidr.split_once('/').map_or(cidr.as_str(), |parts| parts.0);
            ensure!(
                holds(host, address)? == expected,
                "{side:?}: {address} in use is {}",
                !expected
            );
        }
        Ok(())
    }

    /// Whether the client's neighbour cache has the MAC address of `winner`.
    fn client_knows(&self, winner: Side) -> Result<()> {
        let asked = self.combination.asked();
        let text =
            self.lab
                .client
                .netns
                .ip_show(&["neighbour", "show", asked, "dev", INTERFACE])?;
        let octets = self.address_mac(winner).0;
        let mac = octets.map(|octet| format!("{octet:02x}")).join(":");
        ensure!(text.contains(&mac), "the client has {text}, not {mac}");
        Ok(())
    }

    /// After `mark` at its own port `heir` has heard nothing for its
    /// Active_Down_Interval before it took over.
    fn takes_over_after_silence(&self, heir: Side, mark: usize, priority: u8) -> Result<()> {
        let port = self.port(heir);
        let first = port.await_frame("a take-over", mark, PATIENCE, |frame| {
            !frame.outgoing && frame.advert().is_some()
        })?;
        let last = port
            .frames()
            .into_iter()
            .rfind(|frame| frame.outgoing && frame.at < first.at && frame.advert().is_some())
            .context("it had heard the Active router")?;
        let waited = first.at.since(last.at);
        let due = self.combination.form.active_down(priority);
        ensure!(
            waited + COARSE >= due,
            "{heir:?} took over after {waited:?} of silence, before {due:?}"
        );
        Ok(())
    }

    /// After the marks `leaver` has sent priority 0, and the other has taken over
    /// before its Active_Down_Interval (of `priority`) could have passed.
    fn hands_over(&self, leaver: Side, marks: (usize, usize), priority: u8) -> Result<()> {
        let (from_leaver, from_heir) = match leaver {
            Side::Ours => marks,
            Side::Theirs => (marks.1, marks.0),
        };
        let released =
            self.port(leaver)
                .await_frame("priority 0", from_leaver, PATIENCE, |frame| {
                    !frame.outgoing && frame.advert().is_some_and(|advert| advert.priority == 0)
                })?;
        let taken =
            self.port(other(leaver))
                .await_frame("a take-over", from_heir, PATIENCE, |frame| {
                    !frame.outgoing && frame.advert().is_some()
                })?;
        let waited = taken.at.since(released.at);
        let limit = self.combination.form.active_down(priority);
        ensure!(waited < limit, "taken over only after {waited:?}");
        Ok(())
    }
}

fn other(side: Side) -> Side {
    match side {
        Side::Ours => Side::Theirs,
        Side::Theirs => Side::Ours,
    }
}

fn configured_addresses(cidrs: &[String]) -> Result<Vec<IpAddr>> {
    let mut addresses = cidrs
        .iter()
        .map(|cidr| {
            let address = cidr.split_once('/').map_or(cidr.as_str(), |parts| parts.0);
            address.parse().context("an address")
        })
        .collect::<Result<Vec<IpAddr>>>()?;
    addresses.sort();
    Ok(addresses)
}
