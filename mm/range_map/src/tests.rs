// SPDX-License-Identifier: GPL-2.0
//! The map against an array that says for each of 64 places which value is there.

use crate::RangeMap;
use proptest::prelude::*;
use std::vec::Vec;

const PLACES: usize = 64;

#[derive(Clone, Debug)]
enum Op {
    Insert(usize, usize),
    Push(usize, usize),
    Remove(usize),
    RemoveMany(usize, usize),
    Split(usize),
    Shrink(usize, usize, usize),
    HoleBelow(usize, usize, usize),
    HoleAbove(usize, usize, usize),
}

fn op() -> impl Strategy<Value = Op> {
    let place = 0..PLACES;
    prop_oneof![
        (place.clone(), 1usize..12).prop_map(|(a, n)| Op::Insert(a, n)),
        (place.clone(), 1usize..12).prop_map(|(a, n)| Op::Push(a, n)),
        place.clone().prop_map(Op::Remove),
        (place.clone(), 0usize..5).prop_map(|(a, n)| Op::RemoveMany(a, n)),
        place.clone().prop_map(Op::Split),
        (place.clone(), 0usize..4, 0usize..4).prop_map(|(a, b, c)| Op::Shrink(a, b, c)),
        (1usize..10, 0usize..20, 40usize..=PLACES).prop_map(|(n, l, h)| Op::HoleBelow(n, l, h)),
        (1usize..10, 0usize..20, 40usize..=PLACES).prop_map(|(n, l, h)| Op::HoleAbove(n, l, h)),
    ]
}

fn free(model: &[u32], from: usize, len: usize) -> bool {
    model.get(from..from + len).is_some_and(|m| m.iter().all(|v| *v == 0))
}

proptest! {
    #[test]
    fn agrees_with_the_model(ops in proptest::collection::vec(op(), 1..80)) {
        let mut map = RangeMap::<u32>::new();
        let mut model = [0u32; PLACES];
        let mut next = 1u32;
        for op in ops {
            match op {
                Op::Insert(at, len) => {
                    let end = (at + len).min(PLACES);
                    let ok = free(&model, at, end - at);
                    prop_assert_eq!(map.insert(at, end, next).is_ok(), ok);
                    if ok {
                        model[at..end].fill(next);
                    }
                    next += 1;
                }
                Op::Push(at, len) => {
                    let end = (at + len).min(PLACES);
                    let ok = model[at..].iter().all(|v| *v == 0);
                    map.reserve(1).unwrap();
                    prop_assert_eq!(map.push(at, end, next).is_ok(), ok);
                    if ok {
                        model[at..end].fill(next);
                    }
                    next += 1;
                }
                Op::Remove(at) => {
                    let index = map.index(at);
                    if map.containing(at).is_some() {
                        let slot = map.remove(index).unwrap();
                        model[slot.start..slot.end].fill(0);
                    }
                }
                Op::RemoveMany(at, count) => {
                    let (index, before) = (map.index(at), map.len());
                    let mut seen = 0;
                    map.remove_many(index, count, |slot| {
                        seen += 1;
                        model[slot.start..slot.end].fill(0);
                    });
                    prop_assert_eq!(seen, count.min(before - index));
                }
                Op::Split(at) => {
                    let index = map.index(at);
                    let inside = map.get(index).is_some_and(|s| s.start < at && at < s.end);
                    let end = map.get(index).map_or(0, |s| s.end);
                    prop_assert_eq!(map.split(index, at, next).is_ok(), inside);
                    if inside {
                        model[at..end].fill(next);
                    }
                    next += 1;
                }
                Op::Shrink(at, low, high) => {
                    let index = map.index(at);
                    if let Some((s, e, v)) = map.get(index).map(|s| (s.start, s.end, s.value)) {
                        let ok = map.set_bounds(index, s + low, e.saturating_sub(high));
                        prop_assert_eq!(ok, s + low < e.saturating_sub(high));
                        if ok {
                            model[s..e].fill(0);
                            model[s + low..e - high].fill(v);
                        }
                    }
                }
                Op::HoleBelow(len, low, high) => {
                    let expect = (low..=high.saturating_sub(len)).rev().find(|a| free(&model, *a, len));
                    prop_assert_eq!(map.hole_below(len, low, high), expect);
                }
                Op::HoleAbove(len, low, high) => {
                    let expect = (low..=high.saturating_sub(len)).find(|a| free(&model, *a, len));
                    prop_assert_eq!(map.hole_above(len, low, high), expect);
                }
            }
            let mut flat = [0u32; PLACES];
            let mut last = 0;
            for slot in map.iter() {
                prop_assert!(slot.start >= last && slot.start < slot.end);
                last = slot.end;
                flat[slot.start..slot.end].fill(slot.value);
            }
            prop_assert_eq!(flat, model);
            for at in 0..PLACES {
                prop_assert_eq!(map.containing(at).map(|s| s.value), (model[at] != 0).then_some(model[at]));
            }
            let covered: Vec<bool> = (0..PLACES - 3).map(|a| model[a..a + 3].iter().all(|v| *v != 0)).collect();
            for (at, covered) in covered.into_iter().enumerate() {
                prop_assert_eq!(map.is_covered(at, at + 3), covered);
            }
        }
    }
}
