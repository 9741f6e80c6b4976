// SPDX-License-Identifier: GPL-2.0
//! `PageTree`: the pages of a file by index, with three marks each (Linux's `i_pages`). Readers take no lock: they walk nodes under
//! RCU and take a speculative reference to the page (`PageSlot`). The place of a page that is in swap space has a mark. Page 0 has a place of its own, so that a small file needs no node.
//!
//! Locks: `lock` (spin, interrupts off: write-back ends in interrupts) around every change. Nodes that became empty leave the
//! tree at once and are freed after a grace period.

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use errno::{Result, code::EFAULT};
use kalloc::flags::{__GFP_NOWARN, GFP_ATOMIC};
use kalloc::{Arc, Flags};
use locking::SpinLock;
use locking::spin::SpinIrqGuard;
use mm_alloc::page::Frozen;
use mm_alloc::{Page, PageSlot};
use rcu::{RcuArc, ReadGuard};

const BITS: u32 = 6;
const SLOTS: usize = 1 << BITS;
const MARKS: usize = 3;

/// A property of a page that can be searched for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(usize)]
pub(crate) enum Mark {
    /// Newer than the file.
    Dirty,
    /// On its way to the file.
    Writeback,
    /// Chosen by the synchronisation that is going on.
    ToWrite,
}

#[allow(clippy::large_enum_variant, reason = "both are arrays of pointers of the same length")]
enum Slots {
    Leaf([PageSlot; SLOTS]),
    Inner([RcuArc<Node>; SLOTS]),
}

/// Sixty-four places. Everything in it changes under the tree's lock.
struct Node {
    shift: u32,
    count: AtomicU32,
    /// Which slots have each mark, themselves or below.
    marks: [AtomicU64; MARKS],
    slots: Slots,
}

impl Node {
    fn new(shift: u32, flags: Flags) -> Result<Arc<Self>> {
        let slots = match shift {
            0 => Slots::Leaf([const { PageSlot::new() }; SLOTS]),
            _ => Slots::Inner([const { RcuArc::null() }; SLOTS]),
        };
        let marks = [const { AtomicU64::new(0) }; MARKS];
        Ok(Arc::new(Self { shift, count: AtomicU32::new(0), marks, slots }, flags)?)
    }

    #[inline(always)]
    fn covers(&self, index: u64) -> bool {
        index.checked_shr(self.shift + BITS).unwrap_or(0) == 0
    }

    #[inline(always)]
    fn slot_of(&self, index: u64) -> usize {
        (index >> self.shift) as usize & (SLOTS - 1)
    }

    fn marks(&self, mark: Mark) -> &AtomicU64 {
        // In bounds: one for each mark.
        &self.marks[mark as usize]
    }

    #[inline(always)]
    fn leaf(&self) -> Option<&[PageSlot; SLOTS]> {
        if let Slots::Leaf(slots) = &self.slots { Some(slots) } else { None }
    }

    #[inline(always)]
    fn child<'g>(&self, i: usize, section: &'g ReadGuard) -> Option<&'g Node> {
        match &self.slots {
            Slots::Inner(slots) => slots.get(i)?.load(section),
            Slots::Leaf(_) => None,
        }
    }

    /// Calls `f` for the places in use of `[from, last]` below this node in order; false as soon as `f` says so.
    fn each(
        &self,
        section: &ReadGuard,
        base: u64,
        range: (u64, u64),
        mark: Option<Mark>,
        f: &mut dyn FnMut(u64, &PageSlot) -> bool,
    ) -> bool {
        let (from, last) = range;
        let first = if from <= base { 0 } else { (from - base) >> self.shift };
        for i in first..SLOTS as u64 {
            let Some(at) = base.checked_add(i << self.shift) else { break };
            if at > last {
                break;
            }
            if mark.is_some_and(|mark| self.marks(mark).load(Ordering::Acquire) >> i & 1 == 0) {
                continue;
            }
            let more = match &self.slots {
                Slots::Leaf(slots) => match slots.get(i as usize).filter(|slot| !slot.is_empty()) {
                    Some(slot) => f(at, slot),
                    None => true,
                },
                Slots::Inner(_) => {
                    self.child(i as usize, section).is_none_or(|child| child.each(section, at, range, mark, f))
                }
            };
            if !more {
                return false;
            }
        }
        true
    }

    /// Sets or clears a mark of `index` below this node; false if there is no page. Under the lock.
    fn change_mark(&self, section: &ReadGuard, index: u64, mark: Mark, on: bool) -> bool {
        let i = self.slot_of(index);
        let any = match &self.slots {
            Slots::Leaf(slots) => {
                if slots.get(i).is_none_or(PageSlot::is_empty) {
                    return false;
                }
                on
            }
            Slots::Inner(_) => {
                let Some(child) = self.child(i, section) else { return false };
                if !child.change_mark(section, index, mark, on) {
                    return false;
                }
                child.marks(mark).load(Ordering::Relaxed) != 0
            }
        };
        let marks = self.marks(mark);
        let old = marks.load(Ordering::Relaxed);
        marks.store(old & !(1 << i) | u64::from(any) << i, Ordering::Release);
        true
    }

    /// Takes out the page at `index` by `take`, with its marks and the nodes that became empty. Under the lock.
    fn erase(&self, section: &ReadGuard, index: u64, take: &mut dyn FnMut(&PageSlot)) {
        let i = self.slot_of(index);
        let (gone, keep) = match &self.slots {
            Slots::Leaf(slots) => {
                let Some(slot) = slots.get(i).filter(|slot| !slot.is_empty()) else { return };
                take(slot);
                (true, [false; MARKS])
            }
            Slots::Inner(slots) => {
                let (Some(slot), Some(child)) = (slots.get(i), self.child(i, section)) else { return };
                child.erase(section, index, take);
                let empty = child.count.load(Ordering::Relaxed) == 0;
                let keep =
                    [0, 1, 2].map(|m| !empty && child.marks.get(m).is_some_and(|m| m.load(Ordering::Relaxed) != 0));
                if empty {
                    slot.replace(None);
                }
                (empty, keep)
            }
        };
        if gone {
            self.count.fetch_sub(1, Ordering::Relaxed);
        }
        for (marks, keep) in self.marks.iter().zip(keep) {
            if !keep {
                marks.store(marks.load(Ordering::Relaxed) & !(1 << i), Ordering::Release);
            }
        }
    }
}

/// The pages of a file.
pub(crate) struct PageTree {
    first: PageSlot,
    first_marks: AtomicU32,
    root: RcuArc<Node>,
    lock: SpinLock<()>,
}

/// What is at an index.
pub(crate) enum There {
    /// This page.
    Page(Page),
    /// A page that is in swap space.
    Mark(u64),
}

impl There {
    fn of(slot: &PageSlot) -> Option<Self> {
        loop {
            if let Some(page) = slot.get() {
                return Some(Self::Page(page));
            }
            if let Some(mark) = slot.mark() {
                return Some(Self::Mark(mark));
            }
            if slot.is_empty() {
                return None;
            }
            // One became the other between the looks.
        }
    }
}

/// What [`Writer::insert`] says.
pub(crate) enum Inserted {
    /// It is in.
    New,
    /// This was there.
    There(There),
    /// A node of this shift is missing, and there was no memory for it under the lock.
    Need(u32),
}

impl PageTree {
    #[track_caller]
    pub(crate) const fn new() -> Self {
        Self { first: PageSlot::new(), first_marks: AtomicU32::new(0), root: RcuArc::null(), lock: SpinLock::new(()) }
    }

    /// The page `index`. Any context; no lock.
    #[inline]
    pub(crate) fn get(&self, index: u64) -> Option<Page> {
        let section = rcu::read_lock();
        if index == 0 {
            return self.first.get();
        }
        let mut node = self.root.load(&section)?;
        if !node.covers(index) {
            return None;
        }
        loop {
            match &node.slots {
                // In bounds: `slot_of` is below the length.
                Slots::Leaf(slots) => return slots[node.slot_of(index)].get(),
                Slots::Inner(slots) => node = slots[node.slot_of(index)].load(&section)?,
            }
        }
    }

    /// Whether any page has the mark.
    pub(crate) fn marked(&self, mark: Mark) -> bool {
        let section = rcu::read_lock();
        self.first_marks.load(Ordering::Acquire) >> mark as u32 & 1 != 0
            || self.root.load(&section).is_some_and(|root| root.marks(mark).load(Ordering::Acquire) != 0)
    }

    /// Calls `f` for the pages of `[first, last]` (with `mark`) in order until it says false. `f` must not sleep. What changes
    /// meanwhile may be seen or not.
    pub(crate) fn each(&self, first: u64, last: u64, mark: Option<Mark>, mut f: impl FnMut(u64, Page) -> bool) {
        self.each_slot(first, last, mark, &mut |index, slot| slot.get().is_none_or(|page| f(index, page)));
    }

    /// As [`PageTree::each`], also for pages that are in swap space. Each is seen as one or the other.
    pub(crate) fn each_there(&self, first: u64, last: u64, mut f: impl FnMut(u64, There) -> bool) {
        self.each_slot(first, last, None, &mut |index, slot| There::of(slot).is_none_or(|there| f(index, there)));
    }

    fn each_slot(&self, first: u64, last: u64, mark: Option<Mark>, f: &mut dyn FnMut(u64, &PageSlot) -> bool) {
        let section = rcu::read_lock();
        if first == 0
            && mark.is_none_or(|mark| self.first_marks.load(Ordering::Acquire) >> mark as u32 & 1 != 0)
            && !self.first.is_empty()
            && !f(0, &self.first)
        {
            return;
        }
        if let Some(root) = self.root.load(&section) {
            root.each(&section, 0, (first.max(1), last), mark, f);
        }
    }

    /// The first page of `[first, last]` (with `mark`).
    pub(crate) fn next(&self, first: u64, last: u64, mark: Option<Mark>) -> Option<(u64, Page)> {
        let mut found = None;
        self.each(first, last, mark, |index, page| {
            found = Some((index, page));
            false
        });
        found
    }

    /// Begins a change.
    pub(crate) fn lock(&self) -> Writer<'_> {
        Writer { tree: self, _lock: self.lock.lock_irqsave() }
    }

    /// Puts `page` at `index`; gives what is there if there is something. May sleep if `flags` say so. ENOMEM, and EFAULT if nothing is
    /// there and `allowed`, asked under the lock, says no.
    pub(crate) fn insert(
        &self,
        index: u64,
        page: &Page,
        flags: Flags,
        allowed: impl Fn() -> bool,
    ) -> Result<Option<There>> {
        let mut spare = None;
        loop {
            let mut writer = self.lock();
            if !allowed() {
                return writer.look(index).map(Some).ok_or(EFAULT);
            }
            let inserted = writer.insert(index, page, &mut spare);
            drop(writer);
            match inserted {
                Inserted::New => return Ok(None),
                Inserted::There(there) => return Ok(Some(there)),
                Inserted::Need(shift) => spare = Some(Node::new(shift, flags)?),
            }
        }
    }
}

/// The right to change a tree.
pub(crate) struct Writer<'a> {
    tree: &'a PageTree,
    _lock: SpinIrqGuard<'a, ()>,
}

/// A new node of `shift`: the spare one if it is of that kind.
fn node(shift: u32, spare: &mut Option<Arc<Node>>) -> core::result::Result<Arc<Node>, u32> {
    match spare.take_if(|node| node.shift == shift) {
        Some(node) => Ok(node),
        None => Node::new(shift, GFP_ATOMIC | __GFP_NOWARN).map_err(|_| shift),
    }
}

impl Writer<'_> {
    fn insert(&mut self, index: u64, page: &Page, spare: &mut Option<Arc<Node>>) -> Inserted {
        if index == 0 {
            if let Some(there) = There::of(&self.tree.first) {
                return Inserted::There(there);
            }
            drop(self.tree.first.replace(Some(page.clone())));
            return Inserted::New;
        }
        match self.insert_below(index, page, spare) {
            Ok(None) => Inserted::New,
            Ok(Some(there)) => Inserted::There(there),
            Err(shift) => Inserted::Need(shift),
        }
    }

    fn insert_below(
        &mut self,
        index: u64,
        page: &Page,
        spare: &mut Option<Arc<Node>>,
    ) -> core::result::Result<Option<There>, u32> {
        let section = ReadGuard::nested();
        while self.tree.root.load(&section).is_none_or(|root| !root.covers(index)) {
            self.grow(spare)?;
        }
        let Some(mut at) = self.tree.root.load(&section) else { return Err(0) };
        loop {
            let i = at.slot_of(index);
            match &at.slots {
                Slots::Leaf(slots) => {
                    if let Some(there) = There::of(&slots[i]) {
                        return Ok(Some(there));
                    }
                    drop(slots[i].replace(Some(page.clone())));
                    at.count.fetch_add(1, Ordering::Relaxed);
                    return Ok(None);
                }
                Slots::Inner(slots) => {
                    if slots[i].is_null() {
                        slots[i].replace(Some(node(at.shift - BITS, spare)?));
                        at.count.fetch_add(1, Ordering::Relaxed);
                    }
                    // It is there now, and only a writer takes it away.
                    let Some(child) = at.child(i, &section) else { return Err(0) };
                    at = child;
                }
            }
        }
    }

    /// Puts a node above the root, or makes one.
    fn grow(&mut self, spare: &mut Option<Arc<Node>>) -> core::result::Result<(), u32> {
        let Some(old) = self.tree.root.get() else {
            self.tree.root.replace(Some(node(0, spare)?));
            return Ok(());
        };
        let parent = node(old.shift + BITS, spare)?;
        if old.count.load(Ordering::Relaxed) != 0 {
            for (to, from) in parent.marks.iter().zip(&old.marks) {
                to.store(u64::from(from.load(Ordering::Relaxed) != 0), Ordering::Relaxed);
            }
            if let Slots::Inner(slots) = &parent.slots {
                slots[0].replace(Some(old));
                parent.count.store(1, Ordering::Relaxed);
            }
        }
        self.tree.root.replace(Some(parent));
        Ok(())
    }

    fn erase_by(&mut self, index: u64, take: &mut dyn FnMut(&PageSlot)) {
        if index == 0 {
            if !self.tree.first.is_empty() {
                take(&self.tree.first);
                self.tree.first_marks.store(0, Ordering::Release);
            }
            return;
        }
        let section = ReadGuard::nested();
        let Some(root) = self.tree.root.load(&section).filter(|root| root.covers(index)) else { return };
        root.erase(&section, index, take);
        if root.count.load(Ordering::Relaxed) == 0 {
            self.tree.root.replace(None);
        }
    }

    /// Takes the page at `index` out, with its marks.
    pub(crate) fn erase(&mut self, index: u64) -> Option<Page> {
        let mut page = None;
        self.erase_by(index, &mut |slot| page = slot.replace(None));
        page
    }

    /// Takes out the page at `index`, whose references the caller froze.
    pub(crate) fn erase_frozen(&mut self, index: u64, frozen: &mut Frozen<'_>) {
        self.erase_by(index, &mut |slot| slot.take_frozen(frozen));
    }

    /// Whether `page` is at `index`.
    pub(crate) fn holds(&self, index: u64, page: &Page) -> bool {
        self.with_slot(index, |slot| slot.peek(|found| found.same(page)).unwrap_or(false)).unwrap_or(false)
    }

    /// What is at `index`.
    pub(crate) fn look(&self, index: u64) -> Option<There> {
        self.with_slot(index, There::of)?
    }

    /// Puts a mark in the place of the page at `index`, whose references the caller froze. False if another is there.
    pub(crate) fn exchange_frozen(&mut self, index: u64, frozen: &mut Frozen<'_>, mark: u64) -> bool {
        self.with_slot(index, |slot| slot.exchange_frozen(frozen, mark)).unwrap_or(false)
    }

    /// Puts `page` in the place of the mark at `index`. False if that is not there.
    pub(crate) fn exchange_mark(&mut self, index: u64, mark: u64, page: &Page) -> bool {
        self.with_slot(index, |slot| slot.exchange_mark(mark, page)).unwrap_or(false)
    }

    /// Takes the mark at `index` out. False if it is not there.
    pub(crate) fn erase_mark(&mut self, index: u64, mark: u64) -> bool {
        let there = self.with_slot(index, |slot| slot.mark() == Some(mark)).unwrap_or(false);
        if there {
            self.erase(index);
        }
        there
    }

    fn with_slot<R>(&self, index: u64, f: impl FnOnce(&PageSlot) -> R) -> Option<R> {
        if index == 0 {
            return Some(f(&self.tree.first));
        }
        let section = ReadGuard::nested();
        let mut at = self.tree.root.load(&section).filter(|root| root.covers(index));
        while let Some(node) = at {
            if let Some(slots) = node.leaf() {
                return Some(f(&slots[node.slot_of(index)]));
            }
            at = node.child(node.slot_of(index), &section);
        }
        None
    }

    /// Sets or clears a mark; false if there is no page.
    pub(crate) fn change_mark(&mut self, index: u64, mark: Mark, on: bool) -> bool {
        if index == 0 {
            let bit = 1 << mark as u32;
            let old = self.tree.first_marks.load(Ordering::Relaxed);
            let there = !self.tree.first.is_empty();
            if there {
                self.tree.first_marks.store(if on { old | bit } else { old & !bit }, Ordering::Release);
            }
            return there;
        }
        let section = ReadGuard::nested();
        let root = self.tree.root.load(&section).filter(|root| root.covers(index));
        root.is_some_and(|root| root.change_mark(&section, index, mark, on))
    }

    /// Whether any page has the mark.
    pub(crate) fn marked(&self, mark: Mark) -> bool {
        self.tree.marked(mark)
    }
}
