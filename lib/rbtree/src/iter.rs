// SPDX-License-Identifier: GPL-2.0
//! Walking through an `RBTree`: iterators and a cursor that can remove. No locks; see `rbtree`.

use super::{Link, RBTree, RIGHT, step};
use core::marker::PhantomData;

/// Entries in order.
pub struct Iter<'a, K, V> {
    next: Link<K, V>,
    _tree: PhantomData<&'a RBTree<K, V>>,
}

impl<K, V> Iter<'_, K, V> {
    /// From `next` on.
    ///
    /// # Safety
    /// `next` is null or in a tree that is borrowed for the iterator's life.
    pub(super) unsafe fn new(next: Link<K, V>) -> Self {
        Self { next, _tree: PhantomData }
    }
}

impl<'a, K, V> Iterator for Iter<'a, K, V> {
    type Item = (&'a K, &'a V);
    fn next(&mut self) -> Option<Self::Item> {
        let node = self.next;
        if node.is_null() {
            return None;
        }
        // SAFETY: The tree is borrowed, so the node stays in it.
        unsafe {
            self.next = step(node, RIGHT);
            Some((&(*node).key, &(*node).value))
        }
    }
}

/// Entries in order, with values that can be changed.
pub struct IterMut<'a, K, V> {
    next: Link<K, V>,
    _tree: PhantomData<&'a mut RBTree<K, V>>,
}

impl<K, V> IterMut<'_, K, V> {
    /// From `next` on.
    ///
    /// # Safety
    /// `next` is null or in a tree that is borrowed for the iterator's life.
    pub(super) unsafe fn new(next: Link<K, V>) -> Self {
        Self { next, _tree: PhantomData }
    }
}

impl<'a, K, V> Iterator for IterMut<'a, K, V> {
    type Item = (&'a K, &'a mut V);
    fn next(&mut self) -> Option<Self::Item> {
        let node = self.next;
        if node.is_null() {
            return None;
        }
        // SAFETY: The tree is borrowed mutably; each node is given once, and only its links are read afterwards.
        unsafe {
            self.next = step(node, RIGHT);
            Some((&(*node).key, &mut (*node).value))
        }
    }
}

impl<'a, K, V> IntoIterator for &'a RBTree<K, V> {
    type Item = (&'a K, &'a V);
    type IntoIter = Iter<'a, K, V>;

    fn into_iter(self) -> Iter<'a, K, V> {
        self.iter()
    }
}

impl<'a, K, V> IntoIterator for &'a mut RBTree<K, V> {
    type Item = (&'a K, &'a mut V);
    type IntoIter = IterMut<'a, K, V>;

    fn into_iter(self) -> IterMut<'a, K, V> {
        self.iter_mut()
    }
}
