// SPDX-License-Identifier: GPL-2.0
//! Lists of the form of C's `struct list_head`, looked at from here: `kernel::interop::list`. Whoever owns the entries links them
//! (`bindings::list_add_tail`); [`clist_create!`] makes a list of it whose entries have a type.
//!
//! For lists of this side there is [`crate::list`].

use crate::bindings;
use crate::types::Opaque;
use core::iter::FusedIterator;
use core::marker::PhantomData;
use core::ptr::from_ref;
use pin_init::PinInit;

/// A head of a list, or the link in an entry.
///
/// # Invariants
/// The value inside is initialized: its pointers lead to such values, in a ring.
#[repr(transparent)]
pub struct CListHead {
    inner: Opaque<bindings::list_head>,
}

impl CListHead {
    /// The head or link at `ptr`.
    ///
    /// # Safety
    /// It is initialized (`bindings::INIT_LIST_HEAD`) and there for all of `'a`, as is whatever is linked with it; nobody changes the list
    /// meanwhile.
    #[inline]
    pub unsafe fn from_raw<'a>(ptr: *mut bindings::list_head) -> &'a Self {
        // SAFETY: By the caller's contract; the wrapper has the same layout.
        unsafe { &*ptr.cast::<Self>() }
    }

    /// Where it is.
    #[inline]
    pub fn as_raw(&self) -> *mut bindings::list_head {
        self.inner.get()
    }

    /// The next in the ring: itself, if it is alone.
    #[inline]
    pub fn next(&self) -> &Self {
        // SAFETY: By the type invariant what it leads to is another of its kind, and is there as long as this.
        unsafe { Self::from_raw((*self.as_raw()).next) }
    }

    /// Whether there is another in the ring.
    #[inline]
    pub fn is_linked(&self) -> bool {
        !core::ptr::eq(self.next(), self)
    }

    /// One that is alone.
    pub fn new() -> impl PinInit<Self> {
        let init = |slot: *mut Self| {
            // SAFETY: The slot is memory for it, where it stays.
            unsafe { bindings::INIT_LIST_HEAD(slot.cast()) };
            Ok(())
        };
        // SAFETY: The slot is initialized.
        unsafe { pin_init::pin_init_from_closure(init) }
    }
}

// SAFETY: Two pointers, which nothing here writes after they were initialized.
unsafe impl Send for CListHead {}
// SAFETY: As above.
unsafe impl Sync for CListHead {}

impl PartialEq for CListHead {
    fn eq(&self, other: &Self) -> bool {
        core::ptr::eq(self, other)
    }
}

impl Eq for CListHead {}

/// A list whose entries are of type `T`, with the link at byte `OFFSET` of each.
///
/// # Invariants
/// Whatever is linked with the head is the link of a `T`.
#[repr(transparent)]
pub struct CList<T, const OFFSET: usize>(CListHead, PhantomData<T>);

impl<T, const OFFSET: usize> CList<T, OFFSET> {
    /// The list with the head at `ptr`.
    ///
    /// # Safety
    /// As for [`CListHead::from_raw`]; and what is linked with the head is at byte `OFFSET` of a valid `T`.
    #[inline]
    pub unsafe fn from_raw<'a>(ptr: *mut bindings::list_head) -> &'a Self {
        // SAFETY: By the caller's contract; the wrapper has the same layout.
        unsafe { &*ptr.cast::<Self>() }
    }

    /// Whether it has no entry.
    #[inline]
    pub fn is_empty(&self) -> bool {
        !self.0.is_linked()
    }

    /// Its entries, the first one first.
    pub fn iter(&self) -> CListIter<'_, T, OFFSET> {
        CListIter { at: &self.0, head: &self.0, _entries: PhantomData }
    }
}

impl<'a, T, const OFFSET: usize> IntoIterator for &'a CList<T, OFFSET> {
    type Item = &'a T;
    type IntoIter = CListIter<'a, T, OFFSET>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// The entries of a [`CList`].
pub struct CListIter<'a, T, const OFFSET: usize> {
    at: &'a CListHead,
    head: &'a CListHead,
    _entries: PhantomData<&'a T>,
}

impl<'a, T, const OFFSET: usize> Iterator for CListIter<'a, T, OFFSET> {
    type Item = &'a T;

    fn next(&mut self) -> Option<&'a T> {
        let next = self.at.next();
        if next == self.head {
            return None;
        }
        self.at = next;
        // SAFETY: By the list's invariant this is the link of a `T`, which is there as long as the list is borrowed.
        Some(unsafe { &*from_ref(next).byte_sub(OFFSET).cast::<T>() })
    }
}

impl<T, const OFFSET: usize> FusedIterator for CListIter<'_, T, OFFSET> {}

/// The list with head `$head`, whose entries are of the C structure `$c_type`, linked by its field `$field`, and are seen as
/// `$rust_type`, a transparent wrapper of that.
///
/// # Safety
/// As for [`CList::from_raw`].
#[macro_export]
macro_rules! clist_create {
    ($head:expr, $rust_type:ty, $c_type:ty, $($field:tt).+) => {{
        // The field is a link: anything else does not compile.
        let _: fn(*const $c_type) -> *const $crate::bindings::list_head = |entry| &raw const (*entry).$($field).+;
        $crate::interop::list::CList::<$rust_type, { ::core::mem::offset_of!($c_type, $($field).+) }>::from_raw($head)
    }};
}

pub use clist_create;
