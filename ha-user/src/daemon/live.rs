//! Advertisements as the kernel program sees them, for `harrier dump`.
//!
//! The kernel program shows them only while somebody asks: each question holds for
//! a few seconds, so a client that is killed costs nothing for long. The last few
//! thousand are kept here, numbered; a client asks for those after the last that it
//! has seen, so any number of clients can look, as slowly as they like.

use std::{
    collections::VecDeque,
    io,
    os::fd::{AsFd as _, OwnedFd},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use ha_common::{
    abi::{self, Counter, Dumped},
    types::{Centiseconds, MacAddress, RouterAddress},
};
use tokio::{
    io::{Interest, unix::AsyncFd},
    time::{Instant, sleep_until, timeout_at},
};

use super::view::View;
use crate::{
    control::protocol::{Dump, DumpCursor, DumpedAdvert},
    kernel::{DumpRing, Instances},
};

/// How long a question without an answer waits for one.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long after a question the next one is expected.
const LEASE: Duration = Duration::from_secs(5);
/// Advertisements kept.
const KEPT: usize = 8192;
/// Advertisements in one answer.
const ANSWER: usize = 2048;

/// See the [module](self).
#[derive(Clone)]
pub(super) struct Live(Arc<Shared>);

struct Shared {
    instances: Arc<Instances>,
    /// Readable when there is something in the ring.
    readable: AsyncFd<OwnedFd>,
    state: Mutex<State>,
}

struct State {
    ring: DumpRing,
    kept: VecDeque<Dumped>,
    /// Number of the first of those.
    first: u64,
    /// Until when the kernel program is to show them; `None` if it does not.
    until: Option<Instant>,
}

impl State {
    fn drain(&mut self) {
        while let Some(dumped) = self.ring.next() {
            if self.kept.len() >= KEPT {
                self.kept.pop_front();
                self.first += 1;
            }
            self.kept.push_back(dumped);
        }
    }

    fn end(&self) -> u64 {
        self.first + self.kept.len() as u64
    }

    /// At most [`ANSWER`] of those from `next` on, how many before them nobody kept,
    /// and the number of the one after them.
    fn since(&self, next: u64) -> (Vec<Dumped>, u64, u64) {
        let from = next.clamp(self.first, self.end());
        let missed = from.saturating_sub(next);
        let skipped = usize::try_from(from - self.first).unwrap_or(usize::MAX);
        let found: Vec<Dumped> = self
            .kept
            .iter()
            .skip(skipped)
            .take(ANSWER)
            .copied()
            .collect();
        let after = from + found.len() as u64;
        (found, missed, after)
    }
}

impl Live {
    /// Over the ring that the kernel program fills.
    pub(super) fn new(ring: DumpRing, instances: Arc<Instances>) -> io::Result<Self> {
        let fd = ring.as_fd().try_clone_to_owned()?;
        // SAFETY: the descriptor is the `AsyncFd`'s own, so it stays open and the same
        // for as long as that watches it.
        let readable = unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE) }?;
        Ok(Self(Arc::new(Shared {
            instances,
            readable,
            state: Mutex::new(State {
                ring,
                kept: VecDeque::new(),
                first: 0,
                until: None,
            }),
        })))
    }

    fn with<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        // A panic elsewhere cannot leave the queue half-written.
        let mut state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        work(&mut state)
    }

    /// Has the kernel program show them for a while longer.
    fn ask(&self) {
        let until = Instant::now() + LEASE;
        if self.with(|state| state.until.replace(until)).is_some() {
            return;
        }
        self.0.instances.set_dump(true);
        let live = self.clone();
        tokio::spawn(async move {
            while let Some(until) = live.with(|state| state.until) {
                sleep_until(until).await;
                live.with(|state| {
                    if state.until.is_some_and(|until| until <= Instant::now()) {
                        live.0.instances.set_dump(false);
                        state.until = None;
                        state.drain();
                        state.first = state.end();
                        state.kept = VecDeque::new();
                    }
                });
            }
        });
    }

    /// Those after `next`, or from now on; waits for the first one for a second.
    async fn wait(&self, next: Option<u64>) -> (Vec<Dumped>, u64, u64) {
        self.ask();
        let deadline = Instant::now() + PATIENCE;
        let next = next.unwrap_or_else(|| {
            self.with(|state| {
                state.drain();
                state.end()
            })
        });
        loop {
            let answer = self.with(|state| {
                state.drain();
                state.since(next)
            });
            if !answer.0.is_empty() || answer.1 != 0 {
                return answer;
            }
            match timeout_at(deadline, self.0.readable.readable()).await {
                // Cleared before the ring is read again, so nothing is missed.
                Ok(Ok(mut ready)) => ready.clear_ready(),
                Ok(Err(_)) | Err(_) => return answer,
            }
        }
    }
}

impl View {
    /// The advertisements after `cursor` for `instances`, all if none are named.
    pub(super) async fn dump(
        &self,
        instances: &[String],
        cursor: Option<DumpCursor>,
    ) -> Result<Dump, String> {
        for name in instances {
            self.find(&self.current.roster(), name)?;
        }
        let lost = || {
            let counters = self.counters.sum().map_err(|error| error.to_string())?;
            Ok::<_, String>(counters.of(Counter::DumpsLost))
        };
        let lost_before = match cursor {
            Some(cursor) => cursor.lost,
            None => lost()?,
        };
        let (dumped, missed, next) = self.live.wait(cursor.map(|it| it.next)).await;
        let lost = lost()?;
        let roster = self.current.roster();
        let adverts = dumped.iter().filter_map(|dumped| {
            let key = abi::PeerKey {
                ifindex: dumped.ifindex,
                vrid: dumped.vrid,
                family: dumped.family,
                reserved: [0; 2],
                address: dumped.address,
            };
            let config = self.instance_of(&roster, &key)?;
            let wanted = instances.is_empty() || instances.contains(&config.name);
            wanted.then(|| advert(dumped, config))
        });
        Ok(Dump {
            adverts: adverts.collect(),
            lost: missed + lost.saturating_sub(lost_before),
            cursor: DumpCursor { next, lost },
        })
    }
}

fn advert(dumped: &Dumped, config: &crate::config::InstanceConfig) -> DumpedAdvert {
    let reason = Counter::at(dumped.reason).filter(|it| *it != Counter::Accepted);
    let takes_part = matches!(dumped.state, abi::STATE_BACKUP | abi::STATE_ACTIVE);
    let interval = Centiseconds(dumped.interval_cs).to_duration();
    DumpedAdvert {
        at_ns: dumped.at_ns,
        instance: config.name.clone(),
        vrid: dumped.vrid,
        source: RouterAddress(dumped.address).to_ip(config.family),
        mac: MacAddress(dumped.mac).to_string(),
        multicast: dumped.to_group != 0,
        ttl: dumped.ttl,
        version: dumped.version,
        priority: dumped.priority,
        advert_interval_ms: u64::try_from(interval.as_millis()).unwrap_or(u64::MAX),
        address_count: dumped.address_count,
        refused: reason.map(|it| it.name().to_owned()),
        consumed: reason.is_none() && takes_part && dumped.consume != 0,
    }
}
