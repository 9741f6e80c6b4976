// SPDX-License-Identifier: GPL-2.0
//! Blocks of 2 MB, where all their pages are free.

use crate::{Frame, free, give};
use std::sync::atomic::Ordering;

pub const MAX_ORDER: usize = 10;

pub fn free_pages_total() -> usize {
    crate::free_pages()
}

pub fn reserve_pages() -> usize {
    0
}

pub fn alloc_pages(order: usize, _: kalloc::Flags) -> Option<&'static Frame> {
    assert_eq!(order, 9);
    let mut free = free();
    let block = free.of_block.iter().position(|pages| *pages == 512)?;
    free.of_block[block] = 0;
    for number in block * 512..block * 512 + 512 {
        free.pages.remove(&number);
        assert_eq!(Frame::at(number).ref_count(), 0);
    }
    let first = Frame::at(block * 512);
    first.refs.store(1, Ordering::Relaxed);
    first.flags.store(1 << 34, Ordering::Relaxed);
    Some(first)
}

pub fn give_back(first: &'static Frame, order: usize) {
    assert_eq!((order, first.number() % 512), (9, 0));
    (first.number()..first.number() + 512).for_each(|number| give(Frame::at(number)));
}
