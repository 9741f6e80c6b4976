// SPDX-License-Identifier: GPL-2.0
//! Bits in a slice of 64-bit words (Linux's `find_next_bit` and relatives). No locks.

/// The bit's value; bits outside are 0.
#[inline]
pub fn test_bit(words: &[u64], bit: usize) -> bool {
    words.get(bit / 64).is_some_and(|w| w >> (bit % 64) & 1 != 0)
}

/// Sets a bit; returns its old value. A bit outside is left alone.
#[inline]
pub fn set_bit(words: &mut [u64], bit: usize) -> bool {
    let Some(w) = words.get_mut(bit / 64) else { return false };
    let mask = 1 << (bit % 64);
    let old = *w & mask != 0;
    *w |= mask;
    old
}

/// Clears a bit; returns its old value. A bit outside is left alone.
#[inline]
pub fn clear_bit(words: &mut [u64], bit: usize) -> bool {
    let Some(w) = words.get_mut(bit / 64) else { return false };
    let mask = 1 << (bit % 64);
    let old = *w & mask != 0;
    *w &= !mask;
    old
}

/// The first set bit at or after `from` and below `end`.
pub fn find_next_bit(words: &[u64], end: usize, from: usize) -> Option<usize> {
    find(words, end, from, 0)
}

/// The first clear bit at or after `from` and below `end`; bits outside the slice are not found.
pub fn find_next_zero_bit(words: &[u64], end: usize, from: usize) -> Option<usize> {
    find(words, end, from, u64::MAX)
}

#[inline(always)]
fn find(words: &[u64], end: usize, from: usize, flip: u64) -> Option<usize> {
    let mut mask = u64::MAX << (from % 64);
    let first = from / 64;
    for (i, w) in words.get(first..)?.iter().enumerate() {
        let hits = (w ^ flip) & mask;
        mask = u64::MAX;
        let base = (first + i) * 64;
        if hits != 0 {
            let bit = base + hits.trailing_zeros() as usize;
            return (bit < end).then_some(bit);
        }
        if base + 64 >= end {
            break;
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn finds_what_a_loop_finds(words in proptest::collection::vec(any::<u64>().prop_map(|w| w & w.rotate_left(9)), 0..5),
                                   end in 0usize..330, from in 0usize..330) {
            let limit = end.min(words.len() * 64);
            prop_assert_eq!(find_next_bit(&words, end, from), (from..limit).find(|&b| test_bit(&words, b)));
            prop_assert_eq!(find_next_zero_bit(&words, end, from), (from..limit).find(|&b| !test_bit(&words, b)));
        }
    }

    #[test]
    fn set_and_clear() {
        let mut w = [0u64; 2];
        assert!(!set_bit(&mut w, 65));
        assert!(set_bit(&mut w, 65));
        assert!(test_bit(&w, 65));
        assert!(clear_bit(&mut w, 65));
        assert!(!clear_bit(&mut w, 65));
        assert!(!set_bit(&mut w, 128));
        assert!(!test_bit(&w, 128));
    }
}
