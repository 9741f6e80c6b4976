// SPDX-License-Identifier: GPL-2.0
//! CRC-32 of gzip and Ethernet (reflected polynomial 0xedb88320), eight bytes a step. No locks.

const fn tables() -> [[u32; 256]; 8] {
    let mut t = [[0u32; 256]; 8];
    let mut i = 0;
    while i < 256 {
        let mut c = i as u32;
        let mut bit = 0;
        while bit < 8 {
            c = if c & 1 != 0 { c >> 1 ^ 0xedb8_8320 } else { c >> 1 };
            bit += 1;
        }
        t[0][i] = c;
        i += 1;
    }
    let mut n = 1;
    while n < 8 {
        let mut i = 0;
        while i < 256 {
            let c = t[n - 1][i];
            t[n][i] = c >> 8 ^ t[0][(c & 0xff) as usize];
            i += 1;
        }
        n += 1;
    }
    t
}

static TABLES: [[u32; 256]; 8] = tables();

/// The CRC of more bytes after those whose CRC is `crc` (0 at the start).
pub fn crc32_update(crc: u32, data: &[u8]) -> u32 {
    let mut crc = !crc;
    let (words, rest) = data.as_chunks::<8>();
    for word in words {
        let x = u64::from_le_bytes(*word) ^ u64::from(crc);
        crc = 0;
        for (n, byte) in x.to_le_bytes().into_iter().enumerate() {
            crc ^= TABLES[7 - n][usize::from(byte)];
        }
    }
    for byte in rest {
        crc = crc >> 8 ^ TABLES[0][usize::from(crc as u8 ^ byte)];
    }
    !crc
}

/// The CRC of all of `data`.
pub fn crc32(data: &[u8]) -> u32 {
    crc32_update(0, data)
}

const fn table64() -> [u64; 256] {
    let mut t = [0u64; 256];
    let mut i = 0;
    while i < 256 {
        let mut c = i as u64;
        let mut bit = 0;
        while bit < 8 {
            c = if c & 1 != 0 { c >> 1 ^ 0xc96c_5795_d787_0f42 } else { c >> 1 };
            bit += 1;
        }
        t[i] = c;
        i += 1;
    }
    t
}

static TABLE64: [u64; 256] = table64();

/// The CRC-64 of xz (ECMA-182, reflected) of more bytes after those whose CRC is `crc` (0 at the start).
pub fn crc64_update(crc: u64, data: &[u8]) -> u64 {
    !data.iter().fold(!crc, |crc, byte| crc >> 8 ^ TABLE64[usize::from(crc as u8 ^ byte)])
}
