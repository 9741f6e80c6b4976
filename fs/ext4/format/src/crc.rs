// SPDX-License-Identifier: GPL-2.0
//! The two checksums of ext4: CRC-32C (`metadata_csum`) and CRC-16 (`uninit_bg`), both continued from a running value and
//! without a final inversion, as the format wants them.

use crc32c::POLY;
pub use crc32c::crc32c;

const fn table16() -> [u16; 256] {
    let mut table = [0u16; 256];
    let mut n = 0;
    while n < 256 {
        let mut c = n as u16;
        let mut k = 0;
        while k < 8 {
            c = if c & 1 != 0 { (c >> 1) ^ 0xa001 } else { c >> 1 };
            k += 1;
        }
        table[n] = c;
        n += 1;
    }
    table
}

static TABLE16: [u16; 256] = table16();

/// The product of two polynomials, modulo that of CRC-32C; the highest bit is the coefficient of x^0.
const fn multiply(a: u32, mut b: u32) -> u32 {
    let (mut product, mut bit) = (0, 1u32 << 31);
    while bit != 0 {
        if a & bit != 0 {
            product ^= b;
        }
        b = if b & 1 != 0 { (b >> 1) ^ POLY } else { b >> 1 };
        bit >>= 1;
    }
    product
}

/// x^(512 n) for n from 0: what 64 bytes more do, n times.
const fn powers<const N: usize>() -> [u32; N] {
    let (mut base, mut n) = (1u32 << 31, 0);
    while n < 64 {
        base = multiply(base, 1 << 23);
        n += 1;
    }
    let mut table = [1u32 << 31; N];
    let mut n = 1;
    while n < N {
        table[n] = multiply(table[n - 1], base);
        n += 1;
    }
    table
}

static POWERS: [u32; 1025] = powers();

/// The CRC-32C of data in which some bytes were changed: `delta` is old xor new bytes, and `after` more bytes follow them. None
/// for more than 64 KiB. Costs as much as the changed bytes, not as all of them.
pub fn crc32c_changed(crc: u32, delta: &[u8], after: usize) -> Option<u32> {
    let power = POWERS.get(after / 64)?;
    let zeros = [0u8; 64];
    let change = crc32c(crc32c(0, delta), zeros.get(..after % 64)?);
    Some(crc ^ if after < 64 { change } else { multiply(*power, change) })
}

/// CRC-16 (polynomial 0x8005, reflected) of `bytes`, continued from `crc`.
pub fn crc16(mut crc: u16, bytes: &[u8]) -> u16 {
    for &b in bytes {
        crc = (crc >> 8) ^ TABLE16[(crc as u8 ^ b) as usize];
    }
    crc
}

/// What starts the checksums of one inode's metadata: its number and generation, over the file system's seed.
pub fn inode_seed(seed: u32, ino: u32, generation: u32) -> u32 {
    crc32c(crc32c(seed, &ino.to_le_bytes()), &generation.to_le_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_without_the_rest() {
        for len in [1usize, 7, 64, 65, 1000, 4096, 65536] {
            let mut data: std::vec::Vec<u8> = (0..len).map(|i| (i * 31 % 253) as u8).collect();
            for from in [0, len / 3, len - 1] {
                let to = (from + 40).min(len);
                let old = crc32c(77, &data);
                let delta: std::vec::Vec<u8> = (from..to).map(|i| (i * 7 + 1) as u8).collect();
                for (byte, change) in data[from..to].iter_mut().zip(&delta) {
                    *byte ^= change;
                }
                assert_eq!(crc32c_changed(old, &delta, len - to), Some(crc32c(77, &data)), "{len} {from}");
            }
        }
    }

    #[test]
    fn known_values() {
        assert_eq!(crc16(0, b"123456789"), 0xbb3d);
    }
}
