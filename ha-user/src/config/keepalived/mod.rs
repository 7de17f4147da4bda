//! The front end for keepalived's configuration files.
//!
//! A file that keepalived would run is taken: what it would ignore is ignored
//! here too, what it does and Harrier does not is told, each with its place and
//! what happens instead ([`keywords`]).

mod address;
mod authentication;
mod defaults;
mod global;
mod group;
mod instance;
mod keywords;
mod lex;
mod notify;
mod reader;
mod route;
mod script;
#[cfg(test)]
mod tests;
mod track;
mod unicast;
mod values;
mod virtual_mac;

use self::{keywords::Place, lex::Line, reader::Reader};
use super::{
    diagnostic::Diagnostic,
    located::{Field, Located},
    raw::{RawConfig, RawRunAs},
    sources::Sources,
};

/// Whether other files than the one that was given may be read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Files {
    /// Those that it includes.
    Included,
    /// None: an include is passed over.
    None,
}

/// What the first of `sources` says, together with what it includes, which is
/// added to them. `strict` makes errors of keywords that there are none of; `id`
/// is what lines with `@` are held against.
pub(super) fn read(
    sources: &mut Sources,
    files: Files,
    strict: bool,
    id: &str,
) -> (RawConfig, Vec<Diagnostic>) {
    let mut diagnostics = Vec::new();
    let lines = lex::read(sources, files, id, &mut diagnostics);
    let mut reader = Reader::new(strict, diagnostics);
    let config = reader.document(&lines);
    for secret in reader.secrets.drain(..) {
        sources.hide(secret);
    }
    (config, reader.finish())
}

/// As whom commands run that do not say, if the file does not say either.
const DEFAULT_USER: &str = "keepalived_script";

/// Has commands run as keepalived's own user if this host has it.
pub(super) fn default_user(config: &mut RawConfig) {
    if config.script_user.is_absent()
        && matches!(nix::unistd::User::from_name(DEFAULT_USER), Ok(Some(_)))
    {
        let run_as = RawRunAs {
            user: DEFAULT_USER.to_owned(),
            group: None,
        };
        config.script_user = Field::Given(Located::new(run_as, 0..0));
    }
}

/// Whether `text` looks like a keepalived configuration: whether a line begins
/// with one of its blocks.
pub(super) fn is_likely(text: &str) -> bool {
    text.lines().any(|line| {
        let mut words = line.split(|c: char| c.is_whitespace() || c == '{');
        let first = words.find(|word| !word.is_empty()).unwrap_or_default();
        let block = matches!(
            first,
            "global_defs"
                | "vrrp_instance"
                | "vrrp_sync_group"
                | "vrrp_script"
                | "vrrp_track_process"
                | "vrrp_track_file"
                | "track_file"
                | "static_ipaddress"
                | "static_routes"
                | "static_rules"
                | "garp_group"
                | "bfd_instance"
                | "virtual_server"
                | "virtual_server_group"
                | "local_address_group"
        );
        let include = matches!(
            first,
            "include" | "includea" | "includer" | "includem" | "includew"
        );
        // In TOML a word of that kind would be a key.
        (block || include) && !line.contains('=') && (include || !line.trim_end().ends_with(']'))
    })
}

impl Reader {
    /// The whole file. Blocks may stand in any order.
    fn document(&mut self, lines: &[Line]) -> RawConfig {
        let mut config = RawConfig {
            may_be_idle: true,
            ..RawConfig::default()
        };
        let blocks =
            |name: &'static str| lines.iter().filter(move |line| line.keyword().text == name);
        for line in lines {
            self.known(line, Place::Top);
        }
        for block in blocks("global_defs") {
            self.global(block, &mut config);
        }
        self.garp_groups(blocks("garp_group"), &mut config);
        for line in lines {
            let check = match line.keyword().text.as_str() {
                "vrrp_script" => self.script(line),
                "track_file" | "vrrp_track_file" => self.track_file(line),
                "vrrp_track_process" | "track_process" => self.track_process(line),
                _ => None,
            };
            if let Some(check) = check {
                self.add_check(&mut config, check);
            }
        }
        let groups: Vec<&Line> = blocks("vrrp_sync_group").collect();
        self.defaults.weighted_members = group::members(&groups);
        for block in blocks("vrrp_instance") {
            self.instance(block, &mut config);
        }
        self.virtual_mac_names(&mut config);
        for block in groups {
            self.sync_group(block, &mut config);
        }
        config
    }
}
