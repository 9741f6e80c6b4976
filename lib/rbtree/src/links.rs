// SPDX-License-Identifier: GPL-2.0
//! The links of an `RBTree`: to the neighbours of a node, and how nodes come into and out of a tree that stays balanced. No locks; see the
//! crate.

use crate::{LEFT, Link, RBTree, RBTreeNode, RIGHT};
use core::ptr;
use kalloc::KBox;

/// The neighbour of a node in order: the next for `RIGHT`, the previous for `LEFT`; null at the end.
///
/// # Safety
/// `node` is in a tree that upholds the invariants and is not changed meanwhile.
pub(crate) unsafe fn step<K, V>(mut node: Link<K, V>, dir: usize) -> Link<K, V> {
    // SAFETY: Links of nodes in a tree are null or point to nodes of the same tree.
    unsafe {
        if !(&(*node).child)[dir].is_null() {
            return outermost((&(*node).child)[dir], 1 - dir);
        }
        loop {
            let parent = (*node).parent;
            if parent.is_null() || (&(*parent).child)[dir] != node {
                return parent;
            }
            node = parent;
        }
    }
}

/// The leftmost or rightmost node below `node`.
///
/// # Safety
/// As for `step`.
pub(crate) unsafe fn outermost<K, V>(mut node: Link<K, V>, dir: usize) -> Link<K, V> {
    // SAFETY: As in `step`.
    unsafe {
        while !(&(*node).child)[dir].is_null() {
            node = (&(*node).child)[dir];
        }
    }
    node
}

impl<K, V> RBTree<K, V> {
    /// Turns `node` down to the side `dir`; its child of the other side takes its place.
    ///
    /// # Safety
    /// `node` is in this tree and has a child on the side other than `dir`.
    unsafe fn rotate(&mut self, node: Link<K, V>, dir: usize) {
        // SAFETY: Links of nodes in the tree are null or point to nodes of the same tree; all are set consistently here.
        unsafe {
            let up = (&(*node).child)[1 - dir];
            let inner = (&(*up).child)[dir];
            (&mut (*node).child)[1 - dir] = inner;
            if !inner.is_null() {
                (*inner).parent = node;
            }
            self.replace(node, up);
            (&mut (*up).child)[dir] = node;
            (*node).parent = up;
        }
    }

    /// Hangs `new` (may be null) where `old` hangs.
    ///
    /// # Safety
    /// `old` is in this tree; `new` is null or a valid node.
    unsafe fn replace(&mut self, old: Link<K, V>, new: Link<K, V>) {
        // SAFETY: As in `rotate`.
        unsafe {
            let parent = (*old).parent;
            if parent.is_null() {
                self.root = new;
            } else {
                let side = usize::from((&(*parent).child)[RIGHT] == old);
                (&mut (*parent).child)[side] = new;
            }
            if !new.is_null() {
                (*new).parent = parent;
            }
        }
    }

    /// Hangs a new red node below `parent` and restores the colours.
    ///
    /// # Safety
    /// `node` is a valid node of no tree; `parent` is null for an empty tree, or in this tree with an empty side `dir`
    /// where the order wants `node`.
    pub(crate) unsafe fn link(&mut self, mut node: Link<K, V>, parent: Link<K, V>, dir: usize) {
        self.len += 1;
        // SAFETY: As in `rotate`; a red node has a parent, as the root is black.
        unsafe {
            (*node).parent = parent;
            (*node).child = [ptr::null_mut(); 2];
            (*node).red = true;
            if parent.is_null() {
                self.root = node;
                self.first = node;
            } else {
                (&mut (*parent).child)[dir] = node;
                if dir == LEFT && parent == self.first {
                    self.first = node;
                }
            }
            loop {
                let parent = (*node).parent;
                if parent.is_null() {
                    (*node).red = false;
                    return;
                }
                if !(*parent).red {
                    return;
                }
                let grand = (*parent).parent;
                let side = usize::from((&(*grand).child)[RIGHT] == parent);
                let uncle = (&(*grand).child)[1 - side];
                if !uncle.is_null() && (*uncle).red {
                    (*parent).red = false;
                    (*uncle).red = false;
                    (*grand).red = true;
                    node = grand;
                    continue;
                }
                let mut top = parent;
                if (&(*parent).child)[1 - side] == node {
                    self.rotate(parent, side);
                    top = node;
                }
                (*top).red = false;
                (*grand).red = true;
                self.rotate(grand, 1 - side);
                return;
            }
        }
    }

    /// Takes a node out of the tree.
    ///
    /// # Safety
    /// `node` is in this tree.
    pub(crate) unsafe fn unlink(&mut self, node: Link<K, V>) -> RBTreeNode<K, V> {
        self.len -= 1;
        // SAFETY: As in `rotate`. At the end no link leads to the node, which came from `KBox::into_raw`.
        unsafe {
            if self.first == node {
                self.first = step(node, RIGHT);
            }
            let [left, right] = (*node).child;
            // What moves up, whose parent it gets, and the colour that goes missing there.
            let (moved, parent, black);
            if left.is_null() || right.is_null() {
                moved = if left.is_null() { right } else { left };
                parent = (*node).parent;
                black = !(*node).red;
                self.replace(node, moved);
            } else {
                let next = outermost(right, LEFT);
                black = !(*next).red;
                moved = (&(*next).child)[RIGHT];
                if next == right {
                    parent = next;
                } else {
                    parent = (*next).parent;
                    self.replace(next, moved);
                    (&mut (*next).child)[RIGHT] = right;
                    (*right).parent = next;
                }
                self.replace(node, next);
                (&mut (*next).child)[LEFT] = left;
                (*left).parent = next;
                (*next).red = (*node).red;
            }
            if black {
                self.restore(moved, parent);
            }
            RBTreeNode(KBox::from_raw(node))
        }
    }

    /// Restores the colours after a black node went missing above `node`, which may be null.
    ///
    /// # Safety
    /// `node` is null or in this tree, below `parent`; only the black count of paths through it is one short.
    unsafe fn restore(&mut self, mut node: Link<K, V>, mut parent: Link<K, V>) {
        // SAFETY: As in `rotate`; the sibling of a node whose path is short is never null.
        unsafe {
            let is_red = |n: Link<K, V>| !n.is_null() && (*n).red;
            while !parent.is_null() && !is_red(node) {
                let side = usize::from((&(*parent).child)[LEFT] != node);
                let mut sibling = (&(*parent).child)[1 - side];
                if (*sibling).red {
                    (*sibling).red = false;
                    (*parent).red = true;
                    self.rotate(parent, side);
                    sibling = (&(*parent).child)[1 - side];
                }
                if !is_red((&(*sibling).child)[LEFT]) && !is_red((&(*sibling).child)[RIGHT]) {
                    (*sibling).red = true;
                    node = parent;
                    parent = (*node).parent;
                    continue;
                }
                if !is_red((&(*sibling).child)[1 - side]) {
                    (*(&(*sibling).child)[side]).red = false;
                    (*sibling).red = true;
                    self.rotate(sibling, 1 - side);
                    sibling = (&(*parent).child)[1 - side];
                }
                (*sibling).red = (*parent).red;
                (*parent).red = false;
                (*(&(*sibling).child)[1 - side]).red = false;
                self.rotate(parent, side);
                return;
            }
            if !node.is_null() {
                (*node).red = false;
            }
        }
    }
}
