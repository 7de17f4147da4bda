//! The table `unicast`: what is taken, what is refused and in which words.

use super::*;

#[test]
fn unicast_has_peers_of_the_family_and_its_own_least_ttl() {
    let taken = |line: &str| config(&web("unicast", line)).instances.remove(0).unicast;
    let address = |text: &str| text.parse().unwrap();
    assert_eq!(taken(""), None);
    assert_eq!(
        taken("unicast = { peers = [\"10.77.0.2\"] }"),
        Some(Unicast {
            source: None,
            peers: vec![address("10.77.0.2")],
            min_ttl: 255,
        })
    );
    assert_eq!(
        taken(
            "unicast = { source = \"10.77.0.1\", peers = [\"10.77.0.3\", \"10.9.0.2\"], min_ttl = 1 }"
        ),
        Some(Unicast {
            source: Some(address("10.77.0.1")),
            peers: vec![address("10.77.0.3"), address("10.9.0.2")],
            min_ttl: 1,
        })
    );
    let six = "addresses = [\"fe80::51/64\"]\nunicast = { peers = [\"2001:db8::2\", \"fe80::2\"] }";
    assert_eq!(
        config(&web("addresses", six)).instances[0].unicast,
        Some(Unicast {
            source: None,
            peers: vec![address("2001:db8::2"), address("fe80::2")],
            min_ttl: 255,
        })
    );
}

#[test]
fn what_unicast_cannot_be_is_told_at_its_place() {
    let line = |rest: &str| web("unicast", &format!("unicast = {{ {rest} }}"));
    for (rest, parts) in [
        ("", ["at {", "has no peers", "10.77.0.2"]),
        ("peers = []", ["at []", "empty", "leave unicast out"]),
        (
            "peers = \"10.77.0.2\"",
            ["at \"10.77.0.2\"", "peers cannot be text", "list"],
        ),
        ("peers = [2]", ["at 2", "a number", "10.77.0.2"]),
        (
            "peers = [\"10.77.0.2/16\"]",
            ["at \"10.77.0.2/16\"", "a peer", "without a prefix length"],
        ),
        (
            "peers = [\"fe80::2\"]",
            [
                "at \"fe80::2\"",
                "IPv4 instance",
                "expected an IPv4 address",
            ],
        ),
        (
            "peers = [\"224.0.0.18\"]",
            [
                "at \"224.0.0.18\"",
                "multicast address",
                "leave unicast out",
            ],
        ),
        (
            "peers = [\"10.77.0.2\", \"10.77.0.2\"]",
            ["at \"10.77.0.2\"", "listed twice", "the first is here"],
        ),
        (
            "source = \"10.77.0.1\", peers = [\"10.77.0.2\", \"10.77.0.1\"]",
            ["at \"10.77.0.1\"", "own source", "the source is said here"],
        ),
        (
            "peers = [\"10.77.0.100\"]",
            ["at \"10.77.0.100\"", "virtual address", "always has"],
        ),
        (
            "source = \"10.77.0.100\", peers = [\"10.77.0.2\"]",
            ["at \"10.77.0.100\"", "virtual address", "leave source out"],
        ),
        (
            "source = \"fe80::1\", peers = [\"10.77.0.2\"]",
            ["at \"fe80::1\"", "the source fe80::1", "IPv4 instance"],
        ),
        (
            "source = \"eth0\", peers = [\"10.77.0.2\"]",
            ["at \"eth0\"", "source cannot be", "10.77.0.2"],
        ),
        (
            "peers = [\"10.77.0.2\"], min_ttl = 0",
            ["at 0", "least TTL 0", "1 to 255"],
        ),
        (
            "peers = [\"10.77.0.2\"], min_ttl = 256",
            ["at 256", "least TTL 256", "1 to 255"],
        ),
        (
            "peer = [\"10.77.0.2\"], peers = [\"10.77.0.2\"]",
            ["at peer", "in unicast", "did you mean peers?"],
        ),
    ] {
        refused(&line(rest), &parts);
    }
    refused(
        &web("unicast", "unicast = [\"10.77.0.2\"]"),
        &["unicast cannot be a list", "peers = "],
    );
    refused(
        &web("min_ttl", "min_ttl = 254"),
        &["at min_ttl", "a setting of unicast", "RFC 9568"],
    );
    refused(
        &web("unicast_peer", "unicast_peer = \"10.77.0.2\""),
        &["did you mean unicast?"],
    );
}
