//! Settings that there are none of, and what was probably meant.

use super::{INSTANCE_HELP, INSTANCE_KEYS, Reader, Settings, TOP_KEYS};
use crate::config::{diagnostic::Diagnostic, names::nearest};

/// Names that people know from keepalived, RFC 9568 and `ip(8)`, and ours. One of
/// theirs may be several of ours, in different tables.
const OTHER_NAMES: &[(&str, &str)] = &[
    ("accept_mode", "accept"),
    ("address", "addresses"),
    ("advert_int", "advert_interval"),
    ("advertisement_interval", "advert_interval"),
    ("auth_pass", "password"),
    ("authentication", "password"),
    ("dev", "interface"),
    ("dst", "to"),
    ("enable_script_security", "script_security"),
    ("fifo", "notify_fifos"),
    ("garp_master_delay", "announce"),
    ("garp_master_refresh", "announce"),
    ("garp_master_refresh_repeat", "announce"),
    ("garp_master_repeat", "announce"),
    ("gateway", "via"),
    ("group", "instances"),
    ("gw", "via"),
    ("header", "headers"),
    ("instances", "instance"),
    ("interval", "advert_interval"),
    ("interval", "retry_interval"),
    ("ip", "address"),
    ("lookup", "table"),
    ("master", "active"),
    ("members", "instances"),
    ("no_accept", "accept"),
    ("nopreempt", "preempt"),
    ("notify", "any"),
    ("notify_backup", "backup"),
    ("notify_backup", "notify"),
    ("notify_fault", "fault"),
    ("notify_fault", "notify"),
    ("notify_fifo", "notify_fifos"),
    ("notify_master", "active"),
    ("notify_master", "notify"),
    ("notify_master_rx_lower_pri", "notify"),
    ("notify_priority_changes", "notify"),
    ("notify_stop", "notify"),
    ("notify_stop", "stop"),
    ("peer", "peers"),
    ("pref", "priority"),
    ("preference", "priority"),
    ("priority", "metric"),
    ("repeat", "count"),
    ("retry", "retries"),
    ("script", "command"),
    ("script", "reader"),
    ("src", "source"),
    ("src_ip", "source"),
    ("token", "headers"),
    ("track_file", "track_checks"),
    ("track_interface", "track_interfaces"),
    ("track_process", "track_checks"),
    ("track_script", "track_checks"),
    ("unicast_peer", "unicast"),
    ("unicast_src_ip", "unicast"),
    ("use_vmac", "virtual_mac"),
    ("vips", "addresses"),
    ("virtual_ipaddress", "addresses"),
    ("virtual_ipaddress_excluded", "excluded_addresses"),
    ("virtual_router_id", "vrid"),
    ("virtual_routes", "routes"),
    ("virtual_rules", "rules"),
    ("vrrp_garp_interval", "announce_gap"),
    ("vrrp_gna_interval", "announce_gap"),
    ("vrrp_instance", "instance"),
    ("vrrp_script", "check"),
    ("vrrp_track_file", "check"),
    ("vrrp_track_process", "check"),
    ("vrrp_startup_delay", "startup_delay"),
    ("vrrp_sync_group", "sync_group"),
    ("vrrp_version", "version"),
];

impl Reader {
    /// Complains about what is left of `settings`. `place` is where they stand,
    /// `known` what may stand there.
    pub(super) fn unknown(&mut self, settings: Settings<'_>, known: &[&str], place: &str) {
        for (key, (span, _)) in settings {
            let other_name = OTHER_NAMES
                .iter()
                .find(|(theirs, ours)| *theirs == key && known.contains(ours))
                .map(|(_, ours)| *ours);
            let meant = other_name.or_else(|| nearest(&key, known.iter().copied()));
            let expected = match meant {
                Some(suggestion) => format!("did you mean {suggestion}?"),
                None => "unknown".to_owned(),
            };
            // Without its head, what belongs into an instance stands at the top.
            let headless = known == TOP_KEYS && INSTANCE_KEYS.contains(&key.as_str());
            let help = if headless {
                INSTANCE_HELP.to_owned()
            } else {
                format!("settings {place}: {}", known.join(", "))
            };
            self.diagnostics.push(
                Diagnostic::error(
                    span,
                    format!("there is no setting {key:?} {place}"),
                    expected,
                )
                .help(help),
            );
        }
    }
}
