// SPDX-License-Identifier: GPL-2.0
//! Places in an `RBTree`, at an entry: to look around, and to change the map there. No locks; see `rbtree`.

use super::{LEFT, Link, RBTree, RBTreeNode, RIGHT, step};

/// A place in a tree, at an entry.
///
/// # Invariants
/// `at` is in the tree.
pub struct Cursor<'a, K, V> {
    tree: &'a RBTree<K, V>,
    at: Link<K, V>,
}

// SAFETY: It is a shared reference to the tree.
unsafe impl<K: Sync, V: Sync> Send for Cursor<'_, K, V> {}
// SAFETY: As above.
unsafe impl<K: Sync, V: Sync> Sync for Cursor<'_, K, V> {}

impl<'a, K, V> Cursor<'a, K, V> {
    /// A cursor at `at`, if that is not null.
    ///
    /// # Safety
    /// `at` is null or in `tree`.
    pub(super) unsafe fn new(tree: &'a RBTree<K, V>, at: Link<K, V>) -> Option<Self> {
        (!at.is_null()).then_some(Self { tree, at })
    }

    /// The entry.
    pub fn current(&self) -> (&K, &V) {
        // SAFETY: By the type invariant.
        unsafe { (&(*self.at).key, &(*self.at).value) }
    }

    /// Moves to the next entry; `None` at the end.
    pub fn move_next(self) -> Option<Self> {
        // SAFETY: By the type invariant.
        unsafe { Self::new(self.tree, step(self.at, RIGHT)) }
    }

    /// Moves to the previous entry; `None` at the start.
    pub fn move_prev(self) -> Option<Self> {
        // SAFETY: By the type invariant.
        unsafe { Self::new(self.tree, step(self.at, LEFT)) }
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
}

/// A place in a tree, at an entry, where the tree can be changed.
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

    /// The next entry, to change its value, without moving.
    pub fn peek_next_mut(&mut self) -> Option<(&K, &mut V)> {
        self.peek_mut(RIGHT)
    }

    /// The previous entry, to change its value, without moving.
    pub fn peek_prev_mut(&mut self) -> Option<(&K, &mut V)> {
        self.peek_mut(LEFT)
    }

    fn peek_mut(&mut self, dir: usize) -> Option<(&K, &mut V)> {
        // SAFETY: By the type invariant; the tree is borrowed mutably.
        unsafe {
            let node = step(self.at, dir);
            (!node.is_null()).then(|| (&(*node).key, &mut (*node).value))
        }
    }

    /// Takes the next entry out.
    pub fn remove_next(&mut self) -> Option<RBTreeNode<K, V>> {
        self.remove_beside(RIGHT)
    }

    /// Takes the previous entry out.
    pub fn remove_prev(&mut self) -> Option<RBTreeNode<K, V>> {
        self.remove_beside(LEFT)
    }

    fn remove_beside(&mut self, dir: usize) -> Option<RBTreeNode<K, V>> {
        // SAFETY: By the type invariant; it is another node, so that the cursor's stays.
        unsafe {
            let node = step(self.at, dir);
            (!node.is_null()).then(|| self.tree.unlink(node))
        }
    }
}
