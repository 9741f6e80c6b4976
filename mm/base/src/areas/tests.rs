// SPDX-License-Identifier: GPL-2.0
//! Host tests of areas of addresses.

use super::*;

const FIRST: usize = 0x10_0000;
const END: usize = FIRST + 8 * PAGE_SIZE;

fn areas() -> Areas {
    Areas::new(FIRST, END)
}

#[test]
fn addresses_are_used_once() {
    let mut areas = areas();
    let first = areas.reserve(4 * PAGE_SIZE).ok();
    let second = areas.reserve(4 * PAGE_SIZE).ok();
    assert_eq!((first, second), (Some(FIRST), Some(FIRST + 4 * PAGE_SIZE)));
    assert_eq!(areas.reserve(PAGE_SIZE), Err(ENOMEM));
    assert_eq!(areas.len_at(FIRST), Some(4 * PAGE_SIZE));
    assert_eq!((areas.len_at(FIRST + PAGE_SIZE), areas.len_at(END)), (None, None));
    assert!(areas.retire(FIRST) && !areas.retire(FIRST) && !areas.retire(FIRST + 1));
    assert_eq!(areas.len_at(FIRST), None);
    // Dead is not free.
    assert_eq!(areas.reserve(PAGE_SIZE), Err(ENOMEM));
    let flush = areas.begin_flush();
    assert_eq!(areas.reserve(PAGE_SIZE), Err(ENOMEM));
    assert_eq!(areas.dead_pages(), 0);
    if let Some(flush) = flush {
        assert_eq!((flush.start, flush.end), (FIRST, FIRST + 4 * PAGE_SIZE));
        areas.end_flush(flush);
    }
    assert_eq!(areas.reserve(PAGE_SIZE), Ok(FIRST));
}

#[test]
fn a_flush_frees_what_it_began_for_and_nothing_else() {
    let mut areas = areas();
    let starts = [(); 4].map(|()| areas.reserve(2 * PAGE_SIZE).unwrap_or(0));
    assert!(areas.retire(starts[0]));
    let first = areas.begin_flush();
    assert!(areas.retire(starts[2]));
    let second = areas.begin_flush();
    assert!(areas.begin_flush().is_none());
    // The first is done while the second is under way.
    first.into_iter().for_each(|flush| areas.end_flush(flush));
    assert_eq!(areas.reserve(2 * PAGE_SIZE), Ok(starts[0]));
    assert_eq!(areas.reserve(2 * PAGE_SIZE), Err(ENOMEM));
    second.into_iter().for_each(|flush| areas.end_flush(flush));
    assert_eq!(areas.reserve(2 * PAGE_SIZE), Ok(starts[2]));
}
