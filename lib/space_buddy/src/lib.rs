// SPDX-License-Identifier: GPL-2.0
//! `Space`: which parts of a range of numbers are free, by the buddy method, for memory that is not the kernel's (a graphics card's).
//! Blocks are powers of two at multiples of their size. A space of another size begins with the largest block that fits, and so on.
//!
//! Nothing is allocated when a block is given back: a block keeps the node by which it was known to be free. No locks: the owner has one.
//! Called by `kernel::gpu::buddy`. Source: the buddy method as Knuth has it (The Art of Computer Programming 2.5).

#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate std;

#[cfg(test)]
mod tests;

use errno::{Result, code::*};
use kalloc::{Flags, KVec};
use rbtree::{RBTree, RBTreeNode, RBTreeNodeReservation};

/// A block that was taken. Who loses it loses its place in the space.
pub struct Block {
    node: RBTreeNode<u64, ()>,
    order: u32,
}

impl Block {
    /// Its first number.
    pub fn start(&self) -> u64 {
        *self.node.key()
    }

    /// Its size is two to the power of this.
    pub fn order(&self) -> u32 {
        self.order
    }
}

/// The numbers from 0 on, and which of them are free.
pub struct Space {
    size: u64,
    avail: u64,
    /// Starts of free blocks, by order.
    free: KVec<RBTree<u64, ()>>,
}

/// `at`, or the next multiple of two to the power of `order`.
fn round_up(at: u64, order: u32) -> Option<u64> {
    Some(at.checked_add((1 << order) - 1)? >> order << order)
}

impl Space {
    /// `size` numbers, all free. EINVAL for none, or for more than 2^63; ENOMEM.
    pub fn new(size: u64, flags: Flags) -> Result<Self> {
        let orders = size.checked_ilog2().filter(|&order| order < 63).ok_or(EINVAL)? + 1;
        let mut space = Self { size, avail: 0, free: KVec::with_capacity(orders as usize, flags)? };
        for _ in 0..orders {
            space.free.push(RBTree::new(), flags)?;
        }
        let mut at = 0;
        while let Some(order) = (size - at).checked_ilog2() {
            space.give(Block { node: RBTreeNode::new(at, (), flags)?, order });
            at += 1 << order;
        }
        Ok(space)
    }

    /// How many numbers there are.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// How many of them are free.
    pub fn avail(&self) -> u64 {
        self.avail
    }

    /// The free blocks of `order` and above, by order.
    fn orders_from(&self, order: u32) -> impl Iterator<Item = (u32, &RBTree<u64, ()>)> {
        (0u32..).zip(self.free.iter()).skip(order as usize)
    }

    /// The free block that `at` is in: start, order.
    fn block_at(&self, at: u64) -> Option<(u64, u32)> {
        self.orders_from(0).map(|(order, free)| (at >> order << order, order, free)).find_map(|(start, order, free)| {
            free.get(&start)?;
            Some((start, order))
        })
    }

    /// Where to take a block of `order`: of the smallest that is large enough, the last one's end.
    pub fn find(&self, order: u32) -> Option<u64> {
        let (its, (start, ())) = self.orders_from(order).find_map(|(its, free)| Some((its, free.last()?)))?;
        Some(start + (1 << its) - (1 << order))
    }

    /// Where to take a block of `order` as far up as there is one.
    pub fn find_top(&self, order: u32) -> Option<u64> {
        let ends = self.orders_from(order).filter_map(|(its, free)| Some(free.last()?.0 + (1 << its)));
        Some(ends.max()? - (1 << order))
    }

    /// Where to take a block of `order` between `start` and before `end`, as far down as there is one.
    pub fn find_between(&self, start: u64, end: u64, order: u32) -> Option<u64> {
        let in_block = |block: u64, its: u32| {
            let at = round_up(block.max(start), order)?;
            (at.checked_add(1 << order)? <= end.min(block + (1 << its))).then_some(at)
        };
        let of_order = |(its, free): (u32, &RBTree<u64, ()>)| {
            // The one that `start` is in, and the next: in that there is room at its start, or there is none below `end`.
            let around = free.floor(&start).and_then(|(block, ())| in_block(*block, its));
            around.or_else(|| free.lower_bound(&start).and_then(|(block, ())| in_block(*block, its)))
        };
        self.orders_from(order).filter_map(of_order).min()
    }

    /// Where `len` free numbers follow each other, in whatever blocks, from a multiple of two to the power of `order` on: the last such place.
    pub fn find_run(&self, len: u64, order: u32) -> Option<u64> {
        let (mut best, mut begin, mut at) = (None, 0, 0);
        while at < self.size {
            if let Some((start, its)) = self.block_at(at) {
                at = start + (1 << its);
                let place = at.checked_sub(len).map(|place| place >> order << order);
                best = place.filter(|&place| place >= begin).or(best);
            } else {
                let next =
                    self.orders_from(0).filter_map(|(_, free)| free.lower_bound(&at)).map(|(start, ())| *start).min();
                at = next.unwrap_or(self.size);
                begin = at;
            }
        }
        best
    }

    /// Takes `len` numbers from `start` on, in blocks as large as possible, which are put behind those in `blocks`: all of them, or none.
    /// ENOSPC: they are not all free; ENOMEM.
    pub fn take(&mut self, start: u64, len: u64, blocks: &mut KVec<Block>, flags: Flags) -> Result {
        let end = start.checked_add(len).filter(|&end| end <= self.size).ok_or(ENOSPC)?;
        let (before, mut at) = (blocks.len(), start);
        while let Some(order) = end.checked_sub(at).and_then(u64::checked_ilog2) {
            match self.take_one(at, order.min(at.trailing_zeros()), blocks, flags) {
                Ok(order) => at += 1 << order,
                Err(error) => {
                    while blocks.len() > before {
                        let Some(block) = blocks.pop() else { break };
                        self.give(block);
                    }
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    /// Takes one block at `at`, of `most` as its order or less; its order.
    fn take_one(&mut self, at: u64, most: u32, blocks: &mut KVec<Block>, flags: Flags) -> Result<u32> {
        let (start, its) = self.block_at(at).ok_or(ENOSPC)?;
        let order = its.min(most);
        blocks.reserve(1, flags)?;
        // Everything that may fail comes first.
        let mut nodes = KVec::with_capacity((its - order) as usize, flags)?;
        for _ in order..its {
            nodes.push(RBTreeNodeReservation::new(flags)?, flags)?;
        }
        let taken = self.free.get_mut(its as usize).and_then(|free| free.remove_node(&start)).ok_or(ENOSPC)?;
        let mut from = start;
        for half in (order..its).rev() {
            let upper = from + (1 << half);
            let other = if at < upper { upper } else { core::mem::replace(&mut from, upper) };
            if let (Some(free), Some(node)) = (self.free.get_mut(half as usize), nodes.pop()) {
                free.insert(node.into_node(other, ()));
            }
        }
        self.avail -= 1 << order;
        let node = taken.into_reservation().into_node(from, ());
        // There is room for it.
        let _ = blocks.push_within_capacity(Block { node, order });
        Ok(order)
    }

    /// Gives a block back.
    pub fn give(&mut self, block: Block) {
        let Block { node, mut order } = block;
        let mut start = *node.key();
        let node = node.into_reservation();
        self.avail += 1 << order;
        // The largest has no buddy, and behind another that the space begins with there is less than its size.
        while (order as usize) + 1 < self.free.len() {
            let buddy = start ^ 1 << order;
            if self.free.get_mut(order as usize).and_then(|free| free.remove_node(&buddy)).is_none() {
                break;
            }
            start &= buddy;
            order += 1;
        }
        if let Some(free) = self.free.get_mut(order as usize) {
            free.insert(node.into_node(start, ()));
        }
    }
}
