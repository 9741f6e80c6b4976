// SPDX-License-Identifier: GPL-2.0
//! Bitmaps as the disk has them: bit `n` is bit `n % 8` of byte `n / 8`. Bits beyond the slice read as set.

/// Whether a bit is set.
pub(crate) fn test(map: &[u8], bit: u32) -> bool {
    map.get(bit as usize / 8).is_none_or(|byte| byte & 1 << (bit % 8) != 0)
}

/// Sets or clears a run of bits.
pub(crate) fn fill(map: &mut [u8], start: u32, len: u32, value: bool) {
    let end = (u64::from(start) + u64::from(len)).min(map.len() as u64 * 8) as u32;
    let mut at = start;
    while at < end {
        if at.is_multiple_of(8) && end - at >= 8 {
            let (from, to) = (at as usize / 8, end as usize / 8);
            if let Some(bytes) = map.get_mut(from..to) {
                bytes.fill(if value { 0xff } else { 0 });
            }
            at = to as u32 * 8;
            continue;
        }
        if let Some(byte) = map.get_mut(at as usize / 8) {
            if value {
                *byte |= 1 << (at % 8);
            } else {
                *byte &= !(1 << (at % 8));
            }
        }
        at += 1;
    }
}

/// The 64 bits that begin at a multiple of 64; bits beyond the slice are set.
fn word(map: &[u8], bit: u32) -> u64 {
    let at = bit as usize / 8;
    match map.get(at..at + 8) {
        Some(&[a, b, c, d, e, f, g, h]) => u64::from_le_bytes([a, b, c, d, e, f, g, h]),
        _ => {
            let mut bytes = [0xff; 8];
            for (to, from) in bytes.iter_mut().zip(map.get(at..).unwrap_or(&[])) {
                *to = *from;
            }
            u64::from_le_bytes(bytes)
        }
    }
}

fn find(map: &[u8], from: u32, end: u32, invert: u64) -> u32 {
    let mut at = from;
    while at < end {
        let base = at & !63;
        let found = (word(map, base) ^ invert) & (u64::MAX << (at - base));
        if found != 0 {
            return (base + found.trailing_zeros()).min(end);
        }
        at = base.saturating_add(64);
    }
    end
}

/// The first clear bit in `from..end`, or `end`.
pub(crate) fn next_zero(map: &[u8], from: u32, end: u32) -> u32 {
    find(map, from, end, u64::MAX)
}

/// The first set bit in `from..end`, or `end`.
pub(crate) fn next_set(map: &[u8], from: u32, end: u32) -> u32 {
    find(map, from, end, 0)
}

/// How many of the first `end` bits are clear.
pub(crate) fn count_zeros(map: &[u8], end: u32) -> u32 {
    let whole = (end / 8) as usize;
    let mut zeros: u32 = map.get(..whole).unwrap_or(&[]).iter().map(|byte| byte.count_zeros()).sum();
    for bit in whole as u32 * 8..end {
        zeros += u32::from(!test(map, bit));
    }
    zeros
}

/// Runs of clear bits below `end`, from `from`: `(start, length)`.
pub(crate) fn free_runs(map: &[u8], from: u32, end: u32) -> impl Iterator<Item = (u32, u32)> + '_ {
    let mut at = from;
    core::iter::from_fn(move || {
        let start = next_zero(map, at, end);
        if start >= end {
            return None;
        }
        at = next_set(map, start, end);
        Some((start, at - start))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn against_simple_loops() {
        let mut map = std::vec![0u8; 37];
        for (start, len) in [(3, 1), (10, 20), (64, 64), (200, 5), (255, 33)] {
            fill(&mut map, start, len, true);
        }
        fill(&mut map, 70, 9, false);
        for from in 0..290 {
            let zero = (from..290).find(|&b| !test(&map, b)).unwrap_or(290);
            let set = (from..290).find(|&b| test(&map, b)).unwrap_or(290);
            assert_eq!((next_zero(&map, from, 290), next_set(&map, from, 290)), (zero, set), "{from}");
        }
        assert_eq!(count_zeros(&map, 290), (0..290).filter(|&b| !test(&map, b)).count() as u32);
        assert_eq!(free_runs(&map, 0, 290).map(|r| r.1).sum::<u32>(), count_zeros(&map, 290));
    }
}
