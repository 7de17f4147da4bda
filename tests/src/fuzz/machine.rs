//! A state machine and a sequence of events, against the rules that hold in
//! every state, with the durations computed a second time.
//!
//! Five octets choose the parameters, then each octet an event.

use std::{net::Ipv4Addr, time::Duration};

use ha_common::{
    fsm::{
        Action, Addresses, Advert, FaultCause, Parameters, Preemption, ReleaseTarget, Rival, State,
        StateKind, TrackerId, VirtualRouter,
        election::{Role, Standing, standing},
        router::LINGER,
    },
    time::Timestamp,
    types::{Priority, RouterAddress, Version},
};

/// The least interval that a Backup learns.
const FLOOR: Duration = Duration::from_millis(10);

/// Octets, read from the front.
struct Octets<'a>(&'a [u8]);

impl Octets<'_> {
    fn one(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn two(&mut self) -> Option<u16> {
        Some(u16::from_be_bytes([self.one()?, self.one()?]))
    }

    fn host(&mut self) -> Option<RouterAddress> {
        Some(Ipv4Addr::new(10, 0, 0, self.one()?).into())
    }

    /// As the wire can carry it: 1 to 4095 centiseconds, or 1 to 255 seconds.
    fn interval(&mut self, version: Version) -> Option<Duration> {
        let number = u64::from(self.two()?);
        Some(match version {
            Version::V2 => Duration::from_secs(number % 255 + 1),
            Version::V3 => Duration::from_millis((number % 4095 + 1) * 10),
        })
    }
}

/// Runs the events of `input`, and returns the states that were entered, in order.
///
/// # Panics
/// If addresses are anywhere but in Active and Releasing and for a moment after, a
/// takeover does not advertise first,
/// a deadline is not where the RFC has it or does not move when it is due, or an
/// early or stale call changes anything.
pub fn machine(input: &[u8]) -> Vec<StateKind> {
    let mut input = Octets(input);
    let mut entered = Vec::new();
    let Some(parameters) = parameters(&mut input) else {
        return entered;
    };
    let mut machine = Machine {
        parameters,
        router: VirtualRouter::new(parameters),
        now: Timestamp::from_nanos(1_000_000_000),
        installed: false,
    };
    while machine.event(&mut input).is_some() {
        let kind = machine.router.state().kind();
        if entered.last() != Some(&kind) {
            entered.push(kind);
        }
    }
    entered
}

fn parameters(input: &mut Octets<'_>) -> Option<Parameters> {
    let choices = input.one()?;
    let version = if choices & 1 == 0 {
        Version::V3
    } else {
        Version::V2
    };
    let priority = Priority(input.one()?.max(1));
    let address = input.host()?;
    let second = |bit: u8| Duration::from_secs(u64::from(choices & bit != 0));
    Some(Parameters {
        preempt: choices & 2 == 0,
        quick_preempt: choices & 4 == 0,
        preempt_delay: second(8),
        startup_delay: second(16),
        ..Parameters::new(version, priority, address, input.interval(version)?)
    })
}

struct Machine {
    parameters: Parameters,
    router: VirtualRouter,
    now: Timestamp,
    installed: bool,
}

impl Machine {
    /// One event; `None` at the end of the input.
    fn event(&mut self, input: &mut Octets<'_>) -> Option<()> {
        let before = *self.router.state();
        let mut out = Vec::new();
        match input.one()? {
            240..=242 => {
                let cause = FaultCause::Tracker(TrackerId(1));
                self.router.handle_fault(self.now, cause, &mut out);
            }
            243..=244 => self.router.handle_step_down(self.now, &mut out),
            245 => self.router.handle_drain(self.now, &mut out),
            246 => self.reconfigure(input, &mut out)?,
            247..=249 => {
                let priority = Priority(input.one()?.clamp(1, 254));
                // An owner's is fixed.
                if self.parameters.priority != Priority::OWNER {
                    self.parameters.priority = priority;
                    self.router.handle_priority(self.now, priority, &mut out);
                }
            }
            250..=252 => self.router.handle_claim(self.now, &mut out),
            253..=255 => self.router.handle_stop_now(&mut out),
            octet => self.basic_event(octet % 10, before, input, &mut out)?,
        }
        self.judge(before, &out);
        Some(())
    }

    /// Another interval and Preempt_Mode; the priority is another event's.
    fn reconfigure(&mut self, input: &mut Octets<'_>, out: &mut Vec<Action>) -> Option<()> {
        let choices = input.one()?;
        let before = *self.router.state();
        self.parameters.preempt = choices & 1 == 0;
        self.parameters.preempt_delay = Duration::from_secs(u64::from(choices & 2 != 0));
        self.parameters.advertisement_interval = input.interval(self.parameters.version)?;
        self.router
            .handle_parameters(self.now, self.parameters, out);
        let sent = out.contains(&Action::SendAdvert {
            priority: self.parameters.priority,
        });
        assert!(out.len() <= 1 && sent != out.is_empty(), "{out:?}");
        assert_eq!(before.kind(), self.router.state().kind());
        Some(())
    }

    fn basic_event(
        &mut self,
        kind: u8,
        before: State,
        input: &mut Octets<'_>,
        out: &mut Vec<Action>,
    ) -> Option<()> {
        match kind {
            0 => self.router.handle_startup(self.now, out),
            1 => self.router.handle_shutdown(self.now, out),
            2 => self
                .router
                .handle_fault(self.now, FaultCause::Interface, out),
            3 => self.router.handle_recovery(self.now, out),
            4 => self.timeout(Duration::from_micros(input.two()?.into()), out),
            5 => self.timeout(Duration::from_millis(input.two()?.into()), out),
            // What is due next, exactly; and a moment before.
            6 => self.timeout(self.until_due(), out),
            7 => {
                let early = self
                    .until_due()
                    .checked_sub(Duration::from_nanos(1))
                    .unwrap_or_default();
                let due = self.router.poll_timeout();
                self.timeout(early, out);
                if due.is_none_or(|due| due > self.now) {
                    assert_eq!((before, &*out), (*self.router.state(), &vec![]), "early");
                }
            }
            // Fresh, or late from the kernel's record.
            8 => self.hear(Duration::ZERO, input, out)?,
            _ => {
                let age = Duration::from_millis(input.two()?.into());
                self.hear(age, input, out)?;
            }
        }
        Some(())
    }

    fn until_due(&self) -> Duration {
        self.router
            .poll_timeout()
            .map_or(Duration::ZERO, |due| due.since(self.now))
    }

    fn timeout(&mut self, passed: Duration, out: &mut Vec<Action>) {
        self.now = self.now + passed;
        self.router.handle_timeout(self.now, out);
        if let Some(due) = self.router.poll_timeout() {
            assert!(due > self.now, "a driver would spin");
        }
    }

    fn hear(&mut self, age: Duration, input: &mut Octets<'_>, out: &mut Vec<Action>) -> Option<()> {
        let advert = Advert {
            at: self.now - age,
            priority: Priority(input.one()?),
            source: input.host()?,
            interval: input.interval(self.parameters.version)?,
        };
        let before = *self.router.state();
        self.router.handle_advert(self.now, &advert, out);
        let after = *self.router.state();
        let own = self.parameters.contender();
        let verdict = |role| standing(role, &own, advert.priority, advert.source);
        match before {
            State::Init | State::Fault => assert_eq!((before, &*out), (after, &vec![])),
            State::Backup(backup) => {
                let State::Backup(now) = after else {
                    panic!("an advertisement ends Backup: {after:?}");
                };
                assert_eq!(*out, [], "a Backup answers nothing");
                if advert.at <= backup.heard_at {
                    assert_eq!(before, after, "accounted for already");
                    return Some(());
                }
                let skew = self.skew(backup.active_adver_interval);
                let interval = advert.interval.max(FLOOR);
                let held_back = advert.at + (3 * interval + self.skew(interval));
                let due = backup.active_down_at;
                let is_barred = match backup.preemption {
                    Preemption::Free => false,
                    Preemption::Barred => true,
                    Preemption::BarredUntil(at) => advert.at < at,
                };
                let held_us_back =
                    backup.held_by.map(|Rival { address, .. }| address) == Some(advert.source);
                let expected = match verdict(Role::Backup) {
                    Standing::Wins => held_back,
                    Standing::Loses if is_barred => held_back,
                    Standing::Release => due.min(advert.at + skew),
                    Standing::Loses if held_us_back && self.parameters.quick_preempt => {
                        due.min(advert.at + skew)
                    }
                    Standing::Loses => due,
                };
                assert_eq!(now.active_down_at, expected);
            }
            State::Active(active) => {
                let answered = out.contains(&Action::SendAdvert {
                    priority: self.parameters.priority,
                });
                match verdict(Role::Active) {
                    Standing::Wins => assert_eq!(after.kind(), StateKind::Backup),
                    Standing::Release => {
                        assert_eq!(after.kind(), StateKind::Active);
                        assert!(answered);
                    }
                    Standing::Loses => {
                        assert!(answered);
                        let State::Active(now) = after else {
                            panic!("a loser ends Active: {after:?}");
                        };
                        let resumed = out
                            .iter()
                            .any(|action| matches!(action, Action::Resumed { .. }));
                        assert!(
                            resumed || now.advert_at == active.advert_at,
                            "a loser disturbs the timer"
                        );
                    }
                }
            }
            State::Releasing(releasing) => {
                let succeeds =
                    advert.priority != Priority::RELEASE && advert.at > releasing.released_at;
                let leaves = after.kind() != StateKind::Releasing;
                if releasing.then == ReleaseTarget::Init {
                    assert!(succeeds || before == after);
                } else {
                    assert_eq!(leaves, succeeds);
                }
            }
        }
        Some(())
    }

    /// Skew_Time once more: in whole nanoseconds, product before quotient.
    fn skew(&self, interval: Duration) -> Duration {
        let whole = match self.parameters.version {
            Version::V2 => 1_000_000_000,
            Version::V3 => interval.as_nanos(),
        };
        let skew = whole * (256 - u128::from(self.parameters.priority.0)) / 256;
        Duration::from_nanos(u64::try_from(skew).expect("less than 256 s"))
    }

    /// The rules that every event keeps.
    fn judge(&mut self, before: State, out: &[Action]) {
        let fell_silent = matches!(before, State::Backup(backup)
            if backup.held_by.is_some() && backup.shortened.is_none() && !backup.is_contested);
        let (before, after) = (before.kind(), self.router.state().kind());
        let own = self.parameters.priority;
        let mut changed = false;
        for (place, action) in out.iter().enumerate() {
            match *action {
                Action::InstallAddresses => {
                    self.installed = true;
                    // Where an Active has fallen silent, clients are told first.
                    let told_first = out[place - 1] == Action::Announce;
                    assert!(!told_first || fell_silent, "somebody may serve: {out:?}");
                    let sent = place - 1 - usize::from(told_first);
                    assert_eq!(out[sent], Action::SendAdvert { priority: own });
                    assert!(told_first || out[place + 1] == Action::Announce);
                }
                Action::RemoveAddresses => {
                    assert!(self.installed);
                    self.installed = false;
                }
                Action::Announce => assert!(
                    self.installed || out.get(place + 1) == Some(&Action::InstallAddresses),
                    "announced what is not there"
                ),
                Action::Transition { from, to, .. } => {
                    assert!(!changed, "two transitions: {out:?}");
                    changed = true;
                    assert_eq!((from, to), (before, after));
                    assert_eq!(place, out.len() - 1, "all that precedes belongs to it");
                }
                Action::SendAdvert { priority } => {
                    let releases = priority == Priority::RELEASE;
                    assert!(releases || priority == own);
                    // Only what leaves Active of itself releases.
                    let leaves = before == StateKind::Active
                        && !matches!(after, StateKind::Active | StateKind::Backup);
                    assert_eq!(releases, leaves, "{out:?}");
                }
                Action::Resumed { silence } => {
                    assert!(silence >= 3 * self.parameters.advertisement_interval);
                    assert_eq!(after, StateKind::Active);
                }
                Action::UpdateKernel(_) => panic!("that is the engine's to ask for"),
            }
        }
        assert_eq!(changed, before != after);
        self.judge_state();
    }

    fn judge_state(&self) {
        let serves = matches!(self.router.state(), State::Active(_) | State::Releasing(_));
        match self.router.addresses() {
            Addresses::Absent => assert!(!self.installed && !serves),
            Addresses::Installed => assert!(self.installed && serves),
            Addresses::LeavingAt(at) => {
                assert!(self.installed && !serves && at <= self.now + LINGER);
            }
        }
        match self.router.state() {
            State::Init | State::Fault => {
                assert_eq!(self.router.poll_timeout().is_some(), self.installed);
            }
            State::Backup(backup) => {
                assert!(backup.heard_at <= self.now && backup.active_adver_interval >= FLOOR);
                let interval = backup.active_adver_interval;
                let down = 3 * interval + self.skew(interval) + self.parameters.startup_delay;
                assert!(backup.active_down_at <= backup.heard_at + down);
            }
            State::Active(active) => {
                assert!(active.advert_at <= self.now + self.parameters.advertisement_interval);
            }
            State::Releasing(releasing) => assert!(releasing.until >= releasing.released_at),
        }
    }
}
