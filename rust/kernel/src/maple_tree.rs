// SPDX-License-Identifier: GPL-2.0
//! Maps of ranges that do not overlap, with a lock: `kernel::maple_tree`. Looking up is as fast as in a balanced tree; finding a gap goes
//! through the ranges from the lower end on.
//!
//! ```
//! use kernel::maple_tree::{InsertErrorKind, MapleTree};
//!
//! let zones = KBox::pin_init(MapleTree::<KBox<&str>>::new(), GFP_KERNEL)?;
//! zones.insert_range(0..0x1000, KBox::new("low", GFP_KERNEL)?, GFP_KERNEL)?;
//! zones.insert_range(0x1000..=0xffff, KBox::new("high", GFP_KERNEL)?, GFP_KERNEL)?;
//! assert_eq!(zones.lock().load(0x1234).map(|name| *name), Some("high"));
//! let taken = zones.insert(5, KBox::new("five", GFP_KERNEL)?, GFP_KERNEL);
//! assert!(taken.is_err_and(|error| error.cause == InsertErrorKind::Occupied));
//! # Ok::<(), Error>(())
//! ```

use crate::alloc::Flags;
use crate::error::{Error, code::*};
use crate::new_spinlock;
use crate::rbtree::{RBTree, RBTreeNode, RBTreeNodeReservation};
use crate::sync::SpinLock;
use crate::sync::lock::spinlock::SpinLockGuard;
use crate::types::{ForeignOwnable, OwnedForeign};
use core::marker::PhantomData;
use core::ops::{Bound, Deref, RangeBounds};
use pin_init::{PinInit, pin_data, pin_init};

/// A range by its first number: its last one, and the value.
type Ranges<T> = RBTree<usize, (usize, OwnedForeign<T>)>;
type Node<T> = RBTreeNode<usize, (usize, OwnedForeign<T>)>;

/// A map of ranges. Its lock is a spin lock that interrupt handlers must not take.
#[pin_data]
pub struct MapleTree<T: ForeignOwnable> {
    #[pin]
    ranges: SpinLock<Ranges<T>>,
}

/// The first and the last number of a range; `None` if it is empty.
fn ends(range: impl RangeBounds<usize>) -> Option<(usize, usize)> {
    let first = match range.start_bound() {
        Bound::Included(&first) => first,
        Bound::Excluded(&before) => before.checked_add(1)?,
        Bound::Unbounded => 0,
    };
    let last = match range.end_bound() {
        Bound::Included(&last) => last,
        Bound::Excluded(&behind) => behind.checked_sub(1)?,
        Bound::Unbounded => usize::MAX,
    };
    (first <= last).then_some((first, last))
}

/// Whether something has a number from `first` to `last`.
fn overlaps<T: ForeignOwnable>(ranges: &Ranges<T>, first: usize, last: usize) -> bool {
    // The last range that starts before the end is the only one that may reach so far.
    ranges.floor(&last).is_some_and(|(_, (end, _))| *end >= first)
}

/// The lowest number from `first` on from which `size` up to `last` are free.
fn gap<T: ForeignOwnable>(ranges: &Ranges<T>, first: usize, last: usize, size: usize) -> Option<usize> {
    let mut at = match ranges.floor(&first) {
        Some((_, (end, _))) if *end >= first => end.checked_add(1)?,
        _ => first,
    };
    let from = at;
    for (start, (end, _)) in ranges.iter_from(&from) {
        if start.checked_sub(at)? >= size {
            break;
        }
        at = end.checked_add(1)?;
    }
    let end = at.checked_add(size.checked_sub(1)?)?;
    (end <= last).then_some(at)
}

impl<T: ForeignOwnable> MapleTree<T> {
    /// An empty map.
    pub fn new() -> impl PinInit<Self> {
        pin_init!(Self { ranges <- new_spinlock!(Ranges::new(), "MapleTree") })
    }

    /// Puts a value at one number.
    pub fn insert(&self, index: usize, value: T, gfp: Flags) -> Result<(), InsertError<T>> {
        self.insert_range(index..=index, value, gfp)
    }

    /// Puts a value at a range of numbers, of which none may be taken.
    pub fn insert_range<R: RangeBounds<usize>>(&self, range: R, value: T, gfp: Flags) -> Result<(), InsertError<T>> {
        let Some((first, last)) = ends(range) else {
            return Err(InsertError { value, cause: InsertErrorKind::InvalidRequest });
        };
        let memory = match RBTreeNodeReservation::new(gfp) {
            Ok(memory) => memory,
            Err(error) => return Err(InsertError { value, cause: InsertErrorKind::AllocError(error) }),
        };
        let mut ranges = self.ranges.lock();
        if overlaps(&ranges, first, last) {
            return Err(InsertError { value, cause: InsertErrorKind::Occupied });
        }
        ranges.insert(memory.into_node(first, (last, OwnedForeign::new(value))));
        Ok(())
    }

    /// Takes out the range that `index` is in, all of it.
    pub fn erase(&self, index: usize) -> Option<T> {
        let node: Node<T> = {
            let mut ranges = self.ranges.lock();
            let first = ranges.floor(&index).filter(|(_, (last, _))| *last >= index).map(|(first, _)| *first)?;
            ranges.remove_node(&first)?
        };
        Some(node.to_key_value().1.1.into_inner())
    }

    /// Locks it.
    pub fn lock(&self) -> MapleGuard<'_, T> {
        MapleGuard(self.ranges.lock())
    }
}

/// A locked [`MapleTree`].
#[must_use = "it is unlocked when this is dropped"]
pub struct MapleGuard<'tree, T: ForeignOwnable>(SpinLockGuard<'tree, Ranges<T>>);

impl<T: ForeignOwnable> MapleGuard<'_, T> {
    /// A place in the map, in front of `first`. `end` would be the last number of what is stored there, which nothing does.
    pub fn ma_state(&mut self, first: usize, end: usize) -> MaState<'_, T> {
        let _ = end;
        MaState { ranges: &mut self.0, next: Some(first), _tree: PhantomData }
    }

    /// What is at `index`.
    pub fn load(&mut self, index: usize) -> Option<T::BorrowedMut<'_>> {
        let (_, (last, value)) = self.0.floor_mut(&index)?;
        (*last >= index).then(|| value.borrow_mut())
    }
}

/// A place in a [`MapleTree`] that is locked.
pub struct MaState<'tree, T: ForeignOwnable> {
    ranges: &'tree mut Ranges<T>,
    /// The first number that was not looked at; nothing is left if there is none.
    next: Option<usize>,
    _tree: PhantomData<&'tree mut MapleTree<T>>,
}

impl<T: ForeignOwnable> MaState<'_, T> {
    /// The next value of which a number is not behind `max`.
    pub fn find(&mut self, max: usize) -> Option<T::BorrowedMut<'_>> {
        let next = self.next?;
        // That which `next` is in, or else the first behind it.
        let first = match self.ranges.floor(&next) {
            Some((first, (last, _))) if *last >= next => *first,
            _ => *self.ranges.lower_bound(&next)?.0,
        };
        if first > max {
            return None;
        }
        let (last, value) = self.ranges.get_mut(&first)?;
        self.next = last.checked_add(1);
        Some(value.borrow_mut())
    }
}

/// A [`MapleTree`] that finds gaps.
#[pin_data]
pub struct MapleTreeAlloc<T: ForeignOwnable> {
    #[pin]
    tree: MapleTree<T>,
}

impl<T: ForeignOwnable> MapleTreeAlloc<T> {
    /// An empty map.
    pub fn new() -> impl PinInit<Self> {
        pin_init!(Self { tree <- MapleTree::new() })
    }

    /// Puts a value at the lowest `size` numbers of `range` that follow each other and are free; the first of them.
    pub fn alloc_range<R: RangeBounds<usize>>(
        &self,
        size: usize,
        value: T,
        range: R,
        gfp: Flags,
    ) -> Result<usize, AllocError<T>> {
        let (first, last) = match ends(range) {
            Some((first, last)) if size != 0 && last - first >= size - 1 => (first, last),
            _ => return Err(AllocError { value, cause: AllocErrorKind::InvalidRequest }),
        };
        let memory = match RBTreeNodeReservation::new(gfp) {
            Ok(memory) => memory,
            Err(error) => return Err(AllocError { value, cause: AllocErrorKind::AllocError(error) }),
        };
        let mut ranges = self.tree.ranges.lock();
        let Some(at) = gap(&ranges, first, last, size) else {
            return Err(AllocError { value, cause: AllocErrorKind::Busy });
        };
        ranges.insert(memory.into_node(at, (at + (size - 1), OwnedForeign::new(value))));
        Ok(at)
    }
}

impl<T: ForeignOwnable> Deref for MapleTreeAlloc<T> {
    type Target = MapleTree<T>;

    fn deref(&self) -> &MapleTree<T> {
        &self.tree
    }
}

/// Why a value was not inserted, and the value.
pub struct InsertError<T> {
    /// The value.
    pub value: T,
    /// Why.
    pub cause: InsertErrorKind,
}

/// Why a value was not inserted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InsertErrorKind {
    /// A number of the range is taken. `EEXIST`.
    Occupied,
    /// There is no memory. `ENOMEM`.
    AllocError(kalloc::AllocError),
    /// The range is empty. `EINVAL`.
    InvalidRequest,
}

impl From<InsertErrorKind> for Error {
    fn from(cause: InsertErrorKind) -> Self {
        match cause {
            InsertErrorKind::Occupied => EEXIST,
            InsertErrorKind::AllocError(error) => error.into(),
            InsertErrorKind::InvalidRequest => EINVAL,
        }
    }
}

impl<T> From<InsertError<T>> for Error {
    fn from(failed: InsertError<T>) -> Self {
        failed.cause.into()
    }
}

/// Why no gap was found for a value, and the value.
pub struct AllocError<T> {
    /// The value.
    pub value: T,
    /// Why.
    pub cause: AllocErrorKind,
}

/// Why no gap was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AllocErrorKind {
    /// None is large enough. `EBUSY`.
    Busy,
    /// There is no memory. `ENOMEM`.
    AllocError(kalloc::AllocError),
    /// The range is smaller than what is wanted, or nothing is. `EINVAL`.
    InvalidRequest,
}

impl From<AllocErrorKind> for Error {
    fn from(cause: AllocErrorKind) -> Self {
        match cause {
            AllocErrorKind::Busy => EBUSY,
            AllocErrorKind::AllocError(error) => error.into(),
            AllocErrorKind::InvalidRequest => EINVAL,
        }
    }
}

impl<T> From<AllocError<T>> for Error {
    fn from(failed: AllocError<T>) -> Self {
        failed.cause.into()
    }
}
