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
//! With a startup_delay that delay comes on top. In a sync group this holds of a
//! node whose members all run and are all let alone (or Active); a group that has
//! stepped down is patient for up to one interval more.
//!
//! **The greatest priority wins** where it may preempt: within `L +`
//! Active_Down_Interval `+ 2W` and its startup_delay after the last disturbance (with
//! a preempt_delay: that, `I` and another Active_Down_Interval later), given that all live routers of the component hear each other
//! without loss and no other has the same priority (§6.4.2 lets an equal one stay).
//! Not in a sync group, whose members go together.
//!
//! **Weakened.** An Active whose priority falls below that of a Backup that it has
//! held back is gone after Skew_Time of the greatest `+ I + 2L + 2W`, given
//! quick_preempt and preemption without delay everywhere. (One from before may overtake
//! the first lesser one and hold the Backup back again: the next one tells, `I + L`
//! later; seed 2212851.)
//!
//! **Release** (a stop, a reload, a fault that leaves the addresses usable). The
//! successor is there within Skew_Time `+ L + 2W`, given that there is a Backup in
//! reach, and nobody has sent anything for `L` before (or an older frame could
//! overtake the release, and hold it back again).
//!
//! **No gap.** When addresses leave a node because another has taken over, another
//! has them installed: the model lets that take up to [`INSTALLATION`], and the kernel's
//! being told before as long again, after the advertisement. Given that nothing was disturbed since the release, and that the
//! successor is due in time: one with a longer interval that has never been held back
//! has not learned ours. Or, where one
//! is outranked, for a while, and that another is Active at that moment. It need not
//! be: of two Actives the greater may fall below the lesser while its advertisement is
//! on the way; the lesser yields to that, the greater to the lesser's last word (seed
//! 10727). Nobody is Active then for Skew_Time, or Active_Down without quick_preempt.
//! Without the last word no client would learn of a winner that has not heard the
//! loser; as a release it would not make others than us announce again.
//!
//! **Groups.** While all nodes that hear each other do so fully and without loss,
//! no two of them have one member each for longer than Active_Down_Interval
//! `+ I + L + W` after a disturbance.

use super::{
    paths::{NODES, Paths, Role},
    scenario::{Instance, Scenario},
};

/// What putting the addresses on an interface takes, at most; well within LINGER.
pub(crate) const INSTALLATION: u64 = 5_000_000;

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
    /// The Active that has become too weak, and by when it has to be gone.
    weakened: Option<(usize, u64)>,
    paths: Paths,
    /// Since when they are like that.
    paths_since: u64,
    last_sent: u64,
}

pub(crate) struct Monitor<'a> {
    scenario: &'a Scenario,
    /// As they are configured now, with effective priorities.
    pub(crate) instances: Vec<Instance>,
    tracks: Vec<Track>,
    disturbed: u64,
    /// When each node last got another priority: it may be due at once.
    reweighed: [u64; NODES],
    /// Since when two nodes share the members of a group.
    split: Option<u64>,
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
                    weakened: None,
                    paths: Paths::default(),
                    paths_since: 0,
                    last_sent: 0,
                })
                .collect(),
            instances: scenario.instances.clone(),
            scenario,
            disturbed: 0,
            reweighed: [0; NODES],
            split: None,
        }
    }

    /// When something was last disturbed.
    pub(crate) fn disturbed(&self) -> u64 {
        self.disturbed
    }

    /// Whether a successor is due while `node` still serves after its release.
    pub(crate) fn awaits_successor(&self, index: usize, node: usize) -> bool {
        let instance = &self.instances[index];
        let longest = instance.longest_release(node);
        let successor = self.tracks[index].successor;
        successor.is_some_and(|(_, within)| within <= longest)
    }

    /// The effective priority of `node` is another one: a disturbance, which the
    /// caller reports first.
    pub(crate) fn reweigh(&mut self, now: u64, index: usize, node: usize, priority: u8) {
        let (latency, slack) = (self.scenario.latency(), self.scenario.slack());
        self.reweighed[node] = now;
        let instance = &mut self.instances[index];
        let before = std::mem::replace(&mut instance.members[node].priority, priority);
        let instance = &self.instances[index];
        let track = &mut self.tracks[index];
        let quick = instance
            .members
            .iter()
            .all(|member| member.preempt && member.quick_preempt && member.preempt_delay == 0);
        let settled = |other: usize| {
            let since = track.since[other].max(track.paths_since);
            now > since + stretch(instance.slowest) + latency + 2 * slack
        };
        let greatest = (0..self.scenario.nodes)
            .filter(|other| {
                *other != node
                    && track.roles[*other] == Role::Candidate
                    && !track.paths.cut[node][*other]
            })
            .max_by_key(|other| instance.members[*other].priority);
        if let Some(other) = greatest
            && quick
            && !self.scenario.grouped
            && track.paths.is_calm(self.scenario.nodes)
            && track.roles[node] == Role::Active
            && (priority..before).contains(&instance.members[other].priority)
            && instance.members[other].priority > priority
            && settled(other)
            && settled(node)
        {
            let skew = stretch(instance.skew(other, instance.slowest));
            let interval = stretch(instance.interval(node));
            track.weakened = Some((node, now + interval + skew + 2 * latency + 2 * slack));
        }
    }

    /// Something of instance `index` is sent at `now`, other than a last release.
    pub(crate) fn sent(&mut self, now: u64, index: usize) {
        self.tracks[index].last_sent = now;
    }

    /// `node` was Active and stops cleanly: from now on a successor is due.
    pub(crate) fn stopped(&mut self, now: u64, index: usize, node: usize) {
        let Scenario { nodes, .. } = *self.scenario;
        let instance = &self.instances[index];
        let (latency, slack) = (self.scenario.latency(), self.scenario.slack());
        let track = &mut self.tracks[index];
        if !self.scenario.grouped && !track.paths.lossy && now > track.last_sent + latency {
            let alone = (0..nodes).all(|other| other == node || track.roles[other] != Role::Active);
            let skew = (0..nodes)
                .filter(|&other| {
                    other != node
                        && track.roles[other] == Role::Candidate
                        && now > track.since[other] + slack + latency
                        && !track.paths.cut[node][other]
                })
                .map(|other| instance.skew(other, instance.slowest))
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
        paths: &[Paths],
    ) -> Result<(), Violation> {
        self.judge_split(now)?;
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
        for (index, (roles, paths)) in roles.iter().zip(paths).enumerate() {
            let track = &mut self.tracks[index];
            if track.paths != *paths {
                track.paths = *paths;
                track.paths_since = now;
            }
            self.update(now, disturbance, index, roles)?;
        }
        self.update_unheld(now);
        self.split = self
            .is_split()
            .then(|| self.split.filter(|_| !disturbance).unwrap_or(now));
        Ok(())
    }

    fn judge(&self, now: u64, index: usize) -> Result<(), Violation> {
        let Scenario { nodes, .. } = *self.scenario;
        let track = &self.tracks[index];
        let (latency, slack) = (self.scenario.latency(), self.scenario.slack());
        for node in 0..nodes {
            let limit = self.patience(node) + latency + slack;
            if let Some(since) = track.unheld[node]
                && now > since + limit
                && now > self.reweighed[node] + slack
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
        if let Some((node, until)) = track.weakened
            && now > until
        {
            return violated(
                "weakened",
                format!(
                    "instance {index}: node {node} is weaker than a Backup, still Active at {until}"
                ),
            );
        }
        if let Some((since, limit)) = track.successor
            && now > since + limit
        {
            return violated(
                "release",
                format!("instance {index}: nobody Active {limit} ns after the release at {since}"),
            );
        }
        self.judge_greatest(now, index)
    }

    fn judge_greatest(&self, now: u64, index: usize) -> Result<(), Violation> {
        let Scenario { nodes, grouped, .. } = *self.scenario;
        let track = &self.tracks[index];
        if grouped || !track.paths.is_calm(nodes) {
            return Ok(());
        }
        let instance = &self.instances[index];
        for node in 0..nodes {
            let member = instance.members[node];
            let is_greatest = (0..nodes).all(|other| {
                other == node
                    || track.roles[other] == Role::Off
                    || track.paths.cut[node][other]
                    || instance.members[other].priority < member.priority
            });
            // The delay begins when a lesser one takes over, which may be an
            // Active_Down_Interval later; and after it Active_Down has to pass again.
            let bar = match member.preempt_delay {
                0 => 0,
                delay => delay + instance.slowest + instance.longest_down(node),
            };
            let limit = stretch(instance.longest_down(node) + member.startup_delay + bar)
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
        if let Some((node, _)) = track.weakened
            && (disturbance || track.roles[node] != Role::Active)
        {
            track.weakened = None;
        }
        if disturbance || track.roles.contains(&Role::Active) {
            track.successor = None;
        }
        for node in 0..nodes {
            for other in 0..node {
                let track = &mut self.tracks[index];
                let together = track.roles[node] == Role::Active
                    && track.roles[other] == Role::Active
                    && track.paths.both_ways(node, other)
                    && !track.paths.lossy;
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

    /// How long `node` may wait when nobody holds it back: its group as long as the
    /// slowest member.
    fn patience(&self, node: usize) -> u64 {
        let wait = |instance: &Instance| {
            let Instance { slowest, .. } = *instance;
            let group = if self.scenario.grouped { slowest } else { 0 };
            stretch(instance.longest_down(node) + instance.members[node].startup_delay + group)
        };
        self.instances.iter().map(wait).max().unwrap_or(0)
    }

    fn update_unheld(&mut self, now: u64) {
        let Scenario { nodes, grouped, .. } = *self.scenario;
        let held = |track: &Track, node: usize| {
            (0..nodes).any(|other| {
                other != node && track.roles[other] == Role::Active && !track.paths.cut[other][node]
            })
        };
        let is_let = |track: &Track, node: usize| match track.roles[node] {
            Role::Off => false,
            Role::Active => true,
            Role::Candidate => !held(track, node),
        };
        for node in 0..nodes {
            let all = self.tracks.iter().all(|track| is_let(track, node));
            for track in &mut self.tracks {
                let waits = track.roles[node] == Role::Candidate
                    && if grouped { all } else { is_let(track, node) };
                track.unheld[node] = waits.then(|| track.unheld[node].unwrap_or(now));
            }
        }
    }

    /// Whether two nodes that hear each other have one member of the group each.
    fn is_split(&self) -> bool {
        let Scenario { nodes, grouped, .. } = *self.scenario;
        let [one, other] = self.tracks.as_slice() else {
            return false;
        };
        let has = |track: &Track, node: usize| track.roles[node] == Role::Active;
        let is_calm = |track: &Track| track.paths.is_calm(nodes);
        grouped
            && is_calm(one)
            && is_calm(other)
            && (0..nodes).any(|a| {
                (0..nodes).any(|b| {
                    a != b
                        && (has(one, a) && !has(other, a))
                        && (has(other, b) && !has(one, b))
                        && !one.paths.cut[a][b]
                        && !other.paths.cut[a][b]
                })
            })
    }

    fn judge_split(&self, now: u64) -> Result<(), Violation> {
        let longest = (0..self.scenario.nodes).map(|node| self.patience(node));
        let limit = longest.max().unwrap_or(0) + self.scenario.latency() + self.scenario.slack();
        match self.split {
            Some(since) if now > since + limit => violated(
                "groups",
                format!("two nodes share the group since {since}, longer than {limit} ns"),
            ),
            _ => Ok(()),
        }
    }

    fn pair_limit(
        &self,
        now: u64,
        disturbance: bool,
        index: usize,
        one: usize,
        other: usize,
    ) -> Result<u64, Violation> {
        let instance = &self.instances[index];
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
        if instance.is_uniform && !unheard {
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
