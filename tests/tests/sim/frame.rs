//! Every advertisement goes through the real wire code once: encoded as the
//! daemon does it, put into a frame, read as the kernel program does it.

use std::net::{Ipv4Addr, Ipv6Addr};

use bytemuck::Zeroable as _;
use ha_common::{
    abi,
    types::{AddressFamily, Centiseconds, MacAddress, Priority, RouterAddress, Version, Vrid},
    wire::{
        Frame, SliceWindow,
        checksum::Sum,
        classify, eth,
        vrrp::{self, Advert, Authentication, ChecksumForm, Outgoing},
    },
};

use super::scenario::Instance;

/// Primary address of a router: the greater its `host`, the greater.
pub(crate) fn address(family: AddressFamily, host: u8) -> RouterAddress {
    match family {
        AddressFamily::Ipv4 => Ipv4Addr::new(10, 0, 0, host).into(),
        AddressFamily::Ipv6 => Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, host.into()).into(),
    }
}

fn virtual_addresses(family: AddressFamily) -> [RouterAddress; 2] {
    match family {
        AddressFamily::Ipv4 => [
            Ipv4Addr::new(10, 0, 1, 1).into(),
            Ipv4Addr::new(10, 0, 1, 2).into(),
        ],
        AddressFamily::Ipv6 => [
            Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 1, 1).into(),
            Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 1, 1).into(),
        ],
    }
}

/// What `node` publishes of instance `index` when it starts.
pub(crate) fn published(instance: &Instance, node: usize, index: usize) -> abi::Instance {
    let member = &instance.members[node];
    let addresses = virtual_addresses(instance.family);
    let interval = u64::from(member.interval_cs) * 10_000_000;
    abi::Instance {
        address_digest: vrrp::digest(addresses.iter().copied()),
        event_gap_ns: (interval / 10).max(1_000_000),
        index: index as u32,
        interval_cs: member.interval_cs,
        state: abi::STATE_INIT,
        priority: member.priority,
        version: instance.version.number(),
        preempt: u8::from(member.preempt),
        min_ttl: 255,
        address_count: 2,
        own_address: address(instance.family, member.host).0,
        ..abi::Instance::zeroed()
    }
}

/// Sends one advertisement to a router with `receiver`'s settings.
///
/// # Errors
/// If it cannot be encoded, or is not what it was when it arrives.
pub(crate) fn pass(
    instance: &Instance,
    vrid: u8,
    node: usize,
    priority: Priority,
    receiver: &abi::Instance,
) -> Result<Advert, String> {
    let family = instance.family;
    let source = address(family, instance.members[node].host);
    let interval = Centiseconds(instance.members[node].interval_cs);
    let message = Outgoing {
        version: instance.version,
        family,
        vrid: Vrid::new(vrid).expect("not 0"),
        priority,
        interval,
        addresses: &virtual_addresses(family),
        source,
        destination: vrrp::group(family),
        checksum: if node.is_multiple_of(2) {
            ChecksumForm::PseudoHeader
        } else {
            ChecksumForm::MessageOnly
        },
        auth: Authentication::None,
    };
    let mut buffer = [0; 256];
    let ip = match family {
        AddressFamily::Ipv4 => 20,
        AddressFamily::Ipv6 => 40,
    };
    let start = 14 + ip;
    let length = vrrp::encode(&message, &mut buffer[start..])
        .map_err(|error| format!("cannot be encoded: {error}"))?;
    let mac = MacAddress([2, 0, 0, 0, 0, node as u8]);
    let ether_type = match family {
        AddressFamily::Ipv4 => eth::IPV4,
        AddressFamily::Ipv6 => eth::IPV6,
    };
    buffer[..14].copy_from_slice(&eth::header(MacAddress::BROADCAST, mac, ether_type));
    let destination = vrrp::group(family);
    let width = family.address_len();
    let header = &mut buffer[14..start];
    match family {
        AddressFamily::Ipv4 => {
            header[0] = 0x45;
            header[2..4].copy_from_slice(&((ip + length) as u16).to_be_bytes());
            header[8] = 255;
            header[9] = vrrp::PROTOCOL;
            header[12..16].copy_from_slice(&source.0[..width]);
            header[16..20].copy_from_slice(&destination.0[..width]);
            let sum = Sum::new().add_slice(header).checksum();
            header[10..12].copy_from_slice(&sum);
        }
        AddressFamily::Ipv6 => {
            header[0] = 0x60;
            header[4..6].copy_from_slice(&(length as u16).to_be_bytes());
            header[6] = vrrp::PROTOCOL;
            header[7] = 255;
            header[8..24].copy_from_slice(&source.0);
            header[24..40].copy_from_slice(&destination.0);
        }
    }
    let window = SliceWindow(&buffer[..start + length]);
    let header = match classify(&window) {
        Ok(Frame::Advertisement(header)) if header.vrid == vrid => header,
        other => return Err(format!("classified as {other:?}")),
    };
    let advert = vrrp::validate(&window, &header, receiver, |_| false)
        .map_err(|refusal| format!("{refusal:?}"))?;
    let same = advert.priority == priority
        && advert.source == source
        && advert.interval == interval
        && advert.version == instance.version
        && !advert.address_mismatch;
    let expects_form = instance.version == Version::V3 && family == AddressFamily::Ipv4;
    let form = advert.message_only_checksum == (expects_form && node % 2 == 1);
    if same && form {
        Ok(advert)
    } else {
        Err(format!("arrived as {advert:?}"))
    }
}
