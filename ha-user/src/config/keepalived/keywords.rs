//! Every keyword that there is, where it stands, and what becomes of it. The
//! table in `docs/keepalived.md` is this one.

#[cfg(test)]
mod tests;

use std::fmt;

/// What a block is about: which keywords it may have.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Place {
    Top,
    Global,
    Instance,
    Authentication,
    Address,
    Peer,
    Route,
    Rule,
    SyncGroup,
    Script,
    TrackFile,
    TrackProcess,
    Tracked,
    GarpGroup,
}

impl Place {
    /// All of them, in the order of the documentation.
    #[cfg(test)]
    pub(super) const ALL: [Self; 14] = [
        Self::Top,
        Self::Global,
        Self::Instance,
        Self::Authentication,
        Self::Address,
        Self::Peer,
        Self::Route,
        Self::Rule,
        Self::SyncGroup,
        Self::Script,
        Self::TrackFile,
        Self::TrackProcess,
        Self::Tracked,
        Self::GarpGroup,
    ];

    /// Whether its keywords are lines of a block, and not words of a line.
    pub(super) const fn has_lines(self) -> bool {
        !matches!(
            self,
            Self::Address | Self::Peer | Self::Route | Self::Rule | Self::Tracked
        )
    }

    /// As it is headed in a file, for messages and the documentation.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Top => "the top of the file",
            Self::Global => "global_defs",
            Self::Instance => "vrrp_instance",
            Self::Authentication => "authentication",
            Self::Address => "an address",
            Self::Peer => "a unicast peer",
            Self::Route => "a route",
            Self::Rule => "a rule",
            Self::SyncGroup => "vrrp_sync_group",
            Self::Script => "vrrp_script",
            Self::TrackFile => "track_file",
            Self::TrackProcess => "vrrp_track_process",
            Self::Tracked => "a tracked thing",
            Self::GarpGroup => "garp_group",
        }
    }
}

/// What becomes of a keyword.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(super) enum Treatment {
    /// It is done, or there is nothing to do.
    Done,
    /// It is taken, and a warning says what happens instead.
    Warned,
}

impl fmt::Display for Treatment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Done => "done",
            Self::Warned => "accepted with a warning",
        })
    }
}

/// A keyword.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Keyword {
    pub(super) place: Place,
    pub(super) name: &'static str,
    pub(super) treatment: Treatment,
    /// What it is here, or what happens instead.
    pub(super) note: &'static str,
}

/// The keyword `name` in `place`.
pub(super) fn find(place: Place, name: &str) -> Option<&'static Keyword> {
    KEYWORDS
        .iter()
        .find(|keyword| keyword.place == place && keyword.name == name)
}

/// The names of all keywords in `place`.
pub(super) fn names(place: Place) -> impl Iterator<Item = &'static str> {
    KEYWORDS
        .iter()
        .filter(move |keyword| keyword.place == place)
        .map(|keyword| keyword.name)
}

const fn done(place: Place, name: &'static str, note: &'static str) -> Keyword {
    Keyword {
        place,
        name,
        treatment: Treatment::Done,
        note,
    }
}

const fn warned(place: Place, name: &'static str, note: &'static str) -> Keyword {
    Keyword {
        place,
        name,
        treatment: Treatment::Warned,
        note,
    }
}

/// What is said of everything that has to do with LVS.
const LVS: &str = "Harrier balances no load: let keepalived or ipvsadm do that";
const MAIL: &str = "Harrier sends no mail: a notify script can";
const SNMP: &str = "Harrier speaks no SNMP: harrier status --json says the same";
const DBUS: &str = "Harrier is not on D-Bus: harrier status --json says the same";
const STATIC: &str = "Harrier configures only what moves: the host's own network configuration \
                      does the rest";
const CHECKER: &str = "for LVS only, which Harrier does not do";
const BFD: &str = "Harrier has no BFD: shorter advertisement intervals find out as fast";
const FIREWALL: &str = "the filter of no_accept is an nftables table that Harrier names itself";
const SELF: &str = "nothing to do";
const IPVLAN: &str = "the addresses are on the interface itself";

#[rustfmt::skip]
pub(super) const KEYWORDS: &[Keyword] = {
    use Place::{
        Address, Authentication, GarpGroup, Global, Instance, Peer, Route, Rule, Script,
        SyncGroup, Top, TrackFile, TrackProcess, Tracked,
    };
    &[
        done(Top, "global_defs", "several are one"),
        done(Top, "vrrp_instance", "`[[instance]]`"),
        done(Top, "vrrp_sync_group", "`[[sync_group]]`; a member that belongs to two stays in the first"),
        done(Top, "vrrp_script", "`[[check]]` of kind `exec`"),
        done(Top, "vrrp_track_process", "`[[check]]` of kind `process`"),
        done(Top, "track_process", "as vrrp_track_process"),
        done(Top, "track_file", "`[[check]]` of kind `file`"),
        done(Top, "vrrp_track_file", "as track_file"),
        done(Top, "include", "patterns too; relative to the including file"),
        done(Top, "includer", "as include; no file is no reason for a warning"),
        done(Top, "includem", "as include"),
        done(Top, "includew", "as include; a pattern without a match is warned of"),
        done(Top, "includeb", "as include"),
        done(Top, "includea", "as includew"),
        warned(Top, "garp_group", "the longest of its intervals counts for all interfaces (`announce_gap`)"),
        warned(Top, "net_namespace", "Harrier runs where it is started: `ip netns exec NAME harrier run …`"),
        warned(Top, "net_namespace_ipvs", LVS),
        warned(Top, "namespace_with_ipsets", FIREWALL),
        warned(Top, "instance", "two daemons need a `--runtime-dir` each"),
        done(Top, "use_pid_dir", "nothing to do: the pid file is in `--runtime-dir`"),
        warned(Top, "linkbeat_use_polling", "the link's state is what the kernel says of it"),
        warned(Top, "linkbeat_interfaces", "the link's state is what the kernel says of it"),
        done(Top, "child_wait_time", "nothing to do: there are no child processes to wait for"),
        warned(Top, "interface_up_down_delays", "a link counts as soon as the kernel says that it is up or down"),
        warned(Top, "static_ipaddress", STATIC),
        warned(Top, "static_routes", STATIC),
        warned(Top, "static_rules", STATIC),
        warned(Top, "track_group", STATIC),
        warned(Top, "bfd_instance", BFD),
        warned(Top, "virtual_server", LVS),
        warned(Top, "virtual_server_group", LVS),
        warned(Top, "real_server", LVS),
        warned(Top, "local_address_group", LVS),
        warned(Top, "SSL", LVS),

        done(Global, "router_id", "nothing to do: only mails say it"),
        done(Global, "script_user", "`script_user`"),
        done(Global, "enable_script_security", "`script_security`"),
        done(Global, "vrrp_version", "`version` of the IPv4 instances that do not say"),
        done(Global, "vrrp_startup_delay", "`startup_delay`"),
        done(Global, "vrrp_garp_interval", "`announce_gap`: for IPv4 and IPv6, the longer of the two"),
        done(Global, "vrrp_gna_interval", "as vrrp_garp_interval"),
        done(Global, "vrrp_garp_master_delay", "default of garp_master_delay"),
        done(Global, "vrrp_garp_master_repeat", "default of garp_master_repeat"),
        done(Global, "vrrp_garp_master_refresh", "default of garp_master_refresh"),
        warned(Global, "vrrp_garp_master_refresh_repeat", "a refresh is one announcement per address"),
        warned(Global, "vrrp_garp_lower_prio_delay", "a lower advertisement begins the schedule of a takeover anew"),
        warned(Global, "vrrp_garp_lower_prio_repeat", "a lower advertisement begins the schedule of a takeover anew"),
        done(Global, "vrrp_min_garp", "one announcement, not repeated"),
        warned(Global, "vrrp_garp_extra_if", "every address is announced on its own interface, and refreshed by garp_master_refresh"),
        warned(Global, "vrrp_lower_prio_no_advert", "a lower advertisement is answered, as RFC 9568 says"),
        done(Global, "vrrp_higher_prio_send_advert", "always so"),
        warned(Global, "vrrp_down_timer_adverts", "three intervals, as the RFC says: if other routers wait for another number, one of them takes over too early"),
        done(Global, "vrrp_notify_priority_changes", "default of notify_priority_changes"),
        done(Global, "notify_fifo", "`notify_fifos`"),
        done(Global, "notify_fifo_script", "`reader` of the FIFO"),
        done(Global, "vrrp_notify_fifo", "`notify_fifos`"),
        done(Global, "vrrp_notify_fifo_script", "`reader` of the FIFO"),
        warned(Global, "fifo_write_vrrp_states_on_reload", "a reload tells only of what changes"),
        warned(Global, "lvs_notify_fifo", CHECKER),
        warned(Global, "lvs_notify_fifo_script", CHECKER),
        done(Global, "default_interface", "of unicast instances that do not say one"),
        done(Global, "dynamic_interfaces", "always so: an interface is waited for"),
        done(Global, "vrrp_check_unicast_src", "always so"),
        done(Global, "vrrp_skip_check_adv_addr", "nothing to do: comparing the lists costs nothing"),
        warned(Global, "vrrp_strict", "not enforced: everything that is configured is done"),
        warned(Global, "vrrp_mcast_group4", "224.0.0.18 is used: routers that use another group are not heard"),
        warned(Global, "vrrp_mcast_group6", "ff02::12 is used: routers that use another group are not heard"),
        warned(Global, "vrrp_iptables", FIREWALL),
        warned(Global, "vrrp_ipsets", FIREWALL),
        warned(Global, "nftables", FIREWALL),
        warned(Global, "nftables_priority", FIREWALL),
        warned(Global, "nftables_counters", FIREWALL),
        warned(Global, "nftables_ifindex", FIREWALL),
        warned(Global, "nftables_ipvs", LVS),
        warned(Global, "nftables_ipvs_priority", LVS),
        warned(Global, "nftables_ipvs_start_fwmark", LVS),
        warned(Global, "disable_local_igmp", "the memberships are those of the kernel"),
        warned(Global, "log_unknown_vrids", "counted, not logged: `harrier counters`"),
        warned(Global, "vmac_prefix", "an interface with a virtual MAC address is named by use_vmac or by Harrier"),
        warned(Global, "vmac_addr_prefix", "an interface with a virtual MAC address is named by use_vmac or by Harrier"),
        warned(Global, "startup_script", "not run: ExecStartPre= of the unit does that"),
        warned(Global, "startup_script_timeout", "not run: ExecStartPre= of the unit does that"),
        warned(Global, "shutdown_script", "not run: ExecStopPost= of the unit does that"),
        warned(Global, "shutdown_script_timeout", "not run: ExecStopPost= of the unit does that"),
        warned(Global, "notification_email", MAIL),
        warned(Global, "notification_email_from", MAIL),
        warned(Global, "smtp_server", MAIL),
        warned(Global, "smtp_helo_name", MAIL),
        warned(Global, "smtp_connect_timeout", MAIL),
        warned(Global, "smtp_alert", MAIL),
        warned(Global, "smtp_alert_vrrp", MAIL),
        warned(Global, "smtp_alert_checker", MAIL),
        warned(Global, "email_faults", MAIL),
        warned(Global, "no_email_faults", MAIL),
        warned(Global, "checker_log_all_failures", CHECKER),
        warned(Global, "no_checker_emails", CHECKER),
        warned(Global, "rs_init_notifies", CHECKER),
        warned(Global, "lvs_sync_daemon", LVS),
        warned(Global, "lvs_timeouts", LVS),
        warned(Global, "lvs_flush", LVS),
        warned(Global, "lvs_flush_on_stop", LVS),
        warned(Global, "lvs_flush_onstop", LVS),
        done(Global, "max_auto_priority", "nothing to do: real-time from the start where permitted"),
        done(Global, "min_auto_priority_delay", "as max_auto_priority"),
        done(Global, "vrrp_priority", "as max_auto_priority"),
        done(Global, "vrrp_rt_priority", "as max_auto_priority; the number is Harrier's own"),
        done(Global, "vrrp_rlimit_rttime", "as max_auto_priority"),
        done(Global, "vrrp_rlimit_rtime", "as max_auto_priority"),
        done(Global, "vrrp_no_swap", "always so where permitted"),
        done(Global, "vrrp_cpu_affinity", "`cpu_affinity`"),
        done(Global, "checker_priority", SELF),
        done(Global, "checker_no_swap", SELF),
        done(Global, "checker_cpu_affinity", SELF),
        done(Global, "checker_rt_priority", SELF),
        done(Global, "checker_rlimit_rttime", SELF),
        done(Global, "checker_rlimit_rtime", SELF),
        done(Global, "bfd_priority", SELF),
        done(Global, "bfd_no_swap", SELF),
        done(Global, "bfd_cpu_affinity", SELF),
        done(Global, "bfd_rt_priority", SELF),
        done(Global, "bfd_rlimit_rttime", SELF),
        done(Global, "bfd_rlimit_rtime", SELF),
        done(Global, "process_names", SELF),
        done(Global, "process_name", SELF),
        done(Global, "vrrp_process_name", SELF),
        done(Global, "checker_process_name", SELF),
        done(Global, "lvs_process_name", SELF),
        done(Global, "bfd_process_name", SELF),
        done(Global, "tmp_config_directory", SELF),
        done(Global, "config_save_dir", SELF),
        done(Global, "data_use_instance", SELF),
        done(Global, "random_seed", "random numbers are the same at every start"),
        done(Global, "reload_check_config", "always so: a wrong file is refused"),
        warned(Global, "reload_time_file", "a timer of the host can run `harrier reload`"),
        warned(Global, "reload_repeat", "a timer of the host can run `harrier reload`"),
        warned(Global, "reload_file", "Harrier answers `harrier reload` when it has read the files"),
        warned(Global, "include_check", "files that are missing are warned of"),
        warned(Global, "umask", "UMask= of the unit does that"),
        done(Global, "vrrp_netlink_cmd_rcv_bufs", SELF),
        done(Global, "vrrp_netlink_cmd_rcv_bufs_force", SELF),
        done(Global, "vrrp_netlink_monitor_rcv_bufs", SELF),
        done(Global, "vrrp_netlink_monitor_rcv_bufs_force", SELF),
        done(Global, "lvs_netlink_cmd_rcv_bufs", SELF),
        done(Global, "lvs_netlink_cmd_rcv_bufs_force", SELF),
        done(Global, "lvs_netlink_monitor_rcv_bufs", SELF),
        done(Global, "lvs_netlink_monitor_rcv_bufs_force", SELF),
        done(Global, "process_monitor_rcv_bufs", SELF),
        done(Global, "process_monitor_rcv_bufs_force", SELF),
        done(Global, "vrrp_rx_bufs_policy", SELF),
        done(Global, "vrrp_rx_bufs_multiplier", SELF),
        warned(Global, "snmp_socket", SNMP),
        warned(Global, "enable_snmp_keepalived", SNMP),
        warned(Global, "enable_snmp_vrrp", SNMP),
        warned(Global, "enable_snmp_checker", SNMP),
        warned(Global, "enable_snmp_rfc", SNMP),
        warned(Global, "enable_snmp_rfcv2", SNMP),
        warned(Global, "enable_snmp_rfcv3", SNMP),
        warned(Global, "enable_traps", SNMP),
        warned(Global, "enable_dbus", DBUS),
        warned(Global, "dbus_service_name", DBUS),
        warned(Global, "dbus_no_interface_name", DBUS),
        warned(Global, "net_namespace", "Harrier runs where it is started: `ip netns exec NAME harrier run …`"),
        warned(Global, "net_namespace_ipvs", LVS),
        warned(Global, "namespace_with_ipsets", FIREWALL),
        warned(Global, "instance", "two daemons need a `--runtime-dir` each"),
        done(Global, "use_pid_dir", "nothing to do: the pid file is in `--runtime-dir`"),
        warned(Global, "linkbeat_use_polling", "the link's state is what the kernel says of it"),
        done(Global, "child_wait_time", "nothing to do: there are no child processes to wait for"),
        warned(Global, "vrrp_json_file", "`harrier status --json`"),

        done(Instance, "state", "MASTER without a priority is priority 255; nothing else depends on it"),
        done(Instance, "interface", "`interface`"),
        done(Instance, "virtual_router_id", "`vrid`"),
        done(Instance, "priority", "`priority`"),
        done(Instance, "advert_int", "`advert_interval`; version 2: whole seconds"),
        done(Instance, "version", "`version`"),
        done(Instance, "preempt", "the default"),
        done(Instance, "nopreempt", "`preempt = false`"),
        done(Instance, "preempt_delay", "`preempt_delay`"),
        done(Instance, "authentication", "`password`"),
        warned(Instance, "auth_hmac", "advertisements are sent and taken without it: routers that ask for it do not hear this one"),
        warned(Instance, "mcast_src_ip", "advertisements are sent from the first address of the interface"),
        done(Instance, "unicast_src_ip", "`source` of `unicast`"),
        done(Instance, "unicast_peer", "`peers` of `unicast`; without any: multicast"),
        done(Instance, "check_unicast_src", "always so"),
        warned(Instance, "unicast_ttl", "advertisements are sent with 255"),
        warned(Instance, "unicast_fault_no_peer", "without peers: multicast"),
        warned(Instance, "old_unicast_checksum", "sent in the form of today; the old one is taken"),
        warned(Instance, "v3_checksum_as_v2", "`checksum = \"message-only\"`; both forms are taken"),
        warned(Instance, "mcast_dst_ip", "the group of the RFC is used: routers that use another are not heard"),
        warned(Instance, "track_src_ip", "without an address to send from there is a fault; unicast_src_ip has to exist at the start"),
        done(Instance, "virtual_ipaddress", "`addresses`; those of another family are handled as virtual_ipaddress_excluded"),
        done(Instance, "virtual_ipaddress_excluded", "`excluded_addresses`"),
        done(Instance, "virtual_routes", "`routes`"),
        done(Instance, "virtual_rules", "`rules`"),
        done(Instance, "promote_secondaries", "nothing to do: addresses that the kernel takes along are put back"),
        done(Instance, "track_interface", "`track_interfaces`"),
        done(Instance, "track_script", "`track_checks`"),
        done(Instance, "track_process", "`track_checks`"),
        done(Instance, "track_file", "`track_checks`"),
        warned(Instance, "track_bfd", BFD),
        warned(Instance, "dont_track_primary", "without its interface an instance is in fault"),
        done(Instance, "notify", "`any` of `notify`"),
        done(Instance, "notify_master", "`active` of `notify`"),
        done(Instance, "notify_backup", "`backup` of `notify`"),
        done(Instance, "notify_fault", "`fault` of `notify`"),
        done(Instance, "notify_stop", "`stop` of `notify`"),
        warned(Instance, "notify_deleted", "an instance that a reload removes is told as stopped"),
        done(Instance, "notify_master_rx_lower_pri", "`active_lower` of `notify`"),
        done(Instance, "notify_priority_changes", "`priority_changes` of `notify`"),
        warned(Instance, "smtp_alert", MAIL),
        done(Instance, "garp_master_delay", "`delay` of `announce`"),
        done(Instance, "garp_master_repeat", "`count` of `announce`; 100 ms apart, not all at once"),
        done(Instance, "garp_master_refresh", "`refresh` of `announce`"),
        warned(Instance, "garp_master_refresh_repeat", "a refresh is one announcement per address"),
        warned(Instance, "garp_lower_prio_delay", "a lower advertisement begins the schedule of a takeover anew"),
        warned(Instance, "garp_lower_prio_repeat", "a lower advertisement begins the schedule of a takeover anew"),
        warned(Instance, "garp_extra_if", "every address is announced on its own interface, and refreshed by garp_master_refresh"),
        warned(Instance, "lower_prio_no_advert", "a lower advertisement is answered, as RFC 9568 says"),
        done(Instance, "higher_prio_send_advert", "always so"),
        warned(Instance, "down_timer_adverts", "three intervals, as the RFC says: if other routers wait for another number, one of them takes over too early"),
        warned(Instance, "thread_timer_expired", "a pause is told in the log"),
        done(Instance, "accept", "the default"),
        done(Instance, "no_accept", "`accept = false`"),
        done(Instance, "skip_check_adv_addr", "nothing to do: comparing the lists costs nothing"),
        warned(Instance, "strict_mode", "not enforced: everything that is configured is done"),
        done(Instance, "use_vmac", "`virtual_mac`; its own MAC address, if one is given, is not used"),
        warned(Instance, "use_vmac_addr", "addresses on other interfaces have those interfaces' MAC addresses"),
        done(Instance, "vmac_xmit_base", "always so; advertisements have the virtual MAC address all the same"),
        warned(Instance, "use_ipvlan", IPVLAN),
        warned(Instance, "vrf", "the VRF is that of the interface"),
        done(Instance, "native_ipv6", "nothing to do: the addresses say it; without any: IPv6"),
        warned(Instance, "lvs_sync_daemon_interface", LVS),
        warned(Instance, "linkbeat_use_polling", "the link's state is what the kernel says of it"),
        done(Instance, "kernel_rx_buf_size", SELF),
        done(Instance, "debug", SELF),
        warned(Instance, "vmac_netlink_name", "an interface with a virtual MAC address is named by use_vmac or by Harrier"),
        warned(Instance, "vmac_group", "the interface with the virtual MAC address is in no group"),

        done(Authentication, "auth_type", "PASS; AH is accepted with a warning"),
        done(Authentication, "auth_pass", "`password`: the first 8 octets"),

        done(Address, "dev", "`interface`"),
        done(Address, "label", "`label`"),
        done(Address, "scope", "`scope`: global, site, link, host"),
        done(Address, "noprefixroute", "`prefix_route = false`"),
        done(Address, "brd", "nothing to do: the kernel needs none"),
        done(Address, "broadcast", "as brd"),
        done(Address, "home", SELF),
        done(Address, "-nodad", "always so"),
        done(Address, "nodad", "always so"),
        done(Address, "mngtmpaddr", SELF),
        done(Address, "autojoin", SELF),
        done(Address, "preferred_lft", "0 for IPv6 addresses of /128 and link-local ones, else forever"),
        warned(Address, "no_track", "an address that somebody removes is put back"),
        warned(Address, "peer", "the address is put on the interface alone, as a /32 or /128"),
        warned(Address, "use_vmac", "addresses on other interfaces have those interfaces' MAC addresses"),
        warned(Address, "track_group", STATIC),

        done(Peer, "min_ttl", "`min_ttl`: the least of all peers"),
        warned(Peer, "max_ttl", "only the least TTL is checked"),

        done(Route, "to", "`to`"),
        done(Route, "via", "`via`"),
        done(Route, "gw", "as via"),
        done(Route, "dev", "`interface`"),
        done(Route, "oif", "as dev"),
        done(Route, "src", "`source`"),
        done(Route, "table", "`table`: a number, main or local"),
        done(Route, "metric", "`metric`"),
        done(Route, "priority", "as metric"),
        done(Route, "preference", "as metric"),
        warned(Route, "no_track", "a route that goes with an address is put back with it"),
        warned(Route, "scope", "the kernel's own choice"),
        warned(Route, "or", "only the first next router is used"),
        warned(Route, "nexthop", "only the first next router is used"),
        done(Route, "proto", "always 112, VRRP's number"),
        done(Route, "protocol", "always 112, VRRP's number"),
        done(Route, "inet", SELF),
        done(Route, "inet6", "of a default route without a next router"),

        done(Rule, "from", "`from`"),
        done(Rule, "to", "`to`"),
        done(Rule, "table", "`table`: a number, main or local"),
        done(Rule, "lookup", "as table"),
        done(Rule, "priority", "`priority`"),
        done(Rule, "preference", "as priority"),
        done(Rule, "pref", "as priority"),
        done(Rule, "order", "as priority"),
        done(Rule, "protocol", "always 112, VRRP's number"),
        done(Rule, "inet", SELF),
        done(Rule, "inet6", SELF),
        warned(Rule, "no_track", "a rule that somebody removes is not put back"),

        done(SyncGroup, "group", "`instances`"),
        done(SyncGroup, "track_interface", "`track_interfaces`"),
        done(SyncGroup, "track_script", "`track_checks`"),
        done(SyncGroup, "track_process", "`track_checks`"),
        done(SyncGroup, "track_file", "`track_checks`"),
        warned(SyncGroup, "track_bfd", BFD),
        done(SyncGroup, "notify", "`any` of `notify`"),
        done(SyncGroup, "notify_master", "`active` of `notify`"),
        done(SyncGroup, "notify_backup", "`backup` of `notify`"),
        done(SyncGroup, "notify_fault", "`fault` of `notify`"),
        done(SyncGroup, "notify_stop", "`stop` of `notify`"),
        done(SyncGroup, "notify_priority_changes", "`priority_changes` of `notify`"),
        warned(SyncGroup, "notify_deleted", "a group that a reload removes is told as stopped"),
        warned(SyncGroup, "smtp_alert", MAIL),
        warned(SyncGroup, "global_tracking", "what a member tracks counts for that member; all of them go into fault together"),
        done(SyncGroup, "sync_group_tracking_weight", "weights of the members' own checks count"),

        done(Script, "script", "`command`; only its first word counts, in quotes it may have arguments"),
        done(Script, "interval", "`interval`; fractions too"),
        done(Script, "timeout", "`timeout`; default: the interval"),
        done(Script, "weight", "`weight` and `reverse`"),
        done(Script, "rise", "`rise`"),
        done(Script, "fall", "`fall`"),
        done(Script, "user", "`user`"),
        done(Script, "init_fail", "`init_fail`"),

        done(TrackFile, "file", "`path`"),
        done(TrackFile, "weight", "`weight` and `reverse`; 1 by default. A product below -253 is priority 1, not a fault"),
        warned(TrackFile, "init_file", "the file is not made: one that is not there counts as 0"),

        done(TrackProcess, "process", "`process`, or `command_line` with arguments"),
        done(TrackProcess, "weight", "`weight` and `reverse`; 1 by default"),
        done(TrackProcess, "quorum", "`at_least`"),
        done(TrackProcess, "quorum_max", "`at_most`; 0: the check passes while there is none"),
        done(TrackProcess, "full_command", "`command_line`"),
        warned(TrackProcess, "param_match", "the whole command line has to be as given"),
        warned(TrackProcess, "delay", "counts at once"),
        warned(TrackProcess, "fork_delay", "counts at once"),
        warned(TrackProcess, "terminate_delay", "counts at once"),

        done(Tracked, "weight", "`weight`"),
        done(Tracked, "reverse", "`reverse`"),
        done(Tracked, "noreverse", "`reverse = false`"),
        done(Tracked, "no_reverse", "`reverse = false`"),

        done(GarpGroup, "garp_interval", "see garp_group"),
        done(GarpGroup, "gna_interval", "see garp_group"),
        done(GarpGroup, "interface", "see garp_group"),
        done(GarpGroup, "interfaces", "see garp_group"),
    ]
};
