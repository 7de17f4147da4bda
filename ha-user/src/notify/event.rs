//! What is told, in the words that keepalived's scripts know.

use std::{
    fmt,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use ha_common::{fsm::StateKind, types::Priority};
use serde_json::{Value, json};

/// What is to be told to all who want to hear of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Event {
    pub(super) subject: Subject,
    pub(super) what: What,
    /// A group has none.
    pub(super) priority: Option<Priority>,
    pub(super) at: SystemTime,
}

/// Of whom.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Subject {
    Instance(String),
    Group(String),
}

/// What has happened.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum What {
    /// It has entered a state.
    State {
        from: Option<Word>,
        to: Word,
        /// Why, in words.
        reason: String,
    },
    /// Its priority has changed, in this state.
    Priority(Word),
    /// It is Active and hears an advertisement of lower priority.
    LowerAdvert,
}

/// A state.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Word {
    Master,
    Backup,
    Fault,
    Stop,
}

impl Word {
    /// `None` of what is not told: a router that releases its addresses is on its
    /// way to another state, and one that has not started is in none.
    pub(super) const fn of(state: StateKind) -> Option<Self> {
        match state {
            StateKind::Active => Some(Self::Master),
            StateKind::Backup => Some(Self::Backup),
            StateKind::Fault => Some(Self::Fault),
            StateKind::Init | StateKind::Releasing => None,
        }
    }

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Master => "MASTER",
            Self::Backup => "BACKUP",
            Self::Fault => "FAULT",
            Self::Stop => "STOP",
        }
    }
}

impl Subject {
    pub(super) const fn kind(&self) -> &'static str {
        match self {
            Self::Instance(_) => "INSTANCE",
            Self::Group(_) => "GROUP",
        }
    }

    pub(super) fn name(&self) -> &str {
        let (Self::Instance(name) | Self::Group(name)) = self;
        name
    }
}

/// As in "the state file of sync group edge".
impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Instance(name) => write!(f, "{name}"),
            Self::Group(name) => write!(f, "sync group {name}"),
        }
    }
}

impl Event {
    /// The word for it in keepalived's FIFO.
    pub(super) const fn word(&self) -> &'static str {
        match &self.what {
            What::State { to, .. } => to.name(),
            What::Priority(Word::Master) => "MASTER_PRIORITY",
            What::Priority(_) => "BACKUP_PRIORITY",
            What::LowerAdvert => "MASTER_RX_LOWER_PRI",
        }
    }

    /// The priority as scripts are told it.
    pub(super) fn number(&self) -> u8 {
        self.priority.map_or(0, |priority| priority.0)
    }

    /// The arguments that follow those of the configuration.
    pub(super) fn arguments(&self) -> [String; 4] {
        [
            self.subject.kind().to_owned(),
            self.subject.name().to_owned(),
            self.word().to_owned(),
            self.number().to_string(),
        ]
    }

    /// A line of a FIFO.
    pub(super) fn line(&self) -> String {
        let (kind, name) = (self.subject.kind(), self.subject.name());
        format!("{kind} \"{name}\" {} {}\n", self.word(), self.number())
    }

    /// The body of a webhook's request; `daemon` is the name of this host.
    pub(super) fn json(&self, daemon: &str) -> Value {
        let at = self.at.duration_since(UNIX_EPOCH);
        let at = at.unwrap_or(Duration::ZERO).as_millis();
        let mut body = json!({
            "daemon": daemon,
            "state": self.word(),
            "at": u64::try_from(at).unwrap_or(u64::MAX),
        });
        let key = match self.subject {
            Subject::Instance(_) => "instance",
            Subject::Group(_) => "group",
        };
        body[key] = self.subject.name().into();
        if let Some(priority) = self.priority {
            body["priority"] = priority.0.into();
        }
        if let What::State { from, reason, .. } = &self.what {
            body["from"] = from.map(Word::name).into();
            body["reason"] = reason.as_str().into();
        }
        body
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(subject: Subject, what: What, priority: Option<Priority>) -> Event {
        Event {
            subject,
            what,
            priority,
            at: UNIX_EPOCH + Duration::from_millis(1500),
        }
    }

    #[test]
    fn keepalived_has_the_words() {
        let web = Subject::Instance("web".to_owned());
        let state = |to| What::State {
            from: Some(Word::Backup),
            to,
            reason: "why".to_owned(),
        };
        let told = event(web.clone(), state(Word::Master), Some(Priority(150)));
        assert_eq!(told.arguments(), ["INSTANCE", "web", "MASTER", "150"]);
        assert_eq!(told.line(), "INSTANCE \"web\" MASTER 150\n");
        assert_eq!(
            told.json("node"),
            json!({
                "daemon": "node", "instance": "web", "state": "MASTER", "from": "BACKUP",
                "priority": 150, "reason": "why", "at": 1500,
            })
        );
        let group = event(Subject::Group("edge".to_owned()), state(Word::Stop), None);
        assert_eq!(group.arguments(), ["GROUP", "edge", "STOP", "0"]);
        assert_eq!(group.line(), "GROUP \"edge\" STOP 0\n");
        assert_eq!(group.json("node")["group"], "edge");
        assert_eq!(group.json("node").get("priority"), None);
        for (what, word) in [
            (What::Priority(Word::Master), "MASTER_PRIORITY"),
            (What::Priority(Word::Backup), "BACKUP_PRIORITY"),
            (What::LowerAdvert, "MASTER_RX_LOWER_PRI"),
        ] {
            let told = event(web.clone(), what, Some(Priority(90)));
            assert_eq!(told.line(), format!("INSTANCE \"web\" {word} 90\n"));
            assert_eq!(told.json("node")["state"], word);
        }
    }
}
