//! What instances depend on: interfaces and health checks, and the numbers that
//! the engine knows them by.

use ha_common::fsm::TrackerId;

use crate::{
    config::{CheckConfig, CheckKind, Config, TrackedCheck, TrackedInterface},
    driver::Subject,
    engine::Tracking,
};

/// The numbers of the subjects. A subject keeps its number as long as the daemon
/// runs, whatever is reloaded.
#[derive(Clone, Debug, Default)]
pub(super) struct Registry {
    subjects: Vec<Subject>,
}

impl Registry {
    /// The number of `subject`, a new one if it has none yet.
    pub(super) fn id(&mut self, subject: Subject) -> TrackerId {
        let known = self.subjects.iter().position(|it| *it == subject);
        let place = known.unwrap_or_else(|| {
            self.subjects.push(subject);
            self.subjects.len() - 1
        });
        TrackerId(u32::try_from(place).unwrap_or(u32::MAX))
    }

    /// All subjects with their numbers.
    pub(super) fn iter(&self) -> impl Iterator<Item = (TrackerId, &Subject)> {
        (0..).map(TrackerId).zip(&self.subjects)
    }

    /// All subjects, in the order of their numbers.
    pub(super) fn subjects(&self) -> Vec<Subject> {
        self.subjects.clone()
    }

    /// The numbers of the checks of `config`, in its order; those that have none are
    /// left out, so it is for a configuration whose [trackings](Self::trackings) were
    /// asked for.
    pub(super) fn checks(&self, config: &Config) -> Vec<TrackerId> {
        let ids = config.checks.iter().filter_map(|check| {
            let subject = subject(check);
            self.iter().find(|(_, it)| **it == subject)
        });
        ids.map(|(id, _)| id).collect()
    }

    /// What each instance of `config` tracks, by itself and with its sync group.
    /// Checks get a number even if nobody tracks them.
    pub(super) fn trackings(&mut self, config: &Config) -> Vec<Vec<Tracking>> {
        for check in &config.checks {
            self.id(subject(check));
        }
        let places = 0..config.instances.len();
        places
            .map(|place| self.trackings_of(config, place))
            .collect()
    }

    fn trackings_of(&mut self, config: &Config, place: usize) -> Vec<Tracking> {
        let instance = &config.instances[place];
        let groups = config.sync_groups.iter();
        let group = groups.filter(|group| group.members.contains(&place));
        let mut interfaces: Vec<&TrackedInterface> = instance.track_interfaces.iter().collect();
        let mut checks: Vec<&TrackedCheck> = instance.track_checks.iter().collect();
        for group in group {
            interfaces.extend(&group.track_interfaces);
            checks.extend(&group.track_checks);
        }
        let interfaces = interfaces.into_iter().map(|tracked| {
            let subject = Subject::Interface(tracked.name.clone());
            (subject, tracked.weight, tracked.reverse)
        });
        let checks = checks.into_iter().map(|tracked| {
            let subject = subject(&config.checks[tracked.check]);
            (subject, tracked.weight, tracked.reverse)
        });
        interfaces
            .chain(checks)
            .map(|(subject, weight, reverse)| Tracking {
                tracker: self.id(subject),
                weight,
                reverse,
            })
            .collect()
    }
}

/// An interface is the same however it is tracked.
fn subject(check: &CheckConfig) -> Subject {
    match &check.kind {
        CheckKind::Interface(name) => Subject::Interface(name.clone()),
        _ => Subject::Check(check.name.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subjects_keep_their_numbers() {
        let config = |checks: &str| {
            let text = format!(
                "[[instance]]\nname = \"web\"\ninterface = \"eth0\"\nvrid = 51\nfamily = \"ipv4\"\n\
                 track_interfaces = [\"eth1\"]\ntrack_checks = [\"a\", \"link\"]\n\
                 [[check]]\nname = \"link\"\nkind = \"interface\"\ninterface = \"eth1\"\n{checks}"
            );
            crate::config::parse(&text).unwrap().0
        };
        let file =
            |name: &str| format!("[[check]]\nname = \"{name}\"\nkind = \"file\"\npath = \"/a\"\n");
        let mut registry = Registry::default();
        let before = config(&(file("unused") + &file("a")));
        let trackings = registry.trackings(&before);
        let ids = |registry: &Registry, config: &Config| -> Vec<u32> {
            registry.checks(config).iter().map(|id| id.0).collect()
        };
        assert_eq!(ids(&registry, &before), [0, 1, 2]);
        // The interface is one, tracked by itself and as a check.
        let tracked: Vec<u32> = trackings[0].iter().map(|it| it.tracker.0).collect();
        assert_eq!(tracked, [0, 2, 0]);
        let after = config(&(file("new") + &file("a")));
        registry.trackings(&after);
        assert_eq!(ids(&registry, &after), [0, 3, 2]);
    }
}
