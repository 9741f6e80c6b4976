// SPDX-License-Identifier: GPL-2.0
//! Where a key is in an `RBTree` or would be: looking for it once to read, insert or remove. No locks; see `rbtree`.

use super::{LEFT, Link, RBTree, RBTreeNode, RBTreeNodeReservation, RIGHT};
use core::cmp::Ordering;
use core::ptr;
use kalloc::KBox;

/// Where a key is, or would be.
pub enum Entry<'a, K, V> {
    /// It is not there.
    Vacant(VacantEntry<'a, K, V>),
    /// It is there.
    Occupied(OccupiedEntry<'a, K, V>),
}

/// Where a key would be.
///
/// # Invariants
/// `parent` is null if the tree is empty; else it is in the tree, and its side `dir` is empty and where the order wants `key`.
pub struct VacantEntry<'a, K, V> {
    tree: &'a mut RBTree<K, V>,
    parent: Link<K, V>,
    dir: usize,
    key: K,
}

impl<'a, K, V> VacantEntry<'a, K, V> {
    /// The key.
    pub fn key(&self) -> &K {
        &self.key
    }

    /// Puts it there with this value.
    pub fn insert(self, value: V, reservation: RBTreeNodeReservation<K, V>) -> &'a mut V {
        let node = KBox::into_raw(reservation.into_node(self.key, value).0);
        // SAFETY: A new node, at a place that is as the type invariant says.
        unsafe {
            self.tree.link(node, self.parent, self.dir);
            &mut (*node).value
        }
    }
}

/// Where a key is.
///
/// # Invariants
/// `at` is in the tree.
pub struct OccupiedEntry<'a, K, V> {
    tree: &'a mut RBTree<K, V>,
    at: Link<K, V>,
}

impl<'a, K, V> OccupiedEntry<'a, K, V> {
    /// The value.
    pub fn get(&self) -> &V {
        // SAFETY: By the type invariant.
        unsafe { &(*self.at).value }
    }

    /// The value, to change it.
    pub fn get_mut(&mut self) -> &mut V {
        // SAFETY: By the type invariant; the tree is borrowed mutably.
        unsafe { &mut (*self.at).value }
    }

    /// The value, for as long as the tree is borrowed.
    pub fn into_mut(self) -> &'a mut V {
        // SAFETY: As above.
        unsafe { &mut (*self.at).value }
    }

    /// Takes the entry out.
    pub fn remove_node(self) -> RBTreeNode<K, V> {
        // SAFETY: By the type invariant.
        unsafe { self.tree.unlink(self.at) }
    }

    /// Takes the entry out, and gives its value.
    pub fn remove(self) -> V {
        self.remove_node().to_key_value().1
    }
}

impl<K: Ord, V> RBTree<K, V> {
    /// Where `key` is, or would be.
    pub fn entry(&mut self, key: K) -> Entry<'_, K, V> {
        let (mut parent, mut dir, mut at) = (ptr::null_mut(), LEFT, self.root);
        while !at.is_null() {
            // SAFETY: The nodes of the tree are valid.
            unsafe {
                dir = match key.cmp(&(*at).key) {
                    Ordering::Less => LEFT,
                    Ordering::Greater => RIGHT,
                    Ordering::Equal => return Entry::Occupied(OccupiedEntry { tree: self, at }),
                };
                parent = at;
                at = (&(*at).child)[dir];
            }
        }
        Entry::Vacant(VacantEntry { tree: self, parent, dir, key })
    }

    /// Where `key` is, if it is there.
    pub fn find_mut(&mut self, key: &K) -> Option<OccupiedEntry<'_, K, V>> {
        let at = self.find_link(key);
        (!at.is_null()).then_some(OccupiedEntry { tree: self, at })
    }
}
