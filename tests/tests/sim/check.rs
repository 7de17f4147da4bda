//! What the protocol guarantees across routers, and how long it may take.
//!
//! Let `L` be the longest latency, `W` the longest lateness of a daemon and
//! `I` the slowest interval in the virtual router; every span is stretched by
//! what two clocks can be apart ([`stretch`]). A *disturbance* is a start, a
//! stop, a crash, a pause, a resume, or a change of links, paths or loss.
//!
//! **Two Actives** that hear each other, without loss:
//! - The greater one has just taken over (preemption, or two Backups whose
//!   timers ran out together): its first advertisement ends it within `L + W`.
//!   No implementation can do better: the takeover is how the other learns.
//! - They met in a disturbance (healing, resume), or the lesser took over while
//!   the greater was still unheard: the greater's next advertisement ends it, at
//!   most `I` later: `I + L + W`.
//! - With one interval for all, the lesser cannot take over beside a greater
//!   Active which it has had the chance to hear. With different intervals it
//!   can: a late frame of the former Active teaches it a shorter one.
//!
//! Both are tighter than Active_Down_Interval after healing.
//!
//! **No Active.** Loss and partitions only ever take adverts away, so they cannot
//! hold back a Backup. A running Backup that no Active router has a path to
//! takes over within Active_Down_Interval (of the slowest interval it can have
//! learned) `+ L + W`, whatever else goes wrong. Nothing is claimed for a
//! Backup that some Active can still reach: with a one-way partition that Active
//! may be the lesser, and with Preempt_Mode off it holds the Backup back.
//!
//! **The greatest priority wins** where it may preempt: within `L +`
//! Active_Down_Interval `+ 2W` of the last disturbance, given that all live
//! routers of the component hear each other without loss and no other has the
//! same priority (§6.4.2 lets an equal one stay).
//!
//! **Clean stop.** The successor is there within Skew_Time `+ L + 2W`, given that
//! there is a Backup in reach, and nobody has sent anything for `L` before
//! (or an older frame could overtake the release, and hold it back again).

use super::scenario::Scenario;

/// Nodes at most.
pub(crate) const NODES: usize = 5;

/// A broken invariant.
#[derive(Clone, Debug)]
pub(crate) struct Violation {
    pub(crate) invariant: &'static str,
    pub(crate) text: String,
}

pub(crate) fn violated<T>(invariant: &'static str, text: String) -> Result<T, Violation> {
    Err(Violation { invariant, text })
}

/// `span` as true time or another clock may measure it: 2 x 200 ppm, and a bit.
pub(crate) fn stretch(span: u64) -> u64 {
    span + span / 2000 + 2
}

/// A router's part in the present.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Role {
    /// Down, paused, in fault, or without a running daemon.
    Off,
    Candidate,
    /// Active, and able to say so.
    Active,
}

/// Who can hear whom.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Paths {
    /// `cut[from][to]`
    pub(crate) cut: [[bool; NODES]; NODES],
    pub(crate) lossy: bool,
}

impl Paths {
    fn both_ways(&self, one: usize, other: usize) -> bool {
        !self.cut[one][other] && !self.cut[other][one]
    }

    /// The nodes fall into groups that hear each other fully and nobody else.
    fn is_calm(&self, nodes: usize) -> bool {
        let same = |one: usize, other: usize| {
            (0..nodes).all(|node| {
                node == one || node == other || self.cut[one][node] == self.cut[other][node]
            })
        };
        !self.lossy
            && (0..nodes).all(|one| {
                (0..nodes).all(|other| {
                    one == other
                        || (self.cut[one][other] == self.cut[other][one]
                            && (self.cut[one][other] || same(one, other)))
                })
            })
    }
}

#[derive(Clone, Copy)]
struct Pair {
    since: u64,
    limit: u64,
}

/// What is known of one virtual router.
struct Track {
    roles: [Role; NODES],
    since: [u64; NODES],
    unheld: [Option<u64>; NODES],
    pairs: [[Option<Pair>; NODES]; NODES],
    /// When somebody has to be Active after a release, and since when.
    successor: Option<(u64, u64)>,
    last_sent: u64,
}

pub(crate) struct Monitor<'a> {
    scenario: &'a Scenario,
    tracks: Vec<Track>,
    paths: Paths,
    disturbed: u64,
}

impl<'a> Monitor<'a> {
    pub(crate) fn new(scenario: &'a Scenario) -> Self {
        Self {
            tracks: (0..scenario.instances.len())
                .map(|_| Track {
                    roles: [Role::Off; NODES],
                    since: [0; NODES],
                    unheld: [None; NODES],
                    pairs: [[None; NODES]; NODES],
                    successor: None,
                    last_sent: 0,
                })
                .collect(),
            scenario,
            paths: Paths {
                cut: [[false; NODES]; NODES],
                lossy: false,
            },
            disturbed: 0,
        }
    }

    /// Something of instance `index` is sent at `now`, other than a last release.
    pub(crate) fn sent(&mut self, now: u64, index: usize) {
        self.tracks[index].last_sent = now;
    }

    /// `node` was Active and stops cleanly: from now on a successor is due.
    pub(crate) fn stopped(&mut self, now: u64, index: usize, node: usize) {
        let Scenario { nodes, .. } = *self.scenario;
        let instance = &self.scenario.instances[index];
        let (latency, slack) = (self.scenario.latency(), self.scenario.slack());
        let track = &mut self.tracks[index];
        if !self.paths.lossy && now > track.last_sent + latency {
            let alone = (0..nodes).all(|other| other == node || track.roles[other] != Role::Active);
            let skew = (0..nodes)
                .filter(|&other| {
                    other != node
                        && track.roles[other] == Role::Candidate
                        && now > track.since[other] + slack + latency
                        && !self.paths.cut[node][other]
                })
                .map(|other| instance.skew(other, instance.slowest()))
                .min();
            if let Some(skew) = skew
                && alone
            {
                track.successor = Some((now, stretch(skew) + latency + 2 * slack));
            }
        }
    }

    /// The world is now like this; first, what held until now is judged.
    pub(crate) fn change(
        &mut self,
        now: u64,
        disturbance: bool,
        roles: &[[Role; NODES]],
        paths: Paths,
    ) -> Result<(), Violation> {
        for index in 0..self.tracks.len() {
            self.judge(now, index)?;
        }
        // Who joins or leaves is one too, whenever the daemon gets round to it.
        let joined = |(track, roles): (&Track, &[Role; NODES])| {
            let mut both = track.roles.iter().zip(roles);
            both.any(|(before, after)| (*before == Role::Off) != (*after == Role::Off))
        };
        let disturbance = disturbance || self.tracks.iter().zip(roles).any(joined);
        if disturbance {
            self.disturbed = now;
        }
        self.paths = paths;
        for (index, roles) in roles.iter().enumerate() {
            self.update(now, disturbance, index, roles)?;
        }
        Ok(())
    }

    fn judge(&self, now: u64, index: usize) -> Result<(), Violation> {
        let Scenario { nodes, .. } = *self.scenario;
        let track = &self.tracks[index];
        let instance = &self.scenario.instances[index];
        let (latency, slack) = (self.scenario.latency(), self.scenario.slack());
        for node in 0..nodes {
            let limit = stretch(instance.active_down(node, instance.slowest())) + latency + slack;
            if let Some(since) = track.unheld[node]
                && now > since + limit
            {
                return violated(
                    "no Active",
                    format!(
                        "instance {index}: node {node} is Backup, nobody has held it back since \
                         {since}, and it has not taken over by {}",
                        since + limit
                    ),
                );
            }
            for other in 0..node {
                if let Some(Pair { since, limit }) = track.pairs[node][other]
                    && now > since + limit
                {
                    return violated(
                        "two Actives",
                        format!(
                            "instance {index}: nodes {other} and {node} hear each other and are \
                             both Active since {since}, longer than {limit} ns"
                        ),
                    );
                }
            }
        }
        if let Some((since, limit)) = track.successor
            && now > since + limit
        {
            return violated(
                "clean stop",
                format!("instance {index}: nobody Active {limit} ns after the release at {since}"),
            );
        }
        self.judge_greatest(now, index)
    }

    fn judge_greatest(&self, now: u64, index: usize) -> Result<(), Violation> {
        let Scenario { nodes, .. } = *self.scenario;
        if !self.paths.is_calm(nodes) {
            return Ok(());
        }
        let track = &self.tracks[index];
        let instance = &self.scenario.instances[index];
        for node in 0..nodes {
            let member = instance.members[node];
            let is_greatest = (0..nodes).all(|other| {
                other == node
                    || track.roles[other] == Role::Off
                    || self.paths.cut[node][other]
                    || instance.members[other].priority < member.priority
            });
            let limit = stretch(instance.active_down(node, instance.slowest()))
                + self.scenario.latency()
                + 2 * self.scenario.slack();
            if is_greatest
                && (member.preempt || member.priority == 255)
                && track.roles[node] == Role::Candidate
                && now > self.disturbed + limit
            {
                return violated(
                    "the greatest priority wins",
                    format!(
                        "instance {index}: node {node} is still Backup {limit} ns after the last \
                         disturbance at {}",
                        self.disturbed
                    ),
                );
            }
        }
        Ok(())
    }

    fn update(
        &mut self,
        now: u64,
        disturbance: bool,
        index: usize,
        roles: &[Role; NODES],
    ) -> Result<(), Violation> {
        let Scenario { nodes, .. } = *self.scenario;
        let track = &mut self.tracks[index];
        for (node, role) in roles.iter().enumerate() {
            if track.roles[node] != *role {
                track.roles[node] = *role;
                track.since[node] = now;
                track.unheld[node] = None;
            }
        }
        if disturbance || track.roles.contains(&Role::Active) {
            track.successor = None;
        }
        for node in 0..nodes {
            let track = &mut self.tracks[index];
            let held = (0..nodes).any(|other| {
                other != node && track.roles[other] == Role::Active && !self.paths.cut[other][node]
            });
            track.unheld[node] = (track.roles[node] == Role::Candidate && !held)
                .then(|| track.unheld[node].unwrap_or(now));
            for other in 0..node {
                let track = &mut self.tracks[index];
                let together = track.roles[node] == Role::Active
                    && track.roles[other] == Role::Active
                    && self.paths.both_ways(node, other)
                    && !self.paths.lossy;
                if !together {
                    track.pairs[node][other] = None;
                } else if disturbance || track.pairs[node][other].is_none() {
                    let limit = self.pair_limit(now, disturbance, index, node, other)?;
                    let pair = Pair { since: now, limit };
                    self.tracks[index].pairs[node][other] = Some(pair);
                }
            }
        }
        Ok(())
    }

    fn pair_limit(
        &self,
        now: u64,
        disturbance: bool,
        index: usize,
        one: usize,
        other: usize,
    ) -> Result<u64, Violation> {
        let instance = &self.scenario.instances[index];
        let track = &self.tracks[index];
        let meeting = self.scenario.latency() + self.scenario.slack();
        let (greater, lesser) = if instance.outranks(one, other) {
            (one, other)
        } else {
            (other, one)
        };
        let interval = stretch(instance.interval(greater));
        if disturbance {
            return Ok(interval + meeting);
        }
        if track.since[greater] >= track.since[lesser] {
            return Ok(meeting);
        }
        let unheard =
            now <= track.since[greater] + meeting || now <= self.disturbed + interval + meeting;
        if instance.is_uniform() && !unheard {
            return violated(
                "two Actives",
                format!(
                    "instance {index}: node {lesser} takes over beside node {greater}, Active \
                     since {}, which it hears",
                    track.since[greater]
                ),
            );
        }
        Ok(interval + meeting)
    }
}
