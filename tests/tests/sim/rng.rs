//! Seeded random numbers: xoshiro256** (Blackman and Vigna), started by
//! splitmix64, so that a seed means the same run on every machine.

/// See the [module](self).
#[derive(Clone, Debug)]
pub(crate) struct Rng([u64; 4]);

impl Rng {
    pub(crate) fn new(seed: u64) -> Self {
        let mut state = seed;
        Self(std::array::from_fn(|_| {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mix = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let mix = (mix ^ (mix >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            mix ^ (mix >> 31)
        }))
    }

    fn next(&mut self) -> u64 {
        let [_, one, _, _] = self.0;
        let result = one.wrapping_mul(5).rotate_left(7).wrapping_mul(9);
        self.0[2] ^= self.0[0];
        self.0[3] ^= self.0[1];
        self.0[1] ^= self.0[2];
        self.0[0] ^= self.0[3];
        self.0[2] ^= one << 17;
        self.0[3] = self.0[3].rotate_left(45);
        result
    }

    /// 0 to `most`, both included. Multiplies instead of dividing; the bias is
    /// below 2^-32 for all spans that are drawn here, and the same every time.
    pub(crate) fn up_to(&mut self, most: u64) -> u64 {
        if most == 0 {
            return 0;
        }
        let wide = u128::from(self.next()) * (u128::from(most) + 1);
        (wide >> 64) as u64
    }

    pub(crate) fn between(&mut self, least: u64, most: u64) -> u64 {
        least + self.up_to(most - least)
    }

    /// True `parts` times in a thousand.
    pub(crate) fn chance(&mut self, parts: u64) -> bool {
        parts > 0 && self.up_to(999) < parts
    }

    pub(crate) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        let last = from.len() as u64 - 1;
        from[self.up_to(last) as usize]
    }
}
