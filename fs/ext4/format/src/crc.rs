// SPDX-License-Identifier: GPL-2.0
//! The two checksums of ext4: CRC-32C (`metadata_csum`) and CRC-16 (`uninit_bg`), both continued from a running value and
//! without a final inversion, as the format wants them.

const fn table32() -> [[u32; 256]; 8] {
    let mut table = [[0u32; 256]; 8];
    let mut n = 0;
    while n < 256 {
        let mut c = n as u32;
        let mut k = 0;
        while k < 8 {
            c = if c & 1 != 0 { (c >> 1) ^ 0x82f6_3b78 } else { c >> 1 };
            k += 1;
        }
        table[0][n] = c;
        n += 1;
    }
    let mut t = 1;
    while t < 8 {
        let mut n = 0;
        while n < 256 {
            let c = table[t - 1][n];
            table[t][n] = (c >> 8) ^ table[0][(c & 0xff) as usize];
            n += 1;
        }
        t += 1;
    }
    table
}

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

static TABLE32: [[u32; 256]; 8] = table32();
static TABLE16: [u16; 256] = table16();

/// CRC-32C of `bytes`, continued from `crc`.
pub fn crc32c(mut crc: u32, bytes: &[u8]) -> u32 {
    let [t0, t1, t2, t3, t4, t5, t6, t7] = &TABLE32;
    let (words, rest) = bytes.as_chunks::<8>();
    for w in words {
        let x = crc ^ u32::from_le_bytes([w[0], w[1], w[2], w[3]]);
        crc = t7[(x & 0xff) as usize]
            ^ t6[(x >> 8 & 0xff) as usize]
            ^ t5[(x >> 16 & 0xff) as usize]
            ^ t4[(x >> 24) as usize]
            ^ t3[w[4] as usize]
            ^ t2[w[5] as usize]
            ^ t1[w[6] as usize]
            ^ t0[w[7] as usize];
    }
    for &b in rest {
        crc = (crc >> 8) ^ t0[(crc as u8 ^ b) as usize];
    }
    crc
}

const POLY: u32 = 0x82f6_3b78;

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

/// x^(8 n step) for n from 0.
const fn powers<const N: usize>(step: usize) -> [u32; N] {
    let x8 = 1u32 << 23;
    let (mut base, mut n) = (1u32 << 31, 0);
    while n < step {
        base = multiply(base, x8);
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

static POWERS_LOW: [u32; 64] = powers(1);
static POWERS_HIGH: [u32; 1025] = powers(64);

/// The CRC-32C of data in which some bytes were changed: `delta` is old xor new bytes, and `after` more bytes follow them. None
/// for more than 64 KiB. Costs as much as the changed bytes, not as all of them.
pub fn crc32c_changed(crc: u32, delta: &[u8], after: usize) -> Option<u32> {
    let high = POWERS_HIGH.get(after / 64)?;
    let low = POWERS_LOW.get(after % 64)?;
    Some(crc ^ multiply(*high, multiply(*low, crc32c(0, delta))))
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
        assert_eq!(!crc32c(!0, b"123456789"), 0xe306_9283);
        assert_eq!(crc16(0, b"123456789"), 0xbb3d);
        let bytes = [7u8; 100];
        let (a, b) = bytes.split_at(37);
        assert_eq!(crc32c(crc32c(5, a), b), crc32c(5, &bytes));
    }
}
