//! What happens in one run, all of it drawn from the seed.

use std::time::Duration;

use ha_common::{
    fsm::AnnounceSchedule,
    types::{AddressFamily, Version},
};

use super::rng::Rng;

const MILLI: u64 = 1_000_000;

/// One router's part in a virtual router.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Member {
    /// As configured; in the course of a run, the effective one.
    pub(crate) priority: u8,
    pub(crate) preempt: bool,
    pub(crate) interval_cs: u16,
    /// Last octet of its address.
    pub(crate) host: u8,
    /// Nanoseconds, as is the next.
    pub(crate) preempt_delay: u64,
    pub(crate) startup_delay: u64,
    pub(crate) quick_preempt: bool,
    /// Nanoseconds after each multiple of the interval at which it advertises.
    pub(crate) phase: Option<u64>,
    /// What its node's tracker adds while it is up (positive) or down (negative);
    /// 0: fault while it is down.
    pub(crate) weight: i16,
}

/// One virtual router.
#[derive(Clone, Debug)]
pub(crate) struct Instance {
    pub(crate) version: Version,
    pub(crate) family: AddressFamily,
    pub(crate) members: Vec<Member>,
    /// The link that it is on.
    pub(crate) link: usize,
    pub(crate) announce: AnnounceSchedule,
    /// Bit `from` of `unlisted[to]`: not a configured peer, so not heard.
    pub(crate) unlisted: Vec<u8>,
    /// The slowest interval in nanoseconds that a member has at any time.
    pub(crate) slowest: u64,
    /// All members have the same interval at all times.
    pub(crate) is_uniform: bool,
}

impl Instance {
    /// Skew_Time in nanoseconds, written down a second time on purpose.
    pub(crate) fn skew(&self, node: usize, interval: u64) -> u64 {
        let parts = 256 - u64::from(self.members[node].priority);
        match self.version {
            Version::V2 => parts * 1_000_000_000 / 256,
            Version::V3 => parts * interval / 256,
        }
    }

    pub(crate) fn active_down(&self, node: usize, interval: u64) -> u64 {
        3 * interval + self.skew(node, interval)
    }

    /// How long `node` serves after a release without a successor: the
    /// Active_Down_Interval of priority 0.
    pub(crate) fn longest_release(&self, node: usize) -> u64 {
        let interval = self.interval(node);
        match self.version {
            Version::V2 => 3 * interval + 1_000_000_000,
            Version::V3 => 4 * interval,
        }
    }

    pub(crate) fn interval(&self, node: usize) -> u64 {
        u64::from(self.members[node].interval_cs) * 10 * MILLI
    }

    /// When `node` is to advertise after `now` of its clock at the latest, written down
    /// a second time on purpose.
    pub(crate) fn next_advert(&self, node: usize, now: u64) -> u64 {
        let interval = self.interval(node);
        match self.members[node].phase {
            None => now + interval,
            Some(phase) => {
                let whole = (now + interval - phase % interval) / interval;
                whole * interval + phase % interval
            }
        }
    }

    /// The longest Active_Down_Interval of `node`, whatever its priority becomes.
    pub(crate) fn longest_down(&self, node: usize) -> u64 {
        let mut worst = self.clone();
        if worst.members[node].priority != 255 {
            let own = &mut worst.members[node];
            let weight = i16::from(own.priority) - own.weight.abs();
            own.priority = u8::try_from(weight.max(1)).unwrap_or(1);
        }
        worst.active_down(node, self.slowest)
    }

    /// Which of two nodes wins: greater priority, then greater address.
    pub(crate) fn outranks(&self, one: usize, other: usize) -> bool {
        let rank = |node: usize| (self.members[node].priority, self.members[node].host);
        rank(one) > rank(other)
    }
}

/// Something that goes wrong from `at` to `until` (true time).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fault {
    pub(crate) at: u64,
    pub(crate) until: u64,
    pub(crate) kind: Kind,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    /// kill -9: addresses stay, nothing is sent; the end is a restart.
    Crash { node: usize },
    /// SIGTERM; the end is a start.
    Stop { node: usize },
    /// SIGSTOP and SIGCONT: the kernel goes on recording.
    Pause { node: usize },
    /// SIGTERM and a start with other parameters.
    Reload { node: usize, change: Change },
    /// What the node tracks is down.
    Tracker { node: usize },
    /// No frame in or out of one link; the daemon hears of it a little later.
    LinkDown { node: usize, link: usize },
    /// The interface on one link is removed, and made again.
    Detach { node: usize, link: usize },
    /// The nodes of the mask and the others do not hear each other; on one link
    /// only, if there is more than one.
    Partition { mask: u8, link: usize },
    /// `to` does not hear `from`.
    OneWay { from: usize, to: usize, link: usize },
    /// So many frames in a thousand are lost.
    Loss { permille: u64 },
}

/// What a new configuration changes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Change {
    pub(crate) host: u8,
    /// Of the first instance; an owner stays one.
    pub(crate) priority: u8,
    pub(crate) preempt: bool,
    /// Of version 3, where routers may differ in it.
    pub(crate) interval_cs: u16,
}

#[derive(Clone, Debug)]
pub(crate) struct Scenario {
    pub(crate) seed: u64,
    pub(crate) nodes: usize,
    pub(crate) instances: Vec<Instance>,
    /// The instances are one sync group.
    pub(crate) grouped: bool,
    /// Per node: the clock's reading at the start, its error in ppm, when the
    /// daemon is started.
    pub(crate) clocks: Vec<(u64, i64)>,
    pub(crate) starts: Vec<u64>,
    /// A frame takes `delay`, up to `jitter` more, and `straggle` more on top in
    /// some cases in a thousand: so frames overtake each other.
    pub(crate) delay: u64,
    pub(crate) jitter: u64,
    pub(crate) straggle: u64,
    pub(crate) straggle_permille: u64,
    pub(crate) duplicate_permille: u64,
    /// The most by which the daemon wakes late, for an event or a deadline.
    pub(crate) lateness: u64,
    /// The most that passes from a decision to its publication.
    pub(crate) publication: u64,
    pub(crate) faults: Vec<Fault>,
    pub(crate) end: u64,
}

impl Scenario {
    pub(crate) fn new(seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let nodes = rng.between(2, 5) as usize;
        let scale_cs: u16 = rng.pick(&[1, 2, 10, 10, 100, 100, 500, 4095]);
        let mut instances: Vec<Instance> = (0..rng.between(1, 2))
            .map(|_| Self::instance(&mut rng, nodes, scale_cs))
            .collect();
        let grouped = instances.len() == 2 && rng.chance(400);
        let links = if instances.len() == 2 && rng.chance(400) {
            instances[1].link = 1;
            2
        } else {
            1
        };
        let fastest = instances
            .iter()
            .flat_map(|instance| (0..nodes).map(|node| instance.interval(node)))
            .min()
            .expect("an instance");
        let longest = instances
            .iter()
            .map(|instance| instance.active_down(0, instance.slowest))
            .max()
            .expect("an instance");
        let lateness = rng.pick(&[0, 50_000, fastest / 50, fastest / 20, fastest / 5]);
        let mut at = 0;
        let faults = (0..rng.up_to(8))
            .map(|_| {
                at += rng.between(longest / 10, 4 * longest);
                let until = at + rng.between(longest / 20, 4 * longest);
                let kind = Self::fault(&mut rng, nodes, links, &mut instances);
                Fault { at, until, kind }
            })
            .collect::<Vec<_>>();
        let last = faults.iter().map(|fault| fault.until).max().unwrap_or(0);
        // Numbers of their own: without them a seed means what it would mean.
        Self::draw_phases(&mut Rng::new(seed.wrapping_add(1 << 63)), &mut instances);
        let tail = if rng.chance(30) { 400 } else { 4 };
        Self {
            seed,
            nodes,
            clocks: (0..nodes)
                .map(|_| {
                    (
                        rng.between(1_000_000_000, 1 << 50),
                        rng.between(0, 400) as i64 - 200,
                    )
                })
                .collect(),
            starts: (0..nodes).map(|_| rng.up_to(longest)).collect(),
            delay: rng.between(1_000, fastest / 100),
            jitter: rng.pick(&[0, 1_000, fastest / 50, fastest / 10]),
            straggle: rng.between(fastest / 100, fastest / 4),
            straggle_permille: rng.pick(&[0, 0, 20, 200]),
            duplicate_permille: rng.pick(&[0, 0, 10, 200]),
            lateness,
            publication: lateness / 4,
            end: last.max(longest) + tail * longest,
            faults,
            instances,
            grouped,
        }
    }

    fn instance(rng: &mut Rng, nodes: usize, scale_cs: u16) -> Instance {
        let version = if scale_cs.is_multiple_of(100) && rng.chance(300) {
            Version::V2
        } else {
            Version::V3
        };
        let family = if version == Version::V3 && rng.chance(400) {
            AddressFamily::Ipv6
        } else {
            AddressFamily::Ipv4
        };
        let ties = rng.chance(250);
        let preempt = rng.pick(&[1000, 1000, 0, 500]);
        let mixed = version == Version::V3 && rng.chance(250);
        let mut owner = rng.chance(100);
        let quick = rng.pick(&[1000, 1000, 0, 500]);
        let delayed = rng.pick(&[0, 0, 0, 300]);
        let longest = 4 * u64::from(scale_cs) * 10 * MILLI;
        let mut members = Vec::with_capacity(nodes);
        for node in 0..nodes {
            members.push(Member {
                priority: if std::mem::take(&mut owner) {
                    255
                } else if ties {
                    rng.pick(&[100, 150])
                } else {
                    rng.between(1, 254) as u8
                },
                preempt: rng.chance(preempt),
                interval_cs: if mixed {
                    rng.pick(&[
                        scale_cs,
                        scale_cs,
                        (scale_cs * 2).min(4095),
                        scale_cs.div_ceil(3),
                    ])
                } else {
                    scale_cs
                },
                host: node as u8 + 1,
                preempt_delay: if rng.chance(delayed) {
                    rng.between(1, 3 * longest)
                } else {
                    0
                },
                startup_delay: if rng.chance(delayed) {
                    rng.between(1, 3 * longest)
                } else {
                    0
                },
                quick_preempt: rng.chance(quick),
                phase: None,
                weight: rng.pick(&[0, 20, 120, -20, -120, -250]),
            });
        }
        let announce = if rng.chance(500) {
            AnnounceSchedule::default()
        } else {
            AnnounceSchedule {
                count: rng.between(1, 4) as u8,
                interval: Duration::from_millis(rng.pick(&[10, 100, 1000])),
                delay: Duration::from_millis(rng.pick(&[0, 50, 5000])),
                refresh: Duration::from_nanos(rng.pick(&[0, 0, longest])),
            }
        };
        let mut unlisted = vec![0; nodes];
        if rng.chance(50) {
            let to = rng.up_to(nodes as u64 - 1) as usize;
            unlisted[to] = rng.up_to((1 << nodes) - 1) as u8 & !(1 << to);
        }
        let interval = |member: &Member| u64::from(member.interval_cs) * 10 * MILLI;
        Instance {
            version,
            family,
            link: 0,
            announce,
            unlisted,
            slowest: members.iter().map(interval).max().unwrap_or(0),
            is_uniform: members
                .windows(2)
                .all(|pair| pair[0].interval_cs == pair[1].interval_cs),
            members,
        }
    }

    /// A node has a phase for all its instances, or none.
    fn draw_phases(rng: &mut Rng, instances: &mut [Instance]) {
        for node in 0..instances[0].members.len() {
            let share = rng
                .chance(600)
                .then(|| rng.pick(&[0, rng.clone().up_to(999)]));
            for instance in &mut *instances {
                let interval = instance.interval(node);
                instance.members[node].phase = share.map(|share| interval / 1000 * share);
            }
        }
    }

    fn fault(rng: &mut Rng, nodes: usize, links: usize, instances: &mut [Instance]) -> Kind {
        let node = rng.up_to(nodes as u64 - 1) as usize;
        let link = rng.up_to(links as u64 - 1) as usize;
        match rng.up_to(12) {
            0 => Kind::Crash { node },
            1 | 2 => Kind::Stop { node },
            3 => Kind::Pause { node },
            4 => Kind::LinkDown { node, link },
            5 => Kind::Partition {
                mask: rng.between(1, (1 << nodes) - 2) as u8,
                link,
            },
            6 => Kind::OneWay {
                from: node,
                to: (node + 1) % nodes,
                link,
            },
            7..=9 => Kind::Tracker { node },
            10 => Kind::Detach { node, link },
            11 => Self::reload(rng, node, instances),
            _ => Kind::Loss {
                permille: rng.pick(&[50, 300, 800, 1000]),
            },
        }
    }

    fn reload(rng: &mut Rng, node: usize, instances: &mut [Instance]) -> Kind {
        let own = instances[0].members[node].interval_cs;
        let change = Change {
            host: node as u8 + 1 + rng.pick(&[0, 10]),
            priority: rng.between(1, 254) as u8,
            preempt: rng.chance(700),
            interval_cs: rng.pick(&[own, own, own.div_ceil(2)]),
        };
        for instance in instances {
            if instance.version == Version::V3 && change.interval_cs != own {
                instance.is_uniform = false;
            }
            let interval = u64::from(change.interval_cs) * 10 * MILLI;
            instance.slowest = instance.slowest.max(interval);
        }
        Kind::Reload { node, change }
    }

    /// The longest that a frame can be on the way.
    pub(crate) fn latency(&self) -> u64 {
        self.delay + self.jitter + self.straggle
    }

    /// The longest from when something is due or has arrived until the daemon
    /// has acted on it: it wakes late, and a turn that has begun may hold a few
    /// publications of either instance.
    pub(crate) fn slack(&self) -> u64 {
        3 * self.lateness + 1_000
    }

    /// Versions of this scenario with one thing less.
    pub(crate) fn simpler(&self) -> Vec<Self> {
        let mut all: Vec<Self> = (0..self.faults.len())
            .map(|place| {
                let mut less = self.clone();
                less.faults.remove(place);
                less
            })
            .collect();
        if self.grouped {
            let mut less = self.clone();
            less.grouped = false;
            all.push(less);
        }
        if self.instances.len() > 1 {
            for place in 0..self.instances.len() {
                let mut less = self.clone();
                less.instances.remove(place);
                less.grouped = false;
                all.push(less);
            }
        }
        let settings: [fn(&mut Self) -> &mut u64; 5] = [
            |scenario| &mut scenario.straggle_permille,
            |scenario| &mut scenario.duplicate_permille,
            |scenario| &mut scenario.jitter,
            |scenario| &mut scenario.publication,
            |scenario| &mut scenario.lateness,
        ];
        for setting in settings {
            let mut less = self.clone();
            if std::mem::take(setting(&mut less)) != 0 {
                all.push(less);
            }
        }
        all
    }
}
