// SPDX-License-Identifier: GPL-2.0
//! `RcuList`: a chain of counted objects, each holding its own link. Readers walk it under RCU without touching a count.

use crate::{ReadGuard, defer_drop};
use core::marker::PhantomData;
use core::sync::atomic::{AtomicBool, AtomicPtr, Ordering};
use kalloc::{Arc, ArcBorrow};
use locking::{SpinGuard, SpinLock};

/// The link inside an object that can be in one `RcuList` at a time.
pub struct RcuLink<T> {
    next: AtomicPtr<T>,
    listed: AtomicBool,
}

impl<T> RcuLink<T> {
    /// A link in no list.
    pub const fn new() -> Self {
        Self { next: AtomicPtr::new(core::ptr::null_mut()), listed: AtomicBool::new(false) }
    }

    /// Whether the object is in a list at this moment.
    #[inline(always)]
    pub fn is_listed(&self) -> bool {
        self.listed.load(Ordering::Acquire)
    }
}

impl<T> Default for RcuLink<T> {
    fn default() -> Self {
        Self::new()
    }
}

/// Objects that have a link.
///
/// # Safety
/// `link` always returns the same field of `self`, and no other code changes it.
pub unsafe trait RcuListed: Send + Sync + Sized + 'static {
    /// The link.
    fn link(&self) -> &RcuLink<Self>;
}

/// Implements [`RcuListed`] for a type with a field of type `RcuLink<Self>`, which must be private to the type's module.
#[macro_export]
macro_rules! rcu_listed {
    ($ty:ty, $field:ident) => {
        // SAFETY: The macro names one field; its own methods are private to `rcu`, so nobody else can change it.
        unsafe impl $crate::RcuListed for $ty {
            #[inline(always)]
            fn link(&self) -> &$crate::RcuLink<Self> {
                &self.$field
            }
        }
    };
}

/// A chain of `Arc<T>`, first in first found, with the lock of its writers.
///
/// # Invariants
/// The chain of `next` pointers from `head` leads through objects with `listed` set, each of which the list owns one reference
/// of, until null. A removed object keeps its `next`, which points at an object that was in the list when it was removed: for
/// every section that can reach it, that object was listed during the section, so its reference outlives the section.
pub struct RcuList<T: RcuListed> {
    head: AtomicPtr<T>,
    writers: SpinLock<()>,
    owns: PhantomData<Arc<T>>,
}

// SAFETY: Readers get `&T` and can make `Arc<T>`s on any thread; writers hold the lock.
unsafe impl<T: RcuListed> Send for RcuList<T> {}
// SAFETY: As above.
unsafe impl<T: RcuListed> Sync for RcuList<T> {}

/// A walk over a list within one section.
pub struct Iter<'g, T: RcuListed> {
    at: *const T,
    section: PhantomData<&'g ReadGuard>,
}

impl<'g, T: RcuListed> Iterator for Iter<'g, T> {
    type Item = ArcBorrow<'g, T>;

    #[inline(always)]
    fn next(&mut self) -> Option<Self::Item> {
        if self.at.is_null() {
            return None;
        }
        // SAFETY: By the list's invariant the object's reference is kept until this section ends.
        let item = unsafe { Arc::borrow_raw(self.at) };
        self.at = item.link().next.load(Ordering::Acquire);
        Some(item)
    }
}

impl<T: RcuListed> RcuList<T> {
    /// An empty list.
    pub const fn new() -> Self {
        Self { head: AtomicPtr::new(core::ptr::null_mut()), writers: SpinLock::new(()), owns: PhantomData }
    }

    /// Walks the list. Objects that are moved to another list meanwhile lead the walk there: a caller that moves objects must
    /// make readers that found nothing look again (a sequence counter).
    #[inline(always)]
    pub fn iter<'g>(&self, _section: &'g ReadGuard) -> Iter<'g, T> {
        Iter { at: self.head.load(Ordering::Acquire), section: PhantomData }
    }

    /// Keeps other writers out.
    #[inline]
    pub fn lock(&self) -> Writer<'_, T> {
        Writer { list: self, _guard: self.writers.lock() }
    }
}

/// The right to change a list.
pub struct Writer<'a, T: RcuListed> {
    list: &'a RcuList<T>,
    _guard: SpinGuard<'a, ()>,
}

impl<'a, T: RcuListed> Writer<'a, T> {
    /// The objects of the list.
    pub fn iter<'s>(&'s self) -> impl Iterator<Item = ArcBorrow<'s, T>> {
        // The writer's lock keeps every object in the list, as a section would.
        Iter::<'s, T> { at: self.list.head.load(Ordering::Acquire), section: PhantomData }
    }

    /// Puts `object` first. Gives it back if it is in a list already.
    pub fn push(&mut self, object: Arc<T>) -> Result<(), Arc<T>> {
        let link = object.link();
        if link.listed.swap(true, Ordering::AcqRel) {
            return Err(object);
        }
        link.next.store(self.list.head.load(Ordering::Relaxed), Ordering::Release);
        self.list.head.store(Arc::into_raw(object).cast_mut(), Ordering::Release);
        Ok(())
    }

    /// Takes `object` out. False if it is not in this list. The list's reference is dropped after a grace period.
    pub fn remove(&mut self, object: &T) -> bool {
        let mut place = &self.list.head;
        loop {
            let at = place.load(Ordering::Relaxed);
            if at.is_null() {
                return false;
            }
            // SAFETY: `at` is in the list, which owns a reference, and the lock keeps it there.
            let link = unsafe { (*at).link() };
            if core::ptr::eq(at, object) {
                place.store(link.next.load(Ordering::Relaxed), Ordering::Release);
                link.listed.store(false, Ordering::Release);
                // SAFETY: The list owned this reference and has just given it up.
                defer_drop(unsafe { Arc::from_raw(at.cast_const()) });
                return true;
            }
            place = &link.next;
        }
    }
}

impl<T: RcuListed> Default for RcuList<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: RcuListed> Drop for RcuList<T> {
    fn drop(&mut self) {
        let mut at = *self.head.get_mut();
        while !at.is_null() {
            // SAFETY: The list owned a reference of each object in it.
            let object = unsafe { Arc::from_raw(at.cast_const()) };
            at = object.link().next.load(Ordering::Relaxed);
            object.link().listed.store(false, Ordering::Release);
            defer_drop(object);
        }
    }
}
