//! The Internet checksum (RFC 1071).

/// A ones' complement sum under way.
///
/// It adds 32 bits at a time in the machine's own byte order, which RFC 1071
/// §2 allows: folded to 16 bits, a sum of swapped words is the swapped sum.
/// 2^32 additions fit before the 64 bits overflow.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Sum(u64);

impl Sum {
    /// The empty sum.
    #[inline(always)]
    #[must_use]
    pub const fn new() -> Self {
        Self(0)
    }

    /// Adds two octets that stand at an even offset.
    #[inline(always)]
    #[must_use]
    pub const fn add_2(self, octets: [u8; 2]) -> Self {
        #[allow(clippy::cast_lossless, reason = "`From` is not const")]
        Self(self.0.wrapping_add(u16::from_ne_bytes(octets) as u64))
    }

    /// Adds four octets that start at an even offset.
    #[inline(always)]
    #[must_use]
    pub const fn add_4(self, octets: [u8; 4]) -> Self {
        #[allow(clippy::cast_lossless, reason = "`From` is not const")]
        Self(self.0.wrapping_add(u32::from_ne_bytes(octets) as u64))
    }

    /// Adds eight octets that start at an even offset.
    #[inline(always)]
    #[must_use]
    pub const fn add_8(self, octets: [u8; 8]) -> Self {
        let octets = u64::from_ne_bytes(octets);
        Self(
            self.0
                .wrapping_add(octets & 0xffff_ffff)
                .wrapping_add(octets >> 32),
        )
    }

    /// Adds sixteen octets that start at an even offset.
    #[inline(always)]
    #[must_use]
    pub fn add_16(self, octets: [u8; 16]) -> Self {
        let [high, low] = bytemuck::cast::<_, [[u8; 8]; 2]>(octets);
        self.add_8(high).add_8(low)
    }

    /// Adds another sum.
    #[inline(always)]
    #[must_use]
    pub const fn add_sum(self, other: Self) -> Self {
        Self(self.0.wrapping_add(other.0))
    }

    /// Adds octets that start at an even offset; a last odd one counts as if a
    /// zero followed. For builders: the kernel program adds fixed sizes.
    #[must_use]
    pub fn add_slice(self, octets: &[u8]) -> Self {
        let (pairs, rest) = octets.as_chunks::<2>();
        let sum = pairs.iter().fold(self, |sum, pair| sum.add_2(*pair));
        match rest {
            [last] => sum.add_2([*last, 0]),
            _ => sum,
        }
    }

    /// Whether the octets summed, their checksum field included, are intact.
    #[inline(always)]
    #[must_use]
    pub const fn is_valid(self) -> bool {
        self.fold() == 0xffff
    }

    /// The checksum field for the octets summed, in the order of the wire.
    #[must_use]
    pub const fn checksum(self) -> [u8; 2] {
        (!self.fold()).to_ne_bytes()
    }

    #[inline(always)]
    const fn fold(self) -> u16 {
        // 64 bits to at most 33, 18, 17 and 16.
        let sum = (self.0 & 0xffff_ffff).wrapping_add(self.0 >> 32);
        let sum = (sum & 0xffff).wrapping_add(sum >> 16);
        let sum = (sum & 0xffff).wrapping_add(sum >> 16);
        let sum = (sum & 0xffff).wrapping_add(sum >> 16);
        #[allow(clippy::cast_possible_truncation, reason = "folded to 16 bits")]
        let sum = sum as u16;
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_rfc_1071() {
        // §3: the words 0001 f203 f4f5 f6f7 add up to ddf2.
        let octets = [0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7];
        let expected = (!0xddf2_u16).to_be_bytes();
        assert_eq!(Sum::new().add_8(octets).checksum(), expected);
        assert_eq!(Sum::new().add_slice(&octets).checksum(), expected);
    }

    #[test]
    fn a_last_odd_octet_is_the_upper_half_of_a_word() {
        let odd = Sum::new().add_slice(&[0x12, 0x34, 0x56]);
        assert_eq!(odd.checksum(), (!(0x1234 + 0x5600_u16)).to_be_bytes());
    }

    #[test]
    fn every_carry_is_folded() {
        // Carries once more in each of the four steps; 1 modulo ffff.
        assert_eq!(Sum(0x0001_0000_ffff_ffff).fold(), 1);
        assert_eq!(Sum(u64::MAX).fold(), 0xffff);
        assert_eq!(Sum::new().fold(), 0);
    }
}
