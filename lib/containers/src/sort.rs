// SPDX-License-Identifier: GPL-2.0
//! Sorting in place that takes next to no stack: heap sort, as a kernel's stack wants it.
//!
//! The sorts of `core` call themselves and keep some fifty elements on the stack at each level: of elements of 40 bytes that is two
//! kilobytes a level, and a few hundred elements go six levels deep.

/// Sorts `items` so that no item `before` the one in front of it is left. Items of which neither is before the other end in any order.
pub fn sort_by<T>(items: &mut [T], mut before: impl FnMut(&T, &T) -> bool) {
    for root in (0..items.len() / 2).rev() {
        sift_down(items, root, &mut before);
    }
    for end in (1..items.len()).rev() {
        items.swap(0, end);
        if let Some(heap) = items.get_mut(..end) {
            sift_down(heap, 0, &mut before);
        }
    }
}

/// Sorts `items` by what `key` gives of each.
pub fn sort_by_key<T, K: Ord>(items: &mut [T], mut key: impl FnMut(&T) -> K) {
    sort_by(items, |one, other| key(one) < key(other));
}

/// Sorts `items` by their own order.
pub fn sort<T: Ord>(items: &mut [T]) {
    sort_by(items, T::lt);
}

/// Moves the item at `root` down until none of its children comes after it.
fn sift_down<T>(heap: &mut [T], mut root: usize, before: &mut impl FnMut(&T, &T) -> bool) {
    while let Some(left) = heap.get(2 * root + 1) {
        let right = heap.get(2 * root + 2).is_some_and(|right| before(left, right));
        let child = 2 * root + 1 + usize::from(right);
        match (heap.get(root), heap.get(child)) {
            (Some(up), Some(down)) if before(up, down) => heap.swap(root, child),
            _ => return,
        }
        root = child;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::vec::Vec;

    proptest! {
        #[test]
        fn as_the_standard_library(items in prop::collection::vec((0u8..40, any::<u32>()), 0..300)) {
            let (mut ours, mut theirs) = (items.clone(), items.clone());
            sort(&mut ours);
            theirs.sort();
            prop_assert_eq!(&ours, &theirs);

            // Any order of what is alike: the keys are in order, and nothing is lost.
            let mut keyed = items.clone();
            sort_by_key(&mut keyed, |item| item.0);
            prop_assert!(keyed.is_sorted_by_key(|item| item.0));
            keyed.sort();
            prop_assert_eq!(&keyed, &theirs);

            let mut down: Vec<_> = items;
            sort_by(&mut down, |one, other| one > other);
            theirs.reverse();
            prop_assert_eq!(down, theirs);
        }

        /// An order that contradicts itself ends too, and loses nothing.
        #[test]
        fn no_order_at_all(items in prop::collection::vec(any::<u32>(), 0..100), mut seed: u64) {
            let mut sorted = items.clone();
            sort_by(&mut sorted, |_, _| {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                seed >> 63 != 0
            });
            sorted.sort();
            let mut items = items;
            items.sort();
            prop_assert_eq!(sorted, items);
        }
    }
}
