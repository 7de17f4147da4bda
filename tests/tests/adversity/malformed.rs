//! Advertisements cut at every length, padded to every length, and with every
//! bit of their headers turned over.

use std::net::IpAddr;

use anyhow::{Result, ensure};
use ha_tests::{
    daemon::Instance,
    forge::{Forgery, seal},
    siege::{Counters, Siege, adverts, await_increase},
};

/// Would win against both.
const WINNING: u8 = 254;
/// Loses against both, and so does what one turned bit makes of it at node-a.
const LOSING: u8 = 50;

/// Octets of the longest frame on Ethernet without its checksum.
const LONGEST: usize = 1514;

/// Whether a frame says that it carries VRRP: it does in the EtherType and in
/// the IP header, or nobody can tell what it was. (Of an IPv6 header that ends
/// with the octet that says so, before the hop limit, nobody makes anything.)
fn says_vrrp(frame: &[u8]) -> bool {
    match frame.get(12..14) {
        Some([0x08, 0x00]) => frame.get(23) == Some(&112),
        Some([0x86, 0xdd]) => frame.get(20) == Some(&112) && frame.len() > 21,
        _ => false,
    }
}

fn siege(addresses: &[&str]) -> Result<(Siege, Vec<IpAddr>)> {
    let siege = Siege::laid(
        &Instance::new(200, addresses),
        &Instance::new(100, addresses),
    )?;
    let addresses = addresses
        .iter()
        .map(|cidr| ha_tests::siege::plain(cidr))
        .collect::<Result<_>>()?;
    Ok((siege, addresses))
}

const IPV4: &[&str] = &["10.77.0.100/16"];
const IPV6: &[&str] = &["fe80::100/64", "fd77::100/64"];

/// What a Backup hears of the Active besides: its advertisements, and its
/// announcements, which claim the addresses.
const OF_ACTIVE: [&str; 3] = ["accepted", "checksum_with_pseudo_header", "foreign_claims"];

/// Sends `frames`; both nodes count each that says it is VRRP, in one counter
/// and in the same, and nobody moves. Returns what node-a has counted.
fn all_accounted_for(siege: &mut Siege, frames: &[Vec<u8>]) -> Result<Counters> {
    let told = frames.iter().filter(|frame| says_vrrp(frame)).count() as u64;
    let mark = siege.mark()?;
    siege.send_to_both(frames)?;
    let at_a = await_increase(&siege.a, &mark.counters_a, |more| adverts(more) >= told)?;
    ensure!(
        adverts(&at_a) == told,
        "{told} frames say they are VRRP, node-a counts {at_a:?}"
    );
    let as_at_a = |more: &Counters| {
        at_a.iter().all(|(name, count)| {
            more[name] == *count || (OF_ACTIVE.contains(&name.as_str()) && more[name] > *count)
        })
    };
    let at_b = await_increase(&siege.b, &mark.counters_b, as_at_a)?;
    ensure!(
        as_at_a(&at_b),
        "node-a counts {at_a:?}, and node-b {at_b:?}"
    );
    siege.unmoved_since(&mark)?;
    Ok(at_a)
}

/// Nothing but `names` was counted.
fn only(counters: &Counters, names: &[&str]) -> Result<()> {
    for (name, count) in counters {
        ensure!(
            *count == 0 || names.contains(&name.as_str()),
            "{count} counted as {name}"
        );
    }
    Ok(())
}

/// Ethernet's header is the least that can be sent.
fn cut_at_every_length(frame: &[u8]) -> Vec<Vec<u8>> {
    (14..frame.len()).map(|end| frame[..end].to_vec()).collect()
}

fn padded_to_every_length(frame: &[u8]) -> Vec<Vec<u8>> {
    (frame.len()..=LONGEST)
        .map(|length| {
            let mut padded = frame.to_vec();
            padded.resize(length, 0xa5);
            padded
        })
        .collect()
}

/// The frame with each bit of the octets in `range` turned over, one at a time.
fn with_each_bit_turned(frame: &[u8], range: std::ops::Range<usize>) -> Vec<Vec<u8>> {
    range
        .flat_map(|octet| (0..8).map(move |bit| (octet, bit)))
        .map(|(octet, bit)| {
            let mut turned = frame.to_vec();
            turned[octet] ^= 1 << bit;
            turned
        })
        .collect()
}

/// So that losing one frame would not show as losing none.
fn thrice(frames: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    [frames.clone(), frames.clone(), frames].concat()
}

#[test]
fn cut_or_padded_it_moves_nobody() -> Result<()> {
    for family in [IPV4, IPV6] {
        let (mut siege, addresses) = siege(family)?;
        let winning = Forgery::new(siege.stranger_host(), WINNING, &addresses);
        let counted =
            all_accounted_for(&mut siege, &thrice(cut_at_every_length(&winning.frame())))?;
        only(&counted, &["truncated"])?;

        // Padding is no part of a message: what loses without loses with it.
        let losing = Forgery::new(siege.stranger_host(), LOSING, &addresses);
        let padded = padded_to_every_length(&losing.frame());
        let counted = all_accounted_for(&mut siege, &padded)?;
        ensure!(
            counted["accepted"] == padded.len() as u64,
            "padding matters: {counted:?}"
        );

        // What the IP header counts in is.
        let longer: Vec<Vec<u8>> = (1..=LONGEST - winning.frame().len())
            .map(|more| {
                let trailer = vec![0; more];
                Forgery {
                    trailer,
                    ..winning.clone()
                }
                .frame()
            })
            .collect();
        let counted = all_accounted_for(&mut siege, &longer)?;
        only(&counted, &["bad_length"])?;
    }
    Ok(())
}

#[test]
fn a_turned_bit_is_noticed() -> Result<()> {
    let (mut siege, addresses) = siege(IPV4)?;
    let winning = Forgery::new(siege.stranger_host(), WINNING, &addresses).frame();
    // One sum or the other covers every bit from the IP header on.
    let turned = with_each_bit_turned(&winning, 14..winning.len());
    let counted = all_accounted_for(&mut siege, &thrice(turned))?;
    ensure!(counted["accepted"] == 0, "{counted:?}");
    Ok(())
}

/// The same, but by someone who makes the checksums right afterwards: each is
/// judged by what it says then, and all of them are counted.
#[test]
fn a_turned_bit_under_a_right_checksum_is_judged_by_what_it_says() -> Result<()> {
    for (family, headers) in [(IPV4, 14..46), (IPV6, 14..94)] {
        let (mut siege, addresses) = siege(family)?;
        let losing = Forgery::new(siege.stranger_host(), LOSING, &addresses).frame();
        let mut turned = with_each_bit_turned(&losing, headers);
        for frame in &mut turned {
            seal(frame);
        }
        let counted = all_accounted_for(&mut siege, &thrice(turned))?;
        // Some bits are free (a reserved one, part of a source or an address).
        ensure!(
            counted["accepted"] > 0 && counted["bad_ttl"] == 3 * 8,
            "{counted:?}"
        );
    }
    Ok(())
}
