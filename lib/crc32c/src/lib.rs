// SPDX-License-Identifier: GPL-2.0
//! CRC-32C (Castagnoli), continued from a running value and without inversion at either end, as ext4's and the journal's formats want
//! it: by the CPU's instruction where the architecture has set [`ENGINE`], else by tables. No locks; any context.

#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate std;

use hook::Hook;

/// The polynomial, its highest coefficient in the lowest bit.
pub const POLY: u32 = 0x82f6_3b78;

/// A faster way than tables.
pub trait Engine: Sync {
    /// The CRC of `bytes`, continued from `crc`.
    fn update(&self, crc: u32, bytes: &[u8]) -> u32;
}

/// The machine's way; set at boot, if it has one.
pub static ENGINE: Hook<dyn Engine> = Hook::new();

const fn tables() -> [[u32; 256]; 8] {
    let mut table = [[0u32; 256]; 8];
    let mut n = 0;
    while n < 256 {
        let mut c = n as u32;
        let mut k = 0;
        while k < 8 {
            c = if c & 1 != 0 { (c >> 1) ^ POLY } else { c >> 1 };
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

static TABLES: [[u32; 256]; 8] = tables();

/// CRC-32C of `bytes`, continued from `crc`.
pub fn crc32c(crc: u32, bytes: &[u8]) -> u32 {
    match ENGINE.get() {
        Some(engine) => engine.update(crc, bytes),
        None => by_tables(crc, bytes),
    }
}

/// As [`crc32c`], without the machine's help.
pub fn by_tables(mut crc: u32, bytes: &[u8]) -> u32 {
    let [t0, t1, t2, t3, t4, t5, t6, t7] = &TABLES;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_values() {
        assert_eq!(!crc32c(!0, b"123456789"), 0xe306_9283);
        let bytes = [7u8; 100];
        let (a, b) = bytes.split_at(37);
        assert_eq!(crc32c(crc32c(5, a), b), crc32c(5, &bytes));
    }

    #[test]
    fn an_engine_is_asked() {
        struct Tables;
        impl Engine for Tables {
            fn update(&self, crc: u32, bytes: &[u8]) -> u32 {
                by_tables(crc, bytes)
            }
        }
        static TABLES: &dyn Engine = &Tables;
        assert!(ENGINE.get().is_none_or(|engine| engine.update(!0, b"123456789") == !0xe306_9283));
        ENGINE.set(&TABLES);
        assert_eq!(!crc32c(!0, b"123456789"), 0xe306_9283);
    }
}
