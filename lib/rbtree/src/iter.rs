// SPDX-License-Identifier: GPL-2.0
//! Walking through an `RBTree`: iterators and a cursor that can remove. No locks; see `rbtree`.

use super::{LEFT, Link, RBTree, RBTreeNode, RIGHT, step};
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

/// A place in a tree, at an entry.
///
/// # Invariants
/// `at` is in the tree.
pub struct CursorMut<'a, K, V> {
    tree: &'a mut RBTree<K, V>,
    at: Link<K, V>,
}

impl<'a, K, V> CursorMut<'a, K, V> {
    /// A cursor at `at`, if that is not null.
    ///
    /// # Safety
    /// `at` is null or in `tree`.
    pub(super) unsafe fn new(tree: &'a mut RBTree<K, V>, at: Link<K, V>) -> Option<Self> {
        (!at.is_null()).then_some(Self { tree, at })
    }

    /// The entry.
    pub fn current(&self) -> (&K, &V) {
        // SAFETY: By the type invariant.
        unsafe { (&(*self.at).key, &(*self.at).value) }
    }

    /// The entry's value.
    pub fn current_mut(&mut self) -> (&K, &mut V) {
        // SAFETY: By the type invariant; the tree is borrowed mutably.
        unsafe { (&(*self.at).key, &mut (*self.at).value) }
    }

    /// Moves to the next entry; `None` at the end.
    pub fn move_next(self) -> Option<Self> {
        self.go(RIGHT)
    }

    /// Moves to the previous entry; `None` at the start.
    pub fn move_prev(self) -> Option<Self> {
        self.go(LEFT)
    }

    fn go(self, dir: usize) -> Option<Self> {
        // SAFETY: By the type invariant.
        let at = unsafe { step(self.at, dir) };
        (!at.is_null()).then_some(Self { tree: self.tree, at })
    }

    /// The next entry, without moving.
    pub fn peek_next(&self) -> Option<(&K, &V)> {
        // SAFETY: By the type invariant.
        unsafe { self.tree.pair(step(self.at, RIGHT)) }
    }

    /// The previous entry, without moving.
    pub fn peek_prev(&self) -> Option<(&K, &V)> {
        // SAFETY: By the type invariant.
        unsafe { self.tree.pair(step(self.at, LEFT)) }
    }

    /// Takes the entry out; the cursor moves to the next, or else to the previous.
    pub fn remove_current(self) -> (Option<Self>, RBTreeNode<K, V>) {
        // SAFETY: By the type invariant; the neighbour is another node, which stays in the tree.
        unsafe {
            let next = step(self.at, RIGHT);
            let at = if next.is_null() { step(self.at, LEFT) } else { next };
            let node = self.tree.unlink(self.at);
            ((!at.is_null()).then_some(Self { tree: self.tree, at }), node)
        }
    }
}
