// SPDX-License-Identifier: GPL-2.0
//! The image's table of exported symbols: sorted by the hash of the name, 16 bytes each. Names themselves would be most of the
//! table's size (mangled names are about 90 bytes); the build checks that no two hashes are equal.

/// Bytes of an entry: hash, distance of the symbol from the entry's third word, version.
const ENTRY: usize = 16;

/// An exported symbol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Export {
    /// Its address.
    pub address: usize,
    /// The version of the crate that defines it.
    pub version: u32,
}

/// The table in memory.
#[derive(Clone, Copy, Debug)]
pub struct Exports<'a> {
    bytes: &'a [u8],
    /// Where `bytes` begins: distances count from there.
    address: usize,
}

/// FNV-1a of 64 bits: the hash of names in the table.
pub fn fnv1a(name: &[u8]) -> u64 {
    name.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3))
}

impl<'a> Exports<'a> {
    /// The table in `bytes`, which begin at `address`.
    pub fn new(bytes: &'a [u8], address: usize) -> Self {
        Self { bytes, address }
    }

    /// Number of symbols.
    pub fn len(&self) -> usize {
        self.bytes.len() / ENTRY
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn entry(&self, index: usize) -> Option<(u64, i32, u32)> {
        let start = index.checked_mul(ENTRY)?;
        let entry: &[u8; ENTRY] = self.bytes.get(start..start.checked_add(ENTRY)?)?.try_into().ok()?;
        let [h0, h1, h2, h3, h4, h5, h6, h7, d0, d1, d2, d3, v0, v1, v2, v3] = *entry;
        Some((
            u64::from_le_bytes([h0, h1, h2, h3, h4, h5, h6, h7]),
            i32::from_le_bytes([d0, d1, d2, d3]),
            u32::from_le_bytes([v0, v1, v2, v3]),
        ))
    }

    /// The symbol named `name`.
    pub fn find(&self, name: &[u8]) -> Option<Export> {
        let wanted = fnv1a(name);
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = low.midpoint(high);
            let (hash, distance, version) = self.entry(middle)?;
            if hash == wanted {
                let field = self.address.wrapping_add(middle.wrapping_mul(ENTRY)).wrapping_add(8);
                return Some(Export { address: field.wrapping_add_signed(distance as isize), version });
            }
            if hash < wanted {
                low = middle.wrapping_add(1);
            } else {
                high = middle;
            }
        }
        None
    }
}
