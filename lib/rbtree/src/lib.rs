// SPDX-License-Identifier: GPL-2.0
//! `RBTree`: an ordered map as a red-black tree, with R4L's interface (`kernel::rbtree`): nodes can be allocated ahead
//! (`RBTreeNodeReservation`, `RBTreeNode`), so that inserting under a spin lock cannot fail, and a removed node can be
//! used again: a run queue moves the node of a task in and out without the allocator. The leftmost node is cached.
//! No locks: the owner's lock guards it.
//!
//! A named container of level 0: nodes have parent links, which ownership cannot express.

#![no_std]

#[cfg(test)]
extern crate std;

mod iter;

pub use iter::{CursorMut, Iter, IterMut};

use core::cmp::Ordering;
use core::marker::PhantomData;
use core::mem::MaybeUninit;
use core::ptr;
use kalloc::{AllocError, Flags, KBox};

/// A node. Links of a node that is in no tree mean nothing.
struct Node<K, V> {
    parent: *mut Node<K, V>,
    /// Left and right.
    child: [*mut Node<K, V>; 2],
    red: bool,
    key: K,
    value: V,
}

type Link<K, V> = *mut Node<K, V>;

const LEFT: usize = 0;
const RIGHT: usize = 1;

/// An ordered map.
///
/// # Invariants
/// `root` is null or the root of a tree of nodes from `KBox::into_raw`, owned by the tree, ordered by key, whose links
/// agree in both directions, without a red child of a red node and with as many black nodes on each path; `first` is its
/// leftmost node.
pub struct RBTree<K, V> {
    root: Link<K, V>,
    first: Link<K, V>,
    len: usize,
    _p: PhantomData<KBox<Node<K, V>>>,
}

// SAFETY: The tree owns its nodes as a box would.
unsafe impl<K: Send, V: Send> Send for RBTree<K, V> {}
// SAFETY: As above; shared access only reads.
unsafe impl<K: Sync, V: Sync> Sync for RBTree<K, V> {}

/// Memory for a node.
pub struct RBTreeNodeReservation<K, V>(KBox<MaybeUninit<Node<K, V>>>);

/// A node with key and value, ready to be inserted.
pub struct RBTreeNode<K, V>(KBox<Node<K, V>>);

// SAFETY: The links of a node outside a tree are not followed.
unsafe impl<K: Send, V: Send> Send for RBTreeNodeReservation<K, V> {}
// SAFETY: As above.
unsafe impl<K: Sync, V: Sync> Sync for RBTreeNodeReservation<K, V> {}
// SAFETY: As above.
unsafe impl<K: Send, V: Send> Send for RBTreeNode<K, V> {}
// SAFETY: As above.
unsafe impl<K: Sync, V: Sync> Sync for RBTreeNode<K, V> {}

impl<K, V> RBTreeNodeReservation<K, V> {
    /// Allocates.
    pub fn new(flags: Flags) -> Result<Self, AllocError> {
        Ok(Self(KBox::<Node<K, V>>::new_uninit(flags)?))
    }

    /// Makes it a node.
    pub fn into_node(self, key: K, value: V) -> RBTreeNode<K, V> {
        let node = Node { parent: ptr::null_mut(), child: [ptr::null_mut(); 2], red: true, key, value };
        RBTreeNode(KBox::write(self.0, node))
    }
}

impl<K, V> RBTreeNode<K, V> {
    /// Allocates a node.
    pub fn new(key: K, value: V, flags: Flags) -> Result<Self, AllocError> {
        Ok(RBTreeNodeReservation::new(flags)?.into_node(key, value))
    }

    /// The key.
    pub fn key(&self) -> &K {
        &self.0.key
    }

    /// The value.
    pub fn value(&self) -> &V {
        &self.0.value
    }

    /// Key and value, to change before the node is inserted again.
    pub fn key_value_mut(&mut self) -> (&mut K, &mut V) {
        let node = &mut *self.0;
        (&mut node.key, &mut node.value)
    }

    /// Takes key and value out and frees the node.
    pub fn to_key_value(self) -> (K, V) {
        let node = KBox::into_inner(self.0);
        (node.key, node.value)
    }
}

/// The neighbour of a node in order: the next for `RIGHT`, the previous for `LEFT`; null at the end.
///
/// # Safety
/// `node` is in a tree that upholds the invariants and is not changed meanwhile.
unsafe fn step<K, V>(mut node: Link<K, V>, dir: usize) -> Link<K, V> {
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
unsafe fn outermost<K, V>(mut node: Link<K, V>, dir: usize) -> Link<K, V> {
    // SAFETY: As in `step`.
    unsafe {
        while !(&(*node).child)[dir].is_null() {
            node = (&(*node).child)[dir];
        }
    }
    node
}

impl<K, V> RBTree<K, V> {
    /// An empty tree.
    pub const fn new() -> Self {
        Self { root: ptr::null_mut(), first: ptr::null_mut(), len: 0, _p: PhantomData }
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.root.is_null()
    }

    /// # Safety
    /// `node` is null or in this tree.
    unsafe fn pair(&self, node: Link<K, V>) -> Option<(&K, &V)> {
        if node.is_null() {
            return None;
        }
        // SAFETY: The node is valid while the tree is borrowed.
        unsafe { Some((&(*node).key, &(*node).value)) }
    }

    /// The entry with the least key.
    #[inline]
    pub fn first(&self) -> Option<(&K, &V)> {
        // SAFETY: `first` is null or in the tree.
        unsafe { self.pair(self.first) }
    }

    /// The entry with the greatest key.
    pub fn last(&self) -> Option<(&K, &V)> {
        if self.root.is_null() {
            return None;
        }
        // SAFETY: The root is in the tree.
        unsafe { self.pair(outermost(self.root, RIGHT)) }
    }

    /// All entries in order.
    pub fn iter(&self) -> Iter<'_, K, V> {
        // SAFETY: The node is null or in this tree, which is borrowed for as long.
        unsafe { Iter::new(self.first) }
    }

    /// All entries in order, with values that can be changed.
    pub fn iter_mut(&mut self) -> IterMut<'_, K, V> {
        // SAFETY: The node is null or in this tree, which is borrowed for as long.
        unsafe { IterMut::new(self.first) }
    }

    /// All keys in order.
    pub fn keys(&self) -> impl Iterator<Item = &K> {
        self.iter().map(|(k, _)| k)
    }

    /// All values in the order of the keys.
    pub fn values(&self) -> impl Iterator<Item = &V> {
        self.iter().map(|(_, v)| v)
    }

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
    unsafe fn link(&mut self, mut node: Link<K, V>, parent: Link<K, V>, dir: usize) {
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
    unsafe fn unlink(&mut self, node: Link<K, V>) -> RBTreeNode<K, V> {
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

    /// Removes and returns the node with the least key.
    #[inline]
    pub fn pop_first_node(&mut self) -> Option<RBTreeNode<K, V>> {
        if self.first.is_null() {
            return None;
        }
        // SAFETY: `first` is in the tree.
        Some(unsafe { self.unlink(self.first) })
    }

    /// Removes and returns the entry with the least key.
    pub fn pop_first(&mut self) -> Option<(K, V)> {
        Some(self.pop_first_node()?.to_key_value())
    }

    /// Removes all entries.
    pub fn clear(&mut self) {
        let mut node = core::mem::replace(&mut self.root, ptr::null_mut());
        self.first = ptr::null_mut();
        self.len = 0;
        // Leaves first, without recursion: go down, free, go up.
        while !node.is_null() {
            // SAFETY: The node came from `KBox::into_raw`, and no link to it is left when it is freed.
            unsafe {
                if let Some(child) = (*node).child.iter_mut().find(|c| !c.is_null()) {
                    node = core::mem::replace(child, ptr::null_mut());
                } else {
                    let parent = (*node).parent;
                    drop(KBox::from_raw(node));
                    node = parent;
                }
            }
        }
    }
}

impl<K: Ord, V> RBTree<K, V> {
    /// The node of `key`.
    #[inline]
    fn find_link(&self, key: &K) -> Link<K, V> {
        let mut node = self.root;
        while !node.is_null() {
            // SAFETY: Links of nodes in the tree are null or point to nodes of the same tree.
            unsafe {
                match key.cmp(&(*node).key) {
                    Ordering::Equal => break,
                    Ordering::Less => node = (&(*node).child)[LEFT],
                    Ordering::Greater => node = (&(*node).child)[RIGHT],
                }
            }
        }
        node
    }

    /// The first node for which `before(key)` is false; `before` is true up to some key and false from there on.
    #[inline]
    fn partition(&self, mut before: impl FnMut(&K) -> bool) -> Link<K, V> {
        let (mut node, mut best) = (self.root, ptr::null_mut());
        while !node.is_null() {
            // SAFETY: As in `find_link`.
            unsafe {
                if before(&(*node).key) {
                    node = (&(*node).child)[RIGHT];
                } else {
                    best = node;
                    node = (&(*node).child)[LEFT];
                }
            }
        }
        best
    }

    /// The last node for which `before(key)` is true (see `partition`).
    #[inline]
    fn partition_last(&self, mut before: impl FnMut(&K) -> bool) -> Link<K, V> {
        let (mut node, mut best) = (self.root, ptr::null_mut());
        while !node.is_null() {
            // SAFETY: As in `find_link`.
            unsafe {
                if before(&(*node).key) {
                    best = node;
                    node = (&(*node).child)[RIGHT];
                } else {
                    node = (&(*node).child)[LEFT];
                }
            }
        }
        best
    }

    /// Inserts a node; an entry with the same key is replaced and its node returned. Cannot fail.
    pub fn insert(&mut self, node: RBTreeNode<K, V>) -> Option<RBTreeNode<K, V>> {
        let node = KBox::into_raw(node.0);
        let (mut parent, mut dir) = (ptr::null_mut(), LEFT);
        let mut at = self.root;
        while !at.is_null() {
            // SAFETY: As in `find_link`; the new node is valid.
            unsafe {
                dir = match (*node).key.cmp(&(*at).key) {
                    Ordering::Less => LEFT,
                    Ordering::Greater => RIGHT,
                    Ordering::Equal => {
                        // The new node takes the entry and the old one its place in memory: links stay as they are.
                        core::mem::swap(&mut (*node).key, &mut (*at).key);
                        core::mem::swap(&mut (*node).value, &mut (*at).value);
                        return Some(RBTreeNode(KBox::from_raw(node)));
                    }
                };
                parent = at;
                at = (&(*at).child)[dir];
            }
        }
        // SAFETY: The search ended at an empty side of `parent`, where the order wants the node.
        unsafe { self.link(node, parent, dir) };
        None
    }

    /// Allocates a node and inserts; returns the node that was replaced.
    pub fn try_create_and_insert(
        &mut self,
        key: K,
        value: V,
        flags: Flags,
    ) -> Result<Option<RBTreeNode<K, V>>, AllocError> {
        Ok(self.insert(RBTreeNode::new(key, value, flags)?))
    }

    /// The value of `key`.
    #[inline]
    pub fn get(&self, key: &K) -> Option<&V> {
        // SAFETY: `find_link` gives null or a node of the tree.
        unsafe { self.pair(self.find_link(key)).map(|(_, v)| v) }
    }

    /// The value of `key`.
    pub fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        let node = self.find_link(key);
        // SAFETY: The node is null or in the tree, which is borrowed mutably.
        unsafe { node.as_mut().map(|n| &mut n.value) }
    }

    /// Takes the node of `key` out.
    pub fn remove_node(&mut self, key: &K) -> Option<RBTreeNode<K, V>> {
        let node = self.find_link(key);
        if node.is_null() {
            return None;
        }
        // SAFETY: The node is in the tree.
        Some(unsafe { self.unlink(node) })
    }

    /// Removes and returns the value of `key`.
    pub fn remove(&mut self, key: &K) -> Option<V> {
        Some(self.remove_node(key)?.to_key_value().1)
    }

    /// The first entry whose key is at least `key`.
    #[inline]
    pub fn lower_bound(&self, key: &K) -> Option<(&K, &V)> {
        // SAFETY: `partition` gives null or a node of the tree.
        unsafe { self.pair(self.partition(|k| k < key)) }
    }

    /// The first entry whose key is above `key`.
    #[inline]
    pub fn upper_bound(&self, key: &K) -> Option<(&K, &V)> {
        // SAFETY: `partition` gives null or a node of the tree.
        unsafe { self.pair(self.partition(|k| k <= key)) }
    }

    /// The last entry whose key is at most `key`: the interval that may hold it, where keys are starts.
    #[inline]
    pub fn floor(&self, key: &K) -> Option<(&K, &V)> {
        // SAFETY: `partition_last` gives null or a node of the tree.
        unsafe { self.pair(self.partition_last(|k| k <= key)) }
    }

    /// The last entry whose key is at most `key`.
    pub fn floor_mut(&mut self, key: &K) -> Option<(&K, &mut V)> {
        let node = self.partition_last(|k| k <= key);
        if node.is_null() {
            return None;
        }
        // SAFETY: The node is in the tree, which is borrowed mutably; keys are only read.
        unsafe { Some((&(*node).key, &mut (*node).value)) }
    }

    /// The last entry whose key is below `key`.
    pub fn before(&self, key: &K) -> Option<(&K, &V)> {
        // SAFETY: `partition_last` gives null or a node of the tree.
        unsafe { self.pair(self.partition_last(|k| k < key)) }
    }

    /// The entries from `key` on, in order.
    pub fn iter_from(&self, key: &K) -> Iter<'_, K, V> {
        // SAFETY: The node is null or in this tree, which is borrowed for as long.
        unsafe { Iter::new(self.partition(|k| k < key)) }
    }

    /// The entries from `key` on, in order, with values that can be changed.
    pub fn iter_mut_from(&mut self, key: &K) -> IterMut<'_, K, V> {
        // SAFETY: The node is null or in this tree, which is borrowed for as long.
        unsafe { IterMut::new(self.partition(|k| k < key)) }
    }

    /// A cursor at the first entry whose key is at least `key`.
    pub fn cursor_lower_bound(&mut self, key: &K) -> Option<CursorMut<'_, K, V>> {
        let at = self.partition(|k| k < key);
        // SAFETY: The node is null or in the tree.
        unsafe { CursorMut::new(self, at) }
    }
}

impl<K, V> RBTree<K, V> {
    /// A cursor at the first entry.
    pub fn cursor_front_mut(&mut self) -> Option<CursorMut<'_, K, V>> {
        let at = self.first;
        // SAFETY: The node is null or in the tree.
        unsafe { CursorMut::new(self, at) }
    }
}

impl<K, V> Default for RBTree<K, V> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K, V> Drop for RBTree<K, V> {
    fn drop(&mut self) {
        self.clear();
    }
}

#[cfg(test)]
mod tests;
