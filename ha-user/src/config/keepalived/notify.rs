//! Who hears of transitions: `notify` and its kin.

use super::{lex::Line, reader::Reader};
use crate::config::{
    located::{Field, Located},
    raw::RawNotify,
};

impl Reader {
    /// Takes the line into `notify` if it is about that.
    pub(super) fn notify(
        &mut self,
        keyword: &str,
        line: &Line,
        notify: &mut Option<Located<RawNotify>>,
    ) {
        let script = match keyword {
            "notify"
            | "notify_master"
            | "notify_backup"
            | "notify_fault"
            | "notify_stop"
            | "notify_master_rx_lower_pri" => self.script_line(line),
            "notify_priority_changes" => {
                let on = self.switch(line);
                told(notify, line).priority_changes = Field::Given(on);
                return;
            }
            _ => return,
        };
        if script.is_absent() {
            return;
        }
        let notify = told(notify, line);
        *match keyword {
            "notify_master" => &mut notify.active,
            "notify_backup" => &mut notify.backup,
            "notify_fault" => &mut notify.fault,
            "notify_stop" => &mut notify.stop,
            "notify_master_rx_lower_pri" => &mut notify.active_lower,
            _ => &mut notify.any,
        } = script;
    }

    /// `notify` with what `global_defs` says where the block does not.
    pub(super) fn with_defaults(
        &self,
        mut notify: Option<Located<RawNotify>>,
    ) -> Option<Located<RawNotify>> {
        if let Some(on) = &self.defaults.priority_changes {
            let all = Located::new(RawNotify::default(), on.span.clone());
            let all = Some(all).filter(|_| on.value);
            notify = notify.or(all);
            if let Some(notify) = &mut notify
                && notify.value.priority_changes.is_absent()
            {
                notify.value.priority_changes = Field::Given(on.clone());
            }
        }
        notify
    }
}

fn told<'n>(notify: &'n mut Option<Located<RawNotify>>, line: &Line) -> &'n mut RawNotify {
    let new = || Located::new(RawNotify::default(), line.span());
    &mut notify.get_or_insert_with(new).value
}
