//! The virtual router's link-layer address, and who may speak to the addresses.

use super::*;

#[test]
fn the_interface_is_named_or_not() {
    let taken = |line: &str| first(&web("", line)).virtual_mac;
    assert_eq!(taken(""), None);
    assert_eq!(taken("virtual_mac = false"), None);
    assert_eq!(
        taken("virtual_mac = true"),
        Some(VirtualMacInterface { name: None })
    );
    assert_eq!(
        taken("virtual_mac = \"vrrp.51\""),
        Some(VirtualMacInterface {
            name: Some("vrrp.51".to_owned())
        })
    );
    refused(
        &web("", "virtual_mac = 51"),
        &["at 51", "true, false, or a"],
    );
    refused(
        &web("", "virtual_mac = \"yes please\""),
        &["at \"yes please\"", "no interface can have the name"],
    );
}

#[test]
fn unicast_leaves_it_to_the_announcements() {
    let line = "virtual_mac = true\nunicast = { peers = [\"10.77.0.2\"] }";
    let parts = ["at true", "unicast advertisements do not carry", "refresh"];
    assert!(
        warned(&web("", line), &parts).instances[0]
            .virtual_mac
            .is_some()
    );
    first(&web("", &line.replace("true", "false")));
}

#[test]
fn an_owner_may_answer_with_two() {
    let line = "priority = 255\nvirtual_mac = true";
    warned(&web("", line), &["at true", "an address owner", "both MAC"]);
    first(&web("", &line.replace("255", "254")));
}

#[test]
fn its_name_is_free_and_stands_for_what_moves() {
    let two = |second: &str| {
        format!(
            "{}\n[[instance]]\nname = \"b\"\nvrid = 52\nfamily = \"ipv4\"\n{second}",
            web("", "virtual_mac = \"vrrp.51\"")
        )
    };
    for (second, parts) in [
        (
            "interface = \"eth0\"\nvirtual_mac = \"vrrp.51\"",
            ["a second virtual_mac", "the first is here", "= true"],
        ),
        (
            "interface = \"vrrp.51\"",
            [
                "at \"vrrp.51\"",
                "virtual_mac has the name of the interface",
                "an instance runs on it",
            ],
        ),
        (
            "interface = \"eth0\"\ntrack_interfaces = [\"vrrp.51\"]",
            [
                "the tracked interface",
                "while the instance is Active",
                "vrrp.51",
            ],
        ),
        (
            "interface = \"eth0\"\n\
             excluded_addresses = [{ address = \"10.9.0.1\", interface = \"vrrp.51\" }]",
            ["at \"vrrp.51\"", "name of a virtual_mac", "is Active"],
        ),
    ] {
        refused(&two(second), &parts);
    }
    refused(
        &web("", "virtual_mac = \"eth0\""),
        &["at \"eth0\"", "name of the interface \"eth0\"", "true"],
    );
}

#[test]
fn addresses_live_on_it_unless_they_say_otherwise() {
    let line = |virtual_mac: &str, rest: &str| {
        web(
            "addresses",
            &format!(
                "virtual_mac = {virtual_mac}\naddresses = [{{ address = \"10.0.0.1\", {rest} }}]"
            ),
        )
    };
    let taken = |virtual_mac: &str, rest: &str| first(&line(virtual_mac, rest)).addresses.remove(0);
    let own = taken("\"v51\"", "interface = \"v51\", label = \"v51:a\"");
    assert_eq!(own.interface, None);
    assert_eq!(own.label.as_deref(), Some("v51:a"));
    for virtual_mac in ["\"v51\"", "true"] {
        let parent = taken(virtual_mac, "interface = \"eth0\", label = \"eth0:a\"");
        assert_eq!(parent.interface.as_deref(), Some("eth0"));
    }
    assert_eq!(
        taken("\"v51\"", "label = \"v51:a\"").label.as_deref(),
        Some("v51:a")
    );
    refused(
        &line("\"v51\"", "label = \"eth0:a\""),
        &["on \"v51\"", "such as \"v51:a\""],
    );
    refused(
        &line("true", "label = \"eth0:a\""),
        &["not known beforehand", "virtual_mac = \"vrrp.51\""],
    );
}

#[test]
fn accept_is_on_and_an_owner_always_accepts() {
    assert!(first(WEB).accept);
    assert!(!first(&web("", "accept = false")).accept);
    let owner = web("", "priority = 255\naccept = false");
    let taken = warned(&owner, &["at false", "priority 255", "§6.1"]);
    assert!(taken.instances[0].accept);
    for none in ["", "addresses = []\n"] {
        let bare = format!("{none}family = \"ipv4\"\naccept = false");
        let bare = web("addresses", &bare);
        warned(&bare, &["at false", "no addresses", "nothing to refuse"]);
    }
}
