// SPDX-License-Identifier: GPL-2.0
//! Sets of block numbers as sorted runs: which blocks of a file have space reserved and no place yet.

use errno::Result;
use ext4_format::inode::NDIR_BLOCKS;
use kalloc::KVec;
use kalloc::flags::GFP_NOFS;

/// A set of block numbers.
#[derive(Default, Debug)]
pub(crate) struct Ranges {
    /// First block and block after the last; sorted, not touching.
    runs: KVec<(u32, u32)>,
}

impl Ranges {
    /// Whether there is nothing in it.
    pub(crate) fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// Index of the first run that ends after `at`.
    fn index(&self, at: u32) -> usize {
        self.runs.partition_point(|run| run.1 <= at)
    }

    /// Whether `at` is in it, and for how many blocks from there on the answer is the same (at most `len`).
    pub(crate) fn look(&self, at: u32, len: u32) -> (bool, u32) {
        match self.runs.get(self.index(at)) {
            Some(&(start, end)) if start <= at => (true, len.min(end - at)),
            Some(&(start, _)) => (false, len.min(start - at)),
            None => (false, len),
        }
    }

    /// The first block in it at or after `at`, and how many follow it there.
    pub(crate) fn next(&self, at: u32) -> Option<(u32, u32)> {
        let &(start, end) = self.runs.get(self.index(at))?;
        let start = start.max(at);
        Some((start, end - start))
    }

    /// With block pointers, `fan` of them in a block: how many blocks of pointers lead to one of the blocks `from..to` and also to one
    /// in the set, perhaps another one.
    pub(crate) fn nodes(&self, fan: u32, from: u32, to: u32) -> u64 {
        if from >= to {
            return 0;
        }
        let (fan, to) = (u64::from(fan), u64::from(to));
        let (mut base, mut span, mut count) = (NDIR_BLOCKS as u64, fan, 0);
        // Those that point to data, those above them, and the one above these.
        for _ in 0..3 {
            if to <= base {
                break;
            }
            let above = |at: u64| at.saturating_sub(base) / span;
            let place = |node: u64| u32::try_from(base + node * span).ok();
            let (mut node, end) = (above(from.into()), base + (above(to - 1) + 1) * span);
            while let Some((start, len)) = place(node).and_then(|at| self.next(at)).filter(|run| u64::from(run.0) < end)
            {
                let last = above((u64::from(start) + u64::from(len)).min(end) - 1);
                count += last + 1 - above(start.into());
                node = last + 1;
            }
            base += span;
            span *= fan;
        }
        count
    }

    /// Adds `from..to`. Returns how many were not in it. ENOMEM: nothing changed.
    pub(crate) fn insert(&mut self, from: u32, to: u32) -> Result<u32> {
        if from >= to {
            return Ok(0);
        }
        let first = self.runs.partition_point(|run| run.1 < from);
        let last = self.runs.partition_point(|run| run.0 <= to);
        let (mut start, mut end, mut known) = (from, to, 0);
        for &(a, b) in self.runs.get(first..last).unwrap_or(&[]) {
            known += b.min(to).saturating_sub(a.max(from));
            start = start.min(a);
            end = end.max(b);
        }
        if first == last {
            self.runs.insert(first, (start, end), GFP_NOFS)?;
        } else {
            drop(self.runs.drain(first + 1..last));
            if let Some(run) = self.runs.get_mut(first) {
                *run = (start, end);
            }
        }
        Ok(to - from - known)
    }

    /// Takes `from..to` out. Returns how many were in it. ENOMEM: nothing changed.
    pub(crate) fn remove(&mut self, from: u32, to: u32) -> Result<u32> {
        if from >= to {
            return Ok(0);
        }
        let (first, last) = (self.index(from), self.runs.partition_point(|run| run.0 < to));
        if first >= last {
            return Ok(0);
        }
        // A hole inside one run makes two of it.
        self.runs.reserve(1, GFP_NOFS)?;
        let (mut removed, mut left, mut right) = (0, None, None);
        for &(a, b) in self.runs.get(first..last).unwrap_or(&[]) {
            removed += b.min(to) - a.max(from);
            if a < from {
                left = Some((a, from));
            }
            if b > to {
                right = Some((to, b));
            }
        }
        drop(self.runs.drain(first..last));
        for run in [right, left].into_iter().flatten() {
            self.runs.insert(first, run, GFP_NOFS)?;
        }
        Ok(removed)
    }
}

#[cfg(CONFIG_KUNIT = "y")]
#[macros::kunit_tests(ext4_ranges)]
mod tests {
    use super::*;

    #[test]
    fn runs_join_and_part() {
        let mut ranges = Ranges::default();
        assert_eq!(ranges.insert(10, 20), Ok(10));
        assert_eq!(ranges.insert(30, 40), Ok(10));
        assert_eq!(ranges.insert(20, 30), Ok(10));
        assert_eq!(ranges.insert(5, 45), Ok(10));
        assert_eq!(ranges.look(7, 100), (true, 38));
        assert_eq!(ranges.remove(10, 20), Ok(10));
        assert_eq!(ranges.look(12, 100), (false, 8));
        assert_eq!(ranges.next(12), Some((20, 25)));
        assert_eq!(ranges.look(50, 3), (false, 3));
        assert_eq!(ranges.remove(0, 100), Ok(30));
        assert!(ranges.is_empty());
    }

    #[test]
    fn blocks_of_pointers_above_what_waits() {
        // Blocks 12 to 15 have one above them, each four of the next sixteen two, the 64 after these three.
        let nodes = |runs: &[(u32, u32)], from, to| {
            let mut ranges = Ranges::default();
            runs.iter()
                .try_for_each(|&(from, to)| ranges.insert(from, to).map(drop))
                .map(|()| ranges.nodes(4, from, to))
        };
        assert_eq!(nodes(&[(0, 12)], 0, 1000), Ok(0));
        assert_eq!(nodes(&[(0, 13)], 0, 1000), Ok(1));
        assert_eq!(nodes(&[(0, 16)], 0, 12), Ok(0));
        assert_eq!(nodes(&[(12, 16)], 13, 14), Ok(1));
        assert_eq!(nodes(&[(12, 17)], 0, 1000), Ok(1 + 2));
        assert_eq!(nodes(&[(12, 32)], 0, 1000), Ok(1 + 4 + 1));
        assert_eq!(nodes(&[(15, 16), (19, 21), (31, 32)], 0, 1000), Ok(1 + 3 + 1));
        assert_eq!(nodes(&[(31, 33)], 0, 1000), Ok(1 + 1 + 1 + 1 + 1));
        assert_eq!(nodes(&[(31, 33)], 32, 33), Ok(1 + 1 + 1));
        assert_eq!(nodes(&[(32, 96)], 0, 1000), Ok(16 + 4 + 1));
        assert_eq!(nodes(&[(20, 21)], 21, 22), Ok(1 + 1));
        assert_eq!(nodes(&[(20, 21)], 24, 25), Ok(1));
        assert_eq!(nodes(&[(20, 21)], u32::MAX - 1, u32::MAX), Ok(0));
    }
}
