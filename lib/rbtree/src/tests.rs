// SPDX-License-Identifier: GPL-2.0
//! Tests of `rbtree`: against `BTreeMap`, checking the tree's invariants after each step.

use super::*;
use kalloc::flags::GFP_KERNEL;
use proptest::prelude::*;
use std::boxed::Box;
use std::collections::BTreeMap;
use std::vec;
use std::vec::Vec;

/// Checks order, links and colours; returns the number of black nodes on a path.
fn check<K: Ord, V>(node: Link<K, V>, parent: Link<K, V>) -> usize {
    if node.is_null() {
        return 1;
    }
    // SAFETY: `node` is a node of a borrowed tree: alive, and nobody changes it.
    unsafe {
        assert_eq!((*node).parent, parent);
        let [left, right] = (*node).child;
        for (child, side) in [(left, Ordering::Less), (right, Ordering::Greater)] {
            if !child.is_null() {
                assert_eq!((*child).key.cmp(&(*node).key), side);
                assert!(!((*node).red && (*child).red));
            }
        }
        let black = check(left, node);
        assert_eq!(black, check(right, node));
        black + usize::from(!(*node).red)
    }
}

fn check_tree<K: Ord, V>(tree: &RBTree<K, V>) {
    check(tree.root, ptr::null_mut());
    if !tree.root.is_null() {
        // SAFETY: The tree is borrowed, so its nodes are alive and nobody changes them.
        unsafe {
            assert!(!(*tree.root).red);
            assert_eq!(tree.first, outermost(tree.root, LEFT));
        }
    }
}

proptest! {
    #[test]
    fn is_a_map(ops in proptest::collection::vec((0u8..6, 0u16..64), 0..300)) {
        let mut tree = RBTree::new();
        let mut map = BTreeMap::new();
        for (n, (op, k)) in ops.into_iter().enumerate() {
            match op {
                0..3 => {
                    let old = tree.try_create_and_insert(k, Box::new(n), GFP_KERNEL).unwrap().map(|n| n.to_key_value().1);
                    prop_assert_eq!(old, map.insert(k, Box::new(n)));
                }
                3 => prop_assert_eq!(tree.remove(&k), map.remove(&k)),
                4 => prop_assert_eq!(tree.pop_first(), map.pop_first()),
                _ => {
                    let want = map.range(k..).next().map(|(k, _)| *k);
                    if let Some(c) = tree.cursor_lower_bound_mut(&k) {
                        prop_assert_eq!(Some(*c.current().0), want);
                        prop_assert_eq!(c.peek_next().map(|p| *p.0), map.range(k..).nth(1).map(|(k, _)| *k));
                        prop_assert_eq!(c.peek_prev().map(|p| *p.0), map.range(..k).next_back().map(|(k, _)| *k));
                        let (c, node) = c.remove_current();
                        map.remove(node.key());
                        let near = map.range(k..).next().or(map.range(..k).next_back()).map(|(k, _)| *k);
                        prop_assert_eq!(c.map(|c| *c.current().0), near);
                    } else {
                        prop_assert_eq!(want, None);
                    }
                }
            }
            check_tree(&tree);
            prop_assert_eq!(tree.len(), map.len());
            prop_assert!(tree.iter().eq(map.iter()));
            prop_assert_eq!(tree.first(), map.first_key_value());
            prop_assert_eq!(tree.last(), map.last_key_value());
            prop_assert_eq!(tree.get(&k), map.get(&k));
            prop_assert_eq!(tree.floor(&k), map.range(..=k).next_back());
            prop_assert_eq!(tree.before(&k), map.range(..k).next_back());
            prop_assert_eq!(tree.lower_bound(&k), map.range(k..).next());
            prop_assert_eq!(tree.upper_bound(&k), map.range(k + 1..).next());
            prop_assert!(tree.iter_from(&k).eq(map.range(k..)));
        }
        for (_, v) in tree.iter_mut() { **v += 1; }
        for v in map.values_mut() { **v += 1; }
        prop_assert!(tree.values().eq(map.values()));
    }
}

#[test]
fn node_is_used_again() {
    let mut tree = RBTree::new();
    for i in 0..100u32 {
        tree.insert(RBTreeNode::new(i, (), GFP_KERNEL).unwrap());
    }
    for i in 100..1000 {
        let mut node = tree.pop_first_node().unwrap();
        *node.key_value_mut().0 = i;
        assert!(tree.insert(node).is_none());
        check_tree(&tree);
    }
    let keys: Vec<u32> = tree.keys().copied().collect();
    assert_eq!(keys, (900..1000).collect::<Vec<_>>());
    let mut c = tree.cursor_front_mut();
    let mut seen = vec![];
    while let Some(at) = c {
        seen.push(*at.current().0);
        c = at.move_next();
    }
    assert_eq!(seen, keys);
}
