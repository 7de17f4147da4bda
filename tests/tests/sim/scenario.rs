//! What happens in one run, all of it drawn from the seed.

use ha_common::types::{AddressFamily, Version};

use super::rng::Rng;

const MILLI: u64 = 1_000_000;

/// One router's part in a virtual router.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Member {
    pub(crate) priority: u8,
    pub(crate) preempt: bool,
    pub(crate) interval_cs: u16,
}

/// One virtual router.
#[derive(Clone, Debug)]
pub(crate) struct Instance {
    pub(crate) version: Version,
    pub(crate) family: AddressFamily,
    pub(crate) members: Vec<Member>,
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

    pub(crate) fn interval(&self, node: usize) -> u64 {
        u64::from(self.members[node].interval_cs) * 10 * MILLI
    }

    pub(crate) fn slowest(&self) -> u64 {
        let nodes = 0..self.members.len();
        nodes.map(|node| self.interval(node)).max().unwrap_or(0)
    }

    pub(crate) fn is_uniform(&self) -> bool {
        self.members
            .windows(2)
            .all(|pair| pair[0].interval_cs == pair[1].interval_cs)
    }

    /// Which of two nodes wins: greater priority, then greater address.
    pub(crate) fn outranks(&self, one: usize, other: usize) -> bool {
        (self.members[one].priority, one) > (self.members[other].priority, other)
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
    /// No frame in or out; the daemon hears of it a little later.
    LinkDown { node: usize },
    /// The nodes of the mask and the others do not hear each other.
    Partition { mask: u8 },
    /// `to` does not hear `from`.
    OneWay { from: usize, to: usize },
    /// So many frames in a thousand are lost.
    Loss { permille: u64 },
}

#[derive(Clone, Debug)]
pub(crate) struct Scenario {
    pub(crate) seed: u64,
    pub(crate) nodes: usize,
    pub(crate) instances: Vec<Instance>,
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
        let instances: Vec<Instance> = (0..rng.between(1, 2))
            .map(|_| Self::instance(&mut rng, nodes, scale_cs))
            .collect();
        let fastest = instances
            .iter()
            .flat_map(|instance| (0..nodes).map(|node| instance.interval(node)))
            .min()
            .expect("an instance");
        let longest = instances
            .iter()
            .map(|instance| instance.active_down(0, instance.slowest()))
            .max()
            .expect("an instance");
        let lateness = rng.pick(&[0, 50_000, fastest / 50, fastest / 20, fastest / 5]);
        let mut at = 0;
        let faults = (0..rng.up_to(8))
            .map(|_| {
                at += rng.between(longest / 10, 4 * longest);
                let until = at + rng.between(longest / 20, 4 * longest);
                let kind = Self::fault(&mut rng, nodes);
                Fault { at, until, kind }
            })
            .collect::<Vec<_>>();
        let last = faults.iter().map(|fault| fault.until).max().unwrap_or(0);
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
        let members = (0..nodes)
            .map(|_| Member {
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
            })
            .collect();
        Instance {
            version,
            family,
            members,
        }
    }

    fn fault(rng: &mut Rng, nodes: usize) -> Kind {
        let node = rng.up_to(nodes as u64 - 1) as usize;
        match rng.up_to(7) {
            0 => Kind::Crash { node },
            1 | 2 => Kind::Stop { node },
            3 => Kind::Pause { node },
            4 => Kind::LinkDown { node },
            5 => Kind::Partition {
                mask: rng.between(1, (1 << nodes) - 2) as u8,
            },
            6 => Kind::OneWay {
                from: node,
                to: (node + 1) % nodes,
            },
            _ => Kind::Loss {
                permille: rng.pick(&[50, 300, 800, 1000]),
            },
        }
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
        if self.instances.len() > 1 {
            for place in 0..self.instances.len() {
                let mut less = self.clone();
                less.instances.remove(place);
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
