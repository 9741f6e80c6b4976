// SPDX-License-Identifier: GPL-2.0
//! What the programs share: numbers that follow from a seed, and system calls whose errors are values.

pub mod sys;

/// Numbers that follow from a seed (splitmix64).
#[derive(Clone)]
pub struct Rng(u64);

impl Rng {
    /// Any seed will do.
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5851_f42d_4c95_7f2d)
    }

    /// The next number.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// A number below `n` (0 for 0).
    pub fn below(&mut self, n: u64) -> u64 {
        if n == 0 { 0 } else { self.next_u64() % n }
    }

    /// True once in `n`.
    pub fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

/// Scatters the bits of a number.
pub fn mix(value: u64) -> u64 {
    let z = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// What file `id` holds at `offset`: each word tells both, and is never zero.
pub fn word(id: u64, offset: u64) -> u64 {
    mix(id.wrapping_mul(0x1_0000_0001) ^ (offset / 8)) | 1
}

/// Fills `data`, which stands at `offset` of file `id`.
pub fn fill(id: u64, offset: u64, data: &mut [u8]) {
    let mut bytes = [0; 8];
    for (n, byte) in data.iter_mut().enumerate() {
        let at = offset + n as u64;
        if n == 0 || at.is_multiple_of(8) {
            bytes = word(id, at).to_le_bytes();
        }
        *byte = bytes[(at % 8) as usize];
    }
}

/// The words of the command line: `name=value`.
pub struct Words(Vec<String>);

impl Words {
    /// Those of this program.
    pub fn new() -> Self {
        Self(std::env::args().skip(1).collect())
    }

    /// The text of `name`.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.0.iter().find_map(|word| word.strip_prefix(name)?.strip_prefix('='))
    }

    /// The number of `name`, else `default`.
    pub fn number(&self, name: &str, default: u64) -> u64 {
        self.text(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name}: {text} is no number")))
    }
}

impl Default for Words {
    fn default() -> Self {
        Self::new()
    }
}
