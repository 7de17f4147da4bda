//! Policy rules: which table is looked up for which packets.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use netlink_packet_route::{
    AddressFamily,
    route::RouteProtocol,
    rule::{RuleAction, RuleAttribute, RuleHeader, RuleMessage},
};

use super::{PROTOCOL, Prefix, family};

/// A rule that looks up a table.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Rule {
    /// The source prefix that it is about; at least one of `from` and `to` is
    /// given, both of one family.
    pub from: Option<Prefix>,
    /// The destination prefix that it is about.
    pub to: Option<Prefix>,
    /// The table, 1 to 2^32 - 1.
    pub table: u32,
    /// Its preference, chosen by the kernel if absent.
    pub priority: Option<u32>,
}

impl Rule {
    pub(super) fn message(&self) -> RuleMessage {
        let mut message = RuleMessage::default();
        message.header = RuleHeader {
            family: self.family(),
            src_len: self.from.map_or(0, |prefix| prefix.len),
            dst_len: self.to.map_or(0, |prefix| prefix.len),
            // RT_TABLE_UNSPEC where eight bits do not do: FRA_TABLE is what counts.
            table: u8::try_from(self.table).unwrap_or(0),
            action: RuleAction::ToTable,
            ..RuleHeader::default()
        };
        let attributes = &mut message.attributes;
        // The kernel wants no address where no bit of it counts.
        if let Some(from) = self.from.filter(|prefix| prefix.len > 0) {
            attributes.push(RuleAttribute::Source(from.address));
        }
        if let Some(to) = self.to.filter(|prefix| prefix.len > 0) {
            attributes.push(RuleAttribute::Destination(to.address));
        }
        attributes.push(RuleAttribute::Table(self.table));
        if let Some(priority) = self.priority {
            attributes.push(RuleAttribute::Priority(priority));
        }
        attributes.push(RuleAttribute::Protocol(RouteProtocol::Other(PROTOCOL)));
        message
    }

    /// The rule that the kernel describes in `message`, with the preference that it
    /// chose; `None` for one that does not carry our mark, or is of another kind.
    pub(crate) fn marked(message: &RuleMessage) -> Option<Self> {
        let header = &message.header;
        let any = match header.family {
            AddressFamily::Inet => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            AddressFamily::Inet6 => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
            _ => return None,
        };
        let prefix = |address, len| Some(Prefix { address, len });
        let mut rule = Self {
            from: None,
            to: None,
            table: header.table.into(),
            priority: None,
        };
        let mut ours = false;
        for attribute in &message.attributes {
            match attribute {
                RuleAttribute::Source(address) => rule.from = prefix(*address, header.src_len),
                RuleAttribute::Destination(address) => rule.to = prefix(*address, header.dst_len),
                RuleAttribute::Table(table) => rule.table = *table,
                RuleAttribute::Priority(priority) => rule.priority = Some(*priority),
                RuleAttribute::Protocol(protocol) => ours = u8::from(*protocol) == PROTOCOL,
                _ => {}
            }
        }
        if rule.from.is_none() && rule.to.is_none() {
            // What counts is the family.
            rule.from = prefix(any, 0);
        }
        (ours && header.action == RuleAction::ToTable).then_some(rule)
    }

    /// Whether `found`, as [`marked`](Self::marked) gives it, may be this rule: a
    /// preference that was left to the kernel is any.
    pub(crate) fn describes(&self, found: &Self) -> bool {
        let bits = |prefix: Option<Prefix>| prefix.filter(|prefix| prefix.len > 0);
        let same_family = self.family() == found.family();
        same_family
            && bits(self.from) == bits(found.from)
            && bits(self.to) == bits(found.to)
            && self.table == found.table
            && (self.priority.is_none() || self.priority == found.priority)
    }

    fn family(&self) -> AddressFamily {
        self.from
            .or(self.to)
            .map_or(AddressFamily::Inet, |prefix| family(prefix.address))
    }

    pub(super) fn remedy(&self, code: i32) -> &'static str {
        match code {
            libc::EAFNOSUPPORT | libc::EOPNOTSUPP => {
                "; this kernel has no policy routing (CONFIG_IP_MULTIPLE_TABLES, \
                 CONFIG_IPV6_MULTIPLE_TABLES)"
            }
            libc::EEXIST => "; the same rule is there already and stays its owner's",
            _ => "",
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("rule")?;
        if let Some(from) = self.from {
            write!(f, " from {from}")?;
        }
        if let Some(to) = self.to {
            write!(f, " to {to}")?;
        }
        write!(f, " lookup {}", self.table)?;
        if let Some(priority) = self.priority {
            write!(f, " pref {priority}")?;
        }
        Ok(())
    }
}
