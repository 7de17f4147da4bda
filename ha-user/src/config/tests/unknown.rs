//! Settings that there are none of.

use super::*;

#[test]
fn unknown_settings_are_refused_with_what_was_probably_meant() {
    refused(
        &web("", "priorty = 100"),
        &["at priorty", "did you mean priority?"],
    );
    refused(
        &web("", "advert_int = 1"),
        &["did you mean advert_interval?"],
    );
    refused(
        &web("", "colour = 1"),
        &[
            "no setting \"colour\" in an instance",
            "settings in an instance: name",
        ],
    );
    refused(
        &format!("log = 1\n{WEB}"),
        &["at the top of the file", "instance, xdp_mode"],
    );
    let said = said("name = \"web\"\n");
    assert!(
        said.iter().any(|said| said.contains("[[instance]]")),
        "{said:?}"
    );
    let text = "[instance]\nname = \"web\"\n";
    refused(text, &["expected [[instance]], with two brackets"]);
    refused("instance = 7", &["cannot be a number", "[[instance]]"]);
    refused(
        "instance = [7]",
        &["an entry of instance cannot be a number"],
    );
}

#[test]
fn names_of_keepalived_lead_to_ours() {
    for (theirs, ours) in [
        ("virtual_ipaddress_excluded", "excluded_addresses"),
        ("virtual_routes", "routes"),
        ("virtual_rules", "rules"),
        ("track_interface", "track_interfaces"),
        ("track_script", "track_checks"),
        ("track_process", "track_checks"),
        ("track_file", "track_checks"),
        ("use_vmac", "virtual_mac"),
        ("no_accept", "accept"),
        ("nopreempt", "preempt"),
        ("garp_master_delay", "announce"),
        ("garp_master_repeat", "announce"),
        ("garp_master_refresh", "announce"),
        ("garp_master_refresh_repeat", "announce"),
    ] {
        refused(
            &web("", &format!("{theirs} = 1")),
            &[&format!("at {theirs}"), &format!("did you mean {ours}?")],
        );
    }
    for (theirs, ours) in [
        ("vrrp_sync_group", "sync_group"),
        ("vrrp_script", "check"),
        ("vrrp_startup_delay", "startup_delay"),
        ("vrrp_garp_interval", "announce_gap"),
    ] {
        refused(
            &format!("{theirs} = 1\n{WEB}"),
            &[&format!("at {theirs}"), &format!("did you mean {ours}?")],
        );
    }
    let route = |key: &str| format!("routes = [{{ to = \"10.9.0.0/16\", {key} = 1 }}]");
    for (theirs, ours) in [("dev", "interface"), ("gw", "via"), ("src", "source")] {
        refused(
            &web("", &route(theirs)),
            &["in a route", &format!("did you mean {ours}?")],
        );
    }
}

#[test]
fn an_authentication_type_is_refused_with_the_reason() {
    for kind in ["AH", "ah"] {
        refused(
            &web("", &format!("auth_type = \"{kind}\"")),
            &["at auth_type", "no Authentication Header", "RFC 3768"],
        );
    }
    refused(
        &web(
            "",
            "version = 2\nauth_type = \"PASS\"\npassword = \"secret\"",
        ),
        &["at auth_type", "password alone"],
    );
}

#[test]
fn what_belongs_into_an_instance_has_no_place_elsewhere() {
    let known = ["settings in announce: count, interval, delay, refresh"];
    refused(&web("", "announce = { interface = \"eth0\" }"), &known);
}
