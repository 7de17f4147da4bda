//! `unicast_src_ip` and `unicast_peer`.

use std::net::IpAddr;

use ha_common::types::AddressFamily;

use super::{
    instance::Draft,
    keywords::Place,
    lex::{Line, Word},
    reader::Reader,
};
use crate::config::{
    address,
    located::{Field, List, Located},
    raw::{RawInstance, RawUnicast},
};

impl Reader {
    pub(super) fn own_address(&mut self, line: &Line) -> Option<Located<IpAddr>> {
        let word = self.argument(line)?;
        let ip = word
            .text
            .parse()
            .ok()
            .filter(|ip| address::kind(*ip).is_none());
        if ip.is_none() {
            self.warn(
                word.span.clone(),
                format!("{:?} is no address to send from", word.text),
                "expected an address that the interface has; passed over, as by keepalived",
                "without it advertisements are sent from the interface's own address",
            );
        }
        Some(Located::new(ip?, word.span.clone()))
    }

    pub(super) fn unicast(
        &mut self,
        raw: &mut RawInstance,
        draft: &Draft<'_>,
        family: AddressFamily,
    ) {
        let is_virtual =
            |raw: &RawInstance, ip: IpAddr| raw.all_addresses().any(|entry| entry.value.ip() == ip);
        let owner = raw
            .priority
            .given()
            .is_some_and(|priority| priority.value == 255);
        let source = draft.source.clone().filter(|source| {
            let right = AddressFamily::of(source.value) == family;
            right && (owner || !is_virtual(raw, source.value))
        });
        if let (None, Some(said)) = (&source, &draft.source) {
            self.warn(
                said.span.clone(),
                format!("{} is no address to send from here", said.value),
                "advertisements are sent from the interface's own address",
                "it has to be of the instance's family, and none of its virtual addresses",
            );
        }
        let (mut peers, min_ttl) = match draft.peers {
            Some(block) => self.peers(block, family, source.as_ref().map(|source| source.value)),
            None => (Vec::new(), Field::Absent),
        };
        peers.retain(|peer| {
            let bad = is_virtual(raw, peer.value);
            if bad {
                self.warn(
                    peer.span.clone(),
                    format!("the peer {} is a virtual address", peer.value),
                    "passed over: it is with the Active router, whichever that is",
                    "name an address that the other router always has",
                );
            }
            !bad
        });
        if peers.is_empty() {
            let said = draft
                .peers
                .map(Line::span)
                .or_else(|| draft.source.as_ref().map(|source| source.span.clone()));
            if let Some(span) = said {
                self.warn(
                    span,
                    "unicast without peers",
                    "advertises by multicast, as keepalived does",
                    "name the other routers: unicast_peer { 10.77.0.2 }",
                );
            }
            return;
        }
        let span = draft.peers.map_or(raw.head.clone(), Line::span);
        let least = Field::Given(Located::new(1, span.clone()));
        let entries = List {
            entries: peers,
            incomplete: false,
        };
        raw.unicast = Field::Given(Located::new(
            RawUnicast {
                source: source.into(),
                peers: Field::Given(Located::new(entries, span.clone())),
                min_ttl: if min_ttl.is_absent() { least } else { min_ttl },
            },
            span,
        ));
    }

    /// The peers of a block, and the least TTL if all of them say one.
    fn peers(
        &mut self,
        block: &Line,
        family: AddressFamily,
        source: Option<IpAddr>,
    ) -> (Vec<Located<IpAddr>>, Field<i64>) {
        let mut peers: Vec<Located<IpAddr>> = Vec::new();
        let mut least: Option<Located<i64>> = None;
        let mut all_say = true;
        for line in block.lines() {
            let word = line.keyword();
            let mut min_ttl = Field::Absent;
            let mut words = line.arguments().iter();
            while let Some(word) = words.next() {
                let Some(keyword) = self.keyword(word, Place::Peer) else {
                    continue;
                };
                self.told_of(keyword, word.span.clone());
                if let Some(value) = words.next()
                    && keyword.name == "min_ttl"
                {
                    min_ttl = self.number_in(value, "min_ttl", 0..=255, "every TTL is taken");
                }
            }
            let Some(ip) = self.peer(word, family, source) else {
                continue;
            };
            if peers.iter().any(|peer| peer.value == ip) {
                self.warn(
                    word.span.clone(),
                    format!("the peer {ip} is listed twice"),
                    "the first counts",
                    "remove it",
                );
                continue;
            }
            peers.push(Located::new(ip, word.span.clone()));
            match min_ttl.given() {
                Some(ttl) => {
                    let ttl = Located::new(ttl.value.max(1), ttl.span.clone());
                    least = match least {
                        Some(least) if least.value <= ttl.value => Some(least),
                        _ => Some(ttl),
                    };
                }
                None => all_say = false,
            }
        }
        (peers, least.filter(|_| all_say).into())
    }

    /// The peer that `word` is, if it can be one.
    fn peer(
        &mut self,
        word: &Word,
        family: AddressFamily,
        source: Option<IpAddr>,
    ) -> Option<IpAddr> {
        let ip: Option<IpAddr> = word.text.parse().ok();
        let why = match ip {
            None => "this is no address, or one with a prefix".to_owned(),
            Some(ip) if AddressFamily::of(ip) != family => format!("the instance is of {family}"),
            Some(ip) if Some(ip) == source => "this is the router itself".to_owned(),
            Some(ip) => match address::kind(ip) {
                None => return Some(ip),
                Some(kind) => format!("it is {kind}"),
            },
        };
        self.warn(
            word.span.clone(),
            format!("{:?} cannot be a peer", word.text),
            format!("{why}; passed over"),
            "a peer is the address of another router, one per line",
        );
        None
    }
}
