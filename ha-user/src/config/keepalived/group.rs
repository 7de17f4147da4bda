//! `vrrp_sync_group`.

use super::{keywords::Place, lex::Line, reader::Reader, values};
use crate::config::{
    located::{Field, List, Located},
    raw::{RawConfig, RawSyncGroup},
};

/// The members of all groups, and whether weights of what they track count.
pub(super) fn members(groups: &[&Line]) -> Vec<(String, bool)> {
    let mut members = Vec::new();
    for group in groups {
        let weighted = group
            .lines()
            .iter()
            .any(|line| line.keyword().text == "sync_group_tracking_weight");
        for line in group.lines() {
            if line.keyword().text == "group" {
                let words = line.lines().iter().flat_map(|member| &member.words);
                members.extend(words.map(|word| (values::tame_name(&word.text), weighted)));
            }
        }
    }
    members
}

impl Reader {
    pub(super) fn sync_group(&mut self, block: &Line, config: &mut RawConfig) {
        let Some(name) = self.block_name(block) else {
            return;
        };
        if config.sync_groups.iter().any(|group| {
            group
                .name
                .given()
                .is_some_and(|other| other.value == name.value)
        }) {
            self.warn(
                name.span.clone(),
                format!("a second vrrp_sync_group with the name {:?}", name.value),
                "the first counts",
                "give it another name",
            );
            return;
        }
        let mut group = RawSyncGroup {
            head: block.span(),
            ..RawSyncGroup::default()
        };
        let mut members = Vec::new();
        let mut notify = None;
        for line in block.lines() {
            let Some(keyword) = self.known(line, Place::SyncGroup) else {
                continue;
            };
            match keyword {
                "group" => self.members(line, config, &mut members),
                "track_interface" => self.track_interfaces(line, true, &mut group.track_interfaces),
                "track_script" | "track_file" | "track_process" => {
                    self.track_checks(line, true, &mut group.track_checks);
                }
                other => self.notify(other, line, &mut notify),
            }
        }
        if members.is_empty() {
            self.warn(
                name.span.clone(),
                format!("vrrp_sync_group {:?} has no instances", name.value),
                "expected a block group { … } with the names of instances, one per line",
                "passed over, as keepalived does",
            );
            return;
        }
        group.notify = self.with_defaults(notify).into();
        let span = name.span.clone();
        group.name = Field::Given(name);
        let list = List {
            entries: members,
            incomplete: false,
        };
        group.instances = Field::Given(Located::new(list, span));
        config.sync_groups.push(group);
    }

    fn members(&mut self, block: &Line, config: &RawConfig, members: &mut Vec<Located<String>>) {
        for word in block.lines().iter().flat_map(|line| &line.words) {
            let name = values::tame_name(&word.text);
            if !self.defaults.instances.contains(&name) {
                self.warn(
                    word.span.clone(),
                    format!("there is no vrrp_instance {:?}", word.text),
                    "passed over, as keepalived does",
                    "the group moves without it: check the name",
                );
                continue;
            }
            let elsewhere = config
                .sync_groups
                .iter()
                .flat_map(|group| group.instances.entries())
                .chain(members.iter())
                .any(|member| member.value == name);
            if elsewhere {
                self.warn(
                    word.span.clone(),
                    format!("{:?} is in a sync group already", word.text),
                    "the first counts",
                    "an instance is in one group, once",
                );
                continue;
            }
            members.push(Located::new(name, word.span.clone()));
        }
    }
}
