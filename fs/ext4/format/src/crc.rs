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
    fn known_values() {
        assert_eq!(!crc32c(!0, b"123456789"), 0xe306_9283);
        assert_eq!(crc16(0, b"123456789"), 0xbb3d);
        let bytes = [7u8; 100];
        let (a, b) = bytes.split_at(37);
        assert_eq!(crc32c(crc32c(5, a), b), crc32c(5, &bytes));
    }
}
