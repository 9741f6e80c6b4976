// SPDX-License-Identifier: GPL-2.0
//! What compaction decides: whether memory is in pieces, whether that is why there is no block, and which page blocks are worth being
//! emptied. Sources: `Documentation/admin-guide/sysctl/vm.rst` of Linux; M. Gorman, A. Whitcroft, "Measuring the impact of the Linux
//! memory manager" (the fragmentation index). No locks.

use crate::mobility::BLOCK_PAGES;
use crate::zone::ORDERS;

/// Free blocks of a zone, by order.
pub type Blocks = [usize; ORDERS];

/// Free pages in blocks.
pub fn pages_of(blocks: &Blocks) -> usize {
    blocks.iter().enumerate().map(|(order, count)| count << order).sum()
}

/// Free blocks of 2^`order` pages that there are, or that larger ones have.
pub fn blocks_of(blocks: &Blocks, order: usize) -> usize {
    let large = blocks.iter().enumerate().skip(order);
    large.map(|(at, count)| count << (at - order)).sum()
}

/// Why there is no block of 2^`order` pages, in thousandths: towards 0 for want of memory, towards 1000 because it is in pieces. -1000:
/// there is one.
pub fn fragmentation_index(blocks: &Blocks, order: usize) -> i32 {
    let pieces: usize = blocks.iter().sum();
    if pieces == 0 {
        return 0;
    }
    if blocks_of(blocks, order) != 0 {
        return -1000;
    }
    let wanted = 1usize << order.min(usize::BITS as usize - 1);
    let share = 1000 + pages_of(blocks).saturating_mul(1000) / wanted;
    1000 - i32::try_from(share / pieces).unwrap_or(1000)
}

/// Of what is free, the part in hundredths that is in pieces smaller than 2^`order` pages.
pub fn external(blocks: &Blocks, order: usize) -> usize {
    let free = pages_of(blocks);
    let fit = blocks_of(blocks, order) << order;
    free.saturating_sub(fit).saturating_mul(100).checked_div(free).unwrap_or(0)
}

/// The marks of `vm.compaction_proactiveness`, 0 to 100: the share of pieces up to which memory is put together, and above which that
/// begins.
pub const fn proactive_marks(proactiveness: usize) -> (usize, usize) {
    let low = 100usize.saturating_sub(proactiveness);
    let low = if low < 5 { 5 } else { low };
    (low, if low > 90 { 100 } else { low + 10 })
}

/// What a page block has.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct BlockCensus {
    /// Pages in free lists.
    pub free: usize,
    /// Pages that nobody has and that are in no free list: a CPU keeps them, or they are no memory of ours.
    pub kept: usize,
    /// Pages that can be moved.
    pub movable: usize,
    /// Others.
    pub fixed: usize,
}

impl BlockCensus {
    /// Whether it can be emptied, and that is of use.
    pub const fn is_candidate(&self) -> bool {
        self.fixed == 0 && self.movable != 0
    }

    /// Whether all of it is free.
    pub const fn is_free(&self) -> bool {
        self.free == BLOCK_PAGES
    }
}

/// Of page blocks, those that are to be emptied: the ones with the fewest pages to move, as many as the rest of the free memory takes.
/// `room`: free pages in pieces, those of the candidates too, less what is to stay free. `found` are the candidates, each with what names
/// it; the chosen ones come first, and their number is returned.
pub fn choose<T>(found: &mut [(T, BlockCensus)], room: usize, most: usize) -> usize {
    found.sort_unstable_by_key(|(_, census)| census.movable);
    let (mut room, mut chosen) = (room, 0);
    for (_, census) in found.iter().take(most) {
        // What is free there is no place to move to any more.
        let cost = census.free + census.movable;
        if !census.is_candidate() || cost > room {
            break;
        }
        room -= cost;
        chosen += 1;
    }
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn blocks(counts: &[(usize, usize)]) -> Blocks {
        let mut blocks = [0; ORDERS];
        for (order, count) in counts {
            blocks[*order] = *count;
        }
        blocks
    }

    #[test]
    fn why_there_is_none() {
        assert_eq!(fragmentation_index(&blocks(&[]), 9), 0);
        assert_eq!(fragmentation_index(&blocks(&[(10, 1)]), 9), -1000);
        // A single page: want of memory. A thousand: pieces.
        assert!(fragmentation_index(&blocks(&[(0, 1)]), 9) < 10);
        assert!(fragmentation_index(&blocks(&[(0, 2000)]), 9) > 990);
    }

    #[test]
    fn shares() {
        assert_eq!(external(&blocks(&[]), 9), 0);
        assert_eq!(external(&blocks(&[(0, 512), (9, 1)]), 9), 50);
        assert_eq!(external(&blocks(&[(10, 3)]), 9), 0);
        assert_eq!(external(&blocks(&[(8, 3)]), 9), 100);
        assert_eq!(proactive_marks(20), (80, 90));
        assert_eq!(proactive_marks(100), (5, 15));
        assert_eq!(proactive_marks(0), (100, 100));
    }

    proptest! {
        /// What is moved has room outside of the blocks that are emptied, and no block that was left has less to move.
        #[test]
        fn what_is_chosen_fits(
            parts in proptest::collection::vec((0usize..=512, 0usize..=512, proptest::bool::weighted(0.2)), 0..40),
            elsewhere in 0usize..4000, most in 0usize..32,
        ) {
            let mut found: std::vec::Vec<_> = parts.iter().enumerate().map(|(i, (free, movable, fixed))| {
                let free = (*free).min(512 - movable);
                (i, BlockCensus { free, kept: 0, movable: *movable, fixed: usize::from(*fixed) })
            }).filter(|(_, census)| census.is_candidate()).collect();
            let room = elsewhere + found.iter().map(|(_, census)| census.free).sum::<usize>();
            let chosen = choose(&mut found, room, most);
            prop_assert!(chosen <= most.min(found.len()));
            let (taken, left) = found.split_at(chosen);
            let moved: usize = taken.iter().map(|(_, census)| census.movable).sum();
            let places = elsewhere + left.iter().map(|(_, census)| census.free).sum::<usize>();
            prop_assert!(moved <= places);
            let worst = taken.iter().map(|(_, census)| census.movable).max().unwrap_or(0);
            prop_assert!(left.iter().all(|(_, census)| census.movable >= worst));
        }

        /// The index is in its range, and -1000 exactly if there is a block.
        #[test]
        fn indices(counts in any::<[u16; ORDERS]>(), order in 0..ORDERS) {
            let blocks = counts.map(usize::from);
            let index = fragmentation_index(&blocks, order);
            prop_assert_eq!(index == -1000, blocks_of(&blocks, order) != 0);
            prop_assert!(index == -1000 || (-1..=1000).contains(&index), "{}", index);
            prop_assert!(external(&blocks, order) <= 100);
        }
    }
}
