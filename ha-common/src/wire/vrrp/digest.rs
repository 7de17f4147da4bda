//! A number for an address list, whatever its order.

use crate::types::RouterAddress;

/// A number that two address lists share if they hold the same addresses, in
/// whatever order, each the same number of times; 0 for the empty list.
///
/// It tells a mistake in the configuration. It does not resist someone who
/// looks for a collision, who could as well send the right list.
#[must_use]
pub fn digest(addresses: impl Iterator<Item = RouterAddress>) -> u64 {
    addresses.fold(0, |sum, address| sum.wrapping_add(mixed(address)))
}

/// One address's part in the sum: two rounds of multiply and shift, so that
/// neighbouring addresses share no pattern which a sum could cancel out.
#[inline(always)]
pub(super) fn mixed(address: RouterAddress) -> u64 {
    // Odd, with about half of the bits set: the fractional parts of the golden
    // ratio and of the square root of two, made odd.
    const FIRST: u64 = 0x9e37_79b9_7f4a_7c15;
    const SECOND: u64 = 0x6a09_e667_f3bc_c909;
    let (high, low) = halves(address.0);
    let mix = (high ^ SECOND).wrapping_mul(FIRST);
    let mix = (mix ^ (mix >> 32) ^ low).wrapping_mul(SECOND);
    let mix = (mix ^ (mix >> 29)).wrapping_mul(FIRST);
    mix ^ (mix >> 32)
}

/// The octets as two words, in an order that is the same on every machine.
#[inline(always)]
pub(super) fn halves(octets: [u8; 16]) -> (u64, u64) {
    // Taken apart octet by octet, they would stay apart in the kernel program.
    let [high, low] = bytemuck::cast::<_, [u64; 2]>(octets);
    (u64::from_le(high), u64::from_le(low))
}
