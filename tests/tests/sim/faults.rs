//! What goes wrong in a [`World`], and what a node's daemon is told of it.

use ha_common::types::Version;

use super::{
    check::Violation,
    clock::Event,
    daemon::{Command, Daemon},
    frame,
    scenario::{Change, Kind},
    watch::Watch,
    world::{Node, World},
};

impl World<'_> {
    pub(crate) fn begin(&mut self, place: usize) -> Result<(), Violation> {
        let kind = self.scenario.faults[place].kind;
        self.note(|| format!("begins: {kind:?}"));
        match kind {
            Kind::Crash { node } if self.nodes[node].daemon.is_some() => {
                self.nodes[node].off_by = Some(place);
                self.drop_daemon(node);
            }
            Kind::Reload { node, change }
                if self.nodes[node].daemon.is_some()
                    && self.changes_priority_only(node, change) =>
            {
                if self.nodes[node].off_by.is_none() && self.nodes[node].bases[0].priority != 255 {
                    let priority = change.priority;
                    self.nodes[node].bases[0].priority = priority;
                    self.news(node, Command::Reload { priority });
                }
            }
            Kind::Stop { node } | Kind::Reload { node, .. }
                if self.nodes[node].daemon.is_some() =>
            {
                if self.nodes[node].off_by.is_none() {
                    self.nodes[node].off_by = Some(place);
                    self.command(node, Command::Shutdown);
                }
            }
            Kind::Pause { node } if self.nodes[node].daemon.is_some() => {
                let node = &mut self.nodes[node];
                if node.paused_by.is_none() {
                    node.paused_by = Some(place);
                    let now = node.clock.read(self.now);
                    node.watches.iter_mut().for_each(|watch| watch.pause(now));
                }
            }
            Kind::Crash { .. } | Kind::Stop { .. } | Kind::Reload { .. } | Kind::Pause { .. } => {}
            Kind::Tracker { node } => self.tracker(node, 1),
            Kind::Detach { node, link } => {
                self.nodes[node].links_down[link] += 1;
                self.news(node, Command::Detach { link });
            }
            Kind::LinkDown { node, link } => {
                self.nodes[node].links_down[link] += 1;
                self.link_news(node, link);
            }
            Kind::Partition { .. } | Kind::OneWay { .. } => self.cut(kind, true),
            Kind::Loss { permille } => self.losses.push(permille),
        }
        self.changed(true)
    }

    pub(crate) fn end(&mut self, place: usize) -> Result<(), Violation> {
        let kind = self.scenario.faults[place].kind;
        self.note(|| format!("ends: {kind:?}"));
        match kind {
            Kind::Crash { node } | Kind::Stop { node } | Kind::Reload { node, .. } => {
                if self.nodes[node].off_by == Some(place) {
                    if self.nodes[node].daemon.is_some() {
                        // Paused before it could stop: it starts after that.
                        let again = self.now + self.scenario.instances[0].slowest;
                        self.push(again, Event::End(place));
                        return Ok(());
                    }
                    self.nodes[node].off_by = None;
                    if let Kind::Reload { change, .. } = kind {
                        self.reload(node, change);
                    }
                    return self.start(node);
                }
            }
            Kind::Pause { node } => {
                let place_of = &mut self.nodes[node];
                if place_of.paused_by == Some(place) {
                    place_of.paused_by = None;
                    if std::mem::take(&mut place_of.woken) {
                        let at = self.now + self.late();
                        self.wake(node, at);
                    }
                }
            }
            Kind::Tracker { node } => self.tracker(node, -1),
            Kind::Detach { node, link } => {
                self.nodes[node].links_down[link] -= 1;
                self.news(node, Command::Attach { link });
                self.link_news(node, link);
            }
            Kind::LinkDown { node, link } => {
                self.nodes[node].links_down[link] -= 1;
                self.link_news(node, link);
            }
            Kind::Partition { .. } | Kind::OneWay { .. } => self.cut(kind, false),
            Kind::Loss { permille } => {
                let found = self.losses.iter().position(|loss| *loss == permille);
                self.losses.swap_remove(found.expect("it began"));
            }
        }
        self.changed(true)
    }

    fn cut(&mut self, kind: Kind, begins: bool) {
        let (Kind::Partition { link, .. } | Kind::OneWay { link, .. }) = kind else {
            return;
        };
        for from in 0..self.scenario.nodes {
            for to in 0..self.scenario.nodes {
                let cuts = match kind {
                    Kind::Partition { mask, .. } => (mask >> from ^ mask >> to) & 1 == 1,
                    Kind::OneWay {
                        from: one,
                        to: other,
                        ..
                    } => (one, other) == (from, to),
                    _ => false,
                };
                if cuts && begins {
                    self.cuts[link][from][to] += 1;
                } else if cuts {
                    self.cuts[link][from][to] -= 1;
                }
            }
        }
    }

    pub(crate) fn start(&mut self, node: usize) -> Result<(), Violation> {
        self.note(|| format!("node {node} starts"));
        for (index, base) in self.nodes[node].bases.iter().enumerate() {
            self.monitor.instances[index].members[node] = *base;
        }
        let place = &mut self.nodes[node];
        let now = place.clock.read(self.now);
        let mut daemon = Daemon::start(
            &self.monitor.instances,
            self.scenario.grouped,
            node,
            now,
            place.links_down.map(|down| down == 0),
        );
        if place.trackers_down > 0 {
            daemon.commands.push_back(Command::Tracker { up: false });
        }
        place.daemon = Some(daemon);
        for watch in &mut place.watches {
            watch.start();
            watch.excuse();
        }
        self.turn(node)
    }

    pub(crate) fn drop_daemon(&mut self, node: usize) {
        let place = &mut self.nodes[node];
        place.daemon = None;
        place.epoch += 1;
        place.wake_at = None;
        place.woken = false;
        place.paused_by = None;
    }

    pub(crate) fn command(&mut self, node: usize, command: Command) {
        let place = &mut self.nodes[node];
        if let Some(daemon) = &mut place.daemon {
            daemon.commands.push_back(command);
            place.watches.iter_mut().for_each(Watch::excuse);
            let at = self.now + self.late();
            self.wake(node, at);
        }
    }

    /// The daemon of `node` hears of it a little later.
    fn news(&mut self, node: usize, news: Command) {
        let at = self.now + 1_000 + self.late();
        let Node { epoch, .. } = self.nodes[node];
        self.push(at, Event::News { node, epoch, news });
    }

    fn link_news(&mut self, node: usize, link: usize) {
        let up = self.nodes[node].links_down[link] == 0;
        self.news(node, Command::Link { link, up });
    }

    fn tracker(&mut self, node: usize, more: i32) {
        self.nodes[node].trackers_down += more;
        let up = self.nodes[node].trackers_down == 0;
        self.news(node, Command::Tracker { up });
    }

    /// Whether a daemon takes `change` in while it runs, here: all but the priority is
    /// as before. (What else it can take in, the checks do not follow.)
    fn changes_priority_only(&self, node: usize, change: Change) -> bool {
        let instances = self.scenario.instances.iter();
        instances
            .zip(&self.nodes[node].bases)
            .all(|(instance, base)| {
                let interval =
                    instance.version != Version::V3 || base.interval_cs == change.interval_cs;
                interval && (base.host, base.preempt) == (change.host, change.preempt)
            })
    }

    /// From its next start on, `node` goes by these.
    fn reload(&mut self, node: usize, change: Change) {
        for (index, instance) in self.scenario.instances.iter().enumerate() {
            let member = &mut self.nodes[node].bases[index];
            member.host = change.host;
            member.preempt = change.preempt;
            if index == 0 && member.priority != 255 {
                member.priority = change.priority;
            }
            if instance.version == Version::V3 {
                member.interval_cs = change.interval_cs;
            }
        }
        for (index, base) in self.nodes[node].bases.iter().enumerate() {
            self.monitor.instances[index].members[node] = *base;
        }
        for (index, instance) in self.monitor.instances.iter().enumerate() {
            self.expected[node][index] = frame::published(instance, node, index);
        }
    }
}
