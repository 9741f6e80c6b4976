// SPDX-License-Identifier: GPL-2.0
//! Against a list of what is taken.

use super::*;
use kalloc::flags::GFP_KERNEL;
use proptest::prelude::*;
use std::vec;
use std::vec::Vec;

fn places(blocks: &KVec<Block>) -> Vec<(u64, u32)> {
    blocks.iter().map(|block| (block.start(), block.order())).collect()
}

#[test]
fn blocks_split_and_join() {
    assert_eq!(Space::new(0, GFP_KERNEL).err(), Some(EINVAL));
    assert_eq!(Space::new(1 << 63, GFP_KERNEL).err(), Some(EINVAL));
    // 4 and 2.
    let mut space = Space::new(6, GFP_KERNEL).unwrap();
    assert_eq!((space.find(0), space.find(1), space.find(2), space.find(3)), (Some(5), Some(4), Some(0), None));
    assert_eq!((space.find_top(0), space.find_top(2)), (Some(5), Some(0)));
    assert_eq!((space.find_between(1, 6, 1), space.find_between(3, 5, 1)), (Some(2), None));
    let mut blocks = KVec::new();
    space.take(1, 4, &mut blocks, GFP_KERNEL).unwrap();
    assert_eq!(places(&blocks), [(1, 0), (2, 1), (4, 0)]);
    assert_eq!((space.avail(), space.find_run(2, 0)), (2, None));
    assert_eq!(space.take(0, 2, &mut blocks, GFP_KERNEL), Err(ENOSPC));
    assert_eq!((space.avail(), blocks.len()), (2, 3));
    while let Some(block) = blocks.pop() {
        space.give(block);
    }
    assert_eq!((space.avail(), space.block_at(3), space.block_at(5)), (6, Some((0, 2)), Some((4, 1))));
    // Across the two blocks that the space begins with.
    assert_eq!((space.find_run(5, 0), space.find_run(3, 1), space.find_run(7, 0)), (Some(1), Some(2), None));
}

proptest! {
    /// What is taken is free before and nobody else's; what is found can be taken; what is given back is whole again.
    #[test]
    fn as_a_map_has_it(size in 1u64..200, steps in prop::collection::vec((0u8..6, 0u64..200, 0u32..6, 1u64..40), 1..80)) {
        let mut space = Space::new(size, GFP_KERNEL).unwrap();
        let mut map = vec![false; size as usize];
        let mut all: Vec<KVec<Block>> = Vec::new();
        for (kind, at, order, len) in steps {
            let is_free = |map: &[bool], at: u64, len: u64| {
                map.get(at as usize..(at + len) as usize).is_some_and(|part| part.iter().all(|taken| !taken))
            };
            let size_of = 1 << order;
            let aligned = |from: u64, to: u64| (from..to.min(size)).filter(|at| at % size_of == 0).filter(|&at| is_free(&map, at, size_of));
            let (place, len) = match kind {
                0 => (Some(at), len),
                1 => (space.find(order), size_of),
                2 => {
                    let found = space.find_top(order);
                    prop_assert_eq!(found, aligned(0, size).last());
                    (found, size_of)
                }
                3 => {
                    let found = space.find_between(at, at + len, order);
                    prop_assert_eq!(found, aligned(at, at + len).find(|place| place + size_of <= at + len));
                    (found, size_of)
                }
                4 => {
                    let found = space.find_run(len, order);
                    let want = (0..size).rev().find(|&place| place % size_of == 0 && is_free(&map, place, len));
                    prop_assert_eq!(found, want);
                    (found, len)
                }
                _ => {
                    if !all.is_empty() {
                        for block in all.swap_remove(at as usize % all.len()) {
                            (block.start()..block.start() + (1 << block.order())).for_each(|n| map[n as usize] = false);
                            space.give(block);
                        }
                    }
                    continue;
                }
            };
            if kind == 1 {
                prop_assert_eq!(place.is_some(), aligned(0, size).next().is_some());
            }
            let Some(place) = place else { continue };
            let mut blocks = KVec::new();
            let result = space.take(place, len, &mut blocks, GFP_KERNEL);
            prop_assert_eq!(result, if is_free(&map, place, len) { Ok(()) } else { Err(ENOSPC) });
            if result.is_ok() {
                let mut next = place;
                for block in &blocks {
                    prop_assert_eq!((block.start(), block.start() % (1 << block.order())), (next, 0));
                    next += 1 << block.order();
                }
                prop_assert_eq!(next, place + len);
                (place..place + len).for_each(|n| map[n as usize] = true);
                all.push(blocks);
            }
            prop_assert_eq!(space.avail(), map.iter().filter(|taken| !**taken).count() as u64);
        }
        for block in all.into_iter().flatten() {
            space.give(block);
        }
        prop_assert_eq!(space.avail(), size);
        // All is as at the start: the blocks are as large as they can be.
        prop_assert_eq!(space.block_at(0), Some((0, size.ilog2())));
    }
}
