//! `global_defs` and `garp_group`.

use std::time::Duration;

use super::{
    keywords::Place,
    lex::{Line, Word, split_command},
    reader::Reader,
};
use crate::config::{
    cpus,
    located::{Field, List, Located},
    notify,
    raw::{RawConfig, RawFifo, RawRunAs, RawScript},
};

/// Longest `startup_delay`.
const MAX_STARTUP_DELAY: Duration = Duration::from_secs(1000);

/// Longest `announce_gap`.
const MAX_ANNOUNCE_GAP: Duration = Duration::from_secs(1);

/// A FIFO and its reader, which are said in two lines.
#[derive(Default)]
struct Fifo {
    path: Option<Located<String>>,
    reader: Field<RawScript>,
}

impl Reader {
    pub(super) fn global(&mut self, block: &Line, config: &mut RawConfig) {
        self.surplus(block, 1);
        let mut fifo = Fifo::default();
        let mut vrrp_fifo = Fifo::default();
        for line in block.lines() {
            let Some(keyword) = self.known(line, Place::Global) else {
                continue;
            };
            match keyword {
                "script_user" => {
                    let user: Option<_> = self.run_as(line.arguments(), line).into();
                    config.script_user = user.into();
                }
                "enable_script_security" => {
                    config.script_security = Field::Given(Located::new(true, line.span()));
                }
                "vrrp_version" => {
                    let version = self.number(line, 2..=3, "version 2 is taken");
                    self.defaults.version = version.given().map(|version| version.value);
                }
                "vrrp_startup_delay" => {
                    config.startup_delay = self.seconds(line, Duration::ZERO..=MAX_STARTUP_DELAY);
                }
                "vrrp_garp_interval" | "vrrp_gna_interval" => self.announce_gap(line, config),
                "vrrp_garp_master_delay" => {
                    self.defaults.garp.delay = self.number(line, 0..=1000, "5 s are taken").into();
                }
                "vrrp_garp_master_repeat" => {
                    self.defaults.garp.repeat = self.clamped(line, 1..=255).into();
                }
                "vrrp_garp_master_refresh" => {
                    self.defaults.garp.refresh =
                        self.number(line, 0..=86_400, "none is taken").into();
                }
                "vrrp_min_garp" => {
                    let on = self.switch(line);
                    if on.value {
                        self.defaults.garp.repeat = Some(Located::new(1, line.span()));
                        self.defaults.garp.delay = Some(Located::new(0, line.span()));
                    }
                }
                "vrrp_cpu_affinity" => config.cpu_affinity = self.cpus(line),
                "vrrp_notify_priority_changes" => {
                    self.defaults.priority_changes = Some(self.switch(line));
                }
                "default_interface" => {
                    self.defaults.interface = self
                        .argument(line)
                        .map(|word| Located::new(word.text.clone(), word.span.clone()));
                }
                "notify_fifo" => fifo.path = self.fifo(line),
                "notify_fifo_script" => fifo.reader = self.script_line(line),
                "vrrp_notify_fifo" => vrrp_fifo.path = self.fifo(line),
                "vrrp_notify_fifo_script" => vrrp_fifo.reader = self.script_line(line),
                _ => {}
            }
        }
        for (fifo, keyword) in [(fifo, "notify_fifo"), (vrrp_fifo, "vrrp_notify_fifo")] {
            self.add_fifo(fifo, keyword, config);
        }
    }

    fn add_fifo(&mut self, fifo: Fifo, keyword: &str, config: &mut RawConfig) {
        let Some(path) = fifo.path else {
            if let Some(reader) = fifo.reader.given() {
                self.warn(
                    reader.span.clone(),
                    format!("{keyword}_script without {keyword}"),
                    "nothing is read, so nothing is run",
                    "name the FIFO too, or remove the line",
                );
            }
            return;
        };
        let span = path.span.clone();
        let fifos = match &mut config.notify_fifos {
            Field::Given(list) => list,
            other => {
                let list = List {
                    entries: Vec::new(),
                    incomplete: false,
                };
                *other = Field::Given(Located::new(list, span.clone()));
                let Field::Given(list) = other else { return };
                list
            }
        };
        let entries = &mut fifos.value.entries;
        if let Some(same) = entries
            .iter_mut()
            .find(|one| one.value.path.value == path.value)
        {
            if same.value.reader.is_absent() {
                same.value.reader = fifo.reader;
            }
            return;
        }
        let reader = fifo.reader;
        entries.push(Located::new(RawFifo { path, reader }, span));
    }

    /// The path of a FIFO, which may have an owner.
    fn fifo(&mut self, line: &Line) -> Option<Located<String>> {
        let Some(word) = line.arguments().first() else {
            self.argument(line);
            return None;
        };
        if let Some(owner) = line.arguments().get(1) {
            self.warn(
                owner.span.clone(),
                format!("{} with an owner", line.keyword().text),
                "the FIFO belongs to the daemon's user",
                "the reader can be run by the daemon, or as root",
            );
        }
        if !notify::is_absolute_file(&word.text) {
            self.warn(
                word.span.clone(),
                format!("a FIFO cannot be {:?}", word.text),
                "expected the path of a file, with a / at its start; there is none",
                "say where it is, such as /run/keepalived.fifo",
            );
            return None;
        }
        Some(Located::new(word.text.clone(), word.span.clone()))
    }

    /// The longest of all such intervals counts for all interfaces.
    /// The CPUs of the line, each once.
    fn cpus(&mut self, line: &Line) -> Field<List<i64>> {
        if line.arguments().is_empty() {
            // Which says that one is missing.
            let _ = self.argument(line);
            return Field::Absent;
        }
        let mut entries: Vec<Located<i64>> = Vec::new();
        for word in line.arguments() {
            let number = self.number_in(word, "vrrp_cpu_affinity", 0..=cpus::LAST, "left out");
            if let Field::Given(cpu) = number
                && entries.iter().all(|known| known.value != cpu.value)
            {
                entries.push(cpu);
            }
        }
        let list = List {
            entries,
            incomplete: false,
        };
        Field::Given(Located::new(list, line.span()))
    }

    fn announce_gap(&mut self, line: &Line, config: &mut RawConfig) {
        let Field::Given(gap) = self.seconds(line, Duration::ZERO..=MAX_ANNOUNCE_GAP) else {
            return;
        };
        self.defaults.announce_gap = self.defaults.announce_gap.max(gap.value);
        let longer = config
            .announce_gap
            .given()
            .is_none_or(|before| before.value < gap.value);
        if longer {
            config.announce_gap = Field::Given(gap);
        }
    }

    pub(super) fn garp_groups<'l>(
        &mut self,
        blocks: impl Iterator<Item = &'l Line>,
        config: &mut RawConfig,
    ) {
        for block in blocks {
            for line in block.lines() {
                if let Some("garp_interval" | "gna_interval") = self.known(line, Place::GarpGroup) {
                    self.announce_gap(line, config);
                }
            }
        }
    }

    /// The user and perhaps the group that `words` are.
    pub(super) fn run_as(&mut self, words: &[Word], line: &Line) -> Field<RawRunAs> {
        let Some(user) = words.first() else {
            self.argument(line);
            return Field::Absent;
        };
        let mut end = user.span.end;
        let group = words.get(1).map(|group| {
            end = group.span.end.max(end);
            group.text.clone()
        });
        if let Some(more) = words.get(2) {
            self.warn(
                more.span.clone(),
                "more than a user and a group",
                "passed over, as keepalived does",
                "remove it",
            );
        }
        let is_name = |name: &str| {
            !name.is_empty() && !name.contains([':', '\0']) && !name.contains(char::is_whitespace)
        };
        if !is_name(&user.text) || !group.as_deref().is_none_or(is_name) {
            self.warn(
                user.span.start..end,
                "no user has such a name",
                "the command does not run, as with keepalived",
                "expected a user and perhaps a group",
            );
            return Field::Bad;
        }
        let run_as = RawRunAs {
            user: user.text.clone(),
            group,
        };
        Field::Given(Located::new(run_as, user.span.start..end))
    }

    /// A command, and perhaps the user and the group that it runs as.
    pub(super) fn script_line(&mut self, line: &Line) -> Field<RawScript> {
        let words = super::lex::command(&line.rest());
        let Some((first, rest)) = words.split_first() else {
            self.argument(line);
            return Field::Absent;
        };
        let Some(argv) = self.argv(first) else {
            return Field::Absent;
        };
        let run_as = if rest.is_empty() {
            Field::Absent
        } else {
            self.run_as(rest, line)
        };
        if matches!(run_as, Field::Bad) {
            return Field::Absent;
        }
        Field::Given(Located::new(RawScript { argv, run_as }, first.span.clone()))
    }

    /// The program and its arguments that `word` is.
    pub(super) fn argv(&mut self, word: &Word) -> Option<Vec<String>> {
        let argv = split_command(&word.text);
        let good = argv.first().is_some_and(|program| !program.is_empty())
            && !argv.iter().any(|word| word.contains('\0'));
        if !good {
            self.warn(
                word.span.clone(),
                "this is no command",
                "expected a program and its arguments; nothing is run",
                "say a command, or remove the line",
            );
        }
        Some(argv).filter(|_| good)
    }
}
