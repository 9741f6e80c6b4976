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

mod cursor;
mod entry;
mod iter;
mod links;

pub use cursor::{Cursor, CursorMut};
pub use entry::{Entry, OccupiedEntry, VacantEntry};
pub use iter::{Iter, IterMut};

use core::cmp::Ordering;
use core::marker::PhantomData;
use core::mem::MaybeUninit;
use core::ptr;
use kalloc::{AllocError, Flags, KBox};
use links::{outermost, step};

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

    /// Drops key and value, and keeps the memory.
    pub fn into_reservation(self) -> RBTreeNodeReservation<K, V> {
        RBTreeNodeReservation(KBox::drop_contents(self.0))
    }
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

    /// A cursor at the first entry whose key is not below `key`, to change the map there.
    pub fn cursor_lower_bound_mut(&mut self, key: &K) -> Option<CursorMut<'_, K, V>> {
        let at = self.partition(|k| k < key);
        // SAFETY: A node of this map, or null.
        unsafe { CursorMut::new(self, at) }
    }

    /// A cursor at the first entry whose key is not below `key`.
    pub fn cursor_lower_bound(&self, key: &K) -> Option<Cursor<'_, K, V>> {
        // SAFETY: A node of this map, or null.
        unsafe { Cursor::new(self, self.partition(|k| k < key)) }
    }
}

impl<K, V> RBTree<K, V> {
    /// A cursor at the first entry.
    pub fn cursor_front_mut(&mut self) -> Option<CursorMut<'_, K, V>> {
        let at = self.first;
        // SAFETY: The node is null or in the tree.
        unsafe { CursorMut::new(self, at) }
    }

    /// A cursor at the last entry, to change the map there.
    pub fn cursor_back_mut(&mut self) -> Option<CursorMut<'_, K, V>> {
        let at = self.last_link();
        // SAFETY: A node of this map, or null.
        unsafe { CursorMut::new(self, at) }
    }

    /// A cursor at the first entry.
    pub fn cursor_front(&self) -> Option<Cursor<'_, K, V>> {
        // SAFETY: A node of this map, or null.
        unsafe { Cursor::new(self, self.first) }
    }

    /// A cursor at the last entry.
    pub fn cursor_back(&self) -> Option<Cursor<'_, K, V>> {
        // SAFETY: A node of this map, or null.
        unsafe { Cursor::new(self, self.last_link()) }
    }

    /// The last node; null if there is none.
    fn last_link(&self) -> Link<K, V> {
        if self.root.is_null() {
            return ptr::null_mut();
        }
        // SAFETY: The root of a tree that is not empty.
        unsafe { outermost(self.root, RIGHT) }
    }

    /// The values, in order of their keys, to change them.
    pub fn values_mut(&mut self) -> impl Iterator<Item = &mut V> {
        self.iter_mut().map(|(_, v)| v)
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
