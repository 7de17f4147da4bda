//! What the engine has asked for and is not done yet, in the order of a turn.
//!
//! Over all instances, what others wait for goes first: the advertisements of all
//! leave before anybody's addresses are touched, and what is only told waits until
//! the rest is done. Of one instance the order is the engine's: nothing of it
//! overtakes what was asked for before.

use ha_common::fsm::Action;

use crate::engine::InstanceId;

/// What is done together, in this order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Stage {
    /// Advertisements.
    Advertise,
    /// What the kernel program sorts by.
    Publish,
    /// Announcements.
    Announce,
    /// Addresses and what goes with them.
    Host,
    /// Log, notices, history.
    Tell,
}

impl Stage {
    pub(super) const ALL: [Self; 5] = [
        Self::Advertise,
        Self::Publish,
        Self::Announce,
        Self::Host,
        Self::Tell,
    ];

    fn of(action: &Action) -> Self {
        match action {
            Action::SendAdvert { .. } => Self::Advertise,
            Action::UpdateKernel(_) => Self::Publish,
            Action::Announce => Self::Announce,
            Action::InstallAddresses | Action::RemoveAddresses => Self::Host,
            Action::Resumed { .. } | Action::Transition { .. } => Self::Tell,
        }
    }
}

/// See the [module](self).
#[derive(Debug, Default)]
pub(super) struct Agenda {
    /// Oldest first.
    pending: Vec<(InstanceId, Action)>,
    /// By instance: the last sweep that something of it stayed in.
    stayed: Vec<u64>,
    sweep: u64,
}

impl Agenda {
    pub(super) fn push(&mut self, id: InstanceId, action: Action) {
        let index = id.0 as usize;
        if self.stayed.len() <= index {
            self.stayed.resize(index + 1, 0);
        }
        self.pending.push((id, action));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.pending.is_empty()
    }

    /// Moves what can be done in `stage` to the end of `out`, at most `limit` actions.
    pub(super) fn take(&mut self, stage: Stage, limit: usize, out: &mut Vec<(InstanceId, Action)>) {
        self.sweep += 1;
        let mut left = limit;
        let Self {
            pending,
            stayed,
            sweep,
        } = self;
        pending.retain(|(id, action)| {
            let stayed = &mut stayed[id.0 as usize];
            if *stayed != *sweep && left > 0 && Stage::of(action) == stage {
                left -= 1;
                out.push((*id, *action));
                return false;
            }
            *stayed = *sweep;
            true
        });
    }
}

#[cfg(test)]
mod tests {
    use ha_common::types::Priority;

    use super::*;

    const ADVERT: Action = Action::SendAdvert {
        priority: Priority(100),
    };
    const RELEASE: Action = Action::SendAdvert {
        priority: Priority(0),
    };

    fn agenda(actions: &[(u32, Action)]) -> Agenda {
        let mut agenda = Agenda::default();
        for (id, action) in actions {
            agenda.push(InstanceId(*id), *action);
        }
        agenda
    }

    /// The order in which all is done, round after round.
    fn order(agenda: &mut Agenda, limit: usize) -> Vec<(u32, Action)> {
        let mut done = Vec::new();
        while !agenda.is_empty() {
            let before = done.len();
            for stage in Stage::ALL {
                agenda.take(stage, limit, &mut done);
            }
            assert!(done.len() > before, "a round gets on");
        }
        done.into_iter()
            .map(|(id, action)| (id.0, action))
            .collect()
    }

    #[test]
    fn all_advertise_before_anybodys_addresses_are_touched() {
        use Action::{Announce, InstallAddresses as Install};
        let mut agenda = agenda(&[
            (1, ADVERT),
            (1, Announce),
            (1, Install),
            (2, ADVERT),
            (2, Announce),
            (2, Install),
        ]);
        let expected = [
            (1, ADVERT),
            (2, ADVERT),
            (1, Announce),
            (2, Announce),
            (1, Install),
            (2, Install),
        ];
        assert_eq!(order(&mut agenda, usize::MAX), expected);
    }

    #[test]
    fn of_one_instance_nothing_overtakes() {
        use Action::{Announce, InstallAddresses as Install, RemoveAddresses as Remove};
        let mine = [ADVERT, Install, Announce, RELEASE, Remove, ADVERT, Announce];
        for limit in [1, usize::MAX] {
            let both: Vec<(u32, Action)> = mine
                .iter()
                .flat_map(|action| [(0, *action), (7, *action)])
                .collect();
            let done = order(&mut agenda(&both), limit);
            for id in [0, 7] {
                let own: Vec<Action> = done
                    .iter()
                    .filter(|(other, _)| *other == id)
                    .map(|(_, action)| *action)
                    .collect();
                assert_eq!(own, mine);
            }
        }
    }

    #[test]
    fn a_limit_leaves_the_rest_for_later() {
        let mut agenda = agenda(&[(0, ADVERT), (1, ADVERT), (1, RELEASE), (2, ADVERT)]);
        let mut out = Vec::new();
        agenda.take(Stage::Advertise, 2, &mut out);
        assert_eq!(out, [(InstanceId(0), ADVERT), (InstanceId(1), ADVERT)]);
        agenda.take(Stage::Advertise, 9, &mut out);
        assert_eq!(
            out[2..],
            [(InstanceId(1), RELEASE), (InstanceId(2), ADVERT)]
        );
        assert!(agenda.is_empty());
    }
}
