// SPDX-License-Identifier: GPL-2.0
//! Entries of the table: what follows a cluster.

/// Bits of an entry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Width {
    /// FAT12.
    Bits12,
    /// FAT16.
    Bits16,
    /// FAT32, of which 28 bits count.
    Bits32,
}

/// What an entry says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Link {
    /// The cluster is free.
    Free,
    /// Another follows; the number may be none.
    Next(u32),
    /// The last of its chain; a bad cluster counts as such.
    End,
}

/// An entry's place: byte of the table, and how many bytes hold it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct At {
    /// First byte.
    pub byte: u64,
    /// Bytes: 2 or 4.
    pub len: usize,
}

impl Width {
    /// Bits that it takes.
    pub fn bits(self) -> u32 {
        match self {
            Self::Bits12 => 12,
            Self::Bits16 => 16,
            Self::Bits32 => 32,
        }
    }

    /// Most clusters.
    pub fn most(self) -> u32 {
        match self {
            Self::Bits12 => 0xff4,
            Self::Bits16 => 0xfff4,
            Self::Bits32 => 0x0fff_fff6,
        }
    }

    /// Where the entry of `cluster` is.
    pub fn at(self, cluster: u32) -> At {
        let cluster64 = u64::from(cluster);
        match self {
            Self::Bits12 => At { byte: cluster64 + cluster64 / 2, len: 2 },
            Self::Bits16 => At { byte: cluster64 * 2, len: 2 },
            Self::Bits32 => At { byte: cluster64 * 4, len: 4 },
        }
    }

    fn mask(self) -> u32 {
        match self {
            Self::Bits12 => 0xfff,
            Self::Bits16 => 0xffff,
            Self::Bits32 => 0x0fff_ffff,
        }
    }

    /// What the bytes of the entry of `cluster`, taken as a little-endian number, say.
    pub fn get(self, cluster: u32, raw: u32) -> Link {
        let raw = if self == Self::Bits12 && cluster % 2 == 1 { raw >> 4 } else { raw };
        match raw & self.mask() {
            0 => Link::Free,
            // The number before the ends is that of bad clusters.
            value if value >= self.mask() - 8 => Link::End,
            value => Link::Next(value),
        }
    }

    /// The bytes with the entry of `cluster` changed; other bits stay.
    pub fn set(self, cluster: u32, raw: u32, link: Link) -> u32 {
        let value = match link {
            Link::Free => 0,
            Link::Next(next) => next & self.mask(),
            Link::End => self.mask(),
        };
        let shift = if self == Self::Bits12 && cluster % 2 == 1 { 4 } else { 0 };
        raw & !(self.mask() << shift) | value << shift
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_widths() {
        for width in [Width::Bits12, Width::Bits16, Width::Bits32] {
            let mut table = std::vec![0u8; 4096];
            let last = (table.len() as u32 - 4) * 8 / width.bits();
            let load = |table: &[u8], at: At| {
                let bytes = &table[at.byte as usize..][..at.len];
                bytes.iter().rev().fold(0u32, |value, byte| value << 8 | u32::from(*byte))
            };
            for cluster in 0..last {
                let at = width.at(cluster);
                let link = if cluster % 7 == 0 { Link::End } else { Link::Next(cluster * 3 % 0xfe0 + 1) };
                let raw = width.set(cluster, load(&table, at), link);
                table[at.byte as usize..][..at.len].copy_from_slice(&raw.to_le_bytes()[..at.len]);
            }
            for cluster in 0..last {
                let link = if cluster % 7 == 0 { Link::End } else { Link::Next(cluster * 3 % 0xfe0 + 1) };
                assert_eq!(width.get(cluster, load(&table, width.at(cluster))), link, "{width:?} {cluster}");
            }
        }
    }

    #[test]
    fn ends() {
        assert_eq!(Width::Bits12.get(2, 0xff7), Link::End);
        assert_eq!(Width::Bits12.get(2, 0xff6), Link::Next(0xff6));
        assert_eq!(Width::Bits32.get(2, 0xf000_0000), Link::Free);
        assert_eq!(Width::Bits32.set(2, 0xf000_0000, Link::End), 0xffff_ffff);
        assert_eq!(Width::Bits16.get(2, 0xfff8), Link::End);
    }
}
