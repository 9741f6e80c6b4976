// SPDX-License-Identifier: GPL-2.0
//! `XArray`: a sparse array from a 64-bit index to a value, with three marks an entry, as a tree of nodes of 64 slots.
//! Page caches and tables by number use it. A lookup costs about four instructions a level; an array whose only
//! entry is at index 0 has no node. No locks: the owner's lock guards it.

use kalloc::{AllocError, Flags, KBox};

const BITS: u32 = 6;
const SLOTS: usize = 1 << BITS;

/// A property of an entry that can be searched for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mark {
    /// In page caches: dirty.
    Mark0,
    /// In page caches: under write-back.
    Mark1,
    /// In page caches: to be written.
    Mark2,
}

const MARKS: usize = 3;

/// The slots of one kind. A leaf's are values, an inner node's are nodes.
#[allow(clippy::large_enum_variant, reason = "always behind a node's box, and about as large for pointers")]
enum Slots<T> {
    Inner([Option<KBox<Node<T>>>; SLOTS]),
    Leaf([Option<T>; SLOTS]),
}

struct Node<T> {
    /// Which slots are not empty.
    present: u64,
    /// Which slots have each mark (themselves or below).
    marks: [u64; MARKS],
    slots: Slots<T>,
}

/// Where the entries are.
enum Root<T> {
    Empty,
    /// The only entry, at index 0, with its marks as bits.
    Single(T, u8),
    Tree(KBox<Node<T>>),
}

/// A sparse array of `T`.
pub struct XArray<T> {
    root: Root<T>,
    /// The root node's shift: it covers indices below `1 << (shift + BITS)`.
    shift: u32,
}

impl<T> Node<T> {
    fn new(shift: u32, flags: Flags) -> Result<KBox<Self>, AllocError> {
        let slots =
            if shift == 0 { Slots::Leaf([const { None }; SLOTS]) } else { Slots::Inner([const { None }; SLOTS]) };
        KBox::new(Node { present: 0, marks: [0; MARKS], slots }, flags)
    }

    /// Removes the entry at `index` and nodes that became empty below this one.
    fn erase(&mut self, shift: u32, index: u64) -> Option<T> {
        let i = slot(index, shift);
        let old;
        let (mut gone, mut keep) = (false, [false; MARKS]);
        match &mut self.slots {
            Slots::Leaf(slots) => {
                old = slots.get_mut(i).and_then(Option::take);
                gone = true;
            }
            Slots::Inner(slots) => {
                let place = slots.get_mut(i)?;
                let child = place.as_mut()?;
                old = child.erase(shift - BITS, index);
                if child.present == 0 {
                    gone = true;
                    *place = None;
                } else {
                    keep = child.marks.map(|m| m != 0);
                }
            }
        }
        if gone {
            self.present &= !(1 << i);
        }
        for (marks, keep) in self.marks.iter_mut().zip(keep) {
            if !keep {
                *marks &= !(1 << i);
            }
        }
        old
    }

    /// Sets or clears a mark; returns false if there is no entry.
    fn set_mark(&mut self, shift: u32, index: u64, mark: Mark, on: bool) -> bool {
        let i = slot(index, shift);
        let any = match &mut self.slots {
            Slots::Leaf(slots) => {
                if slots.get(i).is_none_or(Option::is_none) {
                    return false;
                }
                on
            }
            Slots::Inner(slots) => {
                let Some(Some(child)) = slots.get_mut(i) else { return false };
                if !child.set_mark(shift - BITS, index, mark, on) {
                    return false;
                }
                child.marks[mark as usize] != 0
            }
        };
        let marks = &mut self.marks[mark as usize];
        *marks = *marks & !(1 << i) | u64::from(any) << i;
        true
    }

    /// The leaf that holds the first wanted entry at or after `from`, with its base and the wanted bits from there on.
    fn find_leaf(&self, shift: u32, base: u64, from: u64, mark: Option<Mark>) -> Option<(&Self, u64, u64)> {
        let wanted = match mark {
            None => self.present,
            Some(m) => self.marks[m as usize],
        };
        let first = if from <= base { 0 } else { (from - base) >> shift };
        let mut bits = if first < SLOTS as u64 { wanted & (u64::MAX << first) } else { 0 };
        match &self.slots {
            Slots::Leaf(_) => (bits != 0).then_some((self, base, bits)),
            Slots::Inner(slots) => {
                while bits != 0 {
                    let i = bits.trailing_zeros();
                    bits &= bits - 1;
                    let child_base = base + (u64::from(i) << shift);
                    if let Some(Some(child)) = slots.get(i as usize)
                        && let Some(found) = child.find_leaf(shift - BITS, child_base, from, mark)
                    {
                        return Some(found);
                    }
                }
                None
            }
        }
    }
}

#[inline(always)]
fn slot(index: u64, shift: u32) -> usize {
    (index >> shift) as usize & (SLOTS - 1)
}

impl<T> XArray<T> {
    /// An empty array.
    pub const fn new() -> Self {
        Self { root: Root::Empty, shift: 0 }
    }

    /// Whether there are no entries.
    #[inline]
    pub fn is_empty(&self) -> bool {
        matches!(self.root, Root::Empty)
    }

    #[inline(always)]
    fn covers(&self, index: u64) -> bool {
        index.checked_shr(self.shift + BITS).unwrap_or(0) == 0
    }

    /// The entry at `index`.
    #[inline]
    pub fn load(&self, index: u64) -> Option<&T> {
        let mut node = match &self.root {
            Root::Tree(node) if self.covers(index) => &**node,
            Root::Single(value, _) if index == 0 => return Some(value),
            _ => return None,
        };
        let mut shift = self.shift;
        loop {
            match &node.slots {
                Slots::Leaf(slots) => return slots[slot(index, 0)].as_ref(),
                Slots::Inner(slots) => node = slots[slot(index, shift)].as_deref()?,
            }
            shift = shift.wrapping_sub(BITS) & 63;
        }
    }

    /// The entry at `index`.
    pub fn load_mut(&mut self, index: u64) -> Option<&mut T> {
        let covered = self.covers(index);
        let mut node = match &mut self.root {
            Root::Tree(node) if covered => &mut **node,
            Root::Single(value, _) if index == 0 => return Some(value),
            _ => return None,
        };
        let mut shift = self.shift;
        loop {
            match &mut node.slots {
                Slots::Leaf(slots) => return slots[slot(index, 0)].as_mut(),
                Slots::Inner(slots) => node = slots[slot(index, shift)].as_deref_mut()?,
            }
            shift = shift.wrapping_sub(BITS) & 63;
        }
    }

    /// Puts `value` at `index`; returns what was there. Marks of a replaced entry stay. On failure nothing changes and
    /// the value is dropped.
    pub fn store(&mut self, index: u64, value: T, flags: Flags) -> Result<Option<T>, AllocError> {
        self.reserve(index, flags)?;
        match self.place(index) {
            Some(place) => Ok(place.replace(value)),
            None => match &mut self.root {
                Root::Single(old, _) => Ok(Some(core::mem::replace(old, value))),
                root => {
                    *root = Root::Single(value, 0);
                    Ok(None)
                }
            },
        }
    }

    /// Puts `value` at `index` if nothing is there; gives it back in `Ok(Some(value))` if something is.
    pub fn insert(&mut self, index: u64, value: T, flags: Flags) -> Result<Option<T>, AllocError> {
        if self.load(index).is_some() {
            return Ok(Some(value));
        }
        self.store(index, value, flags)
    }

    /// Makes nodes down to `index`. After it `place(index)` is `Some`, or `index` is 0 and there is no tree.
    fn reserve(&mut self, index: u64, flags: Flags) -> Result<(), AllocError> {
        if index == 0 && !matches!(self.root, Root::Tree(_)) {
            return Ok(());
        }
        self.grow(index, flags)?;
        let done = self.make_path(index, flags);
        if done.is_err() {
            self.prune(index);
        }
        done
    }

    /// Makes the root a node that covers `index`.
    fn grow(&mut self, index: u64, flags: Flags) -> Result<(), AllocError> {
        if !matches!(self.root, Root::Tree(_)) {
            let mut node = Node::new(0, flags)?;
            if let Root::Single(value, marks) = core::mem::replace(&mut self.root, Root::Empty) {
                if let Slots::Leaf(slots) = &mut node.slots {
                    slots[0] = Some(value);
                }
                node.present = 1;
                for (i, m) in node.marks.iter_mut().enumerate() {
                    *m = u64::from(marks >> i & 1);
                }
            }
            self.root = Root::Tree(node);
            self.shift = 0;
        }
        while !self.covers(index) {
            let shift = self.shift + BITS;
            let mut parent = match Node::new(shift, flags) {
                Ok(parent) => parent,
                Err(e) => {
                    self.prune(index);
                    return Err(e);
                }
            };
            if let Root::Tree(node) = core::mem::replace(&mut self.root, Root::Empty)
                && node.present != 0
            {
                parent.present = 1;
                parent.marks = node.marks.map(|m| u64::from(m != 0));
                if let Slots::Inner(slots) = &mut parent.slots {
                    slots[0] = Some(node);
                }
            }
            self.root = Root::Tree(parent);
            self.shift = shift;
        }
        Ok(())
    }

    fn make_path(&mut self, index: u64, flags: Flags) -> Result<(), AllocError> {
        let Root::Tree(root) = &mut self.root else { return Ok(()) };
        let (mut node, mut shift) = (&mut **root, self.shift);
        loop {
            let i = slot(index, shift);
            match &mut node.slots {
                Slots::Leaf(_) => return Ok(()),
                Slots::Inner(slots) => {
                    let below = shift - BITS;
                    let child = match &mut slots[i] {
                        Some(child) => child,
                        empty => {
                            let child = Node::new(below, flags)?;
                            node.present |= 1 << i;
                            empty.insert(child)
                        }
                    };
                    (node, shift) = (child, below);
                }
            }
        }
    }

    /// The slot of `index`, if a leaf for it exists; it counts as filled from now on.
    fn place(&mut self, index: u64) -> Option<&mut Option<T>> {
        let covered = self.covers(index);
        let Root::Tree(root) = &mut self.root else { return None };
        if !covered {
            return None;
        }
        let (mut node, mut shift) = (&mut **root, self.shift);
        loop {
            match &mut node.slots {
                Slots::Leaf(slots) => {
                    let i = slot(index, 0);
                    node.present |= 1 << i;
                    return Some(&mut slots[i]);
                }
                Slots::Inner(slots) => node = slots[slot(index, shift)].as_deref_mut()?,
            }
            shift -= BITS;
        }
    }

    /// Removes empty nodes on the way to `index`, and a root that is empty.
    fn prune(&mut self, index: u64) {
        if self.covers(index)
            && let Root::Tree(root) = &mut self.root
        {
            // Erasing walks the path and drops what is empty; the slot itself is empty here.
            root.erase(self.shift, index);
        }
        self.drop_empty_root();
    }

    fn drop_empty_root(&mut self) {
        if let Root::Tree(root) = &self.root
            && root.present == 0
        {
            self.root = Root::Empty;
            self.shift = 0;
        }
    }

    /// Removes and returns the entry at `index`.
    pub fn erase(&mut self, index: u64) -> Option<T> {
        let covered = self.covers(index);
        match &mut self.root {
            Root::Tree(root) if covered => {
                let old = root.erase(self.shift, index);
                self.drop_empty_root();
                old
            }
            Root::Single(..) if index == 0 => match core::mem::replace(&mut self.root, Root::Empty) {
                Root::Single(value, _) => Some(value),
                _ => None,
            },
            _ => None,
        }
    }

    /// Removes all entries.
    pub fn clear(&mut self) {
        *self = Self::new();
    }

    /// Removes the entries of `first..=last` and gives each to `f`.
    pub fn erase_range(&mut self, first: u64, last: u64, mut f: impl FnMut(u64, T)) {
        let mut from = first;
        while let Some((index, _)) = self.find(from)
            && index <= last
        {
            if let Some(value) = self.erase(index) {
                f(index, value);
            }
            match index.checked_add(1) {
                Some(next) => from = next,
                None => break,
            }
        }
    }

    /// The first entry at or after `from`.
    pub fn find(&self, from: u64) -> Option<(u64, &T)> {
        self.iter_from(from).next()
    }

    /// The first entry with `mark` at or after `from`.
    pub fn find_marked(&self, from: u64, mark: Mark) -> Option<(u64, &T)> {
        self.iter_marked(from, mark).next()
    }

    /// All entries in order.
    pub fn iter(&self) -> Iter<'_, T> {
        self.iter_from(0)
    }

    /// The entries at and after `from` in order.
    pub fn iter_from(&self, from: u64) -> Iter<'_, T> {
        Iter { xa: self, next: Some(from), mark: None, leaf: None, base: 0, bits: 0 }
    }

    /// The entries with `mark` at and after `from` in order.
    pub fn iter_marked(&self, from: u64, mark: Mark) -> Iter<'_, T> {
        Iter { mark: Some(mark), ..self.iter_from(from) }
    }

    /// Sets a mark on the entry at `index`; false if there is none.
    pub fn set_mark(&mut self, index: u64, mark: Mark) -> bool {
        self.change_mark(index, mark, true)
    }

    /// Clears a mark on the entry at `index`; false if there is none.
    pub fn clear_mark(&mut self, index: u64, mark: Mark) -> bool {
        self.change_mark(index, mark, false)
    }

    fn change_mark(&mut self, index: u64, mark: Mark, on: bool) -> bool {
        let covered = self.covers(index);
        match &mut self.root {
            Root::Tree(root) => covered && root.set_mark(self.shift, index, mark, on),
            Root::Single(_, marks) if index == 0 => {
                *marks = *marks & !(1 << mark as u8) | u8::from(on) << mark as u8;
                true
            }
            _ => false,
        }
    }

    /// Whether the entry at `index` has the mark.
    pub fn get_mark(&self, index: u64, mark: Mark) -> bool {
        self.find_marked(index, mark).is_some_and(|(i, _)| i == index)
    }

    /// Whether any entry has the mark.
    pub fn marked(&self, mark: Mark) -> bool {
        match &self.root {
            Root::Empty => false,
            Root::Single(_, marks) => marks >> mark as u8 & 1 != 0,
            Root::Tree(root) => root.marks[mark as usize] != 0,
        }
    }
}

impl<T: Clone> XArray<T> {
    /// A clone of the entry at `index`: for `Arc`s, a reference.
    #[inline]
    pub fn get(&self, index: u64) -> Option<T> {
        self.load(index).cloned()
    }
}

impl<T> Default for XArray<T> {
    fn default() -> Self {
        Self::new()
    }
}

/// Entries in order.
pub struct Iter<'a, T> {
    xa: &'a XArray<T>,
    /// Where to look for the next leaf; `None` when done.
    next: Option<u64>,
    mark: Option<Mark>,
    leaf: Option<&'a [Option<T>; SLOTS]>,
    base: u64,
    bits: u64,
}

impl<'a, T> Iterator for Iter<'a, T> {
    type Item = (u64, &'a T);

    fn next(&mut self) -> Option<Self::Item> {
        while self.bits == 0 {
            let from = self.next?;
            let root = match &self.xa.root {
                Root::Tree(root) if self.xa.covers(from) => root,
                Root::Single(value, marks) => {
                    self.next = None;
                    let wanted = from == 0 && self.mark.is_none_or(|m| marks >> m as u8 & 1 != 0);
                    return wanted.then_some((0, value));
                }
                _ => return None,
            };
            let Some((leaf, base, bits)) = root.find_leaf(self.xa.shift, 0, from, self.mark) else {
                self.next = None;
                return None;
            };
            let Slots::Leaf(slots) = &leaf.slots else { return None };
            (self.leaf, self.base, self.bits) = (Some(slots), base, bits);
            self.next = base.checked_add(SLOTS as u64);
        }
        let i = self.bits.trailing_zeros();
        self.bits &= self.bits - 1;
        let value = self.leaf?.get(i as usize)?.as_ref()?;
        Some((self.base + u64::from(i), value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kalloc::flags::GFP_KERNEL;
    use proptest::prelude::*;
    use std::collections::{BTreeMap, BTreeSet};
    use std::vec::Vec;
    use std::{rc::Rc, vec};

    #[derive(Clone, Debug)]
    enum Op {
        Store(u64),
        Erase(u64),
        Mark(u64, bool),
        Range(u64, u64),
    }

    fn index() -> impl Strategy<Value = u64> {
        prop_oneof![0u64..4, 0u64..200, 4000u64..4200, any::<u64>(), Just(u64::MAX), Just(1u64 << 60)]
    }

    fn op() -> impl Strategy<Value = Op> {
        prop_oneof![
            index().prop_map(Op::Store),
            index().prop_map(Op::Store),
            index().prop_map(Op::Erase),
            (index(), any::<bool>()).prop_map(|(i, b)| Op::Mark(i, b)),
            (index(), index()).prop_map(|(a, b)| Op::Range(a, b)),
        ]
    }

    proptest! {
        #[test]
        fn is_a_map(ops in proptest::collection::vec(op(), 0..80)) {
            let mut xa = XArray::new();
            let mut map = BTreeMap::new();
            let mut marked = BTreeSet::new();
            for (n, op) in ops.into_iter().enumerate() {
                match op {
                    Op::Store(i) => prop_assert_eq!(xa.store(i, Rc::new(n), GFP_KERNEL).unwrap(), map.insert(i, Rc::new(n))),
                    Op::Erase(i) => {
                        prop_assert_eq!(xa.erase(i), map.remove(&i));
                        marked.remove(&i);
                    }
                    Op::Mark(i, on) => {
                        let there = map.contains_key(&i);
                        prop_assert_eq!(if on { xa.set_mark(i, Mark::Mark1) } else { xa.clear_mark(i, Mark::Mark1) }, there);
                        if there && on { marked.insert(i); }
                        if !on { marked.remove(&i); }
                    }
                    Op::Range(a, b) => {
                        let mut out = vec![];
                        xa.erase_range(a, b, |i, _| out.push(i));
                        let want: Vec<u64> = map.keys().copied().filter(|i| (a..=b).contains(i)).collect();
                        prop_assert_eq!(&out, &want);
                        map.retain(|i, _| !(a..=b).contains(i));
                        marked.retain(|i| !(a..=b).contains(i));
                    }
                }
                prop_assert_eq!(xa.is_empty(), map.is_empty());
                prop_assert_eq!(xa.marked(Mark::Mark1), !marked.is_empty());
                prop_assert!(xa.iter().map(|(i, v)| (i, v.clone())).eq(map.iter().map(|(i, v)| (*i, v.clone()))));
                prop_assert!(xa.iter_marked(0, Mark::Mark1).map(|(i, _)| i).eq(marked.iter().copied()));
                prop_assert!(!xa.marked(Mark::Mark0));
            }
            for i in map.keys() {
                prop_assert_eq!(xa.load(*i), map.get(i));
                prop_assert_eq!(xa.find(*i).map(|f| f.0), Some(*i));
                prop_assert_eq!(xa.get_mark(*i, Mark::Mark1), marked.contains(i));
                prop_assert_eq!(xa.load_mut(*i).cloned(), map.get(i).cloned());
            }
        }
    }

    #[test]
    fn lookups_outside() {
        let mut xa = XArray::new();
        assert!(xa.load(0).is_none());
        xa.store(0, 1, GFP_KERNEL).unwrap();
        assert_eq!((xa.get(0), xa.get(1), xa.get(u64::MAX)), (Some(1), None, None));
        assert_eq!(xa.insert(0, 5, GFP_KERNEL), Ok(Some(5)));
        xa.store(64, 2, GFP_KERNEL).unwrap();
        assert_eq!((xa.get(0), xa.get(64), xa.get(65), xa.get(1 << 40)), (Some(1), Some(2), None, None));
    }
}
