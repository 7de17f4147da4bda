//! Accept_Mode (RFC 9568 §6.1): who may speak to the addresses.

use std::{
    net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use ha_tests::{
    command,
    daemon::{Harrier, Instance},
    lab::{Host, Lab},
    need,
    netns::Netns,
    run::Run,
};

use crate::scene::{PATIENCE, ensure_unchanged, everything, neighbour};

/// A node between the client's network and another one, in which one more host is.
struct Gateway {
    lab: Lab,
    behind: Netns,
}

impl Gateway {
    fn new() -> Result<Self> {
        need::tools(&["nft"])?;
        let run = Run::new()?;
        let behind = Netns::create(&run, "behind")?;
        let lab = Lab::of(run, 2)?;
        let (host_a, _) = lab.pair();
        host_a.netns.sysctl(&[
            ("ipv4/ip_forward", "1"),
            ("ipv6/conf/all/forwarding", "1"),
            // The way back is the node's own; it need not tell of a shorter one.
            ("ipv4/conf/all/send_redirects", "0"),
        ])?;
        host_a.netns.ip(&format!(
            "link add inner0 type veth peer name eth0 netns {}\n\
             link set inner0 up\n\
             address add 10.88.0.1/24 dev inner0\n\
             address add fd88::1/64 dev inner0 nodad",
            behind.name()
        ))?;
        behind.ip("link set eth0 up\n\
             address add 10.88.0.2/24 dev eth0\n\
             address add fd88::2/64 dev eth0 nodad\n\
             route add default via 10.88.0.1\n\
             route add default via fd88::1")?;
        lab.client
            .netns
            .ip("route add 10.88.0.0/24 via 10.77.0.100\n\
                 route add fd88::/64 via fd77::100")?;
        Ok(Self { lab, behind })
    }

    fn node(&self) -> &Host {
        &self.lab.nodes[0]
    }

    /// What of `addresses` the client can speak to: for each by ping, UDP and TCP.
    fn spoken_to(&self, addresses: &[IpAddr]) -> Result<Vec<[bool; 3]>> {
        addresses
            .iter()
            .map(|address| {
                Ok([
                    self.ping(*address)?,
                    self.udp(*address)?,
                    self.tcp(*address)?,
                ])
            })
            .collect()
    }

    fn ping(&self, address: IpAddr) -> Result<bool> {
        let mut ping = self.lab.client.netns.command("ping");
        ping.args(["-n", "-c", "1", "-W", "1", &address.to_string()]);
        Ok(command::output(&mut ping, "")?.status.success())
    }

    /// Asks `address` and then the node's own, whose answer says that the former
    /// has been dealt with.
    fn udp(&self, address: IpAddr) -> Result<bool> {
        let node = self.node();
        let (any, own): (SocketAddr, IpAddr) = if address.is_ipv4() {
            ("0.0.0.0:0".parse()?, node.ipv4().into())
        } else {
            ("[::]:0".parse()?, node.ipv6().into())
        };
        let server = node.netns.enter(|| UdpSocket::bind(any))??;
        server.set_read_timeout(Some(PATIENCE))?;
        let port = server.local_addr()?.port();
        let client = self.lab.client.netns.enter(|| UdpSocket::bind(any))??;
        client.send_to(b"it", (address, port))?;
        client.send_to(b"own", (own, port))?;
        let mut heard = false;
        loop {
            let mut buffer = [0; 8];
            let length = server.recv(&mut buffer).context("nothing arrives")?;
            match &buffer[..length] {
                b"it" => heard = true,
                _ => return Ok(heard),
            }
        }
    }

    fn tcp(&self, address: IpAddr) -> Result<bool> {
        let any: IpAddr = if address.is_ipv4() {
            "0.0.0.0".parse()?
        } else {
            "::".parse()?
        };
        let node = self.node();
        let server = node.netns.enter(|| TcpListener::bind((any, 0)))??;
        let port = server.local_addr()?.port();
        self.lab.client.netns.enter(|| {
            // The kernel asks again after a second; refused at once is heard too.
            let span = Duration::from_millis(500);
            TcpStream::connect_timeout(&(address, port).into(), span).is_ok()
        })
    }

    /// What the client sends through the virtual address arrives behind the node,
    /// and the answer at the client.
    fn forwards(&self, behind: IpAddr) -> Result<()> {
        let any: SocketAddr = if behind.is_ipv4() {
            "0.0.0.0:0".parse()?
        } else {
            "[::]:0".parse()?
        };
        let server = self.behind.enter(|| UdpSocket::bind(any))??;
        let port = server.local_addr()?.port();
        server.set_read_timeout(Some(PATIENCE))?;
        let client = self.lab.client.netns.enter(|| UdpSocket::bind(any))??;
        client.set_read_timeout(Some(PATIENCE))?;
        client.send_to(b"?", (behind, port))?;
        let mut buffer = [0; 8];
        let (_, from) = server.recv_from(&mut buffer).context("not forwarded")?;
        server.send_to(b"!", from)?;
        client.recv_from(&mut buffer).context("no way back")?;
        Ok(())
    }
}

const V4: &str = "10.77.0.100";
const V6: &str = "fd77::100";

fn instances(lines: &str) -> [Instance; 2] {
    let web6 = Instance {
        name: "web6".to_owned(),
        ..Instance::new(200, &["fe80::100/64", "fd77::100/64"])
    };
    [
        Instance::new(200, &["10.77.0.100/16"]).with(lines),
        web6.with(lines),
    ]
}

fn speak(lines: &str, is_accepted: bool) -> Result<()> {
    let gateway = Gateway::new()?;
    let node = gateway.node();
    let before = everything(node)?;
    let mut a = Harrier::start(&gateway.lab, node, &instances(lines))?;
    for name in ["web", "web6"] {
        a.await_state(name, "active", PATIENCE)?;
    }
    let virtual_ones = [V4.parse()?, V6.parse()?];
    for behind in ["10.88.0.2", "fd88::2"] {
        // By way of the virtual addresses, whose MAC address has to be found first.
        gateway.forwards(behind.parse()?).context(behind)?;
    }
    let spoken_to = gateway.spoken_to(&virtual_ones)?;
    ensure!(spoken_to == [[is_accepted; 3]; 2], "{spoken_to:?}");
    let own = gateway.spoken_to(&[node.ipv4().into(), node.ipv6().into()])?;
    ensure!(own == [[true; 3]; 2], "the node's own: {own:?}");
    gateway.lab.client.netns.ip("neighbour flush all\n")?;
    for (through, behind) in [(V4, "10.88.0.2"), (V6, "fd88::2")] {
        gateway.forwards(behind.parse()?).context(behind)?;
        let mac = neighbour(&gateway.lab.client, through)?;
        ensure!(mac.is_some(), "{through} was not found");
    }
    a.stop()?;
    ensure_unchanged(&before, &everything(node)?)
}

#[test]
fn by_default_the_addresses_are_spoken_to() -> Result<()> {
    speak("", true)
}

#[test]
fn a_router_that_accepts_nothing_answers_for_its_addresses_and_forwards() -> Result<()> {
    speak("accept = false", false)
}

#[test]
fn a_router_that_accepts_nothing_may_have_a_virtual_mac_address() -> Result<()> {
    speak("accept = false\nvirtual_mac = true", false)
}

#[test]
fn a_killed_one_leaves_a_filter_that_its_successor_removes() -> Result<()> {
    let gateway = Gateway::new()?;
    let node = gateway.node();
    let before = everything(node)?;
    let mut a = Harrier::start(&gateway.lab, node, &instances("accept = false"))?;
    for name in ["web", "web6"] {
        a.await_state(name, "active", PATIENCE)?;
    }
    a.process.kill()?;
    let mut rules = node.netns.command("nft");
    let rules = command::checked(rules.args(["list", "ruleset"]), "")?;
    ensure!(rules.contains(V4), "nothing was left to remove: {rules}");
    let mut a = Harrier::start(&gateway.lab, node, &instances(""))?;
    for name in ["web", "web6"] {
        a.await_state(name, "active", PATIENCE)?;
    }
    let spoken_to = gateway.spoken_to(&[V4.parse()?, V6.parse()?])?;
    ensure!(spoken_to == [[true; 3]; 2], "{spoken_to:?}");
    a.stop()?;
    ensure_unchanged(&before, &everything(node)?)
}
