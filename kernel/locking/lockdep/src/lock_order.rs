// SPDX-License-Identifier: GPL-2.0
//! The order that the lock checker has seen: a relation between classes, as a matrix of bits. Only grows; no locks.

use core::sync::atomic::{AtomicU64, Ordering};

/// Pairs "a lock of the second class was taken under one of the first", for `WORDS` * 64 classes.
pub(crate) struct Order<const WORDS: usize> {
    rows: [[[AtomicU64; WORDS]; 64]; WORDS],
}

/// The word and the bit of a class.
fn place(class: usize) -> (usize, u64) {
    (class / 64, 1u64.wrapping_shl((class % 64) as u32))
}

impl<const WORDS: usize> Order<WORDS> {
    /// No pair.
    pub(crate) const fn new() -> Self {
        Self { rows: [const { [const { [const { AtomicU64::new(0) }; WORDS] }; 64] }; WORDS] }
    }

    fn row(&self, class: usize) -> Option<&[AtomicU64; WORDS]> {
        self.rows.get(class / 64)?.get(class % 64)
    }

    /// Whether the pair is recorded.
    pub(crate) fn has(&self, first: usize, second: usize) -> bool {
        let (word, bit) = place(second);
        self.row(first).and_then(|row| row.get(word)).is_some_and(|word| word.load(Ordering::Relaxed) & bit != 0)
    }

    /// Records the pair.
    pub(crate) fn record(&self, first: usize, second: usize) {
        let (word, bit) = place(second);
        if let Some(word) = self.row(first).and_then(|row| row.get(word)) {
            word.fetch_or(bit, Ordering::Relaxed);
        }
    }

    /// Drops all pairs of a class.
    pub(crate) fn clear(&self, class: usize) {
        for word in self.row(class).into_iter().flatten() {
            word.store(0, Ordering::Relaxed);
        }
        let (word, bit) = place(class);
        for word in self.rows.iter().flatten().filter_map(|row| row.get(word)) {
            word.fetch_and(!bit, Ordering::Relaxed);
        }
    }

    /// Whether a chain of recorded pairs, of any length, zero included, leads from `from` to `to`.
    pub(crate) fn reaches(&self, from: usize, to: usize) -> bool {
        let (mut seen, mut done) = ([0u64; WORDS], [0u64; WORDS]);
        let (word, bit) = place(from);
        if let Some(word) = seen.get_mut(word) {
            *word |= bit;
        }
        while let Some(class) = fresh(&seen, &done) {
            let (word, bit) = place(class);
            if let Some(word) = done.get_mut(word) {
                *word |= bit;
            }
            for (have, more) in seen.iter_mut().zip(self.row(class).into_iter().flatten()) {
                *have |= more.load(Ordering::Relaxed);
            }
        }
        let (word, bit) = place(to);
        seen.get(word).is_some_and(|word| word & bit != 0)
    }
}

/// A class that is in `seen` and not yet in `done`.
fn fresh(seen: &[u64], done: &[u64]) -> Option<usize> {
    seen.iter().zip(done).enumerate().find_map(|(index, (seen, done))| {
        let left = seen & !done;
        (left != 0).then(|| index * 64 + left.trailing_zeros() as usize)
    })
}

#[macros::kunit_tests(lock_order)]
mod tests {
    use super::*;

    #[test]
    fn chains_are_followed() {
        static ORDER: Order<2> = Order::new();
        for (first, second) in [(1, 70), (70, 3), (3, 127)] {
            ORDER.record(first, second);
        }
        assert!(ORDER.has(70, 3) && !ORDER.has(3, 70));
        assert!(ORDER.reaches(1, 127) && !ORDER.reaches(127, 1) && !ORDER.reaches(3, 1));
        ORDER.clear(70);
        assert!(!ORDER.has(1, 70) && !ORDER.has(70, 3) && ORDER.has(3, 127) && !ORDER.reaches(1, 3));
    }

    #[test]
    fn circles_end() {
        static ORDER: Order<1> = Order::new();
        ORDER.record(0, 1);
        ORDER.record(1, 0);
        assert!(ORDER.reaches(0, 1) && ORDER.reaches(1, 0) && !ORDER.reaches(0, 2));
        assert!(!ORDER.has(64, 0) && !ORDER.reaches(64, 0));
    }
}
