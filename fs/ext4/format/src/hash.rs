// SPDX-License-Identifier: GPL-2.0
//! Hashes of names in indexed directories.

/// `dx_root_info.hash_version`: the first one, signed characters.
pub const LEGACY: u8 = 0;
/// Half MD4.
pub const HALF_MD4: u8 = 1;
/// Tiny encryption algorithm.
pub const TEA: u8 = 2;
/// As `LEGACY`, unsigned characters.
pub const LEGACY_UNSIGNED: u8 = 3;
/// As `HALF_MD4`, unsigned characters.
pub const HALF_MD4_UNSIGNED: u8 = 4;
/// As `TEA`, unsigned characters.
pub const TEA_UNSIGNED: u8 = 5;

/// The end of a directory in hash order.
pub const EOF: u32 = 0x7fff_ffff;

/// A name's hash: the number that orders blocks, and a second one that orders names within.
#[derive(Clone, Copy, PartialEq, Eq, Debug, PartialOrd, Ord)]
pub struct Hash {
    /// Even; the lowest bit of an index entry marks a run of equal hashes that goes on.
    pub major: u32,
    /// Tells equal majors apart.
    pub minor: u32,
}

#[inline]
fn byte(b: u8, signed: bool) -> u32 {
    if signed { i32::from(b as i8) as u32 } else { u32::from(b) }
}

fn legacy(name: &[u8], signed: bool) -> u32 {
    let (mut h0, mut h1) = (0x12a3_fe2du32, 0x37ab_e8f9u32);
    for &b in name {
        let mut h = h1.wrapping_add(h0 ^ byte(b, signed).wrapping_mul(7_152_373));
        if h & 0x8000_0000 != 0 {
            h = h.wrapping_sub(0x7fff_ffff);
        }
        h1 = h0;
        h0 = h;
    }
    h0 << 1
}

/// The next words to mix in: the name's bytes, filled up with its (remaining) length.
fn words<const N: usize>(name: &[u8], signed: bool) -> [u32; N] {
    let len = name.len() as u32;
    let mut pad = len | len << 8;
    pad |= pad << 16;
    let mut out = [pad; N];
    for (word, chunk) in out.iter_mut().zip(name.chunks(4)) {
        let mut value = pad;
        for &b in chunk {
            value = byte(b, signed).wrapping_add(value << 8);
        }
        *word = value;
    }
    out
}

fn half_md4(state: &mut [u32; 4], input: &[u32; 8]) {
    const K2: u32 = 0x5a82_7999;
    const K3: u32 = 0x6ed9_eba1;
    let [mut a, mut b, mut c, mut d] = *state;
    macro_rules! step {
        ($f:expr, $a:ident, $b:ident, $c:ident, $d:ident, $i:literal, $k:expr, $s:literal) => {
            $a = $a.wrapping_add($f($b, $c, $d)).wrapping_add(input[$i]).wrapping_add($k).rotate_left($s)
        };
    }
    macro_rules! round {
        ($f:expr, $k:expr, [$i0:literal $i1:literal $i2:literal $i3:literal $i4:literal $i5:literal $i6:literal $i7:literal],
         [$s0:literal $s1:literal $s2:literal $s3:literal]) => {
            step!($f, a, b, c, d, $i0, $k, $s0);
            step!($f, d, a, b, c, $i1, $k, $s1);
            step!($f, c, d, a, b, $i2, $k, $s2);
            step!($f, b, c, d, a, $i3, $k, $s3);
            step!($f, a, b, c, d, $i4, $k, $s0);
            step!($f, d, a, b, c, $i5, $k, $s1);
            step!($f, c, d, a, b, $i6, $k, $s2);
            step!($f, b, c, d, a, $i7, $k, $s3);
        };
    }
    let choose = |x: u32, y: u32, z: u32| z ^ (x & (y ^ z));
    let majority = |x: u32, y: u32, z: u32| (x & y).wrapping_add((x ^ y) & z);
    let parity = |x: u32, y: u32, z: u32| x ^ y ^ z;
    round!(choose, 0, [0 1 2 3 4 5 6 7], [3 7 11 19]);
    round!(majority, K2, [1 3 5 7 0 2 4 6], [3 5 9 13]);
    round!(parity, K3, [3 7 2 6 1 5 0 4], [3 9 11 15]);
    for (s, v) in state.iter_mut().zip([a, b, c, d]) {
        *s = s.wrapping_add(v);
    }
}

fn tea(state: &mut [u32; 4], input: &[u32; 4]) {
    let [mut b0, mut b1, ..] = *state;
    let [a, b, c, d] = *input;
    let mut sum = 0u32;
    for _ in 0..16 {
        sum = sum.wrapping_add(0x9e37_79b9);
        b0 = b0.wrapping_add((b1 << 4).wrapping_add(a) ^ b1.wrapping_add(sum) ^ (b1 >> 5).wrapping_add(b));
        b1 = b1.wrapping_add((b0 << 4).wrapping_add(c) ^ b0.wrapping_add(sum) ^ (b0 >> 5).wrapping_add(d));
    }
    state[0] = state[0].wrapping_add(b0);
    state[1] = state[1].wrapping_add(b1);
}

/// The hash of a name by `version` (one of the constants above); None for a version that is not known. A `seed` of zeros
/// means the built-in one.
pub fn hash(name: &[u8], version: u8, seed: &[u32; 4]) -> Option<Hash> {
    let mut state = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476];
    if seed.iter().any(|&s| s != 0) {
        state = *seed;
    }
    let signed = version <= TEA;
    let (major, minor) = match version {
        LEGACY | LEGACY_UNSIGNED => (legacy(name, signed), 0),
        HALF_MD4 | HALF_MD4_UNSIGNED => {
            let mut rest = name;
            while !rest.is_empty() {
                half_md4(&mut state, &words::<8>(rest, signed));
                rest = rest.get(32..).unwrap_or(&[]);
            }
            (state[1], state[2])
        }
        TEA | TEA_UNSIGNED => {
            let mut rest = name;
            while !rest.is_empty() {
                tea(&mut state, &words::<4>(rest, signed));
                rest = rest.get(16..).unwrap_or(&[]);
            }
            (state[0], state[1])
        }
        _ => return None,
    };
    let major = major & !1;
    Some(Hash { major: if major == EOF << 1 { (EOF - 1) << 1 } else { major }, minor })
}
