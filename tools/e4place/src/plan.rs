// SPDX-License-Identifier: GPL-2.0
//! Where things should go, decided from numbers alone.

use crate::sys::{Extent, Space, Use};

/// Where each extent lies in a donor that holds them one after the other. Places agree with those in the file within a page of `per_page`
/// blocks, which the kernel wants. Also the donor's length.
pub fn pack(files: &[Vec<Extent>], per_page: u64) -> (Vec<Vec<(Extent, u64)>>, u64) {
    let mut at = 0u64;
    let mut all = Vec::new();
    for extents in files {
        let mut placed = Vec::new();
        for extent in extents {
            at += (extent.logical % per_page + per_page - at % per_page) % per_page;
            placed.push((*extent, at));
            at += extent.len;
        }
        all.push(placed);
    }
    (all, at)
}

/// A file's extents that could be moved out of the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owned {
    pub file: usize,
    pub extent: Extent,
}

/// The place for `need` blocks in a row that the fewest blocks must leave: first block, and how many. Everything in it is free or `owned`
/// (by first block, in order). `None`: there is none.
pub fn window(space: &[Space], owned: &[Owned], need: u64) -> Option<(u64, u64)> {
    // Movable runs: free ones, and the parts of unknown ones that have owners.
    let mut runs: Vec<(u64, u64, bool)> =
        space.iter().filter(|run| run.what == Use::Free).map(|run| (run.start, run.len, false)).collect();
    runs.extend(owned.iter().map(|one| (one.extent.physical, one.extent.len, true)));
    runs.sort_unstable();
    let mut best: Option<(u64, u64)> = None;
    for (first, &(begin, _, _)) in runs.iter().enumerate() {
        let (mut at, mut used) = (begin, 0);
        for &(start, len, is_used) in runs.get(first..).unwrap_or(&[]) {
            if start != at {
                break;
            }
            let take = len.min(begin + need - at);
            used += if is_used { take } else { 0 };
            at += take;
            if at == begin + need {
                if best.is_none_or(|(_, least)| used < least) {
                    best = Some((begin, used));
                }
                break;
            }
        }
    }
    best
}

/// The middle one of some numbers, 0 for none.
pub fn median(mut numbers: Vec<u64>) -> u64 {
    numbers.sort_unstable();
    numbers.get(numbers.len() / 2).copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn extent(logical: u64, physical: u64, len: u64) -> Extent {
        Extent { logical, physical, len, unwritten: false }
    }

    #[test]
    fn extents_are_packed_and_agree_within_a_page() {
        let files = [vec![extent(0, 100, 3), extent(9, 50, 1)], vec![extent(2, 7, 5)]];
        let (placed, len) = pack(&files, 4);
        let at = |file: usize| placed[file].iter().map(|(_, at)| *at).collect::<Vec<_>>();
        assert_eq!((at(0), at(1), len), (vec![0, 5], vec![6], 11));
        let (placed, len) = pack(&files, 1);
        assert_eq!((placed[1][0].1, len), (4, 9));
    }

    #[test]
    fn the_window_costs_least() {
        let run = |start, len, what| Space { start, len, what };
        let space = [
            run(0, 10, Use::Fixed),
            run(10, 5, Use::Free),
            run(15, 5, Use::Unknown),
            run(20, 8, Use::Free),
            run(28, 2, Use::Unknown),
            run(30, 4, Use::Free),
        ];
        let owned = |start, len| Owned { file: 0, extent: extent(0, start, len) };
        // Nobody knows what lies at 15: only what is behind it counts.
        assert_eq!(window(&space, &[owned(28, 2)], 14), Some((20, 2)));
        assert_eq!(window(&space, &[owned(28, 2)], 15), None);
        assert_eq!(window(&space, &[owned(15, 5), owned(28, 2)], 10), Some((20, 2)));
        assert_eq!(window(&space, &[owned(15, 5), owned(28, 2)], 8), Some((20, 0)));
        assert_eq!(window(&space, &[owned(15, 5), owned(28, 2)], 24), Some((10, 7)));
        assert_eq!(median(vec![5, 1, 9]), 5);
    }
}
