// SPDX-License-Identifier: GPL-2.0

use crate::{Cache, Extents, Header, HeaderError, PAGE_SIZE, Put, SlotMap};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::vec;
use std::vec::Vec;

fn map(pages: usize, bad: &[u64]) -> SlotMap {
    SlotMap::new(pages, bad.iter().copied()).unwrap()
}

fn alloc(map: &SlotMap, max: usize) -> Vec<u64> {
    let mut got = vec![];
    assert_eq!(map.alloc(max, |page| got.push(page)), got.len());
    got
}

#[test]
fn the_header_and_bad_pages_are_never_given() {
    let map = map(8, &[3, 5]);
    assert_eq!(map.good(), 5);
    assert_eq!(alloc(&map, 100), [1, 2, 4, 6, 7]);
    assert_eq!(alloc(&map, 1), []);
    assert!(!map.get(3) && !map.get(0));
    assert_eq!(map.put(5), Put::Invalid);
    assert_eq!(map.enter_cache(3), Cache::Unused);
}

#[test]
fn a_page_is_free_when_neither_entries_nor_the_cache_have_it() {
    let map = map(4, &[]);
    let page = alloc(&map, 1)[0];
    assert!(map.get(page) && map.get(page));
    assert_eq!(map.count(page), 2);
    assert_eq!(map.enter_cache(page), Cache::Busy);
    assert!(!map.leave_cache(page));
    assert_eq!(map.enter_cache(page), Cache::Entered);
    assert_eq!(map.put(page), Put::Used);
    assert_eq!(map.put(page), Put::Cached);
    assert_eq!(map.put(page), Put::Invalid);
    assert_eq!(map.used(), 1);
    assert!(map.leave_cache(page));
    assert_eq!((map.used(), map.count(page)), (0, 0));
    assert_eq!(map.enter_cache(page), Cache::Unused);
    assert!(!map.get(page));
}

#[test]
fn a_count_that_is_full_stays() {
    let map = map(4, &[]);
    let page = alloc(&map, 1)[0];
    map.set_count(page, (1 << 30) - 2);
    assert!(map.get(page) && !map.get(page) && !map.get(page));
    assert_eq!(map.count(page), (1 << 30) - 1);
    assert_eq!(map.put(page), Put::Used);
    assert!(map.get(page));
    // With and without the cache it says the same.
    assert!(!map.leave_cache(page) && !map.get(page));
}

#[test]
fn neighbours_are_given_and_the_search_goes_round() {
    let map = map(2000, &[]);
    assert_eq!(alloc(&map, 32), (1..33).collect::<Vec<_>>());
    assert_eq!(alloc(&map, 32), (33..65).collect::<Vec<_>>());
    for page in 1..33 {
        assert!(map.leave_cache(page));
    }
    assert_eq!(alloc(&map, 3000).len(), 1999 - 32);
    assert_eq!(map.used(), map.good());
    assert!(map.leave_cache(700));
    assert_eq!(alloc(&map, 5), [700]);
}

proptest! {
    /// Any sequence of steps, against a model.
    #[test]
    fn counts(steps in prop::collection::vec((0u8..5, 0u64..20), 1..200)) {
        let map = map(16, &[7]);
        let mut model: BTreeMap<u64, (u32, bool)> = BTreeMap::new();
        for (what, page) in steps {
            let now = model.get(&page).copied();
            match what {
                0 => {
                    for got in alloc(&map, 1) {
                        prop_assert!(got != 0 && got != 7 && got < 16 && !model.contains_key(&got));
                        model.insert(got, (0, true));
                    }
                }
                1 => {
                    prop_assert_eq!(map.get(page), now.is_some());
                    model.entry(page).and_modify(|entry| entry.0 += 1);
                }
                2 => {
                    let wanted = match now {
                        None | Some((0, _)) => Put::Invalid,
                        Some((1, true)) => Put::Cached,
                        Some((1, false)) => Put::Free,
                        Some(_) => Put::Used,
                    };
                    prop_assert_eq!(map.put(page), wanted);
                    if wanted != Put::Invalid {
                        model.entry(page).and_modify(|entry| entry.0 -= 1);
                    }
                }
                3 => {
                    let wanted = match now {
                        None => Cache::Unused,
                        Some((_, true)) => Cache::Busy,
                        Some((_, false)) => Cache::Entered,
                    };
                    prop_assert_eq!(map.enter_cache(page), wanted);
                    model.entry(page).and_modify(|entry| entry.1 = true);
                }
                _ => {
                    let free = matches!(now, Some((0, true)));
                    prop_assert_eq!(map.leave_cache(page), free);
                    model.entry(page).and_modify(|entry| entry.1 = false);
                }
            }
            model.retain(|_, entry| *entry != (0, false));
            prop_assert_eq!(map.used(), model.len() as u64);
            prop_assert_eq!(map.next_used(0), model.keys().next().copied());
            prop_assert_eq!(map.count(page), model.get(&page).map_or(0, |entry| entry.0));
        }
    }

    /// Any bytes: an answer, no panic.
    #[test]
    fn headers_of_any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..5000), pages in 0u64..100) {
        let _ = Header::parse(&bytes, pages, false).map(|header| header.bad_pages().count());
    }
}

fn header(version: u32, last: u32, bad: &[u32], big: bool) -> Vec<u8> {
    let mut page = vec![0u8; PAGE_SIZE];
    let mut put = |at: usize, value: u32| {
        let bytes = if big { value.to_be_bytes() } else { value.to_le_bytes() };
        page[at..at + 4].copy_from_slice(&bytes);
    };
    put(1024, version);
    put(1028, last);
    put(1032, bad.len() as u32);
    for (i, bad) in bad.iter().enumerate() {
        put(1536 + i * 4, *bad);
    }
    page[PAGE_SIZE - 10..].copy_from_slice(b"SWAPSPACE2");
    page
}

#[test]
fn headers() {
    for big in [false, true] {
        let page = header(1, 99, &[3, 99], big);
        let parsed = Header::parse(&page, 100, false).ok().unwrap();
        assert_eq!(parsed.last_page, 99);
        assert_eq!(parsed.bad_pages().collect::<Vec<_>>(), [3, 99]);
        assert_eq!(Header::parse(&page, 100, true).err(), Some(HeaderError::BadPages));
        assert_eq!(Header::parse(&page, 99, false).err(), Some(HeaderError::TooShort));
    }
    let error = |page: &[u8]| Header::parse(page, 100, false).err();
    assert_eq!(error(&header(2, 9, &[], false)), Some(HeaderError::Version(2)));
    assert_eq!(error(&header(1, 0, &[], false)), Some(HeaderError::Empty));
    assert_eq!(error(&header(1, 9, &[0], false)), Some(HeaderError::BadPages));
    assert_eq!(error(&header(1, 9, &[10], false)), Some(HeaderError::BadPages));
    assert_eq!(error(&header(1, 9, &[1; 637], false)), None);
    assert_eq!(error(&[0; 4096]), Some(HeaderError::NoSignature));
    assert_eq!(error(&[]), Some(HeaderError::NoSignature));
}

#[test]
fn extents_of_a_file() {
    let mut extents = Extents::new();
    // 1 KB blocks: two and a half pages, of which two are whole and aligned; then what follows directly; then elsewhere.
    extents.add(8192, 10 << 10, 100).unwrap();
    extents.add(16384, 4096, 100).unwrap();
    extents.add(40960 + 1024, 8192, 100).unwrap();
    assert_eq!(extents.pages(), 4);
    assert_eq!(extents.find(0), Some((8192, 3)));
    assert_eq!(extents.find(2), Some((16384, 1)));
    assert_eq!(extents.find(3), Some((45056, 1)));
    assert_eq!(extents.find(4), None);
    extents.add(1 << 20, 1 << 20, 10).unwrap();
    assert_eq!(extents.pages(), 10);
    assert_eq!(Extents::new().find(0), None);
}
